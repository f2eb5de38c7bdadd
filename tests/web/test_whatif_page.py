"""Sensitivities and what-if of a rating in a real browser: run, progress, tables, files, no script, refusals."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from accounts.models import User
from marketplace.cast import Cast
from marketplace.models import Listing
from pricing.sensitivities import unit_count
from pricing.sensitivity_runs import SENSITIVITIES
from rating.engine.stresses import STANDARD
from runs.models import Run
from runs.services import run_until_done
from tests.web.conftest import WIDTH, Visitor, deal_made, screenshots


def checked(visitor: Visitor, picture: str) -> None:
    """The page is no wider than the window; only tables that scroll for themselves may be. The browser is silent."""
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert "{{" not in visitor.page.content()
    visitor.page.screenshot(path=screenshots() / f"{picture}.png", full_page=True)
    assert not visitor.faults, visitor.faults


def signed_in(username: str) -> Client:
    """A client without a browser."""
    client = Client()
    client.force_login(User.objects.get(username=username))
    return client


@pytest.fixture
def listing(cast: Cast, tape: Path) -> Listing:
    """An open listing of a rated deal."""
    return deal_made(cast, tape, settle=False, scenarios=1024)


def test_an_analyst_runs_the_sensitivities_once_and_reads_them(visit: Callable[..., Visitor], listing: Listing) -> None:
    # given a rating without sensitivities: an investor reads that there are none, and cannot start them
    path = f"/ratings/{listing.pk}/sensitivities/"
    analyst = signed_in("analyst")
    investor = User.objects.filter(organisation__role="investor").order_by("pk").first()
    assert investor is not None
    reader = signed_in(investor.username)
    page = reader.get(path).content.decode()
    assert "have not been run yet" in page
    assert "<button>Run the sensitivities</button>" not in page
    assert reader.post(path, {"key": "k"}).status_code == 404
    assert analyst.get(f"{path[:-1]}.csv").status_code == 404
    assert not Run.objects.filter(kind=SENSITIVITIES).exists()
    # when the analyst presses the button, twice, and the run ends
    visitor = visit("analyst")
    visitor.go(path)
    visitor.press("Run the sensitivities")
    visitor.page.wait_for_selector("#progress")
    visitor.shows(f"0 of {unit_count()} parts")
    checked(visitor, "sensitivities-running")
    assert analyst.post(path, {"key": "another"}).status_code == 302
    run = Run.objects.get(kind=SENSITIVITIES)
    assert run_until_done(run.pk).status == "done"
    # then the page draws them, with every table and who made them
    visitor.go(path)
    visitor.drawn(2)
    visitor.shows(
        "What moves the grades", *(stress.label for stress in STANDARD), "Grade by PD and recovery",
        "The smallest change that moves a grade", "Reverse stress", "common random numbers", "by_loan engine",
    )  # fmt: skip
    checked(visitor, "sensitivities")
    for table, lines in (("tornado", 1 + 3 * (1 + len(STANDARD))), ("matrix", 1 + 3 * 36), ("movers", 1 + 3 * 7)):
        answer = reader.get(f"{path[:-1]}.csv?table={table}")
        assert len(list(csv.reader(io.StringIO(answer.content.decode())))) == lines, table
    assert reader.get(f"{path[:-1]}.csv?table=others").status_code == 404


@pytest.mark.parametrize("scripts", [pytest.param(True, id="scripts"), pytest.param(False, id="no scripts")])
def test_the_what_if_answers_by_hand(visit: Callable[..., Visitor], listing: Listing, scripts: bool) -> None:
    visitor = visit("analyst", scripts=scripts)
    visitor.go(f"/ratings/{listing.pk}/what-if/")
    visitor.shows("What-if by hand", "Answered in", "Coupons stay as solved")
    grade = visitor.page.locator("#answer tbody tr").first.locator("td").nth(5).inner_text()
    assert grade == listing.rating_report.result["tranches"][0]["rating"]
    # when the PD is doubled
    visitor.page.get_by_label("PD, times").fill("1.5")
    visitor.press("Answer")
    visitor.page.wait_for_url("**pd=1.5**")
    visitor.page.wait_for_function("document.querySelector('#answer').innerText.includes('effective scenarios of')")
    notches = visitor.page.locator("#answer tbody tr").last.locator("td").nth(7).inner_text()
    assert notches.startswith("−"), notches
    # and sizes are asked for that no pool can carry
    visitor.page.get_by_label("Classes").select_option("sizes")
    visitor.page.get_by_label("Size of A, % of pool").fill("99.9")
    visitor.press("Answer")
    visitor.page.wait_for_selector(".alert")
    assert "at most 100 %" in visitor.page.locator(".alert").inner_text()
    # and classes are sized again
    visitor.go(f"/ratings/{listing.pk}/what-if/?mode=targets&pd=1.1")
    visitor.shows("Answered in", "Coupons stay as solved")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    if scripts:
        checked(visitor, "what-if")


def test_the_what_if_refuses_in_words_and_hides_what_is_not_yours(listing: Listing) -> None:
    analyst, path = signed_in("analyst"), f"/ratings/{listing.pk}/what-if/"
    for query, words in (
        ("pd=9", "PD, times: Ensure this value is less than or equal to 5"),
        ("severity=none", "Severity, %: Enter a number"),
        ("mode=other", "Classes: Select a valid choice"),
        ("mode=targets&target_0=Z", "Target of A: Select a valid choice"),
    ):
        answer = analyst.get(f"{path}?{query}")
        assert answer.status_code == 400, query
        assert words in answer.content.decode(), query
    listing.state = "draft"
    listing.save()
    for address in (path, f"/ratings/{listing.pk}/sensitivities/"):
        assert analyst.get(address).status_code == 404
