"""Monotone convex interpolation of forward rates, and the par curve that it fits.

Hagan and West, "Interpolation methods for curve construction", Applied Mathematical Finance 13 (2006), and "Methods for
constructing a yield curve", Wilmott (2008). It reproduces every discrete forward rate exactly; where no discrete
forward is negative no forward is; and its forward curve is continuous, but for the limit in which the forward at a knot
equals the discrete forward beside it: the published shape then drops at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

FIT_LIMIT, FIT_TOLERANCE = 500, 1e-15


@dataclass(frozen=True)
class MonotoneConvex:
    """Continuous forward rates over (0, times[-1]].

    times: (n,) years, ascending from above 0. logs: (n,) minus ln of the discount factor at each. Beyond the last time
    the last forward rate goes on.
    """

    times: FloatArray
    logs: FloatArray

    @cached_property
    def _forwards(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Knots (n + 1,) from 0, discrete forwards (n,) between them, and forwards (n + 1,) at them."""
        knots = np.concatenate([[0.0], self.times])
        gaps = np.diff(knots)
        discrete = np.diff(self.logs, prepend=0.0) / gaps
        if len(discrete) == 1:
            return knots, discrete, np.repeat(discrete, 2)
        inner = (gaps[:-1] * discrete[1:] + gaps[1:] * discrete[:-1]) / (gaps[:-1] + gaps[1:])
        first = discrete[0] - (inner[0] - discrete[0]) / 2
        last = discrete[-1] - (inner[-1] - discrete[-1]) / 2
        ends = np.concatenate([[first], inner, [last]])
        if discrete.min() >= 0.0:  # the collar that keeps forwards positive; with negative ones there is none to keep
            most = 2 * np.minimum(np.append(discrete, discrete[-1]), np.concatenate([discrete[:1], discrete]))
            ends = np.clip(ends, 0.0, most)
        return knots, discrete, ends

    def _at(self, years: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Forward rate, and its integral from 0, at years (any shape, >= 0)."""
        knots, discrete, ends = self._forwards
        inside = np.minimum(years, knots[-1])
        i = np.clip(np.searchsorted(knots, inside, side="left") - 1, 0, len(discrete) - 1)
        gap = knots[i + 1] - knots[i]
        x = (inside - knots[i]) / gap
        bend, area = _shape(ends[i] - discrete[i], ends[i + 1] - discrete[i], x)
        before = np.concatenate([[0.0], self.logs])[i]
        total = before + gap * (discrete[i] * x + area) + ends[-1] * (years - inside)
        return discrete[i] + bend, total

    def forward(self, years: ArrayLike) -> FloatArray:
        """Instantaneous forward rates, annual fractions, continuous, at years (any shape, >= 0)."""
        return np.asarray(self._at(np.asarray(years, dtype=float))[0])

    def log_discount(self, years: ArrayLike) -> FloatArray:
        """ln of the discount factors at years (any shape, >= 0)."""
        return np.asarray(-self._at(np.asarray(years, dtype=float))[1])


def _shape(g0: FloatArray, g1: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Hagan and West's g(x) between two knots and its integral from 0: forward less discrete forward, of integral 0.

    g0, g1: at the knots; x in [0, 1]. Their four sectors: (i) one parabola is monotone enough; (ii) flat, then bent;
    (iii) bent, then flat; (iv) two parabolas that meet at a level between 0 and the other sign.
    """
    flip = np.where((g0 < 0) | ((g0 == 0) & (g1 < 0)), -1.0, 1.0)
    a, b = g0 * flip, g1 * flip  # a >= 0 from here
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (b <= -a / 2) & (b >= -2 * a)
        two = b < -2 * a
        three = (b > -a / 2) & (b < 0)
        knee = np.select([two, three, b >= 0], [(b + 2 * a) / (b - a), 3 * b / (b - a), b / (a + b)], 0.0)
        left, right = np.maximum(knee - x, 0.0), np.maximum(x - knee, 0.0)
        level = np.select([two, three, b >= 0], [a, b, -a * b / (a + b)], 0.0)
        # A bent part before the knee falls from a to the level, one after it goes on from the level to b.
        fall = np.where(left > 0, (a - level) * (left / knee) ** 2, 0.0)
        rise = np.where(right > 0, (b - level) * (right / (1 - knee)) ** 2, 0.0)
        fall_area = np.where(knee > 0, (a - level) * (knee - np.where(left > 0, left**3 / knee**2, 0.0)) / 3, 0.0)
        rise_area = np.where(right > 0, (b - level) * right**3 / (1 - knee) ** 2 / 3, 0.0)
    bend = np.where(one, a * (1 - 4 * x + 3 * x**2) + b * (3 * x**2 - 2 * x), level + fall + rise)
    area = np.where(one, a * (x - 2 * x**2 + x**3) + b * (x**3 - x**2), level * x + fall_area + rise_area)
    still = (a == 0) & (b == 0)
    return np.where(still, 0.0, flip * bend), np.where(still, 0.0, flip * area)


def fitted(tenors: FloatArray, yields: FloatArray) -> MonotoneConvex:
    """The curve on which every published point is worth par.

    tenors: (n,) years; yields: (n,) annual fractions, simple up to half a year and semi-annual par yields from there,
    with a first coupon in proportion where a tenor is no whole number of half years. Hagan and West's iteration: the
    last discount factor of each bond follows from the others, which are interpolated. Raises ValueError naming the
    point that cannot be reached.
    """
    coupons = [coupon_times(tenor) for tenor in tenors]
    paid = np.concatenate([times[:-1] for times, _ in coupons])
    owner = np.repeat(np.arange(len(tenors)), [len(times) - 1 for times, _ in coupons])
    years = np.concatenate([fractions[:-1] for _, fractions in coupons])
    stub = np.array([fractions[-1] for _, fractions in coupons])  # the last coupon's period
    logs = np.log1p(yields * tenors)
    for _ in range(FIT_LIMIT):
        worth = years * np.exp(MonotoneConvex(tenors, logs).log_discount(paid))
        left = 1.0 - yields * np.bincount(owner, worth, minlength=len(tenors))
        if np.any(left <= 0.0):
            at = tenors[np.argmin(left)]
            raise ValueError(
                f"yields: the coupons up to {at:g} years are worth more than par: no curve gives this yield"
            )
        moved = np.log1p(yields * stub) - np.log(left)
        if np.abs(moved - logs).max() <= FIT_TOLERANCE * (1.0 + np.abs(moved).max()):
            return MonotoneConvex(tenors, moved)
        logs = moved
    raise ValueError(f"yields: no curve fits all points after {FIT_LIMIT} passes; check for a point out of line")


def coupon_times(tenor: float) -> tuple[FloatArray, FloatArray]:
    """Times in years of the coupons of a par bond, the last at `tenor`, and the year fraction that each pays for."""
    count = max(int(np.ceil(tenor * 2 - 1e-9)), 1)
    times = tenor - np.arange(count - 1, -1, -1) / 2
    return times, np.diff(times, prepend=0.0)
