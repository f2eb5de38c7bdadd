"""Collateral without simulation: speeds, assumptions, and the pool's flows under them or as a servicer reports them."""

from pooling.engine.assumptions.codec import assumptions_from_json, assumptions_to_json
from pooling.engine.assumptions.pool import assumed_flows
from pooling.engine.assumptions.servicer import servicer_flows
from pooling.engine.assumptions.terms import (
    Amortisation,
    Assumptions,
    Default,
    DelinquencyRoll,
    EventOrder,
    LoanShape,
    Prepayment,
)

__all__ = [
    "Amortisation",
    "Assumptions",
    "Default",
    "DelinquencyRoll",
    "EventOrder",
    "LoanShape",
    "Prepayment",
    "assumed_flows",
    "assumptions_from_json",
    "assumptions_to_json",
    "servicer_flows",
]
