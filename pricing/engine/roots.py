"""All internal rates of return of a dated stream of flows, not only the one that a solver happens to meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

FloatArray = NDArray[np.float64]

# Yearly log rates searched: from a loss of 99.9994 % a year to a gain of 109,563 %.
LOWEST, HIGHEST, POINTS = -12.0, 7.0, 8001
ROOT_TOLERANCE = 1e-14


def _value(times: FloatArray, flows: FloatArray, rate: float) -> float:
    """Present value at a yearly log rate, scaled by its largest discount factor so that nothing overflows."""
    exponent = -rate * times
    return float(flows @ np.exp(exponent - exponent.max()))


def rate_roots(times: ArrayLike, flows: ArrayLike) -> tuple[float, ...]:
    """Yearly log rates r, ascending, with sum of flows exp(-r times) = 0.

    times: (T,) years, any order; flows: (T,) currency units. The annual effective rate is exp(r) - 1.
    Sign changes on a grid of 8,001 points over [-12, 7] are refined by Brent's method; two roots closer than
    one grid step (0.0024) can be missed. Raises ValueError where shapes differ or a number is not finite.
    """
    t, cash = np.asarray(times, dtype=float), np.asarray(flows, dtype=float)
    if t.shape != cash.shape or t.ndim != 1:
        raise ValueError(f"flows: shape {cash.shape}, expected {t.shape}")
    if not (np.all(np.isfinite(t)) and np.all(np.isfinite(cash))):
        raise ValueError("flows: a time or a flow is not finite")
    t, cash = t[cash != 0], cash[cash != 0]
    if len(cash) < 2 or np.all(cash > 0) or np.all(cash < 0):
        return ()
    t = t - t.min()
    grid = np.linspace(LOWEST, HIGHEST, POINTS)
    exponents = -grid[:, None] * t
    values = (np.exp(exponents - exponents.max(axis=1, keepdims=True)) * cash).sum(axis=1)
    found = [float(rate) for rate in grid[values == 0]]
    for left in np.flatnonzero(values[:-1] * values[1:] < 0):
        low, high = float(grid[left]), float(grid[left + 1])
        found.append(float(brentq(lambda rate: _value(t, cash, rate), low, high, xtol=ROOT_TOLERANCE)))
    return tuple(sorted(found))


def xirr(times: ArrayLike, flows: ArrayLike) -> tuple[float, int]:
    """(annual effective rate nearest to zero, number of roots); (NaN, 0) where no rate solves the stream."""
    found = rate_roots(times, flows)
    if not found:
        return float("nan"), 0
    return float(np.expm1(min(found, key=abs))), len(found)
