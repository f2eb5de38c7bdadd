"""A back-test as text, rows, JSON and a drawing: what `manage.py backtest` prints and writes.

Pure: no Django, no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pooling.tapes import month_name
from rating.engine.backtest import Coverage, IncidenceCheck, Outcome, Period, coverage, misses
from rating.engine.uncertainty import UncertaintyCost

DIGITS = 6
COLUMNS = (
    "kind", "cutoff", "quarter", "grade", "term", "loans", "horizon", "realised", "mean", "low", "high", "pit",
    "inside", "plain_mean", "plain_low", "plain_high", "plain_pit", "plain_inside",
)  # fmt: skip
_WITH, _WITHOUT = "with parameter uncertainty", "without"


def quarter_name(quarter: int) -> str:
    """2009Q1 of quarters since January 1970."""
    return f"{1970 + quarter // 4}Q{quarter % 4 + 1}"


def outcome_row(kind: str, item: Outcome) -> dict[str, Any]:
    """One prediction as a row of COLUMNS; shares rounded to six decimals. kind: "cell" or "loss"."""

    def share(value: float) -> float:
        return round(value, DIGITS)

    return {
        "kind": kind,
        "cutoff": month_name(item.cutoff_month),
        "quarter": quarter_name(item.quarter),
        "grade": item.grade,
        "term": item.term or "",
        "loans": item.loans,
        "horizon": item.horizon,
        "realised": share(item.realised),
        "mean": share(item.full.mean),
        "low": share(item.full.low),
        "high": share(item.full.high),
        "pit": share(item.full.pit),
        "inside": int(item.full.covers(item.realised)),
        "plain_mean": share(item.plain.mean),
        "plain_low": share(item.plain.low),
        "plain_high": share(item.plain.high),
        "plain_pit": share(item.plain.pit),
        "plain_inside": int(item.plain.covers(item.realised)),
    }


def outcome_rows(periods: Sequence[Period]) -> list[dict[str, Any]]:
    """Every prediction, cells before losses within a cut-off."""
    rows = []
    for period in periods:
        rows += [outcome_row("cell", item) for item in period.cells]
        rows += [outcome_row("loss", item) for item in period.losses]
    return rows


def cells_of_all(periods: Sequence[Period]) -> list[Outcome]:
    """The cells of every cut-off, in order."""
    return [item for period in periods for item in period.cells]


def losses_of_all(periods: Sequence[Period]) -> list[Outcome]:
    """The losses by issue quarter of every cut-off, in order."""
    return [item for period in periods for item in period.losses]


def _percent(value: float) -> str:
    return f"{100 * value:5.1f}"


def _interval(item: Outcome) -> str:
    full, plain = item.full, item.plain
    return (
        f"{_percent(item.realised)}   {_percent(full.mean)} "
        f"[{_percent(full.low)}, {_percent(full.high)}] {full.pit:5.3f}"
        f"   [{_percent(plain.low)}, {_percent(plain.high)}] {plain.pit:5.3f}"
        f"{'' if full.covers(item.realised) else '  miss'}"
    )


_HEAD = "realised    mean [   95 % interval] PIT     [  without unc.] PIT"


def period_lines(period: Period) -> list[str]:
    """A cut-off: what calibrated it, its coverage and the losses by quarter; all figures in per cent."""
    model = period.model
    origin = model.provenance["hazards"]
    lines = [
        f"Cut-off {month_name(period.cutoff_month)}: {model.history_months} months of history, {origin['defaults']} "
        f"defaults; correlation {model.asset_correlation:.4f}, ln deviation {model.correlation_sigma:.3f}; "
        f"level deviation {model.pd_level_sigma:.3f}; severity {model.severity_mean:.3f}",
    ]
    lines += [f"  fallback: {text}" for text in model.fallbacks]
    lines += [f"  {'loss of':<10}{'loans':>6}  {_HEAD}"]
    lines += [f"  {quarter_name(item.quarter):<10}{item.loans:>6}    {_interval(item)}" for item in period.losses]
    if period.cells:
        lines += [f"  {each}" for each in coverage_lines(coverage(period.cells))[:2]]
    return [*lines, f"  {period.left_out} loans in cells too small to judge", ""]


def coverage_lines(found: Coverage) -> list[str]:
    """Coverage and mid-PIT counts, a line each."""
    return [
        f"{found.cells} cells, inside the 95 % interval: {found.full:.1%} {_WITH}, {found.plain:.1%} {_WITHOUT}",
        f"mean width of the interval, points: {100 * found.full_width:.1f} {_WITH}, {100 * found.plain_width:.1f} "
        f"{_WITHOUT}",
        f"PIT in tenths {_WITH}: {' '.join(str(each) for each in found.full_pit)}",
        f"PIT in tenths {_WITHOUT}: {' '.join(str(each) for each in found.plain_pit)}",
    ]


def miss_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """The cells outside their interval with parameter uncertainty, and how far the count was foreseen."""
    return [
        f"{month_name(item.cutoff_month)}  {quarter_name(item.quarter)} {item.grade} {item.term:>3} {item.loans:>6}    "
        f"{_interval(item)}"
        for item in misses(outcomes)
    ]


def cost_lines(name: str, cost: UncertaintyCost) -> list[str]:
    """Notches that parameter uncertainty costs a standard structure."""
    lines = [
        f"{name}: mean loss {cost.loss:.2%} ({_WITHOUT} {cost.loss_plain:.2%}), 99.9 % loss {cost.tail:.1%} "
        f"({_WITHOUT} {cost.tail_plain:.1%}), life {cost.years:.2f} years",
    ]
    for item in cost.classes:
        lines.append(
            f"  {item.target:<4} attaches at {item.attachment:6.1%}; with uncertainty it earns {item.grade:<4} "
            f"({item.notches} notches, {item.notches_without_correlation} were the correlation certain) "
            f"and would need {item.needed:6.1%}"
        )
    return lines


def incidence_lines(checks: Sequence[IncidenceCheck]) -> list[str]:
    """Aalen-Johansen beside the model, in per cent of the loans issued."""
    lines = ["term month   default: A-J  hazards  scenarios   latent   prepaid: A-J  hazards"]
    for item in checks:
        lines.append(
            f"{item.term:>4} {item.month:>5}          {_percent(item.default)}    {_percent(item.hazard_default)}      "
            f"{_percent(item.model_default)}    {_percent(item.latent)}          {_percent(item.prepaid)}    "
            f"{_percent(item.hazard_prepaid)}"
        )
    return lines


def report_lines(
    periods: Sequence[Period], costs: Sequence[tuple[str, UncertaintyCost]], checks: Sequence[IncidenceCheck]
) -> list[str]:
    """The whole back-test as text."""
    cells, losses = cells_of_all(periods), losses_of_all(periods)
    lines = [line for period in periods for line in period_lines(period)]
    lines += ["All cut-offs, default shares by issue quarter x grade x term"]
    lines += [f"  {each}" for each in coverage_lines(coverage(cells))]
    lines += ["All cut-offs, loss by issue quarter"]
    lines += [f"  {each}" for each in coverage_lines(coverage(losses))]
    missed = miss_lines(cells)
    lines += ["", f"Misses with parameter uncertainty: {len(missed)} of {len(cells)} cells"]
    lines += [f"  cut-off  cell         loans  {_HEAD}", *(f"  {each}" for each in missed)] if missed else []
    lines += ["", "Notches that parameter uncertainty costs"]
    lines += [f"  {line}" for name, cost in costs for line in cost_lines(name, cost)]
    return [*lines, "", "Incidences of the history, per cent", *(f"  {each}" for each in incidence_lines(checks))]


def report_json(
    periods: Sequence[Period],
    costs: Sequence[tuple[str, UncertaintyCost]],
    checks: Sequence[IncidenceCheck],
    source: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything the text says, JSON-able. source: what was read and how it was run."""
    cells, losses = cells_of_all(periods), losses_of_all(periods)
    return {
        "source": dict(source),
        "coverage": {"cells": asdict(coverage(cells)), "losses": asdict(coverage(losses))},
        "periods": [
            {
                "cutoff": month_name(period.cutoff_month),
                "model": period.model.content_hash(),
                "left_out": period.left_out,
                "coverage": asdict(coverage(period.cells)) if period.cells else None,
                "provenance": {
                    name: dict(period.model.provenance[name])
                    for name in ("asset_correlation", "correlation_sigma", "pd_level_sigma", "sector_share")
                },
                "fallbacks": list(period.model.fallbacks),
            }
            for period in periods
        ],
        "rows": outcome_rows(periods),
        "notches": [{"pool": name, **asdict(cost)} for name, cost in costs],
        "incidence": [asdict(each) for each in checks],
    }


