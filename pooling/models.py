"""Tapes, the register of loans, pools and deals.

Not here: probabilities, prices.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from accounts.models import Organisation


class TapeUpload(models.Model):
    """A file as it came in. path is relative to the artefact folder."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="uploads")
    filename = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.BigIntegerField()
    path = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)


class TapeVersion(models.Model):
    """An immutable reading of a tape: its canonical rows and their Merkle root."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="tapes")
    upload = models.ForeignKey(TapeUpload, on_delete=models.PROTECT, related_name="versions")
    name = models.CharField(max_length=200)
    root = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    accepted = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField()
    reasons = models.JSONField(default=dict)
    quality = models.JSONField(default=dict)
    rows_path = models.CharField(max_length=200, help_text="typed rows of the engines (Parquet)")
    rows_digest = models.CharField(max_length=64)
    canonical_path = models.CharField(max_length=200, help_text="canonical rows behind the root (Parquet)")
    errors_path = models.CharField(max_length=200, default="", help_text="refused rows and why (CSV)")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rows=models.F("accepted") + models.F("rejected")), name="tape_rows_accounted_for"
            )
        ]


class Pool(models.Model):
    """The loans of one tape that passed eligibility, as of one date. loans_path holds them as arrays."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="pools")
    tape = models.ForeignKey(TapeVersion, on_delete=models.PROTECT, related_name="pools")
    name = models.CharField(max_length=200)
    as_of = models.CharField(max_length=20, blank=True, help_text="as asked for; blank: balances of the tape")
    label = models.CharField(max_length=200)
    synthetic = models.BooleanField(default=False)
    rules = models.JSONField(default=list)
    loan_count = models.PositiveIntegerField()
    excluded = models.PositiveIntegerField()
    exclusions = models.JSONField(default=dict)
    balance = models.BigIntegerField(help_text="cents")
    wac = models.DecimalField(max_digits=9, decimal_places=6, help_text="annual fraction")
    wam_months = models.DecimalField(max_digits=7, decimal_places=2)
    stratifications = models.JSONField(default=dict)
    realised_loss = models.DecimalField(
        max_digits=12, decimal_places=9, null=True, help_text="fraction of balance; set beside, never used in, a rating"
    )
    loans_path = models.CharField(max_length=200)
    loans_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(balance__gt=0), name="pool_has_balance")]


class Loan(models.Model):
    """One loan of the register. is_open: its originator may sell it; one open owner per fingerprint.

    balance is the tape's; cutoff_balance, age and remaining_term are set when a pool takes the loan.
    """

    tape = models.ForeignKey(TapeVersion, on_delete=models.PROTECT, related_name="loans")
    pool = models.ForeignKey(Pool, on_delete=models.PROTECT, null=True, related_name="loans")
    loan_id = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    is_open = models.BooleanField(default=True)
    balance = models.BigIntegerField(help_text="cents")
    rate = models.DecimalField(max_digits=9, decimal_places=6, help_text="annual fraction")
    term = models.PositiveSmallIntegerField(help_text="months")
    grade = models.CharField(max_length=8, default="")
    score = models.PositiveSmallIntegerField(null=True)
    state = models.CharField(max_length=40, default="")
    purpose = models.CharField(max_length=80, default="")
    income_band = models.CharField(max_length=20, default="")
    issue_month = models.CharField(max_length=7, default="", help_text="YYYY-MM")
    cutoff_balance = models.BigIntegerField(null=True, help_text="cents")
    age = models.PositiveSmallIntegerField(null=True, help_text="months")
    remaining_term = models.PositiveSmallIntegerField(null=True, help_text="months")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=Q(is_open=True), name="one_open_owner_per_loan"
            ),
            models.UniqueConstraint(fields=["tape", "loan_id"], name="loan_id_unique_in_tape"),
            models.CheckConstraint(condition=Q(balance__gt=0), name="loan_has_balance"),
            models.CheckConstraint(condition=Q(pool__isnull=True) | Q(is_open=True), name="pooled_loan_is_open"),
        ]
        indexes = [models.Index(fields=["pool", "grade", "id"], name="loan_by_pool")]


class Deal(models.Model):
    """A package: a pool and, by version, its capital structure and waterfall."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="deals")
    pool = models.OneToOneField(Pool, on_delete=models.PROTECT, related_name="deal")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)


class DealVersion(models.Model):
    """An immutable DealSpec. Version 1 is the template as given; later versions carry a solution."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["deal_id", "number"]
        constraints = [models.UniqueConstraint(fields=["deal", "number"], name="one_spec_per_deal_version")]


class PerformanceTape(models.Model):
    """One month of a deal's pool as its servicer reports it; immutable, in order, without gaps.

    content_digest: of the figures, whatever file they came in. rows_path: the same as Parquet.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, related_name="performance")
    number = models.PositiveSmallIntegerField(help_text="months after cut-off, from 1")
    period = models.CharField(max_length=7, help_text="YYYY-MM")
    rows = models.PositiveIntegerField()
    balance = models.BigIntegerField(help_text="cents owed by all loans at the end of the month")
    source = models.CharField(max_length=200, help_text="file name, or how the month was made")
    file_sha256 = models.CharField(max_length=64, default="", blank=True)
    content_digest = models.CharField(max_length=64)
    rows_path = models.CharField(max_length=200)
    rows_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["deal_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["deal", "number"], name="one_tape_per_month"),
            models.CheckConstraint(condition=Q(number__gt=0) & Q(balance__gte=0), name="performance_month_counts"),
        ]
