"""The bridge between three views of a price: what a view is, and that steps add up to what lies between two of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pricing.engine.charges import INVESTOR_TYPES
from pricing.engine.decomposition import ClassFigures, Decomposition, decompose
from pricing.engine.reconciliation import STEPS, Reconciliation, default_view, reconcile
from pricing.engine.valuation import price, solve_yields
from rating.engine.scale import GRADES

EXACT = 1e-12


def _decomposed(rng: np.random.Generator) -> Decomposition:
    figures = ClassFigures(
        "B", str(rng.choice(GRADES)), wal=float(rng.uniform(0.3, 5)), duration=float(rng.uniform(0.3, 4)),
        expected_loss=float(rng.uniform(0, 0.05)), risk_weight=float(rng.uniform(0.15, 12.5)),
    )  # fmt: skip
    investor = INVESTOR_TYPES[int(rng.integers(len(INVESTOR_TYPES)))]
    return decompose(figures, investor, liquidity=float(rng.uniform(0, 0.02)), capital_return=0.0425, scale=GRADES)


def _case(seed: int) -> tuple[Reconciliation, Decomposition, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    flows = rng.uniform(0, 1, 60) ** 4
    flows *= rng.uniform(1.0, 1.3) / flows.sum()
    given: dict[str, Any] = {
        "benchmark": float(rng.uniform(0.0, 0.06)),
        "market_spread": float(rng.uniform(0.0, 0.05)),
        "weighted_price": float(rng.uniform(0.7, 1.05)),
        "untilted_price": float(rng.uniform(0.9, 1.1)),
    }
    decomposed = _decomposed(rng)
    return reconcile(decomposed, flows, **given), decomposed, given | {"flows": flows}


@pytest.mark.parametrize("seed", range(40))
def test_steps_add_up_exactly_in_spread_and_in_price(seed: int) -> None:
    found, decomposed, given = _case(seed)
    unexplained, *rest = found.steps
    assert tuple(step.name for step in found.steps) == STEPS

    assert abs(sum(step.spread for step in found.built) - found.decomposition.spread) < EXACT
    assert abs(found.market.spread + unexplained.spread - found.decomposition.spread) < EXACT
    assert abs(found.decomposition.spread + sum(step.spread for step in rest) - found.weights.spread) < EXACT

    assert abs(found.treasury + sum(step.price for step in found.built) - found.decomposition.price) < EXACT
    assert abs(found.market.price + unexplained.price - found.decomposition.price) < EXACT
    assert abs(found.decomposition.price + sum(step.price for step in rest) - found.weights.price) < EXACT
    # Each view's price is the flows' at its own yield, and each yield is the benchmark and its spread.
    for seen in (found.market, found.decomposition, found.weights):
        assert abs(float(price(given["flows"], seen.yield_)[0]) - seen.price) < EXACT
        assert abs(seen.yield_ - given["benchmark"] - seen.spread) < EXACT
    assert found.decomposition.spread == decomposed.spread
    assert found.weights.price == given["weighted_price"]


def test_each_step_is_what_its_name_says() -> None:
    found, decomposed, given = _case(1)
    steps = {step.name: step.spread for step in found.steps}
    untilted = float(solve_yields(given["flows"], given["untilted_price"]).yields[0]) - given["benchmark"]
    assert steps["capital"] == -decomposed.capital
    assert steps["servicing"] == -decomposed.servicing
    assert steps["systematic_risk"] == pytest.approx(found.weights.spread - untilted, abs=EXACT)
    assert steps["paths"] == pytest.approx(untilted - decomposed.liquidity - decomposed.expected_loss, abs=EXACT)
    assert steps["unexplained"] == pytest.approx(decomposed.spread - given["market_spread"], abs=EXACT)


@pytest.mark.parametrize("view", ["market", "decomposition"])
def test_the_price_falls_in_every_spread_of_every_view(view: Any) -> None:
    found, decomposed, given = _case(2)
    flows, rest = given.pop("flows"), given
    if view == "market":
        dearer = [reconcile(decomposed, flows, **rest | {"market_spread": rest["market_spread"] + 1e-4})]
    else:
        parts = ("liquidity", "expected_loss", "capital", "servicing")
        changed = [Decomposition(**vars(decomposed) | {part: getattr(decomposed, part) + 1e-4}) for part in parts]
        dearer = [reconcile(each, flows, **rest) for each in changed]
    for each in dearer:
        assert each.of(view).price < found.of(view).price


def test_a_lower_price_of_the_weights_is_a_wider_spread() -> None:
    _, decomposed, given = _case(3)
    flows, rest = given.pop("flows"), given
    spreads = [
        reconcile(decomposed, flows, **rest | {"weighted_price": worth}).weights.spread for worth in (1.0, 0.95, 0.8)
    ]
    assert spreads == sorted(spreads)


def test_the_market_prices_down_to_bbb_and_the_weights_what_lies_below_or_has_no_grade() -> None:
    """Notes on pricing, section 3: C for AAA to BBB, A for loans, BB and below, residual."""
    market = [grade for grade in GRADES if default_view(grade, GRADES) == "market"]
    assert market == list(GRADES[: GRADES.index("BBB-") + 1])
    assert default_view(None, GRADES) == default_view("BB+", GRADES) == default_view("CCC", GRADES) == "weights"
    with pytest.raises(ValueError, match="'NR' is not on the scale"):
        default_view("NR", GRADES)


def test_a_price_that_no_yield_gives_is_refused() -> None:
    _, decomposed, given = _case(4)
    flows = given.pop("flows")
    with pytest.raises(ValueError, match=r"^weighted_price: class B is worth 0.0"):
        reconcile(decomposed, flows, **given | {"weighted_price": 0.0})
