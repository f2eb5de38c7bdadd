"""Loan facts of other projects' unit tests: oracles/cashflows/U01_unit_facts.json.

Facts with src "hast" come from an engine that holds rates in six decimals and floors every amount to the cent. Both are
named conventions here: the rate is given truncated (8 % / 12 = 0.006666), and rounding is "down". With them the cents
agree exactly; where a fact does not depend on them, neither is used.
"""

from __future__ import annotations

import json
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pooling.engine.schedules import (
    FloatingTerms,
    PenaltySlide,
    PenaltySteps,
    Schedule,
    ScheduleTerms,
    floating_rates,
    level_payment,
    penalty_rates,
    schedule,
)

pytestmark = pytest.mark.shared

TRUNCATED_8_PCT = 0.006666 * 12  # as the witness holds 8 % / 12
ARM = {"initial_cap": 0.015, "life_cap": 0.09, "floor": 0.02, "margin": 0.01}


@pytest.fixture(scope="module")
def facts(shared: Path) -> dict[str, dict[str, Any]]:
    """Facts by what they say."""
    oracle = json.loads((shared / "oracles/cashflows/U01_unit_facts.json").read_text())
    return {fact["what"]: fact for fact in oracle["facts"]}


def find(facts: dict[str, dict[str, Any]], start: str) -> Any:
    (name,) = [what for what in facts if what.startswith(start)]
    return facts[name]


def cents(amount: float) -> int:
    return round(amount * 100)


def row(result: Schedule, period: int) -> dict[str, int]:
    """Cents of one period, counted from 1."""
    names = ("principal", "interest", "balance", "capitalised")
    return {name: int(getattr(result, name)[0, period - 1]) for name in names}


@pytest.mark.parametrize("name", ["level payment", "level payment, negative rate"])
def test_level_payment(facts: dict[str, dict[str, Any]], name: str) -> None:
    fact = facts[name]
    annual = float(fact["in"]["rate"].removesuffix("/12"))

    assert level_payment(fact["in"]["pv"], annual / 12, fact["in"]["n"]) == pytest.approx(fact["out"], abs=fact["tol"])


def test_level_payment_of_a_yearly_loan_truncated(facts: dict[str, dict[str, Any]]) -> None:
    """12 % a period: yearly periods, amounts floored."""
    fact = find(facts, "level payment, 12% PER PERIOD")
    terms = ScheduleTerms(frequency="yearly", rounding="down")

    result = schedule([cents(fact["in"]["pv"])], [fact["in"]["rate_per_period"]], [fact["in"]["n"]], terms)

    assert result.payment[0, 0] == cents(fact["out"])


def test_linear_loan(facts: dict[str, dict[str, Any]]) -> None:
    fact = find(facts, "linear loan first principal")

    result = schedule(
        [cents(fact["in"]["balance"])], [0.08], [fact["in"]["remaining"]], ScheduleTerms("equal_principal")
    )

    assert result.principal[0, 0] == cents(fact["out"])


def test_balloon(facts: dict[str, dict[str, Any]]) -> None:
    fact = find(facts, "balloon mortgage")
    given, wanted = fact["in"], fact["out"]

    result = schedule(
        [cents(given["balance"])],
        [TRUNCATED_8_PCT],
        [given["maturity"]],
        ScheduleTerms(rounding="down"),
        amortisation_term=[given["amort_term"]],
    )

    for end, period in (("first", 1), ("last", given["maturity"])):
        for name in ("principal", "interest"):
            assert row(result, period)[name] == cents(wanted[f"{end}_{name}"]), (end, name)


def test_payment_holiday_capitalises_interest(facts: dict[str, dict[str, Any]]) -> None:
    fact = find(facts, "no-payment first 3 then level (capitalising)")["out"]
    terms = ScheduleTerms(rounding="down", principal_grace=3, interest_grace=3, grace_interest="capitalised")

    result = schedule([240_00], [TRUNCATED_8_PCT], [24], terms)

    assert row(result, 1)["balance"] == cents(fact["after_1"]["balance"])
    assert row(result, 1)["capitalised"] == cents(fact["after_1"]["capitalised"])
    assert result.payment[0, :3].tolist() == [0, 0, 0]
    for name, amount in fact["first_amortising"].items():
        assert row(result, 4)[name] == cents(amount), name


