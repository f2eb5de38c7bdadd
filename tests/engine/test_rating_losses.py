"""Weighted statistics and the loss distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pooling.engine.curves import curve_flows
from pooling.engine.flows import PoolFlows
from rating.engine.losses import distribution_of, loss_distribution, monthly_losses, pool_defaults, pool_losses
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.engine.statistics import (
    expected_shortfall,
    quantile_estimate,
    weighted_deviation,
    weighted_mean,
    weighted_quantile,
    weighted_quantiles,
    weighted_ratio,
    weighted_share_below,
)
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of


def test_equal_weights_give_the_ordinary_mean_and_error() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    mean, error = weighted_mean(values, np.full(4, 3.0))
    assert mean == 4.0
    assert error == pytest.approx(np.std(values) / 2.0)


def test_weights_act_as_probabilities() -> None:
    values, weights = np.array([5.0, 1.0, 3.0]), np.array([1.0, 2.0, 1.0])
    assert weighted_mean(values, weights)[0] == 2.5
    assert [weighted_quantile(values, weights, p) for p in (0.5, 0.51, 0.75, 0.76, 1.0)] == [1, 3, 3, 5, 5]
    assert weighted_share_below(values, weights, 3.0) == 0.75


def test_the_wide_set_finds_what_plain_draws_find() -> None:
    # E[exp(-X)] = exp(1/2) and the 99 % point of -X is 2.3263 for a standard normal X.
    scenarios = ScenarioSet.draw(16_384, seed=5)
    x = scenarios.factor("market")
    mean, error = weighted_mean(np.exp(-x), scenarios.weights)
    assert abs(mean - np.exp(0.5)) < 4 * error
    assert weighted_quantile(-x, scenarios.weights, 0.99) == pytest.approx(2.3263, abs=0.02)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"weights: shape \(2,\)"):
        weighted_mean(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="weights: must be finite"):
        weighted_mean(np.ones(2), np.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="values: hold"):
        weighted_mean(np.array([1.0, np.inf]), np.ones(2))
    with pytest.raises(ValueError, match="probability: 0"):
        weighted_quantile(np.ones(2), np.ones(2), 0.0)


def test_distribution_of_a_simulated_pool() -> None:
    loans = mixed_loans(200, seed=1)
    model = model_of(np.full((3, 1), 0.02), np.full((3, 1), 0.01), ("A", "B", "C"))
    scenarios = ScenarioSet.draw(256, seed=2)
    flows = simulate(loans, model, scenarios)
    found = loss_distribution(flows, scenarios.weights)
    by_hand = (flows.charge_off - flows.recovery).sum(axis=(0, 1)) / loans.balance.sum()
    assert np.allclose(pool_losses(flows), by_hand)
    assert found.expected_loss == pytest.approx(np.average(by_hand, weights=scenarios.weights))
    assert list(found.quantiles) == [0.5, 0.9, 0.95, 0.99, 0.999]
    values = list(found.quantiles.values())
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] < 1
    assert found.quantile_of(0.0) == 0.0
    assert found.quantile_of(1.0) == 1.0
    assert found.quantile_of(values[0]) >= 0.5
    assert found.histogram.share.sum() == pytest.approx(1.0)
    assert found.histogram.edges.shape == (61,)
    assert found.histogram.share.shape == (60,)


def test_a_pool_without_losses_has_a_distribution() -> None:
    found = distribution_of(np.zeros(4), np.ones(4))
    assert found.expected_loss == 0.0
    assert found.quantile_of(0.0) == 1.0
    assert found.histogram.share[0] == 1.0


def test_ratios_and_deviations_by_hand() -> None:
    above, below, weights = np.array([1.0, 0.0, 3.0]), np.array([1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0])
    found = weighted_ratio(above, below, weights)
    assert found is not None
    # (1 + 3) / (1 + 1) = 2; sqrt((1 x (1 - 2))**2 + (1 x (3 - 2))**2) / 2.
    assert found.value == 2.0
    assert found.error == pytest.approx(np.sqrt(2) / 2)
    assert weighted_ratio(above, np.zeros(3), weights) is None
    assert weighted_deviation(above, weights) == pytest.approx(np.sqrt((0 + 2 * 1 + 4) / 4))
    table = np.stack([above, -above])
    assert weighted_quantiles(table, weights, (0.5, 0.75, 1.0)).tolist() == [[0, -1], [1, 0], [3, 0]]


def test_quantiles_and_shortfalls_of_a_normal_loss_lie_within_four_errors_of_the_closed_forms() -> None:
    # 99 %: quantile 2.326348, expected shortfall phi(2.326348) / 0.01 = 2.665214 (McNeil, Frey & Embrechts,
    # Quantitative Risk Management, 2015, example 2.14); asymptotic error of the quantile sqrt(p (1 - p) / n) / phi.
    scenarios = ScenarioSet.draw(8192, seed=11, proposal="plain")
    x = scenarios.factor("market")
    quantile, tail = quantile_estimate(x, scenarios.weights, 0.99), expected_shortfall(x, scenarios.weights, 0.99)
    assert abs(quantile.value - 2.326348) < 4 * quantile.error
    assert quantile.error == pytest.approx(np.sqrt(0.99 * 0.01 / 8192) / 0.0266521, rel=0.35)
    assert abs(tail.value - 2.665214) < 4 * tail.error
    assert quantile.reached
    assert tail.reached
    wide = ScenarioSet.draw(8192, seed=11)
    sharper = expected_shortfall(-wide.factor("market"), wide.weights, 0.99)
    assert abs(sharper.value - 2.665214) < 4 * sharper.error
    assert sharper.error < tail.error


def test_the_errors_of_tails_cover_the_truth_as_often_as_they_say() -> None:
    # 200 plain sets of 1,000: two errors hold the 95 % quantile and shortfall of a normal (1.644854, 2.062713) in 90 to
    # 99 % of them (the bounds).
    inside = np.zeros(2)
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal(1000)
        quantile, tail = quantile_estimate(x, np.ones(1000), 0.95), expected_shortfall(x, np.ones(1000), 0.95)
        inside += [abs(quantile.value - 1.644854) < 2 * quantile.error, abs(tail.value - 2.062713) < 2 * tail.error]
    assert (inside >= 180).all()
    assert (inside <= 198).all()


def test_a_tail_beyond_the_scenarios_is_said_to_be_so() -> None:
    few = quantile_estimate(np.arange(10.0), np.ones(10), 0.99)
    assert (few.value, few.reached) == (9.0, False)
    one = quantile_estimate(np.array([3.0]), np.ones(1), 0.5)
    assert (one.value, one.reached) == (3.0, False)
    with pytest.raises(ValueError, match=r"probability: 1\.0 is outside"):
        expected_shortfall(np.arange(3.0), np.ones(3), 1.0)
    with pytest.raises(ValueError, match="weights: must be finite, >= 0 and not all zero"):
        quantile_estimate(np.arange(3.0), np.zeros(3), 0.5)


def test_shortfall_counts_the_scenario_at_the_quantile_in_part() -> None:
    # Ten equal losses 1..10: the worst 25 % are 10, 9 and half of 8: (10 + 9 + 4) / 2.5.
    assert expected_shortfall(np.arange(1.0, 11.0), np.ones(10), 0.75).value == pytest.approx(9.2)


def test_losses_by_month_end_at_the_lifetime_loss() -> None:
    curves: Any = {"cpr": 0.1, "severity": 0.9, "charge_off_lag": 4, "recovery_lag": 6}
    loans = equal_loans(5, balance=100.0, remaining=24)
    flows = PoolFlows.concatenate([curve_flows(loans, cdr=cdr, **curves) for cdr in (0.02, 0.10, 0.30)])
    weights = np.array([1.0, 2.0, 1.0])
    found = monthly_losses(flows, weights, levels=(0.25, 0.5, 1.0))
    lifetime = pool_losses(flows)
    assert found.mean.shape == found.error.shape == (34,)
    assert found.quantiles.shape == (3, 34)
    assert found.mean[-1] == pytest.approx(weighted_mean(lifetime, weights)[0])
    assert found.error[-1] == pytest.approx(weighted_mean(lifetime, weights)[1])
    assert found.quantiles[:, -1] == pytest.approx(lifetime)
    assert (found.mean[:4] == 0.0).all()  # nothing is charged off before the lag
    assert found.mean[4] > 0.0
    by_hand = np.cumsum((flows.charge_off - flows.recovery)[0], axis=0)[:, 1] / 500.0
    assert found.quantiles[1] == pytest.approx(by_hand)
    assert pool_defaults(flows) == pytest.approx(flows.default.sum(axis=(0, 1)) / 500.0)


def test_the_distribution_carries_errors_and_shortfalls() -> None:
    x = np.linspace(0.0, 0.2, 1001)
    found = distribution_of(x, np.ones(1001))
    assert {p: item.value for p, item in found.quantile_errors.items()} == found.quantiles
    assert list(found.shortfalls) == [0.95, 0.99, 0.999]
    assert found.shortfalls[0.95].value == pytest.approx(0.195, abs=2e-4)  # uniform: middle of the tail
    still = found.interval((), np.empty((1001, 0)))
    assert still is not None
    assert still.low == still.high == pytest.approx(0.1)


def test_a_pool_of_one_loan_has_a_distribution_of_two_losses() -> None:
    model = model_of(np.full((3, 1), 0.05), np.zeros((3, 1)), ("A", "B", "C"), severity_mean=0.9)
    scenarios = ScenarioSet.draw(512, seed=4)
    flows = simulate(equal_loans(1, balance=1_000.0, rate=0.0, remaining=1), model, scenarios)
    losses = pool_losses(flows)
    assert np.unique(np.round(losses, 9)).tolist() == [0.0, 0.9]
    found = distribution_of(losses, scenarios.weights)
    # One month, hazard 5 %: default probability 1 - exp(-0.05).
    assert abs(found.expected_loss + 0.9 * np.expm1(-0.05)) < 4 * found.expected_loss_se
