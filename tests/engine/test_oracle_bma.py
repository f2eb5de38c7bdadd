"""The published formulas of The Bond Market Association: cash flow A in full, and the conversions of speeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.assumptions.history import (
    abs_from_factors,
    psa_from_balances,
    smm_from_balances,
    smm_from_factors,
)
from pooling.engine.assumptions.speeds import abs_to_smm, annual_rate, cpr_to_psa, monthly_rate, smm_to_abs
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors

PRINTED_PERCENT = 0.005  # tables print two decimals of a percent


def loans(balance: float, rate: float, term: int, age: int = 0) -> LoanArrays:
    return LoanArrays(
        loan_id=np.array(["1"]),
        balance=np.array([balance]),
        rate=np.array([rate]),
        original_term=np.array([term + age]),
        remaining_term=np.array([term]),
        age=np.array([age]),
        grade=np.array([""]),
        score=np.array([np.nan]),
        group=np.array(["all"]),
        sector=np.array([""]),
    )


def oracle(shared: Path, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((shared / "oracles" / "cashflows" / f"{name}.json").read_text())
    return value


def cash_flow_a() -> PoolFlows:
    """100m, 8 %, 360 months, 1 % SMM, 1 % MDR, P&I advanced, 12 months to liquidation, severity 20 % of the balance at
    default; nothing defaults in the last 12 months. Event order BMA."""
    given = Assumptions(
        prepayment=Prepayment("smm", 0.01),
        default=Default("mdr", 0.01, none_in_last=12),
        severity=0.2,
        severity_of="default",
        charge_off_lag=12,
        advances="principal_and_interest",
        event_order="BMA",
    )
    return assumed_flows(loans(100e6, 0.08, 360), given, horizon=360)


@pytest.mark.shared
def test_cash_flow_a_month_by_month_and_in_total(shared: Path) -> None:
    """B01, SF-22 to SF-29: every printed column within 1 on a flow and 2 on a balance of 100m."""
    case = oracle(shared, "B01_bma_cashflow_A")
    flows = cash_flow_a()
    assert flows.advanced_interest is not None
    assert flows.advanced_principal is not None
    paid = flows.scheduled_principal + flows.advanced_principal
    ours = {
        "Performing Balance": flows.performing,
        "New Defaults": flows.default,
        "In Foreclosure": flows.delinquent.sum(axis=1),
        "Expected Amortization": paid,
        "Voluntary Prepayments": flows.prepayment,
        "Amort From Defaults": flows.advanced_principal,
        "Actual Amort": flows.scheduled_principal,
        "Expected Interest": flows.interest + flows.advanced_interest,
        "Interest Lost": flows.advanced_interest,
        "Actual Interest": flows.interest,
        "Principal Recovery": flows.recovery,
        "Principal Loss": flows.charge_off - flows.recovery,
        "Amortized Default Bal In Recovery Month": flows.charge_off,
    }
    place = {name: i for i, name in enumerate(case["columns"])}
    checked = 0
    for row in case["rows"]:
        t = int(row[0]) - 1
        for name, column in ours.items():
            printed = row[place[name]]
            if printed is not None:
                tolerance = 2.0 if name in ("Performing Balance", "In Foreclosure") else 1.0
                assert column[0, t, 0] == pytest.approx(printed, abs=tolerance), (name, t + 1)
                checked += 1
    assert checked > 900
    for name, total in case["column_totals_over_all_printed_rows"].items():
        # 360 printed figures rounded to whole dollars: their sum is off by some ten.
        assert ours[name].sum() == pytest.approx(total, abs=30.0), name
    assert flows.check() < 1e-12


@pytest.mark.shared
def test_abs_speed_table(shared: Path) -> None:
    """B03, SF-14: SMM of seven ABS speeds over 50 months."""
    table = oracle(shared, "B03_bma_prepay_default_models")["abs_to_smm_pct"]["month_1_to_50"]
    age = np.arange(1, 51)
    for speed, printed in table.items():
        assert 100.0 * abs_to_smm(float(speed) / 100.0, age) == pytest.approx(printed, abs=PRINTED_PERCENT + 1e-9), (
            speed
        )


@pytest.mark.shared
def test_cumulative_defaults_of_the_standard_default_assumption(shared: Path) -> None:
    """B03, SF-20: share of a new 8 % pool of 360 months that ever defaults, PSA by SDA. No advances, no lag, as
    printed to two decimals."""
    table = oracle(shared, "B03_bma_prepay_default_models")["sda_cumulative_default_pct_of_new_8pct_360m"]
    speeds = [float(name.split("_")[1]) / 100.0 for name in table["header"][1:]]
    for psa, *printed in table["rows"]:
        for sda, share in zip(speeds, printed, strict=True):
            given = Assumptions(
                prepayment=Prepayment("psa", psa / 100.0),
                default=Default("sda", sda, none_in_last=12),
                event_order="BMA",
            )
            flows = assumed_flows(loans(1.0, 0.08, 360), given)
            assert 100.0 * flows.default.sum() == pytest.approx(share, abs=0.0051), (psa, sda)


@pytest.mark.shared
def test_worked_examples_of_speeds_from_factors(shared: Path) -> None:
    """B03, SF-3 to SF-13."""
    found = {example["page"]: example for example in oracle(shared, "B03_bma_prepay_default_models")["examples"]}

    one = found["SF-3"]
    i, e = one["inputs"], one["expected"]
    flows = assumed_flows(
        loans(1.0, i["gross_coupon"], i["term"]),
        Assumptions(
            prepayment=Prepayment("smm", i["unscheduled_prepayment_fraction"] / (1 - e["scheduled_amortisation"]))
        ),
    )
    assert flows.scheduled_principal[0, 0, 0] == pytest.approx(e["scheduled_amortisation"], abs=5e-9)
    assert flows.interest[0, 0, 0] == pytest.approx(e["gross_interest"], abs=5e-9)
    assert flows.principal[0, 0, 0] == pytest.approx(e["pass_through_principal"], abs=5e-8)
    net = flows.interest[0, 0, 0] - (i["gross_coupon"] - i["net_coupon"]) / 12
    assert net == pytest.approx(e["pass_through_interest"], abs=5e-9)
    assert net + flows.principal[0, 0, 0] == pytest.approx(e["pass_through_cash_flow"], abs=5e-8)

    two = found["SF-6/7"]
    i, e = two["inputs"], two["expected"]
    before, after = factors(i["gross_coupon"], i["original_remaining_term"], [i["remaining_1"], i["remaining_2"]])
    assert [before, after] == pytest.approx([e["BAL1"], e["BAL2"]], abs=5e-9)
    scheduled = i["F1"] * after / before
    assert scheduled == pytest.approx(e["Fsched"], abs=5e-9)
    assert i["F1"] - scheduled == pytest.approx(e["amortisation"], abs=5e-9)
    assert scheduled - i["F2"] == pytest.approx(e["prepayments"], abs=5e-9)
    smm = smm_from_factors(i["F1"], i["F2"], before, after)
    assert 100 * smm == pytest.approx(e["SMM_pct"], abs=5e-6)
    assert 100 * float(annual_rate(smm)) == pytest.approx(e["CPR_pct"], abs=0.005)
    assert 100 * float(cpr_to_psa(annual_rate(smm), i["month"])) == pytest.approx(e["PSA_pct"], abs=0.05)

    abs_example = found["SF-12/13"]
    assert 100 * float(
        abs_to_smm(abs_example["inputs"]["ABS_pct"] / 100, abs_example["inputs"]["month"])
    ) == pytest.approx(abs_example["expected"]["SMM_pct"], abs=1e-12)

    history = found["SF-13"]
    i, e = history["inputs"], history["expected"]
    # ABS counts from the loan's origination: AGE1 2 is remaining 34, so the loan had 36 months.
    before, after = factors(i["gross_wac"], 36, [i["original_wam"], i["remaining_2"]])
    speed = abs_from_factors(i["F1"], i["F2"], before, after, i["AGE1"], i["AGE2"])
    assert 100 * speed == pytest.approx(e["ABS_pct"], abs=0.05)


@pytest.mark.shared
def test_average_speed_of_two_pools(shared: Path) -> None:
    """B03, SF-11/12: the speed at which both pools together come from their first balances to their last."""
    found = {example["page"]: example for example in oracle(shared, "B03_bma_prepay_default_models")["examples"]}
    i, e = found["SF-11/12"]["inputs"], found["SF-11/12"]["expected"]
    start = end = scheduled = 0.0
    for part in i["pools"]:
        before, after = factors(i["gross_coupon"], 359, [part["remaining_start"], part["remaining_end"]])
        start += part["face"] * part["F_start"]
        end += part["face"] * part["F_end"]
        scheduled += part["face"] * part["F_start"] * after / before
    assert end == pytest.approx(e["actual_final_balance"], abs=0.5)
    assert scheduled == pytest.approx(e["scheduled_final_balance"], abs=0.5)
    smm = smm_from_balances(end, scheduled, 6)
    assert 100 * smm == pytest.approx(e["SMM_pct"], abs=5e-6)
    assert 100 * float(annual_rate(smm)) == pytest.approx(e["CPR_pct"], abs=5e-5)
    paths = [level_balance_factors(np.array([i["gross_coupon"]]), np.array([359]), 359)[0] for _ in i["pools"]]
    left, ages = [], []
    for part, path in zip(i["pools"], paths, strict=True):
        first = 359 - part["remaining_start"]
        left.append(path[first + 1 : first + 7] / path[first])
        ages.append(361 - part["remaining_start"])  # month 17 leaves 343 (SF-6)
    balances = [part["face"] * part["F_start"] for part in i["pools"]]
    speed = psa_from_balances(balances, left, ages, end)
    assert 100 * speed == pytest.approx(e["PSA_pct_iterative"], abs=0.05)


def factors(coupon: float, term: int, remaining: list[int]) -> tuple[float, float]:
    """Scheduled balance with so many months left, as a share of a level-payment loan's amount of `term` months."""
    path = level_balance_factors(np.array([coupon]), np.array([term]), term)[0]
    return float(path[term - remaining[0]]), float(path[term - remaining[1]])


def test_monthly_and_annual_rates_are_inverse() -> None:
    rates = np.linspace(0.0, 0.99, 50)
    assert smm_to_abs(abs_to_smm(0.012, np.arange(1, 40)), np.arange(1, 40)) == pytest.approx(np.full(39, 0.012))
    assert annual_rate(monthly_rate(rates)) == pytest.approx(rates, abs=1e-14)
