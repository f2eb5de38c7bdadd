"""Weighted means, ratios, quantiles and tails with their standard errors: the only statistics the rating uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error, in the unit of the figure; reached False: beyond what the scenarios show."""

    value: float
    error: float
    reached: bool = True


def _pair(values: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray]:
    x, w = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if x.ndim != 1 or x.shape != w.shape or not len(x):
        raise ValueError(f"weights: shape {w.shape}, expected {x.shape} and at least one scenario")
    if not np.isfinite(x).all():
        raise ValueError("values: hold a value that is not finite")
    if not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise ValueError("weights: must be finite, >= 0 and not all zero")
    return x, w


def weighted_mean(values: ArrayLike, weights: ArrayLike) -> tuple[float, float]:
    """Self-normalised mean sum w x / sum w of (S,) values and its standard error.

    Standard error of the ratio estimator: sqrt(sum w**2 (x - mean)**2) / sum w (Owen, Monte Carlo theory,
    methods and examples, 2013, eq. 9.9). It takes the scenarios for independent, so under scrambled Sobol
    points it is conservative: their true error is smaller.
    """
    x, w = _pair(values, weights)
    total = w.sum()
    mean = float((w * x).sum() / total)
    return mean, float(np.sqrt(np.square(w * (x - mean)).sum()) / total)


def weighted_quantile(values: ArrayLike, weights: ArrayLike, probability: float) -> float:
    """Smallest value whose cumulative weight share reaches the probability in (0, 1]."""
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"probability: {probability} is outside (0, 1]")
    x, w = _pair(values, weights)
    order = np.argsort(x, kind="stable")
    reached = np.cumsum(w[order])
    index = int(np.searchsorted(reached, probability * reached[-1], side="left"))
    return float(x[order[min(index, len(x) - 1)]])


def weighted_share_below(values: ArrayLike, weights: ArrayLike, level: float) -> float:
    """Weight share of the values at or below the level."""
    x, w = _pair(values, weights)
    return float(w[x <= level].sum() / w.sum())


def weighted_ratio(above: ArrayLike, below: ArrayLike, weights: ArrayLike) -> Estimate | None:
    """E[above] / E[below] of (S,) values, e.g. loss given default; None where the lower mean is 0.

    Standard error by linearisation: sqrt(sum w**2 (x - R y)**2) / |sum w y| (Owen, as above, eq. 2.30 and 9.9).
    """
    x, w = _pair(above, weights)
    y, _ = _pair(below, weights)
    total = float((w * y).sum())
    if total == 0.0:
        return None
    ratio = float((w * x).sum()) / total
    return Estimate(ratio, float(np.sqrt(np.square(w * (x - ratio * y)).sum())) / abs(total))


def weighted_deviation(values: ArrayLike, weights: ArrayLike) -> float:
    """Weighted standard deviation (of the population) of (S,) values."""
    x, w = _pair(values, weights)
    mean = (w * x).sum() / w.sum()
    return float(np.sqrt((w * np.square(x - mean)).sum() / w.sum()))


def weighted_quantiles(values: ArrayLike, weights: ArrayLike, probabilities: Sequence[float]) -> FloatArray:
    """(P, T) quantiles of (T, S) values along their last axis; each as weighted_quantile of that row."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values: shape {table.shape}, expected (rows, scenarios)")
    rows = [[weighted_quantile(row, weights, p) for p in probabilities] for row in table]
    return np.asarray(rows, dtype=np.float64).reshape(len(table), len(probabilities)).T


def quantile_estimate(values: ArrayLike, weights: ArrayLike, probability: float) -> Estimate:
    """Weighted quantile with its standard error from the order statistics around it.

    Error of the weight share at the quantile, e = sqrt(sum w**2 (1{x <= q} - p)**2) / sum w, turned into the unit of
    the values by the quantiles themselves: a quarter of the distance from Q(p - 2 e) to Q(p + 2 e) (Woodruff 1952,
    Confidence intervals for medians and other position measures, JASA 47), which is e over the density where there is
    one; two errors wide, as one alone rests on too few order statistics. reached is False where p + 2 e passes 1 or the
    tail beyond holds no scenario: the error then covers the lower side alone and is a lower bound.
    """
    x, w = _pair(values, weights)
    found = weighted_quantile(x, w, probability)
    error = float(np.sqrt(np.square(w * ((x <= found) - probability)).sum()) / w.sum())
    low = weighted_quantile(x, w, max(probability - 2.0 * error, 1e-300))
    high = weighted_quantile(x, w, min(probability + 2.0 * error, 1.0))
    reached = probability + 2.0 * error < 1.0 and bool((w[x > found] > 0).any())
    return Estimate(found, (high - low) / 4.0 if reached else max(found - low, high - found) / 2.0, reached)


def expected_shortfall(values: ArrayLike, weights: ArrayLike, probability: float) -> Estimate:
    """Mean of the worst 1 - probability of (S,) values, the scenario at the quantile counted in part.

    ES = q + E[(x - q)+] / (1 - p) (Rockafellar & Uryasev 2000, Optimization of conditional value-at-risk), standard
    error from its influence function q + (x - q)+ / (1 - p) - ES with the quantile held: its own error is of second
    order, because q minimises that expression. reached as quantile_estimate.
    """
    if not 0.0 < probability < 1.0:
        raise ValueError(f"probability: {probability} is outside (0, 1)")
    quantile = quantile_estimate(values, weights, probability)
    x, w = _pair(values, weights)
    influence = quantile.value + np.maximum(x - quantile.value, 0.0) / (1.0 - probability)
    mean, error = weighted_mean(influence, w)
    return Estimate(mean, error, quantile.reached)
