"""What a user may see of price reports: an originator's own. The market's view is marketplace's."""

from __future__ import annotations

from django.db.models import QuerySet

from pooling.selectors import Viewer, originator_or_none
from pricing.models import PriceReport


def price_reports_visible(viewer: Viewer) -> QuerySet[PriceReport]:
    """Price reports of the originator's own deals."""
    organisation = originator_or_none(viewer)
    if organisation is None:
        return PriceReport.objects.none()
    return PriceReport.objects.filter(deal_version__deal__organisation=organisation)
