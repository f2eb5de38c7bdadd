"""Credit models and rating reports, each with the manifest that lets anyone run it again.

Not here: prices.
"""

from __future__ import annotations

import uuid

from django.db import models

from pooling.models import Deal, DealVersion
from runs.models import Run


class CreditModelVersion(models.Model):
    """An immutable set of default, prepayment and recovery assumptions, keyed by its content."""

    digest = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=200)
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)


class RatingRun(models.Model):
    """A request to rate a deal: the simulation run, then the structuring run that follows it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, related_name="rating_runs")
    template = models.ForeignKey(DealVersion, on_delete=models.PROTECT, related_name="+")
    credit_model = models.ForeignKey(CreditModelVersion, on_delete=models.PROTECT, related_name="+")
    simulation = models.OneToOneField(Run, on_delete=models.PROTECT, related_name="+")
    structuring = models.OneToOneField(Run, on_delete=models.PROTECT, null=True, related_name="+")
    scenarios = models.PositiveIntegerField()
    seed = models.BigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)


class RatingReport(models.Model):
    """What a rating run found: the loss distribution and each class's indicative rating with its interval."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    rating_run = models.OneToOneField(RatingRun, on_delete=models.PROTECT, related_name="report")
    deal_version = models.ForeignKey(DealVersion, on_delete=models.PROTECT, related_name="rating_reports")
    result = models.JSONField()
    manifest = models.JSONField()
    # {"loss", "quantile_of_prediction"} of a finished pool, set beside the result and never part of it.
    realised = models.JSONField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)


class Surveillance(models.Model):
    """A rating done again on the pool as it stands after `month` months: result, and the manifest to do it again.

    month 0 is the rating itself. The row names its report; the performance it rests on is in the manifest by digest.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    report = models.ForeignKey(RatingReport, on_delete=models.PROTECT, related_name="surveillance")
    month = models.PositiveSmallIntegerField(help_text="months after cut-off")
    period = models.CharField(max_length=7, blank=True, help_text="YYYY-MM, blank at cut-off")
    scenarios = models.PositiveIntegerField()
    seed = models.BigIntegerField()
    result = models.JSONField()
    manifest = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["report_id", "month", "created_at"]
        constraints = [
            # The same months, scenarios and seed give the same bytes: one row is enough.
            models.UniqueConstraint(fields=["report", "month", "scenarios", "seed"], name="one_rerating_per_month"),
        ]
