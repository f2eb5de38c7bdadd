"""What a user may see of the market, and the proof that a stored result follows from the bids.

Bids are sealed: before the close nobody but the bidder reads one, the operator sees their number. Not here: writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypedDict, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet

from accounts.canonical import digest
from accounts.errors import NotFound
from accounts.models import Role
from investors.selectors import Viewer, organisation_of
from marketplace.engine.auction import AuctionBid, ClearingResult, clear
from marketplace.models import Allocation, Auction, Bid, BidState, Listing, ListingState, Trade

Row = TypeVar("Row", bound=Model)

# What the market table can be sorted by; a leading "-" turns the order round.
LISTING_ORDERS = {
    "deal": "deal__name",
    "originator": "organisation__name",
    "balance": "deal__pool__balance",
    "loans": "deal__pool__loan_count",
    "wac": "deal__pool__wac",
    "state": "state",
    "opened": "opened_at",
}

ON_OFFER = (ListingState.OPEN, ListingState.CLOSED, ListingState.SETTLED)
CLEARED = (ListingState.CLOSED, ListingState.SETTLED)


class ListingFilters(TypedDict, total=False):
    """Filters of the market table. name: part of the deal's or originator's; order: of LISTING_ORDERS."""

    name: str
    state: str
    order: str


@dataclass(frozen=True)
class AuctionResult:
    """What the viewer may know of one auction. Amounts in cents, yields in ticks of 1e-5.

    bids: their number, None where the viewer may not know it yet. Before the close the rest is None or empty.
    demand: (yield, cents bid at or below it), rising. allotments: cents per successful bid, largest first, no
    names; for the operator and the originator.
    """

    state: str
    supply: int
    guide_ticks: int
    reserve_ticks: int
    bids: int | None = None
    status: str | None = None
    clearing_ticks: int | None = None
    allotted: int | None = None
    bid_to_cover: Decimal | None = None
    demand: tuple[tuple[int, int], ...] = ()
    allotments: tuple[int, ...] = ()
    digest: str = ""


# ------------------------------------------------------------------------------------------ visible
def listings_visible(viewer: Viewer) -> QuerySet[Listing]:
    """Originators: their own. Operators: all. Investors, analysts: what is or was on offer; an investor also a
    cancelled listing it has bid on. Others: none.
    """
    organisation = organisation_of(viewer)
    if organisation is None:
        return Listing.objects.none()
    if organisation.role == Role.OPERATOR:
        seen = Listing.objects.all()
    elif organisation.role == Role.ORIGINATOR:
        seen = Listing.objects.filter(organisation=organisation)
    elif organisation.role == Role.ANALYST:
        seen = Listing.objects.filter(state__in=ON_OFFER)
    elif organisation.role == Role.INVESTOR:
        own = Bid.objects.filter(auction__listing=OuterRef("pk"), organisation=organisation)
        seen = Listing.objects.filter(Q(state__in=ON_OFFER) | Q(Exists(own), state=ListingState.CANCELLED))
    else:
        return Listing.objects.none()
    return seen.order_by("-created_at", "id")


def listings_filtered(listings: QuerySet[Listing], filters: ListingFilters) -> QuerySet[Listing]:
    """Apply the market table's filters; an order that is not known leaves the order as it is."""
    if name := filters.get("name"):
        listings = listings.filter(Q(deal__name__icontains=name) | Q(organisation__name__icontains=name))
    if state := filters.get("state"):
        listings = listings.filter(state=state)
    wanted = filters.get("order", "")
    column = LISTING_ORDERS.get(wanted.removeprefix("-"))
    if column is None:
        return listings
    by = F(column)
    order = by.desc(nulls_last=True) if wanted.startswith("-") else by.asc(nulls_last=True)
    return listings.order_by(order, "id")


def auctions_visible(viewer: Viewer) -> QuerySet[Auction]:
    """Auctions of visible listings. Auction.result names the bids by key: show auction_result instead."""
    return Auction.objects.filter(listing__in=listings_visible(viewer).order_by().values("pk")).defer("result")


def bids_visible(viewer: Viewer) -> QuerySet[Bid]:
    """An investor's own bids; nobody else reads a bid, at any time."""
    organisation = organisation_of(viewer, Role.INVESTOR)
    return Bid.objects.filter(organisation=organisation) if organisation else Bid.objects.none()


def allocations_visible(viewer: Viewer) -> QuerySet[Allocation]:
    """An investor's own allocations."""
    organisation = organisation_of(viewer, Role.INVESTOR)
    if organisation is None:
        return Allocation.objects.none()
    return Allocation.objects.filter(organisation=organisation).order_by("created_at", "id")


def trades_visible(viewer: Viewer) -> QuerySet[Trade]:
    """An investor's own trades."""
    organisation = organisation_of(viewer, Role.INVESTOR)
    if organisation is None:
        return Trade.objects.none()
    return Trade.objects.filter(organisation=organisation).order_by("settled_at", "id")


