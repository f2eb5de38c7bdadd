"""The promise of the house: what an investor reads through the API is enough to make the rating and the prices again.

Everything below the queries is NumPy on disclosed fields: no row of the database, no file of the server.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accounts.canonical import digest as json_digest
from pooling.engine.deal import DealSpec
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import digest, flows_to_bytes, loans_to_bytes
from pooling.tapes.regions import REGION_OF_STATE
from pricing.controls import controls
from pricing.differential import differential
from pricing.engine.snapshot import MarketSnapshot
from pricing.reports import price_result, rating_result
from pricing.structuring import Structure, structure_deal
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import choose_engine, rating_scenarios, simulate
from tests.api import world as way
from tests.api.api import Api

LISTING = """{ listings(first: 5) { edges { node {
  state manifest
  deal { pool { id tapeRoot loansDigest loanCount balance { minorUnits } } versions { number specHash } }
  dealVersion { number specHash spec }
  ratingReport {
    scenarios seed effectiveScenarios expectedLoss expectedLossSe manifest
    template { number specHash spec } creditModel { digest name payload }
    lossQuantiles { probability loss }
    tranches { name rating ratingInterval pd pdSe expectedLoss expectedLossSe walYears coupon attach detach
               balance { minorUnits } } }
  priceReport { snapshot { digest asOf payload } residual
    tranches { name price yield spreadBp walYears modifiedDuration guideTicks } }
} } } }"""
LOANS = """query($pool: ID!, $after: String) { loans(poolId: $pool, first: 50, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  edges { node { loanId rate term remainingTerm age grade score state cutoffBalance { minorUnits } } } } }"""


def disclosed_loans(api: Api, pool: str) -> list[dict[str, Any]]:
    """Every loan of the pool, page by page."""
    rows: list[dict[str, Any]] = []
    after = None
    while True:
        page = api.ask(LOANS, pool=pool, after=after).data["loans"]
        rows += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(rows) == page["totalCount"]
            return rows
        after = page["pageInfo"]["endCursor"]


def loan_arrays(rows: list[dict[str, Any]]) -> LoanArrays:
    """The engine's loans, from disclosed fields only."""
    return LoanArrays.sorted_by_id(
        loan_id=np.array([row["loanId"] for row in rows]),
        balance=np.array([int(row["cutoffBalance"]["minorUnits"]) / 100 for row in rows]),
        rate=np.array([float(row["rate"]) for row in rows]),
        original_term=np.array([row["term"] for row in rows], dtype=np.int64),
        remaining_term=np.array([row["remainingTerm"] for row in rows], dtype=np.int64),
        age=np.array([row["age"] for row in rows], dtype=np.int64),
        grade=np.array([row["grade"] for row in rows]),
        score=np.array([math.nan if row["score"] is None else row["score"] for row in rows], dtype=float),
        group=np.array(["pool"] * len(rows)),
        sector=np.array([REGION_OF_STATE.get(row["state"] or "", "") for row in rows]),
    )


def recomputed(listing: dict[str, Any], loans: LoanArrays) -> tuple[Structure, ScenarioSet, MarketSnapshot, str]:
    """The structure as anyone gets it from the disclosed inputs, and the digest of the simulated flows."""
    report = listing["ratingReport"]
    model = CreditModel.from_json(report["creditModel"]["payload"])
    scenarios = rating_scenarios(loans, model, report["scenarios"], int(report["seed"]))
    snapshot = MarketSnapshot.from_json(listing["priceReport"]["snapshot"]["payload"])
    flows = simulate(loans, model, scenarios)
    structure = structure_deal(
        template=DealSpec.from_json(report["template"]["spec"]),
        flows=flows,
        scenarios=scenarios,
        snapshot=snapshot,
        pool_balance=int(listing["deal"]["pool"]["balance"]["minorUnits"]),
        model=model,
    )
    return structure, scenarios, snapshot, digest(flows_to_bytes(flows))


def number(text: str | None) -> float | None:
    """A disclosed decimal as the float it was written from."""
    return None if text is None else float(text)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["investor", "analyst"])
