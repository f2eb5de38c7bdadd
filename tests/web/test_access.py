"""Who may open which address. No browser: every address of the site, every role, by Django's client."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from accounts.models import Role, User
from accounts.services import organisation_create, user_create
from marketplace.cast import Cast
from marketplace.models import Auction, Bid
from pooling.models import Loan
from rating.models import RatingRun
from tests.web.conftest import PASSWORD, deal_made

# Addresses of machines and of signing in; the API has its own matrix.
OPEN_TO_ALL = {"livez", "readyz", "login", "logout", "graphql", "sdl", "upload"}
EVERYBODY = {"originator", "investor", "analyst", "operator"}
ORIGINATOR, INVESTOR, OPERATOR = {"originator"}, {"investor"}, {"operator"}
# Name of the address: (what its id names, who finds something there). The deal is an open listing with bids.
PAGES: dict[str, tuple[str, set[str]]] = {
    "market": ("", EVERYBODY),
    "ratings": ("", EVERYBODY),
    "listing": ("listing", EVERYBODY),
    "loans": ("listing", EVERYBODY),
    "loans-csv": ("listing", EVERYBODY),
    "listing-spec": ("listing", EVERYBODY),
    "listing-manifest": ("listing", EVERYBODY),
    "listing-certificate": ("listing", EVERYBODY),
    "cashflows": ("listing", EVERYBODY),
    "cashflows-csv": ("listing", EVERYBODY),
    "cashflows-xlsx": ("listing", EVERYBODY),
    "explain": ("listing", EVERYBODY),
    "residual": ("listing", EVERYBODY),
    "residual-csv": ("listing", EVERYBODY),
    "loan-aprs": ("listing", EVERYBODY),
    "loan-aprs-csv": ("listing", EVERYBODY),
    "yield-table": ("listing", EVERYBODY),
    "yield-table-csv": ("listing", EVERYBODY),
    "prices": ("listing", EVERYBODY),
    "prices-csv": ("listing", EVERYBODY),
    "surveillance": ("listing", EVERYBODY),
    "surveillance-csv": ("listing", {"originator", "analyst"}),  # to the others once the auction has cleared
    "performance-upload": ("listing", ORIGINATOR | OPERATOR),
    "rating": ("listing", EVERYBODY),
    "rating-csv": ("listing", EVERYBODY),
    "rating-report": ("listing", EVERYBODY),
    "rating-report-pdf": ("listing", EVERYBODY),
    "sensitivities": ("listing", EVERYBODY),
    "sensitivities-csv": ("listing", set()),  # no run has been asked for
    "what-if": ("listing", EVERYBODY),
    "models": ("", EVERYBODY),
    "model-compare": ("", EVERYBODY),
    "model-compare-csv": ("", set()),  # asks for two assumption sets
    "model": ("model", EVERYBODY),
    "model-json": ("model", EVERYBODY),
    "model-hazards": ("model", EVERYBODY),
    "loan-pd": ("loan", EVERYBODY),
    "loan-pd-csv": ("loan", EVERYBODY),
    "static-pools": ("", EVERYBODY),
    "static-pools-csv": ("", EVERYBODY),
    "deal-version": ("version", EVERYBODY),
    "tapes": ("", ORIGINATOR),
    "tape-upload": ("", ORIGINATOR),
    "tape": ("tape", ORIGINATOR),
    "tape-errors": ("tape", set()),  # this tape has no error file
    "pool-new": ("tape", ORIGINATOR),
    "pool": ("pool", ORIGINATOR),
    "deal-new": ("pool", ORIGINATOR),
    "deals": ("", ORIGINATOR),
    "deal": ("deal", ORIGINATOR),
    "rate": ("deal", ORIGINATOR),
    "rating-run": ("run", ORIGINATOR),
    "list-deal": ("deal", ORIGINATOR),
    "listing-open": ("listing", ORIGINATOR | OPERATOR),
    "listing-cancel": ("listing", ORIGINATOR | OPERATOR),
    "listing-close": ("listing", OPERATOR),
    "listing-settle": ("listing", OPERATOR),
    "auctions": ("", OPERATOR),
    "bid": ("auction", INVESTOR),
    "bid-preview": ("auction", INVESTOR),
    "orders": ("", INVESTOR),
    "withdraw": ("bid", INVESTOR),
    "positions": ("", INVESTOR),
    "cash": ("", INVESTOR | ORIGINATOR),
    "mandates": ("", INVESTOR),
    "mandate-new": ("", INVESTOR),
}


def addresses(patterns: list[URLPattern | URLResolver]) -> set[str]:
    """The names of every address of the site."""
    names: set[str] = set()
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            names |= addresses(pattern.url_patterns)
        elif pattern.name:
            names.add(pattern.name)
    return names


def client_of(username: str) -> Client:
    client = Client()
    assert client.login(username=username, password=PASSWORD)
    return client


def test_every_address_by_every_role(cast: Cast, tape: Path) -> None:
    # given an open listing with bids, and an originator and an investor that have no part in it
    listing = deal_made(cast, tape, settle=False)
    deal, bid = listing.deal, Bid.objects.select_related("user").first()
    auction = Auction.objects.filter(listing=listing).first()
    assert bid is not None
    assert bid.user is not None
    assert auction is not None
    ids = {
        "listing": listing.pk, "version": listing.deal_version_id, "tape": deal.pool.tape_id, "pool": deal.pool_id,
        "deal": deal.pk, "run": RatingRun.objects.get(deal=deal).pk, "auction": auction.pk, "bid": bid.pk,
        "model": RatingRun.objects.get(deal=deal).credit_model_id,
    }  # fmt: skip
    loan = Loan.objects.filter(pool=deal.pool_id).order_by("loan_id").first()
    assert loan is not None
    for other in (Role.ORIGINATOR, Role.INVESTOR):
        organisation = organisation_create(name=f"Other {other}", role=other)
        user_create(username=f"other-{other}", password=PASSWORD, organisation=organisation)
    user_create(username="nobody", password=PASSWORD, organisation=None)
    own = {"originator": "originator", "investor": bid.user.username, "analyst": "analyst", "operator": "operator"}
    # then every address is in the table, and each role gets what it says
    assert addresses(get_resolver().url_patterns) - OPEN_TO_ALL == set(PAGES)
    wrong = []
    clients = {role: client_of(username) for role, username in own.items()}
    strangers = {name: client_of(name) for name in ("other-originator", "other-investor", "nobody")}
    for name, (kind, allowed) in PAGES.items():
        arguments = [listing.pk, loan.loan_id] if kind == "loan" else [ids[kind]] if kind else []
        path = reverse(name, args=arguments)
        anonymous = Client().get(path)
        if (anonymous.status_code, anonymous.headers.get("Location", "")) != (302, f"/login/?next={path}"):
            wrong.append((name, "anonymous", anonymous.status_code))
        for role, client in clients.items():
            answer = client.post(path) if name == "bid-preview" else client.get(path)
            expected = 200 if role in allowed else 404
            if answer.status_code != expected:
                wrong.append((name, role, answer.status_code))
        # an originator sees nothing of another's deal, an investor nothing of another's bid; unknown ids read alike
        if (kind and allowed <= ORIGINATOR | OPERATOR) or kind in ("listing", "loan"):
            if strangers["other-originator"].get(path).status_code != 404:
                wrong.append((name, "other-originator", 200))
        if kind == "bid" and strangers["other-investor"].get(path).status_code != 404:
            wrong.append((name, "other-investor", 200))
        unknown = [uuid4(), *arguments[1:]]
        if kind and clients["operator"].get(reverse(name, args=unknown)).status_code != 404:
            wrong.append((name, "unknown id", 200))
    assert not wrong
    # and who belongs to no organisation sees an empty market
    assert listing.deal.name not in strangers["nobody"].get("/").content.decode()
    assert strangers["nobody"].get(reverse("listing", args=[listing.pk])).status_code == 404


def test_sealed_bids_appear_on_no_page_of_others_before_the_close(cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    bidders = {bid.organisation.name: bid for bid in Bid.objects.select_related("organisation")}
    assert len(bidders) > 2
    onlooker = User.objects.get(organisation__name="Harbour Liquidity Fund").username
    for username in ("operator", "originator", "analyst", onlooker):
        client = client_of(username)
        paths = ["/", "/ratings/", reverse("listing", args=[listing.pk])]
        paths += ["/auctions/", reverse("listing-close", args=[listing.pk])] if username == "operator" else []
        for path in paths:
            said = client.get(path).content.decode()
            for name, bid in bidders.items():
                if name != "Harbour Liquidity Fund":
                    assert name not in said, (username, path)
                    assert f"{bid.amount / 100:,.2f}" not in said, (username, path, bid.amount)


def test_a_step_taken_twice_is_refused_in_words(cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=True)
    client = client_of("operator")
    answer = client.post(reverse("listing-settle", args=[listing.pk]), {"key": uuid4().hex})
    assert answer.status_code == 422
    assert "settled already: nothing was paid a second time" in answer.content.decode()


@pytest.mark.django_db
def test_an_upload_above_the_limit_is_told_the_limit(cast: Cast) -> None:
    client = client_of("originator")
    answer = client.post("/tapes/upload/", {"file": ""}, CONTENT_LENGTH=60 * 1024 * 1024)
    assert answer.status_code == 400
    assert "larger than 50 MB" in answer.content.decode()
