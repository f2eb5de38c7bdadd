"""Closing and settling a listing: the money, the units, and that no step can be half-done."""

from __future__ import annotations

import pytest

from accounts.errors import ApplicationError
from investors.models import Account, AccountKind, Transfer
from investors.selectors import cash_position, ledger_drift, ledger_imbalance, ledger_verify
from marketplace.models import Allocation, BidState, Listing, ListingState, Trade
from marketplace.services import auction_close, listing_settle
from tests.services.factories import BALANCES, MILLION, POOL_BALANCE, key, market_with_bids, organisation

pytestmark = pytest.mark.django_db


def test_a_listing_goes_from_bids_to_positions():
    # given an open listing with bids: A over-subscribed, B under-subscribed, C without a bid
    scene = market_with_bids()
    # when an operator closes and settles it
    closed = auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert closed.state == ListingState.CLOSED
    settled = listing_settle(user=scene.operator, listing=closed, idempotency_key=key())
    # then class A clears at the guide: 3m in full, 4m rationed over 3m and 2m by largest remainder in lots
    assert settled.state == ListingState.SETTLED
    awards = dict(Allocation.objects.filter(auction__tranche="A").values_list("bid__organisation__name", "amount"))
    names = [organisation(user).name for user in scene.investors]
    assert awards == {names[0]: 3 * MILLION, names[1]: 240_000_000, names[2]: 160_000_000}
    # and B fills both bids at the worst accepted yield, the rest and all of C stay with the originator
    for tranche, sold in (("A", 7 * MILLION), ("B", 60_000_000), ("C", 0)):
        held = Account.objects.filter(kind=AccountKind.HOLDER, asset=f"{settled.deal_id}/{tranche}")
        retained = held.filter(owner=settled.organisation).first()
        assert sum(account.available for account in held) == BALANCES[tranche]
        assert (retained.available if retained else 0) == BALANCES[tranche] - sold
    assert ledger_imbalance() == 0
    assert ledger_drift() == 0
    assert ledger_verify() > 0


def test_cash_goes_where_sources_and_uses_say():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    settled = listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    balance = settled.sources_and_uses
    assert balance is not None
    paid = sum(Trade.objects.values_list("cash", flat=True))
    # sources = uses, the pool at par, the reserve 1 % of it (default template)
    assert sum(balance["sources"].values()) == sum(balance["uses"].values())
    assert balance["uses"]["pool_purchase_price"] == POOL_BALANCE
    assert balance["uses"]["reserve_deposit"] == POOL_BALANCE // 100
    # the deal's account passes everything on, the originator gets what is left
    assert Account.objects.get(kind=AccountKind.DEAL).available == 0
    assert Account.objects.get(kind=AccountKind.DEAL).held == 0
    assert Account.objects.get(kind=AccountKind.RESERVE).available == POOL_BALANCE // 100
    assert cash_position(organisation(scene.originator)).available == paid - POOL_BALANCE // 100
    # no investor has anything earmarked any more, and each paid its trades
    for user in scene.investors:
        position = cash_position(organisation(user))
        trades = Trade.objects.filter(organisation=organisation(user))
        assert position.held == 0
        assert position.available == 10 * MILLION - sum(trade.cash for trade in trades)


def test_second_settlement_is_refused_and_the_same_key_answers_the_same():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key="settle-once")
    lines = Transfer.objects.count()
    again = listing_settle(user=scene.operator, listing=scene.listing, idempotency_key="settle-once")
    assert again.state == ListingState.SETTLED
    with pytest.raises(ApplicationError, match=r"settled already: nothing was paid a second time") as refusal:
        listing_settle(user=scene.operator, listing=scene.listing, idempotency_key="settle-twice")
    assert refusal.value.code == "already_settled"
    assert Transfer.objects.count() == lines
    assert Listing.objects.get().state == ListingState.SETTLED


def test_unfilled_bids_get_their_hold_back_at_the_close():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    loser = scene.investors[3]
    assert loser.organisation is not None
    assert loser.organisation.bids.get().state == BidState.REJECTED
    position = cash_position(loser.organisation)
    assert (position.available, position.held) == (10 * MILLION, 0)
