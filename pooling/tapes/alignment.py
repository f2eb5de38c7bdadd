"""From checked loans to the arrays a simulation reads: at origination, at a past date, or as they stand.

The arrays hold origination fields and balances known at the cut-off. Outcomes are used only to see which
loans were still running at a past date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accounts.errors import ApplicationError
from pooling.engine.loans import LoanArrays
from pooling.tapes.columns import BoolArray, FloatArray
from pooling.tapes.dates import month_name, parse_month
from pooling.tapes.exits import CHARGE_OFF_LAG, NO_MONTH, IntArray, months_of
from pooling.tapes.regions import sectors
from pooling.tapes.sealed import TapeRows

ORIGINATION = "origination"


@dataclass(frozen=True, eq=False)
class AlignedPool:
    """Loans at one cut-off, and how they came to be there.

    loans: arrays sorted by loan id. mask: (n accepted,) which rows of CheckedTape.frame they are. label: for
    people. synthetic: the loans never stood side by side like this (age-aligned). cut_off: "YYYY-MM" or "".
    excluded: reason -> loans left out.
    """

    loans: LoanArrays
    mask: BoolArray
    label: str
    synthetic: bool
    cut_off: str
    excluded: Mapping[str, int]


def age_align(checked: TapeRows, as_of: str | None = None, *, group: str = "pool") -> AlignedPool:
    """The tape's loans as one pool.

    as_of "origination": each loan new, with its funded amount (synthetic where the tape spans months).
    as_of "YYYY-MM" or "YYYY-MM-DD": loans issued by then and running, at their scheduled balance; a loan two
    payments behind at that date is left out. None: as they stand on the tape, by outstanding principal; the
    funded amount of new loans where the tape knows neither balance, status nor date.
    Raises ApplicationError with code pool_empty, as_of_invalid or tape_no_dates.
    """
    if checked.accepted == 0:
        raise ApplicationError(
            "No row of the tape passed the checks; see the error file.", code="pool_empty", field="tape"
        )
    if as_of is None:
        return _as_it_stands(checked, group)
    if as_of == ORIGINATION:
        return _at_origination(checked, group)
    parsed = parse_month(as_of)
    if parsed.problem or not as_of[:4].isdigit():
        sentence = f"as_of {as_of!r} is neither 'origination' nor a date such as 2010-03 or 2010-03-31."
        raise ApplicationError(sentence, code="as_of_invalid", field="as_of")
    return _at_date(checked, parsed.month, group)


def scheduled_balance(balance: FloatArray, rate: FloatArray, term: IntArray, age: IntArray) -> FloatArray:
    """Balance after age level payments: B ((1+r)^n - (1+r)^a) / ((1+r)^n - 1), r the monthly rate; all (n,).

    Written with expm1 so that rates near zero lose no digits; at rate zero it is linear. Zero from the term
    on.
    """
    monthly = np.log1p(rate / 12.0)
    left = np.maximum(term - age, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # (q^n - q^a) / (q^n - 1) = (1 - q^-(n-a)) / (1 - q^-n)
        share = np.expm1(-left * monthly) / np.expm1(-term * monthly)
    return np.asarray(balance * np.where(monthly > 0, share, left / term))


def _at_origination(checked: TapeRows, group: str) -> AlignedPool:
    frame = checked.frame
    months = sorted(set(frame["issue_month"]) - {""})
    spread = f", issued {months[0]} to {months[-1]}" if months else ""
    return _pool(
        checked,
        np.ones(len(frame), dtype=bool),
        _funded(checked),
        np.zeros(len(frame), dtype=np.int64),
        group,
        label=f"synthetic pool: every loan aligned to its origination (age 0){spread}",
        synthetic=True,
        cut_off="",
        excluded={},
    )


def _at_date(checked: TapeRows, month: str, group: str) -> AlignedPool:
    frame = checked.frame
    if "issue_date" not in checked.mapping:
        sentence = "The tape has no issue date, so it has no state at a date; use 'origination' or add one."
        raise ApplicationError(sentence, code="tape_no_dates", field="as_of")
    cut_off = months_of([month])[0]
    issue, last = months_of(frame["issue_month"]), months_of(frame["last_payment_month"])
    term = frame["term"].to_numpy(dtype=np.int64)
    status = frame["status"].to_numpy(dtype=str)
    age = np.where(issue == NO_MONTH, 0, cut_off - issue)
    last_known = np.where(last == NO_MONTH, issue, last)
    failed = np.isin(status, ("charged_off", "defaulted"))
    tests = (
        ("issue date unknown", issue == NO_MONTH),
        ("issued after the date", age < 0),
        ("past its term at the date", age >= term),
        ("paid off by the date", (status == "paid") & (last_known <= cut_off)),
        ("charged off by the date", failed & (last_known + CHARGE_OFF_LAG <= cut_off)),
        ("two or more payments behind at the date", failed & (last_known <= cut_off - 2) & (age >= 2)),
    )
    mask, excluded = _first_reason(tests, len(frame))
    rate = frame["rate"].to_numpy(dtype=float)
    age = np.clip(age, 0, None)
    balance = scheduled_balance(_funded(checked), rate, term, age)
    label = f"loans running at {month}, at their scheduled balance"
    return _pool(checked, mask, balance, age, group, label=label, synthetic=False, cut_off=month, excluded=excluded)


def _as_it_stands(checked: TapeRows, group: str) -> AlignedPool:
    frame = checked.frame
    if not {"outstanding", "status"} & set(checked.mapping):
        # Amount, rate and term are all the tape knows (an issue date alone does not tell the cut-off).
        age = np.zeros(len(frame), dtype=np.int64)
        every = np.ones(len(frame), dtype=bool)
        label = "new loans: the tape knows no outstanding balance, so each stands at its amount (age 0)"
        return _pool(
            checked,
            every,
            _funded(checked),
            age,
            group,
            label=label,
            synthetic=False,
            cut_off="",
            excluded={},
        )
    status = frame["status"].to_numpy(dtype=str)
    funded = _funded(checked)
    term = frame["term"].to_numpy(dtype=np.int64)
    outstanding = frame["outstanding_cents"].to_numpy(dtype=float, na_value=np.nan) / 100.0
    cut_off, age = _ages(checked, funded, np.where(np.isnan(outstanding), funded, outstanding))
    scheduled = scheduled_balance(funded, frame["rate"].to_numpy(dtype=float), term, age)
    balance = np.where(np.isnan(outstanding), scheduled, outstanding)
    tests = (
        ("finished: paid or charged off", np.isin(status, ("paid", "charged_off", "defaulted"))),
        ("not current", ~np.isin(status, ("current", ""))),
        ("no outstanding balance", ~(balance > 0)),
        ("past its term", age >= term),
    )
    mask, excluded = _first_reason(tests, len(frame))
    when = f" at {month_name(cut_off)}" if cut_off != NO_MONTH else ""
    label = f"current loans{when}, at their outstanding balance (scheduled where the tape gives none)"
    name = month_name(cut_off) if cut_off != NO_MONTH else ""
    return _pool(checked, mask, balance, age, group, label=label, synthetic=False, cut_off=name, excluded=excluded)


def _ages(checked: TapeRows, funded: FloatArray, balance: FloatArray) -> tuple[int, IntArray]:
    """Cut-off month (NO_MONTH where unknown) and months since issue.

    The cut-off is the latest payment on the tape. Without payment dates it is the month at which most loans'
    balances lie on their schedule; without issue dates the age is read off the schedule loan by loan.
    """
    frame = checked.frame
    issue, last = months_of(frame["issue_month"]), months_of(frame["last_payment_month"])
    dated = issue != NO_MONTH
    implied = _implied_age(funded, balance, frame["rate"].to_numpy(dtype=float), frame["term"].to_numpy(dtype=np.int64))
    if not dated.any():
        return NO_MONTH, implied
    if (last != NO_MONTH).any():
        cut_off = int(max(last.max(), issue.max()))
    else:
        live = dated & (balance > 0)
        cut_off = int(np.median((issue + implied)[live])) if live.any() else int(issue.max())
        cut_off = max(cut_off, int(issue.max()))
    return cut_off, np.where(dated, cut_off - issue, implied)


def _implied_age(funded: FloatArray, balance: FloatArray, rate: FloatArray, term: IntArray) -> IntArray:
    """Number of level payments after which the scheduled balance is the given one, to the nearest month."""
    monthly = np.log1p(rate / 12.0)
    share = np.clip(np.nan_to_num(balance / funded, nan=0.0), 0.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = -np.log1p(share * np.expm1(-term * monthly)) / monthly
    left = np.where(monthly > 0, left, share * term)
    return np.clip(np.rint(term - left), 0, term).astype(np.int64)


def _first_reason(tests: tuple[tuple[str, BoolArray], ...], n: int) -> tuple[BoolArray, dict[str, int]]:
    """Loans no test catches, and per reason the loans it was the first to catch."""
    mask = np.ones(n, dtype=bool)
    excluded = {}
    for reason, caught in tests:
        count = int((mask & caught).sum())
        if count:
            excluded[reason] = count
        mask &= ~caught
    return mask, excluded


def _funded(checked: TapeRows) -> FloatArray:
    return np.asarray(checked.frame["balance_cents"], dtype=float) / 100.0


def _pool(
    checked: TapeRows,
    mask: BoolArray,
    balance: FloatArray,
    age: IntArray,
    group: str,
    *,
    label: str,
    synthetic: bool,
    cut_off: str,
    excluded: Mapping[str, int],
) -> AlignedPool:
    if not mask.any():
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in excluded.items())
        sentence = f"No loan of the tape is left in the pool ({reasons}); for finished loans use as-of origination."
        raise ApplicationError(sentence, code="pool_empty", field="as_of")
    frame = checked.frame[mask]
    term = frame["term"].to_numpy(dtype=np.int64)
    ages: NDArray[np.int64] = age[mask]
    loans = LoanArrays(
        loan_id=frame["loan_id"].to_numpy(dtype=str),
        # Whole cents: a schedule's fractions of a cent are owed by nobody.
        balance=np.maximum(np.rint(balance[mask] * 100.0), 1.0) / 100.0,
        rate=frame["rate"].to_numpy(dtype=float),
        original_term=term,
        remaining_term=term - ages,
        age=ages,
        grade=frame["grade"].to_numpy(dtype=str),
        score=frame["score"].to_numpy(dtype=float),
        group=np.full(len(frame), group),
        sector=sectors(frame["state"]),
    )
    return AlignedPool(loans, mask, label, synthetic, cut_off, dict(excluded))


def pool_frame(checked: TapeRows, pool: AlignedPool) -> pd.DataFrame:
    """The pool's loans as a frame for eligibility and stratification, in the order of pool.loans.

    Origination columns of CheckedTape.frame and, at the cut-off: balance_cents, remaining_term, age; the
    funded amount is original_balance_cents. Nothing about what became of a loan.
    """
    kept = [
        "loan_id",
        "rate",
        "term",
        "grade",
        "sub_grade",
        "score",
        "issue_month",
        "state",
        "purpose",
        "income",
    ]
    kept += ["dti", "employment_years", "home_ownership", "obligor"]
    chosen = checked.frame[pool.mask].reset_index(drop=True)
    frame = chosen[kept].copy()
    frame["original_balance_cents"] = chosen["balance_cents"]
    frame["balance_cents"] = np.rint(pool.loans.balance * 100.0).astype(np.int64)
    frame["remaining_term"] = pool.loans.remaining_term
    frame["age"] = pool.loans.age
    return frame
