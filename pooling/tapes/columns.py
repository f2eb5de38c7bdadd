"""Columns of text to typed arrays: every distinct text is parsed once, then spread over the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pooling.tapes.dates import MonthValue, day_comes_first, parse_month
from pooling.tapes.values import Number, parse_number, parse_term, to_cents

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

# Beyond this no loan amount is meant, and cents would leave the 64-bit integers.
LARGEST_AMOUNT = Decimal(10) ** 12
NO_CENTS = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A parsed column, every array (n,).

    text: as in the tape. value: as written, NaN where none. hundredth: value / 100, divided before it became
    binary, so that 8.9 % and 0.089 are one number. cents: value * 100, NO_CENTS where none.
    percent: carried a % sign. problem: "" or "missing", "unparsable", "not_finite", "out_of_range".
    """

    text: NDArray[np.object_]
    value: FloatArray
    hundredth: FloatArray
    cents: NDArray[np.int64]
    percent: BoolArray
    problem: NDArray[np.str_]

    @property
    def known(self) -> BoolArray:
        known: BoolArray = self.problem == ""
        return known


@dataclass(frozen=True, eq=False)
class TermColumn:
    """A number column and the cells that name their unit themselves."""

    number: NumberColumn
    years: BoolArray
    months: BoolArray


@dataclass(frozen=True, eq=False)
class MonthColumn:
    """A date column, every array (n,). month: "YYYY-MM" or "". problem: "" or as in MonthValue.

    precision: "day" where the days of the column vary, "month" where none is given or all are the first.
    """

    text: NDArray[np.object_]
    month: NDArray[np.object_]
    problem: NDArray[np.str_]
    precision: str
    day_first: bool


def texts(cells: pd.DataFrame, header: str) -> NDArray[np.object_]:
    """A column of the tape as (n,) Python strings."""
    column: NDArray[np.object_] = cells[header].to_numpy(dtype=object)
    return column


def number_column(text: NDArray[np.object_], parse: Callable[[str], Number] = parse_number) -> NumberColumn:
    """Parse a column of texts."""
    codes, distinct = pd.factorize(text)
    return _spread(text, codes, [parse(each) for each in distinct])


def term_column(text: NDArray[np.object_]) -> TermColumn:
    """Parse a column of terms."""
    codes, distinct = pd.factorize(text)
    parsed = [parse_term(each) for each in distinct]
    years = np.array([unit is True for _, unit in parsed], dtype=bool)
    months = np.array([unit is False for _, unit in parsed], dtype=bool)
    return TermColumn(_spread(text, codes, [number for number, _ in parsed]), years[codes], months[codes])


def _spread(text: NDArray[np.object_], codes: NDArray[np.intp], numbers: list[Number]) -> NumberColumn:
    value = np.array([np.nan if n.value is None else float(n.value) for n in numbers], dtype=float)
    hundredth = np.array([np.nan if n.value is None else float(n.value.scaleb(-2)) for n in numbers], dtype=float)
    inside = [n.value is not None and abs(n.value) < LARGEST_AMOUNT for n in numbers]
    cents = np.array(
        [to_cents(n.value) if ok and n.value is not None else NO_CENTS for n, ok in zip(numbers, inside, strict=True)],
        dtype=np.int64,
    )
    problem = np.array(
        [n.problem or ("" if ok else "out_of_range") for n, ok in zip(numbers, inside, strict=True)],
        dtype="U12",
    )
    percent = np.array([n.percent for n in numbers], dtype=bool)
    return NumberColumn(text, value[codes], hundredth[codes], cents[codes], percent[codes], problem[codes])


def month_column(text: NDArray[np.object_]) -> MonthColumn:
    """Parse a column of dates, the order of day and month decided for the whole column."""
    codes, distinct = pd.factorize(text)
    day_first = day_comes_first(distinct)
    parsed: list[MonthValue] = [parse_month(each, day_first=day_first) for each in distinct]
    month = np.array([each.month for each in parsed], dtype=object)
    problem = np.array([each.problem for each in parsed], dtype="U12")
    precision = "day" if any(each.day > 1 for each in parsed) else "month"
    return MonthColumn(text, month[codes], problem[codes], precision, day_first)
