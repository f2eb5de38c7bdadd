"""DealSpec: the whole deal as data. Frozen, checked when built, JSON in and out, hashed by content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import index
from typing import Any, Literal

from pooling.engine.deal.checks import check_names, check_waterfall
from pooling.engine.deal.codec import canonical, check_fields, decode_object, encode, parse, spec_field
from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.parts import (
    MAX_CENTS,
    Conventions,
    Dates,
    Fee,
    Overcollateralisation,
    Reserve,
    Residual,
    Tranche,
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

    schema_version: Literal[1] = spec_field("Version of this language.")
    name: str = spec_field("Name of the deal.", pattern=r"\S(.{0,118}\S)?")
    currency: str = spec_field("ISO 4217 code.", pattern=r"[A-Z]{3}")
    dates: Dates = spec_field("Dates of the deal.")
    payment_frequency: Literal["monthly"] = spec_field("Payment dates per year.")
    tranches: tuple[Tranche, ...] = spec_field("Classes of notes, senior to junior.")
    residual: Residual = spec_field("The residual certificate.")
    fees: tuple[Fee, ...] = spec_field("Fees of the deal.")
    reserve: Reserve | None = spec_field("The reserve account, or null.")
    overcollateralisation: Overcollateralisation = spec_field("Target of the principal distribution amount.")
    loss_coverage: Literal["principal_distribution_amount"] = spec_field(
        "Principal due = max(0, notes - (pool balance - target overcollateralisation)), from all available funds."
    )
    waterfall: tuple[WaterfallStep, ...] = spec_field("Order of payments.")
    conventions: Conventions = spec_field("Named conventions.")
    closing_expenses: int = spec_field("Cents paid at closing from the proceeds.", low=0, high=MAX_CENTS)

    def __post_init__(self) -> None:
        check_fields(self)
        check_names(self.tranches, self.residual, self.fees, self.reserve)
        check_waterfall(self.waterfall, self.tranches, self.residual, self.fees, self.reserve)

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
        """Names of the classes of notes, senior to junior."""
        return tuple(tranche.name for tranche in self.tranches)

    @property
    def solved(self) -> bool:
        """Whether every class has its balance and coupon."""
        return all(tranche.balance is not None and tranche.coupon is not None for tranche in self.tranches)

    def with_solution(self, balances: Mapping[str, int], coupons: Mapping[str, float]) -> DealSpec:
        """The same deal with new balances (cents) and coupons (annual fractions) of the classes named.

        Raises SpecError for a name that is no class or a value out of bounds; TypeError for a balance not
        whole.
        """
        for name in (*balances, *coupons):
            if name not in self.class_names:
                raise SpecError("tranches", f"no class is named {name!r}{suggestion(name, self.class_names)}")
        tranches = []
        for number, tranche in enumerate(self.tranches):
            changes: dict[str, Any] = {}
            if tranche.name in balances:
                changes["balance"] = index(balances[tranche.name])  # NumPy's integers become Python's
            if tranche.name in coupons:
                changes["coupon"] = float(coupons[tranche.name])
            try:
                tranches.append(replace(tranche, **changes))
            except SpecError as error:
                raise error.below(f"tranches[{number}]") from None
        return replace(self, tranches=tuple(tranches))
