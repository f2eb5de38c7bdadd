"""The API of prices: per class, with the date of the market snapshot behind each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from accounts.graphql.connections import Connection, connection_field, page
from accounts.graphql.context import context_of
from accounts.graphql.nodes import NodeType, visible_node
from accounts.graphql.scalars import JSON, Decimal
from pooling.loaders import DealVersionLoader
from pooling.schema import DealType, DealVersionType, listed
from pricing.loaders import SnapshotLoader
from pricing.models import MarketSnapshotVersion, PriceReport
from rating.loaders import RatingReportLoader
from rating.schema import RatingReportType


class TranchePriceType(graphene.ObjectType):
    """The price of one class per 100 of balance; null with a reason where there is none."""

    class Meta:
        name = "TranchePrice"

    name = graphene.String(required=True)
    price = Decimal(description="Per 100 of balance.")
    yield_ = Decimal(name="yield", description="Bond-equivalent, annual fraction.")
    spread_bp = Decimal(description="Basis points over the curve.")
    wal_years = Decimal()
    modified_duration = Decimal(description="Years.")
    guide_ticks = graphene.Int(description="The yield in ticks of 0.001 %.")

    @staticmethod
    def resolve_yield_(root: Mapping[str, Any], info: GraphQLResolveInfo) -> Any:
        return root["yield"]


class MarketSnapshotType(graphene.ObjectType):
    """The dated market figures behind a price: curve, spread grid, stated assumptions, sources."""

    class Meta:
        name = "MarketSnapshot"

    digest = graphene.String(required=True, description="SHA-256 of the payload as canonical JSON.")
    as_of = graphene.Date(required=True)
    payload = graphene.NonNull(JSON, description="Every figure, with its source.")

    @staticmethod
    def resolve_payload(root: MarketSnapshotVersion, info: GraphQLResolveInfo) -> Any:
        # It is kept as its canonical text, which is what the digest is over.
        return json.loads(root.payload) if isinstance(root.payload, str) else root.payload


class PriceReportType(NodeType):
    """Prices of the classes of one rated deal version."""

    class Meta:
        name = "PriceReport"
        model = PriceReport
        fields = ("created_at",)

    deal_version = graphene.NonNull(DealVersionType)
    rating_report = graphene.Field(RatingReportType)
    snapshot = graphene.NonNull(MarketSnapshotType)
    as_of = graphene.String(required=True, description="Date of the market snapshot.")
    tranches = listed(TranchePriceType)
    residual = JSON(description="The residual certificate, valued on the scenarios and on the base case.")
    assumptions = graphene.NonNull(JSON)
    views = JSON(description="Three views of every price, their reconciliation, loans by grade and term, conservation.")

    @staticmethod
    def resolve_deal_version(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealVersionLoader).load(root.deal_version_id)

    @staticmethod
    def resolve_rating_report(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(RatingReportLoader).load(root.rating_report_id)

    @staticmethod
    def resolve_snapshot(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(SnapshotLoader).load(root.snapshot_id)

    @staticmethod
    def resolve_as_of(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return root.result["as_of"]

    @staticmethod
    def resolve_tranches(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return root.result["tranches"]

    @staticmethod
    def resolve_residual(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return root.result.get("residual")

    @staticmethod
    def resolve_assumptions(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return root.result.get("assumptions", {})

    @staticmethod
    def resolve_views(root: PriceReport, info: GraphQLResolveInfo) -> Any:
        return root.result.get("views")


class PriceReportConnection(Connection):
    class Meta:
        node = PriceReportType


class Query:
    """Root fields of prices."""

    price_reports = connection_field(
        PriceReportConnection,
        description="Reports on my deals, or the frozen ones of listed deals; newest first.",
        deal_id=graphene.ID(),
    )

    @staticmethod
    def resolve_price_reports(
        root: Any, info: GraphQLResolveInfo, deal_id: str | None = None, **paging: Any
    ) -> Connection:
        context = context_of(info)
        rows = context.rows(PriceReport)
        if deal_id is not None:
            rows = rows.filter(deal_version__deal=visible_node(DealType, context, deal_id, "deal"))
        return page(PriceReportConnection, rows, ("-created_at", "id"), **paging)
