"""Batched reads of runs for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count

from accounts.graphql.loaders import Loader, RowLoader
from runs.models import Chunk, ChunkState, Run


class RunLoader(RowLoader):
    """A run by id."""

    model = Run


class ChunksDoneLoader(Loader[UUID, int]):
    """The number of finished chunks of a run that the viewer has been given already."""

    def read(self, keys: Sequence[UUID]) -> Mapping[UUID, int]:
        done = Chunk.objects.filter(run_id__in=keys, state=ChunkState.DONE).order_by()
        return dict(done.values_list("run_id").annotate(done=Count("pk")))

    def missing(self, key: UUID) -> Any:
        return 0
