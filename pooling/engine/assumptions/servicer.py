"""SERVICER: a pool's flows as its servicer reports them, in the report's own order of events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.words import suggestion

FloatArray = NDArray[np.float64]

REQUIRED = ("interest", "scheduled_principal")
OPTIONAL = ("prepayment", "default", "charge_off", "recovery", "count", "coupon")
CHECKED = ("ending_balance",)
TOLERANCE = 1e-6  # of the opening balance


def servicer_flows(
    opening_balance: float, columns: Mapping[str, ArrayLike], *, group: str = "all", delinquent: ArrayLike | None = None
) -> PoolFlows:
    """One group and one path from reported monthly columns, (T,) currency units.

    columns: interest and scheduled_principal, and any of prepayment, default, charge_off, recovery, count, coupon; what
    is not reported is zero. Of default and charge_off one may stand for both: then a loan defaults when it is charged
    off. ending_balance is no flow: where reported, it must be what the others leave of the pool.
    delinquent: (4, T) balances by bucket. Where default and charge_off are both reported, these are the balances
    between the two, and must add up to them (without it they stand in the last bucket). Otherwise they are late loans
    that may cure: part of the performing balance, kept as arrears.

    Raises ValueError for a column that is unknown, missing or of another length, and for one that contradicts the
    others, with the month and the difference.
    """
    found = _read(columns)
    months = found["interest"].shape[1]
    both = "default" in columns and "charge_off" in columns
    if not both:
        found["default"] = found["charge_off"] = found["default"] + found["charge_off"]
    performing = opening_balance - np.cumsum(
        found["scheduled_principal"] + found["prepayment"] + found["default"], axis=1
    )
    stock = np.cumsum(found["default"] - found["charge_off"], axis=1)
    slack = TOLERANCE * opening_balance
    for name, column in (("performing", performing), ("charge_off", stock)):
        if column.min() < -slack:
            month = int(np.argmin(column[0, :, 0])) + 1
            raise ValueError(f"{name}: more balance leaves than there is by month {month}: {column.min()}")
    if "ending_balance" in columns:
        _agree("ending_balance", found["ending_balance"], performing + stock, slack)
    buckets = np.zeros((1, len(DELINQUENT_BUCKETS), months, 1))
    buckets[:, -1] = np.maximum(stock, 0.0)
    late = None
    if delinquent is not None:
        reported = _buckets(delinquent, months)
        if both:
            _agree("delinquent", reported.sum(axis=1), stock, slack)
            buckets = reported
        else:
            late = reported
    return PoolFlows(
        groups=(group,),
        opening_balance=np.array([opening_balance]),
        performing=np.maximum(performing, 0.0),
        delinquent=buckets,
        defaulted=np.cumsum(found["charge_off"], axis=1),
        arrears=late,
        **{name: found[name] for name in REQUIRED + OPTIONAL},
    )


def _read(columns: Mapping[str, ArrayLike]) -> dict[str, FloatArray]:
    """Every known column as (1, T, 1), zero where it is not reported."""
    known = REQUIRED + OPTIONAL + CHECKED
    for name in columns:
        if name not in known:
            raise ValueError(f"columns: {name!r} is unknown{suggestion(name, known)}")
    for name in REQUIRED:
        if name not in columns:
            raise ValueError(f"columns: {name} is missing")
    months = len(np.asarray(columns[REQUIRED[0]]))
    found = {name: np.zeros((1, months, 1)) for name in known}
    for name, values in columns.items():
        given = np.asarray(values, dtype=np.float64)
        if given.shape != (months,):
            raise ValueError(f"{name}: shape {given.shape}, expected ({months},)")
        if not np.isfinite(given).all():
            raise ValueError(f"{name}: month {int(np.argmin(np.isfinite(given))) + 1} holds no number")
        found[name] = given.reshape(1, months, 1)
    return found


def _buckets(delinquent: ArrayLike, months: int) -> FloatArray:
    reported = np.asarray(delinquent, dtype=np.float64)
    if reported.shape != (len(DELINQUENT_BUCKETS), months):
        raise ValueError(f"delinquent: shape {reported.shape}, expected ({len(DELINQUENT_BUCKETS)}, {months})")
    return reported.reshape(1, len(DELINQUENT_BUCKETS), months, 1)


def _agree(name: str, reported: FloatArray, found: FloatArray, slack: float) -> None:
    gap = np.abs(reported - found)[0, :, 0]
    if gap.max() > slack:
        month = int(np.argmax(gap > slack))
        raise ValueError(
            f"{name}: {reported[0, month, 0]} in month {month + 1}, but the other columns leave {found[0, month, 0]}"
        )
