"""The required rate of loans as stacked layers. Plotly JSON in the theme of charts.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from config.charts import INK, THEME, _json

# Funding to origination: one ramp, for the layers have an order; the contract rate stands on it as a mark.
RAMP = ("#0a3161", "#1f63ad", "#5d9bd6", "#93bfe6", "#b9d6ef", "#c77d0a", "#e3c48f")


def stack_figure(
    labels: Sequence[str], names: Sequence[str], layers: Sequence[Sequence[float]], contract: Sequence[float]
) -> dict[str, Any]:
    """layers: a row a label, annual fractions in the order of names; contract: the mean contract rate of each."""
    figure = go.Figure(layout={"template": THEME, "barmode": "stack", "bargap": 0.35})
    for place, name in enumerate(names):
        values = [100 * row[place] for row in layers]
        figure.add_bar(
            x=list(labels), y=values, name=name, marker_color=RAMP[place % len(RAMP)],
            hovertemplate=f"{name} %{{y:.2f}} %<extra>%{{x}}</extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=list(labels), y=[100 * value for value in contract], mode="markers", name="Contract rate",
        marker={"symbol": "line-ew-open", "size": 22, "color": INK, "line": {"width": 2}},
        hovertemplate="contract %{y:.2f} %<extra>%{x}</extra>",
    )  # fmt: skip
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.2, "font": {"size": 11}})
    figure.update_yaxes(title_text="% a year", rangemode="tozero")
    figure.update_xaxes(type="category")
    return _json(figure)
