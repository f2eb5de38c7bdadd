"""A listed deal under surveillance: what its pool has done beside what was predicted, and what that makes of its
classes.

Every figure follows from the servicer's stored months and the stored rating. Here it is decided who sees them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accounts.models import Role, User
from investors.selectors import Viewer
from marketplace.models import Listing
from marketplace.selectors import CLEARED
from pooling.engine.deal import DealSpec
from pooling.engine.waterfall import compile_deal
from pooling.engine.waterfall.trigger_readings import TriggerReading, trigger_readings
from pooling.models import PerformanceTape
from pooling.performance import PerformanceHistory, performance_history
from pricing.rerating import actual_flows
from pricing.surveillance import grade_history, history_of
from rating.engine.sensitivity import cut
from rating.engine.surveillance import (
    ActualExpected,
    ClassGrades,
    TriggerRoom,
    Watched,
    actual_against_expected,
    watch_list,
)
from rating.engine.transitions import (
    LIVE,
    STATES,
    RollRates,
    Speeds,
    Transitions,
    loan_states,
    realised_speeds,
    roll_rates,
    transitions,
)
from rating.models import RatingReport, Surveillance
from rating.runs import loans_of

IntArray = NDArray[np.int64]

RECENT = 3
TABLES = ("months", "rolls", "transitions", "triggers", "ratings")


def performance_disclosed(viewer: Viewer, listing: Listing) -> bool:
    """Whether the viewer of a listing may know what became of its loans: the rule of the realised loss. Investors only
    after the auction is cleared, since months of a finished pool would tell a bidder the answer.
    """
    role = viewer.role if isinstance(viewer, User) else None
    return role in (Role.ORIGINATOR, Role.ANALYST) or listing.state in CLEARED


@dataclass(frozen=True, eq=False)
class Exhibits:
    """What the months of a deal show; T months, money in cents, shares of the cut-off balance unless said.

    states: (6, T + 1) balance in each live state, by STATES, and charged off to date. standing: losses beside the
    prediction; None where the rating has none by month.
    """

    history: PerformanceHistory
    loans: IntArray
    states: IntArray
    standing: ActualExpected | None
    speeds: Speeds
    rolls: RollRates
    last: Transitions
    recent: Transitions
    life: Transitions
    triggers: tuple[TriggerReading, ...]

    @property
    def months(self) -> int:
        return self.history.months

    @property
    def balance(self) -> IntArray:
        """(T + 1,) owed at cut-off and at the end of each month."""
        return np.asarray(self.history.balance.sum(axis=1))


def exhibits(report: RatingReport) -> Exhibits | None:
    """The exhibits of a report's deal; None while no month is reported. The caller has asked performance_disclosed."""
    deal = report.rating_run.deal
    digests = tuple(
        PerformanceTape.objects.filter(deal=deal).order_by("number").values_list("content_digest", flat=True)
    )
    return _exhibits(str(report.pk), digests) if digests else None


@lru_cache(maxsize=8)
def _exhibits(report_id: str, digests: tuple[str, ...]) -> Exhibits:
    """Keyed by the content of the months: an entry never grows old."""
    report = RatingReport.objects.select_related("rating_run__deal__pool", "deal_version").get(pk=report_id)
    deal = report.rating_run.deal
    found = performance_history(deal).until(len(digests))
    states = loan_states(found.balance, found.days_past_due, found.prepayment, found.charge_off)
    opening = found.balance[:-1].sum(axis=1)
    flows = {name: getattr(found, name).sum(axis=1) for name in ("scheduled_principal", "prepayment", "charge_off")}
    by_state = [np.where(states == k, found.balance, 0).sum(axis=1) for k in range(LIVE)]
    written = np.concatenate([[0], np.cumsum(flows["charge_off"])])
    months = found.months
    program = compile_deal(DealSpec.from_json(report.deal_version.spec), deal.pool.balance)
    loans = loans_of(deal.pool.loans_path, deal.pool.loans_digest)
    return Exhibits(
        history=found,
        loans=(found.balance > 0).sum(axis=1),
        states=np.stack([*by_state, written]),
        standing=_standing(report, found),
        speeds=realised_speeds(opening, flows["scheduled_principal"], flows["prepayment"], flows["charge_off"]),
        rolls=roll_rates(states, found.balance),
        last=transitions(states, found.balance, months, months),
        recent=transitions(states, found.balance, max(months - RECENT + 1, 1), months),
        life=transitions(states, found.balance),
        # What is reported after legal final no longer reaches the deal.
        triggers=trigger_readings(
            program, cut(actual_flows(loans, found), program.months), ends=False
        ),
    )


