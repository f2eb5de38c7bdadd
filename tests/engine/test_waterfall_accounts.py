"""Fees, accounts, ledgers, facilities and hedges on a deal small enough to be worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pooling.engine.deal import DealSpec
from pooling.engine.waterfall import (
    StructuralStress,
)
from tests.engine.flat_pool import COLLECTION, RESIDUAL, A, B, deal, interest, path, pool, principal, run


# ---------------------------------------------------------------------------------------------------- fees and accounts
def test_every_kind_of_fee_falls_due_when_it_should() -> None:
    fees: list[dict[str, Any]] = [
        {"name": "share", "kind": "annual_percentage", "rate": 0.12, "base": "pool.balance"},
        {"name": "once", "kind": "one_off", "amount": 500},
        {"name": "later", "kind": "one_off", "amount": 300, "due": "2026-09-01"},
        {"name": "often", "kind": "recurring", "amount": 100, "every": 2, "first": 2},
        {
            "name": "dated",
            "kind": "dated",
            "amounts": [{"date": "2026-08-15", "amount": 10}, {"date": "2026-10-01", "amount": 20}],
        },
        {"name": "heads", "kind": "per_loan", "amount_per_loan": 7},
        {"name": "tenth", "kind": "formula", "amount": "10% * pool.interest"},
    ]
    names = [fee["name"] for fee in fees]
    spec = deal([A], [{"pay": "fee", "to": names}, interest("A"), principal("A"), RESIDUAL], fees=fees)
    result = run(spec, pool([300.0] * 4, [30.0] * 4))

    paid = {name: path(result.fees[f]) for f, name in enumerate(names)}
    assert paid == {
        "share": [12.0, 9.0, 6.0, 3.0],
        "once": [5.0, 0.0, 0.0, 0.0],
        "later": [0.0, 3.0, 0.0, 0.0],
        "often": [0.0, 1.0, 0.0, 1.0],
        "dated": [0.1, 0.0, 0.2, 0.0],
        "heads": [0.7, 0.7, 0.7, 0.7],
        "tenth": [3.0, 3.0, 3.0, 3.0],
    }


def test_a_yearly_cap_leaves_the_rest_to_a_subordinated_step() -> None:
    fee = {"name": "trustee", "kind": "recurring", "amount": 1_000}
    cap = {"pay": "fee", "to": ["trustee"], "limit": "USD 25 - fee[trustee].paid_in_year"}
    spec = deal([A], [cap, interest("A"), principal("A"), RESIDUAL], fees=[fee])
    result = run(spec, pool([60.0] * 14))

    assert path(result.fees[0]) == [10.0, 10.0, 5.0] + [0.0] * 9 + [25.0, 0.0]  # the second year takes arrears
    assert path(result.fee_shortfall[0])[2:4] == [5.0, 15.0]
    both = deal([A], [cap, interest("A"), principal("A"), {"pay": "fee", "to": ["trustee"]}, RESIDUAL], fees=[fee])
    assert path(run(both, pool([60.0] * 13, [20.0] * 13)).fee_shortfall[0])[-1] == 0.0


def test_account_income_is_cash_from_outside() -> None:
    reserve = {"name": "reserve", "kind": "reserve", "initial": "10% * pool.initial_balance", "yield_rate": 0.12,
               "target": "10% * pool.initial_balance", "excess": "released", "release": "final"}  # fmt: skip
    spec = deal([A], [interest("A"), principal("A"), {"pay": "reserve", "to": ["reserve"]}, RESIDUAL],
                accounts=[COLLECTION, reserve])  # fmt: skip
    result = run(spec, pool([300.0, 300.0]))

    # 60 earns 0.60 in the first month, which lies above the target and is released with it.
    assert path(result.reserve) == [60.0, 0.0]
    assert float(result.residual.sum() + result.interest.sum() + result.principal.sum()) == pytest.approx(
        600 + 60 + 1.2
    )


def test_reserve_steps_down_with_the_pool_but_not_below_its_floor() -> None:
    target = "max(10% * pool.balance, USD 40)"
    reserve = {"name": "reserve", "kind": "reserve", "initial": "10% * pool.initial_balance", "target": target,
               "excess": "released", "release": "notes_repaid"}  # fmt: skip
    steps = [interest("A"), principal("A"), {"pay": "reserve", "to": ["reserve"]}, RESIDUAL]
    result = run(deal([A], steps, accounts=[COLLECTION, reserve]), pool([150.0] * 4, [30.0] * 4))

    assert path(result.reserve) == [45.0, 40.0, 40.0, 0.0]
    held = reserve | {"excess": "held"}
    assert (
        path(run(deal([A], steps, accounts=[COLLECTION, held]), pool([150.0] * 4, [30.0] * 4)).reserve)[:3]
        == [60.0] * 3
    )


# ----------------------------------------------------------------------------------- ledgers, facilities and hedges
def split(spec_steps: list[dict[str, Any]], **changes: Any) -> DealSpec:
    """Interest and principal collected apart, deficiency ledgers for B (junior) and A."""
    accounts = [{"name": "revenue", "kind": "collection"}, {"name": "redemption", "kind": "collection"}]
    rules = [
        {"source": "interest", "into": "revenue"},
        {"source": "recovery", "into": "revenue"},
        {"source": "all", "into": "redemption"},
    ]
    ledgers = {"losses": "charge_off", "into": "redemption",
               "ledgers": [{"name": "B_pdl", "tranche": "B"}, {"name": "A_pdl", "tranche": "A"}]}  # fmt: skip
    return deal([A, B], spec_steps, accounts=accounts, collections=rules, deficiency=ledgers,
                loss_coverage="principal_collections", **changes)  # fmt: skip


def test_deficiency_is_debited_junior_first_and_made_good_from_interest() -> None:
    steps = [
        interest("A", source=["revenue"]),
        {"pay": "deficiency", "to": ["A_pdl"], "source": ["revenue"]},
        interest("B", source=["revenue"]),
        {"pay": "deficiency", "to": ["B_pdl"], "source": ["revenue"]},
        principal("A", "B", source=["redemption"]),
        RESIDUAL | {"source": ["revenue", "redemption"]},
    ]
    flows = pool([100.0, 100.0, 300.0], [50.0, 50.0, 50.0], losses=[350.0, 50.0, 0.0])
    result = run(split(steps), flows)

    # First month: 300 to B's ledger, 50 to A's. Interest A 3.00; A's ledger 47.00 of 50.00.
    assert path(result.deficiency[1])[0] == pytest.approx(3.0)
    assert path(result.deficiency[0])[0] == 300.0
    assert path(result.principal[0])[0] == 147.0
    # Second month: 50 more for A's ledger (B's is full), interest A 453 x 6 % / 12 = 2.265.
    assert path(result.deficiency[1])[1] == pytest.approx(3.0 + 50.0 - (50.0 - 2.265))
    assert result.conservation_error < 1e-9


def test_liquidity_facility_lends_for_interest_and_is_repaid_with_its_cost() -> None:
    line = {"name": "line", "commitment": "USD 5", "commitment_fee": 0.012, "rate": 0.12}
    steps = [
        {"pay": "facility", "to": ["line"]},
        interest("A", support=["line"]),
        principal("A"),
        RESIDUAL,
    ]
    flows = pool([0.0, 300.0, 300.0], [0.0, 20.0, 20.0])
    result = run(deal([A], steps, facilities=[line]), flows)

    assert path(result.drawn[0]) == [3.0, 0.0, 0.0]
    assert path(result.interest[0])[0] == 3.0
    # Second month: fee of 0.005 unpaid from the first, 2 undrawn at 1.2 %, 3 drawn at 12 %, and the 3 themselves.
    second = 0.005 + 2 * 0.001 + 3 * 0.01 + 3.0
    assert path(result.residual)[1] == pytest.approx(320 - second - 3.0 - 300.0, abs=1e-4)
    assert result.conservation_error < 1e-9


def test_swap_nets_both_legs_and_a_lost_counterparty_pays_nothing() -> None:
    swap = {"name": "swap", "kind": "swap", "notional": "class[A].balance", "pays": 0.06, "into": "collection",
            "receives": {"kind": "floating", "index": "X", "margin": 0.0}}  # fmt: skip
    cap = {
        "name": "cap",
        "kind": "cap",
        "notional": "class[A].balance",
        "index": "X",
        "strike": 0.10,
        "into": "collection",
    }
    steps = [{"pay": "hedge", "to": ["swap"]}, interest("A"), principal("A", amount="0"), RESIDUAL]
    spec = deal([A], steps, hedges=[swap, cap])
    flows, rates = pool([200.0] * 3, [10.0] * 3), {"X": np.array([0.12, 0.02, 0.06] + [0.0] * 70)}
    result = run(spec, flows, rates=rates)

    assert path(result.hedge_net[0]) == [3.0, -2.0, 0.0]
    assert path(result.hedge_net[1]) == [1.0, 0.0, 0.0]  # 600 x (12 % - 10 %) / 12
    lost = run(spec, flows, rates=rates, stress=StructuralStress(hedge_loss_period=1))
    assert not lost.hedge_net.any()
