"""Figures of a price: the bridge between its three views. Plotly JSON in the theme of charts.py.

Not here: the steps; values come in as plain lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from config.charts import INK, LINE, MUTED, STEEL, THEME, _json, tranche_colour

MINUS = "−"
BAR_WIDTH = 0.65
SMALLEST = 0.05  # basis points: what rounds to nothing is written as 0.0 without a sign


@dataclass(frozen=True)
class Bar:
    """One bar of a waterfall, basis points. total: stands on zero and is `value` high; else it moves the level."""

    label: str
    value: float
    total: bool = False


def waterfall_figure(bars: Sequence[Bar], slot: int) -> dict[str, Any]:
    """Bars from left to right, each step where the last one ended; totals in the colour of the class."""
    level, bases, heights, ends = 0.0, [], [], []
    for bar in bars:
        bases.append(0.0 if bar.total else level)
        heights.append(bar.value)
        level = bar.value if bar.total else level + bar.value
        ends.append(level)
    places = list(range(len(bars)))
    figure = go.Figure(layout={"template": THEME, "hovermode": "closest", "bargap": 1 - BAR_WIDTH})
    figure.add_bar(
        x=places, y=heights, base=bases, text=[_text(bar) for bar in bars], textposition="outside", cliponaxis=False,
        marker_color=[tranche_colour(slot) if bar.total else STEEL for bar in bars],
        textfont={"size": 11, "color": INK}, customdata=[bar.label for bar in bars],
        hovertemplate="%{customdata}: %{text} bp<extra></extra>",
    )  # fmt: skip
    # A thin line carries each level to the next bar, so that small steps can be followed.
    for place, (end, following) in enumerate(zip(ends[:-1], bars[1:], strict=True)):
        if not following.total:
            figure.add_shape(
                type="line", x0=place + BAR_WIDTH / 2, x1=place + 1 - BAR_WIDTH / 2, y0=end, y1=end,
                line={"color": MUTED, "width": 1},
            )  # fmt: skip
    highest = max([1.0, *ends, *bases])
    lowest = min([0.0, *ends, *bases])
    figure.update_xaxes(tickvals=places, ticktext=[bar.label for bar in bars], range=[-0.6, len(bars) - 0.4])
    figure.update_yaxes(
        title_text="spread, bp", range=[lowest - 0.12 * (highest - lowest) if lowest < 0 else 0.0, 1.15 * highest],
        zeroline=True, zerolinecolor=LINE, zerolinewidth=1,
    )  # fmt: skip
    return _json(figure)


def _text(bar: Bar) -> str:
    if bar.total:
        return f"{bar.value:.1f}"
    if abs(bar.value) < SMALLEST:
        return "0.0"
    return f"{bar.value:+.1f}".replace("-", MINUS)
