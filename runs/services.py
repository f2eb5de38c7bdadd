"""The life of a run: created whole, computed chunk by chunk under leases, reduced in order, finished once.

    claim    a short transaction: todo, or a lease that ran out; attempt + 1
    compute  outside any transaction, the lease renewed meanwhile
    store    unless already done: the first finisher wins, a duplicate holds the same bits
    finalise reduce outside a transaction; then, under the run's row lock and only while it is running, finish

Any process may die at any line: what it held is claimed again when its lease runs out. Not here: what is computed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation
from runs import dispatch
from runs.leases import (
    Lease,
    chunk_claim,
    chunk_release,
    chunk_set_aside,
    chunk_store,
    claimable,
    held,
    lease_kept,
    lease_length,
    max_attempts,
    owner_name,
    runs_elsewhere,
)
from runs.models import Chunk, ChunkState, Run, RunStatus
from runs.registry import NotHere, kind_of, known_kinds
from runs.selectors import Progress, run_progress

logger = logging.getLogger(__name__)

MOVES: dict[str, frozenset[str]] = {
    RunStatus.RUNNING: frozenset({RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.DONE: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
MAX_CHUNKS = 100_000
MAX_RUNNING = 8  # runs of one organisation at a time: the workers and the space for parts are everybody's
# PostgreSQL takes 1 GB in one message, in which bytes are written as twice as many hexadecimal digits.
MAX_RESULT_BYTES = 500_000_000
# The database is away or busy: worth another try. Any other error of it is its answer, and would be the same again.
TRANSIENT = (OperationalError, InterfaceError)
REASON_LENGTH = 500
# One sweep sends at most this many wake-ups for one run: while no worker lives, queues must not grow without bound.
SWEEP_BATCH = 256
WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Swept:
    """What one sweep did. skipped: runs it could not look after, which are in the log."""

    sent: int
    finalised: int
    failed: int
    skipped: int = 0


# ---------------------------------------------------------------------------------------------------- the run
@transaction.atomic
def run_create(
    *,
    kind: str,
    organisation: Organisation,
    seed: int,
    params: Mapping[str, Any],
    chunk_count: int,
    follow_up: bool = False,
) -> Run:
    """A running run and all its chunks in one transaction; workers are woken when it commits.

    follow_up: it continues a run that ends in this transaction, so it is never one too many.
    ApplicationError: kind not registered, chunk_count not within 1 and MAX_CHUNKS, or code="too_many_runs".
    """
    kind_of(kind)
    if not 1 <= chunk_count <= MAX_CHUNKS:
        raise ApplicationError(
            f"chunk_count is {chunk_count}; it must lie between 1 and {MAX_CHUNKS}.", field="chunk_count"
        )
    if not follow_up:
        _room_for_a_run(organisation)
    run = Run.objects.create(
        kind=kind, organisation=organisation, seed=seed, params=dict(params), chunk_count=chunk_count
    )
    Chunk.objects.bulk_create((Chunk(run=run, index=index) for index in range(chunk_count)), batch_size=1_000)
    dispatch.chunks_send_on_commit(run.pk, range(chunk_count))
    return run


def _room_for_a_run(organisation: Organisation) -> None:
    """Refuse one run too many. The lock on the organisation lets two requests not both be the last one.

    no_key: rows that point to the organisation are inserted meanwhile, and the caller's own cause no deadlock.
    """
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    running = Run.objects.filter(organisation=organisation, status=RunStatus.RUNNING).count()
    if running >= MAX_RUNNING:
        raise ApplicationError(
            f"{organisation.name} has {running} runs under way and may have {MAX_RUNNING}; wait until one is over.",
            code="too_many_runs",
        )


@transaction.atomic
def run_cancel(*, run_id: UUID) -> Run:
    """Cancel a running run; what is being computed is thrown away. ApplicationError when it is no longer running."""
    run = _run_locked(run_id)
    if run is None:
        raise NotFound("run")
    if RunStatus.CANCELLED not in MOVES[run.status]:
        raise ApplicationError(
            f"The run is {run.status} and cannot become {RunStatus.CANCELLED}.", code="run_not_running"
        )
    _run_move(run, RunStatus.CANCELLED)
    return run


@transaction.atomic
def run_fail(*, run_id: UUID, reason: str) -> bool:
    """Fail a running run with its reason; False when it had finished before."""
    run = _run_locked(run_id)
    if run is None or RunStatus.FAILED not in MOVES[run.status]:
        return False
    run.error = _cut(reason)
    _run_move(run, RunStatus.FAILED)
    logger.warning("run failed", extra={"run": run_id})
    return True


def _cut(reason: str) -> str:
    """A reason as it fits its column; PostgreSQL keeps no NUL."""
    return reason.replace("\0", "")[:REASON_LENGTH]


def _reason(error: Exception) -> str:
    """Kind and words of an error; of one of the operating system without the path, which is the server's."""
    words = error.strerror if isinstance(error, OSError) and error.filename is not None else error
    return f"{type(error).__name__}: {words}"


