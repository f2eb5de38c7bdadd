"""Loss distributions of finite pools without drawing a loan: the control that stands beside the simulation.

Given the factors loans default independently, so their loss has a product of simple characteristic functions; what is
left is an integral over one factor, or over the market and within it over each sector. Not here: months and cash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from pooling.engine.loans import LoanArrays
from rating.engine.copula import mixing_nodes
from rating.engine.model import CreditModel
from rating.engine.portfolio import accumulation, cumulative_curves

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REACH = 9.0  # the normal density beyond is below 1e-18
MARKET_NODES, SECTOR_NODES = 1_600, 240
NODE_BLOCK = 128
CONTROL_NODES, MANY_KINDS = 400, 64


@dataclass(frozen=True)
class LossGroup:
    """count loans alike: pd in [0, 1], each losing `units` whole units of the grid; sector: None or a number >= 0."""

    count: int
    pd: float
    units: int
    sector: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count: {self.count}, expected at least 1")
        if not 0.0 <= self.pd <= 1.0:
            raise ValueError(f"pd: {self.pd} is outside [0, 1]")
        if self.units < 0:
            raise ValueError(f"units: {self.units} is negative")


@dataclass(frozen=True, eq=False)
class LossGrid:
    """pmf: (L + 1,) probability of a loss of 0..L units, L the loss if everything defaults."""

    pmf: FloatArray

    @property
    def mean(self) -> float:
        """Expected loss in units."""
        return float(np.arange(len(self.pmf)) @ self.pmf)

    @property
    def std(self) -> float:
        """Standard deviation in units."""
        grid = np.arange(len(self.pmf))
        return float(np.sqrt(max(0.0, float(grid**2 @ self.pmf) - self.mean**2)))

    def quantile(self, probability: float) -> int:
        """Smallest loss in units whose cumulative probability reaches the given one in (0, 1]."""
        if not 0.0 < probability <= 1.0:
            raise ValueError(f"probability: {probability} is outside (0, 1]")
        reached = np.cumsum(self.pmf)
        return int(min(np.searchsorted(reached, probability * reached[-1]), len(self.pmf) - 1))

    def tranche_loss(self, attachment: float, detachment: float, total: float) -> float:
        """Expected loss of the slice [attachment, detachment] of a pool of `total` units, as a share of the slice.

        Raises ValueError for a slice without thickness or outside [0, 1].
        """
        if not 0.0 <= attachment < detachment <= 1.0:
            raise ValueError(f"detachment: the slice {attachment} to {detachment} has no thickness within [0, 1]")
        share = np.arange(len(self.pmf)) / total
        lost = np.clip(share - attachment, 0.0, detachment - attachment) / (detachment - attachment)
        return float(lost @ self.pmf)


def normal_nodes(count: int) -> tuple[FloatArray, FloatArray]:
    """(count,) nodes in [-9, 9] and weights of the standard normal density, by Gauss-Legendre; weights sum to 1.

    Not Gauss-Hermite: a conditional loss distribution of n loans is some 1 / sqrt(n) wide in the factor, and needs
    nodes that near to each other.
    """
    nodes, weights = leggauss(count)
    x = REACH * nodes
    w = weights * np.exp(-0.5 * x**2)
    return x, w / w.sum()


def loss_distribution(
    groups: Sequence[LossGroup],
    *,
    market: float,
    sector: float = 0.0,
    degrees_of_freedom: float | None = None,
    nodes: tuple[int, int] = (MARKET_NODES, SECTOR_NODES),
) -> LossGrid:
    """Distribution of the number of units lost.

    X_i = market G + sector S_k + sqrt(1 - market**2 - sector**2) e_i, both loadings, divided by sqrt(W / v) under a
    Student-t copula of v degrees_of_freedom; a loan without sector has no S. Default where F(X) <= pd. Given the
    factors the characteristic function of the loss is prod (1 - p + p exp(i t u))**count; it is integrated over the
    factors and inverted by the fast Fourier transform (Merino & Nyfeler 2002, Calculating portfolio loss; the
    recursion of Andersen, Sidenius & Basu 2003 gives the same numbers). nodes: of the market, of each sector.

    Raises ValueError for loadings whose squares reach 1, no group, or no degrees of freedom.
    """
    own = 1.0 - market**2 - sector**2
    if not own > 0.0:
        raise ValueError(f"market, sector: the squares of {market} and {sector} leave nothing of the loan's own")
    if not groups:
        raise ValueError("groups: no loan")
    if degrees_of_freedom is not None and not degrees_of_freedom > 0:
        raise ValueError(f"degrees_of_freedom: {degrees_of_freedom} is not positive")
    size = sum(group.count * group.units for group in groups) + 1
    angle = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    integral = np.zeros(len(angle), dtype=np.complex128)
    scale, scale_weight = _mixing(degrees_of_freedom)
    x, w = normal_nodes(nodes[0])
    for factor, share in zip(scale, scale_weight, strict=True):
        thresholds = [_quantile(group.pd, degrees_of_freedom) * factor for group in groups]
        for low in range(0, len(x), NODE_BLOCK):
            part = slice(low, low + NODE_BLOCK)
            found = _conditional(groups, thresholds, (market, sector, np.sqrt(own)), x[part], angle, nodes[1])
            integral += share * (w[part] @ found)
    return LossGrid(np.maximum(np.fft.irfft(integral, size), 0.0))


def _quantile(pd: float, degrees: float | None) -> float:
    if degrees is None:
        return float(ndtri(pd))
    return float(stdtrit(degrees, pd)) if pd > 0 else -np.inf


def _mixing(degrees: float | None) -> tuple[FloatArray, FloatArray]:
    """Nodes of sqrt(W / v) and their weights; 1 alone under the Gaussian copula."""
    return (np.ones(1), np.ones(1)) if degrees is None else mixing_nodes(degrees)


def _conditional(
    groups: Sequence[LossGroup],
    thresholds: Sequence[float],
    loadings: tuple[float, float, float],
    x: FloatArray,
    angle: NDArray[np.complex128],
    sector_nodes: int,
) -> NDArray[np.complex128]:
    """(nodes, frequencies) characteristic function given the market."""
    market, sector, own = loadings
    result = np.ones((len(x), len(angle)), dtype=np.complex128)
    inner, weight = normal_nodes(sector_nodes)
    split = sector != 0.0
    for name in sorted({group.sector for group in groups if split and group.sector is not None}):
        within = np.zeros_like(result)
        for value, share in zip(inner, weight, strict=True):
            product = np.ones_like(result)
            for group, threshold in zip(groups, thresholds, strict=True):
                if group.sector == name:
                    p = ndtr((threshold - market * x - sector * value) / own)
                    product *= (1.0 + p[:, None] * (angle**group.units - 1.0)) ** group.count
            within += share * product
        result *= within
    alone = np.sqrt(own**2 + sector**2)
    for group, threshold in zip(groups, thresholds, strict=True):
        if not split or group.sector is None:
            p = ndtr((threshold - market * x) / (alone if split else own))
            result *= (1.0 + p[:, None] * (angle**group.units - 1.0)) ** group.count
    return result


@dataclass(frozen=True)
class LifetimeControl:
    """Share of the cut-off balance that defaults before it prepays, each loan at its scheduled balance then replaced
    by the mean over its default month: mean exact, quantiles without the spread of that month.

    mean; quantiles: probability -> share. approximation: what it leaves out, for the page.
    """

    mean: float
    quantiles: dict[float, float]
    approximation: str


def lifetime_control(
    loans: LoanArrays, model: CreditModel, probabilities: Sequence[float] = (0.5, 0.9, 0.99, 0.999)
) -> LifetimeControl:
    """Lifetime defaults of a pool over the market and the level of defaults, without drawing a loan.

    Given market G and level m a loan defaults in month t, not having prepaid, with probability p_t =
    alive(t - 1) (F_t - F_(t - 1)), F_t = P(X <= q(1 - exp(-m H(t))) | G). The pool's conditional mean share is
    sum b(t - 1) p_t over loans, its conditional variance that of independent loans; the conditional distribution is
    taken as normal (central limit), the mixture over the nodes is exact. Speeds are averaged over their own shock and
    follow the market. All of rho lies on the market and stays at its median: regions and uncertain correlation move
    the quantiles, not the mean. Raises ValueError under a Student-t copula or an AR(1) market, which it does not
    follow.
    """
    if model.copula != "gaussian" or model.factor_persistence < 1.0:
        raise ValueError("model: the control follows the Gaussian copula and a market that lasts")
    months, cell = int(loans.remaining_term.max()), model.assign(loans)
    hazard, curve = cumulative_curves(model.default_hazard, cell, loans.age, months)
    speed, place = cumulative_curves(model.prepayment_hazard, cell, loans.age, months)
    rate, row = np.unique(loans.rate, return_inverse=True)
    growth = accumulation(rate, months)
    slope = loans.balance / growth[row, loans.remaining_term]
    kinds, kind = np.unique(np.stack([curve, place]), axis=1, return_inverse=True)
    due = np.arange(1, months + 1) <= loans.remaining_term[:, None]
    owed = np.where(due, loans.balance[:, None] - slope[:, None] * growth[row, :-1], 0.0)
    first, second = np.zeros((kinds.shape[1], months)), np.zeros((kinds.shape[1], months))
    np.add.at(first, kind.ravel(), owed)
    np.add.at(second, kind.ravel(), owed**2)
    x, w = normal_nodes(CONTROL_NODES if kinds.shape[1] <= MANY_KINDS else CONTROL_NODES // 3)
    alive = _survival(model, speed[:, :-1], x)[:, kinds[1]]
    z, v = normal_nodes(15) if model.pd_level_sigma > 0 else (np.zeros(1), np.ones(1))
    means, variances, weights = [], [], []
    for level, share in zip(z, v, strict=True):
        multiple = np.exp(model.pd_level_sigma * level - 0.5 * model.pd_level_sigma**2)
        threshold = ndtri(-np.expm1(-multiple * hazard[kinds[0]]))
        rho = model.asset_correlation
        given = ndtr((threshold[None] - np.sqrt(rho) * x[:, None, None]) / np.sqrt(1.0 - rho))
        p = np.diff(given, axis=2) * alive
        means.append((p * first).sum(axis=(1, 2)))
        variances.append((p * second).sum(axis=(1, 2)))
        weights.append(share * w)
    mean, weight = np.concatenate(means), np.concatenate(weights)
    spread = np.sqrt(np.maximum(np.concatenate(variances), 0.0))
    total = float(loans.balance.sum())
    quantiles = {p: _mixture_quantile(mean, spread, weight, p) / total for p in probabilities}
    text = "normal conditional distribution, all correlation on the market and at its median"
    return LifetimeControl(float(mean @ weight) / total, quantiles, text)


def _survival(model: CreditModel, speed: FloatArray, market: FloatArray) -> FloatArray:
    """(nodes, speeds, months) probability of not having prepaid given the market, over the shock of the speed."""
    z, v = normal_nodes(25) if model.prepayment_sigma > 0 else (np.zeros(1), np.ones(1))
    link, spread = model.prepayment_link, model.prepayment_sigma
    base = np.exp(link * market - 0.5 * link**2)[:, None, None]
    alive = np.zeros((len(market), *speed.shape))
    for shock, share in zip(z, v, strict=True):
        alive += share * np.exp(-base * np.exp(spread * shock - 0.5 * spread**2) * speed)
    return alive


def _mixture_quantile(mean: FloatArray, spread: FloatArray, weight: FloatArray, probability: float) -> float:
    low, high = float((mean - 8 * spread).min()), float((mean + 8 * spread).max())
    for _ in range(80):
        middle = 0.5 * (low + high)
        reached = float(weight @ ndtr((middle - mean) / np.maximum(spread, 1e-300)))
        low, high = (middle, high) if reached < probability else (low, middle)
    return high
