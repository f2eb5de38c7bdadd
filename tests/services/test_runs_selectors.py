"""Who sees which run, and which runs stand still."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from accounts.errors import NotFound
from accounts.models import Organisation, Role
from accounts.services import organisation_create, user_create
from runs.models import Run
from runs.selectors import run_visible, runs_visible, stalled_runs
from runs.services import chunk_work, run_create, run_until_done, sweep
from tests.live.kinds import PHILOX_SUMS


@pytest.fixture
def organisation(db: None, settings) -> Organisation:
    settings.REDIS_URL = ""
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def make(organisation: Organisation, chunks: int = 4) -> Run:
    params = {"scenarios": 40, "draws": 50}
    return run_create(kind=PHILOX_SUMS, organisation=organisation, seed=7, params=params, chunk_count=chunks)


def test_runs_are_seen_by_their_own_organisation_only(organisation):
    run = make(organisation)
    own = user_create(username="ada", password="a long walk by the river", organisation=organisation)
    other = user_create(
        username="eve",
        password="a long walk by the river",
        organisation=organisation_create(name="Second", role=Role.OPERATOR),
    )
    nobody = user_create(username="sam", password="a long walk by the river", organisation=None)
    assert list(runs_visible(own)) == [run]
    assert run_visible(own, str(run.pk)) == run
    for viewer in (other, nobody, AnonymousUser(), None):
        assert not runs_visible(viewer).exists()
        with pytest.raises(NotFound):
            run_visible(viewer, run.pk)
    with pytest.raises(NotFound):
        run_visible(own, "not-an-id")


def test_a_run_is_stalled_when_no_chunk_was_held_for_a_while(organisation):
    run = make(organisation, chunks=2)
    assert not stalled_runs().exists()
    Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(hours=1))
    assert list(stalled_runs()) == [run]
    sweep()
    assert list(stalled_runs()) == [run]  # a message that nobody reads is no sign of life
    chunk_work(owner="w", run_id=run.pk)
    assert not stalled_runs().exists()
    run.chunks.update(lease_until=timezone.now() - timedelta(hours=1))
    assert list(stalled_runs()) == [run]
    run_until_done(run.pk)
    assert not stalled_runs().exists()
