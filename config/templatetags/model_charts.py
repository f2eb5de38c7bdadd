"""Charts of credit models, of two of them beside each other, and of a loan's PD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import template

from config.model_charts import Line, band_colour, cumulative_lines, curves_figure, overlay_lines, points_figure

register = template.Library()
PERCENT = 100.0


def _percent(values: Sequence[float]) -> list[float]:
    return [PERCENT * value for value in values]


def _chart(name: str, title: str, subtitle: str, figure: Mapping[str, Any], height: int = 280) -> dict[str, Any]:
    return {"name": name, "title": title, "subtitle": subtitle, "figure": figure, "height": height}


@register.inclusion_tag("components/chart.html")
def hazard_chart(name: str, title: str, curves: Sequence[tuple[str, Sequence[float]]]) -> dict[str, Any]:
    """Monthly probabilities by month on book, one curve a band, best first; fractions. Equal curves are one line."""
    names: dict[tuple[float, ...], list[int]] = {}
    for place, (_, values) in enumerate(curves):
        names.setdefault(tuple(values), []).append(place)
    lines = [
        Line(", ".join(curves[place][0] for place in places), _percent(values), band_colour(places[-1], len(curves)))
        for values, places in names.items()
    ]
    figure = curves_figure(lines, "month on book", "% a month")
    return _chart(name, title, "monthly probability by band, %", figure)


@register.inclusion_tag("components/chart.html")
def overlay_chart(name: str, title: str, first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """One cell of two sets; fractions."""
    figure = curves_figure(
        overlay_lines(("first", _percent(first)), ("second", _percent(second))), "month on book", "% a month"
    )
    return _chart(name, title, "monthly probability, %; second dashed", figure)


@register.inclusion_tag("components/chart.html")
def cumulative_chart(competing: Sequence[float], net: Sequence[float]) -> dict[str, Any]:
    """A loan's cumulative PD by month from the cut-off; fractions."""
    figure = curves_figure(cumulative_lines(_percent(competing), _percent(net)), "month after the cut-off", "%")
    return _chart("cumulative", "Default by month", "cumulative probability, %", figure)


@register.inclusion_tag("components/chart.html")
def points_chart(base: float, drivers: Sequence[tuple[str, float]], total: float) -> dict[str, Any]:
    """The steps from the pool's average to the loan, in points."""
    figure = points_figure(base, drivers, total)
    return _chart("points", "From the pool to this loan", "points; 20 double the odds", figure)
