"""The price/yield table of a listing: who sees it, that its figures are the engine's, and what is refused in words."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import numpy as np
import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from accounts.errors import ApplicationError
from accounts.models import User
from marketplace.models import Listing
from marketplace.yield_tables import ACROSS, BREAK_COLUMNS, COLUMNS, NEVER, class_sheet
from pooling.artefacts import artefact_path, artefact_store
from pooling.engine.curves import curve_flows
from pooling.engine.deal import DealSpec
from pooling.engine.packing import loans_to_bytes
from pooling.engine.waterfall import compile_deal, execute
from pooling.models import Pool
from pricing.engine.yield_flows import ClassBreak
from pricing.engine.yield_table import BELOW_ZERO, REASONS
from pricing.market import default_snapshot
from pricing.models import PriceReport
from pricing.services import snapshot_store
from pricing.yield_table import breaks_of, defaults_of, grid_of, group_breaks_of, priced_deal, table_of
from rating.engine.breakeven import base_speeds
from rating.models import RatingReport
from rating.runs import loans_of
from tests.engine.rating_pools import equal_loans
from tests.services.disclosed import disclose
from tests.services.factories import POOL_BALANCE, Market, market, page_statuses, viewers

pytestmark = pytest.mark.django_db

NAMES = ("yield-table", "yield-table-csv")
LOANS = replace(equal_loans(200, balance=POOL_BALANCE / 100 / 200, rate=0.14, remaining=30), age=np.full(200, 6))
BASE: dict[str, Any] = {"cpr": 0.12, "cdr": 0.06, "severity": 0.9, "charge_off_lag": 4, "recovery_lag": 6}


def listed(scene: Market, **changes: Any) -> Listing:
    """The scene's listing with loans that can be read, a base case at BASE, and a market snapshot.

    changes: of the deal's specification."""
    spec = DealSpec.from_json(scene.listing.deal_version.spec | changes) if changes else None
    flows = curve_flows(LOANS, **BASE)
    listing = disclose(scene, flows, spec)
    report = RatingReport.objects.get(pk=listing.rating_report_id)
    lags = {key: BASE[key] for key in ("charge_off_lag", "recovery_lag")}
    simulation = report.result["simulation"] | {"base_case": lags}
    RatingReport.objects.filter(pk=report.pk).update(result=report.result | {"simulation": simulation})
    name, digest, _ = artefact_store([loans_to_bytes(LOANS)], suffix=".loans")
    Pool.objects.filter(pk=listing.deal.pool_id).update(loans_path=name, loans_digest=digest)
    PriceReport.objects.filter(pk=listing.price_report_id).update(snapshot=snapshot_store(default_snapshot()))
    return Listing.objects.get(pk=listing.pk)


def answer_of(viewer: User | None, listing: Listing, name: str = "yield-table", **query: str) -> HttpResponse:
    client = Client()
    if viewer is not None:
        client.force_login(viewer)
    return client.get(reverse(name, args=[listing.pk]), query)  # type: ignore[return-value]


def rows_of(answer: HttpResponse) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.content.decode())))


# ------------------------------------------------------------------------------------------------------------- who sees
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("opened", [False, True])
def test_who_sees_the_table(name: str, opened: bool) -> None:
    scene = market(investors=1, opened=opened)
    listing = listed(scene)
    found = {who: answer_of(viewer, listing, name).status_code for who, viewer in viewers(scene).items()}
    assert found == page_statuses(opened)
    assert answer_of(scene.operator, listing, name).headers["Cache-Control"].startswith("max-age=0, no-cache, no-store")


# -------------------------------------------------------------------------------------------------------------- figures
def test_the_grid_lies_around_the_base_case_and_the_class_price() -> None:
    listing = listed(market(investors=0))
    deal = priced_deal(listing.price_report)
    # the base case at flat speeds gives those speeds back
    assert asdict(deal.speeds) == pytest.approx(
        asdict(base_speeds(curve_flows(LOANS, **BASE), charge_off_lag=4, recovery_lag=6))
    )
    assert deal.speeds.cpr == pytest.approx(BASE["cpr"], abs=1e-9)
    assert deal.cdr == pytest.approx(BASE["cdr"], abs=1e-9)
    found = defaults_of(deal, "A")
    assert found | {"call": ""} == {
        "centre": "100", "step": "0.25", "number": "21", "prepayment": "cpr", "speed": "6.0, 12.0, 18.0",
        "cdr": "0.0, 3.0, 6.0, 9.0, 12.0", "severity": "90.0", "lag": "6", "charge_off_lag": "4", "advance": "0",
        "call": "", "measure": "yield",
    }  # fmt: skip
    grid = grid_of(deal, {}, "A")
    assert grid.columns == 15
    at = grid.scenarios[grid.middle]
    assert (at.speed.values, at.cdr.values, at.severity.values) == ((0.12,), (0.06,), (0.9,))


