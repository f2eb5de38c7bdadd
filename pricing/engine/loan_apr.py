"""The rate a loan has to bear, in layers: funding, expected loss, servicing, liquidity, capital, risk, origination.

Each layer is what the required rate rises by when its requirement is added to those before it, so that the layers add
up to the rate exactly. Not here: what a loan with a given rate is worth (loans.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from pricing.engine.loans import LoanCells, RequiredReturn, required_rates

FloatArray = NDArray[np.float64]

APR_LAYERS = ("funding", "expected_loss", "servicing", "liquidity", "capital", "risk", "origination")
MOST_THETA = 3.0


@dataclass(frozen=True)
class RequiredApr:
    """What a holder asks of a loan. stack: yields and fees, annual fractions. theta: price of systematic risk per
    standard deviation; correlation: of the loans' latent variables. origination: cost per 1 of balance, financed by the
    rate. Raises ValueError naming field and value."""

    stack: RequiredReturn
    theta: float = 0.0
    correlation: float = 0.0
    origination: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.theta <= MOST_THETA:
            raise ValueError(f"theta: {self.theta} is outside [0, {MOST_THETA:g}] standard deviations")
        if not 0.0 <= self.correlation < 1.0:
            raise ValueError(f"correlation: {self.correlation} is outside [0, 1)")
        if not 0.0 <= self.origination < 1.0:
            raise ValueError(f"origination: {self.origination} is no share of the balance below 1")


@dataclass(frozen=True)
class AprStack:
    """apr: (n,) required rates, annual fractions, nominal monthly, NaN where no rate up to 1,000 % suffices. layers:
    name -> (n,), in the order of APR_LAYERS; they add up to apr."""

    apr: FloatArray
    layers: dict[str, FloatArray]
    required: RequiredApr


def tilted_hazards(mdr: FloatArray, theta: float, correlation: float) -> FloatArray:
    """Monthly default fractions (C, M) under the price of risk: the cumulative probability F becomes
    Phi(Phi^-1(F) + sqrt(rho) theta) (Wang, J. Risk Insurance 67, 2000), month by month."""
    survival = np.cumprod(1.0 - mdr, axis=1)
    dead = ndtr(ndtri(1.0 - survival) + np.sqrt(correlation) * theta)
    alive = np.concatenate([np.ones((len(mdr), 1)), 1.0 - dead], axis=1)
    # Where nobody is left the month's fraction has no meaning, and no weight.
    with np.errstate(divide="ignore", invalid="ignore"):
        tilted = 1.0 - alive[:, 1:] / alive[:, :-1]
    return np.where(np.isfinite(tilted), np.clip(tilted, 0.0, 1.0), 0.0)


def required_aprs(cells: LoanCells, required: RequiredApr) -> AprStack:
    """Required rates of n cells, whose own rates are ignored, and what each layer adds. Memory O(n x months)."""
    stack = required.stack
    bare = replace(stack, liquidity=0.0, servicing=0.0, excess_return=0.0)
    safe = replace(cells, mdr=np.zeros_like(cells.mdr))
    risky = replace(cells, mdr=tilted_hazards(cells.mdr, required.theta, required.correlation))
    serviced = replace(bare, servicing=stack.servicing)
    rates = (
        required_rates(safe, bare),
        required_rates(cells, bare),
        required_rates(cells, serviced),
        required_rates(cells, replace(serviced, liquidity=stack.liquidity)),
        required_rates(cells, stack),
        required_rates(risky, stack),
        required_rates(risky, stack, target_price=1.0 + required.origination),
    )
    layers = {APR_LAYERS[0]: rates[0]}
    for name, before, after in zip(APR_LAYERS[1:], rates[:-1], rates[1:], strict=True):
        layers[name] = after - before
    return AprStack(apr=rates[-1], layers=layers, required=required)
