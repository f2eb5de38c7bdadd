"""Sealed bids: placed with a cash hold, withdrawn with its return.

Not here: clearing; who may read a bid (selectors).
"""

from __future__ import annotations

import uuid

from django.db import transaction

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role, User
from accounts.services import audit_record, claim
from investors.ledger import account_open, hold_place, hold_void
from investors.models import AccountKind
from investors.services import cash_account
from marketplace.locks import bid_locked, listing_shared
from marketplace.models import Auction, Bid, BidState, Listing, ListingState
from marketplace.services.prices import hold_cents, price_at
from marketplace.services.rules import acting_organisation, whole


@transaction.atomic
def bid_place(*, user: User, auction: Auction, yield_ticks: int, amount: int, idempotency_key: str) -> Bid:
    """A sealed bid for amount (cents of original balance) at yield_ticks (1e-5 a year) or more, by an investor.

    Cash is earmarked at the price of the bid's own yield: the clearing yield of a filled bid is no lower, so its
    settlement price is no higher. Raises ApplicationError not_open, out_of_range, above_reserve, not_in_lots,
    insufficient_cash.
    """
    organisation = acting_organisation(user, Role.INVESTOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="bid_place",
        params={"auction": str(auction.pk), "yield_ticks": repr(yield_ticks), "amount": repr(amount)},
    )
    if not stated.fresh:
        return Bid.objects.get(pk=stated.subject_id)
    listing = listing_shared(auction.listing_id)
    _open_checked(listing, "auction")
    terms = Auction.objects.get(pk=auction.pk)
    _terms_checked(terms, yield_ticks, amount)
    at = price_at(listing.price_report, terms.tranche, yield_ticks)
    needed = hold_cents(amount, at)
    currency = str(listing.deal_version.spec["currency"])
    bid_id = uuid.uuid4()
    try:
        hold = hold_place(
            debit=cash_account(organisation, currency),
            credit=account_open(kind=AccountKind.DEAL, asset=currency, deal=listing.deal),
            amount=needed,
            key=f"bid/{bid_id}",
            memo=f"hold for a bid on class {terms.tranche}",
        )
    except ApplicationError as error:
        if error.code != "insufficient_funds":
            raise
        available = cash_account(organisation, currency).available
        raise ApplicationError(
            f"amount {amount / 100:,.2f} needs a hold of {needed / 100:,.2f} {currency} "
            f"at the bid's price of {at:.4f}, and {available / 100:,.2f} is available: "
            "lower the amount or deposit cash.",
            code="insufficient_cash",
            field="amount",
        ) from error
    bid = Bid.objects.create(
        id=bid_id,
        auction=terms,
        organisation=organisation,
        user=user,
        yield_ticks=yield_ticks,
        amount=amount,
        hold=hold,
    )
    stated.settle(str(bid.pk))
    # The trail tells that a bid came, not what it says: operators read the trail and bids are sealed.
    audit_record(actor=user, verb="bid_place", subject=f"bid:{bid.pk}", payload={"auction": str(terms.pk)})
    return bid


def _open_checked(listing: Listing, what: str) -> None:
    if listing.state in (ListingState.DRAFT, ListingState.CANCELLED):
        raise NotFound(what)
    if listing.state != ListingState.OPEN:
        raise ApplicationError(
            f"The listing is {listing.state}: bids are taken and withdrawn only while it is open.",
            code="not_open",
            field="listing",
        )


def _terms_checked(auction: Auction, yield_ticks: int, amount: int) -> None:
    if isinstance(amount, int) and amount > auction.supply:
        raise ApplicationError(
            f"amount {amount / 100:,.2f} is more than the supply of {auction.supply / 100:,.2f}: bid for no more.",
            code="out_of_range",
            field="amount",
        )
    whole(amount, "amount", low=1, high=auction.supply, unit="cents")
    if amount % auction.lot:
        raise ApplicationError(
            f"amount {amount / 100:,.2f} is not in whole lots: give a multiple of {auction.lot / 100:,.2f}.",
            code="not_in_lots",
            field="amount",
        )
    whole(yield_ticks, "yield_ticks", low=1, high=10**6, unit="ticks of 0.001 %")
    if yield_ticks > auction.reserve_ticks:
        raise ApplicationError(
            f"yield {yield_ticks / 1000:.3f} % is above the reserve of {auction.reserve_ticks / 1000:.3f} %: "
            "bid at or below the reserve.",
            code="above_reserve",
            field="yield_ticks",
        )


@transaction.atomic
def bid_withdraw(*, user: User, bid: Bid, idempotency_key: str) -> Bid:
    """Take back an own live bid while the listing is open; its hold returns in full."""
    organisation = acting_organisation(user, Role.INVESTOR)
    stated = claim(organisation=organisation, key=idempotency_key, verb="bid_withdraw", params={"bid": str(bid.pk)})
    if not stated.fresh:
        return Bid.objects.get(pk=stated.subject_id)
    own = Bid.objects.filter(pk=bid.pk, organisation=organisation).select_related("auction").first()
    if own is None:
        raise NotFound("bid")
    _open_checked(listing_shared(own.auction.listing_id), "bid")
    locked = bid_locked(own.pk)
    if locked.state != BidState.LIVE:
        raise ApplicationError(
            f"The bid is {locked.state}: only a live bid can be withdrawn.",
            code="illegal_transition",
            field="state",
        )
    hold_void(hold=locked.hold, key=f"void/{locked.pk}", memo="bid withdrawn")
    locked.state = BidState.WITHDRAWN
    locked.save(update_fields=["state"])
    stated.settle(str(locked.pk))
    audit_record(actor=user, verb="bid_withdraw", subject=f"bid:{locked.pk}", payload={})
    return locked
