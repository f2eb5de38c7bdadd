"""Reads of the runs: progress, what a viewer may see, and runs on which nothing happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.errors import ApplicationError, NotFound
from accounts.models import User
from runs.models import Chunk, ChunkState, Run, RunStatus

STALLED_AFTER = timedelta(minutes=2)


@dataclass(frozen=True)
class Progress:
    """How far a run is: chunks done of total, its status, and why it failed."""

    done: int
    total: int
    status: str
    error: str

    @property
    def fraction(self) -> float:
        """Share of the chunks that are done, 0 to 1."""
        return self.done / self.total


def run_progress(run: Run) -> Progress:
    """Counted from the chunks, never stored."""
    done = Chunk.objects.filter(run_id=run.pk, state=ChunkState.DONE).count()
    return Progress(done, run.chunk_count, run.status, run.error)


def run_result(run: Run) -> bytes:
    """The bytes of a run that is done; else ApplicationError(code="run_not_done"), with the reason of a failure."""
    if run.status != RunStatus.DONE or run.result is None:
        why = f": {run.error}" if run.error else ""
        raise ApplicationError(f"The run is {run.status} and has no result{why}.", code="run_not_done")
    return bytes(run.result)  # PostgreSQL's driver gives a memoryview


def runs_visible(viewer: User | AnonymousUser | None) -> QuerySet[Run]:
    """The runs of the viewer's own organisation; nothing for anybody without one."""
    if not isinstance(viewer, User) or not viewer.is_active or viewer.organisation_id is None:
        return Run.objects.none()
    return Run.objects.filter(organisation_id=viewer.organisation_id)


def run_visible(viewer: User | AnonymousUser | None, run_id: UUID | str) -> Run:
    """One of `runs_visible`, or NotFound."""
    try:
        run = runs_visible(viewer).filter(pk=run_id).first()
    except (ValidationError, ValueError):
        run = None
    if run is None:
        raise NotFound("run")
    return run


def stalled_runs(after: timedelta = STALLED_AFTER) -> QuerySet[Run]:
    """Running runs older than `after` of which no chunk has been held within that time.

    No worker is there, none can compute them, or all are busy with other runs: background_stalled() tells.
    """
    since = timezone.now() - after
    alive = _signs_of_life(since).filter(run_id=OuterRef("pk"))
    return Run.objects.filter(Q(status=RunStatus.RUNNING), ~Exists(alive), created_at__lt=since)


def background_stalled(after: timedelta = STALLED_AFTER) -> bool:
    """Whether runs wait for longer than `after` while no chunk of any run was held: nobody computes anything."""
    return stalled_runs(after).exists() and not _signs_of_life(timezone.now() - after).exists()


def _signs_of_life(since: datetime) -> QuerySet[Chunk]:
    """Chunks held since then. A chunk keeps owner and end of its lease when it is done; one set aside has no owner."""
    held = Chunk.objects.filter(state__in=[ChunkState.LEASED, ChunkState.DONE], lease_until__gte=since)
    return held.exclude(owner="")
