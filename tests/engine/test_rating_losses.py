"""Weighted statistics and the loss distribution."""

from __future__ import annotations

import numpy as np
import pytest

from rating.engine.losses import distribution_of, loss_distribution, pool_losses
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.engine.statistics import weighted_mean, weighted_quantile, weighted_share_below
from tests.engine.rating_pools import mixed_loans, model_of


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
