"""The prices of a listing: three views of each, their reconciliation, and what a class earns for whom."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render

from accounts.errors import ApplicationError
from accounts.models import Role
from accounts.pages import PageRequest, page
from investors.selectors import mandates_visible
from investors.services import terms_read
from marketplace.exhibits import provenance_of
from marketplace.models import Listing
from marketplace.price_exhibits import (
    VIEW_WORDS,
    asked,
    class_prices,
    conservation_rows,
    investor_rows,
    loan_rows,
    loans_beside_pool,
    mandate_rows,
    prices_csv,
    residual_rows,
    rung_of,
    step_rows,
)
from marketplace.selectors import listing_visible, listings_visible


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool", "rating_report", "price_report__snapshot"
    )
    return rows.get(pk=pk)


@page()
def prices(request: PageRequest, pk: UUID) -> HttpResponse:
    """Classes by view, the bridge between views, returns by investor, conservation. Address: `theta`, `investor`."""
    found = _listing(request, pk)
    priced = found.price_report.result
    views = priced.get("views")
    context: dict[str, Any] = {"listing": found, "section": "market", "views": views, **provenance_of(found)}
    if views is None:
        return render(request, "marketplace/prices.html", context)
    try:
        question = asked(request.GET.dict(), views)
    except ApplicationError as error:
        return render(request, "marketplace/prices.html", context | {"refusal": error.message}, status=400)
    rung = rung_of(views, question.theta)
    classes = class_prices(views, rung)
    payees, sources = conservation_rows(rung)
    snapshot = found.price_report.snapshot
    context |= {
        "asked": question,
        "rung": rung,
        "thetas": [each["theta"] for each in views["ladder"]],
        "classes": classes,
        "view_words": VIEW_WORDS,
        "steps": step_rows(classes),
        "investors": investor_rows(views, classes, priced),
        "loan_rows": loan_rows(views, question.theta),
        "beside": loans_beside_pool(views, question.theta),
        "payees": payees,
        "sources": sources,
        "residual": priced["residual"],
        "residual_rows": residual_rows(views),
        "pricing": priced,
        "snapshot": snapshot,
        "staleness": (found.price_report.created_at.date() - snapshot.as_of).days,
        "scenarios": found.rating_report.result["simulation"]["scenarios"],
    }
    if request.user.role == Role.INVESTOR:
        own = [(mandate.name, terms_read(mandate.terms)) for mandate in mandates_visible(request.user)]
        context["mandates"] = mandate_rows(own, classes, priced, question.investor)
    return render(request, "marketplace/prices.html", context)


@page()
def prices_file(request: PageRequest, pk: UUID) -> HttpResponse:
    """The views at every price of risk, as CSV."""
    found = _listing(request, pk)
    views = found.price_report.result.get("views")
    if views is None:
        raise Http404
    response = HttpResponse(prices_csv(views), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="prices-{str(found.pk)[:8]}.csv"'
    return response
