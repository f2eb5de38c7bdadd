"""Conditional default probabilities and the large-pool distribution."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from rating.engine.copula import conditional_pd, vasicek_cdf, vasicek_quantile, vasicek_std
from rating.engine.scenarios import DEFAULT_FACTORS as FACTORS
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from tests.engine.rating_pools import equal_loans, model_of

ORACLE_TOLERANCE = 1e-10


@pytest.mark.shared
def test_vasicek_matches_the_oracle(shared: Path) -> None:
    oracle = json.loads((shared / "oracles/rating/01_vasicek_lhp.json").read_text())
    assert len(oracle["cases"]) >= 12
    for case in oracle["cases"]:
        pd, rho = case["pd"], case["rho"]
        for x, expected in case["cdf"].items():
            assert abs(vasicek_cdf(float(x), pd, rho) - expected) <= ORACLE_TOLERANCE, (pd, rho, x)
        for q, expected in case["quantile"].items():
            assert abs(vasicek_quantile(float(q), pd, rho) - expected) <= ORACLE_TOLERANCE, (pd, rho, q)
        assert abs(vasicek_std(pd, rho) - case["std"]) <= ORACLE_TOLERANCE, (pd, rho)
        # A large pool defaults at x exactly when the factor is the quantile of 1 - P(share <= x).
        for q, expected in case["quantile"].items():
            assert abs(conditional_pd(pd, rho, -_normal_quantile(float(q))) - expected) <= ORACLE_TOLERANCE


def _normal_quantile(q: float) -> float:
    return NormalDist().inv_cdf(q)


@pytest.mark.parametrize("pd", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("rho", [0.02, 0.2])
def test_conditional_pd_averages_to_the_unconditional(pd: float, rho: float) -> None:
    nodes, weights = hermegauss(80)
    assert np.sum(weights / weights.sum() * conditional_pd(pd, rho, nodes)) == pytest.approx(pd, abs=1e-12)


def test_a_low_factor_is_bad() -> None:
    assert conditional_pd(0.05, 0.1, -2.0) > conditional_pd(0.05, 0.1, 0.0) > conditional_pd(0.05, 0.1, 2.0)


def test_arguments_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rho: 1.0 is outside \[0, 1\)"):
        conditional_pd(0.1, 1.0, 0.0)
    with pytest.raises(ValueError, match=r"pd: 0.0 is outside \(0, 1\)"):
        vasicek_std(0.0, 0.1)


@pytest.mark.shared
def test_the_simulator_defaults_at_the_conditional_probability_of_the_oracle(shared: Path) -> None:
    """Many equal loans at fixed factors: the share that defaults is the oracle's quantile, within 4 binomial errors."""
    loans = 40_000
    oracle = json.loads((shared / "oracles/rating/01_vasicek_lhp.json").read_text())
    for case in oracle["cases"]:
        pd, rho = case["pd"], case["rho"]
        hazard = np.array([[-np.log1p(-pd)]])
        model = model_of(hazard, np.zeros((1, 1)), ("A",), asset_correlation=rho)
        quantiles = {float(q): share for q, share in case["quantile"].items()}
        factors = np.zeros((len(quantiles), len(FACTORS)))
        factors[:, FACTORS.index("market")] = [-_normal_quantile(q) for q in quantiles]
        scenarios = ScenarioSet(
            seed=11, first=0, names=FACTORS, factors=factors, weights=np.ones(len(quantiles)), proposal="normal"
        )
        shares = simulate(equal_loans(loans), model, scenarios).default.sum(axis=(0, 1)) / loans
        for share, expected in zip(shares, quantiles.values(), strict=True):
            error = np.sqrt(expected * (1 - expected) / loans)
            assert abs(share - expected) <= 4 * error, (pd, rho, share, expected)
