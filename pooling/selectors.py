"""What a user may see of uploads, tapes, pools, deals and loans: an originator's own.

What the market sees of a listed deal is decided by marketplace.selectors, to the right of here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypedDict, TypeVar
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation, Role, User
from pooling.models import Deal, DealVersion, Loan, Pool, TapeUpload, TapeVersion

Viewer = User | AnonymousUser | None
Row = TypeVar("Row", bound=Model)


class LoanFilters(TypedDict, total=False):
    """Filters of the asset-level disclosure; rates are annual fractions."""

    grade: str
    state: str
    purpose: str
    term: int
    rate_min: Decimal
    rate_max: Decimal


def originator_or_none(viewer: Viewer) -> Organisation | None:
    """The viewer's organisation if it is an originator."""
    if not isinstance(viewer, User) or not viewer.is_active or viewer.role != Role.ORIGINATOR:
        return None
    return viewer.organisation


def _own(rows: QuerySet[Row], viewer: Viewer, path: str = "organisation") -> QuerySet[Row]:
    organisation = originator_or_none(viewer)
    return rows.none() if organisation is None else rows.filter(**{path: organisation})


def uploads_visible(viewer: Viewer) -> QuerySet[TapeUpload]:
    """The originator's own uploads."""
    return _own(TapeUpload.objects.all(), viewer)


def tapes_visible(viewer: Viewer) -> QuerySet[TapeVersion]:
    """The originator's own tape versions."""
    return _own(TapeVersion.objects.all(), viewer)


def pools_visible(viewer: Viewer) -> QuerySet[Pool]:
    """The originator's own pools."""
    return _own(Pool.objects.all(), viewer)


def deals_visible(viewer: Viewer) -> QuerySet[Deal]:
    """The originator's own deals."""
    return _own(Deal.objects.all(), viewer)


def deal_versions_visible(viewer: Viewer) -> QuerySet[DealVersion]:
    """All versions of the originator's own deals."""
    return _own(DealVersion.objects.all(), viewer, "deal__organisation")


def loans_visible(viewer: Viewer) -> QuerySet[Loan]:
    """The originator's own register."""
    return _own(Loan.objects.all(), viewer, "tape__organisation")


def loans_filtered(loans: QuerySet[Loan], filters: LoanFilters) -> QuerySet[Loan]:
    """Apply disclosure filters; an unknown one is refused."""
    unknown = set(filters) - set(LoanFilters.__annotations__)
    if unknown:
        raise ApplicationError(f"No filter is called {sorted(unknown)[0]!r}.", code="unknown_filter", field="filters")
    paths = {"rate_min": "rate__gte", "rate_max": "rate__lte"}
    given = {paths.get(name, name): value for name, value in filters.items() if value not in (None, "")}
    return loans.filter(**given)


def visible(rows: QuerySet[Row], pk: UUID | str | int, what: str) -> Row:
    """The row with this id among the visible ones; NotFound otherwise, whether it exists or not."""
    try:
        found = rows.filter(pk=pk).first()
    except (ValidationError, ValueError, TypeError):
        found = None
    if found is None:
        raise NotFound(what)
    return found
