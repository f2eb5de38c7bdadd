"""Writes of the market: listings, sealed bids, clearing, settlement. One service is one transaction."""

from marketplace.services.auctions import auction_close
from marketplace.services.bids import bid_place, bid_withdraw
from marketplace.services.demo import listing_offers, mandates_bid
from marketplace.services.listings import listing_cancel, listing_create, listing_open
from marketplace.services.settlement import listing_settle

__all__ = [
    "auction_close",
    "bid_place",
    "bid_withdraw",
    "listing_cancel",
    "listing_create",
    "listing_offers",
    "listing_open",
    "listing_settle",
    "mandates_bid",
]
