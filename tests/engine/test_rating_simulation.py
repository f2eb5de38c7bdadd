"""The simulation against a loan-by-loan reference, an exact oracle, and its own promises on bytes."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pooling.engine.flows import COLUMNS, PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine import simulation
from rating.engine.hazards import hazard_incidence
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import horizon_of, loan_draws, scenario_shocks, simulate
from rating.engine.statistics import weighted_mean
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

BUCKETS = 4
SHARE_TOLERANCE = 1e-12  # of the cut-off balance, rounding of float64 sums


def _small_model(**changes: object) -> CreditModel:
    months = np.arange(1, 31)
    default = np.array([[0.01], [0.02], [0.04]]) * np.minimum(months, 8)[None] / 8
    prepayment = np.array([[0.03], [0.02], [0.015]]) * np.ones((1, 30))
    shocks = {"pd_level_sigma": 0.3, "severity_sigma": 0.2, "prepayment_sigma": 0.4, "prepayment_link": 0.2}
    return model_of(default, prepayment, ("A", "B", "C"), **(shocks | changes))


def _reference(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, s: int) -> dict[str, np.ndarray]:
    """One scenario, loan by loan and month by month, with the balances of an ordinary amortisation schedule."""
    months, names = horizon_of(loans, model), sorted(set(loans.group))
    out = {item: np.zeros((len(names), months)) for item in COLUMNS}
    out["delinquent"] = np.zeros((len(names), BUCKETS, months))
    weighted_rate, opening = np.zeros((len(names), months)), np.zeros((len(names), months))
    shocks = scenario_shocks(model, scenarios)
    market, rho = shocks["market"][s], model.asset_correlation
    uniform, exponential = loan_draws(scenarios.seed, scenarios.first + s, len(loans))
    for i in range(len(loans)):
        g, row = names.index(loans.group[i]), int(model.assign(loans)[i])
        latent = math.sqrt(rho) * market + math.sqrt(1 - rho) * norm.ppf(uniform[i])
        clock = -norm.logsf(latent)
        r, left = loans.rate[i] / 12, int(loans.remaining_term[i])
        payment = loans.balance[i] / left if r == 0 else loans.balance[i] * r / (1 - (1 + r) ** -left)
        balance, default_hazard, prepayment_hazard = loans.balance[i], 0.0, 0.0
        for t in range(left):
            month = min(int(loans.age[i]) + t, model.default_hazard.shape[1] - 1)
            default_hazard += shocks["default"][s] * model.default_hazard[row, month]
            prepayment_hazard += shocks["prepayment"][s] * model.prepayment_hazard[row, month]
            opening[g, t] += balance
            weighted_rate[g, t] += balance * loans.rate[i]
            if default_hazard >= clock:
                _default(out, g, t, balance, float(shocks["severity"][s]), model)
                break
            interest = balance * r
            principal = payment - interest if t < left - 1 else balance
            out["interest"][g, t] += interest
            out["scheduled_principal"][g, t] += principal
            balance -= principal
            if prepayment_hazard > exponential[i]:
                out["prepayment"][g, t] += balance
                break
            out["performing"][g, t] += balance
            out["count"][g, t] += t < left - 1
    out["coupon"] = np.divide(weighted_rate, opening, out=np.zeros_like(opening), where=opening > 0)
    return out


def _default(out: dict[str, np.ndarray], g: int, t: int, balance: float, severity: float, model: CreditModel) -> None:
    out["default"][g, t] += balance
    for since in range(model.charge_off_lag):
        out["delinquent"][g, min(since, BUCKETS - 1), t + since] += balance
        out["count"][g, t + since] += 1
    out["charge_off"][g, t + model.charge_off_lag] += balance
    out["defaulted"][g, t + model.charge_off_lag :] += balance
    out["recovery"][g, t + model.charge_off_lag + model.recovery_lag] += balance * (1 - severity)


@pytest.mark.parametrize(("charge_off_lag", "recovery_lag"), [(4, 6), (0, 0), (6, 1)])
def test_agrees_with_the_loan_by_loan_reference(charge_off_lag: int, recovery_lag: int) -> None:
    loans = mixed_loans(150, seed=charge_off_lag + 1)
    model = _small_model(charge_off_lag=charge_off_lag, recovery_lag=recovery_lag)
    scenarios = ScenarioSet.draw(8, seed=4)
    flows = simulate(loans, model, scenarios)
    assert flows.groups == ("east", "west")
    assert flows.default.sum() > 0
    assert flows.prepayment.sum() > 0
    for s in range(len(scenarios)):
        expected = _reference(loans, model, scenarios, s)
        for name, value in expected.items():
            scale = 1.0 if name in ("coupon", "count") else loans.balance.sum()
            assert np.abs(getattr(flows, name)[..., s] - value).max() / scale < 1e-11, (name, s)


@settings(max_examples=15, deadline=None)
@given(
    loans=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    index=st.integers(0, 60),
    rho=st.sampled_from([0.0, 0.03, 0.4]),
    level=st.sampled_from([0.0, 0.5]),
)
def test_agrees_with_the_reference_on_any_small_pool(
    loans: int, seed: int, index: int, rho: float, level: float
) -> None:
    pool, model = mixed_loans(loans, seed), _small_model(asset_correlation=rho, pd_level_sigma=level)
    scenarios = ScenarioSet.draw(64, seed=seed).slice(index, index + 1)
    flows = simulate(pool, model, scenarios)
    for name, value in _reference(pool, model, scenarios, 0).items():
        scale = 1.0 if name in ("coupon", "count") else pool.balance.sum()
        assert np.abs(getattr(flows, name)[..., 0] - value).max() / scale < 1e-11, name
    assert flows.check() <= SHARE_TOLERANCE


def test_identities_and_full_accounting_hold_on_every_path() -> None:
    loans, model = mixed_loans(400, seed=2), _small_model()
    scenarios = ScenarioSet.draw(64, seed=9)
    flows = simulate(loans, model, scenarios)
    assert flows.check() <= SHARE_TOLERANCE
    opening = flows.opening_balance[:, None]
    out = flows.principal.sum(axis=1) + flows.charge_off.sum(axis=1)
    assert np.abs(out - opening).max() / opening.sum() <= SHARE_TOLERANCE
    severity = scenario_shocks(model, scenarios)["severity"]
    recovered = flows.charge_off.sum(axis=1) * (1 - severity)
    assert np.abs(flows.recovery.sum(axis=1) - recovered).max() / opening.sum() <= SHARE_TOLERANCE
    assert (flows.performing >= 0).all()
    assert not flows.performing[:, -1].any()
    assert not flows.count[:, -1].any()


def test_a_slice_of_scenarios_gives_the_columns_of_the_whole() -> None:
    loans, model = mixed_loans(300, seed=3), _small_model()
    scenarios = ScenarioSet.draw(32, seed=6)
    whole = simulate(loans, model, scenarios)
    joined = PoolFlows.concatenate(
        [simulate(loans, model, scenarios.slice(a, b)) for a, b in ((0, 5), (5, 6), (6, 32))]
    )
    for item in COLUMNS:
        assert getattr(whole, item).tobytes() == getattr(joined, item).tobytes(), item


def test_row_order_does_not_matter() -> None:
    loans, model, scenarios = mixed_loans(200, seed=5), _small_model(), ScenarioSet.draw(8, seed=6)
    order = np.random.default_rng(1).permutation(len(loans))
    shuffled = LoanArrays.sorted_by_id(**{f.name: getattr(loans, f.name)[order] for f in fields(loans)})
    assert (
        simulate(loans, model, scenarios).interest.tobytes() == simulate(shuffled, model, scenarios).interest.tobytes()
    )


def test_blocks_of_rates_change_only_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    loans, model, scenarios = mixed_loans(300, seed=8), _small_model(), ScenarioSet.draw(8, seed=6)
    whole = simulate(loans, model, scenarios)
    monkeypatch.setattr(simulation, "BLOCK_ELEMENTS", 36 * 3)
    blocked = simulate(loans, model, scenarios)
    for item in COLUMNS:
        assert np.allclose(getattr(whole, item), getattr(blocked, item), rtol=0, atol=1e-6), item
    assert blocked.check() <= SHARE_TOLERANCE


def test_without_hazards_the_pool_pays_its_schedule() -> None:
    # Level payment of 5,000 at 12 % over 18 months: 5000 x 0.01 / (1 - 1.01**-18) = 304.91 (annuity formula).
    loans = equal_loans(1, balance=5000.0, rate=0.12, remaining=18)
    flows = simulate(loans, model_of(np.zeros((1, 1)), np.zeros((1, 1)), ("A",)), ScenarioSet.draw(2, seed=1))
    paid = (flows.interest + flows.scheduled_principal)[0, :18, 0]
    assert np.allclose(paid, 304.91, atol=0.005)
    assert np.ptp(paid) < 1e-9
    assert flows.months == 18 + 4 + 6
    assert not flows.default.any()
    assert not flows.prepayment.any()


def test_a_seasoned_loan_follows_its_curve_from_its_age() -> None:
    hazard = np.zeros((1, 36))
    hazard[0, 10:12] = 50.0
    loans = equal_loans(3, remaining=36)
    aged = LoanArrays(**{f.name: getattr(loans, f.name) for f in fields(loans)} | {"age": np.array([0, 10, 20])})
    flows = simulate(aged, model_of(hazard, np.zeros((1, 36)), ("A",)), ScenarioSet.draw(4, seed=1))
    missed = np.argwhere(flows.default[0, :, 0] > 0)[:, 0]
    # Hazard lies in months 11 and 12 on book: month 11 after closing for the new loan, month 1 for the one of
    # age 10, never for the one that has passed it.
    assert missed.tolist() == [0, 10]


def test_simulated_incidences_are_those_of_the_hazards() -> None:
    # Independent loans (rho = 0): expected shares by month in closed form, one long scenario set.
    rng = np.random.default_rng(3)
    default, prepayment = rng.uniform(0.0, 0.03, (1, 24)), rng.uniform(0.0, 0.05, (1, 24))
    loans = equal_loans(4000, remaining=24)
    model = model_of(default, prepayment, ("A",), asset_correlation=0.0, charge_off_lag=0, recovery_lag=0)
    scenarios = ScenarioSet.draw(16, seed=2, proposal="normal")
    flows = simulate(loans, model, scenarios)
    # Balances are undone by the schedule: a default in month t carries the factor of t - 1.
    factor = 1 - simulation.accumulation(np.array([0.12]), 24)[0] / simulation.accumulation(np.array([0.12]), 24)[0, 24]
    found_default = np.cumsum(flows.default[0].mean(axis=1) / factor[:24]) / 4000
    found_prepaid = np.cumsum(flows.prepayment[0, :23].mean(axis=1) / factor[1:24]) / 4000
    expected_default, expected_prepaid = hazard_incidence(default[0], prepayment[0])
    error = np.sqrt(0.25 / (4000 * 16))
    assert np.abs(found_default - expected_default).max() < 4 * error
    assert np.abs(found_prepaid - expected_prepaid[:23]).max() < 4 * error


def test_a_short_horizon_cuts_the_tail() -> None:
    loans, model, scenarios = mixed_loans(100, seed=4), _small_model(), ScenarioSet.draw(4, seed=6)
    whole, short = simulate(loans, model, scenarios), simulate(loans, model, scenarios, horizon=7)
    for item in COLUMNS:
        assert np.array_equal(getattr(short, item), getattr(whole, item)[..., :7, :]), item
    with pytest.raises(ValueError, match="horizon: 0 months"):
        simulate(loans, model, scenarios, horizon=0)


def test_scenarios_without_a_market_factor_are_refused() -> None:
    with pytest.raises(ValueError, match="no 'market' factor"):
        simulate(equal_loans(2), _small_model(), ScenarioSet.draw(2, seed=1, names=("severity",)))


@pytest.mark.shared
def test_finite_pool_matches_the_oracle_within_four_standard_errors(shared: Path) -> None:
    oracle = json.loads((shared / "oracles/rating/03_finite_homogeneous_pool.json").read_text())
    for case in oracle["cases"]:
        n, pd, size = case["n"], case["pd"], 4096
        model = model_of(
            np.array([[-np.log1p(-pd)]]),
            np.zeros((1, 1)),
            ("A",),
            asset_correlation=case["rho"],
            severity_mean=case["lgd"],
            charge_off_lag=0,
            recovery_lag=0,
        )
        # Bullet loans: one payment left, so a default loses the whole balance times LGD.
        for proposal in ("normal", "wide"):
            scenarios = ScenarioSet.draw(size, seed=20, names=("market",), proposal=proposal)
            flows = simulate(equal_loans(n), model, scenarios)
            defaults = np.rint(flows.default.sum(axis=(0, 1)))
            mean, error = weighted_mean(defaults, scenarios.weights)
            assert abs(mean - case["mean"]) <= 4 * error, (n, pd, proposal)
            loss = flows.loss.sum(axis=(0, 1)) / n
            for name, expected in case["tranche_el"].items():
                low, high = (float(item) for item in name.split("-"))
                found, error = weighted_mean(np.clip((loss - low) / (high - low), 0, 1), scenarios.weights)
                # One part in a million: where no scenario may reach the class the error itself is not seen.
                assert abs(found - expected) <= max(4 * error, 1e-6), (n, pd, proposal, name)
            if proposal == "normal":
                for k, expected in enumerate(case["pmf_first_25"]):
                    error = math.sqrt(expected * (1 - expected) / size)
                    assert abs((defaults == k).mean() - expected) <= 4 * error, (n, pd, k)
