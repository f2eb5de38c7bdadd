"""The waterfall: conservation, equality with a scalar run, restart, and what a structurer expects of the
cash.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.waterfall import DealFlows, DealState, compile_deal, execute, opening_state
from tests.engine import waterfall_reference
from tests.engine.deal_builders import CUTOFF, CUTOFF_CENTS, random_flows, slice_flows, solved

CENT = 0.01
ROUNDING = 1e-6  # currency units on a million: a few thousand float64 operations

FIXED_FEE = {"name": "trustee", "kind": "recurring", "amount": 50_000}
PERCENT_FEE = {"name": "servicing", "kind": "annual_percentage", "rate": 0.01, "base": "pool.balance"}
COLLECTION = {"name": "collection", "kind": "collection"}
ORDERS: dict[str, list[dict[str, Any]]] = {
    "interest first": [
        {"pay": "fee", "to": ["servicing", "trustee"]},
        {"pay": "interest", "to": ["A", "B", "C"]},
        {"pay": "principal", "to": ["A", "B", "C"]},
    ],
    "class by class": [
        {"pay": "fee", "to": ["servicing"]},
        {"pay": "interest", "to": ["A"]},
        {"pay": "principal", "to": ["A"]},
        {"pay": "interest", "to": ["B", "C"], "rule": "pro_rata"},
        {"pay": "principal", "to": ["B", "C"], "rule": "pro_rata"},
        {"pay": "fee", "to": ["trustee"]},
    ],
    "pro rata": [
        {"pay": "fee", "to": ["servicing", "trustee"], "rule": "pro_rata"},
        {"pay": "interest", "to": ["A", "B", "C"], "rule": "pro_rata"},
        {"pay": "principal", "to": ["A", "B"], "rule": "pro_rata"},
        {"pay": "principal", "to": ["C"]},
    ],
}


@st.composite
def deals(draw: st.DrawFn) -> DealSpec:
    """Random capital structures, orders, reserves and conventions."""
    share = st.floats(0.0, 0.05)
    has_reserve = draw(st.booleans())
    reserve = {
        "name": "reserve",
        "kind": "reserve",
        "initial": f"{draw(share):.9f} * pool.initial_balance",
        "target": f"{draw(share):.9f} * pool.initial_balance",
        "excess": "released",
        "release": draw(st.sampled_from(["notes_repaid", "final"])),
    }
    covers = draw(st.lists(st.sampled_from(["fee", "interest", "principal"]), unique=True)) if has_reserve else []
    tail = [{"pay": "reserve", "to": ["reserve"]}] if has_reserve else []
    oc = draw(st.none() | st.floats(0.0, 0.4))
    return solved(
        (
            draw(st.integers(0, 80)) * 10**6,
            draw(st.integers(0, 20)) * 10**6,
            draw(st.integers(0, 10)) * 10**6,
        ),
        fees=[PERCENT_FEE, FIXED_FEE],
        accounts=[COLLECTION, reserve] if has_reserve else [COLLECTION],
        waterfall=[
            *(supported(step, covers) for step in ORDERS[draw(st.sampled_from(list(ORDERS)))]),
            *tail,
            {"pay": "residual", "to": ["R"]},
        ],
        overcollateralisation={"target": None if oc is None else f"{oc:.9f} * pool.initial_balance"},
        conventions=solved().to_json()["conventions"]
        | {"shortfall_interest": draw(st.sampled_from(["note_rate", "none"]))},
    )


def supported(step: dict[str, Any], covers: list[str]) -> dict[str, Any]:
    """The step, drawing on the reserve if it is covered; principal only at the final date."""
    if step["pay"] not in covers:
        return step
    final = {"support_when": "period.is_final"} if step["pay"] == "principal" else {}
    return step | {"support": ["reserve"]} | final


stresses = st.sampled_from([0.0, 0.02, 0.08, 0.4])
seeds = st.integers(0, 2**32 - 1)
steady = hypothesis_settings(max_examples=40, deadline=None)


def arrays(result: DealFlows) -> dict[str, np.ndarray[Any, Any]]:
    """Every array with a scenario axis."""
    named = {f.name: getattr(result, f.name) for f in fields(result)}
    apart = ("initial_balance", "coupon", "period_rate")
    return {n: a for n, a in named.items() if isinstance(a, np.ndarray) and n not in apart}


@steady
@given(spec=deals(), seed=seeds, stress=stresses)
def test_cash_is_conserved_on_every_path_date_and_account(spec: DealSpec, seed: int, stress: float) -> None:
    flows = random_flows(seed, stress=stress)
    program = compile_deal(spec, CUTOFF_CENTS)

    result = execute(program, flows, ledger=True)

    assert result.conservation_error < ROUNDING
    ledger = result.ledger
    assert ledger is not None
    for account, opening, closing in (
        ("collection", 0.0, np.zeros_like(result.residual)),
        ("reserve", program.reserve_initial, result.reserve),
    ):
        flow = sum(
            (np.float64(line.target == account) - np.float64(line.source == account)) * ledger.amount[place]
            for place, line in enumerate(ledger.lines)
        )
        assert np.allclose(opening * (account == "reserve") + np.cumsum(flow, axis=0), closing, rtol=0, atol=ROUNDING)
    assert ledger.amount.min() >= 0.0
    for k, name in enumerate(result.names):
        for kind, column in (("interest", result.interest), ("principal", result.principal)):
            booked = sum(
                ledger.amount[place]
                for place, line in enumerate(ledger.lines)
                if (line.kind, line.target) == (kind, name)
            )
            assert np.allclose(booked, column[k], rtol=0, atol=ROUNDING)


@steady
@given(spec=deals(), seed=seeds, stress=stresses, months=st.integers(1, 18))
def test_vector_run_equals_scalar_reference(spec: DealSpec, seed: int, stress: float, months: int) -> None:
    flows = slice_flows(random_flows(seed, stress=stress), slice(0, months))
    result = execute(compile_deal(spec, CUTOFF_CENTS), flows)

    for s in range(flows.scenarios):
        books = waterfall_reference.run(spec, CUTOFF, flows, s)
        for t, paid in enumerate(books.paid):
            for k, name in enumerate(result.names):
                assert result.interest[k, t, s] == pytest.approx(paid["interest", name], abs=CENT)
                assert result.principal[k, t, s] == pytest.approx(paid["principal", name], abs=CENT)
            for f, name in enumerate(result.fee_names):
                assert result.fees[f, t, s] == pytest.approx(paid["fee", name], abs=CENT)
            assert result.residual[t, s] == pytest.approx(paid["residual", "R"], abs=CENT)
            assert result.reserve[t, s] == pytest.approx(books.reserves[t], abs=CENT)
        for k, name in enumerate(result.names):
            assert result.unpaid_principal[k, s] == pytest.approx(books.balance[name], abs=CENT)
            assert result.interest_shortfall[k, -1, s] == pytest.approx(books.owed[name], abs=CENT)


@steady
@given(spec=deals(), seed=seeds, stress=stresses)
def test_stocks_follow_from_flows(spec: DealSpec, seed: int, stress: float) -> None:
    result = execute(compile_deal(spec, CUTOFF_CENTS), random_flows(seed, stress=stress))

    paid_down = result.initial_balance[:, None, None] - np.cumsum(result.principal, axis=1)
    assert np.allclose(result.balance, paid_down, rtol=0, atol=ROUNDING)
    owed = np.cumsum(result.interest_due - result.interest, axis=1)
    assert np.allclose(result.interest_shortfall, owed, rtol=0, atol=ROUNDING)
    assert np.allclose(result.unpaid_principal, result.balance[:, -1], rtol=0, atol=CENT / 2)
    assert not np.any((result.unpaid_principal > 0) & (result.unpaid_principal < CENT / 2))
    for name, column in arrays(result).items():
        assert column.min(initial=0.0) >= 0.0, name


@steady
@given(seed=seeds, order=st.permutations(range(5)))
def test_permuting_scenarios_permutes_results_to_the_bit(seed: int, order: list[int]) -> None:
    program, flows = compile_deal(solved(), CUTOFF_CENTS), random_flows(seed, stress=0.1)
    whole, permuted = execute(program, flows), execute(program, slice_flows(flows, scenarios=order))

    for name, column in arrays(whole).items():
        assert np.array_equal(column[..., order], arrays(permuted)[name]), name


@steady
@given(spec=deals(), seed=seeds, stress=stresses, cut=st.integers(1, 17))
def test_restart_equals_uninterrupted_run_to_the_bit(spec: DealSpec, seed: int, stress: float, cut: int) -> None:
    program, flows = compile_deal(spec, CUTOFF_CENTS), random_flows(seed, stress=stress)
    whole = execute(program, flows, keep_states=(cut,))

    rest = execute(program, slice_flows(flows, slice(cut, None)), state=whole.state_after(cut))

    assert rest.first_period == cut
    for name in (
        "balance",
        "interest",
        "principal",
        "interest_due",
        "interest_shortfall",
        "fees",
        "fee_shortfall",
    ):
        assert np.array_equal(getattr(whole, name)[:, cut:], getattr(rest, name)), name
    for name in ("residual", "reserve", "collections"):
        assert np.array_equal(getattr(whole, name)[cut:], getattr(rest, name)), name
    assert np.array_equal(whole.unpaid_principal, rest.unpaid_principal)


@steady
@given(spec=deals(), seed=seeds, month=st.integers(0, 17), extra=st.floats(0.0, 50_000.0), stress=stresses)
def test_more_cash_never_raises_principal_loss_of_the_senior(
    spec: DealSpec, seed: int, month: int, extra: float, stress: float
) -> None:
    program, flows = compile_deal(spec, CUTOFF_CENTS), random_flows(seed, stress=stress)
    richer = flows.recovery.copy()
    richer[:, month] += extra

    before, after = execute(program, flows), execute(program, replace(flows, recovery=richer))

    assert np.all(after.unpaid_principal[0] <= before.unpaid_principal[0] + ROUNDING)


def test_scaling_the_deal_scales_every_flow() -> None:
    flows = random_flows(11, stress=0.08)
    columns: dict[str, Any] = {name: column * 2.0 for name, column in flows.columns.items()}
    doubled = replace(
        flows,
        opening_balance=flows.opening_balance * 2.0,
        **columns,
    )
    single = execute(compile_deal(solved(), CUTOFF_CENTS), flows)
    double = execute(compile_deal(solved((130_000_000, 16_000_000, 14_000_000)), 2 * CUTOFF_CENTS), doubled)

    for name, column in arrays(single).items():
        assert np.allclose(2.0 * column, arrays(double)[name], rtol=0, atol=ROUNDING), name


def test_class_without_balance_changes_nothing() -> None:
    """Whatever order a class of zero stands in, the others are paid as if it were not there."""
    flows = random_flows(5, stress=0.08)
    two = solved((70_000_000, 10_000_000, 0))
    value = two.to_json()
    value["tranches"] = value["tranches"][:2]
    value["waterfall"] = [step for step in value["waterfall"] if step["to"] != ["C"]]
    value["waterfall"][3]["to"] = ["A", "B"]
    without = execute(compile_deal(DealSpec.from_json(value), CUTOFF_CENTS), flows)
    with_empty = execute(compile_deal(two, CUTOFF_CENTS), flows)

    assert np.array_equal(with_empty.principal[:2], without.principal)
    assert np.array_equal(with_empty.residual, without.residual)
    assert not with_empty.interest[2].any()


def test_without_losses_classes_are_paid_in_full_and_in_sequence() -> None:
    result = execute(compile_deal(solved(), CUTOFF_CENTS), slice_flows(random_flows(3, stress=0.0), scenarios=[0]))

    assert not result.unpaid_principal.any()
    assert not result.interest_shortfall.any()
    assert np.allclose(result.principal.sum(axis=1)[:, 0], [650_000.0, 80_000.0, 70_000.0], rtol=0, atol=ROUNDING)
    for senior, junior in ((0, 1), (1, 2)):
        started = result.principal[junior] > CENT
        assert np.all(result.balance[senior][started] == 0.0)
    assert result.reserve[-1, 0] == 0.0


def test_all_principal_is_due_at_the_final_date() -> None:
    """The pool still owes 600,000 when time is up: its last cash goes to the notes, none to the residual."""
    flows = slice_flows(random_flows(3, stress=0.0), slice(0, 6))
    result = execute(compile_deal(solved(), CUTOFF_CENTS), flows)

    assert result.residual[-2].min() > 0.0
    assert not result.residual[-1].any()
    assert result.unpaid_principal.sum(axis=0).min() > 0.0
    assert not result.reserve[-1].any()


@pytest.mark.parametrize("order", ORDERS)
def test_no_crumb_of_a_note_outlives_its_last_payment(order: str) -> None:
    """Where all classes are repaid on one date, differences of float64 sums once left 1e-11 of a note, which kept
    the whole reserve in the deal. Here the pool is prepaid in the fifth month."""
    spec = solved(
        (71_234_567, 8_123_457, 7_000_003),
        fees=[PERCENT_FEE, FIXED_FEE],
        waterfall=[*ORDERS[order], *solved().to_json()["waterfall"][-2:]],
    )
    for seed in range(20):
        flows = random_flows(seed, stress=0.0)
        cash = {name: getattr(flows, name).copy() for name in ("interest", "scheduled_principal", "prepayment")}
        stock = {name: getattr(flows, name).copy() for name in ("performing", "delinquent")}
        cash["prepayment"][:, 4] += flows.performing[:, 4]
        for column in cash.values():
            column[:, 5:] = 0.0
        for column in stock.values():
            column[..., 4:, :] = 0.0
        result = execute(compile_deal(spec, CUTOFF_CENTS), replace(flows, **cash, **stock))

        assert not result.balance[:, 4:].any()
        assert not result.reserve[4:].any()


def test_huge_losses_reach_the_junior_first_and_the_senior_still_gets_all_cash() -> None:
    flows = random_flows(7, stress=0.9)
    result = execute(compile_deal(solved(), CUTOFF_CENTS), flows)

    lost = result.unpaid_principal > CENT
    assert lost[2].any()
    assert np.all(lost[2] | ~lost[1])
    assert np.all(lost[1] | ~lost[0])
    assert not result.principal[1:][:, result.balance[0] > CENT].any()
    assert result.residual[result.balance[2] > CENT].max() >= 0.0
    assert not result.residual[-1][lost[2]].any()


def test_losses_are_covered_from_excess_spread() -> None:
    """With the target overcollateralisation met, principal paid = fall of the pool, charge-offs included."""
    flows = random_flows(2, stress=0.002)
    result = execute(compile_deal(solved(), CUTOFF_CENTS), flows)
    pool = np.concatenate([np.full((1, flows.scenarios), CUTOFF), flows.total_pool_balance])
    paid = result.principal.sum(axis=0)

    months = slice(0, 8)  # the notes are not yet repaid
    assert flows.charge_off[0, months].min() > 0.0
    assert np.allclose(paid[months], -np.diff(pool, axis=0)[months], rtol=0, atol=ROUNDING)
    assert np.allclose((pool[1:] - result.balance.sum(axis=0))[months], 200_000.0, rtol=0, atol=ROUNDING)


def test_reserve_pays_interest_that_collections_cannot_and_is_refilled() -> None:
    """The first month's cash arrives a month late: until then fee and interest come from the reserve."""
    flows = random_flows(4, stress=0.0)
    late = {name: getattr(flows, name).copy() for name in ("interest", "scheduled_principal", "prepayment", "recovery")}
    for column in late.values():
        column[:, 1] += column[:, 0]
        column[:, 0] = 0.0
    result = execute(compile_deal(solved(), CUTOFF_CENTS), replace(flows, **late))

    due = 650_000 * 0.05 / 12 + 80_000 * 0.065 / 12 + 70_000 * 0.09 / 12 + CUTOFF * 0.01 / 12
    assert result.reserve[0] == pytest.approx(np.full(5, 10_000 - due), abs=ROUNDING)
    assert not result.interest_shortfall.any()
    assert not result.residual[0].any()
    assert result.reserve[1] == pytest.approx(np.full(5, 10_000.0), abs=ROUNDING)


