"""Stresses: each does exactly what its words say, and a what-if has a hash."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pooling.engine.flows import PoolFlows
from rating.engine.breakeven import Speeds, cdr_flows
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import MAX_CORRELATION
from rating.engine.simulation import simulate
from rating.engine.stresses import STANDARD, Change, Stress, extended, flows_at_pd, reweighted, scaled_losses
from tests.engine.rating_pools import mixed_loans, model_of

EXACT = 1e-12  # rounding of sums of a few hundred terms
SCENARIOS = 32


def _model(**changes: object) -> CreditModel:
    hazard = np.array([[0.010], [0.02], [0.03]]) * np.linspace(0.5, 1.5, 24)
    return model_of(hazard, np.full((3, 24), 0.015), ("A", "B", "C"), **changes)


def _flows(model: CreditModel, scenarios: ScenarioSet | None = None) -> PoolFlows:
    drawn = scenarios or ScenarioSet.of_model(model, SCENARIOS, seed=5)
    return simulate(mixed_loans(300, 2), model, drawn, engine="by_loan", compiled=False)


@pytest.mark.parametrize("size", [0.5, -0.5, 1.0, -1.0])
def test_timing_keeps_every_lifetime_hazard_and_moves_it_within_the_term(size: float) -> None:
    # Tables of 24 months serve a term of 36: the last month is held beyond them.
    model, term = _model(), 36
    before = model.default_hazard[:, np.minimum(np.arange(60), 23)]
    after = Stress.of(timing=size).on_model(model).default_hazard
    after = after[:, np.minimum(np.arange(60), after.shape[1] - 1)]
    np.testing.assert_allclose(after[:, :term].sum(axis=1), before[:, :term].sum(axis=1), rtol=EXACT)
    np.testing.assert_array_equal(after[:, term:], before[:, term:])
    earlier = after[:, : term // 2].sum(axis=1) > before[:, : term // 2].sum(axis=1)
    assert earlier.all() if size > 0 else not earlier.any()
    # The tilt is linear: the ratio falls from the first month to the last by the same step.
    ratio = after[:, :term] / before[:, :term]
    np.testing.assert_allclose(np.diff(ratio, n=2, axis=1), 0.0, atol=1e-9)


def test_a_longer_lag_is_the_flows_of_a_model_with_that_lag() -> None:
    model = _model()
    expected = _flows(replace(model, recovery_lag=model.recovery_lag + 6))
    found = Stress.of(lag=6).on_flows(_flows(model))
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column, err_msg=name)


@pytest.mark.parametrize("factor", [0.75, 0.0, 2.0])
def test_scaled_recoveries_are_those_of_the_other_severity(factor: float) -> None:
    # Severity without dispersion: 1 - factor (1 - s) in every scenario.
    model = _model(severity_mean=0.6)
    expected = _flows(replace(model, severity_mean=1.0 - factor * 0.4))
    found = Stress.of(recovery=factor).on_flows(_flows(model))
    for name, column in expected.columns.items():
        np.testing.assert_allclose(found.columns[name], column, rtol=EXACT, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("factor", [0.5, 0.0, 1.0])
def test_scaled_losses_are_those_of_the_other_severity(factor: float) -> None:
    model = _model(severity_mean=0.6)
    expected = _flows(replace(model, severity_mean=factor * 0.6))
    found = scaled_losses(_flows(model), factor, recovery_lag=model.recovery_lag)
    np.testing.assert_allclose(found.recovery, expected.recovery, rtol=EXACT, atol=1e-6)
    with pytest.raises(ValueError, match=r"size: 1.1 times losses"):
        scaled_losses(expected, 1.1, recovery_lag=6)


def test_recoveries_never_exceed_what_was_charged_off() -> None:
    flows = Stress.of(recovery=50).on_flows(_flows(_model(severity_mean=0.6)))
    recovered = np.cumsum(flows.recovery, axis=1)
    assert (recovered <= flows.defaulted * (1 + EXACT)).all()
    np.testing.assert_allclose(recovered[:, -1], flows.defaulted[:, -1], rtol=EXACT)


def test_the_other_kinds_change_what_they_name_and_nothing_else() -> None:
    model = _model()
    made = Stress.of(pd=1.25, prepayment=0.5, correlation=0.10).on_model(model)
    np.testing.assert_array_equal(made.default_hazard, model.default_hazard * 1.25)
    np.testing.assert_array_equal(made.prepayment_hazard, model.prepayment_hazard * 0.5)
    assert made.asset_correlation == pytest.approx(model.asset_correlation + 0.10, rel=EXACT)
    assert Stress.of(correlation=1.0).on_model(model).asset_correlation == MAX_CORRELATION
    assert Stress.of(correlation=-1.0).on_model(model).asset_correlation == 0.0
    assert Stress.of(persistence=0.5).on_model(model).factor_persistence == 0.5
    tailed = Stress.of(student_t=8).on_model(model)
    assert (tailed.copula, tailed.degrees_of_freedom) == ("student_t", 8.0)
    assert Stress.of(recovery=0.5, lag=3).on_model(model).content_hash() == model.content_hash()
    assert not Stress.of(recovery=0.5, lag=3).needs_simulation
    assert Stress.of(recovery=0.5, pd=2).needs_simulation


def test_a_stress_round_trips_and_its_hash_is_of_the_changes_alone() -> None:
    for stress in STANDARD:
        assert Stress.from_json(json.loads(json.dumps(stress.to_json()))) == stress
    assert len({stress.content_hash() for stress in STANDARD}) == len(STANDARD)
    one = Stress.of("a", pd=1.25)
    assert one.content_hash() == Stress.of("b", pd=1.25).content_hash() != Stress.of("a", pd=1.5).content_hash()
    both = one + Stress.of("c", recovery=0.75)
    assert both == Stress((Change("pd", 1.25), Change("recovery", 0.75)), "a, c")


@pytest.mark.parametrize(
    ("kind", "size", "words"),
    [
        ("weather", 1.0, "kind: 'weather' is none of pd"),
        ("pd", 0.0, "size: 0.0 of pd lies outside 0.01 to 100"),
        ("pd", float("nan"), "size: nan of pd"),
        ("lag", 2.5, "size: a lag of 2.5 is no whole number"),
        ("student_t", 2.0, "size: 2.0 of student_t lies outside 2.01"),
    ],
)
def test_bad_changes_are_refused_by_name(kind: str, size: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Change(kind, size)
    with pytest.raises(ValueError, match="keys differ"):
        Stress.from_json({"label": "x", "changes": [{"kind": "pd", "size": 1.0, "more": 1}]})


def test_factors_that_only_the_stress_needs_are_added_beside_the_others() -> None:
    model = documented_model()
    scenarios = ScenarioSet.of_model(model, 2048, seed=3)
    made = Stress.of(student_t=8).on_scenarios(scenarios, model)
    assert made.names == (*scenarios.names, "mixing")
    np.testing.assert_array_equal(made.factors[:, :-1], scenarios.factors)
    np.testing.assert_array_equal(made.weights, scenarios.weights)
    # Standard normal: mean 0 and variance 1 of 2,048 draws, within four standard errors.
    drawn = made.factor("mixing")
    assert abs(drawn.mean()) < 4 / np.sqrt(2048)
    assert abs(drawn.var() - 1) < 4 * np.sqrt(2 / 2048)
    # A slice sees the same values, and a set that lacks nothing stays as it is.
    np.testing.assert_array_equal(extended(scenarios.slice(100, 200), made.names).factors, made.factors[100:200])
    assert extended(scenarios, scenarios.names) is scenarios


@pytest.mark.parametrize("size", [0.8, 1.25, 1.5])
def test_reweighting_moves_the_mean_level_to_the_size(size: float) -> None:
    # E[exp(s Z - s**2 / 2)] = 1, so that under the shifted law it is the size.
    model = documented_model()
    scenarios = ScenarioSet.of_model(model, 4096, seed=3)
    made = reweighted(scenarios, model, size)
    assert made is not None
    level = np.exp(model.pd_level_sigma * made.factor("pd_level") - 0.5 * model.pd_level_sigma**2)
    assert (made.weights * level).mean() == pytest.approx(size, rel=0.01)
    assert made.weights.mean() == pytest.approx(1.0, rel=EXACT)
    np.testing.assert_allclose(reweighted(scenarios, model, 1.0).weights, scenarios.weights, rtol=EXACT)  # type: ignore[union-attr]
    assert reweighted(scenarios, replace(model, pd_level_sigma=0.0), size) is None


def test_scaled_flows_are_those_of_the_scaled_flat_speed() -> None:
    # 1 - MDR' = (1 - MDR)**k each month, hence 1 - CDR' = (1 - CDR)**k: exact where all loans survive alike.
    flows = _flows(_model())
    base = flows.weighted_mean(np.ones(flows.scenarios))
    speeds, size = Speeds(cpr=0.1, severity=0.7, charge_off_lag=4, recovery_lag=6), 1.5
    start = cdr_flows(base, [0.05, 0.2], speeds)
    expected = cdr_flows(base, 1.0 - (1.0 - np.array([0.05, 0.2])) ** size, speeds)
    found = flows_at_pd(start, size, charge_off_lag=4, recovery_lag=6)
    for name, column in expected.columns.items():
        np.testing.assert_allclose(found.columns[name], column, rtol=1e-9, atol=1e-6, err_msg=name)


def test_scaled_flows_at_one_are_the_flows_and_keep_the_identities() -> None:
    flows = _flows(_model())
    same = flows_at_pd(flows, 1.0, charge_off_lag=4, recovery_lag=6)
    for name, column in flows.columns.items():
        np.testing.assert_allclose(same.columns[name], column, rtol=1e-9, atol=1e-6, err_msg=name)
    more = flows_at_pd(flows, 2.0, charge_off_lag=4, recovery_lag=6)
    assert more.check() < EXACT
    assert (more.default.sum(axis=(0, 1)) > flows.default.sum(axis=(0, 1))).all()
