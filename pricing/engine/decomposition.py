"""View B of a price: the spread of a class as liquidity + expected loss + return on capital + servicing, by investor.

It explains what an investor of a type asks, where view C (spread.py) says what the market pays and view A
(scenario_pricing.py) what one price of risk makes of every class. Not here: the capital charges (charges.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pricing.engine.charges import CAPITAL_RATIO, InvestorType, capital_charge
from pricing.engine.valuation import price

PARTS = ("liquidity", "expected_loss", "capital", "servicing")


@dataclass(frozen=True)
class ClassFigures:
    """What view B reads of a class. wal, duration: years, at the pricing speed. expected_loss: 1 - PV(received) /
    PV(promised), real-world weights. risk_weight: SEC-SA, 1.0 is 100 %. Raises ValueError naming field and value."""

    name: str
    grade: str
    wal: float
    duration: float
    expected_loss: float
    risk_weight: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.wal) and self.wal > 0.0):
            raise ValueError(f"wal: {self.wal} of class {self.name} is not a positive number of years")
        if not -1.0 < self.expected_loss <= 1.0:
            raise ValueError(f"expected_loss: {self.expected_loss} of class {self.name} is no fraction of the class")

    @property
    def annual_loss(self) -> float:
        """Expected loss a year of the balance outstanding: over the life, spread over its average."""
        return self.expected_loss / self.wal


def liquidity_at(level: float, wal: float, exponent: float) -> float:
    """l(WAL): the spread of one year, `level`, times WAL^exponent, as the market grid rises with life."""
    if not level >= 0.0:
        raise ValueError(f"liquidity: {level} is negative or no number")
    if not (math.isfinite(wal) and wal > 0.0):
        raise ValueError(f"wal: {wal} is not a positive number of years")
    return level * wal**exponent


@dataclass(frozen=True)
class Decomposition:
    """s = l(WAL) + EL + h K + c of one class for one type of investor, annual fractions over Treasury; K, `charge`, is
    capital per unit of value: kappa RW of a bank."""

    name: str
    investor: str
    liquidity: float
    expected_loss: float
    capital: float
    servicing: float
    charge: float

    @property
    def spread(self) -> float:
        """The spread that this type of investor asks."""
        return self.liquidity + self.expected_loss + self.capital + self.servicing

    def return_on_capital(self, spread: float) -> float:
        """RoRAC of buying at `spread` over Treasury: (s - l - EL - c) / K, annual fraction, over the risk-free return;
        NaN where no capital is held."""
        earned = spread - self.liquidity - self.expected_loss - self.servicing
        return earned / self.charge if self.charge > 0.0 else math.nan


def decompose(
    figures: ClassFigures,
    investor: InvestorType,
    *,
    liquidity: float,
    capital_return: float,
    scale: Sequence[str],
    capital_ratio: float = CAPITAL_RATIO,
) -> Decomposition:
    """View B of a class. liquidity: l(WAL), annual fraction. capital_return: h, excess return on capital a year.

    Raises ValueError as capital_charge, and for a negative capital_return or capital_ratio.
    """
    for name, value in (("capital_return", capital_return), ("capital_ratio", capital_ratio)):
        if not value >= 0.0:
            raise ValueError(f"{name}: {value} is negative or no number")
    charge = capital_charge(
        investor,
        grade=figures.grade,
        risk_weight=figures.risk_weight,
        duration=figures.duration,
        scale=scale,
        capital_ratio=capital_ratio,
    )
    return Decomposition(
        name=figures.name,
        investor=investor.key,
        liquidity=liquidity,
        expected_loss=figures.annual_loss,
        capital=capital_return * charge,
        servicing=investor.servicing,
        charge=charge,
    )


@dataclass(frozen=True)
class MandateValue:
    """What a class is worth to a mandate. required: the yield it needs, bond-equivalent: the larger of its own floor
    and what its type of investor asks. binding: "floor" or "return". price: fraction of par at which that is met;
    over_guide: price less the guide price: above zero, the mandate would pay more than the guide."""

    name: str
    investor: str
    required: float
    binding: str
    price: float
    over_guide: float


def value_to_mandate(
    decomposed: Decomposition, flows: ArrayLike, *, benchmark: float, yield_floor: float, guide_price: float
) -> MandateValue:
    """Value of a class to a mandate of the investor type of `decomposed`.

    flows: (T,) base-case cash per 1 of par. benchmark: Treasury par yield at the WAL. yield_floor: annual fraction,
    bond-equivalent. guide_price: fraction of par. Raises ValueError where the class has no cash flow.
    """
    cash = np.atleast_2d(np.asarray(flows, dtype=np.float64))
    if not cash.any():
        raise ValueError(f"flows: class {decomposed.name} has no cash flow to value")
    asked = benchmark + decomposed.spread
    required = max(asked, yield_floor)
    worth = float(price(cash, required)[0])
    return MandateValue(
        name=decomposed.name,
        investor=decomposed.investor,
        required=required,
        binding="floor" if yield_floor > asked else "return",
        price=worth,
        over_guide=worth - guide_price,
    )
