"""Durable background work: a run and its chunks. Celery distributes, these rows remember.

Not here: any knowledge of what a run computes.
"""

from __future__ import annotations

import uuid

from django.db import models

from accounts.models import Organisation


class RunStatus(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChunkState(models.TextChoices):
    TODO = "todo"
    LEASED = "leased"
    DONE = "done"


class Run(models.Model):
    """One computation of a registered kind, cut into chunks and reduced in their order."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="runs")
    seed = models.BigIntegerField()
    params = models.JSONField()
    chunk_count = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.RUNNING)
    result = models.BinaryField(null=True)
    result_digest = models.CharField(max_length=64, default="")
    error = models.TextField(default="")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(chunk_count__gte=1), name="run_has_chunks"),
            models.CheckConstraint(
                condition=~models.Q(status="done") | ~models.Q(result_digest=""), name="done_run_has_result"
            ),
        ]


class Chunk(models.Model):
    """One part of a run. attempt counts claims; part holds the bytes of the first finisher."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="chunks")
    index = models.PositiveIntegerField()
    state = models.CharField(max_length=6, choices=ChunkState.choices, default=ChunkState.TODO)
    attempt = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=80, default="")
    lease_until = models.DateTimeField(null=True)
    part = models.BinaryField(null=True)
    error = models.TextField(default="")

    class Meta:
        ordering = ["run_id", "index"]
        constraints = [
            models.UniqueConstraint(fields=["run", "index"], name="one_chunk_per_index"),
            models.CheckConstraint(
                condition=~models.Q(state="done") | models.Q(part__isnull=False), name="done_chunk_has_part"
            ),
        ]
        indexes = [models.Index(fields=["state", "lease_until"], name="chunk_claimable")]
