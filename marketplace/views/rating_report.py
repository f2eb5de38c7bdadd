"""The rating report of a listing, for reading and printing, and as a file."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe

from accounts.pages import PageRequest, page
from marketplace.disclosure import rating_reports_disclosed, realised_disclosed
from marketplace.models import Listing
from marketplace.rating_document import Subject, rating_document
from marketplace.rating_drawings import as_svg
from marketplace.rating_pdf import rating_pdf
from marketplace.report_blocks import Plot, RatingDocument
from marketplace.selectors import listing_visible, listings_visible
from pricing.sensitivity_runs import sensitivities_done
from rating.selectors import assumption_set
from rating.validation import validation_report


def _document(request: PageRequest, pk: UUID) -> tuple[Listing, RatingDocument]:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool__tape", "rating_report__rating_run", "price_report"
    )
    listing = rows.get(pk=pk)
    report = listing.rating_report
    found = assumption_set(
        request.user, rating_reports_disclosed(request.user), report.rating_run.credit_model_id
    )
    subject = Subject(
        deal=listing.deal.name,
        originator=listing.organisation.name,
        made=f"{report.created_at:%Y-%m-%d %H:%M}",
        result=report.result,
        manifest=report.manifest,
        listing_manifest=listing.manifest,
        pool=listing.deal.pool,
        model=found.model,
        model_digest=found.digest,
        realised=realised_disclosed(request.user, listing),
        sensitivities=sensitivities_done(report),
    )
    return listing, rating_document(subject, validation_report())


@page()
def report(request: PageRequest, pk: UUID) -> HttpResponse:
    """The report on one page, drawings as SVG: nothing on it needs a script."""
    listing, document = _document(request, pk)
    sections = [
        (section.title, [(block, _drawing(block) if isinstance(block, Plot) else "") for block in section.blocks])
        for section in document.sections
    ]
    context = {"listing": listing, "document": document, "sections": sections, "section": "ratings"}
    return render(request, "marketplace/rating_report.html", context)


def _drawing(block: Plot) -> str:
    # Our own drawing; its texts are escaped by the renderer.
    return mark_safe(as_svg(block.name, block.data, block.title))  # noqa: S308


@page()
def report_pdf(request: PageRequest, pk: UUID) -> HttpResponse:
    """The same report as PDF."""
    _, document = _document(request, pk)
    response = HttpResponse(rating_pdf(document), content_type="application/pdf")
    response.headers["Content-Disposition"] = f'inline; filename="rating-{str(pk)[:8]}.pdf"'
    return response
