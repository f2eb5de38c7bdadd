"""The cash-flow table and the explanation of a payment in a real browser: figures, keyboard, width, no script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from config.charts import SANKEY_NODE, SANKEY_WIDTH, FlowLink, FlowNode, flow_columns, sankey_figure
from config.templatetags import figures
from marketplace.cast import Cast
from marketplace.models import Listing
from pooling.deals.collateral import template_collateral
from pooling.deals.templates import template
from pooling.engine.deal import DealSpec
from pooling.engine.packing import flows_from_json
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from tests.services.disclosed import disclose
from tests.services.factories import market
from tests.web.conftest import WIDTH, Visitor, deal_made, screenshots

MOST_TABS = 40
CENT = 0.01
SCRIPTS = [pytest.param(True, id="with scripts"), pytest.param(False, id="without scripts")]


def investors_run(listing: Listing) -> DealFlows:
    """The run of a listing made here from what it discloses."""
    flows = flows_from_json(listing.rating_report.result["collateral"]["flows"])
    program = compile_deal(DealSpec.from_json(listing.deal_version.spec), listing.deal.pool.balance)
    return execute(program, flows, mode="cents")


def money(cents: Any) -> str:
    """Cents of a NumPy array as the pages write them."""
    return figures.money(int(cents))


def cells(visitor: Visitor, rows: str) -> list[list[str]]:
    """Texts of the cells of table rows."""
    found: list[list[str]] = visitor.page.locator(rows).evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    return found


def checked(visitor: Visitor, picture: str = "") -> None:
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
    if picture:
        visitor.page.screenshot(path=screenshots() / f"{picture}.png", full_page=True)
    assert not visitor.faults, visitor.faults


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_the_table_says_what_the_engine_pays(
    visit: Callable[..., Visitor], cast: Cast, tape: Path, scripts: bool
) -> None:
    listing = deal_made(cast, tape, settle=False)
    visitor = visit("analyst", scripts=scripts)
    # when a reader comes from the deal's page
    visitor.go(f"/listings/{listing.pk}/")
    visitor.press("cash flows by payment date")
    if scripts:
        visitor.drawn(2)
    visitor.shows("Cash flows of", "scenario mean of the 256 scenarios", "30/360", "Tape root", "= 0.00 USD")
    # then every amount on the page is the engine's, to the cent
    deal = investors_run(listing)
    rows = cells(visitor, "table.flows tbody tr")[1:]
    assert 20 < len(rows) <= deal.months
    for t, row in enumerate(rows):
        assert row[:5] == [
            str(t + 1), deal.dates[t].isoformat(), money(deal.pool_balance[t, 0]), money(deal.collections[t, 0]),
            money(deal.fees[:, t, 0].sum()),
        ]  # fmt: skip
        for k in range(3):
            paid = [money(column[k, t, 0]) for column in (deal.interest, deal.principal, deal.balance)]
            repaid = t > 0 and deal.balance[k, t - 1, 0] == 0
            assert row[5 + 3 * k : 8 + 3 * k] == (["—"] * 3 if repaid else paid)
        assert row[14:] == [money(deal.reserve[t, 0]), money(deal.residual[t, 0])]
    (total,) = cells(visitor, "table.flows tfoot tr")
    assert [total[5], total[6]] == [money(deal.interest[0].sum()), money(deal.principal[0].sum())]
    assert total[15] == money(deal.residual.sum())
    # and within rounding what the rating stored when it ran in floats: half a cent a step and date
    stored = listing.rating_report.result["collateral"]
    assert abs(deal.residual.sum() / 100 - sum(stored["residual"])) < 10 * CENT * deal.months
    for t in range(0, len(rows), 5):
        assert abs(deal.balance[0, t, 0] / 100 - stored["balances"]["A"][t]) < 10 * CENT * (t + 1)
    checked(visitor, f"{'' if scripts else 'plain-'}cashflows")


@pytest.mark.parametrize("scripts", SCRIPTS)
def test_a_payment_is_explained(visit: Callable[..., Visitor], cast: Cast, tape: Path, scripts: bool) -> None:
    listing = deal_made(cast, tape, settle=False)
    deal, visitor = investors_run(listing), visit("analyst", scripts=scripts)
    # given the cash-flow table; when a date is opened, and a class chosen by the form
    visitor.go(f"/listings/{listing.pk}/cashflows/")
    visitor.page.get_by_role("link", name=deal.dates[6].isoformat()).click()
    visitor.shows(f"Class A on {deal.dates[6]}, payment 7")
    visitor.page.get_by_label("Class").select_option("B")
    visitor.page.get_by_label("Payment date").select_option("8")
    visitor.press("Explain")
    assert visitor.page.url.endswith("/explain/?class=B&date=8")
    # then its account is the engine's
    t = 7
    facts = dict(zip(*(visitor.page.locator(f".facts {tag}").all_inner_texts() for tag in ("dt", "dd")), strict=True))
    assert facts == {
        "Opening balance, USD": money(deal.balance[1, t - 1, 0]),
        "Interest accrued, USD": money(deal.interest_due[1, t, 0]),
        "Interest paid, USD": money(deal.interest[1, t, 0]),
        "Interest unpaid, end, USD": money(deal.interest_shortfall[1, t, 0]),
        "Principal paid, USD": money(deal.principal[1, t, 0]),
        "Closing balance, USD": money(deal.balance[1, t, 0]),
    }
    # and the steps pay what the engine paid, in order; those of the class are marked
    steps = [row for row in cells(visitor, "table.flows tbody tr") if row[0]]
    paid = {row[1].split("\n")[0].replace(" this class", ""): row[5] for row in steps}
    assert paid["Servicing fee"] == money(deal.fees[0, t, 0])
    assert [paid[f"Interest {name}"] for name in "ABC"] == [money(deal.interest[k, t, 0]) for k in range(3)]
    assert [paid[f"Principal {name}"] for name in "ABC"] == [money(deal.principal[k, t, 0]) for k in range(3)]
    assert paid["Residual R"] == money(deal.residual[t, 0])
    assert visitor.page.locator("tr.own:not(.why)").count() == 2
    # and all cash of the drawing stands in its table: what enters an account leaves it
    links = [(row[0], row[1], int(row[2].replace(",", "").replace(".", ""))) for row in cells(visitor, CASH)]
    entering, leaving = Counter[str](), Counter[str]()
    for source, target, amount in links:
        leaving[source] += amount
        entering[target] += amount
    for account in ("Collection", "Reserve"):
        assert entering[account] == leaving[account] > 0
    assert entering["Collection"] == deal.collections[t, 0]
    assert visitor.page.locator("svg.sankey path").count() == len(links)
    said = [text.split()[-1] for text in visitor.page.locator("svg.sankey text").all_text_contents()]
    assert money(deal.collections[t, 0]) in " ".join(said)
    checked(visitor, f"{'' if scripts else 'plain-'}explain")
    # and the neighbours are a click away
    visitor.press("Next date")
    visitor.shows(f"Class B on {deal.dates[8]}, payment 9")
    visitor.press("Previous date")
    visitor.shows(f"Class B on {deal.dates[7]}, payment 8")


CASH = "h2#cash + table tbody tr"


def test_labels_of_the_drawing_are_whole_and_apart(visit: Callable[..., Visitor], transactional_db: None) -> None:
    # given a deal of six classes with fees, reserve and alternatives, on its first and a later date
    scene, name = market(investors=0), "prime-auto"
    spec = template(name)
    listing = disclose(scene, template_collateral(name).flows(spec), spec)
    client, visitor = Client(), visit()
    client.force_login(scene.analyst)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    visitor.page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": visitor.base}])
    for number in (1, 21, 40):
        visitor.go(f"/listings/{listing.pk}/explain/?class=A-2&date={number}")
        frame, *boxes = visitor.page.evaluate(
            "() => [document.querySelector('svg.sankey'), ...document.querySelectorAll('svg.sankey text')]"
            ".map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.right, r.bottom])"
        )
        # then every label lies within the drawing and none writes over another
        for i, box in enumerate(boxes):
            assert frame[0] <= box[0]
            assert box[2] <= frame[2]
            assert frame[1] <= box[1]
            assert box[3] <= frame[3] + 1
            assert not any(overlap(box, other) for other in boxes[:i]), number
        checked(visitor, f"explain-{name}-{number}")
    visitor.go(f"/listings/{listing.pk}/cashflows/?to=maturity")
    visitor.drawn(2)
    checked(visitor, f"cashflows-{name}")
    visitor.press("To the clean-up call")
    visitor.shows("called")


def overlap(one: list[float], other: list[float]) -> bool:
    """Whether two boxes share more than a hair. Lines of text may touch."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return wide > 1 and tall > 3


