"""Binds the built schema to this house: the policy table on every field, root resolvers on the request's thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from graphql import GraphQLField, GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema

from accounts.graphql.context import context_of
from accounts.graphql.errors import RequestError

Resolver = Callable[..., Any]
Policy = Mapping[str, frozenset[str]]


def bind(schema: GraphQLSchema, policy: Policy) -> None:
    """Wrap every resolver of `schema` in place, once.

    Root resolvers run by sync_to_async on the thread of the request, and answer lists instead of lazy QuerySets.
    Every field asks the policy table first: a role that is not named there, and a field that is not, get FORBIDDEN.
    """
    for kind, name, field in fields_of(schema):
        path = f"{kind.name}.{name}"
        resolver = guarded(path, policy.get(path, frozenset()), field.resolve or _attribute)
        # The guard runs inside: raised at once, its refusal would leave the sibling fields' coroutines unawaited.
        root = kind in (schema.query_type, schema.mutation_type)
        field.resolve = on_request_thread(resolver) if root else resolver


def fields_of(schema: GraphQLSchema) -> Iterator[tuple[GraphQLObjectType, str, GraphQLField]]:
    """(type, field name, field) of every object type but the introspection's."""
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                yield kind, name, field


def _attribute(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    return getattr(root, info.field_name, None)


def on_request_thread(resolver: Resolver) -> Resolver:
    """`resolver` awaited on the thread that holds the request's database connection."""

    def run(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        value = resolver(root, info, **arguments)
        return list(value) if isinstance(value, QuerySet) else value

    return sync_to_async(run, thread_sensitive=True)


def guarded(path: str, roles: frozenset[str], resolver: Resolver) -> Resolver:
    """`resolver` for `roles` only."""

    @functools.wraps(resolver)
    def check(root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        if context_of(info).role not in roles:
            raise RequestError(f"{path} is not for your role.", code="FORBIDDEN")
        return resolver(root, info, **arguments)

    return check


def unplaced(schema: GraphQLSchema, policy: Policy) -> tuple[list[str], list[str]]:
    """(fields without a policy, policies without a field): both must be empty."""
    built = {f"{kind.name}.{name}" for kind, name, _ in fields_of(schema)}
    return sorted(built - set(policy)), sorted(set(policy) - built)
