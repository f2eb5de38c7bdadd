"""Dates, parties, conventions and what stands around the classes. Money in cents, rates as annual fractions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pooling.engine.calendars import BusinessDayRule, CalendarName
from pooling.engine.daycount import DayCount
from pooling.engine.deal.codec import check_fields, spec_field
from pooling.engine.deal.errors import SpecError

NAME = r"[A-Za-z][A-Za-z0-9_-]{0,31}"
TEXT = r"\S(.{0,118}\S)?"
MAX_CENTS = 10**15  # ten trillion currency units: beyond it float64 no longer holds single cents
MONTHS_BETWEEN = {"monthly": 1, "quarterly": 3, "semiannual": 6, "annual": 12}

Frequency = Literal["monthly", "quarterly", "semiannual", "annual"]
AccrualDates = Literal["unadjusted", "adjusted"]
EventOrder = Literal["default_first", "default_then_prepayment", "BMA", "WITNESS", "SERVICER"]


@dataclass(frozen=True)
class Dates:
    """The four dates of a deal, cut_off <= closing < first_payment <= legal_final."""

    cut_off: dt.date = spec_field("The pool's balances and collections count from the end of this day.")
    closing: dt.date = spec_field("The notes are issued and paid for.")
    first_payment: dt.date = spec_field("First payment date; the others follow on its day of the month.")
    legal_final: dt.date = spec_field("What is unpaid after this date is lost.")
    payment_day: int | None = spec_field(
        "Day of the month of the payment dates after the first; null: the day of the first.",
        low=1,
        high=31,
        default=None,
    )
    first_collection_months: int | None = spec_field(
        "Months of collections paid out on the first date; null: as many as lie between two payment dates.",
        low=1,
        high=24,
        default=None,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.cut_off > self.closing:
            raise SpecError("closing", f"{self.closing} lies before the cut-off {self.cut_off}")
        if self.first_payment <= self.closing:
            raise SpecError("first_payment", f"{self.first_payment} must lie after closing {self.closing}")
        if self.legal_final < self.first_payment:
            first = self.first_payment
            raise SpecError("legal_final", f"{self.legal_final} lies before the first payment {first}")

    @property
    def payments(self) -> int:
        """Monthly dates from first_payment to legal_final, both included."""
        return self.payments_every(1)

    def payments_every(self, months: int) -> int:
        """Payment dates from first_payment to legal_final, both included, `months` apart."""
        first, last = self.first_payment, self.legal_final
        between = (last.year - first.year) * 12 + last.month - first.month
        short_month = (last + dt.timedelta(days=1)).month != last.month
        day = first.day if self.payment_day is None else self.payment_day
        if between and last.day < day and not short_month:
            between -= 1
        return between // months + 1


@dataclass(frozen=True)
class Parties:
    """Who does what in the deal; names only, for disclosure."""

    issuer: str = spec_field("The special-purpose vehicle that issues the notes.", pattern=TEXT)
    originator: str = spec_field("Who made the loans.", pattern=TEXT)
    servicer: str = spec_field("Who collects them.", pattern=TEXT)
    backup_servicer: str | None = spec_field("Who takes over should the servicer fail.", pattern=TEXT, default=None)
    trustee: str | None = spec_field("Who acts for the noteholders.", pattern=TEXT, default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class CollateralGroup:
    """One group of loans of the pool, as PoolFlows names it."""

    name: str = spec_field("Name of the group in the pool's flows.", pattern=r"[A-Za-z0-9][A-Za-z0-9 _+.-]{0,31}")
    currency: str | None = spec_field("ISO 4217 code; null: the deal's.", pattern=r"[A-Z]{3}", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Residual:
    """The residual certificate: whatever is left on each date."""

    name: str = spec_field("Name of the certificate, unique in the deal.", pattern=NAME)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Overcollateralisation:
    """Target amount by which the pool is to exceed the notes."""

    target: str | None = spec_field(
        "Formula of an amount, evaluated on every date; null: what the note balances leave at closing.", default=None
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class VerticalRetention:
    """The same share of every class and of the residual certificate."""

    kind: Literal["vertical"] = spec_field("A vertical slice.")
    share: float = spec_field("Fraction of every class and of the residual.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class HorizontalRetention:
    """A first-loss position: a share of the residual certificate, measured by fair value."""

    kind: Literal["horizontal"] = spec_field("A first-loss slice.")
    share_of_residual: float = spec_field("Fraction of the residual certificate kept.", low=0.0, high=1.0)
    required_fair_value: float = spec_field(
        "Fraction of the fair value of all interests that must be kept (5 % in the United States and Europe).",
        low=0.0,
        high=1.0,
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class LShapedRetention:
    """A vertical slice and, of what is left, a share of the residual certificate."""

    kind: Literal["l_shaped"] = spec_field("A vertical and a first-loss slice together.")
    share: float = spec_field("Fraction of every class and of the residual.", low=0.0, high=1.0)
    share_of_residual: float = spec_field("Fraction of the rest of the residual kept.", low=0.0, high=1.0)
    required_fair_value: float = spec_field(
        "Fraction of the fair value of all interests that must be kept.", low=0.0, high=1.0
    )

    def __post_init__(self) -> None:
        check_fields(self)


Retention = VerticalRetention | HorizontalRetention | LShapedRetention


@dataclass(frozen=True)
class Conventions:
    """Named conventions: nothing below is left to the code."""

    event_order: EventOrder = spec_field(
        "Order of events in a month when curves drive the pool: default, instalment, prepayment (default_first, BMA); "
        "default, prepayment, instalment (default_then_prepayment, WITNESS); as a servicer reports (SERVICER)."
    )
    interest_day_count: DayCount = spec_field("Day count of coupons, fees and hedges, unless they name their own.")
    accrual_dates: AccrualDates = spec_field(
        "Whether interest accrues between the nominal payment dates or those moved to business days."
    )
    business_day_rule: BusinessDayRule = spec_field("How a payment date on a holiday moves.")
    calendar: CalendarName = spec_field("Whose holidays count.")
    shortfall_interest: Literal["note_rate", "none"] = spec_field("What unpaid interest itself earns.")
    rounding: Literal["HALF_EVEN", "HALF_UP", "DOWN"] = spec_field("Rounding to the cent in a run of whole cents.")

    def __post_init__(self) -> None:
        check_fields(self)
