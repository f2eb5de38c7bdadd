"""How figures are written on pages: fixed decimals, true minus, a dash for nothing. Units stand in headings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

register = template.Library()
NONE = "—"
MINUS = "−"
TICKS_PER_PERCENT = 1000
SMALLEST_SHOWN = 0.0001  # percent


def _fixed(value: float | Decimal, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else MINUS + text[1:]
    return text


@register.filter
def number(value: Any, digits: int = 0) -> str:
    """A plain number."""
    return NONE if value is None or value == "" else _fixed(value, digits)


@register.filter
def money(cents: int | None, digits: int = 2) -> str:
    """Cents as currency units."""
    return NONE if cents is None else _fixed(Decimal(cents) / 100, digits)


@register.filter
def millions(cents: int | None, digits: int = 2) -> str:
    """Cents as millions of currency units."""
    return NONE if cents is None else _fixed(Decimal(cents) / 100_000_000, digits)


@register.filter
def pct(fraction: Any, digits: int = 2) -> str:
    """A fraction in percent, without the sign."""
    return NONE if fraction is None or fraction == "" else _fixed(Decimal(str(fraction)) * 100, digits)


@register.filter
def rare(fraction: float | None) -> str:
    """A small probability or loss in percent; what is under a millionth is not written as zero."""
    if fraction is None:
        return NONE
    percent = fraction * 100
    return f"<{SMALLEST_SHOWN}" if 0 < percent < SMALLEST_SHOWN else f"{percent:.4f}"


@register.filter
def ticks(value: int | None) -> str:
    """A yield of 1e-5 ticks in percent, exactly."""
    return NONE if value is None else f"{Decimal(value) / TICKS_PER_PERCENT:.3f}"


@register.filter
def over_guide(result: Any) -> str:
    """Clearing yield over guide yield of an auction's result, in basis points."""
    return NONE if result.clearing_ticks is None else _fixed((result.clearing_ticks - result.guide_ticks) / 10, 1)


@register.filter
def short(digest: str | None, length: int = 10) -> str:
    """The first characters of a hash."""
    return f"{digest[:length]}…" if digest else NONE


@register.filter
def none(value: Any) -> Any:
    """A dash for nothing."""
    return NONE if value is None or value == "" else value


@register.filter
def words(name: str) -> str:
    """A name of programs as people write it."""
    return str(name).replace("_", " ")


@register.filter
def band(name: str) -> str:
    """A stratum's name, short: "8 % to below 10 %" as "8 to <10 %"."""
    low, between, high = words(name).partition(" to below ")
    return f"{low.removesuffix(' %')} to <{high}" if between else low


@register.filter
def when(moment: datetime | None) -> str:
    """A moment, UTC, to the minute."""
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M}"


@register.filter
def span(pair: Iterable[str] | None) -> str:
    """An interval of grades; one grade where both ends agree."""
    ends = list(pair or ())
    return NONE if not ends else ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"


@register.filter
def at_key(mapping: Any, name: Any) -> Any:
    """mapping[name], None where it is not there."""
    return (mapping or {}).get(name)


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """The query string of this page with some values changed; empty values are left out."""
    values = context["request"].GET.copy()
    for name, value in changes.items():
        values.pop(name, None)
        if value not in (None, ""):
            values[name] = value
    return f"?{values.urlencode()}" if values else "?"
