"""Asking for a rating, and watching it run."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.models import Role
from accounts.pages import ActionForm, PageRequest, attempt, form_for, page
from pooling.selectors import deals_visible, visible
from rating.forms import RatingForm
from rating.selectors import rating_progress, rating_runs_visible
from rating.services import rating_cancel, rating_request
from runs.models import RunStatus


@page(Role.ORIGINATOR)
def rate(request: PageRequest, pk: UUID) -> HttpResponse:
    """Start the simulation of an own deal."""
    deal = visible(deals_visible(request.user).select_related("pool"), pk, "deal")
    form = form_for(request, RatingForm)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        started = attempt(
            form,
            lambda: rating_request(
                user=request.user,
                deal=deal,
                scenarios=values["scenarios"],
                seed=values["seed"],
                idempotency_key=values["key"],
            ),
        )
        if started is not None:
            return redirect("rating-run", started.pk)
    status = 422 if form.errors else 200
    return render(request, "rating/rate.html", {"form": form, "deal": deal, "section": "deals"}, status=status)


@page(Role.ORIGINATOR)
def rating_run(request: PageRequest, pk: UUID) -> HttpResponse:
    """Progress of a rating. htmx asks every second, a browser without scripts every three; done leads to the deal. POST
    cancels it."""
    rows = rating_runs_visible(request.user).select_related("deal", "simulation", "structuring")
    found = visible(rows, pk, "rating run")
    form = form_for(request, ActionForm)
    if request.method == "POST" and form.is_valid():
        key = form.cleaned_data["key"]
        if attempt(form, lambda: rating_cancel(user=request.user, rating_run=found, idempotency_key=key)):
            return redirect("rating-run", pk)
    progress = rating_progress(found)
    done = progress.stage == "structuring" and progress.status == RunStatus.DONE
    context = {
        "rating_run": found,
        "form": form,
        "progress": progress,
        "done": done,
        "failed": progress.status in (RunStatus.FAILED, RunStatus.CANCELLED),
        "section": "deals",
    }
    if request.headers.get("HX-Request") != "true":
        return render(request, "rating/run.html", context, status=422 if form.errors else 200)
    response = render(request, "rating/_progress.html", context)
    if done:
        response.headers["HX-Redirect"] = reverse("deal", args=[found.deal_id])
    return response
