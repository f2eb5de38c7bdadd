"""The drawings of the rating report as vectors: one function each, used by the PDF as it is and by the page as SVG.

Not here: the interactive charts of the dashboard (config/charts.py); the colours are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from reportlab.graphics import renderSVG
from reportlab.graphics.shapes import Drawing, Line, Polygon, PolyLine, Rect, String
from reportlab.lib.colors import HexColor

Json = Mapping[str, Any]
INK, MUTED, LINE, STEEL, ACCENT, AMBER = (
    HexColor(text) for text in ("#14202b", "#5b6b7a", "#dfe5ea", "#a9b8c6", "#0b5cad", "#c77d0a")
)
# Seniority, dark to light: as the stylesheet and the charts have it.
BLUES = tuple(HexColor(text) for text in ("#0a3161", "#1f63ad", "#5d9bd6", "#93bfe6", "#b9d6ef", "#d5e6f6"))
FANS = (("0.025", "0.975", HexColor("#e3edf7")), ("0.25", "0.75", HexColor("#b9d6ef")))
WIDTH, HEIGHT = 480.0, 170.0
LEFT, RIGHT, BOTTOM, TOP = 34.0, 12.0, 26.0, 14.0
SMALL = 7.0
LETTER = 0.56  # mean width of a letter, of its size
MILLION = 1e6


def class_colour(place: int, row: Json) -> Any:
    """The colour of a class by seniority; the residual, which has no coupon, is amber."""
    return AMBER if row.get("coupon") is None else BLUES[min(place, len(BLUES) - 1)]


class _Frame:
    """A drawing with axes; x and y turn figures into points."""

    def __init__(self, font: str, x_high: float, y_high: float, x_title: str, y_title: str) -> None:
        self.font, self.x_high, self.y_high = font, x_high or 1.0, y_high or 1.0
        self.drawing = Drawing(WIDTH, HEIGHT)
        for tick in _ticks(self.y_high):
            self.drawing.add(Line(LEFT, self.y(tick), WIDTH - RIGHT, self.y(tick), strokeColor=LINE, strokeWidth=0.5))
            self.text(LEFT - 4, self.y(tick) - 2.4, _short(tick), MUTED, "end")
        for tick in _ticks(self.x_high):
            self.text(self.x(tick), BOTTOM - 10, _short(tick), MUTED, "middle")
        self.text(WIDTH - RIGHT, BOTTOM - 20, x_title, MUTED, "end")
        self.text(2, HEIGHT - 8, y_title, MUTED)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_high

    def y(self, value: float) -> float:
        return BOTTOM + (HEIGHT - BOTTOM - TOP) * value / self.y_high

    def text(self, x: float, y: float, words: str, colour: Any = INK, anchor: str = "start") -> None:
        self.drawing.add(
            String(x, y, words, fontName=self.font, fontSize=SMALL, fillColor=colour, textAnchor=anchor)
        )

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: Any, dash: Sequence[int] | None = None) -> None:
        points = [value for x, y in zip(xs, ys, strict=True) for value in (self.x(x), self.y(y))]
        self.drawing.add(PolyLine(points, strokeColor=colour, strokeWidth=1.2, strokeDashArray=dash))


def _ticks(high: float) -> list[float]:
    """About four round figures from 0 to high."""
    raw = high / 4
    power = 10.0 ** _floor_log(raw)
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw * 0.999)
    return [step * count for count in range(int(high / step + 1e-9) + 1)]


def _floor_log(value: float) -> int:
    power = 0
    while value >= 10:
        value, power = value / 10, power + 1
    while 0 < value < 1:
        value, power = value * 10, power - 1
    return power


def _short(value: float) -> str:
    return f"{value:.6g}"


def loss_drawing(data: Json, font: str) -> Drawing:
    """Histogram of the pool's loss with the expected loss and the attachment points; in percent."""
    edges, mass = data["histogram"]["edges"], data["histogram"]["mass"]
    last = max((place for place, share in enumerate(mass) if share > 0), default=0)
    marks = [("expected", float(data.get("expected") or 0.0)), *((name, float(at)) for name, at in data["marks"])]
    high = 100 * max(edges[last + 1], *(at for _, at in marks)) * 1.12
    frame = _Frame(font, high, 115 * max([*mass, 1e-9]), "loss, % of the cut-off balance", "probability, %")
    for (low, end), share in zip(list(pairwise(edges))[: last + 1], mass, strict=False):
        left, width = frame.x(100 * low), frame.x(100 * end) - frame.x(100 * low)
        frame.drawing.add(
            Rect(left, BOTTOM, width * 0.92, frame.y(100 * share) - BOTTOM, fillColor=STEEL, strokeColor=None)
        )
    ends: list[float] = []
    for name, at in sorted(marks, key=lambda mark: mark[1]):
        words = f"{name} {100 * at:.1f}"
        x = frame.x(100 * at)
        level = next(n for n in range(len(ends) + 1) if n == len(ends) or ends[n] < x)
        ends[level : level + 1] = [x + LETTER * SMALL * len(words) + 6]
        colour = INK if name == "expected" else ACCENT
        top = HEIGHT - TOP - 9 * level
        frame.drawing.add(Line(x, BOTTOM, x, top, strokeColor=colour, strokeWidth=0.9))
        frame.text(x + 2, top - 6, words)
    return frame.drawing


