"""The base case of a listing in cents: who sees it, and that every figure is the engine's."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from accounts.errors import ApplicationError
from accounts.models import User
from marketplace.cashflows import BaseCase, assumptions, base_case
from marketplace.explanation import payment_view
from marketplace.models import Listing
from pooling.deals.collateral import template_collateral
from pooling.deals.templates import template
from pooling.engine.deal import DealSpec
from pooling.engine.waterfall import compile_deal, execute
from tests.services.disclosed import MONTHS, disclose, pool_flows
from tests.services.factories import BALANCES, POOL_BALANCE, Market, market, page_statuses, viewers

pytestmark = pytest.mark.django_db

PAGES = ("cashflows", "explain", "cashflows-csv", "cashflows-xlsx")


def changed(scene: Market, **changes: Any) -> DealSpec:
    """The scene's deal with other values of top-level keys."""
    return DealSpec.from_json(scene.listing.deal_version.spec | changes)


def status_of(viewer: User | None, listing: Listing, name: str, **query: str) -> int:
    client = Client()
    if viewer is not None:
        client.force_login(viewer)
    return client.get(reverse(name, args=[listing.pk]), query).status_code


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("opened", [False, True])
def test_who_sees_the_cash_flows(name: str, opened: bool) -> None:
    scene = market(investors=1, opened=opened)
    listing = disclose(scene, pool_flows())
    assert {who: status_of(viewer, listing, name) for who, viewer in viewers(scene).items()} == page_statuses(opened)


def test_every_figure_of_the_table_is_the_engines() -> None:
    flows = pool_flows()
    listing = disclose(market(investors=0), flows)
    table = base_case(listing).table
    # given the same deal run by hand
    program = compile_deal(DealSpec.from_json(listing.deal_version.spec), POOL_BALANCE)
    deal = execute(program, flows, mode="cents")
    # then every row is the engine's, to the cent
    assert len(table.rows) + table.left_out == deal.months == MONTHS
    for t, row in enumerate(table.rows):
        assert row.date == deal.dates[t]
        assert (row.pool_balance, row.collections) == (deal.pool_balance[t, 0], deal.collections[t, 0])
        assert row.fees == deal.fees[:, t, 0].sum()
        assert (row.reserve, row.residual) == (deal.reserve[t, 0], deal.residual[t, 0])
        for k, cells in enumerate(row.classes):
            assert (cells.interest, cells.principal) == (deal.interest[k, t, 0], deal.principal[k, t, 0])
            assert (cells.balance, cells.unpaid) == (deal.balance[k, t, 0], deal.interest_shortfall[k, t, 0])
    # what is left out has nothing in it: the totals are those of the whole run
    total = table.total
    assert total.residual == deal.residual.sum()
    assert total.fees == deal.fees.sum()
    assert [cells.principal for cells in total.classes] == deal.principal.sum(axis=(1, 2)).tolist()
    # and not a cent is lost: what came in went to somebody
    proof = table.proof
    assert proof.difference == 0
    assert proof.paid_in == deal.collections.sum()
    assert proof.paid_out == deal.fees.sum() + deal.interest.sum() + deal.principal.sum() + deal.residual.sum()


def test_the_call_is_exercised_or_not() -> None:
    scene = market(investors=0)
    call = {"factor": 0.4, "from_date": None, "price": "pool.balance", "into": "collection", "make_whole": None}
    listing = disclose(scene, pool_flows(), changed(scene, call=call))
    called, held = base_case(listing).table, base_case(listing, to_call=False).table
    (date,) = [row for row in called.rows if row.called]
    assert date.pool_balance == 0  # sold
    assert held.rows[date.number - 1].pool_balance <= 0.4 * POOL_BALANCE < held.rows[date.number - 2].pool_balance
    assert not any(row.called for row in held.rows)
    assert called.rows[date.number - 1 :] == called.rows[-1:]  # the deal ends there
    assert held.rows[: date.number - 1] == called.rows[: date.number - 1]
    assert len(held.rows) > len(called.rows)
    assert (called.proof.difference, held.proof.difference) == (0, 0)
    assert dict(assumptions(base_case(listing, to_call=False), 2048))["Clean-up call"].startswith("never exercised")
    # and the page says where it ends, by either way
    client = Client()
    client.force_login(scene.analyst)
    for to, ends in (("call", True), ("maturity", False)):
        page = client.get(reverse("cashflows", args=[listing.pk]), {"to": to}).content.decode()
        assert ('<td class="nowrap">called</td>' in page) is ends


