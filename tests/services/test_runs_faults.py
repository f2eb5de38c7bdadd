"""What the database refuses, what a machine lacks, and what would be too much: one run's trouble stays its own."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.errors import ApplicationError
from accounts.models import Organisation, Role
from accounts.services import organisation_create
from runs import dispatch, leases, services, worker
from runs.models import Chunk, ChunkState, Run, RunStatus
from runs.registry import NotHere, register
from runs.selectors import background_stalled, run_progress, run_result, stalled_runs
from runs.services import (
    MAX_RUNNING,
    chunk_work,
    run_cancel,
    run_create,
    run_finalise,
    run_until_done,
    sweep,
    work_once,
)
from runs.worker import InProcessWorker
from tests.live.kinds import PHILOX_SUMS
from tests.services.threads import at_once

PARAMS = {"scenarios": 40, "draws": 50}
PATIENCE = 20.0
PATH = "/srv/secret/artefacts/ab/abc.loans"


@pytest.fixture(autouse=True)
def alone(settings) -> None:
    settings.REDIS_URL = ""
    leases._elsewhere.clear()


@pytest.fixture
def organisation(request: pytest.FixtureRequest) -> Organisation:
    marker = request.node.get_closest_marker("django_db")
    request.getfixturevalue("transactional_db" if marker and marker.kwargs.get("transaction") else "db")
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(organisation: Organisation, kind: str = PHILOX_SUMS, chunks: int = 1) -> Run:
    return run_create(kind=kind, organisation=organisation, seed=7, params=PARAMS, chunk_count=chunks)


def all_stored(run: Run) -> Run:
    """Every part is there, as after the death of the worker that stored the last one."""
    run.chunks.update(state=ChunkState.DONE, part=b"x", owner="w", attempt=1)
    return run


def status(run: Run) -> str:
    return Run.objects.get(pk=run.pk).status


def joined(params, parts) -> bytes:
    return b"".join(parts)


def compute_x(params, seed, index, count) -> bytes:
    return b"x"


# ----------------------------------------------------------------------------------- the database refuses a run
def break_uniqueness(run: Run) -> None:
    Chunk.objects.create(run=run, index=0)


def divide(run: Run) -> None:
    """DataError: a value too large for SQLite, a division by zero for PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT zeroblob(3000000000)" if connection.vendor == "sqlite" else "SELECT 1 / 0")


def be_away(run: Run) -> None:
    """OperationalError: SQLite finds no such table so; PostgreSQL cancels a statement that takes too long."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT * FROM no_such_table")
        cursor.execute("SET LOCAL statement_timeout = 10")
        cursor.execute("SELECT pg_sleep(5)")


register("test.integrity_error", compute_x, joined, break_uniqueness)
register("test.data_error", compute_x, joined, divide)
register("test.transient", compute_x, joined, be_away)


@pytest.mark.parametrize(
    ("kind", "error"), [("test.integrity_error", "IntegrityError"), ("test.data_error", "DataError")]
)
def test_a_result_that_the_database_refuses_fails_its_run(organisation, kind, error):
    run = all_stored(make(organisation, kind))
    assert not run_finalise(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.error.startswith(f"The result could not be made: {error}: ")


def test_a_result_larger_than_can_be_kept_fails_its_run(organisation, monkeypatch):
    monkeypatch.setattr(services, "MAX_RESULT_BYTES", 3)
    run = all_stored(make(organisation, "test.data_error", chunks=4))
    assert not run_finalise(run_id=run.pk)
    run.refresh_from_db()
    assert run.error == "The result could not be made: ValueError: it has 4 bytes, and at most 3 can be kept"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_fails_no_run_and_the_sweep_goes_on_to_the_next(organisation):
    poisoned, sound = all_stored(make(organisation, "test.transient")), make(organisation)
    chunk_of_sound = Chunk.objects.filter(run=sound)
    chunk_of_sound.update(state=ChunkState.DONE, part=bytes(8), owner="w")
    assert sweep() == services.Swept(sent=0, finalised=1, failed=0, skipped=1)
    assert (status(poisoned), status(sound)) == (RunStatus.RUNNING, RunStatus.DONE)


def refuse_part(params, seed, index, count) -> bytes:
    return b"x" * 200_000


register("test.large_part", refuse_part, joined)


@contextmanager
def large_parts_refused() -> Iterator[str]:
    """The database takes no part of 100 kB or more: SQLite by its length limit, PostgreSQL by a constraint."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        try:
            yield "DataError"
        finally:
            connection.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)
        return
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE runs_chunk ADD CONSTRAINT small_parts CHECK (octet_length(part) < 100000)")
    try:
        yield "IntegrityError"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE runs_chunk DROP CONSTRAINT small_parts")


