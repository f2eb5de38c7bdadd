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
STEEL = "#a9b8c6"  # what belongs to no class
# Seniority, dark to light; the stylesheet has the same six as .s0 to .s5.
BLUES = ("#0a3161", "#1f63ad", "#5d9bd6", "#93bfe6", "#b9d6ef", "#d5e6f6")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MILLION = 1e6
# Width of a letter of a label as a share of the loss axis, on the narrowest chart of the site.
LETTER = 0.026
# Height of a label as a share of the tallest bar, on the lowest chart.
LABEL_APART = 0.12

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
        x=centres, y=[100 * share for share in mass], width=[w * 0.94 for w in widths], marker_color=STEEL,
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


# --------------------------------------------------------------------------------------- payments and a single date
def payments_figure(
    dates: Sequence[str], series: Sequence[tuple[str, str, Sequence[int]]], currency: str
) -> dict[str, Any]:
    """What each payee gets by date up to the last payment, stacked, the first at the bottom.

    series: (name, colour, cents by date).
    """
    paid = [any(row) for row in zip(*(amounts for _, _, amounts in series), strict=True)]
    end = max((place + 1 for place, any_paid in enumerate(paid) if any_paid), default=len(dates))
    dates, series = dates[:end], [(name, colour, amounts[:end]) for name, colour, amounts in series]
    figure = go.Figure(layout={"template": THEME, "hovermode": "x unified", "barmode": "stack", "bargap": 0.12})
    below, labels = [0.0] * len(dates), list[tuple[int, float]]()
    top = max((sum(column) for column in zip(*(amounts for _, _, amounts in series), strict=True)), default=0)
    scale, unit = (MILLION, "millions") if top >= 1e8 else (1e3, "thousands")
    for name, colour, cents in series:
        amounts = [value / 100 / scale for value in cents]
        figure.add_bar(
            x=list(dates), y=amounts, name=name, marker_color=colour, customdata=[value / 100 for value in cents],
            hovertemplate=f"{name} %{{customdata:,.2f}}<extra></extra>",
        )  # fmt: skip
        if any(amounts):
            at = max(range(len(amounts)), key=amounts.__getitem__)
            middle = below[at] + amounts[at] / 2
            # Thin layers of one bar: their labels keep apart.
            label = max([middle, *(y + LABEL_APART * top / 100 / scale for x, y in labels if x == at)])
            labels.append((at, label))
            figure.add_annotation(
                x=dates[at], y=label, text=name, showarrow=False, xanchor="center",
                font={"color": INK, "size": 11}, bgcolor="rgba(255,255,255,0.85)", borderpad=1,
            )  # fmt: skip
        below = [under + amount for under, amount in zip(below, amounts, strict=True)]
    figure.update_xaxes(title_text="payment date", type="date")
    figure.update_yaxes(title_text=f"{currency}, {unit}")
    return _json(figure)


@dataclass(frozen=True)
class FlowNode:
    """Where cash comes from, rests or goes on one date."""

    label: str
    colour: str


@dataclass(frozen=True)
class FlowLink:
    """Cash from one node to another, by their places. amount: cents, > 0."""

    source: int
    target: int
    amount: int
    colour: str


@dataclass(frozen=True)
class NodeBox:
    """A node as drawn, in pixels. amount: cents through it; anchor, label_x, label_y: of its label; above: whether the
    label stands above it, in two lines."""

    label: str
    amount: int
    colour: str
    x: float
    y: float
    height: float
    anchor: str
    label_x: float
    label_y: float
    above: bool


@dataclass(frozen=True)
class Band:
    """A link as drawn: a path of this width in pixels, and what it says under a pointer."""

    path: str
    width: float
    colour: str
    title: str


@dataclass(frozen=True)
class Sankey:
    """The cash of a date, drawn. width, height: of the view, in pixels."""

    width: int
    height: float
    nodes: tuple[NodeBox, ...]
    bands: tuple[Band, ...]


SANKEY_WIDTH = 1180
SANKEY_MARGIN = (150, 420)  # least and most for the labels beside the first and the last column
SANKEY_LETTER = 7.4  # pixels, on the widest font of the stack
SANKEY_NODE = 12
SANKEY_ROW = 19  # pixels between two labels of the first or the last column
SANKEY_ABOVE = 44  # for a label above a node between them
SANKEY_TALL = 220
HAIRLINE = 1.0


