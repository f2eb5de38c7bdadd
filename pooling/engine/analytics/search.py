"""Where along one axis rows first break: a grid, then finer grids in the brackets of all rows at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BreakStatus = Literal["found", "never", "at_low"]
_FEWEST = 3  # points inside a bracket: each round divides it by four at least


@dataclass(frozen=True)
class Change:
    """Between two neighbouring values tested, a row breaks, or (broken False) holds again."""

    below: float
    above: float
    broken: bool


@dataclass(frozen=True)
class Break:
    """First change of one row. holds, breaks: neighbouring values tested, in between lies the first break on the grid.

    status "never": the row holds at every value tested (breaks is None); "at_low": it is broken at the lower bound
    (holds is None). monotone: once broken, broken at every higher value tested. changes: all of them, ascending; those
    after the first are as fine as the grid.
    """

    status: BreakStatus
    holds: float | None
    breaks: float | None
    monotone: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Search:
    """rows: one entry a row. tested: (N,) values evaluated, ascending; broken: (R, N). rounds: number of calls."""

    rows: tuple[Break, ...]
    tested: FloatArray
    broken: BoolArray
    rounds: int


def first_breaks(
    broken_at: Callable[[FloatArray], BoolArray],
    low: float,
    high: float,
    *,
    tolerance: float,
    points: int,
    lattice: float | None = None,
) -> Search:
    """First break of every row between low and high, to within tolerance.

    broken_at: (N,) values, ascending, -> (R, N). points: values of the first grid, bounds included, and about as many
    in each later round, shared by the rows still open. lattice: only multiples of it are tested, and the tolerance is
    one of them. A row that breaks and holds again within one step of the first grid can be missed there; else the
    answer is exact to the tolerance.

    Raises ValueError naming the argument.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low: {low} must be below high, {high}, and both finite")
    if not tolerance > 0.0 or (lattice is not None and not lattice > 0.0):
        raise ValueError(f"tolerance: {tolerance} must be above 0, as must a lattice")
    if points < 2:
        raise ValueError(f"points: {points} are no grid; give at least 2")
    tested = _snapped(np.linspace(low, high, points), lattice, low, high)
    if not len(tested):
        raise ValueError(f"low: no multiple of {lattice} lies between {low} and {high}; widen the bounds")
    broken, rounds = broken_at(tested), 1
    while len(new := _refinement(tested, broken, tolerance if lattice is None else lattice, points, lattice)):
        found = broken_at(new)
        order = np.argsort(np.concatenate([tested, new]), kind="stable")
        tested = np.concatenate([tested, new])[order]
        broken = np.concatenate([broken, found], axis=1)[:, order]
        rounds += 1
    return Search(tuple(_row(tested, row) for row in broken), tested, broken, rounds)


def _refinement(tested: FloatArray, broken: BoolArray, width: float, points: int, lattice: float | None) -> FloatArray:
    """New values inside the brackets of all rows that are wider than `width`; none once the search is over."""
    first = broken.argmax(axis=1)
    rights = np.unique(first[broken.any(axis=1) & (first > 0)])
    wide = rights[tested[rights] - tested[rights - 1] > width * (1.0 + 1e-9)]
    if not len(wide):
        return np.empty(0)
    inside = max(_FEWEST, points // len(wide))
    shares = np.arange(1, inside + 1) / (inside + 1)
    left, right = tested[wide - 1], tested[wide]
    new = (left[:, None] + (right - left)[:, None] * shares).ravel()
    return np.setdiff1d(_snapped(new, lattice, tested[0], tested[-1]), tested)


def _snapped(values: FloatArray, lattice: float | None, low: float, high: float) -> FloatArray:
    if lattice is None:
        return np.unique(values)
    multiples = np.unique(np.concatenate([np.floor(values / lattice), np.ceil(values / lattice)])) * lattice
    return multiples[(multiples >= low) & (multiples <= high)]


def _row(tested: FloatArray, broken: BoolArray) -> Break:
    at = np.flatnonzero(broken[1:] != broken[:-1])
    changes = tuple(Change(float(tested[i]), float(tested[i + 1]), bool(broken[i + 1])) for i in at)
    monotone = not np.any(broken[:-1] & ~broken[1:])
    if not broken.any():
        return Break("never", float(tested[-1]), None, monotone, changes)
    first = int(broken.argmax())
    status: BreakStatus = "found" if first else "at_low"
    return Break(status, float(tested[first - 1]) if first else None, float(tested[first]), monotone, changes)
