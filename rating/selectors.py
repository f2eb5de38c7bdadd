"""What a user may see of rating runs and reports: an originator's own. The market's view is marketplace's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.db.models import Q, QuerySet

from accounts.errors import NotFound
from pooling.selectors import Viewer, originator_or_none
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.models import CreditModelVersion, RatingReport, RatingRun
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


# ----------------------------------------------------------------------------------------- assumption sets
@dataclass(frozen=True)
class AssumptionSet:
    """A credit model that a viewer may read. model: None where the stored one has another version's fields; payload:
    as stored. stored_at: None for the documented curve of this build, which nobody has to have used."""

    digest: str
    name: str
    payload: dict[str, object]
    model: CreditModel | None
    stored_at: datetime | None


def credit_models_visible(viewer: Viewer, reports: QuerySet[RatingReport]) -> QuerySet[CreditModelVersion]:
    """Credit models behind `reports`, which the caller took from a selector for this viewer, and behind an
    originator's own rating runs: who may see what came out may see what went in."""
    behind = Q(pk__in=reports.order_by().values("rating_run__credit_model"))
    own = Q(pk__in=rating_runs_visible(viewer).order_by().values("credit_model"))
    return CreditModelVersion.objects.filter(behind | own).order_by("-created_at", "digest")


def assumption_sets(viewer: Viewer, reports: QuerySet[RatingReport]) -> list[AssumptionSet]:
    """The visible credit models, newest first, and the documented curve of this build, which is public."""
    found = [_assumption_set(row) for row in credit_models_visible(viewer, reports)]
    documented = documented_set()
    return found if documented.digest in {each.digest for each in found} else [*found, documented]


def assumption_set(viewer: Viewer, reports: QuerySet[RatingReport], digest: str) -> AssumptionSet:
    """One of assumption_sets. Raises NotFound."""
    row = credit_models_visible(viewer, reports).filter(pk=digest).first()
    if row is not None:
        return _assumption_set(row)
    if digest == documented_set().digest:
        return documented_set()
    raise NotFound("assumption set")


@lru_cache(maxsize=1)
def documented_set() -> AssumptionSet:
    """The documented curve as this build has it."""
    model = documented_model()
    return AssumptionSet(model.content_hash(), model.name, model.to_json(), model, None)


def _assumption_set(row: CreditModelVersion) -> AssumptionSet:
    try:
        model = CreditModel.from_json(row.payload)
    except ValueError:
        model = None  # stored by a version with other fields: the page shows it as it is
    return AssumptionSet(row.pk, row.name, row.payload, model, row.created_at)
