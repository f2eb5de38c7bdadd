"""The worker thread beside our own web server, and the wake-ups that find no broker."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import Organisation, Role
from accounts.services import organisation_create
from runs import dispatch, services, worker
from runs.models import Run, RunStatus
from runs.registry import register
from runs.services import run_create, run_until_done
from runs.worker import InProcessWorker
from tests.live.kinds import PHILOX_SUMS

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 20.0
ROOT = Path(__file__).resolve().parents[2]
PARAMS = {"scenarios": 40, "draws": 50}


@pytest.fixture(autouse=True)
def no_broker(settings) -> None:
    settings.REDIS_URL = ""


@pytest.fixture
def organisation(transactional_db: None) -> Organisation:
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(organisation: Organisation, kind: str = PHILOX_SUMS) -> Run:
    return run_create(kind=kind, organisation=organisation, seed=7, params=PARAMS, chunk_count=5)


def wait_for(run: Run, status: str) -> Run:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        run.refresh_from_db()
        if run.status == status:
            return run
        time.sleep(0.01)
    raise AssertionError(f"the run is still {run.status}")


def test_the_thread_computes_what_is_there_and_what_comes(organisation):
    early = make(organisation)
    # It would look again by itself only after the patience of this test: the later run wakes it.
    with InProcessWorker(poll=10 * PATIENCE) as thread:
        wait_for(early, RunStatus.DONE)
        late = wait_for(make(organisation), RunStatus.DONE)
        assert thread.alive
    assert not thread.alive
    assert late.result_digest == early.result_digest == run_until_done(make(organisation).pk).result_digest


def test_the_thread_looks_by_itself_for_runs_of_other_processes(organisation, monkeypatch):
    with InProcessWorker(poll=0.05):
        time.sleep(0.1)
        monkeypatch.setattr(dispatch, "chunks_send", lambda run_id, indices: 0)  # as another process would
        wait_for(make(organisation), RunStatus.DONE)


started, go_on = threading.Event(), threading.Event()


def wait_to_go_on(params, seed, index, count) -> bytes:
    started.set()
    assert go_on.wait(PATIENCE)
    return b"x"


register("test.waits", wait_to_go_on, lambda params, parts: b"".join(parts))


def test_a_stop_waits_for_the_chunk_under_way(organisation):
    started.clear()
    go_on.clear()
    run = make(organisation, kind="test.waits")
    thread = InProcessWorker()
    thread.start()
    assert started.wait(PATIENCE)
    assert not thread.stop(timeout=0.05)
    go_on.set()
    assert thread.stop(timeout=PATIENCE)
    assert sorted(run.chunks.values_list("state", flat=True)) == ["done", "todo", "todo", "todo", "todo"]


def test_the_thread_survives_a_database_that_does_not_answer(organisation, monkeypatch):
    failures = iter([True, True])
    sweep = services.sweep

    def fail_twice():
        if next(failures, False):
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM no_such_table")
        return sweep()

    monkeypatch.setattr(services, "sweep", fail_twice)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.01)
    run = make(organisation)
    with InProcessWorker():
        wait_for(run, RunStatus.DONE)


def test_one_sweep_by_command(organisation, capsys):
    make(organisation)
    call_command("sweep")
    assert capsys.readouterr().out == "sent 5, finalised 0, failed 0\n"


UNREACHABLE = """
import django, time
django.setup()
from uuid import uuid4
from runs.dispatch import chunks_send
from tests.live.kinds import PHILOX_SUMS
from accounts.services import organisation_create
from runs.services import run_create, run_until_done
organisation = organisation_create(name="Second Lender", role="analyst")
begun = time.monotonic()
run = run_create(
    kind=PHILOX_SUMS, organisation=organisation, seed=7, params={"scenarios": 4, "draws": 5}, chunk_count=2
)
print(f"created {time.monotonic() - begun:.1f}", run_until_done(run.pk).status)
"""


def test_a_run_is_created_although_the_broker_is_away(process_environment):
    environment = process_environment | {
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody listens on port 1
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", UNREACHABLE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    created, seconds, status = done.stdout.split()
    assert (created, status) == ("created", "done")
    assert float(seconds) < 5.0  # a page that starts a run must answer
    assert "broker unreachable" in done.stderr