# Deals with triggers, alternatives, pro-rata steps, several accounts, strips and accrual classes; those whose rates or
# replacement collateral a listing does not have are left to the engine's own tests.
@pytest.mark.parametrize("name", ["prime-auto", "pro-rata-switch", "two-groups", "planned-accrual-strip"])
def test_every_cent_of_every_date_has_a_source_and_a_payee(name: str) -> None:
    spec, collateral = template(name), template_collateral(name)
    flows, program = collateral.flows(spec), compile_deal(spec, collateral.balance_cents)
    case = BaseCase(program, flows, execute(program, flows, mode="cents", ledger=True), to_call=True)
    assert case.table.proof.difference == 0
    seen: Counter[str] = Counter()
    for number in (1, 2, 13, 25, len(case.table.rows)):
        for k, tranche in enumerate(program.names):
            view, t = payment_view(case, tranche=tranche, number=number), number - 1
            # the class's account is the engine's and adds up
            facts = dict(view.facts)
            assert facts["Interest paid"] == case.deal.interest[k, t, 0]
            assert facts["Principal paid"] == case.deal.principal[k, t, 0]
            assert facts["Closing balance"] == case.deal.balance[k, t, 0]
            added = facts.get("Added to balance", 0)
            assert facts["Opening balance"] + added - facts["Principal paid"] == facts["Closing balance"]
            # what its steps paid is what it got
            own = sum(row.paid or 0 for row in view.steps if row.own and row.names == (tranche,))
            alone = all(row.names == (tranche,) for row in view.steps if row.own)
            assert not alone or own == facts["Interest paid"] + facts["Principal paid"]
        # of every account as much goes out as comes in, and all that comes in reaches somebody
        entering, leaving = Counter[int](), Counter[int]()
        for link in view.links:
            assert link.amount > 0
            leaving[link.source] += link.amount
            entering[link.target] += link.amount
        for place, node in enumerate(view.nodes):
            seen[node.kind] += 1
            if node.kind == "account":
                assert entering[place] == leaving[place] > 0, (number, node.label)
            else:
                assert (entering[place] > 0) != (leaving[place] > 0), (number, node.label)
        deal = case.deal
        opening = deal.opening_accounts[:, 0] if number == 1 else deal.accounts[:, t - 1, 0]
        year = program.calendar.fractions[spec.conventions.interest_day_count, spec.conventions.accrual_dates][t]
        income = sum(round(cash * part.yield_rate * year) for cash, part in zip(opening, spec.accounts, strict=True))
        outside = sum(amount for place, amount in leaving.items() if not entering[place])
        if not deal.called[t, 0]:  # the price of the call comes from outside as well
            assert outside == opening.sum() + deal.collections[t, 0] + income
        paid = deal.interest[:, t, 0].sum() + deal.principal[:, t, 0].sum() + deal.fees[:, t, 0].sum()
        ends = sum(amount for place, amount in entering.items() if not leaving[place])
        assert ends == outside == paid + deal.residual[t, 0] + deal.accounts[:, t, 0].sum()
    assert {"pool", "account", "class"} <= set(seen)


def test_a_pool_in_distress_is_told_in_full() -> None:
    # given six times the defaults of the template's base case
    name = "pro-rata-switch"
    spec, collateral = template(name), template_collateral(name)
    flows, program = collateral.flows(spec, cdr=0.27), compile_deal(spec, collateral.balance_cents)
    deal = execute(program, flows, mode="cents", ledger=True)
    case = BaseCase(program, flows, deal, to_call=True)
    triggers = [trigger.name for trigger in spec.triggers]
    first = {row.number: row.breached for row in case.table.rows if row.breached}
    assert first
    # when the date is explained on which a breach has lasted a while
    number = min(first) + 5
    view = payment_view(case, tranche="A", number=number)
    for test in view.triggers:
        past = deal.breached[triggers.index(test.name), :number, 0].tolist()
        assert test.breached is past[-1]
        # then it is breached since the date after the last one on which it was not
        since = number - past[::-1].index(False) if False in past else 0
        assert test.since == ((since + 1, deal.dates[since]) if test.breached else None)
    assert any(test.since and test.since[0] < number for test in view.triggers)
    # and where the reserve had to help, the step says how much each gave
    helped = [row for n in range(1, deal.months + 1) for row in payment_view(case, tranche="A", number=n).steps]
    helped = [row for row in helped if row.parts]
    assert helped
    for row in helped:
        assert [name for name, _ in row.parts] == ["collection", "reserve"]
        assert sum(amount for _, amount in row.parts) == row.paid
    # and interest that stays unpaid has a column of its own
    assert case.table.shows_unpaid is bool(deal.interest_shortfall[:, : len(case.table.rows)].any())
    assert case.table.shows_unpaid
    assert case.table.proof.difference == 0
    scene, client = market(investors=0), Client()
    client.force_login(scene.analyst)
    page = client.get(reverse("cashflows", args=[disclose(scene, flows, spec).pk])).content.decode()
    rows = re.findall(r"<tr[^>]*>(<td.*?)</tr>", page.split('<table class="flows">')[1])
    names = page.split("</thead>")[0].split("<tr>")[-1].count("<th")
    assert {row.count("<td") for row in rows} == {names}
    assert names == 5 + 4 * 3 + len(case.table.other) + 3


