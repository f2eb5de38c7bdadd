"""Text to tokens. One pass over a pattern without backtracking, so that no text takes long."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from pooling.engine.formula.kinds import FormulaError, fault

MAX_TEXT = 2_000

Sort = Literal["number", "date", "currency", "name", "operator", "end"]

_PATTERN = re.compile(
    r"""(?P<blank>[ \t]+)
      | (?P<date>\d{4}-\d{2}-\d{2})
      | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?%?)
      | (?P<currency>[A-Z]{3}(?=\ +[\d.]))
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\[[^\[\]]{1,64}\])?(?:\.[A-Za-z_][A-Za-z0-9_]*)?)
      | (?P<operator><=|>=|==|!=|[-+*/(),:<>])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Token:
    """sort, its text (a name without blanks around its index) and the character where it starts, from 0."""

    sort: Sort
    text: str
    at: int


def tokens_of(text: str) -> list[Token]:
    """The tokens of a formula, an end token last. Raises FormulaError at the first character that belongs to none."""
    if len(text) > MAX_TEXT:
        raise FormulaError(f"the formula has {len(text)} characters, at most {MAX_TEXT} are read", 0)
    if not text.strip():
        raise FormulaError("the formula is empty", 0)
    tokens, at = [], 0
    while at < len(text):
        found = _PATTERN.match(text, at)
        if found is None:
            raise fault(at, _unreadable(text, at))
        if found.lastgroup != "blank":
            tokens.append(Token(found.lastgroup, _tidy(found.group()), at))  # type: ignore[arg-type]
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def _tidy(text: str) -> str:
    """A name's index without blanks around it; everything else as it is."""
    head, bracket, rest = text.partition("[")
    index, close, tail = rest.partition("]")
    return f"{head}[{index.strip()}]{tail}" if bracket and close else text


def _unreadable(text: str, at: int) -> str:
    if text[at] == "=":
        return "'=' compares nothing; write '=='"
    if text[at] == "[":
        return "'[' has no closing ']', or stands without a name before it"
    return f"{text[at]!r} belongs to no formula"


def date_of(token: Token) -> dt.date:
    """The day a date token names. Raises FormulaError for one that is not in the calendar."""
    try:
        return dt.date.fromisoformat(token.text)
    except ValueError:
        raise fault(token.at, f"{token.text!r} is not a day of the calendar") from None
