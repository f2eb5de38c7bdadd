"""Stratification tables: a pool by grade, term, bands of rate, balance, score and age, state and purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UNKNOWN = "unknown"

# Lower edges of bands; a value belongs to the band whose lower edge it reaches. Rates are fractions, balances
# currency units, scores points, ages months.
BANDS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "rate": (0.0, 0.06, 0.08, 0.10, 0.12, 0.14, 0.16, 0.20, 0.25, 0.30),
        "balance": (0.0, 2_500.0, 5_000.0, 10_000.0, 15_000.0, 20_000.0, 25_000.0, 35_000.0),
        "score": (0.0, 600.0, 640.0, 660.0, 680.0, 700.0, 720.0, 740.0, 760.0, 800.0),
        "age": (0.0, 1.0, 6.0, 12.0, 24.0, 36.0, 48.0),
    }
)
DIMENSIONS = ("grade", "term", "rate", "balance", "score", "age", "state", "purpose")


@dataclass(frozen=True)
class Stratum:
    """One row: name, number of loans, balance in cents, share of the pool's balance, and by balance the
    weighted average coupon (annual fraction) and remaining term (months)."""

    name: str
    count: int
    balance_cents: int
    share: float
    wac: float
    wam: float


@dataclass(frozen=True)
class StratTable:
    """A pool by one dimension; strata in their natural order, by balance for state and purpose, unknown last.

    total: the whole pool. The counts and balances of the strata add up to it exactly.
    """

    dimension: str
    strata: tuple[Stratum, ...]
    total: Stratum


def stratify(frame: pd.DataFrame, dimension: str, edges: Sequence[float] | None = None) -> StratTable:
    """Table of a pool frame (tapes.alignment.pool_frame) by a dimension.

    edges: lower band edges, ascending, in place of BANDS. Raises ValueError for an unknown dimension, edges
    that do not ascend or an empty pool.
    """
    if dimension not in DIMENSIONS:
        raise ValueError(f"dimension: {dimension!r} is not one of {', '.join(DIMENSIONS)}")
    balance = frame["balance_cents"].to_numpy(dtype=np.int64)
    if balance.sum() <= 0:
        raise ValueError(f"balance_cents: the pool's balance is {balance.sum()}")
    codes, names = _strata(frame, dimension, edges)
    rate, remaining = frame["rate"].to_numpy(dtype=float), frame["remaining_term"].to_numpy(dtype=float)
    rows = [_stratum(name, codes == i, balance, rate, remaining) for i, name in enumerate(names)]
    rows = [row for row in rows if row.count]
    if dimension in ("state", "purpose"):
        rows.sort(key=lambda row: (row.name == UNKNOWN, -row.balance_cents, row.name))
    total = _stratum("total", np.ones(len(frame), dtype=bool), balance, rate, remaining)
    return StratTable(dimension, tuple(rows), total)


def stratify_all(frame: pd.DataFrame) -> tuple[StratTable, ...]:
    """One table for every dimension of which the pool knows anything."""
    tables = [stratify(frame, dimension) for dimension in DIMENSIONS]
    return tuple(table for table in tables if [row.name for row in table.strata] != [UNKNOWN])


def _strata(frame: pd.DataFrame, dimension: str, edges: Sequence[float] | None) -> tuple[NDArray[np.int64], list[str]]:
    """(n,) stratum index per loan and the names, the last of which is UNKNOWN."""
    if dimension in BANDS:
        lower = np.asarray(BANDS[dimension] if edges is None else edges, dtype=float)
        if len(lower) == 0 or np.any(np.diff(lower) <= 0):
            raise ValueError(f"edges: {list(lower)} do not ascend")
        source = "balance_cents" if dimension == "balance" else dimension
        values = frame[source].to_numpy(dtype=float) / (100.0 if dimension == "balance" else 1.0)
        names = _band_names(dimension, lower)
        codes = np.searchsorted(lower, values, side="right")
        return np.where(np.isnan(values), len(names), codes).astype(np.int64), [*names, UNKNOWN]
    if edges is not None:
        raise ValueError(f"edges: {dimension} has no bands")
    if dimension == "term":
        terms, codes = np.unique(frame["term"].to_numpy(dtype=np.int64), return_inverse=True)
        return codes.astype(np.int64), [*(f"{term} months" for term in terms), UNKNOWN]
    texts = frame[dimension].to_numpy(dtype=str)
    labels = [str(name) for name in np.unique(texts) if name]
    index = {name: i for i, name in enumerate(labels)}
    codes = np.array([index.get(str(text), len(labels)) for text in texts], dtype=np.int64)
    return codes, [*labels, UNKNOWN]


def _band_names(dimension: str, lower: NDArray[np.float64]) -> list[str]:
    def show(edge: float) -> str:
        return f"{edge * 100:g} %" if dimension == "rate" else f"{edge:,g}"

    shown = [show(float(edge)) for edge in lower]
    between = [f"{a} to below {b}" for a, b in pairwise(shown)]
    return [f"below {shown[0]}", *between, f"{shown[-1]} and above"]


def _stratum(
    name: str,
    chosen: NDArray[np.bool_],
    balance: NDArray[np.int64],
    rate: NDArray[np.float64],
    remaining: NDArray[np.float64],
) -> Stratum:
    held = balance[chosen]
    total = int(held.sum())
    weights = held.astype(float)
    return Stratum(
        name=name,
        count=int(chosen.sum()),
        balance_cents=total,
        share=total / int(balance.sum()),
        wac=float(weights @ rate[chosen]) / total if total else 0.0,
        wam=float(weights @ remaining[chosen]) / total if total else 0.0,
    )
