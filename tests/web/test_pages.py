"""What the pages show of a finished deal: charts, tables in the address, keyboard, refusals in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts.models import User
from marketplace.cast import Cast
from marketplace.models import Auction, Bid
from pooling.models import Loan, TapeUpload, TapeVersion
from tests.web.conftest import LOANS, Visitor, deal_made, screenshots

MOST_TABS = 40


@pytest.fixture
def holder(cast: Cast) -> str:
    """The login of an investor whose mandate reaches every class."""
    return User.objects.get(organisation__name="Tideway Multi-Strategy").username


def test_every_page_of_a_settled_deal(visit: Callable[..., Visitor], cast: Cast, tape: Path, holder: str) -> None:
    # given a settled deal
    listing = deal_made(cast, tape, settle=True, scenarios=2048)
    investor, path = visit(holder), f"/listings/{listing.pk}/"
    # when an investor reads the market, the deal, the rating
    investor.check("market")
    investor.shows(listing.deal.name, "settled", "Meadow Lending")
    investor.go(path)
    investor.drawn(2)
    investor.shows("Classes", "residual", "Clearing yield", "Total uses", "Tape root", "market snapshot", "By grade")
    investor.check("deal")
    top = {"x": 0, "y": 0, "width": 1280, "height": 1010}
    investor.page.screenshot(path=screenshots() / "screenshot.png", clip=top, full_page=True)
    investor.go(f"/ratings/{listing.pk}/")
    investor.drawn(2)
    investor.shows("Assumptions and their sources", "assumption", "source", "equal ones")
    investor.check("rating")
    for page in ("ratings", "orders", "positions", "cash", "mandates", "mandates/new"):
        investor.go(f"/{page}/")
        investor.check(page.replace("/", "-"))
    # then no chart colours a class otherwise than the tables do, and the pages of the others stand as well
    for username, pages in (("analyst", ("",)), ("operator", ("auctions/",)), ("originator", ("tapes/", "deals/"))):
        other = visit(username)
        for page in pages:
            other.go(f"/{page}")
            other.check(f"{username}-{page.strip('/') or 'market'}")
        other.go(path)
        other.drawn(2)
        other.check(f"{username}-deal")


def test_the_market_table_keeps_its_state_in_the_address(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    visitor = visit("analyst")
    # when the table is sorted and filtered
    visitor.page.get_by_role("link", name="Pool balance").click()
    visitor.page.wait_for_url("**/?order=balance")
    visitor.page.locator("#state").select_option("settled")
    visitor.page.get_by_text("Nothing on the market fits these filters.").wait_for()
    visitor.page.wait_for_url("**state=settled**")
    # then the address alone brings the same table back
    visitor.page.reload()
    visitor.shows("Nothing on the market fits these filters.")
    visitor.go("/?name=meadow-2026&state=open&order=-wac")
    visitor.shows(listing.deal.name)
    assert visitor.page.locator("th[aria-sort=descending]").inner_text().startswith("Coupon")
    visitor.check()


def test_loans_are_filtered_paged_and_downloaded(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    visitor = visit("analyst")
    visitor.go(f"/listings/{listing.pk}/")
    # when the table is paged forward and back
    first = visitor.page.locator("#loans tbody tr td").first.inner_text()
    visitor.press("Further loans")
    visitor.page.wait_for_url("**/loans/?after=*")
    assert visitor.page.locator("#loans tbody tr td").first.inner_text() > first
    visitor.press("Earlier loans")
    visitor.page.wait_for_url("**before=*")
    assert visitor.page.locator("#loans tbody tr td").first.inner_text() == first
    # and filtered by grade
    visitor.page.get_by_label("Grade").select_option("B")
    visitor.page.wait_for_url("**grade=B**")
    wanted = Loan.objects.filter(pool=listing.deal.pool, grade="B").count()
    assert 0 < wanted < LOANS
    visitor.page.get_by_text(f"{wanted} loans").wait_for()
    visitor.check("loans")
    # then the file has the same loans, and no column besides those disclosed
    with visitor.page.expect_download() as download:
        visitor.press("CSV")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert len(rows) == wanted
    assert {row["grade"] for row in rows} == {"B"}
    assert set(rows[0]) == {
        "loan_id", "cutoff_balance", "rate", "term", "age", "remaining_term", "grade", "score", "state", "purpose",
        "income_band", "issue_month",
    }  # fmt: skip


def test_the_keyboard_reaches_the_main_actions(
    visit: Callable[..., Visitor], cast: Cast, tape: Path, holder: str
) -> None:
    listing = deal_made(cast, tape, settle=False)
    for username, path, name in (
        (holder, f"/listings/{listing.pk}/", "Bid for A"),
        ("operator", "/auctions/", "Close auction"),
        ("originator", "/tapes/", "Upload a tape"),
    ):
        visitor = visit(username)
        visitor.go(path)
        for _ in range(MOST_TABS):
            visitor.page.keyboard.press("Tab")
            focus = visitor.page.evaluate(
                "() => [document.activeElement.innerText, document.activeElement.matches(':focus-visible')]"
            )
            if focus[0] == name:
                break
        # then it is reached, its focus can be seen, and Enter follows it
        assert focus == [name, True]
        before = visitor.page.url
        visitor.page.keyboard.press("Enter")
        visitor.page.wait_for_url(lambda url, before=before: url != before)


def test_a_bad_tape_is_refused_in_words_and_leaves_no_tape(
    visit: Callable[..., Visitor], cast: Cast, tmp_path: Path
) -> None:
    visitor = visit("originator")
    for name, content, sentence in (
        ("empty.csv", b"", "empty"),
        ("semicolons.csv", b"loan_amnt;int_rate;term\n1;2;3\n", "separated by semicolons"),
        ("negative.csv", b"loan_amnt,int_rate,term\n-5,10%,36 months\n", "None of the 1 rows"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        visitor.go("/tapes/upload/")
        visitor.page.get_by_label("Loan tape").set_input_files(path)
        visitor.press("Read and check")
        alert = visitor.page.get_by_role("alert").inner_text()
        assert sentence in alert, alert
    visitor.check("refused-tape")
    # then no tape and no loan has entered; the file itself is kept as evidence
    assert (TapeVersion.objects.count(), Loan.objects.count()) == (0, 0)
    assert TapeUpload.objects.count() <= 3


def test_a_refused_bid_keeps_what_was_typed(visit: Callable[..., Visitor], cast: Cast, tape: Path, holder: str) -> None:
    listing = deal_made(cast, tape, settle=False)
    auction, before = Auction.objects.get(listing=listing, tranche="A"), Bid.objects.count()
    visitor = visit(holder)
    for typed_yield, typed_amount, sentence in (
        ("99", "1,000", "is above the reserve of"),
        ("5.1", "1,000.50", "is not in whole lots"),
        ("NaN", "1000", "Enter a number"),
        ("5.1234", "1000", "no more than 3 decimal places"),
        ("5", "999,999,999,000", "is more than the supply of"),
    ):
        visitor.go(f"/auctions/{auction.pk}/bid/")
        visitor.page.get_by_label("Lowest yield you accept").fill(typed_yield)
        visitor.page.get_by_label("Amount").fill(typed_amount)
        visitor.press("Place sealed bid")
        visitor.shows(sentence)
        assert visitor.page.get_by_label("Lowest yield you accept").input_value() == typed_yield
        assert visitor.page.get_by_label("Amount").input_value() == typed_amount
    visitor.check("refused-bid")
    assert Bid.objects.count() == before


def test_a_second_click_has_no_second_effect(
    visit: Callable[..., Visitor], cast: Cast, tape: Path, holder: str
) -> None:
    listing = deal_made(cast, tape, settle=False)
    auction, before = Auction.objects.get(listing=listing, tranche="A"), Bid.objects.count()
    visitor = visit(holder)
    visitor.go(f"/auctions/{auction.pk}/bid/")
    visitor.page.get_by_label("Lowest yield you accept").fill(f"{auction.guide_ticks / 1000:.3f}")
    visitor.page.get_by_label("Amount").fill("1000")
    key = visitor.page.locator("input[name=key]").input_value()
    # when the button is clicked twice in a hurry
    visitor.page.get_by_role("button", name="Place sealed bid").dblclick()
    visitor.page.wait_for_url("**/orders/")
    assert Bid.objects.count() == before + 1
    # and the same form is sent again with another amount
    visitor.go(f"/auctions/{auction.pk}/bid/")
    visitor.page.evaluate("key => { document.querySelector('input[name=key]').value = key }", key)
    visitor.page.get_by_label("Lowest yield you accept").fill("5")
    visitor.page.get_by_label("Amount").fill("2000")
    visitor.press("Place sealed bid")
    # then it is refused in words, and may be sent once more as a request of its own
    visitor.shows("This form was sent before with other values.")
    assert Bid.objects.count() == before + 1
    assert visitor.page.locator("input[name=key]").input_value() != key
