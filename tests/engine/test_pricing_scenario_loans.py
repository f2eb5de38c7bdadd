"""View A of loans: closed form, sums over scenarios loan by loan, and the simulated pool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors
from pricing.engine.scenario_loans import loan_cells, loan_values
from pricing.engine.scenario_pricing import risk_weights, tilted_probability
from rating.engine.curves import documented_model
from rating.engine.exact import quantile
from rating.engine.model import CreditModel
from rating.engine.portfolio import cumulative_curves
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks, sector_index
from rating.engine.simulation import horizon_of, rating_scenarios, simulate
from rating.engine.statistics import weighted_mean
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of
from tests.engine.test_pricing_scenario import gauss

INTERPOLATED = 1e-8  # of the balance
NOISE = 4.0


def _discount(months: int, rate: float = 0.05) -> Any:
    return np.exp(-rate * np.arange(1, months + 1) / 12)


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.5])
def test_a_loan_of_one_month_is_worth_its_closed_form(theta: float) -> None:
    """One payment, one factor: D b (1 + r / 12) (1 - PD*) + D_lag b PD* (1 - severity), PD* = tilted PD."""
    hazard = -np.log(1 - 0.04)
    model = model_of(np.array([[hazard]]), np.array([[0.0]]), ("A",), asset_correlation=0.12, severity_mean=0.7)
    loans = equal_loans(3, balance=1000.0, rate=0.24, remaining=1)
    lag = model.charge_off_lag + model.recovery_lag
    discount, scenarios = _discount(1 + lag), gauss()

    (values,) = loan_values(loans, model, scenarios, [risk_weights(scenarios, theta)], discount)

    pd = float(tilted_probability(0.04, 0.12, theta))
    assert abs(pd - norm.cdf(norm.ppf(0.04) + np.sqrt(0.12) * theta)) < 1e-15
    expected = discount[0] * 1000 * 1.02 * (1 - pd) + discount[lag] * 1000 * pd * 0.3
    assert np.abs(values - expected).max() < 1e-6


def _by_scenario(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, discount: Any, i: int) -> Any:
    """(S,) expected present value of loan i given each scenario, month by month: the reference."""
    shocks, cell, sector = scenario_shocks(model, scenarios), model.assign(loans), sector_index(model, loans)
    months, lag = int(loans.remaining_term.max()), model.charge_off_lag + model.recovery_lag
    default, curve = cumulative_curves(model.default_hazard, cell, loans.age, months)
    prepayment, pace = cumulative_curves(model.prepayment_hazard, cell, loans.age, months)
    threshold = quantile(model, -np.expm1(-shocks.default[:, None] * default[curve[i]])) * shocks.mixing[:, None]
    failed = ndtr((threshold - shocks.score[:, sector[i], 0][:, None]) / shocks.own[:, None])
    kept = np.exp(-shocks.prepayment[:, None] * prepayment[pace[i]])
    owed = level_balance_factors(loans.rate[[i]], loans.remaining_term[[i]], months)[0] * loans.balance[i]
    back = 1.0 - shocks.severity[:, cell[i] // len(model.terms)]
    value = np.zeros(len(scenarios))
    for t in range(1, months + 1):
        paying = (1 - failed[:, t]) * kept[:, t - 1]
        prepaid = (1 - failed[:, t]) * (kept[:, t - 1] - kept[:, t]) * owed[t]
        interest = owed[t - 1] * loans.rate[i] / 12
        value += discount[t - 1] * (paying * (interest + owed[t - 1] - owed[t]) + prepaid)
        value += discount[t - 1 + lag] * (failed[:, t] - failed[:, t - 1]) * kept[:, t - 1] * owed[t - 1] * back
    return value


MODELS = {
    "documented": documented_model(),
    "student t": replace(documented_model(), copula="student_t", degrees_of_freedom=5.0),
    "severity by band": replace(
        documented_model(), severity_bands=tuple(np.linspace(0.3, 0.95, 7)), severity_noise=0.3, severity_link=0.2
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_loan_is_worth_the_weighted_mean_of_its_expected_cash(name: str) -> None:
    loans, model = mixed_loans(400, 11), MODELS[name]
    scenarios = rating_scenarios(loans, model, 256, 7)
    discount = _discount(horizon_of(loans, model))
    weightings = [risk_weights(scenarios, theta) for theta in (0.0, 0.5, 2.0)]

    values = loan_values(loans, model, scenarios, weightings, discount)

    for i in range(0, 400, 37):
        one = _by_scenario(loans, model, scenarios, discount, i)
        for weights, row in zip(weightings, values, strict=True):
            assert abs(weighted_mean(one, weights)[0] - row[i]) < INTERPOLATED * loans.balance[i]


def test_loans_that_cannot_default_or_prepay_are_worth_their_schedule() -> None:
    model = model_of(np.zeros((1, 36)), np.zeros((1, 36)), ("A",))
    loans, scenarios = equal_loans(2, balance=100.0, rate=0.12, remaining=36), gauss()
    discount = _discount(horizon_of(loans, model), 12 * np.log(1.01))  # the loan's own rate, monthly
    (values,) = loan_values(loans, model, scenarios, [risk_weights(scenarios, 1.0)], discount)
    assert np.abs(values - 100.0).max() < 1e-9


def test_loans_add_up_to_the_simulated_pool_within_the_luck_of_the_draw() -> None:
    loans, model = mixed_loans(500, 3), documented_model()
    scenarios = rating_scenarios(loans, model, 512, 5)
    discount = _discount(horizon_of(loans, model))
    flows = simulate(loans, model, scenarios)
    simulated = discount @ flows.total_collections
    thetas = (0.0, 0.5, 1.0)
    weightings = [risk_weights(scenarios, theta) for theta in thetas]
    values = loan_values(loans, model, scenarios, weightings, discount)
    expected = sum(_by_scenario(loans, model, scenarios, discount, i) for i in range(len(loans)))
    luck = simulated - expected
    for weights, row in zip(weightings, values, strict=True):
        assert abs(weighted_mean(expected, weights)[0] - row.sum()) < INTERPOLATED * loans.balance.sum()
        difference, error = weighted_mean(luck, weights)
        assert abs(difference) <= NOISE * error
        assert error < 1e-3 * row.sum()  # so that the test can tell
    sums = values.sum(axis=1)
    assert sums[0] > sums[1] > sums[2]


def test_cells_hold_every_loan_once() -> None:
    loans, model = mixed_loans(300, 9), documented_model()
    scenarios = rating_scenarios(loans, model, 64, 1)
    values = loan_values(
        loans, model, scenarios, [scenarios.weights, risk_weights(scenarios, 1.0)], _discount(horizon_of(loans, model))
    )
    cells = loan_cells(loans, values)
    assert sum(cell.loans for cell in cells) == 300
    kinds = set(zip(loans.grade, loans.original_term.tolist(), strict=True))
    assert {(cell.grade, cell.term) for cell in cells} == kinds
    for w in range(2):
        assert abs(sum(cell.values[w] for cell in cells) - values[w].sum()) < 1e-6
    assert abs(sum(cell.balance for cell in cells) - loans.balance.sum()) < 1e-6


def test_a_moving_market_and_short_discount_factors_are_refused() -> None:
    loans, model = mixed_loans(20, 9), documented_model()
    scenarios = rating_scenarios(loans, model, 64, 1)
    with pytest.raises(ValueError, match="factors that last"):
        loan_values(loans, replace(model, factor_persistence=0.9), scenarios, [scenarios.weights], np.ones(100))
    with pytest.raises(ValueError, match=r"^discount: shape \(5,\)"):
        loan_values(loans, model, scenarios, [scenarios.weights], np.ones(5))