def test_the_middle_column_is_the_base_case_through_the_frozen_deal() -> None:
    listing = listed(market(investors=0))
    deal = priced_deal(listing.price_report)
    grid = grid_of(deal, {}, "A")
    table = table_of(deal, grid)
    program = compile_deal(DealSpec.from_json(listing.deal_version.spec), POOL_BALANCE)
    flows = curve_flows(LOANS, **BASE)
    run = execute(program, flows, to_call=grid.scenarios[grid.middle].to_call)
    months = np.arange(1, run.months + 1)
    for k in range(3):
        paid = run.principal[k, :, 0]
        assert table.wal_years[k, grid.middle] == pytest.approx(paid @ months / paid.sum() / 12, abs=1e-9)
        assert table.write_down[k, grid.middle] == pytest.approx(run.unpaid_principal[k, 0], abs=1e-4)
    assert table.loss[grid.middle] == pytest.approx(flows.loss.sum() / flows.opening_balance.sum(), abs=1e-12)
    # at par a class that is repaid yields its coupon, compounded monthly
    for k, coupon in enumerate((0.05, 0.06, 0.075)):
        par = 2 * ((1 + coupon / 12) ** 6 - 1)
        assert table.cells[k, 0, table.middle] == pytest.approx(par, abs=2e-3)


def test_the_file_holds_every_cell_and_the_break_evens() -> None:
    scene = market(investors=0)
    listing = listed(scene)
    query = {"cdr": "0, 20, 60", "speed": "12", "number": "3", "severity": "90"}
    deal = priced_deal(listing.price_report)
    grid = grid_of(deal, query, "A")
    table = table_of(deal, grid)
    groups = group_breaks_of(deal, grid)
    assert groups is not None
    answer = answer_of(scene.analyst, listing, "yield-table-csv", **query)
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = rows_of(answer)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 3 * 3 * 3
    for number, row in enumerate(rows):
        k, s, p = np.unravel_index(number, (3, 3, 3))
        value = table.cells[k, s, p]
        assert row["class"] == table.names[k]
        assert (row["scenario"], row["cdr"]) == (str(s + 1), ("0", "20", "60")[s])
        assert float(row["price"]) == pytest.approx(100 * table.prices[p])
        assert row["value"] == ("" if math.isnan(value) else f"{value:.12g}")
        assert row["reason"] == table.reason(int(k), int(s), int(p))
        assert bool(row["reason"]) or row["value"]
        assert float(row["write_down"]) == pytest.approx(table.write_down[k, s], abs=0.006)
        assert row["break_even_cdr"] == f"{groups.cdr[k, 0]:.12g}"
    assert any(row["reason"] for row in rows)
    # and the other one: every class along every axis, as the engine finds them
    answer = answer_of(scene.analyst, listing, "yield-table-csv", table="break-even", at="2", **query)
    rows = rows_of(answer)
    assert tuple(rows[0]) == BREAK_COLUMNS
    breaks = breaks_of(deal, grid, grid.scenarios[1])
    assert [(row["axis"], row["class"]) for row in rows] == [(a, n) for a in breaks.rows for n in table.names]
    wanted: dict[tuple[str, str], ClassBreak] = {
        (axis, each.found.name): each for axis, classes in breaks.rows.items() for each in classes
    }
    for row in rows:
        found = wanted[row["axis"], row["class"]]
        assert row["stress"] == ("" if found.found.stress is None else f"{found.found.stress:.12g}")
        assert row["remark"]


def test_a_sheet_keeps_groups_together_and_explains_each_gap() -> None:
    listing = listed(market(investors=0))
    deal = priced_deal(listing.price_report)
    grid = grid_of(
        deal, {"cdr": "0, 5, 10, 20, 50, 100", "speed": "6, 12", "severity": "50, 90", "centre": "100.125"}, "C"
    )
    sheet = class_sheet(table_of(deal, grid), grid, 2, "USD")
    widths = [len(block.numbers) for block in sheet.blocks]
    assert widths == [12, 12]
    assert max(widths) <= ACROSS
    assert [name for name, _ in sheet.blocks[0].heads] == ["CPR, % a year", "Severity, %", "CDR, % a year"]
    assert [(head.text, head.span) for head in sheet.blocks[1].heads[1][1]] == [("50", 6), ("90", 6)]
    assert [line.heading for line in sheet.blocks[0].prices][10] == "100.125"
    # a dash never stands alone: its letter leads to a remark
    used = set()
    for block in sheet.blocks:
        for line in (*block.prices, block.below[0]):
            for cell in line.cells:
                assert bool(cell.note) is cell.text.startswith(("—", "−")), line.heading
                used |= {cell.note} - {""}
    assert used == set(sheet.notes)
    assert set(sheet.notes.values()) == {REASONS[BELOW_ZERO], NEVER}


def test_one_long_group_is_cut_where_the_page_ends() -> None:
    listing = listed(market(investors=0))
    deal = priced_deal(listing.price_report)
    cdrs = ", ".join(str(each) for each in range(20))
    grid = grid_of(deal, {"cdr": cdrs, "speed": "6, 12"}, "A")
    sheet = class_sheet(table_of(deal, grid), grid, 0, "USD")
    assert [len(block.numbers) for block in sheet.blocks] == [15, 5, 15, 5]
    assert [number for block in sheet.blocks for number, _ in block.numbers] == list(range(1, 41))


