"""The deals of the witness's regression files in our language, and its pool tables as a servicer's report."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np

from pooling.engine.assumptions import servicer_flows
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows

CLOSING = "2021-04-15"
FIRST_ROWS = 4  # pool rows dated 15 and 30 April, 31 May and 30 June reach the first payment, of 26 July


def oracle(shared: Path, name: str) -> dict[str, Any]:
    """One file of the witness."""
    value: dict[str, Any] = json.loads((shared / "oracles" / "cashflows" / f"{name}.json").read_text())
    return value


def pool_flows(run: dict[str, Any], payments: int) -> PoolFlows:
    """The witness's pool table, row by row, then nothing until as many payments are made."""
    table = run["expected"]["pool"]["PoolConsol"]
    place = {name: i for i, name in enumerate(table["columns"])}
    rows = np.array(table["rows"], dtype=float)
    months = max(len(rows), FIRST_ROWS + payments - 1)
    columns = {
        ours: np.pad(rows[:, place[theirs]], (0, months - len(rows)))
        for ours, theirs in (
            ("interest", "Interest"), ("scheduled_principal", "Principal"), ("prepayment", "Prepayment"),
            ("default", "Default"), ("recovery", "Recovery"),
        )
    }  # fmt: skip
    # Its amounts are cut to cents, so that a few of them may leave more than 2,200.
    total = sum(float(columns[name].sum()) for name in ("scheduled_principal", "prepayment", "default"))
    return servicer_flows(max(total, 2200.0), columns)


def spec(*, coupon: Any = 0.07, fee: dict[str, Any] | None = None, reserves: dict[str, int] | None = None) -> DealSpec:
    """A1 of 1,000 at 7 % and B of 1,000 at 0 %, paid by turns from all cash; what is left is the yield of B.

    reserves: name -> cents at closing, drawn in that order for A1's interest. Unpaid interest earns the note rate.
    """
    names = list(reserves or {})
    accounts: list[dict[str, Any]] = [{"name": "collection", "kind": "collection"}]
    accounts += [
        {"name": name, "kind": "reserve", "initial": f"USD {cents / 100}", "target": "USD 0", "excess": "held",
         "release": "final"}
        for name, cents in (reserves or {}).items()
    ]  # fmt: skip
    steps: list[dict[str, Any]] = [{"pay": "fee", "to": [fee["name"]]}] if fee else []
    steps += [
        {"pay": "interest", "to": ["A1"], "support": names},
        {"pay": "principal", "to": ["A1"], "amount": "class[A1].balance"},
        {"pay": "interest", "to": ["B"]},
        {"pay": "principal", "to": ["B"], "amount": "class[B].balance"},
        *({"pay": "reserve", "to": [name]} for name in names),
        {"pay": "residual", "to": ["yield"]},
    ]
    return DealSpec.from_json(
        {
            "schema_version": 2,
            "name": "Witness",
            "currency": "USD",
            "dates": {
                "cut_off": "2021-03-01", "closing": CLOSING, "first_payment": "2021-07-26", "payment_day": 20,
                "legal_final": "2030-01-01", "first_collection_months": FIRST_ROWS,
            },
            "payment_frequency": "monthly",
            "tranches": [
                {"name": "A1", "kind": "note", "balance": 100_000, "coupon": coupon},
                {"name": "B", "kind": "note", "balance": 100_000, "coupon": 0.0},
            ],
            "residual": {"name": "yield"},
            "fees": [fee] if fee else [],
            "accounts": accounts,
            "collections": [{"source": "all", "into": "collection"}],
            "overcollateralisation": {"target": None},
            "loss_coverage": "principal_distribution_amount",
            "waterfall": steps,
            "conventions": {
                "event_order": "WITNESS", "interest_day_count": "ACT/365F", "accrual_dates": "unadjusted",
                "business_day_rule": "unadjusted", "calendar": "none", "shortfall_interest": "note_rate",
                "rounding": "DOWN",
            },
            "closing_expenses": 0,
        }
    )  # fmt: skip


def rows_by_date(table: dict[str, Any]) -> dict[dt.date, dict[str, float]]:
    """Payment date -> column -> figure of one of the witness's tables."""
    days = [dt.date.fromisoformat(day) for day in table["index"]]
    return {day: dict(zip(table["columns"], row, strict=True)) for day, row in zip(days, table["rows"], strict=True)}
