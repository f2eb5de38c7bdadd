"""Who sees what of the market and of the ledger; sealed bids stay sealed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.contrib.auth.models import AnonymousUser

from accounts.errors import NotFound
from accounts.models import Role, User
from investors.engine.mandates import DEMO_MANDATES
from investors.models import Transfer
from investors.selectors import (
    accounts_visible,
    mandates_visible,
    positions_visible,
    transfers_visible,
)
from investors.services import mandate_create, terms_written
from marketplace.models import Auction, Bid, ListingState
from marketplace.selectors import (
    allocations_visible,
    auction_result,
    auction_visible,
    auctions_visible,
    bid_visible,
    bids_visible,
    listing_visible,
    listings_visible,
    trades_visible,
)
from marketplace.services import auction_close, listing_cancel, listing_open, listing_settle
from tests.services.factories import BALANCES, MILLION, Market, key, market, market_with_bids, organisation, party

pytestmark = pytest.mark.django_db


def everybody(scene: Market) -> dict[str, User | AnonymousUser | None]:
    inactive = party(Role.OPERATOR)
    inactive.is_active = False
    inactive.save()
    return {
        "originator": scene.originator,
        "another originator": party(Role.ORIGINATOR),
        "operator": scene.operator,
        "analyst": scene.analyst,
        "investor": scene.investors[0],
        "another investor": party(Role.INVESTOR),
        "inactive operator": inactive,
        "anonymous": AnonymousUser(),
        "none": None,
    }


def who_sees(scene: Market, selector) -> set[str]:
    return {name for name, viewer in everybody(scene).items() if selector(viewer).exists()}


LISTED = {"originator", "operator", "analyst", "investor", "another investor"}


def test_listings_and_auctions_by_state():
    scene = market(investors=1, opened=False)
    for selector in (listings_visible, auctions_visible):
        assert who_sees(scene, selector) == {"originator", "operator"}
    listing_open(user=scene.operator, listing=scene.listing, idempotency_key=key())
    for selector in (listings_visible, auctions_visible):
        assert who_sees(scene, selector) == LISTED
    scene.bid(0, "A", 0, BALANCES["A"])
    for step in (auction_close, listing_settle):
        step(user=scene.operator, listing=scene.listing, idempotency_key=key())
        assert who_sees(scene, listings_visible) == LISTED


def test_a_cancelled_listing_is_kept_for_those_who_bid():
    scene = market(investors=1)
    scene.bid(0, "A", 0, 100_000)
    listing_cancel(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert who_sees(scene, listings_visible) == {"originator", "operator", "investor"}


def test_not_yours_reads_as_not_there():
    scene = market(investors=2)
    bid = scene.bid(0, "A", 0, 100_000)
    assert listing_visible(scene.analyst, scene.listing.pk) == scene.listing
    assert bid_visible(scene.investors[0], bid.pk) == bid
    stranger = party(Role.ORIGINATOR)
    for look, what in (
        (lambda: listing_visible(stranger, scene.listing.pk), "listing"),
        (lambda: listing_visible(scene.analyst, "not an id"), "listing"),
        (lambda: auction_visible(stranger, bid.auction_id), "auction"),
        (lambda: auction_result(stranger, bid.auction), "auction"),
        (lambda: bid_visible(scene.investors[1], bid.pk), "bid"),
        (lambda: bid_visible(scene.operator, bid.pk), "bid"),
    ):
        with pytest.raises(NotFound, match=f"No such {what}"):
            look()


def test_sealed_bids_are_read_by_their_bidder_alone_at_any_time():
    scene = market_with_bids()
    for step in (None, auction_close, listing_settle):
        if step is not None:
            step(user=scene.operator, listing=scene.listing, idempotency_key=key())
        assert who_sees(scene, bids_visible) == {"investor"}
        for user in scene.investors:
            seen = set(bids_visible(user))
            assert seen == set(Bid.objects.filter(organisation=organisation(user)))
            assert seen
        assert sum(bids_visible(user).count() for user in scene.investors) == Bid.objects.count()


def test_before_the_close_an_auction_tells_the_operator_the_number_of_bids_and_nobody_anything_else():
    scene = market_with_bids()
    auction = scene.auctions["A"]
    for name, viewer in everybody(scene).items():
        if name not in LISTED:
            continue
        result = auction_result(viewer, auction)
        assert result.bids == (4 if name == "operator" else None)
        assert (result.demand, result.allotments, result.clearing_ticks, result.allotted) == ((), (), None, None)
        assert (result.bid_to_cover, result.status, result.digest) == (None, None, "")
    # no stored column of the auction tells anything before the close either
    stored = Auction.objects.get(pk=auction.pk)
    assert (stored.result, stored.clearing_ticks, stored.allotted, stored.bid_to_cover) == (None, None, None, None)


def test_after_the_close_results_are_aggregates_without_names():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    auction = scene.auctions["A"]
    guide = auction.guide_ticks
    ladder = ((guide - 50, 3 * MILLION), (guide, 8 * MILLION), (guide + 60, 9 * MILLION))
    shares = (3 * MILLION, 240_000_000, 160_000_000)
    for viewer, allotments in (
        (scene.originator, shares),
        (scene.operator, shares),
        (scene.analyst, ()),
        (scene.investors[0], ()),
    ):
        result = auction_result(viewer, auction)
        assert result.state == ListingState.CLOSED
        assert (result.bids, result.status, result.clearing_ticks) == (4, "cleared", guide)
        assert (result.allotted, result.demand, result.allotments) == (7 * MILLION, ladder, allotments)
        names = [organisation(user).name for user in scene.investors]
        assert not any(name in repr(result) for name in names)


def test_allocations_trades_positions_transfers_and_accounts_are_the_owners():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert who_sees(scene, allocations_visible) == {"investor"}
    assert who_sees(scene, trades_visible) == set()
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert who_sees(scene, trades_visible) == {"investor"}
    # the originator holds what it retained: the rest of B, all of C and the residual certificate
    assert who_sees(scene, positions_visible) == {"originator", "investor"}
    held = {account.asset.rsplit("/")[-1]: account.available for account in positions_visible(scene.originator)}
    assert held == {"B": 40_000_000, "C": 50_000_000, "R": 10_000}
    assert who_sees(scene, transfers_visible) == {"originator", "investor"}
    assert who_sees(scene, accounts_visible) == {"originator", "investor"}
    investors: Iterable[User] = scene.investors
    for user in investors:
        own = organisation(user)
        for line in transfers_visible(user):
            assert own in (line.debit.owner, line.credit.owner)
            assert {line.debit.owner, line.credit.owner} <= {own, None}
    loser = scene.investors[3]
    assert not trades_visible(loser).exists()
    assert not positions_visible(loser).exists()
    assert Transfer.objects.count() > transfers_visible(loser).count() == 3  # deposit, hold, void


def test_mandates_are_the_owners():
    scene = market(investors=1)
    terms = terms_written(DEMO_MANDATES[0])
    mandate_create(user=scene.investors[0], name="core", terms=terms, idempotency_key=key())
    assert who_sees(scene, mandates_visible) == {"investor"}
