"""The API's verbs of the market; each calls one service.

Beside schema.py, which holds the types, so that neither outgrows its reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import graphene

from accounts.graphql.context import Context
from accounts.graphql.mutations import ServiceMutation, cents_of
from accounts.graphql.nodes import visible_node
from accounts.graphql.scalars import MoneyInput
from marketplace.models import Bid, Listing
from marketplace.schema import AuctionType, BidType, ListingType
from marketplace.services import (
    auction_close,
    bid_place,
    bid_withdraw,
    listing_cancel,
    listing_create,
    listing_open,
    listing_settle,
)
from marketplace.services.listings import DEFAULT_LOT, DEFAULT_RESERVE_SPREAD_BP
from pooling.schema import DealType


class ListingCreateInput(graphene.InputObjectType):
    deal_id = graphene.ID(required=True)
    reserve_spread_bp = graphene.Int(
        default_value=DEFAULT_RESERVE_SPREAD_BP, description="Highest yield accepted, in basis points over the guide."
    )
    lot = graphene.Field(MoneyInput, description="Every bid is a multiple of it; 1,000.00 if unset.")


class ListingOpenInput(graphene.InputObjectType):
    listing_id = graphene.ID(required=True)


class AuctionCloseInput(graphene.InputObjectType):
    listing_id = graphene.ID(required=True)


class ListingCancelInput(graphene.InputObjectType):
    listing_id = graphene.ID(required=True)


class ListingSettleInput(graphene.InputObjectType):
    listing_id = graphene.ID(required=True)


class BidPlaceInput(graphene.InputObjectType):
    auction_id = graphene.ID(required=True)
    yield_ticks = graphene.Int(required=True, description="Lowest yield wanted, in ticks of 0.001 % a year.")
    amount = graphene.NonNull(MoneyInput, description="Original balance.")


class BidWithdrawInput(graphene.InputObjectType):
    bid_id = graphene.ID(required=True)


class ListingCreate(ServiceMutation):
    """A draft listing of a rated and priced deal; its versions are frozen from here on."""

    input_type = ListingCreateInput

    listing = graphene.Field(ListingType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        lot = values.get("lot")
        listing = listing_create(
            user=context.viewer,
            deal=visible_node(DealType, context, values["deal_id"], "deal"),
            reserve_spread_bp=values["reserve_spread_bp"],
            lot=DEFAULT_LOT if lot is None else cents_of(lot, "lot"),
            idempotency_key=key,
        )
        return {"listing": listing}


class ListingMove(ServiceMutation):
    """A step in the life of a listing; subclasses name the service."""

    class Meta:
        abstract = True

    service: ClassVar[Callable[..., Listing]]

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        listing = visible_node(ListingType, context, values["listing_id"], "listing")
        return {"listing": cls.service(user=context.viewer, listing=listing, idempotency_key=key)}


class ListingOpen(ListingMove):
    """Open a draft for bids."""

    input_type = ListingOpenInput
    service = staticmethod(listing_open)

    listing = graphene.Field(ListingType)


class AuctionClose(ListingMove):
    """End the bidding and clear every class in one step."""

    input_type = AuctionCloseInput
    service = staticmethod(auction_close)

    listing = graphene.Field(ListingType)


class ListingCancel(ListingMove):
    """Take a listing off the market; every hold returns."""

    input_type = ListingCancelInput
    service = staticmethod(listing_cancel)

    listing = graphene.Field(ListingType)


class ListingSettle(ListingMove):
    """Deliver the units against cash, all or nothing."""

    input_type = ListingSettleInput
    service = staticmethod(listing_settle)

    listing = graphene.Field(ListingType)


class BidPlace(ServiceMutation):
    """A sealed bid; its cash is earmarked at the price of its own yield."""

    input_type = BidPlaceInput

    bid = graphene.Field(BidType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        bid = bid_place(
            user=context.viewer,
            auction=visible_node(AuctionType, context, values["auction_id"], "auction"),
            yield_ticks=values["yield_ticks"],
            amount=cents_of(values["amount"], "amount"),
            idempotency_key=key,
        )
        return {"bid": with_hold(context, bid.pk)}


class BidWithdraw(ServiceMutation):
    """Take a live bid back; its hold returns."""

    input_type = BidWithdrawInput

    bid = graphene.Field(BidType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        bid = visible_node(BidType, context, values["bid_id"], "bid")
        done = bid_withdraw(user=context.viewer, bid=bid, idempotency_key=key)
        return {"bid": with_hold(context, done.pk)}


def with_hold(context: Context, key: Any) -> Any:
    """The bid as the API reads it, with its hold beside it."""
    return context.rows(Bid).get(pk=key)


class Mutation:
    """Mutations of the market."""

    listing_create = ListingCreate.Field()
    listing_open = ListingOpen.Field()
    auction_close = AuctionClose.Field()
    listing_cancel = ListingCancel.Field()
    listing_settle = ListingSettle.Field()
    bid_place = BidPlace.Field()
    bid_withdraw = BidWithdraw.Field()
