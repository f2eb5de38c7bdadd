"""Actual against model: what a trustee reports of the classes on a date beside what the program pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall.execute import execute, opening_state
from pooling.engine.waterfall.program import Program


@dataclass(frozen=True)
class Reconciled:
    """One class on one payment date. reported, model, difference: whole cents; None where nothing is reported."""

    number: int
    name: str
    item: str
    reported: int | None
    model: int

    @property
    def difference(self) -> int | None:
        """Model less reported."""
        return None if self.reported is None else self.model - self.reported


def reconcile(
    program: Program,
    flows: PoolFlows,
    reported: Sequence[Mapping[str, Mapping[str, int]]],
    *,
    from_reported: bool = False,
) -> tuple[Reconciled, ...]:
    """Run the deal in whole cents and set every reported figure beside it.

    flows: the pool's cash, one path, from closing. reported: by payment date, class -> {"opening", "closing",
    "principal", "interest"} in cents, whatever is reported of them. from_reported: each date starts anew from the
    balances reported at its opening (all classes must report one), instead of from what the model left.

    Raises ValueError where an opening balance is missing, and as execute().
    """
    found: list[Reconciled] = []
    if not from_reported:
        whole = execute(program, flows, mode="cents", ends=False)
        for t, report in enumerate(reported):
            found += _beside(
                t + 1, report, whole.names, whole.principal[:, t, 0], whole.interest[:, t, 0], whole.balance[:, t, 0]
            )
        return tuple(found)
    start = opening_state(program, 1)
    for t, report in enumerate(reported):
        missing = [name for name in program.names if "opening" not in report.get(name, {})]
        if missing:
            raise ValueError(f"reported: class {missing[0]} has no opening balance on payment {t + 1}")
        balance = np.array([[report[name]["opening"] / 100.0] for name in program.names])
        state = replace(start, period=t, balance=balance, pool_balance=np.array([[float(balance.sum())]]))
        month = _month(flows, t)
        one = execute(program, month, state=state, mode="cents", ends=False)
        found += _beside(t + 1, report, one.names, one.principal[:, 0, 0], one.interest[:, 0, 0], one.balance[:, 0, 0])
    return tuple(found)


def _month(flows: PoolFlows, t: int) -> PoolFlows:
    columns: dict[str, Any] = {name: column[..., t : t + 1, :] for name, column in flows.columns.items()}
    return replace(flows, **columns)


def _beside(
    number: int,
    report: Mapping[str, Mapping[str, int]],
    names: tuple[str, ...],
    principal: np.ndarray,
    interest: np.ndarray,
    balance: np.ndarray,
) -> list[Reconciled]:
    model = {"principal": principal, "interest": interest, "closing": balance}
    return [
        Reconciled(number, name, item, report.get(name, {}).get(item), int(amounts[k]))
        for k, name in enumerate(names)
        for item, amounts in model.items()
    ]
