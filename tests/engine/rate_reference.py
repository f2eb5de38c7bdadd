"""All rates of a dated stream by a fine grid and Brent's method: the scalar reference of analytics.roots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

# Yearly log rates searched, as analytics.roots.BRACKET; two roots closer than a grid step of 0.0024 can be missed.
LOWEST, HIGHEST, POINTS = -12.0, 7.0, 8001


def grid_roots(times: ArrayLike, flows: ArrayLike) -> tuple[float, ...]:
    """Yearly log rates r, ascending, with sum of flows (T,) exp(-r times (T,)) = 0."""
    t, cash = np.asarray(times, dtype=float), np.asarray(flows, dtype=float)
    t, cash = t[cash != 0] - t[cash != 0].min(), cash[cash != 0]
    grid = np.linspace(LOWEST, HIGHEST, POINTS)

    def value(rate: float) -> float:
        exponent = -rate * t
        return float(cash @ np.exp(exponent - exponent.max()))

    values = np.array([value(rate) for rate in grid])
    found = [float(rate) for rate in grid[values == 0]]
    for left in np.flatnonzero(values[:-1] * values[1:] < 0):
        found.append(float(brentq(value, grid[left], grid[left + 1], xtol=1e-14)))
    return tuple(sorted(found))
