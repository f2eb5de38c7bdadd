"""PoolFlows from flat or vector curves: CPR, CDR, severity and lags; a deal's pricing speed is one.

One scenario in closed form, without a loop over months. Not here: simulated defaults (rating); other speeds, scenarios,
late payers, advances, loans that are not level (pooling.engine.assumptions, which gives the same flows where both can).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.assumptions.speeds import monthly_rate as monthly_rate
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors

FloatArray = NDArray[np.float64]

EventOrder = Literal["default_first", "default_then_prepayment"]
_LOANS_AT_ONCE = 8192  # bounds memory at some 20 MB of amortisation factors


@dataclass(frozen=True)
class _Curves:
    """Monthly fractions of each month, (T,): prepayment, default, severity; lags in months."""

    smm: FloatArray
    mdr: FloatArray
    severity: FloatArray
    recovery_lag: int
    charge_off_lag: int
    event_order: EventOrder


@dataclass(frozen=True)
class _Scheduled:
    """A group without defaults and prepayments, (T + 1,): balance owed, its interest of the next month, loans
    alive."""

    balance: FloatArray
    interest: FloatArray
    alive: FloatArray


def curve_flows(
    loans: LoanArrays,
    *,
    cpr: ArrayLike,
    cdr: ArrayLike,
    severity: ArrayLike,
    recovery_lag: int,
    charge_off_lag: int,
    horizon: int | None = None,
    event_order: EventOrder = "default_first",
) -> PoolFlows:
    """Flows of the pool at given speeds: one scenario, groups as in the loans.

    cpr, cdr: annual fractions in [0, 1], flat or (T,) by month; the monthly rate is 1 - (1 - a)^(1/12).
    severity: fraction of the charged-off balance never recovered, flat or (T,) by month of charge-off.
    charge_off_lag: months from the first missed payment to charge-off (120 days: 4). recovery_lag: months
    from charge-off to the recovery's receipt. horizon: T; None covers the longest loan and both lags.
    event_order: "default_first": default on the opening balance, then interest and the level instalment of
    the rest, then prepayment of what is left (SMM on the balance after amortisation: Standard Formulas, Bond
    Market Association 1999). "default_then_prepayment": default, then prepayment, both of the opening
    balance and without interest of the month, then interest and instalment of what is left.

    A defaulted loan pays nothing from its default on; its balance is delinquent until charge-off.
    Raises ValueError naming the input.
    """
    if event_order not in get_args(EventOrder):
        raise ValueError(f"event_order: {event_order!r} is none of {', '.join(get_args(EventOrder))}")
    for name, lag in (("recovery_lag", recovery_lag), ("charge_off_lag", charge_off_lag)):
        if lag < 0:
            raise ValueError(f"{name}: {lag} must not be negative")
    months = int(loans.remaining_term.max()) + charge_off_lag + recovery_lag if horizon is None else horizon
    if months < 1:
        raise ValueError(f"horizon: {months} must be at least 1")
    curves = _Curves(
        smm=monthly_rate(_vector("cpr", cpr, months)),
        mdr=monthly_rate(_vector("cdr", cdr, months)),
        severity=_vector("severity", severity, months),
        recovery_lag=recovery_lag,
        charge_off_lag=charge_off_lag,
        event_order=event_order,
    )
    names = tuple(str(name) for name in np.unique(loans.group))
    columns = [_group(_scheduled(loans.take(loans.group == name), months), curves) for name in names]
    opening = np.array([loans.balance[loans.group == name].sum() for name in names])
    stacked = {key: np.stack([column[key] for column in columns])[..., None] for key in columns[0]}
    return PoolFlows(groups=names, opening_balance=opening, **stacked)


def _vector(name: str, value: ArrayLike, months: int) -> FloatArray:
    given = np.asarray(value, dtype=np.float64)
    if given.ndim > 1 or (given.ndim == 1 and given.shape != (months,)):
        raise ValueError(f"{name}: shape {given.shape}, expected one number or ({months},)")
    outside = ~((given >= 0.0) & (given <= 1.0))
    if outside.any():
        raise ValueError(f"{name}: {given[outside].ravel()[0]} lies outside 0 to 1")
    return np.broadcast_to(given, (months,)).copy()


def _scheduled(loans: LoanArrays, months: int) -> _Scheduled:
    balance, interest, alive = np.zeros(months + 1), np.zeros(months + 1), np.zeros(months + 1)
    month = np.arange(months + 1)
    for start in range(0, len(loans), _LOANS_AT_ONCE):
        part = slice(start, start + _LOANS_AT_ONCE)
        factors = level_balance_factors(loans.rate[part], loans.remaining_term[part], months)
        balance += loans.balance[part] @ factors
        interest += (loans.balance[part] * loans.rate[part] / 12.0) @ factors
        alive += (loans.remaining_term[part, None] > month[None, :]).sum(axis=0)
    return _Scheduled(balance=balance, interest=interest, alive=alive)


def _group(scheduled: _Scheduled, curves: _Curves) -> dict[str, FloatArray]:
    """Because speeds are the same for all loans of a group, one survival factor scales its schedule."""
    mdr, smm = curves.mdr, curves.smm
    survival = np.concatenate([[1.0], np.cumprod((1.0 - mdr) * (1.0 - smm))])
    before, opening, after = survival[:-1], scheduled.balance[:-1], scheduled.balance[1:]
    default = before * mdr * opening
    if curves.event_order == "default_first":
        paying = before * (1.0 - mdr)
        prepayment = paying * smm * after
    else:
        paying = survival[1:]
        prepayment = before * (1.0 - mdr) * smm * opening
    charge_off = _later(default, curves.charge_off_lag)
    default_count = before * mdr * scheduled.alive[:-1]
    waiting = _delinquent(default_count, curves.charge_off_lag)
    with np.errstate(divide="ignore", invalid="ignore"):
        coupon = np.where(opening > 0.0, 12.0 * scheduled.interest[:-1] / opening, 0.0)
    return {
        "interest": paying * scheduled.interest[:-1],
        "scheduled_principal": paying * (opening - after),
        "prepayment": prepayment,
        "default": default,
        "charge_off": charge_off,
        "recovery": _later(charge_off * (1.0 - curves.severity), curves.recovery_lag),
        "performing": survival[1:] * after,
        "delinquent": _delinquent(default, curves.charge_off_lag),
        "defaulted": np.cumsum(charge_off),
        "count": survival[1:] * scheduled.alive[1:] + waiting.sum(axis=0),
        "coupon": coupon,
    }


def _later(flow: FloatArray, lag: int) -> FloatArray:
    """The flow (T,) `lag` months later; what falls beyond the horizon is not received within it."""
    return np.concatenate([np.zeros(min(lag, len(flow))), flow[: max(len(flow) - lag, 0)]])


def _delinquent(default: FloatArray, charge_off_lag: int) -> FloatArray:
    """(B, T) stock by bucket: a loan is in the first bucket at the end of its month of default."""
    stock = np.zeros((len(DELINQUENT_BUCKETS), len(default)))
    for age in range(charge_off_lag):
        stock[min(age, len(DELINQUENT_BUCKETS) - 1)] += _later(default, age)
    return stock
