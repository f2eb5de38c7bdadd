"""What the analytics read of a deal that has run, and the measures of its classes: life, window, factor, yield, loss.

Shapes: K classes senior to junior, T payment dates, S scenarios innermost. Money in the unit of the flows, "currency"
or whole "cents"; what a caller gives or gets apart from a table is in currency units.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.conventions import Compounding, TimeMeasure, payment_times
from pooling.engine.analytics.roots import BRACKET
from pooling.engine.analytics.values import Yields, yield_at_price
from pooling.engine.words import suggestion

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

HALF_A_CENT = 0.005  # currency units: less than this is no dollar lost but rounding
Unpaid = Literal["left_out", "at_last_date"]
Accretion = Literal["negative_principal", "not_counted"]


class ClassFlows(Protocol):
    """What the analytics read of the waterfall's result; see pooling.engine.waterfall for shapes and units."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def initial_balance(self) -> FloatArray: ...
    @property
    def closing(self) -> dt.date: ...
    @property
    def dates(self) -> tuple[dt.date, ...]: ...
    @property
    def months_between(self) -> int: ...
    @property
    def first_period(self) -> int: ...
    @property
    def unit(self) -> str: ...
    @property
    def balance(self) -> NDArray[Any]: ...
    @property
    def interest(self) -> NDArray[Any]: ...
    @property
    def principal(self) -> NDArray[Any]: ...
    @property
    def interest_shortfall(self) -> NDArray[Any]: ...
    @property
    def capitalised(self) -> NDArray[Any] | None: ...
    @property
    def unpaid_principal(self) -> NDArray[Any]: ...
    @property
    def pool_balance(self) -> NDArray[Any]: ...


@dataclass(frozen=True)
class AverageLives:
    """years: (K, S) from the start of the measure; NaN exactly where `repaid` is False: no principal to average."""

    names: tuple[str, ...]
    years: FloatArray
    repaid: BoolArray
    measure: TimeMeasure


@dataclass(frozen=True)
class PrincipalWindow:
    """first, last: (K, S) numbers of the payment dates of the first and the last principal, 1 the first after closing;
    0 where a class receives none. dates: those of the flows, from number `number` on.
    """

    names: tuple[str, ...]
    first: IntArray
    last: IntArray
    dates: tuple[dt.date, ...]
    number: int

    @property
    def payments(self) -> IntArray:
        """(K, S) payment dates from the first principal to the last, both counted."""
        return np.where(self.first > 0, self.last - self.first + 1, 0)

    def between(self, k: int, scenario: int) -> tuple[dt.date, dt.date] | None:
        """Dates of the first and the last principal of class k, or None where it receives none."""
        first, last = int(self.first[k, scenario]), int(self.last[k, scenario])
        return None if first == 0 else (self.dates[first - self.number], self.dates[last - self.number])


@dataclass(frozen=True)
class Factors:
    """classes: (K, T, S) balance after the payment over the initial one. pool: (T, S) over the balance at cut-off.

    A class that never had a balance (an interest strip) has NaN and False in has_balance, (K,).
    """

    names: tuple[str, ...]
    classes: FloatArray
    pool: FloatArray
    has_balance: BoolArray


@dataclass(frozen=True)
class ClassLosses:
    """Currency units, (K, S). principal: unpaid at the deal's final date. shortfall: interest of the class that stayed
    unpaid: the most on any date, of a deferrable class what is unpaid at the last.
    """

    names: tuple[str, ...]
    principal: FloatArray
    shortfall: FloatArray

    def broken(self, tolerance_money: float = HALF_A_CENT) -> BoolArray:
        """(K, S) whether a class loses more than the tolerance of either."""
        return np.asarray((self.principal > tolerance_money) | (self.shortfall > tolerance_money))


@dataclass(frozen=True)
class ClassRow:
    """One line of a cash-flow table. opening + capitalised - principal = closing; shortfall: interest unpaid after it;
    factor: closing over the initial balance, None for a class without one.
    """

    number: int
    date: dt.date
    opening: float
    interest: float
    principal: float
    capitalised: float
    closing: float
    shortfall: float
    factor: float | None