def test_the_keyboard_reaches_dates_and_the_form(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    first = investors_run(listing).dates[0].isoformat()
    visitor = visit("analyst")
    for path, name in (
        (f"/listings/{listing.pk}/", "Cash flows"),
        (f"/listings/{listing.pk}/cashflows/", first),
        (f"/listings/{listing.pk}/explain/", "Explain"),
    ):
        visitor.go(path)
        focus: list[Any] = []
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
    # and a table that is wider than the page can be scrolled by keys
    visitor.go(f"/listings/{listing.pk}/cashflows/")
    visitor.page.locator(".scroll").focus()
    assert visitor.page.evaluate("document.activeElement.className") == "scroll"


def test_a_wrong_address_is_told_in_one_sentence(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    visitor = visit("analyst")
    answer = visitor.page.goto(f"{visitor.base}/listings/{listing.pk}/explain/?class=Z&date=1")
    assert answer.status == 400
    alert = visitor.page.get_by_role("alert").inner_text()
    assert alert == "class: Z is no class of this deal; its classes are A, B, C."
    # the form is still there to mend it
    visitor.page.get_by_label("Class").select_option("C")
    visitor.press("Explain")
    visitor.shows("Class C on")


# ----------------------------------------------------------------------------------------- the drawing, without a page
def test_bands_are_in_proportion_and_fill_their_nodes() -> None:
    nodes = [FlowNode(label, "#000") for label in ("Pool", "Account", "A", "Fee")]
    links = [FlowLink(0, 1, 1_000_000, "#000"), FlowLink(1, 2, 750_000, "#000"), FlowLink(1, 3, 250_000, "#000")]
    drawn = sankey_figure(nodes, links)
    widths = [band.width for band in drawn.bands]
    assert widths[1] == pytest.approx(3 * widths[2])
    assert [box.height for box in drawn.nodes] == pytest.approx(
        [widths[0], widths[1] + widths[2], widths[1], widths[2]]
    )
    assert [box.amount for box in drawn.nodes] == [1_000_000, 1_000_000, 750_000, 250_000]
    assert drawn.nodes[0].x < drawn.nodes[1].x < drawn.nodes[2].x == drawn.nodes[3].x
    assert drawn.nodes[2].x + SANKEY_NODE < SANKEY_WIDTH


def test_cash_that_comes_back_to_an_account_does_not_turn_the_order_round() -> None:
    # pool -> collection -> reserve -> collection (released), collection -> class
    links = [FlowLink(*ends, 100, "#000") for ends in ((0, 1), (1, 2), (2, 1), (1, 3))]
    assert flow_columns(4, links) == [0, 1, 2, 3]
    # an account that only hands on stands between its neighbours
    assert flow_columns(4, [FlowLink(*ends, 100, "#000") for ends in ((0, 2), (2, 1), (1, 3))]) == [0, 2, 1, 3]


def test_a_few_cents_are_drawn_as_a_hairline_with_a_label_of_their_own() -> None:
    nodes = [FlowNode(label, "#000") for label in ("Pool", "Account", "A", "Fee", "B")]
    links = [FlowLink(0, 1, 10_000_003, "#000"), FlowLink(1, 2, 10_000_000, "#000")]
    links += [FlowLink(1, 3, 1, "#000"), FlowLink(1, 4, 2, "#000")]
    drawn = sankey_figure(nodes, links)
    labels = sorted(box.label_y for box in drawn.nodes[2:])
    assert min(b - a for a, b in pairwise(labels)) > 15  # pixels: the height of a label
    assert min(band.width for band in drawn.bands) >= 1
