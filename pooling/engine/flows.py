"""PoolFlows: the only door between collateral and liabilities.

Curves, simulation and a servicer's table all produce it; the waterfall reads nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

DELINQUENT_BUCKETS = ("1-30", "31-60", "61-90", "91+")
FIRST_BUCKET = {0: 0, 30: 1, 60: 2, 90: 3}  # days past due -> the first bucket beyond them
# The arrays that every pool has; the others are None where nothing is advanced and nobody is late but curing.
COLUMNS = (
    "interest",
    "scheduled_principal",
    "prepayment",
    "default",
    "charge_off",
    "recovery",
    "performing",
    "delinquent",
    "defaulted",
    "count",
    "coupon",
)


@dataclass(frozen=True)
class PoolFlows:
    """Monthly flows and stocks of a pool, by collateral group and scenario, scenario innermost.

    G groups, T months, S scenarios; index t is the month t + 1 after closing. Currency units.
    Flows in the month, (G, T, S): interest, scheduled_principal, prepayment (cash); default (balance
    whose first never-cured payment is missed in the month), charge_off (of that, written off in the
    month), recovery (cash, net of collection cost).
    Stocks at the end of the month, (G, T, S): performing, defaulted (charged off to date), count
    (loans performing or delinquent), coupon (balance-weighted annual fraction of what performed at the
    start of the month); delinquent (G, B, T, S) by DELINQUENT_BUCKETS.
    Or None: advanced_interest, advanced_principal (G, T, S) cash that the servicer advances on defaulted loans, repaid
    to it out of recoveries, which are net of that; arrears (G, B, T, S) of the performing balance, late but curing.
    opening_balance: (G,) balance at cut-off. groups: G names.

    Identities: performing[t] = performing[t-1] - scheduled_principal - prepayment - default, and
    delinquent[t] = delinquent[t-1] + default - advanced_principal - charge_off. check() measures them.
    """

    groups: tuple[str, ...]
    opening_balance: FloatArray
    interest: FloatArray
    scheduled_principal: FloatArray
    prepayment: FloatArray
    default: FloatArray
    charge_off: FloatArray
    recovery: FloatArray
    performing: FloatArray
    delinquent: FloatArray
    defaulted: FloatArray
    count: FloatArray
    coupon: FloatArray
    advanced_interest: FloatArray | None = None
    advanced_principal: FloatArray | None = None
    arrears: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.interest.shape
        if len(shape) != 3 or shape[0] != len(self.groups):
            raise ValueError(f"interest: shape {shape}, expected ({len(self.groups)}, months, scenarios)")
        for name, column in self.columns.items():
            bucketed = name in ("delinquent", "arrears")
            expected = (shape[0], len(DELINQUENT_BUCKETS), *shape[1:]) if bucketed else shape
            if column.shape != expected:
                raise ValueError(f"{name}: shape {column.shape}, expected {expected}")

    @property
    def columns(self) -> dict[str, FloatArray]:
        """Every array with a scenario axis that this pool has, by name, in the order of the fields."""
        found = {field.name: getattr(self, field.name) for field in fields(self)[2:]}
        return {name: column for name, column in found.items() if column is not None}

    @property
    def months(self) -> int:
        return int(self.interest.shape[1])

    @property
    def scenarios(self) -> int:
        return int(self.interest.shape[2])

    @property
    def principal(self) -> FloatArray:
        """(G, T, S) scheduled principal plus prepayment that borrowers pay: without recoveries and advances."""
        return self.scheduled_principal + self.prepayment

    def source(self, name: str) -> FloatArray:
        """(G, T, S) cash of one source: "interest", "scheduled_principal", "prepayment" or "recovery".

        Interest and scheduled principal include what the servicer advances of them. Raises KeyError for another name.
        """
        columns = {
            "interest": (self.interest, self.advanced_interest),
            "scheduled_principal": (self.scheduled_principal, self.advanced_principal),
            "prepayment": (self.prepayment, None),
            "recovery": (self.recovery, None),
        }
        paid, advanced = columns[name]
        return paid if advanced is None else paid + advanced

    @property
    def pool_balance(self) -> FloatArray:
        """(G, T, S) performing plus delinquent: what has neither been paid nor charged off."""
        return self.performing + added(self.delinquent, axis=1)

    @cached_property
    def total_collections(self) -> FloatArray:
        """(T, S) cash of all groups: interest, principal and recoveries. Kept, since sizing asks a hundred
        times.
        """
        parts = tuple(self.source(name) for name in ("interest", "scheduled_principal", "prepayment", "recovery"))
        return _frozen(sum(added(part) for part in parts[1:]) + added(parts[0]))

    @cached_property
    def total_pool_balance(self) -> FloatArray:
        """(T, S) performing plus delinquent of all groups at the end of the month. Kept, like the
        collections.
        """
        return _frozen(added(self.pool_balance).copy())

    @property
    def loss(self) -> FloatArray:
        """(G, T, S) principal charged off less recoveries received, in the month."""
        return self.charge_off - self.recovery

    @cached_property
    def cumulative_loss(self) -> FloatArray:
        """(T, S) principal charged off less recoveries of all groups, to date. Kept, like the collections."""
        return _frozen(np.cumsum(added(self.loss), axis=0))

    @cached_property
    def cumulative_default(self) -> FloatArray:
        """(T, S) balance defaulted of all groups, to date. Kept, like the collections."""
        return _frozen(np.cumsum(added(self.default), axis=0))

    def delinquent_share(self, days: int = 60) -> FloatArray:
        """(T, S) balance more than `days` past due, curing or not, over the pool balance; 0 where nothing is left.

        days: 0 (all buckets), 30, 60 or 90. Raises ValueError for others, which no bucket tells apart.
        """
        if days not in FIRST_BUCKET:
            raise ValueError(f"days: {days} is no edge of a bucket; give one of {', '.join(map(str, FIRST_BUCKET))}")
        late = added(added(self.delinquent[:, FIRST_BUCKET[days] :], axis=1))
        if self.arrears is not None:
            late = late + added(added(self.arrears[:, FIRST_BUCKET[days] :], axis=1))
        pool = self.total_pool_balance
        share: FloatArray = np.divide(late, pool, out=np.zeros_like(late), where=pool > 0.0)
        return share

    def check(self) -> float:
        """Largest violation of the two identities, as a share of the cut-off balance."""
        opening = np.broadcast_to(self.opening_balance[:, None, None], (*self.interest.shape[:1], 1, self.scenarios))
        before = np.concatenate([opening, self.performing[:, :-1]], axis=1)
        performing = self.performing - (before - self.principal - self.default)
        stock = self.delinquent.sum(axis=1)
        stock_before = np.concatenate([np.zeros_like(opening), stock[:, :-1]], axis=1)
        advanced = 0.0 if self.advanced_principal is None else self.advanced_principal
        delinquent = stock - (stock_before + self.default - advanced - self.charge_off)
        worst = max(float(np.abs(performing).max()), float(np.abs(delinquent).max()))
        return worst / float(self.opening_balance.sum())

    @classmethod
    def concatenate(cls, parts: Sequence[PoolFlows]) -> PoolFlows:
        """Join slices of one scenario set in their order along the scenario axis."""
        first = parts[0]
        for part in parts[1:]:
            if part.groups != first.groups or not np.array_equal(part.opening_balance, first.opening_balance):
                raise ValueError("parts: slices belong to different pools")
            if part.columns.keys() != first.columns.keys():
                raise ValueError("parts: only some slices hold advances or arrears; give slices of one run")
        columns = {name: np.concatenate([part.columns[name] for part in parts], axis=-1) for name in first.columns}
        return cls(groups=first.groups, opening_balance=first.opening_balance, **columns)

    def weighted_mean(self, weights: FloatArray) -> PoolFlows:
        """The scenario-mean path, S = 1: the base case. weights: (S,) >= 0, not all zero.

        The coupon is the mean interest over the mean balance that bears it, so that it stays a rate.
        Raises ValueError for weights of another length.
        """
        if weights.shape != (self.scenarios,) or np.any(weights < 0) or not weights.sum() > 0:
            wanted = f"({self.scenarios},), >= 0 and not all 0"
            raise ValueError(f"weights: shape {weights.shape}, expected {wanted}")
        share = weights / weights.sum()
        columns = {name: (column @ share)[..., None] for name, column in self.columns.items()}
        bearing = np.einsum("gts,gts,s->gt", self.coupon, self._before_default(), share)
        mean = self._before_default() @ share
        columns["coupon"] = np.divide(bearing, mean, out=np.zeros_like(mean), where=mean > 0)[..., None]
        return type(self)(groups=self.groups, opening_balance=self.opening_balance, **columns)

    def _before_default(self) -> FloatArray:
        """(G, T, S) balance performing at the start of the month."""
        opening = np.broadcast_to(self.opening_balance[:, None, None], (len(self.groups), 1, self.scenarios))
        return np.concatenate([opening, self.performing[:, :-1]], axis=1)


def added(array: FloatArray, axis: int = 0) -> FloatArray:
    """The sum over a short axis, one part after the other; a view where there is one part.

    The order in which NumPy's own sum adds depends on how the array lies in memory, and with it the last bit: one
    scenario alone would differ from its column among many.
    """
    first, *others = np.moveaxis(array, axis, 0)
    total: FloatArray = first
    for part in others:
        total = total + part
    return total


def _frozen(array: FloatArray) -> FloatArray:
    """Read-only, because a cached array is shared by everyone who asks."""
    array.setflags(write=False)
    return array
