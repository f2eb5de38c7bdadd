"""Actual against expected: where a pool's losses stand in what was predicted of them, and what deserves a second look.

Pure comparisons of figures that others made. Not here: the re-rating (pricing/rerating.py), roll rates
(transitions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rating.engine.scale import GRADES

FloatArray = NDArray[np.float64]

# The band that an actual loss is judged by: 90 % of the predicted weight lies in it.
BAND = (0.05, 0.95)
# A trigger with no more room than this share of its level is near it.
NEAR = 0.10


@dataclass(frozen=True, eq=False)
class ActualExpected:
    """Cumulative net loss as a share of the cut-off balance, T months, (T,) each.

    actual; expected: the predicted mean; low, high: ends of the band; percentile: share of the predicted weight that
    lost no more than the actual, interpolated between the predicted quantiles; bounded: -1 where the actual lies below
    the lowest of them (percentile is then an upper bound), 1 at or above the highest (a lower bound), else 0. NaN where
    the prediction is one figure and the actual is that: nothing could have been lost yet.
    """

    actual: FloatArray
    expected: FloatArray
    low: FloatArray
    high: FloatArray
    percentile: FloatArray
    bounded: NDArray[np.int64]

    @property
    def above(self) -> NDArray[np.bool_]:
        """(T,) whether the actual loss lies above the band."""
        return np.asarray(self.actual > self.high)


def actual_against_expected(
    charge_off: ArrayLike,
    recovery: ArrayLike,
    cutoff_balance: float,
    *,
    mean: ArrayLike,
    levels: Sequence[float],
    quantiles: ArrayLike,
) -> ActualExpected:
    """Set the losses of T months beside what was predicted for M.

    charge_off, recovery: (T,) in the month, unit of cutoff_balance. mean: (M,), quantiles: (P, M) of the cumulative
    loss share at the P ascending levels, which hold both ends of the band. Beyond M the last month's prediction stands.
    Raises ValueError for shapes that do not fit and a band that is not among the levels.
    """
    lost = np.asarray(charge_off, dtype=np.float64) - np.asarray(recovery, dtype=np.float64)
    table, ladder = np.asarray(quantiles, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    expected = np.asarray(mean, dtype=np.float64)
    if table.shape != (len(ladder), len(expected)) or not len(expected):
        raise ValueError(f"quantiles: shape {table.shape}, expected ({len(ladder)}, {len(expected)})")
    missing = [level for level in BAND if level not in ladder.tolist()]
    if missing or (np.diff(ladder) <= 0).any():
        raise ValueError(f"levels: {list(levels)} must ascend and hold {BAND[0]} and {BAND[1]}")
    if not cutoff_balance > 0:
        raise ValueError(f"cutoff_balance: {cutoff_balance} must be above 0")
    actual = np.cumsum(lost) / cutoff_balance
    month = np.minimum(np.arange(len(actual)), len(expected) - 1)
    places = [_percentile(actual[t], table[:, month[t]], ladder) for t in range(len(actual))]
    low, high = (table[ladder.tolist().index(level)][month] for level in BAND)
    return ActualExpected(
        actual=actual,
        expected=expected[month],
        low=low,
        high=high,
        percentile=np.array([place for place, _ in places]),
        bounded=np.array([side for _, side in places], dtype=np.int64),
    )


def _percentile(actual: float, quantiles: FloatArray, levels: FloatArray) -> tuple[float, int]:
    if quantiles[0] == quantiles[-1] == actual:
        return float("nan"), 0
    above = int(np.searchsorted(quantiles, actual, side="right"))
    if above == 0:
        return float(levels[0]), -1
    if above == len(levels):
        return float(levels[-1]), 1
    low, high = quantiles[above - 1], quantiles[above]
    share = (actual - low) / (high - low)
    return float(levels[above - 1] + share * (levels[above] - levels[above - 1])), 0


# ------------------------------------------------------------------------------------------------- watch list
@dataclass(frozen=True)
class ClassGrades:
    """A class with the grade it was issued with and the latest; None: paid in full."""

    name: str
    issued: str
    now: str | None


@dataclass(frozen=True)
class TriggerRoom:
    """The latest reading of a trigger, as the waterfall's trigger_readings gives it."""

    name: str
    condition: str
    room: float | None
    breached: bool


@dataclass(frozen=True)
class Watched:
    """kind: "class", "trigger" or "loss"; subject: which; sentence: why it is watched."""

    kind: str
    subject: str
    sentence: str


def watch_list(
    classes: Iterable[ClassGrades], triggers: Iterable[TriggerRoom], loss: ActualExpected | None
) -> tuple[Watched, ...]:
    """What deserves a second look: classes below their issued grade, triggers breached or near, losses above the band.

    Raises ValueError for a grade that is not on the indicative scale.
    """
    found = [Watched("class", each.name, _lower(each)) for each in classes if _notches(each) > 0]
    for test in triggers:
        if test.breached:
            found.append(Watched("trigger", test.name, f"Trigger {test.name} is breached ({test.condition})."))
        elif test.room is not None and test.room <= NEAR:
            left = f"{max(test.room, 0.0):.1%} of it is left"
            sentence = f"Trigger {test.name} is within {NEAR:.0%} of its level: {left} ({test.condition})."
            found.append(Watched("trigger", test.name, sentence))
    if loss is not None and len(loss.actual) and bool(loss.above[-1]):
        found.append(
            Watched(
                "loss",
                "pool",
                f"The cumulative net loss of {loss.actual[-1]:.2%} after {len(loss.actual)} months lies above the"
                f" predicted {BAND[1] - BAND[0]:.0%} band, {loss.low[-1]:.2%} to {loss.high[-1]:.2%}.",
            )
        )
    return tuple(found)


def _notches(each: ClassGrades) -> int:
    """How far the class has fallen; 0 or less where it has not."""
    for grade in (each.issued, each.now):
        if grade is not None and grade not in GRADES:
            raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    return 0 if each.now is None else GRADES.index(each.now) - GRADES.index(each.issued)


def _lower(each: ClassGrades) -> str:
    fallen = _notches(each)
    return f"Class {each.name} re-rates at {each.now}, {fallen} notch{'es' if fallen > 1 else ''} below {each.issued}."
