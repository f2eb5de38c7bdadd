"""Dated floating-rate notes: coupons at an index plus the quoted margin, and the discount margin of a price.

The running coupon is known and includes the quoted margin; later ones are projected at one assumed index. The discount
margin is the margin over the index at which all payments are worth the price (Fabozzi and Mann, Floating-Rate
Securities, 2000, ch. 3). Not here: classes of a deal, whose coupons the waterfall pays (spreads.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.calendars import add_months
from pooling.engine.daycount import DayCount, year_fraction
from pricing.engine.spreads import Solved, discount_margins_of, price_at_discount_margin

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Floater:
    """A bullet floater. quoted_margin: annual fraction over the index; frequency: coupons a year."""

    maturity: dt.date
    quoted_margin: float
    frequency: int
    day_count: DayCount

    def __post_init__(self) -> None:
        if self.frequency not in (1, 2, 4, 12):
            raise ValueError(f"frequency: {self.frequency} is no number of coupons a year; use 1, 2, 4 or 12")
        if not -0.5 < self.quoted_margin < 0.5:
            raise ValueError(f"quoted_margin: {self.quoted_margin} is no annual fraction; 0.0025 is 25 basis points")


@dataclass(frozen=True)
class FloaterStream:
    """Payments (N,) as fractions of par, the index (N,) and the year fractions (N,) that discount them, the first from
    settlement; accrued: fraction of par; accrued_days: days of the day count's numerator where it counts 360.
    """

    flows: FloatArray
    index: FloatArray
    fractions: FloatArray
    accrued: float


def floater_stream(
    floater: Floater,
    settlement: dt.date,
    *,
    running_coupon: float,
    index_to_next: float,
    future_index: float,
) -> FloaterStream:
    """Payments after settlement.

    running_coupon: annual fraction paid on the next date, quoted margin included. index_to_next: annual fraction from
    settlement to that date; future_index: for every later period, to which the quoted margin is added. Raises
    ValueError where settlement is not before maturity.
    """
    if settlement >= floater.maturity:
        raise ValueError(f"settlement: {settlement} is not before the maturity {floater.maturity}")
    dates = [floater.maturity]
    while dates[-1] > settlement:
        dates.append(add_months(floater.maturity, -12 // floater.frequency * len(dates)))
    dates.reverse()
    years = np.array([year_fraction(a, b, floater.day_count) for a, b in pairwise(dates)])
    index = np.full(len(years), future_index)
    index[0] = index_to_next
    flows = years * (future_index + floater.quoted_margin)
    flows[0] = years[0] * running_coupon
    flows[-1] += 1.0
    fractions = years.copy()
    fractions[0] = year_fraction(settlement, dates[1], floater.day_count)
    accrued = running_coupon * year_fraction(dates[0], settlement, floater.day_count)
    return FloaterStream(flows, index, fractions, accrued)


def floater_margins(stream: FloaterStream, clean: ArrayLike) -> Solved:
    """Discount margins (n,) at clean prices (n,) or one."""
    dirty = np.atleast_1d(np.asarray(clean, dtype=np.float64)) + stream.accrued
    rows = np.broadcast_to(stream.flows, (len(dirty), len(stream.flows)))
    return discount_margins_of(rows, dirty, stream.index, stream.fractions)


def floater_prices(stream: FloaterStream, margins: ArrayLike) -> FloatArray:
    """Clean prices (n,) at discount margins (n,) or one."""
    given = np.atleast_1d(np.asarray(margins, dtype=np.float64))
    rows = np.broadcast_to(stream.flows, (len(given), len(stream.flows)))
    return price_at_discount_margin(rows, given, stream.index, stream.fractions) - stream.accrued


def compounded_coupons(index: ArrayLike, fractions: ArrayLike, margin: float, periods: ArrayLike) -> FloatArray:
    """Coupons (P,) as fractions of par of an index fixed daily, margin compounded with it: 2006 ISDA Definitions,
    section 7.3, product over the days of (1 + (r_i + margin) f_i) less 1.

    index, fractions: (D,) annual fractions and years of each day; periods: (D,) number from 0 of the coupon to which
    each day belongs, ascending. Raises ValueError where shapes differ.
    """
    rates, years, owner = np.asarray(index, dtype=float), np.asarray(fractions, dtype=float), np.asarray(periods)
    if not rates.shape == years.shape == owner.shape or rates.ndim != 1:
        raise ValueError(f"periods: shape {owner.shape}, with index {rates.shape} and fractions {years.shape}")
    return np.asarray(np.expm1(np.bincount(owner, np.log1p((rates + margin) * years))))
