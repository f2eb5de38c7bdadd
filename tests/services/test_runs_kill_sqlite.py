"""`kill -9` of worker processes in mid-run, without a broker: the same bytes as an undisturbed run, finished once.

On the SQLite file of the embedded mode; the leg with PostgreSQL runs the same test there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.models import Role
from accounts.selectors import audit_verify
from accounts.services import organisation_create
from runs.models import Run, RunStatus
from runs.selectors import run_result
from runs.services import run_create, run_until_done
from tests.live.kinds import PHILOX_SUMS
from tests.live.processes import Processes, completions, done, finished, held, rework

KILLS = 6
WORKERS = 2
CHUNKS = 60
LEASE_SECONDS = 1.0
# kind, params of the undisturbed run, what is added to slow the killed one down without changing a number
KINDS = [pytest.param(PHILOX_SUMS, {"scenarios": 600, "draws": 2_000}, {"seconds": 0.08}, id="philox")]


@pytest.fixture
def processes(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Processes]:
    own = Processes(
        process_environment
        | {
            "GLASSPOOL_LEASE_SECONDS": str(LEASE_SECONDS),
            "GLASSPOOL_EXTRA_RUN_KINDS": "tests.live.kinds",
            "REDIS_URL": "",
        },
        tmp_path,
    )
    yield own
    own.end_all()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("kind", "params", "slower"), KINDS)
def test_killed_workers_change_nothing_but_the_time(settings, processes, kind, params, slower):
    # given an undisturbed run in this process
    settings.REDIS_URL = ""
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)

    def make(extra: dict[str, object]) -> Run:
        return run_create(kind=kind, organisation=organisation, seed=7, params=params | extra, chunk_count=CHUNKS)

    undisturbed = run_until_done(make({}).pk)
    assert undisturbed.status == RunStatus.DONE, undisturbed.error

    # when workers compute the same and one after the other is killed with a chunk in its hands
    run = make(slower)
    command = ("manage.py", "work", "--poll", "0.05")
    workers = [processes.start(*command) for _ in range(WORKERS)]
    for kill in range(KILLS):
        processes.until_ahead(run, done(run) + 1)
        assert not finished(run), "the run was over before the last kill: give it more chunks"
        processes.kill(workers[kill % WORKERS])
        workers[kill % WORKERS] = processes.start(*command)
    processes.until(lambda: finished(run), "the end of the run")

    # then
    run.refresh_from_db()
    assert run.status == RunStatus.DONE, run.error
    assert run_result(run) == run_result(undisturbed)
    assert run.result_digest == undisturbed.result_digest
    assert completions(run) == 1
    assert 0 < rework(run) <= KILLS  # some kill did hit a chunk, and each cost no more than that chunk
    audit_verify()


@pytest.mark.django_db(transaction=True)
def test_a_worker_told_to_stop_finishes_its_chunk_and_leaves_no_lease(settings, processes):
    settings.REDIS_URL = ""
    run = run_create(
        kind=PHILOX_SUMS,
        organisation=organisation_create(name="First Lender", role=Role.ORIGINATOR),
        seed=7,
        params={"scenarios": 600, "draws": 20, "seconds": 0.08},
        chunk_count=CHUNKS,
    )
    worker = processes.start("manage.py", "work")
    processes.until(lambda: held(run), "a chunk held")
    worker.terminate()
    assert worker.wait(timeout=30) == 0, processes.tail()
    assert held(run) == 0
    assert 0 < done(run) < CHUNKS
    assert rework(run) == done(run) - CHUNKS  # every claim so far led to a part
