"""The residual certificate, valued three ways side by side, with IRR quantiles and a roll-forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.valuation import price, solve_yields

FloatArray = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ResidualValue:
    """Values in currency units.

    scenario_value, scenario_value_se: weighted mean over scenarios of cash at Treasury discount factors and
    `liquidity_spread`, and its standard error under plain weighted sampling (conservative for Sobol points).
    pool_less_classes: pool value less market value of the classes, None where no pool value is given.
    base_value: base-case cash at `residual_yield` (annual fraction, bond-equivalent), which is loss-adjusted.
    irr_price: what the IRR quantiles are measured on. irr_quantiles: probability -> annual effective
    fraction; -1 where no cash comes at all. mean_cash: undiscounted weighted mean.
    """

    scenario_value: float
    scenario_value_se: float
    pool_less_classes: float | None
    base_value: float
    residual_yield: float
    liquidity_spread: float
    irr_price: float
    irr_quantiles: Mapping[float, float]
    mean_cash: float
    snapshot_date: date


def weighted_quantiles(values: ArrayLike, weights: ArrayLike, probabilities: ArrayLike) -> FloatArray:
    """Smallest value whose cumulative weight reaches p, for each p: the inverse of the weighted CDF."""
    order = np.argsort(np.asarray(values, dtype=float), kind="stable")
    sorted_values = np.asarray(values, dtype=float)[order]
    cumulative = np.cumsum(np.asarray(weights, dtype=float)[order])
    # A relative step below p, so that a cumulative weight equal to p but for float noise counts as reached.
    at = np.searchsorted(cumulative / cumulative[-1], np.asarray(probabilities) - 1e-12, side="left")
    return np.asarray(sorted_values[np.minimum(at, len(sorted_values) - 1)], dtype=float)


def price_weights(factor: ArrayLike, theta: float) -> FloatArray:
    """Pricing weights (S,) of mean 1 from a standard normal systematic factor (S,), low factor = bad times.

    w ~ exp(-theta Z - theta^2 / 2): each marginal default probability becomes
    Phi(Phi^-1(p) + sqrt(rho) theta) (Wang transform, J. Risk Insurance 67, 2000). Multiply them with the
    weights of the scenario set. theta: price of systematic risk per standard deviation.
    """
    z = np.asarray(factor, dtype=float)
    weights = np.exp(-theta * z - theta**2 / 2)
    return np.asarray(weights / weights.mean(), dtype=float)


def effective_size(weights: ArrayLike) -> float:
    """(sum w)^2 / sum w^2: how many equal scenarios the weighted ones are worth (Kish)."""
    w = np.asarray(weights, dtype=float)
    return float(w.sum() ** 2 / (w**2).sum())


def value_residual(
    cash: FloatArray,
    weights: ArrayLike,
    base_cash: ArrayLike,
    snapshot: MarketSnapshot,
    *,
    liquidity_spread: float = 0.0,
    residual_yield: float | None = None,
    pool_value: float | None = None,
    class_values: Mapping[str, float] | None = None,
    irr_price: float | None = None,
) -> ResidualValue:
    """Value the residual certificate from its cash (T, S) >= 0, weights (S,) and base-case cash (T,).

    residual_yield: the snapshot's where None. irr_price: the base value where None. pool_value and
    class_values (market values by class) come together, in currency units. Raises ValueError naming the
    argument.
    """
    paths = np.asarray(cash, dtype=float)
    w = np.asarray(weights, dtype=float)
    base = np.asarray(base_cash, dtype=float)
    if paths.ndim != 2 or w.shape != paths.shape[1:] or base.shape != paths.shape[:1]:
        raise ValueError(f"cash: shape {paths.shape} with weights {w.shape} and base_cash {base.shape}")
    if np.any(paths < 0):
        raise ValueError(f"cash: {paths.min()} is negative; a residual certificate pays nothing in")
    if (pool_value is None) != (class_values is None):
        raise ValueError("pool_value: give it together with class_values")
    years = np.arange(1, len(paths) + 1) / 12
    factors = snapshot.curve.discount(years) * np.exp(-liquidity_spread * years)
    values = factors @ paths
    shares = w / w.sum()
    mean = float(shares @ values)
    error = float(np.sqrt((shares**2) @ (values - mean) ** 2))
    at = snapshot.residual_yield if residual_yield is None else residual_yield
    base_value = float(price(base[None, :], at)[0])
    paid = base_value if irr_price is None else irr_price
    if not paid > 0:
        quantiles = dict.fromkeys(QUANTILES, float("nan"))
    else:
        solved = solve_yields(paths.T, np.full(paths.shape[1], paid), compounding="annual").yields
        returns = np.where(paths.any(axis=0), solved, -1.0)
        quantiles = dict(zip(QUANTILES, weighted_quantiles(returns, w, QUANTILES).tolist(), strict=True))
    rest = None
    if pool_value is not None and class_values is not None:
        rest = pool_value - sum(class_values.values())
    return ResidualValue(
        scenario_value=mean,
        scenario_value_se=error,
        pool_less_classes=rest,
        base_value=base_value,
        residual_yield=at,
        liquidity_spread=liquidity_spread,
        irr_price=paid,
        irr_quantiles=quantiles,
        mean_cash=float(shares @ paths.sum(axis=0)),
        snapshot_date=snapshot.as_of,
    )


@dataclass(frozen=True)
class RollForward:
    """Monthly roll-forward, each (T,) currency units: opening + accretion - cash = closing."""

    opening: FloatArray
    accretion: FloatArray
    cash: FloatArray
    closing: FloatArray


def roll_forward(base_cash: ArrayLike, residual_yield: float) -> RollForward:
    """Carry the base value forward at its yield (annual fraction, bond-equivalent); it ends at zero."""
    cash = np.asarray(base_cash, dtype=float)
    growth = (1 + residual_yield / 2) ** (1 / 6)
    opening, closing = np.empty_like(cash), np.empty_like(cash)
    value = 0.0
    for month in range(len(cash) - 1, -1, -1):
        closing[month] = value
        value = (value + cash[month]) / growth
        opening[month] = value
    return RollForward(opening, opening * (growth - 1), cash, closing)
