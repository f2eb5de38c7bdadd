"""Models, assumption sets, a loan's points and the rating report in a real browser: figures, width, no script."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client

from marketplace.cast import Cast
from pooling.models import Loan
from rating.engine.inventory import INVENTORY
from rating.models import RatingRun
from rating.selectors import documented_set
from rating.services import credit_model_store
from rating.validation import validation_report
from tests.services.test_rating_models_pages import calibrated
from tests.web.conftest import PASSWORD, WIDTH, Visitor, deal_made, screenshots

SCRIPTS = [pytest.param(True, id="with scripts"), pytest.param(False, id="without scripts")]


def checked(visitor: Visitor, picture: str) -> None:
    """The page is no wider than the window; only tables that scroll for themselves may be. The browser is silent."""
    wide = visitor.page.evaluate(
        "() => [...document.querySelectorAll('main *')]"
        ".filter(e => !e.closest('svg') && !e.parentElement.closest('.scroll'))"
        ".filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert not wide, wide[:3]
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert "{{" not in visitor.page.content()
    visitor.page.screenshot(path=screenshots() / f"{picture}.png", full_page=True)
    assert not visitor.faults, visitor.faults


def drawn(visitor: Visitor, charts: int) -> None:
    """Waits until this number of charts stands on the page."""
    visitor.page.locator(".plot > .plot-container").nth(charts - 1).wait_for()


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_models_sets_and_reports_are_read(
    visit: Callable[..., Visitor], cast: Cast, tape: Path, scripts: bool
) -> None:
    listing = deal_made(cast, tape, settle=False)
    digest = listing.rating_report.rating_run.credit_model_id
    prefix = "" if scripts else "plain-"
    visitor = visit("analyst", scripts=scripts)
    # when an analyst comes from the navigation
    visitor.press("Models")
    count = len(validation_report())
    visitor.shows(f"{count} of {count}", "documented curve", *(entry.name for entry in INVENTORY))
    checked(visitor, f"{prefix}models")
    # and opens the set of the deal
    visitor.page.locator("tbody a").first.click()
    assert visitor.page.url.endswith(f"/models/{digest}/")
    visitor.shows(digest, "Every number and where it comes from", "Severity by band", "Regulatory, other retail")
    if scripts:
        drawn(visitor, 4)
    checked(visitor, f"{prefix}model")
    # and compares it with itself
    visitor.go(f"/models/compare/?a={digest}&b={digest}")
    visitor.shows("The two sets are the same, to the last bit.")
    checked(visitor, f"{prefix}model-compare")
    # and reads the report
    visitor.go(f"/ratings/{listing.pk}/report/")
    visitor.shows(f"Rating report: {listing.deal.name}", "Manifest", *map(str, listing.manifest.values()))
    assert visitor.page.locator(".report svg").count() >= 3
    checked(visitor, f"{prefix}rating-report")
    # and its file, which stands beside the pictures for whoever looks at them
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    answer = client.get(f"/ratings/{listing.pk}/report.pdf")
    assert (answer.status_code, answer.content[:5]) == (200, b"%PDF-")
    (screenshots() / "rating-report.pdf").write_bytes(answer.content)


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_a_loan_s_points_add_up_on_the_page(
    visit: Callable[..., Visitor], cast: Cast, tape: Path, scripts: bool
) -> None:
    listing = deal_made(cast, tape, settle=False)
    loan = Loan.objects.filter(pool=listing.deal.pool).order_by("-rate").first()
    assert loan is not None
    visitor = visit("analyst", scripts=scripts)
    visitor.go(f"/listings/{listing.pk}/loans/{loan.loan_id}/pd/")
    if scripts:
        drawn(visitor, 2)
    points = visitor.page.locator("table.fit tbody td:last-child").all_inner_texts()
    tenths = [round(float(text.replace("−", "-")) * 10) for text in points]
    assert sum(tenths[:-1]) == tenths[-1]
    # and the probability of the page is the one of the points: 20 double the odds, 200 are even
    facts = dict(zip(*(visitor.page.locator(f".facts {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    odds = 2 ** ((tenths[-1] / 10 - 200) / 20)
    assert float(facts["Lifetime PD, %"]) == pytest.approx(100 * odds / (1 + odds), abs=0.05)
    checked(visitor, f"{'' if scripts else 'plain-'}loan-pd")
    # and the file ends in the same probability
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    text = client.get(f"/listings/{listing.pk}/loans/{loan.loan_id}/pd.csv").content.decode()
    last = list(csv.DictReader(io.StringIO(text)))[-1]
    assert f"{100 * float(last['pd']):.2f}" == facts["Lifetime PD, %"]
    assert int(last["month_after_cutoff"]) == loan.remaining_term


def test_the_documented_curve_is_there_for_everybody(visit: Callable[..., Visitor], cast: Cast) -> None:
    visitor = visit("originator")
    visitor.go(f"/models/{documented_set().digest}/")
    visitor.shows("part of this build", "Prosper", "CRE31")
    drawn(visitor, 4)
    checked(visitor, "documented-curve")


def test_two_sets_are_drawn_beside_each_other(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    # given a set that was fitted to a history, and the documented curve
    listing = deal_made(cast, tape, settle=False)
    stored = credit_model_store(model=calibrated())
    RatingRun.objects.filter(pk=listing.rating_report.rating_run_id).update(credit_model=stored)
    visitor = visit("analyst")
    visitor.go(f"/models/{stored.pk}/")
    drawn(visitor, 2)
    visitor.shows("estimated", "Maximum likelihood", "95 % of the posterior", "What stands in")
    checked(visitor, "calibrated-model")
    # when it is compared by the form of its page
    visitor.press("Compare")
    drawn(visitor, 2)
    visitor.shows("Fields that differ", "default hazard", "severity mean", "Largest difference")
    checked(visitor, "model-compare-two")
