"""The weighted loss distribution of a pool.

Loss = principal charged off less net recoveries, over the balance at cut-off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import PoolFlows
from rating.engine.statistics import weighted_mean, weighted_quantile, weighted_share_below

FloatArray = NDArray[np.float64]

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
HISTOGRAM_BINS = 60


@dataclass(frozen=True, eq=False)
class Histogram:
    """edges: (bins + 1,) loss shares, ascending from 0. share: (bins,) probability weight in each, sums to 1."""

    edges: FloatArray
    share: FloatArray


@dataclass(frozen=True, eq=False)
class LossDistribution:
    """losses, weights: (S,). expected_loss and its standard error (conservative under Sobol), quantiles: shares."""

    expected_loss: float
    expected_loss_se: float
    quantiles: Mapping[float, float]
    losses: FloatArray
    weights: FloatArray
    histogram: Histogram

    def quantile_of(self, realised: float) -> float:
        """Weight share of the scenarios that lose no more than `realised` (share of the cut-off balance)."""
        return weighted_share_below(self.losses, self.weights, realised)


def pool_losses(flows: PoolFlows) -> FloatArray:
    """(S,) loss of each scenario as a share of the cut-off balance."""
    return np.asarray(flows.loss.sum(axis=(0, 1)) / flows.opening_balance.sum())


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
    )
