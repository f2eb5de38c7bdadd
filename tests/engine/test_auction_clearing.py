"""Uniform-price clearing: published examples, rules of allotment, and what must hold for every auction."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.engine.auction import AuctionBid, ClearingResult, clear, treasury_award, treasury_percentage
from marketplace.engine.rounding import largest_remainder, lottery_key


def _oracle(shared: Path, name: str) -> dict[str, Any]:
    return json.loads((shared / "oracles" / "market" / name).read_text())


def _awards(result: ClearingResult) -> dict[str, int]:
    return {award.key: award.award for award in result.awards}


@pytest.mark.shared
def test_treasury_awards_of_31_cfr_356_20(shared: Path) -> None:
    cases = _oracle(shared, "01_us_treasury_proration_rule.json")["cases"]
    for rounding in ("up", "half_up"):
        for case in cases:
            percentage = int(Decimal(case["pct"]) * 100)
            award = treasury_award(case["bid"], percentage, case.get("multiple", 1), case.get("minimum", 1), rounding)
            assert award == case["award"]


@pytest.mark.shared
def test_largest_remainder_cases(shared: Path) -> None:
    for case in _oracle(shared, "07_largest_remainder.json")["cases"]:
        expected = case.get("result") or case["result_by_time_priority"]
        assert largest_remainder(case["weights"], case["total"]) == tuple(expected)


@pytest.mark.shared
def test_ecb_variable_rate_tender(shared: Path) -> None:
    case = _oracle(shared, "03_ecb_tenders.json")["variable_rate"]
    bids = [
        AuctionBid(f"{bank}@{rate}", amount, int(Decimal(rate) * 1000), bidder=bank)
        for bank in ("Bank1", "Bank2", "Bank3")
        for rate, amount in zip(case["rates"], case[bank], strict=True)
        if amount
    ]
    result = clear(case["allot"], bids, best="highest")
    assert result.clearing_ticks == int(Decimal(case["marginal"]) * 1000)
    assert Fraction(result.marginal_award, result.marginal_quantity) == Fraction(case["pct_at_marginal"]) / 100
    by_bank = {bank: 0 for bank in case["allotment"]}
    for key, award in _awards(result).items():
        by_bank[key.split("@")[0]] += award
    assert by_bank == case["allotment"]


@pytest.mark.shared
def test_ecb_fixed_rate_tender(shared: Path) -> None:
    case = _oracle(shared, "03_ecb_tenders.json")["fixed_rate"]
    tenths = [AuctionBid(bank, amount * 10, 0) for bank, amount in case["bids"].items()]
    awards = _awards(clear(case["allot"] * 10, tenths))
    assert awards == {bank: Decimal(amount) * 10 for bank, amount in case["allotment"].items()}


def test_treasury_rule_rounds_the_percentage_up_and_is_clamped_to_supply() -> None:
    # 31 CFR 356.21(a): 1,000 of 3,000 at the high yield is 33.34 %; each award of 333.4 goes up to 400.
    bids = [AuctionBid(key, 1000, 500) for key in "abc"]
    assert treasury_percentage(1000, 3000) == 3334
    assert treasury_award(1000, 3334, 100, 100) == 400
    result = clear(1000, bids, rule="treasury", lot=100, minimum=100)
    assert sorted(_awards(result).values()) == [200, 400, 400]
    assert result.allotted == 1000


def test_better_limits_are_filled_and_all_pay_the_same_yield() -> None:
    bids = [AuctionBid("best", 40, 400), AuctionBid("left", 50, 410), AuctionBid("right", 100, 410)]
    result = clear(100, [*bids, AuctionBid("beyond", 10, 411)])
    assert _awards(result) == {"best": 40, "left": 20, "right": 40, "beyond": 0}
    assert (result.status, result.clearing_ticks, result.clearing_yield) == (
        "cleared",
        410,
        Fraction(41, 10_000),
    )
    assert result.bid_to_cover == 2
    assert (result.marginal_award, result.marginal_quantity) == (60, 150)
    reasons = {award.key: (award.state, award.reason) for award in result.awards}
    assert reasons["left"] == ("part_filled", "At the clearing yield: rationed.")
    assert reasons["beyond"] == ("rejected", "The limit lies beyond the clearing yield of 0.410 %.")


def test_undersubscribed_all_filled_at_the_worst_accepted_limit() -> None:
    bids = [AuctionBid("a", 40, 400), AuctionBid("b", 30, 450), AuctionBid("c", 90, 501)]
    result = clear(100, bids, reserve_ticks=500)
    assert (result.status, result.clearing_ticks, result.allotted) == ("undersubscribed", 450, 70)
    assert {award.reason for award in result.awards if award.key == "c"} == {"The limit lies beyond the reserve."}
    full = clear(100, bids, reserve_ticks=500, require_full=True)
    assert (full.status, full.clearing_ticks, full.allotted) == ("failed", None, 0)
    assert full.reason == "Eligible demand 70 does not cover the supply 100."


def test_the_reserve_itself_is_accepted_on_both_sides() -> None:
    at, beyond = AuctionBid("at", 10, 500), AuctionBid("beyond", 10, 501)
    assert _awards(clear(20, [at, beyond], reserve_ticks=500)) == {"at": 10, "beyond": 0}
    below = AuctionBid("below", 10, 499)
    assert _awards(clear(20, [at, below], reserve_ticks=500, best="highest")) == {"at": 10, "below": 0}


def test_no_bid_and_no_competitive_bid_fail_with_their_reason() -> None:
    assert clear(100, []).reason == "There is no eligible bid."
    alone = clear(100, [AuctionBid("n", 100, None)])
    assert (alone.status, alone.allotted) == ("failed", 0)
    assert alone.reason == "No competitive bid was accepted, so that no yield is set."
    both = clear(100, [AuctionBid("n", 60, None), AuctionBid("c", 60, 300)])
    assert _awards(both) == {"n": 60, "c": 40}


def test_a_cap_counts_the_best_bids_of_a_bidder_first() -> None:
    bids = [
        AuctionBid("x1", 30, 400, "X"), AuctionBid("x2", 30, 410, "X"), AuctionBid("x3", 30, 420, "X"),
        AuctionBid("y", 100, 430, "Y"),
    ]  # fmt: skip
    result = clear(100, bids, cap=50)
    assert _awards(result) == {"x1": 30, "x2": 20, "x3": 0, "y": 50}
    assert [award.reason for award in result.awards][:3] == [
        "Filled in full.",
        "Filled up to the bidder's cap.",
        "Better bids of the same bidder have used up its cap.",
    ]


def test_ties_are_drawn_by_the_published_hash_or_by_time() -> None:
    bids = [AuctionBid(key, 1, 400, sequence=sequence) for sequence, key in enumerate(["p", "q", "r"])]
    assert _awards(clear(1, bids, tie_break="time")) == {"p": 1, "q": 0, "r": 0}
    winners = set()
    for seed in range(20):
        winner = sorted((lottery_key(seed, key), key) for key in "pqr")[0][1]
        assert _awards(clear(1, bids, seed=seed))[winner] == 1
        winners.add(winner)
    assert winners == {"p", "q", "r"}


def test_awards_come_in_lots() -> None:
    result = clear(1000, [AuctionBid("a", 700, 1), AuctionBid("b", 700, 1), AuctionBid("c", 700, 1)], lot=100)
    assert sorted(_awards(result).values()) == [300, 300, 400]


@pytest.mark.parametrize(
    ("supply", "bids", "settings", "message"),
    [
        (0, [], {}, "supply: 0 is not a positive whole number"),
        (150, [], {"lot": 100}, "supply: 150 is not a multiple of the lot 100"),
        (100, [AuctionBid("a", 5, 1), AuctionBid("a", 6, 2)], {}, "bids: key 'a' occurs twice"),
        (100, [AuctionBid("a", 0, 1)], {}, "quantity: 0 of bid 'a' is not a positive multiple of 1"),
        (
            100,
            [AuctionBid("a", 100, 1)],
            {"minimum": 200},
            "quantity: 100 of bid 'a' is below the minimum 200",
        ),
        (100, [], {"rule": "first_come"}, "rule: 'first_come' is not one of largest_remainder, treasury"),
    ],
)
def test_bad_input_names_field_and_value(
    supply: int, bids: list[AuctionBid], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clear(supply, bids, **settings)


def test_floats_are_refused_near_money() -> None:
    fractional: Any = 0.5
    with pytest.raises(ValueError, match=r"limit_ticks: 0\.5 of bid 'a' is not a whole number"):
        clear(100, [AuctionBid("a", 1, fractional)])


def test_canonical_json_replays_to_the_same_bytes() -> None:
    bids = [AuctionBid(f"bid-{n}", 10 + n % 7, 400 + n % 5, f"bidder-{n % 9}") for n in range(60)]
    first, again = clear(333, bids, cap=60, seed=3), clear(333, bids[::-1], cap=60, seed=3)
    assert first.to_json().encode() == again.to_json().encode()
    assert first.content_hash() == again.content_hash()
    # 60 bids of 10 and 0 to 6 on top: 600 + 8 x 21 + 6 = 774 over 333.
    assert json.loads(first.to_json())["bid_to_cover"] == "86/37"
    assert clear(333, bids, cap=60, seed=4).inputs_hash != first.inputs_hash


BIDS = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=25)


@given(
    BIDS, st.integers(1, 40), st.sampled_from(["largest_remainder", "treasury"]), st.sampled_from([1, 5]),
    st.none() | st.integers(0, 6), st.none() | st.integers(5, 80), st.integers(0, 99), st.randoms(),
)  # fmt: skip
def test_what_holds_for_every_auction(
    rows: list[tuple[int, int, int]], supply: int, rule: str, lot: int, reserve: int | None, cap: int | None,
    seed: int, random: Any,
) -> None:  # fmt: skip
    bids = [AuctionBid(f"k{n}", q * lot, limit, f"b{who}") for n, (q, limit, who) in enumerate(rows)]
    total = supply * lot
    settings: dict[str, Any] = {"rule": rule, "lot": lot, "reserve_ticks": reserve, "cap": cap, "seed": seed}
    result = clear(total, bids, **settings)
    shuffled = list(bids)
    random.shuffle(shuffled)
    assert clear(total, shuffled, **settings).to_json() == result.to_json()
    awards = _awards(result)
    assert result.allotted == sum(awards.values()) == min(total, result.eligible_demand)
    assert all(0 <= awards[bid.key] <= bid.quantity for bid in bids)
    if cap is not None:
        for who in {bid.bidder for bid in bids}:
            assert sum(awards[bid.key] for bid in bids if bid.bidder == who) <= cap
    for bid in bids:
        assert bid.limit_ticks is not None
        if awards[bid.key]:
            assert result.clearing_ticks is not None
            assert bid.limit_ticks <= result.clearing_ticks
            assert reserve is None or bid.limit_ticks <= reserve
        if cap is None and awards[bid.key] < bid.quantity:
            worse = [other for other in bids if (other.limit_ticks or 0) > bid.limit_ticks]
            assert not any(awards[other.key] for other in worse)


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=20), st.integers(0, 10**15))
def test_largest_remainder_is_exact_and_keeps_quota(weights: list[int], total: int) -> None:
    whole = sum(weights)
    if not whole:
        return
    shares = largest_remainder(weights, total)
    assert sum(shares) == total
    for weight, share in zip(weights, shares, strict=True):
        assert weight * total // whole <= share <= -(-weight * total // whole)


def test_largest_remainder_refuses_what_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="weights: all are 0, 3 units cannot be split"):
        largest_remainder([0, 0], 3)
    with pytest.raises(ValueError, match="weights: -1 at position 1 is negative"):
        largest_remainder([2, -1], 3)
