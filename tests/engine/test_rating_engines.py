"""Which engine is taken, and where a scenario set puts its points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rating.engine import simulation
from rating.engine.direction import conditional_loss, pool_direction
from rating.engine.exact import loops
from rating.engine.losses import pool_losses
from rating.engine.model import CreditModel
from rating.engine.scenarios import PROPOSALS, ScenarioSet
from rating.engine.simulation import Simulator, choose_engine, rating_scenarios, simulate
from rating.engine.statistics import weighted_mean
from tests.benchmarks.pools import benchmark_model, consumer_pool
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

SECTORS = ("North", "South")


def one_band(**changes: object) -> CreditModel:
    return model_of(np.full((1, 36), 0.004), np.full((1, 36), 0.01), ("A",), **changes)


def test_auto_draws_every_loan_of_a_small_pool_and_says_so() -> None:
    loans, model = mixed_loans(20, seed=1), one_band()
    choice = choose_engine(loans, model)
    assert (choice.name, choice.compiled) == ("exact", True)
    assert choice.words == "exact engine, Numba; 20 loans, fewer than 250,000: every loan is drawn"
    assert choose_engine(loans, model, "by_loan", False).words == "by_loan engine, NumPy; as asked for"


def test_auto_takes_the_granular_engine_for_a_large_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "GRANULAR_LOANS", 2_000)
    loans, model = consumer_pool(4_000, seed=1), benchmark_model()
    assert choose_engine(loans, model).name == "granular"
    assert choose_engine(loans, replace(model, factor_persistence=0.5)).name == "exact"
    scenarios = rating_scenarios(loans, model, 64, 3)
    flows = simulate(loans, model, scenarios)
    assert flows.check() <= 1e-12
    exact = simulate(loans, model, scenarios, engine="exact")
    assert not np.array_equal(flows.default, exact.default)
    gap, error = weighted_mean(pool_losses(flows) - pool_losses(exact), scenarios.weights)
    assert abs(gap) < 4 * error


def test_an_engine_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loans, model = mixed_loans(5, seed=1), one_band()
    with pytest.raises(ValueError, match="engine: 'magic' is none of auto, exact, granular, by_loan"):
        choose_engine(loans, model, "magic")  # type: ignore[arg-type]
    monkeypatch.setattr("rating.engine.exact.kernels", None)
    assert loops().__name__ == "rating.engine.fallback"
    assert not choose_engine(loans, model).compiled
    with pytest.raises(ValueError, match="compiled: Numba is not installed"):
        choose_engine(loans, model, compiled=True)


@pytest.mark.parametrize("engine", ["exact", "by_loan", "granular"])
def test_a_pool_of_one_loan(engine: simulation.Engine) -> None:
    flows = simulate(equal_loans(1, remaining=12), one_band(), ScenarioSet.draw(8, seed=1), engine=engine)
    assert flows.check() <= 1e-12
    assert np.allclose((flows.principal + flows.default).sum(axis=(0, 1)), 1.0)


def test_chunks_hold_the_columns_of_the_whole() -> None:
    loans, model = mixed_loans(50, seed=4), one_band()
    scenarios = ScenarioSet.draw(10, seed=2)
    simulator = Simulator(loans, model, choose_engine(loans, model))
    parts = list(simulator.chunks(scenarios, 4))
    assert [len(part) for part, _ in parts] == [4, 4, 2]
    assert np.concatenate([sums for _, sums in parts]).tobytes() == simulator.sums(scenarios).tobytes()


def test_the_direction_follows_the_pool() -> None:
    model = one_band(sectors=SECTORS, sector_share=0.5, asset_correlation=0.2, pd_level_sigma=0.3)
    pool = equal_loans(100, remaining=24)
    north = replace(pool, sector=np.full(100, "North"))
    found = pool_direction(north, model)
    assert sum(value**2 for value in found.values()) == pytest.approx(1.0, abs=1e-5)
    # All loans in the North: half of rho each on the market and on the North, nothing on the South.
    assert found["sector:South"] == 0.0
    assert found["sector:North"] == pytest.approx(found["market"], rel=0.05)
    assert found["pd_level"] < 0 < found["market"]
    assert found["severity"] == 0.0  # the model draws no severity
    assert pool_direction(pool, model)["sector:North"] == 0.0


def test_a_model_without_risk_keeps_the_usual_direction() -> None:
    model = model_of(np.zeros((1, 12)), np.zeros((1, 12)), ("A",))
    assert pool_direction(equal_loans(3, remaining=12), model) == {
        "market": 1.0, "pd_level": -1.0, "severity": 0.0, "prepayment": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_every_proposal_estimates_the_same_loss(proposal: str) -> None:
    model = one_band(sectors=SECTORS, sector_share=0.4, asset_correlation=0.2, pd_level_sigma=0.2)
    loans = replace(equal_loans(60, remaining=24), sector=np.array(["North", "South", ""] * 20))
    scenarios = ScenarioSet.of_model(
        model, 4_096, seed=5, proposal=proposal, direction=pool_direction(loans, model)  # type: ignore[arg-type]
    )
    loss = conditional_loss(loans, model, scenarios)
    mean, error = weighted_mean(loss, scenarios.weights)
    many = ScenarioSet.of_model(model, 2**17, seed=9, proposal="normal")
    expected, _ = weighted_mean(conditional_loss(loans, model, many), many.weights)
    assert abs(mean - expected) < 4 * error


def test_the_pools_own_direction_sharpens_the_tail_of_a_concentrated_pool() -> None:
    model = one_band(sectors=SECTORS, sector_share=0.8, asset_correlation=0.3)
    loans = replace(equal_loans(60, remaining=24), sector=np.full(60, "North"))
    errors = {}
    for name, direction in (("own", pool_direction(loans, model)), ("usual", {"market": 1.0})):
        found = []
        for seed in range(24):
            drawn = ScenarioSet.of_model(model, 256, seed=seed, direction=direction)
            tail = np.clip(conditional_loss(loans, model, drawn) - 0.5, 0.0, 0.2)
            found.append(weighted_mean(tail, drawn.weights)[0])
        errors[name] = float(np.std(found) / np.mean(found))
    assert errors["own"] < 0.5 * errors["usual"]


def test_an_antithetic_set_mirrors_and_needs_an_even_number() -> None:
    drawn = ScenarioSet.draw(6, seed=1, proposal="antithetic")
    assert np.array_equal(drawn.factors[0::2], -drawn.factors[1::2])
    with pytest.raises(ValueError, match="n: 5 scenarios, an antithetic set needs an even number"):
        ScenarioSet.draw(5, seed=1, proposal="antithetic")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sector_correlation": ((1.0, 0.9), (0.9, 1.0))}, None),
        ({"sector_correlation": ((1.0, 1.5), (1.5, 1.0))}, "not positive semi-definite, its smallest eigenvalue is -0"),
        ({"sector_correlation": ((1.0, 0.2), (0.1, 1.0))}, "not symmetric"),
        ({"sector_correlation": ((1.0, 0.2), (0.2, 0.9))}, "the diagonal must be 1"),
        ({"sector_correlation": ((1.0,),)}, r"shape \(1, 1\), expected \(2, 2\), one row a sector"),
        ({"copula": "clayton"}, "copula: 'clayton' is none of gaussian, student_t"),
        ({"copula": "student_t"}, "degrees_of_freedom: 0.0 under the student_t copula"),
        ({"degrees_of_freedom": 5.0}, "degrees_of_freedom: 5.0 under the gaussian copula"),
        ({"sector_share": 1.2}, r"sector_share: 1.2 is outside \[0, 1\]"),
        ({"factor_persistence": -0.1}, r"factor_persistence: -0.1 is outside \[0, 1\]"),
        ({"sectors": ("North", "North")}, "sectors: .* repeat a name"),
        ({"severity_bands": (0.5, 0.5)}, "severity_bands: 2 figures for 1 bands"),
        ({"severity_bands": (1.5,)}, "severity_bands: band 0 holds 1.5"),
        ({"correlation_sigma": float("nan")}, "correlation_sigma: nan is negative or not finite"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_is_refused_with_its_field(changes: dict[str, object], sentence: str | None) -> None:
    given = {"sectors": SECTORS, "sector_share": 0.3} | changes
    if sentence is None:
        assert CreditModel.from_json(one_band(**given).to_json()).content_hash() == one_band(**given).content_hash()
        return
    with pytest.raises(ValueError, match=sentence):
        one_band(**given)
