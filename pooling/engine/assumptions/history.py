"""Speeds seen in the past, from pool factors: SMM, CPR, PSA and ABS.

Source: Standard Formulas, Bond Market Association (now SIFMA), 1999, SF-6 to SF-13. A factor is the balance that is
left over the original balance; a scheduled factor is the one without prepayment.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from pooling.engine.assumptions.speeds import monthly_rate, psa_to_cpr

FloatArray = NDArray[np.float64]

_FASTEST_PSA = 1.0 / 0.06  # where the CPR of an old loan is 100 %


def smm_from_balances(actual: float, scheduled: float, months: int = 1) -> float:
    """Average SMM of `months` months (SF-8): 1 - (actual / scheduled)^(1 / months).

    actual: balance at the end; scheduled: the balance had nobody prepaid, from the actual balance at the start. Of
    several pools: their sums (SF-11). Raises ValueError for balances that are not positive.
    """
    for name, balance in (("actual", actual), ("scheduled", scheduled)):
        if not balance > 0.0:
            raise ValueError(f"{name}: {balance} must be above 0")
    if months < 1:
        raise ValueError(f"months: {months} must be at least 1")
    return float(1.0 - (actual / scheduled) ** (1.0 / months))


def smm_from_factors(
    factor_before: float, factor_after: float, scheduled_before: float, scheduled_after: float, months: int = 1
) -> float:
    """Average SMM between two pool factors `months` months apart (SF-6), given the scheduled factors of both dates."""
    return smm_from_balances(factor_after, factor_before * scheduled_after / scheduled_before, months)


def abs_from_factors(
    factor_before: float,
    factor_after: float,
    scheduled_before: float,
    scheduled_after: float,
    age_before: int,
    age_after: int,
) -> float:
    """ABS speed between two pool factors (SF-13): (q - r) / (age_before q - age_after r).

    q: ratio of the factors; r: of the scheduled factors.
    The ages are those of the formula's table: in the month after an age a, the loan prepays at age a.
    """
    quotient, scheduled = factor_after / factor_before, scheduled_after / scheduled_before
    return float((quotient - scheduled) / (age_before * quotient - age_after * scheduled))


def psa_from_balances(start: ArrayLike, scheduled: ArrayLike, ages: ArrayLike, actual: float) -> float:
    """The one PSA speed that leads several pools to their actual balance together (SF-12, found by iteration).

    start, ages: (P,) balance of each pool at the start and its age in the first month. scheduled: (P, T) fraction of
    that balance left by schedule after 1 to T months. actual: balance of all pools after T months.
    Raises ValueError when no speed from 0 to a CPR of 100 % does so.
    """
    balance, left = np.asarray(start, dtype=np.float64), np.asarray(scheduled, dtype=np.float64)
    months = np.arange(left.shape[1])
    age = np.asarray(ages, dtype=np.int64)[:, None] + months[None, :]

    def gap(psa: float) -> float:
        survivors = np.prod(1.0 - monthly_rate(psa_to_cpr(psa, age)), axis=1)
        return float(balance @ (left[:, -1] * survivors)) - actual

    low, high = gap(0.0), gap(_FASTEST_PSA)
    if low < 0.0 or high > 0.0:
        raise ValueError(f"actual: {actual} lies outside the balances any PSA speed leads to; check the factors")
    return float(brentq(gap, 0.0, _FASTEST_PSA, xtol=1e-12))
