"""Prices of the classes of a deal: from grade and average life to yield, price, spread and duration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.spread import required_yield
from pricing.engine.valuation import average_life, durations, log_rate, price, solve_yields

FloatArray = NDArray[np.float64]

COUPON_TICKS = 100_000  # coupons are whole multiples of 0.001 %
TICK_SLACK = 1e-6  # of a tick: a coupon that is whole but for float noise is not pushed a tick down


class ClassFlows(Protocol):
    """What pricing reads of a deal's flows: K classes, T payments, S scenarios, currency units.
    months_between: two payments."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def interest(self) -> FloatArray: ...
    @property
    def principal(self) -> FloatArray: ...
    @property
    def initial_balance(self) -> FloatArray: ...
    @property
    def months_between(self) -> int: ...


@dataclass(frozen=True)
class TranchePrice:
    """Price of one class. yield_: annual fraction, bond-equivalent, at the flows it was computed from, to
    maturity. price: fraction of par. spread: over the Treasury par curve interpolated at the WAL, annual
    fraction. spread_bp and price_per_100 are for display. Durations in years. staleness is the reader's:
    snapshot_date says how old the market is. reason: why yield or price are NaN, else "".
    """

    name: str
    grade: str
    wal_years: float
    yield_: float
    price: float
    spread: float
    macaulay_duration: float
    modified_duration: float
    snapshot_date: date
    snapshot_hash: str
    reason: str = ""

    @property
    def spread_bp(self) -> float:
        return self.spread * 1e4

    @property
    def price_per_100(self) -> float:
        return self.price * 100


def mean_flows(flows: FloatArray, weights: ArrayLike | None = None) -> FloatArray:
    """(K, T) weighted mean over scenarios of flows (K, T, S); weights (S,) >= 0, equal where None."""
    if flows.ndim != 3:
        raise ValueError(f"flows: shape {flows.shape}, expected (classes, months, scenarios)")
    if weights is None:
        return np.asarray(flows.mean(axis=2), dtype=float)
    w = np.asarray(weights, dtype=float)
    if w.shape != flows.shape[2:] or np.any(w < 0) or not w.sum() > 0:
        raise ValueError(f"weights: shape {w.shape}, expected {flows.shape[2:]} of non-negative numbers")
    return np.asarray(flows @ (w / w.sum()), dtype=float)


def unit_flows(deal: ClassFlows, weights: ArrayLike | None = None) -> tuple[FloatArray, FloatArray]:
    """(cash, principal), each (K, M) by month per 1 of initial balance; a class without balance has zero flows. A deal
    that pays every quarter has zeros between its payments."""
    interest, principal = mean_flows(deal.interest, weights), mean_flows(deal.principal, weights)
    apart = deal.months_between
    if apart > 1:
        interest, principal = (_by_month(flows, apart) for flows in (interest, principal))
    balance = np.asarray(deal.initial_balance, dtype=float)[:, None]
    scale = np.where(balance > 0, 1 / np.where(balance > 0, balance, 1.0), 0.0)
    return (interest + principal) * scale, principal * scale


def _by_month(flows: FloatArray, apart: int) -> FloatArray:
    """(K, T x apart): each payment in the month in which it is made."""
    spread = np.zeros((len(flows), flows.shape[1] * apart))
    spread[:, apart - 1 :: apart] = flows
    return spread


def class_lives(deal: ClassFlows, weights: ArrayLike | None = None) -> dict[str, float]:
    """WAL in years per class of the mean flows, NaN where no principal is paid."""
    _, principal = unit_flows(deal, weights)
    return dict(zip(deal.names, average_life(principal).tolist(), strict=True))


