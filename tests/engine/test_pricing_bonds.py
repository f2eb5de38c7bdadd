"""Dated bonds: round trips, hand-made references and bad input. Official examples are in test_pricing_oracles.py."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.engine.bonds import (
    CONVENTIONS,
    Bond,
    bond_flows,
    bond_times,
    bond_yields,
    clean_prices,
    dirty_prices,
    yields_at_maturity,
)
from pricing.engine.floaters import Floater, compounded_coupons, floater_margins, floater_prices, floater_stream

ROUND_TRIP = 1e-10
D = dt.date
TEN_YEARS = Bond(D(2034, 5, 15), 0.05, 2, CONVENTIONS["us_street"], dated=D(2024, 5, 15))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CONVENTIONS)), st.sampled_from([1, 2, 4, 12]), st.floats(0, 0.2), st.floats(-0.2, 1.0),
    st.integers(0, 3640),
)  # fmt: skip
def test_yield_of_the_price_at_a_yield_is_that_yield(convention, frequency, coupon, y, days):
    bond = Bond(D(2034, 5, 15), coupon, frequency, CONVENTIONS[convention], dated=D(2024, 5, 15))
    settle = D(2024, 5, 15) + dt.timedelta(days=days)
    found = bond_yields(bond, settle, clean_prices(bond, settle, [y, 0.03]))
    assert found.reasons == ("", "")
    assert found.yields == pytest.approx([y, 0.03], abs=ROUND_TRIP)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 0.15), st.floats(-0.05, 0.3), st.integers(0, 3600))
def test_price_is_the_sum_as_the_textbook_writes_it(coupon, y, days):
    bond = replace(TEN_YEARS, coupon=coupon, convention=CONVENTIONS["actual"])
    settle = D(2024, 5, 15) + dt.timedelta(days=days)
    dates = [D(year, month, 15) for year in range(2024, 2035) for month in (5, 11)][:21]
    last = max(date for date in dates if date <= settle)
    following = min(date for date in dates if date > settle)
    w = (following - settle).days / (following - last).days
    due = [date for date in dates if date > settle]
    worth = sum((coupon / 2 + (date == dates[-1])) / (1 + y / 2) ** (w + k) for k, date in enumerate(due))
    assert float(dirty_prices(bond, settle, y)) == pytest.approx(worth, rel=1e-12)
    assert bond_flows(bond, settle).accrued == pytest.approx(coupon / 2 * (1 - w), abs=1e-15)
    assert bond_times(bond, settle) == pytest.approx((w + np.arange(len(due))) / 2)


def test_a_coupon_date_at_the_coupon_yield_is_par():
    for settle in (D(2024, 5, 15), D(2030, 11, 15)):
        assert float(clean_prices(TEN_YEARS, settle, 0.05)) == pytest.approx(1.0, abs=1e-14)


def test_month_ends_stay_month_ends():
    bond = Bond(D(2031, 2, 28), 0.04, 2, CONVENTIONS["us_treasury"])
    assert bond_flows(bond, D(2030, 8, 31)).accrued == 0.0
    # 184 days from 31 August to 28 February less three, 0.04 / 2 x 1 / 181.
    assert bond_flows(bond, D(2030, 9, 1)).accrued == pytest.approx(0.02 / 181)


def test_odd_first_coupons_pay_for_the_days_they_accrue():
    short = replace(TEN_YEARS, dated=D(2024, 8, 15))  # 92 of the 184 days from May to November are left
    assert bond_flows(short, D(2024, 8, 15)).amounts[0] == pytest.approx(0.025 * 92 / 184)
    long = replace(short, first_coupon=D(2025, 5, 15))
    flows = bond_flows(long, D(2024, 8, 15))
    assert flows.amounts[:2] == pytest.approx([0.0, 0.025 * (92 / 184 + 1)])
    assert bond_flows(long, D(2024, 12, 15)).accrued == pytest.approx(0.025 * (92 / 184 + 30 / 181))
    assert bond_flows(long, D(2025, 6, 15)).accrued == pytest.approx(0.025 * 31 / 184)


def test_the_buyer_ex_dividend_is_paid_back_what_accrues():
    bond = Bond(D(2034, 5, 17), 0.05, 2, CONVENTIONS["uk_gilt"], ex_dividend_days=7, calendar="UK")
    # Coupon on Monday 17 November 2025: seven business days before it is 6 November.
    with_coupon, without = bond_flows(bond, D(2025, 11, 6)), bond_flows(bond, D(2025, 11, 7))
    assert (with_coupon.ex_dividend, without.ex_dividend) == (False, True)
    assert (with_coupon.amounts[0], without.amounts[0]) == (0.025, 0.0)
    assert without.accrued == pytest.approx(-0.025 * 10 / 184)
    last = bond_flows(bond, D(2034, 5, 16))  # the redemption is always the buyer's
    assert (last.ex_dividend, last.amounts.tolist()) == (True, [1.0])


def test_a_price_without_a_yield_says_so():
    found = bond_yields(TEN_YEARS, D(2026, 5, 15), [0.0, 1.0, -1.0, np.nan, 250.0])
    assert np.isnan(found.yields).tolist() == [True, False, True, True, False]
    assert [bool(reason) for reason in found.reasons] == [True, False, True, True, False]
    assert found.reasons[0] == "a price of 0.0 and 0.000000 accrued has no yield"
    assert float(clean_prices(TEN_YEARS, D(2026, 5, 15), found.yields[4])) == pytest.approx(250.0, rel=1e-9)


ANY: Any = "weekly"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: replace(TEN_YEARS, frequency=5), "frequency: 5 is no number of coupons a year"),
        (lambda: replace(TEN_YEARS, coupon=5.0), "coupon: 5.0 is no annual fraction of par from 0 to 1; 0.05 is 5 %"),
        (lambda: replace(TEN_YEARS, dated=D(2035, 1, 1)), "dated: 2035-01-01 is not before the maturity 2034-05-15"),
        (lambda: replace(TEN_YEARS, first_coupon=D(2024, 5, 1)), "first_coupon: 2024-05-01 does not lie after dated"),
        (lambda: replace(TEN_YEARS, first_coupon=D(2024, 10, 1)), "first_coupon: 2024-10-01 is no coupon date"),
        (lambda: replace(TEN_YEARS, ex_dividend_days=-1), "ex_dividend_days: -1 is negative"),
        (
            lambda: replace(TEN_YEARS, convention=replace(CONVENTIONS["actual"], running=ANY)),
            "convention: running is 'weekly'; use compound or simple",
        ),
        (lambda: bond_flows(TEN_YEARS, D(2034, 5, 15)), "settlement: 2034-05-15 is not before the maturity"),
        (lambda: bond_flows(TEN_YEARS, D(2024, 5, 14)), "settlement: 2024-05-14 lies before 2024-05-15, when interest"),
        (lambda: dirty_prices(TEN_YEARS, D(2026, 1, 1), -2.0), "yields: -2.0 is not above -2, where all is lost"),
        (
            lambda: yields_at_maturity(D(2026, 1, 1), D(2026, 2, 1), D(2026, 9, 1), 0.05, 1.0, "ACT/ACT ICMA"),
            "accrual: ACT/ACT ICMA needs coupon periods",
        ),
        (
            lambda: yields_at_maturity(D(2026, 1, 1), D(2025, 2, 1), D(2026, 9, 1), 0.05, 1.0, "30/360"),
            "settlement: 2025-02-01 does not lie from 2026-01-01 to before 2026-09-01",
        ),
        (
            lambda: yields_at_maturity(D(2026, 1, 1), D(2026, 2, 1), D(2026, 9, 1), 0.05, -1.0, "30/360"),
            "clean: -1.0 is no price above 0",
        ),
    ],
)
def test_bad_input_is_named(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


# ------------------------------------------------------------------------------------------------------------ floaters
NOTE = Floater(D(2030, 8, 15), 0.0125, 4, "ACT/360")


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.02, 0.2), st.integers(0, 1400), st.floats(0.0, 0.1))
def test_margin_of_the_price_at_a_margin_is_that_margin(margin, days, index):
    settle = D(2026, 8, 15) + dt.timedelta(days=days)
    stream = floater_stream(NOTE, settle, running_coupon=index + 0.0125, index_to_next=index, future_index=index)
    found = floater_margins(stream, floater_prices(stream, [margin, 0.0125]))
    assert found.reasons == ("", "")
    assert found.values == pytest.approx([margin, 0.0125], abs=ROUND_TRIP)


def test_a_floater_on_its_coupon_date_at_its_own_margin_is_par():
    for index in (0.0, 0.03, 0.2):
        stream = floater_stream(
            NOTE, D(2027, 2, 15), running_coupon=index + 0.0125, index_to_next=index, future_index=index
        )
        assert stream.accrued == 0.0
        assert floater_prices(stream, 0.0125)[0] == pytest.approx(1.0, abs=1e-14)
        assert floater_prices(stream, 0.02)[0] < 1.0 < floater_prices(stream, 0.0)[0]


def test_bad_floaters_are_named():
    with pytest.raises(ValueError, match=r"quoted_margin: 12\.5 is no annual fraction; 0\.0025 is 25 basis points"):
        replace(NOTE, quoted_margin=12.5)
    with pytest.raises(ValueError, match="frequency: 0 is no number of coupons a year; use 1, 2, 4 or 12"):
        replace(NOTE, frequency=0)
    with pytest.raises(ValueError, match="settlement: 2030-08-15 is not before the maturity 2030-08-15"):
        floater_stream(NOTE, D(2030, 8, 15), running_coupon=0.04, index_to_next=0.03, future_index=0.03)
    with pytest.raises(ValueError, match=r"periods: shape \(1,\), with index \(2,\) and fractions \(2,\)"):
        compounded_coupons([0.01, 0.01], [0.1, 0.1], 0.0, [0])
