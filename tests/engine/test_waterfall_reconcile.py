"""Reports set beside the model: a deal that reports what it paid, and reports that are wrong."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pooling.engine.waterfall import compile_deal, execute
from pooling.engine.waterfall.reconcile import Reconciled, reconcile
from tests.engine.flat_pool import COLLECTION, RESIDUAL, deal, interest, pool, principal

Report = dict[str, dict[str, int]]

# Three years of a quarterly deal, in which a lean year leaves interest owed and a reserve drawn.
POOL = pool([40.0, 35.0, 25.0] * 4 + [0.0] * 12 + [50.0] * 12, [6.0] * 12 + [0.5] * 12 + [6.0] * 12)
RATES = {"SOFR": 0.043}


def quarterly() -> Any:
    classes: list[dict[str, Any]] = [
        {"name": "A", "balance": 700, "coupon": {"kind": "floating", "index": "SOFR", "margin": 0.02}},
        {"name": "B", "balance": 200, "coupon": 0.081},
    ]
    bank = {"name": "bank", "kind": "reserve", "initial": "USD 5", "target": "USD 5", "excess": "held",
            "release": "final"}  # fmt: skip
    steps = [
        interest("A", support=["bank"]),
        interest("B"),
        {"pay": "reserve", "to": ["bank"]},
        principal("A"),
        principal("B"),
        RESIDUAL,
    ]
    spec = deal(
        classes,
        steps,
        accounts=[COLLECTION, bank],
        payment_frequency="quarterly",
        dates={"cut_off": "2025-12-31", "closing": "2026-01-15", "first_payment": "2026-04-15",
               "legal_final": "2030-01-15"},
    )  # fmt: skip
    return compile_deal(spec, round(float(POOL.opening_balance.sum()) * 100))


def own_reports(program: Any) -> list[Report]:
    """What the deal pays, written as its trustee would."""
    paid = execute(program, POOL, mode="cents", ends=False, rates=RATES)
    opening = [round(float(balance) * 100) for balance in program.initial_balance]
    reports = []
    for t in range(paid.months):
        report = {}
        for k, name in enumerate(paid.names):
            columns = {"principal": paid.principal, "interest": paid.interest, "closing": paid.balance}
            report[name] = {item: int(column[k, t, 0]) for item, column in columns.items()} | {"opening": opening[k]}
            opening[k] = report[name]["closing"]
        reports.append(report)
    return reports


@pytest.mark.parametrize("from_reported", [False, True], ids=["from closing", "from each report"])
def test_a_deal_that_reports_what_it_paid_agrees(from_reported: bool) -> None:
    program = quarterly()
    reports = own_reports(program)
    found = reconcile(program, POOL, reports, from_reported=from_reported, rates=RATES)

    assert len(found) == 12 * 2 * 3
    assert {row.difference for row in found} == {0}
    assert found[0] == Reconciled(1, dt.date(2026, 4, 15), "A", "principal", reports[0]["A"]["principal"],
                                  reports[0]["A"]["principal"])  # fmt: skip
    lean = [report for report in reports if report["B"]["interest"] == 0]
    assert lean, "the year in which interest stays owed"


def test_a_wrong_report_is_found_and_shifts_what_starts_from_it() -> None:
    """100 reported too little of A's balance: from there, the model pays its interest on less; else it is untouched."""
    program = quarterly()
    reports = own_reports(program)
    reports[0]["A"]["principal"] += 10_000
    reports[0]["A"]["closing"] -= 10_000
    reports[1]["A"]["opening"] -= 10_000

    whole = {(row.number, row.name, row.item): row.difference
             for row in reconcile(program, POOL, reports, rates=RATES) if row.difference}  # fmt: skip
    assert whole == {(1, "A", "principal"): -10_000, (1, "A", "closing"): 10_000}

    anew = reconcile(program, POOL, reports, from_reported=True, rates=RATES)
    (interest_row,) = [row for row in anew if (row.number, row.name, row.item) == (2, "A", "interest")]
    assert interest_row.difference == pytest.approx(-10_000 * 0.063 / 4, abs=1)
    assert {row.difference for row in anew if row.number > 2} == {0}


def test_what_is_not_reported_has_no_difference() -> None:
    program = quarterly()
    found = reconcile(program, POOL, [{"A": {"interest": 0}}], rates=RATES)

    assert [(row.name, row.item) for row in found if row.reported is not None] == [("A", "interest")]
    assert {row.difference for row in found if row.reported is None} == {None}


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ({"A": {"opening": 70_000}}, "reported: class B has no opening balance on payment 1"),
        ({"AA": {"opening": 70_000}}, "reported: payment 1 has no class 'AA'; did you mean 'A'?"),
        ({"A": {"openning": 70_000}},
         "reported: class A on payment 1 has no 'openning'; did you mean 'opening'?"),
    ],
    ids=["missing balance", "unknown class", "unknown item"],
)  # fmt: skip
def test_wrong_reports_are_refused(report: Report, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^reported: ") as raised:
        reconcile(quarterly(), POOL, [report], from_reported=True, rates=RATES)
    assert str(raised.value) == sentence


def test_more_reports_than_the_flows_reach_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^reported: 13 payment dates, but the flows reach 12$"):
        reconcile(quarterly(), POOL, [{}] * 13, rates=RATES)
