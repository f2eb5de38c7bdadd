"""Tornado, matrix, notch movers and reverse stress, on common random numbers and against closed forms."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from scipy.stats import norm

from pooling.engine.deal import default_template
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import compile_deal, execute
from pricing.sensitivities import Sensitivities, assemble, unit_count
from rating.engine.breakeven import base_speeds, break_evens
from rating.engine.curves import documented_model
from rating.engine.losses import pool_losses
from rating.engine.reverse import flat_reverse, mildest_scenarios
from rating.engine.scale import GRADES, bound_of, grade_of
from rating.engine.scenarios import ScenarioSet
from rating.engine.sensitivity import (
    DRIVERS,
    GRID,
    HALVINGS,
    CommonDraws,
    Driver,
    Rate,
    cut,
    grades_of,
    matrix,
    notch_movers,
    notches,
    outcome,
    tornado,
)
from rating.engine.statistics import weighted_mean
from rating.engine.stresses import BASE, STANDARD, Stress
from tests.engine.rating_pools import mixed_loans, model_of

YEARS = 3.0
LOANS = mixed_loans(400, 3)


def _draws(**changes: Any) -> CommonDraws:
    hazard = np.array([[0.004], [0.008], [0.012]]) * np.ones(36)
    given = {"severity_mean": 0.6, "pd_level_sigma": 0.3} | changes
    model = model_of(hazard, np.full((3, 36), 0.015), ("A", "B", "C"), **given)
    return CommonDraws(LOANS, model, ScenarioSet.of_model(model, 64, seed=9), compiled=False)


def _whole_pool(weights: np.ndarray) -> Rate:
    """One class that is the pool: its expected loss is the pool's, its grade by the scale at three years."""

    def rate(stress: Stress, flows: PoolFlows) -> Any:
        loss, _ = weighted_mean(pool_losses(flows), weights)
        found = SimpleNamespace(name="P", grade=grade_of(loss, YEARS), pd=1.0, expected_loss=loss, wal_years=YEARS)
        return (found,)

    return cast(Rate, rate)


def test_draws_are_common_so_that_more_risk_means_more_defaults_in_every_scenario() -> None:
    # A loan's default month falls in its hazard when its own draw stays: with other draws some scenario would improve.
    draws = _draws()
    base = draws.flows().default.sum(axis=(0, 1))
    for size in (1.1, 1.5):
        assert (draws.flows(Stress.of(pd=size)).default.sum(axis=(0, 1)) >= base).all()
    assert (draws.flows(Stress.of(pd=0.9)).default.sum(axis=(0, 1)) <= base).all()


def test_a_tornado_counts_notches_from_the_base_case_and_draws_only_what_it_must() -> None:
    draws = _draws()
    stresses = [Stress.of("r", recovery=0.75), Stress.of("l", lag=6), Stress.of("p", pd=3), Stress.of("c", pd=0.3)]
    base, rows = tornado(draws, _whole_pool(draws.weights), stresses)
    assert draws.simulations == 3
    assert base.classes[0].notches == 0
    for row in rows:
        flows = draws.flows(row.stress)
        assert row.pool_loss == pytest.approx((pool_losses(flows) * draws.weights).mean(), rel=1e-12)
        found = row.classes[0]
        assert found.notches == GRADES.index(base.classes[0].grade) - GRADES.index(found.grade)
    assert rows[2].classes[0].notches < 0 < rows[3].classes[0].notches
    assert notches("AAA", "CCC") == -16


def test_the_matrix_draws_once_a_row_and_its_columns_are_other_severities() -> None:
    draws = _draws()
    found = matrix(draws, _whole_pool(draws.weights), pd=(1.0, 2.0), recovery=(1.0, 0.5, 0.0))
    assert draws.simulations == 2
    # Severity without dispersion: the cell is the pool loss of a model with severity 1 - r (1 - s).
    for i, pd in enumerate((1.0, 2.0)):
        for j, recovery in enumerate((1.0, 0.5, 0.0)):
            other = _draws(severity_mean=1.0 - recovery * 0.4)
            losses = pool_losses(other.flows(Stress.of(pd=pd)))
            assert found.pool_loss[i][j] == pytest.approx((losses * draws.weights).mean(), rel=1e-10)
            assert found.grades["P"][i][j] == grade_of(found.pool_loss[i][j], YEARS)


def test_movers_bracket_the_recovery_at_which_the_bound_is_passed() -> None:
    # Loss at recovery multiplier r is linear, (D - r R) / B; the grade ends where it meets its bound.
    draws = _draws()
    rate = _whole_pool(draws.weights)
    flows = draws.flows()
    lost = float((flows.charge_off.sum(axis=(0, 1)) * draws.weights).mean() / flows.opening_balance.sum())
    recovered = float((flows.recovery.sum(axis=(0, 1)) * draws.weights).mean() / flows.opening_balance.sum())
    base = grades_of(outcome(BASE, flows, draws.weights, rate, {}))
    passed = (lost - bound_of(base["P"], YEARS)) / recovered
    assert 0.0 < passed < 1.0, "the pool of this test has to change its grade within the range"
    (found,) = notch_movers(draws, rate, base, [Driver("recovery", 0.0)])
    assert found.moved is not None
    assert found.moved <= passed <= found.held
    assert found.held - found.moved == pytest.approx(1 / GRID / 2**HALVINGS)
    assert (found.notches, found.grade) == (-1, GRADES[GRADES.index(base["P"]) + 1])
    assert draws.simulations == 1
    assert found.tested <= GRID + HALVINGS


