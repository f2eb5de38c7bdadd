"""Demo investors bid by their mandates through the same door as everybody, within their cash, the same each time."""

from __future__ import annotations

import pytest

from accounts.errors import ApplicationError
from accounts.models import Role
from investors.engine.mandates import DEMO_MANDATES, eligible, scaled
from investors.models import Mandate
from investors.selectors import cash_position, ledger_drift, ledger_imbalance
from investors.services import cash_deposit, mandate_create, terms_read, terms_written
from marketplace.models import Auction, Bid
from marketplace.services import auction_close, listing_offers, listing_settle, mandates_bid
from tests.services.factories import POOL_BALANCE, key, market, organisation, party

pytestmark = pytest.mark.django_db


def demo_investors() -> None:
    for terms in DEMO_MANDATES:
        user, fitted = party(Role.INVESTOR, terms.name), scaled(terms, POOL_BALANCE)
        cash_deposit(organisation=organisation(user), amount=fitted.budget_cents, idempotency_key=key())
        mandate_create(user=user, name=terms.name, terms=terms_written(fitted), idempotency_key=key())


def test_mandates_bid_within_their_limits_and_once():
    scene = market(investors=0)
    demo_investors()
    bids = mandates_bid(listing=scene.listing, seed=7)
    assert len(bids) == Bid.objects.count() >= 6
    offers = {offer.key: offer for offer in listing_offers(scene.listing)}
    for bid in bids:
        terms = terms_read(Mandate.objects.get(organisation=bid.organisation).terms)
        assert eligible(terms, offers[bid.auction.tranche]) == ()
        assert bid.amount <= terms.max_share * bid.auction.supply
        assert cash_position(bid.organisation).available >= 0
    # a second call with the seed adds none, and answers the same
    assert [bid.pk for bid in mandates_bid(listing=scene.listing, seed=7)] == [bid.pk for bid in bids]
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)


def test_a_mandate_without_cash_does_not_bid():
    scene = market(investors=0)
    user = party(Role.INVESTOR)
    mandate_create(user=user, name="no cash", terms=terms_written(DEMO_MANDATES[0]), idempotency_key=key())
    assert mandates_bid(listing=scene.listing, seed=7) == []


def test_the_lottery_does_not_depend_on_row_ids():
    # given two bids that tie for an odd lot, the winner follows from seed, name and number of the bid alone
    winners = set()
    for _ in range(6):
        scene = market(investors=0)
        Auction.objects.filter(listing=scene.listing).update(seed=12345)
        scene.investors = [party(Role.INVESTOR, cash=POOL_BALANCE) for _ in range(2)]
        for number, user in enumerate(scene.investors):
            owner = organisation(user)
            owner.name = f"Bidder {number} of {scene.listing.pk}"
            owner.save()
        auction = scene.auctions["B"]
        for number in (1, 0):
            scene.bid(number, "B", 0, auction.supply - 100_000)
        for number, user in enumerate(scene.investors):
            owner = organisation(user)
            owner.name = f"Bidder {number}"
            owner.save()
        auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
        awards = {row.organisation.name: row.amount for row in auction.allocations.all()}
        winners.add(tuple(sorted(awards.items())))
        for number, user in enumerate(scene.investors):
            owner = organisation(user)
            owner.name = f"Bidder {number} was in {scene.listing.pk}"
            owner.save()
    assert len(winners) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surprise": 1}, "surprise is not a term of a mandate"),
        ({"budget_cents": 1.5}, "budget_cents has a value of the wrong type"),
        ({"budget_cents": True}, "budget_cents has a value of the wrong type"),
        ({"wal_max": float("nan")}, "wal_max"),
        ({"asset_types": [1]}, "asset_types holds something that is no text"),
        ({"rating_floor": "Aaa"}, "rating_floor 'Aaa' is not on the scale AAA to CCC"),
        ({"max_share": 0}, "max_share"),
    ],
)
def test_bad_terms_are_refused_by_name(change: dict[str, object], words: str):
    user = party(Role.INVESTOR)
    terms = terms_written(DEMO_MANDATES[0]) | change
    with pytest.raises(ApplicationError, match=words) as refusal:
        mandate_create(user=user, name="core", terms=terms, idempotency_key=key())
    assert refusal.value.field is not None
    assert refusal.value.field.startswith("terms")
    missing = terms_written(DEMO_MANDATES[0])
    del missing["ticket_cents"]
    with pytest.raises(ApplicationError, match="ticket_cents is missing"):
        mandate_create(user=user, name="core", terms=missing, idempotency_key=key())
    assert not Mandate.objects.exists()


def test_one_mandate_per_name_and_key():
    user, terms = party(Role.INVESTOR), terms_written(DEMO_MANDATES[0])
    first = mandate_create(user=user, name="core", terms=terms, idempotency_key="once")
    assert mandate_create(user=user, name="core", terms=terms, idempotency_key="once") == first
    with pytest.raises(ApplicationError) as refusal:
        mandate_create(user=user, name="core", terms=terms, idempotency_key=key())
    assert refusal.value.code == "name_taken"
