"""The price/yield table in a real browser: classes by links, a grid by its form, refusals, no script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.cast import Cast
from marketplace.models import Listing
from tests.web.conftest import WIDTH, Visitor, deal_made, screenshots


@pytest.fixture
def listing(cast: Cast, tape: Path) -> Listing:
    """An open listing of a rated deal."""
    return deal_made(cast, tape, settle=False)


def checked(visitor: Visitor, picture: str) -> None:
    """The page is no wider than the window; only tables that scroll for themselves may be. The browser is silent."""
    visitor.page.screenshot(path=screenshots() / f"{picture}.png", full_page=True)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert "{{" not in visitor.page.content()
    assert not visitor.faults, visitor.faults


@pytest.mark.parametrize("scripts", [pytest.param(True, id="scripts"), pytest.param(False, id="no scripts")])
def test_an_investor_reads_the_table(visit: Callable[..., Visitor], listing: Listing, scripts: bool) -> None:
    # given the listing, reached from its page
    visitor = visit("analyst", scripts=scripts)
    visitor.go(f"/listings/{listing.pk}/")
    visitor.press("Price/yield table")
    # then the first class is there, with 21 prices and what lies under each column
    visitor.shows(
        "Class A: Yield, % a year, bond-equivalent", "Price per 100", "WAL for principal, years",
        "Modified duration at",
        "First principal", "Written down, USD", "Collateral loss", "Break-even of each class", "days old",
        "CPR, % a year", "CDR, % a year",
    )  # fmt: skip
    table = visitor.page.locator("table.yields").first
    assert table.locator("tbody").first.locator("tr").count() == 21
    checked(visitor, f"yield-table{'' if scripts else '-no-script'}")
    # when another class is chosen
    visitor.page.get_by_role("navigation", name="Class").get_by_role("link", name="C", exact=True).click()
    visitor.shows("Class C: Yield")
    checked(visitor, "yield-table-junior")
    # and another grid is asked for by the form
    visitor.page.get_by_label("CDRs, % a year").fill("0, 4, 2 for 12 4 ramp 12 20")
    visitor.page.get_by_label("Severities, % of charged off").fill("60, 90")
    visitor.page.get_by_label("Prices, at most 41").fill("5")
    visitor.page.get_by_label("Figures").select_option("spread")
    visitor.press("Show")
    visitor.shows("Class C: Spread over the Treasury par curve at the WAL, bp", "2 for 12 4 ramp 12 20")
    assert table.locator("tbody").first.locator("tr").count() == 5
    assert visitor.page.locator("table.yields thead tr:last-child th a").count() == 3 * 3 * 2
    checked(visitor, "yield-table-grid")
    # and the break-evens around its second scenario
    table.get_by_role("link", name="2", exact=True).click()
    visitor.shows("Break-even of each class around scenario 2", "severity 60 %")


def test_a_wide_table_scrolls_for_itself(visit: Callable[..., Visitor], listing: Listing) -> None:
    visitor = visit("analyst")
    visitor.go(f"/listings/{listing.pk}/yield-table/?cdr=0,1,2,3,4,5,6,7,8,9&speed=1,2,3,4,5&severity=50,70,90&class=B")
    visitor.shows("Class B")
    assert visitor.page.locator("table.yields thead tr:last-child th a").count() == 150
    assert visitor.page.locator("table.yields").count() == 15
    checked(visitor, "yield-table-wide")


def test_a_refusal_keeps_what_was_typed(visit: Callable[..., Visitor], listing: Listing) -> None:
    visitor = visit("analyst")
    visitor.go(f"/listings/{listing.pk}/yield-table/?cdr=4%20rmap%2012%208&class=B")
    assert "cdr: '4 rmap 12 8' is no curve" in visitor.page.locator(".alert").inner_text()
    assert visitor.page.get_by_label("CDRs, % a year").input_value() == "4 rmap 12 8"
    assert visitor.page.locator("table.yields").count() == 0
    visitor.page.screenshot(path=screenshots() / "yield-table-refused.png", full_page=True)
