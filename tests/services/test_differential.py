"""Three views of every price of a deal that was really rated: conservation, reconciliation, storage and questions."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from typing import cast as cast_to

import numpy as np
import pytest

from accounts.errors import ApplicationError
from investors.engine.mandates import DEMO_MANDATES
from marketplace.cast import Cast, cast_create
from marketplace.models import Listing
from marketplace.price_exhibits import (
    asked,
    class_prices,
    investor_rows,
    loan_rows,
    mandate_rows,
    prices_csv,
    rung_of,
    step_rows,
)
from pooling.engine.deal import DealSpec, default_template
from pooling.tapes import write_generated_tape
from pricing.differential import LADDER, _Views, differential, terms_of
from pricing.engine.scenario_pricing import conservation, payment_years, present_values, risk_weights
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.valuation import solve_yields
from pricing.market import default_snapshot
from pricing.reproduction import rating_reproduce
from pricing.structuring import Structure, structure_deal
from rating.engine.curves import documented_model
from rating.engine.scale import GRADES
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import rating_scenarios, simulate
from tests.engine.rating_pools import mixed_loans
from tests.services.factories import market
from tests.web.conftest import PASSWORD, deal_made

CONSERVED = 1e-10  # of the pool's value
EXACT = 1e-9  # basis points, points per 100
LOANS = mixed_loans(1500, 8)
MODEL = replace(documented_model(), history_months=120)


@cache
def _solved() -> tuple[Structure, ScenarioSet]:
    scenarios = rating_scenarios(LOANS, MODEL, 1024, 7)
    template = default_template(
        name="Views", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
        first_payment="2026-03-10", legal_final="2032-03-10",
    ).to_json()  # fmt: skip
    template["tranches"][2]["target_grade"] = "BB"
    structure = structure_deal(
        template=DealSpec.from_json(template),
        flows=simulate(LOANS, MODEL, scenarios), scenarios=scenarios, snapshot=default_snapshot(),
        pool_balance=round(float(LOANS.balance.sum()) * 100), model=MODEL,
    )  # fmt: skip
    return structure, scenarios


@cache
def _views() -> Any:
    """As it is stored."""
    structure, scenarios = _solved()
    return json.loads(json.dumps(differential(structure, scenarios, default_snapshot(), LOANS, MODEL), allow_nan=False))


# -------------------------------------------------------------------------------------------------------- conservation
def test_payees_are_worth_what_the_pool_and_its_cash_are_worth_at_every_theta() -> None:
    structure, _ = _solved()
    assert len(_views()["ladder"]) >= len(LADDER)
    for rung in _views()["ladder"]:
        kept = rung["conservation"]
        payees, sources = (sum(row["value"] for row in kept[side]) for side in ("payees", "sources"))
        assert abs(payees - sources) <= CONSERVED * rung["pool"]["value"]
        assert kept["relative"] <= CONSERVED
        assert {row["name"] for row in kept["payees"]} >= {*structure.deal.names, structure.spec.residual.name}
        # With spreads of their own the classes are worth less, by what is shown.
        at = {row["name"]: row["value"] for row in kept["payees"]}
        difference = sum(at[row["name"]] - row["value"] for row in rung["classes"])
        assert difference == pytest.approx(kept["liquidity"], abs=1e-6)
        assert difference > 0


def test_the_solved_deal_conserves_value_under_any_discounting() -> None:
    structure, scenarios = _solved()
    years = payment_years(structure.deal)
    for discount in (np.ones_like(years), np.exp(-0.15 * years), 1 / (1 + 0.04 * years), np.exp(0.01 * years)):
        found = present_values(structure.deal, structure.spec, discount)
        for theta in LADDER:
            assert conservation(found, risk_weights(scenarios, theta)).relative <= CONSERVED


def test_loans_add_up_to_the_pool_at_every_theta() -> None:
    for place, rung in enumerate(_views()["ladder"]):
        rows = loan_rows(_views(), rung["theta"])
        total = sum(row["price"] * row["balance"] / 100 for row in rows)
        assert abs(total - rung["pool"]["value"]) <= CONSERVED * rung["pool"]["value"]
        # What is spread over the prices is the luck of the draw: a fraction of a per cent.
        assert abs(_views()["loans"]["factor"][place] - 1) < 2e-3
    assert sum(row["loans"] for row in rows) == len(LOANS)


def test_risk_is_priced_in_everything_that_carries_it() -> None:
    ladder = _views()["ladder"]
    for pick in ("residual", "pool"):
        values = [rung[pick]["value"] for rung in ladder]
        assert values == sorted(values, reverse=True)
    # A class that loses nothing moves with the timing of its cash alone; the junior one carries the losses.
    junior = [rung["classes"][-1]["price"] for rung in ladder]
    assert junior == sorted(junior, reverse=True)
    moved = [abs(ladder[-1]["classes"][k]["price"] - ladder[0]["classes"][k]["price"]) for k in (0, -1)]
    assert moved[0] < 0.1 * moved[1]
    effective = [rung["effective"] for rung in ladder]
    assert max(effective) > 3 * effective[-1]
    for rung in ladder:
        assert abs(rung["factor_mean"] + rung["theta"]) < 4 * rung["factor_mean_se"]


# ------------------------------------------------------------------------------------------------------ reconciliation
def test_the_bridge_adds_up_for_every_class_and_theta_from_the_price_that_is_published() -> None:
    structure, _ = _solved()
    published = {row.name: row for row in structure.prices}
    for rung in _views()["ladder"]:
        for row in rung["classes"]:
            views, (first, *rest) = row["views"], row["steps"]
            for what in ("spread", "price"):
                assert views["C"][what] + first[what] == pytest.approx(views["B"][what], abs=EXACT)
                assert views["B"][what] + sum(step[what] for step in rest) == pytest.approx(views["A"][what], abs=EXACT)
            assert row["treasury"] + sum(step["price"] for step in row["built"]) == pytest.approx(
                views["B"]["price"], abs=EXACT
            )
            assert views["C"]["price"] == pytest.approx(published[row["name"]].price_per_100, abs=EXACT)
            assert views["C"]["yield"] == pytest.approx(published[row["name"]].yield_, abs=1e-12)
            assert views["A"]["price"] == row["price"]


def test_the_default_view_follows_the_grade_and_the_parts_of_c_add_up() -> None:
    for row in _views()["classes"]:
        market = GRADES.index(row["grade"]) <= GRADES.index("BBB-")
        assert row["view"] == ("C" if market else "A")
        parts = row["market"]
        assert parts["grid"] + parts["basis"] + parts["add_on"] == pytest.approx(parts["spread"], abs=1e-12)
        rung = rung_of(_views(), _views()["terms"]["theta"])
        at = next(each for each in rung["classes"] if each["name"] == row["name"])
        assert row["default"] == at["views"][row["view"]]
    assert [row["view"] for row in _views()["classes"]] == ["C", "C", "A"]


def test_the_implied_price_of_risk_gives_the_markets_price() -> None:
    structure, scenarios = _solved()
    found = [row["implied"] for row in _views()["classes"]]
    assert any(found)
    for row in _views()["classes"]:
        if row["implied"] is None:
            continue
        views = _Views(structure, scenarios, default_snapshot(), {each["name"]: 1.0 for each in _views()["classes"]})
        at = next(each for each in views.rung(row["implied"]["theta"])["classes"] if each["name"] == row["name"])
        assert at["views"]["A"]["price"] == pytest.approx(at["views"]["C"]["price"], abs=1e-8)
        assert row["implied"]["effective"] < scenarios.effective_size


def test_every_investor_earns_its_return_at_what_it_asks() -> None:
    h = _views()["terms"]["capital_return"]
    for row in _views()["classes"]:
        for found in row["investors"]:
            asked_spread = sum(found[part] for part in ("liquidity", "expected_loss", "capital", "servicing"))
            assert asked_spread == pytest.approx(found["spread"], abs=1e-15)
            earned = (row["market"]["spread"] - found["spread"]) / found["charge"] + h
            assert found["rorac"] == pytest.approx(earned, rel=1e-9)
        bank = row["investors"][0]
        assert bank["charge"] == pytest.approx(min(1.0, 0.105 * row["risk_weight"]), abs=1e-12)


def test_the_residual_is_asked_for_as_a_position_without_leverage() -> None:
    """A bank holds 1,250 % x 10.5 %, hence the whole position: it asks h on all of it, and the price gives it back."""
    structure, _ = _solved()
    found, h = _views()["residual"], _views()["terms"]["capital_return"]
    bank = found["investors"][0]
    assert (bank["key"], bank["charge"], bank["expected_loss"]) == ("bank", 1.0, 0.0)
    assert bank["yield"] == pytest.approx(found["benchmark"] + bank["liquidity"] + h + bank["servicing"], abs=1e-12)
    cash = structure.base.residual[:, 0]
    for row in found["investors"]:
        assert float(solve_yields(cash, row["value"]).yields[0]) == pytest.approx(row["yield"], abs=1e-9)
    yields = [rung["residual"]["yield"] for rung in _views()["ladder"]]
    assert yields == sorted(yields)


def test_terms_that_the_snapshot_does_not_state_are_marked_as_assumed() -> None:
    terms = terms_of(default_snapshot())
    assert 0 < terms.theta <= 3
    assert 0 < terms.capital_return < 0.2
    assert set(terms.sources) >= {"theta", "capital_return", "capital_ratio", "liquidity"}
    assert all(terms.sources.values())


def test_terms_that_the_snapshot_states_are_taken_from_it() -> None:
    snapshot = default_snapshot()
    stated = SimpleNamespace(
        theta=0.8, capital_return=0.05, capital_ratio=0.12, liquidity={"unsecured_consumer": 0.009},
        charges={"fund": {"AAA": 0.02, "CCC": 0.5}}, sources=dict(snapshot.sources) | {"theta": "of the test"},
    )  # fmt: skip
    terms = terms_of(cast_to(MarketSnapshot, stated))
    assert (terms.theta, terms.capital_return, terms.capital_ratio, terms.liquidity) == (0.8, 0.05, 0.12, 0.009)
    assert {each.key: each for each in terms.investors}["fund"].charges == {"AAA": 0.02, "CCC": 0.5}
    assert terms.sources["theta"] == "of the test"


# ------------------------------------------------------------------------------------------------------------ exhibits
def test_questions_are_answered_from_the_ladder_or_refused_in_words() -> None:
    views = _views()
    assert asked({}, views).theta == views["terms"]["theta"]
    assert asked({"theta": "1", "investor": "fund"}, views).theta == 1.0
    for text in ("7", "abc", "nan", "-1", "0.3"):
        with pytest.raises(ApplicationError, match=f"theta: '{text}' is none of 0, 0.25"):
            asked({"theta": text}, views)
    with pytest.raises(ApplicationError, match="investor: 'widow' is none of bank, insurer"):
        asked({"investor": "widow"}, views)


def test_the_waterfall_ends_where_the_views_stand() -> None:
    views = _views()
    for each in class_prices(views, rung_of(views, 1.0)):
        level = 0.0
        for bar in each.bars:
            if bar.total and bar.label.strip() != "B asked":
                assert level == pytest.approx(bar.value, abs=EXACT)
            if bar.label == "B asked":
                assert level == pytest.approx(bar.value, abs=EXACT)
            level = bar.value if bar.total else level + bar.value
        assert each.bars[-1].value == pytest.approx(1e4 * each.at["views"]["A"]["spread"], abs=EXACT)
    rows = step_rows(class_prices(views, rung_of(views, 1.0)))
    assert [row["label"] for row in rows if row["total"]] == [
        "Treasury at the life", "B, asked by a bank", "C, market grid", "B, asked by a bank", "A, scenario weights",
    ]  # fmt: skip


def test_a_class_that_is_worth_nothing_under_the_weights_has_no_bridge() -> None:
    views = json.loads(json.dumps(_views()))
    rung = rung_of(views, 1.0)
    del rung["classes"][2]["views"]
    lost = class_prices(views, rung)[2]
    assert (lost.views, lost.bars, lost.difference) == ([], [], None)
    assert all(len(row["cells"]) == 2 for row in step_rows(class_prices(views, rung)))


def test_the_file_holds_every_theta_and_adds_up() -> None:
    lines = list(csv.DictReader(io.StringIO(prices_csv(_views()))))
    for rung in _views()["ladder"]:
        own = [line for line in lines if float(line["theta"]) == rung["theta"]]
        payees = sum(float(line["value"]) for line in own if line["item"].startswith("payees: "))
        sources = sum(float(line["value"]) for line in own if line["item"].startswith("sources: "))
        assert abs(payees - sources) <= CONSERVED * rung["pool"]["value"]
        loans = sum(float(line["value"]) for line in own if line["item"].startswith("loans "))
        assert loans == pytest.approx(rung["pool"]["value"], rel=CONSERVED)


# ------------------------------------------------------------------------------------------------------------- storage
@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return cast_create(password=PASSWORD)


def test_views_are_stored_with_the_prices_frozen_in_the_listing_and_made_again(cast: Cast, tmp_path: Path) -> None:
    tape = tmp_path / "meadow-2026-1.csv"
    write_generated_tape(tape, 300, 5)
    listing: Listing = deal_made(cast, tape, settle=False)
    priced = listing.price_report.result
    assert priced["views"]["version"] == "views-1"
    checks = {check.name: check for check in rating_reproduce(listing.rating_report)}
    assert checks["prices"].agrees
    # Mandates: what each is worth to the market's own investors, against the guide price.
    views = priced["views"]
    classes = class_prices(views, rung_of(views, views["terms"]["theta"]))
    types = investor_rows(views, classes, priced)
    for row in types:
        for cell, each in zip(row["cells"], classes, strict=True):
            # Who asks less than the market pays would pay more than the guide.
            assert (cell["over"] > 0) == (cell["spread"] < each.about["market"]["spread"])
    rows = mandate_rows([(terms.name, terms) for terms in DEMO_MANDATES], classes, priced, "fund")
    for row in rows:
        for cell in row["cells"]:
            assert cell["required"] >= row["floor"]
            assert (cell["binding"] == "floor") == (cell["required"] == row["floor"])
    assert np.isfinite([cell["price"] for row in rows for cell in row["cells"]]).all()


@pytest.mark.django_db
def test_a_deal_priced_before_views_were_kept_has_a_page_that_says_so(client: Any) -> None:
    found = market()
    client.force_login(found.analyst)
    answer = client.get(f"/listings/{found.listing.pk}/prices/")
    assert answer.status_code == 200
    assert "priced before views were kept" in answer.content.decode()
    assert client.get(f"/listings/{found.listing.pk}/prices.csv").status_code == 404
