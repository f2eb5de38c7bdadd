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
    opening_balance: (G,) balance at cut-off. groups: G names.

    Identities: performing[t] = performing[t-1] - scheduled_principal - prepayment - default, and
    delinquent[t] = delinquent[t-1] + default - charge_off. check() measures them.
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

    def __post_init__(self) -> None:
        shape = self.interest.shape
        if len(shape) != 3 or shape[0] != len(self.groups):
            raise ValueError(f"interest: shape {shape}, expected ({len(self.groups)}, months, scenarios)")
        for field in fields(self)[2:]:
            got = getattr(self, field.name).shape
            expected = (shape[0], len(DELINQUENT_BUCKETS), *shape[1:]) if field.name == "delinquent" else shape
            if got != expected:
                raise ValueError(f"{field.name}: shape {got}, expected {expected}")

    @property
    def months(self) -> int:
        return int(self.interest.shape[1])

    @property
    def scenarios(self) -> int:
        return int(self.interest.shape[2])

    @property
    def principal(self) -> FloatArray:
        """(G, T, S) scheduled principal plus prepayment: cash, without recoveries."""
        return self.scheduled_principal + self.prepayment

    def source(self, name: str) -> FloatArray:
        """(G, T, S) cash of one source: "interest", "scheduled_principal", "prepayment" or "recovery"."""
        return {
            "interest": self.interest,
            "scheduled_principal": self.scheduled_principal,
            "prepayment": self.prepayment,
            "recovery": self.recovery,
        }[name]

    @property
    def pool_balance(self) -> FloatArray:
        """(G, T, S) performing plus delinquent: what has neither been paid nor charged off."""
        balance: FloatArray = self.performing + self.delinquent.sum(axis=1)
        return balance

    @cached_property
    def total_collections(self) -> FloatArray:
        """(T, S) cash of all groups: interest, principal and recoveries. Kept, since sizing asks a hundred
        times.
        """
        parts = (self.interest, self.scheduled_principal, self.prepayment, self.recovery)
        return _frozen(sum(part.sum(axis=0) for part in parts[1:]) + parts[0].sum(axis=0))

    @cached_property
    def total_pool_balance(self) -> FloatArray:
        """(T, S) performing plus delinquent of all groups at the end of the month. Kept, like the
        collections.
        """
        return _frozen(self.performing.sum(axis=0) + self.delinquent.sum(axis=(0, 1)))

    @property
    def loss(self) -> FloatArray:
        """(G, T, S) principal charged off less recoveries received, in the month."""
        return self.charge_off - self.recovery

    def check(self) -> float:
        """Largest violation of the two identities, as a share of the cut-off balance."""
        opening = np.broadcast_to(self.opening_balance[:, None, None], (*self.interest.shape[:1], 1, self.scenarios))
        before = np.concatenate([opening, self.performing[:, :-1]], axis=1)
        performing = self.performing - (before - self.principal - self.default)
        stock = self.delinquent.sum(axis=1)
        stock_before = np.concatenate([np.zeros_like(opening), stock[:, :-1]], axis=1)
        delinquent = stock - (stock_before + self.default - self.charge_off)
        worst = max(float(np.abs(performing).max()), float(np.abs(delinquent).max()))
        return worst / float(self.opening_balance.sum())

    @classmethod
    def concatenate(cls, parts: Sequence[PoolFlows]) -> PoolFlows:
        """Join slices of one scenario set in their order along the scenario axis."""
        first = parts[0]
        for part in parts[1:]:
            if part.groups != first.groups or not np.array_equal(part.opening_balance, first.opening_balance):
                raise ValueError("parts: slices belong to different pools")
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis=-1)
            for field in fields(cls)[2:]
        }
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
        columns = {field.name: (getattr(self, field.name) @ share)[..., None] for field in fields(self)[2:]}
        bearing = np.einsum("gts,gts,s->gt", self.coupon, self._before_default(), share)
        mean = self._before_default() @ share
        columns["coupon"] = np.divide(bearing, mean, out=np.zeros_like(mean), where=mean > 0)[..., None]
        return PoolFlows(groups=self.groups, opening_balance=self.opening_balance, **columns)

    def _before_default(self) -> FloatArray:
        """(G, T, S) balance performing at the start of the month."""
        opening = np.broadcast_to(self.opening_balance[:, None, None], (len(self.groups), 1, self.scenarios))
        return np.concatenate([opening, self.performing[:, :-1]], axis=1)


def _frozen(array: FloatArray) -> FloatArray:
    """Read-only, because a cached array is shared by everyone who asks."""
    array.setflags(write=False)
    return array
