"""Weighted means, standard errors and quantiles: the only statistics the rating uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


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