def _run_locked(run_id: UUID) -> Run | None:
    """The run under its row lock (SQLite: under the write lock of the IMMEDIATE transaction)."""
    return Run.objects.select_for_update().filter(pk=run_id).first()


def _run_move(run: Run, status: RunStatus) -> None:
    """Write the new status of a locked run, which ends it: its parts have served, and are as large as the result."""
    run.status = status
    run.finished_at = timezone.now()
    run.save(update_fields=["status", "finished_at", "error", "result", "result_digest"])
    Chunk.objects.filter(run=run, state=ChunkState.DONE).update(part=b"")


# ------------------------------------------------------------------------------------------------- the chunks
def chunk_fail(*, lease: Lease, reason: str) -> None:
    """Note why the attempt failed. The chunk is tried again, or fails its run when it was tried often enough."""
    noted = Chunk.objects.filter(held(lease)).update(
        state=ChunkState.TODO, owner="", lease_until=None, error=_cut(reason)
    )
    if not noted:
        return
    if lease.attempt >= max_attempts():
        run_fail(run_id=lease.run_id, reason=f"Chunk {lease.index} failed {lease.attempt} times: {reason}")
    else:
        dispatch.chunks_send(lease.run_id, [lease.index])


def chunk_work(*, owner: str, run_id: UUID | None = None, index: int | None = None) -> bool:
    """Claim, compute, store, and finalise after the last one. True when a chunk was claimed, even if it failed."""
    lease = chunk_claim(owner=owner, run_id=run_id, index=index)
    if lease is None:
        return False
    kind = kind_of(lease.kind)
    try:
        with lease_kept(lease):
            part = kind.compute(lease.params, lease.seed, lease.index, lease.chunk_count)
    except ApplicationError as refusal:  # the input is at fault, and trying again would refuse it again
        run_fail(run_id=lease.run_id, reason=refusal.message)
        return True
    except NotHere as lack:
        logger.warning("chunk %d is left to another machine: %s", lease.index, lack, extra={"run": lease.run_id})
        chunk_set_aside(lease=lease)
        return True
    except Exception as error:  # whatever a kind may raise becomes the reason of the run, and nothing else stops
        logger.exception("chunk %d failed in attempt %d", lease.index, lease.attempt, extra={"run": lease.run_id})
        chunk_fail(lease=lease, reason=_reason(error))
        return True
    except BaseException:  # the process is told to stop
        chunk_release(lease=lease)
        raise
    try:
        chunk_store(lease=lease, part=part)
    except TRANSIENT:
        raise
    except Exception as error:  # the database refuses the part, for instance because it is too large
        logger.exception("part %d was refused in attempt %d", lease.index, lease.attempt, extra={"run": lease.run_id})
        chunk_fail(lease=lease, reason=_reason(error))
        return True
    run_finalise(run_id=lease.run_id)
    return True


def work_once(owner: str) -> bool:
    """Compute any one claimable chunk of any running run; False when there is none."""
    return chunk_work(owner=owner)


# -------------------------------------------------------------------------------------------------- the result
def run_finalise(*, run_id: UUID) -> bool:
    """Reduce the parts and finish the run if every chunk is done and nobody has; True for the one who did.

    Several may reduce at once, from the same immutable parts to the same bytes; the row lock lets one finish. When
    reduce or complete raises, or the database refuses what they made, the run fails with that reason and nothing of
    complete remains. Raises TRANSIENT only: then it is tried again.
    """
    run = Run.objects.filter(pk=run_id, status=RunStatus.RUNNING).defer("result").first()
    if run is None or not _all_done(run):
        return False
    parts = list(Chunk.objects.filter(run_id=run_id).order_by("index").values_list("part", flat=True))
    # Parts are emptied by the transaction that ends the run: still running after they were read, they were whole.
    if not Run.objects.filter(pk=run_id, status=RunStatus.RUNNING).exists():
        return False
    try:
        result = kind_of(run.kind).reduce(run.params, [bytes(part) for part in parts if part is not None])
        if len(result) > MAX_RESULT_BYTES:
            raise ValueError(f"it has {len(result)} bytes, and at most {MAX_RESULT_BYTES} can be kept")
        return _run_finish(run_id, result)
    except TRANSIENT:
        raise
    except Exception as error:  # a kind may raise anything, and trying again would raise it again
        logger.exception("run could not be finished", extra={"run": run_id})
        run_fail(run_id=run_id, reason=f"The result could not be made: {_reason(error)}")
        return False


