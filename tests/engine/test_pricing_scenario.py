"""View A: weights of systematic risk, conservation under them, and weights against a simulation of the shifted law."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from pooling.deals import template, template_collateral, template_names
from pooling.engine.deal import DealSpec, default_template
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from pricing.engine.scenario_pricing import (
    PresentValues,
    class_values,
    conservation,
    payment_years,
    present_values,
    risk_weights,
    systematic_factor,
    tilt,
    tilted_probability,
    valued,
)
from pricing.market import default_snapshot
from rating.engine.curves import documented_model
from rating.engine.direction import pool_direction
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.engine.statistics import weighted_mean
from tests.engine.rating_pools import equal_loans, mixed_loans
from tests.engine.template_runs import ran

THETAS = (0.0, 0.25, 1.0, 2.0)
CONSERVED = 1e-10  # of the pool's value: what the marketplace promises
QUADRATURE = 1e-9  # 120 Gauss-Hermite nodes integrate a probit to far below this
NOISE = 4.0  # standard errors
NAMES = template_names()


def gauss(nodes: int = 120, name: str = "market") -> ScenarioSet:
    """One standard normal factor as quadrature nodes with their weights: expectations without noise."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    kept = weights > 1e-300
    points, weights = points[kept], weights[kept]
    return ScenarioSet(
        seed=0, first=0, names=(name,), factors=points[:, None], weights=weights / weights.mean(), proposal="normal"
    )


# ------------------------------------------------------------------------------------------------------------ weights
@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize(("pd", "rho"), [(0.001, 0.05), (0.03, 0.12), (0.10, 0.03), (0.40, 0.24)])
def test_the_marginal_pd_of_one_factor_is_shifted_by_root_rho_theta(pd: float, rho: float, theta: float) -> None:
    """Phi(Phi^-1(PD) + sqrt(rho) theta): notes on pricing, section 3 A; Wang (2000). Here by quadrature."""
    scenarios = gauss()
    z = systematic_factor(scenarios)
    conditional = norm.cdf((norm.ppf(pd) - np.sqrt(rho) * z) / np.sqrt(1 - rho))

    mean, _ = weighted_mean(conditional, risk_weights(scenarios, theta))

    expected = norm.cdf(norm.ppf(pd) + np.sqrt(rho) * theta)
    assert abs(mean - expected) < QUADRATURE
    assert abs(float(tilted_probability(pd, rho, theta)) - expected) < 1e-15


@pytest.mark.parametrize("theta", THETAS)
def test_the_priced_factor_has_mean_minus_theta_and_keeps_its_variance(theta: float) -> None:
    scenarios = gauss()
    weights = risk_weights(scenarios, theta)
    z = systematic_factor(scenarios)
    mean, _ = weighted_mean(z, weights)
    variance, _ = weighted_mean((z - mean) ** 2, weights)
    assert abs(mean + theta) < QUADRATURE
    assert abs(variance - 1.0) < QUADRATURE
    assert abs(weights.mean() - 1.0) < 1e-12


def test_weights_multiply_those_of_the_set_so_that_a_wide_set_prices_as_a_plain_one() -> None:
    for theta in (0.5, 1.0):
        for proposal in ("normal", "wide"):
            scenarios = ScenarioSet.draw(8192, seed=3, proposal=proposal)
            found = tilt(scenarios, theta)
            assert abs(found.mean + theta) < NOISE * found.mean_error
    # Notes on pricing, section 3 A: n e^(-theta^2), 78 % at one half, on a set of equal weights.
    plain = tilt(ScenarioSet.draw(16384, seed=3, proposal="normal"), 0.5)
    assert abs(plain.effective / 16384 - np.exp(-0.25)) < 0.01


