"""`kill -9` of ten workers in mid-simulation of a real rating: the same bytes as undisturbed, and one report.

The undisturbed run is cut into other chunks, so that neither the cut nor the kills can show. On the SQLite file of
the embedded mode; the leg with PostgreSQL runs the same test there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.selectors import audit_verify
from pooling.models import DealVersion
from pooling.tapes.generator import write_generated_tape
from pricing.models import PriceReport
from rating.models import RatingReport, RatingRun
from rating.services import rating_request
from runs.models import RunStatus
from runs.selectors import run_result
from runs.services import run_until_done
from tests.live.processes import Processes, finished, rework
from tests.services.factories import deal_of_tape, lender

LOANS = 3_000
SCENARIOS = 2_048
CHUNK = 2  # scenarios of the disturbed run's chunks: 1,024 of them
CHUNK_UNDISTURBED = 300  # which does not divide the scenarios
KILLS = 10
WORKERS = 2
REWORK_SHARE = 0.05  # of the chunks; issue 4, "what must show", 5
WORK = ("manage.py", "work", "--poll", "0.05")


@pytest.fixture
def processes(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Processes]:
    own = Processes(process_environment | {"GLASSPOOL_LEASE_SECONDS": "2", "REDIS_URL": ""}, tmp_path)
    yield own
    own.end_all()


@pytest.fixture
def rate(settings, transactional_db: None, tmp_path: Path):
    """Asks for a rating of one and the same deal, by key and size of a chunk."""
    settings.REDIS_URL = ""
    user = lender()
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=LOANS, seed=3)
    deal = deal_of_tape(user, path)

    def ask(key: str, chunk: int) -> RatingRun:
        return rating_request(user=user, deal=deal, scenarios=SCENARIOS, seed=7, idempotency_key=key, chunk=chunk)

    return ask


def structured(rating_run: RatingRun) -> bool:
    """Whether the run that follows the simulation is over, or never comes."""
    rating_run.refresh_from_db()
    if rating_run.structuring is None:
        status = RatingRun.objects.values_list("simulation__status", flat=True).get(pk=rating_run.pk)
        assert status in (RunStatus.RUNNING, RunStatus.DONE), f"the simulation is {status}"
        return False
    return finished(rating_run.structuring)


def computed_here(rating_run: RatingRun) -> RatingRun:
    """The rating, computed in this process without anybody else."""
    assert run_until_done(rating_run.simulation_id).status == RunStatus.DONE
    rating_run.refresh_from_db()
    assert rating_run.structuring_id is not None
    assert run_until_done(rating_run.structuring_id).status == RunStatus.DONE
    return rating_run


def the_same_bytes_once(disturbed: RatingRun, undisturbed: RatingRun) -> str:
    """Same SHA-256 of both runs, each finished once, little computed twice. Returns what was seen."""
    # The ids of the runs are no part of what is structured, so its bytes can be compared as well.
    for name in ("simulation", "structuring"):
        mine, other = getattr(disturbed, name), getattr(undisturbed, name)
        mine.refresh_from_db()
        other.refresh_from_db()
        assert mine.status == RunStatus.DONE, mine.error
        assert mine.result_digest == other.result_digest
        assert run_result(mine) == run_result(other)
    simulation = disturbed.simulation
    assert simulation.params["chunk"] != undisturbed.simulation.params["chunk"]
    assert 0 < rework(simulation) <= REWORK_SHARE * simulation.chunk_count
    # Once each: the reports and the version of the deal appear in the transaction that finishes the structuring.
    reports = {each.rating_run_id: each for each in RatingReport.objects.all()}
    assert RatingReport.objects.count() == PriceReport.objects.count() == 2
    assert set(reports) == {undisturbed.pk, disturbed.pk}
    assert reports[disturbed.pk].result == reports[undisturbed.pk].result
    assert DealVersion.objects.count() == 1 + 2
    audit_verify()
    share = rework(simulation) / simulation.chunk_count
    return (
        f"{simulation.result_digest[:16]} for {simulation.chunk_count} chunks as for"
        f" {undisturbed.simulation.chunk_count}; {rework(simulation)} claims without a part, {share:.1%}"
    )


@pytest.mark.django_db(transaction=True)
def test_a_rating_whose_workers_are_killed_is_the_undisturbed_rating(rate, processes):
    undisturbed = computed_here(rate("undisturbed", CHUNK_UNDISTURBED))

    # when workers compute it again and each is killed with a chunk in its hands
    disturbed = rate("disturbed", CHUNK)
    workers = {worker.pid: worker for worker in (processes.start(*WORK) for _ in range(WORKERS))}
    for _ in range(KILLS):
        processes.kill(workers.pop(processes.caught(disturbed.simulation, workers.keys)))
        successor = processes.start(*WORK)
        workers[successor.pid] = successor
    processes.until(lambda: structured(disturbed), "the end of the rating")

    print(f"{KILLS} kills:", the_same_bytes_once(disturbed, undisturbed))
