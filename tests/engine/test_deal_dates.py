"""A first payment date of its own, and a day of the month for the others."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.waterfall import calendar_of
from tests.engine.oracle_deals import spec


def dated(**changes: object) -> DealSpec:
    """The witness's deal: first on 26 July 2021, then every 20th; with other dates."""
    return DealSpec.from_json(spec().to_json() | {"dates": spec().to_json()["dates"] | changes})


def test_the_first_date_stands_apart_from_the_later_day() -> None:
    calendar = calendar_of(dated())

    assert calendar.dates[:3] == (dt.date(2021, 7, 26), dt.date(2021, 8, 20), dt.date(2021, 9, 20))
    assert calendar.dates[-1] == dt.date(2029, 12, 20)
    assert calendar.payments == 6 + 8 * 12  # July to December 2021, then eight years
    days = [102, 25, 31, 30]
    assert calendar.fractions["ACT/365F", "unadjusted"][:4] * 365 == pytest.approx(days)


@pytest.mark.parametrize(
    ("legal_final", "count"),
    [("2021-07-26", 1), ("2021-07-31", 1), ("2021-08-19", 1), ("2021-08-20", 2), ("2021-09-19", 2)],
)
def test_dates_end_with_legal_final(legal_final: str, count: int) -> None:
    """The 20th of August counts although it lies before the 26th."""
    deal = dated(legal_final=legal_final)

    assert deal.payments == count == len(calendar_of(deal).dates)
    assert calendar_of(deal).dates[-1] <= deal.dates.legal_final


def test_a_day_that_a_month_lacks_is_its_last() -> None:
    dates = calendar_of(dated(payment_day=31, legal_final="2022-02-28")).dates

    assert dates[1:4] == (dt.date(2021, 8, 31), dt.date(2021, 9, 30), dt.date(2021, 10, 31))
    assert dates[-1] == dt.date(2022, 2, 28)


def test_without_a_day_the_first_date_gives_it() -> None:
    assert calendar_of(dated(payment_day=None)).dates[:2] == (dt.date(2021, 7, 26), dt.date(2021, 8, 26))


@pytest.mark.parametrize("day", [0, 32])
def test_a_day_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(SpecError, match=r"payment_day"):
        replace(spec().dates, payment_day=day)
