"""The run kind `pricing.sensitivities`: one chunk a stress, a matrix row, a driver, or the reverse stress of a rating.

The result is the run's own bytes, found by the rating report in its parameters: it follows from the report, so that
nothing of it needs a table of its own. Not here: the arithmetic (sensitivities.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import transaction

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role, User
from accounts.services import audit_record, claim
from pooling.engine.deal import DealSpec
from pricing.reports import ENGINE, build
from pricing.sensitivities import Sensitivities, assemble, unit_count
from rating.models import RatingReport
from rating.runs import loans_of, model_of, scenarios_of
from runs.models import Run, RunStatus
from runs.registry import register
from runs.services import run_create

SENSITIVITIES = "pricing.sensitivities"
MOST_SCENARIOS, FEWEST_SCENARIOS = 1024, 64
# Loans times scenarios of one simulation: about a second of one processor.
MOST_DRAWS = 25_000_000


def scenario_count(loans: int, rated: int) -> int:
    """Scenarios of a sensitivity run: a power of two, no more than the rating had, fewer for large pools."""
    count = MOST_SCENARIOS
    while count > FEWEST_SCENARIOS and (count > rated or count * loans > MOST_DRAWS):
        count //= 2
    return count


@lru_cache(maxsize=2)
def _work(report_id: str, scenarios: int) -> Sensitivities:
    """The bench of a report, once per process: its chunks share loans, base case and waterfall."""
    report = RatingReport.objects.select_related("rating_run__deal__pool", "deal_version").get(pk=report_id)
    rating_run = report.rating_run
    pool = rating_run.deal.pool
    made_of = (pool.loans_path, pool.loans_digest)
    return Sensitivities(
        loans=loans_of(*made_of),
        model=model_of(rating_run.credit_model_id),
        spec=DealSpec.from_json(report.deal_version.spec),
        pool=pool.balance,
        scenarios=scenarios_of(*made_of, rating_run.credit_model_id, scenarios, rating_run.seed),
    )


def sensitivities_compute(params: Mapping[str, Any], seed: int, index: int, count: int) -> bytes:
    """One unit as canonical JSON."""
    return _canonical(_work(params["rating_report"], params["scenarios"]).unit(index))


def sensitivities_reduce(params: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """All units in one object, with what made them."""
    result = assemble([json.loads(part) for part in parts])
    result["made_by"] |= {"rating_report": params["rating_report"], "glasspool": ENGINE, "build": build()}
    return _canonical(result)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sensitivities_request(*, user: User, report: RatingReport, idempotency_key: str) -> Run:
    """Start the sensitivities of a rating, or give back the run that is under way or done.

    For the deal's originator and for analysts; the caller took the report from a selector for this user. The run is of
    the user's organisation; its result follows from the report alone.
    """
    organisation = user.organisation
    if organisation is None or organisation.role not in (Role.ORIGINATOR, Role.ANALYST):
        raise NotFound("rating")
    deal = report.rating_run.deal
    if organisation.role == Role.ORIGINATOR and deal.organisation_id != organisation.pk:
        raise NotFound("rating")
    scenarios = scenario_count(deal.pool.loan_count, report.rating_run.scenarios)
    params = {"rating_report": str(report.pk), "scenarios": scenarios}
    with transaction.atomic():
        claimed = claim(organisation=organisation, key=idempotency_key, verb="sensitivities_request", params=params)
        if not claimed.fresh:
            return Run.objects.get(pk=claimed.subject_id)
        # Whoever asks second is answered by the first one's run: it would be the same bytes.
        RatingReport.objects.select_for_update().get(pk=report.pk)
        run = sensitivities_run(report)
        if run is None or run.status not in (RunStatus.RUNNING, RunStatus.DONE):
            run = run_create(
                kind=SENSITIVITIES,
                organisation=organisation,
                seed=report.rating_run.seed,
                params=params,
                chunk_count=unit_count(),
            )
            audit_record(
                actor=user,
                verb="sensitivities.requested",
                subject=f"rating_report:{report.pk}",
                payload={"run": run.pk, "scenarios": scenarios},
            )
        claimed.settle(run.pk)
    return run


def sensitivities_run(report: RatingReport) -> Run | None:
    """The newest sensitivity run of a report, without its bytes, whoever asked for it: it discloses no more than the
    report, which the caller took from a selector."""
    rows = Run.objects.filter(kind=SENSITIVITIES, params__rating_report=str(report.pk))
    return rows.defer("result").order_by("-created_at").first()


def sensitivities_result(run: Run) -> dict[str, Any]:
    """The stored result of a run that is done. ApplicationError(code="run_not_done") for any other."""
    if run.status != RunStatus.DONE or run.result is None:
        raise ApplicationError(f"The run is {run.status} and has no result.", code="run_not_done")
    found: dict[str, Any] = json.loads(bytes(run.result))
    return found


def sensitivities_done(report: RatingReport) -> dict[str, Any] | None:
    """The result of a report's newest run, None where it is not done."""
    run = sensitivities_run(report)
    return None if run is None or run.status != RunStatus.DONE else sensitivities_result(run)


def kinds_register() -> None:
    """Called by the app's ready()."""
    register(SENSITIVITIES, sensitivities_compute, sensitivities_reduce)
