"""Relay ids: base64 of "Type:key". An id opens nothing by itself; the rows come through the model's selector."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from graphene import relay
from graphene_django import DjangoObjectType
from graphene_django.converter import convert_django_field
from graphql import GraphQLResolveInfo
from graphql_relay import from_global_id

from accounts.errors import NotFound
from accounts.graphql.context import Context, context_of
from accounts.graphql.scalars import JSON, LARGEST_INTEGER, BigInt, Decimal


class Node(relay.Node):
    """An object with an id of its own, found again by node(id:)."""

    @classmethod
    def node_resolver(cls, only_type: Any, root: Any, info: GraphQLResolveInfo, id: str) -> models.Model | None:
        """The visible row of a global id, else None: unknown, ill-formed and foreign ids read alike."""
        kind, key = split_id(id)
        found = info.schema.get_type(kind)
        graphene_type = getattr(found, "graphene_type", None)
        if graphene_type is None or not issubclass(graphene_type, NodeType):
            return None
        row: models.Model | None = graphene_type.visible_row(context_of(info), key)
        return row


@convert_django_field.register(models.DecimalField)
def decimal_column(column: models.DecimalField[Any, Any], registry: Any = None) -> Decimal:
    """A decimal column is our own exact scalar, never graphene's."""
    return Decimal(description=column.help_text or None, required=not column.null)


@convert_django_field.register(models.BigIntegerField)
def big_integer_column(column: models.BigIntegerField[Any, Any], registry: Any = None) -> BigInt:
    """A 64-bit column goes out as a string."""
    return BigInt(description=column.help_text or None, required=not column.null)


@convert_django_field.register(models.JSONField)
def json_column(column: models.JSONField, registry: Any = None) -> JSON:
    """A JSON column whose shape is documented elsewhere."""
    return JSON(description=column.help_text or None, required=not column.null)


class NodeType(DjangoObjectType):
    """Base of the types that node(id:) finds: named columns of a model that has a selector.

    Meta.fields names plain columns only; every relation is a field with a loader.
    """

    class Meta:
        abstract = True

    # The column inside the global id; a serial number that counts everybody's rows stays inside.
    key_field: ClassVar[str] = "pk"

    @classmethod
    def __init_subclass_with_meta__(cls, **options: Any) -> None:
        super().__init_subclass_with_meta__(
            interfaces=(Node,), convert_choices_to_enum=False, use_connection=False, **options
        )

    @classmethod
    def visible_row(cls, context: Context, key: str) -> Any:
        """The row with this key that the viewer may see, else None."""
        rows = context.rows(cls._meta.model)
        primary = cls._meta.model._meta.pk
        name = primary.name if cls.key_field == "pk" else cls.key_field
        try:
            value = cls._meta.model._meta.get_field(name).to_python(key)
        except (ValidationError, ValueError):
            return None
        if isinstance(value, int) and not 0 <= value <= LARGEST_INTEGER:
            return None
        return rows.filter(**{name: value}).first()

    def resolve_id(self, info: GraphQLResolveInfo) -> Any:
        """The key inside the global id of a row (graphene calls this with the row as self)."""
        kind: Any = info.parent_type  # graphene's type holds the class that made it
        return getattr(self, kind.graphene_type.key_field)

    @classmethod
    def get_node(cls, info: GraphQLResolveInfo, id: str) -> Any:
        """graphene-django's own way to a row would see all of them."""
        return cls.visible_row(context_of(info), id)


def split_id(global_id: str) -> tuple[str, str]:
    """(type, key) of a global id; ("", "") when it is none."""
    try:
        resolved = from_global_id(global_id)
    except (ValueError, TypeError):
        return "", ""
    return resolved.type, resolved.id


def visible_node(kind: type[NodeType], context: Context, global_id: str, what: str) -> Any:
    """The row of a global id of `kind` that the viewer may see; NotFound otherwise."""
    name, key = split_id(global_id)
    row = kind.visible_row(context, key) if name == kind._meta.name else None
    if row is None:
        raise NotFound(what)
    return row
