"""The figures of the site, as Plotly JSON in one theme: lines labelled directly, no legend, few gridlines.

Series come in as plain lists; nothing is computed here but where a label stands. The structure chart is SVG, so that
it needs no script.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

INK = "#14202b"
MUTED = "#5b6b7a"
LINE = "#dfe5ea"
ACCENT = "#0b5cad"
AMBER = "#c77d0a"
RED = "#b3261e"
# Seniority, dark to light; the stylesheet has the same six as .s0 to .s5.
BLUES = ("#0a3161", "#1f63ad", "#5d9bd6", "#93bfe6", "#b9d6ef", "#d5e6f6")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MILLION = 1e6
# Width of a letter of a label as a share of the loss axis, on the narrowest chart of the site.
LETTER = 0.026

_AXIS = {
    "gridcolor": LINE,
    "linecolor": LINE,
    "zeroline": False,
    "ticks": "",
    "tickfont": {"color": MUTED, "size": 11},
    "title": {"font": {"color": MUTED, "size": 11}, "standoff": 8},
    "fixedrange": True,
}
THEME = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 44, "r": 16, "t": 30, "b": 40},
        "showlegend": False,
        "hovermode": "x",
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "bgcolor": "#ffffff", "bordercolor": LINE},
        "xaxis": {**_AXIS, "showgrid": False, "showline": True},
        "yaxis": {**_AXIS, "nticks": 4, "rangemode": "tozero"},
        "bargap": 0.06,
    }
)


def tranche_colour(slot: int | None) -> str:
    """Colour of the class at this seniority; None is the residual certificate."""
    return AMBER if slot is None else BLUES[min(slot, len(BLUES) - 1)]


@dataclass(frozen=True)
class Mark:
    """A vertical line with its label: at (axis units), text, colour, dash of Plotly."""

    at: float
    text: str
    colour: str
    dash: str = "solid"


def _json(figure: go.Figure) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure.to_json())
    return found


def loss_figure(edges: Sequence[float], mass: Sequence[float], marks: Sequence[Mark]) -> dict[str, Any]:
    """Distribution of pool losses: edges (n+1,) and probability mass (n,); losses as fractions of the pool."""
    # Tails of the histogram that hold nothing would only press the rest together.
    last = max((i for i, share in enumerate(mass) if share > 0), default=0)
    high = max([edges[last + 1], *(mark.at for mark in marks)]) * 1.06
    centres = [50 * (a + b) for a, b in pairwise(edges)]
    widths = [100 * (b - a) for a, b in pairwise(edges)]
    figure = go.Figure(layout={"template": THEME})
    figure.add_bar(
        x=centres, y=[100 * share for share in mass], width=[w * 0.94 for w in widths], marker_color="#a9b8c6",
        hovertemplate="loss %{x:.1f} %: probability %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    for level, mark in _levels(marks, high):
        figure.add_shape(
            type="line", x0=100 * mark.at, x1=100 * mark.at, y0=0, y1=1 - 0.075 * level, yref="paper",
            line={"color": mark.colour, "width": 1.5, "dash": mark.dash},
        )  # fmt: skip
        figure.add_annotation(
            x=100 * mark.at, y=1 - 0.075 * level, yref="paper", text=mark.text, showarrow=False, xanchor="left",
            yanchor="top", xshift=3, font={"color": INK, "size": 11},
        )  # fmt: skip
    figure.update_xaxes(title_text="loss of the pool, % of cut-off balance", range=[0, 100 * high * 1.18])
    figure.update_yaxes(title_text="probability, %")
    return _json(figure)


def _levels(marks: Sequence[Mark], high: float) -> list[tuple[int, Mark]]:
    """Each mark with a row for its label, so that neighbours do not write over each other."""
    placed: list[tuple[int, Mark]] = []
    for mark in sorted(marks, key=lambda each: each.at):
        taken = {row for row, other in placed if mark.at - other.at < LETTER * len(other.text) * high}
        placed.append((next(row for row in range(len(marks) + 1) if row not in taken), mark))
    return placed


def balance_figure(
    months: Sequence[int], pool: Sequence[float], classes: Sequence[tuple[str, int | None, Sequence[float]]]
) -> dict[str, Any]:
    """Balances by month after closing, currency units: the pool, and each class (name, slot, series)."""
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified"})
    top = max(pool, default=1.0)
    lines = [("Pool", MUTED, pool), *((name, tranche_colour(slot), series) for name, slot, series in classes)]
    for name, colour, series in lines:
        figure.add_scatter(
            x=list(months), y=[value / MILLION for value in series], mode="lines", name=name,
            line={"color": colour, "width": 2, "dash": "dot" if name == "Pool" else "solid"},
            hovertemplate=f"{name} %{{y:,.2f}} m<extra></extra>",
        )  # fmt: skip
        place = _shoulder(series, 0.62 if series and series[0] > top / 3 else 0.9)
        figure.add_annotation(
            x=months[place], y=series[place] / MILLION, text=name, showarrow=False, xanchor="left", yanchor="bottom",
            xshift=4, font={"color": INK, "size": 12},
        )  # fmt: skip
    end = max((i for i, value in enumerate(pool) if value > 0.002 * top), default=len(months) - 1)
    figure.update_xaxes(title_text="month after closing", range=[0, months[end] + 1])
    figure.update_yaxes(title_text="balance, millions")
    return _json(figure)


def _shoulder(series: Sequence[float], share: float) -> int:
    """The last month in which a falling series still holds `share` of its first value."""
    return max((i for i, value in enumerate(series) if series[0] and value >= share * series[0]), default=0)


def demand_figure(
    demand: Sequence[tuple[int, int]], supply: int, guide: int, clearing: int | None, slot: int
) -> dict[str, Any]:
    """Cumulated bids of a cleared auction: demand (yield ticks, cents at or below it), supply in cents."""
    figure = go.Figure(layout={"template": THEME})
    yields = [ticks / 1000 for ticks, _ in demand]
    figure.add_scatter(
        x=yields, y=[cents / 100 / MILLION for _, cents in demand], mode="lines+markers", marker_size=4,
        line={"color": tranche_colour(slot), "width": 2, "shape": "hv"},
        hovertemplate="at or below %{x:.3f} %: %{y:,.2f} m<extra></extra>",
    )  # fmt: skip
    level = supply / 100 / MILLION
    figure.add_hline(y=level, line={"color": INK, "width": 1, "dash": "dot"})
    figure.add_annotation(
        x=1, xref="paper", y=level, text=f"supply {level:,.2f}", showarrow=False, xanchor="right", yanchor="bottom",
        font={"color": INK, "size": 11}, bgcolor="#ffffff", borderpad=1,
    )  # fmt: skip
    lower = guide if clearing is None else min(guide, clearing)
    for ticks, text, colour in ((guide, "guide", MUTED), (clearing, "clears", ACCENT)):
        if ticks is not None:
            figure.add_shape(type="line", x0=ticks / 1000, x1=ticks / 1000, y0=0, y1=1, yref="paper",
                             line={"color": colour, "width": 1.5})  # fmt: skip
            figure.add_annotation(x=ticks / 1000, y=1, yref="paper", text=f"{text} {ticks / 1000:.3f}", showarrow=False,
                                  yanchor="bottom", font={"color": colour, "size": 11},
                                  xanchor="right" if ticks == lower else "left")  # fmt: skip
    figure.update_xaxes(title_text="yield, % a year")
    figure.update_yaxes(title_text="demand, millions")
    return _json(figure)


# ------------------------------------------------------------------------------------- capital structure
@dataclass(frozen=True)
class Block:
    """A rectangle of the capital structure: y and height in pixels, label position, and what it says."""

    name: str
    colour: str
    y: float
    height: float
    label_y: float
    row: Any


def structure_blocks(
    rows: Sequence[Any], shares: Sequence[float], slots: Sequence[int | None], *, height: float,
    top: float, gap: float,
) -> list[Block]:  # fmt: skip
    """Stack the classes, senior on top, heights in true proportion; labels at least `gap` pixels apart."""
    blocks: list[Block] = []
    y, label = top, top - gap
    for row, share, slot in zip(rows, shares, slots, strict=True):
        tall = share * height
        label = max(y + tall / 2, label + gap)
        blocks.append(Block(row.name, tranche_colour(slot), y, tall, label, row))
        y += tall
    # What was pushed below the bar moves up again, the lowest label first.
    floor = top + height - 6
    raised: list[Block] = []
    for block in reversed(blocks):
        at = min(block.label_y, floor)
        raised.append(Block(block.name, block.colour, block.y, block.height, at, block.row))
        floor = at - gap
    return raised[::-1]
