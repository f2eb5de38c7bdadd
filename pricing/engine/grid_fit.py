"""The market grid, fitted to new issues that were filed: ln s = deal + rating + b ln WAL, and how well it predicts.

Arrays and rows in, a frozen fit out; nothing is read here. A deal's effect is the level of its day and issuer, the
rating's a step over AAA, and b how the spread rises with life.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LETTERS = ("AAA", "AA", "A", "BBB")
COLUMNS = (
    "deal", "pricing_date", "asset", "speed", "benchmark", "class", "rating", "wal_y", "spread_bp", "yield_pct",
    "coupon_pct", "price", "source",
)  # fmt: skip
BP = 1e-4


@dataclass(frozen=True)
class Comparable:
    """A class of a filed new issue. priced: the last day of a range. wal: years. spread: over the
    sheet's benchmark, annual fraction. source: where the sheet is."""

    deal: str
    name: str
    priced: dt.date
    asset: str
    rating: str
    wal: float
    spread: float
    source: str

    @property
    def letter(self) -> str | None:
        """The rating without its notch; None for money-market classes (A-1+) and below BBB, which the grid does not
        hold."""
        letter = self.rating.rstrip("+-")
        return letter if letter in LETTERS and not self.rating.startswith("A-1") else None


def read_comparables(text: str) -> tuple[Comparable, ...]:
    """Comparables of a CSV with the columns COLUMNS; lines that begin with # are notes.

    Raises ValueError naming the column, or the row (1 is the first below the header) and the mend.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    rows = csv.DictReader(io.StringIO("\n".join(lines)))
    given = set(rows.fieldnames or ())
    if given != set(COLUMNS):
        unknown, missing = sorted(given - set(COLUMNS)), sorted(set(COLUMNS) - given)
        raise ValueError(f"comparables: unknown columns {unknown}, missing columns {missing}")
    return tuple(_comparable(number, row) for number, row in enumerate(rows, start=1))


def _comparable(number: int, row: dict[str, str]) -> Comparable:
    def positive(column: str) -> float:
        try:
            value = float(row[column])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{column}: row {number} has {row[column]!r}; give a number above 0")
        return value

    # "2025-11-18~25" was priced between those days of the month: the later one counts.
    first, _, later = row["pricing_date"].partition("~")
    try:
        priced = dt.date.fromisoformat(first[: len(first) - len(later)] + later)
    except ValueError:
        mend = "give YYYY-MM-DD, or YYYY-MM-DD~DD for a range"
        raise ValueError(f"pricing_date: row {number} has {row['pricing_date']!r}; {mend}") from None
    return Comparable(
        deal=row["deal"],
        name=row["class"],
        priced=priced,
        asset=row["asset"],
        rating=row["rating"],
        wal=positive("wal_y"),
        spread=positive("spread_bp") * BP,
        source=row["source"],
    )


@dataclass(frozen=True)
class GridFit:
    """Least squares of ln s on deal, rating step and ln WAL.

    rows: the N comparables fitted. deals: (D,), levels: (D,) ln s of AAA at one year; steps: rating -> multiple of AAA;
    exponent: b, exponent_error its standard error. deviation: residual standard deviation of ln s. fitted: (N,)
    spreads, annual fractions. left_out: (N,) relative error of each when the fit does not know it, NaN where its deal
    has no other class. leverage: (N,) diagonal of the hat matrix.
    """

    rows: tuple[Comparable, ...]
    deals: tuple[str, ...]
    levels: FloatArray
    steps: dict[str, float]
    exponent: float
    exponent_error: float
    deviation: float
    fitted: FloatArray
    left_out: FloatArray
    leverage: FloatArray

    @property
    def median_left_out(self) -> float:
        """Median of the absolute relative errors with the class left out."""
        return float(np.nanmedian(np.abs(self.left_out)))

    def level(self, deals: Sequence[str]) -> float:
        """Mean of the levels of some deals, ln s of AAA at one year."""
        return float(np.mean([self.levels[self.deals.index(name)] for name in deals]))

    def newest(self, count: int) -> tuple[str, ...]:
        """The deals priced last."""
        days = {row.deal: row.priced for row in self.rows}
        return tuple(sorted(days, key=lambda name: days[name], reverse=True)[:count])

    def spread(self, letter: str, wal: float, level: float) -> float:
        """Spread at a rating and a life (years) on a level; annual fraction."""
        return math.exp(level) * self.steps[letter] * wal**self.exponent


def fit_grid(comparables: Sequence[Comparable]) -> GridFit:
    """Fit the comparables whose rating the grid holds.

    Leaving one out by the hat matrix: e_i / (1 - h_ii) of ln s (Allen's PRESS residual), exact for least squares.
    Raises ValueError where there are too few classes, or a rating is missing.
    """
    rows = tuple(row for row in comparables if row.letter is not None)
    deals = tuple(dict.fromkeys(row.deal for row in rows))
    missing = [letter for letter in LETTERS if letter not in {row.letter for row in rows}]
    if missing:
        raise ValueError(f"comparables: none is rated {missing[0]}; give at least one of each of {', '.join(LETTERS)}")
    if len(rows) <= len(deals) + len(LETTERS):
        raise ValueError(f"comparables: {len(rows)} classes of {len(deals)} deals are too few to fit")
    design = _design(rows, deals)
    log_spread = np.log([row.spread for row in rows])
    inverse = np.linalg.pinv(design.T @ design)
    found = inverse @ design.T @ log_spread
    error = log_spread - design @ found
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design)
    deviation = math.sqrt(float(error @ error) / (len(rows) - design.shape[1]))
    alone = leverage > 1.0 - 1e-9
    unseen = np.where(alone, np.nan, error / np.where(alone, 1.0, 1.0 - leverage))
    steps = {LETTERS[0]: 1.0} | {
        letter: math.exp(found[len(deals) + place]) for place, letter in enumerate(LETTERS[1:])
    }
    return GridFit(
        rows=rows,
        deals=deals,
        levels=found[: len(deals)],
        steps=steps,
        exponent=float(found[-1]),
        exponent_error=deviation * math.sqrt(float(inverse[-1, -1])),
        deviation=deviation,
        fitted=np.exp(design @ found),
        left_out=np.expm1(-unseen),
        leverage=leverage,
    )


def _design(rows: Sequence[Comparable], deals: Sequence[str]) -> FloatArray:
    """(N, D + 4): one column a deal, one a rating step below AAA, ln WAL."""
    by_deal = np.array([[row.deal == deal for deal in deals] for row in rows], dtype=np.float64)
    by_step = np.array([[row.letter == letter for letter in LETTERS[1:]] for row in rows], dtype=np.float64)
    return np.column_stack([by_deal, by_step, np.log([row.wal for row in rows])])


def deal_left_out(comparables: Sequence[Comparable]) -> FloatArray:
    """(N,) relative errors of the fitted classes when the fit has seen of their deal only the AAA classes.

    The steps and the exponent come from all other deals, the level from the deal's own AAA classes: what a market whose
    top is quoted says of its mezzanine. NaN for AAA classes themselves.
    """
    rows = tuple(row for row in comparables if row.letter is not None)
    errors = np.full(len(rows), np.nan)
    for deal in dict.fromkeys(row.deal for row in rows):
        own = [k for k, row in enumerate(rows) if row.deal == deal]
        top = [k for k in own if rows[k].letter == LETTERS[0]]
        if len(top) == len(own) or not top:
            continue
        fit = fit_grid([row for row in rows if row.deal != deal])
        level = float(np.mean([math.log(rows[k].spread) - fit.exponent * math.log(rows[k].wal) for k in top]))
        for k in own:
            if k not in top:
                errors[k] = fit.spread(str(rows[k].letter), rows[k].wal, level) / rows[k].spread - 1.0
    return errors
