"""The granular engine against loan-by-loan expectations, an oracle, the exact engine, and its promises on bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, stdtrit

from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine import granular, layout
from rating.engine.exact import exact_sums
from rating.engine.granular import granular_blocks, granular_losses, granular_sums
from rating.engine.granular_bias import granular_bias
from rating.engine.granular_tables import GranularTables, basis, chebyshev, granular_tables
from rating.engine.model import CreditModel
from rating.engine.portfolio import build_portfolio
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks, scenario_shocks, sector_index
from rating.engine.simulation import horizon_of, pool_flows
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

SHARE_TOLERANCE = 1e-12  # of the cut-off balance, rounding of float64 sums
TIGHT = 1e-10  # interpolation error asked for where months are compared one by one
MONTH_TOLERANCE = 1e-6  # of a month's own figure

SUMS = {
    "opening": layout.OPENING,
    "coupon": layout.COUPON,
    "default": layout.DEFAULT,
    "interest": layout.INTEREST,
    "scheduled_principal": layout.SCHEDULED,
    "prepayment": layout.PREPAYMENT,
    "left": layout.LEFT,
    "missed": layout.MISSED,
    "recovered": layout.RECOVERED,
}
MODELS: dict[str, dict[str, Any]] = {
    "one factor": {},
    "levels and speeds": {"pd_level_sigma": 0.3, "prepayment_sigma": 0.4, "prepayment_link": 0.2},
    "sectors": {
        "sectors": ("North", "South"),
        "sector_share": 0.4,
        "sector_correlation": ((1.0, 0.3), (0.3, 1.0)),
        "asset_correlation": 0.15,
        "pd_level_sigma": 0.2,
    },
    "uncertain correlation": {"correlation_sigma": 0.4, "asset_correlation": 0.1},
    "severities by band": {"severity_bands": (0.4, 0.7, 0.95), "severity_sigma": 0.2, "severity_link": 0.1},
    "student_t": {"copula": "student_t", "degrees_of_freedom": 6.0, "asset_correlation": 0.1},
}


def _model(**changes: Any) -> CreditModel:
    months = np.arange(1, 31)
    default = np.array([[0.01], [0.02], [0.04]]) * np.minimum(months, 8)[None] / 8
    prepayment = np.array([[0.03], [0.02], [0.015]]) * np.minimum(months, 12)[None] / 12
    return model_of(default, prepayment, ("A", "B", "C"), **changes)


def _expected(loans: LoanArrays, model: CreditModel, shocks: Shocks, s: int) -> dict[str, np.ndarray]:
    """(G, T) conditional expectations of one scenario, loan by loan: amortisation schedule, hazards added up by month,
    probability of each way to leave."""
    names, months = sorted(set(loans.group)), int(loans.remaining_term.max())
    out = {name: np.zeros((len(names), months)) for name in SUMS}
    rows, sectors = model.assign(loans), sector_index(model, loans)
    for i in range(len(loans)):
        g, left, r = names.index(loans.group[i]), int(loans.remaining_term[i]), loans.rate[i] / 12
        month = np.minimum(loans.age[i] + np.arange(left), model.default_hazard.shape[1] - 1)
        default = shocks.default[s] * np.concatenate([[0.0], np.cumsum(model.default_hazard[rows[i], month])])
        speed = shocks.prepayment[s] * np.concatenate([[0.0], np.cumsum(model.prepayment_hazard[rows[i], month])])
        own_pd = -np.expm1(-default)
        quantile = np.full(left + 1, -np.inf)
        gaussian = model.copula == "gaussian"
        quantile[1:] = ndtri(own_pd[1:]) if gaussian else stdtrit(model.degrees_of_freedom, own_pd[1:])
        bad = ndtr((quantile * shocks.mixing[s] - shocks.score[s, sectors[i], 0]) / shocks.own[s])
        payment = loans.balance[i] / left if r == 0 else loans.balance[i] * r / (1 - (1 + r) ** -left)
        balance = np.empty(left + 1)
        balance[0] = loans.balance[i]
        for t in range(left):
            balance[t + 1] = balance[t] * (1 + r) - payment if t < left - 1 else 0.0
        stays, here = np.exp(-speed), slice(0, left)
        open_share = (1 - bad[:-1]) * stays[:-1]
        missed = np.diff(bad) * stays[:-1]
        pays = (1 - bad[1:]) * stays[:-1]
        severity = shocks.severity[s, rows[i] // len(model.terms)]
        out["opening"][g, here] += balance[:-1] * open_share
        out["coupon"][g, here] += balance[:-1] * open_share * loans.rate[i]
        out["default"][g, here] += balance[:-1] * missed
        out["interest"][g, here] += balance[:-1] * r * pays
        out["scheduled_principal"][g, here] += -np.diff(balance) * pays
        out["prepayment"][g, here] += balance[1:] * (1 - bad[1:]) * -np.diff(stays)
        ends = np.arange(1, left + 1) < left
        out["left"][g, here] += open_share - np.where(ends, (1 - bad[1:]) * stays[1:], 0.0)
        out["missed"][g, here] += missed
        out["recovered"][g, here] += balance[:-1] * missed * (1 - severity)
    return out


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_agrees_with_the_expectation_of_every_loan(name: str, compiled: bool) -> None:
    loans, model = mixed_loans(250, seed=5), _model(**MODELS[name])
    scenarios = ScenarioSet.of_model(model, 64, seed=8, proposal="normal").slice(7, 11)
    tables, shocks = granular_tables(loans, model, tolerance=TIGHT), scenario_shocks(model, scenarios)
    assert tables.error <= TIGHT
    sums = granular_sums(tables, model, scenarios, noise=False, compiled=compiled)
    for s in range(len(scenarios)):
        for item, value in _expected(loans, model, shocks, s).items():
            found = sums[s, :, SUMS[item]]
            # Beside its share a month may carry the rounding of the whole pool.
            rounding = SHARE_TOLERANCE * (len(loans) if item in ("left", "missed") else loans.balance.sum())
            gap = np.abs(found - value) - rounding
            assert (gap <= MONTH_TOLERANCE * value).all(), (item, s, (gap / np.maximum(value, 1e-300)).max())


@pytest.mark.parametrize("name", MODELS)
def test_the_usual_tables_keep_the_expected_loss_to_one_in_a_million(name: str) -> None:
    loans, model = mixed_loans(150, seed=6), _model(**MODELS[name])
    scenarios = ScenarioSet.of_model(model, 64, seed=8).slice(0, 16)
    shocks = scenario_shocks(model, scenarios)
    losses = granular_losses(granular_tables(loans, model), model, scenarios, noise=False)
    expected = np.zeros(len(scenarios))
    for s in range(len(scenarios)):
        sums = _expected(loans, model, shocks, s)
        expected[s] = sums["default"].sum() - sums["recovered"].sum()
    weight = scenarios.weights
    assert abs((losses.lifetime * weight).sum() / (expected * weight).sum() - 1) < 1e-6


@pytest.mark.shared
def test_gives_the_large_pool_distribution_of_the_oracle(shared: Path) -> None:
    oracle = json.loads((shared / "oracles" / "rating" / "01_vasicek_lhp.json").read_text())
    loans, points = equal_loans(50_000), 20_000
    grid = ndtri((np.arange(points) + 0.5) / points)
    for case in oracle["cases"]:
        hazard = -np.log1p(-np.array([[case["pd"]]]))
        model = model_of(hazard, np.zeros((1, 1)), ("A",), asset_correlation=case["rho"], severity_mean=1.0)
        tables = granular_tables(loans, model)

        def share(factor: np.ndarray, model: CreditModel = model, tables: GranularTables = tables) -> np.ndarray:
            scenarios = ScenarioSet(0, 0, ("market",), factor[:, None], np.ones(len(factor)))
            return granular_losses(tables, model, scenarios, noise=False).lifetime / len(loans)

        found = share(grid)
        for level, probability in case["cdf"].items():
            assert abs((found <= float(level)).mean() - probability) < 1e-4, (case["pd"], case["rho"], level)
        levels = np.array([float(level) for level in case["quantile"]])
        assert share(-ndtri(levels)) == pytest.approx(list(case["quantile"].values()), rel=1e-9)
        assert found.std() == pytest.approx(case["std"], rel=0.005)  # 20,000 midpoints miss some of the tail


def test_agrees_with_the_exact_engine_within_its_noise() -> None:
    loans = mixed_loans(40_000, seed=3)
    model = _model(**MODELS["sectors"], severity_bands=(0.4, 0.7, 0.95), prepayment_sigma=0.3)
    scenarios = ScenarioSet.of_model(model, 256, seed=4)
    exact = exact_sums(build_portfolio(loans, model), model, scenarios, scenario_shocks(model, scenarios))
    sums = granular_sums(granular_tables(loans, model), model, scenarios, noise=False)
    for name, row in SUMS.items():
        gap = (sums - exact)[:, :, row].sum(axis=2) * scenarios.weights[:, None]
        error = np.sqrt(np.square(gap).sum(axis=0))
        assert (np.abs(gap.sum(axis=0)) <= 4 * error).all(), name
    bias = granular_bias(loans, model, scenarios)
    assert abs(bias.relative) <= 4 * bias.standard_error
    assert bias.standard_error < 0.005


def test_noise_keeps_the_mean_and_gives_the_variance_of_independent_loans() -> None:
    # With the factors at their medians the number of defaults of equal loans is binomial (n, P).
    n, size = 30_000, 4_000
    model = model_of(np.full((1, 24), 0.02), np.zeros((1, 24)), ("A",), asset_correlation=0.1)
    loans = equal_loans(n, remaining=24, rate=0.0)
    scenarios = ScenarioSet(11, 0, ("market",), np.zeros((size, 1)), np.ones(size))
    tables = granular_tables(loans, model)
    number = granular_sums(tables, model, scenarios)[:, 0, layout.MISSED].sum(axis=1)
    share = float(ndtr(ndtri(-np.expm1(-0.48)) / np.sqrt(0.9)))
    variance = n * share * (1 - share)
    assert abs(number.mean() - n * share) <= 4 * np.sqrt(variance / size)
    # Standard error of a variance: sqrt(2 / size). Were months' shocks independent of what is left it would be n P,
    # 1.6 times as large.
    assert abs(number.var() / variance - 1) <= 4 * np.sqrt(2 / size)
    assert np.abs(np.corrcoef(number[:-1], number[1:])[0, 1]) <= 4 / np.sqrt(size)


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_identities_and_full_accounting_hold_on_every_path(name: str, noise: bool) -> None:
    loans, model = mixed_loans(300, seed=2), _model(**MODELS[name])
    scenarios = ScenarioSet.of_model(model, 128, seed=9)
    tables = granular_tables(loans, model)
    flows = _flows(loans, model, tables, granular_sums(tables, model, scenarios, noise=noise))
    assert flows.check() <= SHARE_TOLERANCE
    opening = flows.opening_balance[:, None]
    out = flows.principal.sum(axis=1) + flows.charge_off.sum(axis=1)
    assert np.abs(out - opening).max() / opening.sum() <= SHARE_TOLERANCE
    for column in ("default", "interest", "scheduled_principal", "prepayment", "performing", "recovery", "count"):
        assert (getattr(flows, column) >= -1e-9).all(), column
    assert np.abs(flows.count[:, -1]).max() < 1e-8
    assert np.abs(flows.performing[:, -1]).max() <= SHARE_TOLERANCE * opening.sum()
    # The first month's coupon is the pool's own weighted rate.
    for g, group in enumerate(flows.groups):
        mine = loans.group == group
        rate = np.average(loans.rate[mine], weights=loans.balance[mine])
        assert flows.coupon[g, 0] == pytest.approx(np.full(len(scenarios), rate), rel=1e-9)


def _flows(loans: LoanArrays, model: CreditModel, tables: GranularTables, sums: np.ndarray) -> PoolFlows:
    return pool_flows(tables, sums, model, horizon_of(loans, model))


def test_recoveries_follow_the_realised_default_of_their_band() -> None:
    loans = replace(mixed_loans(300, seed=4), grade=np.full(300, "B"))
    model = _model(severity_bands=(0.2, 0.6, 0.9), severity_sigma=0.3)
    scenarios = ScenarioSet.of_model(model, 32, seed=2)
    sums = granular_sums(granular_tables(loans, model), model, scenarios)
    recovered = sums[:, :, layout.DEFAULT] * (1 - scenario_shocks(model, scenarios).severity[:, 1, None, None])
    assert sums[:, :, layout.RECOVERED] == pytest.approx(recovered, rel=1e-9)
    assert recovered.sum() > 0


def test_mean_loss_by_month_is_that_of_the_flows() -> None:
    loans, model = mixed_loans(300, seed=4), _model(pd_level_sigma=0.3)
    scenarios = ScenarioSet.of_model(model, 64, seed=2)
    tables = granular_tables(loans, model)
    flows = _flows(loans, model, tables, granular_sums(tables, model, scenarios))
    mean = (flows.loss.sum(axis=0) * scenarios.weights).mean(axis=1)
    found = granular_losses(tables, model, scenarios).by_month
    assert np.abs(found - mean).max() / loans.balance.sum() < SHARE_TOLERANCE
    assert found.max() > 0 > found.min()


def test_long_loans_with_hazards_far_apart() -> None:
    rng, months = np.random.default_rng(3), 360
    loans = replace(
        mixed_loans(80, seed=3),
        original_term=np.full(80, months),
        age=(ages := rng.integers(0, 300, 80)),
        remaining_term=months - ages,
    )
    default = np.array([[1e-5], [5e-4], [4e-3]]) * np.ones((1, months))
    prepayment = np.array([[0.002], [0.01], [0.03]]) * np.minimum(np.arange(1, months + 1), 30) / 30
    model = model_of(default, prepayment, ("A", "B", "C"), pd_level_sigma=0.3, prepayment_sigma=0.25)
    scenarios = ScenarioSet.of_model(model, 64, seed=8).slice(0, 3)
    shocks = scenario_shocks(model, scenarios)
    sums = granular_sums(granular_tables(loans, model), model, scenarios, noise=False)
    for s in range(len(scenarios)):
        for item, value in _expected(loans, model, shocks, s).items():
            scale = len(loans) if item in ("left", "missed") else loans.balance.sum()
            assert np.abs(sums[s, :, SUMS[item]] - value).max() / scale < 1e-6, (item, s)
    with pytest.raises(ValueError, match="tolerance: 1e-06 is not met by 40 nodes for prepayment hazards"):
        granular_tables(loans, replace(model, prepayment_hazard=np.linspace(0.1, 3.0, months) * np.ones((3, 1))))


@pytest.mark.parametrize("compiled", [True, False])
def test_bytes_depend_neither_on_slices_nor_on_threads_nor_on_chunks(compiled: bool) -> None:
    loans, model = mixed_loans(200, seed=7), _model(**MODELS["sectors"], prepayment_sigma=0.3)
    scenarios = ScenarioSet.of_model(model, 2_100 if compiled else 150, seed=5)
    tables = granular_tables(loans, model)
    whole = granular_sums(tables, model, scenarios, compiled=compiled)
    assert granular_sums(tables, model, scenarios, compiled=compiled, threads=3).tobytes() == whole.tobytes()
    given = granular_sums(tables, model, scenarios, scenario_shocks(model, scenarios), compiled=compiled)
    assert given.tobytes() == whole.tobytes()
    for chunk in (77, 1_500):
        parts = [sums for _, sums in granular_blocks(tables, model, scenarios, chunk, compiled=compiled, threads=2)]
        assert np.concatenate(parts).tobytes() == whole.tobytes(), chunk
    one = granular_sums(tables, model, scenarios.slice(113, 114), compiled=compiled)
    assert one.tobytes() == whole[113:114].tobytes()
    first, second = (granular_losses(tables, model, scenarios, compiled=compiled, threads=k) for k in (1, 3))
    assert first.lifetime.tobytes() == second.lifetime.tobytes()
    assert first.default.tobytes() == second.default.tobytes()
    lifetime = (whole[:, :, layout.DEFAULT] - whole[:, :, layout.RECOVERED]).sum(axis=(1, 2))
    assert first.lifetime == pytest.approx(lifetime, rel=1e-12)
    assert first.by_month.sum() == pytest.approx(first.expected, rel=1e-12)
    assert len(first.by_month) == horizon_of(loans, model)


def test_compiled_and_numpy_sums_agree() -> None:
    loans, model = mixed_loans(300, seed=9), _model(**MODELS["levels and speeds"], severity_bands=(0.4, 0.7, 0.95))
    scenarios = ScenarioSet.of_model(model, 200, seed=5)
    tables = granular_tables(loans, model)
    first, second = (granular_sums(tables, model, scenarios, compiled=flag) for flag in (True, False))
    scale = np.array([loans.balance.sum()] * layout.SUMS)
    scale[[layout.LEFT, layout.MISSED]] = len(loans)
    assert (np.abs(first - second).max(axis=(0, 1, 3)) / scale).max() < 1e-12


def test_another_order_of_the_same_loans_changes_nothing_but_rounding() -> None:
    loans, model = mixed_loans(300, seed=12), _model(**MODELS["sectors"])
    shuffled = np.random.default_rng(1).permutation(len(loans))
    columns = {name: getattr(loans, name)[shuffled] for name in loans.__dataclass_fields__}
    other = LoanArrays(**(columns | {"loan_id": loans.loan_id}))
    scenarios = ScenarioSet.of_model(model, 16, seed=5)
    first, second = (granular_sums(granular_tables(pool, model), model, scenarios) for pool in (loans, other))
    assert np.abs(first - second).max() / loans.balance.sum() < 1e-12


def test_nothing_happens_where_nothing_can() -> None:
    model = model_of(np.zeros((1, 12)), np.zeros((1, 12)), ("A",))
    tables = granular_tables(equal_loans(5, remaining=12), model)
    sums = granular_sums(tables, model, ScenarioSet.of_model(model, 8, seed=1))[:, 0]
    for row in (layout.DEFAULT, layout.PREPAYMENT, layout.MISSED, layout.RECOVERED):
        assert not sums[:, row].any()
    assert sums[:, layout.SCHEDULED].sum(axis=1) == pytest.approx(np.full(8, 5.0), rel=1e-12)
    assert (sums[:, layout.LEFT].sum(axis=1) == 5.0).all()


def test_a_pool_of_one_loan_is_simulated_in_expectation() -> None:
    loans, model = equal_loans(1, balance=1_000.0, remaining=1), _model(asset_correlation=0.0)
    scenarios = ScenarioSet.of_model(model, 4, seed=1)
    losses = granular_losses(granular_tables(loans, model), model, scenarios, noise=False)
    # One payment, so one month of hazard 0.01 / 8, no systematic factor, and a severity of 93 %.
    assert losses.lifetime == pytest.approx(np.full(4, 1_000 * -np.expm1(-0.01 / 8) * 0.93), rel=1e-12)


def test_refuses_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    loans = mixed_loans(20, seed=1)
    with pytest.raises(ValueError, match=r"factor_persistence: 0\.5"):
        granular_tables(loans, _model(factor_persistence=0.5))
    with pytest.raises(ValueError, match="tolerance: 0"):
        granular_tables(loans, _model(), tolerance=0.0)
    model = _model()
    tables, scenarios = granular_tables(loans, model), ScenarioSet.of_model(model, 4, seed=1)
    with pytest.raises(ValueError, match="chunk: 0"):
        list(granular_blocks(tables, model, scenarios, 0))
    by_band = granular_tables(loans, _model(severity_bands=(0.1, 0.2, 0.3)))
    with pytest.raises(ValueError, match="tables: default by 3 bands"):
        granular_sums(by_band, model, scenarios)
    by_sector = granular_tables(loans, _model(**MODELS["sectors"]))
    with pytest.raises(ValueError, match=r"tables: hold sector rows \[0, 1, 2\], the model has 0 sectors"):
        granular_sums(by_sector, model, scenarios)
    moving = _model(factor_persistence=0.5)
    with pytest.raises(ValueError, match=r"factor_persistence: 0\.5"):
        granular_sums(tables, moving, ScenarioSet.of_model(moving, 4, seed=1))
    with pytest.raises(ValueError, match="tolerance: 1e-18 is not met by 96 nodes"):
        granular_tables(loans, model, tolerance=1e-18)
    monkeypatch.setattr(granular, "granular_kernels", None)
    with pytest.raises(ValueError, match="compiled: Numba is not installed"):
        granular_sums(tables, model, scenarios, compiled=True)
    assert granular_sums(tables, model, scenarios).shape == (4, 2, layout.SUMS, tables.months)


def test_interpolation_is_exact_for_polynomials_and_at_its_points() -> None:
    points, at = chebyshev(-2.0, 3.0, 7), np.linspace(-2.0, 3.0, 31)
    weights = basis(points, np.concatenate([at, points]))
    assert weights.sum(axis=1) == pytest.approx(np.ones(38), abs=1e-12)
    assert weights[:31] @ points**6 == pytest.approx(at**6, abs=1e-10)
    assert np.array_equal(weights[31:], np.eye(7))


def test_a_finer_tolerance_takes_more_nodes_and_meets_it() -> None:
    loans, model = mixed_loans(200, seed=5), _model(pd_level_sigma=0.3)
    coarse, fine = (granular_tables(loans, model, tolerance=tolerance) for tolerance in (1e-4, 1e-9))
    assert len(coarse.hazard) < len(fine.hazard)
    assert fine.error <= 1e-9 < coarse.error <= 1e-4
    assert replace(coarse, tolerance=1.0).nbytes == coarse.nbytes < fine.nbytes
