"""The parts a deal is made of. Money in cents, rates as annual fractions, shares as fractions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pooling.engine.deal.codec import check_fields, spec_field
from pooling.engine.deal.errors import SpecError, suggestion

NAME = r"[A-Za-z][A-Za-z0-9_-]{0,31}"
MAX_CENTS = 10**15  # ten trillion currency units: beyond it float64 no longer holds single cents
INDICATIVE_GRADES = tuple("AAA AA+ AA AA- A+ A A- BBB+ BBB BBB- BB+ BB BB- B+ B B- CCC".split())

Grade = str
PayKind = Literal["fee", "interest", "principal", "reserve", "residual"]
Cover = Literal["fees", "interest", "principal_at_final"]


@dataclass(frozen=True)
class Dates:
    """The four dates of a deal, cut_off <= closing < first_payment <= legal_final."""

    cut_off: dt.date = spec_field("The pool's balances and collections count from the end of this day.")
    closing: dt.date = spec_field("The notes are issued and paid for.")
    first_payment: dt.date = spec_field("First payment date; the others follow monthly on its day.")
    legal_final: dt.date = spec_field("What is unpaid after this date is lost.")

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
        """Monthly payment dates from first_payment to legal_final, both included."""
        first, last = self.first_payment, self.legal_final
        months = (last.year - first.year) * 12 + last.month - first.month
        short_month = (last + dt.timedelta(days=1)).month != last.month
        return months + (1 if last.day >= first.day or short_month else 0)


@dataclass(frozen=True)
class Tranche:
    """A class of notes. balance and coupon are null until sizing and pricing have solved them."""

    name: str = spec_field("Name of the class, unique in the deal.", pattern=NAME)
    kind: Literal["note"] = spec_field("Notes with a fixed coupon.")
    balance: int | None = spec_field("Cents at closing; null: to be solved.", low=0, high=MAX_CENTS, default=None)
    coupon: float | None = spec_field("Annual fraction; null: to be solved.", low=0.0, high=1.0, default=None)
    target_grade: Grade | None = spec_field("Indicative grade that sizing aims at, or null.", default=None)
    interest_deferrable: bool = spec_field(
        "Whether missed interest may be paid later without default of the class.", default=False
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.target_grade is not None and self.target_grade not in INDICATIVE_GRADES:
            hint = suggestion(self.target_grade, INDICATIVE_GRADES)
            raise SpecError("target_grade", f"{self.target_grade!r} is no indicative grade{hint}")


@dataclass(frozen=True)
class Residual:
    """The residual certificate: whatever is left on each date."""

    name: str = spec_field("Name of the certificate, unique in the deal.", pattern=NAME)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class AnnualPercentageFee:
    """rate / 12 of the pool balance at the start of each month; what is unpaid stays due, at no interest."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["annual_percentage"] = spec_field("A share of a balance per year.")
    rate: float = spec_field("Annual fraction.", low=0.0, high=0.5)
    base: Literal["pool_balance"] = spec_field("Performing plus delinquent balance at the start of the month.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class FixedFee:
    """A fixed amount on each payment date; what is unpaid stays due, without interest."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["fixed"] = spec_field("A fixed amount.")
    amount_per_month: int = spec_field("Cents on each payment date.", low=0, high=MAX_CENTS)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Reserve:
    """The reserve account, funded at closing.

    Target = max(target share, floor share) x cut-off balance while any note is unpaid, else zero; see
    Conventions.reserve_release.
    """

    name: str = spec_field("Name of the account, unique in the deal.", pattern=NAME)
    initial_share_of_cutoff_balance: float = spec_field("Deposit at closing.", low=0.0, high=1.0)
    target_share_of_cutoff_balance: float = spec_field("What the account is topped up to.", low=0.0, high=1.0)
    floor_share_of_cutoff_balance: float = spec_field("The target never falls below this.", low=0.0, high=1.0)
    covers: tuple[Cover, ...] = spec_field(
        "What may be drawn for: fees, interest, principal at the final date.",
        default=("fees", "interest", "principal_at_final"),
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if len(set(self.covers)) != len(self.covers):
            raise SpecError("covers", "each use is named once")


@dataclass(frozen=True)
class Overcollateralisation:
    """Target amount by which the pool is to exceed the notes, fixed at closing."""

    target_share_of_cutoff_balance: float | None = spec_field(
        "Share; null: what the note balances leave at closing.", low=0.0, high=1.0
    )
    floor_share_of_cutoff_balance: float = spec_field("The target is never below this.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class WaterfallStep:
    """One line of the order of payments."""

    pay: PayKind = spec_field("What is paid.")
    to: tuple[str, ...] = spec_field("Names paid, in order.")
    rule: Literal["sequential", "pro_rata"] = spec_field(
        "In order, or in proportion to what is due (principal: to the balance).", default="sequential"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.to:
            raise SpecError("to", "the step pays nobody")


@dataclass(frozen=True)
class Conventions:
    """Named conventions: nothing below is left to the code."""

    event_order: Literal["default_first", "default_then_prepayment"] = spec_field(
        "Order of events in a month when curves drive the pool: default, instalment, prepayment; "
        "or default, prepayment, instalment."
    )
    interest_day_count: Literal["30/360"] = spec_field("Each month accrues one twelfth of the annual coupon.")
    shortfall_interest: Literal["note_rate", "none"] = spec_field("What unpaid interest itself earns.")
    reserve_release: Literal["notes_repaid", "final"] = spec_field(
        "When the reserve goes to the residual: once all notes are repaid, or only at the final date."
    )

    def __post_init__(self) -> None:
        check_fields(self)


Fee = AnnualPercentageFee | FixedFee
