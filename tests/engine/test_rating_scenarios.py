"""Weighted scenario sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from rating.engine.scenarios import Proposal, ScenarioSet


@pytest.mark.parametrize("n", [1, 1000, 2048])
@pytest.mark.parametrize("proposal", ["wide", "normal"])
def test_weights_have_mean_one_and_values_are_finite(n: int, proposal: Proposal) -> None:
    scenarios = ScenarioSet.draw(n, seed=7, proposal=proposal)
    assert len(scenarios) == n
    assert scenarios.weights.mean() == pytest.approx(1.0, abs=1e-12)
    assert np.isfinite(scenarios.factors).all()


def test_weights_of_the_wide_proposal_are_the_density_ratio() -> None:
    scenarios = ScenarioSet.draw(1024, seed=3)
    c = (scenarios.factor("market") - scenarios.factor("pd_level")) / np.sqrt(2.0)
    ratio = norm.pdf(c) / norm.pdf(c, -1.2, 1.6)
    assert np.allclose(scenarios.weights, ratio / ratio.mean(), rtol=1e-12)
    assert 0 < scenarios.effective_size < 1024


def test_the_wide_proposal_leans_to_bad_markets_and_high_default_levels() -> None:
    both = ScenarioSet.draw(4096, seed=3)
    assert both.factor("market").mean() == pytest.approx(-1.2 / np.sqrt(2), abs=0.02)
    assert both.factor("pd_level").mean() == pytest.approx(1.2 / np.sqrt(2), abs=0.02)
    market = ScenarioSet.draw(4096, seed=3, names=("market", "severity"))
    assert market.factor("market").mean() == pytest.approx(-1.2, abs=0.02)
    assert market.factor("severity").mean() == pytest.approx(0.0, abs=0.02)


def test_weighted_moments_are_those_of_a_standard_normal() -> None:
    scenarios = ScenarioSet.draw(8192, seed=11)
    w = scenarios.weights / scenarios.weights.sum()
    assert np.abs(w @ scenarios.factors).max() < 0.03
    covariance = (scenarios.factors * w[:, None]).T @ scenarios.factors
    assert np.abs(covariance - np.eye(4)).max() < 0.05
    # The tail of the loss direction sizes the senior class: P(c < -3) = 0.00135.
    c = (scenarios.factor("market") - scenarios.factor("pd_level")) / np.sqrt(2.0)
    assert (w * (c < -3)).sum() == pytest.approx(norm.cdf(-3), rel=0.03)


def test_slices_keep_weights_and_indices_of_the_whole() -> None:
    whole = ScenarioSet.draw(512, seed=5)
    part = whole.slice(100, 300).slice(10, 20)
    assert part.first == 110
    assert part.weights.tobytes() == whole.weights[110:120].tobytes()
    assert part.factors.tobytes() == whole.factors[110:120].tobytes()
    assert (part.seed, part.proposal) == (whole.seed, "wide")
    with pytest.raises(ValueError, match=r"slice: \[5, 600\)"):
        whole.slice(5, 600)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (ScenarioSet.draw(64, seed=seed) for seed in (7, 7, 8))
    assert first.factors.tobytes() == again.factors.tobytes()
    assert first.factors.tobytes() != other.factors.tobytes()


def test_a_factor_that_is_not_drawn_is_at_its_median() -> None:
    scenarios = ScenarioSet.draw(8, seed=1, names=("market",), proposal="normal")
    assert not scenarios.factor("severity").any()
    assert json.loads(json.dumps(scenarios.describe()))["names"] == ["market"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed: -1"),
        ({"n": 0}, "n: 0"),
        ({"proposal": "narrow"}, "proposal: 'narrow'"),
        ({"names": ("market", "market")}, "names"),
    ],
)
def test_bad_arguments_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScenarioSet.draw(**({"n": 8, "seed": 1} | change))