def fan_drawing(data: Json, font: str) -> Drawing:
    """Cumulative loss by month: mean, half and 95 % of the scenarios; in percent."""
    found = data["by_month"]
    months, mean, levels = found["month"], found["mean"], found["quantiles"]
    widest = levels.get("0.975", mean)
    frame = _Frame(font, max([*months, 1]) * 1.12, 108 * max([*widest, *mean, 1e-9]), "month after closing", "loss, %")
    for low, high, colour in FANS:
        if low in levels and high in levels:
            edge = [*zip(months, levels[high], strict=True), *reversed([*zip(months, levels[low], strict=True)])]
            outline = [value for month, share in edge for value in (frame.x(month), frame.y(100 * share))]
            frame.drawing.add(Polygon(outline, fillColor=colour, strokeColor=None))
    frame.line(months, [100 * value for value in mean], INK)
    for words, line in (("mean", mean), ("97.5 %", widest), ("75 %", levels.get("0.75", mean))):
        frame.text(frame.x(months[-1]) + 4, frame.y(100 * line[-1]) - 2.4, words)
    return frame.drawing


def balances_drawing(data: Json, font: str) -> Drawing:
    """Pool and class balances of the base case, millions."""
    found = data["collateral"]
    pool, months = found["pool_balance"], found["month"]
    end = max((place for place, value in enumerate(pool) if value > 0.002 * pool[0]), default=len(pool) - 1) + 1
    frame = _Frame(font, months[end - 1] * 1.04, max(pool) / MILLION * 1.08, "month after closing", "millions")
    frame.line(months[:end], [value / MILLION for value in pool[:end]], MUTED, [2, 2])
    frame.text(frame.x(months[0]) + 8, frame.y(pool[0] / MILLION) + 1, "Pool", MUTED)
    for place, row in enumerate(data["classes"]):
        series = found["balances"].get(row["name"])
        if not series:
            continue
        frame.line(months[:end], [value / MILLION for value in series[:end]], class_colour(place, row))
        at = max((n for n in range(end) if series[n] >= 0.85 * series[0]), default=0)
        frame.text(frame.x(months[at]) + 4, frame.y(series[at] / MILLION) + 2, row["name"])
    return frame.drawing


def structure_drawing(data: Json, font: str) -> Drawing:
    """The classes in true proportion, senior to the left, with their grades."""
    rows = data["classes"]
    total, tall = sum(row["balance"] for row in rows) or 1, 30.0
    drawing = Drawing(WIDTH, 62.0)
    x, ends = 0.0, [0.0, 0.0]
    for place, row in enumerate(rows):
        width = WIDTH * row["balance"] / total
        drawing.add(Rect(x, 30, width, tall, fillColor=class_colour(place, row), strokeColor=HexColor("#ffffff")))
        grade = row.get("rating") or ("residual" if row.get("coupon") is None else "not rated")
        words = f"{row['name']} {grade}, {100 * row['balance'] / total:.1f} %"
        wide = LETTER * SMALL * len(words)
        at = max(0.0, min(x, WIDTH - wide))
        line = 0 if ends[0] <= at else 1
        at = max(at, ends[line])
        drawing.add(String(at, 20 - 10 * line, words, fontName=font, fontSize=SMALL, fillColor=INK))
        ends[line] = at + wide + 8
        x += width
    return drawing


def tornado_drawing(data: Json, font: str) -> Drawing:
    """Notches by stress: a group of bars a stress, one a class, senior on top; downgrades to the left."""
    bars, thick, room = data["bars"], 6.0, 150.0
    high = len(bars[0]["notches"]) * thick + 5
    drawing = Drawing(WIDTH, high * len(bars) + 4)
    reach = max(1, *(abs(notches) for bar in bars for _, notches in bar["notches"]))
    middle = room + (WIDTH - room - 20) / 2
    unit = (WIDTH - room - 60) / 2 / reach
    for place, bar in enumerate(bars):
        top = drawing.height - high * place - 2
        drawing.add(String(0, top - 8, bar["label"], fontName=font, fontSize=SMALL, fillColor=INK))
        for slot, (name, notches) in enumerate(bar["notches"]):
            y = top - thick * (slot + 1)
            start, end = sorted((middle, middle + unit * notches))
            colour = BLUES[min(slot, len(BLUES) - 1)]
            drawing.add(Rect(start, y, end - start, thick - 1.4, fillColor=colour, strokeColor=None))
            signed = f"{notches:+d}".replace("-", "−") if notches else "0"
            words, at, anchor = f"{name} {signed}", end + 3, "start"
            if notches < 0:
                at, anchor = start - 3, "end"
            drawing.add(String(at, y, words, fontName=font, fontSize=5.6, fillColor=MUTED, textAnchor=anchor))
    drawing.add(Line(middle, 0, middle, drawing.height, strokeColor=LINE, strokeWidth=0.6))
    return drawing


DRAWINGS: Mapping[str, Callable[[Json, str], Drawing]] = {
    "loss": loss_drawing,
    "fan": fan_drawing,
    "balances": balances_drawing,
    "structure": structure_drawing,
    "tornado": tornado_drawing,
}


def drawn(name: str, data: Json, font: str = "Helvetica") -> Drawing:
    """The drawing of this name. Raises ValueError for an unknown one."""
    if name not in DRAWINGS:
        raise ValueError(f"name: {name!r} is none of {', '.join(DRAWINGS)}")
    return DRAWINGS[name](data, font)


def as_svg(name: str, data: Json, title: str) -> str:
    """The drawing as an SVG element for a page, of which each name stands there once; title: for who cannot see it."""
    text = renderSVG.drawToString(drawn(name, data))
    element = str(text[text.index("<svg") :])
    for old, new in (
        # Every drawing names its parts alike; on one page the first frame would cut all the others.
        ('id="clip"', f'id="clip-{name}"'), ("url(#clip)", f"url(#clip-{name})"), ('id="group"', f'id="group-{name}"'),
        ("<title>...</title>", f"<title>{escape(title)}</title>"), ("<desc>...</desc>", ""),
        ("<svg ", '<svg role="img" '),
    ):  # fmt: skip
        element = element.replace(old, new)
    return element
