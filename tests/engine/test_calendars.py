"""Calendars against published holiday lists; roll rules; payment dates that do not drift."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.calendars import (
    BusinessDayRule,
    CalendarName,
    add_months,
    adjust,
    adjust_dates,
    holiday_dates,
    is_business_day,
    payment_dates,
)

# Federal Reserve Board, release K.8 "Holidays Observed by the Federal Reserve System 2026-2030", columns 2026 to 2029:
# month and day, Sunday holidays moved to the Monday ("**"), Saturday ones not moved ("*").
FEDERAL_RESERVE = {
    2026: ["01-01", "01-19", "02-16", "05-25", "06-19", "09-07", "10-12", "11-11", "11-26", "12-25"],
    2027: ["01-01", "01-18", "02-15", "05-31", "07-05", "09-06", "10-11", "11-11", "11-25"],
    2028: ["01-17", "02-21", "05-29", "06-19", "07-04", "09-04", "10-09", "11-23", "12-25"],
    2029: ["01-01", "01-15", "02-19", "05-28", "06-19", "07-04", "09-03", "10-08", "11-12", "11-22", "12-25"],
}

# European Central Bank, press release of 14 December 2000: closed on New Year's Day, Good Friday, Easter Monday,
# 1 May, 25 and 26 December. Easter Sunday: 20 April 2025, 5 April 2026 (Gregorian tables).
TARGET = {
    2025: ["01-01", "04-18", "04-21", "05-01", "12-25", "12-26"],
    2026: ["01-01", "04-03", "04-06", "05-01", "12-25"],
}

# gov.uk, "UK bank holidays", England and Wales: 2022 with the Platinum Jubilee and the State Funeral, and 2026.
ENGLAND = {
    2022: ["01-03", "04-15", "04-18", "05-02", "06-02", "06-03", "08-29", "09-19", "12-26", "12-27"],
    2026: ["01-01", "04-03", "04-06", "05-04", "05-25", "08-31", "12-25", "12-28"],
}


@pytest.mark.parametrize(("calendar", "published"), [("US", FEDERAL_RESERVE), ("TARGET", TARGET), ("UK", ENGLAND)])
def test_closed_weekdays_are_the_published_holidays(calendar: CalendarName, published: dict[int, list[str]]) -> None:
    for year, wanted in published.items():
        days = [dt.date(year, 1, 1) + dt.timedelta(days=n) for n in range(365)]

        closed = [f"{day:%m-%d}" for day in days if day.weekday() < 5 and not is_business_day(day, calendar)]

        assert closed == wanted, (calendar, year)


@pytest.mark.parametrize(
    ("date", "calendar", "expected"),
    [
        # Saturday 31 October 2026: following, modified following, preceding, modified preceding.
        ("2026-10-31", "weekends", ["2026-11-02", "2026-10-30", "2026-10-30", "2026-10-30"]),
        # Sunday 1 November 2026.
        ("2026-11-01", "US", ["2026-11-02", "2026-11-02", "2026-10-30", "2026-11-02"]),
        # Good Friday 3 April 2026 to Easter Monday.
        ("2026-04-03", "TARGET", ["2026-04-07", "2026-04-07", "2026-04-02", "2026-04-02"]),
        # Friday 3 July 2026: the Federal Reserve Banks are open though 4 July is a Saturday (release K.8).
        ("2026-07-03", "US", ["2026-07-03"] * 4),
        # New Year's Day 2027 is a Friday: preceding leaves the year.
        ("2027-01-01", "UK", ["2027-01-04", "2027-01-04", "2026-12-31", "2027-01-04"]),
    ],
)
def test_roll_rules(date: str, calendar: CalendarName, expected: list[str]) -> None:
    rules: list[BusinessDayRule] = ["following", "modified_following", "preceding", "modified_preceding"]
    day = dt.date.fromisoformat(date)

    assert [adjust(day, rule, calendar).isoformat() for rule in rules] == expected
    assert adjust(day, "unadjusted", calendar) == day
    assert adjust(day, "following", "none") == day


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dates(dt.date(2001, 1, 1), dt.date(2050, 12, 31)), min_size=1, max_size=20),
    st.sampled_from(["unadjusted", "following", "modified_following", "preceding", "modified_preceding"]),
    st.sampled_from(["none", "weekends", "US", "TARGET", "UK"]),
)
def test_many_dates_roll_as_one_does(days: list[dt.date], rule: BusinessDayRule, calendar: CalendarName) -> None:
    together = adjust_dates(np.array(days, dtype="datetime64[D]"), rule, calendar)

    assert together.tolist() == [adjust(day, rule, calendar) for day in days]
    if rule != "unadjusted":
        assert all(is_business_day(day, calendar) for day in together.tolist())


def test_a_date_rolls_over_the_end_of_the_years_given() -> None:
    """Saturday 31 December 2022: 1 January 2023 is a Sunday, so 2 January is the Federal Reserve's holiday. Saturday
    1 January 2000: TARGET was closed on 31 December 1999 (ECB press release of 15 July 1999). Of 1998 nothing is known.
    """
    assert adjust_dates(["2022-12-31"], "following", "US").tolist() == [dt.date(2023, 1, 3)]
    assert adjust_dates(["2000-01-01"], "preceding", "TARGET").tolist() == [dt.date(1999, 12, 30)]
    assert adjust_dates(["1999-05-01"], "following", "TARGET").tolist() == [dt.date(1999, 5, 3)]


def test_payment_dates_do_not_drift_after_a_short_month() -> None:
    plain = payment_dates(dt.date(2028, 1, 31), dt.date(2028, 6, 30), 1, "unadjusted", "none")
    assert [f"{day:%m-%d}" for day in plain] == ["01-31", "02-29", "03-31", "04-30", "05-31", "06-30"]

    rolled = payment_dates(dt.date(2026, 1, 31), dt.date(2026, 7, 31), 3, "modified_following", "US")
    assert [f"{day:%m-%d}" for day in rolled] == ["01-30", "04-30", "07-31"]


def test_auto_deals_pay_on_the_fifteenth_or_the_next_business_day() -> None:
    """15 February 2021 was Washington's Birthday (release K.8 for 2021), 15 May and 15 August 2021 a weekend."""
    dates = payment_dates(dt.date(2021, 1, 15), dt.date(2021, 9, 1), 1, "following", "US")

    assert [day.day for day in dates] == [15, 16, 15, 15, 17, 15, 15, 16]


