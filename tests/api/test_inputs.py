"""What comes in and goes out: exact scalars, keyset pages, the committed schema, uploads, bad tapes, pools, specs."""

from __future__ import annotations

from decimal import Decimal as Exact
from typing import Any

import graphene
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from graphql import GraphQLError

from accounts.graphql import connections
from accounts.graphql.scalars import BigInt, Decimal
from accounts.models import Role
from config.graphql import schema as root
from config.graphql.policy import POLICY
from config.management.commands import sdl
from tests.api import world as way
from tests.api.api import Api
from tests.services.factories import deal_rated, key, party

JSON_TYPE = "application/json"

pytestmark = pytest.mark.django_db


class Other(graphene.ObjectType):
    """Another schema than the committed one."""

    name = graphene.String()


@pytest.fixture
def api() -> Api:
    return Api(party(Role.ORIGINATOR))


# -------------------------------------------------------------------------------------------------- scalars
@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-inf", "1e999999", "1E2", "", " 1", "1_000", "0x1",
                                  "1" * 16, "0.12345678901", "١", "+1", ".5", "5."])  # fmt: skip
def test_decimal_refuses(text: str) -> None:
    with pytest.raises(GraphQLError):
        Decimal.parse_value(text)


@pytest.mark.parametrize("value", [True, None, [], {}, float("nan"), float("inf"), 1e300, 1e-11])
def test_decimal_refuses_what_is_no_text(value: Any) -> None:
    with pytest.raises(GraphQLError):
        Decimal.parse_value(value)


def test_decimal_is_exact() -> None:
    assert Decimal.parse_value("0.0725000000") == Exact("0.0725")
    assert Decimal.parse_value(0.1) == Exact("0.1")
    assert Decimal.serialize(1e-7) == "0.0000001"
    assert Decimal.serialize(Exact("1E+3")) == "1000"
    for value in (float("nan"), float("inf"), Exact("NaN")):
        with pytest.raises(ValueError, match="finite"):
            Decimal.serialize(value)


def test_bigint_has_64_bits_and_no_fraction() -> None:
    assert BigInt.parse_value("9223372036854775807") == 2**63 - 1
    for value in ("9223372036854775808", "1.0", "1e3", 1.0, True, "", "9" * 5_000):
        with pytest.raises(GraphQLError):
            BigInt.parse_value(value)


def test_filters_refuse_what_no_loan_can_have(api: Api) -> None:
    world = way.parties()
    way.rate(world)
    query = (
        "query($p: ID!, $f: LoanFilterInput) { loans(poolId: $p, filter: $f) { totalCount edges { node { rate } } } }"
    )
    ask = world.originator.ask

    everything = ask(query, p=world.ids["pool"], f={}).data["loans"]["totalCount"]
    some = ask(query, p=world.ids["pool"], f={"rateMin": "0.10", "rateMax": "0.15"}).data["loans"]
    assert 0 < some["totalCount"] < everything == way.LOANS - 1
    assert all(0.10 <= float(edge["node"]["rate"]) <= 0.15 for edge in some["edges"])
    for wrong in ({"rateMin": "-0.01"}, {"rateMax": "400"}, {"rateMin": "NaN"}, {"term": -1}, {"term": 10**6}):
        assert ask(query, p=world.ids["pool"], f=wrong).status in (200, 400)
        assert set(ask(query, p=world.ids["pool"], f=wrong).codes) <= {"BAD_USER_INPUT", "BAD_QUERY"}
        assert ask(query, p=world.ids["pool"], f=wrong).codes


# --------------------------------------------------------------------------------------------------- pages
def test_pages_neither_repeat_nor_lose_a_loan() -> None:
    world = way.parties()
    way.rate(world)
    query = """query($p: ID!, $first: Int, $after: String, $last: Int, $before: String) {
      loans(poolId: $p, first: $first, after: $after, last: $last, before: $before) {
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { node { loanId } } } }"""
    forward: list[str] = []
    after = None
    while True:
        found = world.originator.ask(query, p=world.ids["pool"], first=50, after=after).data["loans"]
        forward += [edge["node"]["loanId"] for edge in found["edges"]]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    backward: list[str] = []
    before = None
    while True:
        found = world.originator.ask(query, p=world.ids["pool"], last=50, before=before).data["loans"]
        backward = [edge["node"]["loanId"] for edge in found["edges"]] + backward
        before = found["pageInfo"]["startCursor"]
        if not found["pageInfo"]["hasPreviousPage"]:
            break

    assert len(forward) == len(set(forward)) == way.LOANS - 1
    assert backward == forward


def test_a_cursor_is_good_for_its_own_list_only(api: Api) -> None:
    for _ in range(3):
        deal_rated(api.user)
    cursor = api.ask("{ deals(first: 1) { pageInfo { endCursor } } }").data["deals"]["pageInfo"]["endCursor"]
    deals = "query($c: String) { deals(first: 2, after: $c) { edges { node { id } } } }"

    assert len(api.ask(deals, c=cursor).data["deals"]["edges"]) == 2
    value, _, signature = cursor.rpartition(":")
    forged = value[:-1] + ("A" if value[-1] != "A" else "B") + ":" + signature
    for wrong in (forged, "", "x", "a:b", "1" * 600, cursor + "x"):
        assert api.ask(deals, c=wrong).codes == ["BAD_USER_INPUT"]
    pools = "query($c: String) { pools(first: 2, after: $c) { edges { node { id } } } }"
    assert api.ask(pools, c=cursor).codes == ["BAD_USER_INPUT"]
    assert api.ask("{ deals(first: 1, last: 1) { totalCount } }").codes == ["BAD_USER_INPUT"]
    assert connections.PAGE_LIMIT == 100


