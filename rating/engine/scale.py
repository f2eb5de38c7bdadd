"""The project's own indicative scale: expected loss and horizon to a grade.

Indicative grades are no agency's ratings. Derivation: the scale is a plane in (notch, log horizon), fixed by
four round numbers that we chose, and by nothing else:

    ln EL(n, T) = ln B(n) + g(n) ln(T / 10),   T in years, n = 0 (AAA) .. 16 (CCC)
    ln B(n) linear in n from ln 0.0001 (AAA: one basis point over ten years)
                        to   ln 0.30   (CCC: thirty per cent over ten years): each notch is 1.65 times the last;
    g(n)    linear in n from 2.5 (AAA) to 0.5 (CCC).

Why the exponent g falls: a strong class can lose only after the pool has worsened for years, so its loss is
back-loaded and grows faster than time; a weak class loses early and then saturates, as the square root of time.
EL(n, T) is the largest expected loss that still earns grade n at horizon T. It rises in n for every T up to
10 exp(ln 1.65 / 0.125) > 500 years and rises in T for every n, and is capped at 1. Compared in a test, and
only there, with published idealised tables: the same order of magnitude.
"""

from __future__ import annotations

import math

GRADES = (
    "AAA", "AA+", "AA", "AA-", "A+", "A", "A-", "BBB+", "BBB", "BBB-", "BB+", "BB", "BB-", "B+", "B", "B-", "CCC",
)  # fmt: skip

SCALE_VERSION = "indicative-1"
ANCHOR_YEARS = 10.0
BEST_EL, WORST_EL = 1e-4, 0.30
BEST_EXPONENT, WORST_EXPONENT = 2.5, 0.5
# Below one month a horizon means nothing for a monthly simulation.
MIN_YEARS = 1.0 / 12.0
LOSS_GIVEN_DEFAULT = 0.55


def bound_of(grade: str, years: float) -> float:
    """Largest expected loss (fraction of the balance) that earns the grade at a horizon in years > 0.

    Raises ValueError for an unknown grade or a horizon that is not positive and finite.
    """
    if grade not in GRADES:
        raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    if not (math.isfinite(years) and years > 0):
        raise ValueError(f"years: {years} is not a positive horizon")
    place = GRADES.index(grade) / (len(GRADES) - 1)
    log_anchor = math.log(BEST_EL) + place * math.log(WORST_EL / BEST_EL)
    exponent = BEST_EXPONENT + place * (WORST_EXPONENT - BEST_EXPONENT)
    return min(1.0, math.exp(log_anchor + exponent * math.log(max(years, MIN_YEARS) / ANCHOR_YEARS)))


def grade_of(expected_loss: float, years: float) -> str:
    """Best grade whose bound at the horizon is not exceeded; CCC, the lowest, has no upper bound."""
    if not (math.isfinite(expected_loss) and expected_loss <= 1.0):
        raise ValueError(f"expected_loss: {expected_loss} is not a fraction of the balance")
    for grade in GRADES[:-1]:
        if expected_loss <= bound_of(grade, years):
            return grade
    return GRADES[-1]


def pd_bound_of(grade: str, years: float) -> float:
    """The default-probability ladder beside it, EL / 0.55: an assumption, shown as such."""
    return min(1.0, bound_of(grade, years) / LOSS_GIVEN_DEFAULT)
