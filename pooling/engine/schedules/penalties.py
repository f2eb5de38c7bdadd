"""Penalties on principal paid early: the share of it that is charged, by period of the loan."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pooling.engine.schedules.terms import FloatArray


@dataclass(frozen=True)
class PenaltySteps:
    """steps: pairs (last period, fraction), periods rising: the fraction is charged up to and with that period; after:
    what is charged from then on. No steps: always the same. Raises ValueError.
    """

    steps: tuple[tuple[int, float], ...] = ()
    after: float = 0.0

    def __post_init__(self) -> None:
        if any(last < 1 for last, _ in self.steps) or any(a[0] >= b[0] for a, b in pairwise(self.steps)):
            raise ValueError(f"steps: {self.steps} must have rising periods from 1 on")
        if not all(0.0 <= fraction <= 1.0 for fraction in (*(rate for _, rate in self.steps), self.after)):
            raise ValueError("steps: every fraction must be from 0 to 1; 0.02 is 2 % of what is paid early")


@dataclass(frozen=True)
class PenaltySlide:
    """start: fraction in the first period; change: added each period (negative to fall), never below 0 nor above 1.
    Raises ValueError.
    """

    start: float
    change: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= 1.0:
            raise ValueError(f"start: {self.start} must be from 0 to 1; 0.02 is 2 % of what is paid early")


def penalty_rates(terms: PenaltySteps | PenaltySlide, periods: int) -> FloatArray:
    """(periods,) fraction of the principal paid early in each period of the loan that is charged as a penalty.

    Raises ValueError for periods below 1.
    """
    if periods < 1:
        raise ValueError(f"periods: {periods} must be at least 1")
    if isinstance(terms, PenaltySlide):
        return np.clip(terms.start + terms.change * np.arange(periods), 0.0, 1.0)
    rates = np.full(periods, terms.after)
    for last, fraction in reversed(terms.steps):
        rates[:last] = fraction
    return rates
