"""What became of the loans of a tape, kept apart from what a rating may see.

For calibration on a history, and to set realised beside predicted loss afterwards; never an input to the
rating of the same pool. Everything is derived from dates and amounts; the status only tells charged off from
paid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pooling.tapes.columns import BoolArray, FloatArray
from pooling.tapes.dates import month_number
from pooling.tapes.regions import sectors
from pooling.tapes.sealed import TapeRows

IntArray = NDArray[np.int64]

CENSORED, DEFAULT, PREPAID, MATURED = 0, 1, 2, 3

# Charge-off follows the last payment by five months: 120 days past due, one month after the due date.
CHARGE_OFF_LAG = 5
NO_MONTH = np.iinfo(np.int64).min

_NEEDED = ("issue_date", "status", "last_payment_date", "received_principal")


@dataclass(frozen=True, eq=False)
class OutcomeFrame:
    """One entry per loan, every array (n,), sorted by loan_id like CheckedTape.frame.

    loan_id: str. issue_month: months since January 1970. term: months. grade: text. rate: annual fraction.
    balance: currency units funded. exit_month: months on book at exit, 1 to term: of a default the first
    missed payment that was never cured, of a prepayment the month it was paid, else the last month observed
    (0 where a loan was issued in the last month of the data). exit_kind: CENSORED, DEFAULT, PREPAID or
    MATURED. charged_off: principal written off, currency units. net_recovery: recoveries less collection
    fees, currency units. sector: region of the borrower's state, "" where unknown. data_end: last month observed,
    months since January 1970.
    """

    loan_id: NDArray[np.str_]
    issue_month: IntArray
    term: IntArray
    grade: NDArray[np.str_]
    rate: FloatArray
    balance: FloatArray
    exit_month: IntArray
    exit_kind: IntArray
    charged_off: FloatArray
    net_recovery: FloatArray
    sector: NDArray[np.str_]
    data_end: int

    def __len__(self) -> int:
        return len(self.loan_id)


def outcomes(checked: TapeRows) -> OutcomeFrame | None:
    """Outcomes of the accepted loans, or None where the tape knows of no finished loan or has no dates.

    Months on book count from the month of issue, the first payment being due in month 1. With no payment at
    all a default is in month 1. Exits after the term (late payers) count in its last month. Needs issue date,
    status, last payment date and principal received; loans without an issue date are left out.
    """
    if any(field not in checked.mapping for field in _NEEDED):
        return None
    frame = checked.frame[checked.frame["issue_month"] != ""]
    status = frame["status"].to_numpy(dtype=str)
    defaulted = np.isin(status, ("charged_off", "defaulted"))
    last = months_of(frame["last_payment_month"])
    paid = (status == "paid") & (last != NO_MONTH)
    if not (defaulted | paid).any():
        return None
    issue = months_of(frame["issue_month"])
    data_end = int(max(last.max(), issue.max()))
    term = frame["term"].to_numpy(dtype=np.int64)
    on_book = np.where(last == NO_MONTH, 0, np.maximum(last - issue, 0))
    observed = np.minimum(data_end - issue, term)
    kind = np.select([defaulted, paid & (on_book >= term), paid], [DEFAULT, MATURED, PREPAID], CENSORED)
    exits = [np.minimum(on_book + 1, term), np.clip(on_book, 1, term)]
    exit_month = np.select([defaulted, paid], exits, observed)
    balance = _units(frame["balance_cents"])
    charged_off = np.where(defaulted, np.maximum(balance - _units(frame["received_principal_cents"]), 0.0), 0.0)
    recovered = _units(frame["recoveries_cents"]) - _units(frame["recovery_fee_cents"])
    return OutcomeFrame(
        loan_id=frame["loan_id"].to_numpy(dtype=str),
        issue_month=issue,
        term=term,
        grade=frame["grade"].to_numpy(dtype=str),
        rate=frame["rate"].to_numpy(dtype=float),
        balance=balance,
        exit_month=exit_month.astype(np.int64),
        exit_kind=kind.astype(np.int64),
        charged_off=charged_off,
        net_recovery=np.where(defaulted, recovered, 0.0),
        sector=sectors(frame["state"]),
        data_end=data_end,
    )


def realised_loss(outcome: OutcomeFrame, mask: BoolArray | None = None, *, balance: FloatArray | None = None) -> float:
    """Principal charged off less net recoveries, over the balance, of the loans in mask (n,).

    balance: (n,) currency units at cut-off; the funded amounts by default. Raises ValueError for an empty
    pool.
    """
    chosen = np.ones(len(outcome), dtype=bool) if mask is None else mask
    base = outcome.balance if balance is None else balance
    total = float(base[chosen].sum())
    if total <= 0:
        raise ValueError(f"mask: the chosen loans have a balance of {total}")
    return float((outcome.charged_off - outcome.net_recovery)[chosen].sum()) / total


def months_of(column: pd.Series | list[str]) -> IntArray:
    """Months since January 1970, NO_MONTH where unknown."""
    codes, distinct = pd.factorize(np.asarray(column, dtype=object))
    numbers = np.array([month_number(each) if each else NO_MONTH for each in distinct], dtype=np.int64)
    return np.asarray(numbers[codes], dtype=np.int64)


def _units(cents: pd.Series) -> FloatArray:
    """Currency units of cents; unknown amounts count as zero."""
    return np.asarray(cents.to_numpy(dtype=float, na_value=0.0) / 100.0)
