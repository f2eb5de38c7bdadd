"""Yield, price, internal rates and durations: scalar references, round trips, and reasons where there is no rate."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.analytics import (
    Compounding,
    convert_rate,
    dated_rates,
    durations,
    internal_rates,
    payment_times,
    price_at_yield,
    total_return,
    yield_at_price,
)
from pooling.engine.analytics.roots import rate_roots as all_roots
from pricing.engine.valuation import solve_yields
from tests.engine.rate_reference import grid_roots

ROUND_TRIP = 1e-10
COMPOUNDINGS: tuple[Compounding, ...] = ("annual", "semiannual", "monthly", "continuous")
PER_YEAR = {"annual": 1, "semiannual": 2, "monthly": 12}


def scalar_price(flows, times, y, compounding):
    """The sum as the textbook writes it, one flow after another."""
    total = 0.0
    for flow, time in zip(flows, times, strict=True):
        m = PER_YEAR.get(compounding)
        total += flow * (math.exp(-y * time) if m is None else (1 + y / m) ** (-m * time))
    return total


@st.composite
def streams(draw):
    """(T, S) flows of 0 to 100, each column with one at least, and ascending positive times."""
    periods, scenarios = draw(st.integers(1, 30)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    flows = rng.uniform(0.0, 100.0, (periods, scenarios)) * (rng.random((periods, scenarios)) < 0.7)
    flows[-1] += 1.0
    return flows, np.cumsum(rng.uniform(0.02, 0.5, periods))


@given(streams(), st.floats(-0.3, 1.0), st.sampled_from(COMPOUNDINGS))
@hypothesis_settings(deadline=None, max_examples=150)
def test_yield_of_the_price_at_a_yield_is_that_yield(stream, y, compounding):
    flows, times = stream

    prices = price_at_yield(flows, times, y, compounding=compounding)
    result = yield_at_price(flows, times, prices, compounding=compounding)

    for s in range(flows.shape[1]):
        assert prices[s] == pytest.approx(scalar_price(flows[:, s], times, y, compounding), rel=1e-12)
    assert result.found.all()
    assert np.abs(result.rates - y).max() < ROUND_TRIP
    assert (result.roots == 1).all()
    assert (result.sign_changes == 1).all()


@given(streams(), st.floats(-0.2, 0.5), st.sampled_from(COMPOUNDINGS))
@hypothesis_settings(deadline=None, max_examples=60)
def test_durations_are_the_derivatives_of_the_price(stream, y, compounding):
    flows, times = stream
    step = 1e-5
    price = price_at_yield(flows, times, y, compounding=compounding)
    up, down = (price_at_yield(flows, times, y + shift, compounding=compounding) for shift in (step, -step))

    measured = durations(flows, times, y, compounding=compounding)

    assert measured.worth.all()
    assert measured.modified == pytest.approx((down - up) / (2 * step * price), rel=1e-6)
    assert measured.convexity == pytest.approx((up + down - 2 * price) / (step**2 * price), rel=1e-3, abs=1e-3)
    growth = 1 if compounding == "continuous" else 1 + y / PER_YEAR[compounding]
    assert measured.macaulay == pytest.approx(measured.modified * growth, rel=1e-12)


@given(streams(), st.randoms(use_true_random=False))
@hypothesis_settings(deadline=None, max_examples=30)
def test_permuting_scenarios_permutes_yields(stream, random):
    flows, times = stream
    order = list(range(flows.shape[1]))
    random.shuffle(order)
    prices = flows.sum(axis=0) * 0.9

    straight = yield_at_price(flows, times, prices, compounding="monthly")
    permuted = yield_at_price(flows[:, order], times, prices[order], compounding="monthly")

    assert permuted.rates == pytest.approx(straight.rates[order], rel=1e-13, abs=1e-13)


def test_monthly_flows_have_the_yield_that_pricing_gives_them():
    flows = np.random.default_rng(5).uniform(0.0, 0.1, (4, 48))
    prices = flows.sum(axis=1) * np.array([0.7, 0.95, 1.0, 1.1])

    ours = yield_at_price(flows.T, np.arange(1, 49) / 12, prices, compounding="semiannual")
    measured = durations(flows.T, np.arange(1, 49) / 12, ours.rates, compounding="semiannual")
    theirs = solve_yields(flows, prices)

    assert ours.rates == pytest.approx(theirs.yields, abs=1e-12)
    assert measured.macaulay == pytest.approx(theirs.macaulay, abs=1e-10)
    assert measured.modified == pytest.approx(theirs.modified, abs=1e-10)


@pytest.mark.parametrize("price_ratio", [1e-6, 0.01, 1e3])
def test_newton_converges_from_far_prices(price_ratio):
    flows, times = np.array([0.0, 5.0, 0.0, 100.0]), np.array([0.001, 0.01, 0.02, 30.0])

    result = yield_at_price(flows, times, 105.0 * price_ratio, compounding="continuous")

    assert result.reason() == ""
    back = price_at_yield(flows, times, result.rates, compounding="continuous")
    assert float(back) == pytest.approx(105.0 * price_ratio, rel=1e-11)


@given(st.integers(0, 2**32 - 1), st.integers(2, 480), st.floats(-8, 6), st.floats(-0.9, 5.0))
@hypothesis_settings(deadline=None, max_examples=150)
def test_newton_converges_on_monthly_flows_from_far_prices(seed, months, magnitude, delay):
    rng = np.random.default_rng(seed)
    flows = rng.random((months, 3)) ** rng.integers(1, 40) * (rng.random((months, 3)) < rng.uniform(0.02, 1.0))
    flows[rng.integers(0, months)] += 0.01
    times, prices = (np.arange(1, months + 1) + delay) / 12, flows.sum(axis=0) * 10.0**magnitude

    result = yield_at_price(flows, times, prices, compounding="continuous")

    assert result.found.all()
    assert result.iterations <= 60
    back = price_at_yield(flows, times, result.rates, compounding="continuous")
    assert back == pytest.approx(prices, rel=1e-9)


def test_what_overflows_in_even_steps_is_solved_by_exponentials():
    """The first flow alone would need e^11.5 a month, at which the last is worth more than a number can hold."""
    flows = np.zeros(400)
    flows[0], flows[-1] = 1.0, 1e-300

    result = yield_at_price(flows, np.arange(1, 401) / 12, 1e5, compounding="continuous")

    assert result.reason() == ""
    assert float(result.rates) == pytest.approx(-12 * (300 + 5) * math.log(10) / 400, rel=1e-3)
    back = price_at_yield(flows, np.arange(1, 401) / 12, result.rates, compounding="continuous")
    assert float(back) == pytest.approx(1e5, rel=1e-9)


# ------------------------------------------------------------------------------------------------- several rates
def test_both_rates_of_the_textbook_stream_are_found():
    """-1,600, 10,000, -10,000 (the oil pump problem of Lorie and Savage, 1955): 25 % and 400 %, by its quadratic."""
    result = internal_rates([-1600.0, 10000.0, -10000.0], [0.0, 1.0, 2.0])

    assert result.all_roots == pytest.approx([0.25, 4.0], abs=1e-12)
    assert (int(result.roots), int(result.sign_changes), int(result.cumulative_changes)) == (2, 2, 2)
    assert float(result.rates) == pytest.approx(0.25, abs=1e-12)
    assert result.reason().startswith("several rates")


def test_changes_of_the_running_sum_bound_the_positive_rates():
    """Flows change sign three times, what has been paid in and out only once: one positive rate (Norstrom, 1972)."""
    result = internal_rates([-100.0, 30.0, -10.0, 40.0, 60.0], np.arange(5.0))
    assert (int(result.sign_changes), int(result.cumulative_changes)) == (3, 1)
    assert (result.all_roots[np.isfinite(result.all_roots)] > 0).sum() == 1


def test_a_double_root_counts_once_and_a_touching_stream_is_seen():
    """(x - 1.1)^2 (x - 1.5) in x = 1 + rate: one double and one single root."""
    flows = np.array([1.0, -3.7, 4.51, -1.815])

    result = internal_rates(flows, [0.0, 1.0, 2.0, 3.0])

    assert result.all_roots == pytest.approx([0.1, 0.5], abs=1e-6)
    assert int(result.sign_changes) == 3


@given(st.lists(st.floats(-0.6, 2.0), min_size=1, max_size=5, unique_by=lambda rate: round(rate * 20)))
@hypothesis_settings(deadline=None, max_examples=80)
def test_every_root_of_a_polynomial_is_found(rates):
    """Flows built from the roots put in: product of (x - (1 + rate))."""
    flows = np.poly([1.0 + rate for rate in rates])

    result = internal_rates(flows, np.arange(len(flows)))

    assert int(result.roots) == len(rates) <= int(result.sign_changes)
    assert result.all_roots == pytest.approx(sorted(rates), abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 25))
@hypothesis_settings(deadline=None, max_examples=80)
def test_no_rate_that_a_grid_sees_is_missed(seed, periods):
    rng = np.random.default_rng(seed)
    flows, times = rng.normal(size=(3, periods)), np.cumsum(rng.uniform(0.05, 0.6, periods))

    together = all_roots(times, flows)

    for stream, found in zip(flows, together, strict=True):
        mine, known = found[np.isfinite(found)], grid_roots(times, stream)
        assert len(mine) >= len(known)
        for rate in known:
            assert np.abs(mine - rate).min() < 1e-9
        worth = stream * np.exp(-mine[:, None] * (times - times.mean()))
        assert (np.abs(worth.sum(axis=1)) < 1e-9 * np.abs(worth).sum(axis=1)).all()


def test_price_of_flows_that_change_sign_reports_all_rates():
    flows, times = np.array([[10000.0, 3.0], [-10000.0, 0.0]]), np.array([1.0, 2.0])

    result = yield_at_price(flows, times, [1600.0, 2.0], compounding="annual")

    assert result.roots.tolist() == [2, 1]
    assert result.rates == pytest.approx([0.25, 0.5], abs=1e-12)
    assert result.all_roots[0] == pytest.approx([0.25, 4.0])
    assert np.isnan(result.all_roots[1, 1])
    assert [result.reason(s)[:13] for s in (0, 1)] == ["several rates", ""]


# ------------------------------------------------------------------------------------------------------- reasons
def test_no_rate_is_a_reason_and_never_a_silent_nan():
    flows = np.array([[0.0, 1.0, 1.0, 5.0, 1.0], [0.0, 1.0, 1.0, -9.0, 1.0]])

    result = yield_at_price(flows, [1.0, 2.0], [1.0, 0.0, -3.0, 4.0, np.nan], compounding="annual")

    assert np.isnan(result.rates).all()
    assert not result.found.any()
    assert [result.reason(s) for s in range(5)] == [
        "there is no cash flow after settlement",
        "the price is not a positive amount",
        "the price is not a positive amount",
        "no rate gives this price between -99.9994% and 109,563% a year",
        "the price is not a positive amount",
    ]
    assert result.roots.tolist() == [0] * 5
    outlay = internal_rates([-1.0, -2.0], [0.0, 1.0])
    assert (int(outlay.sign_changes), outlay.reason()[:7]) == (0, "no rate")
    assert internal_rates([0.0, 0.0], [0.0, 1.0]).reason() == "there is no cash flow after settlement"


def test_worthless_flows_have_no_duration_and_say_so():
    measured = durations(np.array([[1.0, 0.0], [2.0, 0.0]]), [1.0, 2.0], 0.05, compounding="annual")
    assert measured.worth.tolist() == [True, False]
    assert np.isnan(measured.macaulay).tolist() == [False, True]


DAILY: Any = "daily"
ACT_364: Any = "ACT/364"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: price_at_yield([1.0], [1.0, 2.0], 0.1, compounding="annual"), "flows: shape (1,) with times (2,)"),
        (lambda: price_at_yield([np.nan], [1.0], 0.1, compounding="annual"), "flows: nan is no number to discount"),
        (lambda: price_at_yield([1.0], [1.0], -1.0, compounding="annual"), "rates: -1.0 is at or below -1"),
        (lambda: price_at_yield([1.0], [1.0], [0.1, 0.2], compounding="annual"), "yields: shape (2,), the streams"),
        (lambda: convert_rate(0.1, DAILY, "annual"), "compounding: 'daily' is unknown; use one of annual,"),
        (lambda: yield_at_price([1.0], [0.0], 1.0, compounding="annual"), "times: 0.0 is not after settlement"),
        (
            lambda: total_return(
                [1.0], [1.0], price=0.0, sale_proceeds=1.0, horizon_years=1.0, reinvestment_rate=0.0,
                compounding="annual",
            ),
            "price: 0.0 must be above 0",
        ),
        (
            lambda: payment_times(dt.date(2026, 2, 1), [dt.date(2026, 1, 1)], "30/360"),
            "dates: 2026-01-01 lies before 2026-02-01",
        ),
        (lambda: dated_rates([], [], measure="ACT/365F"), "dates: there is none; give the day of every flow"),
        (
            lambda: dated_rates([dt.date(2026, 2, 1)], [1.0], measure="periods"),
            "measure: dated flows need a day count, not equal periods; use ACT/365F",
        ),
        (lambda: payment_times(dt.date(2026, 2, 1), [], ACT_364), "measure: 'ACT/364' is unknown; use one of"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()


def test_equal_periods_count_from_closing_in_mid_life_too():
    dates = [dt.date(2026, 7, 15), dt.date(2026, 10, 15)]
    assert payment_times(dt.date(2026, 1, 15), dates, "periods", months_between=3, first_period=1).tolist() == [
        0.5,
        0.75,
    ]
    assert payment_times(dt.date(2026, 1, 15), dates, "ACT/365F").tolist() == [181 / 365, 273 / 365]
