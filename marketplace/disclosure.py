"""What the market sees behind a listing: its deal, the frozen version, pool, loans and reports.

An originator sees its own, listed or not (the selectors of the left apps); every other role sees what a listing
visible to it has frozen, and nothing besides. Loans are disclosed once the listing has opened.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import Role, User
from investors.selectors import Viewer, organisation_of
from marketplace.models import Listing
from marketplace.selectors import CLEARED, listings_visible
from pooling.models import Deal, DealVersion, Loan, Pool
from pooling.selectors import deal_versions_visible, deals_visible, loans_visible, pools_visible
from pricing.models import PriceReport
from pricing.selectors import price_reports_visible
from rating.models import RatingReport
from rating.selectors import rating_reports_visible


def realised_disclosed(viewer: Viewer, listing: Listing) -> dict[str, float] | None:
    """{"loss", "quantile_of_prediction"} of a finished pool, or None. To investors only after the auction is
    cleared: what the loans of an age-aligned pool have lost would tell a bidder the answer.
    """
    role = viewer.role if isinstance(viewer, User) else None
    if role in (Role.ORIGINATOR, Role.ANALYST) or listing.state in CLEARED:
        found: dict[str, float] | None = listing.rating_report.realised
        return found
    return None


def _frozen(viewer: Viewer, column: str, *, opened: bool = False) -> QuerySet[Any]:
    """One column of the listings that the viewer sees, for use as a subquery."""
    listings = listings_visible(viewer).order_by()
    if opened:
        listings = listings.filter(opened_at__isnull=False)
    return listings.values(column)


def _originates(viewer: Viewer) -> bool:
    return organisation_of(viewer, Role.ORIGINATOR) is not None


def deals_disclosed(viewer: Viewer) -> QuerySet[Deal]:
    """Own deals of an originator, listed deals for everybody else."""
    if _originates(viewer):
        return deals_visible(viewer)
    return Deal.objects.filter(pk__in=_frozen(viewer, "deal"))


def deal_versions_disclosed(viewer: Viewer) -> QuerySet[DealVersion]:
    """Every version of an own deal; of a listed deal the frozen one and the template it was solved from."""
    if _originates(viewer):
        return deal_versions_visible(viewer)
    frozen = Q(pk__in=_frozen(viewer, "deal_version"))
    return DealVersion.objects.filter(frozen | Q(pk__in=_frozen(viewer, "rating_report__rating_run__template")))


def pools_disclosed(viewer: Viewer) -> QuerySet[Pool]:
    """Own pools of an originator, pools of listed deals for everybody else."""
    if _originates(viewer):
        return pools_visible(viewer)
    return Pool.objects.filter(deal__in=_frozen(viewer, "deal"))


def loans_disclosed(viewer: Viewer) -> QuerySet[Loan]:
    """The own register of an originator, loans of pools on offer for everybody else."""
    if _originates(viewer):
        return loans_visible(viewer)
    return Loan.objects.filter(pool__deal__in=_frozen(viewer, "deal", opened=True))


def rating_reports_disclosed(viewer: Viewer) -> QuerySet[RatingReport]:
    """Reports on own deals; of a listed deal the frozen one."""
    if _originates(viewer):
        return rating_reports_visible(viewer)
    return RatingReport.objects.filter(pk__in=_frozen(viewer, "rating_report"))


def price_reports_disclosed(viewer: Viewer) -> QuerySet[PriceReport]:
    """Reports on own deals; of a listed deal the frozen one."""
    if _originates(viewer):
        return price_reports_visible(viewer)
    return PriceReport.objects.filter(pk__in=_frozen(viewer, "price_report"))
