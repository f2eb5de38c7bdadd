"""The originator's pages of tapes, pools and the making of a deal."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from accounts.errors import NotFound
from accounts.models import Role
from accounts.pages import PageRequest, attempt, form_for, page
from pooling.artefacts import artefact_path
from pooling.forms import DealForm, PoolForm, UploadForm
from pooling.models import TapeVersion
from pooling.selectors import pools_visible, tapes_visible, visible
from pooling.services import deal_create, pool_create, tape_import, tape_upload


@page(Role.ORIGINATOR)
def tapes(request: PageRequest) -> HttpResponse:
    """Every tape of the originator, newest first."""
    rows = tapes_visible(request.user).prefetch_related("pools").order_by("-created_at")
    return render(request, "pooling/tapes.html", {"tapes": rows, "section": "tapes"})


@page(Role.ORIGINATOR)
def upload(request: PageRequest) -> HttpResponse:
    """Take a file, read and check it; refused files come back with the reason."""
    form = form_for(request, UploadForm)
    if request.method == "POST" and form.is_valid():
        tape = attempt(form, lambda: _imported(request, form))
        if tape is not None:
            return redirect("tape", tape.pk)
    status = 422 if form.errors else 200
    return render(request, "pooling/upload.html", {"form": form, "section": "tapes"}, status=status)


def _imported(request: PageRequest, form: UploadForm) -> TapeVersion:
    file, key = form.cleaned_data["file"], form.cleaned_data["key"]
    stored = tape_upload(user=request.user, filename=file.name, stream=file.chunks(), idempotency_key=f"{key}/upload")
    return tape_import(user=request.user, upload=stored, idempotency_key=f"{key}/import")


@page(Role.ORIGINATOR)
def tape(request: PageRequest, pk: UUID) -> HttpResponse:
    """What the checks found: counts, reasons, units, gaps."""
    found = visible(tapes_visible(request.user).select_related("upload"), pk, "tape")
    context = {"tape": found, "pools": found.pools.order_by("created_at"), "section": "tapes"}
    return render(request, "pooling/tape.html", context)


@page(Role.ORIGINATOR)
def tape_errors(request: PageRequest, pk: UUID) -> HttpResponseBase:
    """The file of refused and remarked rows."""
    found = visible(tapes_visible(request.user), pk, "tape")
    if not found.errors_path:
        raise NotFound("error file")
    return FileResponse(
        artefact_path(found.errors_path).open("rb"), as_attachment=True, filename=f"errors-{found.root[:10]}.csv"
    )


@page(Role.ORIGINATOR)
def pool_new(request: PageRequest, pk: UUID) -> HttpResponse:
    """Choose a date and a name; the default rules decide which loans are eligible."""
    found = visible(tapes_visible(request.user), pk, "tape")
    form = form_for(request, PoolForm, initial={"name": found.name.split(".")[0]})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        made = attempt(
            form,
            lambda: pool_create(
                user=request.user,
                tape=found,
                name=values["name"],
                as_of=values["as_of"].strip(),
                idempotency_key=values["key"],
            ),
        )
        if made is not None:
            messages.success(request, f"{made.loan_count:,} loans are pooled, {made.excluded:,} were not eligible.")
            return redirect("pool", made.pk)
    status = 422 if form.errors else 200
    return render(request, "pooling/pool_new.html", {"form": form, "tape": found, "section": "tapes"}, status=status)


@page(Role.ORIGINATOR)
def pool(request: PageRequest, pk: UUID) -> HttpResponse:
    """A pool with its exclusions, rules and stratification tables."""
    found = visible(pools_visible(request.user).select_related("tape", "deal"), pk, "pool")
    return render(request, "pooling/pool.html", {"pool": found, "section": "deals"})


@page(Role.ORIGINATOR)
def deal_new(request: PageRequest, pk: UUID) -> HttpResponse:
    """A deal over a pool, from the default template or from a specification in JSON."""
    found = visible(pools_visible(request.user), pk, "pool")
    form = form_for(request, DealForm, initial={"name": found.name})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        made = attempt(
            form,
            lambda: deal_create(
                user=request.user,
                pool=found,
                name=values["name"],
                spec=values["spec"] if values["spec"].strip() else None,
                idempotency_key=values["key"],
            ),
        )
        if made is not None:
            return redirect("deal", made.pk)
    status = 422 if form.errors else 200
    return render(request, "pooling/deal_new.html", {"form": form, "pool": found, "section": "deals"}, status=status)
