"""SERVICER: a pool's flows as its servicer reports them, in the report's own order of events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows

REQUIRED = ("interest", "scheduled_principal")
OPTIONAL = ("prepayment", "default", "charge_off", "recovery", "count", "coupon")
TOLERANCE = 1e-6  # of the opening balance


def servicer_flows(
    opening_balance: float, columns: Mapping[str, ArrayLike], *, group: str = "all", delinquent: ArrayLike | None = None
) -> PoolFlows:
    """One group and one path from reported monthly columns, (T,) currency units.

    columns: interest and scheduled_principal, and any of prepayment, default, charge_off, recovery, count, coupon;
    what is not
    reported is zero, but charge_off follows default where it is missing. delinquent: (4, T) balances by bucket;
    without it
    what has defaulted and is not charged off stands in the last bucket.

    Raises ValueError for a column that is unknown, missing or of another length, and where more balance leaves than
    there is.
    """
    for name in columns:
        if name not in REQUIRED + OPTIONAL:
            raise ValueError(f"columns: {name!r} is unknown; known: {', '.join(REQUIRED + OPTIONAL)}")
    for name in REQUIRED:
        if name not in columns:
            raise ValueError(f"columns: {name} is missing")
    months = len(np.asarray(columns[REQUIRED[0]]))
    found = {name: np.zeros((1, months, 1)) for name in REQUIRED + OPTIONAL}
    for name, values in columns.items():
        given = np.asarray(values, dtype=np.float64)
        if given.shape != (months,):
            raise ValueError(f"{name}: shape {given.shape}, expected ({months},)")
        found[name] = given.reshape(1, months, 1)
    if "charge_off" not in columns:
        found["charge_off"] = found["default"]
    left = found["scheduled_principal"] + found["prepayment"] + found["default"]
    performing = opening_balance - np.cumsum(left, axis=1)
    stock = np.cumsum(found["default"] - found["charge_off"], axis=1)
    for name, column in (("performing", performing), ("charge_off", stock)):
        if column.min() < -TOLERANCE * opening_balance:
            month = int(np.argmin(column[0, :, 0])) + 1
            raise ValueError(f"{name}: more balance leaves than there is by month {month}: {column.min()}")
    buckets = np.zeros((1, len(DELINQUENT_BUCKETS), months, 1))
    buckets[:, -1] = np.maximum(stock, 0.0)
    if delinquent is not None:
        reported = np.asarray(delinquent, dtype=np.float64)
        if reported.shape != (len(DELINQUENT_BUCKETS), months):
            raise ValueError(f"delinquent: shape {reported.shape}, expected ({len(DELINQUENT_BUCKETS)}, {months})")
        buckets = reported.reshape(1, len(DELINQUENT_BUCKETS), months, 1)
    return PoolFlows(
        groups=(group,),
        opening_balance=np.array([opening_balance]),
        performing=np.maximum(performing, 0.0),
        delinquent=buckets,
        defaulted=np.cumsum(found["charge_off"], axis=1),
        **found,
    )
