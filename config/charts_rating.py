"""Figures of a rating: the loss of the pool by month with its quantiles. Plotly JSON in the theme of charts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from config.charts import ACCENT, INK, THEME, _json

DRAWN = (0.05, 0.25, 0.75, 0.95, 0.99)


def fan_figure(
    months: Sequence[int], mean: Sequence[float], quantiles: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Cumulative loss by month, fractions of the cut-off balance: the mean, and every quantile as a line of its own."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified"})
    # Neighbours whose labels would write over each other, and the median, which runs beside the mean, are left out.
    drawn = [(level, series) for level, series in quantiles.items() if float(level) in DRAWN]
    for level, series in sorted(drawn, key=lambda item: float(item[0])):
        figure.add_scatter(
            x=list(months), y=[100 * value for value in series], mode="lines", name=level,
            line={"color": ACCENT, "width": 1, "dash": "dot"},
            hovertemplate=f"{float(level):.1%} quantile %{{y:.2f}} %<extra></extra>",
        )  # fmt: skip
        figure.add_annotation(
            x=months[-1], y=100 * series[-1], text=f"{100 * float(level):g} %", showarrow=False, xanchor="left",
            xshift=3, font={"color": ACCENT, "size": 11},
        )  # fmt: skip
    figure.add_scatter(
        x=list(months), y=[100 * value for value in mean], mode="lines", name="expected",
        line={"color": INK, "width": 2}, hovertemplate="expected %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    figure.add_annotation(
        x=months[-1], y=100 * mean[-1], text="expected", showarrow=False, xanchor="left", xshift=3,
        font={"color": INK, "size": 11},
    )  # fmt: skip
    figure.update_xaxes(title_text="month after closing", range=[0, months[-1] * 1.14])
    figure.update_yaxes(title_text="cumulative loss, % of cut-off balance")
    return _json(figure)
