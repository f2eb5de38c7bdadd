"""The Treasury par curve of one date and the discount factors that follow from it: par, zero and forward views."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from pooling.engine.analytics.conventions import Compounding, rate_of
from pricing.engine.zero_curve import MonotoneConvex, coupon_times, fitted

FloatArray = NDArray[np.float64]

PAR_INTERPOLATIONS = ("pchip", "linear")  # of the published par yields
INTERPOLATIONS = (*PAR_INTERPOLATIONS, "monotone_convex")  # of the forward rates
HALF_YEAR = 0.5
LOWEST_RATE, HIGHEST_RATE = -0.05, 1.0
NOISE = 1e-12  # a forward rate below its floor by less is rounding


def par_yields(tenors: ArrayLike, yields: ArrayLike, years: ArrayLike, interpolation: str = "pchip") -> FloatArray:
    """Par yields at `years`, interpolated between the published points and flat beyond them.

    tenors: (P,) years ascending; yields: (P,) annual fractions, bond-equivalent (semi-annual); years: any
    shape. "pchip" is the monotone cubic of Fritsch and Carlson (SIAM J. Numer. Anal. 17, 1980): it overshoots
    no published point; "linear" joins the points by lines. Raises ValueError for another name.
    """
    if interpolation not in PAR_INTERPOLATIONS:
        raise ValueError(f"interpolation: {interpolation!r} is not one of {', '.join(PAR_INTERPOLATIONS)}")
    x, y = np.asarray(tenors, dtype=float), np.asarray(yields, dtype=float)
    at = np.clip(np.asarray(years, dtype=float), x[0], x[-1])
    if interpolation == "linear":
        return np.asarray(np.interp(at, x, y), dtype=float)
    return np.asarray(PchipInterpolator(x, y)(at), dtype=float)


@dataclass(frozen=True)
class TreasuryCurve:
    """Constant-maturity par curve and the discount factors bootstrapped from it.

    tenors: years, strictly ascending. yields: annual fractions, bond-equivalent. interpolation: "pchip" or
    "linear" of the par yields, see par_yields; "monotone_convex" of the forward rates, see
    pricing.engine.zero_curve. Up to half a year a point is a bill, quoted with simple interest (31 CFR 356,
    appendix B, section VI): D(t) = 1 / (1 + y t). From there a par bond pays y/2 twice a year, so
    D_n = (1 - y/2 sum of earlier D) / (1 + y/2) at each half year; between half years ln D is linear.

    Raises ValueError where a point is out of order or out of range, where no discount factors fit, or where
    the curve is crossed: it implies a negative forward rate although no published yield is negative (with
    negative yields, one below LOWEST_RATE).
    """

    tenors: tuple[float, ...]
    yields: tuple[float, ...]
    interpolation: str = "pchip"

    def __post_init__(self) -> None:
        if len(self.tenors) != len(self.yields) or len(self.tenors) < 2:
            raise ValueError(f"treasury: {len(self.tenors)} tenors and {len(self.yields)} yields")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation: {self.interpolation!r} is not one of {', '.join(INTERPOLATIONS)}")
        if not all(np.isfinite(self.tenors)) or self.tenors[0] <= 0:
            raise ValueError(f"tenors: {self.tenors} are not positive and strictly ascending")
        if any(later <= earlier for earlier, later in pairwise(self.tenors)):
            raise ValueError(f"tenors: {self.tenors} are not positive and strictly ascending")
        for tenor, value in zip(self.tenors, self.yields, strict=True):
            if not LOWEST_RATE < value < HIGHEST_RATE:
                raise ValueError(f"yields: {value} at {tenor} years is no annual fraction between -0.05 and 1")
        self._refuse_crossed()

    def _refuse_crossed(self) -> None:
        """Forward rates between bills, half years and published points must not lie below the floor."""
        bills = [tenor for tenor in self.tenors if tenor < HALF_YEAR]
        halves = np.arange(HALF_YEAR, self.tenors[-1] + HALF_YEAR / 2, HALF_YEAR)
        knots = np.unique(np.concatenate([[0.0], bills, halves, self.tenors if self._convex else []]))
        forwards = -np.diff(np.log(self.discount(knots))) / np.diff(knots)
        floor = 0.0 if min(self.yields) >= 0 else LOWEST_RATE
        n = int(np.argmin(forwards))
        if forwards[n] < floor - NOISE:
            because = "although no yield is negative" if floor == 0 else f"below {LOWEST_RATE:.0%}"
            raise ValueError(
                f"yields: the curve is crossed: between {knots[n]:g} and {knots[n + 1]:g} years it implies a forward "
                f"rate of {forwards[n]:.2%}, {because}; check the points around"
            )

    @property
    def _convex(self) -> MonotoneConvex | None:
        return self._fitted if self.interpolation == "monotone_convex" else None

    @cached_property
    def _fitted(self) -> MonotoneConvex:
        return fitted(np.asarray(self.tenors, dtype=float), np.asarray(self.yields, dtype=float))

    def par(self, years: ArrayLike) -> FloatArray:
        """Interpolated par yield at `years` (any shape), annual fraction, bond-equivalent.

        Flat beyond the published points. "monotone_convex": the coupon at which a bond of that maturity is
        worth par on the curve, simple up to half a year.
        """
        if self._convex is None:
            return par_yields(self.tenors, self.yields, years, self.interpolation)
        at = np.clip(np.asarray(years, dtype=float), self.tenors[0], self.tenors[-1])
        return np.array([self._par_of(float(tenor)) for tenor in at.ravel()]).reshape(at.shape)

    def _par_of(self, tenor: float) -> float:
        times, fractions = coupon_times(tenor)
        factors = self.discount(times)
        return float((1 - factors[-1]) / (fractions @ factors))

    @cached_property
    def _nodes(self) -> tuple[FloatArray, FloatArray]:
        """(half-yearly times from 0, ln D at them), bootstrapped from the interpolated par yields."""
        times = np.arange(0.0, np.ceil(self.tenors[-1] * 2) / 2 + HALF_YEAR / 2, HALF_YEAR)
        factors = np.ones_like(times)
        coupons = self.par(times) / 2
        for n in range(1, len(times)):
            factors[n] = (1 - coupons[n] * factors[1:n].sum()) / (1 + coupons[n])
            if factors[n] <= 0:
                raise ValueError(
                    f"yields: the coupons up to {times[n]:g} years are worth more than par: no curve gives this yield"
                )
        return times, np.log(factors)

    def discount(self, years: ArrayLike) -> FloatArray:
        """Discount factors at `years` (any shape, >= 0); beyond the last node the last forward goes on."""
        at = np.asarray(years, dtype=float)
        if np.any(at < 0):
            raise ValueError(f"years: {at.min()} is negative")
        if self._convex is not None:
            return np.asarray(np.exp(self._convex.log_discount(at)), dtype=float)
        times, logs = self._nodes
        inside = np.interp(at, times, logs)
        slope = (logs[-1] - logs[-2]) / HALF_YEAR
        beyond = logs[-1] + slope * (at - times[-1])
        bill = -np.log1p(self.par(at) * at)
        logs_at = np.where(at <= HALF_YEAR, bill, np.where(at > times[-1], beyond, inside))
        return np.asarray(np.exp(logs_at), dtype=float)

    def zero(self, years: ArrayLike, compounding: Compounding) -> FloatArray:
        """Zero rates at `years` (any shape, > 0), annual fractions: D(t) = (1 + z / m)^(-m t)."""
        at = np.asarray(years, dtype=float)
        if np.any(at <= 0):
            raise ValueError(f"years: {at.min()} is not above 0; a zero rate needs time")
        return rate_of(-np.log(self.discount(at)) / at, compounding)

    def forward(self, start: ArrayLike, end: ArrayLike, compounding: Compounding | None) -> FloatArray:
        """Forward rates from `start` to `end` years (broadcast), annual fractions; None is simple interest."""
        first, last = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
        if np.any(last <= first):
            raise ValueError(f"end: {last.min()} years is not after start; a forward rate needs time")
        growth = np.log(self.discount(first) / self.discount(last))
        if compounding is None:
            return np.asarray(np.expm1(growth) / (last - first))
        return rate_of(growth / (last - first), compounding)

    def shifted(self, shift: float) -> TreasuryCurve:
        """The curve with every published yield higher by `shift`, an annual fraction."""
        return TreasuryCurve(self.tenors, tuple(value + shift for value in self.yields), self.interpolation)


def staleness_caution(as_of: dt.date, on: dt.date, limit_days: int) -> str:
    """In words that a curve is too old or not yet known on a date; "" where neither. limit_days: calendar days."""
    days = (on - as_of).days
    if days < 0:
        return f"the curve is of {as_of}, after {on}: it was not known then"
    if days > limit_days:
        return f"the curve of {as_of} is {days} days old on {on}, more than {limit_days}: load a later snapshot"
    return ""
