"""The main job end to end, through the services everybody uses: tape, pool, rating, prices, auction, settlement.

Each stage is one or a few service calls; nothing is done here that a user of the API could not do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from accounts.errors import ApplicationError
from accounts.models import User
from marketplace.cast import Cast, cast_fund
from marketplace.models import Listing
from marketplace.services.auctions import auction_close
from marketplace.services.demo import mandates_bid
from marketplace.services.listings import listing_create, listing_open
from marketplace.services.settlement import listing_settle
from pooling.models import Deal, Pool, TapeUpload
from pooling.services import deal_create, pool_create, tape_import, tape_upload
from pricing.market import default_snapshot
from rating.models import CreditModelVersion, RatingRun
from rating.services import credit_model_calibrate, rating_request
from runs.models import Run, RunStatus
from runs.services import run_until_done

CHUNK_BYTES = 1 << 20
# progress(stage, done, total)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """What to securitize and how. as_of as pool_create; spec: DealSpec JSON or None; calibrate: history tape."""

    tape: Path
    spec: str | None = None
    calibrate: Path | None = None
    as_of: str = ""
    scenarios: int = 2048
    seed: int = 7
    settle: bool = True


@dataclass
class Stopwatch:
    """Seconds by stage, in the order they ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def file_upload(user: User, path: Path, key: str) -> TapeUpload:
    """Upload a file from disk, in blocks."""
    try:
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(CHUNK_BYTES), b"")
            return tape_upload(user=user, filename=path.name, stream=blocks, idempotency_key=key)
    except OSError as error:
        raise ApplicationError(
            f"The tape {path} cannot be read: {error.strerror}.", code="tape_missing", field="tape"
        ) from error


def securitize(*, job: Job, cast: Cast, progress: Progress, watch: Stopwatch, key: str) -> Listing:
    """Run the job as the cast; key makes every step repeatable: a second call with it goes on where the first ended."""
    pool, deal = _package(job, cast, progress, watch, key)
    with watch.stage("calibrate"):
        model = _model(job, cast, pool, key)
    rate(_rating_run(job, cast, deal, model, key), progress, watch)
    with watch.stage("list"):
        listing = listing_create(user=cast.originator, deal=deal, idempotency_key=f"{key}/listing")
        listing_open(user=cast.originator, listing=listing, idempotency_key=f"{key}/open")
    with watch.stage("bids"):
        mandates = cast_fund(deal_cents=pool.balance, cast=cast, key=key)
        mandates_bid(listing=listing, mandates=mandates, seed=job.seed)
    if job.settle:
        with watch.stage("auction"):
            auction_close(user=cast.operator, listing=listing, idempotency_key=f"{key}/close")
        with watch.stage("settle"):
            listing_settle(user=cast.operator, listing=listing, idempotency_key=f"{key}/settle")
    return Listing.objects.get(pk=listing.pk)


def _package(job: Job, cast: Cast, progress: Progress, watch: Stopwatch, key: str) -> tuple[Pool, Deal]:
    progress("reading the tape", 0, 1)
    with watch.stage("tape"):
        upload = file_upload(cast.originator, job.tape, f"{key}/upload")
        tape = tape_import(user=cast.originator, upload=upload, idempotency_key=f"{key}/tape")
    progress("reading the tape", 1, 1)
    name = job.tape.name.split(".")[0]
    with watch.stage("pool"):
        pool = pool_create(
            user=cast.originator, tape=tape, name=name, as_of=job.as_of, idempotency_key=f"{key}/pool"
        )
        deal = deal_create(
            user=cast.originator,
            pool=pool,
            name=name,
            spec=job.spec,
            closing=default_snapshot().as_of,  # the day the prices are of: the same call gives the same deal
            idempotency_key=f"{key}/deal",
        )
    return pool, deal


def _model(job: Job, cast: Cast, pool: Pool, key: str) -> CreditModelVersion | None:
    if job.calibrate is None:
        return None
    history = file_upload(cast.originator, job.calibrate, f"{key}/history")
    return credit_model_calibrate(user=cast.originator, history=history, pool=pool)


def _rating_run(
    job: Job, cast: Cast, deal: Deal, model: CreditModelVersion | None, key: str
) -> RatingRun:
    """The run of this job; where an earlier start's failed, one after it: its key answers with the failed one."""
    for attempt in count():
        rating_run = rating_request(
            user=cast.originator,
            deal=deal,
            scenarios=job.scenarios,
            seed=job.seed,
            credit_model=model,
            idempotency_key=f"{key}/rating/{attempt}",
        )
        runs = [rating_run.simulation, *([rating_run.structuring] if rating_run.structuring else [])]
        if all(run.status in (RunStatus.RUNNING, RunStatus.DONE) for run in runs):
            return rating_run
    raise AssertionError  # count() does not end


def rate(rating_run: RatingRun, progress: Progress, watch: Stopwatch) -> None:
    """Work through simulation and structuring in this process; ApplicationError when either fails."""
    with watch.stage("simulate"):
        _drain(rating_run.simulation, "simulating", progress)
    rating_run.refresh_from_db()
    if rating_run.structuring is None:
        raise ApplicationError("The simulation ended without a structuring run.", code="run_failed")
    with watch.stage("structure"):
        _drain(rating_run.structuring, "sizing, rating and pricing", progress)


def _drain(run: Run, stage: str, progress: Progress) -> None:
    ended = run_until_done(run.pk, on_progress=lambda state: progress(stage, state.done, state.total))
    if ended.status != RunStatus.DONE:
        raise ApplicationError(f"{stage.capitalize()} {ended.status}: {ended.error}", code="run_failed")
