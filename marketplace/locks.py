"""Every row lock of the market, in one file and one order: listing, then bids by id, then (ledger) accounts by id.

A service takes them in this order and only here, so that two services may wait for each other but never in a ring.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from accounts.errors import NotFound
from marketplace.models import Bid, Listing


def listing_locked(listing_id: UUID) -> Listing:
    """The listing, for a change of its state: nobody else reads it for a decision until the transaction ends."""
    listing = Listing.objects.select_for_update().filter(pk=listing_id).first()
    if listing is None:
        raise NotFound("listing")
    return listing


def listing_shared(listing_id: UUID) -> Listing:
    """The listing, its state kept as it is until the transaction ends: bids share it, a close waits for them.

    Django has no word for FOR SHARE. On SQLite the write transaction is alone anyway.
    """
    if connection.vendor == "postgresql":
        table = connection.ops.quote_name(Listing._meta.db_table)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM {table} WHERE id = %s FOR SHARE", [listing_id])  # noqa: S608
    listing = Listing.objects.filter(pk=listing_id).first()
    if listing is None:
        raise NotFound("listing")
    return listing


def bid_locked(bid_id: UUID) -> Bid:
    """One bid; its listing is locked or shared already."""
    bid = Bid.objects.select_for_update().filter(pk=bid_id).first()
    if bid is None:
        raise NotFound("bid")
    return bid


def bids_locked(listing: Listing, *states: str) -> list[Bid]:
    """The listing's bids in these states, by id; the listing is locked already."""
    found = Bid.objects.select_for_update(of=("self",)).filter(auction__listing=listing, state__in=states)
    return list(found.order_by("id"))
