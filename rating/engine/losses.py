"""The weighted loss distribution of a pool, over its life and by month.

Loss = principal charged off less net recoveries, over the balance at cut-off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import PoolFlows
from rating.engine.intervals import ModelInterval, model_interval
from rating.engine.statistics import (
    Estimate,
    expected_shortfall,
    quantile_estimate,
    weighted_mean,
    weighted_quantile,
    weighted_quantiles,
    weighted_share_below,
)

FloatArray = NDArray[np.float64]

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
SHORTFALL_LEVELS = (0.95, 0.99, 0.999)
FAN_QUANTILES = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975, 0.99)
HISTOGRAM_BINS = 60


@dataclass(frozen=True, eq=False)
class Histogram:
    """edges: (bins + 1,) loss shares, ascending from 0. share: (bins,) probability weight in each, sums to 1."""

    edges: FloatArray
    share: FloatArray


@dataclass(frozen=True, eq=False)
class LossDistribution:
    """losses, weights: (S,). expected_loss and its standard error (conservative under Sobol), quantiles: shares.

    quantile_errors: the same levels with their standard errors (statistics.quantile_estimate). shortfalls: mean of the
    worst 1 - level of the probability, with its error.
    """

    expected_loss: float
    expected_loss_se: float
    quantiles: Mapping[float, float]
    losses: FloatArray
    weights: FloatArray
    histogram: Histogram
    quantile_errors: Mapping[float, Estimate]
    shortfalls: Mapping[float, Estimate]

    def interval(self, names: tuple[str, ...], draws: FloatArray) -> ModelInterval | None:
        """Model interval of the expected loss; names, (S, F) draws: of the uncertain parameters."""
        return model_interval(self.losses, self.weights, draws, names)

    def quantile_of(self, realised: float) -> float:
        """Weight share of the scenarios that lose no more than `realised` (share of the cut-off balance)."""
        return weighted_share_below(self.losses, self.weights, realised)


def pool_losses(flows: PoolFlows) -> FloatArray:
    """(S,) loss of each scenario as a share of the cut-off balance."""
    return np.asarray(flows.loss.sum(axis=(0, 1)) / flows.opening_balance.sum())


@dataclass(frozen=True, eq=False)
class MonthlyLosses:
    """Cumulative loss, principal charged off less recoveries to date, as a share of the cut-off balance, T months.

    mean, error: (T,) weighted mean and its standard error. quantiles: (P, T) at the P levels.
    """

    levels: tuple[float, ...]
    mean: FloatArray
    error: FloatArray
    quantiles: FloatArray


def monthly_losses(
    flows: PoolFlows, weights: FloatArray, *, levels: tuple[float, ...] = FAN_QUANTILES
) -> MonthlyLosses:
    """The weighted distribution of the cumulative loss after each month; weights (S,), for fan charts.

    Recoveries lag behind, so that a path may fall towards its end; the last month is the lifetime loss. Quantiles are
    of each month alone: no single scenario need run along them.
    """
    share = flows.cumulative_loss / float(flows.opening_balance.sum())
    pairs = [weighted_mean(row, weights) for row in share]
    return MonthlyLosses(
        levels=levels,
        mean=np.array([mean for mean, _ in pairs]),
        error=np.array([error for _, error in pairs]),
        quantiles=weighted_quantiles(share, weights, levels),
    )


def pool_defaults(flows: PoolFlows) -> FloatArray:
    """(S,) lifetime defaults of each scenario as a share of the cut-off balance."""
    return np.asarray(flows.default.sum(axis=(0, 1)) / flows.opening_balance.sum())


def loss_distribution(flows: PoolFlows, weights: FloatArray) -> LossDistribution:
    """Weighted distribution of the pool's loss over the horizon of the flows; weights (S,)."""
    return distribution_of(pool_losses(flows), weights)


def distribution_of(losses: FloatArray, weights: FloatArray) -> LossDistribution:
    """The same from (S,) losses already summed, e.g. collected from slices of a scenario set."""
    mean, error = weighted_mean(losses, weights)
    # The widest bar chart that still resolves the body: up to the last per-mille, the rest in the last bar.
    top = max(weighted_quantile(losses, weights, 0.9999), 1e-6)
    edges = np.linspace(0.0, top, HISTOGRAM_BINS + 1)
    share, _ = np.histogram(np.clip(losses, 0.0, top), edges, weights=weights)
    return LossDistribution(
        expected_loss=mean,
        expected_loss_se=error,
        quantiles={p: weighted_quantile(losses, weights, p) for p in QUANTILES},
        losses=losses,
        weights=weights,
        histogram=Histogram(edges=edges, share=share / share.sum()),
        quantile_errors={p: quantile_estimate(losses, weights, p) for p in QUANTILES},
        shortfalls={p: expected_shortfall(losses, weights, p) for p in SHORTFALL_LEVELS},
    )
