"""The life of a run: created whole, claimed under leases, stored and finished once, failed with a reason."""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.errors import ApplicationError, NotFound
from accounts.models import AuditEvent, Organisation, Role
from accounts.services import organisation_create
from runs import dispatch, services
from runs.leases import Lease, chunk_claim, chunk_release, chunk_renew, chunk_store, lease_length
from runs.models import Chunk, ChunkState, Run, RunStatus
from runs.registry import known_kinds, register
from runs.selectors import Progress, run_progress, run_result
from runs.services import chunk_fail, chunk_work, run_cancel, run_create, run_finalise, run_until_done, sweep, work_once
from tests.live.kinds import PHILOX_SUMS
from tests.services.threads import at_once

PARAMS = {"scenarios": 40, "draws": 50}
PATIENCE = 20.0  # seconds until a test that waits for another thread gives up


@pytest.fixture(autouse=True)
def no_broker(settings) -> None:
    """These tests work by hand: nothing is sent, even where a broker is at hand."""
    settings.REDIS_URL = ""


@pytest.fixture
def organisation(request: pytest.FixtureRequest) -> Organisation:
    marker = request.node.get_closest_marker("django_db")
    request.getfixturevalue("transactional_db" if marker and marker.kwargs.get("transaction") else "db")
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(organisation: Organisation, chunks: int = 4, kind: str = PHILOX_SUMS, **params: object) -> Run:
    return run_create(kind=kind, organisation=organisation, seed=7, params=PARAMS | params, chunk_count=chunks)


def expire(run: Run) -> None:
    """Let the leases of the run have run out a second ago."""
    past = timezone.now() - timedelta(seconds=1)
    Chunk.objects.filter(run=run, state=ChunkState.LEASED).update(lease_until=past)


def chunk(run: Run, index: int = 0) -> Chunk:
    return Chunk.objects.get(run=run, index=index)


def claimed(owner: str, run_id: UUID | None = None, index: int | None = None) -> Lease:
    """A claim that must succeed."""
    lease = chunk_claim(owner=owner, run_id=run_id, index=index)
    assert lease is not None
    return lease


def part_of(run: Run) -> bytes:
    """What the first chunk stored."""
    part = chunk(run).part
    assert part is not None
    return bytes(part)


def lease_end(run: Run) -> datetime:
    """When the lease of the first chunk runs out."""
    until = chunk(run).lease_until
    assert until is not None
    return until


# --------------------------------------------------------------------------------------------------- creation
def test_a_run_is_created_with_all_its_chunks(organisation):
    run = make(organisation, chunks=5)
    assert run.status == RunStatus.RUNNING
    assert list(run.chunks.values_list("index", "state", "attempt")) == [(i, "todo", 0) for i in range(5)]


def test_workers_are_woken_when_the_creation_commits_and_not_before(organisation, django_capture_on_commit_callbacks):
    dispatch.wake.clear()
    with django_capture_on_commit_callbacks() as callbacks:
        make(organisation)
    assert not dispatch.wake.is_set()
    assert len(callbacks) == 1
    callbacks[0]()
    assert dispatch.wake.is_set()


@pytest.mark.parametrize("chunks", [0, -1, services.MAX_CHUNKS + 1])
def test_a_run_has_a_sensible_number_of_chunks(organisation, chunks):
    with pytest.raises(ApplicationError) as refused:
        make(organisation, chunks=chunks)
    assert refused.value.field == "chunk_count"
    assert not Run.objects.exists()


def test_a_run_is_of_a_registered_kind(organisation):
    with pytest.raises(ApplicationError) as refused:
        make(organisation, kind="test.unheard_of")
    assert (refused.value.code, refused.value.field) == ("unknown_kind", "kind")


def test_a_kind_keeps_its_functions():
    assert PHILOX_SUMS in known_kinds()
    with pytest.raises(ValueError, match="registered already"):
        register(PHILOX_SUMS, lambda *_: b"", lambda *_: b"")
    with pytest.raises(ValueError, match="1 to 60"):
        register("x" * 61, lambda *_: b"", lambda *_: b"")


# ---------------------------------------------------------------------------------------------------- results
@pytest.mark.parametrize("chunks", [1, 3, 40])
def test_the_result_does_not_depend_on_the_number_of_chunks(organisation, chunks):
    whole = run_until_done(make(organisation, chunks=7).pk)
    run = run_until_done(make(organisation, chunks=chunks).pk)
    assert run.status == RunStatus.DONE
    assert run_result(run) == run_result(whole)
    assert run.result_digest == hashlib.sha256(run_result(run)).hexdigest()
    assert run.finished_at is not None


