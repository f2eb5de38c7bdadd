"""What a formula may be about, and the one error of the language."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """The kind of a value; the text is how a sentence names it."""

    MONEY = "money"
    NUMBER = "number"
    BOOL = "true or false"
    DATE = "date"


class FormulaError(ValueError):
    """A formula that cannot be read. message: one sentence; position: character it is about, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


def fault(position: int, message: str) -> FormulaError:
    """The error at a place, which people count from 1."""
    return FormulaError(f"at character {position + 1}: {message}", position)
