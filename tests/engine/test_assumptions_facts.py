"""Facts of other sources that the pool engine must meet: unit facts of another engine, speeds and a textbook pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pooling.engine.assumptions import Amortisation, Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.assumptions.speeds import (
    abs_to_smm,
    annual_rate,
    monthly_rate,
    psa_to_cpr,
    sda_to_cdr,
    timed_amounts,
    years_between,
)
from pooling.engine.flows import PoolFlows
from tests.engine.test_oracle_bma import loans

CENT = 0.005 + 1e-9  # the file prints cents, which its engine cuts off


def witness(
    balance: float, term: int, cpr: float = 0.0, amortisation: Amortisation = "level", **more: int
) -> PoolFlows:
    """8 % loan from 2021-01-01 in the order and with the cuts of the other engine (WITNESS)."""
    dates = (np.datetime64("2021-01", "M") + np.arange(term + 1)).astype("datetime64[D]")
    given = Assumptions(
        prepayment=Prepayment("cpr", cpr),
        event_order="WITNESS",
        days=365.0 * years_between(dates),
        rate_decimals=6,
        floor_cents=True,
    )
    return assumed_flows(loans(balance, 0.08, term), given, horizon=term, amortisation=amortisation, **more)


def facts(shared: Path) -> dict[str, Any]:
    file = json.loads((shared / "oracles" / "cashflows" / "U01_unit_facts.json").read_text())
    return {fact["what"]: fact for fact in file["facts"]}


@pytest.mark.shared
def test_conversions_of_rates(shared: Path) -> None:
    """U01: Dream-Securitizations' MathUtilityTests; a negative rate is a rate too."""
    known = facts(shared)
    for what, convert, key in (
        ("annual to monthly rate 1-(1-r)^(1/12)", monthly_rate, "annual"),
        ("monthly to annual", annual_rate, "monthly"),
        ("annual to monthly, negative", monthly_rate, "annual"),
    ):
        fact = known[what]
        assert float(convert(fact["in"][key])) == pytest.approx(fact["out"], abs=fact["tol"]), what


@pytest.mark.shared
@pytest.mark.parametrize(
    ("start", "cpr"),
    [
        ("balloon mortgage, 30-year style", 0.0),
        ("same balloon with CPR 10% (Act/365 period rates) from 2021-01-01", 0.10),
    ],
)
def test_balloon_of_the_witness(shared: Path, start: str, cpr: float) -> None:
    """U01, convention WITNESS."""
    (out,) = (fact["out"] for what, fact in facts(shared).items() if what.startswith(start))

    flows = witness(120.0, 36, cpr, "balloon", amortisation_term=120)

    assert flows.scheduled_principal[0, [0, -1], 0] == pytest.approx(
        [out["first_principal"], out["last_principal"]], abs=CENT
    )
    assert flows.interest[0, [0, -1], 0] == pytest.approx([out["first_interest"], out["last_interest"]], abs=CENT)
    assert flows.prepayment[0, 0, 0] == pytest.approx(out.get("first_prepay", 0.0), abs=CENT)


@pytest.mark.shared
def test_interest_only_then_level_of_the_witness(shared: Path) -> None:
    """U01, convention WITNESS."""
    out = facts(shared)["interest-only first 3 then level, 240 @8% 24m"]["out"]

    flows = witness(240.0, 24, amortisation="interest_only", interest_only_months=3)

    assert flows.performing[0, [0, 3], 0] == pytest.approx(
        [out["after_1"]["balance"], out["first_amortising"]["balance"]], abs=CENT
    )
    assert flows.interest[0, [0, 3], 0] == pytest.approx(
        [out["after_1"]["interest"], out["first_amortising"]["interest"]], abs=CENT
    )
    assert flows.scheduled_principal[0, 3, 0] == pytest.approx(out["first_amortising"]["principal"], abs=CENT)


@pytest.mark.shared
def test_prepaying_level_loan_of_the_witness(shared: Path) -> None:
    """U01, convention WITNESS: two rows of 10,000 at 8 % over 24 months with CPR 3 %."""
    out = facts(shared)["prepayment penalties, 10000 @8% 24m level from 2021-01-01, CPR 3%"]["out"]

    flows = witness(10_000.0, 24, 0.03)

    for month, row in ((0, out["row_2021-02-01"]), (3, out["row_2021-05-01"])):
        assert flows.performing[0, month, 0] == pytest.approx(row["balance"], abs=CENT)
        assert flows.scheduled_principal[0, month, 0] == pytest.approx(row["principal"], abs=CENT)
        assert flows.interest[0, month, 0] == pytest.approx(row["interest"], abs=CENT)
        assert flows.prepayment[0, month, 0] == pytest.approx(row["prepay"], abs=CENT)


