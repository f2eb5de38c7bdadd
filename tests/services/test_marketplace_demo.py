"""Demo investors bid by their mandates through the same door as everybody, within their cash, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts.errors import ApplicationError
from accounts.models import Role
from investors.engine.mandates import DEMO_MANDATES, eligible, scaled
from investors.models import Mandate
from investors.selectors import cash_position, ledger_drift, ledger_imbalance
from investors.services import cash_deposit, mandate_create, terms_read, terms_written
from marketplace.cast import cast_create
from marketplace.models import Bid
from marketplace.pipeline import Job, Stopwatch, securitize
from marketplace.services import auction_close, listing_offers, listing_settle, mandates_bid
from pooling.tapes import write_generated_tape
from tests.services.factories import PASSWORD, POOL_BALANCE, key, market, organisation, party

pytestmark = pytest.mark.django_db


def demo_investors() -> list[Mandate]:
    mandates = []
    for terms in DEMO_MANDATES:
        user, fitted = party(Role.INVESTOR, terms.name), scaled(terms, POOL_BALANCE)
        cash_deposit(organisation=organisation(user), amount=fitted.budget_cents, idempotency_key=key())
        mandates.append(mandate_create(user=user, name=terms.name, terms=terms_written(fitted), idempotency_key=key()))
    return mandates


def test_mandates_bid_within_their_limits_and_once():
    scene = market(investors=0)
    mandates = demo_investors()
    bids = mandates_bid(listing=scene.listing, mandates=mandates, seed=7)
    assert len(bids) == Bid.objects.count() >= 6
    offers = {offer.key: offer for offer in listing_offers(scene.listing)}
    for bid in bids:
        terms = terms_read(Mandate.objects.get(organisation=bid.organisation).terms)
        assert eligible(terms, offers[bid.auction.tranche]) == ()
        assert bid.amount <= terms.max_share * bid.auction.supply
        assert cash_position(bid.organisation).available >= 0
    # a second call with the seed adds none, and answers the same
    again = mandates_bid(listing=scene.listing, mandates=mandates, seed=7)
    assert [bid.pk for bid in again] == [bid.pk for bid in bids]
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)


def test_a_mandate_without_cash_or_put_to_rest_does_not_bid():
    scene = market(investors=0)
    user = party(Role.INVESTOR)
    poor = mandate_create(user=user, name="no cash", terms=terms_written(DEMO_MANDATES[0]), idempotency_key=key())
    assert mandates_bid(listing=scene.listing, mandates=[poor], seed=7) == []
    rested = demo_investors()
    Mandate.objects.update(active=False)
    assert mandates_bid(listing=scene.listing, mandates=rested, seed=7) == []


@pytest.mark.django_db(transaction=True)
def test_the_demo_bids_with_nobody_elses_money(tmp_path: Path):
    # given an investor who has cash and a mandate of its own, and is none of the cast
    cast = cast_create(password=PASSWORD)
    stranger = party(Role.INVESTOR, cash=POOL_BALANCE)
    terms = terms_written(scaled(DEMO_MANDATES[0], POOL_BALANCE))
    mandate_create(user=stranger, name="own money", terms=terms, idempotency_key=key())
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=200, seed=9)
    # when the main job runs
    job = Job(tape=path, scenarios=256)
    listing = securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="job")
    # then the cast has bid, and the stranger has not
    bidders = set(Bid.objects.filter(auction__listing=listing).values_list("organisation__name", flat=True))
    assert bidders
    assert bidders <= {terms.name for terms in DEMO_MANDATES}
    assert cash_position(organisation(stranger)).available == POOL_BALANCE


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
