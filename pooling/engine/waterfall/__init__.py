"""The waterfall: a DealSpec compiled to flat steps and run over all scenarios at once."""

from pooling.engine.waterfall.compile import calendar_of, compile_deal, reserve_deposit, reserve_deposits
from pooling.engine.waterfall.execute import execute, execute_in_slices, opening_state
from pooling.engine.waterfall.program import Calendar, DealFlows, DealState, Ledger, LedgerLine, Program, Step
from pooling.engine.waterfall.retention import RetainedPosition, fair_value_share, retained_position, retained_shares
from pooling.engine.waterfall.sources_and_uses import balancing_residual, sources_and_uses
from pooling.engine.waterfall.stress import ServicerDefault, StructuralStress

__all__ = [
    "Calendar",
    "DealFlows",
    "DealState",
    "Ledger",
    "LedgerLine",
    "Program",
    "RetainedPosition",
    "ServicerDefault",
    "Step",
    "StructuralStress",
    "balancing_residual",
    "calendar_of",
    "compile_deal",
    "execute",
    "execute_in_slices",
    "fair_value_share",
    "opening_state",
    "reserve_deposit",
    "reserve_deposits",
    "retained_position",
    "retained_shares",
    "sources_and_uses",
]
