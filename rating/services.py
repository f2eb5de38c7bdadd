"""Writes of the rating side: credit models, and rating runs on the durable chunk table."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Min

from accounts.errors import ApplicationError
from accounts.models import User
from accounts.services import audit_record, claim
from pooling.artefacts import artefact_path
from pooling.engine.deal import DealSpec
from pooling.models import Deal, DealVersion, Pool, TapeUpload
from pooling.services import originator_of, own
from pooling.tapes import check_tape, month_name, month_number, outcomes, read_tape
from rating.engine.calibration import calibrate
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.engine.simulation import horizon_of
from rating.models import CreditModelVersion, RatingReport, RatingRun
from rating.runs import SCENARIOS_PER_CHUNK, SIMULATION, engine_params, flows_size, loans_of
from runs.registry import NotHere
from runs.services import run_cancel, run_create

SCENARIO_LIMITS = (64, 65_536)
# The flows of a simulation are one value of the database and, joined, several times that in a worker's memory.
MAX_FLOWS_BYTES = 400_000_000


def credit_model_store(*, model: CreditModel) -> CreditModelVersion:
    """Keep a credit model under its content hash; the same content is kept once."""
    stored, _ = CreditModelVersion.objects.get_or_create(
        pk=model.content_hash(), defaults={"name": model.name, "payload": model.to_json()}
    )
    return stored


def credit_model_calibrate(*, user: User, history: TapeUpload, pool: Pool) -> CreditModelVersion:
    """A credit model fitted to a history tape, for one pool.

    Every loan of the history is right-censored at the last month whose events could be known when the pool was put
    together: see knowledge_month. No outcome of the pool itself enters.
    """
    organisation = originator_of(user)
    own(history, organisation, "upload")
    own(pool, organisation, "pool")
    frame = outcomes(check_tape(read_tape(artefact_path(history.path), name=history.filename)))
    if frame is None:
        raise ApplicationError(
            f"The history tape {history.filename} knows no finished loan; give a tape with issue date, status,"
            " last payment date and principal received.",
            code="history_without_outcomes",
            field="calibrate",
        )
    cutoff = min(frame.data_end, knowledge_month(pool, frame.data_end))
    terms = sorted(set(pool.loans.values_list("term", flat=True).distinct()))
    try:
        model = calibrate(frame, cutoff_month=cutoff, terms=terms, source_sha256=history.sha256)
    except ValueError as error:
        raise ApplicationError(
            f"The history {history.filename} cannot serve this pool at {month_name(cutoff)}: {error}.",
            code="history_unfit",
            field="calibrate",
        ) from error
    return credit_model_store(model=model)


def knowledge_month(pool: Pool, default: int) -> int:
    """The last month (since January 1970) whose events may be known to the rating of a pool.

    A pool as of a date: that month. A pool aligned to origination: the month before its first loan was issued. A
    pool as it stands on its tape: default.
    """
    if pool.as_of and not pool.synthetic:
        return month_number(pool.as_of[:7])
    first = pool.loans.exclude(issue_month="").aggregate(first=Min("issue_month"))["first"]
    return month_number(first) - 1 if pool.synthetic and first else default


def rating_request(
    *,
    user: User,
    deal: Deal,
    idempotency_key: str,
    scenarios: int = 2048,
    seed: int = 7,
    credit_model: CreditModelVersion | None = None,
    chunk: int | None = None,
) -> RatingRun:
    """Start the simulation of a deal's pool; structuring and pricing follow it. Progress: rating.selectors.

    chunk: scenarios of one chunk, None for SCENARIOS_PER_CHUNK. The flows do not depend on it, so neither does the
    answer to a key that was used before.
    """
    organisation = originator_of(user)
    own(deal, organisation, "deal")
    low, high = SCENARIO_LIMITS
    if not low <= scenarios <= high or scenarios & (scenarios - 1):
        raise ApplicationError(
            f"scenarios is {scenarios}; take a power of two between {low} and {high}.", field="scenarios"
        )
    if not 0 <= seed < 2**63:
        raise ApplicationError(f"seed is {seed}; take a whole number from 0 to 2^63 - 1.", field="seed")
    chunk = min(SCENARIOS_PER_CHUNK if chunk is None else chunk, scenarios)
    if chunk < 1:
        raise ApplicationError(f"chunk is {chunk}; a chunk has at least one scenario.", field="chunk")
    template = deal.versions.get(number=1)
    with transaction.atomic():
        model = credit_model or credit_model_store(model=documented_model())
        _extent_checked(deal, template, model, scenarios)
        claimed = claim(
            organisation=organisation,
            key=idempotency_key,
            verb="rating_request",
            params={"deal": str(deal.pk), "scenarios": scenarios, "seed": seed, "credit_model": model.pk},
        )
        if not claimed.fresh:
            return RatingRun.objects.get(pk=claimed.subject_id)
        simulation = run_create(
            kind=SIMULATION,
            organisation=organisation,
            seed=seed,
            params={
                "loans_path": deal.pool.loans_path,
                "loans_digest": deal.pool.loans_digest,
                "credit_model": model.pk,
                "scenarios": scenarios,
                "chunk": chunk,
                **engine_params(
                    loans_of(deal.pool.loans_path, deal.pool.loans_digest), CreditModel.from_json(model.payload)
                ),
            },
            chunk_count=-(-scenarios // chunk),
        )
        rating_run = RatingRun.objects.create(
            deal=deal,
            template=template,
            credit_model=model,
            simulation=simulation,
            scenarios=scenarios,
            seed=seed,
        )
        claimed.settle(rating_run.pk)
        audit_record(
            actor=user,
            verb="rating.requested",
            subject=f"rating_run:{rating_run.pk}",
            payload={"deal": deal.pk, "scenarios": scenarios, "seed": seed, "credit_model": model.pk},
        )
    return rating_run


@transaction.atomic
def rating_cancel(*, user: User, rating_run: RatingRun, idempotency_key: str) -> RatingRun:
    """Stop a rating of the viewer's own deal that is still under way; what was computed of it is thrown away.

    ApplicationError(code="run_not_running") where it has ended before; asking for the same rating again starts afresh.
    """
    organisation = originator_of(user)
    own(rating_run.deal, organisation, "rating run")
    claimed = claim(
        organisation=organisation,
        key=idempotency_key,
        verb="rating_cancel",
        params={"rating_run": str(rating_run.pk)},
    )
    if not claimed.fresh:
        return RatingRun.objects.get(pk=claimed.subject_id)
    try:
        run_cancel(run_id=rating_run.simulation_id)
    except ApplicationError:
        # The simulation ends in the transaction that starts the structuring, so whichever is under way is known now.
        rating_run.refresh_from_db()
        if rating_run.structuring_id is None:
            raise
        run_cancel(run_id=rating_run.structuring_id)
    claimed.settle(rating_run.pk)
    audit_record(actor=user, verb="rating.cancelled", subject=f"rating_run:{rating_run.pk}", payload={})
    return rating_run


def _extent_checked(deal: Deal, template: DealVersion, model: CreditModelVersion, scenarios: int) -> None:
    """Legal final has to cover the longest loan and what it may still recover, and the flows have to fit."""
    try:
        loans = loans_of(deal.pool.loans_path, deal.pool.loans_digest)
    except NotHere as lack:
        raise ApplicationError(
            f"The loans of the pool {deal.pool.name} cannot be read at the moment; try again, and tell the operator"
            " if it stays so.",
            code="artefact_missing",
            field="deal",
        ) from lack
    needed = horizon_of(loans, CreditModel.from_json(model.payload))
    payments = DealSpec.from_json(template.spec).dates.payments
    if payments < needed:
        raise ApplicationError(
            f"dates.legal_final allows {payments} payments, but the longest loan and its recovery take {needed} months;"
            f" move it by at least {needed - payments} months.",
            code="legal_final_too_early",
            field="spec",
        )
    _size_checked(groups=len(set(loans.group.tolist())), months=needed, scenarios=scenarios)


def _size_checked(*, groups: int, months: int, scenarios: int) -> None:
    """Refuse flows larger than MAX_FLOWS_BYTES."""
    size = flows_size(groups, months, scenarios)
    if size <= MAX_FLOWS_BYTES:
        return
    fitting = [power for power in (2**n for n in range(17)) if flows_size(groups, months, power) <= MAX_FLOWS_BYTES]
    largest = max(fitting, default=0)
    mend = f"take at most {largest} scenarios" if largest >= SCENARIO_LIMITS[0] else "rate a pool of fewer groups"
    raise ApplicationError(
        f"scenarios is {scenarios}: over {months} months and {groups} collateral groups the flows take"
        f" {size / 1e6:,.0f} MB, and {MAX_FLOWS_BYTES / 1e6:,.0f} MB can be kept; {mend}.",
        code="simulation_too_large",
        field="scenarios",
    )


def rating_report_create(
    *,
    rating_run: RatingRun,
    deal_version: DealVersion,
    result: dict[str, object],
    manifest: dict[str, object],
    realised: dict[str, object] | None,
) -> RatingReport:
    """Store what a rating run found, in the caller's transaction."""
    return RatingReport.objects.create(
        rating_run=rating_run, deal_version=deal_version, result=result, manifest=manifest, realised=realised
    )