def _wanted(names: Sequence[str], given: Mapping[str, object], field: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(f"{field}: class {missing[0]!r} is missing")


def price_at_yields(
    deal: ClassFlows,
    yields: Mapping[str, float],
    grades: Mapping[str, str],
    snapshot: MarketSnapshot,
    *,
    weights: ArrayLike | None = None,
    delay_months: float = 0.0,
) -> tuple[TranchePrice, ...]:
    """Value each class at a given bond-equivalent yield: required, bid or cleared.

    deal: base-case flows (S = 1), or scenarios of which the weighted mean flows are valued. yields, grades:
    by class name. A class without flows needs neither; it has NaN figures and a reason. Raises ValueError
    naming a missing class.
    """
    cash, principal = unit_flows(deal, weights)
    issued = [name for name, row in zip(deal.names, cash, strict=True) if row.any()]
    _wanted(issued, yields, "yields")
    _wanted(issued, grades, "grades")
    lives = average_life(principal, delay_months=delay_months)
    at = np.array([yields.get(name, math.nan) for name in deal.names], dtype=float)
    empty = ~cash.any(axis=1) | ~np.isfinite(at)
    safe = np.where(empty, 0.0, at)
    prices = np.where(empty, np.nan, price(cash, safe, delay_months=delay_months))
    macaulay, modified = durations(cash, safe, delay_months=delay_months)
    benchmark = snapshot.curve.par(np.where(np.isfinite(lives), lives, 1.0))
    spreads = np.where(empty | np.isnan(lives), np.nan, at - benchmark)
    known = snapshot.content_hash()
    return tuple(
        TranchePrice(
            name=name,
            grade=grades.get(name, ""),
            wal_years=float(lives[k]),
            yield_=float(at[k]) if not empty[k] else math.nan,
            price=float(prices[k]),
            spread=float(spreads[k]),
            macaulay_duration=float(macaulay[k]) if not empty[k] else math.nan,
            modified_duration=float(modified[k]) if not empty[k] else math.nan,
            snapshot_date=snapshot.as_of,
            snapshot_hash=known,
            reason="the class has no cash flow to value at a yield" if empty[k] else "",
        )
        for k, name in enumerate(deal.names)
    )


def price_tranches(
    deal: ClassFlows,
    grades: Mapping[str, str],
    snapshot: MarketSnapshot,
    *,
    asset_class: str,
    weights: ArrayLike | None = None,
    delay_months: float = 0.0,
) -> tuple[TranchePrice, ...]:
    """Price every class at the yield its grade and WAL require in the snapshot.

    yield = Treasury at the WAL + basis + grid spread + asset-class add-on (spread.required_yield); price =
    the mean flows at that yield. Arguments and errors as price_at_yields.
    """
    _, principal = unit_flows(deal, weights)
    lives = average_life(principal, delay_months=delay_months)
    _wanted([name for name, life in zip(deal.names, lives, strict=True) if life > 0], grades, "grades")
    yields = {
        name: required_yield(grades[name], float(life), snapshot, asset_class=asset_class)
        if math.isfinite(life)
        else float("nan")
        for name, life in zip(deal.names, lives, strict=True)
    }
    return price_at_yields(deal, yields, grades, snapshot, weights=weights, delay_months=delay_months)


def yields_at_prices(
    deal: ClassFlows,
    prices: Mapping[str, float],
    *,
    weights: ArrayLike | None = None,
    delay_months: float = 0.0,
) -> dict[str, float]:
    """Bond-equivalent yield per class at prices in fractions of par; NaN where none exists."""
    _wanted(deal.names, prices, "prices")
    cash, _ = unit_flows(deal, weights)
    solved = solve_yields(cash, np.array([prices[name] for name in deal.names]), delay_months=delay_months)
    return dict(zip(deal.names, solved.yields.tolist(), strict=True))


def floor_coupon(rate: float) -> float:
    """`rate` rounded down to a multiple of 0.001 %."""
    return math.floor(rate * COUPON_TICKS + TICK_SLACK) / COUPON_TICKS


def par_coupons(
    grades: Mapping[str, str],
    lives: Mapping[str, float],
    snapshot: MarketSnapshot,
    *,
    asset_class: str,
    payments_a_year: int = 12,
) -> dict[str, float]:
    """Coupon per class at which it is worth par, or at most a tick of coupon less.

    A class that pays c/m of its balance m times a year is worth par when c is its required yield under that
    compounding, whatever its principal; so c = m ((1 + y/2)^(2/m) - 1), rounded DOWN to 0.001 %, as term sheets print
    coupons (prices a little below 100). Annual fractions. A class whose life is NaN (nothing of it is issued) is left
    out.
    """
    _wanted(tuple(grades), lives, "lives")
    coupons = {}
    for name, grade in grades.items():
        if math.isnan(lives[name]):
            continue
        required = required_yield(grade, lives[name], snapshot, asset_class=asset_class)
        growth = float(log_rate(required, "semiannual")) / payments_a_year
        coupons[name] = floor_coupon(payments_a_year * math.expm1(growth))
    return coupons
