"""The right to compute a chunk: claimed for a while, prolonged, given back, and used up by storing the part.

Not here: what a failure means for the run, and when any of this is called (services.py).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
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

from runs.models import Chunk, ChunkState, RunStatus
from runs.registry import known_kinds

logger = logging.getLogger(__name__)

# Renewals come this many times within one lease, so that one that fails is made good by the next.
RENEWALS_PER_LEASE = 3
# A process that cannot compute a run chooses none of its chunks for so many leases: it would fail fastest and so
# take them all.
LEASES_ELSEWHERE = 4
_elsewhere: dict[UUID, float] = {}  # run: when, by time.monotonic, this process may try it again


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


def lease_length() -> timedelta:
    """How long a worker may be silent before its chunk is given to another (GLASSPOOL_LEASE_SECONDS)."""
    return timedelta(seconds=settings.GLASSPOOL_LEASE_SECONDS)


def owner_name() -> str:
    """A name no other worker has or had: host, process, and a random part."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"


def claimable(now: datetime) -> Q:
    """Chunks that nobody computes: todo, or leased to somebody whose lease ran out."""
    return Q(state=ChunkState.TODO) | Q(state=ChunkState.LEASED, lease_until__lt=now)


@transaction.atomic(durable=True)
def chunk_claim(*, owner: str, run_id: UUID | None = None, index: int | None = None) -> Lease | None:
    """Lease one claimable chunk of a running run to `owner`; None when there is none.

    run_id, index: only of this run, only this chunk. Chunks tried least come first, so that one that kills its
    workers does not keep the others waiting; then by index, so that runs take turns and a long one, or many of one
    organisation, do not keep a new one waiting. durable: committed on return, hence nothing is computed within it.
    """
    now = timezone.now()
    free = Chunk.objects.filter(
        claimable(now), run__status=RunStatus.RUNNING, run__kind__in=known_kinds(), attempt__lt=max_attempts()
    )
    if run_id is not None:
        free = free.filter(run_id=run_id)
    # A chunk that is named is taken and set aside again, since its message is used up.
    free = free.exclude(run_id__in=runs_elsewhere()) if index is None else free.filter(index=index)
    candidates = free.order_by("attempt", "index", "run__created_at")
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


def held(lease: Lease) -> Q:
    """The chunk while it is still leased to this holder, this time."""
    return Q(pk=lease.chunk_id, state=ChunkState.LEASED, owner=lease.owner, attempt=lease.attempt)


def chunk_renew(*, lease: Lease) -> bool:
    """Prolong the lease from now; False when it is lost to another."""
    return bool(Chunk.objects.filter(held(lease)).update(lease_until=timezone.now() + lease_length()))


def chunk_release(*, lease: Lease) -> bool:
    """Give the chunk back unharmed (a graceful stop): at once claimable, and the attempt does not count."""
    return bool(
        Chunk.objects.filter(held(lease)).update(
            state=ChunkState.TODO, owner="", lease_until=None, attempt=F("attempt") - 1
        )
    )


def chunk_set_aside(*, lease: Lease) -> bool:
    """Leave the chunk to another machine: claimable after one lease by anybody, and the attempt does not count.

    This process chooses no chunk of the run for LEASES_ELSEWHERE leases.
    """
    _elsewhere[lease.run_id] = time.monotonic() + LEASES_ELSEWHERE * lease_length().total_seconds()
    later = timezone.now() + lease_length()
    return bool(Chunk.objects.filter(held(lease)).update(owner="", lease_until=later, attempt=F("attempt") - 1))


def runs_elsewhere() -> list[UUID]:
    """The runs that this process leaves to other machines for now."""
    now = time.monotonic()
    for run_id, until in list(_elsewhere.items()):
        if until <= now:
            _elsewhere.pop(run_id, None)
    return list(_elsewhere)


@transaction.atomic(durable=True)
def chunk_store(*, lease: Lease, part: bytes) -> bool:
    """Store the part unless the chunk is done: the first finisher wins. False for a later one.

    The holder of a lost lease may be the first: its bits are the same as those its successor computes.
    """
    undone = Chunk.objects.filter(pk=lease.chunk_id).exclude(state=ChunkState.DONE)
    return bool(undone.update(state=ChunkState.DONE, part=part, owner=lease.owner, error=""))


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
