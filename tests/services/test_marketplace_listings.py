"""Listings: what is frozen, what must be there before one opens, and every move between states."""

from __future__ import annotations

import itertools

import pytest

from accounts.errors import ApplicationError, NotFound
from accounts.models import AuditEvent, Role
from accounts.selectors import audit_verify
from investors.selectors import ledger_drift, ledger_imbalance
from marketplace.models import LISTING_TRANSITIONS, Auction, Listing, ListingState
from marketplace.selectors import auction_cleared, auction_verified
from marketplace.services import (
    auction_close,
    bid_withdraw,
    listing_cancel,
    listing_create,
    listing_open,
    listing_settle,
)
from marketplace.services.listings import MANIFEST_KEYS
from pooling.models import DealVersion
from pricing.models import PriceReport
from tests.services.factories import BALANCES, deal_rated, key, market, market_with_bids, party

pytestmark = pytest.mark.django_db


def test_a_listing_freezes_the_latest_solved_version():
    originator = party(Role.ORIGINATOR)
    deal = deal_rated(originator)
    listing = listing_create(user=originator, deal=deal, idempotency_key="list-once")
    version = DealVersion.objects.get(deal=deal)
    assert listing.state == ListingState.DRAFT
    assert listing.deal_version == version
    assert listing.price_report == PriceReport.objects.get(deal_version=version)
    assert set(listing.manifest) == set(MANIFEST_KEYS)
    assert listing.manifest["tape_root"] == deal.pool.tape.root
    assert listing.manifest["spec_hash"] == version.spec_hash
    assert (listing.manifest["seed"], listing.manifest["scenarios"]) == (7, 2048)
    auctions = list(listing.auctions.order_by("seniority"))
    assert [(auction.tranche, auction.supply) for auction in auctions] == list(BALANCES.items())
    # the reserve stands 150 bp = 1,500 ticks of 1e-5 above the model yield
    assert {auction.reserve_ticks - auction.guide_ticks for auction in auctions} == {1500}
    # the same key answers the same; another key is refused: a deal has one listing that is not cancelled
    assert listing_create(user=originator, deal=deal, idempotency_key="list-once").pk == listing.pk
    with pytest.raises(ApplicationError) as refusal:
        listing_create(user=originator, deal=deal, idempotency_key=key())
    assert refusal.value.code == "already_listed"
    assert (Listing.objects.count(), Auction.objects.count()) == (1, 3)


def test_a_cancelled_listing_gives_its_deal_free():
    scene = market_with_bids()
    deal = scene.listing.deal
    listing_cancel(user=scene.operator, listing=scene.listing, idempotency_key=key())
    # when the originator lists the deal again
    again = listing_create(user=scene.originator, deal=deal, idempotency_key=key())
    # then it is a listing of its own, and again the only one
    assert again.pk != scene.listing.pk
    with pytest.raises(ApplicationError) as refusal:
        listing_create(user=scene.originator, deal=deal, idempotency_key=key())
    assert refusal.value.code == "already_listed"
    assert Listing.objects.filter(deal=deal).count() == 2
    # and it goes all the way, with cash that the first one gave back
    listing_open(user=scene.originator, listing=again, idempotency_key=key())
    scene.auctions = {auction.tranche: auction for auction in again.auctions.all()}
    scene.bid(0, "A", 0, BALANCES["A"])
    auction_close(user=scene.operator, listing=again, idempotency_key=key())
    assert listing_settle(user=scene.operator, listing=again, idempotency_key=key()).state == ListingState.SETTLED
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    # a settled deal is sold: it cannot be listed a third time
    with pytest.raises(ApplicationError) as refusal:
        listing_create(user=scene.originator, deal=deal, idempotency_key=key())
    assert refusal.value.code == "already_listed"


def test_supply_is_sold_in_whole_lots_and_a_small_class_is_one_lot():
    originator = party(Role.ORIGINATOR)
    deal = deal_rated(originator, {"A": 700_123_456, "B": 1_234_567, "C": 54_321})
    listing = listing_create(user=originator, deal=deal, idempotency_key=key(), reserve_spread_bp=20)
    found = {auction.tranche: (auction.supply, auction.lot) for auction in listing.auctions.all()}
    assert found == {
        "A": (700_100_000, 100_000),
        "B": (1_200_000, 100_000),
        "C": (54_321, 54_321),
    }
    assert {auction.reserve_ticks - auction.guide_ticks for auction in listing.auctions.all()} == {200}


def test_only_the_owner_lists_and_only_what_is_rated():
    owner, stranger = party(Role.ORIGINATOR), party(Role.ORIGINATOR)
    deal = deal_rated(owner)
    with pytest.raises(NotFound):
        listing_create(user=stranger, deal=deal, idempotency_key=key())
    for role in (Role.INVESTOR, Role.ANALYST, Role.OPERATOR):
        with pytest.raises(ApplicationError) as refusal:
            listing_create(user=party(role), deal=deal, idempotency_key=key())
        assert refusal.value.code == "forbidden"
    PriceReport.objects.all().delete()
    with pytest.raises(ApplicationError, match="no rated and priced version: rate it first"):
        listing_create(user=owner, deal=deal, idempotency_key=key())
    assert Listing.objects.count() == 0


