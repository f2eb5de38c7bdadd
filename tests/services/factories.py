"""A small market of real rows. Where a service exists the row comes from it; a rated and priced deal is written
directly in the stored form, with base-case flows valued by the pricing engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from accounts.canonical import digest
from accounts.models import Organisation, Role, User
from accounts.services import organisation_create, user_create
from investors.services import cash_deposit
from marketplace.models import Auction, Bid, Listing
from marketplace.services import bid_place, listing_create, listing_open
from pooling.engine.deal.template import default_template
from pooling.models import Deal, DealVersion, Pool, TapeUpload, TapeVersion
from pooling.services import deal_create, pool_create, tape_import, tape_upload
from pricing.engine.valuation import average_life, solve_yields
from pricing.models import MarketSnapshotVersion, PriceReport
from rating.models import CreditModelVersion, RatingReport, RatingRun
from runs.models import Run, RunStatus

PASSWORD = "glass walls, open books"
MILLION = 100_000_000  # cents
POOL_BALANCE = 10 * MILLION
BALANCES = {"A": 7 * MILLION, "B": 1 * MILLION, "C": 50_000_000}
COUPONS = {"A": 0.05, "B": 0.06, "C": 0.075}
GRADES = {"A": "AA", "B": "A", "C": "BBB"}
REPAID = {"A": (1, 24), "B": (25, 32), "C": (33, 36)}  # months in which a class repays, in equal parts
MONTHS = 36

_numbers = itertools.count(1)


def key() -> str:
    """A fresh idempotency key."""
    return f"key-{next(_numbers)}"


def party(role: str, name: str = "", cash: int = 0) -> User:
    """A user of a new organisation with this role, and cash in cents."""
    number = next(_numbers)
    organisation = organisation_create(name=name or f"{role} {number}", role=role)
    user = user_create(username=f"{role}-{number}", password=PASSWORD, organisation=organisation)
    if cash:
        cash_deposit(organisation=organisation, amount=cash, idempotency_key=key())
    return user


def organisation(user: User) -> Organisation:
    """The user's organisation, which every party of these tests has."""
    assert user.organisation is not None
    return user.organisation


def class_flows(name: str) -> dict[str, list[float]]:
    """Base-case flows per 1 of original balance by month: interest on what is outstanding, principal as in REPAID."""
    first, last = REPAID[name]
    principal = [1 / (last - first + 1) if first <= month <= last else 0.0 for month in range(1, MONTHS + 1)]
    outstanding = np.concatenate([[1.0], 1 - np.cumsum(principal)[:-1]])
    return {"interest": (outstanding * COUPONS[name] / 12).tolist(), "principal": principal}


def _price_row(name: str) -> dict[str, Any]:
    flows = class_flows(name)
    cash = np.array(flows["interest"]) + np.array(flows["principal"])
    at_par = float(solve_yields(cash, 1.0).yields[0])
    return {
        "name": name,
        "price": 100.0,
        "yield": at_par,
        "spread_bp": 100.0,
        "wal_years": float(average_life(flows["principal"])[0]),
        "modified_duration": 1.0,
        "guide_ticks": round(at_par * 100_000),
        "flows": flows,
    }


def deal_rated(originator: User, balances: Mapping[str, int] = BALANCES, *, pool_balance: int = POOL_BALANCE) -> Deal:
    """A deal of the originator with a solved version, a rating report and a price report."""
    owner = organisation(originator)
    deal = _deal(owner, pool_balance)
    spec = default_template(
        name=deal.name,
        currency="USD",
        cut_off="2026-10-31",
        closing="2026-11-16",
        first_payment="2026-12-15",
        legal_final="2032-11-15",
    ).with_solution(balances, COUPONS)
    version = DealVersion.objects.create(deal=deal, number=2, spec=spec.to_json(), spec_hash=spec.content_hash())
    report = _rating_report(owner, deal, version, balances)
    snapshot, _ = MarketSnapshotVersion.objects.get_or_create(
        digest=digest("snapshot"), defaults={"as_of": date(2026, 5, 21), "payload": {}}
    )
    PriceReport.objects.create(
        deal_version=version,
        rating_report=report,
        snapshot=snapshot,
        result={
            "as_of": "2026-05-21",
            "tranches": [_price_row(name) for name in balances],
            "residual": {},
            "assumptions": {"asset_class": "unsecured_consumer"},
        },
    )
    return deal


def _deal(owner: Organisation, pool_balance: int) -> Deal:
    number = next(_numbers)
    upload = TapeUpload.objects.create(
        organisation=owner, filename="tape.csv", sha256=digest(number), size=1, path=f"uploads/{number}"
    )
    tape = TapeVersion.objects.create(
        organisation=owner,
        upload=upload,
        name="tape",
        root=digest(["root", number]),
        rows=1000,
        accepted=1000,
        rejected=0,
        rows_path=f"tapes/{number}",
    )
    pool = Pool.objects.create(
        organisation=owner,
        tape=tape,
        name=f"pool {number}",
        as_of="2026-10-31",
        label="pool",
        loan_count=1000,
        excluded=0,
        balance=pool_balance,
        wac="0.12",
        wam_months="36",
        loans_path=f"pools/{number}",
        loans_digest=digest(["loans", number]),
    )
    return Deal.objects.create(organisation=owner, pool=pool, name=f"Deal {number}")


