"""Monthly servicer tapes of a pool, derived from the dated outcomes of a finished loan tape.

A tape that tells only how each loan ended holds enough for its months: it paid as scheduled until its exit. For the
demo, for tests and for a look back at a finished pool; no rating reads it but as performance after its cut-off.

Conventions, all stated where the months are shown: principal runs on the level-payment schedule to the cent; what a
loan paid beyond it comes as one prepayment in its last paying month; a defaulted loan never falls below the amount
its tape says was charged off. Payments fall due on the 15th, so that a payment missed in the month is 15 days past
due at its end. Charge-off comes charge_off_lag months after the first missed payment, the net recovery recovery_lag
months after that: the tape dates neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from pooling.tapes.alignment import scheduled_balance
from pooling.tapes.dates import month_name
from pooling.tapes.exits import CENSORED, CHARGE_OFF_LAG, DEFAULT, OutcomeFrame
from pooling.tapes.performance import PerformanceMonth

IntArray = NDArray[np.int64]

# exits.py counts its months from the last payment, one before the first missed one.
FROM_MISSED = CHARGE_OFF_LAG - 1
RECOVERY_LAG = 6
DUE_DAY, MONTH_DAYS = 15, 30


@dataclass(frozen=True, eq=False)
class DerivedMonths:
    """months: the tapes, from the month after cut-off. capped: loans whose tape says that more was charged off than
    they owed at cut-off; capped_cents: by how much, left out of the months. horizon: months that the outcomes reach for
    every loan of the pool."""

    months: tuple[PerformanceMonth, ...]
    capped: int
    capped_cents: int
    horizon: int


@dataclass(frozen=True, eq=False)
class _Lives:
    """Arrays (n,) of the pool's loans: exit: month after cut-off (<= 0 where late at cut-off); cents at cut-off,
    charged off and recovered."""

    opening: IntArray
    exit: IntArray
    failed: NDArray[np.bool_]
    lost: IntArray
    recovered: IntArray


def derived_months(
    loans: LoanArrays,
    outcome: OutcomeFrame,
    *,
    first: int,
    months: int | None = None,
    charge_off_lag: int = FROM_MISSED,
    recovery_lag: int = RECOVERY_LAG,
) -> DerivedMonths:
    """The tapes of a pool's months 1 to `months`, None for as many as the outcomes reach.

    loans: of the pool at cut-off. outcome: of its tape, which holds every loan of the pool. first: month 1 as months
    since January 1970. Raises ValueError for a loan whose outcome is unknown, and for more months than are known.
    """
    lives, capped = _lives(loans, outcome)
    horizon = _horizon(loans, outcome, lives, charge_off_lag + recovery_lag)
    count = horizon if months is None else months
    if not 1 <= count <= horizon:
        raise ValueError(f"months: {count} asked for, but the tape knows 1 to {horizon} of every loan of the pool")
    made = tuple(_months(loans, lives, first, count, charge_off_lag, recovery_lag))
    return DerivedMonths(made, int((capped > 0).sum()), int(capped.sum()), horizon)


def _lives(loans: LoanArrays, outcome: OutcomeFrame) -> tuple[_Lives, IntArray]:
    place = np.minimum(np.searchsorted(outcome.loan_id, loans.loan_id), max(len(outcome) - 1, 0))
    unknown = outcome.loan_id[place] != loans.loan_id
    if unknown.any():
        raise ValueError(f"outcome: loan {loans.loan_id[int(np.argmax(unknown))]} is not on the tape of outcomes")
    opening = _cents(loans.balance)
    failed = outcome.exit_kind[place] == DEFAULT
    written = np.where(failed, _cents(outcome.charged_off[place]), 0)
    lost = np.minimum(written, opening)
    recovered = np.where(lost > 0, np.maximum(_cents(outcome.net_recovery[place]), 0), 0)
    exits = outcome.exit_month[place] - loans.age
    return _Lives(opening, exits, failed & (lost > 0), lost, recovered), written - lost


def _horizon(loans: LoanArrays, outcome: OutcomeFrame, lives: _Lives, tail: int) -> int:
    place = np.searchsorted(outcome.loan_id, loans.loan_id)
    censored = outcome.exit_kind[place] == CENSORED
    last = int(lives.exit.max()) + (tail if lives.failed.any() else 0)
    return min(last, int(lives.exit[censored].min())) if censored.any() else last


def _months(
    loans: LoanArrays, lives: _Lives, first: int, count: int, charge_off_lag: int, recovery_lag: int
) -> Iterator[PerformanceMonth]:
    none = np.zeros_like(lives.opening)
    balance = lives.opening
    written_at = np.where(lives.failed, np.maximum(lives.exit + charge_off_lag, 1), -1)
    # The last month in which a loan pays: of a defaulted one that before the first missed payment.
    last = np.where(lives.failed, lives.exit - 1, lives.exit)
    monthly = loans.rate / 12.0
    for t in range(1, count + 1):
        age = np.minimum(loans.age + t, loans.original_term)
        planned = _cents(_scheduled(loans, age))
        floor = np.where(lives.failed, lives.lost, 0)
        paying = (balance > 0) & (t <= last)
        target = np.where(paying, np.minimum(np.maximum(planned, floor), balance), balance)
        scheduled = balance - target
        prepaid = np.where(paying & (t == last), target - floor, 0)
        # Of a loan that ends by its schedule the whole last payment is scheduled.
        matured = paying & (t == last) & ~lives.failed & (t >= loans.remaining_term)
        scheduled = scheduled + np.where(matured, prepaid, 0)
        prepaid = np.where(matured, 0, prepaid)
        interest = np.where(paying, np.rint(balance * monthly).astype(np.int64), 0)
        written = np.where(t == written_at, balance, none)
        recovery = np.where(t == written_at + recovery_lag, lives.recovered, 0) * (written_at > 0)
        after = balance - scheduled - prepaid - written
        late = np.where(lives.failed & (t >= lives.exit) & (after > 0), DUE_DAY + MONTH_DAYS * (t - lives.exit), 0)
        keep = (balance > 0) | (recovery > 0)
        yield PerformanceMonth(
            period=month_name(first + t - 1),
            loan_id=loans.loan_id[keep],
            row=np.arange(1, int(keep.sum()) + 1),
            ending_balance=after[keep],
            days_past_due=late[keep].astype(np.int64),
            scheduled_principal=scheduled[keep],
            prepayment=prepaid[keep],
            interest=interest[keep],
            charge_off=written[keep],
            recovery=recovery[keep],
        )
        balance = after


def _scheduled(loans: LoanArrays, age: IntArray) -> NDArray[np.float64]:
    """(n,) scheduled balance at the age, run from the balance and age at cut-off."""
    return scheduled_balance(loans.balance, loans.rate, loans.remaining_term, age - loans.age)


def _cents(amount: NDArray[np.float64]) -> IntArray:
    return np.rint(np.asarray(amount) * 100.0).astype(np.int64)
