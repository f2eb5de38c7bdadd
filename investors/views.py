"""Pages of cash and mandates."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render

from accounts.errors import NotFound
from accounts.models import Role
from accounts.pages import PageRequest, attempt, form_for, page
from investors.forms import MandateForm
from investors.selectors import cash_position, entries_visible, mandates_visible, organisation_of
from investors.services import mandate_create

ROWS = 50


@page(Role.INVESTOR, Role.ORIGINATOR)
def cash(request: PageRequest) -> HttpResponse:
    """Cash to spend and earmarked, and what each transfer did to the organisation's accounts, newest first."""
    organisation = organisation_of(request.user)
    if organisation is None:
        raise NotFound("account")
    entries = entries_visible(request.user).select_related("transfer", "account__deal")
    before = request.GET.get("before", "")
    if before.isdecimal():
        entries = entries.filter(transfer_id__lt=int(before[:18]))
    shown = list(entries[: ROWS + 1])
    context = {
        "cash": cash_position(organisation),
        "entries": shown[:ROWS],
        "next": shown[ROWS - 1].transfer_id if len(shown) > ROWS else None,
        "section": "cash",
    }
    return render(request, "investors/cash.html", context)


@page(Role.INVESTOR)
def mandates(request: PageRequest) -> HttpResponse:
    """The organisation's own mandates."""
    context = {"mandates": mandates_visible(request.user), "section": "mandates"}
    return render(request, "investors/mandates.html", context)


@page(Role.INVESTOR)
def mandate_new(request: PageRequest) -> HttpResponse:
    """A new mandate."""
    form = form_for(request, MandateForm)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        made = attempt(
            form,
            lambda: mandate_create(
                user=request.user, name=values["name"], terms=form.terms(), idempotency_key=values["key"]
            ),
        )
        if made is not None:
            return redirect("mandates")
    status = 422 if form.errors else 200
    return render(request, "investors/mandate_new.html", {"form": form, "section": "mandates"}, status=status)
