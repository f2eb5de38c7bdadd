"""What moves a rating: its sensitivities, run in the background, and the what-if by hand, answered at once."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.errors import ApplicationError
from accounts.models import Role
from accounts.pages import ActionForm, PageRequest, attempt, form_for, page
from marketplace.exhibits import LAST_COLOUR, provenance_of
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible
from marketplace.sensitivity_exhibits import (
    TABLES,
    matrix_tables,
    mover_rows,
    reverse_rows,
    severities,
    table_csv,
    tornado_bars,
    tornado_rows,
)
from marketplace.whatif_form import WhatIfForm
from pricing.sensitivity_runs import sensitivities_request, sensitivities_result, sensitivities_run
from pricing.whatif import Question, answer, rated_of
from runs.models import RunStatus
from runs.selectors import run_progress


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool", "rating_report__rating_run__deal__pool", "price_report"
    )
    return rows.get(pk=pk)


def _may_ask(request: PageRequest, found: Listing) -> bool:
    """Whether the viewer may start the run; the service decides again."""
    organisation = request.user.organisation
    own = organisation is not None and found.organisation_id == organisation.pk
    return request.user.role == Role.ANALYST or (request.user.role == Role.ORIGINATOR and own)


@page()
def sensitivities(request: PageRequest, pk: UUID) -> HttpResponse:
    """Tornado, PD x recovery matrix, notch movers and reverse stress of a rating. POST starts the run, once."""
    found = _listing(request, pk)
    if request.method == "POST" and not _may_ask(request, found):
        raise Http404
    form = form_for(request, ActionForm)
    if request.method == "POST" and form.is_valid():
        report, key = found.rating_report, form.cleaned_data["key"]
        if attempt(form, lambda: sensitivities_request(user=request.user, report=report, idempotency_key=key)):
            return redirect("sensitivities", pk)
    run = sensitivities_run(found.rating_report)
    progress = None if run is None else run_progress(run)
    context: dict[str, Any] = {
        "listing": found,
        "form": form,
        "run": run,
        "progress": progress,
        "running": progress is not None and progress.status == RunStatus.RUNNING,
        "failed": progress is not None and progress.status in (RunStatus.FAILED, RunStatus.CANCELLED),
        "may_ask": _may_ask(request, found),
        "section": "ratings",
        **provenance_of(found),
    }
    if request.headers.get("HX-Request") == "true":
        response = render(request, "marketplace/_sensitivities_progress.html", context)
        if not context["running"]:
            response.headers["HX-Redirect"] = reverse("sensitivities", args=[pk])
        return response
    if run is not None and progress is not None and progress.status == RunStatus.DONE:
        context |= _exhibits(sensitivities_result(run))
    return render(request, "marketplace/sensitivities.html", context, status=422 if form.errors else 200)


def _exhibits(result: dict[str, Any]) -> dict[str, Any]:
    rows = tornado_rows(result)
    return {
        "result": result,
        "rows": rows,
        "labels": [row.label for row in rows],
        "notch_bars": tornado_bars(rows, "notches"),
        "loss_bars": tornado_bars(rows, "multiple"),
        "matrices": matrix_tables(result),
        "movers": mover_rows(result),
        "reverse": reverse_rows(result),
        "severities": severities(result),
        "made_by": result["made_by"],
    }


@page()
def sensitivities_csv(request: PageRequest, pk: UUID) -> HttpResponse:
    """One table of the sensitivities: `table` is tornado, matrix, movers or reverse."""
    found, table = _listing(request, pk), request.GET.get("table", "tornado")
    run = sensitivities_run(found.rating_report)
    if table not in TABLES or run is None or run.status != RunStatus.DONE:
        raise Http404
    response = HttpResponse(table_csv(sensitivities_result(run), table), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{table}-{str(pk)[:8]}.csv"'
    return response


@page()
def what_if(request: PageRequest, pk: UUID) -> HttpResponse:
    """The deal with other sizes or targets, PD and severity, on the rating's own stored flows. All in the address."""
    found, started = _listing(request, pk), time.perf_counter()
    context: dict[str, Any] = {"listing": found, "section": "ratings", **provenance_of(found)}
    status = 200
    try:
        deal = rated_of(found.rating_report)
        form = WhatIfForm(request.GET.dict(), deal=deal)
        context |= {"form": form, "rows": form.rows(), "deal": deal}
        question = form.question() if form.is_valid() else Question()
        if form.errors:
            context["refusal"], status = form.refusal, 400
        else:
            found_answer = answer(deal, question)
            context |= {
                "answer": found_answer,
                "residual": found_answer.residual / deal.pool,
                "shares": [
                    (row, row.balance / deal.pool, row.balance_before / deal.pool, f"s{min(slot, LAST_COLOUR)}")
                    for slot, row in enumerate(found_answer.classes)
                ],
            }
    except ApplicationError as error:
        # Somebody else's record may be gone (409); the reader's own figures are at fault else.
        context["refusal"], status = error.message, 409 if error.code == "flows_missing" else 400
    context["seconds"] = time.perf_counter() - started
    partial = request.headers.get("HX-Request") == "true"
    # htmx swaps in nothing that is refused, and the reader is to see why.
    name = "_whatif" if partial else "whatif"
    return render(request, f"marketplace/{name}.html", context, status=200 if partial else status)
