"""How figures are written and where chart labels stand. No browser."""

from __future__ import annotations

import itertools
import re
from collections import namedtuple
from decimal import Decimal

from config.charts import AMBER, BLUES, Mark, balance_figure, loss_figure, structure_blocks
from config.templatetags.figures import band, millions, money, number, pct, rare, span, ticks
from tests.conftest import ROOT

Row = namedtuple("Row", "name")


def test_figures_have_fixed_decimals_a_true_minus_and_a_dash_for_nothing() -> None:
    assert money(123_456_789) == "1,234,567.89"
    assert money(-5) == "−0.05"
    assert money(None) == millions(None) == pct(None) == ticks(None) == number(None) == rare(None) == span(None) == "—"
    assert number(-0.001, 2) == "0.00"  # no minus before a zero
    assert number(-1234.5, 1) == "−1,234.5"
    assert millions(19_932_400_000) == "199.32"
    assert pct(Decimal("0.124113"), 2) == "12.41"
    assert pct(0.29, 0) == "29"  # 0.29 * 100 is 28.999… in floats
    assert ticks(5031) == "5.031"


def test_a_small_probability_is_never_written_as_zero() -> None:
    assert rare(3e-8) == "<0.0001"
    assert rare(0.0) == "0.0000"
    assert rare(0.0008864) == "0.0886"


def test_names_of_strata_and_intervals_are_short() -> None:
    assert band("8 % to below 10 %") == "8 to <10 %"
    assert band("debt_consolidation") == "debt consolidation"
    assert span(["AA", "AA+"]) == "AA to AA+"
    assert span(["A", "A"]) == "A"


def test_stylesheet_and_charts_have_the_same_colours_for_a_class() -> None:
    style = (ROOT / "config/static/glasspool/site.css").read_text(encoding="utf-8")
    found = re.findall(r"\.s(\d) \{ background: (#\w+); \}", style)
    assert found == [(str(i), colour) for i, colour in enumerate(BLUES)]
    assert f"--amber: {AMBER};" in style


def test_labels_of_the_loss_chart_keep_apart() -> None:
    marks = [Mark(at, text, "#000") for at, text in ((0.089, "expected 8.9%"), (0.12, "C 12.0%"), (0.125, "B 12.5%"))]
    figure = loss_figure([0.0, 0.1, 0.2, 0.3], [0.6, 0.4, 0.0], marks)
    heights = [label["y"] for label in figure["layout"]["annotations"]]
    assert len(set(heights)) == 3
    # an empty tail of the histogram does not stretch the axis
    assert figure["layout"]["xaxis"]["range"][1] < 30


def test_classes_of_the_structure_fill_it_in_proportion_and_labels_keep_apart() -> None:
    shares = [0.9, 0.01, 0.01, 0.08]
    rows = [Row(name) for name in "ABCR"]
    blocks = structure_blocks(rows, shares, [0, 1, 2, None], height=200, top=10, gap=30)
    assert [block.height for block in blocks] == [share * 200 for share in shares]
    assert abs(blocks[-1].y + blocks[-1].height - 210) < 1e-9
    labels = [block.label_y for block in blocks]
    assert all(below - above >= 30 - 1e-9 for above, below in itertools.pairwise(labels))
    assert labels[-1] <= 210
    assert [block.colour for block in blocks] == [*BLUES[:3], AMBER]


def test_a_class_is_labelled_where_it_starts_to_fall() -> None:
    figure = balance_figure([1, 2, 3, 4], [10e6, 8e6, 5e6, 0.0], [("B", 1, [1e6, 1e6, 0.2e6, 0.0])])
    label = next(each for each in figure["layout"]["annotations"] if each["text"] == "B")
    assert (label["x"], label["y"]) == (2, 1.0)
