"""Our figures beside those of QuantLib and pyxirr, which are installed for the tests only."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import pyxirr
import QuantLib as ql  # noqa: N813

from pooling.engine.analytics import internal_rates
from pricing.engine.bonds import CONVENTIONS, Bond, bond_yields, clean_prices
from pricing.engine.curve import TreasuryCurve
from pricing.engine.spreads import z_spreads
from pricing.engine.valuation import durations, present_values, price, solve_yields
from pricing.engine.zero_curve import MonotoneConvex
from tests.benchmarks.pricing import COUNT, DATES, MONTHS, START, leg, library_values, library_yields

AGREEMENT = 1e-9
PYXIRR = 1e-8  # its own tolerance, on yearly rates
CURVE = TreasuryCurve((0.5, 1.0, 2.0, 5.0, 10.0), (0.04, 0.041, 0.042, 0.044, 0.047))


def streams(seed: int, rows: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.random((rows, MONTHS)) / 30 * (rng.random((rows, MONTHS)) < 0.8))


def test_present_values_agree_with_quantlib() -> None:
    cash = np.stack([streams(1, 20).T, streams(2, 20).T])
    factors = CURVE.discount(np.arange(1, MONTHS + 1) / 12)
    ours = present_values(cash, factors)
    assert ours.shape == (2, 20)
    for k in (0, 1):
        assert np.abs(library_values(cash[k].T, factors) - ours[k]).max() <= AGREEMENT
    with pytest.raises(ValueError, match=r"factors: shape \(59,\) for flows \(2, 60, 20\)"):
        present_values(cash, factors[1:])
    cash[1, 3, 7] = np.nan
    with pytest.raises(ValueError, match="flows: a flow or a factor is not finite"):
        present_values(cash, factors)


def test_yields_and_durations_agree_with_quantlib() -> None:
    flows = streams(3, 120)
    prices = price(flows, np.random.default_rng(4).uniform(-0.02, 0.4, len(flows)))
    solved = solve_yields(flows, prices)
    assert np.abs(library_yields(flows, prices) - solved.yields).max() <= AGREEMENT
    macaulay, modified = durations(flows, solved.yields)
    for row in range(0, len(flows), 12):
        rate = ql.InterestRate(float(solved.yields[row]), COUNT, ql.Compounded, ql.Semiannual)
        for kind, ours in ((ql.Duration.Macaulay, macaulay), (ql.Duration.Modified, modified)):
            theirs = ql.CashFlows.duration(leg(flows[row]), rate, kind, False, START)
            assert ours[row] == pytest.approx(theirs, abs=AGREEMENT)


def test_annual_rates_agree_with_pyxirr() -> None:
    flows = streams(5, 60)
    prices = price(flows, np.random.default_rng(6).uniform(0.0, 0.5, len(flows)), compounding="annual")
    solved = solve_yields(flows, prices, compounding="annual")
    rates = np.array([pyxirr.irr(stream) for stream in np.column_stack([-prices, flows])])
    assert (1 + rates) ** 12 - 1 == pytest.approx(solved.yields, abs=PYXIRR)
    dates = [dt.date(2026, 1, 15), dt.date(2026, 7, 1), dt.date(2027, 2, 3), dt.date(2030, 12, 31)]
    amounts = [-100.0, 20.0, 35.0, 70.0]
    times = [(date - dates[0]).days / 365 for date in dates]
    assert float(internal_rates(amounts, times).rates) == pytest.approx(pyxirr.xirr(dates, amounts), abs=PYXIRR)


@pytest.mark.parametrize(
    ("compounding", "theirs", "frequency"),
    [
        ("annual", ql.Compounded, ql.Annual),
        ("semiannual", ql.Compounded, ql.Semiannual),
        ("monthly", ql.Compounded, ql.Monthly),
        ("continuous", ql.Continuous, ql.NoFrequency),
    ],
)
def test_z_spreads_agree_with_quantlib(compounding, theirs, frequency) -> None:
    flows = streams(7, 8)
    prices = price(flows, 0.08)
    factors = CURVE.discount(np.arange(1, MONTHS + 1) / 12)
    known = ql.DiscountCurve([START, *DATES], [1.0, *factors.tolist()], COUNT)
    found = z_spreads(flows, prices, CURVE, compounding=compounding)
    for row, wanted in enumerate(prices):
        spread = ql.CashFlows.zSpread(
            leg(flows[row]), float(wanted), known, COUNT, theirs, frequency, False, START, START, 1e-12, 200, 0.0
        )
        assert found.values[row] == pytest.approx(spread, abs=AGREEMENT)


def test_a_dated_bond_agrees_with_quantlib() -> None:
    """A corporate bond, 30/360, between coupons; both compound through the last period here."""
    maturity, settle = dt.date(2034, 5, 17), dt.date(2026, 2, 9)
    schedule = ql.Schedule(
        ql.Date(17, 5, 2024), ql.Date(17, 5, 2034), ql.Period(ql.Semiannual), ql.NullCalendar(),
        ql.Unadjusted, ql.Unadjusted, ql.DateGeneration.Backward, False,
    )  # fmt: skip
    theirs = ql.FixedRateBond(0, 100.0, schedule, [0.0575], COUNT)
    bond = Bond(maturity, 0.0575, 2, CONVENTIONS["us_corporate"])
    for y in (-0.01, 0.0, 0.04, 0.2):
        clean = float(clean_prices(bond, settle, y))
        known = theirs.cleanPrice(y, COUNT, ql.Compounded, ql.Semiannual, ql.Date(9, 2, 2026))
        assert 100 * clean == pytest.approx(known, abs=AGREEMENT)
        assert bond_yields(bond, settle, clean).yields[0] == pytest.approx(y, abs=1e-12)


def test_monotone_convex_agrees_with_quantlib() -> None:
    """QuantLib blends in a parabola by a weight, which Hagan and West do not (0 itself it divides by)."""
    times, zeros = np.arange(1.0, 6.0), np.array([0.03, 0.04, 0.047, 0.06, 0.06])
    ours = MonotoneConvex(times, times * zeros)
    discrete = np.diff(times * zeros, prepend=0.0)
    theirs = ql.ConvexMonotoneInterpolation(
        ql.Array([0.0, *times.tolist()]), ql.Array([0.0, *discrete.tolist()]), 1e-10, 1.0, True
    )
    for year in np.linspace(0.01, 4.99, 167):
        assert float(ours.forward(year)) == pytest.approx(theirs(year, True), abs=AGREEMENT)
