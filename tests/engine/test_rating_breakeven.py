"""Break-even speeds and losses on the base case at other speeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pooling.engine.analytics import break_even
from pooling.engine.curves import curve_flows
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from rating.engine.breakeven import (
    Speeds,
    base_speeds,
    break_evens,
    cdr_flows,
    loss_flows,
    most_severe_loss,
)
from tests.engine.flat_pool import RESIDUAL, deal, interest, principal
from tests.engine.rating_pools import equal_loans, mixed_loans

SPEEDS = Speeds(cpr=0.12, severity=0.7, charge_off_lag=4, recovery_lag=6)
CURVE: Any = {"severity": 0.7, "charge_off_lag": 4, "recovery_lag": 6}
ROUNDING = 1e-9  # of the cut-off balance


def _base(cdr: float = 0.06, cpr: float = 0.12) -> PoolFlows:
    return curve_flows(mixed_loans(60, seed=4), cpr=cpr, cdr=cdr, **CURVE)


@pytest.mark.parametrize("cdr", [0.0, 0.03, 0.25, 0.9])
def test_another_cdr_on_a_flat_base_case_is_the_curve_at_that_cdr(cdr: float) -> None:
    # All loans of a group survive alike at flat speeds, so that its amortisation and coupon stay: exact.
    base, loans = _base(), mixed_loans(60, seed=4)
    found = cdr_flows(base, [cdr, 0.5], SPEEDS)
    curve = curve_flows(loans, cpr=0.12, cdr=cdr, **CURVE)
    for name in ("interest", "scheduled_principal", "prepayment", "default", "charge_off", "recovery", "performing"):
        wanted = curve.columns[name][..., 0]
        assert found.columns[name][..., 0] == pytest.approx(wanted, abs=ROUNDING * loans.balance.sum()), name
    assert found.delinquent[..., 0] == pytest.approx(curve.delinquent[..., 0], abs=ROUNDING * loans.balance.sum())
    assert found.check() < ROUNDING


def test_base_speeds_are_those_the_base_case_was_made_with() -> None:
    speeds = base_speeds(_base(), charge_off_lag=4, recovery_lag=6)
    assert speeds.severity == pytest.approx(0.7)
    assert speeds.cpr == pytest.approx(0.12)
    still = base_speeds(_base(cdr=0.0, cpr=0.0), charge_off_lag=4, recovery_lag=6)
    assert (still.severity, still.cpr) == (1.0, 0.0)


def test_scaled_base_cases_lose_what_was_asked() -> None:
    base = _base()
    own = float(base.loss.sum() / base.opening_balance.sum())
    wanted = np.array([0.0, own, 2 * own, 0.5, 0.69])
    found = loss_flows(base, wanted, SPEEDS)
    lost = found.loss.sum(axis=(0, 1)) / base.opening_balance.sum()
    assert lost == pytest.approx(wanted, abs=1e-6)
    assert found.check() < ROUNDING
    # At its own loss the path is the base case itself.
    assert found.performing[..., 1] == pytest.approx(base.performing[..., 0], abs=1e-6 * base.opening_balance.sum())
    # Everything defaults in the first month and 70 % of it is lost; more cannot be.
    assert most_severe_loss(base, SPEEDS) == pytest.approx(0.7, abs=1e-6)


def _one_class(notes: float, pool: PoolFlows) -> DealFlows:
    spec = deal(
        [{"name": "A", "balance": round(notes), "coupon": 0.0}],
        [interest("A"), principal("A"), RESIDUAL],
    )
    return execute(compile_deal(spec, round(float(pool.opening_balance.sum()) * 100)), pool)


def test_break_evens_of_a_class_without_coupon_are_where_the_cash_ends() -> None:
    # Loans without interest; all cash goes to the class: it breaks where the pool loses more than lies below it.
    loans = equal_loans(10, balance=1_000.0, rate=0.0, remaining=24)
    base = curve_flows(loans, cpr=0.0, cdr=0.05, **CURVE)
    speeds = Speeds(cpr=0.0, severity=0.7, charge_off_lag=4, recovery_lag=6)
    found = break_evens(lambda flows: _one_class(8_000, flows), base, speeds)[0]
    own = float(base.loss.sum() / base.opening_balance.sum())
    assert found.loss == pytest.approx(0.20, abs=2e-4)
    assert found.multiple == pytest.approx(0.20 / own, rel=2e-3)
    # 20 % of the pool lost at a severity of 70 %.
    assert found.scaled_default_rate == pytest.approx(0.20 / 0.7, abs=5e-4)
    assert found.default_rate == pytest.approx(0.20 / 0.7, abs=5e-4)
    assert (found.cause, found.monotone) == ("principal", True)
    # The CDR by its own definition: the curve just below it does not hurt, the one at it does.
    assert found.cdr is not None
    for cdr, unpaid in ((found.cdr - 2e-4, False), (found.cdr, True)):
        flows = curve_flows(loans, cpr=0.0, cdr=cdr, **CURVE)
        assert bool(_one_class(8_000, flows).unpaid_principal[0, 0] > 0.005) == unpaid


def test_break_even_cdr_is_that_of_the_analytics_on_the_loans_own_curves() -> None:
    loans = equal_loans(10, balance=1_000.0, rate=0.12, remaining=24)
    base = curve_flows(loans, cpr=0.10, cdr=0.05, **CURVE)
    speeds = Speeds(cpr=0.10, severity=0.7, charge_off_lag=4, recovery_lag=6)

    def on_loans(values: np.ndarray) -> DealFlows:
        parts = [curve_flows(loans, cpr=0.10, cdr=float(value), **CURVE) for value in values]
        return _one_class(7_000, PoolFlows.concatenate(parts))

    found = break_evens(lambda flows: _one_class(7_000, flows), base, speeds)[0]
    known = break_even(on_loans, 0.0, 0.999, tolerance=1e-4)["A"]
    assert found.cdr == known.stress


def test_a_class_that_nothing_hurts_and_a_pool_without_defaults_have_no_break_even() -> None:
    loans = equal_loans(10, balance=1_000.0, rate=0.0, remaining=24)
    base = curve_flows(loans, cpr=0.0, cdr=0.05, **CURVE)
    speeds = Speeds(cpr=0.0, severity=0.7, charge_off_lag=4, recovery_lag=6)
    safe = break_evens(lambda flows: _one_class(2_000, flows), base, speeds)[0]  # 3,000 always come back
    assert (safe.cdr, safe.loss, safe.multiple, safe.default_rate, safe.cause) == (None, None, None, None, None)
    still = curve_flows(loans, cpr=0.0, cdr=0.0, **CURVE)
    found = break_evens(lambda flows: _one_class(8_000, flows), still, speeds)[0]
    assert found.cdr is not None
    assert (found.loss, found.multiple) == (None, None)


def test_a_pool_of_one_loan_has_break_evens() -> None:
    base = curve_flows(equal_loans(1, balance=10_000.0, rate=0.0, remaining=12), cpr=0.0, cdr=0.05, **CURVE)
    speeds = Speeds(cpr=0.0, severity=0.7, charge_off_lag=4, recovery_lag=6)
    assert break_evens(lambda flows: _one_class(8_000, flows), base, speeds)[0].loss == pytest.approx(0.2, abs=2e-4)


def test_bad_arguments_are_named() -> None:
    base = _base()
    two = PoolFlows.concatenate([base, base])
    for call, message in (
        (lambda: Speeds(cpr=1.2, severity=0.5, charge_off_lag=0, recovery_lag=0), "cpr: 1.2 lies outside"),
        (lambda: Speeds(cpr=0.1, severity=0.5, charge_off_lag=-1, recovery_lag=0), "charge_off_lag: -1 must not"),
        (lambda: loss_flows(base, [1.5], SPEEDS), "losses: 1.5 lies outside 0 to 1"),
        (lambda: loss_flows(_base(cdr=0.0), [0.1], SPEEDS), "base: no defaults to scale"),
        (lambda: cdr_flows(two, [0.1], SPEEDS), "base: 2 scenarios; the base case is one path"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
