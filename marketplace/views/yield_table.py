"""The price/yield table of a listing: prices by scenarios, and its files; the address says all that is asked for."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from accounts.errors import ApplicationError
from accounts.pages import PageRequest, page
from marketplace.exhibits import LAST_COLOUR, provenance_of
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible
from marketplace.yield_tables import (
    AXIS_WORDS,
    MEASURES,
    SPEEDS,
    break_file_rows,
    break_rows,
    class_sheet,
    table_rows,
)
from pricing.engine.yield_flows import AXES
from pricing.engine.yield_grid import Grid
from pricing.yield_table import (
    MOST_GROUPS,
    PricedDeal,
    breaks_of,
    defaults_of,
    grid_of,
    group_breaks_of,
    priced_deal,
    table_of,
)

OWN = ("class", "at", "table")  # words of the address that are not the grid's
TABLES = ("cells", "break-even")
FIELDS = (
    ("centre", "Price in the middle", "per 100"),
    ("step", "Step", "per 100"),
    ("number", "Prices", "at most 41"),
    ("speed", "Prepayment speeds", "%, at most 10"),
    ("cdr", "CDRs", "% a year"),
    ("severity", "Severities", "% of charged off"),
    ("lag", "Recovery lags", "months"),
    ("charge_off_lag", "Charge-off lag", "months"),
    ("advance", "Advanced", "% of defaulted loans"),
)
CALLS = {"yes": "to call", "no": "to maturity", "both": "both"}


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation",
        "deal",
        "price_report__snapshot",
        "price_report__deal_version",
        "price_report__rating_report__rating_run__deal__pool",
    )
    return rows.get(pk=pk)


def _tranche(request: PageRequest, deal: PricedDeal) -> str:
    """The class on the page: the first, unless the address names another."""
    tranche = request.GET.get("class") or deal.classes[0]
    if tranche not in deal.classes:
        raise ApplicationError(
            f"class: {tranche[:40]!r} is no class of this deal; take one of {', '.join(deal.classes)}.", field="class"
        )
    return tranche


def _at(request: PageRequest, grid: Grid) -> int:
    """Place of the scenario around which break-evens are sought."""
    given = request.GET.get("at", "")
    if not given:
        return grid.middle
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:6]) <= grid.columns):
        raise ApplicationError(
            f"at: {given[:40]!r} is the number of no scenario; give 1 to {grid.columns}.", field="at"
        )
    return int(given[:6]) - 1


def _asked(request: PageRequest) -> dict[str, str]:
    return {key: value for key, value in request.GET.dict().items() if key not in OWN}


@page()
def yield_table(request: PageRequest, pk: UUID) -> HttpResponse:
    """Yields of one class at a ladder of prices in every scenario of a grid, and what lies under each column.

    `class`: its name; `at`: number of the scenario of the break-evens; the others: pricing.engine.yield_grid.KEYS.
    """
    found, started = _listing(request, pk), time.perf_counter()
    context: dict[str, Any] = {"listing": found, "section": "market", **provenance_of(found)}
    status = 200
    try:
        deal = priced_deal(found.price_report)
        context |= {"deal": deal, "age": deal.staleness_days(timezone.localdate())}
        tranche = deal.classes[0]
        context |= _form(deal, tranche, _asked(request))
        tranche = _tranche(request, deal)
        context |= _form(deal, tranche, _asked(request))
        grid = grid_of(deal, _asked(request), tranche)
        at = _at(request, grid)
        table = table_of(deal, grid)
        context |= {
            "sheet": class_sheet(
                table, grid, deal.classes.index(tranche), deal.program.currency, group_breaks_of(deal, grid)
            ),
            "most_groups": MOST_GROUPS,
            "axes": [AXIS_WORDS[axis] for axis in AXES],
            "priced": deal.priced.get(tranche),
            "currency": deal.program.currency,
            "balance": deal.balance_cents(tranche),
            "at": at + 1,
            "scenario": grid.scenarios[at],
            "breaks": break_rows(breaks_of(deal, grid, grid.scenarios[at])),
        }
    except ApplicationError as error:
        # What the reader typed is at fault, unless the record itself lacks something.
        context["refusal"], status = error.message, 400 if error.field else 200
    context["seconds"] = time.perf_counter() - started
    return render(request, "marketplace/yield_table.html", context, status=status)


def _form(deal: PricedDeal, tranche: str, asked: Mapping[str, str]) -> dict[str, Any]:
    known = defaults_of(deal, tranche)
    calls = CALLS if deal.may_be_called else {"no": CALLS["no"]}
    return {
        "tranche": tranche,
        "tabs": [(name, f"s{min(slot, LAST_COLOUR)}") for slot, name in enumerate(deal.classes)],
        "fields": [(key, label, unit, asked.get(key) or known[key]) for key, label, unit in FIELDS],
        "choices": [
            (key, label, [(each, text, (asked.get(key) or known[key]) == each) for each, text in options.items()])
            for key, label, options in (
                ("prepayment", "Speeds are", SPEEDS),
                ("call", "Clean-up call", calls),
                ("measure", "Figures", MEASURES),
            )
        ],
    }


@page()
def yield_table_csv(request: PageRequest, pk: UUID) -> HttpResponse:
    """The table of every class as CSV, or with `table=break-even` the break-evens. Where there is none, the sentence
    that says why."""
    found = _listing(request, pk)
    try:
        deal = priced_deal(found.price_report)
        grid = grid_of(deal, _asked(request), _tranche(request, deal))
        name = request.GET.get("table") or TABLES[0]
        if name not in TABLES:
            raise ApplicationError(f"table: {name[:40]!r} is none of {', '.join(TABLES)}.", field="table")
        if name == "cells":
            headings, rows = table_rows(table_of(deal, grid), grid, group_breaks_of(deal, grid))
        else:
            headings, rows = break_file_rows(breaks_of(deal, grid, grid.scenarios[_at(request, grid)]))
    except ApplicationError as error:
        status = 400 if error.field else 409
        return HttpResponse(error.message, status=status, content_type="text/plain; charset=utf-8")
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings)
    writer.writerows(rows)
    response = HttpResponse(text.getvalue(), content_type="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="yield-{name}-{str(found.pk)[:8]}.csv"'
    return response
