"""Cohorts: loans that share every rate, as one scheduled balance, its interest and its number of loans.

Not here: what happens to them (pool.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.assumptions.terms import Assumptions, LoanShape
from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors
from pooling.engine.words import suggestion

FloatArray = NDArray[np.float64]

_LOANS_AT_ONCE = 8192  # bounds memory at some 20 MB of amortisation factors


@dataclass(frozen=True)
class Cohort:
    """group: place of its collateral group. age, term: months at cut-off, of the oldest and the longest loan.

    (T + 1,) each, without defaults and prepayments: balance owed, interest of the next month on it, loans alive.
    levelled: whether an instalment, not its principal, is what the loans fix.
    """

    group: int
    age: int
    term: int
    levelled: bool
    balance: FloatArray
    interest: FloatArray
    alive: FloatArray


def cohorts(
    loans: LoanArrays,
    names: tuple[str, ...],
    months: int,
    shapes: LoanShape | Mapping[str, LoanShape],
    assumptions: Assumptions,
) -> list[Cohort]:
    """The loans of each group by name, apart by age, term and rate only where an assumption asks for it.

    Raises ValueError for a group without a shape, or with one that its loans cannot have.
    """
    by_name = {name: shapes for name in names} if isinstance(shapes, LoanShape) else dict(shapes)
    for name in by_name:
        if name not in names:
            raise ValueError(f"amortisation: no group is named {name!r}{suggestion(name, names)}")
    found = []
    for place, name in enumerate(names):
        if name not in by_name:
            raise ValueError(f"amortisation: the group {name!r} has none; name how its loans amortise")
        mine = loans.take(loans.group == name)
        capped = _capped(assumptions)
        by_term = capped or assumptions.default.none_in_last > 0
        wanted = ((mine.age, _by_age(assumptions)), (mine.remaining_term, by_term), (mine.rate, capped))
        apart = np.stack([column if kept else np.zeros(len(mine)) for column, kept in wanted])
        keys, which = np.unique(apart, axis=1, return_inverse=True)
        for number in range(keys.shape[1]):
            part = mine.take(which == number)
            found.append(_scheduled(part, place, months, by_name[name], assumptions.rate_decimals))
    return found


def _by_age(given: Assumptions) -> bool:
    kinds = given.prepayment.kind in ("psa", "abs") or given.default.kind == "sda"
    return kinds or given.prepayment.by_age or given.default.by_age


def _capped(given: Assumptions) -> bool:
    """Whether a loss can be cut to what an advanced loan still owes: sums of loans that differ in that would not do."""
    return given.severity_of == "default" and given.advances != "none"


def _scheduled(loans: LoanArrays, group: int, months: int, shape: LoanShape, decimals: int | None) -> Cohort:
    balance, interest, alive = np.zeros(months + 1), np.zeros(months + 1), np.zeros(months + 1)
    month = np.arange(months + 1)
    monthly = loans.rate / 12.0
    if decimals is not None:
        monthly = np.floor(monthly * 10.0**decimals + 1e-9) / 10.0**decimals
    for start in range(0, len(loans), _LOANS_AT_ONCE):
        part = slice(start, start + _LOANS_AT_ONCE)
        factors = balance_factors(monthly[part] * 12.0, loans.remaining_term[part], months, shape)
        balance += loans.balance[part] @ factors
        interest += (loans.balance[part] * monthly[part]) @ factors
        alive += (loans.remaining_term[part, None] > month[None, :]).sum(axis=0)
    return Cohort(
        group=group,
        age=int(loans.age.max()),
        term=int(loans.remaining_term.max()),
        levelled=shape.amortisation not in ("linear", "bullet"),
        balance=balance,
        interest=interest,
        alive=alive,
    )


def balance_factors(rate: FloatArray, term: NDArray[np.int64], months: int, shape: LoanShape) -> FloatArray:
    """(n, months + 1) share of the balance owed after 0, 1, ... months, without defaults and prepayments.

    rate: (n,) annual fraction; term: (n,) remaining months. Raises ValueError for a term the shape leaves no room.
    """
    month = np.arange(months + 1)
    if shape.amortisation == "linear":
        return np.asarray(np.maximum(1.0 - month[None, :] / term[:, None], 0.0))
    left = term[:, None] > month[None, :]
    if shape.amortisation == "bullet":
        return np.asarray(left.astype(np.float64))
    if shape.amortisation_term is not None:
        if np.any(term > shape.amortisation_term):
            longest = int(term.max())
            raise ValueError(f"amortisation_term: {shape.amortisation_term} is shorter than a loan's term of {longest}")
        level = level_balance_factors(rate, np.full_like(term, shape.amortisation_term), months)
        return np.asarray(np.where(left, level, 0.0))
    first = shape.interest_only_months
    if np.any(term <= first):
        raise ValueError(f"interest_only_months: {first} leave a loan of {int(term.min())} months no time to repay")
    level = level_balance_factors(rate, term - first, max(months - first, 0))
    return np.asarray(np.concatenate([np.ones((len(term), min(first, months))), level], axis=1)[:, : months + 1])
