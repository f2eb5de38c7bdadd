"""Dated market snapshots and price reports.

Not here: orders.
"""

from __future__ import annotations

import uuid

from django.db import models

from pooling.models import DealVersion
from rating.models import RatingReport


class MarketSnapshotVersion(models.Model):
    """An immutable, dated set of market figures, keyed by its content."""

    digest = models.CharField(max_length=64, primary_key=True)
    as_of = models.DateField()
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)


class PriceReport(models.Model):
    """Prices of the classes of one deal version: figures for people, base-case flows for settlement."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deal_version = models.ForeignKey(DealVersion, on_delete=models.PROTECT, related_name="price_reports")
    rating_report = models.OneToOneField(RatingReport, on_delete=models.PROTECT, related_name="price_report")
    snapshot = models.ForeignKey(MarketSnapshotVersion, on_delete=models.PROTECT, related_name="+")
    result = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
