"""The surveillance page in a browser, on a slice of a real tape whose loans have all ended."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.cast import Cast
from marketplace.models import ListingState
from pooling.performance import performance_derive, performance_history
from tests.services.factories import key
from tests.services.surveyed import finished_slice, surveyed_deal
from tests.web.conftest import Visitor

MONTHS = 20


@pytest.mark.shared
@pytest.mark.web
def test_a_deal_is_watched_reported_and_rated_again(
    visit: Callable[..., Visitor], cast: Cast, shared: Path, tmp_path: Path
) -> None:
    # given a settled deal without a reported month
    listing = surveyed_deal(cast, finished_slice(shared, tmp_path), settle=True)
    assert listing.state == ListingState.SETTLED
    path = f"/listings/{listing.pk}/surveillance/"
    originator = visit("originator")
    originator.go(f"/listings/{listing.pk}/")
    originator.press("Surveillance")
    originator.shows("No month of this pool has been reported yet")
    originator.check()

    # when a file does not fit, it is refused in words and nothing is stored
    originator.press("Report a month")
    bad = tmp_path / "bad.csv"
    bad.write_text("loan_id,period,balance\n1,2026-05,3.00\n", encoding="utf-8")
    originator.page.get_by_label("Servicer's tape").set_input_files(bad)
    originator.press("Check and store")
    originator.shows("The column 'balance' is unknown; did you mean 'ending_balance'?")
    originator.check("performance-refused")

    # and when months are there, the page says what they make of the deal
    performance_derive(user=cast.originator, deal=listing.deal, months=MONTHS, idempotency_key=key())
    history = performance_history(listing.deal)
    originator.go(path)
    originator.press("Rate again")
    originator.drawn(4)
    originator.shows(
        "Rated again after 20 months", "2027-12, month 20", "Watch list", "Roll rates", "Transitions", "Triggers",
        "pool.cumulative_loss_rate > 6%", f"{history.balance[-1].sum() / 100:,.2f}",
    )  # fmt: skip
    originator.check("surveillance")
    originator.go(f"{path}?moves=life&share=balance")
    originator.check("surveillance-balance")

    files = f"{originator.base}/listings/{listing.pk}/surveillance.csv?table="
    rows = list(csv.DictReader(io.StringIO(originator.page.request.get(f"{files}months").text())))
    assert len(rows) == MONTHS
    lost = (history.charge_off - history.recovery).sum() / history.balance[0].sum()
    assert float(rows[-1]["loss"]) == pytest.approx(lost, rel=1e-12)
    for table in ("rolls", "transitions", "triggers", "ratings"):
        assert originator.page.request.get(f"{files}{table}").ok, table
    assert originator.page.request.get(f"{files}x").status == 404

    # the auction has cleared, so that an investor sees it too, without the buttons
    investor = visit(cast.investor.username)
    investor.go(path)
    investor.shows("Watch list")
    assert investor.page.get_by_role("button", name="Rate again").count() == 0
    assert "Report a month" not in investor.text()
    investor.check()


@pytest.mark.shared
@pytest.mark.web
def test_before_the_auction_has_cleared_an_investor_learns_nothing(
    visit: Callable[..., Visitor], cast: Cast, shared: Path, tmp_path: Path
) -> None:
    listing = surveyed_deal(cast, finished_slice(shared, tmp_path, every=60))
    performance_derive(user=cast.originator, deal=listing.deal, months=3, idempotency_key=key())
    address = f"/listings/{listing.pk}/surveillance"
    investor = visit(cast.investor.username)
    investor.go(f"{address}/")
    investor.shows("shown to investors once the auction has cleared")
    assert "2026-07" not in investor.text()
    assert investor.page.request.get(f"{investor.base}{address}.csv").status == 404
    analyst = visit("analyst")
    analyst.go(f"{address}/")
    analyst.shows("2026-07, month 3", "No re-rating has been made yet")
    analyst.check()
