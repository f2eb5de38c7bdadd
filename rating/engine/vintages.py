"""What the spread of default shares between issue quarters says: asset correlation, level uncertainty, severity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri

from rating.engine.hazards import DEFAULTED, History, TermStructure, observe

FloatArray = NDArray[np.float64]

MIN_QUARTERS = 6
MIN_EXPECTED_DEFAULTS = 3.0
CORRELATION_GRID = np.concatenate([[1e-4], np.linspace(0.001, 0.3, 300)])
# Half the 95 % point of chi-square with one degree of freedom: the likelihood-ratio interval.
HALF_CHI2_95 = 1.9207
FACTOR_NODES, FACTOR_WEIGHTS = hermegauss(64)
# Neighbouring quarters share an economy: four of them count as one observation of the level (assumption).
QUARTERS_PER_OBSERVATION = 4.0
MIN_CHARGE_OFFS = 50


@dataclass(frozen=True)
class VintageEstimate:
    """correlation with its 95 % interval; level_sigma: sd of the log of the mean default level;
    quarters: number used; ratios: observed over expected defaults of each."""

    correlation: float
    low: float
    high: float
    level_sigma: float
    quarters: int
    ratios: tuple[float, ...]


def vintage_estimate(history: History, structure: TermStructure) -> VintageEstimate | None:
    """Maximum likelihood of the asset correlation over issue quarters; None with fewer than six usable ones.

    A quarter of N loans expects p N defaults, p N the sum of fitted hazards over its loan-months (the compensator).
    Given the quarter's factor, defaults are binomial with the conditional probability of the Gaussian copula;
    factors are integrated out by Gauss-Hermite quadrature (Gordy & Heitfield 2002, Estimating default
    correlations from short panels of credit rating performance data). Interval: likelihood ratio, 95 %.
    Level: variance of the log ratios observed / expected, less its sampling part, over quarters / 4.
    """
    observed = observe(history, structure.cutoff_month, structure.charge_off_lag)
    known = observed.history
    cumulative = np.concatenate(
        [np.zeros((*structure.default_hazard.shape[:2], 1)), np.cumsum(-np.expm1(-structure.default_hazard), axis=2)],
        axis=2,
    )
    grade = np.array([structure.grades.index(str(item)) for item in known.grade])
    expected = cumulative[grade, np.searchsorted(structure.terms, known.term), observed.months]
    quarters, index = np.unique(known.issue_month // 3, return_inverse=True)
    size = np.bincount(index[observed.months > 0], minlength=len(quarters)).astype(np.float64)
    hoped = np.bincount(index, expected)
    found = np.bincount(index, observed.kind == DEFAULTED).astype(np.float64)
    use = hoped >= MIN_EXPECTED_DEFAULTS
    if use.sum() < MIN_QUARTERS:
        return None
    size, hoped, found = size[use], hoped[use], found[use]
    likelihood = np.array([_log_likelihood(rho, size, found, hoped / size) for rho in CORRELATION_GRID])
    best = int(np.argmax(likelihood))
    inside = CORRELATION_GRID[likelihood >= likelihood[best] - HALF_CHI2_95]
    ratio = found / hoped
    log_ratio = np.log((found + 0.5) / (hoped + 0.5))
    weight = hoped / hoped.sum()
    mean = (weight * log_ratio).sum()
    variance = (weight * (log_ratio - mean) ** 2).sum() - (weight / hoped).sum()
    effective = max(1.0, use.sum() / QUARTERS_PER_OBSERVATION)
    return VintageEstimate(
        correlation=float(CORRELATION_GRID[best]),
        low=float(inside[0]),
        high=float(inside[-1]),
        level_sigma=float(np.sqrt(max(variance, 0.0) / effective)),
        quarters=int(use.sum()),
        ratios=tuple(float(item) for item in ratio),
    )


def _log_likelihood(rho: float, size: FloatArray, found: FloatArray, p: FloatArray) -> float:
    threshold = (ndtri(np.clip(p, 1e-9, 0.999))[:, None] - np.sqrt(rho) * FACTOR_NODES) / np.sqrt(1.0 - rho)
    log_binomial = found[:, None] * log_ndtr(threshold) + (size - found)[:, None] * log_ndtr(-threshold)
    return float(logsumexp(log_binomial, axis=1, b=FACTOR_WEIGHTS / FACTOR_WEIGHTS.sum()).sum())


def severity(history: History, structure: TermStructure) -> tuple[float, int] | None:
    """(1 - net recoveries / principal charged off, charge-offs used), of loans charged off by the cut-off.

    None with fewer than 50 of them. Recoveries are those on the history tape, also later than the cut-off where
    the tape carries no dates for them: of the history's own loans, never of the pool that is rated.
    """
    observed = observe(history, structure.cutoff_month, structure.charge_off_lag)
    lost = (observed.kind == DEFAULTED) & (observed.history.charged_off > 0)
    if lost.sum() < MIN_CHARGE_OFFS:
        return None
    share = observed.history.net_recovery[lost].sum() / observed.history.charged_off[lost].sum()
    return float(np.clip(1.0 - share, 0.0, 1.0)), int(lost.sum())
