"""The waterfall: a DealSpec compiled to flat steps and run over all scenarios at once."""

from pooling.engine.waterfall.compile import compile_deal, reserve_deposit
from pooling.engine.waterfall.execute import execute, opening_state
from pooling.engine.waterfall.program import DealFlows, DealState, Ledger, LedgerLine, Program, Step
from pooling.engine.waterfall.sources_and_uses import balancing_residual, sources_and_uses

__all__ = [
    "DealFlows",
    "DealState",
    "Ledger",
    "LedgerLine",
    "Program",
    "Step",
    "balancing_residual",
    "compile_deal",
    "execute",
    "opening_state",
    "reserve_deposit",
    "sources_and_uses",
]
