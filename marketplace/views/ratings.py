"""The rating dashboard: rated deals that the viewer may see, and one of them in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render

from accounts.pages import PageRequest, page
from marketplace.disclosure import realised_disclosed
from marketplace.exhibits import class_rows, provenance_of
from marketplace.model_exhibits import shown
from marketplace.rating_tables import TABLES, rating_csv
from marketplace.selectors import listing_visible, listings_visible

ROWS = 200


@page()
def ratings(request: PageRequest) -> HttpResponse:
    """Every visible listing with its expected loss, tail, and indicative grades."""
    rows = listings_visible(request.user).select_related("deal__pool", "organisation", "rating_report")[:ROWS]
    listings = [
        (
            listing,
            listing.rating_report.result["simulation"],
            class_rows(listing.rating_report.result, None),
            realised_disclosed(request.user, listing),
        )
        for listing in rows
    ]
    return render(request, "marketplace/ratings.html", {"listings": listings, "section": "ratings"})


@page()
def rating(request: PageRequest, pk: UUID) -> HttpResponse:
    """The rating of one listing: losses, classes with intervals, convergence, assumptions and where they come from."""
    listing_visible(request.user, pk)
    found = (
        listings_visible(request.user)
        .select_related("deal__pool", "organisation", "rating_report__rating_run__credit_model", "price_report")
        .get(pk=pk)
    )
    result = found.rating_report.result
    model = found.rating_report.rating_run.credit_model
    context = {
        "listing": found,
        "pool": found.deal.pool,
        "rating": result,
        "classes": class_rows(result, found.price_report.result),
        "quantiles": [(float(p), loss) for p, loss in sorted(result["simulation"]["loss_quantiles"].items())],
        "control_quantiles": sorted(
            (float(p), pair) for p, pair in ((result.get("control") or {}).get("quantiles") or {}).items()
        ),
        "shortfalls": sorted(
            (float(p), value) for p, value in result["simulation"].get("expected_shortfall", {}).items()
        ),
        "realised": realised_disclosed(request.user, found),
        "model": model,
        "assumptions": assumptions(model.payload),
        "passes": passes(result),
        "section": "ratings",
        **provenance_of(found),
    }
    return render(request, "marketplace/rating.html", context)


def passes(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a pass and class of the loop that solved the deal; none where an earlier version did not keep them."""
    return [
        {
            "pass": number,
            "name": name,
            "coupon": coupon,
            "balance": step["balances"][name],
            "grade": step["grades"].get(name),
            "life": step["lives"].get(name),
            "required": step["required"][name],
        }
        for number, step in enumerate(result["structure"].get("steps", ()), start=1)
        for name, coupon in step["coupons"].items()
    ]


@page()
def rating_table(request: PageRequest, pk: UUID) -> HttpResponse:
    """What a chart of the rating page is drawn from: `table` is losses, months, balances or classes."""
    listing_visible(request.user, pk)
    table = request.GET.get("table", "losses")
    if table not in TABLES:
        raise Http404
    found = listings_visible(request.user).select_related("rating_report").get(pk=pk)
    response = HttpResponse(rating_csv(found.rating_report.result, table), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="rating-{table}-{str(pk)[:8]}.csv"'
    return response


def assumptions(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a credit model's provenance: name, value as text, kind (source, assumption, …), and its grounds."""
    rows = []
    for name, origin in payload.get("provenance", {}).items():
        stated = origin if isinstance(origin, Mapping) else {"value": origin}
        grounds = stated.get("text") or "; ".join(
            f"{key.replace('_', ' ')}: {shown(value)}" for key, value in stated.items() if key not in ("value", "kind")
        )
        rows.append(
            {"name": name, "value": shown(stated.get("value")), "kind": stated.get("kind", ""), "text": grounds}
        )
    return rows
