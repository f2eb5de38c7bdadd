"""A fault at any write of any service leaves nothing half-done; without its transaction each of them does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, transaction

from accounts.errors import ApplicationError
from investors.selectors import ledger_drift, ledger_imbalance, ledger_verify
from marketplace.models import Listing, ListingState
from marketplace.services import (
    auction_close,
    bid_place,
    bid_withdraw,
    listing_cancel,
    listing_create,
    listing_open,
    listing_settle,
)
from tests.services.factories import MILLION, Market, deal_rated, key, market_with_bids

pytestmark = pytest.mark.django_db

APPS = ("accounts", "investors", "marketplace")
MOST_WRITES = 200


class PowerCut(Exception):
    """Stands for whatever ends the work in mid-way."""


@contextmanager
def power_cut(at: int):
    """Raises PowerCut instead of the at-th write (1, 2, …); yields a counter of the writes seen."""
    seen = [0]

    def wrapper(execute, sql, params, many, context):
        if sql.split(None, 1)[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            seen[0] += 1
            if seen[0] == at:
                raise PowerCut
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield seen


def fingerprint() -> dict[str, list[Any]]:
    """Every row of every table that the market writes."""
    models = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    return {model._meta.label: list(model._default_manager.order_by("pk").values_list()) for model in models}


def closed(scene: Market) -> Market:
    auction_close(user=scene.operator, listing=scene.listing, idempotency_key=key())
    return scene


def act_create(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    return listing_create, {"user": scene.originator, "deal": deal_rated(scene.originator)}


def act_open(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    draft = listing_create(user=scene.originator, deal=deal_rated(scene.originator), idempotency_key=key())
    return listing_open, {"user": scene.operator, "listing": draft}


def act_bid(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    auction = scene.auctions["A"]
    terms = {"auction": auction, "yield_ticks": auction.guide_ticks, "amount": MILLION}
    return bid_place, {"user": scene.investors[1], **terms}


def act_withdraw(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    return bid_withdraw, {"user": scene.investors[1], "bid": scene.bid(1, "C", 0, 100_000)}


def act_close(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    return auction_close, {"user": scene.operator, "listing": scene.listing}


def act_settle(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    return listing_settle, {"user": scene.operator, "listing": closed(scene).listing}


def act_cancel(scene: Market) -> tuple[Callable[..., Any], dict[str, Any]]:
    return listing_cancel, {"user": scene.operator, "listing": closed(scene).listing}


ACTS = [act_create, act_open, act_bid, act_withdraw, act_close, act_settle, act_cancel]


@pytest.mark.parametrize("act", ACTS)
def test_a_fault_at_any_write_leaves_nothing_half_done(act):
    # given a market and one act, when the power is cut at its first write, its second, and so on
    service, arguments = act(market_with_bids())
    before = fingerprint()
    for at in range(1, MOST_WRITES):
        with power_cut(at) as seen:
            try:
                service(**arguments, idempotency_key="once")
                break
            except PowerCut:
                pass
        # then nothing at all has changed
        assert fingerprint() == before, f"half-done after write {at}"
    # and the same key then does the work, once
    assert at == seen[0] + 1 > 4
    after = fingerprint()
    assert after != before
    service(**arguments, idempotency_key="once")
    assert fingerprint() == after
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    ledger_verify()


@pytest.mark.parametrize("act", ACTS)
def test_mutant_without_its_transaction_is_left_half_done(act):
    service, arguments = act(market_with_bids())
    mutant = service.__wrapped__
    before = fingerprint()
    with power_cut(3), pytest.raises(PowerCut):
        mutant(**arguments, idempotency_key="once")
    transaction.set_rollback(False)  # Model.save marks the test's own transaction; a mutant has none to mark
    assert fingerprint() != before


def test_nothing_is_settled_when_the_originator_cannot_fund_the_reserve():
    scene = market_with_bids()
    empty = Listing.objects.get(pk=scene.listing.pk)
    for bid in [bid for auction in scene.auctions.values() for bid in auction.bids.all()]:
        assert bid.user is not None
        bid_withdraw(user=bid.user, bid=bid, idempotency_key=key())
    closed(scene)
    before = fingerprint()
    with pytest.raises(ApplicationError, match=r"holder account of USD: 100,000\.00 is needed and 0\.00 is available"):
        listing_settle(user=scene.operator, listing=empty, idempotency_key=key())
    assert fingerprint() == before
    assert Listing.objects.get(pk=empty.pk).state == ListingState.CLOSED
