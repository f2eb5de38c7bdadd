"""What default counts by issue quarter say of correlation, level and sector share, each with its uncertainty.

Not here: the counts (vintages.py), and what a model does with the answers (calibration.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri

from rating.engine.vintages import VintageCounts

FloatArray = NDArray[np.float64]

MIN_QUARTERS = 6
MIN_EXPECTED_DEFAULTS = 3.0
CORRELATION_GRID = np.geomspace(2e-4, 0.4, 77)
LEVEL_GRID = np.linspace(-1.2, 1.2, 49)
SHARE_GRID = np.linspace(0.0, 1.0, 41)
# Half the 95 % point of chi-square with one degree of freedom: the likelihood-ratio interval.
HALF_CHI2_95 = 1.9207
# Neighbouring quarters share an economy: four of them count as one observation (assumption). The likelihood is
# raised to the power 1 / 4, which widens the posterior and leaves its peak where it was.
QUARTERS_PER_OBSERVATION = 4.0
INTERVAL = (0.025, 0.975)
# A few effective observations leave the upper tail of the correlation to the prior: log-normal about the regulatory
# retail correlation, its 95 % range a factor of 3.2 either way (assumption).
PRIOR_SIGMA = 0.6
_NODES, _WEIGHTS = hermegauss(24)
_LOG_WEIGHTS = np.log(_WEIGHTS / np.sqrt(2.0 * np.pi))
_INNER_NODES, _INNER_WEIGHTS = hermegauss(10)
_INNER_LOG_WEIGHTS = np.log(_INNER_WEIGHTS / np.sqrt(2.0 * np.pi))


@dataclass(frozen=True)
class Marginal:
    """One parameter: mode of the likelihood, posterior mean, median, sd, and equal-tailed 95 % interval."""

    mode: float
    mean: float
    median: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LoadingPosterior:
    """Joint posterior of the asset correlation and the log level of defaults over the fitted hazards.

    correlation, log_correlation, level: marginals. likelihood_low, likelihood_high: 95 % likelihood-ratio interval of
    the correlation, quarters taken as independent. quarters: used. ratios: (quarters,) found over expected defaults.
    density: (len(CORRELATION_GRID), len(LEVEL_GRID)) posterior weights, sum 1.
    """

    correlation: Marginal
    log_correlation: Marginal
    level: Marginal
    likelihood_low: float
    likelihood_high: float
    quarters: int
    ratios: tuple[float, ...]
    density: FloatArray


@dataclass(frozen=True)
class SectorShare:
    """share: maximum likelihood of the sector part of the systematic variance, with its 95 % likelihood-ratio interval
    low to high; identified: the interval leaves out both 0 and 1. cells: used."""

    share: float
    low: float
    high: float
    identified: bool
    cells: int


def loading_posterior(counts: VintageCounts, *, prior: float) -> LoadingPosterior | None:
    """Posterior of (correlation, level) on a grid; None with fewer than six usable quarters.

    prior: median of the correlation before the counts are seen, (0, 1), e.g. the regulatory retail correlation.

    A quarter of N loans with compensator p N has default probability 1 - exp(-m H), H = -ln(1 - p), m = exp(level).
    Given its factor, defaults are binomial with the conditional probability of the Gaussian copula; factors are
    integrated out by Gauss-Hermite quadrature (Gordy & Heitfield 2002, Estimating default correlations from short
    panels of credit rating performance data), its nodes centred where the binomial has its mass (Liu & Pierce 1994, A
    note on Gauss-Hermite quadrature). Priors: ln(correlation) normal about ln(prior) with sd 0.6, log level flat on
    its grid. The likelihood enters with the power 1 / 4. Quarters with fewer than three expected defaults are left out.

    Raises ValueError for a prior outside (0, 1).
    """
    if not 0.0 < prior < 1.0:
        raise ValueError(f"prior: {prior} is outside (0, 1)")
    pooled = counts.pooled()
    use = pooled.expected[:, 0] >= MIN_EXPECTED_DEFAULTS
    if use.sum() < MIN_QUARTERS:
        return None
    size, hoped, found = (table[use, 0] for table in (pooled.size, pooled.expected, pooled.found))
    size = np.maximum(size, hoped + 1.0)
    probit_pd = _levelled((hoped / size)[None, :], LEVEL_GRID[:, None])
    likelihood = np.array([_log_likelihood(float(rho), size, found, probit_pd) for rho in CORRELATION_GRID])
    # The grid is even in ln rho, so that the prior's density applies as it is.
    log_prior = -0.5 * np.square(np.log(CORRELATION_GRID / prior) / PRIOR_SIGMA)
    log_density = likelihood / QUARTERS_PER_OBSERVATION + log_prior[:, None]
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    best = np.unravel_index(int(np.argmax(likelihood)), likelihood.shape)
    profile = likelihood.max(axis=1)
    low, high = _likelihood_interval(np.log(CORRELATION_GRID), profile)
    by_rho, by_level = density.sum(axis=1), density.sum(axis=0)
    return LoadingPosterior(
        correlation=_marginal(CORRELATION_GRID, by_rho, float(CORRELATION_GRID[best[0]])),
        log_correlation=_marginal(np.log(CORRELATION_GRID), by_rho, float(np.log(CORRELATION_GRID[best[0]]))),
        level=_marginal(LEVEL_GRID, by_level, float(LEVEL_GRID[best[1]])),
        likelihood_low=float(np.exp(low)),
        likelihood_high=float(np.exp(high)),
        quarters=int(use.sum()),
        ratios=tuple(float(item) for item in found / hoped),
        density=density,
    )


def _marginal(grid: FloatArray, weight: FloatArray, mode: float) -> Marginal:
    mean = float((grid * weight).sum())
    reached = np.cumsum(weight) - 0.5 * weight
    low, median, high = (float(np.interp(p, reached, grid)) for p in (INTERVAL[0], 0.5, INTERVAL[1]))
    return Marginal(mode, mean, median, float(np.sqrt(((grid - mean) ** 2 * weight).sum())), low, high)


def _likelihood_interval(grid: FloatArray, profile: FloatArray) -> tuple[float, float]:
    """Where the profile falls 1.92 below its top on either side, linear between nodes; the grid's end where it
    does not."""
    bar = float(profile.max()) - HALF_CHI2_95
    inside = np.flatnonzero(profile >= bar)
    ends = []
    for edge, step in ((int(inside[0]), -1), (int(inside[-1]), 1)):
        beyond = edge + step
        if not 0 <= beyond < len(grid):
            ends.append(float(grid[edge]))
            continue
        share = (profile[edge] - bar) / (profile[edge] - profile[beyond])
        ends.append(float(grid[edge] + share * (grid[beyond] - grid[edge])))
    return ends[0], ends[1]


def _log_binomial(size: FloatArray, found: FloatArray, threshold: FloatArray) -> FloatArray:
    """Log of p**k (1 - p)**(n - k), p = Phi(threshold); the constant of the counts is left out."""
    return np.asarray(found * log_ndtr(threshold) + (size - found) * log_ndtr(-threshold))


def _score(size: FloatArray, found: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Probit of the found share and its sampling variance: where on the probit scale the binomial has its mass."""
    share = (found + 0.5) / (size + 1.0)
    probit = ndtri(share)
    return probit, share * (1.0 - share) / (size + 1.0) * 2.0 * np.pi * np.exp(probit**2)


