"""Answers formulas: from the name of a quantity to its value in a Run, in currency units, on its current date."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal.quantities import POOL_KINDS
from pooling.engine.formula import Formula, Kind
from pooling.engine.waterfall.arithmetic import sum_of
from pooling.engine.waterfall.collateral import WHOLE_POOL

if TYPE_CHECKING:
    from pooling.engine.waterfall.run import Run

FloatArray = NDArray[np.float64]

_NAME = re.compile(r"([a-z]+)(?:\[(.+)\])?(?:\.([a-z0-9_]+))?")


class Reader:
    """Looks names up once and keeps the way to their values."""

    def __init__(self, run: Run) -> None:
        self.run, self.spec = run, run.spec
        self.scale = run.arithmetic.scale
        self._ways: dict[str, Callable[[], Any]] = {}

    def read(self, name: str) -> Any:
        """Value of a quantity: (S,) array, number or truth. Raises KeyError for a name the deal does not have."""
        way = self._ways.get(name)
        if way is None:
            way = self._ways[name] = self._way(name)
        return way()

    def _way(self, name: str) -> Callable[[], Any]:
        found = _NAME.fullmatch(name)
        if found is None:
            raise KeyError(name)
        family, item, key = found.groups()
        build = {
            "pool": self._pool,
            "notes": self._notes,
            "class": self._class,
            "period": self._period,
            "deal": self._deal,
            "fee": self._fee,
            "account": self._account,
            "ledger": self._ledger,
            "facility": self._facility,
            "hedge": self._hedge,
            "trigger": self._trigger,
            "rate": self._rate,
            "defined": self._defined,
        }[family]
        return build(item, key)

    def _money(self, value: Callable[[], FloatArray]) -> Callable[[], FloatArray]:
        if self.scale == 1.0:
            return value
        return lambda: value() / self.scale

    # ------------------------------------------------------------------------------------------------------- families
    def _pool(self, item: str | None, key: str) -> Callable[[], Any]:
        run, group = self.run, item or WHOLE_POOL
        if key == "initial_balance":
            return lambda: run.collateral.initial(group) / self.scale
        value = lambda: run.pool(group, key)  # noqa: E731 - one short way among many
        return self._money(value) if POOL_KINDS[key] is Kind.MONEY else value

    def _notes(self, item: str | None, key: str) -> Callable[[], Any]:
        run = self.run
        initial = float(run.program.initial_balance.sum())
        if key == "initial_balance":
            return lambda: initial
        if key == "factor":
            return lambda: run.notes_balance / (initial * self.scale) if initial else run.zero
        if key == "opening_balance":
            return self._money(lambda: sum_of([run.opening_balance[k] for k in run.notes]))
        return self._money(lambda: run.notes_balance)

    def _class(self, item: str, key: str) -> Callable[[], Any]:
        run = self.run
        k = run.program.names.index(item)
        initial = float(run.program.initial_balance[k])
        seniors = [place for place in run.notes if place <= k]
        ways: dict[str, Callable[[], Any]] = {
            "balance": self._money(lambda: run.balance[k]),
            "opening_balance": self._money(lambda: run.opening_balance[k]),
            "initial_balance": lambda: initial,
            "factor": lambda: run.balance[k] / (initial * self.scale) if initial else run.zero,
            "interest_due": self._money(lambda: run.interest_shortfall[k]),
            "interest_paid": self._money(lambda: self._so_far(run.interest_paid[k])),
            "principal_paid": self._money(lambda: self._so_far(run.principal_paid[k])),
            "accreted": self._money(lambda: run.accreted[k]),
            "planned_due": self._money(lambda: np.maximum(run.balance[k] - run.planned(k), 0.0)),
            "oc_ratio": lambda: _ratio(run.pool(WHOLE_POOL, "balance"), sum_of([run.balance[p] for p in seniors])),
            "ic_ratio": lambda: _ratio(
                run.pool(WHOLE_POOL, "interest"), sum_of([run.interest_shortfall[p] for p in range(k + 1)])
            ),
        }
        return ways[key]

    def _so_far(self, paid: FloatArray | None) -> FloatArray:
        return self.run.zero if paid is None else paid

    def _period(self, item: str | None, key: str) -> Callable[[], Any]:
        run = self.run
        ways: dict[str, Callable[[], Any]] = {
            "number": lambda: float(run.number),
            "date": lambda: float(run.ordinal[run.number - 1]),
            "is_final": lambda: run.ending,
            "year_fraction": lambda: run.accruals.fraction(None),
        }
        return ways[key]

    def _deal(self, item: str | None, key: str) -> Callable[[], Any]:
        run = self.run
        ways: dict[str, Callable[[], Any]] = {
            "principal_due": self._money(lambda: run.principal_due),
            "target_oc": self._money(lambda: run.target_oc),
            "revolving": lambda: run.revolving,
            "called": lambda: run.called_before | run.called_now,
        }
        return ways[key]

    def _fee(self, item: str, key: str) -> Callable[[], Any]:
        f = self.run.program.fee_names.index(item)
        columns = {"due": "fee_shortfall", "paid_in_year": "fee_paid_in_year"}
        return self._money(lambda: getattr(self.run, columns[key])[f])

    def _account(self, item: str, key: str) -> Callable[[], Any]:
        run = self.run
        a = run.program.account_names.index(item)
        if key == "target":
            return self._money(lambda: run.reserve_target(a))
        return self._money(lambda: run.accounts[a])

    def _ledger(self, item: str, key: str) -> Callable[[], Any]:
        place = [ledger.name for ledger in self.spec.ledgers].index(item)
        return self._money(lambda: self.run.deficiency[place])

    def _facility(self, item: str, key: str) -> Callable[[], Any]:
        run = self.run
        d = [facility.name for facility in self.spec.facilities].index(item)
        ways = {
            "drawn": lambda: run.drawn[d],
            "available": lambda: np.maximum(run.commitment[d] - run.drawn[d], 0.0),
            "due": lambda: run.facility_due[d],
        }
        return self._money(ways[key])

    def _hedge(self, item: str, key: str) -> Callable[[], Any]:
        h = [hedge.name for hedge in self.spec.hedges].index(item)
        return self._money(lambda: self.run.hedge_due[h])

    def _trigger(self, item: str, key: str | None) -> Callable[[], Any]:
        i = [trigger.name for trigger in self.spec.triggers].index(item)
        return lambda: self.run.breached[i]

    def _rate(self, item: str, key: str | None) -> Callable[[], Any]:
        return lambda: self.run.index(item)

    def _defined(self, item: str, key: str | None) -> Callable[[], Any]:
        formula: Formula = self.spec.formulas.definitions[f"defined[{item}]"]
        return lambda: formula.evaluate(self.read)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """part / whole; +inf where there is nothing left to cover, so that a coverage test passes."""
    return np.divide(part, whole, out=np.full_like(part, np.inf), where=whole > 0.0)
