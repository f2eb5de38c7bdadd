"""Three views of one price, and the bridge between them: C market grid, B decomposition, A scenario weights.

Spreads are over the Treasury par yield at the class's average life, at the pricing speed; every step is in spread and
in price points, and the steps between two views sum to their difference exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.engine.decomposition import PARTS, Decomposition
from pricing.engine.valuation import price, solve_yields

FloatArray = NDArray[np.float64]

View = Literal["market", "decomposition", "weights"]
LETTERS: dict[View, str] = {"market": "C", "decomposition": "B", "weights": "A"}
# Public prices reach down to BBB; below, the grid is extended by corporate ratios and the weights are as good.
LAST_MARKET_GRADE = "BBB-"
STEPS = ("unexplained", "capital", "servicing", "systematic_risk", "paths")


def default_view(grade: str | None, scale: Sequence[str]) -> View:
    """Which view is the price: C from AAA to BBB-, A below and for what has no grade (loans, pool, residual)."""
    if grade is None:
        return "weights"
    if grade not in scale:
        raise ValueError(f"grade: {grade!r} is not on the scale {scale[0]} to {scale[-1]}")
    return "market" if scale.index(grade) <= scale.index(LAST_MARKET_GRADE) else "weights"


@dataclass(frozen=True)
class Viewed:
    """One view of a class: price as a fraction of par, yield bond-equivalent, spread over Treasury at the WAL."""

    view: View
    price: float
    yield_: float
    spread: float


@dataclass(frozen=True)
class Step:
    """One step of a bridge: what it adds to the spread (annual fraction) and to the price (fraction of par)."""

    name: str
    spread: float
    price: float


@dataclass(frozen=True)
class Reconciliation:
    """The three views of a class and the bridges between them.

    built: from Treasury (price at no spread, `treasury`) to B, the parts of the decomposition. steps: from C to A:
    unexplained (B less C), capital and servicing (what A does not know, taken out), systematic_risk (A at theta less A
    at 0), paths (A at 0 less liquidity and expected loss: timing over scenarios, and a curve instead of one yield).
    """

    name: str
    treasury: float
    market: Viewed
    decomposition: Viewed
    weights: Viewed
    built: tuple[Step, ...]
    steps: tuple[Step, ...]

    def of(self, view: View) -> Viewed:
        """One of the three."""
        return {"market": self.market, "decomposition": self.decomposition, "weights": self.weights}[view]


def spread_of_price(flows: ArrayLike, worth: float, benchmark: float) -> tuple[float, float]:
    """(yield, spread over benchmark) at which base-case flows (T,) per 1 of par are worth `worth`; NaN for none."""
    found = float(solve_yields(np.asarray(flows, dtype=np.float64), worth).yields[0])
    return found, found - benchmark


def reconcile(
    decomposed: Decomposition,
    flows: ArrayLike,
    *,
    benchmark: float,
    market_spread: float,
    weighted_price: float,
    untilted_price: float,
) -> Reconciliation:
    """Bridge the views of one class.

    flows: (T,) base-case cash per 1 of par. benchmark: Treasury par yield at the WAL. market_spread: view C over it.
    weighted_price, untilted_price: view A at theta and at 0, fractions of par. Steps are priced one after the other at
    benchmark + the spread reached, so that points add up as spreads do. Raises ValueError where view A has no yield.
    """
    cash = np.asarray(flows, dtype=np.float64)
    weighted_yield, weighted = spread_of_price(cash, weighted_price, benchmark)
    _, untilted = spread_of_price(cash, untilted_price, benchmark)
    if not (math.isfinite(weighted) and math.isfinite(untilted)):
        raise ValueError(f"weighted_price: class {decomposed.name} is worth {weighted_price}, which no yield gives")
    asked = decomposed.spread
    parts = [(name, getattr(decomposed, name)) for name in PARTS]
    built, treasury = _bridge(cash, benchmark, 0.0, parts)
    steps = [
        ("unexplained", asked - market_spread),
        ("capital", -decomposed.capital),
        ("servicing", -decomposed.servicing),
        ("systematic_risk", weighted - untilted),
        ("paths", untilted - decomposed.liquidity - decomposed.expected_loss),
    ]
    bridge, market_price = _bridge(cash, benchmark, market_spread, steps)
    at_decomposition = float(price(cash, benchmark + asked)[0])
    return Reconciliation(
        name=decomposed.name,
        treasury=treasury,
        market=Viewed("market", market_price, benchmark + market_spread, market_spread),
        decomposition=Viewed("decomposition", at_decomposition, benchmark + asked, asked),
        weights=Viewed("weights", weighted_price, weighted_yield, weighted),
        built=built,
        steps=bridge,
    )


def _bridge(
    cash: FloatArray, benchmark: float, start: float, parts: Sequence[tuple[str, float]]
) -> tuple[tuple[Step, ...], float]:
    """Steps from a spread on, each priced where the last one ended, and the price at the start."""
    reached = start + np.concatenate([[0.0], np.cumsum([part for _, part in parts])])
    prices = price(np.repeat(cash[None, :], len(reached), axis=0), benchmark + reached)
    steps = zip(parts, np.diff(prices), strict=True)
    return tuple(Step(name, part, float(points)) for (name, part), points in steps), float(prices[0])
