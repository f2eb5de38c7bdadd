"""The deals of the witness's regression files in our language, and its pool tables as a servicer's report."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pooling.engine.assumptions import servicer_flows
from pooling.engine.calendars import add_months
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows

CLOSING = "2021-04-15"
FIRST_ROWS = 4  # pool rows dated 15 and 30 April, 31 May and 30 June reach the first payment, of 26 July


def oracle(shared: Path, name: str) -> dict[str, Any]:
    """One file of the witness."""
    value: dict[str, Any] = json.loads((shared / "oracles" / "cashflows" / f"{name}.json").read_text())
    return value


def payment_count(expected: Mapping[str, Any]) -> int:
    """Payment dates of a run: B's table has a row for each."""
    return len(expected["bonds"]["B"]["index"])


def pool_flows(expected: Mapping[str, Any], payments: int) -> PoolFlows:
    """The witness's pool table, row by row, then nothing until as many payments are made."""
    table = expected["pool"]["PoolConsol"]
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


RESERVES = {"acc02": 1_000, "acc03": 5_000}


def turned_floater() -> dict[str, Any]:
    """A1 of H07. The trigger of 20 August 2021 makes 7 % into 12 %, and at each month's end the rate resets to SOFR1Y
    less 2 %. The witness counts the days of a period at their own rates, and cuts each part's interest: a day-weighted
    step coupon whose later steps float."""
    floater = {"kind": "floating", "index": "SOFR1Y", "margin": -0.02}
    resets = [add_months(dt.date(2021, 8, 31), months, 31) for months in range(30)]
    return {
        "kind": "step",
        "rate": 0.07,
        "steps": [
            {"first_accrual": "2021-08-20", "rate": 0.12},
            *({"first_accrual": day.isoformat(), "rate": floater} for day in resets),
        ],
        "within_period": "day_weighted",
    }


def quarter_ends(first: dt.date, last: dt.date) -> list[dt.date]:
    """Ends of calendar quarters from first to last."""
    every = (
        dt.date(year, month, day)
        for year in range(first.year, last.year + 1)
        for month, day in ((3, 31), (6, 30), (9, 30), (12, 31))
    )
    return [day for day in every if first <= day <= last]


def dated_fee(amounts: Mapping[dt.date, int]) -> dict[str, Any]:
    """Cents by date; due on the first payment date on or after each."""
    due = [{"date": day.isoformat(), "amount": cents} for day, cents in amounts.items()]
    return {"name": "test_fee", "kind": "dated", "amounts": due}


@dataclass(frozen=True)
class WitnessCase:
    """One run of one file of the witness: the deal in our language and the rates of its indices."""

    file: str
    run: str
    deal: DealSpec
    rates: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.file}:{self.run}"


CASES = (
    *(
        WitnessCase("H02_two_tranche_sequential", name, spec())
        for name in ("no_stress", "cdr2_cpr10_rec30_lag6", "cdr75")
    ),
    WitnessCase("H07_trigger_to_floater", "sofr4", spec(coupon=turned_floater()), {"SOFR1Y": 0.04}),
    WitnessCase("H08_reserve_support", "cdr75", spec(reserves=RESERVES)),
    WitnessCase(
        "H09_fee_test01Fee", "no_stress", spec(fee={"name": "issuance_fee", "kind": "one_off", "amount": 40_000})
    ),
    WitnessCase(
        "H09_fee_test02Fee",
        "no_stress",
        spec(fee=dated_fee(dict.fromkeys(quarter_ends(dt.date(2021, 4, 15), dt.date(2029, 12, 31)), 2_000))),
    ),
    WitnessCase(
        "H09_fee_test05Fee",
        "no_stress",
        spec(fee=dated_fee({dt.date(2021, 8, 1): 10_000, dt.date(2021, 12, 20): 5_000})),
    ),
)
FILES = tuple(dict.fromkeys(case.file for case in CASES))
