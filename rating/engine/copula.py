"""Copulas in closed form: conditional and joint default probabilities, and the large-pool limits, Gaussian and t.

X = sqrt(rho) G + sqrt(1 - rho) e; a loan with default probability p defaults when Phi(X) <= p, so a LOW
factor G is bad. Source: Vasicek, Probability of Loss on Loan Portfolio (1987); Loan Portfolio Value,
Risk (December 2002). Student-t: the same X over w, w**2 = W / v, W chi-square of v degrees of freedom, one W for the
whole pool (Demarta & McNeil 2005, The t copula and related copulas). Not here: months and cash, see simulation.py.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import gammainccinv, gammaincinv, gammaln, ndtr, ndtri, stdtrit

FloatArray = NDArray[np.float64]

BIVARIATE_NODES = 96
# Panels of the angle, each half as long as the last towards the top, where a correlation near one is steep.
BIVARIATE_PANELS = 12
MIXING_NODES = 257
MIXING_TAIL = 1e-17


def _probabilities(pd: ArrayLike, name: str = "pd") -> FloatArray:
    probability = np.asarray(pd, dtype=np.float64)
    outside = ~((probability >= 0) & (probability <= 1))
    if outside.any():
        raise ValueError(f"{name}: {float(probability[outside].flat[0])} is outside [0, 1]")
    return probability


def _check(pd: ArrayLike, rho: float) -> FloatArray:
    if not 0.0 <= rho < 1.0:
        raise ValueError(f"rho: {rho} is outside [0, 1)")
    return _probabilities(pd)


def _check_degrees(degrees_of_freedom: float) -> None:
    if not (degrees_of_freedom > 0 and math.isfinite(degrees_of_freedom)):
        raise ValueError(f"degrees_of_freedom: {degrees_of_freedom} is not positive and finite")


def conditional_pd(pd: ArrayLike, rho: float, factor: ArrayLike) -> FloatArray:
    """Default probability given the factor: Phi((Phi^-1(pd) - sqrt(rho) G) / sqrt(1 - rho)).

    pd and factor broadcast; pd in [0, 1], 0 <= rho < 1, factor on the standard normal scale.
    Raises ValueError naming pd or rho and the value outside its range.
    """
    probability = _check(pd, rho)
    return np.asarray(ndtr((ndtri(probability) - np.sqrt(rho) * np.asarray(factor)) / np.sqrt(1.0 - rho)))


def vasicek_cdf(share: ArrayLike, pd: float, rho: float) -> FloatArray:
    """P(default share <= x) of an infinite pool of equal loans; share in [0, 1], 0 < pd < 1, 0 < rho < 1."""
    _check_interior(pd, rho)
    x = _probabilities(share, "share")
    return np.asarray(ndtr((np.sqrt(1.0 - rho) * ndtri(x) - ndtri(pd)) / np.sqrt(rho)))


def vasicek_quantile(probability: ArrayLike, pd: float, rho: float) -> FloatArray:
    """Default share that is not exceeded with the given probability."""
    _check_interior(pd, rho)
    q = _probabilities(probability, "probability")
    return np.asarray(ndtr((ndtri(pd) + np.sqrt(rho) * ndtri(q)) / np.sqrt(1.0 - rho)))


def vasicek_std(pd: float, rho: float) -> float:
    """Standard deviation of the default share: sqrt(joint default probability - pd**2).

    Phi2(k, k; rho) - Phi(k)**2 = (1 / 2 pi) int_0^asin(rho) exp(-k**2 / (1 + sin t)) dt, with
    k = Phi^-1(pd) (Plackett 1954, d Phi2 / d rho is the bivariate density; substitution rho = sin t),
    by Gauss-Legendre: no cancellation when the correlation is small.
    """
    _check_interior(pd, rho)
    nodes, weights = leggauss(BIVARIATE_NODES)
    top = np.arcsin(rho)
    angle = 0.5 * top * (nodes + 1.0)
    density = np.exp(-(ndtri(pd) ** 2) / (1.0 + np.sin(angle))) / (2.0 * np.pi)
    return float(np.sqrt(0.5 * top * np.sum(weights * density)))


def default_covariance(pd_a: float, pd_b: float, rho: float, degrees_of_freedom: float | None = None) -> float:
    """Covariance of two default indicators whose latent variables correlate by rho, in [-1, 1].

    Gaussian: Phi2(a, b; rho) - Phi(a) Phi(b) = (1 / 2 pi) int_0^asin(rho) exp(-(a**2 + b**2 - 2 a b sin t) /
    (2 cos**2 t)) dt, a = Phi^-1(pd_a), b = Phi^-1(pd_b) (Plackett 1954). Student-t: the joint probability given the
    mixing variable, E[Phi2(q_a w, q_b w; rho)], less pd_a pd_b. rho = 1 and -1 are the Frechet bounds.

    Raises ValueError naming pd_a, pd_b, rho or degrees_of_freedom and the value outside its range.
    """
    first, second = float(_probabilities(pd_a, "pd_a")), float(_probabilities(pd_b, "pd_b"))
    if not -1.0 <= rho <= 1.0:
        raise ValueError(f"rho: {rho} is outside [-1, 1]")
    if degrees_of_freedom is not None:
        _check_degrees(degrees_of_freedom)
    if min(first, second) == 0.0 or max(first, second) == 1.0:
        return 0.0
    if rho == 1.0:
        return min(first, second) - first * second
    if rho == -1.0:
        return max(first + second - 1.0, 0.0) - first * second
    if degrees_of_freedom is None:
        return float(_excess(np.array([ndtri(first)]), np.array([ndtri(second)]), rho)[0])
    w, weights = mixing_nodes(degrees_of_freedom)
    a, b = stdtrit(degrees_of_freedom, first) * w, stdtrit(degrees_of_freedom, second) * w
    return float(np.sum(weights * (ndtr(a) * ndtr(b) + _excess(a, b, rho)))) - first * second


def joint_default(pd_a: float, pd_b: float, rho: float, degrees_of_freedom: float | None = None) -> float:
    """Probability that both loans default; arguments and errors as default_covariance."""
    return default_covariance(pd_a, pd_b, rho, degrees_of_freedom) + pd_a * pd_b


def default_correlation(pd_a: float, pd_b: float, rho: float, degrees_of_freedom: float | None = None) -> float:
    """Correlation of two default indicators, (joint - pd_a pd_b) / sqrt(pd_a (1 - pd_a) pd_b (1 - pd_b)).

    0 where one of them is certain. Arguments and errors as default_covariance.
    """
    covariance = default_covariance(pd_a, pd_b, rho, degrees_of_freedom)
    variance = pd_a * (1.0 - pd_a) * pd_b * (1.0 - pd_b)
    return covariance / math.sqrt(variance) if variance > 0 else 0.0


def _excess(a: FloatArray, b: FloatArray, rho: float) -> FloatArray:
    """(K,) Phi2(a, b; rho) - Phi(a) Phi(b) for (K,) thresholds, |rho| < 1."""
    nodes, weights = leggauss(BIVARIATE_NODES)
    edges = math.asin(rho) * np.append(1.0 - 0.5 ** np.arange(BIVARIATE_PANELS), 1.0)
    half = 0.5 * np.diff(edges)
    angle = (edges[:-1] + half)[:, None] + half[:, None] * nodes
    sine = np.sin(angle)
    form = (a * a + b * b)[:, None, None] - 2.0 * (a * b)[:, None, None] * sine
    density = np.exp(-form / (2.0 * np.cos(angle) ** 2)) / (2.0 * np.pi)
    return np.asarray(np.sum(density * weights * half[:, None], axis=(1, 2)))


# ------------------------------------------------------------------------------------------------- the Student-t copula
def mixing_nodes(degrees_of_freedom: float, count: int = MIXING_NODES) -> tuple[FloatArray, FloatArray]:
    """(K,) values of w = sqrt(W / v), W chi-square of v degrees, ascending, and their (K,) weights, sum 1.

    Trapezoid in y = ln w, whose density is proportional to exp(v y - v exp(2 y) / 2): smooth and decaying on both
    sides, so that the error falls exponentially with the number of nodes (Trefethen & Weideman 2014).
    """
    _check_degrees(degrees_of_freedom)
    half = 0.5 * degrees_of_freedom
    low, high = gammaincinv(half, MIXING_TAIL) / half, gammainccinv(half, MIXING_TAIL) / half
    y = 0.5 * np.linspace(math.log(max(low, 1e-300)), math.log(high), count)
    log = math.log(2.0) + half * math.log(half) - gammaln(half) + degrees_of_freedom * y - half * np.exp(2.0 * y)
    weights = np.exp(log) * (y[1] - y[0])
    return np.exp(y), weights / weights.sum()


def conditional_pd_t(
    pd: ArrayLike, rho: float, factor: ArrayLike, mixing: ArrayLike, degrees_of_freedom: float
) -> FloatArray:
    """Default probability given factor and mixing: Phi((t_v^-1(pd) w - sqrt(rho) G) / sqrt(1 - rho)).

    pd, factor and mixing broadcast; mixing w = sqrt(W / v) > 0. Raises ValueError as conditional_pd, and for mixing or
    degrees_of_freedom that are not positive.
    """
    probability = _check(pd, rho)
    _check_degrees(degrees_of_freedom)
    w = np.asarray(mixing, dtype=np.float64)
    if not (w > 0).all():
        raise ValueError(f"mixing: {float(w.min())} is not positive")
    scaled = _student_quantile(probability, degrees_of_freedom) * w
    return np.asarray(ndtr((scaled - np.sqrt(rho) * np.asarray(factor)) / np.sqrt(1.0 - rho)))


def _student_quantile(probability: FloatArray, degrees_of_freedom: float) -> FloatArray:
    # scipy answers +inf at a probability of zero.
    return np.asarray(np.where(probability > 0, stdtrit(degrees_of_freedom, probability), -np.inf))


def student_cdf(share: ArrayLike, pd: float, rho: float, degrees_of_freedom: float) -> FloatArray:
    """P(default share <= x) of an infinite pool of equal loans under the t copula; share any shape, in [0, 1].

    E over w of Phi((sqrt(1 - rho) Phi^-1(x) - t_v^-1(pd) w) / sqrt(rho)): given w the pool is Vasicek's.
    0 < pd < 1, 0 < rho < 1; raises ValueError naming the argument and its value.
    """
    _check_interior(pd, rho)
    w, weights = mixing_nodes(degrees_of_freedom)
    x = _probabilities(share, "share")[..., None]
    given = ndtr((np.sqrt(1.0 - rho) * ndtri(x) - stdtrit(degrees_of_freedom, pd) * w) / np.sqrt(rho))
    return np.asarray(np.sum(given * weights, axis=-1))


def student_quantile(probability: ArrayLike, pd: float, rho: float, degrees_of_freedom: float) -> FloatArray:
    """Default share that is not exceeded with the given probability under the t copula: student_cdf inverted."""
    _check_interior(pd, rho)
    levels = _probabilities(probability, "probability")
    w, weights = mixing_nodes(degrees_of_freedom)
    shift = stdtrit(degrees_of_freedom, pd) * w / np.sqrt(rho)
    slope = np.sqrt((1.0 - rho) / rho)
    found = np.array([_root(float(level), slope, shift, weights) for level in levels.ravel()])
    return np.asarray(ndtr(found)).reshape(levels.shape)


def _root(level: float, slope: float, shift: FloatArray, weights: FloatArray) -> float:
    """z with E[Phi(slope z - shift)] = level, on the smaller tail, where no digits are lost."""
    if level in (0.0, 1.0):
        return math.inf if level else -math.inf
    sign = 1.0 if level <= 0.5 else -1.0
    target = min(level, 1.0 - level)

    def gap(z: float) -> float:
        return float(np.sum(weights * ndtr(sign * (slope * z - shift)))) - target

    low, high = (float(shift.min()) - 40.0) / slope, (float(shift.max()) + 40.0) / slope
    return float(brentq(gap, low, high, xtol=1e-13, rtol=1e-14))


def _check_interior(pd: float, rho: float) -> None:
    if not 0.0 < pd < 1.0:
        raise ValueError(f"pd: {pd} is outside (0, 1)")
    if not 0.0 < rho < 1.0:
        raise ValueError(f"rho: {rho} is outside (0, 1)")
