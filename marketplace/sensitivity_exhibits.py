"""What the sensitivities page shows: rows of the stored result as texts, and its tables as files.

Nothing is decided here about who may see it, and nothing is computed again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.exhibits import LAST_COLOUR

Result = Mapping[str, Any]
TABLES = ("tornado", "matrix", "movers", "reverse")
# The words of a driver: what it is, and how a size of it is written.
DRIVER_WORDS = {
    "pd": "Default hazards",
    "recovery": "Recoveries",
    "correlation": "Asset correlation",
    "prepayment": "Prepayment hazards",
}


def size_text(kind: str, size: float) -> str:
    """A size of a driver: a multiplier, or points of correlation."""
    return f"+{100 * size:.2f} points" if kind == "correlation" else f"× {size:.3g}"


@dataclass(frozen=True)
class TornadoRow:
    """One stress. cells: (class, grade, notches, EL, EL over the base case's)."""

    label: str
    pool_loss: float
    cells: tuple[Mapping[str, Any], ...]

    @property
    def reach(self) -> int:
        """The most notches that any class moves."""
        return max((abs(cell["notches"]) for cell in self.cells), default=0)


@dataclass(frozen=True)
class ClassSeries:
    """One class in a chart: its name, seniority, and a value by stress, None where there is none to draw."""

    name: str
    slot: int
    values: tuple[float | None, ...]


def tornado_rows(result: Result) -> list[TornadoRow]:
    """Stresses, the widest first; equal ones in the order of the run."""
    base = {row["name"]: row for row in result["base"]["classes"]}
    rows = [
        TornadoRow(
            label=row["stress"]["label"],
            pool_loss=row["pool_loss"],
            cells=tuple(
                cell | {"multiple": _ratio(cell["expected_loss"], base[cell["name"]]["expected_loss"])}
                for cell in row["classes"]
            ),
        )
        for row in result["tornado"]
    ]
    return sorted(rows, key=lambda row: -row.reach)


def _ratio(value: float, base: float) -> float | None:
    return value / base if base > 0 and value > 0 else None


def tornado_bars(rows: Sequence[TornadoRow], what: str) -> list[ClassSeries]:
    """One series a class for the charts. what: "notches" or "multiple"."""
    if not rows:
        return []
    return [
        ClassSeries(cell["name"], slot, tuple(row.cells[slot][what] for row in rows))
        for slot, cell in enumerate(rows[0].cells)
    ]


def matrix_tables(result: Result) -> list[dict[str, Any]]:
    """One table a class: heads of the columns, and rows of (head, cells); a cell knows whether it is the base case."""
    found = result["matrix"]
    tables = []
    for slot, cell in enumerate(result["base"]["classes"]):
        grades = found["grades"][cell["name"]]
        rows = [
            (
                f"× {pd:g}",
                [
                    {"grade": grade, "own": pd == 1.0 and recovery == 1.0}
                    for recovery, grade in zip(found["recovery"], row, strict=True)
                ],
            )
            for pd, row in zip(found["pd"], grades, strict=True)
        ]
        heads = [f"× {each:g}" for each in found["recovery"]]
        tables.append({"name": cell["name"], "slot": min(slot, LAST_COLOUR), "heads": heads, "rows": rows})
    return tables


def mover_rows(result: Result) -> list[dict[str, Any]]:
    """One row a driver and direction, a text for each class in the order of the base case."""
    names = [cell["name"] for cell in result["base"]["classes"]]
    rows: dict[tuple[str, float], dict[str, Mapping[str, Any]]] = {}
    for mover in result["movers"]:
        rows.setdefault((mover["kind"], mover["end"]), {})[mover["name"]] = mover
    return [
        {
            "driver": DRIVER_WORDS.get(kind, kind),
            "end": size_text(kind, end),
            "cells": [_mover_text(found.get(name)) for name in names],
        }
        for (kind, end), found in rows.items()
    ]


def _mover_text(mover: Mapping[str, Any] | None) -> dict[str, Any]:
    if mover is None:
        return {"text": "—", "grade": ""}
    if mover["moved"] is None:
        return {"text": f"not within {size_text(mover['kind'], mover['end'])}", "grade": ""}
    return {"text": size_text(mover["kind"], mover["moved"]), "grade": f"{mover['base']} to {mover['grade']}"}


def reverse_rows(result: Result) -> list[dict[str, Any]]:
    """One row a class: the mildest scenario that hurts it, and the flat speeds that do."""
    flat = {row["name"]: row for row in result["reverse"]["flat"]}
    return [{"mildest": row, "flat": flat.get(row["name"], {})} for row in result["reverse"]["mildest"]]


def severities(result: Result) -> list[str]:
    """Severities at which break-even CDRs are given, ascending, as the result writes them."""
    flat = result["reverse"]["flat"]
    return sorted(flat[0]["by_severity"], key=float) if flat else []


def table_csv(result: Result, table: str) -> str:
    """One of TABLES as CSV; fractions, multipliers and years as numbers, nothing rounded."""
    out = io.StringIO()
    csv.writer(out).writerows(_LINES[table](result))
    return out.getvalue()


def _tornado_lines(result: Result) -> list[list[Any]]:
    lines: list[list[Any]] = [
        ["stress", "pool_loss", "class", "grade", "notches", "pd", "expected_loss", "wal_years"]
    ]
    for row in (result["base"], *result["tornado"]):
        for cell in row["classes"]:
            values = [cell[key] for key in ("name", "grade", "notches", "pd", "expected_loss", "wal_years")]
            lines.append([row["stress"]["label"], row["pool_loss"], *values])
    return lines


def _matrix_lines(result: Result) -> list[list[Any]]:
    found = result["matrix"]
    lines: list[list[Any]] = [["class", "pd_multiplier", "recovery_multiplier", "grade", "expected_loss", "pool_loss"]]
    for name, grades in found["grades"].items():
        for i, pd in enumerate(found["pd"]):
            for j, recovery in enumerate(found["recovery"]):
                loss = found["expected_loss"][name][i][j]
                lines.append([name, pd, recovery, grades[i][j], loss, found["pool_loss"][i][j]])
    return lines


def _mover_lines(result: Result) -> list[list[Any]]:
    keys = ("kind", "end", "name", "base", "held", "moved", "grade", "notches", "tested")
    return [list(keys), *([row[key] for key in keys] for row in result["movers"])]


def _reverse_lines(result: Result) -> list[list[Any]]:
    rows = reverse_rows(result)
    factors = sorted({key for row in rows for key in (row["mildest"]["factors"] or {})})
    means = ("default_level", "prepayment", "severity", "market", "loss", "default_rate")
    speeds = ("cdr", "cpr_up", "cpr_down", "severity")
    heads = ["class", "distance", "tail", "source", "failing", "probability", *means]
    lines: list[list[Any]] = [
        [*heads, *(f"factor {key}" for key in factors), *(f"flat {key}" for key in speeds)]
    ]
    for row in rows:
        found = row["mildest"]
        lines.append(
            [found["name"], *(found[key] for key in ("distance", "tail", "source", "failing", "probability"))]
            + [(found["means"] or {}).get(key) for key in means]
            + [(found["factors"] or {}).get(key) for key in factors]
            + [row["flat"].get(key) for key in speeds]
        )
    return lines


_LINES = {"tornado": _tornado_lines, "matrix": _matrix_lines, "movers": _mover_lines, "reverse": _reverse_lines}
