"""Coupons and classes of notes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pooling.engine.daycount import DayCount
from pooling.engine.deal.codec import check_fields, spec_field
from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.parts import MAX_CENTS, NAME, AccrualDates

INDICATIVE_GRADES = tuple("AAA AA+ AA AA- A+ A A- BBB+ BBB BBB- BB+ BB BB- B+ B B- CCC".split())
INDEX = r"[A-Za-z][A-Za-z0-9_-]{0,31}"

Grade = str


@dataclass(frozen=True)
class FloatingCoupon:
    """Index plus margin, within floor and cap. The index of each period comes with the run."""

    kind: Literal["floating"] = spec_field("Index plus margin.")
    index: str = spec_field("Name of the index, such as SOFR-1M.", pattern=INDEX)
    margin: float = spec_field("Annual fraction added to the index.", low=-1.0, high=1.0)
    floor: float | None = spec_field("The rate is never below this; null: no floor.", low=-1.0, high=1.0, default=None)
    cap: float | None = spec_field("The rate is never above this; null: no cap.", low=-1.0, high=1.0, default=None)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.floor is not None and self.cap is not None and self.floor > self.cap:
            raise SpecError("floor", f"{self.floor} lies above the cap {self.cap}")


@dataclass(frozen=True)
class RateStep:
    """One step of a coupon that steps up (or down)."""

    first_accrual: dt.date = spec_field("First day of the rate; see within_period.")
    rate: float | FloatingCoupon = spec_field(
        "Annual fraction, or a floating coupon, from then on.", low=-1.0, high=1.0
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class StepCoupon:
    """A coupon that changes on given dates."""

    kind: Literal["step"] = spec_field("A fixed rate that changes on given dates.")
    rate: float = spec_field("Annual fraction until the first step.", low=0.0, high=1.0)
    steps: tuple[RateStep, ...] = spec_field("Later rates, in the order of their dates.")
    within_period: Literal["next_period", "day_weighted"] = spec_field(
        "A step inside a period counts from the period that begins on or after it, or from its own day.",
        default="next_period",
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.steps:
            raise SpecError("steps", "a step coupon needs at least one step")
        for number in range(1, len(self.steps)):
            if self.steps[number].first_accrual <= self.steps[number - 1].first_accrual:
                raise SpecError(f"steps[{number}].first_accrual", "steps stand in the order of their dates")


@dataclass(frozen=True)
class TriggeredCoupon:
    """One coupon until a condition holds when a period begins, another from then on."""

    kind: Literal["triggered"] = spec_field("A coupon that changes when a condition holds.")
    before: float | FloatingCoupon | StepCoupon = spec_field(
        "Coupon while the condition does not hold.", low=0.0, high=1.0
    )
    when: str = spec_field("Formula of a condition, looked at when the period's interest is accrued.")
    after: float | FloatingCoupon | StepCoupon = spec_field("Coupon while it holds.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_fields(self)


SimpleCoupon = float | FloatingCoupon | StepCoupon
Coupon = float | FloatingCoupon | StepCoupon | TriggeredCoupon


@dataclass(frozen=True)
class PrincipalClass:
    """What all classes with a balance have in common."""

    name: str = spec_field("Name of the class, unique in the deal.", pattern=NAME)
    kind: str = spec_field("Kind of class.")
    balance: int | None = spec_field("Cents at closing; null: to be solved.", low=0, high=MAX_CENTS, default=None)
    coupon: float | FloatingCoupon | StepCoupon | TriggeredCoupon | None = spec_field(
        "Annual fraction, or an object (floating, step, triggered); null: to be solved.",
        low=0.0,
        high=1.0,
        default=None,
    )
    target_grade: Grade | None = spec_field("Indicative grade that sizing aims at, or null.", default=None)
    interest_deferrable: bool = spec_field(
        "Whether missed interest may be paid later without default of the class.", default=False
    )
    deferral: Literal["carried", "capitalised"] = spec_field(
        "What is unpaid stays owed, or is added to the balance (payment in kind).", default="carried"
    )
    day_count: DayCount | None = spec_field("Day count of the coupon; null: the deal's.", default=None)
    accrual_dates: AccrualDates | None = spec_field(
        "Between which dates the coupon accrues; null: as the deal says.", default=None
    )
    currency: str | None = spec_field("ISO 4217 code; null: the deal's.", pattern=r"[A-Z]{3}", default=None)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.target_grade is not None and self.target_grade not in INDICATIVE_GRADES:
            hint = suggestion(self.target_grade, INDICATIVE_GRADES)
            raise SpecError("target_grade", f"{self.target_grade!r} is no indicative grade{hint}")
        if self.deferral == "capitalised" and not self.interest_deferrable:
            raise SpecError("deferral", "only a class with interest_deferrable true may capitalise its interest")


@dataclass(frozen=True)
class Note(PrincipalClass):
    """A class of notes. balance and coupon are null until sizing and pricing have solved them."""

    kind: Literal["note"] = spec_field("Notes that pay interest and principal.")


@dataclass(frozen=True)
class AccrualNote(PrincipalClass):
    """A class whose interest is added to its balance instead of being paid (a Z class), while a condition holds."""

    kind: Literal["accrual"] = spec_field("Notes whose interest accretes.")
    accretes_while: str = spec_field(
        "Formula of a condition: while it holds when interest accrues, interest is added to the balance.",
        default="true",
    )


@dataclass(frozen=True)
class PlannedNote(PrincipalClass):
    """A planned amortisation class: its schedule of balances, to which principal is paid first."""

    kind: Literal["planned"] = spec_field("Notes with a schedule of balances.")
    planned_balances: tuple[int, ...] = spec_field(
        "Cents outstanding after each payment date; zero after the last.", default=()
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.planned_balances:
            raise SpecError("planned_balances", "a planned class needs its schedule of balances")
        for number, balance in enumerate(self.planned_balances):
            before = self.planned_balances[number - 1] if number else self.balance
            if balance < 0 or (before is not None and balance > before):
                raise SpecError(f"planned_balances[{number}]", f"{balance} must lie between 0 and the one before")


@dataclass(frozen=True)
class InterestOnly:
    """A strip that receives interest on a notional amount and no principal."""

    name: str = spec_field("Name of the class, unique in the deal.", pattern=NAME)
    kind: Literal["interest_only"] = spec_field("Interest on a notional amount.")
    notional: str = spec_field("Formula of the notional amount, at the beginning of the period.")
    coupon: float | FloatingCoupon | StepCoupon | TriggeredCoupon | None = spec_field(
        "Annual fraction, or an object; null: to be solved.", low=0.0, high=1.0, default=None
    )
    interest_deferrable: bool = spec_field("Whether missed interest may be paid later.", default=False)
    day_count: DayCount | None = spec_field("Day count of the coupon; null: the deal's.", default=None)
    accrual_dates: AccrualDates | None = spec_field(
        "Between which dates the coupon accrues; null: as the deal says.", default=None
    )
    currency: str | None = spec_field("ISO 4217 code; null: the deal's.", pattern=r"[A-Z]{3}", default=None)

    # What every class answers, so that nobody has to ask which kind it is.
    @property
    def balance(self) -> int:
        """Cents: a strip has no principal."""
        return 0

    @property
    def target_grade(self) -> None:
        """A strip is not sized."""
        return None

    @property
    def deferral(self) -> str:
        """What is unpaid stays owed."""
        return "carried"

    def __post_init__(self) -> None:
        check_fields(self)


Tranche = Note | AccrualNote | PlannedNote | InterestOnly
