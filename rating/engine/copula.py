"""The Gaussian one-factor copula: conditional default probability and Vasicek's large-pool limit.

X = sqrt(rho) G + sqrt(1 - rho) e; a loan with default probability p defaults when Phi(X) <= p, so a LOW
factor G is bad. Source: Vasicek, Probability of Loss on Loan Portfolio (1987); Loan Portfolio Value,
Risk (December 2002). Not here: months and cash, see simulation.py.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

FloatArray = NDArray[np.float64]

BIVARIATE_NODES = 96


def _check(pd: ArrayLike, rho: float) -> FloatArray:
    if not 0.0 <= rho < 1.0:
        raise ValueError(f"rho: {rho} is outside [0, 1)")
    probability = np.asarray(pd, dtype=np.float64)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError("pd: outside [0, 1]")
    return probability


def conditional_pd(pd: ArrayLike, rho: float, factor: ArrayLike) -> FloatArray:
    """Default probability given the factor: Phi((Phi^-1(pd) - sqrt(rho) G) / sqrt(1 - rho)).

    pd and factor broadcast; pd in [0, 1], 0 <= rho < 1, factor on the standard normal scale.
    """
    probability = _check(pd, rho)
    return np.asarray(ndtr((ndtri(probability) - np.sqrt(rho) * np.asarray(factor)) / np.sqrt(1.0 - rho)))


def vasicek_cdf(share: ArrayLike, pd: float, rho: float) -> FloatArray:
    """P(default share <= x) of an infinite pool of equal loans; share in [0, 1], 0 < pd < 1, 0 < rho < 1."""
    _check_interior(pd, rho)
    x = np.asarray(share, dtype=np.float64)
    return np.asarray(ndtr((np.sqrt(1.0 - rho) * ndtri(x) - ndtri(pd)) / np.sqrt(rho)))


def vasicek_quantile(probability: ArrayLike, pd: float, rho: float) -> FloatArray:
    """Default share that is not exceeded with the given probability."""
    _check_interior(pd, rho)
    q = np.asarray(probability, dtype=np.float64)
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


def _check_interior(pd: float, rho: float) -> None:
    if not 0.0 < pd < 1.0:
        raise ValueError(f"pd: {pd} is outside (0, 1)")
    if not 0.0 < rho < 1.0:
        raise ValueError(f"rho: {rho} is outside (0, 1)")
