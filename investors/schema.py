"""The API of investors: cash, positions, journal lines and mandates of the viewer's own organisation."""

from __future__ import annotations

from typing import Any

import graphene
from django.db.models import QuerySet
from graphql import GraphQLResolveInfo

from accounts.graphql.connections import Connection, connection_field, page
from accounts.graphql.context import Context, context_of, viewer_of
from accounts.graphql.mutations import ServiceMutation, cents_of
from accounts.graphql.nodes import NodeType
from accounts.graphql.scalars import JSON, BigInt, Decimal, Money, MoneyInput, money
from accounts.models import Role
from investors.models import Account, Mandate, Transfer, TransferKind
from investors.selectors import CashPosition, cash_position, organisation_of
from investors.services import mandate_create
from pooling.loaders import DealLoader
from pooling.schema import DealType

TransferKindEnum = graphene.Enum.from_enum(TransferKind, name="TransferKind")


class Direction(graphene.Enum):
    """Which way a journal line goes, seen from the viewer's organisation."""

    IN = "in"
    OUT = "out"


class CashAccount(graphene.ObjectType):
    """Cash to spend, and cash earmarked for bids."""

    available = graphene.NonNull(Money)
    held = graphene.NonNull(Money)
    total = graphene.NonNull(Money)

    @staticmethod
    def resolve_available(root: CashPosition, info: GraphQLResolveInfo) -> Money | None:
        return money(root.available, root.currency)

    @staticmethod
    def resolve_held(root: CashPosition, info: GraphQLResolveInfo) -> Money | None:
        return money(root.held, root.currency)

    @staticmethod
    def resolve_total(root: CashPosition, info: GraphQLResolveInfo) -> Money | None:
        return money(root.total, root.currency)


class PositionType(NodeType):
    """Units of one class that the viewer's organisation holds."""

    class Meta:
        name = "Position"
        model = Account
        fields = ("asset",)

    tranche = graphene.String(required=True)
    original_balance = graphene.NonNull(Money, description="One unit is one cent of original balance.")
    deal = graphene.Field(DealType)

    @staticmethod
    def resolve_tranche(root: Account, info: GraphQLResolveInfo) -> str:
        return root.asset.partition("/")[2]

    @staticmethod
    def resolve_original_balance(root: Account, info: GraphQLResolveInfo) -> Money | None:
        return money(root.available + root.held)

    @staticmethod
    def resolve_deal(root: Account, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealLoader).load(root.deal_id)


class TransferType(NodeType):
    """One line of the journal from or to an account of the viewer's organisation."""

    class Meta:
        name = "Transfer"
        model = Transfer
        fields = ("asset", "memo", "created_at")

    kind = graphene.NonNull(TransferKindEnum)
    direction = graphene.NonNull(Direction)
    amount = graphene.NonNull(BigInt, description="Minor units of the asset.")

    key_field = "id"

    @staticmethod
    def resolve_direction(root: Transfer, info: GraphQLResolveInfo) -> str:
        mine = viewer_of(info).organisation_id
        return "out" if root.debit.owner_id == mine else "in"


class TransferConnection(Connection):
    class Meta:
        node = TransferType


class MandateType(NodeType):
    """What the viewer's organisation may buy."""

    class Meta:
        name = "Mandate"
        model = Mandate
        fields = ("name", "active", "created_at")

    terms = graphene.NonNull(JSON, description="The terms by name; rates are annual fractions, money is cents.")


class MandateTermsInput(graphene.InputObjectType):
    """Limits: every offer and every bid made for this mandate keeps all of them."""

    rating_floor = graphene.String(required=True, description="Worst indicative grade accepted, such as BBB-.")
    wal_min = Decimal(required=True, description="Years.")
    wal_max = Decimal(required=True, description="Years.")
    yield_floor = Decimal(required=True, description="Annual fraction.")
    asset_types = graphene.NonNull(graphene.List(graphene.NonNull(graphene.String)))
    budget = graphene.NonNull(MoneyInput)
    ticket = graphene.NonNull(MoneyInput, description="Every amount is a multiple of it.")
    max_share = Decimal(required=True, description="Largest share of one class, a fraction.")


class MandateCreateInput(graphene.InputObjectType):
    name = graphene.String(required=True)
    terms = graphene.NonNull(MandateTermsInput)


class MandateCreate(ServiceMutation):
    """A new mandate of the viewer's organisation."""

    input_type = MandateCreateInput

    mandate = graphene.Field(MandateType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        given = values["terms"]
        terms = {
            "name": values["name"],
            "rating_floor": given["rating_floor"],
            "asset_types": list(given["asset_types"]),
            "budget_cents": cents_of(given["budget"], "terms.budget"),
            "ticket_cents": cents_of(given["ticket"], "terms.ticket"),
            **{name: float(given[name]) for name in ("wal_min", "wal_max", "yield_floor", "max_share")},
        }
        mandate = mandate_create(user=context.viewer, name=values["name"], terms=terms, idempotency_key=key)
        return {"mandate": mandate}


class Query:
    """Root fields of investors."""

    cash_account = graphene.Field(CashAccount, description="Cash of my organisation in the market's currency.")
    positions = graphene.Field(graphene.NonNull(graphene.List(graphene.NonNull(PositionType))))
    mandates = graphene.Field(graphene.NonNull(graphene.List(graphene.NonNull(MandateType))))
    transfers = connection_field(TransferConnection, description="Journal lines of my accounts, newest first.")

    @staticmethod
    def resolve_cash_account(root: Any, info: GraphQLResolveInfo) -> CashPosition | None:
        organisation = organisation_of(viewer_of(info), Role.INVESTOR, Role.ORIGINATOR)
        return None if organisation is None else cash_position(organisation)

    @staticmethod
    def resolve_positions(root: Any, info: GraphQLResolveInfo) -> QuerySet[Account]:
        return context_of(info).rows(Account)

    @staticmethod
    def resolve_mandates(root: Any, info: GraphQLResolveInfo) -> QuerySet[Mandate]:
        return context_of(info).rows(Mandate)

    @staticmethod
    def resolve_transfers(root: Any, info: GraphQLResolveInfo, **paging: Any) -> Connection:
        return page(TransferConnection, context_of(info).rows(Transfer), ("-seq",), **paging)


class Mutation:
    """Mutations of investors."""

    mandate_create = MandateCreate.Field()
