"""A listing from draft to open, and its cancellation. Opening needs every hash an investor will check.

Not here: bids, clearing, settlement.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.canonical import digest
from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation, Role, User
from accounts.services import audit_record, claim
from investors.ledger import Movement, account_open, transfers_book, void
from investors.models import AccountKind
from marketplace.locks import bids_locked, listing_locked
from marketplace.models import Auction, BidState, Listing, ListingState
from marketplace.services.prices import TICKS_PER_BP, priced_class
from marketplace.services.rules import acting_organisation, transition_checked, whole
from pooling.engine.deal.spec import DealSpec
from pooling.models import Deal
from pricing.models import PriceReport

DEFAULT_RESERVE_SPREAD_BP = 150
DEFAULT_LOT = 100_000  # cents: 1,000.00 of original balance
MANIFEST_KEYS = (
    "tape_root",
    "pool_loans_digest",
    "spec_hash",
    "credit_model",
    "market_snapshot",
    "market_snapshot_date",
    "engine",
    "seed",
    "scenarios",
    "rating_result_digest",
    "price_result_digest",
)


def manifest_of(report: PriceReport) -> dict[str, Any]:
    """Everything that made the figures of a listing, by MANIFEST_KEYS, from the rows themselves."""
    rating, version = report.rating_report, report.deal_version
    pool = version.deal.pool
    return {
        "tape_root": pool.tape.root,
        "pool_loans_digest": pool.loans_digest,
        "spec_hash": version.spec_hash,
        "credit_model": rating.rating_run.credit_model_id,
        "market_snapshot": report.snapshot_id,
        "market_snapshot_date": report.snapshot.as_of.isoformat(),
        "engine": rating.result["simulation"]["engine"],
        "seed": rating.rating_run.seed,
        "scenarios": rating.rating_run.scenarios,
        "rating_result_digest": digest(rating.result),
        "price_result_digest": digest(report.result),
    }


def manifest_checked(listing: Listing) -> None:
    """Refuse to go on where the frozen rows no longer have the hashes that investors were shown."""
    found = manifest_of(listing.price_report)
    missing = [key for key in MANIFEST_KEYS if listing.manifest.get(key) in (None, "")]
    if missing:
        raise ApplicationError(
            f"The manifest lacks {', '.join(missing)}: rate and price the deal again.",
            code="manifest_incomplete",
            field="manifest",
        )
    changed = [key for key in MANIFEST_KEYS if listing.manifest[key] != found[key]]
    if changed:
        raise ApplicationError(
            f"The frozen versions were changed ({', '.join(changed)}): cancel the listing.",
            code="manifest_broken",
            field="manifest",
        )


@transaction.atomic
def listing_create(
    *,
    user: User,
    deal: Deal,
    idempotency_key: str,
    reserve_spread_bp: int = DEFAULT_RESERVE_SPREAD_BP,
    lot: int = DEFAULT_LOT,
) -> Listing:
    """A draft listing of the originator's deal: its latest rated and priced version, frozen, and one auction a class.

    Each auction's reserve is the model yield plus reserve_spread_bp. Supply is the class balance in whole lots; what
    is left below one lot stays with the originator. A deal may be listed again once its listing is cancelled.
    Raises ApplicationError not_rated, already_listed.
    """
    organisation = acting_organisation(user, Role.ORIGINATOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="listing_create",
        params={"deal": str(deal.pk), "reserve_spread_bp": reserve_spread_bp, "lot": lot},
    )
    if not stated.fresh:
        return Listing.objects.get(pk=stated.subject_id)
    if deal.organisation_id != organisation.pk:
        raise NotFound("deal")
    whole(reserve_spread_bp, "reserve_spread_bp", low=0, high=5_000, unit="basis points")
    whole(lot, "lot", low=1, high=10**12, unit="cents")
    report, spec = _latest_solution(deal)
    listing = _draft(organisation, deal, report)
    for seniority, tranche in enumerate(spec.tranches):
        if not tranche.balance:
            continue
        guide = int(priced_class(report, tranche.name)["guide_ticks"])
        step = min(lot, tranche.balance)
        Auction.objects.create(
            listing=listing,
            tranche=tranche.name,
            seniority=seniority,
            supply=tranche.balance // step * step,
            lot=step,
            guide_ticks=guide,
            reserve_ticks=guide + reserve_spread_bp * TICKS_PER_BP,
        )
    stated.settle(str(listing.pk))
    audit_record(
        actor=user,
        verb="listing_create",
        subject=f"listing:{listing.pk}",
        payload={"deal": str(deal.pk), "manifest": digest(listing.manifest)},
    )
    return listing


def _latest_solution(deal: Deal) -> tuple[PriceReport, DealSpec]:
    reports = PriceReport.objects.filter(deal_version__deal=deal).select_related("rating_report", "deal_version")
    report = reports.order_by("-deal_version__number", "-created_at").first()
    if report is None or report.rating_report.deal_version_id != report.deal_version_id:
        raise ApplicationError(
            "The deal has no rated and priced version: rate it first.", code="not_rated", field="deal"
        )
    spec = DealSpec.from_json(report.deal_version.spec)
    if not spec.solved:
        raise ApplicationError(
            f"Version {report.deal_version.number} of the deal has classes without balance or coupon: rate it first.",
            code="not_rated",
            field="deal",
        )
    return report, spec


def _draft(organisation: Organisation, deal: Deal, report: PriceReport) -> Listing:
    try:
        with transaction.atomic():
            return Listing.objects.create(
                organisation=organisation,
                deal=deal,
                deal_version=report.deal_version,
                rating_report=report.rating_report,
                price_report=report,
                manifest=manifest_of(report),
            )
    except IntegrityError:
        if not Listing.objects.filter(deal=deal).exclude(state=ListingState.CANCELLED).exists():
            raise
        raise ApplicationError(
            "The deal is listed already: it can be listed again only where that listing is cancelled.",
            code="already_listed",
        ) from None


def _actor_of(user: User, listing: Listing, *, own_states: tuple[str, ...]) -> Organisation:
    """Operators act on every listing; its originator only while it is in own_states, so that an offer is binding."""
    organisation = acting_organisation(user, Role.OPERATOR, Role.ORIGINATOR)
    if organisation.role == Role.OPERATOR:
        return organisation
    if listing.organisation_id != organisation.pk:
        raise NotFound("listing")
    if listing.state not in own_states:
        raise ApplicationError(
            f"The listing is {listing.state}: only an operator may do this now.",
            code="forbidden",
            field="state",
        )
    return organisation


@transaction.atomic
def listing_open(*, user: User, listing: Listing, idempotency_key: str) -> Listing:
    """Draft to open, by its originator or an operator; refused while the manifest is incomplete or does not match."""
    organisation = acting_organisation(user, Role.OPERATOR, Role.ORIGINATOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="listing_open",
        params={"listing": str(listing.pk)},
    )
    if not stated.fresh:
        return Listing.objects.get(pk=stated.subject_id)
    locked = listing_locked(listing.pk)
    if organisation.role != Role.OPERATOR and locked.organisation_id != organisation.pk:
        raise NotFound("listing")
    transition_checked(locked, ListingState.OPEN)
    manifest_checked(locked)
    if not locked.auctions.exists():
        raise ApplicationError("No class of the deal has a balance to sell.", code="nothing_to_sell")
    currency = str(locked.deal_version.spec["currency"])
    account_open(kind=AccountKind.DEAL, asset=currency, deal=locked.deal)
    locked.state = ListingState.OPEN
    locked.opened_at = timezone.now()
    locked.save(update_fields=["state", "opened_at"])
    stated.settle(str(locked.pk))
    audit_record(actor=user, verb="listing_open", subject=f"listing:{locked.pk}", payload={})
    return locked


@transaction.atomic
def listing_cancel(*, user: User, listing: Listing, idempotency_key: str) -> Listing:
    """Withdraw a listing that is not settled and return every hold. Once open, only an operator may."""
    organisation = acting_organisation(user, Role.OPERATOR, Role.ORIGINATOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="listing_cancel",
        params={"listing": str(listing.pk)},
    )
    if not stated.fresh:
        return Listing.objects.get(pk=stated.subject_id)
    locked = listing_locked(listing.pk)
    _actor_of(user, locked, own_states=(ListingState.DRAFT,))
    transition_checked(locked, ListingState.CANCELLED)
    held = bids_locked(locked, BidState.LIVE, BidState.FILLED, BidState.PART_FILLED)
    returns: list[Movement] = [void(f"void/{bid.pk}", bid.hold, "listing cancelled") for bid in held]
    transfers_book(batch=f"cancel/{locked.pk}", movements=returns)
    for bid in held:
        bid.state = BidState.CANCELLED
        bid.save(update_fields=["state"])
    locked.state = ListingState.CANCELLED
    locked.save(update_fields=["state"])
    stated.settle(str(locked.pk))
    audit_record(
        actor=user,
        verb="listing_cancel",
        subject=f"listing:{locked.pk}",
        payload={"holds_returned": len(held)},
    )
    return locked
