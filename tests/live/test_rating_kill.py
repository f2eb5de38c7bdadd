"""A real rating on Celery, Redis and PostgreSQL: the worker killed in mid-simulation; the same bytes, one report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rating.models import RatingReport
from runs.models import RunStatus
from runs.selectors import run_result
from runs.services import run_until_done
from tests.live.processes import Processes, done, finished, rework
from tests.live.test_worker_kill import CONCURRENCY, SWEEPER, WORKER, broker
from tests.services.test_runs_kill_rating import rate, structured

__all__ = ["broker", "rate"]  # fixtures

KILLS = 2


@pytest.fixture
def processes(process_environment: dict[str, str], broker: object, tmp_path: Path) -> Iterator[Processes]:
    own = Processes(process_environment | {"GLASSPOOL_LEASE_SECONDS": "2"}, tmp_path)
    yield own
    own.end_all()


@pytest.mark.django_db(transaction=True)
def test_a_rating_on_celery_whose_workers_are_killed_is_the_undisturbed_rating(rate, processes):
    # given the rating computed in this process
    undisturbed = rate("undisturbed")
    assert run_until_done(undisturbed.simulation_id).status == RunStatus.DONE
    undisturbed.refresh_from_db()
    assert run_until_done(undisturbed.structuring_id).status == RunStatus.DONE

    # when Celery workers compute it again and are killed in mid-simulation
    disturbed = rate("disturbed")
    simulation = disturbed.simulation
    processes.start(*SWEEPER)
    for _ in range(KILLS):
        worker = processes.start(*WORKER)
        processes.until_ahead(simulation, done(simulation) + 1)
        assert not finished(simulation), "the simulation was over before the last kill: give it more scenarios"
        processes.kill(worker)
    processes.start(*WORKER)
    processes.until(lambda: structured(disturbed), "the end of the rating")

    # then
    simulation.refresh_from_db()
    undisturbed.simulation.refresh_from_db()
    assert simulation.status == RunStatus.DONE, simulation.error
    assert run_result(simulation) == run_result(undisturbed.simulation)
    assert rework(simulation) <= KILLS * CONCURRENCY
    reports = {each.rating_run_id: each.result for each in RatingReport.objects.all()}
    assert reports[disturbed.pk] == reports[undisturbed.pk]
