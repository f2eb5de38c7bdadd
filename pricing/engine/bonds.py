"""Dated bonds: price, accrued interest and yield by the conventions of the market that quotes them.

A price is a fraction of par (0.9932). Periods are counted back from maturity, so that an odd first coupon is paid in
parts of them; within the running one a yield is compounded or simple, as the convention says. Not here: payment days
that move off weekends (official formulas count from the days as scheduled), and monthly pools (valuation.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.newton import newton_on_log
from pooling.engine.calendars import CalendarName, add_months, is_business_day
from pooling.engine.daycount import year_fraction

FloatArray = NDArray[np.float64]

# ACT/ACT ICMA: actual days over those of the coupon period (rule 251 of the International Capital Market Association)
AccrualRule = Literal["ACT/ACT ICMA", "30/360", "30E/360"]
Discounting = Literal["compound", "simple"]


@dataclass(frozen=True)
class BondConvention:
    """accrual: of a coupon within its period. running: how the yield discounts the rest of the running period, (1 + y /
    f)^w or 1 + w y / f. last: the same where only the final payment is left.
    """

    accrual: AccrualRule
    running: Discounting
    last: Discounting


CONVENTIONS: dict[str, BondConvention] = {
    "us_treasury": BondConvention("ACT/ACT ICMA", "simple", "simple"),  # 31 CFR 356, appendix B, section II
    "us_street": BondConvention("ACT/ACT ICMA", "compound", "simple"),  # the secondary market of the same bonds
    "uk_gilt": BondConvention("ACT/ACT ICMA", "compound", "compound"),  # UK DMO, formulae for gilt prices, section 1
    "us_corporate": BondConvention("30/360", "compound", "simple"),  # and municipal: MSRB rule G-33
    "actual": BondConvention("ACT/ACT ICMA", "compound", "compound"),
}


@dataclass(frozen=True)
class Bond:
    """A bullet bond. coupon: annual fraction of par, paid `frequency` times a year.

    dated: from when interest accrues; None: for ever, so that every coupon is full. first_coupon: its payment date,
    None for the first regular date after `dated`. ex_dividend_days: business days of `calendar` before a coupon from
    which the buyer does not get it any more; 0: never.
    """

    maturity: dt.date
    coupon: float
    frequency: int
    convention: BondConvention
    dated: dt.date | None = None
    first_coupon: dt.date | None = None
    ex_dividend_days: int = 0
    calendar: CalendarName = "weekends"

    def __post_init__(self) -> None:
        if self.frequency not in (1, 2, 3, 4, 6, 12):
            raise ValueError(f"frequency: {self.frequency} is no number of coupons a year; use 1, 2, 3, 4, 6 or 12")
        if not 0.0 <= self.coupon < 1.0:
            raise ValueError(f"coupon: {self.coupon} is no annual fraction of par from 0 to 1; 0.05 is 5 %")
        if self.dated and not self.dated < self.maturity:
            raise ValueError(f"dated: {self.dated} is not before the maturity {self.maturity}")
        if self.first_coupon and not (self.dated and self.dated < self.first_coupon <= self.maturity):
            raise ValueError(f"first_coupon: {self.first_coupon} does not lie after dated and up to maturity")
        if self.first_coupon and self.first_coupon not in _regular_dates(self, self.first_coupon):
            raise ValueError(f"first_coupon: {self.first_coupon} is no coupon date counted back from {self.maturity}")
        if self.ex_dividend_days < 0:
            raise ValueError(f"ex_dividend_days: {self.ex_dividend_days} is negative")
        for name in ("running", "last"):
            if getattr(self.convention, name) not in get_args(Discounting):
                raise ValueError(f"convention: {name} is {getattr(self.convention, name)!r}; use compound or simple")


@dataclass(frozen=True)
class BondFlows:
    """What a buyer gets. amounts: (N,) fractions of par, the k-th paid `fraction` + k coupon periods after settlement.

    accrued: fraction of par, negative where the next coupon belongs to the seller (ex_dividend).
    """

    amounts: FloatArray
    fraction: float
    accrued: float
    ex_dividend: bool


@dataclass(frozen=True)
class BondYields:
    """yields: as many as prices, annual fractions compounded at the coupon frequency, NaN where there is none;
    reasons: words where it is NaN, else "".
    """

    yields: FloatArray
    reasons: tuple[str, ...]


def bond_flows(bond: Bond, settlement: dt.date) -> BondFlows:
    """Payments after settlement. Raises ValueError where settlement is not from the dated day to before maturity."""
    if settlement >= bond.maturity:
        raise ValueError(f"settlement: {settlement} is not before the maturity {bond.maturity}")
    if bond.dated and settlement < bond.dated:
        raise ValueError(f"settlement: {settlement} lies before {bond.dated}, when interest begins")
    dates = _regular_dates(bond, settlement)
    start, following = dates[0], dates[1]
    first = _first_coupon(bond, dates)
    amounts = np.zeros(len(dates) - 1)
    for k, date in enumerate(dates[1:]):
        if first is None or date > first:
            amounts[k] = bond.coupon / bond.frequency
        elif date == first:
            amounts[k] = bond.coupon * _accrual_years(bond, _accrues_from(bond), date)
    amounts[-1] += 1.0
    since = start if first is None or start >= first else _accrues_from(bond)
    accrued = bond.coupon * _accrual_years(bond, since, settlement)
    ex_dividend = _is_ex_dividend(bond, settlement, following)
    if ex_dividend:
        due = amounts[0] - (1.0 if len(amounts) == 1 else 0.0)
        amounts[0] -= due
        accrued -= due
    fraction = 1.0 - bond.frequency * _within(bond, start, following, settlement)
    return BondFlows(amounts, fraction, accrued, ex_dividend)


def dirty_prices(bond: Bond, settlement: dt.date, yields: ArrayLike) -> FloatArray:
    """Prices with accrued interest, of the shape of yields (annual fractions at the coupon frequency).

    Raises ValueError for a settlement out of range or a yield that is not above -frequency.
    """
    flows = bond_flows(bond, settlement)
    y = np.asarray(yields, dtype=np.float64)
    if not np.all(y > -bond.frequency):
        raise ValueError(f"yields: {np.nanmin(y)} is not above -{bond.frequency}, where all is lost in one period")
    return np.asarray(np.exp(_log_price(bond, flows, y.ravel())[0]).reshape(y.shape))


def clean_prices(bond: Bond, settlement: dt.date, yields: ArrayLike) -> FloatArray:
    """dirty_prices less accrued interest."""
    return dirty_prices(bond, settlement, yields) - bond_flows(bond, settlement).accrued


def bond_yields(bond: Bond, settlement: dt.date, clean: ArrayLike) -> BondYields:
    """Yields (n,) at clean prices (n,) or one: Newton on ln price, which is convex in the yield."""
    flows = bond_flows(bond, settlement)
    dirty = np.atleast_1d(np.asarray(clean, dtype=np.float64)) + flows.accrued
    good = np.isfinite(dirty) & (dirty > 0.0)
    target = np.log(np.where(good, dirty, flows.amounts.sum()))
    start = (np.log(flows.amounts.sum()) - target) / _life(flows) * bond.frequency
    yields, found, _ = newton_on_log(
        lambda y: _log_price(bond, flows, y), np.maximum(start, -0.9 * bond.frequency), target, -float(bond.frequency)
    )
    reasons = tuple(
        "" if ok and has else "the search for the yield did not converge" if ok
        else f"a price of {price} and {flows.accrued:.6f} accrued has no yield"
        for ok, has, price in zip(good, found, np.atleast_1d(np.asarray(clean)), strict=True)
    )  # fmt: skip
    return BondYields(np.where(good & found, yields, np.nan), reasons)


def bond_times(bond: Bond, settlement: dt.date) -> FloatArray:
    """(N,) years in coupon periods from settlement to each payment of bond_flows, for durations() of analytics."""
    flows = bond_flows(bond, settlement)
    return (flows.fraction + np.arange(len(flows.amounts))) / bond.frequency


def yields_at_maturity(
    issue: dt.date, settlement: dt.date, maturity: dt.date, coupon: float, clean: ArrayLike, accrual: AccrualRule
) -> FloatArray:
    """Simple yields of a security that pays all its interest at maturity, of the shape of clean prices.

    (1 + c (issue to maturity)) / (price + c (issue to settlement)) = 1 + y (settlement to maturity): the function
    YIELDMAT of spreadsheets. coupon: annual fraction. Raises ValueError for prices that are not positive.
    """
    if accrual == "ACT/ACT ICMA":
        raise ValueError("accrual: ACT/ACT ICMA needs coupon periods, which this security has not; use 30/360")
    if not issue <= settlement < maturity:
        raise ValueError(f"settlement: {settlement} does not lie from {issue} to before {maturity}")
    paid = 1.0 + coupon * year_fraction(issue, maturity, accrual)
    dirty = np.asarray(clean, dtype=np.float64) + coupon * year_fraction(issue, settlement, accrual)
    if not np.all(dirty > 0.0):
        raise ValueError(f"clean: {np.min(clean)} is no price above 0 with its accrued interest")
    return np.asarray((paid / dirty - 1.0) / year_fraction(settlement, maturity, accrual))


# ------------------------------------------------------------------------------------------------------------- inside
def _regular_dates(bond: Bond, since: dt.date) -> list[dt.date]:
    """Coupon dates counted back from maturity, ascending, the first of them on or before `since`."""
    step = 12 // bond.frequency
    day = 31 if add_months(bond.maturity, 0, 31) == bond.maturity else bond.maturity.day  # the last of each month
    dates = [bond.maturity]
    while dates[-1] > since:
        dates.append(add_months(bond.maturity, -step * len(dates), day))
    return dates[::-1]


def _accrues_from(bond: Bond) -> dt.date:
    if bond.dated is None:
        raise ValueError("dated: a bond with a first coupon of its own needs the day from which it accrues")
    return bond.dated


def _first_coupon(bond: Bond, dates: list[dt.date]) -> dt.date | None:
    """The first coupon's date, None where it lies before the running period or every coupon is full."""
    if bond.dated is None:
        return None
    if bond.first_coupon is not None:
        return bond.first_coupon
    return next((date for date in _regular_dates(bond, bond.dated)[1:]), dates[-1])


