"""The draw among tied bids: unknown to everybody before the close, the same in every replay."""

from __future__ import annotations

import pytest

from marketplace.models import Auction, Bid, Listing
from marketplace.selectors import auction_cleared, auction_draw, auction_verified
from marketplace.services import auction_close, bid_withdraw
from tests.services.factories import MILLION, POOL_BALANCE, Market, key, market, market_with_bids, organisation

pytestmark = pytest.mark.django_db


def renamed(scene: Market, form: str) -> None:
    for number, user in enumerate(scene.investors):
        owner = organisation(user)
        owner.name = form.format(number)
        owner.save()


def same_market(investors: int) -> Market:
    """A market with the manifest that every other of them has, so that only names and bids make a difference."""
    scene = market(investors=investors, cash=POOL_BALANCE)
    Listing.objects.filter(pk=scene.listing.pk).update(manifest={"spec_hash": "the same"})
    scene.auctions = {auction.tranche: auction for auction in Auction.objects.filter(listing=scene.listing)}
    return scene


def tied_market(rivals: int) -> Market:
    """Investor 1 bids for all of class B but so many lots, investor 0 after it for all but one."""
    scene = same_market(2)
    supply = scene.auctions["B"].supply
    scene.bid(1, "B", 0, supply - 100_000 * rivals)
    scene.bid(0, "B", 0, supply - 100_000)
    return scene


def awards(scene: Market) -> dict[str, int]:
    """Cents by bidder, as clearing class B now would award them."""
    auction = scene.auctions["B"]
    keys = auction_draw(auction).keys
    won = {award.key: award.award for award in auction_cleared(auction).awards}
    return {bid.organisation.name: won[keys[bid.pk]] for bid in auction.bids.select_related("organisation")}


def test_two_identical_markets_draw_the_same():
    winners, seeds = set(), set()
    for number in range(6):
        scene = tied_market(1)
        renamed(scene, "Bidder {}")
        winners.add(tuple(sorted(awards(scene).items())))
        seeds.add(auction_draw(scene.auctions["B"]).seed)
        renamed(scene, f"Bidder {{}} of market {number}")
    assert (len(winners), len(seeds)) == (1, 1)
    # an odd number of lots between two: the draw has decided
    ((first, second),) = [tuple(amount for _, amount in found) for found in winners]
    assert abs(first - second) in (0, 100_000)


def test_no_seed_and_no_key_exist_before_the_close():
    scene = market_with_bids()
    assert set(Auction.objects.values_list("seed", flat=True)) == {None}
    assert set(Bid.objects.values_list("key", flat=True)) == {""}
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    seeds = set(Auction.objects.values_list("seed", flat=True))
    assert None not in seeds
    assert len(seeds) == 3
    keys = list(Bid.objects.values_list("key", flat=True))
    assert len(set(keys)) == len(keys) == 6
    assert all(len(found) == 64 for found in keys)


def test_the_draw_hangs_on_bids_that_a_bidder_does_not_see():
    # given the same manifest, the same names and the same bid of investor 0
    seeds = set()
    for lots in range(1, 9):
        scene = tied_market(lots)
        renamed(scene, "Bidder {}")
        seeds.add(auction_draw(scene.auctions["B"]).seed)
        renamed(scene, f"Bidder {{}} of market {lots}")
    # then each amount of the other makes another draw
    assert len(seeds) == 8


def test_a_bid_withdrawn_and_placed_again_draws_no_new_ticket():
    scene = market_with_bids()
    auction = scene.auctions["A"]
    before = auction_draw(auction)
    # when a tied bidder takes its bid back and places it again, as often as it likes
    own = Bid.objects.get(auction=auction, organisation=organisation(scene.investors[1]))
    ticket = before.keys[own.pk]
    for _ in range(3):
        bid_withdraw(user=scene.investors[1], bid=own, idempotency_key=key())
        own = scene.bid(1, "A", 0, own.amount)
        after = auction_draw(auction)
        assert (after.seed, after.keys[own.pk]) == (before.seed, ticket)
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    auction.refresh_from_db()
    own.refresh_from_db()
    assert (auction.seed, own.key) == (before.seed, ticket)
    assert set(auction.bids.filter(state="withdrawn").values_list("key", flat=True)) == {""}
    assert auction_verified(auction)


def test_two_bids_of_one_bidder_have_two_tickets_whatever_their_order():
    drawn = []
    for amounts in ((MILLION, 2 * MILLION), (2 * MILLION, MILLION), (MILLION, MILLION)):
        scene = same_market(1)
        renamed(scene, "Bidder {}")
        for amount in amounts:
            scene.bid(0, "A", 0, amount)
        draw = auction_draw(scene.auctions["A"])
        assert len(set(draw.keys.values())) == 2
        drawn.append(draw.seed)
        renamed(scene, f"Bidder {{}} in {scene.listing.pk}")
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_new_name_does_not_break_the_replay():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    renamed(scene, "Renamed and Partners {}")
    assert all(auction_verified(auction) for auction in Auction.objects.all())


@pytest.mark.parametrize("tampered", ["seed", "key", "manifest"])
def test_a_draw_changed_afterwards_is_seen(tampered: str):
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    auction = Auction.objects.get(pk=scene.auctions["A"].pk)
    assert auction_verified(auction)
    if tampered == "seed":
        Auction.objects.filter(pk=auction.pk).update(seed=12345)
    elif tampered == "key":
        bid = auction.bids.order_by("yield_ticks", "amount")[0]
        Bid.objects.filter(pk=bid.pk).update(key="0" * 64)
    else:
        Listing.objects.filter(pk=scene.listing.pk).update(manifest={"spec_hash": "another"})
    assert not auction_verified(Auction.objects.get(pk=auction.pk))
