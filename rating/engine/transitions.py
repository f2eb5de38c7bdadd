"""How the loans of a pool moved from month to month: states, transition matrices, roll rates, realised speeds.

Counts are exact; shares follow from them. Not here: what was predicted (surveillance.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STATES = ("current", "1-29", "30-59", "60-89", "90+", "charged off", "prepaid", "matured")
LIVE = 5  # the states before this one still owe something; the others are final
CHARGED_OFF, PREPAID, MATURED = 5, 6, 7
FIRST_DAYS = (1, 30, 60, 90)  # days past due from which the next state begins
# Where "the last months" of an average are named.
SPANS = (1, 3)


def loan_states(balance: IntArray, days_past_due: IntArray, prepayment: IntArray, charge_off: IntArray) -> IntArray:
    """(T + 1, n) place in STATES of every loan at cut-off and at the end of each month.

    balance, days_past_due: (T + 1, n), row 0 at cut-off. prepayment, charge_off: (T, n) in the month; money in one
    unit. A loan has ended in the first month at whose end it owes nothing: charged off where part of it was written
    off in that month, else prepaid where it paid more than was scheduled, else matured. It stays what it is.
    Raises ValueError for shapes that do not fit, and for a loan that owes nothing at cut-off.
    """
    months, loans = charge_off.shape
    shape = (months + 1, loans)
    if balance.shape != shape or days_past_due.shape != shape or prepayment.shape != charge_off.shape:
        raise ValueError(f"balance: shape {balance.shape}, expected ({months + 1}, {loans}), and days_past_due alike")
    if (balance[0] <= 0).any():
        raise ValueError(f"balance: loan {int(np.argmax(balance[0] <= 0))} owes nothing at cut-off")
    states = np.searchsorted(np.asarray(FIRST_DAYS), days_past_due, side="right").astype(np.int64)
    ended = balance == 0
    how = np.where(charge_off > 0, CHARGED_OFF, np.where(prepayment > 0, PREPAID, MATURED))
    final = np.zeros(loans, dtype=np.int64)
    for t in range(1, months + 1):
        fresh = ended[t] & (final == 0)
        final[fresh] = how[t - 1, fresh]
        states[t] = np.where(final > 0, final, states[t])
    return states


@dataclass(frozen=True, eq=False)
class Transitions:
    """Moves over one month, added up over months `first` to `last`. Rows: state before, columns: after, as STATES.

    count: (8, 8) loans. balance: (8, 8) what they owed before, nothing of those that had ended.
    """

    first: int
    last: int
    count: IntArray
    balance: IntArray

    @property
    def share(self) -> FloatArray:
        """(8, 8) of the loans of each row; rows sum to 1, NaN where no loan began."""
        return _shares(self.count)

    @property
    def share_of_balance(self) -> FloatArray:
        """(8, 8) of the balance of each row; rows sum to 1, NaN where nothing was owed."""
        return _shares(self.balance)


def transitions(states: IntArray, balance: IntArray, first: int = 1, last: int | None = None) -> Transitions:
    """The moves of months first to last (None: all). states, balance: (T + 1, n) as loan_states.

    Raises ValueError for months that are not there.
    """
    last = len(states) - 1 if last is None else last
    if not 1 <= first <= last < len(states):
        raise ValueError(f"first, last: {first} to {last} of {len(states) - 1} months")
    size = len(STATES)
    count, owed = np.zeros(size * size, dtype=np.int64), np.zeros(size * size, dtype=np.int64)
    for t in range(first, last + 1):
        cell = states[t - 1] * size + states[t]
        count += np.bincount(cell, minlength=size * size)
        # Sums of whole cents below 2^53 are exact in float64.
        owed += np.bincount(cell, balance[t - 1], size * size).astype(np.int64)
    return Transitions(first, last, count.reshape(size, size), owed.reshape(size, size))


@dataclass(frozen=True, eq=False)
class RollRates:
    """Of each live state and month, (5, T): loans that began there, that ended the month in a worse state (charged off
    the worst), in a better one, paid off; and the balances that began and that rolled to a worse state. Where nothing
    began the share is NaN."""

    began: IntArray
    worse: IntArray
    better: IntArray
    paid_off: IntArray
    balance_began: IntArray
    balance_worse: IntArray

    @property
    def share(self) -> FloatArray:
        """(5, T) of the loans that began in a state, those that rolled to a worse one."""
        return _ratio(self.worse, self.began)

    @property
    def share_of_balance(self) -> FloatArray:
        """(5, T) the same of their balance."""
        return _ratio(self.balance_worse, self.balance_began)


def roll_rates(states: IntArray, balance: IntArray) -> RollRates:
    """Roll rates of every month. states, balance: (T + 1, n) as loan_states."""
    months = len(states) - 1
    tables = np.zeros((6, LIVE, months), dtype=np.int64)
    for t in range(1, months + 1):
        moved = transitions(states, balance, t, t)
        for k in range(LIVE):
            row, owed = moved.count[k], moved.balance[k]
            worse = slice(k + 1, CHARGED_OFF + 1)
            tables[:, k, t - 1] = (
                row.sum(), row[worse].sum(), row[:k].sum(), row[PREPAID:].sum(), owed.sum(), owed[worse].sum(),
            )  # fmt: skip
    return RollRates(*tables)


@dataclass(frozen=True, eq=False)
class Speeds:
    """Realised speeds by month, (T,). smm, mdr: monthly fractions. cpr, cdr: annual, of the month; cpr_3, cdr_3: of the
    last three months, or of those there are; cpr_life, cdr_life: of all months so far. NaN where nothing is left."""

    smm: FloatArray
    mdr: FloatArray
    cpr: FloatArray
    cdr: FloatArray
    cpr_3: FloatArray
    cdr_3: FloatArray
    cpr_life: FloatArray
    cdr_life: FloatArray


def realised_speeds(
    opening: FloatArray, scheduled: FloatArray, prepayment: FloatArray, charge_off: FloatArray
) -> Speeds:
    """Speeds of a pool, (T,) each: balance at the start of the month, and what left it in the month.

    MDR = charge-off / opening balance; SMM = prepayment / (opening balance - charge-off - scheduled principal), in the
    order of events of the simulation with default at charge-off; over several months the geometric mean of what
    survives each; CPR = 1 - (1 - SMM)^12, CDR alike (Standard Formulas, Bond Market Association, 1999, SF-4, SF-8).
    """
    smm = _ratio(prepayment, opening - charge_off - scheduled)
    mdr = _ratio(charge_off, opening)
    spans: list[FloatArray] = []
    for rate in (smm, mdr):
        known = np.where(np.isfinite(rate), rate, 0.0)
        logs = np.cumsum(np.log1p(-np.minimum(known, 1.0 - 1e-15)))
        count = np.arange(1, len(rate) + 1)
        for span in (*SPANS, len(rate)):
            before = np.concatenate([np.zeros(min(span, len(rate))), logs[: max(len(rate) - span, 0)]])
            annual = -np.expm1(12.0 * (logs - before) / np.minimum(count, span))
            spans.append(np.where(np.isfinite(rate), annual, np.nan))
    cpr, cpr_3, cpr_life, cdr, cdr_3, cdr_life = spans
    return Speeds(smm, mdr, cpr, cdr, cpr_3, cdr_3, cpr_life, cdr_life)


def _shares(table: IntArray) -> FloatArray:
    return _ratio(table, np.broadcast_to(table.sum(axis=1, keepdims=True), table.shape))


def _ratio(part: NDArray, whole: NDArray) -> FloatArray:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