def _within(bond: Bond, start: dt.date, end: dt.date, until: dt.date) -> float:
    """Years that accrue from start to `until` within the coupon period from start to end."""
    if bond.convention.accrual == "ACT/ACT ICMA":
        return (until - start).days / (end - start).days / bond.frequency
    return year_fraction(start, until, bond.convention.accrual)


def _accrual_years(bond: Bond, since: dt.date, until: dt.date) -> float:
    """Years that accrue from `since` to `until`, period by period."""
    if bond.convention.accrual != "ACT/ACT ICMA":
        return year_fraction(since, until, bond.convention.accrual)
    dates = _regular_dates(bond, since)
    return sum(
        (min(end, until) - max(start, since)).days / (end - start).days / bond.frequency
        for start, end in pairwise(dates)
        if min(end, until) > max(start, since)
    )


def _is_ex_dividend(bond: Bond, settlement: dt.date, coupon: dt.date) -> bool:
    """Whether fewer than ex_dividend_days business days lie from settlement to the coupon, which then is not sold."""
    left, day = 0, settlement
    while day < coupon and left < bond.ex_dividend_days:
        left += is_business_day(day, bond.calendar)
        day += dt.timedelta(days=1)
    return left < bond.ex_dividend_days


def _life(flows: BondFlows) -> float:
    """Mean time of payment in coupon periods."""
    return float((flows.fraction + np.arange(len(flows.amounts))) @ flows.amounts / flows.amounts.sum())


def _log_price(bond: Bond, flows: BondFlows, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ln P (n,) at yields (n,), and minus its derivative."""
    f, w = bond.frequency, flows.fraction
    rule = bond.convention.last if len(flows.amounts) == 1 else bond.convention.running
    k = np.arange(len(flows.amounts))[:, None]
    growth = 1.0 + y / f
    worth = flows.amounts[:, None] * np.exp(-k * np.log(growth))
    value = worth.sum(axis=0)
    mean = (k * worth).sum(axis=0) / value
    if rule == "simple":
        running = 1.0 + w * y / f
        return np.log(value) - np.log(running), mean / growth / f + w / f / running
    return np.log(value) - w * np.log(growth), (mean + w) / growth / f