@pytest.mark.shared
def test_distribution_dates_of_two_auto_trusts(shared: Path) -> None:
    """data/carmax_10d_notes_2deals.csv.gz: exhibits are named by the distribution date, the 15th after the collection
    month or the next business day. The two exhibits for January 2018 bear a later date of filing, 23 March.
    """
    with gzip.open(shared / "data" / "carmax_10d_notes_2deals.csv.gz", "rt") as file:
        exhibits = {(row["period"], row["link"].rsplit("/", 1)[1]) for row in csv.DictReader(file)}
    assert len(exhibits) == 60

    others = set()
    for month, exhibit in exhibits:
        due = adjust(add_months(dt.date.fromisoformat(month), 1, day=15), "following", "US")
        if not exhibit.endswith(f"{due:%m%d%y}.htm"):
            others.add(exhibit)

    assert others == {"a2017-1ex991032318.htm", "a2018-1ex991032318.htm"}


def test_months_are_added_with_the_day_clipped() -> None:
    assert add_months(dt.date(2027, 11, 30), 3) == dt.date(2028, 2, 29)
    assert add_months(dt.date(2028, 2, 29), 1, day=31) == dt.date(2028, 3, 31)
    assert add_months(dt.date(2026, 1, 15), -13) == dt.date(2024, 12, 15)


def test_unusable_arguments_are_refused() -> None:
    day = dt.date(2026, 1, 1)
    with pytest.raises(ValueError, match=r"^calendar: 'FR' is unknown; use one of none, weekends, US, TARGET, UK$"):
        is_business_day(day, "FR")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^rule: 'nearest' is unknown"):
        adjust(day, "nearest", "US")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^last: 2025-12-31 lies before the first date 2026-01-01"):
        payment_dates(day, dt.date(2025, 12, 31), 1, "following", "US")
    with pytest.raises(ValueError, match=r"^months_between: 0 must be at least 1"):
        payment_dates(day, day, 0, "following", "US")
    with pytest.raises(ValueError, match=r"^day: 32 is no day of a month"):
        add_months(day, 1, day=32)
    with pytest.raises(ValueError, match=r"^dates: a date is missing"):
        adjust_dates(["NaT"], "following", "US")
    with pytest.raises(ValueError, match=r"^calendar: TARGET is known for \d+ to \d+, not for 1950; use weekends$"):
        holiday_dates("TARGET", 1950)