def test_break_even_cdrs_stand_under_their_groups() -> None:
    scene = market(investors=0)
    listing = listed(scene)
    deal = priced_deal(listing.price_report)
    grid = grid_of(deal, {"cdr": "0, 5, 10", "speed": "6, 12", "severity": "60, 95"}, "B")
    groups = group_breaks_of(deal, grid)
    assert groups is not None
    sheet = class_sheet(table_of(deal, grid), grid, 1, "USD", groups)
    (name, cells), (_, losses) = sheet.blocks[0].breaks
    assert name == "Break-even CDR, % a year"
    assert [cell.span for cell in cells] == [3, 3, 3, 3]
    assert [cell.text for cell in cells] == [f"{100 * each:.1f}" for each in groups.cdr[1]]
    assert [cell.text for cell in losses] == [f"{100 * each:.1f}" for each in groups.loss[1]]
    # a higher severity is borne to a lower CDR
    assert groups.cdr[1, 0] > groups.cdr[1, 1]
    assert groups.cdr[1, 2] > groups.cdr[1, 3]
    # and where there are too many groups the page says so
    many = {"cdr": "4", "speed": "1,2,3,4,5,6", "severity": "60,95"}
    assert group_breaks_of(deal, grid_of(deal, many, "B")) is None
    page = answer_of(scene.analyst, listing, **many).content.decode()
    assert "Break-even CDRs are shown under at most 10 combinations" in page
    assert "Break-even CDR, % a year" not in page


def test_the_call_is_a_choice_only_where_there_is_one() -> None:
    call = {"factor": 0.4, "from_date": None, "price": "pool.balance", "into": "collection", "make_whole": None}
    scene = market(investors=0)
    listing = listed(scene, call=call)
    deal = priced_deal(listing.price_report)
    grid = grid_of(deal, {"call": "both", "cdr": "3", "speed": "12"}, "A")
    table = table_of(deal, grid)
    assert table.called[0] > 0 == table.called[1]
    assert table.wal_years[2, 0] < table.wal_years[2, 1]
    page = answer_of(scene.analyst, listing, call="both").content.decode()
    assert "Clean-up call on" in page
    # without one, asking for it is refused
    plain = listed(market(investors=0), call=None)
    with pytest.raises(ApplicationError, match="call: the deal has no clean-up call; choose no"):
        grid_of(priced_deal(plain.price_report), {"call": "both"}, "A")


def test_the_age_of_the_snapshot() -> None:
    deal = priced_deal(listed(market(investors=0)).price_report)
    assert deal.staleness_days(date(2026, 6, 1)) == 11
    assert deal.staleness_days(date(2026, 5, 20)) is None


# ------------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"cdr": "4 rmap 12 8"}, "cdr: &#x27;4 rmap 12 8&#x27; is no curve"),
        ({"severity": "<b>"}, "severity: &#x27;&lt;b&gt;&#x27; is not a number"),
        ({"speed": "1,2,3,4,5,6", "severity": "10,20,30,40,50,60"}, "make 180 scenarios; shorten the lists to 150"),
        ({"class": "D"}, "class: &#x27;D&#x27; is no class of this deal; take one of A, B, C."),
        ({"at": "16"}, "at: &#x27;16&#x27; is the number of no scenario; give 1 to 15."),
        ({"at": "-1"}, "at: &#x27;-1&#x27; is the number of no scenario"),
        ({"cdrs": "4"}, "cdrs: unknown; did you mean &#x27;cdr&#x27;?"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(query: dict[str, str], words: str) -> None:
    scene = market(investors=0)
    listing = listed(scene)
    answer = answer_of(scene.analyst, listing, **query)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert words in page
    assert 'class="flows yields' not in page
    assert "<b>" not in page
    if "at" not in query:
        assert answer_of(scene.analyst, listing, "yield-table-csv", **query).status_code == 400


def test_a_file_of_another_name_is_refused() -> None:
    scene = market(investors=0)
    answer = answer_of(scene.analyst, listed(scene), "yield-table-csv", table="others")
    assert answer.status_code == 400
    assert answer.content.decode() == "table: 'others' is none of cells, break-even."


def test_what_is_missing_in_the_record_is_said() -> None:
    # a rating without a base case
    scene = market(investors=0)
    page = answer_of(scene.analyst, scene.listing)
    assert page.status_code == 200
    assert "discloses no base case to take speeds from" in page.content.decode()
    assert answer_of(scene.analyst, scene.listing, "yield-table-csv").status_code == 409
    # loans that cannot be read here
    other = market(investors=0)
    listing = listed(other)
    pool = Pool.objects.get(pk=listing.deal.pool_id)
    loans_of.cache_clear()
    artefact_path(pool.loans_path).rename(artefact_path(pool.loans_path).with_suffix(".away"))
    try:
        page = answer_of(other.analyst, listing)
        assert "The loans of this pool cannot be read here at the moment" in page.content.decode()
        assert answer_of(other.analyst, listing, "yield-table-csv").status_code == 409
    finally:
        artefact_path(pool.loans_path).with_suffix(".away").rename(artefact_path(pool.loans_path))
