"""Tornado figures of a rating: what stresses do to grades and expected losses. Plotly JSON in the theme of charts.py.

Not here: the stresses; values come in as plain lists.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from config.charts import INK, LINE, THEME, _json, tranche_colour

MINUS = "−"
ROW_HEIGHT, EDGE = 15, 70


@dataclass(frozen=True)
class Bars:
    """One class: its name, seniority, and a value by stress, None where there is none to draw."""

    name: str
    slot: int
    values: Sequence[float | None]


def tornado_height(stresses: int, classes: int) -> int:
    """Pixels that every bar and its label need."""
    return EDGE + stresses * (ROW_HEIGHT * classes + 8)


def notch_figure(stresses: Sequence[str], classes: Sequence[Bars]) -> dict[str, Any]:
    """Notches by stress and class, worse to the left; stresses from top to bottom in the order given."""
    figure = _bars(stresses, classes, [[_notches(value) for value in bars.values] for bars in classes])
    known = [value for bars in classes for value in bars.values if value is not None]
    reach = max([1.0, *(abs(value) for value in known)])
    low, high = min([0.0, *known]), max([0.0, *known])
    figure.update_xaxes(
        title_text="notches, worse to the left", range=[low - 0.16 * reach, high + 0.16 * reach], dtick=1 if reach < 7
        else 2, zeroline=True, zerolinecolor=INK, zerolinewidth=1,
    )  # fmt: skip
    return _json(figure)


def loss_figure(stresses: Sequence[str], classes: Sequence[Bars]) -> dict[str, Any]:
    """Expected loss over its base case's by stress and class, values on a log axis around 1."""
    texts = [["" if value is None else f"×{value:.3g}" for value in bars.values] for bars in classes]
    # A bar of a log axis grows from its base, so that both directions start at ×1.
    shifted = [Bars(each.name, each.slot, [None if v is None else v - 1.0 for v in each.values]) for each in classes]
    figure = _bars(stresses, shifted, texts, base=1.0)
    known = [value for bars in classes for value in bars.values if value is not None and value > 0]
    low, high = math.log10(min([0.5, *known])), math.log10(max([2.0, *known]))
    figure.update_xaxes(
        title_text="expected loss as a multiple of the base case's", type="log", showgrid=True, gridcolor=LINE,
        range=[low * 1.35 - 0.1, high * 1.2 + 0.1], tickvals=[10.0**n for n in range(-6, 7)],
        ticktext=[f"×{10.0**n:g}" for n in range(-6, 7)],
    )  # fmt: skip
    return _json(figure)


def _bars(
    stresses: Sequence[str], classes: Sequence[Bars], texts: Sequence[Sequence[str]], *, base: float = 0.0
) -> go.Figure:
    figure = go.Figure(layout={"template": THEME, "hovermode": "closest", "bargap": 0.25, "bargroupgap": 0.12})
    for bars, text in zip(classes, texts, strict=True):
        figure.add_bar(
            y=list(stresses), x=[value or 0.0 for value in bars.values], orientation="h", name=bars.name, base=base,
            marker_color=tranche_colour(bars.slot), text=[f"{bars.name} {each}" for each in text],
            textposition="outside", cliponaxis=False, textfont={"size": 10, "color": INK},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(margin={"l": 172, "r": 16, "t": 8, "b": 40})
    figure.update_yaxes(autorange="reversed", showgrid=False, nticks=len(stresses), rangemode="normal")
    figure.update_xaxes(showgrid=True, gridcolor=LINE)
    return figure


def _notches(value: float | None) -> str:
    return "0" if not value else f"{value:+.0f}".replace("-", MINUS)