def sankey_figure(nodes: Sequence[FlowNode], links: Sequence[FlowLink]) -> Sankey:
    """Lay the cash of one date out from left to right: sources, accounts, payees; bands in true proportion.

    Each column keeps the order of `nodes`. A band of a few cents is a hairline, and its node still has its label.
    """
    through = _through(len(nodes), links)
    depth = flow_columns(len(nodes), links)
    columns = [[place for place in range(len(nodes)) if depth[place] == column] for column in range(max(depth) + 1)]
    last = len(columns) - 1
    gaps = [SANKEY_ROW if column in (0, last) else SANKEY_ABOVE for column in range(len(columns))]
    tall = max(SANKEY_TALL, *(2.2 * gap * len(places) for gap, places in zip(gaps, columns, strict=True)))
    scale = min(
        (tall - gap * (len(places) - 1)) / max(sum(through[place] for place in places), 1)
        for gap, places in zip(gaps, columns, strict=True)
    )
    left, right = (_label_room([(nodes[place].label, through[place]) for place in columns[end]]) for end in (0, last))
    boxes: dict[int, NodeBox] = {}
    for column, places in enumerate(columns):
        heights = [max(through[place] * scale, HAIRLINE) for place in places]
        x = left + (SANKEY_WIDTH - left - right - SANKEY_NODE) * column / max(last, 1)
        y = SANKEY_ABOVE + (tall - sum(heights) - gaps[column] * (len(places) - 1)) / 2
        for place, height in zip(places, heights, strict=True):
            side = -1 if column == 0 else 1 if column == last else 0
            boxes[place] = _box(nodes[place], through[place], x, y, height, side)
            y += height + gaps[column]
    ordered = tuple(boxes[place] for place in range(len(nodes)))
    bottom = max(max(box.y + box.height, box.label_y) for box in ordered)
    return Sankey(SANKEY_WIDTH, bottom + 10, ordered, _bands(ordered, links, scale))


def _label_room(labels: Sequence[tuple[str, int]]) -> float:
    """Pixels for labels with their amounts beside a column."""
    longest = max(len(label) + len(f"{amount / 100:,.2f}") for label, amount in labels)
    return min(max(longest * SANKEY_LETTER + 24, SANKEY_MARGIN[0]), SANKEY_MARGIN[1])


def _through(count: int, links: Sequence[FlowLink]) -> list[int]:
    """Cents through each node: the larger of what enters and what leaves."""
    entering, leaving = [0] * count, [0] * count
    for link in links:
        leaving[link.source] += link.amount
        entering[link.target] += link.amount
    return [max(pair) for pair in zip(entering, leaving, strict=True)]


def flow_columns(count: int, links: Sequence[FlowLink]) -> list[int]:
    """The column of each node: the longest way from a source, and the last one for whoever pays nobody.

    Cash that comes back on the same date (a top-up and a release) counts for its first way only.
    """
    forward: list[FlowLink] = []
    for link in links:
        if not _reaches(forward, link.target, link.source):
            forward.append(link)
    depth = [0] * count
    for _ in range(count):
        for link in forward:
            depth[link.target] = max(depth[link.target], depth[link.source] + 1)
    paying = {link.source for link in links}
    last = max([0, *depth, *(depth[place] + 1 for place in paying)])
    return [depth[place] if place in paying else last for place in range(count)]


def _reaches(links: Sequence[FlowLink], start: int, goal: int) -> bool:
    """Whether cash at one node can reach another."""
    seen, edge = {start}, [start]
    while edge:
        place = edge.pop()
        ahead = {link.target for link in links if link.source == place} - seen
        seen |= ahead
        edge += ahead
    return goal in seen


def _box(node: FlowNode, amount: int, x: float, y: float, height: float, side: int) -> NodeBox:
    """side: -1 label to the left, 1 to the right, 0 above."""
    anchor = {-1: "end", 0: "middle", 1: "start"}[side]
    label_x = {-1: x - 8, 0: x + SANKEY_NODE / 2, 1: x + SANKEY_NODE + 8}[side]
    label_y = y - 22 if side == 0 else y + height / 2 + 4
    return NodeBox(node.label, amount, node.colour, x, y, height, anchor, label_x, label_y, side == 0)


def _bands(boxes: Sequence[NodeBox], links: Sequence[FlowLink], scale: float) -> tuple[Band, ...]:
    """Bands leave and enter a node in the vertical order of their other ends, so that they cross as little as they
    can."""
    starts, ends = [box.y for box in boxes], [box.y for box in boxes]
    widths = [max(link.amount * scale, HAIRLINE) for link in links]
    order = range(len(links))
    from_y, to_y = [0.0] * len(links), [0.0] * len(links)
    for i in sorted(order, key=lambda i: boxes[links[i].target].y):
        from_y[i] = starts[links[i].source] + widths[i] / 2
        starts[links[i].source] += widths[i]
    for i in sorted(order, key=lambda i: boxes[links[i].source].y):
        to_y[i] = ends[links[i].target] + widths[i] / 2
        ends[links[i].target] += widths[i]
    found = []
    for i, link in enumerate(links):
        source, target = boxes[link.source], boxes[link.target]
        left, right = source.x + SANKEY_NODE, target.x
        bend = max(abs(right - left) / 2, 60.0)
        path = (
            f"M{left:.1f} {from_y[i]:.2f}C{left + bend:.1f} {from_y[i]:.2f} {right - bend:.1f} {to_y[i]:.2f} "
            f"{right:.1f} {to_y[i]:.2f}"
        )
        title = f"{source.label} to {target.label}: {link.amount / 100:,.2f}"
        found.append(Band(path, widths[i], link.colour, title))
    return tuple(found)


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