def _levelled(p: FloatArray, level: FloatArray | float) -> FloatArray:
    """Probit of 1 - exp(-exp(level) H) with H = -ln(1 - p)."""
    return np.asarray(ndtri(np.clip(-np.expm1(np.exp(level) * np.log1p(-np.clip(p, 1e-9, 0.999))), 1e-12, 1 - 1e-12)))


def _log_likelihood(rho: float, size: FloatArray, found: FloatArray, probit_pd: FloatArray) -> FloatArray:
    """(L,) log likelihood of the counts (Q,) with unconditional default probabilities Phi(probit_pd), (L, Q)."""
    own = np.sqrt(1.0 - rho)
    slope = np.sqrt(rho) / own
    centre, (probit, noise) = probit_pd / own, _score(size, found)
    precision = 1.0 + slope**2 / noise
    mean, width = slope * (centre - probit) / noise / precision, 1.0 / np.sqrt(precision)
    x = mean[..., None] + width[:, None] * _NODES
    log_value = _log_binomial(size[:, None], found[:, None], centre[..., None] - slope * x)
    # Nodes are normal about (mean, width); the prior of x is standard normal.
    log_value += 0.5 * _NODES**2 - 0.5 * x**2 + np.log(width)[:, None] + _LOG_WEIGHTS
    return np.asarray(logsumexp(log_value, axis=2).sum(axis=1))


