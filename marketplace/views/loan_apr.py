"""Required loan rates of a listed pool: the stack by grade and term, and the loans that bear more and less than it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from accounts.errors import NotFound
from accounts.pages import PageRequest, page
from marketplace.disclosure import loans_disclosed
from marketplace.exhibits import provenance_of
from marketplace.loan_aprs import LAYER_WORDS, LoanAprForm, answer, extremes, loan_aprs_csv, stack_rows
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible
from pooling.engine.loans import LoanArrays
from pricing.engine.snapshot import MarketSnapshot
from pricing.loan_pricing import LoanAprs
from rating.runs import loans_of, model_of
from runs.registry import NotHere

AWAY = "The loans of this pool cannot be read at the moment; try again later."


@dataclass(frozen=True)
class _Found:
    listing: Listing
    loans: LoanArrays
    form: LoanAprForm
    aprs: LoanAprs | None
    snapshot: MarketSnapshot


def _found(request: PageRequest, pk: UUID) -> _Found:
    """Raises NotFound where the loans are not disclosed to the viewer; NotHere where they cannot be read here."""
    listing_visible(request.user, pk)
    listing = (
        listings_visible(request.user)
        .select_related("organisation", "deal__pool", "rating_report__rating_run", "price_report__snapshot")
        .get(pk=pk)
    )
    pool = listing.deal.pool
    if not loans_disclosed(request.user).filter(pool=pool).exists():
        raise NotFound("loans")
    loans = loans_of(pool.loans_path, pool.loans_digest)
    snapshot = MarketSnapshot.from_json(listing.price_report.snapshot.payload)
    model = model_of(listing.rating_report.rating_run.credit_model_id)
    form, aprs = answer(request.GET.dict(), loans=loans, model=model, snapshot=snapshot)
    return _Found(listing, loans, form, aprs, snapshot)


@page()
def loan_aprs(request: PageRequest, pk: UUID) -> HttpResponse:
    """The stack by grade and term; the cheapest and the dearest loans. All in the address."""
    try:
        found = _found(request, pk)
    except NotHere:
        return HttpResponse(AWAY, status=503)
    context = {
        "listing": found.listing,
        "form": found.form,
        "refusal": found.form.refusal,
        "section": "market",
        **provenance_of(found.listing),
    }
    if found.aprs is not None:
        rows = stack_rows(found.loans, found.aprs)
        cheapest, dearest = extremes(found.loans, found.aprs)
        context |= {
            "rows": rows,
            "layers": list(LAYER_WORDS.values()),
            "extremes": [
                ("Cheapest against it", cheapest),
                ("Dearest against it", dearest),
            ],
            "above": float((found.aprs.gap >= 0).mean()),
            "required": found.aprs.stack.required,
            "snapshot_date": found.snapshot.as_of,
        }
    return render(request, "marketplace/loan_aprs.html", context, status=400 if found.aprs is None else 200)


@page()
def loan_aprs_file(request: PageRequest, pk: UUID) -> HttpResponse:
    """Every loan with its stack; fractions."""
    try:
        found = _found(request, pk)
    except NotHere:
        return HttpResponse(AWAY, status=503)
    if found.aprs is None:
        return HttpResponse(found.form.refusal, status=400, content_type="text/plain")
    response = HttpResponse(loan_aprs_csv(found.loans, found.aprs), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="loan-rates-{str(pk)[:8]}.csv"'
    return response
