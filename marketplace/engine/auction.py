"""Sealed-bid uniform-price auction of one class in exact integers.

Quantities are minor units, limits are ticks of yield (1e-5). The result is a pure function of the set of
bids: the order in which they arrive never matters, except under the "time" tie-break, where their sequence
does. A uniform price is not strategy-proof: a large bidder may gain by shading its last units.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import groupby

from marketplace.engine.rounding import largest_remainder, lottery_key

TICK = Fraction(1, 100_000)
RULE_VERSION = "uniform-1"
RULES = ("largest_remainder", "treasury")
ROUNDINGS = ("up", "half_up")
TIE_BREAKS = ("hash", "time")
BEST = ("lowest", "highest")


@dataclass(frozen=True)
class AuctionBid:
    """One sealed bid. key: unique; quantity: minor units > 0; limit_ticks: the least yield accepted, None for
    a non-competitive bid that takes any yield; bidder: whom a cap is counted against (the key where empty);
    sequence: order of arrival, used by the "time" tie-break only."""

    key: str
    quantity: int
    limit_ticks: int | None
    bidder: str = ""
    sequence: int = 0


@dataclass(frozen=True)
class Award:
    """What one bid receives. state: filled, part_filled, or rejected; reason: a sentence for the bidder."""

    key: str
    quantity: int
    limit_ticks: int | None
    award: int
    state: str
    reason: str


@dataclass(frozen=True)
class ClearingResult:
    """Outcome of one auction, with the inputs needed to replay it.

    status: cleared (demand covers supply), undersubscribed (every eligible bid filled) or failed (no award).
    clearing_ticks: the one yield every award pays, None when failed. Quantities in minor units.
    total_demand: all bids; eligible_demand: those within reserve and caps. awards: sorted by key.
    marginal_quantity, marginal_award: of the bids at the clearing yield. inputs_hash: SHA-256 of all inputs.
    """

    rule: str
    rule_version: str
    best: str
    rounding: str
    tie_break: str
    seed: int
    supply: int
    lot: int
    minimum: int
    cap: int | None
    reserve_ticks: int | None
    status: str
    reason: str
    clearing_ticks: int | None
    total_demand: int
    eligible_demand: int
    allotted: int
    marginal_quantity: int
    marginal_award: int
    awards: tuple[Award, ...]
    inputs_hash: str

    @property
    def bid_to_cover(self) -> Fraction:
        """All bids over supply."""
        return Fraction(self.total_demand, self.supply)

    @property
    def clearing_yield(self) -> Fraction | None:
        """The clearing yield as an exact annual fraction."""
        return None if self.clearing_ticks is None else self.clearing_ticks * TICK

    def to_json(self) -> str:
        """Canonical JSON, integers and strings only: the same auction gives the same bytes."""
        content = asdict(self)
        cover = self.bid_to_cover
        content["bid_to_cover"] = f"{cover.numerator}/{cover.denominator}"
        return _canonical(content)

    def content_hash(self) -> str:
        """SHA-256 of to_json(), hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


@dataclass(frozen=True)
class _Terms:
    supply: int
    lot: int
    minimum: int
    reserve_ticks: int | None
    cap: int | None
    rule: str
    rounding: str
    tie_break: str
    best: str
    seed: int
    require_full: bool


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _check_terms(terms: _Terms) -> None:
    for name in ("supply", "lot"):
        if getattr(terms, name) < 1:
            raise ValueError(f"{name}: {getattr(terms, name)} is not a positive whole number")
    if terms.supply % terms.lot:
        raise ValueError(f"supply: {terms.supply} is not a multiple of the lot {terms.lot}")
    if terms.minimum < 0 or terms.minimum % terms.lot:
        raise ValueError(f"minimum: {terms.minimum} is not a multiple of the lot {terms.lot}")
    if terms.cap is not None and terms.cap < 1:
        raise ValueError(f"cap: {terms.cap} is not a positive whole number")
    choices = {"rule": RULES, "rounding": ROUNDINGS, "tie_break": TIE_BREAKS, "best": BEST}
    for name, allowed in choices.items():
        if getattr(terms, name) not in allowed:
            raise ValueError(f"{name}: {getattr(terms, name)!r} is not one of {', '.join(allowed)}")


def _check_bids(bids: Sequence[AuctionBid], terms: _Terms) -> None:
    seen: set[str] = set()
    for bid in bids:
        if bid.key in seen:
            raise ValueError(f"bids: key {bid.key!r} occurs twice")
        seen.add(bid.key)
        for name in ("quantity", "limit_ticks", "sequence"):
            value = getattr(bid, name)
            if value is None and name == "limit_ticks":
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{name}: {value!r} of bid {bid.key!r} is not a whole number")
        if bid.quantity < 1 or bid.quantity % terms.lot:
            raise ValueError(f"quantity: {bid.quantity} of bid {bid.key!r} is not a positive multiple of {terms.lot}")
        if bid.quantity < terms.minimum:
            raise ValueError(f"quantity: {bid.quantity} of bid {bid.key!r} is below the minimum {terms.minimum}")