def test_a_direction_of_the_pools_own_is_a_unit_vector_over_its_factors() -> None:
    model, loans = documented_model(), equal_loans(50, remaining=36)
    scenarios = ScenarioSet.of_model(model, 4096, seed=5, proposal="normal")
    own = systematic_factor(scenarios, pool_direction(loans, model))
    assert abs(own.std() - 1.0) < 0.01
    assert np.corrcoef(own, scenarios.factor("market"))[0, 1] > 0.3
    assert np.array_equal(systematic_factor(scenarios), scenarios.factor("market"))


@pytest.mark.parametrize("theta", [-0.1, 3.5, float("nan")])
def test_a_price_of_risk_out_of_range_is_refused(theta: float) -> None:
    with pytest.raises(ValueError, match=r"^theta: .* is outside \[0, 3\]"):
        risk_weights(gauss(), theta)


def test_a_set_without_the_priced_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="draws none of market"):
        risk_weights(gauss(name="severity"), 0.5)


# ------------------------------------------------------------------------------------------------------- conservation
SPEEDS = (0.0, 0.02, 0.08, 0.15, 0.35)


@cache
def _template(name: str, to_call: bool) -> tuple[DealSpec, DealFlows]:
    """A template on five paths, benign to disastrous, with the ledger."""
    spec, pool = template(name), template_collateral(name)
    flows = PoolFlows.concatenate([pool.flows(spec, cdr=speed) for speed in SPEEDS])
    program, options = compile_deal(spec, pool.balance_cents), pool.options(spec)
    return spec, execute(program, flows, ledger=True, to_call=to_call, **options)


def _five() -> ScenarioSet:
    market = np.array([1.5, 0.4, -0.3, -1.0, -2.5])
    return ScenarioSet(
        seed=0, first=0, names=("market",), factors=market[:, None], weights=np.array([0.7, 1.9, 1.1, 1.0, 0.3])
    )


def _discountings(deal: DealFlows) -> dict[str, Any]:
    years = payment_years(deal)
    days = np.array([(day - deal.closing).days for day in deal.dates])
    return {
        "none": np.ones_like(years),
        "treasury": default_snapshot().curve.discount(years),
        "flat 20 %": np.exp(-0.2 * years),
        "by days, negative": np.exp(0.01 * days / 365),
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("to_call", [True, False])
def test_every_template_conserves_value_under_any_theta_and_discounting(name: str, to_call: bool) -> None:
    """model.md, 18: PV(classes, residual, fees, hedge net) = PV(collections) + opening cash + account income."""
    spec, deal = _template(name, to_call)
    for discount in _discountings(deal).values():
        found = present_values(deal, spec, discount)
        assert np.abs(found.gap).max() < CONSERVED * found.of("collections").min()
        for theta in THETAS:
            kept = conservation(found, risk_weights(_five(), theta))
            assert kept.relative < CONSERVED
            assert kept.pool > 0


def test_no_line_of_the_identity_is_idle() -> None:
    """Where a line is worth anything on some template, leaving it out breaks the identity there."""
    worth: dict[str, float] = {}
    for name in NAMES:
        spec, deal = _template(name, True)
        found = present_values(deal, spec, np.exp(-0.06 * payment_years(deal)))
        pool = found.of("collections").mean()
        for kind in {line.kind for line in (*found.payees, *found.sources)}:
            worth[kind] = max(worth.get(kind, 0.0), float(np.abs(found.of(kind)).max() / pool))
    for kind in (
        "class", "residual", "fee", "hedge", "facility", "purchase", "collections", "opening", "income", "carry",
    ):  # fmt: skip
        assert worth[kind] > 1e-5, kind  # far above what the identity allows


def test_facilities_and_purchases_are_not_priced_without_their_ledger() -> None:
    for name in ("sme-deficiency", "merchant-revolving"):
        spec, deal = _template(name, True)
        with pytest.raises(ValueError, match="execute with ledger"):
            present_values(replace(deal, ledger=None), spec, np.ones(deal.months))


def test_whole_cents_mid_life_and_bad_factors_are_refused() -> None:
    spec, _, _, cents = ran("pass-through", mode="cents")
    with pytest.raises(ValueError, match="in float64"):
        present_values(cents, spec, np.ones(cents.months))
    spec, deal = _template("pass-through", True)
    with pytest.raises(ValueError, match=r"^discount: shape"):
        present_values(deal, spec, np.ones(3))
    with pytest.raises(ValueError, match="opening cash"):
        present_values(replace(deal, first_period=2), spec, np.ones(deal.months))


# ---------------------------------------------------------------------------------------------- spreads of their own
def test_class_specific_liquidity_opens_a_gap_that_grows_with_every_spread() -> None:
    spec, deal = _template("consumer-sequential", True)
    discount = np.exp(-0.04 * payment_years(deal))
    found, weights = present_values(deal, spec, discount), risk_weights(_five(), 0.5)
    common = {row.name: row.value for row in valued(found.payees, weights) if row.kind == "class"}
    none = class_values(deal, discount, dict.fromkeys(deal.names, 0.0))
    for name in deal.names:
        assert abs(weighted_mean(none[name], weights)[0] - common[name]) < 1e-9 * common[name]
        before = common[name]
        for level in (0.001, 0.005, 0.02):
            now, _ = weighted_mean(class_values(deal, discount, dict.fromkeys(deal.names, level))[name], weights)
            assert now < before
            before = now
    with pytest.raises(ValueError, match="is missing"):
        class_values(deal, discount, {})


def test_classes_and_residual_are_worth_less_at_every_higher_price_of_risk() -> None:
    spec, deal = _template("consumer-sequential", True)
    found = present_values(deal, spec, np.exp(-0.04 * payment_years(deal)))
    rows = [{row.name: row.value for row in valued(found.payees, risk_weights(_five(), theta))} for theta in THETAS]
    for name in (*deal.names, spec.residual.name):
        values = [row[name] for row in rows]
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0]


