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
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseProblem
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation
from runs import dispatch
from runs.models import Chunk, ChunkState, Run, RunStatus
from runs.registry import kind_of, known_kinds
from runs.selectors import Progress, run_progress

logger = logging.getLogger(__name__)

MOVES: dict[str, frozenset[str]] = {
    RunStatus.RUNNING: frozenset({RunStatus.DONE, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.DONE: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}
MAX_CHUNKS = 100_000
REASON_LENGTH = 500
# Renewals come this many times within one lease, so that one that fails is made good by the next.
RENEWALS_PER_LEASE = 3
# One sweep sends at most this many wake-ups for one run: while no worker lives, queues must not grow without bound.
SWEEP_BATCH = 256
WAIT_SECONDS = 0.05


@dataclass(frozen=True)
class Lease:
    """The right to compute one chunk until the lease runs out. (owner, attempt) fences off whoever held it before."""

    chunk_id: int
    run_id: UUID
    index: int
    attempt: int
    owner: str
    kind: str
    seed: int
    params: Mapping[str, Any]
    chunk_count: int


@dataclass(frozen=True)
class Swept:
    """What one sweep did."""

    sent: int
    finalised: int
    failed: int


def lease_length() -> timedelta:
    """How long a worker may be silent before its chunk is given to another (GLASSPOOL_LEASE_SECONDS)."""
    return timedelta(seconds=settings.GLASSPOOL_LEASE_SECONDS)


def owner_name() -> str:
    """A name no other worker has or had: host, process, and a random part."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


# ---------------------------------------------------------------------------------------------------- the run
@transaction.atomic
def run_create(*, kind: str, organisation: Organisation, seed: int, params: Mapping[str, Any], chunk_count: int) -> Run:
    """A running run and all its chunks in one transaction; workers are woken when it commits.

    ApplicationError: kind not registered, or chunk_count not within 1 and MAX_CHUNKS.
    """
    kind_of(kind)
    if not 1 <= chunk_count <= MAX_CHUNKS:
        raise ApplicationError(
            f"chunk_count is {chunk_count}; it must lie between 1 and {MAX_CHUNKS}.", field="chunk_count"
        )
    run = Run.objects.create(
        kind=kind, organisation=organisation, seed=seed, params=dict(params), chunk_count=chunk_count
    )
    Chunk.objects.bulk_create((Chunk(run=run, index=index) for index in range(chunk_count)), batch_size=1_000)
    dispatch.chunks_send_on_commit(run.pk, range(chunk_count))
    return run


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
    run.error = reason[:REASON_LENGTH]
    _run_move(run, RunStatus.FAILED)
    logger.warning("run failed", extra={"run": run_id})
    return True


def _run_locked(run_id: UUID) -> Run | None:
    """The run under its row lock (SQLite: under the write lock of the IMMEDIATE transaction)."""
    return Run.objects.select_for_update().filter(pk=run_id).first()


def _run_move(run: Run, status: RunStatus) -> None:
    """Write the new status of a locked run."""
    run.status = status
    run.finished_at = timezone.now()
    run.save(update_fields=["status", "finished_at", "error", "result", "result_digest"])


# ------------------------------------------------------------------------------------------------- the chunks
def claimable(now: datetime) -> Q:
    """Chunks that nobody computes: todo, or leased to somebody whose lease ran out."""
    return Q(state=ChunkState.TODO) | Q(state=ChunkState.LEASED, lease_until__lt=now)


@transaction.atomic(durable=True)
def chunk_claim(*, owner: str, run_id: UUID | None = None, index: int | None = None) -> Lease | None:
    """Lease one claimable chunk of a running run to `owner`; None when there is none.

    run_id, index: only of this run, only this chunk. Chunks tried least come first, so that one that kills its
    workers does not keep the others waiting. durable: committed on return, hence nothing is computed within it.
    """
    now = timezone.now()
    free = Chunk.objects.filter(
        claimable(now), run__status=RunStatus.RUNNING, run__kind__in=known_kinds(), attempt__lt=max_attempts()
    )
    if run_id is not None:
        free = free.filter(run_id=run_id)
    if index is not None:
        free = free.filter(index=index)
    candidates = free.order_by("attempt", "run__created_at", "index")
    if connection.features.has_select_for_update_skip_locked:
        candidates = candidates.select_for_update(skip_locked=True, of=("self",))
    chunk = candidates.select_related("run").defer("part", "run__result").first()
    if chunk is None:
        return None
    taken = Chunk.objects.filter(claimable(now), pk=chunk.pk, attempt=chunk.attempt).update(
        state=ChunkState.LEASED, owner=owner, lease_until=now + lease_length(), attempt=F("attempt") + 1
    )
    if not taken:
        return None
    run = chunk.run
    return Lease(
        chunk.pk, run.pk, chunk.index, chunk.attempt + 1, owner, run.kind, run.seed, run.params, run.chunk_count
    )


def max_attempts() -> int:
    """How often a chunk may be claimed before it fails its run (GLASSPOOL_CHUNK_ATTEMPTS)."""
    return int(settings.GLASSPOOL_CHUNK_ATTEMPTS)


def _held(lease: Lease) -> Q:
    """The chunk while it is still leased to this holder, this time."""
    return Q(pk=lease.chunk_id, state=ChunkState.LEASED, owner=lease.owner, attempt=lease.attempt)


def chunk_renew(*, lease: Lease) -> bool:
    """Prolong the lease from now; False when it is lost to another."""
    return bool(Chunk.objects.filter(_held(lease)).update(lease_until=timezone.now() + lease_length()))


def chunk_release(*, lease: Lease) -> bool:
    """Give the chunk back unharmed (a graceful stop): at once claimable, and the attempt does not count."""
    return bool(
        Chunk.objects.filter(_held(lease)).update(
            state=ChunkState.TODO, owner="", lease_until=None, attempt=F("attempt") - 1
        )
    )


@transaction.atomic(durable=True)
def chunk_store(*, lease: Lease, part: bytes) -> bool:
    """Store the part unless the chunk is done: the first finisher wins. False for a later one.

    The holder of a lost lease may be the first: its bits are the same as those its successor computes.
    """
    undone = Chunk.objects.filter(pk=lease.chunk_id).exclude(state=ChunkState.DONE)
    return bool(undone.update(state=ChunkState.DONE, part=part, owner=lease.owner, error=""))


def chunk_fail(*, lease: Lease, reason: str) -> None:
    """Note why the attempt failed. The chunk is tried again, or fails its run when it was tried often enough."""
    noted = Chunk.objects.filter(_held(lease)).update(
        state=ChunkState.TODO, owner="", lease_until=None, error=reason[:REASON_LENGTH]
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
    except Exception as error:  # whatever a kind may raise becomes the reason of the run, and nothing else stops
        logger.exception("chunk %d failed in attempt %d", lease.index, lease.attempt, extra={"run": lease.run_id})
        chunk_fail(lease=lease, reason=f"{type(error).__name__}: {error}")
        return True
    except BaseException:  # the process is told to stop
        chunk_release(lease=lease)
        raise
    chunk_store(lease=lease, part=part)
    run_finalise(run_id=lease.run_id)
    return True


def work_once(owner: str) -> bool:
    """Compute any one claimable chunk of any running run; False when there is none."""
    return chunk_work(owner=owner)


@contextmanager
def lease_kept(lease: Lease) -> Iterator[None]:
    """Renews the lease from a thread of its own while the body runs; a kind need not know of leases."""
    stop = threading.Event()
    beat = lease_length().total_seconds() / RENEWALS_PER_LEASE

    def renew() -> None:
        try:
            while not stop.wait(beat):
                try:
                    if not chunk_renew(lease=lease):
                        return
                except DatabaseProblem:
                    logger.warning("lease of chunk %d not renewed", lease.index, extra={"run": lease.run_id})
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=renew, name=f"lease-{lease.index}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


# -------------------------------------------------------------------------------------------------- the result
def run_finalise(*, run_id: UUID) -> bool:
    """Reduce the parts and finish the run if every chunk is done and nobody has; True for the one who did.

    Several may reduce at once, from the same immutable parts to the same bytes; the row lock lets one finish. When
    reduce or complete raises, the run fails with that reason and nothing of complete remains.
    """
    run = Run.objects.filter(pk=run_id, status=RunStatus.RUNNING).defer("result").first()
    if run is None or not _all_done(run):
        return False
    kind = kind_of(run.kind)
    parts = Chunk.objects.filter(run_id=run_id).order_by("index").values_list("part", flat=True)
    try:
        result = kind.reduce(run.params, [bytes(part) for part in parts if part is not None])
        return _run_finish(run_id, result)
    except DatabaseProblem:
        raise
    except Exception as error:  # a kind may raise anything, and trying again would raise it again
        logger.exception("run could not be finished", extra={"run": run_id})
        run_fail(run_id=run_id, reason=f"The result could not be made: {type(error).__name__}: {error}")
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
    """Repair what was lost: wake-ups are sent again, complete runs finished, hopeless ones failed. Safe at any time."""
    sent = finalised = failed = 0
    running = Run.objects.filter(status=RunStatus.RUNNING, kind__in=known_kinds()).order_by("created_at")
    for run_id in list(running.values_list("pk", flat=True)):
        lost = _chunk_hopeless(run_id)
        if lost is not None:
            failed += run_fail(run_id=run_id, reason=lost)
            continue
        finalised += run_finalise(run_id=run_id)
        sent += _chunks_resend(run_id)
    return Swept(sent, finalised, failed)


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
    if chunks.filter(state=ChunkState.LEASED, lease_until__gte=now).exists():
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
