"""Settlement: delivery versus payment of every class of a listing, in one transaction.

The settlement price is the frozen base-case flows at the clearing yield. Not here: clearing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.errors import ApplicationError
from accounts.models import Organisation, Role, User
from accounts.services import audit_record, claim
from investors.ledger import Movement, account_open, direct, post, transfers_book
from investors.models import Account, AccountKind
from investors.services import cash_account
from marketplace.locks import listing_locked
from marketplace.models import Allocation, Auction, Listing, ListingState, Trade
from marketplace.services.listings import manifest_checked
from marketplace.services.prices import cash_cents, price_at
from marketplace.services.rules import acting_organisation, transition_checked
from pooling.engine.deal.spec import DealSpec
from pooling.engine.waterfall.sources_and_uses import balancing_residual, sources_and_uses
from pooling.models import Deal

RESIDUAL_UNITS = 10_000  # the residual certificate is issued in hundredths of a percent


@dataclass(frozen=True)
class Payment:
    """One allocation at its settlement price: cash in cents, price per 100 of original balance."""

    allocation: Allocation
    price: Decimal
    cash: int


@transaction.atomic
def listing_settle(*, user: User, listing: Listing, idempotency_key: str) -> Listing:
    """Settle a closed listing (operator): cash against units for every allocation, all or nothing.

    Investors' holds pay the deal's account and the rest returns to them; units are issued to the holders; what no
    investor took, and the residual certificate, go to the originator as retention; the reserve account and the
    expenses are funded and the originator gets the rest. Raises ApplicationError already_settled,
    illegal_transition, insufficient_funds (the originator cannot fund the reserve of an unsold deal).
    """
    organisation = acting_organisation(user, Role.OPERATOR)
    stated = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="listing_settle",
        params={"listing": str(listing.pk)},
    )
    if not stated.fresh:
        return Listing.objects.get(pk=stated.subject_id)
    locked = listing_locked(listing.pk)
    if locked.state == ListingState.SETTLED:
        raise ApplicationError(
            "The listing is settled already: nothing was paid a second time.",
            code="already_settled",
            field="state",
        )
    transition_checked(locked, ListingState.SETTLED)
    manifest_checked(locked)
    spec = DealSpec.from_json(locked.deal_version.spec)
    auctions = {auction.tranche: auction for auction in locked.auctions.order_by("seniority")}
    payments = _payments(locked, list(auctions.values()))
    closing = _closing_balance(locked, spec, auctions, payments)
    batch = f"settle/{locked.pk}"
    movements = _cash(locked, spec, payments, closing) + _units(locked, spec, auctions, payments)
    transfers_book(batch=batch, movements=movements)
    now = timezone.now()
    Trade.objects.bulk_create(
        Trade(
            allocation=payment.allocation,
            organisation_id=payment.allocation.organisation_id,
            amount=payment.allocation.amount,
            price=payment.price,
            cash=payment.cash,
            batch=batch,
            settled_at=now,
        )
        for payment in payments
    )
    locked.state, locked.settled_at, locked.sources_and_uses = ListingState.SETTLED, now, closing
    locked.save(update_fields=["state", "settled_at", "sources_and_uses"])
    stated.settle(str(locked.pk))
    audit_record(
        actor=user,
        verb="listing_settle",
        subject=f"listing:{locked.pk}",
        payload={"trades": len(payments), "cash": sum(payment.cash for payment in payments)},
    )
    return locked


def _settlement_price(listing: Listing, auction: Auction) -> Decimal:
    """At the clearing yield; a class that did not clear is retained at its guide yield."""
    ticks = auction.guide_ticks if auction.clearing_ticks is None else auction.clearing_ticks
    return price_at(listing.price_report, auction.tranche, ticks)


def _payments(listing: Listing, auctions: Sequence[Auction]) -> list[Payment]:
    payments = []
    for auction in auctions:
        at = _settlement_price(listing, auction)
        for allocation in auction.allocations.select_related("bid__hold", "organisation").order_by("id"):
            payments.append(Payment(allocation, at, cash_cents(allocation.amount, at)))
    return payments


def _closing_balance(
    listing: Listing, spec: DealSpec, auctions: dict[str, Auction], payments: Sequence[Payment]
) -> dict[str, Any]:
    """Sources and uses: notes sold at what was paid, notes retained at the same price in kind, residual as balance.

    The pool is bought at par; where the notes raise more than is used, the price is what they leave.
    """
    proceeds = dict.fromkeys(spec.class_names, 0)
    for payment in payments:
        proceeds[payment.allocation.auction.tranche] += payment.cash
    for tranche in spec.tranches:
        if tranche.name in auctions:
            auction = auctions[tranche.name]
            retained = (tranche.balance or 0) - (auction.allotted or 0)
            proceeds[tranche.name] += cash_cents(retained, _settlement_price(listing, auction))
    pool = listing.deal.pool.balance
    residual = balancing_residual(spec, pool, proceeds)
    return sources_and_uses(spec, pool, proceeds, max(0, residual), purchase_price=pool - min(0, residual))


def _deal_account(deal: Deal, kind: AccountKind, asset: str, owner: Organisation | None = None) -> Account:
    return account_open(kind=kind, asset=asset, owner=owner, deal=deal)


def _cash(listing: Listing, spec: DealSpec, payments: Sequence[Payment], closing: dict[str, Any]) -> list[Movement]:
    """Investors to the deal; the deal to reserve, expenses and originator. Retained notes are paid in kind."""
    deal, currency, name = listing.deal, spec.currency, f"settle/{listing.pk}"
    main = _deal_account(deal, AccountKind.DEAL, currency)
    originator = cash_account(listing.organisation, currency)
    moves = [post(f"post/{paid.allocation.bid_id}", paid.allocation.bid.hold, paid.cash) for paid in payments]
    reserve, expenses = int(closing["uses"]["reserve_deposit"]), int(closing["uses"]["expenses"])
    net = sum(paid.cash for paid in payments) - reserve - expenses
    if net < 0:
        moves.append(direct(f"{name}/funding", originator, main, -net, "originator funds reserve and expenses"))
    if reserve:
        moves.append(direct(f"{name}/reserve", main, _deal_account(deal, AccountKind.RESERVE, currency), reserve))
    if expenses:
        moves.append(direct(f"{name}/expenses", main, _deal_account(deal, AccountKind.EXPENSES, currency), expenses))
    if net > 0:
        moves.append(direct(f"{name}/purchase", main, originator, net, "cash part of the pool's purchase price"))
    return moves


def _units(
    listing: Listing, spec: DealSpec, auctions: dict[str, Auction], payments: Sequence[Payment]
) -> list[Movement]:
    """Class units (cents of original balance) to the holders; retention and the residual to the originator."""
    deal, name = listing.deal, f"settle/{listing.pk}"
    moves = []

    def issue(key: str, tranche: str, holder: Organisation, amount: int, memo: str) -> Movement:
        asset = f"{deal.pk}/{tranche}"
        source = _deal_account(deal, AccountKind.WORLD, asset)
        return direct(key, source, _deal_account(deal, AccountKind.HOLDER, asset, holder), amount, memo)

    for paid in payments:
        award = paid.allocation
        moves.append(
            issue(f"units/{award.bid_id}", award.auction.tranche, award.organisation, award.amount, "allocated")
        )
    for tranche in spec.tranches:
        auction = auctions.get(tranche.name)
        retained = (tranche.balance or 0) - (auction.allotted or 0 if auction else 0)
        if retained:
            key = f"{name}/retained/{tranche.name}"
            moves.append(issue(key, tranche.name, listing.organisation, retained, "retained by the originator"))
    key = f"{name}/residual"
    moves.append(issue(key, spec.residual.name, listing.organisation, RESIDUAL_UNITS, "residual certificate, retained"))
    return moves
