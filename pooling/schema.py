"""The API of the collateral side: uploads, tapes, pools with their tables, loans one by one, deals and versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from accounts.graphql.connections import Connection, connection_field, page, page_size
from accounts.graphql.context import context_of
from accounts.graphql.errors import bad_input
from accounts.graphql.nodes import NodeType, visible_node
from accounts.graphql.scalars import JSON, Decimal, Money, money
from accounts.loaders import OrganisationLoader
from accounts.schema import OrganisationType
from pooling.loaders import (
    DealOfPoolLoader,
    LoansOfPoolLoader,
    PoolLoader,
    TapeLoader,
    TapeRootLoader,
    UploadLoader,
    VersionsOfDealLoader,
)
from pooling.models import Deal, DealVersion, Loan, Pool, TapeUpload, TapeVersion
from pooling.selectors import LoanFilters, loans_filtered

LOANS_SHOWN = 5
HIGHEST_RATE = 10


def listed(kind: Any) -> graphene.NonNull:
    """[kind!]!"""
    return graphene.NonNull(graphene.List(graphene.NonNull(kind)))


class Count(graphene.ObjectType):
    """How many, for one reason."""

    reason = graphene.String(required=True)
    count = graphene.Int(required=True)


def counts(reasons: Mapping[str, int]) -> list[Count]:
    """A JSON object of counts as rows, most frequent first."""
    return [Count(reason=name, count=n) for name, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]


class TapeUploadType(NodeType):
    """A file as it came in by POST /api/uploads/."""

    class Meta:
        name = "TapeUpload"
        model = TapeUpload
        fields = ("filename", "sha256", "size", "created_at")


class TapeType(NodeType):
    """An immutable reading of a tape: rows = accepted + rejected, under one Merkle root."""

    class Meta:
        name = "Tape"
        model = TapeVersion
        fields = ("name", "root", "rows", "accepted", "rejected", "created_at")

    upload = graphene.Field(TapeUploadType)
    reasons = graphene.Field(listed(Count), description="Why rows were rejected; one row may have several reasons.")
    quality = graphene.NonNull(JSON, description="Mapping of columns, units found, warnings.")

    @staticmethod
    def resolve_upload(root: TapeVersion, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(UploadLoader).load(root.upload_id)

    @staticmethod
    def resolve_reasons(root: TapeVersion, info: GraphQLResolveInfo) -> list[Count]:
        return counts(root.reasons)


class LoanType(NodeType):
    """One loan, as an investor may see it. Rates are annual fractions, terms and ages months."""

    class Meta:
        name = "Loan"
        model = Loan
        fields = ("loan_id", "rate", "term", "grade", "score", "state", "purpose", "income_band", "issue_month",
                  "age", "remaining_term", "is_open", "fingerprint")  # fmt: skip

    balance = graphene.NonNull(Money, description="As the tape has it.")
    cutoff_balance = graphene.Field(Money, description="At the pool's cut-off.")

    @staticmethod
    def resolve_balance(root: Loan, info: GraphQLResolveInfo) -> Money | None:
        return money(root.balance)

    @staticmethod
    def resolve_cutoff_balance(root: Loan, info: GraphQLResolveInfo) -> Money | None:
        return money(root.cutoff_balance)


class Stratum(graphene.ObjectType):
    """One row of a stratification."""

    name = graphene.String(required=True)
    count = graphene.Int(required=True)
    balance = graphene.NonNull(Money)
    share = Decimal(required=True, description="Fraction of the pool's balance.")
    wac = Decimal(required=True, description="Weighted average coupon, annual fraction.")
    wam = Decimal(required=True, description="Weighted average remaining term, months.")

    @staticmethod
    def resolve_balance(root: Mapping[str, Any], info: GraphQLResolveInfo) -> Money | None:
        return money(root["balance_cents"])


class Stratification(graphene.ObjectType):
    """A pool by one dimension; the rows add up to the total."""

    dimension = graphene.String(required=True)
    strata = listed(Stratum)
    total = graphene.NonNull(Stratum)


class Concentration(graphene.ObjectType):
    """The largest holder of one field."""

    field = graphene.String(required=True)
    name = graphene.String(required=True)
    share = Decimal(required=True, description="Fraction of the pool's balance.")
    names = graphene.Int(required=True, description="How many different ones there are.")
    balance = graphene.NonNull(Money)

    @staticmethod
    def resolve_balance(root: Mapping[str, Any], info: GraphQLResolveInfo) -> Money | None:
        return money(root["balance_cents"])


class PoolType(NodeType):
    """The eligible loans of one tape as of one date."""

    class Meta:
        name = "Pool"
        model = Pool
        fields = ("name", "as_of", "label", "synthetic", "loan_count", "excluded", "wac", "wam_months",
                  "realised_loss", "loans_digest", "created_at")  # fmt: skip

    originator = graphene.NonNull(OrganisationType)
    tape = graphene.Field(TapeType, description="For its originator only.")
    tape_root = graphene.String(required=True, description="Merkle root of the tape; a listing's manifest names it.")
    balance = graphene.NonNull(Money)
    rules = graphene.NonNull(JSON, description="Eligibility as data.")
    exclusions = listed(Count)
    stratifications = listed(Stratification)
    concentrations = listed(Concentration)
    deal = graphene.Field(lambda: DealType)
    loans = graphene.Field(
        listed(LoanType),
        first=graphene.Int(default_value=LOANS_SHOWN),
        description="The first loans, at most 100; the root field loans pages through all of them.",
    )

    @staticmethod
    def resolve_originator(root: Pool, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(OrganisationLoader).load(root.organisation_id)

    @staticmethod
    def resolve_tape(root: Pool, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(TapeLoader).load(root.tape_id)

    @staticmethod
    def resolve_tape_root(root: Pool, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(TapeRootLoader).load(root.pk)

    @staticmethod
    def resolve_balance(root: Pool, info: GraphQLResolveInfo) -> Money | None:
        return money(root.balance)

    @staticmethod
    def resolve_exclusions(root: Pool, info: GraphQLResolveInfo) -> list[Count]:
        return counts(root.exclusions)

    @staticmethod
    def resolve_stratifications(root: Pool, info: GraphQLResolveInfo) -> list[Any]:
        return list(root.stratifications.get("tables", ()))

    @staticmethod
    def resolve_concentrations(root: Pool, info: GraphQLResolveInfo) -> list[Any]:
        return list(root.stratifications.get("concentrations", ()))

    @staticmethod
    def resolve_deal(root: Pool, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealOfPoolLoader).load(root.pk)

    @staticmethod
    def resolve_loans(root: Pool, info: GraphQLResolveInfo, first: int) -> Any:
        return context_of(info).loader(LoansOfPoolLoader).load((root.pk, page_size("first", first)))


class DealVersionType(NodeType):
    """An immutable deal specification; the hash is over its canonical JSON."""

    class Meta:
        name = "DealVersion"
        model = DealVersion
        fields = ("number", "spec_hash", "created_at")

    spec = graphene.NonNull(JSON, description="The DealSpec.")


class DealType(NodeType):
    """A pool and, by version, its capital structure and waterfall."""

    class Meta:
        name = "Deal"
        model = Deal
        fields = ("name", "created_at")

    originator = graphene.NonNull(OrganisationType)
    pool = graphene.NonNull(PoolType)
    versions = graphene.Field(
        listed(DealVersionType), description="Oldest first; of a listed deal the frozen one and its template."
    )

    @staticmethod
    def resolve_originator(root: Deal, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(OrganisationLoader).load(root.organisation_id)

    @staticmethod
    def resolve_pool(root: Deal, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(PoolLoader).load(root.pool_id)

    @staticmethod
    def resolve_versions(root: Deal, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(VersionsOfDealLoader).load(root.pk)


class TapeConnection(Connection):
    class Meta:
        node = TapeType


class PoolConnection(Connection):
    class Meta:
        node = PoolType


class DealConnection(Connection):
    class Meta:
        node = DealType


class LoanConnection(Connection):
    class Meta:
        node = LoanType


class LoanFilterInput(graphene.InputObjectType):
    """All that are given must hold."""

    grade = graphene.String()
    state = graphene.String()
    purpose = graphene.String()
    term = graphene.Int(description="Months.")
    rate_min = Decimal(description="Annual fraction, included.")
    rate_max = Decimal(description="Annual fraction, included.")


class Query:
    """Root fields of the collateral side."""

    tapes = connection_field(TapeConnection, description="Tapes of my organisation, newest first.")
    pools = connection_field(PoolConnection, description="My pools, or those of listed deals; newest first.")
    deals = connection_field(DealConnection, description="My deals, or those listed; newest first.")
    loans = connection_field(
        LoanConnection,
        description="The loans of one pool: asset-level disclosure.",
        pool_id=graphene.ID(required=True),
        filter=graphene.Argument(LoanFilterInput),
    )

    @staticmethod
    def resolve_tapes(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(TapeConnection, context_of(info).rows(TapeVersion), ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_pools(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(PoolConnection, context_of(info).rows(Pool), ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_deals(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(DealConnection, context_of(info).rows(Deal), ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_loans(
        root: Any, info: GraphQLResolveInfo, pool_id: str, filter: Mapping[str, Any] | None = None, **paging: Any
    ) -> Connection:
        context = context_of(info)
        pool = visible_node(PoolType, context, pool_id, "pool")
        filters = checked_filters(filter or {})
        rows = loans_filtered(context.rows(Loan).filter(pool=pool), filters)
        return page(LoanConnection, rows, ("id",), **paging)


def checked_filters(given: Mapping[str, Any]) -> LoanFilters:
    """The filters as the selector takes them; RequestError for figures no loan can have."""
    for name, argument in (("rate_min", "rateMin"), ("rate_max", "rateMax")):
        rate = given.get(name)
        if rate is not None and not 0 <= rate <= HIGHEST_RATE:
            raise bad_input(f"filter.{argument}", f"{rate} is not between 0 and {HIGHEST_RATE} as an annual fraction.")
    if given.get("term") is not None and not 0 <= given["term"] <= 1_000:
        raise bad_input("filter.term", f"{given['term']} is not between 0 and 1000 months.")
    return LoanFilters(**given)  # type: ignore[typeddict-item]
