"""Named conventions of the analytics: how a rate compounds, and how time is measured from settlement to a payment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.daycount import DayCount, year_fractions

FloatArray = NDArray[np.float64]

# "semiannual" is the bond-equivalent yield, "monthly" the mortgage yield (Standard Formulas SF-49).
Compounding = Literal["annual", "semiannual", "monthly", "continuous"]
PERIODS_PER_YEAR = {"annual": 1, "semiannual": 2, "monthly": 12}

# "periods": equal periods, the first of them full; the others are day counts of pooling.engine.daycount.
TimeMeasure = Literal["30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT", "periods"]


def log_rate(rates: ArrayLike, compounding: Compounding) -> FloatArray:
    """Yearly log rates r of annual rates (any shape): r = m ln(1 + y / m), so that a flow at time t is worth exp(-r t).

    Raises ValueError for an unknown compounding, or a rate at or below -m.
    """
    m = _periods(compounding)
    y = np.asarray(rates, dtype=np.float64)
    if m is None:
        return y
    if np.any(y <= -m):
        raise ValueError(f"rates: {np.nanmin(y)} is at or below {-m}, where {compounding} compounding has lost all")
    return np.asarray(m * np.log1p(y / m), dtype=np.float64)


def rate_of(log_rates: ArrayLike, compounding: Compounding) -> FloatArray:
    """Inverse of log_rate: y = m (exp(r / m) - 1). Raises ValueError for an unknown compounding."""
    m = _periods(compounding)
    r = np.asarray(log_rates, dtype=np.float64)
    return r if m is None else np.asarray(m * np.expm1(r / m), dtype=np.float64)


def convert_rate(rates: ArrayLike, source: Compounding, target: Compounding) -> FloatArray:
    """The same rates under another compounding."""
    return rate_of(log_rate(rates, source), target)


def bond_equivalent_yield(mortgage_yields: ArrayLike) -> FloatArray:
    """Semiannual yield of a monthly one: 2 ((1 + y / 12)^6 - 1) (Standard Formulas SF-49)."""
    return convert_rate(mortgage_yields, "monthly", "semiannual")


def mortgage_yield(bond_equivalent_yields: ArrayLike) -> FloatArray:
    """Monthly yield of a semiannual one: 12 ((1 + y / 2)^(1 / 6) - 1) (Standard Formulas SF-49)."""
    return convert_rate(bond_equivalent_yields, "semiannual", "monthly")


def payment_times(
    start: dt.date,
    dates: Sequence[dt.date],
    measure: TimeMeasure,
    *,
    months_between: int = 1,
    first_period: int = 0,
) -> FloatArray:
    """(T,) years from start to each date.

    "periods": date t lies (first_period + t + 1) x months_between / 12 years after start, which then has to be closing,
    whatever the dates say. Else the day count from start to each date in one step (30/360 is not exactly additive).

    Raises ValueError for an unknown measure, or a date before start.
    """
    if measure == "periods":
        return np.asarray((first_period + np.arange(1, len(dates) + 1)) * (months_between / 12.0), dtype=np.float64)
    if measure not in get_args(TimeMeasure):
        raise ValueError(f"measure: {measure!r} is unknown; use one of {', '.join(get_args(TimeMeasure))}")
    if dates and min(dates) < start:
        raise ValueError(f"dates: {min(dates)} lies before {start}; leave out what was paid before it")
    day_count: DayCount = measure
    days = np.array(dates, dtype="datetime64[D]")
    return year_fractions(np.datetime64(start, "D"), days, day_count)


def _periods(compounding: str) -> int | None:
    if compounding not in get_args(Compounding):
        raise ValueError(f"compounding: {compounding!r} is unknown; use one of {', '.join(get_args(Compounding))}")
    return PERIODS_PER_YEAR.get(compounding)