@dataclass(frozen=True)
class ClassTable:
    """Cash of one class in one scenario; amounts in `unit`, whole where it is cents."""

    name: str
    unit: str
    rows: tuple[ClassRow, ...]
    total_interest: float
    total_principal: float
    unpaid_principal: float


def average_lives(
    deal: ClassFlows,
    *,
    measure: TimeMeasure = "30/360",
    unpaid: Unpaid = "left_out",
    accretion: Accretion = "not_counted",
) -> AverageLives:
    """Weighted average life from closing: sum of time x principal over principal (Standard Formulas SF-50).

    measure: see payment_times; "periods" for equal periods. unpaid: principal unpaid at the final date is left out of
    the average, or counted at that date. accretion: interest added to the balance is principal paid in and counts as
    negative, as for a graduated-payment mortgage, or is not counted, as for an accrual class (SF-56).

    Raises ValueError naming the argument.
    """
    _known("unpaid", unpaid, Unpaid)
    _known("accretion", accretion, Accretion)
    times = _times(deal, measure)
    paid = np.asarray(deal.principal, dtype=np.float64)
    if accretion == "negative_principal" and deal.capitalised is not None:
        paid = paid - deal.capitalised
    total, timed = paid.sum(axis=1), np.einsum("kts,t->ks", paid, times)
    if unpaid == "at_last_date":
        total, timed = total + deal.unpaid_principal, timed + deal.unpaid_principal * times[-1]
    repaid = total > HALF_A_CENT * _scale(deal)
    years = np.divide(timed, total, out=np.full_like(timed, np.nan), where=repaid)
    return AverageLives(deal.names, years, repaid, measure)


def principal_window(deal: ClassFlows, *, tolerance_money: float = HALF_A_CENT) -> PrincipalWindow:
    """First and last date on which each class receives more principal than the tolerance, in currency units."""
    paid = deal.principal > tolerance_money * _scale(deal)
    any_paid = paid.any(axis=1)
    first, last = paid.argmax(axis=1), paid.shape[1] - 1 - paid[:, ::-1].argmax(axis=1)
    number = deal.first_period + 1
    return PrincipalWindow(
        deal.names,
        np.where(any_paid, first + number, 0),
        np.where(any_paid, last + number, 0),
        tuple(deal.dates),
        number,
    )


def factors(deal: ClassFlows, *, pool_at_cutoff: float) -> Factors:
    """Class and pool factors. pool_at_cutoff: currency units. Raises ValueError where it is not positive."""
    if not pool_at_cutoff > 0.0:
        raise ValueError(f"pool_at_cutoff: {pool_at_cutoff} must be above 0")
    initial = np.asarray(deal.initial_balance, dtype=np.float64)
    has_balance = initial > 0.0
    classes = deal.balance / np.where(has_balance, initial, np.nan)[:, None, None]
    return Factors(deal.names, classes, deal.pool_balance / (pool_at_cutoff * _scale(deal)), has_balance)


def class_losses(deal: ClassFlows, *, deferrable: Collection[str] = ()) -> ClassLosses:
    """Principal unpaid at the final date and interest shortfall of each class. deferrable: names of classes whose
    interest may be paid late. Raises ValueError for a name that the deal does not have.
    """
    for name in deferrable:
        if name not in deal.names:
            raise ValueError(f"deferrable: the deal has no class {name!r}{suggestion(name, deal.names)}")
    worst = np.asarray(deal.interest_shortfall.max(axis=1), dtype=np.float64)
    for k, name in enumerate(deal.names):
        if name in deferrable:
            worst[k] = deal.interest_shortfall[k, -1]
    scale = _scale(deal)
    return ClassLosses(deal.names, np.asarray(deal.unpaid_principal, dtype=np.float64) / scale, worst / scale)


