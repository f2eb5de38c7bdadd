"""Instalments of level and step loans, rounded exactly.

Computed in float64; where that lies too near a tie to be trusted, an exact fraction decides.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np

from pooling.engine.schedules.exact import divide
from pooling.engine.schedules.factors import level_payment
from pooling.engine.schedules.terms import RATE_UNITS, FloatArray, IntArray, Rounding, ScheduleTerms


def first_instalment(principal: IntArray, rate: IntArray, periods: IntArray, terms: ScheduleTerms) -> IntArray:
    """(n,) cents: the instalment that repays principal (n,) in so many periods (n,) at rate (n,) in RATE_UNITS.

    "level": P i / (1 - (1 + i)^-n). "step": P / sum of (1 + g)^floor((t - 1) / k) (1 + i)^-t over t = 1 .. n. At zero
    rate the level instalment is P / n. Rounded to the instalment multiple.
    """
    multiple = terms.instalment_multiple
    if terms.amortisation == "step":
        value = _step(principal, rate, periods, terms)
    else:
        value = level_payment(principal, rate / (RATE_UNITS * terms.periods_per_year), periods)
    rounded = _rounded(value / multiple, principal, rate, periods, terms)
    if terms.amortisation == "level":
        rounded = np.where(rate > 0, rounded, divide(principal, periods * multiple, terms.rounds_instalment))
    return np.asarray(rounded * multiple, dtype=np.int64)


def next_step(instalment: IntArray, terms: ScheduleTerms) -> IntArray:
    """The instalment as last rounded, times 1 + step_rate, rounded to the instalment multiple."""
    growth = RATE_UNITS + round(terms.step_rate * RATE_UNITS)
    multiple = terms.instalment_multiple
    if float(instalment.max(initial=0)) * growth >= float(np.iinfo(np.int64).max):
        raise ValueError(f"step_rate: {terms.step_rate} makes an instalment of more than 64 bits; use a lower rate")
    return multiple * divide(instalment * growth, RATE_UNITS * multiple, terms.rounds_instalment)


def smoothing_step(gap: IntArray, periods: IntArray, terms: ScheduleTerms) -> IntArray:
    """The change of the instalment: gap / periods to the multiple where |gap| exceeds periods / 2 cents, else 0."""
    multiple = terms.instalment_multiple
    step = multiple * divide(gap, periods * multiple, terms.rounds_instalment)
    return np.where(2 * np.abs(gap) > periods, step, 0)


def _step(principal: IntArray, rate: IntArray, periods: IntArray, terms: ScheduleTerms) -> FloatArray:
    discount = 1.0 / (1.0 + rate / (RATE_UNITS * terms.periods_per_year))
    growth = 1.0 + round(terms.step_rate * RATE_UNITS) / RATE_UNITS
    worth, factor = np.zeros(len(principal)), np.ones(len(principal))
    for t in range(int(periods.max())):
        factor = factor * discount
        worth += np.where(t < periods, factor * growth ** (t // terms.step_every), 0.0)
    return np.asarray(principal / worth, dtype=np.float64)


def _rounded(
    value: FloatArray, principal: IntArray, rate: IntArray, periods: IntArray, terms: ScheduleTerms
) -> IntArray:
    """value to whole numbers. Float64 errs by some 1e-14 of the value: nearer than that to where the rounding turns (a
    tie; a whole number for "down" and "up"), or at it, each distinct loan is done again in fractions.
    """
    lower = np.floor(value)
    rest = value - lower
    if terms.rounds_instalment in ("down", "up"):
        carry, distance = rest > (1.0 if terms.rounds_instalment == "down" else 0.0), np.minimum(rest, 1.0 - rest)
    else:
        carry, distance = rest > 0.5, np.abs(rest - 0.5)
    rounded = (lower + carry).astype(np.int64)
    close = np.flatnonzero(distance <= 1e-9 + 1e-13 * value)
    if len(close):
        columns = np.stack([principal[close], rate[close], periods[close]], axis=1)
        distinct, which = np.unique(columns, axis=0, return_inverse=True)
        decided = [_exactly(int(p), int(r), int(n), terms) for p, r, n in distinct.tolist()]
        rounded[close] = np.array(decided, dtype=np.int64)[which.reshape(-1)]
    return rounded


def _exactly(principal: int, rate: int, periods: int, terms: ScheduleTerms) -> int:
    discount = 1 / (1 + Fraction(rate, RATE_UNITS * terms.periods_per_year))
    growth = 1 + Fraction(round(terms.step_rate * RATE_UNITS), RATE_UNITS)
    every = terms.step_every if terms.amortisation == "step" else periods
    worth = sum(growth ** (t // every) * discount ** (t + 1) for t in range(periods))
    return whole(principal / Fraction(worth) / terms.instalment_multiple, terms.rounds_instalment)


def whole(value: Fraction, rounding: Rounding) -> int:
    """A positive fraction to a whole number; Python rounds a Fraction half to even, exactly."""
    if rounding == "half_even":
        return round(value)
    if rounding == "up":
        return ceil(value)
    return floor(value + Fraction(1, 2)) if rounding == "half_up" else floor(value)
