"""Keyset pages: a cursor is the sort key of a row, signed, so that rows neither repeat nor vanish while data move.

Offsets are not used anywhere. A page holds at most PAGE_LIMIT rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import graphene
from asgiref.sync import sync_to_async
from django.core import signing
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from graphene import relay
from graphql import GraphQLResolveInfo

from accounts.graphql.errors import bad_input

PAGE_DEFAULT = 20
PAGE_LIMIT = 100
CURSOR_SALT = "glasspool.cursor"
CURSOR_LENGTH_LIMIT = 500


class Connection(relay.Connection):
    """A page of rows and the way to the next one."""

    class Meta:
        abstract = True

    total_count = graphene.Int(required=True, description="Rows of all pages together, as of now.")

    @classmethod
    def __init_subclass_with_meta__(cls, **options: Any) -> None:
        super().__init_subclass_with_meta__(strict_types=True, **options)

    async def resolve_total_count(self, info: GraphQLResolveInfo) -> int:
        """Counted only when asked for."""
        count: int = await sync_to_async(self.rows.count, thread_sensitive=True)()
        return count


def connection_field(kind: type[Connection], *, description: str, **arguments: Any) -> graphene.Field:
    """A root field that answers with `page(...)`."""
    return graphene.Field(
        graphene.NonNull(kind),
        first=graphene.Int(description=f"Rows from the start, at most {PAGE_LIMIT}; {PAGE_DEFAULT} if unset."),
        after=graphene.String(description="endCursor of the page before."),
        last=graphene.Int(description=f"Rows from the end, at most {PAGE_LIMIT}."),
        before=graphene.String(description="startCursor of the page after."),
        description=description,
        **arguments,
    )


def page(
    kind: type[Connection],
    rows: QuerySet[Any],
    order: Sequence[str],
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> Connection:
    """One page of `rows` by `order`: names of columns that are never null, "-" for descending, the last unique.

    Raises RequestError for a page size out of range and for a cursor that is not of this list and order.
    """
    backward = last is not None
    if first is not None and backward:
        raise bad_input("last", "give first or last, not both.")
    limit = page_size("last" if backward else "first", last if backward else first)
    scope = f"{kind._meta.name}:{','.join(order)}"
    narrowed = rows
    if after is not None:
        narrowed = narrowed.filter(beyond(rows, order, read_cursor("after", after, scope, rows, order)))
    if before is not None:
        bound = read_cursor("before", before, scope, rows, order)
        narrowed = narrowed.filter(beyond(rows, flipped(order), bound))
    found = list(narrowed.order_by(*(flipped(order) if backward else order))[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    if backward:
        found.reverse()
    edges = [kind.Edge(node=row, cursor=make_cursor(row, scope, order)) for row in found]
    info = relay.PageInfo(
        has_next_page=before is not None if backward else more,
        has_previous_page=more if backward else after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    connection: Connection = kind(edges=edges, page_info=info)
    connection.rows = rows
    return connection


def page_size(argument: str, value: int | None) -> int:
    """The number of rows asked for; RequestError unless it is 1 to PAGE_LIMIT."""
    if value is None:
        return PAGE_DEFAULT
    if not 1 <= value <= PAGE_LIMIT:
        raise bad_input(argument, f"{value} is not between 1 and {PAGE_LIMIT}.")
    return value


def flipped(order: Sequence[str]) -> list[str]:
    """The opposite order."""
    return [name[1:] if name.startswith("-") else f"-{name}" for name in order]


def beyond(rows: QuerySet[Any], order: Sequence[str], values: Sequence[Any]) -> Q:
    """The rows that come strictly after the sort key `values` in `order`."""
    condition, equal = Q(), Q()
    for name, value in zip(order, values, strict=True):
        column, comparison = (name[1:], "lt") if name.startswith("-") else (name, "gt")
        condition |= equal & Q(**{f"{column}__{comparison}": value})
        equal &= Q(**{column: value})
    return condition


def make_cursor(row: Any, scope: str, order: Sequence[str]) -> str:
    """The signed sort key of `row`."""
    columns = (row._meta.get_field(name.lstrip("-")) for name in order)
    return signer(scope).sign_object([column.value_to_string(row) for column in columns])


def read_cursor(argument: str, cursor: str, scope: str, rows: QuerySet[Any], order: Sequence[str]) -> list[Any]:
    """The sort key inside `cursor`; RequestError unless this server made it for this list and order."""
    try:
        if len(cursor) > CURSOR_LENGTH_LIMIT:
            raise signing.BadSignature("too long")
        texts = signer(scope).unsign_object(cursor)
        columns = (rows.model._meta.get_field(name.lstrip("-")) for name in order)
        return [column.to_python(text) for column, text in zip(columns, texts, strict=True)]
    except (signing.BadSignature, ValidationError, ValueError, TypeError):
        raise bad_input(argument, "this is no cursor of this list; take one from pageInfo.") from None


def signer(scope: str) -> signing.Signer:
    """A signer whose cursors are good for one list in one order only."""
    return signing.Signer(salt=f"{CURSOR_SALT}.{scope}")
