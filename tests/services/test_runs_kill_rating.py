"""`kill -9` of the worker in mid-simulation of a real rating: the same flows to the byte, and one report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.models import Role
from accounts.services import organisation_create, user_create
from pooling.models import Deal
from pooling.services import deal_create, pool_create, tape_import, tape_upload
from pooling.tapes.generator import write_generated_tape
from rating.models import RatingReport, RatingRun
from rating.services import rating_request
from runs.models import RunStatus
from runs.selectors import run_result
from runs.services import run_until_done
from tests.live.processes import Processes, done, finished, rework

LOANS = 3_000
SCENARIOS = 2_048
KILLS = 3


@pytest.fixture
def processes(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Processes]:
    own = Processes(process_environment | {"GLASSPOOL_LEASE_SECONDS": "2", "REDIS_URL": ""}, tmp_path)
    yield own
    own.end_all()


@pytest.fixture
def rate(settings, transactional_db: None, tmp_path: Path):
    """Asks for a rating of one and the same deal, by key."""
    settings.REDIS_URL = ""
    lender = organisation_create(name="First Lender", role=Role.ORIGINATOR)
    user = user_create(username="ada", password="a long walk by the river", organisation=lender)
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=LOANS, seed=3)
    upload = tape_upload(user=user, filename=path.name, stream=[path.read_bytes()], idempotency_key="upload")
    tape = tape_import(user=user, upload=upload, idempotency_key="tape")
    pool = pool_create(user=user, tape=tape, name="Pool", idempotency_key="pool")
    deal: Deal = deal_create(user=user, pool=pool, name="Deal", idempotency_key="deal")

    def ask(key: str) -> RatingRun:
        return rating_request(user=user, deal=deal, scenarios=SCENARIOS, seed=7, idempotency_key=key)

    return ask


def structured(rating_run: RatingRun) -> bool:
    """Whether the run that follows the simulation is over."""
    rating_run.refresh_from_db()
    return rating_run.structuring is not None and finished(rating_run.structuring)


@pytest.mark.django_db(transaction=True)
def test_a_rating_whose_workers_are_killed_is_the_undisturbed_rating(rate, processes):
    # given the rating computed in this process
    undisturbed = rate("undisturbed")
    assert run_until_done(undisturbed.simulation_id).status == RunStatus.DONE
    undisturbed.refresh_from_db()
    assert run_until_done(undisturbed.structuring_id).status == RunStatus.DONE

    # when a worker computes it again and is killed in mid-simulation, and again
    disturbed = rate("disturbed")
    simulation = disturbed.simulation
    for _ in range(KILLS):
        worker = processes.start("manage.py", "work", "--poll", "0.05")
        processes.until_ahead(simulation, done(simulation) + 1)
        assert not finished(simulation), "the simulation was over before the last kill: give it more scenarios"
        processes.kill(worker)
    processes.start("manage.py", "work", "--poll", "0.05")
    processes.until(lambda: structured(disturbed), "the end of the rating")

    # then
    simulation.refresh_from_db()
    undisturbed.simulation.refresh_from_db()
    assert simulation.status == RunStatus.DONE, simulation.error
    assert run_result(simulation) == run_result(undisturbed.simulation)
    assert 0 < rework(simulation) <= KILLS
    reports = {each.rating_run_id: each.result for each in RatingReport.objects.all()}
    assert set(reports) == {undisturbed.pk, disturbed.pk}
    assert reports[disturbed.pk] == reports[undisturbed.pk]
