"""Top-level errors of the API: wrong input to a query, and what a role may not ask.

Mutations answer a person's mistakes as userErrors instead (accounts/graphql/mutations.py).
"""

from __future__ import annotations

from graphql import GraphQLError


class RequestError(GraphQLError):
    """A refusal whose text may be shown: code is stable, UPPER_SNAKE_CASE."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message, extensions={"code": code})


def bad_input(argument: str, message: str) -> RequestError:
    """The error of one argument of a query."""
    return RequestError(f"{argument}: {message}", code="BAD_USER_INPUT")