# -------------------------------------------------------------------------------------- re-weighting = re-simulation
def _priced(scenarios: ScenarioSet) -> PresentValues:
    loans, model = mixed_loans(600, 4), replace(documented_model(), name="shift")
    pool = round(float(loans.balance.sum()) * 100)
    spec = default_template(
        name="Shift", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
        first_payment="2026-03-10", legal_final="2032-03-10",
    ).with_solution(
        {name: int(share * pool / 100_000) * 100_000 for name, share in {"A": 0.80, "B": 0.10, "C": 0.06}.items()},
        {"A": 0.05, "B": 0.06, "C": 0.07},
    )  # fmt: skip
    deal = execute(compile_deal(spec, pool), simulate(loans, model, scenarios))
    return present_values(deal, spec, default_snapshot().curve.discount(payment_years(deal)))


def test_weighting_scenarios_equals_simulating_the_shifted_market() -> None:
    theta, model = 0.75, documented_model()
    drawn = ScenarioSet.of_model(model, 4096, seed=21, proposal="plain")
    other = ScenarioSet.of_model(model, 4096, seed=22, proposal="plain")
    factors = other.factors.copy()
    factors[:, other.names.index("market")] -= theta
    shifted = replace(other, factors=factors)
    weighted, plain = _priced(drawn), _priced(shifted)

    for left, right in zip((*weighted.payees, *weighted.sources[:1]), (*plain.payees, *plain.sources[:1]), strict=True):
        mean, error = weighted_mean(left.values, risk_weights(drawn, theta))
        again, error_again = weighted_mean(right.values, shifted.weights)
        assert abs(mean - again) <= NOISE * np.hypot(error, error_again), left.name
    # The test has the power to tell: without the weights the pool and the residual are far off.
    for kind in ("residual", "collections"):
        mean, error = weighted_mean(weighted.of(kind), drawn.weights)
        again, error_again = weighted_mean(plain.of(kind), shifted.weights)
        assert abs(mean - again) > 3 * NOISE * np.hypot(error, error_again)
