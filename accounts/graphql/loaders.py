"""The base of every app's loaders.py: relations are read in batches, through selectors, on the request's thread.

Resolvers run on an event loop that has no database: Django refuses a lazy relation there with
SynchronousOnlyOperation, so a relation without a loader cannot ship. `read` is called by
sync_to_async(thread_sensitive=True) and therefore shares the request's connection and transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from aiodataloader import DataLoader
from asgiref.sync import sync_to_async
from django.db.models import F, Model, QuerySet, Window
from django.db.models.functions import RowNumber

if TYPE_CHECKING:
    from accounts.graphql.context import Context

K = TypeVar("K")
V = TypeVar("V")

BATCH_SIZE = 1000


class Loader(DataLoader, Generic[K, V]):
    """One class per access path, one instance per request (Context.loader). Subclasses give `read`."""

    max_batch_size = BATCH_SIZE

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context

    def read(self, keys: Sequence[K]) -> Mapping[K, V]:
        """The values of `keys`; a key without one is left out and loads as `missing`."""
        raise NotImplementedError

    def missing(self, key: K) -> Any:
        """What a key without a value loads as."""
        return None

    async def batch_load_fn(self, keys: list[K]) -> list[Any]:
        """Called by aiodataloader with the keys of one tick."""
        found = await sync_to_async(self.read, thread_sensitive=True)(keys)
        return [found[key] if key in found else self.missing(key) for key in keys]


class RowLoader(Loader[Any, Any]):
    """One row of `model` by `field`, out of those this viewer may see; None for any other."""

    model: ClassVar[type[Model]]
    field: ClassVar[str] = "pk"

    def rows(self) -> QuerySet[Any]:
        """The visible rows, in the order that lists show them."""
        return self.context.rows(self.model)

    def read(self, keys: Sequence[Any]) -> Mapping[Any, Any]:
        rows = self.rows().filter(**{f"{self.field}__in": keys})
        return {getattr(row, self.field): row for row in rows}


class ChildrenLoader(RowLoader):
    """The rows whose `field` is the key, as a list in the order of `rows()`."""

    def read(self, keys: Sequence[Any]) -> Mapping[Any, Any]:
        return grouped(self.rows().filter(**{f"{self.field}__in": keys}), self.field)

    def missing(self, key: Any) -> Any:
        return []


class FirstChildrenLoader(ChildrenLoader):
    """The first n children of each parent by primary key; keys are pairs (parent, n).

    One window query for all parents, instead of one sliced query each.
    """

    def read(self, keys: Sequence[tuple[Any, int]]) -> Mapping[Any, Any]:
        largest = max(count for _, count in keys)
        place = Window(RowNumber(), partition_by=[F(self.field)], order_by=F("pk").asc())
        rows = self.rows().filter(**{f"{self.field}__in": {parent for parent, _ in keys}})
        ranked = rows.annotate(place=place).filter(place__lte=largest).order_by(self.field, "pk")
        children = grouped(ranked, self.field)
        return {(parent, count): children.get(parent, [])[:count] for parent, count in keys}


def grouped(rows: Iterable[Model], field: str) -> dict[Any, list[Model]]:
    """`rows` by the value of `field`, each group in the order given."""
    groups: dict[Any, list[Model]] = {}
    for row in rows:
        groups.setdefault(getattr(row, field), []).append(row)
    return groups