def class_yields(
    deal: ClassFlows,
    prices: Mapping[str, ArrayLike],
    *,
    compounding: Compounding,
    measure: TimeMeasure = "30/360",
    settlement: dt.date | None = None,
    bracket: tuple[float, float] = BRACKET,
) -> Yields:
    """Yields (K, S) of all classes in every scenario at given prices.

    prices: name -> price per 1 of the balance outstanding at settlement, accrued interest included (0.9932, not 99.32);
    a number or (S,); every class with a balance needs one. Of a class without one (an interest strip) the price is an
    amount of currency units; it may be left out and then has no yield and the reason "no_price". settlement: None is
    closing; what is paid on it or before belongs to the seller.

    Raises ValueError naming the argument.
    """
    for name in prices:
        if name not in deal.names:
            raise ValueError(f"prices: the deal has no class {name!r}{suggestion(name, deal.names)}")
    start = deal.closing if settlement is None else settlement
    if measure == "periods" and settlement is not None:
        raise ValueError("settlement: equal periods count from closing; choose a day count for another settlement")
    after = sum(1 for date in deal.dates if date <= start)
    if after == len(deal.dates):
        raise ValueError(f"settlement: nothing is paid after {start}; settle before {deal.dates[-1]}")
    held = opening_balances(deal)[:, after]
    cost = np.zeros(held.shape)
    for k, name in enumerate(deal.names):
        strip = not deal.initial_balance[k] > 0
        if name not in prices and not strip:
            raise ValueError(f"prices: class {name} has none; give its price per 1 of balance")
        cost[k] = np.asarray(prices.get(name, 0.0)) * (_scale(deal) if strip else held[k])
    cash = np.asarray(deal.interest + deal.principal, dtype=np.float64)[:, after:]
    return yield_at_price(cash, _times(deal, measure, start, after), cost, compounding=compounding, bracket=bracket)


def opening_balances(deal: ClassFlows) -> NDArray[Any]:
    """(K, T, S) balance before each payment, in the unit of the flows."""
    first = deal.balance[:, :1] + deal.principal[:, :1]
    if deal.capitalised is not None:
        first = first - deal.capitalised[:, :1]
    if deal.first_period == 0:
        first = np.broadcast_to(np.asarray(deal.initial_balance)[:, None, None], first.shape).astype(first.dtype)
    return np.concatenate([first, deal.balance[:, :-1]], axis=1)


def class_table(deal: ClassFlows, k: int, scenario: int) -> ClassTable:
    """The cash-flow table of class k in one scenario. Raises ValueError for a class or scenario that is not there."""
    if not 0 <= k < len(deal.names):
        raise ValueError(f"k: {k} is no class; there are {len(deal.names)}, from 0")
    if not 0 <= scenario < deal.balance.shape[-1]:
        raise ValueError(f"scenario: {scenario} is none of the {deal.balance.shape[-1]}, from 0")
    initial = float(deal.initial_balance[k])
    opening = opening_balances(deal)[k, :, scenario].tolist()
    names = ("interest", "principal", "balance", "interest_shortfall")
    interest, principal, closing, shortfall = (getattr(deal, name)[k, :, scenario].tolist() for name in names)
    added = [0] * len(opening) if deal.capitalised is None else deal.capitalised[k, :, scenario].tolist()
    rows = tuple(
        ClassRow(
            number=deal.first_period + t + 1,
            date=date,
            opening=opening[t],
            interest=interest[t],
            principal=principal[t],
            capitalised=added[t],
            closing=closing[t],
            shortfall=shortfall[t],
            factor=closing[t] / initial if initial > 0.0 else None,
        )
        for t, date in enumerate(deal.dates)
    )
    unpaid = deal.unpaid_principal[k, scenario].item()
    return ClassTable(deal.names[k], deal.unit, rows, sum(interest), sum(principal), unpaid)


def _scale(deal: ClassFlows) -> float:
    """Units of the flows in one currency unit."""
    return 100.0 if deal.unit == "cents" else 1.0


def _times(deal: ClassFlows, measure: TimeMeasure, start: dt.date | None = None, after: int = 0) -> FloatArray:
    return payment_times(
        start or deal.closing,
        deal.dates[after:],
        measure,
        months_between=deal.months_between,
        first_period=deal.first_period + after,
    )


def _known(name: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"{name}: {value!r} is unknown; use one of {', '.join(get_args(allowed))}")
