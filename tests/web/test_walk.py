"""The whole way through the pages, from an uploaded tape to positions, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from investors.selectors import ledger_drift, ledger_imbalance
from investors.services import cash_deposit
from marketplace.cast import Cast
from marketplace.models import Bid, Listing, ListingState, Trade
from runs.worker import InProcessWorker
from tests.web.conftest import Visitor, screenshots

MINUTE = 60_000  # milliseconds
CASH = 1_000_000_000  # cents
SCRIPTS = [pytest.param(True, id="with scripts"), pytest.param(False, id="without scripts")]


def rated_deal(originator: Visitor, tape: Path, prefix: str) -> None:
    """Upload → quality → pool → deal → rating, by the originator's forms."""
    originator.go("/tapes/")
    originator.shows("No tape yet")
    originator.press("Upload a tape")
    originator.check(f"{prefix}upload")
    originator.page.get_by_label("Loan tape").set_input_files(tape)
    originator.press("Read and check")
    originator.shows("Tape quality", "300", "Merkle root", "every value carries a % sign")
    originator.check(f"{prefix}tape")
    originator.press("Make a pool")
    originator.check(f"{prefix}pool-new")
    originator.press("Make the pool")
    originator.shows("300 loans are pooled", "By grade", "By purpose")
    originator.check(f"{prefix}pool")
    originator.press("Make a deal")
    originator.page.get_by_label("Name").fill("Meadow 2026-1")
    originator.check(f"{prefix}deal-new")
    originator.press("Make the deal")
    originator.shows("Meadow 2026-1", "None yet")
    originator.press("Rate and price")
    originator.page.get_by_label("Scenarios").select_option("256")
    originator.check(f"{prefix}rate")
    originator.press("Start the rating")
    originator.shows("256 scenarios, seed 7")
    originator.check(f"{prefix}rating-run")


def listed(originator: Visitor, prefix: str) -> None:
    """From the rated deal to an open listing."""
    originator.shows("BBB", "Capital structure")
    originator.check(f"{prefix}deal-own")
    originator.press("List on the market")
    originator.check(f"{prefix}list-deal")
    originator.press("Make the draft listing")
    originator.shows("draft", "Manifest")
    originator.press("Open for bids")
    originator.shows("only an operator can withdraw the offer")
    originator.check(f"{prefix}confirm-open")
    originator.press("Open the listing")
    originator.shows("The listing is open for bids.", "Bids are sealed until the close")


def bids_placed(investor: Visitor, prefix: str, scripts: bool) -> None:
    """A sealed bid for class A, one for B that is withdrawn again."""
    investor.go("/?state=open")
    investor.press("Meadow 2026-1")
    investor.press("Bid for A")
    guide = investor.page.locator("dt:has-text('Guide yield') + dd").inner_text()
    investor.page.get_by_label("Lowest yield you accept").fill(guide)
    investor.page.get_by_label("Amount").fill("1,000,000")
    if scripts:  # the price appears while typing; without scripts a button asks for it
        investor.page.get_by_text("Cash this bid earmarks").wait_for()
    else:
        investor.press("Show price and hold")
        investor.shows("Cash this bid earmarks")
    investor.check(f"{prefix}bid")
    investor.press("Place sealed bid")
    investor.shows("Your bid for class A is placed and sealed.", "1,000,000.00", "live")
    investor.go("/?state=open")
    investor.press("Meadow 2026-1")
    investor.press("Bid for B")
    guide = investor.page.locator("dt:has-text('Guide yield') + dd").inner_text()
    investor.page.get_by_label("Lowest yield you accept").fill(guide)
    investor.page.get_by_label("Amount").fill("50000")
    investor.press("Place sealed bid")
    investor.press("Withdraw the bid for class B")
    investor.check(f"{prefix}withdraw")
    investor.press("Withdraw the bid")
    investor.shows("its hold has returned", "withdrawn")
    investor.check(f"{prefix}orders")


def sold(operator: Visitor, prefix: str) -> None:
    """The operator sees numbers only, closes, settles."""
    operator.go("/auctions/")
    operator.shows("Meadow 2026-1", "A 1", "B 0")
    operator.check(f"{prefix}auctions")
    operator.press("Close auction")
    operator.check(f"{prefix}confirm-close")
    operator.press("Close and clear")
    operator.shows("The auction is closed and cleared.", "Allotments, largest first")
    operator.press("Settle")
    operator.press("Settle all classes")
    operator.shows("The listing is settled.", "Total sources", "Total uses")


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_from_upload_to_position(visit: Callable[..., Visitor], cast: Cast, tape: Path, scripts: bool) -> None:
    # given the demo parties with cash, and the worker that a server of one machine starts
    prefix = "" if scripts else "plain-"
    for user in (cast.investor, cast.originator):
        assert user.organisation is not None
        cash_deposit(organisation=user.organisation, amount=CASH, idempotency_key=f"web/{user.username}")
    originator = visit("originator", scripts=scripts)
    with InProcessWorker(poll=0.1):
        # when the originator goes from a tape to an open listing
        rated_deal(originator, tape, prefix)
        if scripts:
            originator.page.wait_for_url("**/deals/*/", timeout=MINUTE)
        else:
            originator.page.get_by_text("See the figures").click(timeout=MINUTE)
    listed(originator, prefix)
    # and an investor bids, and the operator closes and settles
    investor = visit("investor", scripts=scripts)
    bids_placed(investor, prefix, scripts)
    sold(visit("operator", scripts=scripts), prefix)
    # then the investor holds what it was awarded, for the cash it paid, and the ledger holds
    trade = Trade.objects.select_related("allocation__auction").get()
    assert (trade.allocation.auction.tranche, trade.amount) == ("A", 100_000_000)
    assert Listing.objects.get().state == ListingState.SETTLED
    assert sorted(Bid.objects.values_list("auction__tranche", "state")) == [("A", "filled"), ("B", "withdrawn")]
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    investor.go("/positions/")
    investor.shows("Meadow 2026-1", "1,000,000.00", f"{trade.cash / 100:,.2f}")
    investor.check(f"{prefix}positions")
    investor.go("/cash/")
    investor.shows("hold for a bid on class A", f"{CASH / 100 - trade.cash / 100:,.2f}")
    investor.check(f"{prefix}cash")
    # and the originator reads amounts without names
    originator.go("/deals/")
    originator.shows("settled")
    originator.check(f"{prefix}deals")
    originator.press("settled")
    originator.shows("Allotments, largest first, without names")
    assert "Harbour" not in originator.text()
    assert any(screenshots().glob(f"{prefix}positions.png"))
