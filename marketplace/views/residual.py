"""The residual certificate of a listed deal: values side by side, returns, monthly roll-forward."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import render

from accounts.pages import PageRequest, page
from marketplace.exhibits import provenance_of
from marketplace.models import Listing
from marketplace.residual_exhibits import Exhibit, PriceForm, at_price, exhibit_of, residual_csv, value_at
from marketplace.selectors import listing_visible, listings_visible

YIELDS = (0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.25)


def _found(request: PageRequest, pk: UUID) -> tuple[Listing, Exhibit | None]:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool", "rating_report", "price_report__snapshot"
    )
    listing = rows.get(pk=pk)
    return listing, exhibit_of(listing.rating_report.result, listing.price_report.result)


@page()
def residual(request: PageRequest, pk: UUID) -> HttpResponse:
    """Three values and the one under the price of risk; the yield at the price of the address."""
    listing, exhibit = _found(request, pk)
    form = PriceForm(request.GET, label_suffix="", auto_id="residual_%s")
    context = {"listing": listing, "exhibit": exhibit, "form": form, "section": "market", **provenance_of(listing)}
    status = 200
    if exhibit is not None:
        if form.is_valid():
            context["asked"] = at_price(exhibit, form.cleaned_data["price"] or exhibit.irr_price)
        else:
            context["refusal"], status = f"Price paid: {form.errors['price'][0]}", 400
        context["ladder"] = [(rate, value_at(exhibit, rate)) for rate in YIELDS]
    return render(request, "marketplace/residual.html", context, status=status)


@page()
def residual_file(request: PageRequest, pk: UUID) -> HttpResponse:
    """The roll-forward as CSV."""
    _, exhibit = _found(request, pk)
    if exhibit is None:
        raise Http404
    response = HttpResponse(residual_csv(exhibit), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="residual-{str(pk)[:8]}.csv"'
    return response
