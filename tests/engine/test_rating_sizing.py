"""Sizing on the real waterfall: targets reached on the upper bound, close to the largest sizes, same every time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from pooling.engine.deal import default_template
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from rating.engine.grades import Cap
from rating.engine.scale import GRADES, bound_of
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.engine.sizing import confidence_of, reaches, size_tranches
from rating.engine.tranches import rate_tranches
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

COUPONS = {"A": 0.05, "B": 0.06, "C": 0.08}
TARGETS = {"A": "AA", "B": "A", "C": "BBB"}
DEFERRABLE = ("B", "C")
SCENARIOS = ScenarioSet.draw(256, seed=7)
STEP = 500_000_00  # half a million: more than the search's resolution on this pool


@cache
def _flows(monthly_default: float) -> PoolFlows:
    loans = mixed_loans(2000, seed=12)
    hazard = np.full((3, 1), monthly_default)
    model = model_of(hazard, np.full((3, 1), 0.015), ("A", "B", "C"), pd_level_sigma=0.2, asset_correlation=0.04)
    return simulate(loans, model, SCENARIOS)


class _Deal:
    def __init__(self, monthly_default: float) -> None:
        self.flows, self.calls = _flows(monthly_default), 0
        self.pool = round(float(self.flows.opening_balance.sum()) * 100)
        self.template = default_template(
            name="Sizing", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
            first_payment="2026-03-10", legal_final="2032-03-10",
        )  # fmt: skip

    def execute(self, balances: Mapping[str, int]) -> DealFlows:
        self.calls += 1
        return execute(compile_deal(self.template.with_solution(dict(balances), COUPONS), self.pool), self.flows)

    def misses(self, balances: Mapping[str, int]) -> set[str]:
        ratings = rate_tranches(self.execute(balances), SCENARIOS.weights, deferrable=DEFERRABLE)
        return {r.name for r in ratings if r.rated_loss_upper > bound_of(TARGETS[r.name], r.wal_years)}


def test_every_class_reaches_its_target_and_little_room_is_left() -> None:
    deal = _Deal(0.004)
    result = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    assert result.executes == deal.calls <= 60
    assert not result.dropped
    assert list(result.balances) == ["A", "B", "C"]
    assert all(size > 0 and size % 100_000 == 0 for size in result.balances.values())
    assert sum(result.balances.values()) < deal.pool
    assert not deal.misses(result.balances)
    assert [rating.name for rating in result.ratings] == ["A", "B", "C"]
    # More of the senior class at the cost of the next, or more notes in all, and somebody misses.
    more_senior = dict(result.balances) | {
        "A": result.balances["A"] + STEP,
        "B": max(result.balances["B"] - STEP, 100_000),
    }
    assert "A" in deal.misses(more_senior)
    more_notes = dict(result.balances) | {"C": result.balances["C"] + STEP}
    assert "C" in deal.misses(more_notes)


def test_the_same_call_gives_the_same_sizes_and_a_warm_start_nearly_so() -> None:
    deal = _Deal(0.004)
    first = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    again = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    assert first == again
    warm = size_tranches(
        deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE, start=first.balances
    )
    assert warm.executes < first.executes
    for name, size in first.balances.items():
        assert abs(warm.balances[name] - size) < STEP


def test_a_weaker_pool_carries_fewer_notes() -> None:
    sizes = []
    for hazard in (0.002, 0.004, 0.008):
        deal = _Deal(hazard)
        result = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
        sizes.append(result.balances["A"] / deal.pool)
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_pool_too_weak_for_the_senior_target_says_so() -> None:
    deal = _Deal(0.004)
    flows = {name: getattr(deal.flows, name) for name in deal.flows.__dataclass_fields__}
    cash = ("interest", "scheduled_principal", "prepayment", "recovery")
    deal.flows = PoolFlows(**flows | {name: flows[name] * 0.0 for name in cash})
    with pytest.raises(ValueError, match=r"class A reaches AA at no size of at least 0\.5% of the pool"):
        size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)


def test_a_junior_class_without_room_is_dropped_with_a_reason() -> None:
    # The junior class asks for the better grade: what is left below the senior cannot earn it.
    deal = _Deal(0.004)
    targets = {"A": "BBB", "B": "AAA", "C": "BB"}
    result = size_tranches(deal.execute, targets, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    assert result.balances["B"] == 0
    assert "class B reaches AAA at no size" in result.dropped["B"]
    assert result.balances["A"] > 0
    assert result.balances["C"] > 0
    assert [rating.name for rating in result.ratings] == ["A", "C"]


@pytest.mark.parametrize(
    ("targets", "pool", "message"),
    [
        ({}, 10**9, "targets: name at least one class"),
        ({"A": "Aaa"}, 10**9, "targets: class A: grade: 'Aaa'"),
        ({"A": "AA"}, 99_999, "pool_balance: 99999 cents"),
    ],
)
def test_bad_arguments_are_named(targets: dict[str, str], pool: int, message: str) -> None:
    deal = _Deal(0.004)
    with pytest.raises(ValueError, match=message):
        size_tranches(deal.execute, targets, pool, SCENARIOS.weights)


def test_a_cap_lowers_the_targets_above_it_and_says_so() -> None:
    deal = _Deal(0.008)
    cap = Cap("AA-", "too short a history")
    free = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    result = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE, cap=cap)
    assert result.lowered == {"A": "class A aims at AA- instead of AA: too short a history"}
    assert free.lowered == {}
    assert not result.dropped
    assert result.balances["A"] > free.balances["A"]  # the lower grade allows more
    rated = {rating.name: rating for rating in result.ratings}
    assert (rated["A"].grade, rated["A"].cap, result.confidence["A"].binding) == ("AA-", cap, "history")
    assert all(margin.reached for margin in result.confidence.values())


def test_the_multiple_rule_binds_where_it_is_the_stricter_one() -> None:
    # A rule written for the test: a class earns its target only up to a share of the pool that is far below the free
    # answer, so that sizing has to stop there.
    deal = _Deal(0.004)
    free = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    share = free.balances["A"] / deal.pool - 0.15
    asked = []

    def multiples(balances: Mapping[str, int]) -> dict[str, str]:
        asked.append(dict(balances))
        return {"A": "AA" if balances["A"] <= share * deal.pool else "A+", "B": "AAA", "C": "AAA"}

    result = size_tranches(
        deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE, multiples=multiples
    )
    assert len(asked) == result.executes
    assert share * deal.pool - STEP < result.balances["A"] <= share * deal.pool
    assert result.confidence["A"].binding == "multiple"
    assert [rating.grade_by_multiple for rating in result.ratings] == ["AA", "AAA", "AAA"]


def test_a_sized_class_tells_how_many_errors_it_lies_inside_its_target() -> None:
    deal = _Deal(0.004)
    result = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    for rating in result.ratings:
        margin = result.confidence[rating.name]
        assert (margin.target, margin.reached) == (TARGETS[rating.name], True)
        assert margin.bound == bound_of(margin.target, rating.wal_years)
        # Sizing holds two standard errors under both rules.
        for room in (margin.loss_errors, margin.pd_errors):
            assert room is None or room >= 2.0 - 1e-9
        if rating.pd_se > 0:
            assert margin.pd_errors == pytest.approx((margin.bound / 0.55 - rating.pd) / rating.pd_se)
        better = GRADES[0]
        assert confidence_of(rating, better).reached == reaches(rating, better)
        worse = GRADES[GRADES.index(margin.target) + 1]
        assert confidence_of(rating, worse).bound > margin.bound


def test_a_pool_of_one_loan_carries_what_its_recovery_and_reserve_repay() -> None:
    # Whatever the month of default, 7 % of the balance (severity 93 %) and the reserve of 1 % come: a class within that
    # is safe, and nothing below it can be, since one loan defaults all at once.
    deal = _Deal(0.004)
    model = model_of(np.full((3, 1), 0.004), np.full((3, 1), 0.015), ("A", "B", "C"))
    deal.flows = simulate(equal_loans(1, balance=1_000_000.0, remaining=36), model, SCENARIOS)
    deal.pool = 100_000_000
    result = size_tranches(deal.execute, TARGETS, deal.pool, SCENARIOS.weights, deferrable=DEFERRABLE)
    assert 0.06 * deal.pool < result.balances["A"] <= 0.08 * deal.pool
    assert (result.balances["B"], result.balances["C"]) == (0, 0)
    assert list(result.dropped) == ["B", "C"]


def test_weights_that_sum_to_nothing_are_refused() -> None:
    deal = _Deal(0.004)
    with pytest.raises(ValueError, match="weights: must be finite, >= 0 and not all zero"):
        size_tranches(deal.execute, TARGETS, deal.pool, np.zeros(256), deferrable=DEFERRABLE)
