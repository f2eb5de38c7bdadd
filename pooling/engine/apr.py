"""Annual percentage rate of closed-end credit: the actuarial method of Regulation Z, 12 CFR 1026, Appendix J.

From amounts and unit-periods to the rate, for many loans at once; and from dates to unit-periods. Not here: which
charges are finance charges, and which unit-period a transaction with irregular dates has.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.calendars import add_months

FloatArray = NDArray[np.float64]

UnitPeriod = Literal[
    "day", "week", "two_weeks", "four_weeks", "semimonth", "month", "two_months", "quarter", "half_year", "year"
]
UNIT_PERIODS_PER_YEAR: dict[str, int] = {
    "day": 365,
    "week": 52,
    "two_weeks": 26,
    "four_weeks": 13,
    "semimonth": 24,
    "month": 12,
    "two_months": 6,
    "quarter": 4,
    "half_year": 2,
    "year": 1,
}
_DAYS = {"day": 1, "week": 7, "two_weeks": 14, "four_weeks": 28}
_THIRTIETHS = {"semimonth": 15, "month": 30, "two_months": 60, "quarter": 90, "half_year": 180}  # of months of 30 days

_STEPS = 200  # halvings alone would need about 60
_LARGEST_RATE = 1e6  # per unit-period


def annual_percentage_rates(
    advances: ArrayLike,
    advance_times: ArrayLike,
    payments: ArrayLike,
    payment_times: ArrayLike,
    unit_periods_per_year: float,
) -> FloatArray:
    """(n,) annual fractions, nominal: the unit-period rate times the unit-periods of a year (Appendix J (b)(1)).

    advances: (n, A) and payments: (n, P) money of one unit, zero where a loan has fewer. advance_times, payment_times:
    the same shapes, or (A,) and (P,) for all loans, in unit-periods from the start of the term; the whole part
    compounds and the fraction is simple. The rate i solves (b)(8): sum of A / ((1 + f i)(1 + i)^t) over the advances =
    the same over the payments.

    Raises ValueError naming the input and the row: negative amounts or times, payments that do not exceed the advances
    (equal ones give 0), or no rate below 10^6 a unit-period.
    """
    lent, lent_at = _flows("advances", advances, advance_times)
    paid, paid_at = _flows("payments", payments, payment_times)
    if len(lent) != len(paid):
        raise ValueError(f"payments: {len(paid)} rows, but advances has {len(lent)}")
    if not unit_periods_per_year > 0:
        raise ValueError(f"unit_periods_per_year: {unit_periods_per_year} must be above 0; 12 for months")
    charge = paid.sum(axis=1) - lent.sum(axis=1)
    short = charge < -1e-9 * paid.sum(axis=1)
    if short.any():
        row = int(np.argmax(short))
        raise ValueError(f"payments: row {row} repays {paid[row].sum():g} of {lent[row].sum():g}; no rate is that low")
    amounts = np.concatenate([lent, -paid], axis=1)
    times = np.concatenate([lent_at, paid_at], axis=1)
    return _solve(amounts, times) * unit_periods_per_year


def unit_periods_between(earlier: dt.date, later: dt.date, unit: UnitPeriod, payment_day: int | None = None) -> float:
    """Unit-periods between two dates, whole and fraction, by Appendix J (b)(5); 0 for equal dates.

    Months are measured back from the later date and all count 30 days; what remains is actual days: over 30, 15, or 30
    times the months of the unit. "day" and weeks count actual days. "year": full years measured back, then months / 12
    where they are whole, else days / 365. payment_day: day of the month on which payments are scheduled, where a short
    month hides it in the later date (31: the last of each month, (b)(3)(iv)).

    Raises ValueError for an unknown unit, or where later lies before earlier.
    """
    if unit not in get_args(UnitPeriod):
        raise ValueError(f"unit: {unit!r} is unknown; use one of {', '.join(get_args(UnitPeriod))}")
    if later < earlier:
        raise ValueError(f"later: {later} lies before {earlier}; exchange the two")
    if unit in _DAYS:
        return (later - earlier).days / _DAYS[unit]
    months = 12 * (later.year - earlier.year) + later.month - earlier.month
    if add_months(later, -months, payment_day) < earlier:
        months -= 1
    remaining = (add_months(later, -months, payment_day) - earlier).days
    if unit == "year":
        years, months = divmod(months, 12)
        if remaining == 0:
            return years + months / 12
        return years + (add_months(later, -12 * years, payment_day) - earlier).days / 365
    return (30 * months + remaining) / _THIRTIETHS[unit]


def _flows(name: str, amounts: ArrayLike, times: ArrayLike) -> tuple[FloatArray, FloatArray]:
    money = np.atleast_2d(np.asarray(amounts, dtype=np.float64))
    when = np.atleast_2d(np.asarray(times, dtype=np.float64))
    if when.shape[0] not in (1, len(money)) or when.shape[1] != money.shape[1]:
        raise ValueError(f"{name}: shape {money.shape}, but their times have {when.shape}")
    bad = ~(np.isfinite(money) & (money >= 0.0)) | ~(np.isfinite(when) & (when >= 0.0))
    empty = ~(money > 0.0).any(axis=1)
    if bad.any() or empty.any():
        row = int(np.argmax(bad.any(axis=1) | empty))
        raise ValueError(f"{name}: row {row} has a negative or missing amount or time, or none above 0")
    return money, np.broadcast_to(when, money.shape)


def _value(amounts: FloatArray, times: FloatArray, rate: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n,) value of the flows at the unit-period rates, and its derivative."""
    whole = np.floor(times + 1e-12)  # 3 x (1 / 3) is one unit-period
    fraction = np.maximum(times - whole, 0.0)
    i = rate[:, None]
    simple = 1.0 + fraction * i
    worth = amounts * np.exp(-whole * np.log1p(i)) / simple
    slope = -worth * (whole / (1.0 + i) + fraction / simple)
    return worth.sum(axis=1), slope.sum(axis=1)


def _solve(amounts: FloatArray, times: FloatArray) -> FloatArray:
    """Newton's steps, kept inside a bracket that halves where they would leave it."""
    n = len(amounts)
    low, high = np.zeros(n), np.full(n, 0.01)
    while True:  # the value rises with the rate from -charge to what was lent at once
        below = _value(amounts, times, high)[0] < 0.0
        if not below.any():
            break
        low = np.where(below, high, low)
        high = np.where(below, 2.0 * high, high)
        if high.max() > _LARGEST_RATE:
            row = int(np.argmax(high))
            raise ValueError(f"payments: row {row} gives no rate; are its advances before its payments?")
    rate = 0.5 * (low + high)
    for _ in range(_STEPS):
        value, slope = _value(amounts, times, rate)
        low, high = np.where(value < 0.0, rate, low), np.where(value < 0.0, high, rate)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = rate - value / slope
        inside = (step > low) & (step < high)
        following = np.where(inside, step, 0.5 * (low + high))
        done = np.abs(following - rate) <= 1e-15 + 1e-13 * rate
        rate = following
        if done.all():
            break
    return rate
