"""The investor's pages: bid ticket, orders, positions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role
from accounts.pages import ActionForm, PageRequest, attempt, form_for, page
from investors.selectors import cash_position, mandates_visible, organisation_of, positions_visible
from marketplace.exhibits import ClassRow, class_rows, mandate_tests, provenance_of, ticket
from marketplace.forms import BidForm
from marketplace.models import Auction, BidState, Listing, ListingState
from marketplace.selectors import (
    allocations_visible,
    auction_visible,
    auctions_visible,
    bid_visible,
    bids_visible,
    trades_visible,
)
from marketplace.services import bid_place, bid_withdraw


def _auction(request: PageRequest, pk: UUID) -> Auction:
    auction_visible(request.user, pk)
    rows = auctions_visible(request.user).select_related(
        "listing__deal", "listing__organisation", "listing__rating_report", "listing__price_report"
    )
    return rows.get(pk=pk)


def _class_of(auction: Auction) -> ClassRow:
    listing = auction.listing
    rows = class_rows(listing.rating_report.result, listing.price_report.result, [auction])
    return next(row for row in rows if row.name == auction.tranche)


@page(Role.INVESTOR)
def bid(request: PageRequest, pk: UUID) -> HttpResponse:
    """The bid ticket of one class. `check` shows price and hold without placing anything."""
    auction = _auction(request, pk)
    form = form_for(request, BidForm)
    preview = None
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        if "check" in request.POST:
            preview = attempt(form, lambda: ticket(auction, values["yield_ticks"], values["amount"]))
        else:
            placed = attempt(
                form,
                lambda: bid_place(
                    user=request.user,
                    auction=auction,
                    yield_ticks=values["yield_ticks"],
                    amount=values["amount"],
                    idempotency_key=values["key"],
                ),
            )
            if placed is not None:
                messages.success(request, f"Your bid for class {auction.tranche} is placed and sealed.")
                return redirect("orders")
    organisation = organisation_of(request.user)
    if organisation is None:
        raise NotFound("account")
    context = {
        "form": form,
        "auction": auction,
        "listing": auction.listing,
        "row": _class_of(auction),
        "preview": preview,
        "is_open": auction.listing.state == ListingState.OPEN,
        "cash": cash_position(organisation),
        "mandates": mandate_tests(mandates_visible(request.user).filter(active=True), auction),
        "own": bids_visible(request.user).filter(auction=auction).select_related("hold"),
        "section": "market",
        **provenance_of(auction.listing),
    }
    return render(request, "marketplace/bid.html", context, status=422 if form.errors else 200)


@page(Role.INVESTOR)
def bid_preview(request: PageRequest, pk: UUID) -> HttpResponse:
    """Price and hold of what is typed so far, for the ticket while it is filled in."""
    auction, form = _auction(request, pk), BidForm(request.POST)
    context: dict[str, Any] = {}
    if form.is_valid():
        try:
            context["preview"] = ticket(auction, form.cleaned_data["yield_ticks"], form.cleaned_data["amount"])
        except ApplicationError as error:
            context["refusal"] = error.message
    return render(request, "marketplace/_preview.html", context)


@page(Role.INVESTOR)
def orders(request: PageRequest) -> HttpResponse:
    """The institution's own bids, newest first, with what they were awarded."""
    rows = (
        bids_visible(request.user)
        .select_related("auction__listing__deal", "hold", "allocation__trade")
        .order_by("-created_at", "-id")
    )
    return render(request, "marketplace/orders.html", {"bids": rows, "section": "orders"})


@page(Role.INVESTOR)
def withdraw(request: PageRequest, pk: UUID) -> HttpResponse:
    """Ask once more, then take back a live bid."""
    found = bid_visible(request.user, pk)
    form = form_for(request, ActionForm)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        done = attempt(form, lambda: bid_withdraw(user=request.user, bid=found, idempotency_key=values["key"]))
        if done is not None:
            messages.success(request, "The bid is withdrawn and its hold has returned.")
            return redirect("orders")
    context = {
        "form": form,
        "title": f"Withdraw the bid for class {found.auction.tranche}",
        "consequence": "The cash it holds returns at once. A withdrawn bid cannot be brought back; place a new one.",
        "facts": [
            ("Deal", found.auction.listing.deal.name),
            ("Yield, % a year", f"{found.yield_ticks / 1000:.3f}"),
            ("Amount, USD", f"{found.amount / 100:,.2f}"),
            ("Cash held, USD", f"{found.hold.amount / 100:,.2f}"),
        ],
        "verb": "Withdraw the bid",
        "danger": True,
        "back": reverse("orders"),
        "section": "orders",
    }
    status = 200 if found.state == BidState.LIVE and not form.errors else 422
    return render(request, "components/confirm.html", context, status=status)


@page(Role.INVESTOR)
def positions(request: PageRequest) -> HttpResponse:
    """What the institution holds, what it was awarded and not yet paid, and the trades behind it."""
    settled = Prefetch("deal__listings", Listing.objects.filter(state=ListingState.SETTLED), to_attr="settled_listings")
    accounts = positions_visible(request.user).select_related("deal").prefetch_related(settled)
    held = [(account, account.asset.partition("/")[2]) for account in accounts]
    trades = trades_visible(request.user).select_related("allocation__auction__listing__deal")
    awaiting = allocations_visible(request.user).filter(trade__isnull=True, auction__listing__state=ListingState.CLOSED)
    context = {
        "positions": held,
        "trades": trades.order_by("-settled_at", "id"),
        "awaiting": awaiting.select_related("auction__listing__deal"),
        "section": "positions",
    }
    return render(request, "marketplace/positions.html", context)
