"""The pool's flows and stocks as the waterfall sees them: by payment date, in the units of the run, a slice of
scenarios."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal.rules import SOURCES
from pooling.engine.flows import PoolFlows, added
from pooling.engine.waterfall.arithmetic import Arithmetic, sum_of
from pooling.engine.waterfall.program import DealState, Program
from pooling.engine.waterfall.stress import StructuralStress

FloatArray = NDArray[np.float64]

WHOLE_POOL = ""
# Where the columns of collateral bought in a revolving period lie in its buffer.
BOUGHT = (
    "interest",
    "principal",
    "recovery",
    "balance",
    "default",
    "charge_off",
    "delinquent",
    "delinquent_30",
    "delinquent_60",
    "delinquent_90",
    "count",
)
_OLD = {"delinquent": 0, "delinquent_30": 1, "delinquent_60": 2, "delinquent_90": 3}


class Collateral:
    """Reads PoolFlows for the payment dates after `state.period`; every answer is (T, S) over the slice.

    group: a name, or WHOLE_POOL for all. Flows are summed and stocks taken at the end of each period.
    """

    def __init__(
        self,
        program: Program,
        flows: PoolFlows,
        state: DealState,
        part: slice,
        arithmetic: Arithmetic,
        stress: StructuralStress,
    ) -> None:
        self.program, self.flows, self.part, self.arithmetic = program, flows, part, arithmetic
        months = program.calendar.months
        before = int(months[state.period - 1]) if state.period else 0
        ends = months[state.period :] - before
        last = int(np.searchsorted(ends, flows.months))
        self.ends = np.minimum(ends[: last + 1], flows.months)
        self.starts = np.concatenate([[0], self.ends[:-1]])
        self.periods = len(self.ends)
        self.monthly = bool((self.ends - self.starts == 1).all())
        self.first, self.stress, self.state = state.period, stress, state
        self.groups = [group.name for group in program.spec.collateral]
        self._kept: dict[tuple[str, str], FloatArray] = {}
        self.withheld: dict[int, FloatArray] = {}  # account -> (T, S) cash that a servicer's failure still holds back

    # ------------------------------------------------------------------------------------------------ reading PoolFlows
    def _flow(self, column: FloatArray) -> FloatArray:
        if self.monthly:
            return column
        return np.add.reduceat(column, self.starts, axis=0)

    def _places(self, group: str) -> list[int]:
        if group == WHOLE_POOL:
            return list(range(len(self.flows.groups)))
        return [self.flows.groups.index(group)]

    def _of(self, array: FloatArray, group: str) -> FloatArray:
        """(T, S) of a (G, M, S) array: the group, or the sum of all."""
        places = self._places(group)
        return array[places[0], :, self.part] if len(places) == 1 else added(array[:, :, self.part])

    def _scaled(self, column: FloatArray) -> FloatArray:
        if self.arithmetic.mode == "float64":
            return column
        return np.rint(column * self.arithmetic.scale)

    def source(self, name: str, group: str) -> FloatArray:
        """(T, S) cash of one source, as the pool pays it."""
        return self._scaled(self._flow(self._of(self.flows.source(name), group)))

    def into_accounts(self) -> dict[int, FloatArray]:
        """Account -> (T, S) cash that reaches it, structural stress included."""
        collected = self.program.collected
        accounts = sorted(set(collected.values()))
        if len(accounts) == 1 and self.arithmetic.mode == "float64":
            total = self._flow(self.flows.total_collections[:, self.part])
            return {accounts[0]: self._stressed(accounts[0], total)}
        result: dict[int, FloatArray] = {}
        for group in self.groups or [WHOLE_POOL]:
            for name in SOURCES:
                cash = self.source(name, group)
                place = collected[name, group]
                result[place] = cash if place not in result else result[place] + cash
        return {place: self._stressed(place, cash) for place, cash in sorted(result.items())}

    def _stressed(self, place: int, cash: FloatArray) -> FloatArray:
        if self.stress == StructuralStress():
            return cash
        before = self.state.withheld
        held = np.zeros(self.width)
        if before is not None:
            column = before[place, self.part] if before.shape[-1] > 1 else before[place]
            held = self._scaled(np.broadcast_to(column, (self.width,)))
        payments, rounded = self.program.payments, self.arithmetic.born
        cash, self.withheld[place] = self.stress.stressed(cash, self.first, payments, held, rounded)
        return cash

    # ------------------------------------------------------------------------------------------- quantities of formulas
    def quantity(self, group: str, key: str) -> FloatArray:
        """(T, S) of a quantity pool.<key> or pool[group].<key>, without what a revolving period has bought."""
        known = self._kept.get((group, key))
        if known is None:
            known = self._kept[group, key] = self._compute(group, key)
        return known

    def _compute(self, group: str, key: str) -> FloatArray:
        rates = {"cumulative_loss_rate": "cumulative_loss", "cumulative_default_rate": "cumulative_default"}
        if key in rates:
            return self.quantity(group, rates[key]) / self.initial(group)
        if key == "factor":
            return self.quantity(group, "balance") / self.initial(group)
        if key == "delinquent_60_share":
            balance = self.quantity(group, "balance")
            late = self.quantity(group, "delinquent_60")
            return np.divide(late, balance, out=np.zeros_like(balance), where=balance > 0.0)
        if group == WHOLE_POOL and len(self.groups) > 1:
            # As the state keeps them: by group, each rounded by itself in whole cents.
            return sum_of([self.quantity(part, key) for part in self.groups])
        if key in ("cumulative_loss", "cumulative_default"):
            flow = self.quantity(group, "loss" if key == "cumulative_loss" else "default")
            # Added one after another from the state on, so that a restarted run adds the same numbers in the same
            # order.
            return np.cumsum(np.concatenate([self.before(key, group)[None, :], flow]), axis=0)[1:]
        return self._plain(key)(group)

    def _plain(self, key: str) -> Callable[[str], FloatArray]:
        flows = self.flows
        if key in _OLD:
            late = added(flows.delinquent[:, _OLD[key] :], axis=1)
            if flows.arrears is not None:
                late = late + added(flows.arrears[:, _OLD[key] :], axis=1)
            return lambda group: self._stock(late, group)
        flow = {
            "interest": lambda group: self.source("interest", group),
            "recovery": lambda group: self.source("recovery", group),
            "principal": lambda group: self.source("scheduled_principal", group) + self.source("prepayment", group),
            "collections": lambda group: sum(
                (self.source(name, group) for name in SOURCES[1:]), self.source("interest", group)
            ),
            "default": lambda group: self._scaled(self._flow(self._of(flows.default, group))),
            "charge_off": lambda group: self._scaled(self._flow(self._of(flows.charge_off, group))),
            "loss": lambda group: self.quantity(group, "charge_off") - self.quantity(group, "recovery"),
            "balance": lambda group: self._stock(flows.pool_balance, group) if group else self._whole_balance(),
            "opening_balance": lambda group: self._shifted(group, "balance", "pool_balance"),
            "performing": lambda group: self._stock(flows.performing, group),
            "count": lambda group: self._of(flows.count, group)[self.ends - 1],
        }
        return flow[key]

    def _whole_balance(self) -> FloatArray:
        column = self.flows.total_pool_balance[:, self.part]
        return self._scaled(column if self.monthly else column[self.ends - 1])

    def _stock(self, array: FloatArray, group: str) -> FloatArray:
        column = self._of(array, group)
        return self._scaled(column if self.monthly else column[self.ends - 1])

    def initial(self, group: str) -> float:
        """Balance at cut-off in units: of the program for the whole pool, of the flows for a group."""
        if group == WHOLE_POOL:
            return self.program.cutoff_balance * self.arithmetic.scale
        return float(self._scaled(self.flows.opening_balance[self._places(group)].sum()))

    def before(self, name: str, group: str) -> FloatArray:
        """(S,) of the state the run starts from: cumulative figures and balances by group."""
        column = getattr(self.state, name)
        column = column[:, self.part] if column.shape[-1] > 1 else column
        chosen = added(self._scaled(column)) if group == WHOLE_POOL else self._scaled(column[self.groups.index(group)])
        return np.broadcast_to(chosen, (self.width,))

    def cumulative(self, key: str, group: str, t: int) -> FloatArray:
        """(S,) of quantity(group, key) on one date, for "cumulative_loss" or "cumulative_default", without the
        others."""
        flow = self.quantity(group, "loss" if key == "cumulative_loss" else "default")
        return added(np.concatenate([self.before(key, group)[None, :], flow[: t + 1]]))

    def _shifted(self, group: str, key: str, before: str) -> FloatArray:
        return np.concatenate([self.before(before, group)[None, :], self.quantity(group, key)[:-1]])

    @property
    def width(self) -> int:
        """S, scenarios of the slice."""
        return len(range(*self.part.indices(self.flows.scenarios)))
