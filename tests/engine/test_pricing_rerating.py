"""A deal rated again in mid-life on pools whose months are known: the replay, what is left, where it starts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pooling.engine.deal import DealSpec
from pooling.engine.deal.template import default_template
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import flows_to_bytes
from pooling.engine.waterfall import compile_deal, execute
from pooling.tapes.derived_performance import derived_months
from pooling.tapes.exits import DEFAULT, MATURED, PREPAID, OutcomeFrame
from pooling.tapes.performance import FLOWS, Performance
from pricing.rerating import (
    actual_flows,
    claims,
    remaining_flows,
    replayed,
    rerate,
    seasoned_pool,
)
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks
from rating.engine.simulation import choose_engine, rating_scenarios, simulate
from tests.engine.rating_pools import equal_loans, model_of

TERM, MONTHS = 36, 30


def spec_of(loans: LoanArrays, **changes: Any) -> DealSpec:
    pool = round(float(loans.balance.sum()) * 100)
    template = default_template(
        name="T", currency="USD", cut_off="2026-04-30", closing="2026-05-21", first_payment="2026-06-21",
        legal_final="2033-05-21",
    )  # fmt: skip
    sizes = {name: int(share * pool) for name, share in {"A": 0.6, "B": 0.15, "C": 0.1}.items()}
    spec = template.with_solution(sizes, {"A": 0.05, "B": 0.06, "C": 0.07})
    return DealSpec.from_json(spec.to_json() | changes) if changes else spec


def pool_of(loans: LoanArrays) -> int:
    return round(float(loans.balance.sum()) * 100)


def reported(loans: LoanArrays, outcome: OutcomeFrame, months: int) -> Performance:
    """The derived months as arrays."""
    made = derived_months(loans, outcome, first=676, months=months).months if months else ()
    balance = np.zeros((months + 1, len(loans)), dtype=np.int64)
    days, flows = np.zeros_like(balance), {name: np.zeros((months, len(loans)), dtype=np.int64) for name in FLOWS}
    balance[0] = np.rint(loans.balance * 100)
    for t, month in enumerate(made):
        place = np.searchsorted(loans.loan_id, month.loan_id)
        balance[t + 1, place], days[t + 1, place] = month.ending_balance, month.days_past_due
        for name, table in flows.items():
            table[t, place] = getattr(month, name)
    return Performance(balance=balance, days_past_due=days, **flows)


def outcome_of(loans: LoanArrays, exit_month: np.ndarray, kind: np.ndarray, recovered: float = 0.1) -> OutcomeFrame:
    """A defaulted loan is charged off what it owed by schedule; a tenth of it comes back."""
    monthly, months = loans.rate / 12, exit_month - 1
    grown = (1 + monthly) ** loans.original_term
    owed = loans.balance * (grown - (1 + monthly) ** months) / (grown - 1)
    lost = np.where(kind == DEFAULT, np.round(owed, 2), 0.0)
    return OutcomeFrame(
        loan_id=loans.loan_id, issue_month=np.zeros(len(loans), dtype=np.int64), term=loans.original_term,
        grade=loans.grade, rate=loans.rate, balance=loans.balance, exit_month=exit_month, exit_kind=kind,
        charged_off=lost, net_recovery=np.round(recovered * lost, 2), sector=loans.sector, data_end=200,
    )  # fmt: skip


@cache
def drawn(months: int = MONTHS) -> tuple[LoanArrays, Performance]:
    """300 loans of which a fifth defaults and a third prepays, in drawn months."""
    rng = np.random.default_rng(5)
    loans = equal_loans(300, balance=10_000.0, rate=0.15, remaining=TERM)
    kind = rng.choice([DEFAULT, PREPAID, MATURED], 300, p=[0.2, 0.3, 0.5])
    exits = np.where(kind == MATURED, TERM, rng.integers(1, TERM, 300))
    return loans, reported(loans, outcome_of(loans, exits, kind), months)


def first_months(performance: Performance, months: int) -> Performance:
    flows = {name: getattr(performance, name)[:months] for name in FLOWS}
    return Performance(performance.balance[: months + 1], performance.days_past_due[: months + 1], **flows)


def no_loss() -> CreditModel:
    """Nobody defaults, nobody prepays."""
    return model_of(np.zeros((1, TERM)), np.zeros((1, TERM)), ("A",), history_months=72)


# --------------------------------------------------------------------------------------------------------- the replay
def test_reported_months_become_pool_flows_to_the_cent() -> None:
    loans, performance = drawn()
    flows = actual_flows(loans, performance)
    assert flows.check() < 1e-12
    cents = performance.balance.sum(axis=1)
    np.testing.assert_allclose(flows.total_pool_balance[:, 0] * 100, cents[1:], rtol=0, atol=1e-4)
    for name in FLOWS:
        np.testing.assert_allclose(
            getattr(flows, name)[0, :, 0] * 100, getattr(performance, name).sum(axis=1), rtol=0, atol=1e-6
        )
    late = np.where(performance.days_past_due > 60, performance.balance, 0).sum(axis=1)
    np.testing.assert_allclose(flows.delinquent_share(60)[:, 0], late[1:] / cents[1:], rtol=1e-12)
    assert flows.delinquent_share(60).max() > 0


def test_a_replay_that_stops_and_goes_on_is_the_replay_that_does_not() -> None:
    loans, performance = drawn()
    program = compile_deal(spec_of(loans), pool_of(loans))
    whole = replayed(program, actual_flows(loans, performance))
    for stop in (1, 12, 29):
        first = replayed(program, actual_flows(loans, first_months(performance, stop)))
        state = first.state_after(stop)
        np.testing.assert_array_equal(first.balance, whole.balance[:, :stop])
        flows = actual_flows(loans, performance)
        rest: dict[str, Any] = {name: column[..., stop:, :] for name, column in flows.columns.items()}
        again = execute(program, replace(flows, **rest), state, ends=False)
        np.testing.assert_allclose(again.balance, whole.balance[:, stop:], rtol=1e-12, atol=1e-6)
        np.testing.assert_allclose(again.residual, whole.residual[stop:], rtol=1e-9, atol=1e-6)
        last, end = again.state_after(MONTHS - stop), whole.state_after(MONTHS)
        np.testing.assert_allclose(last.cumulative_loss, end.cumulative_loss, rtol=1e-12)


def test_without_losses_mid_life_is_the_rest_of_the_first_run() -> None:
    # given loans that pay as scheduled, and a model in which nobody does otherwise
    loans = equal_loans(200, balance=7_000.0, rate=0.12, remaining=TERM)
    model, spec, pool = no_loss(), spec_of(loans), pool_of(loans)
    outcome = outcome_of(loans, np.full(200, TERM), np.full(200, MATURED))
    drawn_set = rating_scenarios(loans, model, 4, 7)
    first = execute(compile_deal(spec, pool), simulate(loans, model, drawn_set))
    for months in (1, 10, 20):
        found = rerate(
            spec=spec, pool=pool, loans=loans, performance=reported(loans, outcome, months), model=model, scenarios=4,
            seed=7, choice=choose_engine(loans, model),
        )  # fmt: skip
        rest, _ = found.rater.run(spec)
        # Cents of every loan are rounded in the reported months: half a cent each at most, and what it earns.
        span = min(rest.months, first.months - months)
        np.testing.assert_allclose(
            rest.balance[:, :span], first.balance[:, months : months + span], rtol=0, atol=200 * 0.01
        )
        assert found.rater.expected == 0.0
        for rating in found.ratings:
            owed = first.balance[spec.tranches.index(next(t for t in spec.tranches if t.name == rating.name)), :, 0]
            if owed[months - 1] < 100.0:
                continue
            # Average life left: what is owed in each month to come, over what is owed now.
            left = (owed[months - 1] + owed[months:].sum()) / owed[months - 1] / 12
            assert rating.wal_years == pytest.approx(left, abs=2e-4)
            assert rating.pd == 0.0
            assert rating.expected_loss == pytest.approx(0.0, abs=1e-9)


# ------------------------------------------------------------------------------------------------------ what is left
def test_before_any_month_what_is_left_is_the_simulation_to_the_byte() -> None:
    loans, performance = drawn()
    model = documented_model()
    scenarios = rating_scenarios(loans, model, 64, 7)
    seasoned = seasoned_pool(loans, first_months(performance, 0), model)
    found = remaining_flows(seasoned, model, scenarios, choose_engine(loans, model), 80)
    assert flows_to_bytes(found) == flows_to_bytes(simulate(loans, model, scenarios))


def test_a_seasoned_pool_has_the_balances_ages_and_lateness_of_today() -> None:
    loans, performance = drawn()
    model = documented_model()
    found = seasoned_pool(loans, performance, model)
    owed, days = performance.balance[-1], performance.days_past_due[-1]
    late = (owed > 0) & (days >= 30)
    assert late.any()
    assert found.performing is not None
    assert set(found.performing.loan_id) == set(loans.loan_id[(owed > 0) & (days < 30)])
    assert found.balance * 100 == pytest.approx(owed.sum(), abs=1e-3)
    assert set(found.performing.age.tolist()) == {MONTHS}
    assert set(found.performing.remaining_term.tolist()) == {TERM - MONTHS}
    np.testing.assert_array_equal(found.late_since, days[late] // 30)
    # Charged off within the last six months: their recoveries are still to come, in the month in which they do.
    written = performance.charge_off.sum(axis=0) > 0
    last = np.argmax(performance.charge_off > 0, axis=0) + 1
    due = written & (last + model.recovery_lag > MONTHS)
    assert due.any()
    np.testing.assert_array_equal(found.pending_in, (last + model.recovery_lag - MONTHS)[due])
    np.testing.assert_allclose(found.pending_balance * 100, performance.charge_off.sum(axis=0)[due], rtol=1e-12)


def test_a_recovery_that_never_came_is_not_waited_for() -> None:
    # Charged off in month 5, nothing came back by month 11: after that none is due; before, all of it is.
    loans = equal_loans(4, balance=100.0, rate=0.1, remaining=TERM)
    outcome = outcome_of(loans, np.array([1, TERM, TERM, TERM]), np.array([DEFAULT, *[MATURED] * 3]), recovered=0.0)
    model = documented_model()
    for months, due in ((4, []), (5, [6]), (10, [1]), (11, []), (20, [])):
        assert seasoned_pool(loans, reported(loans, outcome, months), model).pending_in.tolist() == due, months


def test_late_loans_are_charged_off_on_their_day_and_recover_at_the_scenarios_severity() -> None:
    loans, performance = drawn()
    model = replace(documented_model(), charge_off_lag=4, recovery_lag=6)
    pool = seasoned_pool(loans, performance, model)
    scenarios = rating_scenarios(loans, model, 64, 7)
    choice = choose_engine(loans, model)
    found = remaining_flows(pool, model, scenarios, choice, 50)
    assert found.check() < 1e-12
    assert float(found.opening_balance.sum()) == pytest.approx(pool.balance, rel=1e-14)
    paying = replace(pool, late_balance=np.zeros(0), late_since=np.zeros(0, dtype=np.int64),
                     late_band=np.zeros(0, dtype=np.int64), pending_balance=np.zeros(0),
                     pending_in=np.zeros(0, dtype=np.int64), pending_band=np.zeros(0, dtype=np.int64))  # fmt: skip
    without = remaining_flows(paying, model, scenarios, choice, 50)
    more = found.charge_off[0, : without.months] - without.charge_off[0]
    for since in (1, 2, 3):
        np.testing.assert_allclose(
            more[4 - since - 1], pool.late_balance[pool.late_since == since].sum(), rtol=1e-9, atol=1e-6
        )
    assert more[3:].max() < 1e-6
    # what comes back, by scenario
    kept = 1.0 - scenario_shocks(model, scenarios).severity
    expected = kept[:, pool.late_band] @ pool.late_balance + kept[:, pool.pending_band] @ pool.pending_balance
    back = found.recovery.sum(axis=(0, 1)) - without.recovery.sum(axis=(0, 1))
    np.testing.assert_allclose(back, expected, rtol=1e-9)
    # a late loan stays in its bucket, a month later each month, until then
    stock = (found.delinquent[0, :, : without.months] - without.delinquent[0])[..., 0]
    np.testing.assert_allclose(stock[2, 0], pool.late_balance[pool.late_since == 1].sum(), rtol=1e-9)
    np.testing.assert_allclose(stock[3, 0], pool.late_balance[pool.late_since == 2].sum(), rtol=1e-9)
    np.testing.assert_allclose(stock[3, 1], pool.late_balance[pool.late_since == 1].sum(), rtol=1e-9)
    assert np.abs(stock[:, 2:]).max() < 1e-6


def test_where_every_loan_is_late_the_rest_is_the_run_off_alone() -> None:
    loans = equal_loans(10, balance=100.0, rate=0.1, remaining=TERM)
    outcome = outcome_of(loans, np.full(10, 2), np.full(10, DEFAULT))
    model = replace(no_loss(), severity_mean=0.8)
    performance = reported(loans, outcome, 3)
    spec, pool = spec_of(loans), pool_of(loans)
    found = rerate(
        spec=spec, pool=pool, loans=loans, performance=performance, model=model, scenarios=8, seed=7,
        choice=choose_engine(loans, model),
    )  # fmt: skip
    assert found.pool.performing is None
    np.testing.assert_allclose(found.rater.losses, 0.8, rtol=1e-9)
    assert {rating.grade for rating in found.ratings} == {"CCC"}
    with pytest.raises(ValueError, match="every loan of the pool has ended"):
        seasoned_pool(loans, reported(loans, outcome, 6), model)


# ---------------------------------------------------------------------------------------------------------- the rating
def test_what_is_promised_is_what_is_owed_today_and_a_class_paid_in_full_is_not_rated() -> None:
    loans, performance = drawn()
    model, spec, pool = documented_model(), spec_of(loans), pool_of(loans)
    found = rerate(
        spec=spec, pool=pool, loans=loans, performance=performance, model=model, scenarios=64, seed=7,
        choice=choose_engine(loans, model),
    )  # fmt: skip
    state = found.state
    assert state is not None
    owed = dict(zip(("A", "B", "C"), claims(state).tolist(), strict=True))
    assert [rating.name for rating in found.ratings] == [name for name, amount in owed.items() if amount > 0]
    assert owed["A"] == 0.0
    deal, _ = found.rater.run(spec)
    assert deal.initial_balance.tolist() == list(owed.values())
    assert deal.first_period == MONTHS
    # a class that is owed interest is owed that too
    short = replace(state, interest_shortfall=state.interest_shortfall + 3.0)
    assert claims(short)[2] == pytest.approx(claims(state)[2] + 3.0)


def test_pools_of_several_groups_are_refused_in_words() -> None:
    loans, performance = drawn()
    mixed = replace(loans, group=np.where(np.arange(300) < 150, "a", "b"))
    with pytest.raises(ValueError, match="2 collateral groups; only pools of one"):
        seasoned_pool(mixed, performance, documented_model())


def test_scenarios_do_not_depend_on_the_months_where_the_direction_does_not() -> None:
    # The set of a re-rating is drawn as a rating's: same seed, same count, along the loss direction of what is left.
    loans, performance = drawn()
    model = documented_model()
    found = rerate(
        spec=spec_of(loans), pool=pool_of(loans), loans=loans, performance=performance, model=model, scenarios=32,
        seed=9, choice=choose_engine(loans, model),
    )  # fmt: skip
    assert found.pool.performing is not None
    expected: ScenarioSet = rating_scenarios(found.pool.performing, model, 32, 9)
    np.testing.assert_array_equal(found.scenarios.factors, expected.factors)
    np.testing.assert_array_equal(found.scenarios.weights, expected.weights)
