"""Regulatory capital against the worked examples and tables of the standards."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from rating.engine.capital import (
    ERBA,
    FLOOR,
    IRBA_P,
    CapitalClass,
    capital_of_classes,
    delinquency_capital,
    erba_risk_weight,
    irba_p,
    legal_maturity,
    retail_capital,
    ssfa_risk_weight,
)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.shared
def test_worked_examples_of_the_rulebook(shared: Path) -> None:
    data = json.loads((shared / "oracles/pricing/09_basel_securitisation.json").read_text())
    cases = {case["id"]: case for case in data["cases"]}
    known = cases["cbuae_sec_sa"]["inputs"]
    expected = cases["cbuae_sec_sa"]["expected"]
    assert delinquency_capital(known["KSA"], known["W_known"]) == pytest.approx(expected["K_adj"], abs=5e-5)
    ka = delinquency_capital(known["KSA"], known["W_known"], known["share_unknown"])
    assert ka == pytest.approx(expected["KA"], abs=5e-5)
    weight = ssfa_risk_weight(0.1235, known["A"], known["D"], known["p"])
    assert weight * 100 == pytest.approx(cases["cbuae_sec_sa"]["expected_derived"]["RW_pct"], abs=0.05)
    erba = cases["cbuae_sec_erba"]["inputs"]
    found = erba_risk_weight(erba["rating"], erba["senior"], erba["A"], erba["D"], erba["MT"])
    assert found * 100 == pytest.approx(373.125)
    assert round(found * 100) == cases["cbuae_sec_erba"]["expected"]["RW_pct"]
    for name in ("sec_sa_boundary_full_deduction", "sec_sa_floor"):
        given = cases[name]["inputs"]
        found = ssfa_risk_weight(given["KA"], given["A"], given["D"], given["p"]) * 100
        assert found == pytest.approx(cases[name]["expected"]["RW_pct"], abs=1e-9)


@pytest.mark.shared
def test_tables_are_those_of_the_standard(shared: Path) -> None:
    table = rows(shared / "tables/basel_sec_erba_risk_weights.csv")
    columns = ("senior_1y", "senior_5y", "nonsenior_thin_1y", "nonsenior_thin_5y")
    assert {row["rating"]: tuple(float(row[name]) for name in columns) for row in table if row["rating"] != "D"} == ERBA
    data: dict[str, Any] = json.loads((shared / "oracles/market/06_basel_sec_erba.json").read_text())
    for grade, row in data["table_pct"].items():
        if grade in ERBA:
            assert [round(100 * weight) for weight in ERBA[grade]] == row
    for row in rows(shared / "tables/basel_sec_irba_p.csv"):
        key = (row["pool"], row["seniority"] == "senior", row["granular_N_ge_25"] != "0")
        assert IRBA_P[key] == tuple(float(row[name]) for name in "ABCDE")


def test_senior_and_mezzanine_take_the_same_p() -> None:
    """CRE41.9: p = 1 for a securitisation that is no re-securitisation, whatever the seniority."""
    classes = (
        CapitalClass("A", 0.30, 1.0, "AA", True),
        CapitalClass("B", 0.20, 0.30, "A", False),
        CapitalClass("C", 0.0, 0.20, "CCC", False),
    )
    given: dict[str, Any] = {
        "ksa": 0.06, "delinquent": 0.02, "kirb": 0.05, "lgd": 0.9, "loans": 1_000.0, "legal_years": 6.0,
    }  # fmt: skip
    found = capital_of_classes(classes, **given)
    ka = delinquency_capital(0.06, 0.02)
    assert found[1].sec_sa == ssfa_risk_weight(ka, 0.20, 0.30, 1.0)
    assert found[0].sec_sa == max(FLOOR, ssfa_risk_weight(ka, 0.30, 1.0, 1.0))
    halved = capital_of_classes(classes, **given, p=0.5)
    assert halved[1].sec_sa < found[1].sec_sa
    assert found[0].sec_sa < found[1].sec_sa < found[2].sec_sa <= 12.5


def test_a_senior_class_weighs_no_more_than_its_pool() -> None:
    thin = capital_of_classes(
        [CapitalClass("A", 0.07, 1.0, "A", True)],
        ksa=0.06, delinquent=0.5, kirb=0.05, lgd=0.9, loans=100.0, legal_years=4.0,
    )  # fmt: skip
    assert thin[0].capped
    assert thin[0].sec_sa == pytest.approx(0.75)  # 12.5 x 6 %
    assert thin[0].sec_irba <= 0.625  # 12.5 x 5 %


def test_a_thick_non_senior_class_weighs_no_less_than_a_senior_one() -> None:
    """CRE42: half of a thin class's 30 % would be below a senior class of the same grade and maturity."""
    assert erba_risk_weight("AA", False, 0.2, 0.8, 1.0) == erba_risk_weight("AA", True, 0.2, 0.8, 1.0) == 0.25


def test_a_resecuritisation_has_a_floor_of_100_percent_and_no_cap() -> None:
    found = capital_of_classes(
        [CapitalClass("A", 0.5, 1.0, "AAA", True)],
        ksa=0.06, delinquent=0.0, kirb=0.05, lgd=0.9, loans=100.0, legal_years=4.0, p=1.5,
    )  # fmt: skip
    assert (found[0].sec_sa, found[0].capped) == (1.0, False)


def test_maturity_retail_and_the_supervisory_parameter() -> None:
    assert [legal_maturity(years) for years in (0.5, 1.0, 3.0, 6.0, 30.0)] == pytest.approx([1.0, 1.0, 2.6, 5.0, 5.0])
    # Basel II (bcbs128) Annex 5, other retail at PD 1.00 %: 45.77 % at LGD 45 %, 86.46 % at LGD 85 %.
    assert [round(1250 * retail_capital(0.01, lgd), 2) for lgd in (0.45, 0.85)] == [45.77, 86.46]
    assert irba_p("retail", True, 1_000, 0.05, 0.9, 3.0) == pytest.approx(-7.48 * 0.05 + 0.71 * 0.9 + 0.24 * 3)
    assert irba_p("retail", False, 1_000, 0.2, 0.1, 1.0) == 0.3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ssfa_risk_weight(0.08, 0.2, 0.2, 1.0), "a class from 0.2 to 0.2 has no thickness"),
        (lambda: ssfa_risk_weight(0.08, 0.2, 1.2, 1.0), r"detachment: 1.2 is outside \[0, 1\]"),
        (lambda: ssfa_risk_weight(0.08, 0.2, 0.3, 0.0), "p: 0.0 is not positive"),
        (lambda: delinquency_capital(0.08, 1.4), r"delinquent: 1.4 is outside \[0, 1\]"),
        (lambda: irba_p("cards", True, 10, 0.1, 0.5, 1.0), "pool: 'cards' is neither wholesale nor retail"),
        (lambda: erba_risk_weight("AA", True, 0.5, 0.5, 1.0), "has no thickness within"),
        (lambda: erba_risk_weight("Aa2", True, 0.2, 0.5, 1.0), "grade: 'Aa2' is none of AAA"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_extremes_of_the_formula() -> None:
    assert delinquency_capital(0.08, 0.0, 0.06) == 1.0  # more than 5 % unknown: full deduction
    assert ssfa_risk_weight(0.0, 0.1, 0.2, 1.0) == FLOOR
    assert erba_risk_weight("D", True, 0.0, 0.5, 1.0) == 12.5
