"""Dates of a tape: a month, and how precisely the tape knows it. A day is never invented.

Written forms: 2010-12, 2010-12-01, 2010/12/01, timestamps, Dec-2010, Dec-10, 12/2010, 12/01/2010, 01-12-2010.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pooling.tapes.values import BLANKS

EARLIEST_YEAR = 1900
LATEST_YEAR = 2100

_MONTHS = {name.lower(): i for i, name in enumerate(calendar.month_abbr) if name}
_TIME = r"(?:[t ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:z|[+-]\d{2}:?\d{2})?)?"
_ISO = re.compile(rf"(\d{{4}})[-/](\d{{1,2}})(?:[-/](\d{{1,2}}){_TIME})?", re.ASCII)
_NAMED = re.compile(r"(?:(\d{1,2})[- ])?([a-z]{3})[a-z]*[- ](\d{2}|\d{4})", re.ASCII)
_SHORT = re.compile(r"(\d{1,2})[-/](\d{4})", re.ASCII)
_PARTS = re.compile(rf"(\d{{1,2}})[-/](\d{{1,2}})[-/](\d{{4}}){_TIME}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MonthValue:
    """One cell as a date. month: "YYYY-MM" or "". day: of the month, 0 where the cell names none.

    problem: "" (fine), "missing", "unparsable" or "impossible" (a 13th month, 30 February, 1850, 2150).
    """

    month: str
    day: int = 0
    problem: str = ""


def day_comes_first(texts: Iterable[str]) -> bool:
    """Whether a column writes 31/12/2016 rather than 12/31/2016.

    Decided by the column: a first part above 12 says day first; else a second part above 12 says month first;
    else a first part that is always 1 says day first, as in monthly data. Otherwise month first.
    """
    firsts, seconds = set(), set()
    for text in texts:
        match = _PARTS.fullmatch(text.strip().lower())
        if match is not None:
            firsts.add(int(match[1]))
            seconds.add(int(match[2]))
    if not firsts or max(seconds) > 12:
        return False
    return max(firsts) > 12 or (firsts == {1} and seconds != {1})


def parse_month(text: str, *, day_first: bool = False) -> MonthValue:
    """The month a cell names. Two-digit years are 1970 to 2069 (only with a month's name: Dec-10)."""
    lowered = text.strip().lower()
    if lowered in BLANKS or lowered == "nan":
        return MonthValue("", problem="missing")
    parts = _parts(lowered, day_first)
    if parts is None:
        return MonthValue("", problem="unparsable")
    year, month, day = parts
    possible = EARLIEST_YEAR <= year <= LATEST_YEAR and 1 <= month <= 12
    if not possible or (day is not None and not 1 <= day <= calendar.monthrange(year, month)[1]):
        return MonthValue("", problem="impossible")
    return MonthValue(f"{year:04d}-{month:02d}", day or 0)


def _parts(text: str, day_first: bool) -> tuple[int, int, int | None] | None:
    """Year, month and day or None, not yet checked; None where no form fits."""
    if match := _ISO.fullmatch(text):
        return int(match[1]), int(match[2]), int(match[3]) if match[3] else None
    if match := _SHORT.fullmatch(text):
        return int(match[2]), int(match[1]), None
    if match := _PARTS.fullmatch(text):
        first, second = int(match[1]), int(match[2])
        return int(match[3]), *((second, first) if day_first else (first, second))
    if (match := _NAMED.fullmatch(text)) and match[2] in _MONTHS:
        year = int(match[3])
        if len(match[3]) == 2:
            year += 2000 if year < 70 else 1900
        return year, _MONTHS[match[2]], int(match[1]) if match[1] else None
    return None


def month_number(month: str) -> int:
    """Months since January 1970 of "YYYY-MM". Raises ValueError naming the text where it is no month."""
    match = re.fullmatch(r"(\d{4})-(\d{2})", month, re.ASCII)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise ValueError(f"month: {month!r} is not of the form YYYY-MM")
    return (int(match[1]) - 1970) * 12 + int(match[2]) - 1


def month_name(number: int) -> str:
    """ "YYYY-MM" of months since January 1970."""
    return f"{1970 + number // 12:04d}-{number % 12 + 1:02d}"