def test_interest_only_then_level(facts: dict[str, dict[str, Any]]) -> None:
    fact = find(facts, "interest-only first 3 then level")["out"]

    result = schedule([240_00], [TRUNCATED_8_PCT], [24], ScheduleTerms(rounding="down", principal_grace=3))

    for period, wanted in ((1, fact["after_1"]), (4, fact["first_amortising"])):
        for name, amount in wanted.items():
            assert row(result, period)[name] == cents(amount), (period, name)


def test_fee_on_original_balance_is_a_flat_loan(facts: dict[str, dict[str, Any]]) -> None:
    """A fee of 1 % of the original balance a month is 12 % flat."""
    wanted = find(facts, "installment (fee-based)")["out"]["period_1"]

    first = row(schedule([1000_00], [0.12], [12], ScheduleTerms("flat")), 1)

    assert first["principal"] == cents(wanted["principal"])
    assert first["interest"] == cents(wanted["fee"])
    assert first["balance"] == cents(wanted["balance"])


def test_adjustable_rate_paths(facts: dict[str, dict[str, Any]]) -> None:
    """A fall of 3 points stands though the caps are 1.5 and 2: they limit rises alone in these facts."""
    fact = find(facts, "ARM reset path")
    terms = FloatingTerms(first_reset=1, reset_every=1, periodic_cap=0.02, caps_limit="rises", **ARM)
    for index, wanted in zip(([0.01, 0.02, 0.03], [0.07, 0.02, 0.03], [0.01, 0.08, 0.03]), fact["out"], strict=True):
        assert floating_rates([np.nan, *index], [0.05], terms, 4)[0].tolist() == wanted


def test_adjustable_rate_loan_is_recast_at_each_reset(facts: dict[str, dict[str, Any]]) -> None:
    """The fact shows 19 payments left on 2024-05-01 and resets every second month from 2024-06-01 on. It gives no
    index; this one is high until February 2025, when it is 7 %, and high again: what the rates imply. The period rates
    truncated to six decimals as the witness has them.
    """
    fact = find(facts, "ARM 240, margin 1%")["out"]
    terms = FloatingTerms(first_reset=1, reset_every=2, periodic_cap=0.01, caps_limit="rises", **ARM)
    index = np.full(19, 0.10)
    index[9] = 0.07
    rates = floating_rates(index, [0.03], terms, 19)
    truncated = np.floor(rates / 12 * 1e6 + 1e-6) / 1e6 * 12

    result = schedule([240_00], truncated, [19], ScheduleTerms(rounding="down"))

    for date, wanted in fact.items():
        year, month = int(date[:4]), int(date[5:7])
        period = 12 * (year - 2024) + month - 4
        assert rates[0, period - 1] == wanted["rate"], date
        for name in set(wanted) - {"rate"}:
            assert row(result, period)[name] == cents(wanted[name]), (date, name)


def test_prepayment_penalties(facts: dict[str, dict[str, Any]]) -> None:
    """Penalty on the principal paid early in periods 1 and 4, floored to the cent as the witness does."""
    out = find(facts, "prepayment penalties")["out"]
    prepaid = np.array([out["row_2021-02-01"]["prepay"], out["row_2021-05-01"]["prepay"]])
    kinds: dict[str, PenaltySteps | PenaltySlide] = {
        "penalty_byTerm(3,10%,1%)": PenaltySteps(((3, 0.10),), after=0.01),
        "fixed_pct_1%": PenaltySteps(after=0.01),
        "sliding(10%,-1%)": PenaltySlide(0.10, -0.01),
        "step_down[(2,50%),(12,20%)]": PenaltySteps(((2, 0.50), (12, 0.20))),
    }
    for name, terms in kinds.items():
        charged = prepaid * penalty_rates(terms, 24)[[0, 3]]
        assert [floor(amount * 100 + 1e-9) for amount in charged] == [cents(amount) for amount in out[name]], name
    assert penalty_rates(kinds["step_down[(2,50%),(12,20%)]"], 24)[[1, 2, 11, 12]].tolist() == [0.5, 0.2, 0.2, 0.0]
    assert penalty_rates(kinds["sliding(10%,-1%)"], 24)[-1] == 0.0
