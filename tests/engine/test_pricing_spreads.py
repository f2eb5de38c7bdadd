"""Every quote of a price: round trips, that prices fall in every spread, scalar references, and reasons."""

from __future__ import annotations

import re
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooling.engine.analytics import Compounding
from pricing.engine.curve import TreasuryCurve
from pricing.engine.spreads import (
    QUOTES,
    QuoteBasis,
    discount_margins_of,
    flow_times,
    price_at_discount_margin,
    price_at_z_spread,
    prices_of,
    quotes_of,
    z_spreads,
)
from pricing.engine.valuation import average_life, price

ROUND_TRIP = 1e-10
CURVE = TreasuryCurve((0.25, 0.5, 1.0, 2.0, 5.0, 10.0), (0.045, 0.044, 0.04, 0.042, 0.044, 0.047))
COMPOUNDINGS: tuple[Compounding, ...] = get_args(Compounding)
PER_YEAR = {"annual": 1, "semiannual": 2, "monthly": 12}


def basis(spread: Compounding = "continuous", delay: float = 0.0) -> QuoteBasis:
    return QuoteBasis(CURVE, 0.0012, "semiannual", spread, delay)


@st.composite
def rows(draw):
    """(K, T) flows per 1 of par, each row with one at least, and lives in years."""
    months, k = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    principal = rng.random((k, months)) * (rng.random((k, months)) < 0.7)
    principal[:, -1] += 0.1
    principal /= principal.sum(axis=1, keepdims=True)
    return principal * 1.02 + rng.random((k, months)) * 0.005, average_life(principal)


@settings(max_examples=80, deadline=None)
@given(rows(), st.sampled_from(QUOTES[1:]), st.floats(-0.03, 0.6), st.sampled_from(COMPOUNDINGS), st.floats(-0.5, 2.0))
def test_every_quote_of_the_price_at_a_quote_is_that_quote(stream, quote, value, compounding, delay):
    flows, lives = stream
    given_basis = basis(compounding, delay)
    prices = prices_of(quote, value, flows, lives, given_basis)
    found = quotes_of(prices, flows, lives, given_basis)
    assert set(found.quotes) == set(QUOTES)
    assert found.quotes[quote] == pytest.approx(np.full(len(flows), value), abs=ROUND_TRIP)
    for name in QUOTES:
        assert found.reasons[name] == ("",) * len(flows)
        again = prices_of(name, found.quotes[name], flows, lives, given_basis)
        assert again == pytest.approx(prices, rel=1e-10)


@settings(max_examples=80, deadline=None)
@given(rows(), st.sampled_from(QUOTES[1:]), st.floats(-0.03, 0.5), st.floats(1e-6, 0.2), st.sampled_from(COMPOUNDINGS))
def test_prices_fall_in_every_spread(stream, quote, value, more, compounding):
    flows, lives = stream
    low, high = (prices_of(quote, each, flows, lives, basis(compounding)) for each in (value, value + more))
    assert (high < low).all()


@settings(max_examples=40, deadline=None)
@given(rows(), st.floats(-0.03, 0.3), st.sampled_from(COMPOUNDINGS))
def test_z_spread_price_is_the_sum_as_the_textbook_writes_it(stream, spread, compounding):
    flows, _ = stream
    m = PER_YEAR.get(compounding)
    for row, found in zip(flows, price_at_z_spread(flows, spread, CURVE, compounding=compounding), strict=True):
        total = 0.0
        for month, flow in enumerate(row, 1):
            t = month / 12
            zero = float(CURVE.zero(t, compounding)) + spread
            total += flow * (np.exp(-zero * t) if m is None else (1 + zero / m) ** (-m * t))
        assert found == pytest.approx(total, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows(), st.floats(-0.01, 0.3), st.integers(0, 2**32 - 1))
def test_discount_margin_price_is_the_sum_as_the_textbook_writes_it(stream, margin, seed):
    flows, _ = stream
    index = np.random.default_rng(seed).uniform(0.0, 0.08, flows.shape)
    fractions = np.random.default_rng(seed + 1).uniform(0.02, 0.3, flows.shape[1])
    prices = price_at_discount_margin(flows, margin, index, fractions)
    for row, rates, found in zip(flows, index, prices, strict=True):
        total, factor = 0.0, 1.0
        for flow, rate, fraction in zip(row, rates, fractions, strict=True):
            factor /= 1 + (rate + margin) * fraction
            total += flow * factor
        assert found == pytest.approx(total, rel=1e-12)
    assert discount_margins_of(flows, prices, index, fractions).values == pytest.approx(margin, abs=ROUND_TRIP)


def test_compounding_moves_a_z_spread_by_basis_points():
    flows = np.zeros((1, 60))
    flows[0, 5::6], flows[0, -1] = 0.035, 1.035
    found = {name: float(z_spreads(flows, 0.95, CURVE, compounding=name).values[0]) for name in COMPOUNDINGS}
    assert found["annual"] > found["semiannual"] > found["monthly"] > found["continuous"]
    assert 5e-4 < found["annual"] - found["continuous"] < 50e-4