def _standing(report: RatingReport, found: PerformanceHistory) -> ActualExpected | None:
    predicted = report.result["simulation"].get("by_month")
    if not predicted:
        return None
    levels = sorted(predicted["quantiles"], key=float)
    return actual_against_expected(
        found.charge_off.sum(axis=1),
        found.recovery.sum(axis=1),
        int(found.balance[0].sum()),
        mean=predicted["mean"],
        levels=[float(level) for level in levels],
        quantiles=[predicted["quantiles"][level] for level in levels],
    )


# -------------------------------------------------------------------------------------------------- rows of the page
def month_rows(found: Exhibits) -> list[dict[str, Any]]:
    """One row a month, first to last."""
    history, balance, standing = found.history, found.balance, found.standing
    written, back = history.charge_off.sum(axis=1), history.recovery.sum(axis=1)
    lost = np.cumsum(written - back) / balance[0]
    rows = []
    for t in range(found.months):
        owed = int(balance[t + 1])
        row: dict[str, Any] = {
            "month": t + 1,
            "period": history.periods[t],
            "loans": int(found.loans[t + 1]),
            "balance": owed,
            "factor": owed / int(balance[0]),
            "late_30": int(found.states[2:LIVE, t + 1].sum()) / owed if owed else None,
            "late_60": int(found.states[3:LIVE, t + 1].sum()) / owed if owed else None,
            "charge_off": int(written[t]),
            "recovery": int(back[t]),
            "loss": float(lost[t]),
        }
        for name in ("expected", "low", "high", "percentile"):
            row[name] = None if standing is None else _known(getattr(standing, name)[t])
        row["bounded"] = 0 if standing is None else int(standing.bounded[t])
        row["above"] = standing is not None and bool(standing.above[t])
        for name in ("cpr", "cpr_3", "cpr_life", "cdr", "cdr_3", "cdr_life"):
            row[name] = _known(getattr(found.speeds, name)[t])
        rows.append(row)
    return rows


def roll_rows(found: Exhibits) -> list[dict[str, Any]]:
    """One row a live state: how many began there and rolled to a worse state, in the last month, the last three and
    all."""
    spans = (1, min(RECENT, found.months), found.months)
    rolls = found.rolls
    return [
        {
            "state": STATES[k],
            "spans": [
                {
                    "began": int(rolls.began[k, -span:].sum()),
                    "worse": int(rolls.worse[k, -span:].sum()),
                    "better": int(rolls.better[k, -span:].sum()),
                    "paid_off": int(rolls.paid_off[k, -span:].sum()),
                    "share": _share(rolls.worse[k, -span:], rolls.began[k, -span:]),
                    "of_balance": _share(rolls.balance_worse[k, -span:], rolls.balance_began[k, -span:]),
                }
                for span in spans
            ],
        }
        for k in range(LIVE)
    ]


def matrix_rows(moved: Transitions) -> list[dict[str, Any]]:
    """Rows of a transition matrix: the live states, with counts, shares of loans and of balance."""
    return [
        {
            "state": STATES[k],
            "began": int(moved.count[k].sum()),
            "balance": int(moved.balance[k].sum()),
            "cells": [
                {
                    "count": int(moved.count[k, j]),
                    "share": _known(moved.share[k, j]),
                    "of_balance": _known(moved.share_of_balance[k, j]),
                    "stays": j == k,
                }
                for j in range(len(STATES))
            ],
        }
        for k in range(LIVE)
    ]


def trigger_rows(found: Exhibits) -> list[dict[str, Any]]:
    """One row a trigger as it stands after the last month, with its first breach."""
    rows = []
    for reading in found.triggers:
        if reading.number == found.triggers[-1].number:
            breaches = [each.number for each in found.triggers if each.name == reading.name and each.breached]
            rows.append({"reading": reading, "first": min(breaches, default=None), "dates": len(breaches)})
    return rows


def rating_rows(report: RatingReport, rows: list[Surveillance]) -> list[dict[str, Any]]:
    """One row a class: issued grade, the latest re-rating, and every step between."""
    steps = grade_history(report, rows)
    last = {each["name"]: each for each in rows[-1].result["classes"]} if rows else {}
    return [
        {"name": name, "slot": slot, "colour": f"s{min(slot, 5)}", "steps": path, "now": last.get(name)}
        for slot, (name, path) in enumerate(steps.items())
    ]


def history_steps(report: RatingReport, rows: list[Surveillance]) -> list[dict[str, Any]]:
    """One row a re-rating after cut-off, with the grade of every issued class in the order of rating_rows."""
    names = list(grade_history(report, []))
    found = []
    for row in rows:
        if row.month:
            grades = {each["name"]: each["grade"] for each in row.result["classes"]}
            found.append({"row": row, "grades": [grades.get(name) for name in names]})
    return found


