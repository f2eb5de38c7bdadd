"""Rolls many loans from period to period in whole cents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from pooling.engine.schedules.exact import divide, interest
from pooling.engine.schedules.instalments import first_instalment, next_step, smoothing_step
from pooling.engine.schedules.loans import Loans, checked_loans
from pooling.engine.schedules.terms import IntArray, Schedule, ScheduleTerms


def schedule(
    principal: ArrayLike,
    rate: ArrayLike,
    term: ArrayLike,
    terms: ScheduleTerms,
    dates: ArrayLike | None = None,
    amortisation_term: ArrayLike | None = None,
    given_principal: ArrayLike | None = None,
) -> Schedule:
    """Schedules of many loans of one product, to the cent.

    principal: (n,) cents, > 0. rate: annual fraction, held to 8 decimals; (n,), or (n, periods) where it floats (see
    `floating_rates`). term: (n,) periods, >= 1, longer than any grace. dates: disbursement and due dates, for all loans
    (periods + 1,) or (n, periods + 1); needed for every day count but "period". amortisation_term: (n,) periods over
    which the instalment or the equal principal is figured, >= term; what is left then is the balloon. given_principal:
    (n, periods) cents, for "given" alone, adding up to the principal.

    Interest = balance x rate x year fraction, exact, then rounded; "flat": on the original principal. Level instalment
    = P i / (1 - (1 + i)^-n) with i = rate / periods per year (P / n at zero rate) and n the periods after the grace;
    "step" the same with growing instalments, see `first_instalment`. Where the rate changes, the instalment is figured
    anew on the balance and periods left. Where interest exceeds the instalment no principal is due: a balance grows
    only by interest that the terms capitalise. The last instalment absorbs what is left. Smoothing: when |last -
    instalment| in cents exceeds n / 2, the instalment is changed once by (last - instalment) / n, and the change is
    kept only where it brings the two nearer (conventions of the oracle files, loans S01 to S08).

    Raises ValueError naming the input and its first bad row.
    """
    loans = checked_loans(principal, rate, term, terms, dates, amortisation_term, given_principal)
    rolled = _roll(loans, terms, None)
    if terms.smoothing:
        _smooth(loans, terms, rolled)
    return _in_order(loans, rolled)


class _Rolled(NamedTuple):
    """(periods, n) cents each, in the order of the loans; capitalised is None where nothing is."""

    principal: IntArray
    interest: IntArray
    balance: IntArray
    capitalised: IntArray | None
    instalment: IntArray  # (n,) as first figured


def _roll(loans: Loans, terms: ScheduleTerms, instalment: IntArray | None) -> _Rolled:
    """instalment: (n,) to be used in place of the one figured at the end of the grace, or None."""
    n, periods, alive = len(loans.principal), loans.periods, loans.alive()
    capitalises = terms.interest_grace > 0 and terms.grace_interest == "capitalised"
    rolled = _Rolled(
        principal=np.zeros((periods, n), dtype=np.int64),
        interest=np.zeros((periods, n), dtype=np.int64),
        balance=np.zeros((periods, n), dtype=np.int64),
        capitalised=np.zeros((periods, n), dtype=np.int64) if capitalises else None,
        instalment=np.zeros(n, dtype=np.int64) if instalment is None else instalment,
    )
    balance = loans.principal.copy()
    due_each = rolled.instalment.copy()
    deferred = np.zeros(n, dtype=np.int64)
    for t in range(periods):
        living, staying = alive[t], alive[t + 1]
        owed = balance[:living]
        accrued = _accrued(loans, terms, owed, t, living)
        paid_interest = accrued
        if t < terms.interest_grace:
            paid_interest = np.zeros_like(accrued)
            if rolled.capitalised is not None:
                rolled.capitalised[t, :living] = accrued
                owed = owed + accrued
            elif terms.grace_interest == "deferred":
                deferred[:living] += accrued
        elif t == terms.interest_grace and t:
            paid_interest = accrued + deferred[:living]
        _set_instalment(loans, terms, due_each[:living], owed, t, fixed=instalment is not None)
        if t == terms.principal_grace and instalment is None:
            rolled.instalment[:living] = due_each[:living]
        paid = _principal(loans, terms, due_each[:living], accrued, owed, t)
        paid[staying:] = owed[staying:]  # the loans that end now
        balance[:living] = owed - paid
        rolled.principal[t, :living] = paid
        rolled.interest[t, :living] = paid_interest
        rolled.balance[t, :living] = balance[:living]
    return rolled


def _accrued(loans: Loans, terms: ScheduleTerms, owed: IntArray, t: int, living: int) -> IntArray:
    rate = loans.rate[t if len(loans.rate) > 1 else 0, :living]
    numerator = loans.numerator
    if not isinstance(numerator, int):
        numerator = numerator[t, :living]
    base = loans.principal[:living] if terms.amortisation == "flat" else owed
    return interest(base, rate, numerator, loans.denominator, terms.interest_multiple, terms.rounding)


def _set_instalment(
    loans: Loans, terms: ScheduleTerms, due_each: IntArray, owed: IntArray, t: int, *, fixed: bool
) -> None:
    """Change due_each in place where the grace ends, a step falls or the rate resets. For equal principal and flat
    loans it is the principal of a period.
    """
    since = t - terms.principal_grace
    if since < 0 or fixed or terms.amortisation in ("bullet", "given"):
        return
    living = len(owed)
    left = loans.amortisation_term[:living] - t
    if terms.amortisation in ("equal_principal", "flat"):
        if since == 0:
            multiple = terms.principal_multiple
            due_each[:] = multiple * divide(owed, left * multiple, terms.rounding)
        return
    now = loans.rate[t if len(loans.rate) > 1 else 0, :living]
    if since == 0:
        due_each[:] = first_instalment(owed, now, left, terms)
    elif len(loans.rate) > 1:
        reset = np.flatnonzero(now != loans.rate[t - 1, :living])
        if len(reset):
            due_each[reset] = first_instalment(owed[reset], now[reset], left[reset], terms)
    elif terms.amortisation == "step" and since % terms.step_every == 0:
        due_each[:] = next_step(due_each, terms)


def _principal(
    loans: Loans, terms: ScheduleTerms, due_each: IntArray, accrued: IntArray, owed: IntArray, t: int
) -> IntArray:
    """Principal of the period for loans that do not end in it, a fresh array."""
    if loans.given is not None:
        return loans.given[t, : len(owed)].copy()
    if terms.amortisation == "bullet" or t < terms.principal_grace:
        return np.zeros_like(owed)
    wanted = due_each - accrued if terms.amortisation in ("level", "step") else due_each
    return np.minimum(np.maximum(wanted, 0), owed)


def _smooth(loans: Loans, terms: ScheduleTerms, plain: _Rolled) -> None:
    """Replace in place the loans whose smoothed instalment brings the last payment nearer to it."""
    n = loans.term - terms.principal_grace
    gap = _last_gap(loans, plain)
    step = smoothing_step(gap, n, terms)
    changed = np.flatnonzero(step)
    if not len(changed):
        return
    some = loans.rows(changed)
    trial = _roll(some, terms, plain.instalment[changed] + step[changed])
    kept = np.flatnonzero(np.abs(_last_gap(some, trial)) < np.abs(gap[changed]))
    for before, after in zip(plain[:3], trial[:3], strict=True):
        before[: some.periods, changed[kept]] = after[:, kept]


def _last_gap(loans: Loans, rolled: _Rolled) -> IntArray:
    """Last payment less the instalment, (n,)."""
    places = np.arange(len(loans.term))
    last = loans.term - 1
    return rolled.principal[last, places] + rolled.interest[last, places] - rolled.instalment


def _in_order(loans: Loans, rolled: _Rolled) -> Schedule:
    """(n, periods) in the caller's order."""
    n = len(loans.order)
    back = np.empty(n, dtype=np.int64)
    back[loans.order] = np.arange(n)
    sorted_already = np.array_equal(back, np.arange(n))

    def table(values: IntArray) -> IntArray:
        return (values if sorted_already else np.take(values, back, axis=1)).T

    principal, interest_due = table(rolled.principal), table(rolled.interest)
    nothing = np.broadcast_to(np.int64(0), principal.shape)
    return Schedule(
        payment=principal + interest_due,
        principal=principal,
        interest=interest_due,
        balance=table(rolled.balance),
        capitalised=nothing if rolled.capitalised is None else table(rolled.capitalised),
    )
