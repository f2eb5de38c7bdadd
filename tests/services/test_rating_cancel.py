"""A rating under way can be stopped by its owner, at either stage, and nothing half-done stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from accounts.errors import ApplicationError
from accounts.models import AuditEvent, Role, User
from pooling.tapes.generator import write_generated_tape
from rating.models import RatingReport, RatingRun
from rating.services import rating_cancel, rating_request
from runs.models import Chunk, Run, RunStatus
from runs.services import run_until_done
from tests.services.factories import deal_of_tape, lender, party


@pytest.fixture
def user(db: None, settings) -> User:
    settings.REDIS_URL = ""  # nobody computes but this test
    return lender()


@pytest.fixture
def rating_run(user: User, tmp_path: Path) -> RatingRun:
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=300, seed=3)
    return rating_request(user=user, deal=deal_of_tape(user, path), scenarios=256, idempotency_key="rate")


def statuses(rating_run: RatingRun) -> tuple[str, str]:
    rating_run.refresh_from_db()
    second = rating_run.structuring
    return Run.objects.get(pk=rating_run.simulation_id).status, "" if second is None else second.status


def test_a_simulation_is_cancelled_once_and_by_its_owner_alone(user, rating_run):
    for other in (party(Role.ORIGINATOR), party(Role.INVESTOR), party(Role.OPERATOR)):
        with pytest.raises(ApplicationError) as refused:
            rating_cancel(user=other, rating_run=rating_run, idempotency_key="stop")
        assert refused.value.code == ("not_found" if other.role == Role.ORIGINATOR else "forbidden")
    assert statuses(rating_run) == (RunStatus.RUNNING, "")
    assert rating_cancel(user=user, rating_run=rating_run, idempotency_key="stop") == rating_run
    assert statuses(rating_run) == (RunStatus.CANCELLED, "")
    # the same click again is the same answer, another one is told
    assert rating_cancel(user=user, rating_run=rating_run, idempotency_key="stop") == rating_run
    with pytest.raises(ApplicationError) as refused:
        rating_cancel(user=user, rating_run=rating_run, idempotency_key="stop again")
    assert refused.value.code == "run_not_running"
    assert AuditEvent.objects.filter(verb="rating.cancelled").count() == 1
    # what a worker still does for it is thrown away
    assert run_until_done(rating_run.simulation_id).status == RunStatus.CANCELLED
    assert not RatingReport.objects.exists()
    assert not Chunk.objects.filter(run=rating_run.simulation_id).exclude(part=None).exclude(part=b"").exists()


def test_sizing_is_cancelled_where_the_simulation_is_over_and_a_finished_rating_stays(user, rating_run):
    stale = RatingRun.objects.get(pk=rating_run.pk)  # read before the simulation ended
    assert run_until_done(rating_run.simulation_id).status == RunStatus.DONE
    rating_cancel(user=user, rating_run=stale, idempotency_key="stop")
    assert statuses(rating_run) == (RunStatus.DONE, RunStatus.CANCELLED)
    assert not RatingReport.objects.exists()
    # rated again, it ends, and is then too late to stop
    again = rating_request(user=user, deal=rating_run.deal, scenarios=256, idempotency_key="rate again")
    run_until_done(again.simulation_id)
    again.refresh_from_db()
    assert again.structuring_id is not None
    assert run_until_done(again.structuring_id).status == RunStatus.DONE
    with pytest.raises(ApplicationError) as refused:
        rating_cancel(user=user, rating_run=again, idempotency_key="too late")
    assert refused.value.code == "run_not_running"
    assert RatingReport.objects.count() == 1


def test_the_page_has_a_button_while_there_is_something_to_stop(user, rating_run):
    client = Client()
    client.force_login(user)
    address = reverse("rating-run", args=[rating_run.pk])
    assert "Cancel the rating" in client.get(address).content.decode()
    stopped = client.post(address, {"key": "from the page"}, follow=True)
    said = stopped.content.decode()
    assert "Cancel the rating" not in said
    assert "Rate it again" in said
    assert statuses(rating_run) == (RunStatus.CANCELLED, "")
    late = client.post(address, {"key": "once more"})
    assert (late.status_code, "cannot become cancelled" in late.content.decode()) == (422, True)