def watched(report: RatingReport, found: Exhibits, rows: list[Surveillance]) -> tuple[Watched, ...]:
    """The watch list as of the last reported month and the latest re-rating."""
    classes = []
    if rows:
        classes = [
            ClassGrades(row["name"], row["issued"], row["grade"])
            for row in rows[-1].result["classes"]
            if row["issued"]
        ]
    triggers = [
        TriggerRoom(each.name, each.condition, each.room, each.breached)
        for each in found.triggers
        if each.number == found.triggers[-1].number
    ]
    return watch_list(classes, triggers, found.standing)


def reratings(report: RatingReport) -> list[Surveillance]:
    """Re-ratings of a report by month, for who may see its performance."""
    return history_of(report)


def sources(report: RatingReport) -> str:
    """Where the months come from, in words: the files, or that they were derived."""
    rows = PerformanceTape.objects.filter(deal=report.rating_run.deal).order_by("number")
    return "; ".join(dict.fromkeys(rows.values_list("source", flat=True)))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _share(part: IntArray, whole: IntArray) -> float | None:
    total = int(whole.sum())
    return int(part.sum()) / total if total else None


# ------------------------------------------------------------------------------------------------------------- files
def surveillance_csv(report: RatingReport, found: Exhibits | None, table: str) -> str:
    """One table as CSV: rates and shares as fractions, money in currency units; an empty cell is not known.

    table: of TABLES. Raises KeyError for another.
    """
    header, rows = {
        "months": _months_table,
        "rolls": _rolls_table,
        "transitions": _transitions_table,
        "triggers": _triggers_table,
        "ratings": lambda each: _ratings_table(report),
    }[table](found)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue()


Table = tuple[list[str], list[list[Any]]]
_MONEY = ("balance", "charge_off", "recovery")


def _months_table(found: Exhibits | None) -> Table:
    names = [
        "month", "period", "loans", *_MONEY, "factor", "late_30", "late_60", "loss", "expected", "low", "high",
        "percentile", "cpr", "cpr_3", "cpr_life", "cdr", "cdr_3", "cdr_life",
    ]  # fmt: skip
    rows = [] if found is None else month_rows(found)
    return names, [[_cell(name, row[name]) for name in names] for row in rows]


def _cell(name: str, value: Any) -> Any:
    return f"{value / 100:.2f}" if name in _MONEY else repr(value) if isinstance(value, float) else value


def _rolls_table(found: Exhibits | None) -> Table:
    header = ["month", "period", "state", "began", "worse", "better", "paid_off", "balance_began", "balance_worse"]
    rows = []
    if found is not None:
        rolls = found.rolls
        for t, period in enumerate(found.history.periods):
            for k in range(LIVE):
                counts = [int(getattr(rolls, name)[k, t]) for name in header[3:7]]
                money = [f"{int(getattr(rolls, name)[k, t]) / 100:.2f}" for name in header[7:]]
                rows.append([t + 1, period, STATES[k], *counts, *money])
    return header, rows


def _transitions_table(found: Exhibits | None) -> Table:
    header = ["first_month", "last_month", "from", "to", "loans", "share", "balance", "share_of_balance"]
    rows = []
    for moved in () if found is None else (found.last, found.recent, found.life):
        for k, row in enumerate(matrix_rows(moved)):
            for j, cell in enumerate(row["cells"]):
                owed = f"{int(moved.balance[k, j]) / 100:.2f}"
                share, of_balance = _cell("", cell["share"]), _cell("", cell["of_balance"])
                rows.append([moved.first, moved.last, row["state"], STATES[j], cell["count"], share, owed, of_balance])
    return header, rows


def _triggers_table(found: Exhibits | None) -> Table:
    header = ["month", "trigger", "comparison", "value", "level", "room", "holds", "breached"]
    rows: list[list[Any]] = []
    for each in () if found is None else found.triggers:
        # A condition that compares nothing still has a state.
        for test in each.tests or (None,):
            figures: Mapping[str, Any] = {} if test is None else vars(test)
            cells = [_cell("", figures.get(name)) for name in ("value", "level", "room")]
            state = [str(each.holds).lower(), str(each.breached).lower()]
            rows.append([each.number, each.name, figures.get("text", each.condition), *cells, *state])
    return header, rows


def _ratings_table(report: RatingReport) -> Table:
    header = ["month", "class", "grade"]
    paths = grade_history(report, history_of(report))
    return header, [[month, name, grade or "paid in full"] for name, path in paths.items() for month, grade in path]
