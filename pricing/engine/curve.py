"""The Treasury par curve of one date and the discount factors that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

FloatArray = NDArray[np.float64]

INTERPOLATIONS = ("pchip", "linear")
HALF_YEAR = 0.5


def par_yields(tenors: ArrayLike, yields: ArrayLike, years: ArrayLike, interpolation: str = "pchip") -> FloatArray:
    """Par yields at `years`, interpolated between the published points and flat beyond them.

    tenors: (P,) years ascending; yields: (P,) annual fractions, bond-equivalent (semi-annual); years: any
    shape. "pchip" is the monotone cubic of Fritsch and Carlson (SIAM J. Numer. Anal. 17, 1980): it overshoots
    no published point; "linear" joins the points by lines. Raises ValueError for another name.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation: {interpolation!r} is not one of {', '.join(INTERPOLATIONS)}")
    x, y = np.asarray(tenors, dtype=float), np.asarray(yields, dtype=float)
    at = np.clip(np.asarray(years, dtype=float), x[0], x[-1])
    if interpolation == "linear":
        return np.asarray(np.interp(at, x, y), dtype=float)
    return np.asarray(PchipInterpolator(x, y)(at), dtype=float)


@dataclass(frozen=True)
class TreasuryCurve:
    """Constant-maturity par curve and the discount factors bootstrapped from it.

    tenors: years, strictly ascending. yields: annual fractions, bond-equivalent. interpolation: of the par
    yields, see par_yields. Up to half a year a point is a bill, quoted with simple interest (31 CFR 356,
    appendix B, section VI): D(t) = 1 / (1 + y t). From there a par bond pays y/2 twice a year, so
    D_n = (1 - y/2 sum of earlier D) / (1 + y/2) at each half year; between half years ln D is linear.
    """

    tenors: tuple[float, ...]
    yields: tuple[float, ...]
    interpolation: str = "pchip"

    def __post_init__(self) -> None:
        if len(self.tenors) != len(self.yields) or len(self.tenors) < 2:
            raise ValueError(f"treasury: {len(self.tenors)} tenors and {len(self.yields)} yields")
        if any(later <= earlier for earlier, later in pairwise(self.tenors)) or self.tenors[0] <= 0:
            raise ValueError(f"tenors: {self.tenors} are not positive and strictly ascending")
        for tenor, value in zip(self.tenors, self.yields, strict=True):
            if not -0.05 < value < 1.0:
                raise ValueError(f"yields: {value} at {tenor} years is no annual fraction between -0.05 and 1")

    def par(self, years: ArrayLike) -> FloatArray:
        """Interpolated par yield at `years` (any shape), annual fraction, bond-equivalent."""
        return par_yields(self.tenors, self.yields, years, self.interpolation)

    @cached_property
    def _nodes(self) -> tuple[FloatArray, FloatArray]:
        """(half-yearly times from 0, ln D at them), bootstrapped from the interpolated par yields."""
        times = np.arange(0.0, np.ceil(self.tenors[-1] * 2) / 2 + HALF_YEAR / 2, HALF_YEAR)
        factors = np.ones_like(times)
        coupons = self.par(times) / 2
        for n in range(1, len(times)):
            factors[n] = (1 - coupons[n] * factors[1:n].sum()) / (1 + coupons[n])
        if np.any(factors <= 0):
            raise ValueError(f"yields: discount factor {factors.min():.4g}, the par curve cannot be bootstrapped")
        return times, np.log(factors)

    def discount(self, years: ArrayLike) -> FloatArray:
        """Discount factors at `years` (any shape, >= 0); beyond the last node the last forward goes on."""
        at = np.asarray(years, dtype=float)
        if np.any(at < 0):
            raise ValueError(f"years: {at.min()} is negative")
        times, logs = self._nodes
        inside = np.interp(at, times, logs)
        slope = (logs[-1] - logs[-2]) / HALF_YEAR
        beyond = logs[-1] + slope * (at - times[-1])
        bill = -np.log1p(self.par(at) * at)
        logs_at = np.where(at <= HALF_YEAR, bill, np.where(at > times[-1], beyond, inside))
        return np.asarray(np.exp(logs_at), dtype=float)
