"""Figures of a deal under surveillance: losses beside their prediction, lateness, speeds, grades. Plotly JSON in the
theme of charts.py; values come in as plain lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from config.charts import ACCENT, AMBER, BLUES, INK, MUTED, RED, THEME, _json, tranche_colour

BAND_FILL = "rgba(11, 92, 173, 0.12)"
Series = Sequence[float | None]


def loss_standing_figure(
    months: Sequence[int], mean: Series, low: Series, high: Series, actual: Sequence[float]
) -> dict[str, Any]:
    """Cumulative net loss by month, fractions of the cut-off balance: predicted mean and band, the actual so far."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified"})
    for name, series, fill in (("low", low, None), ("high", high, "tonexty")):
        figure.add_scatter(
            x=list(months), y=_percent(series), mode="lines", line={"color": ACCENT, "width": 0.5}, fill=fill,
            fillcolor=BAND_FILL, hovertemplate=f"band, {name} end %{{y:.2f}} %<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=list(months), y=_percent(mean), mode="lines", line={"color": INK, "width": 1.5, "dash": "dot"},
        hovertemplate="expected %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=list(range(len(actual) + 1)), y=[0.0, *_percent(actual)], mode="lines", line={"color": RED, "width": 2.5},
        hovertemplate="actual %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    _label(figure, months[-1], _percent(mean)[-1], "expected", INK)
    _label(figure, months[-1], _percent(high)[-1], "95 %", ACCENT)
    _label(figure, months[-1], _percent(low)[-1], "5 %", ACCENT)
    if actual:
        figure.add_annotation(
            x=len(actual), y=100 * actual[-1], text=f"actual {100 * actual[-1]:.2f} %", showarrow=False,
            xanchor="right", yanchor="bottom", xshift=-4, font={"color": RED, "size": 11},
        )  # fmt: skip
    figure.update_xaxes(title_text="month after cut-off", range=[0, months[-1] * 1.16])
    figure.update_yaxes(title_text="cumulative net loss, % of cut-off balance")
    return _json(figure)


def late_figure(periods: Sequence[str], buckets: Sequence[tuple[str, Series]]) -> dict[str, Any]:
    """Balance past due as a share of what is owed, stacked by bucket, the least late at the bottom."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified", "barmode": "stack", "bargap": 0.12})
    colours = (BLUES[4], BLUES[3], BLUES[1], AMBER)
    below = [0.0] * len(periods)
    top = max((sum(100 * (value or 0.0) for value in column) for column in zip(*(s for _, s in buckets), strict=True)),
              default=1.0)  # fmt: skip
    labelled: list[float] = []
    for (name, series), colour in zip(buckets, colours, strict=True):
        values = [value or 0.0 for value in _percent(series)]
        figure.add_bar(
            x=list(periods), y=values, marker_color=colour, hovertemplate=f"{name} days %{{y:.2f}} %<extra></extra>"
        )
        middle = below[-1] + values[-1] / 2 if values else 0.0
        middle = max([middle, *(other + 0.07 * top for other in labelled)])
        labelled.append(middle)
        figure.add_annotation(
            x=1, xref="paper", y=middle, text=f"{name} days", showarrow=False, xanchor="left", xshift=4,
            font={"color": INK, "size": 11},
        )  # fmt: skip
        below = [under + value for under, value in zip(below, values, strict=True)]
    figure.update_layout(margin={"l": 44, "r": 78, "t": 30, "b": 40})
    figure.update_xaxes(type="category", nticks=8)
    figure.update_yaxes(title_text="past due, % of balance")
    return _json(figure)


def speeds_figure(months: Sequence[int], lines: Sequence[tuple[str, Series, bool]]) -> dict[str, Any]:
    """Annual speeds by month: (name, series, main); what is not a main line is thin."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified"})
    for name, series, main in lines:
        colour = ACCENT if name.startswith("CPR") else RED
        values = _percent(series)
        figure.add_scatter(
            x=list(months), y=values, mode="lines",
            line={"color": colour, "width": 2 if main else 0.75, "dash": "solid" if main else "dot"},
            hovertemplate=f"{name} %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
        known = [value for value in values if value is not None]
        if main and known:
            _label(figure, months[-1], known[-1], name, colour)
    figure.update_xaxes(title_text="month after cut-off", range=[0, max(months[-1], 2) * 1.2])
    figure.update_yaxes(title_text="% a year")
    return _json(figure)


def grades_figure(
    grades: Sequence[str], classes: Sequence[tuple[str, int, Sequence[tuple[int, str]]]]
) -> dict[str, Any]:
    """Grade of each class by month, steps, the best grade on top. grades: the scale, best first; classes: (name, slot,
    (month, grade) ascending)."""
    figure = go.Figure(layout={"template": THEME})
    places = [grades.index(grade) for _, _, path in classes for _, grade in path]
    last = max((month for _, _, path in classes for month, _ in path), default=0)
    labels: dict[int, list[str]] = {}
    for name, slot, path in classes:
        steps = [*path, (last, path[-1][1])] if path[-1][0] < last and len(path) > 1 else list(path)
        figure.add_scatter(
            x=[month for month, _ in steps], y=[grades.index(grade) for _, grade in steps], mode="lines+markers",
            line={"color": tranche_colour(slot), "width": 2, "shape": "hv"}, marker={"size": 6},
            text=[grade for _, grade in steps], hovertemplate=f"{name}, month %{{x}}: %{{text}}<extra></extra>",
        )  # fmt: skip
        labels.setdefault(grades.index(steps[-1][1]), []).append(name)
    for place, names in labels.items():
        _label(figure, last, place, ", ".join(names), INK)
    low, high = max(min(places, default=0) - 1, 0), min(max(places, default=0) + 1, len(grades) - 1)
    ticks = list(range(low, high + 1))
    figure.update_xaxes(title_text="month after cut-off", range=[-0.02 * max(last, 1), max(last, 1) * 1.16])
    figure.update_yaxes(
        range=[high + 0.5, low - 0.5], tickmode="array", tickvals=ticks, ticktext=[grades[n] for n in ticks],
        rangemode="normal",
    )  # fmt: skip
    figure.update_layout(font={"color": INK}, hoverlabel={"font": {"color": MUTED}})
    return _json(figure)


def _label(figure: go.Figure, x: float, y: float | None, text: str, colour: str) -> None:
    figure.add_annotation(
        x=x, y=y, text=text, showarrow=False, xanchor="left", xshift=4, font={"color": colour, "size": 11}
    )


def _percent(series: Series) -> list[float | None]:
    return [None if value is None else 100 * value for value in series]
