"""The cash flows of a listing, and the reasons of a single payment: pages and files of the base case in whole cents."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from xlsxwriter import Workbook

from accounts.errors import ApplicationError
from accounts.pages import PageRequest, page
from marketplace.cashflows import BaseCase, CashFlowTable, ClassCells, assumptions, base_case, flat
from marketplace.exhibits import LAST_COLOUR, provenance_of
from marketplace.explanation import payment_view
from marketplace.forms import PaymentForm
from marketplace.models import Listing
from marketplace.selectors import listing_visible, listings_visible

UNTIL = {"call": "To the clean-up call", "maturity": "To maturity"}


@dataclass(frozen=True)
class Heading:
    """A class above its columns. slot: its seniority; colour: its class in the stylesheet; total: what it is paid."""

    name: str
    slot: int
    colour: str
    total: ClassCells


def headings(table: CashFlowTable) -> list[Heading]:
    """The classes in the order of the table, senior first."""
    return [
        Heading(name, slot, f"s{min(slot, LAST_COLOUR)}", table.total.classes[slot])
        for slot, name in enumerate(table.names)
    ]


def _listing(request: PageRequest, pk: UUID) -> Listing:
    listing_visible(request.user, pk)
    rows = listings_visible(request.user).select_related(
        "organisation", "deal__pool", "deal_version", "rating_report", "price_report"
    )
    return rows.get(pk=pk)


def _until(request: PageRequest) -> str:
    """The way the run ends, as the address says it. Raises ApplicationError for any other word."""
    until = request.GET.get("to", "call")
    if until not in UNTIL:
        raise ApplicationError(f"to: {until[:40]!r} is neither call nor maturity.", field="to")
    return until


def _refused(request: PageRequest, found: Listing, error: ApplicationError, template: str) -> HttpResponse:
    """The page with the one sentence that says why it is empty. 400 where the address is at fault."""
    context = {"listing": found, "refusal": error.message, "section": "market", **provenance_of(found)}
    return render(request, f"marketplace/{template}.html", context, status=400 if error.code == "invalid" else 200)


def _assumptions(found: Listing, case: BaseCase) -> list[tuple[str, str]]:
    return assumptions(case, int(found.rating_report.result["simulation"]["scenarios"]))


def _common(found: Listing, case: BaseCase) -> dict[str, Any]:
    """What both pages show of the run."""
    until = "call" if case.to_call else "maturity"
    return {
        "listing": found,
        "case": case,
        "currency": case.program.currency,
        "until": until,
        "ways": [(key, text, key == until) for key, text in UNTIL.items()] if case.may_be_called else [],
        "assumptions": _assumptions(found, case),
        "section": "market",
        **provenance_of(found),
    }


@page()
def cashflows(request: PageRequest, pk: UUID) -> HttpResponse:
    """What the deal pays date by date, in the base case. `to`: call (as rated) or maturity."""
    found = _listing(request, pk)
    try:
        case = base_case(found, to_call=_until(request) == "call")
    except ApplicationError as error:
        return _refused(request, found, error, "cashflows")
    table = case.table
    context = _common(found, case) | {
        "table": table,
        "headings": headings(table),
        "residual": case.spec.residual.name,
        "has_events": bool(case.spec.triggers) or case.may_be_called,
    }
    return render(request, "marketplace/cashflows.html", context)


@page()
def explanation(request: PageRequest, pk: UUID) -> HttpResponse:
    """Why a class is paid what it is paid on a date: `class`, `date` (its number), `to` as for the cash flows."""
    found = _listing(request, pk)
    try:
        case = base_case(found, to_call=_until(request) == "call")
    except ApplicationError as error:
        return _refused(request, found, error, "explain")
    dates = [f"{number} · {day.isoformat()}" for number, day in enumerate(case.deal.dates, start=1)]
    form = PaymentForm(request.GET.dict(), classes=case.program.names, dates=dates)
    context = _common(found, case) | {"form": form}
    if not form.is_valid():
        return render(request, "marketplace/explain.html", context | {"refusal": form.refusal}, status=400)
    tranche, number = form.cleaned_data["class"], int(form.cleaned_data["date"])
    slot = case.program.names.index(tranche)
    context |= {
        "view": payment_view(case, tranche=tranche, number=number),
        "tranche": Heading(tranche, slot, f"s{min(slot, LAST_COLOUR)}", case.table.total.classes[slot]),
        "before": number - 1 or None,
        "after": number + 1 if number < len(dates) else None,
    }
    return render(request, "marketplace/explain.html", context)


@page()
def cashflows_csv(request: PageRequest, pk: UUID) -> HttpResponse:
    """The table as CSV: one row a payment date, amounts in currency units with two decimals."""
    return _file(request, pk, "csv")


@page()
def cashflows_xlsx(request: PageRequest, pk: UUID) -> HttpResponse:
    """The table as a workbook."""
    return _file(request, pk, "xlsx")


def _file(request: PageRequest, pk: UUID, kind: str) -> HttpResponse:
    """The table as a file; where there is none, the sentence that says why."""
    found = _listing(request, pk)
    try:
        case = base_case(found, to_call=_until(request) == "call")
    except ApplicationError as error:
        status = 400 if error.code == "invalid" else 409
        return HttpResponse(error.message, status=status, content_type="text/plain; charset=utf-8")
    write, content_type = _WRITERS[kind]
    about = [("Deal", found.deal.name), ("Currency", case.program.currency), *_assumptions(found, case)]
    about += [(name.replace("_", " "), str(value)) for name, value in found.manifest.items()]
    response = HttpResponse(write(case, about), content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="cashflows-{str(found.pk)[:8]}.{kind}"'
    return response


def _csv(case: BaseCase, about: Sequence[tuple[str, str]]) -> bytes:
    """The rows alone: a program reads them, and the page says what they rest on."""
    names, rows = flat(case.table)
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    return text.getvalue().encode()


def _xlsx(case: BaseCase, about: Sequence[tuple[str, str]]) -> bytes:
    """Two sheets: the rows, amounts as numbers; and what they rest on."""
    names, rows = flat(case.table)
    buffer = io.BytesIO()
    with Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        bold, money = book.add_format({"bold": True}), book.add_format({"num_format": "#,##0.00"})
        flows = book.add_worksheet("Cash flows")
        flows.write_row(0, 0, names, bold)
        for place, (number, date, *amounts, events) in enumerate(rows, start=1):
            flows.write_number(place, 0, int(number))
            flows.write_string(place, 1, date)
            for column, amount in enumerate(amounts, start=2):
                flows.write_number(place, column, float(amount), money)
            flows.write_string(place, len(amounts) + 2, events)
        flows.freeze_panes(1, 2)
        flows.set_column(1, len(names) - 1, 16)
        grounds = book.add_worksheet("Assumptions")
        grounds.set_column(0, 0, 24)
        for place, (name, text) in enumerate(about):
            grounds.write_string(place, 0, name, bold)
            grounds.write_string(place, 1, text)
    return buffer.getvalue()


_WRITERS = {
    "csv": (_csv, "text/csv"),
    "xlsx": (_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
