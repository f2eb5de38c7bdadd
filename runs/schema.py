"""The API of runs: how far a computation is."""

from __future__ import annotations

import graphene
from graphql import GraphQLResolveInfo

from accounts.graphql.context import context_of
from accounts.graphql.nodes import NodeType
from runs.loaders import ChunksDoneLoader
from runs.models import Run, RunStatus

RunStatusEnum = graphene.Enum.from_enum(RunStatus, name="RunStatus")


class RunProgress(graphene.ObjectType):
    """Parts finished, of how many."""

    done = graphene.Int(required=True)
    total = graphene.Int(required=True)


class RunType(NodeType):
    """A computation of my organisation, cut into parts that any worker may do."""

    class Meta:
        name = "Run"
        model = Run
        fields = ("kind", "error", "result_digest", "created_at", "finished_at")

    status = graphene.NonNull(RunStatusEnum)
    progress = graphene.NonNull(RunProgress)

    @staticmethod
    async def resolve_progress(root: Run, info: GraphQLResolveInfo) -> RunProgress:
        done = await context_of(info).loader(ChunksDoneLoader).load(root.pk)
        return RunProgress(done=done, total=root.chunk_count)