def test_missed_interest_is_carried_forward_with_interest() -> None:
    steps = [step | {"support": [], "support_when": None} for step in solved().to_json()["waterfall"]]
    spec = solved(accounts=[COLLECTION], waterfall=[step for step in steps if step["pay"] != "reserve"])
    flows = random_flows(4, stress=0.0)
    silent = {
        name: getattr(flows, name).copy() for name in ("interest", "scheduled_principal", "prepayment", "recovery")
    }
    for column in silent.values():
        column[:, :2] = 0.0
    result = execute(compile_deal(spec, CUTOFF_CENTS), replace(flows, **silent))

    monthly = 0.05 / 12
    assert result.interest_shortfall[0, 0] == pytest.approx(650_000 * monthly)
    assert result.interest_due[0, 1] == pytest.approx(650_000 * monthly * (1 + monthly))
    assert result.interest[0, 2] == pytest.approx(650_000 * ((1 + monthly) ** 3 - 1))


@pytest.mark.parametrize(("lost", "unpaid"), [(4_000.0, 0.0), (25_000.0, 15_000.0)])
def test_reserve_repays_principal_at_the_final_date_only(lost: float, unpaid: float) -> None:
    """Notes of 100 % of the pool at no interest; part of the first instalment is lost: the reserve of
    10,000 waits.
    """
    flows = random_flows(4, stress=0.0, scenarios=1)
    short = flows.scheduled_principal.copy()
    short[:, 0] -= lost
    flows = replace(flows, scheduled_principal=short, interest=np.zeros_like(short))
    spec = solved((80_000_000, 10_000_000, 10_000_000), fees=[], waterfall=solved().to_json()["waterfall"][1:])
    result = execute(compile_deal(spec.with_solution({}, dict.fromkeys("ABC", 0.0)), CUTOFF_CENTS), flows)

    assert result.reserve[-2, 0] == pytest.approx(10_000.0)
    assert result.unpaid_principal[:, 0] == pytest.approx([0.0, 0.0, unpaid], abs=ROUNDING)
    assert result.residual[-1, 0] == pytest.approx(max(10_000.0 - lost, 0.0), abs=ROUNDING)


