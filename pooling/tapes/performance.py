"""A servicer's monthly tape: what every loan of a pool paid, owes and lost in one month; read and checked.

One row a loan and month. A loan that still owes something is reported every month; one that has ended may be left
out, and comes back only with a recovery. Amounts are checked to the cent against the month before. Not here: storage,
and what the figures say of the deal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accounts.errors import ApplicationError
from pooling.engine.words import suggestion
from pooling.tapes.reading import RawTape

IntArray = NDArray[np.int64]

MONEY = ("ending_balance", "scheduled_principal", "prepayment", "interest", "charge_off", "recovery")
LATE = ("days_past_due", "bucket")
FLOWS = MONEY[1:]
COLUMNS = ("loan_id", "period", "ending_balance", *LATE, *FLOWS)
# A bucket stands for its first day.
BUCKETS: Mapping[str, int] = {"current": 0, "1-29": 1, "30-59": 30, "60-89": 60, "90+": 90}
MOST_DAYS = 9_999

_PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)
_AMOUNT = r"\d{1,13}(\.\d{1,2})?"
_SIGNED = r"-\d{1,13}(\.\d{1,2})?"
_DAYS = r"\d{1,4}"


@dataclass(frozen=True, eq=False)
class Performance:
    """What a servicer has reported of a pool's n loans over T months; cents. balance: (T + 1, n), row 0 at cut-off;
    days_past_due: (T + 1, n) at the end of the month, 0 at cut-off. The FLOWS (T, n)."""

    balance: IntArray
    days_past_due: IntArray
    scheduled_principal: IntArray
    prepayment: IntArray
    interest: IntArray
    charge_off: IntArray
    recovery: IntArray

    @property
    def months(self) -> int:
        return len(self.charge_off)


@dataclass(frozen=True, eq=False)
class PerformanceMonth:
    """One month of a tape. Arrays (m,), sorted by loan id: loan_id; row of the file, from 1; money in cents;
    days_past_due at the end of the month."""

    period: str
    loan_id: NDArray[np.str_]
    row: IntArray
    ending_balance: IntArray
    days_past_due: IntArray
    scheduled_principal: IntArray
    prepayment: IntArray
    interest: IntArray
    charge_off: IntArray
    recovery: IntArray

    def frame(self) -> pd.DataFrame:
        """What is stored: every column but the rows of the file, the period on every line."""
        columns = {name: getattr(self, name) for name in ("days_past_due", *MONEY)}
        return pd.DataFrame({"loan_id": self.loan_id.astype(object), "period": self.period, **columns})

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, period: str) -> PerformanceMonth:
        """The month of frame(), which may have no row; rows are numbered as they stand there."""
        columns = {name: frame[name].to_numpy(dtype=np.int64) for name in ("days_past_due", *MONEY)}
        return cls(
            period=period,
            loan_id=frame["loan_id"].to_numpy(dtype=str),
            row=np.arange(1, len(frame) + 1),
            **columns,
        )


@dataclass(frozen=True, eq=False)
class PoolStanding:
    """Where the loans of a pool stand after a month. loan_id: (n,) ascending. balance: (n,) cents owed, written off
    parts left out. written_off: (n,) cents charged off to date."""

    loan_id: NDArray[np.str_]
    balance: IntArray
    written_off: IntArray

    @classmethod
    def at_cutoff(cls, loan_id: NDArray[np.str_], balance: IntArray) -> PoolStanding:
        """Before the first month: nothing is written off."""
        return cls(loan_id, balance, np.zeros_like(balance))


def performance_months(raw: RawTape) -> tuple[PerformanceMonth, ...]:
    """The months of a file in their order, typed; nothing is compared with a pool yet.

    Raises ApplicationError (field "file") for a column that is unknown, missing or given twice over, a row that does
    not fit its header, and a cell that is no period, amount or number of days; the sentence names the row.
    """
    _headers(raw.headers)
    if raw.issues:
        raise _refused(raw.issues[0].sentence)
    cells, row = raw.cells, raw.row
    _each(cells["loan_id"] == "", lambda at: f"row {row[at]}: loan_id is empty; give the id of the loan")
    period = cells["period"]
    _each(
        ~period.str.fullmatch(_PERIOD),
        lambda at: f"row {row[at]}: period {period.iloc[at][:20]!r} is no month; write it as 2026-05",
    )
    columns = {name: _cents(cells[name], name, row) for name in MONEY}
    columns["days_past_due"] = _days(cells, row)
    loan_id, names = cells["loan_id"].to_numpy(dtype=str), period.to_numpy(dtype=str)
    months = []
    for name in sorted(set(names.tolist())):
        mask = names == name
        order = np.flatnonzero(mask)[np.argsort(loan_id[mask], kind="stable")]
        taken = {key: values[order] for key, values in columns.items()}
        months.append(PerformanceMonth(name, loan_id[order], row[order], **taken))
    return tuple(months)


def performance_checked(month: PerformanceMonth, before: PoolStanding) -> PoolStanding:
    """The pool's standing after the month, once every row follows from the standing before it.

    Raises ApplicationError (field "file"): a loan that is not in the pool or reported twice, one that owes something
    and is not reported, a balance that does not roll forward to the cent, principal or interest of a loan that had
    ended, a recovery of a loan that was never charged off, and lateness of a loan that owes nothing.
    """
    ids, row = month.loan_id, month.row
    place = np.minimum(np.searchsorted(before.loan_id, ids), len(before.loan_id) - 1)
    _each(before.loan_id[place] != ids, lambda at: f"row {row[at]}: loan {ids[at]} is not in the pool")
    twice = np.concatenate([ids[1:] == ids[:-1], [False]]) if len(ids) else np.zeros(0, dtype=bool)
    _each(twice, lambda at: f"row {row[at + 1]}: loan {ids[at]} is reported twice in {month.period}")
    start = np.zeros_like(before.balance)
    start[place] = 1
    missing = (before.balance > 0) & (start == 0)
    if missing.any():
        loan = before.loan_id[int(np.argmax(missing))]
        raise _refused(
            f"{month.period}: loan {loan} still owes {_money(int(before.balance[missing][0]))} and is not reported"
            f"{_others(missing)}; report every loan until it has ended"
        )
    opening = before.balance[place]
    due = opening - month.scheduled_principal - month.prepayment - month.charge_off
    _each(
        due != month.ending_balance,
        lambda at: (
            f"row {row[at]}: loan {ids[at]} began {month.period} with {_money(int(opening[at]))}; less"
            f" scheduled_principal, prepayment and charge_off that leaves {_money(int(due[at]))}, but ending_balance"
            f" says {_money(int(month.ending_balance[at]))}"
        ),
    )
    ended = (opening == 0) & (month.interest > 0)
    _each(ended, lambda at: f"row {row[at]}: loan {ids[at]} had ended before {month.period} and pays interest")
    written = before.written_off.copy()
    written[place] += month.charge_off
    _each(
        (month.recovery > 0) & (written[place] == 0),
        lambda at: f"row {row[at]}: loan {ids[at]} has a recovery in {month.period} but was never charged off",
    )
    _each(
        (month.days_past_due > 0) & (month.ending_balance == 0),
        lambda at: f"row {row[at]}: loan {ids[at]} owes nothing at the end of {month.period} but is past due",
    )
    balance = np.zeros_like(before.balance)
    balance[place] = month.ending_balance
    return PoolStanding(before.loan_id, balance, written)


def _headers(headers: tuple[str, ...]) -> None:
    for name in headers:
        if name not in COLUMNS:
            raise _refused(f"the column {name[:40]!r} is unknown{suggestion(name, COLUMNS)}")
    for name in COLUMNS:
        if name not in headers and name not in LATE:
            raise _refused(f"the column {name} is missing; a performance tape has {', '.join(COLUMNS)}")
    if sum(name in headers for name in LATE) != 1:
        raise _refused("give either days_past_due or bucket, one of the two")


def _cents(column: pd.Series, name: str, row: IntArray) -> IntArray:
    below = column.str.fullmatch(_SIGNED)
    _each(below, lambda at: f"row {row[at]}: {name} is {column.iloc[at]}; amounts are not negative")
    _each(
        ~column.str.fullmatch(_AMOUNT),
        lambda at: f"row {row[at]}: {name} {column.iloc[at][:20]!r} is no amount; write it as 1234.56, with a point",
    )
    parts = column.str.partition(".")
    cents = parts[2].str.ljust(2, "0").to_numpy(dtype=str).astype(np.int64)
    return np.asarray(parts[0].to_numpy(dtype=str).astype(np.int64) * 100 + cents)


def _days(cells: pd.DataFrame, row: IntArray) -> IntArray:
    if "bucket" in cells:
        given = cells["bucket"]
        _each(
            ~given.isin(list(BUCKETS)),
            lambda at: f"row {row[at]}: bucket {given.iloc[at][:20]!r} is none of {', '.join(BUCKETS)}",
        )
        return given.map(BUCKETS).to_numpy(dtype=np.int64)
    given = cells["days_past_due"]
    _each(
        ~given.str.fullmatch(_DAYS),
        lambda at: f"row {row[at]}: days_past_due {given.iloc[at][:20]!r} is no whole number from 0 to {MOST_DAYS}",
    )
    return given.to_numpy(dtype=str).astype(np.int64)


def _each(bad: pd.Series | NDArray[np.bool_], sentence: Callable[[int], str]) -> None:
    """Refuse the first bad row in words, and say how many more there are."""
    mask = np.asarray(bad, dtype=bool)
    if mask.any():
        raise _refused(sentence(int(np.argmax(mask))) + _others(mask))


def _others(mask: NDArray[np.bool_]) -> str:
    more = int(mask.sum()) - 1
    return f" (and {more:,} more)" if more else ""


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _refused(sentence: str) -> ApplicationError:
    text = sentence[0].upper() + sentence[1:]
    return ApplicationError(text if text.endswith((".", "?")) else f"{text}.", code="performance_invalid", field="file")