@pytest.mark.shared
def test_speed_curves_by_age(shared: Path) -> None:
    """oracles/pricing/01: PSA, SDA and ABS at given ages, to the file's tolerance."""
    cases = {case["id"]: case for case in curves(shared)}
    for name, convert, speed, result in (
        ("psa100_curve", psa_to_cpr, "psa", "cpr"),
        ("psa200_curve", psa_to_cpr, "psa", "cpr"),
        ("sda100_curve", sda_to_cdr, "sda", "cdr"),
        ("abs_1p3_to_smm", abs_to_smm, "abs", "smm"),
    ):
        case = cases[name]
        ours = convert(case["inputs"][speed], case["inputs"]["ages"])
        assert ours == pytest.approx(case["expected"][result], abs=case["tol"]), name


@pytest.mark.shared
def test_textbook_pool_at_165_psa(shared: Path) -> None:
    """oracles/pricing/01, fabozzi_165psa_months1_2: a pool seasoned by 3 months. Order BMA, no defaults."""
    case = next(case for case in curves(shared) if case["id"] == "fabozzi_165psa_months1_2")
    given, expected = case["inputs"], case["expected"]

    pool = loans(given["balance"], given["wac"], given["wam"], age=given["seasoning"])
    flows = assumed_flows(pool, Assumptions(Prepayment("psa", given["psa"]), event_order="BMA"))

    for month in (0, 1):
        row = expected[f"month{month + 1}"]
        assert flows.scheduled_principal[0, month, 0] == pytest.approx(row["scheduled"], abs=case["tol"])
        assert flows.prepayment[0, month, 0] == pytest.approx(row["prepay"], abs=case["tol"])
    assert flows.performing[0, 0, 0] == pytest.approx(expected["month2"]["balance"], abs=case["tol"])


def curves(shared: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared / "oracles" / "pricing" / "01_psa_sda_abs.json").read_text())[
        "cases"
    ]
    return found


# ------------------------------------------------------------------------------------- what a pool's flows add up to
def test_cumulative_loss_and_delinquent_share_by_hand() -> None:
    """1 % of an interest-free bullet loan of 10,000 defaults in month 1: 100 late for 4 months, 60 lost at the end."""
    rate = np.zeros(6)
    rate[0] = 0.01
    given = Assumptions(default=Default("mdr", rate), severity=0.6, charge_off_lag=4, recovery_lag=1)
    flows = assumed_flows(loans(10_000.0, 0.0, 6), given, horizon=6, amortisation="bullet")

    assert flows.cumulative_default[:, 0] == pytest.approx([100.0] * 6)
    assert flows.cumulative_loss[:, 0] == pytest.approx([0.0, 0.0, 0.0, 0.0, 100.0, 60.0])
    assert flows.delinquent_share(0)[:, 0] == pytest.approx([0.01] * 4 + [0.0] * 2)
    assert flows.delinquent_share(30)[:, 0] == pytest.approx([0.0, 0.01, 0.01, 0.01, 0.0, 0.0])
    assert flows.delinquent_share()[:, 0] == pytest.approx([0.0, 0.0, 0.01, 0.01, 0.0, 0.0])
    assert flows.delinquent_share(90)[:, 0] == pytest.approx([0.0, 0.0, 0.0, 0.01, 0.0, 0.0])
    with pytest.raises(ValueError, match="days: 45 is no edge of a bucket; give one of 0, 30, 60, 90"):
        flows.delinquent_share(45)


def test_amounts_by_timing() -> None:
    assert timed_amounts([100.0, 200.0], [0.5, 0.5]).tolist() == [[50.0, 100.0], [50.0, 100.0]]
    with pytest.raises(ValueError, match=r"timing: the fractions add up to 0.9; make them add up to 1"):
        timed_amounts(1.0, [0.5, 0.4])
    with pytest.raises(ValueError, match="dates: entry 2 is not later than the one before it"):
        years_between(["2026-01-31", "2026-02-28", "2026-02-28"])