def test_the_result_does_not_depend_on_the_order_of_the_chunks(organisation):
    forward, backward = make(organisation, chunks=6), make(organisation, chunks=6)
    run_until_done(forward.pk)
    for index in reversed(range(6)):
        assert chunk_work(owner="w", run_id=backward.pk, index=index)
    forward.refresh_from_db()
    backward.refresh_from_db()
    assert backward.status == RunStatus.DONE
    assert backward.result_digest == forward.result_digest


def test_progress_is_reported_after_every_chunk(organisation):
    seen: list[Progress] = []
    run = run_until_done(make(organisation, chunks=3).pk, on_progress=seen.append)
    assert [(each.done, each.total) for each in seen] == [(1, 3), (2, 3), (3, 3)]
    assert [each.status for each in seen] == ["running", "running", "done"]
    assert run_progress(run).fraction == 1.0


def test_a_run_that_is_not_there_is_not_found(db):
    with pytest.raises(NotFound):
        run_until_done(Run().pk)


# ----------------------------------------------------------------------------------------------------- claims
def test_a_claim_takes_one_chunk_for_the_length_of_the_lease(organisation):
    run = make(organisation, chunks=2)
    before = timezone.now()
    lease = claimed(owner="w1")
    assert (lease.index, lease.attempt, lease.owner, lease.kind, lease.seed) == (0, 1, "w1", PHILOX_SUMS, 7)
    held = chunk(run)
    assert (held.state, held.attempt, held.owner) == (ChunkState.LEASED, 1, "w1")
    assert lease_end(run) >= before + lease_length()
    assert claimed(owner="w2").index == 1
    assert chunk_claim(owner="w3") is None


def test_a_lease_that_ran_out_is_claimed_again(organisation):
    run = make(organisation, chunks=1)
    first = claimed(owner="w1")
    assert chunk_claim(owner="w2", run_id=run.pk, index=0) is None
    expire(run)
    second = claimed(owner="w2", run_id=run.pk, index=0)
    assert (second.index, second.attempt) == (first.index, 2)


def test_chunks_tried_least_come_first(organisation):
    run = make(organisation, chunks=2)
    claimed(owner="w1")
    expire(run)
    assert [claimed(owner="w2").index for _ in range(2)] == [1, 0]


def test_kinds_unknown_to_this_process_are_left_to_others(organisation):
    run = make(organisation)
    Run.objects.filter(pk=run.pk).update(kind="later.version")
    assert chunk_claim(owner="w") is None
    assert sweep().sent == 0


