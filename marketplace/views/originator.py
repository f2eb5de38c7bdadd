"""The originator's own pools and deals, from the pool to the listing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Prefetch
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from accounts.models import Role
from accounts.pages import PageRequest, attempt, form_for, page
from marketplace.disclosure import deal_versions_disclosed
from marketplace.exhibits import class_rows
from marketplace.forms import ListingForm
from marketplace.models import Listing, ListingState
from marketplace.selectors import listings_visible
from marketplace.services import listing_create
from pooling.selectors import deals_visible, pools_visible, visible
from pricing.selectors import price_reports_visible
from rating.selectors import rating_progress, rating_runs_visible


@page(Role.ORIGINATOR)
def deals(request: PageRequest) -> HttpResponse:
    """Every pool of the originator with its deal and listing, newest first."""
    newest = Prefetch("deal__listings", Listing.objects.order_by("-created_at", "id"), to_attr="newest_listings")
    rows = pools_visible(request.user).select_related("tape", "deal").prefetch_related(newest).order_by("-created_at")
    return render(request, "marketplace/deals.html", {"pools": rows, "section": "deals"})


@page(Role.ORIGINATOR)
def deal(request: PageRequest, pk: UUID) -> HttpResponse:
    """One own deal: versions, ratings asked for, the latest figures, and the way to the market."""
    found = visible(deals_visible(request.user).select_related("pool__tape"), pk, "deal")
    reports = price_reports_visible(request.user).filter(deal_version__deal=found)
    latest = reports.select_related("rating_report", "deal_version").order_by("-deal_version__number").first()
    runs = (
        rating_runs_visible(request.user)
        .filter(deal=found)
        .select_related("simulation", "structuring", "report__deal_version")
        .order_by("-created_at")
    )
    context: dict[str, Any] = {
        "deal": found,
        "pool": found.pool,
        "versions": found.versions.order_by("number"),
        "latest": latest,
        "runs": [(run, rating_progress(run)) for run in runs],
        "listing": listings_visible(request.user).filter(deal=found).exclude(state=ListingState.CANCELLED).first(),
        "section": "deals",
    }
    if latest is not None:
        result = latest.rating_report.result
        rows = class_rows(result, latest.result)
        context |= {"rating": result, "classes": rows, "realised": latest.rating_report.realised}
    return render(request, "marketplace/deal.html", context)


@page(Role.ORIGINATOR)
def list_deal(request: PageRequest, pk: UUID) -> HttpResponse:
    """Make a draft listing of a rated deal."""
    found = visible(deals_visible(request.user).select_related("pool"), pk, "deal")
    form = form_for(request, ListingForm)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        made = attempt(
            form,
            lambda: listing_create(
                user=request.user,
                deal=found,
                reserve_spread_bp=values["reserve_spread_bp"],
                lot=values["lot"],
                idempotency_key=values["key"],
            ),
        )
        if made is not None:
            return redirect("listing", made.pk)
    context = {"form": form, "deal": found, "section": "deals"}
    return render(request, "marketplace/list_deal.html", context, status=422 if form.errors else 200)


@page()
def deal_version(request: PageRequest, pk: UUID) -> HttpResponse:
    """One immutable specification as JSON."""
    found = visible(deal_versions_disclosed(request.user), pk, "deal version")
    response = JsonResponse(found.spec, json_dumps_params={"indent": 1, "sort_keys": True})
    response.headers["Content-Disposition"] = f'attachment; filename="spec-{found.spec_hash[:10]}.json"'
    return response
