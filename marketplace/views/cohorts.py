"""The static pools page: vintages by months on book, drawn, as a triangle and as a file. The address is the view."""

from __future__ import annotations

import csv
import io
import math
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from accounts.errors import ApplicationError
from accounts.pages import PageRequest, page
from marketplace.cohorts import BY, WHAT, Choice, chosen, histories
from rating.engine.cohorts import VintageTriangle

STEP = 6


def _asked(request: PageRequest) -> Choice:
    given = request.GET
    return Choice(
        listing=given.get("listing", ""),
        by=given.get("by", "quarter"),
        measure=given.get("measure", "net_loss"),
        grade=given.get("grade", ""),
        term=given.get("term", ""),
    )


def _rows(found: VintageTriangle) -> list[dict[str, Any]]:
    months = range(STEP, found.months + 1, STEP)

    def known(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return [
        {
            "name": name,
            "loans": int(found.loans[v]),
            "balance": round(float(found.balance[v]) * 100),
            "seen": int(found.seen[v]),
            "shares": [known(found.share[v, month]) for month in months],
            "peers": known(found.peers[v, found.seen[v]]),
            "latest": known(found.share[v, found.seen[v]]),
            "projected": known(found.projected[v]),
        }
        for v, name in enumerate(found.vintages)
    ]


@page()
def static_pools(request: PageRequest) -> HttpResponse:
    """Cumulative losses, defaults or prepayments of every vintage, with what is still projected."""
    asked, error = _asked(request), ""
    try:
        result = chosen(request.user, asked)
    except ApplicationError as refusal:
        result, error = None, refusal.message
    context: dict[str, Any] = {
        "section": "static-pools",
        "asked": asked,
        "error": error,
        "by": BY,
        "what": WHAT,
        "histories": histories(request.user),
    }
    if result is not None:
        listing, _, found, frame = result
        context |= {
            "listing": listing,
            "found": found,
            "rows": _rows(found),
            "months": list(range(STEP, found.months + 1, STEP)),
            "grades": sorted(set(frame.grade.tolist())),
            "terms": sorted(set(frame.term.tolist())),
            "title": WHAT[asked.measure],
            "query": request.GET.urlencode(),
        }
    return render(request, "marketplace/cohorts.html", context, status=422 if error else 200)


@page()
def static_pools_csv(request: PageRequest) -> HttpResponse:
    """The whole triangle, one row a vintage and month; unknown cells are left out."""
    try:
        result = chosen(request.user, _asked(request))
    except ApplicationError as refusal:
        return HttpResponse(refusal.message, status=422, content_type="text/plain; charset=utf-8")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["vintage", "loans", "original_balance", "month_on_book", "cumulative_share", "peers"])
    if result is not None:
        found = result[2]
        for v, name in enumerate(found.vintages):
            for month in range(int(found.seen[v]) + 1):
                row = [name, int(found.loans[v]), f"{found.balance[v]:.2f}", month]
                writer.writerow([*row, repr(float(found.share[v, month])), repr(float(found.peers[v, month]))])
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="static-pools.csv"'
    return response
