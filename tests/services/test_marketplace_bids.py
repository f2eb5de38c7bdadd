"""Bids: what is taken, what is refused with which sentence, holds and their return."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

import pytest

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role
from investors.models import Transfer, TransferKind
from investors.selectors import cash_position, ledger_drift, ledger_imbalance
from marketplace.models import Bid, BidState, Listing, ListingState
from marketplace.services import auction_close, bid_place, bid_withdraw, listing_cancel
from marketplace.services.prices import cash_cents, hold_cents, price_at
from tests.services.factories import (
    COUPONS,
    MILLION,
    class_flows,
    key,
    market,
    market_with_bids,
    organisation,
    party,
)

pytestmark = pytest.mark.django_db


def test_a_bid_holds_cash_at_the_price_of_its_own_yield():
    scene = market(investors=1)
    bid = scene.bid(0, "B", 37, 20_000_000)
    # price = sum of flows / (1 + y / 2)^(t / 6): BMA Standard Formulas SF-49, written out here in plain floats
    flows, y = class_flows("B"), (scene.auctions["B"].guide_ticks + 37) / 100_000
    price = sum(
        (interest + principal) / (1 + y / 2) ** (month / 6)
        for month, (interest, principal) in enumerate(zip(flows["interest"], flows["principal"], strict=True), start=1)
    )
    expected = math.ceil(20_000_000 * price)
    assert abs(bid.hold.amount - expected) <= 1  # the price is rounded to eight decimals per 100
    position = cash_position(organisation(scene.investors[0]))
    assert (position.available, position.held) == (10 * MILLION - bid.hold.amount, bid.hold.amount)
    assert bid.state == BidState.LIVE


def test_settlement_cash_never_exceeds_the_hold():
    scene = market(investors=1)
    report, auction = scene.listing.price_report, scene.auctions["A"]
    for above in range(-3000, 1500, 97):
        own = price_at(report, "A", auction.guide_ticks + above)
        for worse in (0, 1, 10, 400):
            settled = price_at(report, "A", auction.guide_ticks + above + worse)
            for amount in (100_000, 12_300_000, 7 * MILLION):
                assert cash_cents(amount, settled) <= hold_cents(amount, own)
    assert hold_cents(100, Decimal("99.00000001")) == 100
    assert hold_cents(100, Decimal("99")) == int(Decimal(99).to_integral_value(ROUND_CEILING))
    assert COUPONS["A"] > 0


@pytest.mark.parametrize(
    ("amount", "above_guide", "code", "words"),
    [
        (150_000, 0, "not_in_lots", r"1,500\.00 is not in whole lots: give a multiple of 1,000\.00"),
        (0, 0, "out_of_range", "amount 0 is out of range"),
        (-100_000, 0, "out_of_range", "amount -100000 is out of range"),
        (700_100_000, 0, "out_of_range", r"more than the supply of 7,000,000\.00"),
        (100_000, 1501, "above_reserve", "above the reserve of"),
        (100_000, -(10**6), "out_of_range", "yield_ticks"),
        (float("nan"), 0, "not_an_integer", "amount nan is not a whole number"),
        (float("inf"), 0, "not_an_integer", "amount inf is not a whole number"),
        (Decimal("NaN"), 0, "not_an_integer", "is not a whole number"),
        (100_000.0, 0, "not_an_integer", "is not a whole number"),
        ("100000", 0, "not_an_integer", "is not a whole number"),
        (True, 0, "not_an_integer", "is not a whole number"),
    ],
)
def test_a_bad_bid_is_refused_with_a_sentence_and_leaves_nothing(amount, above_guide, code, words):
    scene = market(investors=1)
    lines = Transfer.objects.count()
    with pytest.raises(ApplicationError, match=words) as refusal:
        scene.bid(0, "A", above_guide, amount)
    assert refusal.value.code == code
    assert refusal.value.field in ("amount", "yield_ticks")
    assert (Bid.objects.count(), Transfer.objects.count()) == (0, lines)


def test_a_yield_that_is_no_integer_is_refused():
    scene = market(investors=1)
    for wrong in (float("nan"), 500.0, "500", True):
        with pytest.raises(ApplicationError, match="yield_ticks") as refusal:
            bid_place(
                user=scene.investors[0],
                auction=scene.auctions["A"],
                yield_ticks=wrong,  # type: ignore[arg-type]
                amount=100_000,
                idempotency_key=key(),
            )
        assert refusal.value.code == "not_an_integer"


def test_a_bid_above_the_hold_limit_is_refused_with_the_figures():
    scene = market(investors=1, cash=5_000_000)
    with pytest.raises(ApplicationError) as refusal:
        scene.bid(0, "A", 0, 10_000_000)
    assert refusal.value.code == "insufficient_cash"
    assert refusal.value.field == "amount"
    assert "amount 100,000.00 needs a hold of" in refusal.value.message
    assert "50,000.00 is available: lower the amount or deposit cash" in refusal.value.message
    position = cash_position(organisation(scene.investors[0]))
    assert (position.available, position.held) == (5_000_000, 0)
    # several bids draw on the same cash
    scene.bid(0, "A", 0, 3_000_000)
    with pytest.raises(ApplicationError, match="needs a hold"):
        scene.bid(0, "B", 0, 3_000_000)


def test_the_same_key_places_one_bid_and_other_parameters_are_a_conflict():
    scene = market(investors=1)
    auction = scene.auctions["A"]

    def place(amount: int) -> Bid:
        return bid_place(
            user=scene.investors[0],
            auction=auction,
            yield_ticks=auction.guide_ticks,
            amount=amount,
            idempotency_key="bid-once",
        )

    assert place(100_000).pk == place(100_000).pk
    with pytest.raises(ApplicationError) as refusal:
        place(200_000)
    assert refusal.value.code == "idempotency_conflict"
    assert Bid.objects.count() == 1


def test_only_investors_bid_and_only_on_what_they_see():
    scene = market(investors=1)
    auction = scene.auctions["A"]
    for user in (scene.originator, scene.operator, scene.analyst):
        with pytest.raises(ApplicationError) as refusal:
            bid_place(
                user=user,
                auction=auction,
                yield_ticks=auction.guide_ticks,
                amount=100_000,
                idempotency_key=key(),
            )
        assert refusal.value.code == "forbidden"
    draft = market(investors=1, opened=False)
    with pytest.raises(NotFound):
        draft.bid(0, "A", 0, 100_000)
    assert Bid.objects.count() == 0


def test_no_bid_after_the_close():
    scene = market_with_bids()
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    with pytest.raises(ApplicationError, match="The listing is closed: bids are taken and withdrawn only"):
        scene.bid(0, "A", 0, 100_000)
    bid = Bid.objects.filter(state=BidState.FILLED).first()
    assert bid is not None
    assert bid.user is not None
    with pytest.raises(ApplicationError, match="only while it is open"):
        bid_withdraw(user=bid.user, bid=bid, idempotency_key=key())


def test_withdrawing_returns_the_hold_once_and_only_for_the_bidder():
    scene = market(investors=2)
    bid = scene.bid(0, "A", 0, 1 * MILLION)
    with pytest.raises(NotFound):
        bid_withdraw(user=scene.investors[1], bid=bid, idempotency_key=key())
    gone = bid_withdraw(user=scene.investors[0], bid=bid, idempotency_key="withdraw")
    assert gone.state == BidState.WITHDRAWN
    position = cash_position(organisation(scene.investors[0]))
    assert (position.available, position.held) == (10 * MILLION, 0)
    assert bid_withdraw(user=scene.investors[0], bid=bid, idempotency_key="withdraw").pk == bid.pk
    with pytest.raises(ApplicationError, match="The bid is withdrawn"):
        bid_withdraw(user=scene.investors[0], bid=bid, idempotency_key=key())
    # and a withdrawn bid takes no part
    closed = auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert closed.auctions.get(tranche="A").allotted == 0


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_cancelling_returns_every_hold(closed: bool):
    scene = market_with_bids()
    if closed:
        auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    listing_cancel(user=scene.operator, listing=scene.listing, idempotency_key=key())
    assert Listing.objects.get().state == ListingState.CANCELLED
    for user in scene.investors:
        position = cash_position(organisation(user))
        assert (position.available, position.held) == (10 * MILLION, 0)
    holds = Transfer.objects.filter(kind=TransferKind.PENDING)
    assert holds.count() == 6
    assert not holds.filter(closed_by__isnull=True).exists()
    assert not Bid.objects.filter(state__in=[BidState.LIVE, BidState.FILLED, BidState.PART_FILLED]).exists()
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)


def test_a_user_without_organisation_cannot_bid():
    scene = market(investors=1)
    loner = party(Role.INVESTOR)
    loner.organisation = None
    loner.save()
    scene.investors.append(loner)
    with pytest.raises(ApplicationError) as refusal:
        scene.bid(1, "A", 0, 100_000)
    assert refusal.value.code == "forbidden"
