"""What the pages show of a deal, put together from stored reports: class rows, filters' choices, a bid's price.

Nothing is decided here about who may see it: the caller has taken every row from a selector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from investors.engine.mandates import Reason, eligible
from investors.models import Mandate
from investors.services import terms_read
from marketplace.models import Auction, Listing
from marketplace.services.demo import listing_offers
from marketplace.services.prices import hold_cents, price_at
from pooling.models import Pool

LAST_COLOUR = 5


@dataclass(frozen=True)
class ClassRow:
    """One class: balance in cents, the rest fractions, years, price per 100. slot: seniority, None for the residual."""

    name: str
    slot: int | None
    balance: int
    figures: Mapping[str, Any]
    priced: Mapping[str, Any]
    auction: Auction | None = None

    @property
    def colour(self) -> str:
        """Its class in the stylesheet."""
        return "residual" if self.slot is None else f"s{min(self.slot, LAST_COLOUR)}"

    @property
    def attach(self) -> float:
        return float(self.figures["attach"])

    @property
    def detach(self) -> float:
        return float(self.figures["detach"])

    @property
    def rating(self) -> str | None:
        found: str | None = self.figures.get("rating")
        return found


def class_rows(
    rating: Mapping[str, Any], pricing: Mapping[str, Any] | None, auctions: Iterable[Auction] = ()
) -> list[ClassRow]:
    """Rows of a rating report, senior first, each with its price and its auction. The residual comes last, untitled
    by a grade: it is the row that no price report and no target grade names."""
    priced = {row["name"]: row for row in (pricing or {}).get("tranches", ())}
    offered = {auction.tranche: auction for auction in auctions}
    rows = rating["tranches"]
    return [
        ClassRow(
            name=row["name"],
            slot=None if row.get("coupon") is None else slot,
            balance=row["balance"],
            figures=row,
            priced=priced.get(row["name"], {}),
            auction=offered.get(row["name"]),
        )
        for slot, row in enumerate(rows)
    ]


def loan_choices(pool: Pool) -> dict[str, list[str]]:
    """What the loans of a pool can be filtered by: names of grade, term, state, purpose from its stratification."""
    tables = {table["dimension"]: table["strata"] for table in pool.stratifications.get("tables", ())}
    names = {
        dimension: [row["name"] for row in tables.get(dimension, ()) if row["name"] != "unknown"]
        for dimension in ("grade", "term", "state", "purpose")
    }
    names["term"] = [name.removesuffix(" months") for name in names["term"]]
    names["state"], names["purpose"] = sorted(names["state"]), sorted(names["purpose"])
    return names


@dataclass(frozen=True)
class Ticket:
    """What a bid would mean: price per 100 at its own yield, and the cash it earmarks, in cents."""

    price: Decimal
    hold: int


def ticket(auction: Auction, yield_ticks: int, amount: int) -> Ticket:
    """Price and hold of a bid that is not placed yet; ApplicationError where the class has no price."""
    at = price_at(auction.listing.price_report, auction.tranche, yield_ticks)
    return Ticket(at, hold_cents(amount, at))


def mandate_tests(mandates: Iterable[Mandate], auction: Auction) -> list[tuple[Mandate, tuple[Reason, ...]]]:
    """Each mandate with the limits that keep it from this class; none: it may buy."""
    offers = {offer.key: offer for offer in listing_offers(auction.listing)}
    offer = offers[auction.tranche]
    return [(mandate, eligible(terms_read(mandate.terms), offer)) for mandate in mandates]


def provenance_of(listing: Listing) -> dict[str, Any]:
    """What stands under every figure of a listing."""
    return {"manifest": listing.manifest, "made_at": listing.price_report.created_at}
