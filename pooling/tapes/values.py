"""Texts of a tape to numbers: what one cell says, without yet deciding its unit.

Decimals are kept exact until they become cents. Nothing is guessed: "12,5" is refused, not read as 125.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

BLANKS = frozenset({"", "n/a", "na", "none", "null", "-", "nd1", "nd2", "nd3", "nd4", "nd5"})
_NOT_FINITE = re.compile(r"[+-]?\$?(nan|inf|infinity|#num!|#div/0!)%?", re.ASCII)
_NUMBER = re.compile(r"([+-]?)\$?(\d+|\d{1,3}(?:,\d{3})+)?(\.\d*)?(e[+-]?\d{1,3})?", re.ASCII)
_TERM = re.compile(r"(.*?)\s*(months?|mos?|m|years?|yrs?|y)?\.?", re.ASCII | re.DOTALL)
_RANGE = re.compile(r"(\d{3})\s*-\s*(\d{3})", re.ASCII)
_YEARS = re.compile(r"(\d{1,2}(?:\.\d+)?)\s*\+?\s*(?:years?|yrs?)?", re.ASCII)
_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True)
class Number:
    """One cell as a number. value: None where it cannot be read. percent: it carried a % sign.

    problem: "" (fine), "missing", "unparsable" or "not_finite".
    """

    value: Decimal | None
    percent: bool = False
    problem: str = ""


MISSING = Number(None, problem="missing")
UNPARSABLE = Number(None, problem="unparsable")
NOT_FINITE = Number(None, problem="not_finite")


def parse_number(text: str) -> Number:
    """A plain decimal number: sign, dollar sign, thousands commas, exponent, final %, (1.00) for -1.00."""
    lowered = text.strip().lower()
    if lowered in BLANKS:
        return MISSING
    if _NOT_FINITE.fullmatch(lowered):
        return NOT_FINITE
    if len(lowered) > _LONGEST_NUMBER:
        return UNPARSABLE
    negative = lowered.startswith("(") and lowered.endswith(")")
    if negative:
        lowered = lowered[1:-1].strip()
    percent = lowered.endswith("%")
    if percent:
        lowered = lowered[:-1].rstrip()
    match = _NUMBER.fullmatch(lowered)
    if match is None or (match[2] is None and (match[3] is None or match[3] == ".")):
        return UNPARSABLE
    sign, whole, fraction, exponent = match.groups(default="")
    value = Decimal(f"{sign}{whole.replace(',', '') or '0'}{fraction}{exponent}")
    return Number(-value if negative else value, percent)


def to_cents(value: Decimal) -> int:
    """Currency units to integer cents, half to even."""
    return int((value * 100).to_integral_value(rounding=ROUND_HALF_EVEN))


def parse_term(text: str) -> tuple[Number, bool | None]:
    """A term and its unit: True for years, False for months ("36 months"), None where the cell is silent."""
    match = _TERM.fullmatch(text.strip().lower())
    if match is None:
        return UNPARSABLE, None
    number = parse_number(match[1])
    if number.percent:
        return UNPARSABLE, None
    return number, match[2].startswith("y") if match[2] else None


def parse_score(text: str) -> Number:
    """A credit score; a range such as "735-739" is its midpoint; 0 means missing."""
    match = _RANGE.fullmatch(text.strip())
    if match is not None:
        return Number((Decimal(match[1]) + Decimal(match[2])) / 2)
    number = parse_number(text)
    return MISSING if number.value == 0 else number


def parse_years(text: str) -> Number:
    """Length of employment in years: "< 1 year" is 0, "10+ years" is 10."""
    lowered = text.strip().lower()
    if lowered in BLANKS:
        return MISSING
    if lowered.startswith("<"):
        return Number(Decimal(0))
    match = _YEARS.fullmatch(lowered)
    return Number(Decimal(match[1])) if match is not None else UNPARSABLE
