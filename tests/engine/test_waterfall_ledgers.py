"""Deals with principal deficiency ledgers, limits and a switch of principal, against the scalar reference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec
from pooling.engine.waterfall import compile_deal, execute
from tests.engine import waterfall_reference
from tests.engine.deal_builders import CUTOFF, CUTOFF_CENTS, random_flows, slice_flows, solved
from tests.engine.flat_pool import RESIDUAL, deal, interest, pool, principal
from tests.engine.spec_strategies import Json, seeds, stresses

CENT = 0.01
CLASSES = ["A", "B", "C"]
FEES: list[Json] = [
    {"name": "servicing", "kind": "annual_percentage", "rate": 0.02, "base": "pool.balance"},
    {"name": "trustee", "kind": "recurring", "amount": 90_000},
]


@st.composite
def deals(draw: st.DrawFn) -> DealSpec:
    """Interest and principal apart, losses in ledgers, limits on fees and principal, pro rata until losses are high."""
    inward, onward = ["interest-account"], ["principal-account"]
    reserve = {
        "name": "reserve",
        "kind": "reserve",
        "initial": "0.01 * pool.initial_balance",
        "target": f"{draw(st.sampled_from([0.005, 0.01, 0.02]))} * pool.initial_balance",
        "excess": "released",
        "release": draw(st.sampled_from(["notes_repaid", "final"])),
    }
    support = {"support": [*onward, "reserve"]} if draw(st.booleans()) else {}
    rules = st.sampled_from(["sequential", "pro_rata"])
    limit = draw(st.sampled_from([None, "USD 1000", "USD 30000"]))
    last = {"support": ["reserve", *inward], "support_when": "period.is_final"}
    good = [{"pay": "deficiency", "to": ["pdl-A"], "source": inward}]
    rest = [{"pay": "deficiency", "to": ["pdl-C", "pdl-B"], "source": inward, "rule": draw(rules)}]
    waterfall: list[Json] = [
        {"pay": "fee", "to": ["servicing", "trustee"], "source": inward, "limit": "USD 2100", "rule": draw(rules)},
        {"pay": "interest", "to": ["A"], "source": inward} | support,
        *good,
        {"pay": "interest", "to": ["B", "C"], "source": inward, "rule": draw(rules)},
        *rest,
        {"pay": "principal", "to": CLASSES, "source": onward, "rule": "pro_rata", "when": "not trigger[losses]"},
        {"pay": "principal", "to": ["B", "C"], "source": onward, "when": "trigger[losses]", "limit": limit},
        {"pay": "principal", "to": CLASSES, "source": onward} | last,
        {"pay": "reserve", "to": ["reserve"], "source": inward},
        {"pay": "fee", "to": ["servicing", "trustee"], "source": inward},
        {"pay": "residual", "to": ["R"], "source": [*inward, *onward]},
    ]
    ledgers = [{"name": "pdl-C", "tranche": "C"}, {"name": "pdl-B", "tranche": "B"}, {"name": "pdl-A"}]
    into = draw(st.sampled_from([inward[0], onward[0]]))
    return solved(
        (draw(st.integers(30, 80)) * 10**6, draw(st.integers(0, 15)) * 10**6, draw(st.integers(0, 8)) * 10**6),
        fees=FEES,
        accounts=[*({"name": name, "kind": "collection"} for name in (*inward, *onward)), reserve],
        collections=[
            {"source": "all", "into": onward[0]},
            {"source": "interest", "into": inward[0]},
            {"source": "recovery", "into": into},
        ],
        triggers=[{"name": "losses", "condition": "pool.cumulative_loss_rate > 0.03", "tested": "opening"}],
        loss_coverage="principal_collections",
        deficiency={
            "losses": draw(st.sampled_from(["default", "charge_off", "charge_off_less_recovery"])),
            "ledgers": ledgers,
            "into": onward[0],
        },
        waterfall=[{key: value for key, value in step.items() if value is not None} for step in waterfall],
    )


@hypothesis_settings(max_examples=60, deadline=None)
@given(spec=deals(), seed=seeds, stress=stresses, months=st.integers(1, 18))
def test_ledgers_limits_and_switch_equal_the_scalar_reference(
    spec: DealSpec, seed: int, stress: float, months: int
) -> None:
    flows = slice_flows(random_flows(seed, stress=stress), slice(0, months))
    result = execute(compile_deal(spec, CUTOFF_CENTS), flows)

    for s in range(flows.scenarios):
        books = waterfall_reference.run(spec, CUTOFF, flows, s)
        for t, paid in enumerate(books.paid):
            got: dict[tuple[str, str], Any] = {("residual", "R"): result.residual[t, s]}
            got |= {("interest", name): result.interest[k, t, s] for k, name in enumerate(result.names)}
            got |= {("principal", name): result.principal[k, t, s] for k, name in enumerate(result.names)}
            got |= {("fee", name): result.fees[f, t, s] for f, name in enumerate(result.fee_names)}
            for key, amount in got.items():
                assert amount == pytest.approx(paid.get(key, 0.0), abs=CENT), (key, t)
            assert result.reserve[t, s] == pytest.approx(books.reserves[t], abs=CENT)
            for i, owed in enumerate(books.deficiencies[t].values()):
                assert result.deficiency[i, t, s] == pytest.approx(owed, abs=CENT)
        assert result.breached[0, -1, s] == books.breached


A, B = {"name": "A", "balance": 600, "coupon": 0.06}, {"name": "B", "balance": 300, "coupon": 0.12}


def test_what_a_limit_keeps_back_is_paid_by_the_next_step() -> None:
    """B's own line is limited to 50; on the last date the line of all classes pays B the rest, before the residual."""
    steps = [interest("A", "B"), principal("B", limit="USD 50"), principal("A", "B"), RESIDUAL]
    result = execute(compile_deal(deal([A, B], steps), 90_000), pool([300.0, 600.0], [20.0, 20.0]))

    assert result.principal[1, :, 0] == pytest.approx([50.0, 250.0])
    assert result.principal[0, :, 0] == pytest.approx([250.0, 350.0])
    assert not result.unpaid_principal.any()


