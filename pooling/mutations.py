"""The API's verbs of the collateral side; each calls one service."""

from __future__ import annotations

import json
from typing import Any

import graphene

from accounts.errors import ApplicationError
from accounts.graphql.context import Context
from accounts.graphql.mutations import ServiceMutation
from accounts.graphql.nodes import visible_node
from pooling.schema import DealType, PoolType, TapeType, TapeUploadType
from pooling.services import deal_create, pool_create, tape_import, tape_withdraw


class TapeImportInput(graphene.InputObjectType):
    upload_id = graphene.ID(required=True, description="The answer of POST /api/uploads/.")


class TapeWithdrawInput(graphene.InputObjectType):
    tape_id = graphene.ID(required=True)


class PoolCreateInput(graphene.InputObjectType):
    tape_id = graphene.ID(required=True)
    name = graphene.String(required=True)
    as_of = graphene.String(
        default_value="", description='"origination", YYYY-MM-DD, or empty for balances as the tape has them.'
    )
    rules = graphene.String(description="Eligibility rules as a JSON array; unset for the default set.")


class DealCreateInput(graphene.InputObjectType):
    pool_id = graphene.ID(required=True)
    name = graphene.String(required=True)
    spec = graphene.String(description="A DealSpec as JSON; unset for the default template.")
    closing = graphene.Date(description="Closing date of the default template; today if unset.")


class TapeImport(ServiceMutation):
    """Read, check and seal an uploaded tape. Rejected rows are counted by reason, never dropped in silence."""

    input_type = TapeImportInput
    own_transaction = True

    tape = graphene.Field(TapeType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        upload = visible_node(TapeUploadType, context, values["upload_id"], "upload")
        return {"tape": tape_import(user=context.viewer, upload=upload, idempotency_key=key)}


class TapeWithdraw(ServiceMutation):
    """Close the register entries of a tape that no pool uses, so that its loans may be offered again."""

    input_type = TapeWithdrawInput

    tape = graphene.Field(TapeType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        tape = visible_node(TapeType, context, values["tape_id"], "tape")
        return {"tape": tape_withdraw(user=context.viewer, tape=tape, idempotency_key=key)}


class PoolCreate(ServiceMutation):
    """Select the eligible loans of a tape as of a date."""

    input_type = PoolCreateInput
    own_transaction = True

    pool = graphene.Field(PoolType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        pool = pool_create(
            user=context.viewer,
            tape=visible_node(TapeType, context, values["tape_id"], "tape"),
            name=values["name"],
            as_of=values["as_of"] or "",
            rules=rules_of(values.get("rules")),
            idempotency_key=key,
        )
        return {"pool": pool}


class DealCreate(ServiceMutation):
    """A deal over a pool, from a specification or from the default template."""

    input_type = DealCreateInput

    deal = graphene.Field(DealType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        deal = deal_create(
            user=context.viewer,
            pool=visible_node(PoolType, context, values["pool_id"], "pool"),
            name=values["name"],
            spec=values.get("spec"),
            closing=values.get("closing"),
            idempotency_key=key,
        )
        return {"deal": deal}


def rules_of(text: str | None) -> list[Any] | None:
    """The array inside a JSON text; ApplicationError when it is none."""
    if text is None:
        return None
    try:
        rules = json.loads(text)
    except (ValueError, RecursionError):
        raise ApplicationError("rules is no JSON text; give an array of rules.", field="rules") from None
    if not isinstance(rules, list):
        raise ApplicationError("rules must be a JSON array.", field="rules")
    return rules


class Mutation:
    """Mutations of the collateral side."""

    tape_import = TapeImport.Field()
    tape_withdraw = TapeWithdraw.Field()
    pool_create = PoolCreate.Field()
    deal_create = DealCreate.Field()
