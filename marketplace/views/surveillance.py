"""The surveillance page of a listing: its months beside the prediction, re-ratings, and the servicer's upload."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from accounts.errors import NotFound
from accounts.models import Role
from accounts.pages import ActionForm, PageRequest, attempt, form_for, page
from marketplace.exhibits import provenance_of
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible
from marketplace.surveillance import (
    TABLES,
    exhibits,
    history_steps,
    matrix_rows,
    month_rows,
    performance_disclosed,
    rating_rows,
    reratings,
    roll_rows,
    sources,
    surveillance_csv,
    trigger_rows,
    watched,
)
from pooling.performance import DERIVED, performance_upload
from pooling.tapes.performance import COLUMNS
from pricing.surveillance import rerating_create
from rating.engine.scale import GRADES
from rating.engine.transitions import STATES

MATRICES = {"last": "the last month", "recent": "the last three months", "life": "all months"}
MEASURES = {"loans": "of loans", "balance": "of balance"}


class RerateForm(ActionForm):
    """Nothing to fill in: the last month, on the rating's seed and as many of its scenarios as can be waited for."""


class PerformanceForm(ActionForm):
    file = forms.FileField(
        label="Servicer's tape",
        allow_empty_file=True,  # the reader of tapes says better what an empty file lacks
        help_text=f"CSV, plain or .gz, one row a loan and month, one month or several. Columns: {', '.join(COLUMNS)};"
        " of days_past_due and bucket one. Amounts in the deal's currency.",
    )


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool__tape", "deal__organisation", "price_report",
        "rating_report__rating_run__deal__pool__tape", "rating_report__rating_run__simulation",
        "rating_report__deal_version",
    )  # fmt: skip
    return rows.get(pk=pk)


def _may_rate(request: PageRequest) -> bool:
    return request.user.role in (Role.ORIGINATOR, Role.ANALYST, Role.OPERATOR)


@page()
def surveillance(request: PageRequest, pk: UUID) -> HttpResponse:
    """Actual against expected, roll rates, transitions, speeds, triggers, rating history and watch list. A post rates
    the deal again on its last month."""
    found = _listing(request, pk)
    report, disclosed = found.rating_report, performance_disclosed(request.user, found)
    form = form_for(request, RerateForm)
    if request.method == "POST":
        if not (disclosed and _may_rate(request)):
            raise NotFound("surveillance")
        if form.is_valid():
            key = form.cleaned_data["key"]
            row = attempt(form, lambda: rerating_create(user=request.user, report=report, idempotency_key=key))
            if row is not None:
                messages.success(request, f"Rated again after {row.month} months, on {row.scenarios:,} scenarios.")
                return redirect("surveillance", pk)
    context: dict[str, Any] = {
        "listing": found,
        "rating": report.result,
        "disclosed": disclosed,
        "form": form,
        "may_rate": disclosed and _may_rate(request),
        "may_report": request.user.role in (Role.ORIGINATOR, Role.OPERATOR),
        "section": "ratings",
        **provenance_of(found),
    }
    if disclosed:
        context |= _exhibits(request, found)
    return render(request, "marketplace/surveillance.html", context, status=422 if form.errors else 200)


def _exhibits(request: PageRequest, listing: Listing) -> dict[str, Any]:
    report = listing.rating_report
    found, rows = exhibits(report), reratings(report)
    if found is None:
        return {}
    span, measure = request.GET.get("moves", "recent"), request.GET.get("share", "loans")
    span, measure = span if span in MATRICES else "recent", measure if measure in MEASURES else "loans"
    months = month_rows(found)
    return {
        "found": found,
        "months": months,
        "now": months[-1],
        "rolls": roll_rows(found),
        "states": STATES,
        "span": span,
        "measure": measure,
        "matrices": MATRICES,
        "measures": MEASURES,
        "moved": getattr(found, span),
        "matrix": matrix_rows(getattr(found, span)),
        "triggers": trigger_rows(found),
        "reratings": rows,
        "latest": rows[-1] if rows else None,
        "classes": rating_rows(report, rows),
        "steps": history_steps(report, rows),
        "grades": GRADES,
        "watch": watched(report, found, rows),
        "digest": found.history.digests[-1],
        "source": sources(report),
        "derived": DERIVED in sources(report),
    }


@page()
def surveillance_table(request: PageRequest, pk: UUID) -> HttpResponse:
    """One table of the page as a file: `table` is months, rolls, transitions, triggers or ratings."""
    found, table = _listing(request, pk), request.GET.get("table", "months")
    if table not in TABLES or not performance_disclosed(request.user, found):
        raise Http404
    report = found.rating_report
    response = HttpResponse(surveillance_csv(report, exhibits(report), table), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="surveillance-{table}-{str(pk)[:8]}.csv"'
    return response


@page(Role.ORIGINATOR, Role.OPERATOR)
def performance_new(request: PageRequest, pk: UUID) -> HttpResponse:
    """Take the servicer's next months; a file that does not fit comes back with the reason."""
    found = _listing(request, pk)
    form = form_for(request, PerformanceForm)
    if request.method == "POST" and form.is_valid():
        file, key = form.cleaned_data["file"], form.cleaned_data["key"]
        rows = attempt(
            form,
            lambda: performance_upload(
                user=request.user, deal=found.deal, filename=file.name, stream=file.chunks(), idempotency_key=key
            ),
        )
        if rows is not None:
            messages.success(request, f"{len(rows)} months are stored, up to {rows[-1].period}.")
            return redirect("surveillance", pk)
    context = {"listing": found, "form": form, "section": "ratings"}
    return render(request, "marketplace/performance_new.html", context, status=422 if form.errors else 200)
