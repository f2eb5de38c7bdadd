"""Batched reads of the market for the API; each sees only what its selector shows the viewer."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.graphql.loaders import ChildrenLoader, RowLoader
from marketplace.models import Allocation, Auction, Bid, Listing, Trade


class ListingLoader(RowLoader):
    """A listing by id."""

    model = Listing


class AuctionLoader(RowLoader):
    """An auction by id."""

    model = Auction


class AuctionsOfListingLoader(ChildrenLoader):
    """The auctions of a listing, most senior class first."""

    model = Auction
    field = "listing_id"

    def rows(self) -> QuerySet[Auction]:
        return super().rows().order_by("listing_id", "seniority")


class BidLoader(RowLoader):
    """An own bid by id."""

    model = Bid


class AllocationOfBidLoader(RowLoader):
    """What an own bid was awarded."""

    model = Allocation
    field = "bid_id"


class AllocationLoader(RowLoader):
    """An own allocation by id."""

    model = Allocation


class TradeOfAllocationLoader(RowLoader):
    """The settled trade of an own allocation."""

    model = Trade
    field = "allocation_id"
