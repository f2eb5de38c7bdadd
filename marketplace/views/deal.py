"""The deal page: everything an investor reads about one listing, and its files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render

from accounts.models import Role
from accounts.pages import PageRequest, page
from marketplace.certificates import certificate_of
from marketplace.disclosure import loans_disclosed, realised_disclosed
from marketplace.exhibits import class_rows, loan_choices, provenance_of
from marketplace.forms import LoanFilterForm
from marketplace.models import Listing
from marketplace.selectors import CLEARED, auction_result, listing_visible, listings_visible
from pooling.models import Loan
from pooling.selectors import loans_filtered
from pooling.tapes.issues import defused

LOANS_SHOWN = 25
# What is disclosed of each loan: nothing that names or places a person more closely than a state.
LOAN_COLUMNS = (
    "loan_id", "cutoff_balance", "rate", "term", "age", "remaining_term", "grade", "score", "state", "purpose",
    "income_band", "issue_month",
)  # fmt: skip


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool", "deal_version", "rating_report__rating_run", "price_report"
    )
    return rows.get(pk=pk)


@page()
def listing(request: PageRequest, pk: UUID) -> HttpResponse:
    """One listing: structure, classes, losses, balances, auction, collateral, loans, manifest."""
    found = _listing(request, pk)
    auctions = list(found.auctions.order_by("seniority"))
    rating = found.rating_report.result
    context = {
        "listing": found,
        "pool": found.deal.pool,
        "spec": found.deal_version.spec,
        "classes": class_rows(rating, found.price_report.result, auctions),
        "rating": rating,
        "pricing": found.price_report.result,
        "results": [(auction, auction_result(request.user, auction)) for auction in auctions],
        "cleared": found.state in CLEARED,
        "realised": realised_disclosed(request.user, found),
        "may_bid": request.user.role == Role.INVESTOR and found.state == "open",
        "section": "market",
        "balance_sides": [
            (side, items, sum(items.values()))
            for side, items in (found.sources_and_uses or {}).items()
            if side in ("sources", "uses")
        ],
        **provenance_of(found),
        **_loan_table(request, found),
    }
    return render(request, "marketplace/listing.html", context)


@page()
def loans(request: PageRequest, pk: UUID) -> HttpResponse:
    """The loan table alone: for htmx in the deal page, else as a page of its own."""
    found = _listing(request, pk)
    context = {"listing": found, "section": "market", **provenance_of(found), **_loan_table(request, found)}
    partial = request.headers.get("HX-Request") == "true"
    return render(request, "marketplace/_loans.html" if partial else "marketplace/loans.html", context)


def _loan_table(request: PageRequest, found: Listing) -> dict[str, Any]:
    """One screen of disclosed loans by keyset: those after, or before, a row of the register."""
    form = LoanFilterForm(request.GET, loan_choices(found.deal.pool))
    rows = loans_disclosed(request.user).filter(pool=found.deal.pool)
    rows = loans_filtered(rows, form.filters()) if form.is_valid() else rows.none()
    after, before = (request.GET.get(name, "") for name in ("after", "before"))
    if before.isdecimal():
        screen = list(rows.filter(pk__lt=int(before[:18])).order_by("-pk")[: LOANS_SHOWN + 1])
        earlier, later = len(screen) > LOANS_SHOWN, True
        screen = screen[:LOANS_SHOWN][::-1]
    else:
        start = int(after[:18]) if after.isdecimal() else 0
        screen = list(rows.filter(pk__gt=start).order_by("pk")[: LOANS_SHOWN + 1])
        earlier, later = start > 0, len(screen) > LOANS_SHOWN
        screen = screen[:LOANS_SHOWN]
    return {
        "loan_form": form,
        "loans": screen,
        "loan_count": rows.count(),
        "loans_before": screen[0].pk if screen and earlier else None,
        "loans_after": screen[-1].pk if screen and later else None,
    }


@page()
def loans_csv(request: PageRequest, pk: UUID) -> StreamingHttpResponse:
    """Every disclosed loan that passes the filters, row by row. Balances in currency units, rates as fractions."""
    found = _listing(request, pk)
    form = LoanFilterForm(request.GET, loan_choices(found.deal.pool))
    rows = loans_disclosed(request.user).filter(pool=found.deal.pool)
    rows = loans_filtered(rows, form.filters()) if form.is_valid() else rows.none()
    response = StreamingHttpResponse(_csv_lines(rows.order_by("pk").iterator(2000)), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="loans-{str(found.pk)[:8]}.csv"'
    return response


class _Line:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_lines(rows: Iterator[Loan]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(LOAN_COLUMNS)
    for loan in rows:
        yield writer.writerow([_cell(loan, name) for name in LOAN_COLUMNS])


def _cell(loan: Loan, name: str) -> str:
    value = getattr(loan, name)
    if value is None:
        return ""
    if name == "cutoff_balance":
        return f"{value // 100}.{value % 100:02d}"
    return defused(str(value)) if isinstance(value, str) else str(value)


@page()
def listing_spec(request: PageRequest, pk: UUID) -> HttpResponse:
    """The frozen deal specification, byte for byte what its hash covers once written canonically."""
    found = _listing(request, pk)
    return _download(found.deal_version.spec, f"spec-{found.deal_version.spec_hash[:10]}.json")


@page()
def listing_manifest(request: PageRequest, pk: UUID) -> HttpResponse:
    """Every hash an investor checks."""
    return _download(_listing(request, pk).manifest, f"manifest-{str(pk)[:8]}.json")


@page()
def listing_certificate(request: PageRequest, pk: UUID) -> HttpResponse:
    """The price certificate: prices, what made them, the command that makes them again, and a hash over all of it."""
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related("deal", "price_report__snapshot", "rating_report")
    return _download(certificate_of(rows.get(pk=pk)), f"certificate-{str(pk)[:8]}.json")


def _download(content: Any, filename: str) -> JsonResponse:
    response = JsonResponse(content, json_dumps_params={"indent": 1, "sort_keys": True})
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
