"""The API of the market: listings with what they sell, auctions, the viewer's own bids, allocations and trades."""

from __future__ import annotations

from decimal import Decimal as Exact
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from accounts.graphql.connections import Connection, connection_field, page
from accounts.graphql.context import context_of
from accounts.graphql.nodes import NodeType, visible_node
from accounts.graphql.scalars import JSON, Decimal, Money, money
from accounts.loaders import OrganisationLoader
from accounts.schema import OrganisationType
from marketplace.loaders import (
    AllocationLoader,
    AllocationOfBidLoader,
    AuctionLoader,
    AuctionsOfListingLoader,
    BidLoader,
    ListingLoader,
    TradeOfAllocationLoader,
)
from marketplace.models import Allocation, Auction, Bid, BidState, Listing, ListingState, Trade
from marketplace.selectors import AuctionResult, auction_result
from pooling.loaders import DealLoader, DealVersionLoader
from pooling.schema import DealType, DealVersionType
from pricing.loaders import PriceReportLoader
from pricing.schema import PriceReportType
from rating.loaders import RatingReportLoader
from rating.schema import RatingReportType

TICKS = 100_000

ListingStateEnum = graphene.Enum.from_enum(ListingState, name="ListingState")
BidStateEnum = graphene.Enum.from_enum(BidState, name="BidState")


def annual(ticks: int | None) -> Exact | None:
    """A yield in ticks of 1e-5 as an exact annual fraction."""
    return None if ticks is None else Exact(ticks) / TICKS


