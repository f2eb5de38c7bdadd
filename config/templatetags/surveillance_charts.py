"""Charts of the surveillance page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import template

from config.charts_surveillance import grades_figure, late_figure, loss_standing_figure, speeds_figure

register = template.Library()
BUCKETS = ("1-29", "30-59", "60-89", "90+")
SPEEDS = (("CPR", "cpr", False), ("CPR", "cpr_3", True), ("CDR", "cdr", False), ("CDR", "cdr_3", True))


def _chart(name: str, title: str, subtitle: str, figure: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": title, "subtitle": subtitle, "figure": figure, "height": 280}


@register.inclusion_tag("components/chart.html")
def loss_standing_chart(rating: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Actual beside predicted cumulative loss, over the horizon of the prediction."""
    found = rating["simulation"]["by_month"]
    figure = loss_standing_figure(
        found["month"], found["mean"], found["quantiles"]["0.05"], found["quantiles"]["0.95"],
        [row["loss"] for row in rows],
    )  # fmt: skip
    return _chart("standing", "Actual against expected loss", "90 % band of the rating's scenarios", figure)


@register.inclusion_tag("components/chart.html")
def late_chart(found: Any) -> dict[str, Any]:
    """Delinquent shares by month."""
    owed = found.balance[1:].tolist()
    late = {name: found.states[k, 1:].tolist() for k, name in enumerate(BUCKETS, start=1)}
    buckets = [
        (name, [part / whole if whole else None for part, whole in zip(parts, owed, strict=True)])
        for name, parts in late.items()
    ]
    return _chart("late", "Past due", "end of month, share of the balance", late_figure(found.history.periods, buckets))


@register.inclusion_tag("components/chart.html")
def speeds_chart(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Realised CPR and CDR."""
    lines = [
        (f"{name}{', 3 months' if main else ''}", [row[key] for row in rows], main)
        for name, key, main in SPEEDS
    ]
    figure = speeds_figure([row["month"] for row in rows], lines)
    return _chart("speeds", "Realised speeds", "three-month mean; dotted: the month alone", figure)


@register.inclusion_tag("components/chart.html")
def grades_chart(classes: Sequence[Mapping[str, Any]], grades: Sequence[str]) -> dict[str, Any]:
    """Grades by month, the months in which a class was already paid in full left out."""
    paths = [(row["name"], row["slot"], [step for step in row["steps"] if step[1]]) for row in classes]
    return _chart("grades", "Rating history", "indicative grades, as issued and re-rated", grades_figure(grades, paths))