def test_over_a_flat_curve_all_spreads_are_the_same():
    """Zero, par and forward rates of a flat curve are one rate: a yield less that rate is the spread."""
    flat = TreasuryCurve((0.5, 1.0, 10.0), (0.04, 0.04, 0.04))
    flows = np.random.default_rng(2).random((3, 12)) / 10
    flows[:, [k for k in range(12) if (k + 1) % 6]] = 0.0  # paid on half years, where the curve is exactly flat
    prices = price(flows, 0.065)
    same = QuoteBasis(flat, 0.0, "semiannual", "semiannual")
    found = quotes_of(prices, flows, [0.75, 0.75, 0.75], same)
    for name in ("nominal_spread", "i_spread", "z_spread"):
        assert found.quotes[name] == pytest.approx([0.025] * 3, abs=1e-12)


def test_i_spread_is_nominal_less_the_swap_basis_and_needs_a_life():
    flows = np.random.default_rng(3).random((2, 24)) / 20
    found = quotes_of([0.5, 0.5], flows, [1.5, np.nan], basis())
    nominal = found.quotes["nominal_spread"][0]
    assert nominal == found.quotes["yield"][0] - CURVE.par(1.5)
    assert found.quotes["i_spread"][0] == nominal - 0.0012
    assert np.isnan(found.quotes["i_spread"][1])
    assert found.reasons["i_spread"] == ("", "nothing is repaid: there is no life at which to read the curve")


# --------------------------------------------------------------------------------------------------- what has no answer
def test_no_figure_is_missing_without_a_reason():
    flows = np.array([[0.0, 0.0], [0.5, 0.6], [0.5, 0.6], [0.5, 0.6], [0.5, -0.2], [0.5, 0.6], [0.5, 0.6]])
    prices = [1.0, 0.0, -2.0, np.nan, 250.0, 10.0, 1.0]
    for compounding in COMPOUNDINGS:
        found = quotes_of(prices, flows, np.full(7, 0.1), basis(compounding))
        for name in QUOTES:
            for figure, reason in zip(found.quotes[name], found.reasons[name], strict=True):
                assert np.isnan(figure) == (reason != ""), (name, figure, reason)
        missing = {name: np.isnan(found.quotes[name]).tolist() for name in QUOTES[1:]}
        for name, where in missing.items():
            assert where[:4] == [True] * 4, name
            assert where[5:] == [False] * 2, name
    far = z_spreads(flows[-1], 2500.0, CURVE, compounding="annual")  # a year's factor of 2500^-6 is next to nothing
    assert (np.isnan(far.values[0]), far.reasons) == (True, ("no spread gives this price within rounding",))
    margin = quotes_of(prices, flows, np.full(7, 0.1), basis()).reasons["discount_margin"]
    assert margin[0] == "the row holds no cash flow"
    assert margin[1] == "a price of 0.0 has no spread"
    assert margin[4] == "the flows change sign and no spread from -200 % to 1,000 % gives this price"


@pytest.mark.parametrize("compounding", COMPOUNDINGS)
def test_flows_that_change_sign_have_every_spread_counted(compounding):
    """2.4 after one year and -1.43 after two are worth 1 at yields of 10 % and 30 %, so at two spreads."""
    flows = np.zeros((1, 24))
    flows[0, [11, 23]] = 2.4, -1.43
    found = z_spreads(flows, 1.0, CURVE, compounding=compounding)
    assert found.roots.tolist() == [2]
    assert found.reasons == ("",)
    assert price_at_z_spread(flows, found.values, CURVE, compounding=compounding)[0] == pytest.approx(1.0, abs=1e-11)
    assert 0.03 < found.values[0] < 0.08
    margin = discount_margins_of(flows, 1.0, np.full(24, 0.04), np.full(24, 1 / 12))
    assert margin.roots.tolist() == [2]
    back = price_at_discount_margin(flows, margin.values, np.full(24, 0.04), np.full(24, 1 / 12))
    assert back[0] == pytest.approx(1.0, abs=1e-11)


DAILY: Any = "daily"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: flow_times(3, -1.0), "delay_months: -1.0 must exceed -1"),
        (lambda: z_spreads([[1.0, np.inf]], 1.0, CURVE, compounding="annual"), "flows: row 0, month 2 holds inf"),
        (lambda: z_spreads([1.0], 1.0, CURVE, compounding=DAILY), "compounding: 'daily' is unknown; use one of annual"),
        (lambda: z_spreads([1.0], [1.0, 2.0], CURVE, compounding="annual"), "prices: shape (2,), expected (1,)"),
        (
            lambda: price_at_z_spread([1.0], -2.0, CURVE, compounding="annual"),
            "spreads: row 0: -2.0 is not above -1.04",
        ),
        (
            lambda: price_at_discount_margin([1.0], -3.0, [0.02], [0.5]),
            "margins: row 0: -3.0 is not above -2.02, where",
        ),
        (lambda: discount_margins_of([1.0, 1.0], 1.0, [0.02], [0.5]), "index: shape (1,) and fractions (1,) for flows"),
        (lambda: discount_margins_of([1.0], 1.0, [0.02], [0.0]), "fractions: every period must take time"),
        (
            lambda: prices_of(DAILY, 0.1, [1.0], 1.0, basis()),
            "quote: 'daily' is not one of price, yield, nominal",
        ),
    ],
)
def test_bad_input_is_named(call, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
