"""Class prices, par coupons, and the closed loop of sizes, coupons and grades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.engine.spread import required_yield
from pricing.engine.structure import solve_structure
from pricing.engine.tranches import (
    class_lives,
    floor_coupon,
    mean_flows,
    par_coupons,
    price_at_yields,
    price_tranches,
    yields_at_prices,
)
from pricing.engine.valuation import price
from pricing.market import default_snapshot

SNAPSHOT = default_snapshot()
CLASS = "unsecured_consumer"


@dataclass(frozen=True)
class Flows:
    """Classes paid as given, S scenarios."""

    names: tuple[str, ...]
    interest: np.ndarray
    principal: np.ndarray
    initial_balance: np.ndarray
    months_between: int = 1


def _flows(coupons: Mapping[str, float], starts: Mapping[str, int], months: int = 18) -> Flows:
    """Equal principal over `months` from a start month, interest of coupon / 12 on the balance, one
    scenario."""
    names = tuple(coupons)
    total = max(starts.values()) + months
    principal = np.zeros((len(names), total, 1))
    for k, name in enumerate(names):
        principal[k, starts[name] : starts[name] + months, 0] = 1e6 / months
    opening = 1e6 - np.concatenate([np.zeros((len(names), 1, 1)), principal.cumsum(axis=1)[:, :-1]], axis=1)
    rate = np.array([coupons[name] for name in names])[:, None, None] / 12
    return Flows(names, opening * rate, principal, np.full(len(names), 1e6))


STARTS = {"A": 0, "B": 18, "C": 24}
GRADES = {"A": "AAA", "B": "A", "C": "BBB"}


def test_classes_with_par_coupons_are_worth_par_to_a_tick() -> None:
    lives = class_lives(_flows(dict.fromkeys(STARTS, 0.05), STARTS))
    # Equal payments in months 1 to 18 have their centre at 9.5 months.
    assert lives["A"] == pytest.approx(9.5 / 12)
    coupons = par_coupons(GRADES, lives, SNAPSHOT, asset_class=CLASS)
    prices = price_tranches(_flows(coupons, STARTS), GRADES, SNAPSHOT, asset_class=CLASS)
    for tranche in prices:
        assert coupons[tranche.name] * 1e5 == pytest.approx(round(coupons[tranche.name] * 1e5), abs=1e-9)
        # A tick of 0.001 % of coupon is worth about a tick times duration.
        assert 1 - 1e-5 * tranche.modified_duration * 1.2 < tranche.price <= 1 + 1e-12
        required = required_yield(GRADES[tranche.name], lives[tranche.name], SNAPSHOT, asset_class=CLASS)
        assert tranche.yield_ == required
        benchmark = float(SNAPSHOT.curve.par(lives[tranche.name]))
        assert tranche.spread_bp == pytest.approx((required - benchmark) * 1e4)
        assert tranche.price_per_100 == tranche.price * 100
        assert tranche.snapshot_date == SNAPSHOT.as_of
        assert tranche.snapshot_hash == SNAPSHOT.content_hash()
    assert prices[0].spread < prices[1].spread < prices[2].spread


def test_yield_and_price_are_inverse_over_the_classes() -> None:
    flows = _flows({"A": 0.05, "B": 0.06, "C": 0.08}, STARTS)
    at = {"A": 0.047, "B": 0.0655, "C": 0.071}
    prices = price_at_yields(flows, at, GRADES, SNAPSHOT)
    back = yields_at_prices(flows, {tranche.name: tranche.price for tranche in prices})
    assert back == pytest.approx(at, abs=1e-12)
    assert prices[0].price > 1 > prices[1].price


@given(st.floats(0.0, 0.02), st.floats(1e-5, 0.02))
def test_prices_fall_when_a_spread_widens(add_on: float, more: float) -> None:
    flows = _flows({"A": 0.05, "B": 0.06, "C": 0.08}, STARTS)
    near, far = (replace(SNAPSHOT, add_ons={CLASS: value}) for value in (add_on, add_on + more))
    pairs = zip(
        price_tranches(flows, GRADES, near, asset_class=CLASS),
        price_tranches(flows, GRADES, far, asset_class=CLASS),
        strict=True,
    )
    assert all(tight.price > wide.price for tight, wide in pairs)


def test_scenarios_are_averaged_with_their_weights() -> None:
    paths = np.array([[[1.0, 3.0]]])
    assert mean_flows(paths, [3.0, 1.0]).tolist() == [[1.5]]
    assert mean_flows(paths).tolist() == [[2.0]]
    with pytest.raises(ValueError, match=r"weights: shape \(3,\), expected \(2,\)"):
        mean_flows(paths, [1.0, 1.0, 1.0])


def test_a_class_without_flows_has_no_price_and_says_so() -> None:
    flows = _flows({"A": 0.05, "B": 0.06}, {"A": 0, "B": 18})
    empty = replace(flows, interest=flows.interest * [[[1]], [[0]]], principal=flows.principal * [[[1]], [[0]]])
    a, b = price_tranches(empty, GRADES, SNAPSHOT, asset_class=CLASS)
    assert a.reason == ""
    assert a.price > 0
    assert np.isnan([b.price, b.yield_, b.wal_years, b.spread, b.modified_duration]).all()
    assert b.reason == "the class has no cash flow to value at a yield"
    with pytest.raises(ValueError, match="grades: class 'B' is missing"):
        price_tranches(flows, {"A": "AAA"}, SNAPSHOT, asset_class=CLASS)


def test_coupons_round_down() -> None:
    assert floor_coupon(0.0512349) == 0.05123
    assert floor_coupon(0.05123) == 0.05123
    assert floor_coupon(0.07) == 0.07


def test_all_classes_and_the_residual_add_up_to_the_pool_under_one_discounting() -> None:
    # notes/model.md, 18: value is additive; each payee's flows at one yield add up to the pool's at that
    # yield.
    flows = _flows({"A": 0.05, "B": 0.06, "C": 0.08}, STARTS)
    cash = (flows.interest + flows.principal)[:, :, 0]
    parts = price(cash, 0.06)
    assert parts.sum() == pytest.approx(price(cash.sum(axis=0), 0.06)[0], rel=1e-14)


def _loop(slope: float) -> dict[str, Any]:
    """Dearer coupons leave a smaller senior class of shorter life, whose coupon is lower: a contraction."""

    def size(coupons: Mapping[str, float]) -> dict[str, int]:
        return {"A": round(8_000_000_00 * (1 - slope * coupons["A"])), "B": 1_000_000_00}

    def evaluate(balances: Mapping[str, int], coupons: Mapping[str, float]) -> tuple[dict[str, str], dict[str, float]]:
        return {"A": "AAA", "B": "BBB"}, {"A": 2.5 * balances["A"] / 8_000_000_00, "B": 3.0}

    def coupons_for(grades: Mapping[str, str], lives: Mapping[str, float]) -> dict[str, float]:
        return par_coupons(grades, lives, SNAPSHOT, asset_class=CLASS)

    return {"size": size, "evaluate": evaluate, "coupons_for": coupons_for}


def test_the_loop_ends_where_coupons_sizes_and_lives_repeat() -> None:
    functions = _loop(2.0)
    found = solve_structure({"A": 0.09, "B": 0.09}, **functions)
    assert found.converged
    assert found.coupon_gap < 1e-5
    assert 2 < found.iterations < 10
    again = solve_structure(found.coupons, **functions)
    assert again.iterations == 1
    assert (again.coupons, again.balances, again.lives) == (found.coupons, found.balances, found.lives)
    assert solve_structure({"A": 0.01, "B": 0.01}, **functions).coupons == pytest.approx(found.coupons, abs=1e-5)
    assert found.reason == f"Coupons, sizes and grades repeat after {found.iterations} passes."


def test_a_loop_cut_short_says_so() -> None:
    cut = solve_structure({"A": 0.09, "B": 0.09}, max_iterations=1, **_loop(2.0))
    assert not cut.converged
    assert cut.coupon_gap > 1e-3
    assert cut.reason == "The coupons still moved after 1 passes."


def test_a_grade_that_flips_with_the_coupon_ends_at_the_highest_coupon_and_is_not_called_converged() -> None:
    def evaluate(balances: Mapping[str, int], coupons: Mapping[str, float]) -> tuple[dict[str, str], dict[str, float]]:
        return {"A": "A" if coupons["A"] < 0.055 else "AAA"}, {"A": 2.0}

    def coupons_for(grades: Mapping[str, str], lives: Mapping[str, float]) -> dict[str, float]:
        return {"A": 0.06 if grades["A"] == "A" else 0.05}

    found = solve_structure({"A": 0.04}, size=lambda coupons: {"A": 100}, evaluate=evaluate, coupons_for=coupons_for)
    assert not found.converged
    assert found.coupons == {"A": 0.06}
    assert found.coupon_gap == pytest.approx(0.01)
    assert found.reason == "The coupons go round in a cycle; its highest coupons are held."


def test_functions_must_speak_of_the_same_classes() -> None:
    functions = _loop(1.0)
    with pytest.raises(ValueError, match=r"size: classes \['A', 'B'\], expected \['A', 'Z'\]"):
        solve_structure({"A": 0.05, "Z": 0.05}, **functions)