# ------------------------------------------------------------------------------------------------------ SDL
def test_the_committed_schema_is_up_to_date() -> None:
    call_command("sdl", "--check")


def test_a_schema_out_of_date_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdl, "schema", graphene.Schema(query=Other))

    with pytest.raises(CommandError, match="out of date"):
        call_command("sdl", "--check")


def test_the_schema_is_served_to_those_who_are_logged_in(api: Api) -> None:
    response = api.http.get("/schema.graphql")

    assert response.status_code == 200
    assert "type Query {" in response.content.decode()
    assert root.schema.query._meta.name == "Query"
    assert len(POLICY) > 300


# --------------------------------------------------------------------------------------------------- upload
def test_upload_then_import_once(api: Api) -> None:
    tape = way.tape_bytes()

    status, first = api.upload(tape, key="upload-key-1")
    assert status == 201
    assert api.upload(tape, key="upload-key-1") == (201, first)
    status, conflict = api.upload(tape + b"\n", key="upload-key-1")
    assert (status, conflict["errors"][0]["extensions"]["code"]) == (400, "IDEMPOTENCY_CONFLICT")
    one = api.do("tapeImport", "tape { id }", first and {"uploadId": first["uploadId"]})
    assert one["tape"]["id"]
    again = api.attempt("tapeImport", "tape { id }", {"uploadId": first["uploadId"]})
    assert [error["code"] for error in again["userErrors"]] == ["loans_already_registered"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty", b""), ("no table", b"hello"), ("binary", bytes(range(256)) * 10), ("columns", b"a,b\n1,2\n"),
     ("delimiter", b"loan_amnt;int_rate;term\n1000;5%;36 months\n"),
     ("negative", b"loan_amnt,int_rate,term\n-5,5%,36 months\n"),
     ("rate", b"loan_amnt,int_rate,term\n1000,400%,36 months\n")],
)  # fmt: skip
def test_a_bad_tape_is_a_user_error_and_leaves_nothing(api: Api, name: str, content: bytes) -> None:
    status, answer = api.upload(content)
    if status != 201:
        assert status == 400
        assert answer["errors"][0]["message"]
        return
    refused = api.attempt("tapeImport", "tape { id }", {"uploadId": answer["uploadId"]})
    assert refused["tape"] is None
    assert len(refused["userErrors"]) == 1
    assert refused["userErrors"][0]["message"].endswith(".")
    assert api.ask("{ tapes { totalCount } }").data["tapes"]["totalCount"] == 0


def test_upload_form(api: Api) -> None:
    assert api.http.get("/api/uploads/").status_code == 405
    assert post_upload(api, {}).status_code == 400
    assert post_upload(api, {"idempotencyKey": key() + "-long"}).status_code == 400
    wrong = api.http.post("/api/uploads/", data="{}", content_type=JSON_TYPE)
    assert wrong.status_code == 415
    broken = api.http.post("/api/uploads/", data=b"x", content_type="multipart/form-data; boundary=")
    assert broken.status_code == 400
    investor = Api(party(Role.INVESTOR))
    assert investor.upload(b"a,b\n")[0] == 403


def post_upload(api: Api, form: dict[str, Any]) -> Any:
    return api.http.post("/api/uploads/", data=form)


def test_a_session_uploads_with_a_csrf_token_only(api: Api) -> None:
    session = Client(enforce_csrf_checks=True)
    session.force_login(api.user)

    assert session.post("/api/uploads/", data={"idempotencyKey": "12345678"}).status_code == 403


@pytest.mark.parametrize(
    "given",
    [{"asOf": "nonsense"}, {"asOf": "9999-99-99"}, {"asOf": "1900-01-01"}, {"rules": "{"}, {"rules": "7"},
     {"rules": '[{"field": "rate"}]'}, {"rules": '[7]'}, {"rules": "[" * 900}, {"name": ""}, {"name": "x" * 300}],
)  # fmt: skip
def test_a_bad_pool_is_a_user_error(given: dict[str, str]) -> None:
    world = way.parties()
    api = world.originator
    _, upload = api.upload(way.tape_bytes())
    tape = api.do("tapeImport", "tape { id }", {"uploadId": upload["uploadId"]})["tape"]["id"]

    refused = api.attempt("poolCreate", "pool { id }", {"tapeId": tape, "name": "x", **given})

    assert refused["pool"] is None
    assert len(refused["userErrors"]) == 1


@pytest.mark.parametrize(
    "spec", ["", "{", "[]", "7", "{}", '{"unknown": 1}', "[" * 2_000, '{"name": NaN}', '{"name": "\\ud800"}']
)
def test_a_bad_spec_is_a_user_error(spec: str) -> None:
    world = way.parties()
    api = world.originator
    _, upload = api.upload(way.tape_bytes())
    tape = api.do("tapeImport", "tape { id }", {"uploadId": upload["uploadId"]})["tape"]["id"]
    pool = api.do("poolCreate", "pool { id }", {"tapeId": tape, "name": "x"})["pool"]["id"]

    refused = api.attempt("dealCreate", "deal { id }", {"poolId": pool, "name": "x", "spec": spec})

    assert refused["deal"] is None
    assert len(refused["userErrors"]) == 1
