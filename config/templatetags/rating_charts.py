"""Charts of the rating pages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django import template

from config.charts_rating import fan_figure, vintage_figure

register = template.Library()


@register.inclusion_tag("components/chart.html")
def fan_chart(rating: Mapping[str, Any]) -> dict[str, Any]:
    """Cumulative loss by month with its quantiles."""
    found = rating["simulation"]["by_month"]
    figure = fan_figure(found["month"], found["mean"], found["quantiles"])
    subtitle = "scenario mean and quantiles"
    return {"name": "fan", "title": "Loss by month", "subtitle": subtitle, "figure": figure, "height": 280}


@register.inclusion_tag("components/chart.html")
def vintage_chart(found: Any, what: str) -> dict[str, Any]:
    """Every vintage of a triangle by months on book."""
    lines = [
        (name or "none", [float(value) if math.isfinite(value) else None for value in found.share[v]])
        for v, name in enumerate(found.vintages)
    ]
    figure = vintage_figure(lines, what)
    return {"name": "vintages", "title": what.capitalize(), "subtitle": "by vintage", "figure": figure, "height": 320}
