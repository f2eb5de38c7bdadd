"""Who asks, which rows the viewer may see, and the loaders of this one request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from django.db.models import Model, QuerySet
from graphql import GraphQLResolveInfo

from accounts.graphql.loaders import Loader
from accounts.models import User

L = TypeVar("L", bound=Loader[Any, Any])
M = TypeVar("M", bound=Model)

Via = Literal["session", "bearer"]
Selectors = Mapping[type[Model], Callable[[User], QuerySet[Any]]]


@dataclass
class Context:
    """viewer: the user, with the organisation already read. via: how the request was authenticated.

    selectors: the one selector of each model (config/graphql/visibility.py). Rows are read through it on every way
    in, as a root field, a relation or a node, so no way shows more than another. It is given from the right because
    what the market sees of a pool is decided by the marketplace, which the pool's own app cannot import.
    """

    viewer: User
    role: str | None
    via: Via
    selectors: Selectors
    _loaders: dict[type[Loader[Any, Any]], Loader[Any, Any]] = field(default_factory=dict)

    def rows(self, model: type[M]) -> QuerySet[M]:
        """The rows of `model` that the viewer may see; KeyError for a model without a selector."""
        return self.selectors[model](self.viewer)

    def loader(self, kind: type[L]) -> L:
        """The one instance of `kind` in this request. Call it from a nested resolver, on the event loop."""
        if kind not in self._loaders:
            self._loaders[kind] = kind(self)
        return self._loaders[kind]  # type: ignore[return-value]

    def forget(self) -> None:
        """Drop what the loaders have read: a mutation is about to change it."""
        self._loaders.clear()


def context_of(info: GraphQLResolveInfo) -> Context:
    """The context of the running request."""
    context = info.context
    if not isinstance(context, Context):
        raise TypeError(f"the GraphQL context is a {type(context).__name__}, not a Context")
    return context


def viewer_of(info: GraphQLResolveInfo) -> User:
    """The user who asks."""
    return context_of(info).viewer
