"""Residual certificate: three values side by side, IRR quantiles, roll-forward, pricing weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from pricing.engine.residual import (
    effective_size,
    price_weights,
    roll_forward,
    value_residual,
    weighted_quantiles,
)
from pricing.market import default_snapshot

SNAPSHOT = default_snapshot()
BASE = np.linspace(0, 200, 48)


def test_three_values_of_a_certain_cash_flow() -> None:
    paths = np.repeat(BASE[:, None], 64, axis=1)
    value = value_residual(
        paths, np.ones(64), BASE, SNAPSHOT, pool_value=10_000.0, class_values={"A": 5_000.0, "B": 1_500.0}
    )
    years = np.arange(1, 49) / 12
    assert value.scenario_value == pytest.approx(BASE @ SNAPSHOT.curve.discount(years), rel=1e-12)
    assert value.scenario_value_se == pytest.approx(0, abs=1e-9)
    assert value.pool_less_classes == 3_500.0
    assert value.base_value == pytest.approx(sum(BASE / (1 + 0.097 / 2) ** (2 * years)), rel=1e-12)
    assert value.mean_cash == pytest.approx(BASE.sum())
    # Every path returns the residual yield itself: 9.7 % bond-equivalent is 1.0485^2 - 1 effective.
    assert list(value.irr_quantiles.values()) == pytest.approx([1.0485**2 - 1] * 5, abs=1e-12)


def test_liquidity_and_yield_lower_the_values_they_belong_to() -> None:
    paths = np.repeat(BASE[:, None], 4, axis=1)
    plain = value_residual(paths, np.ones(4), BASE, SNAPSHOT)
    dearer = value_residual(paths, np.ones(4), BASE, SNAPSHOT, liquidity_spread=0.02, residual_yield=0.15)
    assert dearer.scenario_value < plain.scenario_value
    assert dearer.base_value < plain.base_value
    assert plain.pool_less_classes is None
    assert value_residual(paths, np.ones(4), BASE, replace(SNAPSHOT, residual_yield=0.15)).base_value == (
        dearer.base_value
    )


def test_irr_quantiles_by_weight_and_total_loss_as_minus_one() -> None:
    paths = np.zeros((12, 3))
    paths[11] = [0.0, 100.0, 121.0]
    value = value_residual(paths, np.array([1.0, 2.0, 7.0]), paths[:, 1], SNAPSHOT, irr_price=100.0)
    # Cumulative weights 0.1, 0.3, 1.0 over one-year returns of -100 %, 0 % and 21 %.
    assert list(value.irr_quantiles.values()) == pytest.approx([-1.0, 0.0, 0.21, 0.21, 0.21], abs=1e-12)


def test_weighted_quantiles_invert_the_weighted_distribution() -> None:
    values, weights = [3.0, 1.0, 2.0], [1.0, 1.0, 2.0]
    assert weighted_quantiles(values, weights, [0.0, 0.25, 0.26, 0.75, 0.76, 1.0]).tolist() == [
        1,
        1,
        2,
        2,
        3,
        3,
    ]


def test_roll_forward_accretes_the_base_value_to_zero() -> None:
    value = value_residual(np.repeat(BASE[:, None], 2, axis=1), np.ones(2), BASE, SNAPSHOT)
    roll = roll_forward(BASE, SNAPSHOT.residual_yield)
    assert roll.opening[0] == pytest.approx(value.base_value, rel=1e-12)
    assert roll.opening + roll.accretion - roll.cash == pytest.approx(roll.closing, abs=1e-9)
    assert roll.opening[1:] == pytest.approx(roll.closing[:-1])
    assert roll.closing[-1] == 0


def test_pricing_weights_shift_default_probabilities_as_the_wang_transform_says() -> None:
    # Phi(Phi^-1(PD) + sqrt(rho) theta), notes/pricing.md section 3 A, by a fine quadrature over the factor.
    z = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    pd, rho, theta = 0.08, 0.15, 0.5
    conditional = norm.cdf((norm.ppf(pd) - np.sqrt(rho) * z) / np.sqrt(1 - rho))
    weights = price_weights(z, theta)
    assert weights.mean() == pytest.approx(1, abs=1e-12)
    assert (weights * conditional).mean() == pytest.approx(norm.cdf(norm.ppf(pd) + np.sqrt(rho) * theta), abs=1e-5)
    # About n exp(-theta^2): 78 % at 0.5.
    assert effective_size(weights) / len(z) == pytest.approx(np.exp(-(theta**2)), abs=1e-3)


def test_bad_arguments_are_named() -> None:
    paths = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"cash: -1\.0 is negative"):
        value_residual(-paths, np.ones(2), np.ones(3), SNAPSHOT)
    with pytest.raises(ValueError, match="pool_value: give it together with class_values"):
        value_residual(paths, np.ones(2), np.ones(3), SNAPSHOT, pool_value=1.0)
    with pytest.raises(ValueError, match=r"cash: shape \(3, 2\) with weights \(3,\)"):
        value_residual(paths, np.ones(3), np.ones(3), SNAPSHOT)