def test_disclosed_fields_give_the_published_ratings_and_prices_exactly(
    who: str, django_assert_num_queries: Callable[..., Any]
) -> None:
    world = way.whole_way()
    api: Api = getattr(world, who)
    listing = api.ask(LISTING).data["listings"]["edges"][0]["node"]
    rows = disclosed_loans(api, listing["deal"]["pool"]["id"])
    assert listing["state"] == "SETTLED"

    with django_assert_num_queries(0):
        loans = loan_arrays(rows)
        structure, scenarios, snapshot, flows_digest = recomputed(listing, loans)

    manifest, report, prices = listing["manifest"], listing["ratingReport"], listing["priceReport"]
    # The hashes of the manifest are those of what was disclosed …
    assert len(loans) == listing["deal"]["pool"]["loanCount"] == way.LOANS - 1
    assert digest(loans_to_bytes(loans)) == manifest["pool_loans_digest"] == listing["deal"]["pool"]["loansDigest"]
    assert listing["deal"]["pool"]["tapeRoot"] == manifest["tape_root"]
    model = CreditModel.from_json(report["creditModel"]["payload"])
    assert model.content_hash() == report["creditModel"]["digest"] == manifest["credit_model"]
    assert snapshot.content_hash() == prices["snapshot"]["digest"] == manifest["market_snapshot"]
    assert prices["snapshot"]["asOf"] == manifest["market_snapshot_date"]
    template = DealSpec.from_json(report["template"]["spec"])
    assert template.content_hash() == report["template"]["specHash"] == report["manifest"]["template_hash"]
    assert [version["number"] for version in listing["deal"]["versions"]] == [1, 2]
    assert report["template"]["number"] == 1
    assert (int(report["seed"]), report["scenarios"]) == (manifest["seed"], manifest["scenarios"])
    # … and what follows from it is what was published, to the last bit.
    assert report["manifest"]["proposal"] == "wide"
    assert flows_digest == report["manifest"]["flows_digest"]
    assert structure.spec.content_hash() == listing["dealVersion"]["specHash"] == manifest["spec_hash"]
    assert structure.spec.to_json() == listing["dealVersion"]["spec"]
    assert structure.losses.expected_loss == number(report["expectedLoss"])
    assert structure.losses.expected_loss_se == number(report["expectedLossSe"])
    check_ratings(structure, report["tranches"])
    check_prices(structure, prices["tranches"])
    pool_balance = int(listing["deal"]["pool"]["balance"]["minorUnits"])
    rated = rating_result(structure, scenarios, pool_balance, choose_engine(loans, model).words)
    whole = json.loads(json.dumps(rated | controls(structure, scenarios, loans, model)))
    assert json_digest(whole) == manifest["rating_result_digest"]
    views = {"views": differential(structure, scenarios, snapshot, loans, model)}
    whole = json.loads(json.dumps(price_result(structure, scenarios, snapshot) | views))
    assert json_digest(whole) == manifest["price_result_digest"]


def check_ratings(structure: Structure, published: list[dict[str, Any]]) -> None:
    rated = {row["name"]: row for row in published if row["rating"] is not None}
    assert {rating.name for rating in structure.ratings} == set(rated) != set()
    for rating in structure.ratings:
        row = rated[rating.name]
        assert (rating.grade, [rating.grade_low, rating.grade_high]) == (row["rating"], row["ratingInterval"])
        assert (rating.pd, rating.pd_se) == (number(row["pd"]), number(row["pdSe"]))
        assert rating.expected_loss == number(row["expectedLoss"])
        assert rating.expected_loss_se == number(row["expectedLossSe"])
        assert rating.wal_years == number(row["walYears"])
    for tranche in structure.spec.tranches:
        row = next(row for row in published if row["name"] == tranche.name)
        assert (tranche.balance or 0, tranche.coupon) == (int(row["balance"]["minorUnits"]), number(row["coupon"]))


def check_prices(structure: Structure, published: list[dict[str, Any]]) -> None:
    assert [price.name for price in structure.prices] == [row["name"] for row in published] != []
    for price, row in zip(structure.prices, published, strict=True):
        found = (price.price_per_100, price.yield_, price.spread_bp, price.wal_years, price.modified_duration)
        shown = (row["price"], row["yield"], row["spreadBp"], row["walYears"], row["modifiedDuration"])
        assert [value if math.isfinite(value) else None for value in found] == [number(text) for text in shown]
    assert any(row["price"] is not None for row in published)


@pytest.mark.django_db
@pytest.mark.parametrize("as_of", ["", "origination", "2025-05-31"])
def test_disclosed_loans_have_the_digest_of_the_pool_however_it_is_aligned(as_of: str) -> None:
    world = way.parties()
    originator = world.originator
    _, answer = originator.upload(way.tape_bytes(seed=11))
    tape = originator.do("tapeImport", "tape { id }", {"uploadId": answer["uploadId"]})["tape"]["id"]
    given = {"tapeId": tape, "name": "P", "asOf": as_of}
    pool = originator.do("poolCreate", "pool { id loansDigest }", given)["pool"]

    rows = disclosed_loans(originator, pool["id"])

    assert digest(loans_to_bytes(loan_arrays(rows))) == pool["loansDigest"]
    # One more cent, or a rate one millionth higher, is another pool.
    cents = rows[0]["cutoffBalance"]["minorUnits"]
    rows[0]["cutoffBalance"]["minorUnits"] = str(int(cents) + 1)
    assert digest(loans_to_bytes(loan_arrays(rows))) != pool["loansDigest"]
    rows[0]["cutoffBalance"]["minorUnits"] = cents
    rows[0]["rate"] = str(float(rows[0]["rate"]) + 1e-6)
    assert digest(loans_to_bytes(loan_arrays(rows))) != pool["loansDigest"]


@pytest.mark.django_db
def test_what_a_draft_or_a_foreign_rating_was_made_from_stays_closed() -> None:
    """The template, the model and the root open with the listing, not before, and never the run or the tape."""
    world = way.parties()
    way.rate(world)
    query = """{ pools { totalCount } ratingReports { totalCount } deals { edges { node { versions { number } } } } }"""
    assert world.investor.ask(query).data["deals"]["edges"] == []
    assert world.stranger.ask(query).data["deals"]["edges"] == []

    way.offer(world)

    seen = world.investor.ask(query).data
    assert seen["deals"]["edges"] == [{"node": {"versions": [{"number": 1}, {"number": 2}]}}]
    for closed in ("ratingReports { edges { node { ratingRun { id } } } }", "pools { edges { node { tape { id } } } }"):
        assert "FORBIDDEN" in world.investor.ask(f"{{ {closed} }}").codes
