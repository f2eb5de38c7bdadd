"""A real rating on Celery, Redis and PostgreSQL, and everything dies in turn: the same bytes, one report.

Ten `kill -9` of workers (whole ones and children of their pools), the broker wiped, the database stopped without a
goodbye in mid-simulation.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import Error as DatabaseProblem
from django.db import connection

from tests.live.processes import Processes, children
from tests.live.test_worker_kill import SWEEPER, WORKER, broker
from tests.services.test_runs_kill_rating import CHUNK_UNDISTURBED, computed_here, rate, structured
from tests.services.test_runs_kill_rating import the_same_bytes_once as compared

__all__ = ["broker", "rate"]  # fixtures

CHUNK = 4  # scenarios of the disturbed run's chunks: 512 of them
KILLS = ["child", "worker", "child", "worker", "child", "child", "worker", "child", "child", "child"]
FAULTS = [*KILLS[:4], "wipe", *KILLS[4:7], "stop", *KILLS[7:]]


@pytest.fixture
def processes(process_environment: dict[str, str], broker: redis.Redis, tmp_path: Path) -> Iterator[Processes]:
    own = Processes(process_environment | {"GLASSPOOL_LEASE_SECONDS": "2"}, tmp_path)
    yield own
    own.end_all()


def answers() -> bool:
    """Whether the database can be reached; a new connection where the old one is dead."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseProblem:
        connection.close()
        return False
    return True


def stop_database(processes: Processes, data: Path) -> None:
    """PostgreSQL's immediate shutdown: backends end without a goodbye, recovery comes at the next start.

    The launcher starts it again.
    """
    pid = int((data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    processes.until(lambda: not answers(), "the end of the database")
    processes.until(answers, "the database's return")
    assert int((data / "postmaster.pid").read_text().split()[0]) != pid


@pytest.mark.django_db(transaction=True)
def test_a_rating_survives_its_workers_its_broker_and_its_database(settings, rate, processes, broker):
    data = os.environ.get("GLASSPOOL_LAUNCHED_POSTGRES")
    if not data:
        pytest.skip("needs a PostgreSQL that may be stopped: python -m tests.live.launcher without DATABASE_URL")
    undisturbed = computed_here(rate("undisturbed", CHUNK_UNDISTURBED))

    # when Celery workers compute it again and everything dies in turn
    settings.REDIS_URL = os.environ["REDIS_URL"]
    disturbed = rate("disturbed", CHUNK)
    simulation = disturbed.simulation
    assert broker.llen("celery") == simulation.chunk_count
    processes.start(*SWEEPER)
    worker = processes.start(*WORKER)
    killed: set[int] = set()
    for fault in FAULTS:
        # A dead child holds its chunk until the lease runs out, and is still its parent's until that has noticed.
        victim = processes.caught(simulation, lambda: set(children(worker.pid)) - killed)  # noqa: B023
        if fault == "worker":
            processes.kill(worker)
            killed.add(worker.pid)
            worker = processes.start(*WORKER)
        elif fault == "child":
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
        elif fault == "wipe":
            broker.flushall()
        else:
            stop_database(processes, Path(data))
    processes.until(lambda: structured(disturbed), "the end of the rating")
    assert len(killed) == len(KILLS)

    print(f"{len(KILLS)} kills, a wiped broker, a stopped database:", compared(disturbed, undisturbed))