def test_opening_needs_a_complete_and_true_manifest():
    scene = market(opened=False)
    listing = scene.listing
    for name in MANIFEST_KEYS:
        Listing.objects.filter(pk=listing.pk).update(manifest=listing.manifest | {name: ""})
        with pytest.raises(ApplicationError, match=f"The manifest lacks {name}"):
            listing_open(user=scene.operator, listing=listing, idempotency_key=key())
    Listing.objects.filter(pk=listing.pk).update(manifest=listing.manifest)
    # a price report changed behind the market's back is seen, before opening and before settlement
    report = listing.price_report
    honest = report.result
    PriceReport.objects.filter(pk=report.pk).update(result=honest | {"as_of": "2026-05-22"})
    with pytest.raises(ApplicationError, match=r"frozen versions were changed \(price_result_digest\)") as refusal:
        listing_open(user=scene.operator, listing=listing, idempotency_key=key())
    assert refusal.value.code == "manifest_broken"
    PriceReport.objects.filter(pk=report.pk).update(result=honest)
    assert listing_open(user=scene.originator, listing=listing, idempotency_key=key()).state == ListingState.OPEN


SERVICES = {
    ListingState.OPEN: listing_open,
    ListingState.CLOSED: auction_close,
    ListingState.SETTLED: listing_settle,
    ListingState.CANCELLED: listing_cancel,
}
WAYS = {
    ListingState.DRAFT: (),
    ListingState.OPEN: (ListingState.OPEN,),
    ListingState.CLOSED: (ListingState.OPEN, ListingState.CLOSED),
    ListingState.SETTLED: (ListingState.OPEN, ListingState.CLOSED, ListingState.SETTLED),
    ListingState.CANCELLED: (ListingState.CANCELLED,),
}


@pytest.mark.parametrize(("state", "target"), list(itertools.product(WAYS, SERVICES)))
def test_every_move_is_allowed_or_names_both_states(state: str, target: ListingState):
    scene = market(investors=1, opened=False)
    for step in WAYS[ListingState(state)]:
        if step == ListingState.CLOSED:  # a full book, so that the originator need not fund the reserve
            scene.bid(0, "A", 0, BALANCES["A"])
        SERVICES[step](user=scene.operator, listing=scene.listing, idempotency_key=key())
    if target in LISTING_TRANSITIONS[state]:
        if target == ListingState.CLOSED:
            scene.bid(0, "A", 0, BALANCES["A"])
        moved = SERVICES[target](user=scene.operator, listing=scene.listing, idempotency_key=key())
        assert moved.state == target
        return
    events = AuditEvent.objects.count()
    with pytest.raises(ApplicationError) as refusal:
        SERVICES[target](user=scene.operator, listing=scene.listing, idempotency_key=key())
    if (state, target) == (ListingState.SETTLED, ListingState.SETTLED):
        assert refusal.value.code == "already_settled"
    else:
        assert refusal.value.message == f"The listing is {state} and cannot become {target}."
        assert refusal.value.code == "illegal_transition"
    assert Listing.objects.get().state == state
    assert AuditEvent.objects.count() == events


def test_an_offer_is_binding_once_it_is_open():
    scene = market(opened=False)
    stranger = party(Role.ORIGINATOR)
    for service in (listing_open, listing_cancel):
        with pytest.raises(NotFound):
            service(user=stranger, listing=scene.listing, idempotency_key=key())
    listing_open(user=scene.originator, listing=scene.listing, idempotency_key=key())
    with pytest.raises(ApplicationError, match="The listing is open: only an operator may do this now"):
        listing_cancel(user=scene.originator, listing=scene.listing, idempotency_key=key())
    for service in (auction_close, listing_settle):
        for user in (scene.originator, scene.analyst, scene.investors[0]):
            with pytest.raises(ApplicationError) as refusal:
                service(user=user, listing=scene.listing, idempotency_key=key())
            assert refusal.value.code == "forbidden"
    assert Listing.objects.get().state == ListingState.OPEN


def test_a_replay_of_the_auction_gives_the_same_digest():
    scene = market_with_bids()
    gone = scene.bid(1, "A", -90, 1_000_000)
    bid_withdraw(user=scene.investors[1], bid=gone, idempotency_key=key())
    before = {name: auction_cleared(auction).content_hash() for name, auction in scene.auctions.items()}
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    for auction in Auction.objects.all():
        assert auction.result_digest == before[auction.tranche]
        assert auction_verified(auction)
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert all(auction_verified(auction) for auction in Auction.objects.all())
    # and a bid changed afterwards is seen
    changed = Auction.objects.get(tranche="A")
    changed.bids.filter(yield_ticks=changed.guide_ticks).update(amount=100_000)
    assert not auction_verified(changed)


def test_every_act_leaves_its_trace_and_no_bid_is_told():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    verbs = [event.verb for event in AuditEvent.objects.filter(subject__regex="^(listing|bid):")]
    assert verbs == [
        "listing_create",
        "listing_open",
        *["bid_place"] * 6,
        "auction_close",
        "listing_settle",
    ]
    for event in AuditEvent.objects.filter(verb="bid_place"):
        assert set(event.payload) == {"auction"}
    assert audit_verify() == AuditEvent.objects.count()