def test_a_report_without_flows_is_told_in_one_sentence() -> None:
    scene = market(investors=0)
    with pytest.raises(ApplicationError, match="discloses no base-case flows; rate the deal again") as refusal:
        base_case(scene.listing)
    assert refusal.value.code == "no_flows"
    client = Client()
    client.force_login(scene.analyst)
    for name in ("cashflows", "explain"):
        answer = client.get(reverse(name, args=[scene.listing.pk]))
        assert answer.status_code == 200, name
        assert "discloses no base-case flows" in answer.content.decode(), name


@pytest.mark.parametrize(
    ("name", "query", "sentence"),
    [
        ("cashflows", {"to": "moon"}, "to: &#x27;moon&#x27; is neither call nor maturity."),
        ("explain", {"to": "moon"}, "to: &#x27;moon&#x27; is neither call nor maturity."),
        ("explain", {"class": "Z"}, "class: Z is no class of this deal; its classes are A, B, C."),
        ("explain", {"date": "0"}, "date: 0 is no payment date of this run; give a number from 1 to 36."),
        ("explain", {"date": "37"}, "date: 37 is no payment date of this run; give a number from 1 to 36."),
        ("explain", {"date": "seven"}, "date: seven is no payment date of this run"),
        ("explain", {"date": "1" * 5000}, "is no payment date of this run"),
        ("explain", {"date": "7\x00"}, "is no payment date of this run"),
    ],
)
def test_a_wrong_address_is_answered_in_one_sentence(name: str, query: dict[str, str], sentence: str) -> None:
    scene = market(investors=0)
    listing = disclose(scene, pool_flows())
    client = Client()
    client.force_login(scene.analyst)
    answer = client.get(reverse(name, args=[listing.pk]), query)
    assert answer.status_code == 400
    assert sentence in answer.content.decode()


@pytest.mark.parametrize("until", ["call", "maturity"])
def test_the_files_hold_the_table_to_the_cent(until: str) -> None:
    scene = market(investors=0)
    call = {"factor": 0.4, "from_date": None, "price": "pool.balance", "into": "collection", "make_whole": None}
    listing = disclose(scene, pool_flows(), changed(scene, call=call))
    table = base_case(listing, to_call=until == "call").table
    client = Client()
    client.force_login(scene.analyst)
    text = client.get(reverse("cashflows-csv", args=[listing.pk]), {"to": until})
    book = client.get(reverse("cashflows-xlsx", args=[listing.pk]), {"to": until})
    rows = list(csv.DictReader(io.StringIO(text.content.decode())))
    assert [row["number"] for row in rows] == [str(number) for number in range(len(table.rows) + 1)]
    assert (rows[0]["A_balance"], rows[0]["reserve"]) == (f"{BALANCES['A'] / 100:.2f}", "100000.00")  # 1 % of the pool
    for row, shown in zip(rows[1:], table.rows, strict=True):
        assert row["date"] == shown.date.isoformat()
        for name, cells in zip(table.names, shown.classes, strict=True):
            for column in ("interest", "principal", "balance", "unpaid"):
                assert Decimal(row[f"{name}_{column}"]) * 100 == getattr(cells, column)
        assert Decimal(row["residual"]) * 100 == shown.residual
    assert ("called" in [row["events"] for row in rows]) is (until == "call")
    # the workbook, read as the XML that it is: the same numbers, row by row
    with zipfile.ZipFile(io.BytesIO(book.content)) as files:
        sheet = ElementTree.fromstring(files.read("xl/worksheets/sheet1.xml"))  # noqa: S314 - our own bytes
        words = files.read("xl/sharedStrings.xml").decode()
    mark = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    written = [[cell.findtext(f"{mark}v") for cell in row.iter(f"{mark}c")] for row in sheet.iter(f"{mark}row")]
    assert len(written) == len(rows) + 1
    residual = list(rows[0]).index("residual")
    assert [f"{float(line[residual] or ''):.2f}" for line in written[1:]] == [row["residual"] for row in rows]
    assert "Clean-up call" in words
    assert listing.manifest["spec_hash"] in words


def test_a_file_that_cannot_be_made_says_why() -> None:
    scene = market(investors=0)
    client = Client()
    client.force_login(scene.analyst)
    for name in ("cashflows-csv", "cashflows-xlsx"):
        answer = client.get(reverse(name, args=[scene.listing.pk]))
        assert answer.status_code == 409
        assert "discloses no base-case flows" in answer.content.decode()
        wrong = client.get(reverse(name, args=[scene.listing.pk]), {"to": "moon"})
        assert (wrong.status_code, wrong.content.decode()) == (400, "to: 'moon' is neither call nor maturity.")
