"""Charts of the pages. The figure travels as JSON beside its frame and is drawn by static/glasspool/charts.js."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import template

from config.charts import (
    INK,
    MUTED,
    RED,
    STEEL,
    FlowLink,
    FlowNode,
    Mark,
    balance_figure,
    demand_figure,
    loss_figure,
    payments_figure,
    sankey_figure,
    structure_blocks,
    tranche_colour,
)

register = template.Library()
BAR_HEIGHT = 210
BAR_TOP = 8
LABEL_GAP = 34


def _chart(name: str, title: str, subtitle: str, figure: Mapping[str, Any], height: int = 280) -> dict[str, Any]:
    return {"name": name, "title": title, "subtitle": subtitle, "figure": figure, "height": height}


@register.inclusion_tag("components/chart.html")
def loss_chart(
    rating: Mapping[str, Any], classes: Sequence[Any], realised: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The loss distribution with expected loss, attachment points, and the realised loss where it is known."""
    simulation = rating["simulation"]
    marks = [Mark(simulation["expected_loss"], f"expected {simulation['expected_loss']:.1%}", INK, "dot")]
    marks += [
        Mark(row.attach, f"{row.name} {row.attach:.1%}", tranche_colour(min(row.slot, 2)))
        for row in classes
        if row.slot is not None and row.attach > 0
    ]
    if realised:
        marks.append(Mark(realised["loss"], f"realised {realised['loss']:.1%}", RED, "dash"))
    histogram = simulation["histogram"]
    subtitle = "with attachment points"
    return _chart("loss", "Loss distribution", subtitle, loss_figure(histogram["edges"], histogram["mass"], marks))


@register.inclusion_tag("components/chart.html")
def balance_chart(rating: Mapping[str, Any], classes: Sequence[Any]) -> dict[str, Any]:
    """Pool and class balances of the base case."""
    base = rating["collateral"]
    series = [(row.name, row.slot, base["balances"][row.name]) for row in classes if row.name in base["balances"]]
    figure = balance_figure(base["month"], base["pool_balance"], series)
    return _chart("balances", "Collateral and notes", "base case, by month", figure)


@register.inclusion_tag("components/chart.html")
def demand_chart(auction: Any, result: Any) -> dict[str, Any]:
    """What was bid for a class, cumulated from the lowest yield."""
    figure = demand_figure(result.demand, result.supply, result.guide_ticks, result.clearing_ticks, auction.seniority)
    return _chart(
        f"demand-{auction.tranche}", f"Class {auction.tranche}", "bids cumulated from the lowest yield", figure, 230
    )


@register.inclusion_tag("components/chart.html")
def payments_chart(table: Any, classes: Sequence[Any], what: str, currency: str) -> dict[str, Any]:
    """What the classes are paid by date, stacked. what: "interest" or "principal"."""
    dates = [row.date.isoformat() for row in table.rows]
    series = [
        (each.name, tranche_colour(each.slot), [getattr(row.classes[each.slot], what) for row in table.rows])
        for each in classes
    ]
    title = f"{what.capitalize()} by class"
    return _chart(f"paid-{what}", title, "base case, by payment date", payments_figure(dates, series, currency), 230)


@register.inclusion_tag("components/sankey.html")
def sankey_chart(nodes: Sequence[Any], links: Sequence[Any], title: str, subtitle: str) -> dict[str, Any]:
    """The cash of one date from its sources to its payees. SVG: it needs no script.

    nodes: with label, kind and slot; links: with source, target and amount in cents. A band has the colour of the
    class that it pays.
    """
    drawn = [FlowNode(node.label, _node_colour(node)) for node in nodes]
    colours = [box.colour if _pays(node) else STEEL for box, node in zip(drawn, nodes, strict=True)]
    bands = [FlowLink(each.source, each.target, each.amount, colours[each.target]) for each in links]
    return {"figure": sankey_figure(drawn, bands), "title": title, "subtitle": subtitle}


def _pays(node: Any) -> bool:
    return node.kind in ("class", "residual")


def _node_colour(node: Any) -> str:
    if _pays(node):
        return tranche_colour(node.slot)
    return MUTED if node.kind == "account" else STEEL


@register.inclusion_tag("components/structure.html")
def structure_chart(classes: Sequence[Any]) -> dict[str, Any]:
    """The capital structure as stacked blocks in true proportion, senior on top."""
    total = sum(row.balance for row in classes) or 1
    blocks = structure_blocks(
        classes, [row.balance / total for row in classes], [row.slot for row in classes],
        height=BAR_HEIGHT, top=BAR_TOP, gap=LABEL_GAP,
    )  # fmt: skip
    bottom = max([BAR_TOP + BAR_HEIGHT, *(block.label_y + 14 for block in blocks)])
    return {"blocks": blocks, "total": total, "height": bottom + BAR_TOP, "bar_height": BAR_HEIGHT, "top": BAR_TOP}
