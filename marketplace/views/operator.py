"""The operator's desk, and the steps in the life of a listing with their confirmation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.models import Role
from accounts.pages import ActionForm, PageRequest, attempt, form_for, page
from marketplace.models import Listing
from marketplace.selectors import auction_result, listing_visible, listings_visible
from marketplace.services import auction_close, listing_cancel, listing_open, listing_settle


@dataclass(frozen=True)
class Move:
    """A step: its service, who is shown it, the words of its page, and of the message when it is done."""

    service: Callable[..., Listing]
    roles: tuple[str, ...]
    title: str
    verb: str
    consequence: str
    done: str
    danger: bool = False


MOVES = {
    "open": Move(
        listing_open,
        (Role.ORIGINATOR, Role.OPERATOR),
        "Open for bids",
        "Open the listing",
        "Investors see the deal and its loans from now on and may bid. The frozen versions can no longer be changed,"
        " and only an operator can withdraw the offer.",
        "The listing is open for bids.",
    ),
    "close": Move(
        auction_close,
        (Role.OPERATOR,),
        "Close the auction",
        "Close and clear",
        "Bidding ends and every class is cleared at one yield in one step. Holds of bids that are not filled return.",
        "The auction is closed and cleared.",
    ),
    "settle": Move(
        listing_settle,
        (Role.OPERATOR,),
        "Settle",
        "Settle all classes",
        "Units are delivered against cash for every allocation, all or nothing.",
        "The listing is settled.",
    ),
    "cancel": Move(
        listing_cancel,
        (Role.ORIGINATOR, Role.OPERATOR),
        "Cancel the listing",
        "Cancel the listing",
        "The offer ends and every hold returns. The deal can be listed again afterwards.",
        "The listing is cancelled and every hold has returned.",
        danger=True,
    ),
}


@page(Role.OPERATOR)
def auctions(request: PageRequest) -> HttpResponse:
    """Listings with the number of bids by class: before the close an operator may know no more."""
    rows = listings_visible(request.user).select_related("deal__pool", "organisation").prefetch_related("auctions")
    desk = [
        (listing, [(auction, auction_result(request.user, auction)) for auction in listing.auctions.all()])
        for listing in rows
    ]
    return render(request, "marketplace/auctions.html", {"desk": desk, "section": "auctions"})


@page(Role.ORIGINATOR, Role.OPERATOR)
def listing_move(request: PageRequest, pk: UUID, move: str) -> HttpResponse:
    """Show what a step means, then take it."""
    step = MOVES[move]
    if request.user.role not in step.roles:
        raise Http404
    found = listing_visible(request.user, pk)
    form = form_for(request, ActionForm)
    if request.method == "POST" and form.is_valid():
        key = form.cleaned_data["key"]
        done = attempt(form, lambda: step.service(user=request.user, listing=found, idempotency_key=key))
        if done is not None:
            messages.success(request, step.done)
            return redirect("listing", found.pk)
    context = {
        "form": form,
        "title": step.title,
        "verb": step.verb,
        "consequence": step.consequence,
        "danger": step.danger,
        "facts": _facts(request, found),
        "back": reverse("listing", args=[found.pk]),
        "section": "auctions" if request.user.role == Role.OPERATOR else "deals",
    }
    return render(request, "components/confirm.html", context, status=422 if form.errors else 200)


def _facts(request: PageRequest, found: Listing) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("Deal", found.deal.name),
        ("Originator", found.organisation.name),
        ("State", found.state),
    ]
    if request.user.role == Role.OPERATOR:
        counts = [(a.tranche, auction_result(request.user, a).bids) for a in found.auctions.order_by("seniority")]
        facts.append(("Bids", ", ".join(f"{name} {count or 0}" for name, count in counts)))
    return facts
