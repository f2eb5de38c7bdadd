"""H01: thirteen single-asset tables of another engine, by its own event order and its own cut-offs.

That engine is a witness, not a definition: it keeps loan period rates to six decimals and cuts every amount to whole
cents.
`WITNESS` with rate_decimals=6 and floor_cents reproduces it; without the two the same order of events is exact.
"""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pooling.engine.assumptions import Amortisation, Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.flows import PoolFlows
from tests.engine.test_oracle_bma import loans

FLOW, BALANCE = 0.02, 0.05  # the file's tolerance
KINDS: dict[str, Amortisation] = {"Level": "level", "Even": "linear", "I_P": "bullet"}
CASES = (
    "level_no_stress", "level_cdr_4pct", "level_cdr_vector", "level_default_by_amount", "level_cpr_1pct",
    "level_cdr1_recovery30_lag2", "level_cdr1_recovery_timing", "consumer_level_36m_12pct_no_stress",
    "consumer_level_36m_mdr1_smm2_rec20_lag3", "consumer_level_36m_cdr10_cpr15_rec20_lag6", "linear_36m_12pct",
    "bullet_36m_12pct", "level_psa100_360m_6pct",
)  # fmt: skip


def assumptions_of(given: list[Any] | None, days: np.ndarray, **more: Any) -> Assumptions:
    """The witness's assumption in ours. Its vectors of annual rates go on at 0 after their end."""
    months = len(days)
    default, prepay, recovery = ({}, {}, {}) if given is None else (part or {} for part in given[1][1:4])

    def vector(values: Any) -> np.ndarray:
        short = np.atleast_1d(np.asarray(values, dtype=float))
        return np.full(months, short[0]) if np.ndim(values) == 0 else np.pad(short, (0, months - len(short)))

    more |= {"severity": 1.0 - recovery.get("Rate", 0.0), "recovery_lag": recovery.get("Lag", 0)}
    if "Timing" in recovery:
        more["recovery_timing"] = tuple(recovery["Timing"])
    if "CDR" in default:
        more["default"] = Default("cdr", vector(default["CDR"]))
    elif "byTerm" in default:
        more["default"] = Default("mdr", vector(default["byTerm"][0]))
    elif "ByAmount" in default:
        total, shares = default["ByAmount"]
        more["default"] = Default("amount", vector(np.array(shares) * total))
    if "CPR" in prepay:
        more["prepayment"] = Prepayment("cpr", vector(prepay["CPR"]))
    elif "byTerm" in prepay:
        more["prepayment"] = Prepayment("smm", vector(prepay["byTerm"][0]))
    elif "PSA" in prepay:
        more["prepayment"] = Prepayment("psa", prepay["PSA"])
    return Assumptions(event_order="WITNESS", days=days, **more)


def run(case: dict[str, Any], **more: Any) -> PoolFlows:
    kind, terms, now = case["asset"]
    assert kind == "Mortgage"
    dates = [dt.date.fromisoformat(day) for day in case["expected"]["index"]]
    days = np.array([(b - a).days for a, b in pairwise(dates)], dtype=float)
    asset = loans(
        now["currentBalance"], now["currentRate"], now["remainTerm"], age=terms["originTerm"] - now["remainTerm"]
    )
    return assumed_flows(
        asset,
        assumptions_of(case["pool_assumption"], days, **more),
        horizon=len(days),
        amortisation=KINDS[terms["type"]],
    )


def worst(case: dict[str, Any], flows: PoolFlows) -> tuple[float, float]:
    """(largest difference of a flow, of a balance) to the printed table; its first row is the cut-off."""
    rows = np.array(case["expected"]["rows"])[1:]
    ours = np.stack(
        [
            flows.performing[0, :, 0], flows.scheduled_principal[0, :, 0], flows.interest[0, :, 0],
            flows.prepayment[0, :, 0], flows.default[0, :, 0], flows.recovery[0, :, 0],
        ],
        axis=1,
    )  # fmt: skip
    gap = np.abs(ours - rows[:, :6])
    return float(gap[:, 1:].max()), float(gap[:, 0].max())


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_single_asset_table_of_the_witness(shared: Path, name: str) -> None:
    file = json.loads((shared / "oracles" / "cashflows" / "H01_single_asset_flows.json").read_text())
    assert set(file["cases"]) == set(CASES)
    case = file["cases"][name]

    flow, balance = worst(case, run(case, rate_decimals=6, floor_cents=True))

    assert flow <= FLOW + 1e-9, flow
    assert balance <= BALANCE + 1e-9, balance
    # What is written off at the recovery's date is the default less the recovery.
    losses = sum(row[6] for row in case["expected"]["rows"])
    flows = run(case, rate_decimals=6, floor_cents=True)
    assert (flows.default - 0.0).sum() - flows.recovery.sum() == pytest.approx(
        losses, abs=0.02 * len(case["expected"]["rows"])
    )


@pytest.mark.shared
def test_without_the_cuts_the_same_order_stays_within_a_few_cents(shared: Path) -> None:
    """What the cuts of the other engine cost it: on 10,000 over 36 months at most some cents of balance."""
    file = json.loads((shared / "oracles" / "cashflows" / "H01_single_asset_flows.json").read_text())
    case = file["cases"]["consumer_level_36m_cdr10_cpr15_rec20_lag6"]

    flow, balance = worst(case, run(case))

    assert 0.0 < flow < 0.05
    assert 0.05 < balance < 0.5
