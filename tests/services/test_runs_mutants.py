"""The tests of the tests: take one guard of the runs away and an invariant breaks; beside it the real one holds.

What is mutated is written out here or put in place of one condition; nothing is simulated.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEvent, Organisation, Role
from accounts.services import audit_record, organisation_create
from runs import services
from runs.leases import Lease, chunk_claim, chunk_store, claimable
from runs.models import Chunk, ChunkState, Run, RunStatus
from runs.registry import register
from runs.selectors import run_result, stalled_runs
from runs.services import run_create, run_finalise, sweep, work_once
from tests.services.threads import at_once

KIND = "test.mutants"
PATIENCE = 30.0

computed: Counter[int] = Counter()
reducing = threading.Barrier(1)


def compute(params, seed, index, count) -> bytes:
    computed[index] += 1
    return b"%d;" % index


def reduce(params, parts) -> bytes:
    reducing.wait(timeout=PATIENCE)
    return b"".join(parts)


def complete(run: Run) -> None:
    audit_record(actor=None, verb="test.finished", subject=f"run:{run.pk}", payload={})


register(KIND, compute, reduce, complete)


@pytest.fixture(autouse=True)
def clean(settings) -> None:
    settings.REDIS_URL = ""
    computed.clear()
    together(1)


def together(parties: int) -> None:
    """From now on so many reductions wait for each other."""
    global reducing
    reducing = threading.Barrier(parties)


def organisation() -> Organisation:
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(chunks: int) -> Run:
    return run_create(kind=KIND, organisation=organisation(), seed=1, params={}, chunk_count=chunks)


# ------------------------------------------------------------------- run and chunks appear in one transaction
def half_a_run(chunks: int) -> Run:
    """What another process sees between the two transactions of a run that is not created in one."""
    return Run.objects.create(kind=KIND, organisation=organisation(), seed=1, params={}, chunk_count=chunks)


def test_mutant_created_in_two_transactions_and_finished_when_nothing_is_left_is_finished_empty(db, monkeypatch):
    run = half_a_run(chunks=3)
    assert not run_finalise(run_id=run.pk)  # the real one counts the chunks that are done
    monkeypatch.setattr(
        services,
        "_all_done",
        lambda run: not Chunk.objects.filter(run_id=run.pk).exclude(state=ChunkState.DONE).exists(),
    )
    assert run_finalise(run_id=run.pk)
    run.refresh_from_db()
    assert run_result(run) == b""


def test_mutant_created_in_two_transactions_and_killed_between_them_never_ends(db):
    run = half_a_run(chunks=3)
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=1))
    assert not work_once("w")
    assert sweep() == services.Swept(0, 0, 0)
    assert list(stalled_runs()) == [run]


@pytest.mark.django_db(transaction=True)
def test_a_creation_that_is_cut_off_leaves_nothing(monkeypatch):
    lender = organisation()

    def die(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Chunk.objects, "bulk_create", die)
    with pytest.raises(KeyboardInterrupt):
        run_create(kind=KIND, organisation=lender, seed=1, params={}, chunk_count=3)
    assert not Run.objects.exists()


# ------------------------------------------------------------------------------------- the claim is conditional
def race(run: Run, claim: Callable[[str], Lease | None]) -> tuple[int, int]:
    """Two workers race for the one chunk of `run`: how often it was computed, and its attempt afterwards."""

    def worker(number: int) -> None:
        lease = claim(f"w{number}")
        if lease is not None:
            chunk_store(lease=lease, part=compute({}, lease.seed, lease.index, lease.chunk_count))

    at_once(2, worker)
    return computed[0], Chunk.objects.get(run=run).attempt


@pytest.mark.django_db(transaction=True)
def test_a_chunk_raced_for_is_computed_once():
    assert race(make(chunks=1), lambda owner: chunk_claim(owner=owner)) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_mutant_claimed_without_condition_is_computed_twice_under_one_attempt():
    looked = threading.Barrier(2)

    def claim(owner: str) -> Lease | None:
        chunk = Chunk.objects.filter(claimable(timezone.now())).select_related("run").first()
        looked.wait(timeout=PATIENCE)
        if chunk is None:
            return None
        attempt = chunk.attempt + 1
        Chunk.objects.filter(pk=chunk.pk).update(state=ChunkState.LEASED, owner=owner, attempt=attempt)
        return Lease(chunk.pk, chunk.run_id, chunk.index, attempt, owner, KIND, 1, {}, 1)

    assert race(make(chunks=1), claim) == (2, 1)


# ------------------------------------------------------------------------------------- the store is conditional
def two_holders(run: Run) -> tuple[Lease, Lease]:
    """The chunk 0 of `run` leased to one worker, and after that lease ran out to another."""
    first = chunk_claim(owner="w1", run_id=run.pk, index=0)
    Chunk.objects.filter(run=run, index=0).update(lease_until=timezone.now() - timedelta(seconds=1))
    second = chunk_claim(owner="w2", run_id=run.pk, index=0)
    assert first is not None
    assert second is not None
    return first, second


def part_of(run: Run) -> bytes:
    """What the only chunk stored."""
    part = Chunk.objects.get(run=run).part
    assert part is not None
    return bytes(part)


def test_a_part_never_changes_once_it_is_done(db):
    run = make(chunks=1)
    first, second = two_holders(run)
    assert chunk_store(lease=second, part=b"good")
    assert run_finalise(run_id=run.pk)
    assert not chunk_store(lease=first, part=b"late")
    assert (part_of(run), run_result(Run.objects.get())) == (b"", b"good")  # a finished run needs its parts no more


def test_mutant_stored_without_condition_fills_the_part_of_a_finished_run_again(db):
    run = make(chunks=1)
    first, second = two_holders(run)
    chunk_store(lease=second, part=b"good")
    run_finalise(run_id=run.pk)
    Chunk.objects.filter(pk=first.chunk_id).update(state=ChunkState.DONE, part=b"late")
    assert part_of(run) == b"late" != run_result(Run.objects.get())


# --------------------------------------------------------------------------- finished only while it is running
def finish_twice_at_once() -> int:
    """Two finalisers that both found the run running; how often it was completed."""
    run = make(chunks=1)
    lease = chunk_claim(owner="w", run_id=run.pk)
    assert lease is not None
    chunk_store(lease=lease, part=b"x")
    together(2)
    at_once(2, lambda number: run_finalise(run_id=run.pk))
    return AuditEvent.objects.filter(verb="test.finished").count()


@pytest.mark.django_db(transaction=True)
def test_two_finalisers_complete_a_run_once():
    assert finish_twice_at_once() == 1


@pytest.mark.django_db(transaction=True)
def test_mutant_finished_without_looking_at_the_status_is_completed_twice(monkeypatch):
    monkeypatch.setitem(services.MOVES, RunStatus.DONE, frozenset({RunStatus.DONE}))
    assert finish_twice_at_once() == 2