class AuctionType(NodeType):
    """The auction of one class. Sealed: before the close the clearing figures are null."""

    class Meta:
        name = "Auction"
        model = Auction
        fields = ("tranche", "seniority", "reserve_ticks", "guide_ticks", "clearing_ticks", "bid_to_cover",
                  "result_digest")  # fmt: skip

    listing = graphene.NonNull(lambda: ListingType)
    supply = graphene.NonNull(Money, description="Original balance on offer.")
    lot = graphene.NonNull(Money, description="Every bid is a multiple of it.")
    reserve_yield = Decimal(required=True, description="Highest yield accepted, annual fraction.")
    guide_yield = Decimal(required=True, description="The model's yield, annual fraction.")
    clearing_yield = Decimal(description="The one yield that every filled bid gets, annual fraction.")
    allotted = graphene.Field(Money, description="Original balance sold.")

    @staticmethod
    def resolve_listing(root: Auction, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(ListingLoader).load(root.listing_id)

    @staticmethod
    def resolve_supply(root: Auction, info: GraphQLResolveInfo) -> Money | None:
        return money(root.supply)

    @staticmethod
    def resolve_lot(root: Auction, info: GraphQLResolveInfo) -> Money | None:
        return money(root.lot)

    @staticmethod
    def resolve_reserve_yield(root: Auction, info: GraphQLResolveInfo) -> Exact | None:
        return annual(root.reserve_ticks)

    @staticmethod
    def resolve_guide_yield(root: Auction, info: GraphQLResolveInfo) -> Exact | None:
        return annual(root.guide_ticks)

    @staticmethod
    def resolve_clearing_yield(root: Auction, info: GraphQLResolveInfo) -> Exact | None:
        return annual(root.clearing_ticks)

    @staticmethod
    def resolve_allotted(root: Auction, info: GraphQLResolveInfo) -> Money | None:
        return money(root.allotted)


class DemandPoint(graphene.ObjectType):
    """How much was bid at this yield or below it."""

    yield_ticks = graphene.Int(required=True)
    amount = graphene.NonNull(Money)


class AuctionResultType(graphene.ObjectType):
    """The outcome of an auction as far as the viewer may know it: sums only, before the close at most a count."""

    class Meta:
        name = "AuctionResult"

    state = graphene.NonNull(ListingStateEnum)
    status = graphene.String()
    bids = graphene.Int(description="Number of bids; before the close for operators only.")
    demand = graphene.NonNull(graphene.List(graphene.NonNull(DemandPoint)))
    allotments = graphene.NonNull(
        graphene.List(graphene.NonNull(Money)), description="Amounts allotted, largest first, without names."
    )

    @staticmethod
    def resolve_demand(root: AuctionResult, info: GraphQLResolveInfo) -> list[DemandPoint]:
        return [DemandPoint(yield_ticks=ticks, amount=money(amount)) for ticks, amount in root.demand]

    @staticmethod
    def resolve_allotments(root: AuctionResult, info: GraphQLResolveInfo) -> list[Money | None]:
        return [money(amount) for amount in root.allotments]


class ListingType(NodeType):
    """A deal offered to the market, with its versions frozen."""

    class Meta:
        name = "Listing"
        model = Listing
        fields = ("created_at", "opened_at", "closed_at", "settled_at")

    state = graphene.NonNull(ListingStateEnum)
    originator = graphene.NonNull(OrganisationType)
    deal = graphene.NonNull(DealType)
    deal_version = graphene.NonNull(DealVersionType)
    rating_report = graphene.NonNull(RatingReportType)
    price_report = graphene.NonNull(PriceReportType)
    auctions = graphene.NonNull(graphene.List(graphene.NonNull(AuctionType)))
    manifest = graphene.NonNull(JSON, description="Every hash an investor can check.")
    sources_and_uses = JSON(description="Cents by name, both sides of equal total; null before settlement.")

    @staticmethod
    def resolve_originator(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(OrganisationLoader).load(root.organisation_id)

    @staticmethod
    def resolve_deal(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealLoader).load(root.deal_id)

    @staticmethod
    def resolve_deal_version(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealVersionLoader).load(root.deal_version_id)

    @staticmethod
    def resolve_rating_report(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(RatingReportLoader).load(root.rating_report_id)

    @staticmethod
    def resolve_price_report(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(PriceReportLoader).load(root.price_report_id)

    @staticmethod
    def resolve_auctions(root: Listing, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(AuctionsOfListingLoader).load(root.pk)


class BidType(NodeType):
    """A sealed bid of the viewer's organisation."""

    class Meta:
        name = "Bid"
        model = Bid
        fields = ("yield_ticks", "created_at")

    state = graphene.NonNull(BidStateEnum)
    amount = graphene.NonNull(Money, description="Original balance.")
    hold = graphene.NonNull(Money, description="Cash earmarked at the price of the bid's own yield.")
    auction = graphene.NonNull(AuctionType)
    allocation = graphene.Field(lambda: AllocationType)

    @staticmethod
    def resolve_amount(root: Bid, info: GraphQLResolveInfo) -> Money | None:
        return money(root.amount)

    @staticmethod
    def resolve_hold(root: Bid, info: GraphQLResolveInfo) -> Money | None:
        return money(root.hold.amount, root.hold.asset)

    @staticmethod
    def resolve_auction(root: Bid, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(AuctionLoader).load(root.auction_id)

    @staticmethod
    def resolve_allocation(root: Bid, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(AllocationOfBidLoader).load(root.pk)


class AllocationType(NodeType):
    """What a bid was awarded, and why."""

    class Meta:
        name = "Allocation"
        model = Allocation
        fields = ("reason", "created_at")

    amount = graphene.NonNull(Money, description="Original balance.")
    auction = graphene.NonNull(AuctionType)
    bid = graphene.NonNull(BidType)
    trade = graphene.Field(lambda: TradeType)

    @staticmethod
    def resolve_amount(root: Allocation, info: GraphQLResolveInfo) -> Money | None:
        return money(root.amount)

    @staticmethod
    def resolve_auction(root: Allocation, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(AuctionLoader).load(root.auction_id)

    @staticmethod
    def resolve_bid(root: Allocation, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(BidLoader).load(root.bid_id)

    @staticmethod
    def resolve_trade(root: Allocation, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(TradeOfAllocationLoader).load(root.pk)


class TradeType(NodeType):
    """An allocation settled: units against cash."""

    class Meta:
        name = "Trade"
        model = Trade
        fields = ("price", "settled_at")

    amount = graphene.NonNull(Money, description="Original balance.")
    cash = graphene.NonNull(Money)
    allocation = graphene.NonNull(AllocationType)

    @staticmethod
    def resolve_amount(root: Trade, info: GraphQLResolveInfo) -> Money | None:
        return money(root.amount)

    @staticmethod
    def resolve_cash(root: Trade, info: GraphQLResolveInfo) -> Money | None:
        return money(root.cash)

    @staticmethod
    def resolve_allocation(root: Trade, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(AllocationLoader).load(root.allocation_id)


class ListingConnection(Connection):
    class Meta:
        node = ListingType


class BidConnection(Connection):
    class Meta:
        node = BidType


class AllocationConnection(Connection):
    class Meta:
        node = AllocationType


class TradeConnection(Connection):
    class Meta:
        node = TradeType


class Query:
    """Root fields of the market."""

    listings = connection_field(
        ListingConnection, description="Deals on the market, newest first.", state=graphene.Argument(ListingStateEnum)
    )
    auction_result = graphene.Field(AuctionResultType, auction_id=graphene.ID(required=True))
    bids = connection_field(BidConnection, description="My bids, newest first.", state=graphene.Argument(BidStateEnum))
    allocations = connection_field(AllocationConnection, description="What my bids were awarded, newest first.")
    trades = connection_field(TradeConnection, description="My settled trades, newest first.")

    @staticmethod
    def resolve_listings(
        root: Any, info: GraphQLResolveInfo, state: ListingState | None = None, **paging: Any
    ) -> Connection:
        rows = context_of(info).rows(Listing)
        if state is not None:
            rows = rows.filter(state=state)
        return page(ListingConnection, rows, ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_auction_result(root: Any, info: GraphQLResolveInfo, auction_id: str) -> AuctionResult:
        context = context_of(info)
        return auction_result(context.viewer, visible_node(AuctionType, context, auction_id, "auction"))

    @staticmethod
    def resolve_bids(root: Any, info: GraphQLResolveInfo, state: BidState | None = None, **paging: Any) -> Connection:
        rows = context_of(info).rows(Bid)
        if state is not None:
            rows = rows.filter(state=state)
        return page(BidConnection, rows, ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_allocations(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(AllocationConnection, context_of(info).rows(Allocation), ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_trades(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(TradeConnection, context_of(info).rows(Trade), ("-settled_at", "id"), **paging)
