"""Models: inventory with live validation, assumption sets one by one and compared, and a loan's PD in points."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import numpy as np
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render

from accounts.errors import NotFound
from accounts.pages import PageRequest, page
from marketplace.disclosure import loans_disclosed, rating_reports_disclosed
from marketplace.exhibits import provenance_of
from marketplace.model_exhibits import (
    CAUSES,
    CellDifference,
    assumption_rows,
    cell_curve,
    cell_differences,
    cell_rows,
    correlation_rows,
    curve,
    differences,
    hazard_lines,
    months_shown,
    severity_rows,
    uncertainty_rows,
)
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible
from pricing.reports import build
from rating.engine.explanation import TENTHS, PdPoints, explain_pd, lifetime_curves
from rating.engine.inventory import INVENTORY
from rating.engine.model import CreditModel
from rating.runs import loans_of, model_of
from rating.selectors import AssumptionSet, assumption_set, assumption_sets
from rating.validation import validation_report
from runs.registry import NotHere


def _set(request: PageRequest, digest: str) -> AssumptionSet:
    return assumption_set(request.user, rating_reports_disclosed(request.user), digest)


def _model(found: AssumptionSet) -> CreditModel:
    """The set as a model. Raises NotFound where it was stored with another version's fields."""
    if found.model is None:
        raise NotFound("assumption set that this version can read")
    return found.model


@page()
def models(request: PageRequest) -> HttpResponse:
    """Inventory, validation run just now, and the assumption sets that the viewer may see."""
    rows = validation_report()
    context = {
        "inventory": INVENTORY,
        "validation": rows,
        "passed": sum(row.passed for row in rows),
        "sets": assumption_sets(request.user, rating_reports_disclosed(request.user)),
        "build": build(),
        "section": "models",
    }
    return render(request, "marketplace/models.html", context)


@page()
def model(request: PageRequest, digest: str) -> HttpResponse:
    """One assumption set in full."""
    found = _set(request, digest)
    context: dict[str, Any] = {"set": found, "build": build(), "section": "models"}
    if found.model is not None:
        context |= {
            "model": found.model,
            "rows": assumption_rows(found.model),
            "charts": list(_charts(found.model)),
            "months": months_shown(found.model),
            "cells": [(cause, cell_rows(found.model, cause)) for cause in CAUSES],
            "correlation": correlation_rows(found.model),
            "severity": severity_rows(found.model),
            "uncertainty": uncertainty_rows(found.model),
            "others": [
                each
                for each in assumption_sets(request.user, rating_reports_disclosed(request.user))
                if each.digest != digest and each.model is not None
            ],
        }
    return render(request, "marketplace/model.html", context)


def _charts(found: CreditModel) -> Iterable[tuple[str, str, list[tuple[str, list[float]]]]]:
    """(name, title, curves by band) of each cause and term."""
    for m, term in enumerate(found.terms):
        for cause in CAUSES:
            curves = [(band, curve(found, cause, b, m)) for b, band in enumerate(found.bands)]
            yield f"{cause}-{term}", f"{cause.capitalize()}, {term}-month loans", curves


@page()
def model_json(request: PageRequest, digest: str) -> HttpResponse:
    """The set as it is hashed: sort keys and leave out spaces to get its SHA-256."""
    found = _set(request, digest)
    response = JsonResponse(found.payload, json_dumps_params={"sort_keys": True})
    response.headers["Content-Disposition"] = f'attachment; filename="model-{digest[:10]}.json"'
    return response


@page()
def model_hazards(request: PageRequest, digest: str) -> HttpResponse:
    """Every monthly probability of the set as a file."""
    found = _model(_set(request, digest))
    header = ("cause", "band", "term", "month_on_book", "probability")
    return _csv(f"hazards-{digest[:10]}.csv", header, hazard_lines(found))


