"""Collateral without simulation: speeds, assumptions, and the pool's flows under them or as a servicer reports them."""

from pooling.engine.assumptions.pool import assumed_flows
from pooling.engine.assumptions.servicer import servicer_flows
from pooling.engine.assumptions.terms import Amortisation, Assumptions, Default, EventOrder, Prepayment

__all__ = ["Amortisation", "Assumptions", "Default", "EventOrder", "Prepayment", "assumed_flows", "servicer_flows"]
