"""What is assumed of a pool: named kinds of speeds, severity, recovery, late payers and advances.

A rate may be flat, (T,) by month after cut-off, or (T, S) by month and scenario.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

PrepaymentKind = Literal["cpr", "smm", "psa", "abs"]
DefaultKind = Literal["cdr", "mdr", "sda", "amount", "loss_curve"]
EventOrder = Literal["default_first", "default_then_prepayment", "BMA", "WITNESS"]
Amortisation = Literal["level", "linear", "bullet", "interest_only", "balloon"]
Advances = Literal["none", "principal_and_interest"]
SeverityOf = Literal["charge_off", "default"]

# The order of events that each name stands for; SERVICER has none, its flows are reported (see servicer_flows).
PREPAYS_BEFORE_INTEREST = ("default_then_prepayment", "WITNESS")


def _choice(name: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"{name}: {value!r} is none of {', '.join(get_args(allowed))}")


def _fractions(name: str, values: ArrayLike, high: float) -> None:
    given = np.asarray(values, dtype=np.float64)
    outside = ~((given >= 0.0) & (given <= high))
    if outside.any():
        bound = "0 to 1" if high == 1.0 else "0 and above"
        raise ValueError(f"{name}: {given[outside].ravel()[0]} lies outside {bound}")


@dataclass(frozen=True)
class Prepayment:
    """kind: "cpr" annual or "smm" monthly fraction; "psa" speed by loan age (1.0 is 100 %); "abs" share of the original
    number of loans a month, by loan age. speed: flat, (T,) or (T, S); by_age: a vector is read at the loan's age, the
    last value going on, instead of the month of the deal.
    """

    kind: PrepaymentKind = "cpr"
    speed: ArrayLike = 0.0
    by_age: bool = False

    def __post_init__(self) -> None:
        _choice("prepayment.kind", self.kind, PrepaymentKind)
        _fractions("prepayment.speed", self.speed, 1.0 if self.kind != "psa" else np.inf)


@dataclass(frozen=True)
class Default:
    """kind: "cdr" annual or "mdr" monthly fraction of the performing balance; "sda" speed by loan age; "amount"
    currency units defaulting in each month, at most what performs; "loss_curve": lifetime loss, a fraction of the
    cut-off balance (one number or (1, S)), times `timing`.

    timing: shares of the lifetime loss by month of default, adding up to 1; the default is the loss over the severity
    of the month of charge-off. none_in_last: months at the end of the schedule in which nothing defaults (BMA: the
    months to liquidation).
    """

    kind: DefaultKind = "cdr"
    rate: ArrayLike = 0.0
    timing: ArrayLike | None = None
    by_age: bool = False
    none_in_last: int = 0

    def __post_init__(self) -> None:
        _choice("default.kind", self.kind, DefaultKind)
        _fractions("default.rate", self.rate, np.inf if self.kind in ("sda", "amount") else 1.0)
        if (self.kind == "loss_curve") != (self.timing is not None):
            raise ValueError("default.timing: give it for a loss curve, and only for one")
        if self.timing is None:
            return
        _fractions("default.timing", self.timing, 1.0)
        total = float(np.sum(self.timing))
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"default.timing: its shares add up to {total}; they must add up to 1")
        shape = np.shape(self.rate)
        if len(shape) > 2 or (len(shape) > 0 and shape[0] != 1):
            raise ValueError(f"default.rate: shape {shape}; a loss curve takes one number or (1, scenarios)")


@dataclass(frozen=True)
class DelinquencyRoll:
    """Loans that fall behind and cure: no default, but late cash and filled buckets.

    into: share of the balance that would pay in a month and does not, flat, (T,) or (T, S); it stands in the bucket
    1-30. onward: shares of the buckets 1-30, 31-60 and 61-90 that miss another month; the rest of a bucket, and all of
    91+, pays its arrears of interest and scheduled principal with the next instalment and performs again. Nothing is
    charged for the delay.
    """

    into: ArrayLike = 0.0
    onward: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        _fractions("roll.into", self.into, 1.0)
        _fractions("roll.onward", self.onward, 1.0)
        if len(self.onward) != 3:
            raise ValueError(f"roll.onward: {len(self.onward)} shares; give those of 1-30, 31-60 and 61-90")


@dataclass(frozen=True)
class LoanShape:
    """How loans amortise: "level" instalments, "linear" equal principal, "bullet", "interest_only" for
    interest_only_months and level after, "balloon": level over amortisation_term months, the rest at maturity. Both
    counts start at cut-off.
    """

    amortisation: Amortisation = "level"
    amortisation_term: int | None = None
    interest_only_months: int = 0

    def __post_init__(self) -> None:
        _choice("amortisation", self.amortisation, Amortisation)
        if (self.amortisation == "balloon") != (self.amortisation_term is not None):
            raise ValueError("amortisation_term: give it for a balloon, and only for one")
        if self.interest_only_months < 0:
            raise ValueError(f"interest_only_months: {self.interest_only_months} must not be negative")
        if self.interest_only_months and self.amortisation != "interest_only":
            raise ValueError("interest_only_months: give it for interest_only, and only for that")


@dataclass(frozen=True)
class Assumptions:
    """All that drives a pool without a simulation.

    severity: fraction never recovered, flat, (T,) or (T, S) by month of charge-off. severity_of: of the balance
    "charge_off" or of the balance when it defaulted ("default", BMA); a loss is never more than what is charged off.
    charge_off_lag: months from the missed payment to charge-off. recovery_lag: months from charge-off to the recovery.
    recovery_timing: shares of the recovery by month after that lag, adding up to 1.

    arrears: shares of the performing balance that are late but cure, by bucket 1-30, 31-60, 61-90, 91+; a label only,
    their cash is not delayed. roll: the same as a process, with its delay; give one of the two.
    advances: whether the servicer advances interest and scheduled principal of defaulted loans until they are charged
    off, and of late ones until they cure. It is repaid out of liquidation proceeds before the trust: severity is stated
    after that, so with severity_of "default" the trust recovers what it has not been advanced already.

    event_order: "default_first": default on the opening balance, interest and instalment of the rest, then SMM on what
    is left. "BMA": the same, but SMM on the whole opening balance after its scheduled amortisation, as the Standard
    Formulas count it. "default_then_prepayment" (and "WITNESS"): default, then prepayment, both without interest of the
    month, then interest and a newly levelled instalment of what is left.
    days: (T,) days of each period: annual rates become period rates by days / 365 instead of a twelfth. rate_decimals:
    loan period rates are cut off after so many decimals. floor_cents: every amount is cut to whole cents. These two
    imitate an engine that computes so ("WITNESS") and serve to compare with it; they are never a default.
    """

    prepayment: Prepayment = Prepayment()
    default: Default = Default()
    severity: ArrayLike = 0.0
    severity_of: SeverityOf = "charge_off"
    charge_off_lag: int = 0
    recovery_lag: int = 0
    recovery_timing: tuple[float, ...] = (1.0,)
    arrears: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    roll: DelinquencyRoll | None = None
    advances: Advances = "none"
    event_order: EventOrder = "default_first"
    days: ArrayLike | None = None
    rate_decimals: int | None = None
    floor_cents: bool = False

    def __post_init__(self) -> None:
        _choice("event_order", self.event_order, EventOrder)
        _choice("advances", self.advances, Advances)
        _choice("severity_of", self.severity_of, SeverityOf)
        _fractions("severity", self.severity, 1.0)
        _fractions("recovery_timing", self.recovery_timing, 1.0)
        _fractions("arrears", self.arrears, 1.0)
        for name in ("charge_off_lag", "recovery_lag"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} must not be negative")
        if abs(sum(self.recovery_timing) - 1.0) > 1e-9:
            raise ValueError(
                f"recovery_timing: its shares add up to {sum(self.recovery_timing)}; they must add up to 1"
            )
        self._check_together()

    def _check_together(self) -> None:
        if sum(self.arrears) > 1.0:
            raise ValueError(f"arrears: its shares add up to {sum(self.arrears)}, more than the pool")
        if len(self.arrears) != 4:
            raise ValueError(f"arrears: {len(self.arrears)} shares; give one for each of the four buckets")
        if any(self.arrears) and self.roll is not None:
            raise ValueError("roll: the arrears are stated as shares too; give one of the two")
        if (self.floor_cents or self.rate_decimals is not None) and self.event_order != "WITNESS":
            raise ValueError("floor_cents: amounts and rates are cut only under the event order WITNESS")
        if self.floor_cents and self.roll is not None:
            raise ValueError("roll: the engine whose cents are cut knows no late payers; leave one of the two out")