def _csv(filename: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> HttpResponse:
    response = HttpResponse(content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    writer = csv.writer(response)
    writer.writerow(header)
    writer.writerows(lines)
    return response


# ------------------------------------------------------------------------------------------------------ comparison
@page()
def model_compare(request: PageRequest) -> HttpResponse:
    """Two assumption sets, difference by difference; without two, the choice of them."""
    chosen = [request.GET.get(name, "") for name in ("a", "b")]
    sets = [each for each in assumption_sets(request.user, rating_reports_disclosed(request.user)) if each.model]
    context: dict[str, Any] = {"sets": sets, "a": chosen[0], "b": chosen[1], "section": "models", "build": build()}
    context["choices"] = [("a", chosen[0], "First"), ("b", chosen[1], "Second")]
    if all(chosen):
        first, second = (_set(request, digest) for digest in chosen)
        one, two = _model(first), _model(second)
        cells = cell_differences(one, two)
        context |= {
            "first": first,
            "second": second,
            "differences": differences(one, two),
            "cells": cells,
            "overlays": [_overlay(one, two, row) for row in _largest(cells)],
        }
    return render(request, "marketplace/model_compare.html", context)


def _largest(cells: Sequence[CellDifference]) -> list[CellDifference]:
    """The cell of the largest difference of each cause."""
    return [row for cause in CAUSES if (row := next((each for each in cells if each.cause == cause), None))]


def _overlay(one: CreditModel, two: CreditModel, row: CellDifference) -> tuple[str, str, list[float], list[float]]:
    first, second = (cell_curve(each, row.cause, row.band, row.term) for each in (one, two))
    return f"overlay-{row.cause}", f"{row.cause.capitalize()}, band {row.band}, {row.term}-month loans", first, second


@page()
def model_compare_csv(request: PageRequest) -> HttpResponse:
    """Both sets' monthly probabilities in every common cell."""
    one, two = (_model(_set(request, request.GET.get(name, ""))) for name in ("a", "b"))
    lines = [
        [row.cause, row.band, row.term, month, repr(first), repr(second), repr(second - first)]
        for row in cell_differences(one, two)
        for month, (first, second) in enumerate(
            zip(*(cell_curve(each, row.cause, row.band, row.term) for each in (one, two)), strict=True), start=1
        )
    ]
    header = ("cause", "band", "term", "month_on_book", "first", "second", "difference")
    return _csv("compare.csv", header, lines)


# -------------------------------------------------------------------------------------------------------- one loan
@dataclass(frozen=True)
class DriverRow:
    """A driver's points as shown, in tenths, and the loan's own value of it."""

    name: str
    value: str
    tenths: int

    @property
    def shown(self) -> float:
        return self.tenths / TENTHS


@dataclass(frozen=True)
class LoanPoints:
    """A loan's place in its pool, and what the page says of it."""

    row: int
    age: int
    points: PdPoints
    competing: list[float]
    net: list[float]
    model: CreditModel

    @property
    def drivers(self) -> list[DriverRow]:
        found, i = self.points, self.row
        band = self.model.bands[int(found.band[i])]
        values = (
            f"band {band}, by its {found.source[i]}",
            f"curve of the {self.model.terms[int(found.term_row[i])]}-month loans",
            f"{self.age} month{'' if self.age == 1 else 's'} on book at the cut-off",
            f"{len(self.competing)} month{'' if len(self.competing) == 1 else 's'} to go",
            "ends some loans before they can default",
        )
        return [
            DriverRow(name, value, int(found.tenths[i, d]))
            for d, (name, value) in enumerate(zip(found.drivers, values, strict=True))
        ]


@lru_cache(maxsize=4)
def _points(path: str, digest: str, credit_model: str) -> PdPoints:
    """Points of every loan of a pool, once per process."""
    return explain_pd(loans_of(path, digest), model_of(credit_model))


def _loan(request: PageRequest, pk: UUID, loan_id: str) -> tuple[Listing, Any, LoanPoints]:
    """The listing, the disclosed loan and its points. Raises NotFound; NotHere where the artefacts are away."""
    listing_visible(request.user, pk)
    listing = (
        listings_visible(request.user)
        .select_related("organisation", "deal__pool", "rating_report__rating_run__credit_model", "price_report")
        .get(pk=pk)
    )
    pool, rating_run = listing.deal.pool, listing.rating_report.rating_run
    loan = loans_disclosed(request.user).filter(pool=pool, loan_id=loan_id).first()
    if loan is None:
        raise NotFound("loan")
    loans = loans_of(pool.loans_path, pool.loans_digest)
    row = int(np.searchsorted(loans.loan_id, loan_id))
    found = _points(pool.loans_path, pool.loans_digest, rating_run.credit_model_id)
    credit = model_of(rating_run.credit_model_id)
    cell = int(found.band[row]) * len(credit.terms) + int(found.term_row[row])
    curves = lifetime_curves(credit, cell, int(loans.age[row]), int(loans.remaining_term[row]))
    return listing, loan, LoanPoints(row, int(loans.age[row]), found, curves[0].tolist(), curves[1].tolist(), credit)


@page()
def loan_pd(request: PageRequest, pk: UUID, loan_id: str) -> HttpResponse:
    """Why this loan has the lifetime PD it has."""
    try:
        listing, loan, found = _loan(request, pk, loan_id)
    except NotHere:
        return HttpResponse("The loans of this pool cannot be read at the moment; try again later.", status=503)
    points, i = found.points, found.row
    context = {
        "listing": listing,
        "loan": loan,
        "model": found.model,
        "digest": listing.rating_report.rating_run.credit_model_id,
        "drivers": found.drivers,
        "chart": [(row.name, row.shown) for row in found.drivers],
        "base": points.base_tenths / TENTHS,
        "total": int(points.total_tenths[i]) / TENTHS,
        "pd": float(points.pd[i]),
        "pd_net": float(points.pd_net[i]),
        "pool_pd": points.pool_pd,
        "pool_pd_net": points.pool_pd_net,
        "rank": float((points.pd <= points.pd[i]).mean()),
        "competing": found.competing,
        "net": found.net,
        "section": "market",
        **provenance_of(listing),
    }
    return render(request, "marketplace/loan_pd.html", context)


@page()
def loan_pd_csv(request: PageRequest, pk: UUID, loan_id: str) -> HttpResponse:
    """The loan's cumulative PD by month, fractions."""
    try:
        _, _, found = _loan(request, pk, loan_id)
    except NotHere:
        return HttpResponse("The loans of this pool cannot be read at the moment; try again later.", status=503)
    lines = ((month, repr(a), repr(b)) for month, (a, b) in enumerate(zip(found.competing, found.net, strict=True), 1))
    return _csv("pd.csv", ("month_after_cutoff", "pd", "pd_if_nobody_prepaid"), lines)
