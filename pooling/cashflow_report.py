"""A deal's cash flows as text and as rows: what `manage.py waterfall` prints and writes. Pure: no Django, no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pooling.engine.analytics import average_lives, principal_window
from pooling.engine.waterfall import DealFlows, Program

RULE = "─"
CALL = "called"
TRIGGER = "trigger "
_ROUNDING = {"HALF_EVEN": "half a cent to the even cent", "HALF_UP": "half a cent up", "DOWN": "down"}
_SHORTFALL = {"note_rate": "earns the note rate", "none": "earns nothing"}


def header_lines(program: Program, deal: DealFlows, assumptions: str, *, to_call: bool) -> list[str]:
    """The deal, its dates, its conventions and what the run assumes, a line each. assumptions: of the pool, in
    words."""
    spec, rules, dates = program.spec, program.spec.conventions, program.spec.dates
    late = _SHORTFALL[rules.shortfall_interest]
    notes = float(program.initial_balance.sum())
    moved = "not moved" if rules.business_day_rule == "unadjusted" else f"{rules.business_day_rule}, {rules.calendar}"
    amounts = f"whole cents, {_ROUNDING[rules.rounding]}" if deal.unit == "cents" else "float64, not rounded"
    said = {
        "pool": f"{program.cutoff_balance:,.2f} at cut-off; notes {notes:,.2f}, {notes / program.cutoff_balance:.2%}",
        "dates": f"cut-off {dates.cut_off}, closing {dates.closing}, first payment {dates.first_payment}, "
        f"legal final {dates.legal_final}",
        "payments": f"{spec.payment_frequency}, {program.payments} dates, {moved}",
        "interest": f"{rules.interest_day_count}, {rules.accrual_dates} dates; unpaid interest {late}",
        "amounts": amounts,
        "assumptions": assumptions,
    }
    if spec.call is not None:
        said["call"] = "on the first date on which it may be" if to_call else "never: run to maturity"
    return [f"{spec.name} ({spec.currency})", *(f"  {name:<11}  {text}" for name, text in said.items()), ""]


def columns_of(program: Program, deal: DealFlows, scenario: int = 0) -> dict[str, list[Any]]:
    """Heading -> values by payment date: dates as text, amounts in currency units, triggers and the sale of the pool
    as 1 or 0."""
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
    if program.spec.call is not None:
        sold = deal.called[:, scenario].astype(int)
        found[CALL] = [int(now and not before) for now, before in zip(sold, [0, *sold[:-1]], strict=True)]
    for i, trigger in enumerate(program.spec.triggers):
        found[f"{TRIGGER}{trigger.name}"] = [int(flag) for flag in deal.breached[i, :, scenario]]
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
    # A trigger may stay breached when there is nothing left to pay.
    amounts = [
        values for name, values in columns.items() if name not in ("no", "date") and not name.startswith(TRIGGER)
    ]
    last = max((row for row in range(len(columns["no"])) if any(values[row] for values in amounts)), default=0)
    for row in range(last + 1):
        lines.append("  ".join(texts[name][row].rjust(widths[name]) for name in shown))
    if last + 1 < len(columns["no"]):
        lines.append(f"payments {columns['no'][last + 1]} to {columns['no'][-1]}: nothing is owed or paid")
    return lines


def _cell(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def class_rows(deal: DealFlows, yields: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Of every class: average life in years or None, first and last date of principal or None, what is unpaid at the
    end in currency units, and the yield as it is given here."""
    scale = 100.0 if deal.unit == "cents" else 1.0
    lives, window = average_lives(deal), principal_window(deal)
    rows = []
    for k, name in enumerate(deal.names):
        life, between = float(lives.years[k, 0]), window.between(k, 0)
        rows.append(
            {
                "name": name,
                "average_life_years": life if np.isfinite(life) else None,
                "principal_window": None if between is None else [day.isoformat() for day in between],
                "principal_unpaid": float(deal.unpaid_principal[k, 0]) / scale,
                "interest_unpaid": float(deal.interest_shortfall[k, -1, 0]) / scale,
                "yield": yields[k] if yields else None,
            }
        )
    return rows


def class_lines(deal: DealFlows, yields: Sequence[str] = ()) -> list[str]:
    """Average life, window and what is unpaid of every class."""
    lines = ["class       average life y  principal window                 principal unpaid  interest unpaid  yield"]
    lines.append(RULE * len(lines[0]))
    for row in class_rows(deal, yields):
        life = "—" if row["average_life_years"] is None else f"{row['average_life_years']:.3f}"
        between = "none" if row["principal_window"] is None else " to ".join(row["principal_window"])
        unpaid, late = row["principal_unpaid"], row["interest_unpaid"]
        text = f"{row['name']:<10}  {life:>14}  {between:<30}  {unpaid:>17,.2f}  {late:>15,.2f}  {row['yield'] or ''}"
        lines.append(text.rstrip())
    return lines
