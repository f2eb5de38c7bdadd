"""What each scenario does to a model: systematic scores, levels, speeds and severities.

Not here: draws (scenarios.py) and loans (simulation.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, ndtri

from pooling.engine.loans import LoanArrays
from rating.engine.model import FACTOR_YEARS, CreditModel, correlation_root
from rating.engine.scenarios import ScenarioSet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_CORRELATION = 0.95


@dataclass(frozen=True, eq=False)
class Shocks:
    """S scenarios, K sectors, B bands, Y years (1 where factors last for life).

    score: (S, 1 + K, Y) systematic part of the latent variable, row 0 of a loan without sector, row 1 + k of sector
    k; low is bad. own: (S,) weight of the loan's own part, sqrt(1 - rho). mixing: (S,) sqrt(W / degrees of freedom)
    of the Student-t copula, ones under the Gaussian. market: (S,) the market factor of the first year.
    default, prepayment: (S,) multipliers on hazards. severity: (S, B) mean loss share by band.
    severity_centre: (S, B) probit of the severity of a loan whose own noise is zero.
    """

    score: FloatArray
    own: FloatArray
    mixing: FloatArray
    market: FloatArray
    default: FloatArray
    prepayment: FloatArray
    severity: FloatArray
    severity_centre: FloatArray


def scenario_shocks(model: CreditModel, scenarios: ScenarioSet) -> Shocks:
    """The shocks of a scenario set; a factor that it does not draw stays at zero, its median.

    Latent X = (score + own e) / mixing, e standard normal: with mixing**2 = W / v, W chi-square of v degrees, X is
    multivariate Student-t (Demarta & McNeil 2005, The t copula and related copulas). rho of the scenario: median
    asset_correlation, log-normal with correlation_sigma, capped at 0.95. default: exp(sigma Z - sigma**2 / 2), mean 1;
    prepayment the same, times exp(link G - link**2 / 2). severity of band b: Phi(Phi^-1(m_b) sqrt(1 + v) + sum of its
    normal terms), v their variance, so that its mean over all scenarios and loans is exactly m_b.
    AR(1) market: G_1 = Z_1, G_y = phi G_(y-1) + sqrt(1 - phi**2) Z_y, stationary with variance 1.

    Raises ValueError where the set draws no market factor.
    """
    if "market" not in scenarios.names:
        raise ValueError(f"names: {scenarios.names} hold no 'market' factor")
    size = len(scenarios)
    path = _market_path(model, scenarios)
    market = path[:, 0]
    width = model.correlation_sigma
    rho = np.minimum(model.asset_correlation * np.exp(width * scenarios.factor("correlation")), MAX_CORRELATION)
    score = np.empty((size, 1 + len(model.sectors), path.shape[1]))
    score[:, 0] = np.sqrt(rho)[:, None] * path
    if model.sectors:
        drawn = np.stack([scenarios.factor(f"sector:{name}") for name in model.sectors], axis=1)
        if model.sector_correlation:
            root = correlation_root(model.sector_correlation, len(model.sectors))
            # Sums written out, not a matrix product: the same bytes on any linear-algebra library.
            drawn = sum((drawn[:, [j]] * root[j] for j in range(len(root))), np.zeros_like(drawn))
        common = np.sqrt(rho * (1.0 - model.sector_share))
        score[:, 1:] = common[:, None, None] * path[:, None]
        score[:, 1:] += (np.sqrt(rho * model.sector_share)[:, None] * drawn)[:, :, None]
    sigma, spread, link = model.pd_level_sigma, model.prepayment_sigma, model.prepayment_link
    mixing = np.ones(size)
    if model.copula == "student_t":
        degrees = model.degrees_of_freedom
        mixing = np.sqrt(np.asarray(chdtri(degrees, ndtr(-scenarios.factor("mixing")))) / degrees)
    centre, severity = _severity(model, scenarios, market)
    return Shocks(
        score=score,
        own=np.sqrt(1.0 - rho),
        mixing=mixing,
        market=market,
        default=np.exp(sigma * scenarios.factor("pd_level") - 0.5 * sigma**2),
        prepayment=np.exp(spread * scenarios.factor("prepayment") - 0.5 * spread**2 + link * market - 0.5 * link**2),
        severity=severity,
        severity_centre=centre,
    )


def sector_index(model: CreditModel, loans: LoanArrays) -> IntArray:
    """(n,) row of Shocks.score of each loan: 0 where the model has no factor for its sector."""
    if model.sector_share == 0.0:
        return np.zeros(len(loans), dtype=np.int64)
    names, inverse = np.unique(loans.sector, return_inverse=True)
    place = {name: 1 + k for k, name in enumerate(model.sectors)}
    return np.array([place.get(str(name), 0) for name in names], dtype=np.int64)[inverse]


def _market_path(model: CreditModel, scenarios: ScenarioSet) -> FloatArray:
    first = scenarios.factor("market")
    if model.factor_persistence == 1.0:
        return first[:, None]
    path = np.empty((len(scenarios), FACTOR_YEARS))
    path[:, 0] = first
    keep, fresh = model.factor_persistence, np.sqrt(1.0 - model.factor_persistence**2)
    for year in range(1, FACTOR_YEARS):
        path[:, year] = keep * path[:, year - 1] + fresh * scenarios.factor(f"market:{year + 1}")
    return path


def _severity(model: CreditModel, scenarios: ScenarioSet, market: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(S, B) probit of a loan without noise of its own, and the mean over that noise."""
    between = model.severity_sigma**2 + model.severity_level_sigma**2 + model.severity_link**2
    within = model.severity_noise**2
    means = np.asarray(model.severity_bands or (model.severity_mean,) * len(model.bands), dtype=np.float64)
    shift = (
        model.severity_sigma * scenarios.factor("severity")
        + model.severity_level_sigma * scenarios.factor("severity_level")
        - model.severity_link * market
    )
    centre = ndtri(means)[None, :] * np.sqrt(1.0 + between + within) + shift[:, None]
    # A certain severity of 0 or 1 stays certain: its probit is infinite, and infinities do not move.
    return centre, np.asarray(ndtr(centre / np.sqrt(1.0 + within)))
