"""Analytics on the flows of a deal: life, window, yield, return, break-even, sizing, sensitivity; over all scenarios.

The deal comes as its flows or as a function that runs it; nothing here knows how a waterfall pays.
"""

from pooling.engine.analytics.breakeven import BreakEven, BreakEvens, FirstLoss, break_even, first_loss
from pooling.engine.analytics.classes import (
    HALF_A_CENT,
    AverageLives,
    ClassFlows,
    ClassLosses,
    ClassRow,
    ClassTable,
    Factors,
    PrincipalWindow,
    average_lives,
    class_losses,
    class_table,
    class_yields,
    factors,
    opening_balances,
    principal_window,
)
from pooling.engine.analytics.conventions import (
    Compounding,
    TimeMeasure,
    bond_equivalent_yield,
    convert_rate,
    mortgage_yield,
    payment_times,
)
from pooling.engine.analytics.search import Change
from pooling.engine.analytics.sensitivity import SensitivityTable, StructureGrid, sensitivity_grid
from pooling.engine.analytics.sizing import Sizing, size_to_stress
from pooling.engine.analytics.statistics import Distribution, distribution
from pooling.engine.analytics.values import (
    Durations,
    TotalReturn,
    Yields,
    dated_rates,
    durations,
    effective_convexity,
    effective_duration,
    internal_rates,
    price_at_yield,
    total_return,
    yield_at_price,
)

__all__ = [
    "HALF_A_CENT",
    "AverageLives",
    "BreakEven",
    "BreakEvens",
    "Change",
    "ClassFlows",
    "ClassLosses",
    "ClassRow",
    "ClassTable",
    "Compounding",
    "Distribution",
    "Durations",
    "Factors",
    "FirstLoss",
    "PrincipalWindow",
    "SensitivityTable",
    "Sizing",
    "StructureGrid",
    "TimeMeasure",
    "TotalReturn",
    "Yields",
    "average_lives",
    "bond_equivalent_yield",
    "break_even",
    "class_losses",
    "class_table",
    "class_yields",
    "convert_rate",
    "dated_rates",
    "distribution",
    "durations",
    "effective_convexity",
    "effective_duration",
    "factors",
    "first_loss",
    "internal_rates",
    "mortgage_yield",
    "opening_balances",
    "payment_times",
    "price_at_yield",
    "principal_window",
    "sensitivity_grid",
    "size_to_stress",
    "total_return",
    "yield_at_price",
]
