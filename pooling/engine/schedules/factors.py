"""Level payments: the payment of a loan and the balance factors of a unit, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.schedules.terms import FloatArray


def level_payment(principal: ArrayLike, rate_per_period: ArrayLike, periods: ArrayLike) -> FloatArray:
    """The payment that repays principal in so many equal payments at the end of each period; broadcast shape.

    principal: any unit of money, the result's unit. rate_per_period: fraction per period, > -1, not annual. periods:
    >= 1. payment = P i / (1 - (1 + i)^-n), P / n at zero rate (annuity in arrears).

    Raises ValueError naming the input.
    """
    amount, i, n = np.broadcast_arrays(
        np.asarray(principal, dtype=np.float64),
        np.asarray(rate_per_period, dtype=np.float64),
        np.asarray(periods, dtype=np.float64),
    )
    if not np.all(np.isfinite(i) & (i > -1.0)):
        raise ValueError("rate_per_period: must be a number above -1; 12 % a year by the month is 0.01")
    if np.any(n < 1):
        raise ValueError("periods: must be at least 1")
    zero = i == 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        level = amount * i / -np.expm1(-n * np.log1p(i))
    return np.asarray(np.where(zero, amount / n, level), dtype=np.float64)


def level_balance_factors(rate: ArrayLike, term: ArrayLike, months: int) -> FloatArray:
    """(K, months + 1) float64: balance per unit of opening balance after 0, 1, ... months of level payments.

    rate: (K,) annual fraction, nominal monthly, >= 0. term: (K,) remaining months, >= 1. months: >= 0.
    factor(k) = 1 - ((1 + i)^k - 1) / ((1 + i)^n - 1), i = rate / 12, n = term; 1 - k / n at zero rate; 0
    from k = n on (Standard Formulas of the Bond Market Association, 1999, SF-4, rearranged). The interest
    of month k on a unit of opening balance is factor[:, k - 1] x rate / 12.

    Raises ValueError naming the input and its first bad row.
    """
    i = np.atleast_1d(np.asarray(rate, dtype=np.float64)) / 12.0
    n = np.atleast_1d(np.asarray(term, dtype=np.int64))
    if i.shape != n.shape or i.ndim != 1:
        raise ValueError(f"rate: shape {i.shape} differs from term's {n.shape}, or is not (K,)")
    refuse("rate", ~(np.isfinite(i) & (i >= 0.0)), i * 12.0)
    refuse("term", n < 1, n)
    if months < 0:
        raise ValueError(f"months: {months} must not be negative")
    k = np.minimum(np.arange(months + 1, dtype=np.int64)[None, :], n[:, None]).astype(np.float64)
    growth = np.log1p(i)[:, None]
    interest_bearing = i[:, None] > 0.0
    whole = np.where(interest_bearing, np.expm1(n[:, None] * growth), n[:, None].astype(np.float64))
    paid = np.where(interest_bearing, np.expm1(k * growth), k)
    return 1.0 - paid / whole


def refuse(name: str, bad: NDArray[np.bool_], column: NDArray[Any]) -> None:
    """Raise ValueError with the first bad row of a column (n,) or (n, periods)."""
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        place = f"row {where[0]}" + "".join(f", period {period + 1}" for period in where[1:])
        raise ValueError(f"{name}: {place} holds {column[where]}")
