"""DealSpec: the whole deal as data. Frozen, checked when built, JSON in and out, hashed by content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import Any, Literal

from pooling.engine.deal.checks import check_deal
from pooling.engine.deal.classes import AccrualNote, InterestOnly, Note, PlannedNote
from pooling.engine.deal.codec import canonical, check_fields, decode_object, encode, parse, spec_field
from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.features import (
    AnnualPercentageFee,
    Cap,
    CollectionAccount,
    DatedFee,
    DeficiencyLedger,
    FormulaFee,
    LiquidityFacility,
    OneOffFee,
    PerLoanFee,
    PrincipalDeficiency,
    RecurringFee,
    ReserveAccount,
    Swap,
)
from pooling.engine.deal.parts import (
    MAX_CENTS,
    MONTHS_BETWEEN,
    CollateralGroup,
    Conventions,
    Dates,
    Frequency,
    HorizontalRetention,
    LShapedRetention,
    Overcollateralisation,
    Parties,
    Residual,
    VerticalRetention,
)
from pooling.engine.deal.quantities import FormulaBook
from pooling.engine.deal.rules import (
    AlternativeWaterfall,
    CleanUpCall,
    CollectionRule,
    Definition,
    Revolving,
    Trigger,
    WaterfallStep,
)
from pooling.engine.deal.schema import schema_of


@dataclass(frozen=True)
class DealSpec:
    """A capital structure and its order of payments.

    Tranches stand senior to junior. Money is in cents, rates are annual fractions. A spec that exists is
    valid; balances and coupons may still be null (to be solved), and then it cannot be compiled.

    Raises SpecError (a ValueError) with the path of what is wrong.
    """

    schema_version: Literal[2] = spec_field("Version of this language.")
    name: str = spec_field("Name of the deal.", pattern=r"\S(.{0,118}\S)?")
    currency: str = spec_field("ISO 4217 code.", pattern=r"[A-Z]{3}")
    dates: Dates = spec_field("Dates of the deal.")
    payment_frequency: Frequency = spec_field("How often payments are made.")
    tranches: tuple[Note | AccrualNote | PlannedNote | InterestOnly, ...] = spec_field("Classes, senior to junior.")
    residual: Residual = spec_field("The residual certificate.")
    fees: tuple[AnnualPercentageFee | OneOffFee | RecurringFee | DatedFee | PerLoanFee | FormulaFee, ...] = spec_field(
        "Fees of the deal."
    )
    accounts: tuple[CollectionAccount | ReserveAccount, ...] = spec_field("Accounts of the deal.")
    collections: tuple[CollectionRule, ...] = spec_field("Which cash of the pool goes to which account.")
    overcollateralisation: Overcollateralisation = spec_field("Target of the principal distribution amount.")
    loss_coverage: Literal["principal_distribution_amount", "principal_collections"] = spec_field(
        "Principal due on a date: max(0, notes - (pool balance - target overcollateralisation)), so that excess "
        "spread covers losses; or the principal collected and recovered, and what a deficiency ledger adds."
    )
    waterfall: tuple[WaterfallStep, ...] = spec_field("Order of payments.")
    conventions: Conventions = spec_field("Named conventions.")
    closing_expenses: int = spec_field("Cents paid at closing from the proceeds.", low=0, high=MAX_CENTS)
    parties: Parties | None = spec_field("Who does what, or null.", default=None)
    collateral: tuple[CollateralGroup, ...] = spec_field("Collateral groups; none: one pool.", default=())
    definitions: tuple[Definition, ...] = spec_field("Named formulas.", default=())
    triggers: tuple[Trigger, ...] = spec_field("Tests, in the order in which they are looked at.", default=())
    alternatives: tuple[AlternativeWaterfall, ...] = spec_field("Other orders of payments.", default=())
    deficiency: PrincipalDeficiency | None = spec_field("Principal deficiency ledgers, or null.", default=None)
    facilities: tuple[LiquidityFacility, ...] = spec_field("Liquidity facilities.", default=())
    hedges: tuple[Swap | Cap, ...] = spec_field("Swaps and caps.", default=())
    revolving: Revolving | None = spec_field("Revolving period, or null.", default=None)
    call: CleanUpCall | None = spec_field("Clean-up call, or null.", default=None)
    retention: VerticalRetention | HorizontalRetention | LShapedRetention | None = spec_field(
        "What the originator keeps, or null.", default=None
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_deal(self)

    @classmethod
    def from_json(cls, source: str | Mapping[str, Any]) -> DealSpec:
        """Read a spec from JSON text or from its parsed value. Raises SpecError."""
        return decode_object(cls, parse(source) if isinstance(source, str) else source, "")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON value; DealSpec.from_json gives the equal spec back."""
        result: dict[str, Any] = encode(self)
        return result

    def content_hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal specs, equal hashes, whatever their key order was."""
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) of the language."""
        return schema_of(cls)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, senior to junior."""
        return tuple(tranche.name for tranche in self.tranches)

    @property
    def ledgers(self) -> tuple[DeficiencyLedger, ...]:
        """Principal deficiency ledgers in the order in which losses are debited."""
        return () if self.deficiency is None else self.deficiency.ledgers

    @property
    def reserves(self) -> tuple[ReserveAccount, ...]:
        """The reserve accounts, in the order of the spec."""
        return tuple(account for account in self.accounts if isinstance(account, ReserveAccount))

    @property
    def months_between(self) -> int:
        """Months from one payment date to the next."""
        return MONTHS_BETWEEN[self.payment_frequency]

    @property
    def payments(self) -> int:
        """Payment dates up to legal final maturity, both ends included."""
        return self.dates.payments_every(self.months_between)

    @cached_property
    def formulas(self) -> FormulaBook:
        """Its formulas, parsed and type-checked."""
        return FormulaBook(self)

    @property
    def solved(self) -> bool:
        """Whether every class has its balance and coupon."""
        return all(tranche.balance is not None and tranche.coupon is not None for tranche in self.tranches)

    def with_solution(self, balances: Mapping[str, int], coupons: Mapping[str, float]) -> DealSpec:
        """The same deal with new balances (cents) and coupons (annual fractions) of the classes named.

        A class whose coupon is an object (floating, step, triggered) keeps it. Raises SpecError for a name that is no
        class or a value out of bounds; TypeError for a balance not whole.
        """
        for name in (*balances, *coupons):
            if name not in self.class_names:
                raise SpecError("tranches", f"no class is named {name!r}{suggestion(name, self.class_names)}")
        tranches = []
        for number, tranche in enumerate(self.tranches):
            changes: dict[str, Any] = {}
            if tranche.name in balances and not isinstance(tranche, InterestOnly):
                changes["balance"] = index(balances[tranche.name])  # NumPy's integers become Python's
            if tranche.name in coupons and (tranche.coupon is None or isinstance(tranche.coupon, float | int)):
                changes["coupon"] = float(coupons[tranche.name])
            try:
                tranches.append(replace(tranche, **changes))
            except SpecError as error:
                raise error.below(f"tranches[{number}]") from None
        return replace(self, tranches=tuple(tranches))
