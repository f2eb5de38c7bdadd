"""Figures of a rating: the loss of the pool by month with its quantiles. Plotly JSON in the theme of charts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from config.charts import ACCENT, BLUES, INK, LABEL_APART, THEME, _json

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


def vintage_figure(lines: Sequence[tuple[str, Sequence[float | None]]], what: str) -> dict[str, Any]:
    """Cumulative shares by months on book, one line a vintage, old to new dark to light, labelled at their ends."""
    figure = go.Figure(layout={"template": THEME})
    longest = max((len(series) for _, series in lines), default=1)
    top = max((100 * value for _, series in lines for value in series if value is not None), default=1.0)
    apart, labelled = LABEL_APART / 2 * top, list[float]()
    for place, (name, series) in enumerate(lines):
        colour = BLUES[min(place * len(BLUES) // max(len(lines), 1), len(BLUES) - 2)]
        known = [100 * value for value in series if value is not None]
        figure.add_scatter(
            x=list(range(len(known))), y=known, mode="lines", name=name, line={"color": colour, "width": 1.5},
            hovertemplate=f"{name}, month %{{x}}: %{{y:.2f}} %<extra></extra>",
        )  # fmt: skip
        # A name that would write over another's is left to the pointer and to the table.
        if known and all(abs(known[-1] - other) > apart for other in labelled):
            labelled.append(known[-1])
            figure.add_annotation(
                x=len(known) - 1, y=known[-1], text=name, showarrow=False, xanchor="left", xshift=3,
                font={"color": INK, "size": 11},
            )  # fmt: skip
    figure.update_xaxes(title_text="months on book", range=[0, longest * 1.12])
    figure.update_yaxes(title_text=f"{what}, % of original balance")
    return _json(figure)
