"""What the granular engine costs in accuracy: its expected loss beside the exact engine's on the same scenarios.

Not here: either engine. The report prints the figure with its error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from rating.engine import layout
from rating.engine.exact import exact_sums
from rating.engine.granular import granular_losses
from rating.engine.granular_tables import TOLERANCE, granular_tables
from rating.engine.model import CreditModel
from rating.engine.portfolio import build_portfolio
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks

FloatArray = NDArray[np.float64]

EXACT_CHUNK = 256


@dataclass(frozen=True)
class GranularBias:
    """relative: granular over exact expected lifetime loss less 1; standard_error: of that, from the exact engine's own
    draws. granular, exact: expected lifetime losses as shares of the cut-off balance. scenarios: their number.
    """

    relative: float
    standard_error: float
    granular: float
    exact: float
    scenarios: int


def granular_bias(
    loans: LoanArrays,
    model: CreditModel,
    scenarios: ScenarioSet,
    *,
    tolerance: float = TOLERANCE,
    compiled: bool | None = None,
    threads: int = 1,
) -> GranularBias:
    """Expected lifetime loss of both engines on common systematic factors, scenario by scenario.

    The granular engine without its noise is the expectation of the exact one given the scenario, so the difference of
    a scenario has mean zero where there is no bias, and the weighted differences give the standard error. Every
    difference is a draw of the pool's own noise: 100,000 loans need some 4,096 scenarios for 0.03 %.
    """
    granular = granular_losses(
        granular_tables(loans, model, tolerance=tolerance),
        model,
        scenarios,
        noise=False,
        compiled=compiled,
        threads=threads,
    ).lifetime
    exact = _exact_losses(loans, model, scenarios, compiled, threads)
    weight = scenarios.weights / scenarios.weights.sum()
    mean = float((weight * exact).sum())
    gap = weight * (granular - exact)
    total = float(loans.balance.sum())
    expected = float((weight * granular).sum())
    return GranularBias(
        relative=float(gap.sum()) / mean if mean > 0 else 0.0,
        standard_error=float(np.sqrt(np.square(gap).sum())) / mean if mean > 0 else 0.0,
        granular=expected / total,
        exact=mean / total,
        scenarios=len(scenarios),
    )


def _exact_losses(
    loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, compiled: bool | None, threads: int
) -> FloatArray:
    portfolio = build_portfolio(loans, model)
    losses = np.empty(len(scenarios))
    for low in range(0, len(scenarios), EXACT_CHUNK):
        part = scenarios.slice(low, min(low + EXACT_CHUNK, len(scenarios)))
        shocks = scenario_shocks(model, part)
        sums = exact_sums(portfolio, model, part, shocks, compiled=compiled, threads=threads)
        losses[low : low + len(part)] = (sums[:, :, layout.DEFAULT] - sums[:, :, layout.RECOVERED]).sum(axis=(1, 2))
    return losses
