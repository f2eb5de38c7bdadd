"""Deals' flows written down by hand, for the tests of the analytics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.calendars import add_months

CLOSING = dt.date(2026, 1, 15)


@dataclass(frozen=True)
class Flows:
    """Flows of a deal, shapes and units as the waterfall's."""

    names: tuple[str, ...]
    initial_balance: NDArray[Any]
    closing: dt.date
    dates: tuple[dt.date, ...]
    months_between: int
    first_period: int
    unit: str
    balance: NDArray[Any]
    interest: NDArray[Any]
    principal: NDArray[Any]
    interest_shortfall: NDArray[Any]
    capitalised: NDArray[Any] | None
    unpaid_principal: NDArray[Any]
    pool_balance: NDArray[Any]


def flows_of(
    *,
    principal: Any,
    interest: Any,
    initial: Any = None,
    capitalised: Any = None,
    shortfall: Any = None,
    names: Sequence[str] = ("A",),
    closing: dt.date = CLOSING,
    dates: Sequence[dt.date] | None = None,
    months_between: int = 1,
    unit: str = "currency",
) -> Flows:
    """From (T,), or (K, T, S), amounts; the balance follows from them. initial: (K,), None for all that is repaid."""

    def cube(amounts: Any) -> NDArray[Any]:
        array = np.asarray(amounts, dtype=np.int64 if unit == "cents" else np.float64)
        return array[None, :, None] if array.ndim == 1 else array

    paid, earned = cube(principal), cube(interest)
    added = None if capitalised is None else cube(capitalised)
    start = paid[:, :, 0].sum(axis=1) if initial is None else np.atleast_1d(np.asarray(initial, dtype=np.float64))
    balance = start[:, None, None] - np.cumsum(paid, axis=1)
    if added is not None:
        balance = balance + np.cumsum(added, axis=1)
    periods = paid.shape[1]
    given = [add_months(closing, months_between * (t + 1)) for t in range(periods)] if dates is None else dates
    return Flows(
        names=tuple(names),
        initial_balance=np.asarray(start, dtype=np.float64),
        closing=closing,
        dates=tuple(given),
        months_between=months_between,
        first_period=0,
        unit=unit,
        balance=balance,
        interest=earned,
        principal=paid,
        interest_shortfall=np.zeros_like(earned) if shortfall is None else cube(shortfall),
        capitalised=added,
        unpaid_principal=balance[:, -1],
        pool_balance=balance.sum(axis=0),
    )
