"""Mandates: reasons in words, and demo bids that cover every class of a deal."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from investors.engine.mandates import DEMO_MANDATES, MandateTerms, Offer, demo_bids, eligible, scaled
from marketplace.engine.auction import AuctionBid, clear
from pricing.engine.spread import required_yield
from pricing.market import default_snapshot
from rating.engine.scale import GRADES

TERMS = MandateTerms("Test Fund", "BBB", 0.5, 3.0, 0.05, ("unsecured_consumer",), 1_000_000_00, 100_000_00, 0.25)
OFFER = Offer("deal/B", "A", 2.0, 0.056, "unsecured_consumer", 2_000_000_00)


def test_an_offer_within_every_limit_is_eligible() -> None:
    assert eligible(TERMS, OFFER) == ()


@pytest.mark.parametrize(
    ("terms", "offer", "test", "sentence"),
    [
        ({}, {"grade": "BBB-"}, "rating", "The indicative grade BBB- is below the floor BBB."),
        ({}, {"grade": ""}, "rating", "The class has no indicative grade on the scale (none)."),
        ({}, {"wal_years": 3.01}, "wal", "The average life of 3.01 years lies outside 0.5 to 3 years."),
        ({}, {"wal_years": math.nan}, "wal", "The average life of nan years lies outside 0.5 to 3 years."),
        ({}, {"guide_yield": 0.0499}, "yield", "The guide yield 4.990% is below the floor 5.000%."),
        ({}, {"asset_type": "auto"}, "asset_type", "The asset type auto is not one of unsecured_consumer."),
        (
            {"budget_cents": 99_999_99},
            {},
            "budget",
            "The budget of 99,999.99 does not reach one ticket of 100,000.00.",
        ),
        (
            {},
            {"size_cents": 399_999_99},
            "share",
            "25% of a class of 399,999.99 does not reach one ticket of 100,000.00.",
        ),
    ],
)
def test_each_failed_limit_is_said_in_words(
    terms: dict[str, Any], offer: dict[str, Any], test: str, sentence: str
) -> None:
    reasons = eligible(replace(TERMS, **terms), replace(OFFER, **offer))
    assert [(reason.test, reason.sentence) for reason in reasons] == [(test, sentence)]


def test_limits_themselves_are_included() -> None:
    at_limits = replace(OFFER, grade="BBB", wal_years=3.0, guide_yield=0.05, size_cents=400_000_00)
    assert eligible(TERMS, at_limits) == ()


def test_all_failures_are_listed() -> None:
    bad = replace(OFFER, grade="CCC", wal_years=9.0, guide_yield=0.01, asset_type="auto", size_cents=1)
    assert [reason.test for reason in eligible(TERMS, bad)] == [
        "rating",
        "wal",
        "yield",
        "asset_type",
        "share",
    ]


def test_a_mandate_is_checked_at_construction() -> None:
    with pytest.raises(ValueError, match=r"max_share: 1\.5 is not above 0 and at most 1"):
        replace(TERMS, max_share=1.5)
    with pytest.raises(ValueError, match="rating_floor: 'Aaa' is not on the scale AAA to CCC"):
        eligible(replace(TERMS, rating_floor="Aaa"), OFFER)


def _deal(cents: int, grades: tuple[str, str, str], shares: tuple[float, float, float]) -> list[Offer]:
    """Classes of a deal with guide yields of the default snapshot."""
    lives = (1.1, 2.2, 2.8)
    return [
        Offer(
            f"deal/{name}",
            grade,
            life,
            required_yield(grade, life, default_snapshot(), asset_class="unsecured_consumer"),
            "unsecured_consumer",
            int(cents * share),
        )
        for name, grade, life, share in zip("ABC", grades, lives, shares, strict=True)
    ]


@pytest.mark.parametrize("cents", [10_000_000_00, 57_345_678_91, 300_000_000_00])
@pytest.mark.parametrize(
    ("grades", "shares"),
    [
        (("AAA", "A", "BBB"), (0.70, 0.12, 0.06)),
        (("AAA", "A", "BBB"), (0.90, 0.02, 0.01)),
        (("AA", "BBB", "BB"), (0.60, 0.20, 0.15)),
        (("A", "BBB-", "B"), (0.80, 0.08, 0.04)),
    ],
)
def test_demo_mandates_cover_every_class(
    cents: int, grades: tuple[str, str, str], shares: tuple[float, float, float]
) -> None:
    offers = _deal(cents, grades, shares)
    for seed in range(5):
        asked = dict.fromkeys((offer.key for offer in offers), 0)
        for terms in DEMO_MANDATES:
            for bid in demo_bids(scaled(terms, cents), offers, seed):
                asked[bid.offer] += bid.amount_cents
        for offer in offers:
            assert asked[offer.key] > offer.size_cents, (offer, seed)


@given(st.integers(0, 2**32), st.integers(1_000_000_00, 500_000_000_00), st.sampled_from(DEMO_MANDATES))
def test_demo_bids_keep_their_mandate(seed: int, cents: int, base: MandateTerms) -> None:
    terms = scaled(base, cents)
    offers = _deal(cents, ("AAA", "A", "BB"), (0.7, 0.12, 0.06))
    bids = demo_bids(terms, offers, seed)
    assert bids == demo_bids(terms, offers[::-1], seed)
    by_key = {offer.key: offer for offer in offers}
    assert sum(bid.amount_cents for bid in bids) * 100 <= terms.budget_cents * 98
    for bid in bids:
        offer = by_key[bid.offer]
        assert eligible(terms, offer) == ()
        assert bid.amount_cents % terms.ticket_cents == 0
        assert terms.ticket_cents <= bid.amount_cents <= terms.max_share * offer.size_cents
        assert bid.yield_ticks >= terms.yield_floor * 100_000 - 1e-6
        assert abs(bid.yield_ticks - offer.guide_yield * 100_000) <= 121


def test_seeds_and_mandates_bid_differently() -> None:
    offers = _deal(100_000_000_00, ("AAA", "A", "BBB"), (0.7, 0.12, 0.06))
    senior = {terms.name: demo_bids(terms, offers, 7) for terms in DEMO_MANDATES}
    limits = {bid.yield_ticks for bids in senior.values() for bid in bids if bid.offer == "deal/A"}
    assert len(limits) >= 5
    assert demo_bids(DEMO_MANDATES[3], offers, 7) != demo_bids(DEMO_MANDATES[3], offers, 8)


def test_demo_mandates_are_diverse_and_named_once() -> None:
    assert len({terms.name for terms in DEMO_MANDATES}) == len(DEMO_MANDATES) >= 8
    assert len({terms.rating_floor for terms in DEMO_MANDATES}) >= 6
    assert {terms.rating_floor for terms in DEMO_MANDATES} <= set(GRADES)


def test_demo_bids_clear_every_class_near_its_guide_yield() -> None:
    cents = 50_000_000_00
    offers = _deal(cents, ("AAA", "A", "BBB"), (0.72, 0.12, 0.05))
    every = {
        (terms.name, bid.offer): bid for terms in DEMO_MANDATES for bid in demo_bids(scaled(terms, cents), offers, 7)
    }
    for offer in offers:
        bids = [AuctionBid(name, b.amount_cents, b.yield_ticks) for (name, key), b in every.items() if key == offer.key]
        result = clear(offer.size_cents, bids, seed=7)
        assert (result.status, result.allotted) == ("cleared", offer.size_cents)
        assert result.clearing_ticks is not None
        assert abs(result.clearing_ticks - offer.guide_yield * 100_000) <= 121
        assert result.bid_to_cover > 1