def _rating_report(owner: Organisation, deal: Deal, version: DealVersion, balances: Mapping[str, int]) -> RatingReport:
    model, _ = CreditModelVersion.objects.get_or_create(
        digest=digest("credit model"), defaults={"name": "model", "payload": {}}
    )
    run = Run.objects.create(
        kind="simulation",
        organisation=owner,
        seed=7,
        params={},
        chunk_count=1,
        status=RunStatus.DONE,
        result_digest=digest("result"),
    )
    rating_run = RatingRun.objects.create(
        deal=deal, template=version, credit_model=model, simulation=run, scenarios=2048, seed=7
    )
    return RatingReport.objects.create(
        rating_run=rating_run,
        deal_version=version,
        manifest={"engine": "test"},
        result={
            "simulation": {"scenarios": 2048, "seed": 7, "engine": "engine 1"},
            "tranches": [
                {"name": name, "balance": balance, "rating": GRADES[name]} for name, balance in balances.items()
            ],
        },
    )


def lender(username: str = "ada", name: str = "First Lender") -> User:
    """A user of an originator of its own."""
    organisation = organisation_create(name=name, role=Role.ORIGINATOR)
    return user_create(username=username, password=PASSWORD, organisation=organisation)


def deal_of_tape(user: User, path: Path) -> Deal:
    """A deal on the tape of this file, by the services everybody uses; nothing is rated yet."""
    upload = tape_upload(user=user, filename=path.name, stream=[path.read_bytes()], idempotency_key="upload")
    tape = tape_import(user=user, upload=upload, idempotency_key="tape")
    pool = pool_create(user=user, tape=tape, name="Pool", idempotency_key="pool")
    return deal_create(user=user, pool=pool, name="Deal", idempotency_key="deal")


@dataclass
class Market:
    """An open listing with its parties. auctions: by class name."""

    originator: User
    operator: User
    analyst: User
    investors: list[User]
    listing: Listing
    auctions: dict[str, Auction] = field(default_factory=dict)

    def bid(self, number: int, tranche: str, above_guide: int, amount: int) -> Bid:
        """Investor `number` bids amount (cents) at the guide yield plus above_guide ticks."""
        auction = self.auctions[tranche]
        return bid_place(
            user=self.investors[number],
            auction=auction,
            yield_ticks=auction.guide_ticks + above_guide,
            amount=amount,
            idempotency_key=key(),
        )


def viewers(scene: Market) -> dict[str, User | None]:
    """Everybody who may ask for a page of the listing, by what they are to it; the last is not signed in."""
    return {
        "originator": scene.originator,
        "another originator": party(Role.ORIGINATOR),
        "operator": scene.operator,
        "analyst": scene.analyst,
        "investor": scene.investors[0],
        "anonymous": None,
    }


def page_statuses(opened: bool) -> dict[str, int]:
    """What each of the viewers is answered by a page of a listing: a draft is its originator's and the operator's, what
    is on offer everybody's but another originator's."""
    on_offer = 200 if opened else 404
    return {
        "originator": 200, "another originator": 404, "operator": 200, "analyst": on_offer, "investor": on_offer,
        "anonymous": 302,
    }  # fmt: skip


def market(investors: int = 3, cash: int = 10 * MILLION, *, opened: bool = True, **deal: Any) -> Market:
    """A listing of a rated deal (open unless told otherwise), with funded investors."""
    originator, operator = party(Role.ORIGINATOR), party(Role.OPERATOR)
    listing = listing_create(user=originator, deal=deal_rated(originator, **deal), idempotency_key=key())
    if opened:
        listing = listing_open(user=operator, listing=listing, idempotency_key=key())
    return Market(
        originator,
        operator,
        party(Role.ANALYST),
        [party(Role.INVESTOR, cash=cash) for _ in range(investors)],
        listing,
        {auction.tranche: auction for auction in listing.auctions.all()},
    )


def market_with_bids() -> Market:
    """An open market whose class A is over-subscribed with a rationed margin, B under-subscribed, C without bids."""
    found = market(investors=4)
    found.bid(0, "A", -50, 3 * MILLION)
    found.bid(1, "A", 0, 3 * MILLION)
    found.bid(2, "A", 0, 2 * MILLION)
    found.bid(3, "A", 60, 1 * MILLION)
    found.bid(0, "B", 10, 40_000_000)
    found.bid(2, "B", 40, 20_000_000)
    return found
