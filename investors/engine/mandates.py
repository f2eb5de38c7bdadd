"""Mandates: what an investor may buy, why an offer fails, and how the demo investors bid.

Money is integer minor units (cents), yields are annual fractions, limits of bids are ticks of 1e-5.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rating.engine.scale import GRADES

TICKS = 100_000
REFERENCE_DEAL_CENTS = 10_000_000_000  # the deal of 100 million that DEMO_MANDATES are written for
TICKET_STEP_CENTS = 100_000  # scaled tickets are whole thousands of the currency
HOLD_MARGIN_PERCENT = 2  # of budget kept free: a bid below the coupon is held at a price above par
APPETITE = (0.7, 1.0)  # share of what limits allow that a demo investor asks for
SHADING_TICKS = (-120, 80)  # demo limits lie 12 bp below to 8 bp above the guide yield


@dataclass(frozen=True)
class MandateTerms:
    """Limits of one investor.

    rating_floor: worst grade accepted. wal_min, wal_max: years, both included. yield_floor: annual fraction.
    asset_types: accepted asset classes. budget_cents: most that may be committed over all offers.
    ticket_cents: smallest amount, of which every amount is a multiple. max_share: most of one class, fraction
    of its size. Raises ValueError naming field and value.
    """

    name: str
    rating_floor: str
    wal_min: float
    wal_max: float
    yield_floor: float
    asset_types: tuple[str, ...]
    budget_cents: int
    ticket_cents: int
    max_share: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.wal_min) and math.isfinite(self.wal_max) and 0 <= self.wal_min <= self.wal_max):
            raise ValueError(f"wal_max: the band {self.wal_min} to {self.wal_max} years is empty or negative")
        if not -1 < self.yield_floor < 1:
            raise ValueError(f"yield_floor: {self.yield_floor} is no annual fraction")
        if not self.asset_types:
            raise ValueError("asset_types: name at least one asset type")
        if self.ticket_cents < 1:
            raise ValueError(f"ticket_cents: {self.ticket_cents} is not positive")
        if self.budget_cents < 0:
            raise ValueError(f"budget_cents: {self.budget_cents} is negative")
        if not 0 < self.max_share <= 1:
            raise ValueError(f"max_share: {self.max_share} is not above 0 and at most 1")


@dataclass(frozen=True)
class Offer:
    """One class on offer. key: unique, e.g. "deal/A". guide_yield: annual fraction, bond-equivalent."""

    key: str
    grade: str
    wal_years: float
    guide_yield: float
    asset_type: str
    size_cents: int


@dataclass(frozen=True)
class Reason:
    """A limit that an offer fails. test: which; sentence: for people."""

    test: str
    sentence: str


class DemoBid(NamedTuple):
    """A bid: the offer's key, the least yield accepted in ticks of 1e-5, the amount in cents."""

    offer: str
    yield_ticks: int
    amount_cents: int


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _most(terms: MandateTerms, offer: Offer) -> int:
    """Largest amount the share of one class allows, in whole tickets."""
    share = round(terms.max_share * 1_000_000)  # exact integers from here on
    return offer.size_cents * share // 1_000_000 // terms.ticket_cents * terms.ticket_cents


def eligible(terms: MandateTerms, offer: Offer, *, scale: Sequence[str] = GRADES) -> tuple[Reason, ...]:
    """Every limit that keeps the mandate from the offer; empty when it may bid.

    scale: grades, best to worst. A WAL or a yield that is not a number fails. ValueError where the mandate's
    own floor is not on the scale; an offer without a grade on the scale fails the rating test.
    """
    if terms.rating_floor not in scale:
        raise ValueError(f"rating_floor: {terms.rating_floor!r} is not on the scale {scale[0]} to {scale[-1]}")
    failed = []
    if offer.grade not in scale:
        failed.append(Reason("rating", f"The class has no indicative grade on the scale ({offer.grade or 'none'})."))
    elif scale.index(offer.grade) > scale.index(terms.rating_floor):
        sentence = f"The indicative grade {offer.grade} is below the floor {terms.rating_floor}."
        failed.append(Reason("rating", sentence))
    if not terms.wal_min <= offer.wal_years <= terms.wal_max:
        band = f"{terms.wal_min:g} to {terms.wal_max:g} years"
        failed.append(Reason("wal", f"The average life of {offer.wal_years:.2f} years lies outside {band}."))
    if not offer.guide_yield >= terms.yield_floor:
        sentence = f"The guide yield {offer.guide_yield:.3%} is below the floor {terms.yield_floor:.3%}."
        failed.append(Reason("yield", sentence))
    if offer.asset_type not in terms.asset_types:
        kinds = ", ".join(terms.asset_types)
        failed.append(Reason("asset_type", f"The asset type {offer.asset_type} is not one of {kinds}."))
    if terms.budget_cents < terms.ticket_cents:
        left, ticket = _money(terms.budget_cents), _money(terms.ticket_cents)
        failed.append(Reason("budget", f"The budget of {left} does not reach one ticket of {ticket}."))
    if _most(terms, offer) < terms.ticket_cents:
        share = f"{terms.max_share:.0%} of a class of {_money(offer.size_cents)}"
        failed.append(Reason("share", f"{share} does not reach one ticket of {_money(terms.ticket_cents)}."))
    return tuple(failed)


