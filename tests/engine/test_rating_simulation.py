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

from pooling.engine.flows import COLUMNS, PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine import portfolio
from rating.engine.hazards import hazard_incidence
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks
from rating.engine.simulation import Engine, simulate
from rating.engine.statistics import weighted_mean
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of
from tests.engine.simulation_reference import reference

SHARE_TOLERANCE = 1e-12  # of the cut-off balance, rounding of float64 sums


def _small_model(**changes: object) -> CreditModel:
    months = np.arange(1, 31)
    default = np.array([[0.01], [0.02], [0.04]]) * np.minimum(months, 8)[None] / 8
    prepayment = np.array([[0.03], [0.02], [0.015]]) * np.ones((1, 30))
    shocks = {"pd_level_sigma": 0.3, "severity_sigma": 0.2, "prepayment_sigma": 0.4, "prepayment_link": 0.2}
    return model_of(default, prepayment, ("A", "B", "C"), **(shocks | changes))


VARIANTS: dict[str, dict[str, object]] = {
    "one factor": {},
    "no lags": {"charge_off_lag": 0, "recovery_lag": 0},
    "late charge-off": {"charge_off_lag": 6, "recovery_lag": 1},
    "sectors": {"sectors": ("North", "South"), "sector_share": 0.4, "sector_correlation": ((1.0, 0.3), (0.3, 1.0))},
    "Student-t": {"copula": "student_t", "degrees_of_freedom": 4.0},
    "a market that moves": {"factor_persistence": 0.7, "asset_correlation": 0.2},
    "severity by band, loan and market": {
        "severity_bands": (0.5, 0.7, 0.95),
        "severity_noise": 0.6,
        "severity_link": 0.3,
        "severity_level_sigma": 0.1,
    },
    "uncertain correlation": {"correlation_sigma": 0.5},
    "independent": {"asset_correlation": 0.0, "pd_level_sigma": 0.0},
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_agrees_with_the_loan_by_loan_reference(name: str, compiled: bool) -> None:
    loans, model = mixed_loans(150, seed=len(name)), _small_model(**VARIANTS[name])
    scenarios = ScenarioSet.of_model(model, 4, seed=4)
    flows = simulate(loans, model, scenarios, engine="by_loan", compiled=compiled)
    assert flows.groups == ("east", "west")
    assert flows.default.sum() > 0
    assert flows.prepayment.sum() > 0
    for s in range(len(scenarios)):
        for column, value in reference(loans, model, scenarios, s).items():
            scale = 1.0 if column in ("coupon", "count") else loans.balance.sum()
            # Tables of the compiled loops are good to 1e-7; what they decide are months, which agree exactly.
            tolerance = 1e-7 if column == "recovery" and model.severity_noise else 1e-11
            assert np.abs(getattr(flows, column)[..., s] - value).max() / scale < tolerance, (column, s)


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
    flows = simulate(pool, model, scenarios, engine="by_loan")
    for name, value in reference(pool, model, scenarios, 0).items():
        scale = 1.0 if name in ("coupon", "count") else pool.balance.sum()
        assert np.abs(getattr(flows, name)[..., 0] - value).max() / scale < 1e-11, name
    assert flows.check() <= SHARE_TOLERANCE


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_both_ways_of_drawing_have_one_law(name: str, compiled: bool) -> None:
    # Same systematic draws, other loans' own: the mean of every monthly sum agrees within its sampling error.
    loans, model = mixed_loans(400, seed=2), _small_model(**VARIANTS[name])
    scenarios = ScenarioSet.of_model(model, 600, seed=11, proposal="normal")
    event = simulate(loans, model, scenarios, engine="exact", compiled=compiled)
    by_loan = simulate(loans, model, scenarios, engine="by_loan")
    for column in ("interest", "scheduled_principal", "prepayment", "default", "recovery", "performing", "count"):
        gap = (getattr(event, column) - getattr(by_loan, column)).sum(axis=0)
        error = gap.std(axis=1) / np.sqrt(len(scenarios))
        z = np.abs(gap.mean(axis=1)) / np.where(error > 0, error, 1.0)
        assert z.max() < 4.5, (column, int(z.argmax()), float(z.max()))


def test_identities_and_full_accounting_hold_on_every_path() -> None:
    loans, model = mixed_loans(400, seed=2), _small_model()
    scenarios = ScenarioSet.draw(64, seed=9)
    flows = simulate(loans, model, scenarios)
    assert flows.check() <= SHARE_TOLERANCE
    opening = flows.opening_balance[:, None]
    out = flows.principal.sum(axis=1) + flows.charge_off.sum(axis=1)
    assert np.abs(out - opening).max() / opening.sum() <= SHARE_TOLERANCE
    severity = scenario_shocks(model, scenarios).severity[:, 0]
    recovered = flows.charge_off.sum(axis=1) * (1 - severity)
    assert np.abs(flows.recovery.sum(axis=1) - recovered).max() / opening.sum() <= SHARE_TOLERANCE
    assert (flows.performing >= 0).all()
    assert not flows.performing[:, -1].any()
    assert not flows.count[:, -1].any()


@pytest.mark.parametrize("engine", ["exact", "by_loan"])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_slice_of_scenarios_gives_the_columns_of_the_whole(engine: Engine, compiled: bool) -> None:
    loans, model = mixed_loans(300, seed=3), _small_model()
    scenarios = ScenarioSet.draw(80, seed=6)
    whole = simulate(loans, model, scenarios, engine=engine, compiled=compiled, threads=3)
    joined = PoolFlows.concatenate(
        [
            simulate(loans, model, scenarios.slice(a, b), engine=engine, compiled=compiled)
            for a, b in ((0, 5), (5, 6), (6, 80))
        ]
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


def test_stream_groups_and_thinned_buckets_keep_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    loans, model = mixed_loans(400, seed=8), _small_model()
    scenarios = ScenarioSet.draw(600, seed=6, proposal="normal")
    whole = simulate(loans, model, scenarios)
    monkeypatch.setattr(portfolio, "GROUP_LOANS", 37)
    monkeypatch.setattr(portfolio, "MAX_BUCKETS", 3)
    for compiled in (True, False):
        cut = simulate(loans, model, scenarios, compiled=compiled)
        assert cut.check() <= SHARE_TOLERANCE
        gap = (whole.default - cut.default).sum(axis=(0, 1))
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(scenarios))


def test_a_what_if_moves_no_other_loan() -> None:
    loans, model, scenarios = mixed_loans(60, seed=8), _small_model(), ScenarioSet.draw(16, seed=6)
    fewer = loans.take(np.arange(60) != 17)
    one = loans.take(np.arange(60) == 17)
    parts = [simulate(each, model, scenarios, horizon=40, engine="by_loan") for each in (loans, fewer, one)]
    gap = parts[0].default.sum(axis=0) - parts[1].default.sum(axis=0) - parts[2].default.sum(axis=0)
    assert np.abs(gap).max() / loans.balance.sum() <= SHARE_TOLERANCE


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
    growth = portfolio.accumulation(np.array([0.12]), 24)[0]
    factor = 1 - growth / growth[24]
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
@pytest.mark.parametrize(("engine", "compiled"), [("exact", True), ("exact", False), ("by_loan", True)])
def test_finite_pool_matches_the_oracle_within_four_standard_errors(
    shared: Path, engine: Engine, compiled: bool
) -> None:
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
            flows = simulate(equal_loans(n), model, scenarios, engine=engine, compiled=compiled)
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
