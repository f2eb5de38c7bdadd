"""What-ifs on stored flows, and the run of sensitivities: who may start it, once, and what it keeps."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role, User
from marketplace.cast import Cast, cast_create
from marketplace.models import Listing
from pooling.engine.deal import DealSpec
from pooling.engine.deal.template import default_template
from pooling.engine.flows import PoolFlows
from pooling.tapes import write_generated_tape
from pricing.sensitivities import unit_count
from pricing.sensitivity_runs import (
    SENSITIVITIES,
    scenario_count,
    sensitivities_request,
    sensitivities_result,
    sensitivities_run,
)
from pricing.whatif import Question, Rated, answer, rated, rated_of
from rating.engine.curves import documented_model
from rating.engine.losses import pool_losses
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import rating_scenarios, simulate
from rating.engine.stresses import Stress
from rating.engine.tranches import rate_tranches
from runs.models import Run
from runs.services import run_cancel, run_until_done
from tests.engine.rating_pools import mixed_loans
from tests.services.factories import key, party
from tests.web.conftest import PASSWORD, deal_made

LOANS = mixed_loans(2_000, 11)
SIZES = {"A": 0.62, "B": 0.11, "C": 0.06}


@cache
def _deal(scenarios: int = 1024) -> Rated:
    """A deal of 2,000 loans with hand-made sizes."""
    model = replace(documented_model(), history_months=72)
    pool = round(float(LOANS.balance.sum()) * 100)
    spec = default_template(
        name="What-if", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
        first_payment="2026-03-10", legal_final="2032-03-10",
    ).with_solution(
        {name: int(share * pool / 100_000) * 100_000 for name, share in SIZES.items()},
        {"A": 0.05, "B": 0.06, "C": 0.07},
    )  # fmt: skip
    drawn = rating_scenarios(LOANS, model, scenarios, 7)
    return rated(spec=spec, pool=pool, flows=simulate(LOANS, model, drawn), scenarios=drawn, model=model)


def test_nothing_asked_is_the_rating_and_one_class_down_leaves_the_others_better() -> None:
    deal = _deal()
    same = answer(deal, Question())
    assert [row.notches for row in same.classes] == [0, 0, 0]
    assert (same.method, same.pool_loss) == ("none", deal.base_loss)
    assert same.residual == deal.pool - sum(deal.balances.values())
    less = answer(deal, Question(sizes={"C": 0}))
    rows = {row.name: row for row in less.classes}
    assert rows["C"].after is None
    assert rows["C"].notches is None
    for name in ("A", "B"):
        before, after = rows[name].before, rows[name].after
        assert before is not None
        assert after is not None
        assert after.expected_loss <= before.expected_loss


def test_severity_is_exact_and_pd_agrees_with_loans_drawn_again() -> None:
    # Severity: the mean is the one asked for. PD: the same scenarios with the model's hazards times 1.25, within four
    # standard errors of the difference, which common scenarios make smaller than the errors of either.
    deal = _deal()
    written = float((deal.flows.charge_off.sum(axis=(0, 1)) * deal.scenarios.weights).mean())
    opening = float(deal.flows.opening_balance.sum())
    for severity in (0.3, 0.5, 0.95, 1.0):
        asked = answer(deal, Question(severity=severity))
        assert asked.pool_loss == pytest.approx(severity * written / opening, rel=1e-9)
    found = answer(deal, Question(pd=1.25))
    assert found.method == "reweighted"
    again = pool_losses(simulate(LOANS, Stress.of(pd=1.25).on_model(deal.model), deal.scenarios))
    expected = float((again * deal.scenarios.weights).mean())
    error = float(np.sqrt(np.square(deal.scenarios.weights * (again - expected)).sum())) / len(again)
    assert abs(found.pool_loss - expected) < 4 * error
    assert found.effective < deal.scenarios.effective_size


def test_far_moves_of_the_pd_take_the_approximation_and_say_so() -> None:
    deal = _deal()
    far = answer(deal, Question(pd=5.0))
    assert far.method == "scaled"
    assert any("an approximation" in sentence for sentence in far.approximations)
    certain = replace(deal, model=replace(deal.model, pd_level_sigma=0.0))
    assert answer(certain, Question(pd=1.1)).method == "scaled"
    losses = [answer(certain, Question(pd=pd)).pool_loss for pd in (0.5, 1.0, 1.5, 2.0)]
    assert losses == sorted(losses)


def test_sizing_by_hand_reaches_its_targets_and_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    deal = _deal(2048)
    answer(deal, Question())
    started = time.perf_counter()
    found = answer(deal, Question(targets={"A": "AA", "B": "A", "C": "BBB"}, pd=1.1))
    elapsed = time.perf_counter() - started
    with capsys.disabled():
        print(f"\nre-size what-if: {elapsed:.2f} s, {found.executes} runs of the waterfall, 2,048 scenarios")
    order = {grade: n for n, grade in enumerate(("AAA", "AA+", "AA", "AA-", "A+", "A", "A-", "BBB+", "BBB"))}
    for row, target in zip(found.classes, ("AA", "A", "BBB"), strict=True):
        assert row.after is not None
        # The upper confidence bound reaches the target, not the point estimate alone.
        assert order[row.after.grade_low] <= order[target]
        assert row.balance % 100_000 == 0
    # Sizing is to the edge: two points of the pool more to the senior class, and a class has no such bound any more.
    balances = {row.name: row.balance for row in found.classes}
    more = balances["A"] + deal.pool // 5_000_000 * 100_000
    grown = answer(deal, Question(sizes=balances | {"A": more}, pd=1.1))
    lows = [row.after.grade_low for row in grown.classes if row.after is not None]
    assert any(order.get(low, 99) > order[target] for low, target in zip(lows, ("AA", "A", "BBB"), strict=True))


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (Question(pd=6.0), "pd"),
        (Question(pd=float("nan")), "pd"),
        (Question(severity=1.5), "severity"),
        (Question(sizes={"Z": 100_000}), "sizes"),
        (Question(sizes={"A": 12_345}), "size_A"),
        (Question(sizes={"A": 0, "B": 0, "C": 0}), "sizes"),
        (Question(sizes={"A": 10**15}), "sizes"),
        (Question(targets={"A": "Aaa"}), "target_A"),
        (Question(sizes={"A": 100_000}, targets={"A": "AA"}), "targets"),
    ],
)
def test_what_cannot_be_answered_names_its_field(question: Question, field: str) -> None:
    with pytest.raises(ApplicationError) as refused:
        answer(_deal(), question)
    assert refused.value.field == field


def test_a_large_set_is_cut_to_its_first_points_with_weights_of_mean_one() -> None:
    deal = _deal()
    twice = ScenarioSet(
        seed=7, first=0, names=deal.scenarios.names,
        factors=np.concatenate([deal.scenarios.factors] * 3), weights=np.concatenate([deal.scenarios.weights] * 3),
    )  # fmt: skip
    flows = PoolFlows.concatenate([deal.flows] * 3)
    found = rated(spec=deal.spec, pool=deal.pool, flows=flows, scenarios=twice, model=deal.model)
    assert len(found.scenarios) == found.flows.scenarios == 2048
    assert found.scenarios.weights.mean() == pytest.approx(1.0, rel=1e-12)


def test_scenarios_of_a_run_shrink_with_the_pool() -> None:
    assert [scenario_count(loans, rated) for loans, rated in ((300, 256), (20_814, 65_536), (10**6, 2048))] == [
        256, 1024, 64,
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------- stored
@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """The demo parties."""
    return cast_create(password=PASSWORD)


@pytest.fixture
def listing(cast: Cast, tmp_path: Path) -> Listing:
    """An open listing of a rated deal of 200 loans."""
    path = tmp_path / "brook-2026-1.csv"
    write_generated_tape(path, 200, 5)
    return deal_made(cast, path, settle=False, scenarios=256)


def test_stored_flows_give_the_stored_rating_back(listing: Listing) -> None:
    report = listing.rating_report
    deal = rated_of(report)
    stored = {row["name"]: row for row in report.result["tranches"]}
    for found in deal.base:
        assert found.expected_loss == pytest.approx(stored[found.name]["expected_loss"], rel=1e-9, abs=1e-15)
        assert found.grade == stored[found.name]["rating"]
        assert found.grade_by_multiple == stored[found.name]["grade_by_multiple"]
    assert deal.spec == DealSpec.from_json(listing.deal_version.spec)
    assert rated_of(report) is deal  # decoded once
    assert rate_tranches is not None
    Run.objects.filter(pk=report.rating_run.simulation_id).update(result=None, result_digest="gone")
    with pytest.raises(ApplicationError) as refused:
        rated_of(report)
    assert refused.value.code == "flows_missing"


def test_sensitivities_are_started_once_by_those_who_may(listing: Listing) -> None:
    report = listing.rating_report
    analyst = User.objects.get(username="analyst")
    owner = User.objects.filter(organisation=listing.organisation).get()
    for user in (party(Role.INVESTOR), party(Role.OPERATOR), party(Role.ORIGINATOR)):
        with pytest.raises(NotFound):
            sensitivities_request(user=user, report=report, idempotency_key=key())
    assert not Run.objects.filter(kind=SENSITIVITIES).exists()
    # given a run, the same key and another party's request are answered by it
    click = key()
    run = sensitivities_request(user=analyst, report=report, idempotency_key=click)
    assert sensitivities_request(user=analyst, report=report, idempotency_key=click) == run
    assert sensitivities_request(user=owner, report=report, idempotency_key=key()) == run
    assert (run.chunk_count, run.organisation_id) == (unit_count(), analyst.organisation_id)
    # a run that was cancelled leaves room for another
    run_cancel(run_id=run.pk)
    again = sensitivities_request(user=owner, report=report, idempotency_key=key())
    assert again != run
    with pytest.raises(ApplicationError) as refused:
        sensitivities_result(again)
    assert refused.value.code == "run_not_done"
    done = run_until_done(again.pk)
    assert done.status == "done", done.error
    result = sensitivities_result(done)
    assert result["made_by"]["rating_report"] == str(report.pk)
    assert result["made_by"]["scenarios"] == 256
    assert len(result["tornado"]) == 14
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    newest = sensitivities_run(report)
    assert newest is not None
    assert newest.pk == again.pk
    # the report says them, on its page and in its file
    client = Client()
    client.force_login(analyst)
    said = unescape(client.get(reverse("rating-report", args=[listing.pk])).content.decode())
    for row in result["tornado"]:
        assert row["stress"]["label"] in said
    assert any(cell["notches"] for row in result["tornado"] for cell in row["classes"])
    assert said.count("<svg ") == 5
    assert "Reverse stress" in said
    assert client.get(reverse("rating-report-pdf", args=[listing.pk])).content.startswith(b"%PDF-")