def sector_share(counts: VintageCounts, rho: FloatArray) -> SectorShare | None:
    """Share s of the systematic variance that sectors carry, from counts by sector and issue quarter.

    counts: (Q, R). rho: (K,) asset correlations > 0 to profile over. A loan of sector r and quarter q has systematic
    score sqrt(rho (1 - s)) G_q + sqrt(rho s) S_rq; given G_q the sectors are independent, each integrated over its own
    factor, then over G_q, by Gauss-Hermite quadrature centred as in loading_posterior (two-factor case of Gordy &
    Heitfield 2002). Neighbouring quarters are taken as independent here: the interval is the narrowest that can be
    claimed. None with fewer than two sectors or fewer than six quarters in which two have three expected defaults.
    """
    named = np.array([name != "" for name in counts.sectors])
    if named.sum() < 2:
        return None
    usable = counts.expected * named >= MIN_EXPECTED_DEFAULTS
    quarters = usable.sum(axis=1) >= 2
    if quarters.sum() < MIN_QUARTERS:
        return None
    part, mask = counts.take(quarters, named), usable[quarters][:, named]
    size = np.maximum(part.size, part.expected + 1.0)
    p = part.expected / size
    likelihood = np.array(
        [[_sector_likelihood(float(r), float(s), size, part.found, p, mask) for r in rho] for s in SHARE_GRID]
    )
    profile = likelihood.max(axis=1)
    low, high = _likelihood_interval(SHARE_GRID, profile)
    return SectorShare(
        share=float(SHARE_GRID[int(np.argmax(profile))]),
        low=low,
        high=high,
        identified=low > 0.0 and high < 1.0,
        cells=int(mask.sum()),
    )


def _sector_likelihood(
    rho: float, share: float, size: FloatArray, found: FloatArray, p: FloatArray, mask: NDArray[np.bool_]
) -> float:
    own = np.sqrt(1.0 - rho)
    common, single = np.sqrt(rho * (1.0 - share)) / own, np.sqrt(rho * share) / own
    centre, (probit, noise) = _levelled(p, 0.0) / own, _score(size, found)
    gap = centre - probit
    # Outer nodes: the market factor of each quarter, (Q, J).
    spread = single**2 + noise
    precision = 1.0 + (mask * common**2 / spread).sum(axis=1)
    mean, width = (mask * common * gap / spread).sum(axis=1) / precision, 1.0 / np.sqrt(precision)
    market = mean[:, None] + width[:, None] * _NODES
    # Inner nodes: the sector factor given the market, (Q, R, J, I).
    left = gap[:, :, None] - common * market[:, None, :]
    inner = 1.0 + single**2 / noise
    middle, narrow = single * left / (noise * inner)[:, :, None], 1.0 / np.sqrt(inner)
    x = middle[..., None] + narrow[:, :, None, None] * _INNER_NODES
    threshold = centre[:, :, None, None] - common * market[:, None, :, None] - single * x
    log_value = _log_binomial(size[:, :, None, None], found[:, :, None, None], threshold)
    log_value += 0.5 * _INNER_NODES**2 - 0.5 * x**2 + np.log(narrow)[:, :, None, None] + _INNER_LOG_WEIGHTS
    by_sector = logsumexp(log_value, axis=3) * mask[:, :, None]
    total = by_sector.sum(axis=1) + 0.5 * _NODES**2 - 0.5 * market**2 + np.log(width)[:, None] + _LOG_WEIGHTS
    return float(logsumexp(total, axis=1).sum())
