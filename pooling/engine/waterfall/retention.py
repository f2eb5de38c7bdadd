"""What the originator keeps of a deal: vertical, horizontal or L-shaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pooling.engine.deal import DealSpec
from pooling.engine.deal.parts import HorizontalRetention, LShapedRetention, VerticalRetention
from pooling.engine.waterfall.program import DealFlows


@dataclass(frozen=True)
class RetainedPosition:
    """shares: class or certificate -> fraction kept. cash: (T, S) what the position receives, in the unit of the
    flows."""

    shares: Mapping[str, float]
    cash: NDArray[Any]


def retained_shares(spec: DealSpec) -> dict[str, float]:
    """Class or certificate -> fraction kept; zeros without a retention in the spec."""
    retention, vertical, residual = spec.retention, 0.0, 0.0
    if isinstance(retention, VerticalRetention):
        vertical = residual = retention.share
    elif isinstance(retention, HorizontalRetention):
        residual = retention.share_of_residual
    elif isinstance(retention, LShapedRetention):
        vertical = retention.share
        residual = vertical + (1.0 - vertical) * retention.share_of_residual
    return dict.fromkeys(spec.class_names, vertical) | {spec.residual.name: residual}


def retained_position(spec: DealSpec, deal: DealFlows) -> RetainedPosition:
    """The originator's position and its cash."""
    shares = retained_shares(spec)
    cash = shares[spec.residual.name] * deal.residual
    for k, name in enumerate(deal.names):
        cash = cash + shares[name] * (deal.interest[k] + deal.principal[k])
    return RetainedPosition(shares, cash)


def fair_value_share(spec: DealSpec, fair_values: Mapping[str, float]) -> float:
    """Fraction of the fair value of all interests that the position holds; fair_values: class or certificate -> value.

    A horizontal slice must reach required_fair_value by fair value, not by face (17 CFR 246.4 (a)(2)); a vertical one
    is its share of everything. Raises ValueError naming a class or the certificate without a value.
    """
    names = (*spec.class_names, spec.residual.name)
    missing = [name for name in names if name not in fair_values]
    if missing:
        raise ValueError(f"fair_values: {missing[0]} is missing; give one for every class and the certificate")
    total = sum(fair_values[name] for name in names)
    if not total > 0.0:
        raise ValueError(f"fair_values: they add up to {total}; the deal must be worth something")
    shares = retained_shares(spec)
    return sum(shares[name] * fair_values[name] for name in names) / total
