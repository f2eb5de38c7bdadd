"""Figures of credit models and of a loan's PD, as Plotly JSON in the site's theme.

Series come in as plain lists. Not here: where they are from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from config.charts import ACCENT, INK, MUTED, RED, STEEL, THEME

GREEN = "#1b7f4b"  # as the stylesheet has it
# Risk bands from best to worst: light to dark of a grey, since blue is seniority and amber the residual.
BAND_LIGHT, BAND_DARK = (176, 190, 203), (20, 32, 43)
LABEL_GAP = 0.062
MOST_MONTHS_APART = 12


@dataclass(frozen=True)
class Line:
    """A curve by month from 1, values in percent. dash: of Plotly."""

    name: str
    values: Sequence[float]
    colour: str
    dash: str = "solid"


def band_colour(place: int, bands: int) -> str:
    """Colour of a risk band, the best the lightest."""
    share = place / max(bands - 1, 1)
    return "#" + "".join(
        f"{round(low + (high - low) * share):02x}" for low, high in zip(BAND_LIGHT, BAND_DARK, strict=True)
    )


def spread_labels(values: Sequence[float], gap: float) -> list[float]:
    """Heights for labels of these values, at least `gap` apart, in their order; what is too low is pushed up."""
    heights, last = [0.0] * len(values), float("-inf")
    for place in sorted(range(len(values)), key=values.__getitem__):
        last = max(values[place], last + gap)
        heights[place] = last
    return heights


def curves_figure(lines: Sequence[Line], x_title: str, y_title: str) -> dict[str, Any]:
    """Curves by month, each labelled at its end."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified"})
    top = max((max(line.values, default=0.0) for line in lines), default=1.0) or 1.0
    months = max((len(line.values) for line in lines), default=1)
    for line in lines:
        figure.add_scatter(
            x=list(range(1, len(line.values) + 1)), y=list(line.values), mode="lines", name=line.name,
            line={"color": line.colour, "width": 2, "dash": line.dash},
            hovertemplate=f"{line.name} %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    ends = [line.values[-1] if line.values else 0.0 for line in lines]
    for line, height in zip(lines, spread_labels(ends, LABEL_GAP * top), strict=True):
        figure.add_annotation(
            x=len(line.values), y=height, text=line.name, showarrow=False, xanchor="left", xshift=5,
            font={"color": INK, "size": 11},
        )  # fmt: skip
    longest = max((len(line.name) for line in lines), default=1)
    room = months * (0.05 + 0.014 * longest)
    figure.update_xaxes(title_text=x_title, range=[0, months + room], dtick=12 if months > MOST_MONTHS_APART else None)
    figure.update_yaxes(title_text=y_title, range=[0, max(top, *spread_labels(ends, LABEL_GAP * top)) * 1.08])
    return _json(figure)


def overlay_lines(first: tuple[str, Sequence[float]], second: tuple[str, Sequence[float]]) -> list[Line]:
    """Two sets' curves of one cell."""
    return [Line(first[0], first[1], INK), Line(second[0], second[1], ACCENT, "dash")]


def cumulative_lines(competing: Sequence[float], net: Sequence[float]) -> list[Line]:
    """The cumulative PD of a loan, and what it would be if nobody prepaid."""
    return [Line("if nobody prepaid", net, MUTED, "dot"), Line("PD", competing, ACCENT)]


def points_figure(base: float, drivers: Sequence[tuple[str, float]], total: float) -> dict[str, Any]:
    """From the pool's average to the loan: points of each driver as steps, more risk red, less risk green."""
    names = ["pool average", *(name for name, _ in drivers), "this loan"]
    values = [base, *(points for _, points in drivers), total]
    figure = go.Figure(layout={"template": THEME})
    figure.add_waterfall(
        x=names, y=values, measure=["absolute", *("relative" for _ in drivers), "total"],
        connector={"line": {"color": STEEL, "width": 1}}, increasing={"marker": {"color": RED}},
        decreasing={"marker": {"color": GREEN}}, totals={"marker": {"color": STEEL}},
        text=[_signed(value, place in (0, len(values) - 1)) for place, value in enumerate(values)],
        textposition="outside", cliponaxis=False, hovertemplate="%{x}: %{text} points<extra></extra>",
    )  # fmt: skip
    path, level = [base], base
    for _, points in drivers:
        level += points
        path.append(level)
    # The zero of the scale is a convention, so the axis shows where the steps are, not the way from zero.
    low, high = min(path), max(path)
    room = max(high - low, 10.0)
    figure.update_yaxes(title_text="points", range=[low - 0.3 * room, high + 0.2 * room], rangemode="normal")
    return _json(figure)


def _signed(value: float, level: bool) -> str:
    text = f"{value:.1f}" if level else f"{value:+.1f}"
    return text.replace("-", "−")


def _json(figure: go.Figure) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure.to_json())
    return found
