"""Threads that want the same thing at once: one bid a key, one close, one settlement, no overdraft."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.errors import ApplicationError
from investors.models import Account, AccountKind, Transfer
from investors.selectors import cash_position, ledger_drift, ledger_imbalance, ledger_verify
from marketplace.models import Allocation, Bid, BidState, ListingState, Trade
from marketplace.selectors import auction_verified
from marketplace.services import auction_close, bid_place, bid_withdraw, listing_settle
from tests.services.factories import MILLION, market, market_with_bids, organisation
from tests.services.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 6


def outcome(act: Callable[[], object]) -> str:
    """ "done", or the code of the refusal."""
    try:
        act()
        return "done"
    except ApplicationError as refusal:
        return refusal.code


def assert_sound() -> None:
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    ledger_verify()


def test_one_key_in_many_threads_is_one_bid():
    scene = market(investors=1)
    auction = scene.auctions["A"]

    def place(_: int):
        return bid_place(
            user=scene.investors[0],
            auction=auction,
            yield_ticks=auction.guide_ticks,
            amount=1 * MILLION,
            idempotency_key="the same key",
        ).pk

    assert len(set(at_once(THREADS, place))) == 1
    assert Bid.objects.count() == 1
    assert cash_position(organisation(scene.investors[0])).held == Bid.objects.get().hold.amount
    assert_sound()


def test_bids_at_once_never_hold_more_than_there_is():
    # given cash for three bids at about par
    scene = market(investors=1, cash=301_000_000)
    outcomes = at_once(THREADS, lambda _: outcome(lambda: scene.bid(0, "A", 0, 1 * MILLION)))
    assert sorted(outcomes) == ["done"] * 3 + ["insufficient_cash"] * 3
    position = cash_position(organisation(scene.investors[0]))
    assert position.held == sum(bid.hold.amount for bid in Bid.objects.all())
    assert position.total == 301_000_000
    assert_sound()


def test_bids_withdrawals_and_the_close_at_once():
    scene = market(investors=THREADS)
    first = [scene.bid(number, "A", number, 2 * MILLION) for number in range(THREADS)]

    def act(number: int) -> str:
        if number == 0:
            return outcome(lambda: auction_close(user=scene.operator, listing=scene.listing, idempotency_key="close"))
        if number % 2:
            return outcome(
                lambda: bid_withdraw(user=scene.investors[number], bid=first[number], idempotency_key=f"w{number}")
            )
        return outcome(lambda: scene.bid(number, "A", -10, 1 * MILLION))

    outcomes = at_once(THREADS, act)
    assert outcomes[0] == "done"
    assert set(outcomes[1:]) <= {"done", "not_open"}
    # then each bid is in the clearing or withdrawn, none is left over
    assert not Bid.objects.filter(state=BidState.LIVE).exists()
    assert auction_verified(scene.auctions["A"].__class__.objects.get(pk=scene.auctions["A"].pk))
    open_holds = Transfer.objects.filter(kind="pending", closed_by__isnull=True)
    assert open_holds.count() == Allocation.objects.count()
    assert_sound()


def test_one_close_and_one_settlement_among_many():
    scene = market_with_bids()
    closes = at_once(
        THREADS,
        lambda number: outcome(
            lambda: auction_close(user=scene.operator, listing=scene.listing, idempotency_key=f"close-{number}")
        ),
    )
    assert sorted(closes) == ["done"] + ["illegal_transition"] * (THREADS - 1)
    settlements = at_once(
        THREADS,
        lambda number: outcome(
            lambda: listing_settle(user=scene.operator, listing=scene.listing, idempotency_key=f"settle-{number % 3}")
        ),
    )
    # two threads share each key: those of the first key both answer, the others are told
    assert sorted(settlements) == ["already_settled"] * 4 + ["done"] * 2
    assert Trade.objects.count() == Allocation.objects.count() == 5
    assert Account.objects.get(kind=AccountKind.DEAL).available == 0
    scene.listing.refresh_from_db()
    assert scene.listing.state == ListingState.SETTLED
    assert_sound()
