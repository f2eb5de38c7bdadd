"""Charts of the prices page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from config.charts_pricing import Bar, waterfall_figure
from config.templatetags.figures import NONE, _fixed

register = template.Library()
HEIGHT = 230
BASIS_POINTS = 1e4


@register.filter
def bp(fraction: float | None, digits: int = 1) -> str:
    """A fraction in basis points."""
    return NONE if fraction is None else _fixed(BASIS_POINTS * fraction, digits)


@register.inclusion_tag("components/chart.html")
def bridge_chart(name: str, slot: int, bars: Sequence[Any], theta: float) -> dict[str, Any]:
    """The views of one class and the steps between them. bars: with label, value in basis points, total."""
    figure = waterfall_figure([Bar(each.label, each.value, each.total) for each in bars], slot)
    return {
        "name": f"bridge-{slot}",
        "title": f"Class {name}",
        "subtitle": f"spread over Treasury at the average life, bp; θ {theta:g}",
        "figure": figure,
        "height": HEIGHT,
    }