def _merit(terms: _Terms) -> Callable[[AuctionBid], tuple[int, int, int | str, str]]:
    """Sort key: non-competitive first, then better limit, then the tie-break, then the key."""
    sign = 1 if terms.best == "lowest" else -1

    def order(bid: AuctionBid) -> tuple[int, int, int | str, str]:
        limit = 0 if bid.limit_ticks is None else sign * bid.limit_ticks
        return int(bid.limit_ticks is not None), limit, _tie(bid, terms), bid.key

    return order


def _tie(bid: AuctionBid, terms: _Terms) -> int | str:
    return bid.sequence if terms.tie_break == "time" else lottery_key(terms.seed, bid.key)


def _within_reserve(bid: AuctionBid, terms: _Terms) -> bool:
    if bid.limit_ticks is None or terms.reserve_ticks is None:
        return True
    if terms.best == "lowest":
        return bid.limit_ticks <= terms.reserve_ticks
    return bid.limit_ticks >= terms.reserve_ticks


def _capped(ordered: Iterable[AuctionBid], terms: _Terms) -> dict[str, int]:
    """Quantity that counts per bid: a bidder's best bids use up its cap first."""
    used: dict[str, int] = {}
    counted: dict[str, int] = {}
    for bid in ordered:
        bidder = bid.bidder or bid.key
        room = bid.quantity if terms.cap is None else max(0, terms.cap - used.get(bidder, 0))
        counted[bid.key] = min(bid.quantity, room) // terms.lot * terms.lot
        used[bidder] = used.get(bidder, 0) + counted[bid.key]
    return counted


