"""A deal's cash flows as text and as rows: what `manage.py waterfall` prints and writes. Pure: no Django, no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pooling.engine.analytics import average_lives, principal_window
from pooling.engine.waterfall import DealFlows, Program

RULE = "─"


def columns_of(program: Program, deal: DealFlows, scenario: int = 0) -> dict[str, list[Any]]:
    """Heading -> values by payment date: dates as text, amounts in currency units, triggers as 1 or 0."""
    scale = 100.0 if deal.unit == "cents" else 1.0

    def money(column: np.ndarray) -> list[float]:
        return [float(value) / scale for value in column[:, scenario]]

    found: dict[str, list[Any]] = {
        "no": list(range(deal.first_period + 1, deal.first_period + deal.months + 1)),
        "date": [day.isoformat() for day in deal.dates],
        "pool": money(deal.pool_balance),
        "collections": money(deal.collections),
    }
    found |= {f"fee {name}": money(deal.fees[f]) for f, name in enumerate(deal.fee_names)}
    for k, name in enumerate(deal.names):
        found[f"{name} interest"] = money(deal.interest[k])
        found[f"{name} principal"] = money(deal.principal[k])
        found[f"{name} balance"] = money(deal.balance[k])
        found[f"{name} unpaid"] = money(deal.interest_shortfall[k])
    for place in deal.reserve_places:
        found[deal.account_names[place]] = money(deal.accounts[place])
    found |= {f"ledger {ledger.name}": money(deal.deficiency[i]) for i, ledger in enumerate(program.spec.ledgers)}
    found |= {f"drawn {line.name}": money(deal.drawn[i]) for i, line in enumerate(program.spec.facilities)}
    found |= {f"hedge {hedge.name}": money(deal.hedge_net[i]) for i, hedge in enumerate(program.spec.hedges)}
    found[program.spec.residual.name] = money(deal.residual)
    for i, trigger in enumerate(program.spec.triggers):
        found[f"trigger {trigger.name}"] = [int(flag) for flag in deal.breached[i, :, scenario]]
    return found


def table_lines(columns: dict[str, list[Any]]) -> list[str]:
    """The columns as aligned text; those that are zero on every date are left out, and so are empty dates at the
    end."""
    shown = {
        name: values
        for name, values in columns.items()
        if name in ("no", "date", "pool", "collections") or any(values) or name.endswith((" balance", " interest"))
    }
    texts = {name: [_cell(value) for value in values] for name, values in shown.items()}
    widths = {name: max(len(name), *(len(text) for text in column)) for name, column in texts.items()}
    lines = ["  ".join(name.rjust(widths[name]) for name in shown)]
    lines.append(RULE * len(lines[0]))
    amounts = [values for name, values in columns.items() if name not in ("no", "date")]
    last = max((row for row in range(len(columns["no"])) if any(values[row] for values in amounts)), default=0)
    for row in range(last + 1):
        lines.append("  ".join(texts[name][row].rjust(widths[name]) for name in shown))
    if last + 1 < len(columns["no"]):
        lines.append(f"payments {columns['no'][last + 1]} to {columns['no'][-1]}: nothing is owed or paid")
    return lines


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def class_lines(deal: DealFlows, yields: Sequence[str] = ()) -> list[str]:
    """Average life, window and what is unpaid of every class."""
    scale = 100.0 if deal.unit == "cents" else 1.0
    lives, window = average_lives(deal), principal_window(deal)
    lines = ["class       average life y  principal window                 principal unpaid  interest unpaid  yield"]
    lines.append(RULE * len(lines[0]))
    for k, name in enumerate(deal.names):
        life = float(lives.years[k, 0])
        first_last = window.between(k, 0)
        between = "none" if first_last is None else f"{first_last[0]} to {first_last[1]}"
        unpaid, late = deal.unpaid_principal[k, 0] / scale, deal.interest_shortfall[k, -1, 0] / scale
        rate = yields[k] if yields else ""
        shown = f"{life:.3f}" if np.isfinite(life) else "—"
        lines.append(f"{name:<10}  {shown:>14}  {between:<30}  {unpaid:>17,.2f}  {late:>15,.2f}  {rate}")
    return lines
