"""Listings, sealed bids, auctions, allocations and trades.

Not here: valuation; the ledger that moves the cash and units.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from accounts.models import Organisation, User
from investors.models import Transfer
from pooling.models import Deal, DealVersion
from pricing.models import PriceReport
from rating.models import RatingReport


class ListingState(models.TextChoices):
    DRAFT = "draft"
    OPEN = "open"
    CLOSED = "closed"  # bids are cleared and allocated
    SETTLED = "settled"
    CANCELLED = "cancelled"


LISTING_TRANSITIONS: dict[str, frozenset[str]] = {
    ListingState.DRAFT: frozenset({ListingState.OPEN, ListingState.CANCELLED}),
    ListingState.OPEN: frozenset({ListingState.CLOSED, ListingState.CANCELLED}),
    ListingState.CLOSED: frozenset({ListingState.SETTLED, ListingState.CANCELLED}),
    ListingState.SETTLED: frozenset(),
    ListingState.CANCELLED: frozenset(),
}


class Listing(models.Model):
    """A deal offered to the market with its versions frozen. manifest holds every hash an investor checks."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="listings")
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, related_name="listings")
    deal_version = models.ForeignKey(DealVersion, on_delete=models.PROTECT, related_name="+")
    rating_report = models.ForeignKey(RatingReport, on_delete=models.PROTECT, related_name="+")
    price_report = models.ForeignKey(PriceReport, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=ListingState.choices, default=ListingState.DRAFT)
    manifest = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    sources_and_uses = models.JSONField(null=True)

    class Meta:
        constraints = [
            # A cancelled offer gives the deal free for another one.
            models.UniqueConstraint(
                fields=["deal"], condition=~Q(state=ListingState.CANCELLED), name="one_listing_per_deal"
            ),
        ]


class Auction(models.Model):
    """The auction of one class of a listing. Yields are integer ticks of 1e-5 a year."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    listing = models.ForeignKey(Listing, on_delete=models.PROTECT, related_name="auctions")
    tranche = models.CharField(max_length=40)
    seniority = models.PositiveSmallIntegerField(help_text="0 is the most senior class")
    supply = models.BigIntegerField(help_text="cents of original balance")
    lot = models.BigIntegerField(help_text="cents")
    reserve_ticks = models.PositiveIntegerField(help_text="highest yield accepted")
    guide_ticks = models.PositiveIntegerField(help_text="model yield shown to bidders")
    seed = models.BigIntegerField(null=True, help_text="of the draw among ties; follows from the bids at the close")
    clearing_ticks = models.PositiveIntegerField(null=True)
    allotted = models.BigIntegerField(null=True)
    bid_to_cover = models.DecimalField(max_digits=12, decimal_places=4, null=True)
    result = models.JSONField(null=True)
    result_digest = models.CharField(max_length=64, default="")

    class Meta:
        ordering = ["listing_id", "seniority"]
        constraints = [
            models.UniqueConstraint(fields=["listing", "tranche"], name="one_auction_per_class"),
            models.CheckConstraint(condition=Q(supply__gt=0) & Q(lot__gt=0), name="auction_has_supply"),
        ]


class BidState(models.TextChoices):
    LIVE = "live"
    WITHDRAWN = "withdrawn"
    FILLED = "filled"
    PART_FILLED = "part_filled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"  # the listing was cancelled


class Bid(models.Model):
    """A sealed bid with its cash hold. Only its own organisation may read it before the auction closes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    auction = models.ForeignKey(Auction, on_delete=models.PROTECT, related_name="bids")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="bids")
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    yield_ticks = models.PositiveIntegerField()
    amount = models.BigIntegerField(help_text="cents of original balance")
    hold = models.OneToOneField(Transfer, on_delete=models.PROTECT, related_name="bid")
    state = models.CharField(max_length=12, choices=BidState.choices, default=BidState.LIVE)
    key = models.CharField(max_length=64, default="", help_text="name of the bid in the clearing, given at the close")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="bid_has_amount"),
            models.CheckConstraint(condition=Q(yield_ticks__gt=0), name="bid_has_yield"),
            models.UniqueConstraint(fields=["auction", "key"], condition=~Q(key=""), name="one_bid_per_key"),
        ]


class Allocation(models.Model):
    """What a bid was awarded, in cents of original balance, and why."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    auction = models.ForeignKey(Auction, on_delete=models.PROTECT, related_name="allocations")
    bid = models.OneToOneField(Bid, on_delete=models.PROTECT, related_name="allocation")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="allocations")
    amount = models.BigIntegerField()
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="allocation_has_amount")]


class Trade(models.Model):
    """Delivery versus payment of one allocation: units against cash, booked together or not at all."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    allocation = models.OneToOneField(Allocation, on_delete=models.PROTECT, related_name="trade")
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="trades")
    amount = models.BigIntegerField(help_text="cents of original balance")
    price = models.DecimalField(max_digits=14, decimal_places=8, help_text="per 100 of original balance")
    cash = models.BigIntegerField(help_text="cents")
    batch = models.CharField(max_length=120)
    settled_at = models.DateTimeField()
