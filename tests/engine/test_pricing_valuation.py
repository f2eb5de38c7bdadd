"""Price, yield, duration and average life against published examples, and their round trips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from pricing.engine.valuation import (
    Compounding,
    average_life,
    convert_yield,
    durations,
    log_rate,
    price,
    solve_yields,
    yield_of,
)

ROUND_TRIP = 1e-10


def _cases(shared: Path, name: str) -> dict[str, dict[str, Any]]:
    content = json.loads((shared / "oracles" / "pricing" / name).read_text())
    return {case["id"]: case for case in content["cases"]}


def _bullet(coupon: float, first_month: int, payments: int) -> np.ndarray:
    """Semi-annual bullet per 1 of par as a monthly row: first coupon after first_month months."""
    flows = np.zeros(first_month + 6 * (payments - 1))
    flows[first_month - 1 :: 6] = coupon / 2
    flows[-1] += 1
    return flows


@pytest.mark.shared
def test_bma_gnma_yield_and_average_life(shared: Path) -> None:
    # BMA Standard Formulas SF-49/50: GNMA I 9.0 % net, 9.5 % gross, 360 months, 14 days delay, 150 % PSA,
    # par.
    path = shared / "oracles" / "cashflows" / "B04_bma_yield_average_life.json"
    expected = json.loads(path.read_text())["examples"][0]["expected"]
    gross, net, balance = 0.095 / 12, 0.09 / 12, 1.0
    cash, principal = np.zeros(360), np.zeros(360)
    for month in range(360):
        smm = 1 - (1 - 1.5 * min(0.002 * (month + 1), 0.06)) ** (1 / 12)
        scheduled = balance * gross / ((1 + gross) ** (360 - month) - 1)
        principal[month] = scheduled + (balance - scheduled) * smm
        cash[month] = balance * net + principal[month]
        balance -= principal[month]
    assert cash[[0, 1, 2, 359]] * 100 == pytest.approx(
        [expected["CF1"], expected["CF2"], expected["CF3"], expected["CF360"]], abs=5e-5
    )
    delay = 14 / 30
    solved = solve_yields(cash, 1.0, delay_months=delay)
    assert solved.yields[0] * 100 == pytest.approx(expected["bond_equivalent_yield_pct"], abs=5e-6)
    monthly = convert_yield(solved.yields, "semiannual", "monthly")[0]
    assert monthly * 100 == pytest.approx(expected["mortgage_yield_pct"], abs=5e-6)
    assert solved.macaulay[0] == pytest.approx(expected["macaulay_duration"], abs=5e-6)
    assert solved.modified[0] == pytest.approx(expected["modified_duration"], abs=5e-6)
    life = average_life(principal, delay_months=delay)[0]
    assert life == pytest.approx(expected["average_life_years"], abs=5e-6)


@pytest.mark.shared
def test_treasury_bond_of_31_cfr_356_appendix_b(shared: Path) -> None:
    case = _cases(shared, "04_bonds_official_rateslib.json")["us_treasury_31CFR356_appB_A"]
    inputs = case["inputs"]
    value = price(_bullet(inputs["coupon"], 6, 60), inputs["yield"])[0]
    assert value * 100 == pytest.approx(case["expected"]["clean"], abs=case["tol"])


@pytest.mark.shared
def test_street_price_between_coupons(shared: Path) -> None:
    case = _cases(shared, "04_bonds_official_rateslib.json")["ust_street_3.875_2033"]
    # ACT/ACT ICMA: the share of the coupon period still to run, and the coupons still to come. 2025-02-14 is
    # one day of 184 before a coupon; 2025-02-18 is 178 of 181 before the next; 2025-08-15 is a coupon date.
    expected = case["expected"]
    for index, (share, coupons) in enumerate([(1 / 184, 18), (178 / 181, 17), (1.0, 16)]):
        row = _bullet(0.03875, 6, coupons)
        dirty = price(row, 0.04, delay_months=6 * (share - 1))[0] * 100
        assert dirty == pytest.approx(expected["clean"][index] + expected["accrued"][index], abs=case["tol"])


@pytest.mark.shared
def test_spreadsheet_price_yield_and_duration(shared: Path) -> None:
    cases = _cases(shared, "10_xirr_and_excel.json")
    # 30/360, settled on the 15th of a month: 3 of 6 months to the first coupon, half a coupon accrued.
    case = cases["excel_price"]
    value = price(_bullet(0.0575, 3, 20), 0.065)[0] * 100 - 0.0575 / 4 * 100
    assert value == pytest.approx(case["expected"]["clean"], abs=case["tol"])
    for name, coupon, payments in (("excel_yield", 0.0575, 18), ("openoffice_yield", 0.05, 6)):
        case = cases[name]
        dirty = case["inputs"]["clean"] / 100 + coupon / 4
        found = solve_yields(_bullet(coupon, 3, payments), dirty).yields[0]
        assert found == pytest.approx(case["expected"]["yield"], abs=case["tol"])
    case = cases["excel_duration_mduration"]
    macaulay, modified = durations(_bullet(0.08, 6, 16), 0.09)
    assert macaulay[0] == pytest.approx(case["expected"]["duration"], abs=case["tol"])
    assert modified[0] == pytest.approx(case["expected"]["mduration"], abs=case["tol"])


def test_two_roots_are_both_found_and_counted() -> None:
    # 1.1 and 1.3 are the growth factors of -1, 2.4, -1.43: (x - 1.1)(x - 1.3) = x^2 - 2.4 x + 1.43.
    flows = np.zeros(24)
    flows[11], flows[23] = 2.4, -1.43
    solved = solve_yields(flows, 1.0, compounding="annual")
    assert solved.yields[0] == pytest.approx(0.1, abs=1e-12)
    assert solved.roots[0] == 2
    assert solved.reasons == ("",)
    assert solved.cautions[0].startswith("2 yields give this price, since the flows change sign")


def test_rows_without_a_yield_say_why() -> None:
    rows = np.array([[0.0, 0.0], [0.6, 0.6], [0.5, -0.2], [0.6, 0.6]])  # 0.5 v - 0.2 v^2 never reaches 1
    solved = solve_yields(rows, [1.0, 0.0, 1.0, 1.2])
    assert np.isnan(solved.yields).tolist() == [True, True, True, False]
    assert solved.reasons[0] == "the row holds no cash flow"
    assert solved.reasons[1] == "a price of 0.0 has no yield"
    assert solved.reasons[2].startswith("no yield gives this price")
    assert solved.reasons[3] == ""
    assert solved.yields[3] == pytest.approx(0.0, abs=1e-14)
    assert np.isnan(solved.macaulay[0])
    assert np.isnan(average_life(rows[:1])[0])
    for figure, why in zip(solved.yields, solved.reasons, strict=True):
        assert np.isnan(figure) == (why != "")  # no silent NaN


def test_prices_out_of_the_way_are_flagged_numbers() -> None:
    rows = np.tile([0.6, 0.6], (5, 1))
    solved = solve_yields(rows, [1.0, 1.2, 1.25, 250.0, -1.0])
    assert np.isfinite(solved.yields[:4]).all()
    assert price(rows[:4], solved.yields[:4]) == pytest.approx([1.0, 1.2, 1.25, 250.0], rel=1e-9)
    assert solved.cautions[:2] == ("", "")
    assert solved.cautions[2] == "the price is above all that the flows pay: the yield is negative"
    assert solved.cautions[3].startswith("a price of 250 is over 10 times all that the flows pay: give prices as fract")
    assert (np.isnan(solved.yields[4]), solved.reasons[4]) == (True, "a price of -1.0 has no yield")


def test_a_yield_does_not_depend_on_its_neighbours() -> None:
    rng = np.random.default_rng(3)
    rows = rng.random((6, 48)) / 20
    wanted = rows.sum(axis=1) * [0.2, 0.7, 0.9, 1.0, 1.3, 5.0]
    together = solve_yields(rows, wanted).yields
    alone = [solve_yields(row, at).yields[0] for row, at in zip(rows, wanted, strict=True)]
    assert together.tolist() == [float(each) for each in alone]  # to the last bit


COMPOUNDINGS: tuple[Compounding, ...] = get_args(Compounding)
FLOWS = st.lists(st.floats(0, 2), min_size=1, max_size=60).filter(lambda row: sum(row) > 0.01)


@given(FLOWS, st.floats(-0.5, 3.0), st.sampled_from(COMPOUNDINGS), st.floats(-0.9, 3))
def test_price_to_yield_round_trip(row: list[float], at: float, compounding: Compounding, delay: float) -> None:
    value = price(row, at, compounding=compounding, delay_months=delay)
    found = solve_yields(row, value, compounding=compounding, delay_months=delay)
    assert found.yields[0] == pytest.approx(at, abs=ROUND_TRIP)
    again = price(row, found.yields, compounding=compounding, delay_months=delay)
    assert again[0] == pytest.approx(value[0], rel=ROUND_TRIP)


@settings(max_examples=30)
@given(FLOWS, st.floats(-0.1, 0.5))
def test_vectorised_price_equals_the_sum_of_discounted_flows(row: list[float], at: float) -> None:
    scalar = sum(flow / (1 + at / 2) ** ((month + 1) / 6) for month, flow in enumerate(row))
    assert price([row, row], at)[1] == pytest.approx(scalar, rel=1e-12)
    step = 1e-5
    macaulay, modified = durations(row, at)
    slope = (price(row, at + step)[0] - price(row, at - step)[0]) / (2 * step)
    assert modified[0] == pytest.approx(-slope / scalar, rel=1e-6)
    assert macaulay[0] == pytest.approx(modified[0] * (1 + at / 2), rel=1e-12)


def test_many_yields_at_once_equal_a_bracketing_solver() -> None:
    rng = np.random.default_rng(5)
    rows = rng.random((5000, 60)) * rng.integers(0, 2, (5000, 60))
    rows[:, 10] += 0.1
    prices = rows.sum(axis=1) * rng.uniform(0.3, 1.2, 5000)
    found = solve_yields(rows, prices).yields
    for row in range(0, 5000, 250):
        flows, wanted = rows[row], prices[row]
        exact = brentq(lambda y, f=flows, p=wanted: price(f, y)[0] - p, -1.5, 200.0, xtol=1e-14, rtol=1e-14)
        assert found[row] == pytest.approx(exact, abs=1e-9, rel=1e-9)


DAILY: Any = "daily"


def test_compounding_conversion_is_exact_and_named() -> None:
    # 12 (1.03^(1/6) - 1): 6 % bond-equivalent is 5.9263 % paid monthly.
    assert convert_yield(0.06, "semiannual", "monthly") == pytest.approx(12 * (1.03 ** (1 / 6) - 1), abs=1e-14)
    assert yield_of(log_rate(0.07, "annual"), "annual") == pytest.approx(0.07, abs=1e-16)
    with pytest.raises(
        ValueError, match="compounding: 'daily' is unknown; use one of annual, semiannual, monthly, contin"
    ):
        price([1.0], 0.05, compounding=DAILY)
    with pytest.raises(ValueError, match="row 0, month 2 holds nan"):
        price([[1.0, float("nan")]], 0.05)