def _ration(margin: Sequence[AuctionBid], counted: dict[str, int], remaining: int, terms: _Terms) -> dict[str, int]:
    """Split `remaining` over the bids at the margin by the chosen rule; never more than it, nor than a
    bid."""
    quantities = [counted[bid.key] for bid in margin]
    if terms.rule == "largest_remainder":
        ties = [(_tie(bid, terms), bid.key) for bid in margin]
        lots = largest_remainder([quantity // terms.lot for quantity in quantities], remaining // terms.lot, ties)
        return {bid.key: share * terms.lot for bid, share in zip(margin, lots, strict=True)}
    percentage = treasury_percentage(remaining, sum(quantities))
    order = sorted(margin, key=lambda bid: (-counted[bid.key], _tie(bid, terms), bid.key))
    awards: dict[str, int] = {}
    for bid in order:
        award = treasury_award(counted[bid.key], percentage, terms.lot, terms.minimum or terms.lot, terms.rounding)
        # Rounding up can over-allot, which a class of fixed size cannot: the last in the order bear the cut.
        awards[bid.key] = min(award, counted[bid.key], remaining)
        remaining -= awards[bid.key]
    return awards


def treasury_percentage(remaining: int, demand: int) -> int:
    """Remaining over demand in units of 0.01 %, rounded up (31 CFR 356.21(a))."""
    return -(-remaining * 10_000 // demand)


def treasury_award(quantity: int, percentage: int, multiple: int, minimum: int, rounding: str = "up") -> int:
    """Award of one bid at the margin: quantity x percentage, to the multiple, never below the minimum.

    percentage in units of 0.01 %; rounding "up" or "half_up": 31 CFR 356.20 speaks of an upward adjustment to
    the nearest multiple and its example fits both. Raises ValueError for another name.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding: {rounding!r} is not one of {', '.join(ROUNDINGS)}")
    step = 10_000 * multiple
    raw = quantity * percentage
    steps = -(-raw // step) if rounding == "up" else (2 * raw + step) // (2 * step)
    return max(steps * multiple, minimum)


def _allot(ordered: Sequence[AuctionBid], counted: dict[str, int], terms: _Terms) -> tuple[dict[str, int], int | None]:
    """(award per key, clearing ticks) of eligible bids in order of merit."""
    awards: dict[str, int] = {}
    clearing: int | None = None
    remaining = terms.supply
    for limit, group in groupby(ordered, key=lambda bid: bid.limit_ticks):
        if not remaining:
            break
        level = list(group)
        demand = sum(counted[bid.key] for bid in level)
        clearing = limit
        if demand > remaining:
            awards.update(_ration(level, counted, remaining, terms))
            break
        awards.update({bid.key: counted[bid.key] for bid in level})
        remaining -= demand
    return awards, clearing


def _percent(ticks: int) -> str:
    return f"{ticks // 1000}.{ticks % 1000:03d} %" if ticks >= 0 else f"-{_percent(-ticks)}"


def _explain(bid: AuctionBid, award: int, counted: int | None, clearing: int | None, status: str) -> tuple[str, str]:
    if counted is None:
        return "rejected", "The limit lies beyond the reserve."
    if status == "failed":
        return "rejected", "The auction failed: nothing was allotted."
    if award == bid.quantity:
        return "filled", "Filled in full."
    if award and award == counted:
        return "part_filled", "Filled up to the bidder's cap."
    if award:
        return "part_filled", "At the clearing yield: rationed."
    if counted == 0:
        return "rejected", "Better bids of the same bidder have used up its cap."
    if bid.limit_ticks == clearing:
        return "rejected", "At the clearing yield: rationed to nothing."
    return "rejected", f"The limit lies beyond the clearing yield of {_percent(clearing or 0)}."


def clear(
    supply: int,
    bids: Iterable[AuctionBid],
    *,
    reserve_ticks: int | None = None,
    rule: str = "largest_remainder",
    lot: int = 1,
    minimum: int = 0,
    cap: int | None = None,
    rounding: str = "up",
    tie_break: str = "hash",
    best: str = "lowest",
    seed: int = 0,
    require_full: bool = False,
) -> ClearingResult:
    """Clear one uniform-price auction of `supply` minor units.

    Bids beyond reserve_ticks are out (a maximum yield; a minimum rate where best is "highest", as in a
    liquidity tender). Better limits are filled in full, the margin is rationed by `rule`:
    "largest_remainder", in lots; or "treasury" (31 CFR 356.20-21: percentage rounded up to 0.01 %, awards to
    the multiple `lot`, never below `minimum`), clamped to supply. Ties go to the larger remainder, then the
    larger quantity, then the smaller lottery_key(seed, key) or, with "time", the earlier sequence. When
    demand does not reach supply all eligible bids are filled at the worst accepted limit, unless
    require_full. Non-competitive bids come first and need at least one competitive award to set the yield.
    cap: most minor units per bidder. With rounding "half_up" the treasury rule may leave a few units of the
    margin unsold.

    Raises ValueError naming field, value and bid key.
    """
    journal = tuple(bids)
    terms = _Terms(supply, lot, minimum, reserve_ticks, cap, rule, rounding, tie_break, best, seed, require_full)
    _check_terms(terms)
    _check_bids(journal, terms)
    ordered = sorted((bid for bid in journal if _within_reserve(bid, terms)), key=_merit(terms))
    counted = _capped(ordered, terms)
    live = [bid for bid in ordered if counted[bid.key]]
    demand = sum(counted.values())
    awards, clearing = _allot(live, counted, terms)
    status, reason = _status(live, demand, clearing, terms)
    if status == "failed":
        awards, clearing = {}, None
    margin = [bid for bid in live if clearing is not None and bid.limit_ticks == clearing]
    return ClearingResult(
        rule=rule, rule_version=RULE_VERSION, best=best, rounding=rounding, tie_break=tie_break, seed=seed,
        supply=supply, lot=lot, minimum=minimum, cap=cap, reserve_ticks=reserve_ticks,
        status=status, reason=reason, clearing_ticks=clearing,
        total_demand=sum(bid.quantity for bid in journal), eligible_demand=demand,
        allotted=sum(awards.values()),
        marginal_quantity=sum(counted[bid.key] for bid in margin),
        marginal_award=sum(awards.get(bid.key, 0) for bid in margin),
        awards=_award_rows(journal, awards, counted, clearing, status),
        inputs_hash=_inputs_hash(journal, terms),
    )  # fmt: skip


def _status(live: Sequence[AuctionBid], demand: int, clearing: int | None, terms: _Terms) -> tuple[str, str]:
    if not live:
        return "failed", "There is no eligible bid."
    if clearing is None:
        return "failed", "No competitive bid was accepted, so that no yield is set."
    if demand >= terms.supply:
        return "cleared", "Demand covers supply."
    if terms.require_full:
        return "failed", f"Eligible demand {demand} does not cover the supply {terms.supply}."
    return "undersubscribed", "All eligible bids are filled at the worst accepted limit."


def _award_rows(
    journal: Sequence[AuctionBid],
    awards: dict[str, int],
    counted: dict[str, int],
    clearing: int | None,
    status: str,
) -> tuple[Award, ...]:
    rows = []
    for bid in sorted(journal, key=lambda bid: bid.key):
        award = awards.get(bid.key, 0)
        state, reason = _explain(bid, award, counted.get(bid.key), clearing, status)
        rows.append(Award(bid.key, bid.quantity, bid.limit_ticks, award, state, reason))
    return tuple(rows)


def _inputs_hash(journal: Sequence[AuctionBid], terms: _Terms) -> str:
    """SHA-256 of terms and bids sorted by key; arrival counts only where the tie-break is by time."""
    rows = []
    for bid in sorted(journal, key=lambda bid: bid.key):
        sequence = bid.sequence if terms.tie_break == "time" else 0
        rows.append([bid.key, bid.quantity, bid.limit_ticks, bid.bidder, sequence])
    return hashlib.sha256(_canonical({"terms": asdict(terms), "bids": rows}).encode()).hexdigest()