@pytest.mark.django_db(transaction=True)
def test_a_part_that_the_database_refuses_counts_as_a_failed_attempt(organisation, settings):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 2
    run = make(organisation, "test.large_part")
    with large_parts_refused() as error:
        assert work_once("w")
        assert work_once("w")
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.error.startswith(f"Chunk 0 failed 2 times: {error}: ")


@pytest.mark.django_db(transaction=True)
def test_the_thread_works_although_every_sweep_fails(organisation, monkeypatch):
    def broken() -> None:
        raise RuntimeError("one poisoned run")

    monkeypatch.setattr(services, "sweep", broken)
    monkeypatch.setattr(worker, "SWEEP_SECONDS", 0.0)
    run = make(organisation, chunks=3)
    with InProcessWorker(poll=0.01):
        deadline = time.monotonic() + PATIENCE
        while status(run) != RunStatus.DONE and time.monotonic() < deadline:
            time.sleep(0.01)
    assert status(run) == RunStatus.DONE


# ------------------------------------------------------------------------------------------ parts are not kept
@pytest.mark.parametrize("end", ["done", "cancelled", "failed"])
def test_a_run_that_is_over_keeps_no_parts(organisation, end):
    run = all_stored(make(organisation, "test.plain", chunks=3))
    if end == "done":
        assert run_finalise(run_id=run.pk)
        assert run_result(Run.objects.get(pk=run.pk)) == b"xxx"
    elif end == "cancelled":
        run_cancel(run_id=run.pk)
    else:
        services.run_fail(run_id=run.pk, reason="no\0 reason")
    assert status(run) == end
    assert [bytes(part) for part in run.chunks.values_list("part", flat=True) if part is not None] == [b""] * 3
    assert run_progress(run).done == 3


register("test.plain", compute_x, joined)


@pytest.mark.django_db(transaction=True)
def test_a_finaliser_that_comes_late_does_not_reduce_emptied_parts(organisation, monkeypatch):
    """It saw the run running, and another finished it before it read the parts."""
    reduced: list[int] = []

    def count(params, parts) -> bytes:
        reduced.append(len(b"".join(parts)))
        return b"".join(parts)

    register("test.late", compute_x, count)
    run = all_stored(make(organisation, "test.late", chunks=2))
    real = services._all_done
    looks = iter(["first"])

    def slowly(run: Run) -> bool:
        found = real(run)
        if next(looks, None):
            assert run_finalise(run_id=run.pk)
        return found

    monkeypatch.setattr(services, "_all_done", slowly)
    assert not run_finalise(run_id=run.pk)
    assert reduced == [2]
    assert status(run) == RunStatus.DONE


# ----------------------------------------------------------------------------------------------- not too many
def test_an_organisation_has_so_many_runs_at_a_time_and_others_have_theirs(organisation):
    runs = [make(organisation) for _ in range(MAX_RUNNING)]
    with pytest.raises(ApplicationError, match=r"First Lender has 8 runs under way and may have 8; wait") as refused:
        make(organisation)
    assert refused.value.code == "too_many_runs"
    make(organisation_create(name="Second Lender", role=Role.ORIGINATOR))
    run_create(kind=PHILOX_SUMS, organisation=organisation, seed=7, params=PARAMS, chunk_count=1, follow_up=True)
    for run in runs[:2]:  # the one that follows counts as well
        run_until_done(run.pk)
    make(organisation)


@pytest.mark.django_db(transaction=True)
def test_requests_at_once_are_not_both_the_last_one(organisation):
    for _ in range(MAX_RUNNING - 1):
        make(organisation)
    together = threading.Barrier(4)

    def ask(number: int) -> bool:
        together.wait(timeout=PATIENCE)
        with transaction.atomic():
            try:
                make(organisation)
            except ApplicationError:
                return False
            time.sleep(0.05)  # the others look while this one is not yet committed
            return True

    assert sum(at_once(4, ask)) == 1
    assert Run.objects.count() == MAX_RUNNING


