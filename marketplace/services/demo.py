"""Demo investors: they bid by their mandates, through the same door as everybody.

Not here: the rules of a mandate (investors.engine.mandates).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from accounts.models import IdempotencyClaim, Role, User
from investors.engine.mandates import Offer, demo_bids
from investors.models import Mandate
from investors.selectors import cash_position
from investors.services import terms_read
from marketplace.models import Bid, Listing
from marketplace.services.bids import bid_place
from marketplace.services.prices import TICKS_PER_UNIT, priced_class

DEFAULT_ASSET_TYPE = "unsecured_consumer"


def listing_offers(listing: Listing) -> tuple[Offer, ...]:
    """The classes of a listing as mandates see them; key: the name of the class."""
    report = listing.price_report
    grades = {row["name"]: row["rating"] for row in listing.rating_report.result["tranches"]}
    asset_type = str(report.result.get("assumptions", {}).get("asset_class", DEFAULT_ASSET_TYPE))
    return tuple(
        Offer(
            key=auction.tranche,
            grade=grades.get(auction.tranche) or "",
            wal_years=float(priced_class(report, auction.tranche)["wal_years"]),
            guide_yield=auction.guide_ticks / TICKS_PER_UNIT,
            asset_type=asset_type,
            size_cents=auction.supply,
        )
        for auction in listing.auctions.order_by("seniority")
    )


def mandates_bid(*, listing: Listing, mandates: Iterable[Mandate], seed: int) -> list[Bid]:
    """Bids of these mandates, where active and of an investor with a user; at most one a class, within its cash.

    It spends the investors' own cash: give it mandates that were made for this (marketplace.cast.cast_fund).
    Each bid is a transaction of its own with a key made of listing, mandate, class and seed: a second call adds none.
    """
    offers = listing_offers(listing)
    auctions = {auction.tranche: auction for auction in listing.auctions.all()}
    currency = str(listing.deal_version.spec["currency"])
    placed: list[Bid] = []
    bidding = Mandate.objects.filter(
        pk__in=[mandate.pk for mandate in mandates], active=True, organisation__role=Role.INVESTOR
    ).select_related("organisation")
    for mandate in bidding.order_by("organisation__name", "name"):
        user = User.objects.filter(organisation=mandate.organisation, is_active=True).order_by("pk").first()
        if user is None:
            continue
        keys = {offer.key: _key(listing, mandate, offer.key, seed) for offer in offers}
        done = _bids_done(mandate, keys)
        cash = cash_position(mandate.organisation, currency).available + sum(bid.hold.amount for bid in done.values())
        terms = terms_read(mandate.terms)
        terms = replace(terms, budget_cents=min(terms.budget_cents, cash))
        for wanted in demo_bids(terms, offers, seed):
            if wanted.offer in done:
                placed.append(done[wanted.offer])
                continue
            auction = auctions[wanted.offer]
            amount = min(wanted.amount_cents, auction.supply) // auction.lot * auction.lot
            if not amount or not 0 < wanted.yield_ticks <= auction.reserve_ticks:
                continue
            placed.append(
                bid_place(
                    user=user,
                    auction=auction,
                    yield_ticks=wanted.yield_ticks,
                    amount=amount,
                    idempotency_key=keys[wanted.offer],
                )
            )
    return placed


def _key(listing: Listing, mandate: Mandate, tranche: str, seed: int) -> str:
    text = f"{listing.pk}/{mandate.pk}/{tranche}/{seed}"
    return f"mandate/{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _bids_done(mandate: Mandate, keys: dict[str, str]) -> dict[str, Bid]:
    """Bids of an earlier call, by class: one that broke off is continued with the budget it had."""
    claims = IdempotencyClaim.objects.filter(organisation=mandate.organisation, key__in=keys.values())
    answers = dict(claims.values_list("key", "subject_id"))
    bids = Bid.objects.select_related("hold").in_bulk(list(answers.values()))
    found = {str(pk): bid for pk, bid in bids.items()}
    return {tranche: found[answers[key]] for tranche, key in keys.items() if key in answers}
