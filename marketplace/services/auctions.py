"""Closing a listing: every class is cleared, awarded and recorded in one transaction.

Not here: the arithmetic of clearing (engine.auction), payment (settlement).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from accounts.models import Role, User
from accounts.services import audit_record, claim
from investors.ledger import Movement, transfers_book, void
from marketplace.engine.auction import Award, ClearingResult
from marketplace.locks import bids_locked, listing_locked
from marketplace.models import Allocation, Auction, Bid, BidState, Listing, ListingState
from marketplace.selectors import auction_cleared, auction_draw
from marketplace.services.listings import manifest_checked
from marketplace.services.rules import acting_organisation, transition_checked

COVER_STEP = Decimal("0.0001")


@transaction.atomic
def auction_close(*, user: User, listing: Listing, idempotency_key: str) -> Listing:
    """End bidding and clear every class at its uniform yield (operator). Holds of unfilled bids return."""
    organisation = acting_organisation(user, Role.OPERATOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="auction_close",
        params={"listing": str(listing.pk)},
    )
    if not stated.fresh:
        return Listing.objects.get(pk=stated.subject_id)
    locked = listing_locked(listing.pk)
    transition_checked(locked, ListingState.CLOSED)
    manifest_checked(locked)
    live = bids_locked(locked, BidState.LIVE)
    unfilled: list[Movement] = []
    digests: dict[str, str] = {}
    for auction in locked.auctions.order_by("seniority"):
        own = [bid for bid in live if bid.auction_id == auction.pk]
        _draw(auction, own)
        result = auction_cleared(auction)
        _record(auction, result)
        digests[auction.tranche] = auction.result_digest
        unfilled += _award(auction, own, {award.key: award for award in result.awards})
    transfers_book(batch=f"close/{locked.pk}", movements=unfilled)
    locked.state = ListingState.CLOSED
    locked.closed_at = timezone.now()
    locked.save(update_fields=["state", "closed_at"])
    stated.settle(str(locked.pk))
    audit_record(actor=user, verb="auction_close", subject=f"listing:{locked.pk}", payload={"results": digests})
    return locked


def _draw(auction: Auction, bids: Sequence[Bid]) -> None:
    """Fix the lottery now that nobody can bid any more. bids: the live ones of the class, locked."""
    draw = auction_draw(auction)
    for bid in bids:
        bid.key = draw.keys[bid.pk]
    Bid.objects.bulk_update(bids, ["key"], batch_size=500)
    auction.seed = draw.seed
    auction.save(update_fields=["seed"])


def _record(auction: Auction, result: ClearingResult) -> None:
    cover = result.bid_to_cover
    auction.clearing_ticks = result.clearing_ticks
    auction.allotted = result.allotted
    auction.bid_to_cover = (Decimal(cover.numerator) / cover.denominator).quantize(COVER_STEP)
    auction.result = json.loads(result.to_json())
    auction.result_digest = result.content_hash()
    auction.save(update_fields=["clearing_ticks", "allotted", "bid_to_cover", "result", "result_digest"])


def _award(auction: Auction, bids: Sequence[Bid], awards: Mapping[str, Award]) -> list[Movement]:
    """Write each bid's state and allocation; return the movements that give back the holds of unfilled bids."""
    unfilled: list[Movement] = []
    allocations: list[Allocation] = []
    for bid in bids:
        award = awards[bid.key]
        bid.state = BidState(award.state)
        bid.save(update_fields=["state"])
        if award.award:
            allocations.append(
                Allocation(
                    auction=auction,
                    bid=bid,
                    organisation_id=bid.organisation_id,
                    amount=award.award,
                    reason=award.reason,
                )
            )
        else:
            unfilled.append(void(f"void/{bid.pk}", bid.hold, "bid not filled"))
    Allocation.objects.bulk_create(allocations)
    return unfilled
