"""Fees, accounts, ledgers, facilities and hedges of a deal."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pooling.engine.daycount import DayCount
from pooling.engine.deal.classes import INDEX, FloatingCoupon, StepCoupon
from pooling.engine.deal.codec import check_fields, spec_field
from pooling.engine.deal.errors import SpecError
from pooling.engine.deal.parts import MAX_CENTS, NAME

# ---------------------------------------------------------------------------------------------------------- fees


@dataclass(frozen=True)
class AnnualPercentageFee:
    """rate x year fraction x base at the start of the period; what is unpaid stays due, at no interest."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["annual_percentage"] = spec_field("A share of a balance per year.")
    rate: float = spec_field("Annual fraction.", low=0.0, high=0.5)
    base: str = spec_field(
        'Formula of an amount, taken at the start of the period: "pool.balance", "notes.balance", ...'
    )
    day_count: DayCount | None = spec_field("Day count of the accrual; null: the deal's.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class OneOffFee:
    """An amount due once, on the first payment date on or after its date."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["one_off"] = spec_field("An amount due once.")
    amount: int = spec_field("Cents.", low=0, high=MAX_CENTS)
    due: dt.date | None = spec_field("When; null: on the first payment date.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class RecurringFee:
    """A fixed amount every so many payment dates; what is unpaid stays due, without interest."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["recurring"] = spec_field("A fixed amount again and again.")
    amount: int = spec_field("Cents each time.", low=0, high=MAX_CENTS)
    every: int = spec_field("Payment dates from one to the next.", low=1, high=120, default=1)
    first: int = spec_field("Number of the payment date on which it is first due.", low=1, high=1200, default=1)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DatedAmount:
    """An amount due on a date."""

    date: dt.date = spec_field("Due on the first payment date on or after this day.")
    amount: int = spec_field("Cents.", low=0, high=MAX_CENTS)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DatedFee:
    """Amounts due on given dates; what is unpaid stays due, without interest."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["dated"] = spec_field("Amounts on given dates.")
    amounts: tuple[DatedAmount, ...] = spec_field("What is due when.")

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.amounts:
            raise SpecError("amounts", "a dated fee needs at least one amount")


@dataclass(frozen=True)
class PerLoanFee:
    """A fixed amount for each loan that performs or is delinquent at the end of the period."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["per_loan"] = spec_field("An amount for each loan.")
    amount_per_loan: int = spec_field("Cents a loan on each payment date.", low=0, high=MAX_CENTS)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class FormulaFee:
    """What a formula says on each payment date."""

    name: str = spec_field("Name of the fee, unique in the deal.", pattern=NAME)
    kind: Literal["formula"] = spec_field("An amount given by a formula.")
    amount: str = spec_field("Formula of the amount that falls due on each payment date.")

    def __post_init__(self) -> None:
        check_fields(self)


Fee = AnnualPercentageFee | OneOffFee | RecurringFee | DatedFee | PerLoanFee | FormulaFee

# ------------------------------------------------------------------------------------------------------ accounts


@dataclass(frozen=True)
class CollectionAccount:
    """Receives collections, empty at closing; what the order of payments leaves in it stays for the next date."""

    name: str = spec_field("Name of the account, unique in the deal.", pattern=NAME)
    kind: Literal["collection"] = spec_field("Receives and pays.")
    yield_rate: float = spec_field("Annual fraction earned on the balance.", low=0.0, high=1.0, default=0.0)
    currency: str | None = spec_field("ISO 4217 code; null: the deal's.", pattern=r"[A-Z]{3}", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ReserveAccount:
    """Funded at closing, topped up to its target by a step `reserve`, drawn where steps name it as support."""

    name: str = spec_field("Name of the account, unique in the deal.", pattern=NAME)
    kind: Literal["reserve"] = spec_field("Held back for bad days.")
    initial: str = spec_field("Formula of the deposit at closing, rounded to the cent.")
    target: str = spec_field("Formula of the target, evaluated on every date; zero once the reserve is released.")
    excess: Literal["released", "held"] = spec_field(
        "What lies above a falling target goes to the account that the step pays from first, or stays."
    )
    release: Literal["notes_repaid", "final"] = spec_field(
        "When the whole account is released: once all notes are repaid, or only on the final date."
    )
    yield_rate: float = spec_field("Annual fraction earned on the balance.", low=0.0, high=1.0, default=0.0)
    currency: str | None = spec_field("ISO 4217 code; null: the deal's.", pattern=r"[A-Z]{3}", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


Account = CollectionAccount | ReserveAccount

# -------------------------------------------------------------------------------- ledgers, facilities and hedges


@dataclass(frozen=True)
class DeficiencyLedger:
    """A sub-ledger of principal deficiency: never larger than the balance of its class (null: no limit)."""

    name: str = spec_field("Name of the ledger, unique in the deal.", pattern=NAME)
    tranche: str | None = spec_field("Class whose balance limits it; null: no limit.", pattern=NAME, default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class PrincipalDeficiency:
    """Losses are debited to the ledgers in their order, and made good from cash by steps `deficiency`."""

    losses: Literal["default", "charge_off", "charge_off_less_recovery"] = spec_field("What is debited in a period.")
    ledgers: tuple[DeficiencyLedger, ...] = spec_field("In the order in which they are debited: junior first.")
    into: str = spec_field("Account that receives what makes a deficiency good.", pattern=NAME)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.ledgers:
            raise SpecError("ledgers", "a principal deficiency needs at least one ledger")


@dataclass(frozen=True)
class LiquidityFacility:
    """A committed line that steps may draw as support and a step `facility` repays."""

    name: str = spec_field("Name of the facility, unique in the deal.", pattern=NAME)
    commitment: str = spec_field("Formula of the largest amount drawn, on every date.")
    commitment_fee: float = spec_field("Annual fraction of what is not drawn.", low=0.0, high=0.5)
    rate: float | FloatingCoupon | StepCoupon = spec_field("Annual fraction of what is drawn.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Swap:
    """Exchange of two rates on a notional amount; the net amount is received, or due at a step `hedge`."""

    name: str = spec_field("Name of the hedge, unique in the deal.", pattern=NAME)
    kind: Literal["swap"] = spec_field("Two rates exchanged.")
    notional: str = spec_field("Formula of the notional amount, at the start of the period.")
    pays: float | FloatingCoupon | StepCoupon = spec_field("Rate that the deal pays.", low=-1.0, high=1.0)
    receives: float | FloatingCoupon | StepCoupon = spec_field("Rate that the deal receives.", low=-1.0, high=1.0)
    into: str = spec_field("Account that receives.", pattern=NAME)
    day_count: DayCount | None = spec_field("Day count of both legs; null: the deal's.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Cap:
    """Receives what the index is above the strike, on a notional amount; its premium is a closing expense."""

    name: str = spec_field("Name of the hedge, unique in the deal.", pattern=NAME)
    kind: Literal["cap"] = spec_field("Insurance against a high index.")
    notional: str = spec_field("Formula of the notional amount, at the start of the period.")
    index: str = spec_field("Name of the index.", pattern=INDEX)
    strike: float = spec_field("Annual fraction.", low=-1.0, high=1.0)
    into: str = spec_field("Account that receives.", pattern=NAME)
    day_count: DayCount | None = spec_field("Day count; null: the deal's.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


Hedge = Swap | Cap