def pit_svg(found: Coverage) -> str:
    """The two mid-PIT histograms side by side as SVG; the dashed line is what a calibrated forecast would show."""
    width, height, base, bar = 640, 240, 190, 26
    top = max(*found.full_pit, *found.plain_pit, 1)
    even = found.cells / len(found.full_pit)
    frame = f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>']
    for k, (title, counts) in enumerate(((_WITH, found.full_pit), (_WITHOUT, found.plain_pit))):
        left = 25 + 310 * k
        parts.append(f'<text x="{left}" y="20">PIT {title}, {found.cells} cells</text>')
        for i, count in enumerate(counts):
            tall = round(150 * count / top, 1)
            place = f'x="{left + bar * i}" y="{base - tall:.1f}" width="{bar - 3}" height="{tall:.1f}"'
            parts.append(
                f'<rect {place} fill="#2f6f8f">'
                f"<title>{i / 10:.1f} to {(i + 1) / 10:.1f}: {count}</title></rect>"
            )
            parts.append(f'<text x="{left + bar * i}" y="{base + 16}">{i / 10:.1f}</text>')
        line = base - 150 * even / top
        parts.append(
            f'<line x1="{left}" x2="{left + bar * len(counts)}" y1="{line:.1f}" y2="{line:.1f}" stroke="#b3541e" '
            'stroke-dasharray="4 3"/>'
        )
    return "\n".join([*parts, "</svg>", ""])
