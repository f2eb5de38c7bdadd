"""Durations and values of a basis point against differences of prices and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.engine.curve import TreasuryCurve
from pricing.engine.risk import risk_measures
from pricing.engine.spreads import price_at_z_spread
from pricing.engine.valuation import price

CURVE = TreasuryCurve((0.25, 0.5, 1.0, 2.0, 5.0, 10.0), (0.045, 0.044, 0.04, 0.042, 0.044, 0.047))
HOW: dict[str, Any] = {"yield_compounding": "semiannual", "spread_compounding": "continuous", "shift": 0.001}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0.5, 1.3))
def test_measures_are_the_differences_of_prices(seed, months, level):
    flows = np.random.default_rng(seed).random((3, months)) / months + 0.001
    prices = flows.sum(axis=1) * level
    found = risk_measures(flows, prices, CURVE, **HOW)
    assert found.reasons == ("", "", "")
    h = 1e-4
    down, up = (price(flows, found.yields + step) for step in (-h, h))
    assert found.dv01 == pytest.approx((down - up) / 2, rel=1e-9)
    assert found.dv01 == pytest.approx(found.modified * prices * h, rel=1e-4)
    assert found.convexity == pytest.approx((up + down - 2 * prices) / (prices * h**2), rel=1e-3, abs=1e-3)
    tight, wide = (price_at_z_spread(flows, found.z_spreads + s, CURVE, compounding="continuous") for s in (-h, h))
    assert found.cs01 == pytest.approx((tight - wide) / 2, rel=1e-9)
    assert found.spread_duration == pytest.approx(found.cs01 / prices / h, rel=1e-9)
    assert (found.cs01 > 0).all()
    shift = 0.001
    higher, lower = (
        price_at_z_spread(flows, found.z_spreads, CURVE.shifted(s), compounding="continuous") for s in (shift, -shift)
    )
    assert found.effective_duration == pytest.approx((lower - higher) / (2 * prices * shift), rel=1e-8)
    moved = (lower + higher - 2 * prices) / (prices * shift**2)
    assert found.effective_convexity == pytest.approx(moved, rel=1e-6, abs=1e-7)
    # Under a continuous spread a parallel move of par yields is nearly one of the log rate.
    assert found.effective_duration == pytest.approx(found.macaulay, rel=0.04, abs=0.003)


def test_one_payment_lives_as_long_as_it_takes():
    flows = np.zeros((1, 36))
    flows[0, -1] = 1.0
    found = risk_measures(flows, 0.8, CURVE, **HOW)
    assert found.macaulay[0] == pytest.approx(3.0, abs=1e-12)
    assert found.modified[0] == pytest.approx(3.0 / (1 + found.yields[0] / 2), abs=1e-12)
    # d2P / dy2 / P of (1 + y / 2)^-6: 6 x 7 / 4 / (1 + y / 2)^2
    assert found.convexity[0] == pytest.approx(10.5 / (1 + found.yields[0] / 2) ** 2, abs=1e-10)
    assert found.spread_duration[0] == pytest.approx(3.0, abs=1e-6)


def test_a_floater_that_resets_each_month_has_no_rate_duration_but_spread_duration():
    months, h = 36, HOW["shift"]

    def flows(curve: TreasuryCurve) -> np.ndarray:
        times = np.arange(1, months + 1) / 12
        index = curve.forward(times - 1 / 12, times, None)
        paid = (index + 0.01) / 12
        paid[-1] += 1.0
        return paid[None]

    up, down = (flows(CURVE.shifted(step)) for step in (h, -h))
    found = risk_measures(flows(CURVE), 1.0, CURVE, **HOW, flows_up=up, flows_down=down)
    assert abs(found.effective_duration[0]) < 0.06
    assert 2.5 < found.spread_duration[0] < 3.0
    fixed = risk_measures(flows(CURVE), 1.0, CURVE, **HOW)
    assert fixed.effective_duration[0] > 2.5


def test_rows_without_a_price_have_reasons_and_spoil_no_other():
    flows = np.array([[0.5, 0.6], [0.0, 0.0], [0.5, 0.6], [-0.5, 0.2]])
    found = risk_measures(flows, [1.0, 1.0, 0.0, -0.3], CURVE, **HOW)
    assert found.reasons[0] == ""
    assert found.reasons[1] == "the row holds no cash flow"
    assert found.reasons[2] == "a price of 0.0 has no yield"
    assert found.reasons[3] == "a price that is not above 0 has no duration"
    for name in (
        "yields",
        "macaulay",
        "modified",
        "convexity",
        "effective_duration",
        "dv01",
        "cs01",
        "spread_duration",
    ):
        assert np.isnan(getattr(found, name)).tolist() == [False, True, True, True], name
    alone = risk_measures(flows[:1], 1.0, CURVE, **HOW)
    assert alone.dv01[0] == pytest.approx(found.dv01[0], abs=1e-15)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"shift: 25.0 is no annual fraction between 0 and 0\.1"):
        risk_measures([1.0], 1.0, CURVE, yield_compounding="annual", spread_compounding="annual", shift=25.0)
    with pytest.raises(ValueError, match="flows_up: give it together with flows_down"):
        risk_measures([1.0], 1.0, CURVE, **HOW, flows_up=[1.0])
