"""View B: the four parts of a spread, the return on capital it leaves, and what a class is worth to a mandate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pricing.engine.charges import INVESTOR_TYPES
from pricing.engine.decomposition import PARTS, ClassFigures, Decomposition, decompose, liquidity_at, value_to_mandate
from pricing.engine.valuation import solve_yields
from rating.engine.scale import GRADES

TYPES = {each.key: each for each in INVESTOR_TYPES}
FIGURES = ClassFigures("B", "BBB", wal=2.0, duration=1.8, expected_loss=0.004, risk_weight=2.0)
FLOWS = np.full(36, 0.03)


def b(key: str = "bank", *, capital_return: float = 0.0425, risk_weight: float = 2.0) -> Decomposition:
    figures = replace(FIGURES, risk_weight=risk_weight)
    return decompose(figures, TYPES[key], liquidity=0.01, capital_return=capital_return, scale=GRADES)


def test_the_four_parts_by_hand() -> None:
    """l = 100 bp; EL = 0.4 % over 2 years = 20 bp; h K = 4.25 % of 10.5 % of 200 % = 89.25 bp; c = 3 bp."""
    found = b()
    assert [round(1e4 * getattr(found, part), 9) for part in PARTS] == [100.0, 20.0, 89.25, 3.0]
    assert found.charge == pytest.approx(0.21)
    assert found.spread == pytest.approx(0.021225, abs=1e-15)


@pytest.mark.parametrize("key", TYPES)
def test_at_the_spread_it_asks_an_investor_earns_exactly_its_return_on_capital(key: str) -> None:
    for h in (0.025, 0.0425, 0.086):
        found = b(key, capital_return=h)
        assert found.return_on_capital(found.spread) == pytest.approx(h, rel=1e-12)
        # 10 bp more are earned on the capital alone.
        assert found.return_on_capital(found.spread + 0.001) == pytest.approx(h + 0.001 / found.charge, rel=1e-12)


def test_without_capital_there_is_no_return_on_it() -> None:
    assert math.isnan(b(risk_weight=0.0).return_on_capital(0.02))


def test_investors_differ_by_their_capital_and_servicing_alone() -> None:
    found = [b(key) for key in TYPES]
    assert len({(each.liquidity, each.expected_loss) for each in found}) == 1
    assert len({each.charge for each in found}) == len(found)


def test_liquidity_rises_with_life_as_the_market_grid() -> None:
    assert liquidity_at(0.003, 1.0, 0.176) == 0.003
    assert liquidity_at(0.003, 2.0, 0.176) == pytest.approx(0.003 * 2**0.176)
    with pytest.raises(ValueError, match=r"^liquidity: -0.1"):
        liquidity_at(-0.1, 1.0, 0.176)
    with pytest.raises(ValueError, match=r"^wal: nan"):
        liquidity_at(0.1, math.nan, 0.176)


# ------------------------------------------------------------------------------------------------------------ mandates
def test_a_class_is_worth_the_price_at_which_the_required_return_is_met() -> None:
    for floor, binding in ((0.0, "return"), (0.09, "floor")):
        found = value_to_mandate(b(), FLOWS, benchmark=0.04, yield_floor=floor, guide_price=1.0)
        assert found.binding == binding
        assert found.required == pytest.approx(max(0.04 + 0.021225, floor), abs=1e-15)
        # The price gives that yield back.
        assert float(solve_yields(FLOWS, found.price).yields[0]) == pytest.approx(found.required, abs=1e-10)
        assert found.over_guide == found.price - 1.0


def test_the_price_falls_in_every_part_and_in_the_floor() -> None:
    def worth(found: Decomposition, floor: float = 0.0) -> float:
        return value_to_mandate(found, FLOWS, benchmark=0.04, yield_floor=floor, guide_price=1.0).price

    base = b()
    for part in PARTS:
        dearer = replace(base, **{part: getattr(base, part) + 0.0001})
        assert worth(dearer) < worth(base)
    assert worth(base, 0.10) < worth(base, 0.08) < worth(base)


def test_bad_figures_are_named() -> None:
    with pytest.raises(ValueError, match=r"^wal: 0 of class B"):
        replace(FIGURES, wal=0)
    with pytest.raises(ValueError, match=r"^expected_loss: 1.5 of class B"):
        replace(FIGURES, expected_loss=1.5)
    with pytest.raises(ValueError, match=r"^capital_return: -0.01"):
        b(capital_return=-0.01)
    with pytest.raises(ValueError, match="class B has no cash flow"):
        value_to_mandate(b(), np.zeros(3), benchmark=0.04, yield_floor=0.0, guide_price=1.0)
