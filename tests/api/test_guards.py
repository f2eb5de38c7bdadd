"""The door of the API: form, size, identity, limits before validation, errors without secrets, exact input."""

from __future__ import annotations

import json
import time
from typing import Any

import graphene
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.test import Client

from accounts.models import Role, User
from accounts.selectors import tokens_visible
from accounts.services import token_revoke
from config.graphql import limits, view
from config.graphql.enforcement import bind
from config.graphql.policy import PARTIES
from investors.models import Transfer
from marketplace.models import Bid
from pooling.models import Deal
from tests.api.api import Api, mutation, usd
from tests.services.factories import deal_rated, market, party

# A refusal costs parsing and one walk; a second is a hundred times that, on a loaded machine.
QUICK_SECONDS = 1.0
JSON_TYPE = "application/json"

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api(party(Role.ORIGINATOR))


def post(api: Api, body: Any, content_type: str = JSON_TYPE, **extra: Any) -> Any:
    return api.http.post("/graphql/", data=body, content_type=content_type, **extra)


# ----------------------------------------------------------------------------------------------------- form
@pytest.mark.parametrize("method", ["get", "put", "patch", "delete", "options", "head"])
def test_only_post(api: Api, method: str) -> None:
    response = getattr(api.http, method)("/graphql/?query={viewer{username}}")

    assert response.status_code == 405


@pytest.mark.parametrize(
    "content_type",
    ["application/graphql", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""],
)
def test_only_json_in_utf8(api: Api, content_type: str) -> None:
    response = post(api, '{"query": "{ viewer { username } }"}', content_type)

    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_body_of_20_kilobytes_and_no_byte_more(api: Api) -> None:
    empty = json.dumps({"query": "{ viewer { username } }", "operationName": None, "pad": ""})
    fits = empty.replace('"pad": ""', '"pad": "' + "x" * (limits.BODY_LIMIT - len(empty)) + '"')

    assert len(fits) == 20_000
    assert post(api, fits).status_code == 200
    assert post(api, fits + " ").status_code == 413


@pytest.mark.parametrize(
    "body",
    [" ", "{", "[]", '"x"', "null", "7", '[{"query": "{ viewer { username } }"}]', '{"query": 7}', '{"query": ""}',
     "{}", '{"query": "{ viewer { username } }", "variables": []}', "[" * 9_000, '{"a":' * 3_000,
     '{"query": "{ viewer { username } }", "variables": {"a": NaN}}',
     '{"query": "{ viewer { username } }", "operationName": 7}',
     '{"query": "{ viewer { username } }", "variables": {"a": ' + "9" * 5_000 + "}}",
     '{"query": "{ viewer { username } }", "variables": {"a": "\\u0000"}}',
     '{"query": "{ viewer { username } }", "variables": {"a": "\\ud800"}}', b"\xff\xfe{}"],
)  # fmt: skip
def test_what_is_no_single_json_request_is_refused(api: Api, body: Any) -> None:
    response = post(api, body)

    assert response.status_code == 400
    assert "data" not in response.json()


# ------------------------------------------------------------------------------------------------- identity
def test_anonymous_sees_nothing_but_a_refusal(client: Client) -> None:
    for query in ("{ viewer { username } }", "{ __typename }", "{ __schema { types { name } } }", "{"):
        response = client.post("/graphql/", data=json.dumps({"query": query}), content_type=JSON_TYPE)
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
        assert list(response.json()) == ["errors"]
    assert client.get("/schema.graphql").status_code == 401
    assert client.post("/api/uploads/", data={}).status_code == 401


def test_a_bad_token_is_refused_even_beside_a_good_session(api: Api) -> None:
    session = Client()
    session.force_login(api.user)
    for token in ("gp_unknown", "", "gp_\u00e9", "x" * 5_000):
        response = session.post(
            "/graphql/",
            data='{"query": "{ viewer { username } }"}',
            content_type=JSON_TYPE,
            headers={"Authorization": f"Bearer {token}"},
        )
        assert response.status_code == 401


