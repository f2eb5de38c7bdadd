"""Charts of the page of required loan rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from config.charts_loans import stack_figure

register = template.Library()


@register.inclusion_tag("components/chart.html")
def apr_chart(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """rows: with grade, term, layers and contract; the row of all loans (term 0) last."""
    labels = [f"{row.grade or 'none'} {row.term}" if row.term else "All" for row in rows]
    return {
        "name": "loan-aprs",
        "title": "What the rate has to pay for",
        "subtitle": "by grade and original term in months, % a year; the line is the mean contract rate",
        "figure": stack_figure(labels, names, [row.layers for row in rows], [row.contract for row in rows]),
        "height": 340,
    }
