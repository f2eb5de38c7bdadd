"""The root schema: every app's queries and mutations, bound to the policy table."""

from __future__ import annotations

import graphene

from accounts import schema as accounts
from config.graphql.enforcement import bind
from config.graphql.policy import POLICY
from investors import schema as investors
from marketplace import mutations as marketplace_verbs
from marketplace import schema as marketplace
from pooling import mutations as pooling_verbs
from pooling import schema as pooling
from pricing import schema as pricing
from rating import mutations as rating_verbs
from rating import schema as rating


class Query(
    accounts.Query,
    pooling.Query,
    rating.Query,
    pricing.Query,
    investors.Query,
    marketplace.Query,
    graphene.ObjectType,
):
    """What may be read. Every list shows only what your role and organisation may see."""


class Mutation(
    accounts.Mutation,
    pooling_verbs.Mutation,
    rating_verbs.Mutation,
    investors.Mutation,
    marketplace_verbs.Mutation,
    graphene.ObjectType,
):
    """What may be done. Each takes an idempotencyKey chosen by the client; mistakes come back as userErrors."""


schema = graphene.Schema(query=Query, mutation=Mutation)
bind(schema.graphql_schema, POLICY)