def scaled(terms: MandateTerms, deal_cents: int) -> MandateTerms:
    """The same mandate with budget and ticket scaled from the 100 million deal to one of deal_cents.

    Tickets become whole thousands of the currency, at least one; budgets whole tickets. ValueError where
    deal_cents is not positive.
    """
    if deal_cents < 1:
        raise ValueError(f"deal_cents: {deal_cents} is not positive")
    steps = terms.ticket_cents * deal_cents // (REFERENCE_DEAL_CENTS * TICKET_STEP_CENTS)
    ticket = max(1, steps) * TICKET_STEP_CENTS
    budget = terms.budget_cents * deal_cents // REFERENCE_DEAL_CENTS // ticket * ticket
    return replace(terms, budget_cents=budget, ticket_cents=ticket)


def _draw(seed: int, *parts: str) -> float:
    """A number in [0, 1) that depends on seed and parts only, the same on every machine."""
    digest = hashlib.sha256("\x1f".join((str(seed), *parts)).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def demo_bids(
    terms: MandateTerms, offers: Iterable[Offer], seed: int, *, scale: Sequence[str] = GRADES
) -> tuple[DemoBid, ...]:
    """Sealed bids of a demo investor: at most one an offer, sorted by offer key.

    Every eligible offer is bid for, the highest guide yield first until the budget (less a margin for prices
    above par) is committed. The limit lies 12 bp below to 8 bp above the guide yield, never below the yield
    floor; the amount is 70 to 100 % of what the class share and budget allow, in whole tickets. Depends on
    seed, mandate name and offer key only, never on the order of offers.
    """
    left = terms.budget_cents * (100 - HOLD_MARGIN_PERCENT) // 100
    bids = []
    for offer in sorted(offers, key=lambda offer: (-offer.guide_yield, offer.key)):
        if eligible(terms, offer, scale=scale):
            continue
        low, high = APPETITE
        appetite = low + (high - low) * _draw(seed, terms.name, offer.key, "amount")
        most = min(_most(terms, offer), left)
        amount = int(most * appetite) // terms.ticket_cents * terms.ticket_cents
        amount = max(amount, terms.ticket_cents) if most >= terms.ticket_cents else 0
        if not amount:
            continue
        first, last = SHADING_TICKS
        shading = first + int((last - first + 1) * _draw(seed, terms.name, offer.key, "limit"))
        floor = math.ceil(terms.yield_floor * TICKS - 1e-6)
        ticks = max(round(offer.guide_yield * TICKS) + shading, floor, 0)
        bids.append(DemoBid(offer.key, ticks, amount))
        left -= amount
    return tuple(sorted(bids))


_CONSUMER = ("unsecured_consumer",)
_BOTH = ("unsecured_consumer", "prime_auto")
_MILLION = 100_000_000  # cents
_TICKET = 10_000_000  # 100,000 of the currency

# Invented institutions, written for a deal of 100 million: senior money is plenty, junior money has its
# price.
DEMO_MANDATES: tuple[MandateTerms, ...] = (
    MandateTerms("Harbour Liquidity Fund", "AAA", 0.0, 2.5, 0.0, _BOTH, 40 * _MILLION, _TICKET, 0.35),
    MandateTerms("Castle Bank Treasury", "AA", 0.0, 4.0, 0.0, _BOTH, 45 * _MILLION, 5 * _TICKET, 0.40),
    MandateTerms("Meridian Pension Fund", "AA-", 0.5, 7.0, 0.0, _BOTH, 50 * _MILLION, 2 * _TICKET, 0.40),
    MandateTerms("Northgate Insurance", "A-", 0.5, 5.0, 0.0, _BOTH, 60 * _MILLION, 2 * _TICKET, 0.40),
    MandateTerms("Linden Savings Bank", "BBB", 0.0, 4.0, 0.0, _CONSUMER, 35 * _MILLION, _TICKET, 0.40),
    MandateTerms("Silverlake Asset Management", "BBB-", 0.25, 7.0, 0.04, _BOTH, 40 * _MILLION, _TICKET, 0.50),
    MandateTerms("Orchard Credit Fund", "BB", 0.5, 6.0, 0.045, _BOTH, 25 * _MILLION, _TICKET, 0.50),
    MandateTerms("Tideway Multi-Strategy", "B", 0.0, 10.0, 0.0, _BOTH, 30 * _MILLION, _TICKET, 0.50),
    MandateTerms("Foxglove Opportunities", "B", 0.5, 8.0, 0.05, _CONSUMER, 15 * _MILLION, _TICKET, 0.50),
    MandateTerms("Copperfield Structured Credit", "B-", 0.5, 8.0, 0.055, _BOTH, 20 * _MILLION, _TICKET, 0.50),
)
