"""Charts of the sensitivities page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from config.charts_sensitivity import Bars, loss_figure, notch_figure, tornado_height

register = template.Library()


@register.inclusion_tag("components/chart.html")
def tornado_chart(stresses: Sequence[str], classes: Sequence[Any], what: str) -> dict[str, Any]:
    """Every stress with one bar a class. classes: with name, slot and values. what: "notches" or "losses"."""
    draw, title, subtitle = {
        "notches": (notch_figure, "Grades", "notches from the base case, one assumption at a time"),
        "losses": (loss_figure, "Expected loss", "over the base case's, log scale"),
    }[what]
    height = tornado_height(len(stresses), len(classes))
    figure = draw(stresses, [Bars(each.name, each.slot, each.values) for each in classes])
    return {"name": f"tornado-{what}", "title": title, "subtitle": subtitle, "figure": figure, "height": height}