def test_a_revoked_token_is_refused(api: Api) -> None:
    assert api.ask("{ viewer { username } }").status == 200

    token_revoke(token=tokens_visible(api.user)[0])

    assert api.ask("{ viewer { username } }").status == 401


def test_an_inactive_user_is_refused(api: Api) -> None:
    User.objects.filter(pk=api.user.pk).update(is_active=False)

    assert api.ask("{ viewer { username } }").status == 401


def test_a_session_needs_the_csrf_token_and_a_bearer_does_not(api: Api) -> None:
    session = Client(enforce_csrf_checks=True)
    session.force_login(api.user)
    body = '{"query": "{ viewer { username } }"}'

    refused = session.post("/graphql/", data=body, content_type=JSON_TYPE)
    session.cookies["csrftoken"] = "a" * 32
    accepted = session.post("/graphql/", data=body, content_type=JSON_TYPE, headers={"X-CSRFToken": "a" * 32})

    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "CSRF_FAILED"
    assert accepted.status_code == 200
    assert post(api, body).status_code == 200


def test_only_a_session_issues_tokens(api: Api) -> None:
    query = mutation("tokenIssue", "token { name } secret")
    session = Api(api.user, session=True)
    before = tokens_visible(api.user).count()

    refused = api.ask(query, input={"name": "bred"}, key="key-number-1")
    assert refused.codes == ["FORBIDDEN"]
    assert tokens_visible(api.user).count() == before
    issued = session.do("tokenIssue", "token { name } secret", {"name": "laptop"}, key="key-number-1")
    assert issued["secret"].startswith("gp_")
    again = session.attempt("tokenIssue", "token { name } secret", {"name": "laptop"}, key="key-number-1")
    assert [error["code"] for error in again["userErrors"]] == ["already_issued"]
    assert again["secret"] is None
    assert tokens_visible(api.user).count() == before + 1


# --------------------------------------------------------------------------------------------------- limits
def nested_fragments(levels: int, last: str) -> str:
    """Each fragment spreads the next one twice: 2 ** levels selections when expanded."""
    spreads = " ".join(f"fragment F{i} on Query {{ ...F{i + 1} ...F{i + 1} }}" for i in range(levels))
    return f"{{ ...F0 }} {spreads} fragment F{levels} on Query {{ {last} }}"