def test_movers_say_so_where_nothing_moves() -> None:
    draws = _draws()
    rate = _whole_pool(draws.weights)
    base = grades_of(outcome(BASE, draws.flows(), draws.weights, rate, {}))
    (found,) = notch_movers(draws, rate, base, [Driver("correlation", 0.0)])
    assert (found.moved, found.grade, found.notches, found.held) == (None, None, None, 0.0)
    (found,) = notch_movers(draws, rate, base, [Driver("pd", 1.0001)], grid=2, halvings=1)
    assert found.moved is None
    assert found.held == pytest.approx(1.0001)
    with pytest.raises(ValueError, match="grid: 0 points"):
        notch_movers(draws, rate, base, grid=0)


def test_the_mildest_failure_of_a_linear_surface_is_its_distance_from_the_origin() -> None:
    # It fails where a'z > c: distance c / |a|, probability Phi(-c / |a|) (Hasofer & Lind 1974).
    a, c = np.array([-1.0, 0.8, 0.3]), 2.4
    length = float(np.sqrt((a * a).sum()))

    def fails(points: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"A": points @ a > c, "B": np.zeros(len(points), dtype=bool)}

    names = ("market", "pd_level", "severity")
    drawn = ScenarioSet.draw(4096, seed=1, names=names, direction={"market": 1.0, "pd_level": -0.8, "severity": -0.3})
    failed = fails(drawn.factors)
    alone, _ = mildest_scenarios(names, drawn.factors, drawn.weights, failed)
    found, none = mildest_scenarios(names, drawn.factors, drawn.weights, failed, fails)
    assert found.distance is not None
    assert alone.distance is not None
    assert found.source == "direction"
    assert c / length <= found.distance <= alone.distance
    assert found.distance == pytest.approx(c / length, rel=0.01)
    assert found.factors is not None
    np.testing.assert_allclose([found.factors[name] for name in names], c * a / length**2, atol=0.1)
    assert found.tail == pytest.approx(norm.sf(found.distance), rel=1e-12)
    assert found.probability == pytest.approx(norm.sf(c / length), rel=0.1)
    assert (none.distance, none.factors, none.failing, none.probability) == (None, None, 0, 0.0)
    with pytest.raises(ValueError, match="factors: shape"):
        mildest_scenarios(names[:2], drawn.factors, drawn.weights, failed)


@pytest.fixture(scope="module")
def bench() -> Sensitivities:
    """A solved deal on 400 loans, given by hand: 60 %, 10 %, 5 % of the pool."""
    model = documented_model()
    pool = int(LOANS.balance.sum() * 100)
    sizes = {"A": 0.60, "B": 0.10, "C": 0.05}
    spec = default_template(
        name="Bench", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
        first_payment="2026-03-10", legal_final="2032-03-10",
    ).with_solution(
        {name: int(share * pool / 100_000) * 100_000 for name, share in sizes.items()},
        {"A": 0.05, "B": 0.06, "C": 0.07},
    )  # fmt: skip
    scenarios = ScenarioSet.of_model(model, 64, seed=7)
    return Sensitivities(
        loans=LOANS, model=model, spec=spec, pool=pool, scenarios=scenarios, stresses=STANDARD[:4], compiled=False
    )


def test_every_unit_gives_its_part_and_the_parts_make_the_result(bench: Sensitivities) -> None:
    assert len(bench.units) == unit_count(STANDARD[:4])
    wanted = [n for n, (kind, _) in enumerate(bench.units) if kind != "driver"]
    parts = [bench.unit(n) for n in wanted]
    result = assemble(parts)
    assert [row["stress"]["label"] for row in result["tornado"]] == [stress.label for stress in STANDARD[:4]]
    base = {row["name"]: row["grade"] for row in result["base"]["classes"]}
    assert list(base) == ["A", "B", "C"]
    found = result["matrix"]
    at = (found["pd"].index(1.0), found["recovery"].index(1.0))
    for name, grades in found["grades"].items():
        assert grades[at[0]][at[1]] == base[name]
    assert {row["name"] for row in result["reverse"]["mildest"]} == set(base)
    assert result["made_by"]["credit_model"] == bench.model.content_hash()
    # A chunk may be computed twice, after any other: a unit is a function of the bench's arguments.
    assert bench.unit(2) == parts[2]
    assert len(DRIVERS) == 7


def test_the_flat_reverse_is_the_break_even_of_the_deal(bench: Sensitivities) -> None:
    program = compile_deal(bench.spec, bench.pool)
    base = cut(bench.draws.flows().weighted_mean(bench.draws.weights), program.months)
    speeds = base_speeds(base, charge_off_lag=bench.model.charge_off_lag, recovery_lag=bench.model.recovery_lag)

    def run(flows: PoolFlows) -> Any:
        return execute(program, flows)

    expected = {row.name: row.cdr for row in break_evens(run, base, speeds)}
    for row in flat_reverse(run, base, speeds):
        assert row.cdr == pytest.approx(expected[row.name], abs=2e-4)  # both searches stop at 1e-4
        worse = [row.by_severity[each] for each in (0.5, 0.75, 1.0)]
        assert all(value is not None for value in worse)
        assert worse == sorted(worse, reverse=True)  # type: ignore[type-var]
