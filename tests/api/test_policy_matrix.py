"""The matrix role × type × field × mutation, generated from the built schema and executed against real rows.

For a role that the policy names: the data come. For any other: FORBIDDEN, the data are absent, and for a mutation not
one row of the database has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import graphene
import pytest
from django.apps import apps
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_leaf_type
from graphql_relay import from_global_id, to_global_id

from accounts.models import ApiToken, Role
from accounts.services import token_issue
from config.graphql import schema as root
from config.graphql import view
from config.graphql.enforcement import bind, fields_of, unplaced
from config.graphql.policy import PAGED, POLICY, TYPES, table
from marketplace.models import Listing
from marketplace.services import auction_close, listing_create
from pooling.models import TapeUpload
from pooling.services import deal_create, pool_create, tape_import
from rating.services import rating_request
from tests.api import world as way
from tests.api.api import Api, mutation, usd
from tests.services.factories import deal_rated, key, market, market_with_bids

SCHEMA = root.schema.graphql_schema
ROLES = [str(role) for role in Role]
Path = tuple[str, ...]


# ------------------------------------------------------------------------------------------------ the table
def test_every_field_has_a_policy_and_every_policy_a_field() -> None:
    assert unplaced(SCHEMA, POLICY) == ([], [])


def test_a_field_without_a_policy_is_found() -> None:
    lacking = {path: roles for path, roles in POLICY.items() if path != "Loan.rate"}

    assert unplaced(SCHEMA, lacking) == (["Loan.rate"], [])
    assert unplaced(SCHEMA, {**POLICY, "Loan.gone": frozenset()}) == ([], ["Loan.gone"])


def test_a_field_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Loan\.rate has two policies$"):
        table({**TYPES, "Loan": {frozenset({"analyst"}): "rate", frozenset({"investor"}): "rate"}}, PAGED)


@pytest.mark.django_db
def test_a_field_without_a_policy_is_closed_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    unguarded = graphene.Schema(query=root.Query, mutation=root.Mutation)
    bind(unguarded.graphql_schema, {path: roles for path, roles in POLICY.items() if path != "Viewer.username"})
    monkeypatch.setattr(view, "schema", unguarded)

    for api in way.parties().by_role.values():
        answer = api.ask("{ viewer { username } }")
        assert answer.codes == ["FORBIDDEN"]
        assert answer.body["data"] is None


# ------------------------------------------------------------------------------------------------ what is read
def readable() -> list[tuple[str, str]]:
    """(type, field) of all that queries reach."""
    answers = {kind for kind in SCHEMA.type_map if kind.endswith("Payload")} | {"Mutation", "UserError"}
    return [(kind.name, name) for kind, name, _ in fields_of(SCHEMA) if kind.name not in answers]


def path_to(kind: str, role: str | None) -> Path | None:
    """The shortest way from Query to a type, by fields that the role may ask for (None: by any field)."""
    seen = {"Query"}
    queue: list[tuple[str, Path]] = [("Query", ())]
    while queue:
        here, path = queue.pop(0)
        if here == kind:
            return path
        type_ = SCHEMA.type_map[here]
        assert isinstance(type_, GraphQLObjectType)
        for name, field in type_.fields.items():
            below = get_named_type(field.type)
            allowed = role is None or role in POLICY[f"{here}.{name}"]
            if isinstance(below, GraphQLObjectType) and below.name not in seen and allowed:
                seen.add(below.name)
                queue.append((below.name, (*path, name)))
    return None


def query_for(path: Path, field: GraphQLField, ids: dict[str, str]) -> str:
    """The query that asks for the field at the end of `path` alone."""
    arguments = {
        **{name: "(first: 3)" for name, root in SCHEMA.type_map["Query"].fields.items() if "first" in root.args},
        "loans": f'(poolId: "{ids["pool"]}")',
        "auctionResult": f'(auctionId: "{ids["auction"]}")',
        "node": f'(id: "{ids["listing"]}")',
    }
    leaf = is_leaf_type(get_named_type(field.type))
    text = "" if leaf else " { __typename }"
    for depth, name in reversed(list(enumerate(path))):
        argument = arguments.get(name, "") if depth == 0 else ""
        text = f"{name}{argument}{text}"
        text = f" {{ {text} }}"
    return text


def reached(value: Any, path: Path) -> Iterator[Any]:
    """The values at the end of `path`, through lists and past nulls."""
    if not path:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from reached(item, path)
    elif value is not None:
        yield from reached(value[path[0]], path[1:])


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_role_reads_what_its_policy_names_and_nothing_else(role: str) -> None:
    world = way.whole_way()
    make_mandate(world.investor)
    api = world.by_role[role]
    counted = {"allowed": 0, "refused": 0}
    wrong: list[str] = []

    for kind, name in readable():
        way_there = path_to(kind, role)
        path = (*(way_there if way_there is not None else path_to(kind, None) or ()), name)
        field = SCHEMA.type_map[kind].fields[name]
        answer = api.ask(query_for(path, field, world.ids))
        allowed = role in POLICY[f"{kind}.{name}"] and way_there is not None
        values = list(reached(answer.body.get("data"), path))
        if allowed:
            counted["allowed"] += 1
            if answer.codes or not values:
                wrong.append(f"{kind}.{name} does not come: {answer.body}")
        else:
            counted["refused"] += 1
            if "FORBIDDEN" not in answer.codes or any(value is not None for value in values):
                wrong.append(f"{kind}.{name} is not refused: {answer.body}")

    assert wrong == []
    assert counted["allowed"] + counted["refused"] == len(readable())
    assert counted["allowed"] > 100


def test_every_allowed_type_can_be_reached() -> None:
    """A field that its policy opens to a role whose every way there is closed would be a promise not kept."""
    broken = [
        (role, kind, name)
        for role in ROLES
        for kind, name in readable()
        if role in POLICY[f"{kind}.{name}"] and path_to(kind, role) is None
    ]
    assert broken == []


# ------------------------------------------------------------------------------------------------- what is done
def make_mandate(api: Api) -> None:
    api.do("mandateCreate", "mandate { id }", mandate_input(None, ""))


def mandate_input(world: way.World | None, role: str) -> dict[str, Any]:
    return {
        "name": f"Mandate {key()}",
        "terms": {
            "ratingFloor": "BBB-", "walMin": "0.5", "walMax": "7", "yieldFloor": "0.04",
            "assetTypes": ["unsecured_consumer"], "budget": usd(10**9), "ticket": usd(10**6), "maxShare": "0.5",
        },
    }  # fmt: skip


def new_tape(world: way.World) -> Any:
    user = world.originator.user
    _, answer = world.originator.upload(way.tape_bytes(seed=int(key().split("-")[1]) + 1000))
    upload = TapeUpload.objects.get(pk=from_global_id(answer["uploadId"]).id)
    return tape_import(user=user, upload=upload, idempotency_key=key())


def new_pool(world: way.World) -> Any:
    return pool_create(user=world.originator.user, tape=new_tape(world), name="Pool", idempotency_key=key())


def new_deal(world: way.World) -> Any:
    return deal_create(user=world.originator.user, pool=new_pool(world), name="Deal", idempotency_key=key())


def new_rating(world: way.World) -> Any:
    deal = new_deal(world)
    return rating_request(user=world.originator.user, deal=deal, scenarios=way.SCENARIOS, idempotency_key=key())


def draft(world: way.World) -> Listing:
    user = world.originator.user
    return listing_create(user=user, deal=deal_rated(user), idempotency_key=key())


def draft_input(world: way.World, role: str) -> dict[str, Any]:
    return {"listingId": gid("Listing", draft(world))}


def closed_input(world: way.World, role: str) -> dict[str, Any]:
    found = market_with_bids()
    listing = auction_close(user=found.operator, listing=found.listing, idempotency_key=key())
    return {"listingId": gid("Listing", listing)}


def bid_input(world: way.World, role: str) -> dict[str, Any]:
    auction = market().auctions["A"]
    return {"auctionId": gid("Auction", auction), "yieldTicks": auction.guide_ticks, "amount": usd(auction.lot)}


def withdraw_input(world: way.World, role: str) -> dict[str, Any]:
    return {"bidId": world.investor.do("bidPlace", "bid { id }", bid_input(world, role))["bid"]["id"]}


def upload_input(world: way.World, role: str) -> dict[str, Any]:
    return {"uploadId": world.originator.upload(way.tape_bytes(seed=int(key().split("-")[1]) + 5000))[1]["uploadId"]}


def token_input(world: way.World, role: str) -> dict[str, Any]:
    token, _ = token_issue(user=world.by_role[role].user, name="spare")
    return {"tokenId": gid("ApiToken", token)}


def gid(kind: str, row: Any) -> str:
    return to_global_id(kind, str(row.pk))


# verb → (what to ask of the answer, an input that succeeds for a role that may)
VERBS: dict[str, tuple[str, Callable[[way.World, str], dict[str, Any]]]] = {
    "tokenIssue": ("token { id } secret", lambda world, role: {"name": "mine"}),
    "tokenRevoke": ("token { id }", token_input),
    "tapeImport": ("tape { id }", upload_input),
    "tapeWithdraw": ("tape { id }", lambda world, role: {"tapeId": gid("Tape", new_tape(world))}),
    "poolCreate": ("pool { id }", lambda world, role: {"tapeId": gid("Tape", new_tape(world)), "name": "P"}),
    "dealCreate": ("deal { id }", lambda world, role: {"poolId": gid("Pool", new_pool(world)), "name": "D"}),
    "ratingRequest": (
        "ratingRun { id }",
        lambda world, role: {"dealId": gid("Deal", new_deal(world)), "scenarios": way.SCENARIOS},
    ),
    "ratingCancel": ("ratingRun { id }", lambda world, role: {"ratingRunId": gid("RatingRun", new_rating(world))}),
    "listingCreate": (
        "listing { id }",
        lambda world, role: {"dealId": gid("Deal", deal_rated(world.originator.user))},
    ),
    "listingOpen": ("listing { id }", draft_input),
    "listingCancel": ("listing { id }", draft_input),
    "auctionClose": ("listing { id }", lambda world, role: {"listingId": gid("Listing", market_with_bids().listing)}),
    "listingSettle": ("listing { id }", closed_input),
    "bidPlace": ("bid { id }", bid_input),
    "bidWithdraw": ("bid { id }", withdraw_input),
    "mandateCreate": ("mandate { id }", mandate_input),
}


def rows() -> dict[str, str]:
    """A digest of every table of the project."""
    digests = {}
    for model in apps.get_models():
        if model._meta.app_label in ("accounts", "runs", "pooling", "rating", "pricing", "investors", "marketplace"):
            content = repr(list(model._default_manager.order_by("pk").values_list())).encode()
            digests[model._meta.label] = hashlib.sha256(content).hexdigest()
    return digests


def test_every_mutation_is_in_the_matrix() -> None:
    assert SCHEMA.mutation_type is not None
    assert sorted(VERBS) == sorted(SCHEMA.mutation_type.fields)


@pytest.mark.django_db
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_verb_acts_for_its_roles_and_leaves_no_trace_for_others(verb: str) -> None:
    fields, input_for = VERBS[verb]
    world = way.parties()
    if verb == "tokenIssue":
        for name in ("originator", "investor", "analyst", "operator"):
            setattr(world, name, Api(getattr(world, name).user, session=True))
    allowed = POLICY[f"Mutation.{verb}"]

    for role in [role for role in ROLES if role not in allowed]:
        given = input_for(world, role)
        before = rows()
        answer = world.by_role[role].ask(mutation(verb, fields), input=given, key=key())
        assert answer.codes == ["FORBIDDEN"], answer.body
        assert answer.body["data"] is None
        assert rows() == before

    for role in sorted(allowed):
        given = input_for(world, role)
        before = rows()
        payload = world.by_role[role].do(verb, fields, given, key=key() + "-allowed")
        assert all(value is not None for value in payload.values())
        assert rows() != before


@pytest.mark.django_db
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_verb_refuses_nobody_and_a_user_without_organisation(verb: str, client: Any) -> None:
    world = way.parties()
    role = sorted(POLICY[f"Mutation.{verb}"])[0]
    given = VERBS[verb][1](world, role)
    homeless = world.by_role[role].user
    body = {"query": mutation(verb, VERBS[verb][0]), "variables": {"input": given, "key": key()}}

    before = rows()
    nobody = client.post("/graphql/", data=body, content_type="application/json")
    assert nobody.status_code == 401
    assert "data" not in nobody.json()
    assert rows() == before

    api = Api(homeless, session=True)
    type(homeless).objects.filter(pk=homeless.pk).update(organisation=None)
    before = rows()
    assert api.ask(body["query"], **body["variables"]).codes == ["FORBIDDEN"]  # type: ignore[arg-type]
    assert rows() == before


# ------------------------------------------------------------------------------------------------ not yours
@pytest.mark.django_db
def test_not_yours_reads_as_not_found() -> None:
    """Another originator, given every id, finds nothing and can do nothing."""
    world = way.parties()
    way.rate(world)
    way.offer(world)
    stranger, ids = world.stranger, world.ids
    for name in ("upload", "tape", "pool", "deal", "ratingRun", "listing", "auction"):
        assert world.originator.ask("query($id: ID!) { node(id: $id) { id } }", id=ids[name]).data["node"]
        found = stranger.ask("query($id: ID!) { node(id: $id) { id } }", id=ids[name])
        assert found.data == {"node": None}, name

    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("tapeImport", "tape { id }", {"uploadId": ids["upload"]}),
        ("tapeWithdraw", "tape { id }", {"tapeId": ids["tape"]}),
        ("poolCreate", "pool { id }", {"tapeId": ids["tape"], "name": "x"}),
        ("dealCreate", "deal { id }", {"poolId": ids["pool"], "name": "x"}),
        ("ratingRequest", "ratingRun { id }", {"dealId": ids["deal"]}),
        ("ratingCancel", "ratingRun { id }", {"ratingRunId": ids["ratingRun"]}),
        ("listingCreate", "listing { id }", {"dealId": ids["deal"]}),
        ("listingOpen", "listing { id }", {"listingId": ids["listing"]}),
        ("listingCancel", "listing { id }", {"listingId": ids["listing"]}),
        ("tokenRevoke", "token { id }", {"tokenId": gid("ApiToken", ApiToken.objects.order_by("id")[0])}),
    ]
    before = rows()
    for verb, fields, given in attempts:
        errors = stranger.attempt(verb, fields, given)["userErrors"]
        assert [error["code"] for error in errors] == ["not_found"], verb
    assert rows() == before
    loans = stranger.ask("query($id: ID!) { loans(poolId: $id) { totalCount } }", id=ids["pool"])
    assert loans.codes == ["NOT_FOUND"]
    assert loans.body["data"] is None


@pytest.mark.django_db
def test_an_id_of_another_type_is_not_found() -> None:
    world = way.parties()
    way.rate(world)

    wrong = world.originator.attempt("poolCreate", "pool { id }", {"tapeId": world.ids["pool"], "name": "x"})

    assert wrong["userErrors"] == [{"field": None, "code": "not_found", "message": "No such tape."}]
    for text in ("", "x", "VGFwZTo=", "VGFwZTo5OTk5", "Tm9uZTox", "UXVlcnk6MQ==", "QXBpVG9rZW46LTE=", "é" * 50):
        assert world.originator.ask("query($id: ID!) { node(id: $id) { id } }", id=text).data == {"node": None}
