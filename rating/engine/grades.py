"""The grade of a class from its rules: expected loss, default probability, multiple of base-case loss, short history.

Indicative grades are no agency's ratings. Derivation of the multiples, our own, from three round numbers:

    M(n) = 5 x (1.2 / 5)^(n / 14),  n = 0 (AAA) .. 14 (B): log-linear in the notch, each 0.903 of the last;
    AAA 5.00  AA 4.08  A 3.00  BBB 2.21  BB 1.63  B 1.20; B- follows the same line (1.08); CCC needs none.
    stressed loss(n, L) = L M(n)^s,  s = 1 for a base-case loss L <= 10 %, else ln L / ln 0.10.

Why: the worst of the issue years 2007-2010 of 36-month consumer loans defaulted 1.4 times as often as their mean (26,
21, 14, 11 %): a B class survives less than that, a BB class a little more, AAA three and a half times as much, for
what no model draws. Why s: a pool cannot lose five times a third of itself. Beyond 10 % the multiple falls as a power
of the loss: the stressed loss still rises with L (its exponent is 1 + ln M / ln 0.10 > 0) and stays below the pool.
Where it exceeds what the pool can lose at its severity, surviving that much is enough.

Caps for short history, our own: hazards that rest on less than three years, or on a borrowed curve, have not seen a
cohort of 36-month loans from end to end: nothing above the A category, A+. Less than five years: not one full credit
cycle: AA. Parameter uncertainty widens the losses beside it; the cap is for what the posterior itself cannot know.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics import ClassFlows, class_losses
from rating.engine.scale import GRADES, pd_bound_of
from rating.engine.statistics import Estimate, quantile_estimate

FloatArray = NDArray[np.float64]

RULES_VERSION = "indicative-rules-1"
BEST_MULTIPLE, B_MULTIPLE = 5.0, 1.2
PIVOT_LOSS = 0.10
# CCC, the last, has no multiple.
MULTIPLE_GRADES = GRADES[:-1]
# months of experience below which the best grade is ...
HISTORY_CAPS: tuple[tuple[int, str], ...] = ((36, "A+"), (60, "AA"))


@dataclass(frozen=True)
class Cap:
    """grade: the best that stands. reason: a sentence."""

    grade: str
    reason: str


def worse_of(*grades: str | None) -> str:
    """The worst of the grades, those that are None left out. Raises ValueError for no grade, or an unknown one."""
    known = [grade for grade in grades if grade is not None]
    for grade in known:
        if grade not in GRADES:
            raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    if not known:
        raise ValueError("grades: none given")
    return max(known, key=GRADES.index)


def multiple_of(grade: str, base_loss: float = 0.0) -> float:
    """The multiple of base-case loss that a class of the grade has to survive; see above. CCC: 0.

    base_loss: share of the cut-off balance. Raises ValueError for an unknown grade or a loss outside 0 to 1.
    """
    if grade not in GRADES:
        raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    if not 0.0 <= base_loss <= 1.0:
        raise ValueError(f"base_loss: {base_loss} lies outside 0 to 1")
    if grade not in MULTIPLE_GRADES:
        return 0.0
    flat = BEST_MULTIPLE * (B_MULTIPLE / BEST_MULTIPLE) ** (GRADES.index(grade) / GRADES.index("B"))
    return float(flat ** (1.0 if base_loss <= PIVOT_LOSS else math.log(base_loss) / math.log(PIVOT_LOSS)))


def stressed_losses(base_loss: float, most: float) -> FloatArray:
    """(16,) pool losses that grades AAA to B- have to survive, no more than `most`, what the pool can lose at all."""
    return np.array([min(multiple_of(grade, base_loss) * base_loss, most) for grade in MULTIPLE_GRADES])


def grades_by_multiple(stressed: ClassFlows, *, deferrable: Collection[str] = ()) -> dict[str, str]:
    """Best grade of each class by the multiple rule: it survives that grade's loss and every smaller one.

    stressed: the deal on 16 paths, scenario n the base case scaled to the loss of grade n (stressed_losses). A class
    survives with no dollar of principal loss or interest shortfall. Raises ValueError for another number of paths.
    """
    losses = class_losses(stressed, deferrable=deferrable)
    held = ~losses.broken()
    if held.shape[1] != len(MULTIPLE_GRADES):
        raise ValueError(f"stressed: {held.shape[1]} paths, expected {len(MULTIPLE_GRADES)}, one a grade")
    # From the weakest stress up, until the first that hurts.
    depth = np.cumprod(held[:, ::-1], axis=1).sum(axis=1)
    return {name: GRADES[len(MULTIPLE_GRADES) - int(depth[k])] for k, name in enumerate(losses.names)}


def grade_of_break_even(break_even_loss: float | None, base_loss: float) -> str:
    """The same from a break-even loss, None where no loss hurts the class: best grade whose loss is not above it."""
    if break_even_loss is None:
        return GRADES[0]
    for grade in MULTIPLE_GRADES:
        if multiple_of(grade, base_loss) * base_loss <= break_even_loss:
            return grade
    return GRADES[-1]


def history_cap(history_months: int) -> Cap | None:
    """The best grade that so many months of experience can carry, None from five years on.

    Raises ValueError where negative.
    """
    if history_months < 0:
        raise ValueError(f"history_months: {history_months} is negative")
    for months, grade in HISTORY_CAPS:
        if history_months < months:
            seen = (
                f"{history_months} months of experience, fewer than {months},"
                if history_months
                else "no experience of the pool's own kind, only a borrowed curve,"
            )
            return Cap(grade, f"{seen} carry no grade above {grade}")
    return None


def capped_targets(targets: Mapping[str, str], cap: Cap | None) -> tuple[dict[str, str], dict[str, str]]:
    """Targets no better than the cap, and for each one that was lowered a sentence."""
    if cap is None:
        return dict(targets), {}
    reached = {name: worse_of(grade, cap.grade) for name, grade in targets.items()}
    notes = {
        name: f"class {name} aims at {cap.grade} instead of {grade}: {cap.reason}"
        for name, grade in targets.items()
        if reached[name] != grade
    }
    return reached, notes


def scenario_rate(rates: ArrayLike, weights: ArrayLike, grade: str, years: float) -> Estimate | None:
    """Scenario default (or loss) rate of a grade: the quantile of (S,) pool rates exceeded with the grade's PD.

    PD at the horizon in years from the ladder of the scale. None where the grade's PD is 1 (nothing to survive).
    reached False: the tail of the scenario set ends before that quantile, the figure is its last scenario.
    """
    probability = 1.0 - pd_bound_of(grade, years)
    return quantile_estimate(rates, weights, probability) if probability > 0.0 else None
