"""The whole way through the API as the four roles, with a bound on the SQL statements of every request."""

from __future__ import annotations

import pytest

from accounts.selectors import audit_verify
from investors.selectors import ledger_drift, ledger_imbalance
from tests.api import world as way
from tests.api.api import Api

# The user, then one statement per relation of the query.
SQL_OF_A_READ = 15
# A bid: user, claim, locks, hold with its two entries and their chains, audit.
SQL_OF_A_VERB = 35
# These act on every class of the deal at once.
SQL_OF_BULK_VERBS = {"AuctionClose": 50, "ListingSettle": 110}


@pytest.mark.django_db
def test_four_roles_walk_from_upload_to_position() -> None:
    world = way.parties()

    way.rate(world)
    report = world.originator.ask(
        """query($deal: ID!) {
          ratingRuns(dealId: $deal, first: 1) { edges { node {
            simulation { status progress { done total } } structuring { status }
            report { expectedLoss tranches { name rating pd balance { minorUnits currency } } } } } }
          priceReports(dealId: $deal, first: 1) { edges { node { asOf tranches { name price yield } } } }
          deals(first: 1) { totalCount edges { node { name versions { number specHash } pool {
            stratifications { dimension strata { name share } } loans(first: 3) { loanId rate } } } } } }""",
        deal=world.ids["deal"],
    )
    run = report.data["ratingRuns"]["edges"][0]["node"]
    assert run["simulation"]["status"] == run["structuring"]["status"] == "DONE"
    assert run["simulation"]["progress"]["done"] == run["simulation"]["progress"]["total"]
    classes = [tranche["name"] for tranche in run["report"]["tranches"]]
    assert classes[0] == "A"
    assert len(report.data["priceReports"]["edges"]) == 1
    deal = report.data["deals"]["edges"][0]["node"]
    assert [version["number"] for version in deal["versions"]] == [1, 2]
    assert len(deal["pool"]["loans"]) == 3

    # Until it is listed nobody else sees any of it.
    for api in (world.investor, world.analyst, world.operator, world.stranger):
        seen = api.ask("{ deals { totalCount } pools { totalCount } listings { totalCount } }").data
        assert [seen[name]["totalCount"] for name in ("deals", "pools", "listings")] == [0, 0, 0]

    way.offer(world)
    way.bid(world)
    _investor_reads_the_open_listing(world.investor, world.ids["pool"])
    _bids_are_sealed(world)

    way.settle(world)
    _everybody_sees_the_result(world)
    assert ledger_imbalance() == ledger_drift() == 0
    assert audit_verify() > 0
    _statements_are_bounded(world)


def _investor_reads_the_open_listing(api: Api, pool: str) -> None:
    listing = api.ask(
        """{ listings(first: 5, state: OPEN) { edges { node {
             state originator { name } deal { name pool { balance { minorUnits } } }
             deal2: dealVersion { specHash spec } manifest
             ratingReport { tranches { name rating ratingInterval } } priceReport { tranches { name price } }
             auctions { tranche guideYield clearingYield } } } } }"""
    ).data["listings"]["edges"][0]["node"]
    assert listing["manifest"]["spec_hash"] == listing["deal2"]["specHash"]
    assert listing["auctions"][0]["clearingYield"] is None
    first = api.ask(
        """query($pool: ID!, $after: String) { loans(poolId: $pool, first: 50, after: $after) {
             totalCount pageInfo { hasNextPage endCursor } edges { node { loanId grade rate state } } } }""",
        pool=pool,
    ).data["loans"]
    assert len(first["edges"]) == 50
    assert first["pageInfo"]["hasNextPage"] is True


def _bids_are_sealed(world: way.World) -> None:
    mine = world.investor.ask("{ bids { totalCount edges { node { id state } } } }").data["bids"]
    assert mine["totalCount"] == 2
    for api in (world.investor, world.rival, world.analyst, world.operator, world.originator):
        for name in ("bid", "rival bid"):
            own = {"bid": world.investor, "rival bid": world.rival}[name]
            node = api.ask("query($id: ID!) { node(id: $id) { id } }", id=world.ids[name])
            assert (node.data["node"] is not None) == (api is own)
    result = "query($id: ID!) { auctionResult(auctionId: $id) { state bids demand { yieldTicks } } }"
    counted = world.operator.ask(result, id=world.ids["auction"]).data["auctionResult"]
    assert counted == {"state": "OPEN", "bids": 2, "demand": []}
    for api in (world.rival, world.analyst, world.originator):
        hidden = api.ask(result, id=world.ids["auction"]).data["auctionResult"]
        assert hidden == {"state": "OPEN", "bids": None, "demand": []}


def _everybody_sees_the_result(world: way.World) -> None:
    result = (
        "query($id: ID!) { auctionResult(auctionId: $id) { state bids demand { yieldTicks amount { minorUnits } } } }"
    )
    for api in (world.rival, world.analyst, world.originator, world.operator):
        assert api.ask(result, id=world.ids["auction"]).data["auctionResult"]["bids"] == 2
    held = world.investor.ask(
        """{ positions { tranche originalBalance { minorUnits } deal { name } }
             cashAccount { available { minorUnits } held { minorUnits } }
             allocations { edges { node { amount { minorUnits } reason trade { price cash { minorUnits } } } } }
             trades { edges { node { cash { minorUnits } allocation { bid { id } } } } }
             transfers(first: 50) { edges { node { direction kind asset amount } } } }"""
    ).data
    allotted = held["allocations"]["edges"][0]["node"]
    assert held["positions"] == [{"tranche": "A", "originalBalance": allotted["amount"], "deal": {"name": "Deal one"}}]
    assert held["cashAccount"]["held"]["minorUnits"] == "0"
    spent = int(allotted["trade"]["cash"]["minorUnits"])
    assert int(held["cashAccount"]["available"]["minorUnits"]) == way.CASH - spent
    retained = world.originator.ask("{ positions { tranche } }").data["positions"]
    assert "R" in [position["tranche"] for position in retained]


def _statements_are_bounded(world: way.World) -> None:
    for api in (*world.by_role.values(), world.rival, world.stranger):
        for label, count in api.spent:
            bound = SQL_OF_A_READ
            if label.startswith("mutation"):
                verb = label.split("$input: ")[1].split("Input!")[0]
                bound = SQL_OF_BULK_VERBS.get(verb, SQL_OF_A_VERB)
            assert count <= bound, f"{count} statements for {label}"


@pytest.mark.django_db
def test_statements_do_not_grow_with_the_page() -> None:
    """The same query over one loan and over a hundred takes the same number of statements."""
    world = way.parties()
    way.rate(world)
    query = """query($pool: ID!, $n: Int!) { loans(poolId: $pool, first: $n) { edges { node { loanId rate } } }
                 pools(first: $n) { edges { node { originator { name } deal { versions { number } } } } } }"""

    one = world.originator.ask(query, pool=world.ids["pool"], n=1)
    hundred = world.originator.ask(query, pool=world.ids["pool"], n=100)

    assert len(one.data["loans"]["edges"]) == 1
    assert len(hundred.data["loans"]["edges"]) == 100
    assert one.queries == hundred.queries
