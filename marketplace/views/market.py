"""The market table: what is on offer to this viewer."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from accounts.pages import PageRequest, page
from marketplace.exhibits import class_rows
from marketplace.models import ListingState
from marketplace.selectors import ListingFilters, listings_filtered, listings_visible

ROWS = 200
COLUMNS = (
    ("deal", "Deal", "", False),
    ("originator", "Originator", "", False),
    ("balance", "Pool balance", "USD m", True),
    ("loans", "Loans", "", True),
    ("wac", "Coupon", "average, %", True),
    ("", "Classes and guide yields", "indicative rating, % a year", False),
    ("state", "State", "", False),
    ("opened", "Opened", "UTC", True),
)


@page()
def market(request: PageRequest) -> HttpResponse:
    """Listings visible to the viewer, filtered and sorted by what the address says."""
    filters = ListingFilters(
        name=request.GET.get("name", "").strip(),
        state=request.GET.get("state", ""),
        order=request.GET.get("order", ""),
    )
    rows = listings_filtered(listings_visible(request.user), filters)
    rows = rows.select_related("deal__pool", "organisation", "rating_report").prefetch_related("auctions")
    listings = [
        (listing, class_rows(listing.rating_report.result, None, listing.auctions.all())) for listing in rows[:ROWS]
    ]
    context = {
        "listings": listings,
        "filters": filters,
        "states": [state.value for state in ListingState],
        "columns": [(*column, _next_order(column[0], filters["order"])) for column in COLUMNS],
        "section": "market",
    }
    partial = request.headers.get("HX-Request") == "true"
    return render(request, "marketplace/_listings.html" if partial else "marketplace/market.html", context)


def _next_order(column: str, current: str) -> str:
    """What a click on a heading asks for: rising first, then falling."""
    return f"-{column}" if current == column else column
