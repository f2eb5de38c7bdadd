"""Capital by type of investor: the published tables, and the ways that they are charged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pricing.engine.charges import (
    BANK,
    CAPITAL_RATIO,
    INVESTOR_TYPES,
    NAIC_MULTIPLE,
    InvestorType,
    capital_charge,
    investor_types,
)
from rating.engine.capital import ssfa_risk_weight
from rating.engine.scale import GRADES

TYPES = {each.key: each for each in INVESTOR_TYPES}


def charge(key: str, grade: str = "BBB", risk_weight: float = 1.0, duration: float = 2.0) -> float:
    return capital_charge(TYPES[key], grade=grade, risk_weight=risk_weight, duration=duration, scale=GRADES)


def test_a_bank_holds_the_ratio_of_its_risk_weight_whatever_the_grade() -> None:
    """10.5 % of the SEC-SA weight; 1,250 % is more than the position, hence all of it."""
    weight = ssfa_risk_weight(0.06, 0.10, 0.20, 1.0)
    assert charge(BANK, "AAA", weight) == charge(BANK, "B-", weight) == pytest.approx(0.105 * weight, abs=1e-15)
    assert CAPITAL_RATIO == 0.105
    assert charge(BANK, risk_weight=12.5) == 1.0


@pytest.mark.shared
def test_the_charge_of_an_official_sec_sa_example(shared: Path) -> None:
    """From K_A to capital: the worked K_A of oracle 09 and this project's formula, 10.5 % of the weight."""
    text = json.dumps(json.loads((shared / "oracles/pricing/09_basel_securitisation.json").read_text()))
    assert "0.1235" in text
    weight = ssfa_risk_weight(0.1235, 0.1235, 1.0, 1.0)
    assert charge(BANK, risk_weight=weight) == pytest.approx(0.105 * weight)


@pytest.mark.parametrize(
    ("grade", "percent"),
    [("AAA", 0.16), ("AA+", 0.27), ("AA", 0.42), ("AA-", 0.52), ("A+", 0.66), ("A", 0.82), ("A-", 1.02),
     ("BBB+", 1.26), ("BBB", 1.52), ("BBB-", 2.17), ("BB+", 3.15)],
)  # fmt: skip
def test_us_life_insurers_take_the_naic_factors_of_2021(grade: str, percent: float) -> None:
    """J.P. Morgan Asset Management, NAIC 2021 Summer National Meeting, exhibit 1: pre-tax, two decimals."""
    assert charge("insurer", grade) == pytest.approx(NAIC_MULTIPLE * percent / 100, rel=1e-12)


@pytest.mark.parametrize(
    ("grade", "stress"), [("AAA", 0.125), ("AA", 0.134), ("A", 0.166), ("BBB", 0.197), ("BB", 0.82), ("B", 1.0)]
)
def test_solvency_stresses_are_those_of_the_regulation_times_duration(grade: str, stress: float) -> None:
    """Delegated Regulation (EU) 2015/35, article 178(2): credit quality steps 0 to 5 of type 2 securitisations."""
    assert charge("insurer_eu", grade, duration=1.0) == pytest.approx(stress, rel=1e-12)
    assert charge("insurer_eu", grade, duration=0.4) == pytest.approx(stress, rel=1e-12)
    assert charge("insurer_eu", grade, duration=2.5) == pytest.approx(min(1.0, 2.5 * stress), rel=1e-12)


@pytest.mark.parametrize("key", ["insurer", "insurer_eu", "fund"])
def test_charges_never_fall_from_a_grade_to_a_worse_one(key: str) -> None:
    found = [charge(key, grade, duration=1.0) for grade in GRADES]
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] <= 1


def test_a_grade_between_two_rows_lies_between_them_in_the_logarithm() -> None:
    fund = TYPES["fund"].charges
    assert charge("fund", "AA+") == pytest.approx((fund["AAA"] * fund["AA"]) ** 0.5, rel=1e-12)


def test_a_snapshots_charges_take_the_place_of_the_table() -> None:
    changed = {each.key: each for each in investor_types({"fund": {"AAA": 0.02, "CCC": 0.5}})}
    assert capital_charge(changed["fund"], grade="AAA", risk_weight=0, duration=1, scale=GRADES) == pytest.approx(0.02)
    assert changed["insurer"] == TYPES["insurer"]
    assert investor_types() == investor_types({}) == INVESTOR_TYPES
    *_, added = investor_types({"pension_fund": {"AAA": 0.1, "CCC": 0.9}})
    assert (added.key, added.title, added.basis) == ("pension_fund", "Pension fund", "grade")
    assert capital_charge(added, grade="AAA", risk_weight=0, duration=1, scale=GRADES) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="bank takes SEC-SA risk weights"):
        investor_types({"bank": {"AAA": 0.1}})


def test_every_table_says_where_it_comes_from_and_what_is_assumed() -> None:
    for each in INVESTOR_TYPES:
        assert "assumption" in each.source
    assert "from memory" in TYPES["insurer"].source


def test_bad_charges_are_named() -> None:
    with pytest.raises(ValueError, match=r"^charges: x, AAA: 1.5 is outside"):
        InvestorType("x", "X", "grade", 0.0, "assumption", {"AAA": 1.5})
    with pytest.raises(ValueError, match=r"^charges: investor type x needs charges"):
        InvestorType("x", "X", "grade", 0.0, "assumption")
    with pytest.raises(ValueError, match=r"^grade: 'NR' is not on the scale"):
        charge("fund", "NR")
    with pytest.raises(ValueError, match=r"^risk_weight: nan"):
        charge(BANK, risk_weight=float("nan"))
    with pytest.raises(ValueError, match=r"^duration: nan"):
        charge("insurer_eu", duration=float("nan"))
