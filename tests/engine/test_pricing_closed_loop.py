"""The closed loop on a real deal: template, waterfall, sizing and rating, prices, auction limits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import norm

from pooling.engine.curves import curve_flows
from pooling.engine.deal.spec import DealSpec
from pooling.engine.deal.template import default_template
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall.compile import compile_deal
from pooling.engine.waterfall.execute import execute
from pooling.engine.waterfall.program import DealFlows
from pricing.engine.residual import roll_forward, value_residual
from pricing.engine.structure import StructureSolution, solve_structure
from pricing.engine.tranches import class_lives, par_coupons, price_at_yields, price_tranches
from pricing.engine.valuation import price
from pricing.market import default_snapshot
from rating.engine.sizing import size_tranches
from rating.engine.tranches import rate_tranches

SNAPSHOT = default_snapshot()
ASSET_CLASS = "unsecured_consumer"
POOL_CENTS = 50_000_000_00
SCENARIOS = 256
BASE_CDR = 0.10
TARGETS = {"A": "AAA", "B": "BB", "C": "B-"}


def _loans() -> LoanArrays:
    n = 20
    return LoanArrays.sorted_by_id(
        loan_id=np.array([f"loan-{k:03d}" for k in range(n)]), balance=np.full(n, POOL_CENTS / 100 / n),
        rate=np.linspace(0.10, 0.20, n), original_term=np.full(n, 36), remaining_term=np.full(n, 36),
        age=np.zeros(n, dtype=np.int64), grade=np.full(n, "B"), score=np.full(n, 700.0),
        group=np.full(n, "all"),
        sector=np.full(n, ""),
    )  # fmt: skip


def _pool(cdr: float) -> PoolFlows:
    return curve_flows(_loans(), cpr=0.12, cdr=cdr, severity=0.9, recovery_lag=6, charge_off_lag=4, horizon=47)


def _scenarios() -> PoolFlows:
    """Speeds at the mid-points of a Vasicek distribution of annual default rates: 10 %, correlation 12 %."""
    z = norm.ppf((np.arange(SCENARIOS) + 0.5) / SCENARIOS)
    cdrs = norm.cdf((norm.ppf(BASE_CDR) + np.sqrt(0.12) * z) / np.sqrt(0.88))
    return PoolFlows.concatenate([_pool(float(cdr)) for cdr in cdrs])


def _spec() -> DealSpec:
    return default_template(
        name="Loop 2026-1", currency="USD", cut_off="2026-04-30", closing="2026-05-21",
        first_payment="2026-06-21", legal_final="2030-05-21",
    )  # fmt: skip


def _run(balances: Mapping[str, int], coupons: Mapping[str, float], flows: PoolFlows) -> DealFlows:
    return execute(compile_deal(_spec().with_solution(dict(balances), dict(coupons)), POOL_CENTS), flows)


def _solve(paths: PoolFlows, base: PoolFlows) -> StructureSolution:
    weights = np.ones(SCENARIOS)

    def size(coupons: Mapping[str, float]) -> Mapping[str, int]:
        return size_tranches(lambda cents: _run(cents, coupons, paths), TARGETS, POOL_CENTS, weights).balances

    def evaluate(balances: Mapping[str, int], coupons: Mapping[str, float]) -> tuple[dict[str, str], dict[str, float]]:
        ratings = rate_tranches(_run(balances, coupons, paths), weights)
        return {rating.name: rating.grade for rating in ratings}, class_lives(_run(balances, coupons, base))

    def coupons_for(grades: Mapping[str, str], lives: Mapping[str, float]) -> dict[str, float]:
        return par_coupons(grades, lives, SNAPSHOT, asset_class=ASSET_CLASS)

    start = dict.fromkeys(TARGETS, 0.06)
    return solve_structure(start, size=size, evaluate=evaluate, coupons_for=coupons_for)


def test_a_real_deal_is_solved_priced_at_par_and_valued_with_its_residual() -> None:
    paths, base_pool = _scenarios(), _pool(BASE_CDR)
    solved = _solve(paths, base_pool)
    assert solved.converged, solved.reason

    base = _run(solved.balances, solved.coupons, base_pool)
    prices = price_tranches(base, solved.grades, SNAPSHOT, asset_class=ASSET_CLASS)
    issued = [tranche for tranche in prices if not tranche.reason]
    assert len(issued) >= 2
    for tranche in issued:
        # The base case pays every class in full, so a coupon rounded down is worth a little under par.
        assert 1 - 1e-5 * (tranche.modified_duration + 1) < tranche.price <= 1 + 1e-9
    wider = {tranche.name: tranche.yield_ + 1e-3 for tranche in issued}
    for tranche, cheaper in zip(prices, price_at_yields(base, wider, solved.grades, SNAPSHOT), strict=True):
        assert tranche.reason or cheaper.price < tranche.price - 5e-4 * tranche.modified_duration
    spreads = [tranche.spread for tranche in issued]
    assert spreads == sorted(spreads)

    # One discounting over all payees: classes + residual + fees = collections + what the reserve gives back.
    payees = np.concatenate([base.interest + base.principal, base.residual[None], base.fees])[:, :, 0]
    reserve = np.concatenate([base.opening_reserve[None, :], base.reserve])[:, 0]
    sources = base.collections[:, 0] + reserve[:-1] - reserve[1:]
    assert abs(price(payees, 0.06).sum() - price(sources, 0.06)[0]) < 1e-10 * POOL_CENTS / 100

    simulated = _run(solved.balances, solved.coupons, paths)
    market = {row.name: row.price * solved.balances[row.name] / 100 for row in issued}
    value = value_residual(
        simulated.residual, np.ones(SCENARIOS), base.residual[:, 0], SNAPSHOT,
        pool_value=POOL_CENTS / 100, class_values=market,
    )  # fmt: skip
    assert 0 < value.base_value < base.residual.sum()
    assert value.pool_less_classes is not None
    assert value.pool_less_classes > 0
    quantiles = list(value.irr_quantiles.values())
    assert quantiles == sorted(quantiles)
    roll = roll_forward(base.residual[:, 0], SNAPSHOT.residual_yield)
    assert abs(roll.opening[0] - value.base_value) < 1e-9 * value.base_value


def test_the_solution_repeats() -> None:
    paths, base = _scenarios(), _pool(BASE_CDR)
    first, again = _solve(paths, base), _solve(paths, base)
    assert (first.balances, first.coupons, first.grades) == (again.balances, again.coupons, again.grades)
