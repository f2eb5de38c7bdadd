"""What a rating may cost: flows that would not fit are refused, and a missing file is no failure of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from accounts.errors import ApplicationError
from accounts.models import User
from pooling.artefacts import artefact_path
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.packing import flows_from_bytes, flows_to_bytes
from pooling.models import Deal
from pooling.tapes.generator import write_generated_tape
from rating import services
from rating.models import RatingRun
from rating.runs import flows_size, loans_of, scenarios_of, simulator_of
from rating.services import rating_request
from runs import leases
from runs.models import ChunkState, Run, RunStatus
from runs.registry import NotHere
from runs.selectors import run_result
from runs.services import MAX_RUNNING, run_until_done, work_once
from tests.services.factories import deal_of_tape, lender


@pytest.fixture(autouse=True)
def alone(settings) -> None:
    settings.REDIS_URL = ""
    leases._elsewhere.clear()
    loans_of.cache_clear()


@pytest.fixture
def user(db: None) -> User:
    return lender()


@pytest.fixture
def deal(user: User, tmp_path: Path) -> Deal:
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=300, seed=3)
    return deal_of_tape(user, path)


def ask(user: User, deal: Deal, scenarios: int, key: str = "rate") -> RatingRun:
    return rating_request(user=user, deal=deal, scenarios=scenarios, idempotency_key=key)


@pytest.mark.parametrize(("groups", "months", "scenarios"), [(1, 1, 1), (3, 40, 16)])
def test_the_size_of_flows_is_the_size_of_their_bytes(groups, months, scenarios):
    shape = (groups, months, scenarios)
    plain = [
        "interest", "scheduled_principal", "prepayment", "default", "charge_off", "recovery", "performing",
        "defaulted", "count", "coupon",
    ]  # fmt: skip
    flows = PoolFlows(
        groups=tuple(str(group) for group in range(groups)),
        opening_balance=np.ones(groups),
        delinquent=np.zeros((groups, len(DELINQUENT_BUCKETS), months, scenarios)),
        **{name: np.zeros(shape) for name in plain},
    )
    header, _, body = flows_to_bytes(flows).partition(b"\n")
    assert flows_size(groups, months, scenarios) == len(body)
    assert len(header) < 2_000


def test_a_rating_is_refused_above_the_bound_and_taken_at_it(user, deal, monkeypatch):
    # given the flows of 128 scenarios
    run = run_until_done(ask(user, deal, 128).simulation_id)
    flows = flows_from_bytes(run_result(run))
    size = flows_size(len(flows.groups), flows.months, 128)
    # when no more than these fit
    monkeypatch.setattr(services, "MAX_FLOWS_BYTES", size)
    with pytest.raises(ApplicationError) as refused:
        ask(user, deal, 1_024, key="more")
    # then
    assert (refused.value.code, refused.value.field) == ("simulation_too_large", "scenarios")
    for words in ("scenarios is 1024", f"{flows.months} months", "take at most 128 scenarios"):
        assert words in refused.value.message
    assert RatingRun.objects.count() == 1
    ask(user, deal, 128, key="as many")
    # and when not even the least fit
    monkeypatch.setattr(services, "MAX_FLOWS_BYTES", 1_000)
    with pytest.raises(ApplicationError, match="rate a pool of fewer groups"):
        ask(user, deal, 64, key="none")


def test_the_largest_number_of_scenarios_does_not_fit_this_pool(user, deal):
    with pytest.raises(ApplicationError, match=r"400 MB can be kept; take at most \d+ scenarios") as refused:
        ask(user, deal, 65_536)
    assert refused.value.code == "simulation_too_large"
    assert not Run.objects.exists()


def test_a_simulation_may_end_although_its_organisation_has_all_its_runs(user, deal):
    rating_runs = [ask(user, deal, 64, key=str(number)) for number in range(MAX_RUNNING)]
    with pytest.raises(ApplicationError) as refused:
        ask(user, deal, 64, key="one more")
    assert refused.value.code == "too_many_runs"
    assert run_until_done(rating_runs[0].simulation_id).status == RunStatus.DONE
    rating_runs[0].refresh_from_db()
    assert rating_runs[0].structuring is not None
    with pytest.raises(ApplicationError):  # the structuring goes on
        ask(user, deal, 64, key="one more")


def test_a_machine_without_the_loans_leaves_a_simulation_to_others(user, deal, caplog):
    simulation = ask(user, deal, 64).simulation
    path = artefact_path(deal.pool.loans_path)
    kept = path.read_bytes()
    path.unlink()
    for cache in (loans_of, simulator_of, scenarios_of):
        cache.cache_clear()
    try:
        with pytest.raises(NotHere):
            loans_of(deal.pool.loans_path, deal.pool.loans_digest)
        assert work_once("w")
        chunk = simulation.chunks.get()
        assert (chunk.state, chunk.owner, chunk.attempt, chunk.error) == (ChunkState.LEASED, "", 0, "")
        assert "left to another machine" in caplog.text
        simulation.refresh_from_db()
        assert (simulation.status, simulation.error) == (RunStatus.RUNNING, "")
        with pytest.raises(ApplicationError, match="loans of the pool Pool cannot be read") as refused:
            ask(user, deal, 64, key="another")
        assert refused.value.code == "artefact_missing"
        assert str(path.parent) not in refused.value.message
    finally:
        path.write_bytes(kept)
    leases._elsewhere.clear()
    simulation.chunks.update(lease_until=None, state=ChunkState.TODO)
    assert run_until_done(simulation.pk).status == RunStatus.DONE
