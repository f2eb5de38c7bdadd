"""The price/yield table as filings print it: prices x scenarios for every class, and what lies under each column.

Pure: arrays in, a frozen table out; all cells of a class are solved in one block. Not here: the grid's words
(yield_grid.py) and the collateral (yield_flows.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pooling.engine.analytics import (
    Compounding,
    average_lives,
    class_losses,
    durations,
    payment_times,
    principal_window,
    yield_at_price,
)
from pooling.engine.deal.classes import FloatingCoupon
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, Program
from pricing.engine.curve import TreasuryCurve
from pricing.engine.spreads import discount_margins_of
from pricing.engine.yield_flows import horizon_of, scenario_runs
from pricing.engine.yield_grid import Measure, Scenario

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COMPOUNDING: Compounding = "semiannual"  # the bond-equivalent yield
(FINE, NO_BALANCE, NO_CASH, NO_PRICE, NO_ROOT, MANY_ROOTS, BELOW_ZERO, NOT_FLOATING, NO_LIFE, ALL_LOST) = range(10)
REASONS = (
    "",
    "the class has no balance: its price is an amount, not one per 100",
    "the class is paid nothing in this scenario",
    "only a price above 0 has a yield",
    "the flows change sign and no yield gives this price",
    "the flows change sign and several yields give this price; the one nearest to zero is shown",
    "the class is paid less than this price: the figure is below zero",
    "the coupon is no index plus margin: there is no discount margin",
    "the class is repaid nothing: there is no life at which to read the curve",
    "the class is paid next to nothing for this price: a yearly rate below −199.9 % tells nothing",
)
LOWEST = -1.999  # bond-equivalent; at -2 all is lost at once


@dataclass(frozen=True)
class FloatingLeg:
    """What a discount margin discounts with. index: (T,) or (T, S) annual fractions by payment date; fractions: (T,)
    year fraction of each period."""

    index: FloatArray
    fractions: FloatArray


@dataclass(frozen=True)
class YieldTable:
    """K classes senior to junior, S scenarios, P prices.

    prices: (P,) fractions of balance, no accrued interest: settled at closing. measure: of the cells; see Measure.
    cells: (K, S, P) annual fractions, NaN where there is none; flags: (K, S, P) places in REASONS, 0 where all is well
    (MANY_ROOTS and BELOW_ZERO flag a cell that has a figure). modified_duration: (K, S) years at the middle price, of
    the bond-equivalent yield. wal_years: (K, S) from closing in equal periods, NaN where no principal is paid. first,
    last: (K, S) number of the first and last payment date with principal, 0 for none. write_down: (K, S) currency
    units unpaid at the end; write_down_share: of the initial balance, NaN without one; shortfall: (K, S) currency
    units of interest, see pooling.engine.analytics.ClassLosses. loss: (S,) collateral loss over the cut-off balance.
    failed: (N, S) number of the first payment date on which each trigger is breached, 0 where it never is; called: (S,)
    number of the date on which the pool is sold, 0 for none. dates: (T,). delay_months: of all payments, against equal
    periods from closing. compounding: of the yield.
    """

    names: tuple[str, ...]
    prices: FloatArray
    scenarios: tuple[Scenario, ...]
    measure: Measure
    cells: FloatArray
    flags: NDArray[np.int8]
    modified_duration: FloatArray
    wal_years: FloatArray
    first: IntArray
    last: IntArray
    write_down: FloatArray
    write_down_share: FloatArray
    shortfall: FloatArray
    loss: FloatArray
    triggers: tuple[str, ...]
    failed: IntArray
    called: IntArray
    dates: tuple[dt.date, ...]
    delay_months: float
    compounding: str = COMPOUNDING

    @property
    def middle(self) -> int:
        """Place of the price at which durations are measured."""
        return len(self.prices) // 2

    def reason(self, k: int, s: int, p: int) -> str:
        """Why a cell has no figure, or what to mind about it; "" where all is well."""
        return REASONS[self.flags[k, s, p]]

    def window(self, k: int, s: int) -> tuple[dt.date, dt.date] | None:
        """Dates of the first and last principal, None where the class is repaid nothing."""
        first, last = int(self.first[k, s]), int(self.last[k, s])
        return None if first == 0 else (self.dates[first - 1], self.dates[last - 1])


def grid_table(
    program: Program,
    loans: LoanArrays,
    scenarios: Sequence[Scenario],
    prices: FloatArray,
    *,
    measure: Measure = "yield",
    curve: TreasuryCurve | None = None,
    delay_months: float = 0.0,
    options: Mapping[str, Any] | None = None,
) -> YieldTable:
    """The table of a deal over its loans: all scenarios side by side through the waterfall, then one block of yields.

    prices: (P,) fractions of balance. options: of execute() beside flows and to_call. Others and errors: see
    yield_table, scenario_runs and execute.
    """
    given = tuple(scenarios)
    found = scenario_runs(program, loans, given, months=horizon_of(program, loans, given), options=options)
    return yield_table(
        found.runs,
        given,
        prices,
        measure=measure,
        loss=found.loss,
        curve=curve,
        legs=floating_legs(program, (options or {}).get("rates", {})),
        delay_months=delay_months,
        deferrable=[tranche.name for tranche in program.spec.tranches if tranche.interest_deferrable],
        triggers=[trigger.name for trigger in program.spec.triggers],
    )


def floating_legs(program: Program, rates: Mapping[str, Any]) -> dict[str, FloatingLeg]:
    """Index and year fractions of every class that floats by an index plus a margin. rates: as execute() takes them."""
    legs, rules = {}, program.spec.conventions
    for tranche in program.spec.tranches:
        if isinstance(tranche.coupon, FloatingCoupon):
            rate = np.asarray(rates[tranche.coupon.index], dtype=np.float64)
            key = (tranche.day_count or rules.interest_day_count, tranche.accrual_dates or rules.accrual_dates)
            fractions = np.asarray(program.calendar.fractions[key], dtype=np.float64)
            legs[tranche.name] = FloatingLeg(np.full(len(fractions), rate) if rate.ndim == 0 else rate, fractions)
    return legs


def yield_table(
    runs: Sequence[tuple[DealFlows, Sequence[int]]],
    scenarios: Sequence[Scenario],
    prices: FloatArray,
    *,
    measure: Measure,
    loss: FloatArray,
    curve: TreasuryCurve | None = None,
    legs: Mapping[str, FloatingLeg] | None = None,
    delay_months: float = 0.0,
    deferrable: Sequence[str] = (),
    triggers: Sequence[str] = (),
) -> YieldTable:
    """The table from a deal's flows.

    runs: flows and the places among the scenarios of their columns; together every place once. loss: (S,). curve: for
    the measure "spread". legs: class -> its index, for "discount_margin"; classes without one have no figure.

    Raises ValueError naming the argument.
    """
    ladder = np.atleast_1d(np.asarray(prices, dtype=np.float64))
    _check(ladder, measure, curve, [place for _, places in runs for place in places], len(scenarios))
    deal = runs[0][0]
    found = _joined([_measured(each, deferrable) for each, _ in runs], [places for _, places in runs])
    cash, initial = found.pop("cash"), np.asarray(deal.initial_balance, dtype=np.float64)
    lives = found["wal_years"] = found["wal_years"] + delay_months / 12.0
    times = payment_times(
        deal.closing, deal.dates, "periods", months_between=deal.months_between, first_period=deal.first_period
    )
    cells, flags, modified = _yields(cash, times + delay_months / 12.0, ladder)
    if measure == "spread" and curve is not None:
        benchmark = curve.par(np.where(np.isfinite(lives), lives, 1.0))
        cells = np.where(np.isfinite(lives)[..., None], cells - benchmark[..., None], np.nan)
        flags = np.where(np.isnan(lives)[..., None] & (flags != NO_CASH), np.int8(NO_LIFE), flags)
    elif measure == "discount_margin":
        cells, flags = _margins(cash, ladder, deal, flags, legs or {})
    flags[initial <= 0.0], cells[initial <= 0.0] = NO_BALANCE, np.nan
    flags[(flags == FINE) & (cells < 0.0)] = BELOW_ZERO
    owned = np.where(initial > 0.0, initial / (100.0 if deal.unit == "cents" else 1.0), np.nan)
    return YieldTable(
        names=deal.names,
        prices=ladder,
        scenarios=tuple(scenarios),
        measure=measure,
        cells=cells,
        flags=flags,
        modified_duration=modified,
        write_down_share=found["write_down"] / owned[:, None],
        loss=np.asarray(loss, dtype=np.float64),
        triggers=tuple(triggers),
        dates=tuple(deal.dates),
        delay_months=delay_months,
        **found,
    )


def _check(
    prices: FloatArray, measure: str, curve: TreasuryCurve | None, places: Sequence[int], scenarios: int
) -> None:
    if prices.ndim != 1 or not len(prices) or not np.isfinite(prices).all():
        raise ValueError("prices: give a list of finite fractions of balance")
    if measure not in get_args(Measure):
        raise ValueError(f"measure: {measure!r} is none of {', '.join(get_args(Measure))}")
    if measure == "spread" and curve is None:
        raise ValueError("curve: a spread needs the curve it is over")
    if sorted(places) != list(range(scenarios)):
        raise ValueError(f"runs: their places must be each of the {scenarios} scenarios once")


def _measured(deal: DealFlows, deferrable: Sequence[str]) -> dict[str, Any]:
    """Everything under the columns, scenarios last; cash: (K, T, S) per 1 of initial balance."""
    initial = np.asarray(deal.initial_balance, dtype=np.float64)[:, None, None]
    window, losses = principal_window(deal), class_losses(deal, deferrable=deferrable)
    paid = np.asarray(deal.interest + deal.principal, dtype=np.float64)
    numbers = deal.first_period + 1
    sold = deal.called.any(axis=0)
    return {
        "cash": np.divide(paid, initial, out=np.zeros_like(paid), where=initial > 0.0),
        "wal_years": average_lives(deal, measure="periods").years,
        "first": window.first,
        "last": window.last,
        "write_down": losses.principal,
        "shortfall": losses.shortfall,
        "failed": np.where(deal.breached.any(axis=1), deal.breached.argmax(axis=1) + numbers, 0),
        "called": np.where(sold, deal.called.argmax(axis=0) + numbers, 0),
    }


def _joined(parts: Sequence[dict[str, Any]], places: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The columns of the runs in the order of the scenarios."""
    if len(parts) == 1:
        order = np.argsort(np.asarray(places[0]), kind="stable")
        whole = bool((order == np.arange(len(order))).all())
        return {name: array if whole else array[..., order] for name, array in parts[0].items()}
    back = np.argsort(np.concatenate([np.asarray(each) for each in places]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts], axis=-1)[..., back] for name in parts[0]}


