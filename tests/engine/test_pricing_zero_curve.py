"""Par, zero and forward views; monotone convex interpolation by its published properties; curves that are refused."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pooling.engine.analytics.conventions import Compounding
from pricing.engine.curve import INTERPOLATIONS, TreasuryCurve, staleness_caution
from pricing.engine.zero_curve import MonotoneConvex, coupon_times
from pricing.market import default_snapshot

SNAPSHOT = default_snapshot()
ROUNDING = 1e-12


def curve(interpolation: str) -> TreasuryCurve:
    return TreasuryCurve(SNAPSHOT.treasury_tenors, SNAPSHOT.treasury_yields, interpolation)


# ------------------------------------------------------------------------------------------ Hagan and West's properties
KNOTS = st.lists(st.tuples(st.floats(0.05, 5.0), st.floats(0.0, 0.3)), min_size=1, max_size=12)


def convex(knots: list[tuple[float, float]]) -> tuple[MonotoneConvex, np.ndarray, np.ndarray]:
    gaps, forwards = (np.array(column) for column in zip(*knots, strict=True))
    return MonotoneConvex(np.cumsum(gaps), np.cumsum(gaps * forwards)), gaps, forwards


@settings(max_examples=200, deadline=None)
@given(KNOTS)
def test_every_discrete_forward_is_reproduced_and_none_is_negative(knots):
    made, gaps, forwards = convex(knots)
    times = np.cumsum(gaps)
    logs = np.concatenate([[0.0], -made.log_discount(times)])
    assert np.diff(logs) / gaps == pytest.approx(forwards, abs=ROUNDING)
    fine = np.linspace(0.0, times[-1] * 1.1, 2001)
    assert made.forward(fine).min() >= -ROUNDING
    assert np.diff(made.log_discount(fine)).max() <= ROUNDING  # so discount factors never rise


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 5.0), st.floats(-0.04, 0.3)), min_size=2, max_size=10))
def test_forwards_are_continuous_and_the_slope_of_the_log_discount_factors(knots):
    made, gaps, forwards = convex(knots)
    times = np.cumsum(gaps)
    _, _, ends = made._forwards
    # Where a knot's forward is that of the period beside it the published shape drops at once: its degenerate case.
    assume(np.abs(np.stack([ends[:-1], ends[1:]]) - forwards).min() > 1e-3)
    before, after = made.forward(times[:-1] - 1e-9), made.forward(times[:-1] + 1e-9)
    assert np.abs(before - after).max() < 1e-4
    x = np.random.default_rng(1).uniform(0.01, 0.99, 40)
    inside = (np.concatenate([[0.0], times[:-1]])[:, None] + gaps[:, None] * x).ravel()
    h = 1e-6
    slope = -(made.log_discount(inside + h) - made.log_discount(inside - h)) / (2 * h)
    assert np.median(np.abs(slope - made.forward(inside))) < 1e-7


def test_flat_forwards_stay_flat_and_go_on():
    made, _, _ = convex([(1.0, 0.04), (2.0, 0.04), (7.0, 0.04)])
    assert made.forward([0.0, 0.5, 2.0, 10.0, 25.0]) == pytest.approx(0.04, abs=1e-15)
    assert made.log_discount([3.3, 25.0]) == pytest.approx([-0.132, -1.0], abs=1e-15)
    single, _, _ = convex([(2.0, 0.03)])
    assert single.forward([0.0, 1.0, 9.0]) == pytest.approx(0.03)


def test_the_forward_at_a_knot_is_the_published_mean_of_its_neighbours():
    """f_i = (gap_i f^d_(i+1) + gap_(i+1) f^d_i) / (gap_i + gap_(i+1)); at the ends f^d - (next f - f^d) / 2."""
    made, _, _ = convex([(1.0, 0.03), (2.0, 0.05), (1.0, 0.06)])
    first, second = (1.0 * 0.05 + 2.0 * 0.03) / 3.0, (2.0 * 0.06 + 1.0 * 0.05) / 3.0
    assert made.forward([1.0, 3.0]) == pytest.approx([first, second], abs=1e-15)
    assert made.forward([0.0, 4.0]) == pytest.approx([0.03 - (first - 0.03) / 2, 0.06 - (second - 0.06) / 2], abs=1e-15)


# ---------------------------------------------------------------------------------------------------- the three views
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_published_points_are_worth_par_and_views_agree(interpolation):
    made = curve(interpolation)
    for tenor, value in zip(SNAPSHOT.treasury_tenors, SNAPSHOT.treasury_yields, strict=True):
        times, fractions = coupon_times(tenor)
        factors = made.discount(times)
        assert value * fractions @ factors + factors[-1] == pytest.approx(1.0, abs=ROUNDING), tenor
    assert made.par(SNAPSHOT.treasury_tenors) == pytest.approx(SNAPSHOT.treasury_yields, abs=ROUNDING)
    years = np.array([0.1, 0.5, 1.3, 4.0, 12.0, 29.9, 35.0])
    periods: dict[Compounding, int] = {"annual": 1, "semiannual": 2, "monthly": 12}
    for compounding, m in periods.items():
        found = (1 + made.zero(years, compounding) / m) ** (-m * years)
        assert found == pytest.approx(made.discount(years), rel=ROUNDING)
    assert np.exp(-made.zero(years, "continuous") * years) == pytest.approx(made.discount(years), rel=ROUNDING)
    simple = made.forward(1.0, [1.25, 3.0], None)
    assert 1 + simple * [0.25, 2.0] == pytest.approx(made.discount(1.0) / made.discount([1.25, 3.0]), rel=ROUNDING)
    chained = made.forward(years[:-1], years[1:], "continuous") * np.diff(years)
    assert chained.sum() == pytest.approx(float(np.log(made.discount(0.1) / made.discount(35.0))), abs=ROUNDING)


def test_interpolations_differ_by_basis_points_between_points_and_the_default_stands():
    three = {name: float(curve(name).par(3.7)) for name in INTERPOLATIONS}
    assert SNAPSHOT.interpolation == "pchip"
    assert len({round(value, 7) for value in three.values()}) == 3
    assert max(three.values()) - min(three.values()) < 10e-4
    forwards = curve("monotone_convex").forward(np.arange(0.0, 30.0, 0.1), np.arange(0.1, 30.05, 0.1), "continuous")
    assert np.abs(np.diff(forwards)).max() < 40e-4  # joined lines jump by more
    jumps = curve("linear").forward(np.arange(0.0, 30.0, 0.1), np.arange(0.1, 30.05, 0.1), "continuous")
    assert np.abs(np.diff(jumps)).max() > np.abs(np.diff(forwards)).max()


def test_a_tenor_between_half_years_has_a_first_coupon_in_proportion():
    times, fractions = coupon_times(1.2)
    assert times == pytest.approx([0.2, 0.7, 1.2])
    assert fractions == pytest.approx([0.2, 0.5, 0.5])
    made = TreasuryCurve((0.3, 0.8, 1.7, 4.1), (0.02, 0.025, 0.03, 0.035), "monotone_convex")
    assert made.par([0.3, 0.8, 1.7, 4.1]) == pytest.approx([0.02, 0.025, 0.03, 0.035], abs=ROUNDING)


def test_a_shift_moves_every_point():
    moved = curve("monotone_convex").shifted(0.001)
    assert moved.interpolation == "monotone_convex"
    assert moved.yields == pytest.approx([value + 0.001 for value in SNAPSHOT.treasury_yields])


# --------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(
    ("tenors", "yields", "sentence"),
    [
        ((1, 2, 5), (0.05, 0.04, 0.01), "yields: the curve is crossed: between "),
        ((0.25, 0.5), (0.05, 0.01), "yields: the curve is crossed: between 0.25 and 0.5 years it implies a forward"),
        ((1, 2, 5), (-0.01, -0.01, -0.045), "%, below -5%; check the points around"),
        ((1, 2, 30), (0.02, 0.02, 0.2), " years are worth more than par: no curve gives this yield"),
        ((2, 1), (0.02, 0.02), "tenors: (2, 1) are not positive and strictly ascending"),
        ((0, 1), (0.02, 0.02), "tenors: (0, 1) are not positive and strictly ascending"),
        ((1, float("nan")), (0.02, 0.02), "tenors: (1, nan) are not positive and strictly ascending"),
        ((1, 2), (0.02, float("nan")), "yields: nan at 2 years is no annual fraction between -0.05 and 1"),
        ((1, 2), (4.02, 4.08), "yields: 4.02 at 1 years is no annual fraction between -0.05 and 1"),
        ((1, 2), (0.02,), "treasury: 2 tenors and 1 yields"),
    ],
)
def test_a_curve_that_cannot_be_is_one_sentence(tenors, yields, sentence, interpolation):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        TreasuryCurve(tenors, yields, interpolation)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_negative_rates_are_rates_too(interpolation):
    made = TreasuryCurve((0.5, 1, 2, 5, 10), (-0.006, -0.007, -0.006, -0.002, 0.003), interpolation)
    assert made.discount([0.5, 1.0, 2.0]).min() > 1.0
    assert made.zero(2.0, "semiannual") < 0
    assert made.forward(5.0, 10.0, "annual") > 0


def test_bad_questions_are_named():
    with pytest.raises(ValueError, match="interpolation: 'cubic' is not one of pchip, linear, monotone_convex"):
        TreasuryCurve((1, 2), (0.02, 0.02), "cubic")
    with pytest.raises(ValueError, match=r"years: 0\.0 is not above 0; a zero rate needs time"):
        curve("pchip").zero([0.0, 1.0], "annual")
    with pytest.raises(ValueError, match=r"end: 1\.0 years is not after start; a forward rate needs time"):
        curve("pchip").forward(1.0, 1.0, None)
    with pytest.raises(ValueError, match=r"years: -1\.0 is negative"):
        curve("monotone_convex").discount(-1.0)


def test_a_stale_curve_says_how_old_it_is():
    day = dt.date(2026, 5, 21)
    assert staleness_caution(day, dt.date(2026, 5, 26), 5) == ""
    assert staleness_caution(day, dt.date(2026, 5, 27), 5) == (
        "the curve of 2026-05-21 is 6 days old on 2026-05-27, more than 5: load a later snapshot"
    )
    assert staleness_caution(day, dt.date(2026, 5, 20), 5).startswith("the curve is of 2026-05-21, after 2026-05-20")