@pytest.mark.django_db(transaction=True)
def test_chunks_claimed_at_once_go_to_one_worker_each(organisation):
    run = make(organisation, chunks=4)

    def claim_all(number: int) -> list[int]:
        found = []
        while (lease := chunk_claim(owner=f"w{number}")) is not None:
            found.append(lease.index)
        return found

    claims = at_once(8, claim_all)
    assert sorted(index for found in claims for index in found) == [0, 1, 2, 3]
    assert set(run.chunks.values_list("attempt", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_nothing_is_computed_inside_a_transaction(organisation):
    make(organisation)
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        work_once("w")


def test_who_lost_the_lease_cannot_touch_it(organisation):
    run = make(organisation, chunks=1)
    old = claimed(owner="w1")
    expire(run)
    new = claimed(owner="w2")
    until = lease_end(run)
    assert not chunk_renew(lease=old)
    assert not chunk_release(lease=old)
    chunk_fail(lease=old, reason="late")
    held = chunk(run)
    assert (held.state, held.owner, held.lease_until, held.error) == (ChunkState.LEASED, "w2", until, "")
    assert chunk_renew(lease=new)
    assert lease_end(run) > until


def test_a_chunk_given_back_is_free_at_once_and_the_attempt_does_not_count(organisation):
    run = make(organisation, chunks=1)
    assert chunk_release(lease=claimed(owner="w1"))
    assert (chunk(run).state, chunk(run).attempt) == (ChunkState.TODO, 0)
    assert claimed(owner="w2").attempt == 1


@pytest.mark.django_db(transaction=True)
def test_a_chunk_longer_than_its_lease_is_renewed(organisation, settings):
    settings.GLASSPOOL_LEASE_SECONDS = 0.3
    run = make(organisation, chunks=1, kind=WATCHED)
    started = timezone.now()
    assert work_once("w1")
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    assert chunk(run).attempt == 1
    assert timezone.now() - started > lease_length()


def watch(params, seed, index, count) -> bytes:
    """Ends when the lease was renewed twice, which takes longer than half of it; another claim would be seen."""
    ends, patience = set(), threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        ends.add(Chunk.objects.get(run__kind=WATCHED).lease_until)
        if len(ends) > 3:
            return b"renewed"
        assert chunk_claim(owner="thief") is None
        patience.wait(0.05)
    raise AssertionError("the lease was never renewed")


WATCHED = "test.watched"
register(WATCHED, watch, lambda params, parts: b"".join(parts))


# ------------------------------------------------------------------------------------------ storing, finishing
def test_the_first_finisher_wins(organisation):
    run = make(organisation, chunks=2)
    slow = claimed(owner="w1")
    expire(run)
    fast = claimed(owner="w2", run_id=run.pk, index=0)
    assert chunk_store(lease=fast, part=b"first")
    assert not chunk_store(lease=slow, part=b"second")
    assert part_of(run) == b"first"


def test_who_lost_the_lease_may_still_be_the_first(organisation):
    run = make(organisation, chunks=2)
    slow = claimed(owner="w1")
    expire(run)
    claimed(owner="w2", run_id=run.pk, index=0)
    assert chunk_store(lease=slow, part=b"first")
    assert chunk(run).state == ChunkState.DONE


def test_a_run_is_finished_only_when_every_chunk_is_done(organisation):
    run = make(organisation, chunks=2)
    chunk_work(owner="w", run_id=run.pk, index=1)
    assert not run_finalise(run_id=run.pk)
    chunk_work(owner="w", run_id=run.pk, index=0)
    assert Run.objects.get(pk=run.pk).status == RunStatus.DONE
    assert not run_finalise(run_id=run.pk)
    assert completions(run) == 1


def completions(run: Run) -> int:
    return AuditEvent.objects.filter(verb="test.completed", subject=f"run:{run.pk}").count()


@pytest.mark.django_db(transaction=True)
def test_finalisers_at_once_finish_once(organisation):
    run = make(organisation, chunks=2)
    for index in range(2):
        lease = claimed(owner="w", run_id=run.pk, index=index)
        chunk_store(lease=lease, part=bytes(8))
    answers = at_once(6, lambda number: run_finalise(run_id=run.pk))
    assert sum(answers) == 1
    assert completions(run) == 1


def complete_badly(run: Run) -> None:
    organisation_create(name="left behind", role=Role.ANALYST)
    raise ValueError("no such deal")


register("test.bad_complete", lambda *_: b"x", lambda params, parts: b"".join(parts), complete_badly)
register("test.bad_reduce", lambda *_: b"x", lambda params, parts: b"%d" % (1 // 0))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("test.bad_complete", "ValueError: no such deal"), ("test.bad_reduce", "ZeroDivisionError: ")],
)
def test_a_run_whose_result_cannot_be_made_fails_and_leaves_nothing(organisation, kind, reason):
    run = run_until_done(make(organisation, chunks=2, kind=kind).pk)
    assert run.status == RunStatus.FAILED
    assert run.error.startswith(f"The result could not be made: {reason}")
    assert run.result is None
    with pytest.raises(ApplicationError, match="is failed and has no result: The result could not be made"):
        run_result(run)
    assert not Organisation.objects.filter(name="left behind").exists()


# ------------------------------------------------------------------------------------------- failing, cancelling
def test_a_poison_chunk_fails_its_run_with_the_reason(organisation, settings):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 3
    run = run_until_done(make(organisation, chunks=4, poison=2).pk)
    assert run.status == RunStatus.FAILED
    assert run.error == "Chunk 2 failed 3 times: ValueError: scenario 2 is poison"
    assert list(run.chunks.values_list("attempt", flat=True)) == [1, 1, 3, 1]
    assert not work_once("w")


def test_a_chunk_that_kills_its_workers_fails_its_run(organisation, settings):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 2
    run = make(organisation, chunks=1)
    for owner in ("w1", "w2"):
        chunk_claim(owner=owner)
        assert sweep().failed == 0
        expire(run)
    assert chunk_claim(owner="w3") is None
    assert sweep().failed == 1
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.error == "Chunk 0 failed 2 times: its last worker (w2) died or went silent"


def test_a_reason_is_cut_to_its_length(organisation, settings):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 1
    run = make(organisation, chunks=1)
    chunk_fail(lease=claimed(owner="w"), reason="x" * 10_000)
    run.refresh_from_db()
    assert (run.status, len(run.error)) == (RunStatus.FAILED, services.REASON_LENGTH)


def interrupt(params, seed, index, count) -> bytes:
    raise KeyboardInterrupt


register("test.interrupted", interrupt, lambda params, parts: b"")


def test_a_worker_told_to_stop_gives_its_chunk_back(organisation):
    run = make(organisation, chunks=1, kind="test.interrupted")
    with pytest.raises(KeyboardInterrupt):
        work_once("w")
    assert (chunk(run).state, chunk(run).attempt, chunk(run).error) == (ChunkState.TODO, 0, "")


def test_a_cancelled_run_is_left_alone(organisation):
    run = make(organisation, chunks=2)
    lease = claimed(owner="w")
    chunk_work(owner="w", run_id=run.pk, index=1)
    assert run_cancel(run_id=run.pk).status == RunStatus.CANCELLED
    assert chunk_store(lease=lease, part=bytes(8))
    assert not run_finalise(run_id=run.pk)
    assert not work_once("w")
    assert sweep() == services.Swept(0, 0, 0)
    assert run_until_done(run.pk).status == RunStatus.CANCELLED
    with pytest.raises(ApplicationError, match="is cancelled and cannot become cancelled"):
        run_cancel(run_id=run.pk)


def test_a_run_cancelled_while_it_is_reduced_stays_cancelled(organisation):
    run = make(organisation, chunks=1, kind="test.cancels_itself")
    assert work_once("w")
    run.refresh_from_db()
    assert (run.status, run.result) == (RunStatus.CANCELLED, None)


def cancel_while_reducing(params, parts) -> bytes:
    run_cancel(run_id=Run.objects.get(kind="test.cancels_itself").pk)
    return b"".join(parts)


register("test.cancels_itself", lambda *_: b"x", cancel_while_reducing)


def test_a_finished_run_cannot_be_cancelled_and_an_unknown_one_is_not_found(organisation):
    run = run_until_done(make(organisation).pk)
    with pytest.raises(ApplicationError, match="is done and cannot become cancelled"):
        run_cancel(run_id=run.pk)
    with pytest.raises(NotFound):
        run_cancel(run_id=Run().pk)


# ---------------------------------------------------------------------------------------------------- the sweep
@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices that were given to the broker."""
    found: list[int] = []
    monkeypatch.setattr(dispatch, "chunks_send", lambda run_id, indices: found.extend(indices))
    return found


def test_the_sweep_finishes_a_run_whose_worker_died_after_its_last_store(organisation):
    run = make(organisation, chunks=1)
    chunk_store(lease=claimed(owner="w"), part=bytes(8))
    assert sweep() == services.Swept(sent=0, finalised=1, failed=0)
    assert Run.objects.get(pk=run.pk).status == RunStatus.DONE
    assert sweep() == services.Swept(0, 0, 0)


def test_the_sweep_sends_chunks_again_whose_lease_ran_out(organisation, sent):
    run = make(organisation, chunks=3)
    claimed(owner="w1")
    expire(run)
    claimed(owner="w2")
    assert sweep().sent == 1
    assert sent == [0]


def test_the_sweep_sends_waiting_chunks_only_of_runs_that_nobody_works_on_and_not_too_often(organisation, sent):
    run = make(organisation, chunks=3)
    lease = claimed(owner="w1")
    assert sweep().sent == 0  # w1 is at work: the messages of the others are still on their way
    chunk_release(lease=lease)
    assert sweep().sent == 3
    assert sweep().sent == 0  # one lease long they are given time to arrive
    run.chunks.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert sweep().sent == 3
    assert sent == [0, 1, 2, 0, 1, 2]
    assert chunk_claim(owner="w2") is not None  # being sent keeps nobody from claiming it


def test_the_sweep_sends_no_more_than_its_batch(organisation, sent, monkeypatch):
    monkeypatch.setattr(services, "SWEEP_BATCH", 2)
    make(organisation, chunks=5)
    assert [sweep().sent for _ in range(4)] == [2, 2, 1, 0]
    assert sent == [0, 1, 2, 3, 4]
