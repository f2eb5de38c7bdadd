"""The base of every mutation: an input, the client's idempotency key, and the person's mistakes as userErrors.

A mutation validates shapes and calls one service; what the service refuses (ApplicationError) is answered as data,
with everything it wrote taken back. Only a role that may not ask gets a top-level error.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any, ClassVar

import graphene
from django.db import transaction
from graphql import GraphQLResolveInfo

from accounts.errors import ApplicationError
from accounts.graphql.context import Context, context_of
from accounts.graphql.errors import RequestError
from accounts.graphql.scalars import CURRENCY, LARGEST_MINOR_UNITS

IDEMPOTENCY_KEY = re.compile(r"[!-~]{8,100}")


class UserError(graphene.ObjectType):
    """What a person can mend: field is the path of the input at fault, code is for programs."""

    field = graphene.String()
    code = graphene.String(required=True)
    message = graphene.String(required=True)


class ServiceMutation(graphene.Mutation):
    """Subclasses give class Input(graphene.InputObjectType), their answer as fields, and `perform`.

    With the same key and the same input a mutation answers the same and acts once; with the same key and another
    input it is refused (idempotency_conflict). A key is 8 to 100 printable ASCII characters.
    """

    class Meta:
        abstract = True

    input_type: ClassVar[type[graphene.InputObjectType] | None] = None
    # True where `perform` reads for long before it writes, and what it calls is atomic and idempotent by itself: alone
    # in its request it runs without the request's transaction, so that it does not keep other writers waiting.
    own_transaction: ClassVar[bool] = False

    @classmethod
    def __init_subclass_with_meta__(cls, **options: Any) -> None:
        arguments: dict[str, Any] = {}
        if cls.input_type is not None:
            arguments["input"] = graphene.Argument(graphene.NonNull(cls.input_type))
        arguments["idempotency_key"] = graphene.String(
            required=True, description="Chosen by the client, 8 to 100 printable ASCII characters."
        )
        options.setdefault("name", f"{cls.__name__}Payload")
        super().__init_subclass_with_meta__(arguments=arguments, **options)

    user_errors = graphene.Field(
        graphene.NonNull(graphene.List(graphene.NonNull(UserError))), description="Empty when it was done."
    )

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        """Call the service; the fields of the answer."""
        raise NotImplementedError

    @classmethod
    def mutate(
        cls,
        root: Any,
        info: GraphQLResolveInfo,
        idempotency_key: str,
        input: dict[str, Any] | None = None,
    ) -> Any:
        """Run `perform` in a transaction of its own inside the request's, or in its service's alone."""
        context = context_of(info)
        context.forget()
        try:
            with nullcontext() if cls.own_transaction else transaction.atomic():
                check_key(idempotency_key)
                return cls(user_errors=[], **cls.perform(context, idempotency_key, **(input or {})))
        except ApplicationError as error:
            if error.code == "forbidden":
                raise RequestError(error.message, code="FORBIDDEN") from None
            field = None if error.field is None else graphql_path(error.field)
            return cls(user_errors=[UserError(field=field, code=error.code, message=error.message)])


def check_key(key: str) -> None:
    """ApplicationError unless `key` is an idempotency key."""
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise ApplicationError(
            "idempotencyKey must be 8 to 100 printable ASCII characters without spaces; a UUID is a good one.",
            code="invalid",
            field="idempotencyKey",
        )


def cents_of(value: dict[str, Any], field: str) -> int:
    """The minor units of a MoneyInput in the market's currency."""
    if value["currency"] != CURRENCY:
        raise ApplicationError(
            f"{field}.currency must be {CURRENCY}; this market has no other.", field=f"{field}.currency"
        )
    cents: int = value["minor_units"]
    if not 0 < cents <= LARGEST_MINOR_UNITS:
        raise ApplicationError(
            f"{field}.minorUnits must be between 1 and {LARGEST_MINOR_UNITS}.", field=f"{field}.minorUnits"
        )
    return cents


def graphql_path(path: str) -> str:
    """A path of Python names as the client wrote it: reserve_spread -> reserveSpread."""
    head, *tail = path.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)
