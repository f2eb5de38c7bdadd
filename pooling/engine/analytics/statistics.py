"""Statistics of a measure over weighted scenarios, those without a value counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Distribution:
    """Shapes (...,) are those of the measure without its scenarios.

    defined: weight share of scenarios that have a value; mean, deviation (of the population): over these, NaN exactly
    where defined is 0. quantiles: (Q, ...) at `levels`: the smallest value with at least that share of the weight at or
    below it.
    """

    levels: tuple[float, ...]
    defined: FloatArray
    mean: FloatArray
    deviation: FloatArray
    quantiles: FloatArray


def distribution(
    values: ArrayLike, weights: ArrayLike | None = None, *, levels: Sequence[float] = (0.05, 0.5, 0.95)
) -> Distribution:
    """Statistics of values (..., S); NaN is a scenario without one. weights: (S,) >= 0, None for equal ones.

    Raises ValueError for weights or levels that do not fit.
    """
    table = np.asarray(values, dtype=np.float64)
    given = np.ones(table.shape[-1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != table.shape[-1:] or np.any(given < 0.0) or not given.sum() > 0.0:
        raise ValueError(f"weights: shape {given.shape}, expected ({table.shape[-1]},), none negative and not all 0")
    if any(not 0.0 <= level <= 1.0 for level in levels):
        raise ValueError(f"levels: {tuple(levels)} must lie from 0 to 1")
    present = np.isfinite(table)
    weight = np.where(present, given, 0.0)
    total = weight.sum(axis=-1)
    known = total > 0.0
    safe = np.where(known, total, 1.0)
    filled = np.where(present, table, 0.0)
    mean = np.where(known, (filled * weight).sum(axis=-1) / safe, np.nan)
    centred = np.where(present, table - mean[..., None], 0.0)
    deviation = np.where(known, np.sqrt((centred**2 * weight).sum(axis=-1) / safe), np.nan)
    order = np.argsort(np.where(weight > 0.0, table, np.inf), axis=-1, kind="stable")
    ranked = np.take_along_axis(table, order, axis=-1)
    # As shares of the total, with a hair for rounding: 0.5 of ten equal weights is the fifth value.
    share = np.cumsum(np.take_along_axis(weight, order, axis=-1), axis=-1) / safe[..., None] * (1.0 + 1e-12)
    places = [np.argmax((share >= level) & (share > 0.0), axis=-1)[..., None] for level in levels]
    cuts = [np.take_along_axis(ranked, place, axis=-1)[..., 0] for place in places]
    quantiles = np.stack([np.where(known, cut, np.nan) for cut in cuts]) if cuts else np.empty((0, *mean.shape))
    return Distribution(tuple(levels), total / given.sum(), mean, deviation, quantiles)
