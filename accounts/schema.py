"""The API of accounts: who I am, my tokens."""

from __future__ import annotations

from typing import Any

import graphene
from django.db.models import QuerySet
from graphql import GraphQLResolveInfo

from accounts.errors import ApplicationError
from accounts.graphql.context import Context, context_of, viewer_of
from accounts.graphql.errors import RequestError
from accounts.graphql.mutations import ServiceMutation
from accounts.graphql.nodes import Node, NodeType, visible_node
from accounts.models import ApiToken, Organisation, Role, User
from accounts.services import claim, token_issue, token_revoke

RoleEnum = graphene.Enum.from_enum(Role, name="Role")


class OrganisationType(graphene.ObjectType):
    """A party of the market."""

    class Meta:
        name = "Organisation"

    id = graphene.ID(required=True)
    name = graphene.String(required=True)
    role = graphene.NonNull(RoleEnum)


class ApiTokenType(NodeType):
    """A bearer token of mine; its secret was shown once, when it was issued."""

    class Meta:
        name = "ApiToken"
        model = ApiToken
        fields = ("name", "created_at", "expires_at", "revoked_at")


class Viewer(graphene.ObjectType):
    """The user who asks."""

    username = graphene.String(required=True)
    organisation = graphene.Field(OrganisationType)
    role = graphene.Field(RoleEnum)


class TokenIssueInput(graphene.InputObjectType):
    name = graphene.String(required=True, description="What the token is for, at most 80 characters.")


class TokenRevokeInput(graphene.InputObjectType):
    token_id = graphene.ID(required=True)


class TokenIssue(ServiceMutation):
    """A new bearer token of mine. Only a session may issue one, so that a leaked token cannot breed."""

    input_type = TokenIssueInput

    token = graphene.Field(ApiTokenType)
    secret = graphene.String(description="Shown this once; keep it safe.")

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        if context.via != "session" or context.viewer.organisation is None:
            raise RequestError("Log in on the site to issue a token.", code="FORBIDDEN")
        taken = claim(organisation=context.viewer.organisation, key=key, verb="token.issue", params=values)
        if not taken.fresh:
            raise ApplicationError(
                "This key has issued a token already, and its secret is shown only once. Take a new key.",
                code="already_issued",
                field="idempotencyKey",
            )
        token, secret = token_issue(user=context.viewer, name=values["name"])
        taken.settle(token.pk)
        return {"token": token, "secret": secret}


class TokenRevoke(ServiceMutation):
    """End a bearer token of mine now."""

    input_type = TokenRevokeInput

    token = graphene.Field(ApiTokenType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        token = visible_node(ApiTokenType, context, values["token_id"], "token")
        return {"token": token_revoke(token=token, actor=context.viewer)}


class Query:
    """Root fields of accounts."""

    node = Node.Field(description="Any object that has a global id and that you may see.")
    viewer = graphene.Field(Viewer, required=True)
    tokens = graphene.Field(
        graphene.NonNull(graphene.List(graphene.NonNull(ApiTokenType))), description="My tokens, newest first."
    )

    @staticmethod
    def resolve_viewer(root: Any, info: GraphQLResolveInfo) -> User:
        return viewer_of(info)

    @staticmethod
    def resolve_tokens(root: Any, info: GraphQLResolveInfo) -> QuerySet[ApiToken]:
        return context_of(info).rows(ApiToken)[:100]


class Mutation:
    """Mutations of accounts."""

    token_issue = TokenIssue.Field()
    token_revoke = TokenRevoke.Field()


__all__ = ["Mutation", "Organisation", "OrganisationType", "Query", "RoleEnum"]
