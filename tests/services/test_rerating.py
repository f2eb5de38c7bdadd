"""A listed deal rated again on the months its servicer reports: at cut-off its own rating, later what they lead to."""

from __future__ import annotations

import io
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role
from marketplace.cast import Cast, cast_create
from marketplace.models import Listing
from pooling.performance import performance_derive, performance_history
from pricing.surveillance import (
    grade_history,
    history_of,
    rerating_create,
    scenario_bound,
    surveillance_reproduced,
)
from rating.models import Surveillance
from tests.services.factories import key, party
from tests.services.surveyed import SCENARIOS, finished_slice, surveyed_deal
from tests.web.conftest import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.shared]
SAME = ("pd", "pd_se", "expected_loss", "expected_loss_se", "wal_years", "grade_by_loss", "grade_by_pd",
        "grade_by_multiple", "converged")  # fmt: skip


@pytest.fixture
def cast() -> Cast:
    return cast_create(password=PASSWORD)


@pytest.fixture
def listing(cast: Cast, shared: Path, tmp_path: Path) -> Listing:
    return surveyed_deal(cast, finished_slice(shared, tmp_path))


def test_before_any_month_the_rating_comes_out_again(cast: Cast, listing: Listing) -> None:
    report = listing.rating_report
    row = rerating_create(user=cast.originator, report=report, idempotency_key=key())
    assert (row.month, row.period, row.scenarios, row.seed) == (0, "", SCENARIOS, report.rating_run.seed)
    issued = {each["name"]: each for each in report.result["tranches"] if each["rating"]}
    again = {each["name"]: each for each in row.result["classes"]}
    assert set(issued) <= set(again)
    for name, before in issued.items():
        now = again[name]
        assert {each: now[each] for each in SAME} == {each: before[each] for each in SAME}, name
        assert (now["grade"], now["grade_interval"]) == (before["rating"], before["rating_interval"])
        assert now["balance"] == before["balance"]
    assert row.result["loss"]["to_come"] == pytest.approx(report.result["simulation"]["expected_loss"], rel=1e-12)
    assert row.result["watch"] == []


def test_months_later_everything_follows_from_the_reported_loans(cast: Cast, listing: Listing) -> None:
    report = listing.rating_report
    performance_derive(user=cast.originator, deal=listing.deal, months=18, idempotency_key=key())
    history = performance_history(listing.deal)
    row = rerating_create(user=cast.originator, report=report, idempotency_key=key())
    # given 18 reported months, the pool and its loss are the servicer's to the cent
    result = row.result
    assert (row.month, row.period) == (18, history.periods[17])
    assert result["pool"]["balance"] == int(history.balance[18].sum())
    cutoff = int(history.balance[0].sum())
    lost = int((history.charge_off - history.recovery).sum())
    assert result["loss"]["to_date"] == lost / cutoff
    assert result["loss"]["lifetime"] == result["loss"]["to_date"] + result["loss"]["to_come"]
    assert len(result["loss"]["percentile"]) == 18
    # the classes have been paid, in order
    factors = [each["factor"] for each in result["classes"]]
    assert factors == sorted(factors)
    assert 0 < factors[0] < 1
    # every trigger reading on every date
    assert [(r["number"], r["name"]) for r in result["triggers"]] == [
        (n, name) for n in range(1, 19) for name in ("loss", "late")
    ]
    shares = np.cumsum((history.charge_off - history.recovery).sum(axis=1)) / cutoff
    late = np.where(history.days_past_due > 60, history.balance, 0).sum(axis=1) / history.balance.sum(axis=1)
    for r in result["triggers"]:
        first = r["tests"][0]
        actual = shares[r["number"] - 1] if r["name"] == "loss" else late[r["number"]]
        assert first["value"] == pytest.approx(actual, abs=1e-12)
        room = (first["level"] - actual) / first["level"]
        assert r["room"] == pytest.approx(room, abs=1e-10)  # `and` with what holds already: the other's room
        assert r["breached"] is r["holds"] is False
    # and the row can be made again
    assert surveillance_reproduced(row) is None
    out = io.StringIO()
    call_command("reproduce", str(row.report_id), verbosity=0, stdout=out)
    assert f"agrees  re-rating {row.month}" in out.getvalue()


def test_a_second_request_is_the_same_row_and_history_is_by_month(cast: Cast, listing: Listing) -> None:
    report = listing.rating_report
    performance_derive(user=cast.originator, deal=listing.deal, months=6, idempotency_key=key())
    rows = [
        rerating_create(user=cast.originator, report=report, month=month, idempotency_key=key()) for month in (3, 6, 3)
    ]
    assert rows[0].pk == rows[2].pk
    assert Surveillance.objects.count() == 2
    assert [row.month for row in history_of(report)] == [3, 6]
    found = grade_history(report, history_of(report))
    assert [month for month, _ in found["A"]] == [0, 3, 6]


def test_classes_that_are_paid_and_pools_that_have_ended_are_said_so(cast: Cast, listing: Listing) -> None:
    report, path = listing.rating_report, reverse("surveillance", args=[listing.pk])
    performance_derive(user=cast.originator, deal=listing.deal, months=None, idempotency_key=key())
    row = rerating_create(user=cast.analyst, report=report, month=30, idempotency_key=key())
    paid = [each["name"] for each in row.result["classes"] if each["grade"] is None]
    assert paid[0] == "A"
    assert all(each["balance"] == 0 for each in row.result["classes"] if each["name"] in paid)
    assert row.result["classes"][0]["pd"] is None
    assert "Trigger loss is breached (pool.cumulative_loss_rate > 6%)." in {
        each["sentence"] for each in row.result["watch"]
    }
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    said = unescape(client.get(path).content.decode())
    assert "paid in full" in said
    assert "30, 2028-10" in said  # its line of the rating history
    assert "Every trigger by month" in said
    assert "Grades are those of the re-rating after month 30." in said
    refused = client.post(path, {"key": key()})
    assert refused.status_code == 422
    assert "every loan of the pool has ended; there is nothing left to rate on" in unescape(refused.content.decode())
    assert "paid in full" in client.get(reverse("surveillance-csv", args=[listing.pk]), {"table": "ratings"}).text


def test_who_may_ask_and_for_what(cast: Cast, listing: Listing) -> None:
    report = listing.rating_report
    for user in (cast.investor, party(Role.ORIGINATOR)):
        with pytest.raises(NotFound):
            rerating_create(user=user, report=report, idempotency_key=key())
    with pytest.raises(ApplicationError, match="Month 3 is not reported; this deal has months 1 to 0"):
        rerating_create(user=cast.analyst, report=report, month=3, idempotency_key=key())
    for count in (SCENARIOS * 2, 100, 1):
        with pytest.raises(ApplicationError, match="take a power of two up to 256"):
            rerating_create(user=cast.analyst, report=report, scenarios=count, idempotency_key=key())
    assert scenario_bound(20_814, 2048) == 2048
    assert scenario_bound(10**6, 2048) == 64  # no pool is too large to ask for at all
