"""The whole way through the API as the four roles, from an uploaded file to positions: used by several tests."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from graphql_relay import from_global_id

from accounts.models import Role
from pooling.tapes.generator import generate_tape
from rating.models import RatingRun
from runs.services import run_until_done
from tests.api.api import Api, usd
from tests.services.factories import party

LOANS = 120  # accepted
SCENARIOS = 256
CASH = 10_000_000_000  # cents


def tape_bytes(seed: int = 1) -> bytes:
    """A generated tape of LOANS loans as CSV; the last but one is below the pool's least balance, the last has none."""
    header, *loans = (list(row) for row in generate_tape(LOANS + 1, seed))
    small = ("loan_amnt", "funded_amnt", "funded_amnt_inv", "out_prncp", "out_prncp_inv")
    for column, amount in [(name, "500") for name in small] + [("installment", "16")]:
        loans[-2][header.index(column)] = amount
    for column in small:
        loans[-1][header.index(column)] = "-1"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *loans])
    return text.getvalue().encode()


@dataclass
class World:
    """The four roles, and the global ids of what they made."""

    originator: Api
    investor: Api
    analyst: Api
    operator: Api
    rival: Api
    stranger: Api
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def by_role(self) -> dict[str, Api]:
        return {
            str(Role.ORIGINATOR): self.originator,
            str(Role.INVESTOR): self.investor,
            str(Role.ANALYST): self.analyst,
            str(Role.OPERATOR): self.operator,
        }


def parties() -> World:
    """The parties and their cash, before anything happens. rival: another investor; stranger: another originator."""
    return World(
        originator=Api(party(Role.ORIGINATOR, cash=CASH)),
        investor=Api(party(Role.INVESTOR, cash=CASH)),
        analyst=Api(party(Role.ANALYST)),
        operator=Api(party(Role.OPERATOR)),
        rival=Api(party(Role.INVESTOR, cash=CASH)),
        stranger=Api(party(Role.ORIGINATOR)),
    )


def rate(world: World) -> None:
    """Upload, import, pool, deal, rating."""
    api, ids = world.originator, world.ids
    status, answer = api.upload(tape_bytes())
    assert status == 201, answer
    ids["upload"] = answer["uploadId"]
    tape = api.do("tapeImport", "tape { id rows accepted rejected root }", {"uploadId": ids["upload"]})["tape"]
    assert (tape["rows"], tape["accepted"], tape["rejected"]) == (LOANS + 1, LOANS, 1)
    ids["tape"] = tape["id"]
    pool = api.do("poolCreate", "pool { id loanCount excluded }", {"tapeId": ids["tape"], "name": "Pool one"})["pool"]
    assert (pool["loanCount"], pool["excluded"]) == (LOANS - 1, 1)
    ids["pool"] = pool["id"]
    ids["deal"] = api.do("dealCreate", "deal { id }", {"poolId": ids["pool"], "name": "Deal one"})["deal"]["id"]
    asked = {"dealId": ids["deal"], "scenarios": SCENARIOS}
    run = api.do("ratingRequest", "ratingRun { id simulation { status progress { done total } } }", asked)["ratingRun"]
    ids["ratingRun"] = run["id"]
    assert run["simulation"]["status"] == "RUNNING"
    assert run["simulation"]["progress"]["done"] == 0
    finish(run["id"])


def finish(global_id: str) -> None:
    """Work as a worker would: the simulation, then the structuring that follows it."""
    rating_run = RatingRun.objects.get(pk=from_global_id(global_id).id)
    run_until_done(rating_run.simulation_id)
    rating_run.refresh_from_db()
    assert rating_run.structuring_id is not None
    done = run_until_done(rating_run.structuring_id)
    assert done.status == "done", done.error


def offer(world: World) -> None:
    """List and open."""
    created = world.originator.do(
        "listingCreate",
        "listing { id state auctions { id tranche guideTicks supply { minorUnits } lot { minorUnits } } }",
        {"dealId": world.ids["deal"]},
    )["listing"]
    world.ids["listing"] = created["id"]
    assert created["state"] == "DRAFT"
    for auction in created["auctions"]:
        world.ids[f"auction {auction['tranche']}"] = auction["id"]
    world.ids["auction"] = created["auctions"][0]["id"]
    opened = world.originator.do("listingOpen", "listing { state }", {"listingId": created["id"]})
    assert opened["listing"]["state"] == "OPEN"


def bid(world: World) -> dict[str, Any]:
    """The investor takes all of the senior class, the rival bids for it at a higher yield; one bid is withdrawn."""
    fields = "id tranche guideTicks supply { minorUnits } lot { minorUnits }"
    answer = world.investor.ask(
        f"query($id: ID!) {{ node(id: $id) {{ ... on Auction {{ {fields} }} }} }}", id=world.ids["auction"]
    )
    auction = answer.data["node"]
    supply, lot = int(auction["supply"]["minorUnits"]), int(auction["lot"]["minorUnits"])
    wanted = "bid { id state amount { minorUnits } hold { minorUnits currency } }"

    def place(api: Api, above: int, amount: int) -> dict[str, Any]:
        values = {"auctionId": auction["id"], "yieldTicks": auction["guideTicks"] + above, "amount": usd(amount)}
        placed: dict[str, Any] = api.do("bidPlace", wanted, values)["bid"]
        return placed

    world.ids["bid"] = place(world.investor, -10, supply - lot)["id"]
    world.ids["rival bid"] = place(world.rival, 5, 2 * lot)["id"]
    second = place(world.investor, 20, lot)
    gone = world.investor.do("bidWithdraw", "bid { state }", {"bidId": second["id"]})
    assert gone["bid"]["state"] == "WITHDRAWN"
    return auction


def settle(world: World) -> None:
    """Close and settle."""
    closed = world.operator.do("auctionClose", "listing { state }", {"listingId": world.ids["listing"]})
    assert closed["listing"]["state"] == "CLOSED"
    settled = world.operator.do(
        "listingSettle", "listing { state sourcesAndUses }", {"listingId": world.ids["listing"]}
    )
    assert settled["listing"]["state"] == "SETTLED"


def whole_way() -> World:
    """From the empty database to positions."""
    world = parties()
    rate(world)
    offer(world)
    bid(world)
    settle(world)
    return world
