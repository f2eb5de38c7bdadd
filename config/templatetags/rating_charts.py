"""Charts of the rating pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template

from config.charts_rating import fan_figure

register = template.Library()


@register.inclusion_tag("components/chart.html")
def fan_chart(rating: Mapping[str, Any]) -> dict[str, Any]:
    """Cumulative loss by month with its quantiles."""
    found = rating["simulation"]["by_month"]
    figure = fan_figure(found["month"], found["mean"], found["quantiles"])
    subtitle = "scenario mean and quantiles"
    return {"name": "fan", "title": "Loss by month", "subtitle": subtitle, "figure": figure, "height": 280}
