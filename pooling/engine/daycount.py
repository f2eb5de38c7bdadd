"""Day counts: the fraction of a year between two dates, exactly as a ratio and as float64.

Conventions are those of the 2006 ISDA Definitions, section 4.16. Not here: ACT/ACT (ICMA), which needs the coupon
period, and calendars of business days (pooling.engine.calendars).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

DayCount = Literal["30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT"]

DENOMINATORS: dict[str, int] = {"30/360": 360, "30E/360": 360, "ACT/360": 360, "ACT/365F": 365, "ACT/ACT": 365 * 366}

IntArray = NDArray[np.int64]


def year_fraction(start: dt.date, end: dt.date, day_count: DayCount) -> float:
    """Years from start to end, the start included and the end not; 0 for equal dates. See `year_fraction_parts`.

    Raises ValueError for an unknown day count, or where end lies before start.
    """
    numerator, denominator = year_fraction_parts(np.datetime64(start, "D"), np.datetime64(end, "D"), day_count)
    return int(numerator) / denominator


def year_fractions(starts: ArrayLike, ends: ArrayLike, day_count: DayCount) -> NDArray[np.float64]:
    """`year_fraction` for arrays of datetime64[D] (or what NumPy reads as such) of broadcastable shapes; float64.

    Raises ValueError as `year_fraction_parts`.
    """
    numerator, denominator = year_fraction_parts(starts, ends, day_count)
    return np.asarray(numerator / denominator, dtype=np.float64)


def year_fraction_parts(starts: ArrayLike, ends: ArrayLike, day_count: DayCount) -> tuple[IntArray, int]:
    """The fractions as int64 numerators of the broadcast shape over one whole denominator: interest in cents needs
    them exact.

    "30/360": bond basis, 4.16(f): D1 of 31 becomes 30, D2 of 31 becomes 30 where D1 is then 30; the end of February
    is a day like any other (so not the NASD rule of a spreadsheet's DAYS360). "30E/360": Eurobond basis, 4.16(g): any
    31 becomes 30. "ACT/360", "ACT/365F": actual days, 4.16(e) and (d). "ACT/ACT": ISDA, 4.16(b): days in a leap year
    / 366 + other days / 365; denominator 365 x 366.

    Raises ValueError for an unknown day count, a missing date, or an end before its start.
    """
    if day_count not in get_args(DayCount):
        raise ValueError(f"day_count: {day_count!r} is unknown; use one of {', '.join(get_args(DayCount))}")
    first, second = (np.asarray(dates, dtype="datetime64[D]") for dates in (starts, ends))
    if np.isnat(first).any() or np.isnat(second).any():
        raise ValueError("starts, ends: a date is missing; give every period both dates")
    if np.any(second < first):
        raise ValueError("ends: a date lies before its start; exchange the two")
    denominator = DENOMINATORS[day_count]
    if day_count in ("ACT/360", "ACT/365F"):
        return np.asarray(second - first).astype(np.int64), denominator
    one, two = _parts(first), _parts(second)
    if day_count == "ACT/ACT":
        return _actual_actual(first, one, second, two, denominator), denominator
    return _thirty(one, two, european=day_count == "30E/360"), denominator


@dataclass(frozen=True)
class _Parts:
    """Year, month 1-12 and day 1-31 of each date, int64."""

    year: IntArray
    month: IntArray
    day: IntArray


def _parts(dates: NDArray[Any]) -> _Parts:
    months = dates.astype("datetime64[M]")
    count = months.astype(np.int64)
    day = (dates - months.astype("datetime64[D]")).astype(np.int64) + 1
    return _Parts(np.asarray(1970 + count // 12), np.asarray(count % 12 + 1), np.asarray(day))


def _thirty(one: _Parts, two: _Parts, *, european: bool) -> IntArray:
    first = np.minimum(one.day, 30)
    capped = np.minimum(two.day, 30)
    second = capped if european else np.where(first == 30, capped, two.day)
    days = 360 * (two.year - one.year) + 30 * (two.month - one.month) + second - first
    return np.asarray(days, dtype=np.int64)


def _actual_actual(first: NDArray[Any], one: _Parts, second: NDArray[Any], two: _Parts, denominator: int) -> IntArray:
    """Whole years between, plus the part of the last year that has passed, less that of the first: the sum of the
    definition, gathered.
    """

    def passed(dates: NDArray[Any], year: IntArray) -> IntArray:
        new_year = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
        leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        days = np.asarray(dates - new_year).astype(np.int64)
        return np.asarray(days * np.where(leap, denominator // 366, denominator // 365), dtype=np.int64)

    total = (two.year - one.year) * denominator + passed(second, two.year) - passed(first, one.year)
    return np.asarray(total, dtype=np.int64)
