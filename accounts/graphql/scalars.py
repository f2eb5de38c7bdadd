"""Scalars of our own: exact decimals and large integers as strings, money in minor units, JSON going out.

graphene's Decimal accepts NaN, sNaN and 1e999999; this one accepts what a column can hold and nothing else.
"""

from __future__ import annotations

import decimal
import math
import re
from typing import Any

import graphene
from graphql import FloatValueNode, GraphQLError, IntValueNode, StringValueNode, ValueNode

DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,10})?")
INTEGER = re.compile(r"-?[0-9]{1,19}")
LARGEST_INTEGER = 2**63 - 1
LARGEST_MINOR_UNITS = 10**15
CURRENCY = "USD"


def decimal_from(text: str) -> decimal.Decimal:
    """A finite decimal of at most 15 digits before and 10 after the point, without exponent."""
    if not DECIMAL.fullmatch(text):
        raise GraphQLError('Give a decimal such as "0.0725": up to 15 digits, a point, up to 10 digits.')
    return decimal.Decimal(text)


def integer_from(text: str) -> int:
    """An integer of 64 bits."""
    if not INTEGER.fullmatch(text) or abs(int(text)) > LARGEST_INTEGER:
        raise GraphQLError('Give a whole number of at most 64 bits, such as "2500000".')
    return int(text)


def literal_text(node: ValueNode, kinds: tuple[type[Any], ...], wanted: str) -> str:
    """The text of a literal of one of `kinds`."""
    if not isinstance(node, kinds):
        raise GraphQLError(f"Give {wanted}.")
    text: str = node.value
    return text


class Decimal(graphene.Scalar):
    """An exact decimal as a string, never NaN or infinite: at most 15 digits before and 10 after the point."""

    @staticmethod
    def serialize(value: Any) -> str:
        """A float goes out by its shortest exact text, a Decimal as it is, both without exponent."""
        if isinstance(value, float):
            value = decimal.Decimal(repr(value))
        number = decimal.Decimal(value)
        if not number.is_finite():
            raise ValueError("a decimal of the API must be finite")
        return format(number, "f")

    @staticmethod
    def parse_value(value: Any) -> decimal.Decimal:
        """From a JSON variable: a string or a number."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise GraphQLError("Give a decimal as a string.")
        if isinstance(value, float):
            return decimal_from(format(decimal.Decimal(repr(value)), "f"))
        return decimal_from(str(value) if isinstance(value, int) else value)

    @staticmethod
    def parse_literal(node: ValueNode, _variables: Any = None) -> decimal.Decimal:
        """From the text of the query."""
        return decimal_from(
            literal_text(node, (StringValueNode, IntValueNode, FloatValueNode), "a decimal as a string")
        )


class BigInt(graphene.Scalar):
    """A whole number of up to 64 bits as a string, so that no JSON reader rounds it."""

    @staticmethod
    def serialize(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("a BigInt of the API must be an int")
        return str(value)

    @staticmethod
    def parse_value(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise GraphQLError("Give a whole number as a string.")
        return integer_from(str(value) if isinstance(value, int) else value)

    @staticmethod
    def parse_literal(node: ValueNode, _variables: Any = None) -> int:
        return integer_from(literal_text(node, (StringValueNode, IntValueNode), "a whole number as a string"))


class JSON(graphene.Scalar):
    """A JSON value whose shape is documented elsewhere (a deal specification, a manifest). Output only."""

    @staticmethod
    def serialize(value: Any) -> Any:
        return finite(value)

    @staticmethod
    def parse_value(value: Any) -> Any:
        raise GraphQLError("JSON is an output type; give a String.")

    @staticmethod
    def parse_literal(node: ValueNode, _variables: Any = None) -> Any:
        raise GraphQLError("JSON is an output type; give a String.")


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity as null: neither is JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


class Money(graphene.ObjectType):
    """An amount in minor units (cents) of a currency."""

    minor_units = graphene.NonNull(BigInt)
    currency = graphene.String(required=True)


class MoneyInput(graphene.InputObjectType):
    """An amount in minor units (cents) of a currency."""

    minor_units = graphene.NonNull(BigInt)
    currency = graphene.String(required=True)


def money(cents: int | None, currency: str = CURRENCY) -> Money | None:
    """`cents` as the API shows it."""
    return None if cents is None else Money(minor_units=cents, currency=currency)
