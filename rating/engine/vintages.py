"""What the history shows by issue quarter, and of severity: counts by quarter and sector, loss shares by class.

Not here: what the counts say of correlation and level; see posterior.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from rating.engine.copula import vasicek_std
from rating.engine.hazards import DEFAULTED, History, TermStructure, observe

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MIN_CHARGE_OFFS = 50
# Probit-scale dispersion 3 of single loans is all or nothing; beyond it the estimate says no more.
MAX_NOISE = 3.0


@dataclass(frozen=True, eq=False)
class VintageCounts:
    """Loans, expected and found defaults by issue quarter and sector, on the loan-months seen at the cut-off.

    quarter: (Q,) issue month // 3, ascending. sectors: R names, ascending; one, "", where the history knows none.
    size, expected, found: (Q, R) loans watched for a month at least, the sum of their fitted monthly default
    probabilities over the months at risk (the compensator), and defaults.
    """

    quarter: IntArray
    sectors: tuple[str, ...]
    size: FloatArray
    expected: FloatArray
    found: FloatArray

    def pooled(self) -> VintageCounts:
        """The same with all sectors together, (Q, 1)."""
        columns = [table.sum(axis=1, keepdims=True) for table in (self.size, self.expected, self.found)]
        return VintageCounts(self.quarter, ("",), *columns)

    def take(self, quarters: NDArray[np.bool_], sectors: NDArray[np.bool_]) -> VintageCounts:
        """The quarters (Q,) and sectors (R,) where the masks are true."""
        names = tuple(name for name, keep in zip(self.sectors, sectors, strict=True) if keep)
        cells = np.ix_(quarters, sectors)
        return VintageCounts(self.quarter[quarters], names, self.size[cells], self.expected[cells], self.found[cells])


def vintage_counts(history: History, structure: TermStructure) -> VintageCounts:
    """Counts by issue quarter and sector from what was known at the cut-off of the structure.

    history: the one the structure was fitted to, its grades among the structure's.
    """
    observed = observe(history, structure.cutoff_month, structure.charge_off_lag)
    known = observed.history
    monthly = -np.expm1(-structure.default_hazard)
    cumulative = np.concatenate([np.zeros((*monthly.shape[:2], 1)), np.cumsum(monthly, axis=2)], axis=2)
    grade = np.array([structure.grades.index(str(item)) for item in known.grade])
    hoped = cumulative[grade, np.searchsorted(structure.terms, known.term), observed.months]
    quarters, row = np.unique(known.issue_month // 3, return_inverse=True)
    names, column = np.unique(known.sectors(), return_inverse=True)
    cell, shape = row * len(names) + column, (len(quarters), len(names))

    def table(values: NDArray[np.bool_] | FloatArray) -> FloatArray:
        return np.bincount(cell, values, shape[0] * shape[1]).reshape(shape).astype(np.float64)

    return VintageCounts(
        quarter=quarters,
        sectors=tuple(str(name) for name in names),
        size=table(observed.months > 0),
        expected=table(hoped),
        found=table(observed.kind == DEFAULTED),
    )


@dataclass(frozen=True)
class SeverityEstimate:
    """mean: 1 - net recoveries / principal charged off. error: its standard error. by_grade: (G,) the same by grade of
    the structure, each leaning on the mean by its credibility, in [0, 1]: credibility (G,). level_sigma: the error on
    probit scale. noise: probit-scale dispersion between loans. charge_offs: loans used."""

    mean: float
    error: float
    by_grade: tuple[float, ...]
    credibility: tuple[float, ...]
    level_sigma: float
    noise: float
    charge_offs: int


def severity(history: History, structure: TermStructure) -> SeverityEstimate | None:
    """Severity of the loans charged off by the cut-off, by grade; None with fewer than 50 of them.

    Recoveries are those on the history tape, also later than the cut-off where the tape carries no dates for them:
    of the history's own loans, never of the pool that is rated.
    error: of a ratio estimator, loans of one issue quarter counting as one draw (linearisation, clusters; Cochran,
    Sampling Techniques, 1977, 6.4). By grade: Buehlmann & Straub (1970) with their estimators of the variance within
    and between, weights the principal charged off; where none is left between, every grade takes the mean.
    noise: sigma such that Phi(c + sigma e) has the mean and the variance of the loans' loss shares, by Vasicek's
    distribution with correlation sigma**2 / (1 + sigma**2).
    """
    observed = observe(history, structure.cutoff_month, structure.charge_off_lag)
    lost = (observed.kind == DEFAULTED) & (observed.history.charged_off > 0)
    loans = observed.history.take(lost)
    if len(loans) < MIN_CHARGE_OFFS:
        return None
    weight, loss = loans.charged_off, np.clip(1.0 - loans.net_recovery / loans.charged_off, 0.0, 1.0)
    mean = float(np.clip(1.0 - loans.net_recovery.sum() / weight.sum(), 0.0, 1.0))
    grade = np.array([structure.grades.index(str(item)) for item in loans.grade])
    by_grade, credibility = _by_grade(grade, weight, loss, mean, len(structure.grades))
    error = _clustered_error(weight * (loss - mean), loans.issue_month // 3, float(weight.sum()))
    inner = float(np.clip(mean, 1e-6, 1.0 - 1e-6))
    density = np.exp(-0.5 * ndtri(inner) ** 2) / np.sqrt(2.0 * np.pi)
    return SeverityEstimate(
        mean=mean,
        error=error,
        by_grade=by_grade,
        credibility=credibility,
        level_sigma=float(error / density),
        noise=_noise(inner, float(np.sqrt((weight * (loss - mean) ** 2).sum() / weight.sum()))),
        charge_offs=len(loans),
    )


def _by_grade(
    grade: IntArray, weight: FloatArray, loss: FloatArray, mean: float, grades: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    total = np.bincount(grade, weight, grades)
    own = np.bincount(grade, weight * loss, grades) / np.where(total > 0, total, 1.0)
    seen = total > 0
    freedom = len(grade) - int(seen.sum())
    within = float((weight * (loss - own[grade]) ** 2).sum()) / freedom if freedom > 0 else 0.0
    scale = total.sum() - np.square(total).sum() / total.sum()
    spread = (total * (own - mean) ** 2).sum() - (seen.sum() - 1) * within
    between = float(spread / scale) if scale > 0 else 0.0
    trust = total / (total + within / between) if between > 0 else np.zeros(grades)
    found = np.clip(trust * own + (1.0 - trust) * mean, 0.0, 1.0)
    return tuple(float(item) for item in found), tuple(float(item) for item in trust)


def _clustered_error(residual: FloatArray, cluster: IntArray, total: float) -> float:
    names, place = np.unique(cluster, return_inverse=True)
    if len(names) < 2:
        return float(np.sqrt(np.square(residual).sum()) / total)
    sums = np.bincount(place, residual)
    return float(np.sqrt(np.square(sums).sum() * len(names) / (len(names) - 1)) / total)


def _noise(mean: float, deviation: float) -> float:
    top = MAX_NOISE**2 / (1.0 + MAX_NOISE**2)
    if deviation <= vasicek_std(mean, 1e-8):
        return 0.0
    if deviation >= vasicek_std(mean, top):
        return MAX_NOISE
    rho = brentq(lambda value: vasicek_std(mean, value) - deviation, 1e-8, top, xtol=1e-12)
    return float(np.sqrt(rho / (1.0 - rho)))