def test_runs_take_turns(organisation):
    first = make(organisation, chunks=5)
    for _ in range(2):
        assert leases.chunk_claim(owner="w")
    second = make(organisation_create(name="Second Lender", role=Role.ORIGINATOR), chunks=4)
    found = [leases.chunk_claim(owner="w") for _ in range(6)]
    order = [({first.pk: "first", second.pk: "second"}[each.run_id], each.index) for each in found if each]
    assert order == [("second", 0), ("second", 1), ("first", 2), ("second", 2), ("first", 3), ("second", 3)]


# ------------------------------------------------------------------------------- what this machine does not have
absent = threading.Event()


def look_for_file(params, seed, index, count) -> bytes:
    if absent.is_set():
        raise NotHere(f"no {PATH}")
    return b"x"


def read_outright(params, seed, index, count) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", PATH)


register("test.not_here", look_for_file, joined)
register("test.path", read_outright, joined)


@pytest.fixture
def lacking():
    absent.set()
    yield
    absent.clear()


def test_a_machine_that_lacks_a_file_leaves_the_chunk_to_others(organisation, lacking, settings, monkeypatch):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 1
    sent: list[int] = []
    monkeypatch.setattr(dispatch, "chunks_send", lambda run_id, indices: sent.extend(indices))
    run = make(organisation, "test.not_here", chunks=2)
    before = timezone.now()
    assert work_once("w")
    chunk = run.chunks.get(index=0)
    assert (chunk.state, chunk.owner, chunk.attempt, chunk.error) == (ChunkState.LEASED, "", 0, "")
    assert chunk.lease_until is not None
    assert chunk.lease_until >= before + leases.lease_length()
    assert not sent
    # this process leaves the other chunk alone as well, but does what a message names
    assert not work_once("w")
    assert chunk_work(owner="w", run_id=run.pk, index=1)
    assert sweep() == services.Swept(0, 0, 0)
    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.RUNNING, "")
    # another machine, when the chunks are free again
    absent.clear()
    leases._elsewhere.clear()
    run.chunks.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert run_until_done(run.pk).status == RunStatus.DONE
    assert list(run.chunks.values_list("attempt", flat=True)) == [1, 1]


def test_a_process_tries_again_what_it_lacked_after_a_while(organisation, lacking, settings):
    settings.GLASSPOOL_LEASE_SECONDS = 0.02
    run = make(organisation, "test.not_here")
    assert work_once("w")
    absent.clear()
    time.sleep(0.02 * (leases.LEASES_ELSEWHERE + 1))
    assert work_once("w")
    assert status(run) == RunStatus.DONE


def test_a_command_says_that_its_machine_lacks_a_file(organisation, lacking):
    run = make(organisation, "test.not_here")
    with pytest.raises(ApplicationError, match="does not have the files") as refused:
        run_until_done(run.pk)
    assert refused.value.code == "run_not_here"
    assert status(run) == RunStatus.RUNNING


def test_messages_lost_are_sent_again_while_chunks_are_set_aside(organisation, lacking, monkeypatch):
    sent: list[int] = []
    run = make(organisation, "test.not_here", chunks=2)
    assert work_once("w")
    monkeypatch.setattr(dispatch, "chunks_send", lambda run_id, indices: sent.extend(indices))
    assert sweep().sent == 1
    assert sent == [1]
    assert status(run) == RunStatus.RUNNING


def test_no_path_of_the_server_becomes_the_reason_of_a_run(organisation, settings):
    settings.GLASSPOOL_CHUNK_ATTEMPTS = 1
    run = run_until_done(make(organisation, "test.path").pk)
    assert run.error == "Chunk 0 failed 1 times: FileNotFoundError: No such file or directory"


# ------------------------------------------------------------------------------------------- is anybody at work?
def test_background_work_stands_still_when_no_run_is_computed(organisation, lacking):
    waiting, other = make(organisation, "test.not_here"), make(organisation, chunks=2)
    assert not background_stalled()
    Run.objects.update(created_at=timezone.now() - timedelta(hours=1))
    assert work_once("w")  # set aside: no sign of life
    assert set(stalled_runs()) == {waiting, other}
    assert background_stalled()
    assert work_once("w")
    assert set(stalled_runs()) == {waiting}
    assert not background_stalled()  # somebody is at work, if not on this one