def test_state_of_one_scenario_serves_all() -> None:
    program, flows = compile_deal(solved(), CUTOFF_CENTS), random_flows(9)
    one, many = execute(program, flows, state=opening_state(program, 1)), execute(program, flows)

    assert np.array_equal(one.residual, many.residual)


def test_what_cannot_be_run_is_refused() -> None:
    program, flows = compile_deal(solved(), CUTOFF_CENTS), random_flows(1)
    with pytest.raises(ValueError, match=r"cut-off balance 1000000\.0 differs from the program's 2000000\.0"):
        execute(compile_deal(solved(), 2 * CUTOFF_CENTS), flows)
    with pytest.raises(ValueError, match="flows: 74 months of collections, but legal final takes those of 73"):
        execute(program, random_flows(1, months=74))
    bad = flows.interest.copy()
    bad[0, 3, 2] = np.nan
    with pytest.raises(ValueError, match="flows: collections hold NaN"):
        execute(program, replace(flows, interest=bad))
    with pytest.raises(ValueError, match="flows: collections hold -"):
        execute(program, replace(flows, recovery=flows.recovery - CUTOFF))
    state = opening_state(program, 3)
    with pytest.raises(ValueError, match="state: balance has 3 scenarios, the flows 5"):
        execute(program, flows, state=state)
    with pytest.raises(ValueError, match="balance: every amount must be finite"):
        DealState(**{f.name: getattr(state, f.name) for f in fields(state)} | {"balance": -state.balance})


def test_unsolved_deal_is_not_compiled() -> None:
    spec = solved()
    unsolved = replace(spec, tranches=(*spec.tranches[:2], replace(spec.tranches[2], coupon=None)))
    with pytest.raises(SpecError, match=r"tranches\[2\].coupon: class 'C' is not solved yet"):
        compile_deal(unsolved, CUTOFF_CENTS)
    with pytest.raises(ValueError, match="pool_balance_cents: 0 must be above 0"):
        compile_deal(spec, 0)


def test_step_ids_are_stable_names() -> None:
    program = compile_deal(solved(), CUTOFF_CENTS)
    assert [step.id for step in program.steps] == [
        "fee:servicing", "interest:A", "interest:B", "interest:C",
        "principal:A", "principal:B", "principal:C", "reserve:reserve", "residual:R",
    ]  # fmt: skip
    assert program.closing_oc == 200_000.0
    assert program.reserve_initial == 10_000.0
