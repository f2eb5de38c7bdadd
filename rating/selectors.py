"""What a user may see of rating runs and reports: an originator's own. The market's view is marketplace's."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from pooling.selectors import Viewer, originator_or_none
from rating.models import RatingReport, RatingRun
from runs.models import RunStatus
from runs.selectors import run_progress


@dataclass(frozen=True)
class RatingProgress:
    """done of total chunks of the current stage ("simulation" or "structuring"); status as of a run."""

    stage: str
    done: int
    total: int
    status: str
    error: str


def rating_runs_visible(viewer: Viewer) -> QuerySet[RatingRun]:
    """Rating runs of the originator's own deals."""
    organisation = originator_or_none(viewer)
    if organisation is None:
        return RatingRun.objects.none()
    return RatingRun.objects.filter(deal__organisation=organisation)


def rating_reports_visible(viewer: Viewer) -> QuerySet[RatingReport]:
    """Rating reports of the originator's own deals."""
    organisation = originator_or_none(viewer)
    if organisation is None:
        return RatingReport.objects.none()
    return RatingReport.objects.filter(rating_run__deal__organisation=organisation)


def rating_progress(rating_run: RatingRun) -> RatingProgress:
    """How far a rating run is: the simulation first, then the structuring that follows it."""
    simulation = run_progress(rating_run.simulation)
    if simulation.status != RunStatus.DONE or rating_run.structuring is None:
        return RatingProgress("simulation", simulation.done, simulation.total, simulation.status, simulation.error)
    structuring = run_progress(rating_run.structuring)
    return RatingProgress("structuring", structuring.done, structuring.total, structuring.status, structuring.error)
