"""Loan schedules in integer cents for many loans at once, and the factors of a unit balance in float64.

Every convention that changes the cents is a parameter of the product. Not here: payment events on a living loan.
"""

from pooling.engine.schedules.dates import due_dates
from pooling.engine.schedules.engine import schedule
from pooling.engine.schedules.factors import level_balance_factors, level_payment
from pooling.engine.schedules.floating import FloatingTerms, floating_rates
from pooling.engine.schedules.penalties import PenaltySlide, PenaltySteps, penalty_rates
from pooling.engine.schedules.terms import (
    PERIODS_PER_YEAR,
    RATE_UNITS,
    Accrual,
    Amortisation,
    Frequency,
    GraceInterest,
    Rounding,
    Schedule,
    ScheduleTerms,
)

__all__ = [
    "PERIODS_PER_YEAR",
    "RATE_UNITS",
    "Accrual",
    "Amortisation",
    "FloatingTerms",
    "Frequency",
    "GraceInterest",
    "PenaltySlide",
    "PenaltySteps",
    "Rounding",
    "Schedule",
    "ScheduleTerms",
    "due_dates",
    "floating_rates",
    "level_balance_factors",
    "level_payment",
    "penalty_rates",
    "schedule",
]
