"""What a compiled deal is, what running it returns, and the state it can start from.

Amounts are currency units in float64; K classes senior to junior, F fees, T months, S scenarios (innermost).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal.parts import PayKind

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """One line of the program. id: stable, such as "interest:A". targets: places of the payees in the
    program's fees or classes; several share pro rata. reserve: "always", "final" or "never" draws on the
    reserve for what collections do not pay."""

    id: str
    pay: PayKind
    targets: tuple[int, ...]
    reserve: str


@dataclass(frozen=True)
class FeeTerms:
    """rate: annual fraction of the opening pool balance. amount: currency units a month."""

    name: str
    rate: float
    amount: float


@dataclass(frozen=True)
class LedgerLine:
    """One kind of transfer. step: id of the step ("collect" for the pool's cash). source, target: account
    or payee.
    """

    id: str
    step: str
    source: str
    target: str
    kind: str


@dataclass(frozen=True)
class Program:
    """A deal ready to run: flat steps in order, all terms in currency units and annual fractions.

    names, initial_balance, coupon: (K,) classes. cutoff_balance: pool at cut-off. reserve_name: None
    without a reserve. reserve_initial, reserve_target: amounts while notes are unpaid. target_oc:
    overcollateralisation aimed at. payments: monthly dates up to legal final. compound_shortfall: unpaid
    interest earns the note's coupon. hold_reserve: the reserve stays until the final date even when no note
    is left. lines: transfers of the ledger.
    """

    spec_hash: str
    currency: str
    names: tuple[str, ...]
    initial_balance: FloatArray
    coupon: FloatArray
    fees: tuple[FeeTerms, ...]
    residual_name: str
    reserve_name: str | None
    reserve_initial: float
    reserve_target: float
    cutoff_balance: float
    target_oc: float
    payments: int
    compound_shortfall: bool
    hold_reserve: bool
    steps: tuple[Step, ...]
    lines: tuple[LedgerLine, ...]

    @property
    def fee_names(self) -> tuple[str, ...]:
        """Names of the fees, in the order of the spec."""
        return tuple(fee.name for fee in self.fees)


@dataclass(frozen=True)
class DealState:
    """Where a deal stands after `month` payment dates: what a restarted run needs.

    balance, interest_shortfall: (K, S). fee_shortfall: (F, S). reserve, pool_balance: (S,). S may be 1: one
    known state for all scenarios. Raises ValueError naming the field.
    """

    month: int
    balance: FloatArray
    interest_shortfall: FloatArray
    fee_shortfall: FloatArray
    reserve: FloatArray
    pool_balance: FloatArray

    def __post_init__(self) -> None:
        if self.month < 0:
            raise ValueError(f"month: {self.month} must not be negative")
        for name in ("balance", "interest_shortfall", "fee_shortfall", "reserve", "pool_balance"):
            column = getattr(self, name)
            if column.ndim != (1 if name in ("reserve", "pool_balance") else 2):
                raise ValueError(f"{name}: shape {column.shape} has the wrong number of axes")
            if column.size and not (np.isfinite(column).all() and column.min() >= 0.0):
                raise ValueError(f"{name}: every amount must be finite and not negative")


@dataclass(frozen=True)
class Ledger:
    """Every transfer: amount (L, T, S) by line, month and scenario."""

    lines: tuple[LedgerLine, ...]
    amount: FloatArray


@dataclass(frozen=True)
class DealFlows:
    """What the deal paid. Month index t is the payment date first_month + t + 1 after closing.

    names, initial_balance, coupon: (K,). balance: (K, T, S) after the payment. interest, principal: (K, T,
    S) paid. interest_due: (K, T, S) accrued in the month, with what unpaid interest itself earns.
    interest_shortfall: (K, T, S) interest still unpaid after the payment, carried forward: shortfall[t] =
    shortfall[t - 1] + due - paid. residual: (T, S) cash to the residual certificate. fees, fee_shortfall:
    (F, T, S). reserve: (T, S) end balance; opening_reserve: (S,) before the first month. collections,
    pool_balance: (T, S), the pool's. unpaid_principal: (K, S) at the last month, which is the deal's final
    date. conservation_error: largest |opening cash + in - out - closing cash| over scenarios and dates.
    ledger: every transfer, where asked for.
    """

    names: tuple[str, ...]
    fee_names: tuple[str, ...]
    initial_balance: FloatArray
    coupon: FloatArray
    first_month: int
    balance: FloatArray
    interest: FloatArray
    principal: FloatArray
    interest_due: FloatArray
    interest_shortfall: FloatArray
    residual: FloatArray
    fees: FloatArray
    fee_shortfall: FloatArray
    reserve: FloatArray
    opening_reserve: FloatArray
    collections: FloatArray
    pool_balance: FloatArray
    unpaid_principal: FloatArray
    conservation_error: float
    ledger: Ledger | None = None

    @property
    def months(self) -> int:
        """T, payment dates in these flows."""
        return int(self.residual.shape[0])

    @property
    def scenarios(self) -> int:
        """S, scenarios in these flows."""
        return int(self.residual.shape[1])

    def state_after(self, months: int) -> DealState:
        """The state after the first `months` dates of these flows (1 to T): execute() goes on from it.

        Raises ValueError when there are not so many months.
        """
        if not 1 <= months <= self.months:
            raise ValueError(f"months: {months} lies outside 1 to {self.months}")
        t = months - 1
        return DealState(
            month=self.first_month + months,
            balance=self.balance[:, t].copy(),
            interest_shortfall=self.interest_shortfall[:, t].copy(),
            fee_shortfall=self.fee_shortfall[:, t].copy(),
            reserve=self.reserve[t].copy(),
            pool_balance=self.pool_balance[t].copy(),
        )
