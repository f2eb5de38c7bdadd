"""Amount, rate and term: the three fields without which a row is no loan. Their units and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.tapes.columns import (
    BoolArray,
    FloatArray,
    NumberColumn,
    TermColumn,
    number_column,
    term_column,
    texts,
)
from pooling.tapes.issues import shorten
from pooling.tapes.log import IssueLog
from pooling.tapes.reading import RawTape
from pooling.tapes.units import UnitDecision, decide_ratio, decide_term

HIGHEST_RATE = 1.0
LONGEST_TERM = 480

_SAID = {
    "missing": "is missing",
    "unparsable": "is not a number",
    "not_finite": "is not a finite number",
    "out_of_range": "is larger than a loan can be",
}


@dataclass(frozen=True, eq=False)
class RequiredFields:
    """balance_cents: (m,) int64. rate: (m,) annual fraction. term: (m,) int64 months. Zero where refused."""

    balance_cents: NDArray[np.int64]
    rate: FloatArray
    term: NDArray[np.int64]
    instalment: NumberColumn | None
    units: tuple[UnitDecision, ...]


def read_required(raw: RawTape, mapping: Mapping[str, str], log: IssueLog, units: Mapping[str, str]) -> RequiredFields:
    """Type the three fields and refuse the rows that lack one. units: field -> unit decided by a person."""
    amount = number_column(texts(raw.cells, mapping["amount"]))
    rate = number_column(texts(raw.cells, mapping["rate"]))
    term = term_column(texts(raw.cells, mapping["term"]))
    instalment = number_column(texts(raw.cells, mapping["instalment"])) if "instalment" in mapping else None

    balance = _check_amount(amount, "amount", mapping["amount"], log)
    if "requested" in mapping:
        requested = number_column(texts(raw.cells, mapping["requested"]))
        _check_requested(requested, mapping["requested"], log)
    months, term_unit = _check_term(term, mapping["term"], log, units.get("term"))
    fraction, rate_unit = _check_rate(rate, mapping["rate"], log, units.get("rate"), amount, months, instalment)
    return RequiredFields(balance, fraction, months, instalment, (rate_unit, term_unit))


def refuse_unread(column: NumberColumn, field: str, header: str, log: IssueLog, *, missing: bool = True) -> None:
    """Refuse rows whose cell is no finite number; an empty cell only where missing is true."""
    for problem, said in _SAID.items():
        if problem == "missing" and not missing:
            continue
        bad = column.problem == problem
        mend = f"fill in {header}" if problem == "missing" else f"write a plain number in {header}"

        def tell(position: int, said: str = said, mend: str = mend) -> str:
            value = str(column.text[position])
            shown = f" {shorten(value)!r}" if value else ""
            return f"{field}{shown} {said}; {mend}"

        log.reject(bad, header, column.text, f"{field}_{problem}", tell)


def _check_amount(column: NumberColumn, field: str, header: str, log: IssueLog) -> NDArray[np.int64]:
    # An amount in percent is a column in the wrong place, not a number.
    log.reject(
        column.known & column.percent,
        header,
        column.text,
        f"{field}_unparsable",
        lambda i: f"{field} {column.text[i]!r} carries a % sign; write a plain number in {header}",
    )
    refuse_unread(column, field, header, log)
    bad = column.known & (column.cents <= 0)
    log.reject(bad, header, column.text, "balance_not_positive", lambda i: _not_positive(column, header, i))
    return np.where(column.known & (column.cents > 0), column.cents, 0)


def _not_positive(column: NumberColumn, header: str, position: int) -> str:
    shown = shorten(str(column.text[position]))
    return f"balance {shown!r} is not above zero; correct {header} or remove the loan"


def _check_requested(column: NumberColumn, header: str, log: IssueLog) -> None:
    """The amount asked for is not the balance, yet a negative one shows that the row is broken."""
    refuse_unread(column, "amount", header, log, missing=False)
    bad = column.known & (column.cents <= 0)
    log.reject(bad, header, column.text, "balance_not_positive", lambda i: _not_positive(column, header, i))


def _check_term(
    column: TermColumn, header: str, log: IssueLog, unit: str | None
) -> tuple[NDArray[np.int64], UnitDecision]:
    number = column.number
    refuse_unread(number, "term", header, log)
    decision = decide_term(header, number.value, column.years, column.months)
    if unit is not None:
        decision = chosen_unit("term", header, unit, ("months", "years"))
    bare_years = (decision.unit == "years") & ~column.years & ~column.months
    months = np.where(column.years | bare_years, number.value * 12.0, number.value)
    whole = np.isfinite(months) & (months == np.floor(months))
    good = number.known & whole & (months >= 1) & (months <= LONGEST_TERM)
    log.reject(
        number.known & ~good,
        header,
        number.text,
        "term_out_of_range",
        lambda i: (
            f"term {shorten(str(number.text[i]))!r} is {months[i]:g} months; "
            f"{header} must be a whole number from 1 to {LONGEST_TERM}"
        ),
    )
    return np.where(good, months, 0).astype(np.int64), decision


def _check_rate(
    column: NumberColumn,
    header: str,
    log: IssueLog,
    unit: str | None,
    amount: NumberColumn,
    term: NDArray[np.int64],
    instalment: NumberColumn | None,
) -> tuple[FloatArray, UnitDecision]:
    refuse_unread(column, "rate", header, log)
    decision = decide_ratio(
        "rate",
        header,
        column.value,
        column.percent,
        instalment=None if instalment is None else instalment.value,
        balance=amount.value,
        term=term.astype(float),
    )
    if unit is not None:
        decision = chosen_unit("rate", header, unit, ("percent", "fraction"))
    fraction = as_fraction(column, decision)
    negative = column.known & (fraction < 0)
    high = column.known & (fraction > HIGHEST_RATE)
    for bad, rule in ((negative, "rate_negative"), (high, "rate_too_high")):
        log.reject(
            bad,
            header,
            column.text,
            rule,
            lambda i: (
                f"rate {shorten(str(column.text[i]))!r} is {fraction[i] * 100:g} % a year; "
                f"{header} must lie between 0 % and {HIGHEST_RATE:.0%}"
            ),
        )
    good = column.known & ~negative & ~high
    return np.where(good, fraction, 0.0), decision


def as_fraction(column: NumberColumn, decision: UnitDecision) -> FloatArray:
    """(m,) fractions: a % sign speaks for itself, the column's decision for the rest."""
    percent: BoolArray = column.percent | (decision.unit == "percent")
    return np.where(percent, column.hundredth, column.value)


def chosen_unit(field: str, header: str, unit: str, allowed: tuple[str, ...]) -> UnitDecision:
    """A unit decided by a person. Raises ValueError for one that the field does not have."""
    if unit not in allowed:
        raise ValueError(f"units[{field!r}]: {unit!r} is not one of {', '.join(allowed)}")
    return UnitDecision(field, header, unit, 1.0, "chosen by a person")
