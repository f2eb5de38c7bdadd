"""Business days: calendars with real holidays, roll rules, and regular payment dates.

Holidays come from the `holidays` library, one year at a time, kept for the life of the process. Not here: day counts.
"""

from __future__ import annotations

import calendar as month_lengths
import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, get_args

import holidays
import numpy as np
from numpy.typing import ArrayLike, NDArray

BusinessDayRule = Literal["unadjusted", "following", "modified_following", "preceding", "modified_preceding"]
CalendarName = Literal["none", "weekends", "US", "TARGET", "UK"]

ONE_DAY = dt.timedelta(days=1)

_Roll = Literal["following", "preceding", "modifiedfollowing", "modifiedpreceding"]
_ROLLS: dict[str, _Roll] = {  # NumPy's names
    "following": "following",
    "modified_following": "modifiedfollowing",
    "preceding": "preceding",
    "modified_preceding": "modifiedpreceding",
}

# US: the Federal Reserve Banks, on whose days dollars move: a holiday on a Saturday does not close the Friday before,
# as it does for federal offices. TARGET: days on which the euro payment system is shut. UK: bank holidays of England.
_SOURCES: dict[str, Callable[[int], Any]] = {
    "US": lambda year: holidays.financial_holidays("XFED", years=year, expand=False),
    "TARGET": lambda year: holidays.financial_holidays("XECB", years=year, expand=False),
    "UK": lambda year: holidays.country_holidays("GB", subdiv="ENG", years=year, expand=False),
}


@lru_cache(maxsize=1024)
def holiday_dates(calendar: CalendarName, year: int) -> frozenset[dt.date]:
    """The holidays of one year, those on a weekend included; empty for "none" and "weekends".

    "US" Federal Reserve Banks, "TARGET" euro payment system (European Central Bank), "UK" bank holidays in England.
    Raises ValueError for an unknown calendar, or a year before its first or after the library's last.
    """
    _known_calendar(calendar)
    source = _SOURCES.get(calendar)
    if source is None:
        return frozenset()
    known = _known_years(calendar)
    if year not in known:
        raise ValueError(
            f"calendar: {calendar} is known for {known.start} to {known.stop - 1}, not for {year}; use weekends"
        )
    return frozenset(source(year))


def is_business_day(date: dt.date, calendar: CalendarName) -> bool:
    """Whether payments can be made: any day for "none", else neither Saturday, Sunday nor holiday.

    Raises ValueError for an unknown calendar.
    """
    _known_calendar(calendar)
    if calendar == "none":
        return True
    return date.weekday() < 5 and date not in holiday_dates(calendar, date.year)


def adjust(date: dt.date, rule: BusinessDayRule, calendar: CalendarName) -> dt.date:
    """The business day for a due date (2006 ISDA Definitions, section 4.12).

    "following" the next, "preceding" the one before; "modified_following" and "modified_preceding" turn the other way
    rather than leave the month; "unadjusted" leaves the date as it is. Raises ValueError for an unknown rule or
    calendar.
    """
    _known_rule(rule)
    _known_calendar(calendar)
    if rule == "unadjusted":
        return date
    step = ONE_DAY if rule.endswith("following") else -ONE_DAY
    found = _walk(date, step, calendar)
    if rule.startswith("modified") and found.month != date.month:
        return _walk(date, -step, calendar)
    return found


def adjust_dates(dates: ArrayLike, rule: BusinessDayRule, calendar: CalendarName) -> NDArray[Any]:
    """`adjust` for an array of datetime64[D] of any shape.

    Raises ValueError for an unknown rule or calendar, or a missing date.
    """
    _known_rule(rule)
    _known_calendar(calendar)
    given = np.asarray(dates, dtype="datetime64[D]")
    if np.isnat(given).any():
        raise ValueError("dates: a date is missing; give every due date")
    if rule == "unadjusted" or calendar == "none" or given.size == 0:
        return given
    years = given.min().item().year, given.max().item().year
    return np.asarray(np.busday_offset(given, 0, roll=_ROLLS[rule], busdaycal=_busdays(calendar, *years)))


def add_months(date: dt.date, months: int, day: int | None = None) -> dt.date:
    """The date so many months later (earlier where negative) on `day`, or on the date's own; the last of the month
    where the month is too short. Raises ValueError for a day outside 1 to 31.
    """
    wanted = date.day if day is None else day
    if not 1 <= wanted <= 31:
        raise ValueError(f"day: {wanted} is no day of a month; use 1 to 31")
    years, month = divmod(date.month - 1 + months, 12)
    year = date.year + years
    return dt.date(year, month + 1, min(wanted, month_lengths.monthrange(year, month + 1)[1]))


def payment_dates(
    first: dt.date, last: dt.date, months_between: int, rule: BusinessDayRule, calendar: CalendarName
) -> tuple[dt.date, ...]:
    """Due dates first, first + months_between, ... as long as the unadjusted date is not after last; then adjusted.

    Every date is counted from the first (31 January, 28 February, 31 March), so that short months leave no trace.
    Raises ValueError where last lies before first, months_between is below 1, or rule or calendar is unknown.
    """
    if last < first:
        raise ValueError(f"last: {last} lies before the first date {first}; exchange the two")
    if months_between < 1:
        raise ValueError(f"months_between: {months_between} must be at least 1; use 1 for monthly dates")
    dates = []
    unadjusted = first
    while unadjusted <= last:
        dates.append(adjust(unadjusted, rule, calendar))
        unadjusted = add_months(first, len(dates) * months_between)
    return tuple(dates)


def _known_years(calendar: CalendarName) -> range:
    """Years for which the library has the calendar."""
    source = _SOURCES.get(calendar)
    if source is None:
        return range(dt.MINYEAR, dt.MAXYEAR + 1)
    any_year = source(2000)
    return range(any_year.start_year, any_year.end_year + 1)


def _walk(date: dt.date, step: dt.timedelta, calendar: CalendarName) -> dt.date:
    while not is_business_day(date, calendar):
        date += step
    return date


@lru_cache(maxsize=64)
def _busdays(calendar: CalendarName, first_year: int, last_year: int) -> np.busdaycalendar:
    """NumPy's calendar over the years given and one more on each side, into which a date may roll."""
    known = _known_years(calendar)
    years = [year for year in range(first_year - 1, last_year + 2) if year in known or first_year <= year <= last_year]
    days = sorted(day for year in years for day in holiday_dates(calendar, year))
    return np.busdaycalendar(weekmask="1111100", holidays=np.array(days, dtype="datetime64[D]"))


def _known_calendar(calendar: str) -> None:
    if calendar not in get_args(CalendarName):
        raise ValueError(f"calendar: {calendar!r} is unknown; use one of {', '.join(get_args(CalendarName))}")


def _known_rule(rule: str) -> None:
    if rule not in get_args(BusinessDayRule):
        raise ValueError(f"rule: {rule!r} is unknown; use one of {', '.join(get_args(BusinessDayRule))}")
