"""Conditional default probabilities and the large-pool distribution."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from rating.engine.copula import conditional_pd, vasicek_cdf, vasicek_quantile, vasicek_std

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