def listing_visible(viewer: Viewer, listing_id: UUID | str) -> Listing:
    """The listing, or NotFound where it is not this viewer's to see."""
    return _one(listings_visible(viewer), listing_id, "listing")


def auction_visible(viewer: Viewer, auction_id: UUID | str) -> Auction:
    """The auction, or NotFound."""
    return _one(auctions_visible(viewer), auction_id, "auction")


def bid_visible(viewer: Viewer, bid_id: UUID | str) -> Bid:
    """The bid, or NotFound."""
    return _one(bids_visible(viewer), bid_id, "bid")


def _one(rows: QuerySet[Row], key: UUID | str, what: str) -> Row:
    try:
        found = rows.filter(pk=key).first()
    except (ValidationError, ValueError):
        found = None
    if found is None:
        raise NotFound(what)
    return found


def auction_result(viewer: Viewer, auction: Auction) -> AuctionResult:
    """The auction's outcome as far as this viewer may know it. Raises NotFound."""
    seen = _one(auctions_visible(viewer).select_related("listing"), auction.pk, "auction")
    organisation = organisation_of(viewer)
    role = organisation.role if organisation else None
    state = seen.listing.state
    bids = seen.bids.exclude(state=BidState.WITHDRAWN)
    terms = AuctionResult(
        state=state, supply=seen.supply, guide_ticks=seen.guide_ticks, reserve_ticks=seen.reserve_ticks
    )
    if state not in CLEARED:
        return replace(terms, bids=bids.count() if role == Role.OPERATOR else None)
    ladder = list(bids.values_list("yield_ticks", "amount"))
    allotments: Iterable[int] = ()
    if role in (Role.OPERATOR, Role.ORIGINATOR):
        allotments = seen.allocations.order_by("-amount").values_list("amount", flat=True)
    return replace(
        terms,
        bids=len(ladder),
        status=(seen.result or {}).get("status"),
        clearing_ticks=seen.clearing_ticks,
        allotted=seen.allotted,
        bid_to_cover=seen.bid_to_cover,
        demand=_cumulated(ladder),
        allotments=tuple(allotments),
        digest=seen.result_digest,
    )


def _cumulated(ladder: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    at_yield: dict[int, int] = {}
    for ticks, amount in ladder:
        at_yield[ticks] = at_yield.get(ticks, 0) + amount
    total, points = 0, []
    for ticks in sorted(at_yield):
        total += at_yield[ticks]
        points.append((ticks, total))
    return tuple(points)


# ------------------------------------------------------------------------------------------ replay
@dataclass(frozen=True)
class Draw:
    """The lottery among tied bids. keys: name of each bid in the clearing, by its id."""

    seed: int
    keys: dict[UUID, str]


def auction_draw(auction: Auction) -> Draw:
    """Seed and keys of the clearing: as stored at the close; before it, as a close now would store them.

    A key names bidder, yield, amount and number of a live bid. The seed hashes the frozen manifest and all keys of
    the class: it changes with every sealed bid, so that no bidder can know its draw while it can still bid, and
    bids taken back leave no trace. No row id is in it: the same market gives the same awards on every machine.
    """
    if auction.seed is not None:
        return Draw(auction.seed, dict(auction.bids.exclude(key="").values_list("pk", "key")))
    numbers: Counter[UUID] = Counter()
    keys: dict[UUID, str] = {}
    live = auction.bids.filter(state=BidState.LIVE).select_related("organisation")
    # Numbered by content: of equal bids of one bidder it does not matter which is the first.
    for bid in live.order_by("yield_ticks", "amount", "created_at", "id"):
        numbers[bid.organisation_id] += 1
        keys[bid.pk] = digest([bid.organisation.name, bid.yield_ticks, bid.amount, numbers[bid.organisation_id]])
    return Draw(_seed(auction, keys.values()), keys)


def _seed(auction: Auction, keys: Iterable[str]) -> int:
    return int(digest([digest(auction.listing.manifest), auction.tranche, sorted(keys)])[:15], 16)


def auction_cleared(auction: Auction) -> ClearingResult:
    """Clear the auction from its rows: a pure function of terms and bids, the same before and after the close.

    For services and proofs only: it reads sealed bids, so nothing of it may reach a viewer but by auction_result.
    """
    draw = auction_draw(auction)
    bids = [
        AuctionBid(key=draw.keys[bid.pk], quantity=bid.amount, limit_ticks=bid.yield_ticks)
        for bid in auction.bids.filter(pk__in=draw.keys)
    ]
    return clear(auction.supply, bids, reserve_ticks=auction.reserve_ticks, lot=auction.lot, seed=draw.seed)


def auction_verified(auction: Auction) -> bool:
    """Whether the stored keys and manifest give the stored seed, and a replay of the stored bids the stored digest."""
    if auction.seed is None or not auction.result_digest:
        return False
    honest = auction.seed == _seed(auction, auction_draw(auction).keys.values())
    return honest and auction_cleared(auction).content_hash() == auction.result_digest
