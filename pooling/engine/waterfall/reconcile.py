"""Actual against model: what a trustee reports of the classes on a date beside what the program pays."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall.execute import execute, opening_state
from pooling.engine.waterfall.program import DealFlows, Program
from pooling.engine.words import suggestion

Item = Literal["principal", "interest", "closing"]
ITEMS: tuple[Item, ...] = get_args(Item)
REPORTED = ("opening", *ITEMS)

Reports = Sequence[Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True)
class Reconciled:
    """One item of one class on one payment date. number: of the payment, from 1. item: principal or interest paid, or
    the closing balance. reported, model, difference: whole cents; None where nothing is reported."""

    number: int
    date: dt.date
    name: str
    item: Item
    reported: int | None
    model: int

    @property
    def difference(self) -> int | None:
        """Model less reported."""
        return None if self.reported is None else self.model - self.reported


def reconcile(
    program: Program,
    flows: PoolFlows,
    reported: Reports,
    *,
    from_reported: bool = False,
    rates: Mapping[str, Any] | None = None,
) -> tuple[Reconciled, ...]:
    """Run the deal in whole cents and set every reported figure beside it.

    flows: the pool's cash, one path, from closing. reported: by payment date, class -> {"opening", "closing",
    "principal", "interest"} in cents, whatever is reported of them. from_reported: each date starts anew from the
    class balances reported at its opening (all classes must report one) instead of those that the model left; cash,
    arrears and triggers are always the model's. rates: as execute().

    Raises ValueError for a class or an item that is unknown, an opening balance that is missing, more reports than
    the flows reach, and as execute().
    """
    _check(program, reported, from_reported)
    keep = range(1, len(reported)) if from_reported else ()
    whole = execute(program, flows, mode="cents", ends=False, rates=rates, keep_states=keep)
    if len(reported) > whole.months:
        raise ValueError(f"reported: {len(reported)} payment dates, but the flows reach {whole.months}")
    found: list[Reconciled] = []
    for t, report in enumerate(reported):
        if from_reported:
            before = opening_state(program, 1) if t == 0 else whole.state_after(t)
            balance = np.array([[report[name]["opening"] / 100.0] for name in program.names])
            state = replace(before, balance=balance)
            paid = execute(program, _months(program, flows, t), state=state, mode="cents", ends=False, rates=rates)
            found += _beside(t, report, paid, 0)
        else:
            found += _beside(t, report, whole, t)
    return tuple(found)


def _check(program: Program, reported: Reports, from_reported: bool) -> None:
    for number, report in enumerate(reported, start=1):
        for name, items in report.items():
            if name not in program.names:
                raise ValueError(f"reported: payment {number} has no class {name!r}{suggestion(name, program.names)}")
            for item in items:
                if item not in REPORTED:
                    raise ValueError(
                        f"reported: class {name} on payment {number} has no {item!r}{suggestion(item, REPORTED)}"
                    )
        missing = [name for name in program.names if "opening" not in report.get(name, {})]
        if from_reported and missing:
            raise ValueError(f"reported: class {missing[0]} has no opening balance on payment {number}")


def _months(program: Program, flows: PoolFlows, t: int) -> PoolFlows:
    """The months of collections that payment t + 1 takes."""
    ends = program.calendar.months
    part = slice(int(ends[t - 1]) if t else 0, int(ends[t]))
    columns: dict[str, Any] = {name: column[..., part, :] for name, column in flows.columns.items()}
    return replace(flows, **columns)


def _beside(t: int, report: Mapping[str, Mapping[str, int]], paid: DealFlows, place: int) -> list[Reconciled]:
    model = {"principal": paid.principal, "interest": paid.interest, "closing": paid.balance}
    return [
        Reconciled(t + 1, paid.dates[place], name, item, report.get(name, {}).get(item), int(model[item][k, place, 0]))
        for k, name in enumerate(paid.names)
        for item in ITEMS
    ]
