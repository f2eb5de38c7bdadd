"""Facts of U01 that belong to deals: account income, facility accruals, reserve targets, recurring fees, an invoice.

The witness cuts amounts to whole cents, each movement by itself; ours are compared after the same cut.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pooling.engine.schedules import ScheduleTerms, schedule
from pooling.engine.waterfall import compile_deal, execute, opening_state
from tests.engine.flat_pool import COLLECTION, RESIDUAL, deal, interest, pool, principal

pytestmark = pytest.mark.shared

A = {"name": "A", "balance": 1_000, "coupon": 0.0}


@pytest.fixture(scope="module")
def facts(shared: Path) -> dict[str, Any]:
    """Outcome by what is said."""
    file = json.loads((shared / "oracles" / "cashflows" / "U01_unit_facts.json").read_text())
    return {fact["what"]: fact["out"] for fact in file["facts"]}


def cut(amount: float) -> float:
    """Down to whole cents."""
    return math.floor(amount * 100 + 1e-9) / 100


def conventions(**changes: str) -> dict[str, str]:
    plain = deal([A], [interest("A"), principal("A"), RESIDUAL]).to_json()["conventions"]
    return plain | {"interest_day_count": "ACT/365F"} | changes


def dates(closing: str, first: str) -> dict[str, str]:
    return {"cut_off": closing, "closing": closing, "first_payment": first, "legal_final": "2030-12-31"}


def bank_income(balance: int, closing: str, first: str) -> float:
    """Cash that a bank account of 3 % holds after one period without movements, cut to cents."""
    account = {"name": "bank", "kind": "reserve", "initial": f"USD {balance}", "target": f"USD {balance}",
               "excess": "held", "release": "final", "yield_rate": 0.03}  # fmt: skip
    steps = [interest("A"), principal("A"), {"pay": "reserve", "to": ["bank"]}, RESIDUAL]
    spec = deal([A], steps, accounts=[COLLECTION, account], conventions=conventions(), dates=dates(closing, first))
    result = execute(compile_deal(spec, 100_000), pool([500.0, 500.0]), ends=False)
    return cut(float(result.accounts[1, 0, 0]))


def test_income_of_a_bank_account(facts: dict[str, Any]) -> None:
    said = facts["bank account 200 at 3% from 2022-10-01 to 2022-11-01"]
    assert bank_income(200, "2022-10-01", "2022-11-01") == said


def test_income_of_an_account_with_movements(facts: dict[str, Any]) -> None:
    """110 until 15 July, 120 until 15 September, then 150: each stretch of days earns on what it holds."""
    stretches = (
        (110, "2022-03-01", "2022-07-15"),
        (120, "2022-07-15", "2022-09-15"),
        (150, "2022-09-15", "2022-11-01"),
    )
    earned = sum(bank_income(*stretch) - stretch[0] for stretch in stretches)
    (said,) = [out for what, out in facts.items() if what.startswith("bank account with movements")]
    assert round(150 + earned, 2) == said


def facility_due(closing: str, first: str, drawn: float, **price: float) -> float:
    """What a facility that stands drawn, with 100 unused, is owed after one period without cash, cut to cents."""
    line = {"name": "line", "commitment": f"USD {drawn + 100}", "commitment_fee": 0.0, "rate": 0.0} | price
    steps = [{"pay": "facility", "to": ["line"]}, interest("A", support=["line"]), principal("A"), RESIDUAL]
    spec = deal([A], steps, facilities=[line], conventions=conventions(), dates=dates(closing, first))
    program = compile_deal(spec, 100_000)
    state = replace(opening_state(program, 1), drawn=np.array([[drawn]]))
    result = execute(program, pool([0.0, 1000.0]), state=state, ends=False, keep_states=(1,))
    return cut(float(result.state_after(1).facility_due[0, 0]))


@pytest.mark.parametrize(
    ("what", "closing", "first", "drawn"),
    [
        ("liquidity facility: drawn 500 (interest 8%), unused 100 (fee 3%), 2022-01-01 to 02-01 Act/365",
         "2022-01-01", "2022-02-01", 500.0),
        ("same after draw to 800, 02-01 to 03-01", "2022-02-01", "2022-03-01", 800.0),
    ],
    ids=["drawn 500", "drawn 800"],
)  # fmt: skip
def test_liquidity_facility_accrues_fee_and_interest(
    facts: dict[str, Any], what: str, closing: str, first: str, drawn: float
) -> None:
    """The fee on what is unused, interest on what is drawn."""
    assert facility_due(closing, first, drawn, commitment_fee=0.03) == facts[what]["fee"]
    assert facility_due(closing, first, drawn, rate=0.08) == facts[what]["interest"]


def test_reserve_targets_and_their_gap(facts: dict[str, Any]) -> None:
    """A target of 1 % of a pool of 70, and one of 210 with 150 on hand."""
    share, gap = facts["accounts: reserve target 1% of pool 70 -> 0.70; fixed target 210 with 150 on hand -> gap 60"]
    accounts = [
        COLLECTION,
        {"name": "share", "kind": "reserve", "initial": "USD 0", "target": "1% * pool.balance", "excess": "held",
         "release": "final"},
        {"name": "fixed", "kind": "reserve", "initial": "USD 150", "target": "USD 210", "excess": "held",
         "release": "final"},
    ]  # fmt: skip
    steps = [
        interest("A"),
        {"pay": "reserve", "to": ["share"]},
        {"pay": "reserve", "to": ["fixed"]},
        principal("A"),
        RESIDUAL,
    ]
    result = execute(compile_deal(deal([A], steps, accounts=accounts), 100_000), pool([930.0, 70.0]), ends=False)

    assert result.accounts[1, 0, 0] == pytest.approx(share)
    assert result.accounts[2, 0, 0] - 150.0 == pytest.approx(gap)


def test_recurring_fee_accrues_on_its_dates(facts: dict[str, Any]) -> None:
    """50 on every first of the month from 2022-01-01: due by 10 March, and by 15 April."""
    fee = {"name": "fee", "kind": "recurring", "amount": 5_000}
    spec = deal([A], [{"pay": "fee", "to": ["fee"]}, interest("A"), principal("A"), RESIDUAL], fees=[fee],
                dates=dates("2022-01-01", "2022-02-01"))  # fmt: skip
    result = execute(compile_deal(spec, 100_000), pool([0.0] * 5 + [1000.0]), ends=False)
    said = facts["recurring monthly fee 50 on 1st: accrued by 2022-03-10 from 2022-01-01; by 2022-04-15"]

    for day, accrued in zip((dt.date(2022, 3, 10), dt.date(2022, 4, 15)), said, strict=True):
        passed = sum(payment <= day for payment in result.dates)
        assert result.fee_shortfall[0, passed - 1, 0] == accrued


def test_invoice_is_a_flat_receivable_of_one_payment(facts: dict[str, Any]) -> None:
    said = facts["invoice 1500 due 2024-06-01 with fixed fee 50"]
    paid = schedule([145_000], [50 / 1450 * 12], [1], ScheduleTerms(amortisation="flat"))

    assert (paid.principal[0, 0], paid.interest[0, 0]) == (said["principal"] * 100, said["fee"] * 100)