def _reach(cash: FloatArray) -> int:
    """Dates up to the last on which a class, (T, S), is paid anything; at least one."""
    paid = np.flatnonzero(cash.any(axis=1))
    return int(paid[-1]) + 1 if len(paid) else 1


def _yields(cash: FloatArray, times: FloatArray, prices: FloatArray) -> tuple[FloatArray, NDArray[np.int8], FloatArray]:
    """Bond-equivalent yields and flags (K, S, P), and modified durations (K, S) at the middle price.

    A class is solved over the dates on which it is paid only: a senior class is gone early.
    """
    shape = (cash.shape[0], cash.shape[2], len(prices))
    cells, flags, modified = np.full(shape, np.nan), np.zeros(shape, dtype=np.int8), np.full(shape[:2], np.nan)
    for k, paid in enumerate(cash):
        reach = _reach(paid)
        columns, when = np.repeat(paid[:reach], shape[2], axis=1), times[:reach]
        found = yield_at_price(columns, when, np.tile(prices, shape[1]), compounding=COMPOUNDING)
        rates = found.rates.reshape(shape[1:])
        cells[k] = np.where(rates < LOWEST, np.nan, rates)
        flags[k] = _flags(paid, prices, rates, found.roots.reshape(shape[1:]))
        at = cells[k][:, shape[2] // 2]
        modified[k] = durations(paid[:reach], when, at, compounding=COMPOUNDING).modified
    return cells, flags, modified


def _flags(cash: FloatArray, prices: FloatArray, rates: FloatArray, roots: IntArray) -> NDArray[np.int8]:
    """(S, P) of one class, cash (T, S); rates: as they were solved."""
    empty = ~cash.any(axis=0)
    flags = np.where(np.isnan(rates), np.int8(NO_ROOT), np.int8(FINE))
    flags[roots > 1] = MANY_ROOTS
    flags[rates < LOWEST] = ALL_LOST
    flags[np.isnan(rates) & (prices <= 0.0)] = NO_PRICE
    flags[empty] = NO_CASH
    return flags


def _margins(
    cash: FloatArray,
    prices: FloatArray,
    deal: DealFlows,
    flags: NDArray[np.int8],
    legs: Mapping[str, FloatingLeg],
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Discount margins (K, S, P) of the classes that have an index; flags of the yields where there is no figure."""
    cells = np.full((cash.shape[0], cash.shape[2], len(prices)), np.nan)
    part = slice(deal.first_period, deal.first_period + deal.months)
    for k, name in enumerate(deal.names):
        if name not in legs:
            flags[k] = np.where(flags[k] == NO_CASH, flags[k], np.int8(NOT_FLOATING))
            continue
        leg, reach = legs[name], _reach(cash[k])
        rows = np.repeat(cash[k][:reach].T, len(prices), axis=0)
        index = leg.index[part][:reach]
        if index.ndim == 2:
            index = np.repeat(np.broadcast_to(index, cash[k][:reach].shape).T, len(prices), axis=0)
        wanted = np.tile(prices, cash.shape[2])
        found = discount_margins_of(rows, wanted, index, leg.fractions[part][:reach])
        cells[k] = found.values.reshape(cells[k].shape)
        solved = np.isfinite(cells[k])
        flags[k][solved] = np.where(found.roots.reshape(cells[k].shape) > 1, MANY_ROOTS, FINE)[solved]
        flags[k][~solved & (flags[k] == FINE)] = NO_ROOT
    return cells, flags