def _all_done(run: Run) -> bool:
    """Whether as many chunks are done as the run was created with."""
    return Chunk.objects.filter(run_id=run.pk, state=ChunkState.DONE).count() == run.chunk_count


@transaction.atomic(durable=True)
def _run_finish(run_id: UUID, result: bytes) -> bool:
    """Result, status and the kind's own rows appear together, under the run's row lock, while it is still running."""
    run = _run_locked(run_id)
    if run is None or RunStatus.DONE not in MOVES[run.status] or not _all_done(run):
        return False
    run.result = result
    run.result_digest = hashlib.sha256(result).hexdigest()
    _run_move(run, RunStatus.DONE)
    complete = kind_of(run.kind).complete
    if complete is not None:
        complete(run)
    return True


# --------------------------------------------------------------------------------------------------- the sweep
def sweep() -> Swept:
    """Repair what was lost: wake-ups are sent again, complete runs finished, hopeless ones failed. Safe at any time.

    A run that cannot be looked after is logged and skipped: it is no reason to leave the others alone.
    """
    sent = finalised = failed = skipped = 0
    running = Run.objects.filter(status=RunStatus.RUNNING, kind__in=known_kinds()).order_by("created_at")
    for run_id in list(running.values_list("pk", flat=True)):
        try:
            lost = _chunk_hopeless(run_id)
            if lost is not None:
                failed += run_fail(run_id=run_id, reason=lost)
                continue
            finalised += run_finalise(run_id=run_id)
            sent += _chunks_resend(run_id)
        except Exception:  # whatever it is, the next run may be in order
            logger.exception("run could not be looked after", extra={"run": run_id})
            connection.close_if_unusable_or_obsolete()
            skipped += 1
    return Swept(sent, finalised, failed, skipped)


def _chunk_hopeless(run_id: UUID) -> str | None:
    """Why the run cannot be finished: a chunk that has used up its attempts and that nobody computes."""
    chunk = (
        Chunk.objects.filter(claimable(timezone.now()), run_id=run_id, attempt__gte=max_attempts())
        .defer("part")
        .order_by("index")
        .first()
    )
    if chunk is None:
        return None
    why = chunk.error or f"its last worker ({chunk.owner}) died or went silent"
    return f"Chunk {chunk.index} failed {chunk.attempt} times: {why}"


def _chunks_resend(run_id: UUID) -> int:
    """Send chunks whose lease ran out and, when nobody works on the run at all, chunks whose message may be lost.

    lease_until of a todo chunk is the time before which it is not sent again; for a chunk sent at the creation of
    its run it is empty, and a run that nobody works on is sent once more.
    """
    now = timezone.now()
    chunks = Chunk.objects.filter(run_id=run_id)
    due = claimable(now)
    # One set aside has no owner: nobody works on it.
    if chunks.filter(state=ChunkState.LEASED, lease_until__gte=now).exclude(owner="").exists():
        due = Q(state=ChunkState.LEASED, lease_until__lt=now)
    silent = Q(lease_until=None) | Q(lease_until__lt=now)
    indices = list(chunks.filter(due & silent).order_by("index").values_list("index", flat=True)[:SWEEP_BATCH])
    if indices:
        chunks.filter(state=ChunkState.TODO, index__in=indices).update(lease_until=now + lease_length())
        dispatch.chunks_send(run_id, indices)
    return len(indices)


# ------------------------------------------------------------------------------------------- in the foreground
def run_until_done(run_id: UUID, on_progress: Callable[[Progress], None] | None = None) -> Run:
    """Compute the run in this thread, beside whoever else does, until it is done, failed or cancelled.

    on_progress is called with the runs.selectors.Progress after every chunk. The caller looks at run.status.
    ApplicationError(code="run_not_here"): this machine cannot compute it; the run goes on without it.
    """
    owner = owner_name()
    while True:
        worked = chunk_work(owner=owner, run_id=run_id)
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise NotFound("run")
        if on_progress is not None:
            on_progress(run_progress(run))
        if run.status != RunStatus.RUNNING:
            return run
        if run_id in runs_elsewhere():
            raise ApplicationError(
                "This machine does not have the files that the run needs; let it share GLASSPOOL_ARTEFACTS with the"
                " machine that stored them, or start a worker there.",
                code="run_not_here",
            )
        if not worked:
            _run_repair(run_id)
            time.sleep(WAIT_SECONDS)


def _run_repair(run_id: UUID) -> None:
    """What the sweep does for one run, without wake-ups: nobody else may be there to sweep."""
    lost = _chunk_hopeless(run_id)
    if lost is not None:
        run_fail(run_id=run_id, reason=lost)
    else:
        run_finalise(run_id=run_id)
