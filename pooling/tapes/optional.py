"""The fields a tape may lack: dates, obligor, score, and what became of the loan.

A row is refused only for an impossible date or a negative outstanding balance; any other cell that cannot be
read stays unknown and is remarked upon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.arrays import IntegerArray

from pooling.tapes.columns import (
    BoolArray,
    FloatArray,
    MonthColumn,
    NumberColumn,
    month_column,
    number_column,
    texts,
)
from pooling.tapes.issues import shorten
from pooling.tapes.log import IssueLog
from pooling.tapes.reading import RawTape
from pooling.tapes.required import as_fraction, chosen_unit
from pooling.tapes.units import UnitDecision, decide_ratio
from pooling.tapes.values import Number, parse_number, parse_score, parse_years

# Small negative balances are real: a last payment rounded up by the servicer. They count as zero.
SMALL_NEGATIVE_CENTS = -100
LOWEST_SCORE, HIGHEST_SCORE = 250.0, 990.0

_MONEY_FIELDS = ("instalment", "received_principal", "received_interest", "recoveries", "recovery_fee")
_UPPER_FIELDS = ("grade", "sub_grade", "state", "home_ownership")
_STATUS_PREFIX = "does not meet the credit policy. status:"
_STATUSES = {
    "": "",
    "current": "current",
    "issued": "current",
    "in grace period": "grace",
    "default": "defaulted",
    "defaulted": "defaulted",
    "charged off": "charged_off",
    "chargedoff": "charged_off",
    "fully paid": "paid",
    "completed": "paid",
}


def read_optional(
    raw: RawTape, mapping: Mapping[str, str], log: IssueLog, units: Mapping[str, str]
) -> tuple[dict[str, object], tuple[UnitDecision, ...]]:
    """Frame columns of length m by name (checking.COLUMNS), unknown where the tape is silent; unit decisions.

    units: field -> unit decided by a person ("dti": "percent" or "fraction").
    """
    reader = _OptionalReader(raw, mapping, log, units)
    columns: dict[str, object] = {
        "issue_month": reader.month("issue_date"),
        "last_payment_month": reader.month("last_payment_date"),
        "purpose": reader.texts("purpose"),
        "obligor": reader.texts("obligor"),
        "score": reader.score(),
        "income": reader.income(),
        "dti": reader.dti(),
        "employment_years": reader.number("employment", parse_years),
        "outstanding_cents": reader.outstanding(),
        "status": reader.status(),
    }
    for field in _UPPER_FIELDS:
        columns[field] = pd.Series(reader.texts(field), dtype="str").str.upper().to_numpy(dtype=object)
    for field in _MONEY_FIELDS:
        columns[f"{field}_cents"] = reader.money(field)
    return columns, tuple(reader.units)


class _OptionalReader:
    def __init__(self, raw: RawTape, mapping: Mapping[str, str], log: IssueLog, units: Mapping[str, str]) -> None:
        self._raw = raw
        self._mapping = mapping
        self._log = log
        self._chosen = units
        self._n = len(raw.row)
        self.units: list[UnitDecision] = []

    def texts(self, field: str) -> NDArray[np.object_]:
        if field not in self._mapping:
            return np.full(self._n, "", dtype=object)
        return texts(self._raw.cells, self._mapping[field])

    def _column(self, field: str, parse: Callable[[str], Number] = parse_number) -> NumberColumn | None:
        """The column, with a remark on what cannot be read; None where the tape has none."""
        if field not in self._mapping:
            return None
        column = number_column(self.texts(field), parse)
        bad = ~column.known & (column.problem != "missing")
        self._remark(bad, field, column.text, "unparsable", "cannot be read as a number")
        return column

    def _remark(self, bad: BoolArray, field: str, text: NDArray[np.object_], rule: str, said: str) -> None:
        header = self._mapping[field]

        def tell(position: int) -> str:
            return f"{field} {shorten(str(text[position]))!r} {said} and is left unknown; correct {header}"

        self._log.warn(bad, header, text, f"{field}_{rule}", tell)

    def number(self, field: str, parse: Callable[[str], Number] = parse_number) -> FloatArray:
        column = self._column(field, parse)
        return np.full(self._n, np.nan) if column is None else np.where(column.known, column.value, np.nan)

    def money(self, field: str) -> IntegerArray:
        column = self._column(field)
        if column is None:
            return _cents(np.zeros(self._n, dtype=np.int64), np.zeros(self._n, dtype=bool))
        return _cents(column.cents, column.known)

    def month(self, field: str) -> NDArray[np.object_]:
        if field not in self._mapping:
            return self.texts(field)
        column = month_column(self.texts(field))
        self._refuse_dates(field, column)
        filled = int((column.problem == "").sum())
        order = "day first" if column.day_first else "month first where written with numbers"
        basis = f"{filled:,} dates; {order}" + ("" if column.precision == "day" else "; no day but the first occurs")
        unit = UnitDecision(field, self._mapping[field], column.precision, 1.0 if filled else 0.0, basis)
        self.units.append(unit)
        return column.month

    def _refuse_dates(self, field: str, column: MonthColumn) -> None:
        header = self._mapping[field]
        said = {"impossible": "is an impossible date", "unparsable": "is not a date that can be read"}
        for problem, words in said.items():

            def tell(position: int, words: str = words) -> str:
                shown = shorten(str(column.text[position]))
                return f"{field} {shown!r} {words}; write {header} as YYYY-MM or YYYY-MM-DD, 1900 to 2100"

            self._log.reject(column.problem == problem, header, column.text, f"date_{problem}", tell)

    def score(self) -> FloatArray:
        names = ["score"] if "score" in self._mapping else ["score_low", "score_high"]
        fields = [field for field in names if field in self._mapping]
        if not fields:
            return np.full(self._n, np.nan)
        value = np.mean([self.number(field, parse_score) for field in fields], axis=0)
        outside = np.isfinite(value) & ((value < LOWEST_SCORE) | (value > HIGHEST_SCORE))
        self._remark(outside, fields[0], self.texts(fields[0]), "out_of_range", "is on no known scale")
        header = " and ".join(self._mapping[field] for field in fields)
        self.units.append(UnitDecision("score", header, "points", 1.0, "midpoint where a range is given; 0 is missing"))
        return np.where(outside, np.nan, value)

    def income(self) -> FloatArray:
        field = "income" if "income" in self._mapping else "monthly_income"
        if field not in self._mapping:
            return np.full(self._n, np.nan)
        unit, months = ("per_year", 1) if field == "income" else ("per_month", 12)
        self.units.append(UnitDecision("income", self._mapping[field], unit, 0.9, "by the column's name"))
        return self.number(field) * months

    def dti(self) -> FloatArray:
        column = self._column("dti")
        if column is None:
            return np.full(self._n, np.nan)
        header = self._mapping["dti"]
        decision = decide_ratio("dti", header, np.where(column.known, column.value, np.nan), column.percent)
        if "dti" in self._chosen:
            decision = chosen_unit("dti", header, self._chosen["dti"], ("percent", "fraction"))
        self.units.append(decision)
        return np.where(column.known, as_fraction(column, decision), np.nan)

    def outstanding(self) -> IntegerArray:
        column = self._column("outstanding")
        if column is None:
            return self.money("outstanding")
        header = self._mapping["outstanding"]
        negative = column.known & (column.cents < SMALL_NEGATIVE_CENTS)
        self._log.reject(
            negative,
            header,
            column.text,
            "outstanding_negative",
            lambda i: f"outstanding balance {column.text[i]!r} is below zero; correct {header} or remove the loan",
        )
        return _cents(np.maximum(column.cents, 0), column.known)

    def status(self) -> NDArray[np.object_]:
        text = self.texts("status")
        codes, distinct = pd.factorize(text)
        plain = [str(each).lower().removeprefix(_STATUS_PREFIX).strip() for each in distinct]
        named: NDArray[np.object_] = np.array([_status(each) for each in plain], dtype=object)[codes]
        if "status" in self._mapping:
            self._remark(named == "other", "status", text, "unknown", "is no known status")
        return named


def _status(plain: str) -> str:
    """current, grace, delinquent, defaulted, charged_off, paid, "" (empty) or other."""
    if plain.startswith(("late (", "past due (")):
        return "delinquent"
    return _STATUSES.get(plain, "other")


def _cents(cents: NDArray[np.int64], known: BoolArray) -> IntegerArray:
    return IntegerArray(np.where(known, cents, 0), ~known)