BOMBS = {
    "tokens": ("{ viewer { " + "username " * 1_001 + "} }", "BAD_QUERY"),
    "depth": ("{ viewer " + "{ organisation " * 9 + "{ name" + " }" * 10 + " }", "DEPTH_LIMIT"),
    "braces": ("{ a " * 490, "BAD_QUERY"),
    "closed braces": ("{ a " * 333 + "}" * 333, "BAD_QUERY"),
    "lists": ("{ node(id: " + "[" * 480 + "]" * 480 + ") { id } }", "BAD_QUERY"),
    "shallow lists": ("{ node(id: " + "[" * 9 + "]" * 9 + ") { id } }", "DEPTH_LIMIT"),
    "aliases": ("{ " + " ".join(f"a{i}: viewer {{ username }}" for i in range(16)) + " }", "ALIASES_LIMIT"),
    "directives": ("{ viewer { username " + "@include(if: true) " * 6 + "} }", "DIRECTIVES_LIMIT"),
    "nodes": ("{ viewer { " + "username " * 200 + "} }", "NODES_LIMIT"),
    "cost": ("{ deals(first: 100) { edges { node { pool { loans(first: 100) { id } } } } } }", "COST_LIMIT"),
    "cost by a huge page": ("{ deals(first: " + "9" * 400 + ") { edges { node { id } } } }", "COST_LIMIT"),
    "cost by default": ("query($n: Int = 2000) { deals(first: $n) { edges { node { id } } } }", "COST_LIMIT"),
    "mutations": (
        "mutation { " + " ".join(
            f'm{i}: tokenIssue(input: {{name: "x"}}, idempotencyKey: "12345678") {{ secret }}' for i in range(50)
        ) + " }",
        "ALIASES_LIMIT",
    ),
    "fragments": (nested_fragments(30, "viewer { username }"), "NODES_LIMIT"),
    "fragments without fields": (nested_fragments(30, "...Nosuch"), "WORK_LIMIT"),
    "introspection": (
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
        "COST_LIMIT",
    ),
    "unused operation": (
        "query A { viewer { username } } query B { " + " ".join(f"a{i}: viewer {{ role }}" for i in range(16)) + " }",
        "ALIASES_LIMIT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_bomb_is_refused_quickly_and_before_validation(api: Api, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    query, code = BOMBS[name]

    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("validation was reached")

    monkeypatch.setattr(view, "validate", unreachable)
    monkeypatch.setattr(view, "execute", unreachable)
    started = time.perf_counter()
    answer = api.ask(query)

    assert time.perf_counter() - started < QUICK_SECONDS
    assert answer.status == 400
    assert answer.codes == [code], answer.body


def test_variables_cannot_hide_the_cost(api: Api) -> None:
    query = "query($n: Int) { deals(first: $n) { edges { node { id } } } }"

    assert api.ask(query, n=100).status == 200
    assert api.ask(query, n=5_000).codes == ["COST_LIMIT"]
    assert api.ask(query, n=101).codes == ["BAD_USER_INPUT"]
    assert api.ask(query, n=0).codes == ["BAD_USER_INPUT"]
    assert api.ask(query, n=-5_000).codes == ["COST_LIMIT"]


def test_cost_is_told(api: Api) -> None:
    # one for the page, one for each of the ten rows
    answer = api.ask("{ deals(first: 10) { edges { node { id name } } } }")

    assert answer.body["extensions"] == {"cost": {"computed": 11, "limit": 2_000}}


@pytest.mark.parametrize(
    "query",
    ["{ nosuch }", "{ viewer }", "{ viewer { nosuch } }", "{ viewer { username { x } } }",
     "{ ...A } fragment A on Query { ...A viewer { username } }", "fragment A on Query { viewer { username } }",
     "query($x: Nosuch) { viewer { username } }", "subscription { viewer { username } }",
     "query A { viewer { username } } query A { viewer { username } }", "{ node { id } }"],
)  # fmt: skip
def test_the_rules_of_the_specification_hold(api: Api, query: str) -> None:
    """Own validation rules once replaced them all: a field that does not exist was answered with 200."""
    answer = api.ask(query)

    assert answer.status == 400
    assert set(answer.codes) == {"BAD_QUERY"}
    assert "data" not in answer.body


@pytest.mark.parametrize(
    "query",
    [
        "{ viewr { username } }",
        "{ viewer { user } }",
        "{ listings(stat: OPEN) { totalCount } }",
        "{ listings(state: OPN) { totalCount } }",
        "query($x: Listin) { viewer { username } }",
    ],
)
def test_no_suggestions(api: Api, query: str) -> None:
    answer = api.ask(query)

    assert answer.status == 400
    assert "Did you mean" not in json.dumps(answer.body)


# --------------------------------------------------------------------------------------------------- errors
class Broken(graphene.ObjectType):
    """A schema with the faults that a resolver can have."""

    leaking = graphene.String()
    lazy = graphene.Field(lambda: LazyDeal)

    @staticmethod
    def resolve_leaking(root: Any, info: Any) -> str:
        raise RuntimeError("secret of the database")

    @staticmethod
    def resolve_lazy(root: Any, info: Any) -> Any:
        return Deal.objects.get()


class LazyDeal(graphene.ObjectType):
    """A relation without a loader."""

    pool_name = graphene.String()

    @staticmethod
    def resolve_pool_name(root: Deal, info: Any) -> str:
        return root.pool.name


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    built = graphene.Schema(query=Broken)
    bind(built.graphql_schema, dict.fromkeys(("Broken.leaking", "Broken.lazy", "LazyDeal.poolName"), PARTIES))
    monkeypatch.setattr(view, "schema", built)


def test_internal_errors_are_masked_and_logged(api: Api, broken: None, caplog: pytest.LogCaptureFixture) -> None:
    answer = api.ask("{ leaking }")

    assert answer.status == 200
    assert answer.codes == ["INTERNAL"]
    assert "secret" not in json.dumps(answer.body)
    assert any(record.exc_info and "secret" in str(record.exc_info[1]) for record in caplog.records)


def test_a_relation_without_a_loader_raises(api: Api, broken: None, caplog: pytest.LogCaptureFixture) -> None:
    """The event loop has no database, so N+1 cannot ship."""
    deal_rated(api.user)

    answer = api.ask("{ lazy { poolName } }")

    assert answer.codes == ["INTERNAL"]
    assert answer.body["data"] == {"lazy": {"poolName": None}}
    raised = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in raised] == [SynchronousOnlyOperation]


def test_a_mutation_whose_answer_fails_is_taken_back() -> None:
    """The bid itself succeeds; its answer asks for what an investor may not see; so nothing has happened."""
    found = market(investors=1)
    api = Api(found.investors[0])
    auction = found.auctions["A"]
    given = {
        "auctionId": graphene.relay.Node.to_global_id("Auction", auction.pk),
        "yieldTicks": auction.guide_ticks,
        "amount": usd(auction.lot),
    }
    transfers = Transfer.objects.count()
    failing = mutation("bidPlace", "bid { auction { listing { deal { pool { tape { id } } } } } }")

    answer = api.ask(failing, input=given, key="one-key-for-both")

    assert answer.codes == ["FORBIDDEN"]
    assert answer.body["data"] is None
    assert Bid.objects.count() == 0
    assert Transfer.objects.count() == transfers
    assert api.do("bidPlace", "bid { id }", given, key="one-key-for-both")["bid"]["id"]
    assert Bid.objects.count() == 1


def test_one_key_acts_once_and_never_for_another_input() -> None:
    found = market(investors=1)
    api, auction = Api(found.investors[0]), found.auctions["A"]
    given = {
        "auctionId": graphene.relay.Node.to_global_id("Auction", auction.pk),
        "yieldTicks": auction.guide_ticks,
        "amount": usd(auction.lot),
    }

    first = api.do("bidPlace", "bid { id }", given, key="the-same-key")
    second = api.do("bidPlace", "bid { id }", given, key="the-same-key")
    other = api.attempt("bidPlace", "bid { id }", {**given, "amount": usd(2 * auction.lot)}, key="the-same-key")

    assert first == second
    assert [error["code"] for error in other["userErrors"]] == ["idempotency_conflict"]
    assert Bid.objects.count() == 1
    for bad in ("", "short", "x" * 101, "with spaces", "tab\tinside", "ümlautkey"):
        refused = api.attempt("bidPlace", "bid { id }", given, key=bad or " ")
        assert [error["field"] for error in refused["userErrors"]] == ["idempotencyKey"]
    assert Bid.objects.count() == 1


def test_a_bid_beyond_the_cash_is_a_user_error() -> None:
    found = market(investors=1, cash=100)
    api, auction = Api(found.investors[0]), found.auctions["A"]
    given = {
        "auctionId": graphene.relay.Node.to_global_id("Auction", auction.pk),
        "yieldTicks": auction.guide_ticks,
        "amount": usd(auction.lot),
    }

    refused = api.attempt("bidPlace", "bid { id }", given)["userErrors"]
    high = api.attempt("bidPlace", "bid { id }", {**given, "yieldTicks": auction.reserve_ticks + 1})["userErrors"]
    euros = api.attempt("bidPlace", "bid { id }", {**given, "amount": {"minorUnits": "1", "currency": "EUR"}})[
        "userErrors"
    ]

    assert [(error["code"], error["field"]) for error in refused] == [("insufficient_cash", "amount")]
    assert [(error["code"], error["field"]) for error in high] == [("above_reserve", "yieldTicks")]
    assert [(error["code"], error["field"]) for error in euros] == [("invalid", "amount.currency")]
    assert Bid.objects.count() == 0
