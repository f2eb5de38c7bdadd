"""Triggers, sources of cash and the order of payments."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pooling.engine.deal.codec import check_fields, spec_field
from pooling.engine.deal.errors import SpecError
from pooling.engine.deal.parts import NAME

PayKind = Literal[
    "fee",
    "interest",
    "principal",
    "reserve",
    "deficiency",
    "facility",
    "hedge",
    "purchase",
    "transfer",
    "test",
    "residual",
]
Source = Literal["interest", "scheduled_principal", "prepayment", "recovery"]
SOURCES: tuple[Source, ...] = ("interest", "scheduled_principal", "prepayment", "recovery")


@dataclass(frozen=True)
class Definition:
    """A named formula, read as defined[name]; evaluated where it is read."""

    name: str = spec_field("Name of the definition, unique in the deal.", pattern=NAME)
    formula: str = spec_field("An amount, a number, a condition or a date.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Trigger:
    """A test of the deal: breached while its condition holds, read as trigger[name]."""

    name: str = spec_field("Name of the trigger, unique in the deal.", pattern=NAME)
    condition: str = spec_field("Formula of the condition under which the test is breached.")
    tested: Literal["opening", "step"] = spec_field(
        "On every date before the order of payments, or in it by a step `test`."
    )
    breach_after: int = spec_field("Consecutive dates on which the condition must hold.", low=1, high=120, default=1)
    cure_after: int | None = spec_field(
        "Consecutive dates without the condition after which it is cured; null: never.", low=1, high=120, default=None
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class CollectionRule:
    """Where one source of the pool's cash goes."""

    source: Literal["interest", "scheduled_principal", "prepayment", "recovery", "all"] = spec_field("Which cash.")
    into: str = spec_field("Account that receives it.", pattern=NAME)
    group: str | None = spec_field("Collateral group; null: every group not named elsewhere.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class WaterfallStep:
    """One line of the order of payments.

    fee, interest, principal: to payees. reserve: tops up reserve accounts, or releases what lies above their target.
    deficiency: makes good principal deficiency ledgers. facility: fee, interest and drawings of a liquidity facility.
    hedge: net amounts due to hedge counterparties. purchase: new collateral. transfer: between accounts. test: looks
    at triggers. residual: everything left, to the residual certificate.
    """

    pay: PayKind = spec_field("What is paid.")
    to: tuple[str, ...] = spec_field("Names paid, in order; none for a purchase.", default=())
    rule: Literal["sequential", "pro_rata"] = spec_field(
        "In order, or in proportion to what is due (principal: to the balance).", default="sequential"
    )
    source: tuple[str, ...] = spec_field("Accounts that pay, in order.", default=("collection",))
    amount: str | None = spec_field(
        "Principal and transfers: formula of the amount due; null: the principal distribution amount left, or all.",
        default=None,
    )
    limit: str | None = spec_field("Formula of the most that the step pays on a date, in all.", default=None)
    when: str | None = spec_field("Formula of the condition under which the step is carried out.", default=None)
    support: tuple[str, ...] = spec_field(
        "Reserve accounts and facilities drawn, in order, for what the accounts do not pay.", default=()
    )
    support_when: str | None = spec_field("Formula of the condition under which support is drawn.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.to and self.pay != "purchase":
            raise SpecError("to", "the step pays nobody")
        if not self.source and self.pay != "test":
            raise SpecError("source", "the step pays from no account")
        for key in ("to", "source", "support"):
            names = getattr(self, key)
            if len(set(names)) != len(names):
                raise SpecError(key, "each name is given once")
        if self.amount is not None and self.pay not in ("principal", "transfer"):
            raise SpecError("amount", f"a step {self.pay} pays what is due; only principal and transfer take an amount")
        if self.support and self.pay not in ("fee", "interest", "principal", "hedge"):
            raise SpecError("support", f"a step {self.pay} takes no support")
        if self.support_when is not None and not self.support:
            raise SpecError("support_when", "there is no support it could hold for")


@dataclass(frozen=True)
class AlternativeWaterfall:
    """An order of payments that replaces the main one while a condition holds, such as an event of default."""

    name: str = spec_field("Name of the alternative, unique in the deal.", pattern=NAME)
    when: str = spec_field("Formula of the condition, looked at when the date opens; the first that holds counts.")
    waterfall: tuple[WaterfallStep, ...] = spec_field("Order of payments while it holds.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Revolving:
    """While it revolves no principal distribution amount is due and a step `purchase` buys new collateral."""

    until: dt.date = spec_field("Last payment date on which collateral may be bought.")
    ends_when: str | None = spec_field(
        "Formula of a condition that ends the period for good (early amortisation).", default=None
    )
    criteria: str | None = spec_field(
        "Formula of the condition under which collateral is bought on a date.", default=None
    )
    price: float = spec_field("Price of one unit of balance bought.", low=0.01, high=2.0, default=1.0)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class MakeWhole:
    """Premium of an early call: the coupons above a reference rate until a date, discounted at that rate."""

    reference_rate: float = spec_field("Annual fraction, monthly.", low=0.0, high=1.0)
    until: dt.date = spec_field("No premium is due from this date on.")

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class CleanUpCall:
    """The pool is bought back once small or late enough, if that repays the notes in full."""

    factor: float | None = spec_field(
        "Pool factor at or below which it may be called.", low=0.0, high=1.0, default=None
    )
    from_date: dt.date | None = spec_field(
        "First payment date on which it may be called whatever the factor.", default=None
    )
    price: str = spec_field("Formula of the price paid for the pool.", default="pool.balance")
    into: str = spec_field("Account that receives the price.", pattern=NAME, default="collection")
    make_whole: MakeWhole | None = spec_field("Premium to the notes, or null.", default=None)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.factor is None and self.from_date is None:
            raise SpecError("factor", "give a factor or a from_date: nothing says when the deal may be called")
