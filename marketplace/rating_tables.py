"""The figures behind the rating page's charts, as CSV: fractions and years as numbers, nothing rounded."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Result = Mapping[str, Any]
Lines = Iterator[list[Any]]


def rating_csv(result: Result, table: str) -> str:
    """One of TABLES of a rating result. Raises KeyError for another name."""
    out = io.StringIO()
    csv.writer(out).writerows(TABLES[table](result))
    return out.getvalue()


def _losses(result: Result) -> Lines:
    """The histogram of the pool's lifetime loss."""
    yield ["loss_from", "loss_to", "probability"]
    found = result["simulation"]["histogram"]
    edges = found["edges"]
    for low, high, mass in zip(edges, edges[1:], found["mass"], strict=False):
        yield [low, high, mass]


def _months(result: Result) -> Lines:
    """Cumulative loss by month: mean, its simulation error, quantiles over scenarios."""
    found = result["simulation"].get("by_month") or {"month": [], "mean": [], "se": [], "quantiles": {}}
    levels = sorted(found["quantiles"], key=float)
    yield ["month", "mean", "se", *(f"quantile_{level}" for level in levels)]
    for place, month in enumerate(found["month"]):
        at = [found["quantiles"][level][place] for level in levels]
        yield [month, found["mean"][place], found["se"][place], *at]


def _balances(result: Result) -> Lines:
    """Pool, reserve and classes of the base case by month, currency units."""
    found = result["collateral"]
    names = list(found["balances"])
    yield ["month", "pool", "reserve", *names]
    for place, month in enumerate(found["month"]):
        rest = [found["balances"][name][place] for name in names]
        yield [month, found["pool_balance"][place], found["reserve"][place], *rest]


def _classes(result: Result) -> Lines:
    """Every single figure of every class; what has parts stands in the report."""
    rows = result["tranches"]
    keys = sorted({key for row in rows for key, value in row.items() if not isinstance(value, dict | list)} - {"name"})
    yield ["class", *keys]
    for row in rows:
        yield [row["name"], *(row.get(key) for key in keys)]


TABLES: Mapping[str, Callable[[Result], Lines]] = {
    "losses": _losses,
    "months": _months,
    "balances": _balances,
    "classes": _classes,
}
