"""Bulk writing of the loan register: COPY on PostgreSQL, executemany elsewhere, never an object per row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from django.db import connection

from pooling.models import Loan, Pool, TapeVersion

COLUMNS = (
    "tape_id", "loan_id", "fingerprint", "is_open", "balance", "rate", "term", "grade", "score", "state", "purpose",
    "income_band", "issue_month",
)  # fmt: skip
INCOME_BAND_EDGES = (25_000, 50_000, 75_000, 100_000, 150_000)


def loans_register(*, tape: TapeVersion, frame: pd.DataFrame, fingerprints: Sequence[str]) -> None:
    """Insert the accepted rows of a tape, in the caller's transaction. IntegrityError: a loan has an open owner."""
    rows = _rows(tape, frame, fingerprints)
    table = connection.ops.quote_name(Loan._meta.db_table)
    columns = ", ".join(COLUMNS)
    if connection.vendor == "postgresql":
        # psycopg's own COPY is not wrapped by Django, and callers wait for Django's IntegrityError.
        with (
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join(["%s"] * len(COLUMNS))
    prepared = ((row[0].hex, *row[1:]) for row in rows)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", list(prepared))  # noqa: S608


def loans_pledge(*, pool: Pool, rows: Sequence[tuple[str, int, int, int]]) -> int:
    """Give free, open loans of the pool's tape to it, in the caller's transaction; returns how many it took.

    rows: (loan id, cut-off balance in cents, age, remaining term).
    """
    table = connection.ops.quote_name(Loan._meta.db_table)
    update = (
        f"UPDATE {table} SET pool_id = %s, cutoff_balance = %s, age = %s, remaining_term = %s "  # noqa: S608
        "WHERE tape_id = %s AND loan_id = %s AND pool_id IS NULL AND is_open"
    )
    key = (lambda value: value) if connection.vendor == "postgresql" else (lambda value: value.hex)
    marks = [
        (key(pool.pk), cents, age, remaining, key(pool.tape_id), loan_id) for loan_id, cents, age, remaining in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(update, marks)
    return Loan.objects.filter(pool=pool).count()


def _rows(tape: TapeVersion, frame: pd.DataFrame, fingerprints: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    columns = zip(
        frame["loan_id"],
        fingerprints,
        frame["balance_cents"].tolist(),
        frame["rate"].tolist(),
        frame["term"].tolist(),
        frame["grade"],
        frame["score"].to_numpy(dtype=float, na_value=np.nan).tolist(),
        frame["state"],
        frame["purpose"],
        income_bands(frame),
        frame["issue_month"],
        strict=True,
    )
    for loan_id, fingerprint, balance, rate, term, grade, score, state, purpose, band, month in columns:
        known = int(score) if score == score else None
        yield (
            tape.pk, loan_id, fingerprint, True, balance, f"{rate:.6f}", term, grade[:8], known, state[:40],
            purpose[:80], band, month,
        )  # fmt: skip


def income_bands(frame: pd.DataFrame) -> list[str]:
    """Income in bands: the exact figure is a quasi-identifier and stays with the originator."""
    income = frame["income"].to_numpy(dtype=float, na_value=np.nan)
    edges = INCOME_BAND_EDGES
    names = [f"< {edges[0] // 1000}k"]
    names += [f"{low // 1000}k–{high // 1000}k" for low, high in pairwise(edges)]
    names += [f"≥ {edges[-1] // 1000}k"]
    index = np.searchsorted(np.asarray(edges, dtype=float), income, side="right")
    return [names[i] if value == value else "" for i, value in zip(index, income, strict=True)]
