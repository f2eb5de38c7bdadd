"""Celery workers, Redis and PostgreSQL: workers and pool children killed, the broker wiped; the same bytes, once.

What the broker holds may vanish at any moment: nothing but time may be lost with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from accounts.models import Organisation, Role
from accounts.selectors import audit_verify
from accounts.services import organisation_create
from runs import dispatch
from runs.models import Run, RunStatus
from runs.services import run_create, run_until_done
from tests.live.kinds import PHILOX_SUMS
from tests.live.processes import Processes, children, completions, done, finished, rework

pytestmark = [pytest.mark.live, pytest.mark.django_db(transaction=True)]

CHUNKS = 120
CONCURRENCY = 2
LEASE_SECONDS = 2.0
WORKER = ("-m", "celery", "-A", "config", "worker", "-P", "prefork", "-c", str(CONCURRENCY), "-l", "WARNING")
SWEEPER = ("manage.py", "sweep", "--forever", "--every", "0.5")
# kind, params of the undisturbed run, what is added to slow the disturbed one down without changing a number
KINDS = [pytest.param(PHILOX_SUMS, {"scenarios": 1_200, "draws": 2_000}, {"seconds": 0.08}, id="philox")]


@pytest.fixture
def broker() -> Iterator[redis.Redis]:
    """The broker, empty before and after."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushall()
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def processes(process_environment: dict[str, str], broker: redis.Redis, tmp_path: Path) -> Iterator[Processes]:
    environment = {
        "GLASSPOOL_LEASE_SECONDS": str(LEASE_SECONDS),
        "GLASSPOOL_EXTRA_RUN_KINDS": "tests.live.kinds",
    }
    own = Processes(process_environment | environment, tmp_path)
    yield own
    own.end_all()


@pytest.fixture
def organisation(transactional_db: None) -> Organisation:
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(organisation: Organisation, kind: str, params: dict[str, object], chunks: int = CHUNKS) -> Run:
    return run_create(kind=kind, organisation=organisation, seed=7, params=params, chunk_count=chunks)


@pytest.fixture
def undisturbed_digest(settings, organisation):
    """The digest of a run computed in this process, without anybody else."""

    def compute(kind: str, params: dict[str, object]) -> str:
        settings.REDIS_URL, url = "", settings.REDIS_URL
        run = run_until_done(make(organisation, kind, params).pk)
        settings.REDIS_URL = url
        assert run.status == RunStatus.DONE, run.error
        return run.result_digest

    return compute


def kill_child(processes: Processes, worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL to one process of the worker's pool."""
    processes.until(lambda: len(children(worker.pid)) >= CONCURRENCY, "the pool")
    with suppress(ProcessLookupError):
        os.kill(children(worker.pid)[0], signal.SIGKILL)


@pytest.mark.parametrize(("kind", "params", "slower"), KINDS)
def test_a_run_survives_its_workers_and_its_broker(
    processes, broker, organisation, undisturbed_digest, kind, params, slower
):
    expected = undisturbed_digest(kind, params)

    # when a worker computes the same and everything around the database dies in turn
    run = make(organisation, kind, params | slower)
    processes.start(*SWEEPER)
    worker = processes.start(*WORKER)
    faults = ["child", "worker", "wipe", "child", "worker and wipe", "child", "worker"]
    for fault in faults:
        processes.until_ahead(run, done(run) + 2)
        assert not finished(run), "the run was over before the last fault: give it more chunks"
        if "child" in fault:
            kill_child(processes, worker)
        if "worker" in fault:
            processes.kill(worker)
        if "wipe" in fault:
            broker.flushall()
        if "worker" in fault:
            worker = processes.start(*WORKER)
    processes.until(lambda: finished(run), "the end of the run")

    # then
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    assert run.result_digest == expected
    assert completions(run) == 1
    assert 0 < rework(run) <= len(faults) * CONCURRENCY
    audit_verify()


def test_the_beat_brings_back_a_run_whose_messages_are_lost(processes, broker, organisation, tmp_path):
    run = make(organisation, PHILOX_SUMS, {"scenarios": 10, "draws": 10}, chunks=5)
    assert broker.llen("celery") == 5
    broker.flushall()
    processes.start(*WORKER)
    processes.start("-m", "celery", "-A", "config", "beat", "-s", str(tmp_path / "beat"))
    processes.until(lambda: finished(run), "the end of the run")
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    assert (completions(run), rework(run)) == (1, 0)


def test_a_thread_of_the_web_server_reaches_the_same_broker(broker, organisation):
    run = make(organisation, PHILOX_SUMS, {"scenarios": 10, "draws": 10}, chunks=5)
    sent = []
    thread = threading.Thread(target=lambda: sent.append(dispatch.chunks_send(run.pk, range(5))))
    thread.start()
    thread.join()
    assert sent == [5]
    assert broker.llen("celery") == 10


def test_the_same_message_many_times_is_computed_once(processes, broker, organisation):
    run = make(organisation, PHILOX_SUMS, {"scenarios": 10, "draws": 10}, chunks=5)
    for _ in range(20):
        dispatch.chunks_send(run.pk, range(5))
    processes.start(*WORKER)
    processes.until(lambda: finished(run) and broker.llen("celery") == 0, "an empty queue")
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    assert (completions(run), rework(run)) == (1, 0)