@pytest.mark.parametrize(("price", "called"), [(605.99, False), (606.01, True)])
def test_a_call_must_pay_for_what_a_facility_lent(price: float, called: bool) -> None:
    """Interest of 3.00 is borrowed on the first date. On the second 600 of notes, 3 of interest and the 3 are owed."""
    line = {"name": "line", "commitment": "USD 100", "commitment_fee": 0.0, "rate": 0.0}
    steps = [
        {"pay": "facility", "to": ["line"]},
        interest("A", support=["line"]),
        principal("A", amount="0"),
        RESIDUAL,
    ]
    call = {"factor": 1.0, "price": f"if(period.number == 2, USD {price}, 0)"}
    spec = deal([A], steps, facilities=[line], call=call)
    result = execute(compile_deal(spec, 60_000), pool([0.0, 0.0, 600.0]))

    assert result.drawn[0, 0, 0] == pytest.approx(3.0)
    assert result.called[:, 0].tolist() == [False, called, called]
    assert result.balance[0, 1, 0] == pytest.approx(0.0 if called else 600.0)


def test_the_price_of_a_call_buys_no_new_collateral() -> None:
    steps = [interest("A"), {"pay": "purchase"}, principal("A"), RESIDUAL]
    revolving = {"until": "2027-02-15"}
    spec = deal([A], steps, revolving=revolving, call={"from_date": "2026-09-15", "price": "USD 700"})
    flows = pool([100.0] * 6, [9.0] * 6)
    result = execute(compile_deal(spec, 60_000), flows, replacement=pool([100.0] * 6))

    assert result.called[:, 0].tolist() == [False, True, True, True, True, True]
    assert result.balance[0, :, 0].tolist() == [600.0, 0.0, 0.0, 0.0, 0.0, 0.0]
