"""What a compiled deal is, what running it returns, and the state it can start from.

Amounts are currency units in float64 (whole cents in int64 where the run was one of cents). K classes senior to junior,
F fees, A accounts, L ledgers, D facilities, H hedges, N triggers, G collateral groups, T payment dates, S scenarios
(innermost).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal import DealSpec
from pooling.engine.deal.rules import PayKind
from pooling.engine.formula import Formula

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Unit = Literal["currency", "cents"]


@dataclass(frozen=True)
class Step:
    """One line of the program.

    id: stable, such as "interest:A". path: where it stands in the spec. targets: places of the payees among the
    classes, fees, accounts, ledgers, facilities or hedges; several share pro rata. sources: places of the accounts
    that pay. support: ("account" or "facility", place). line: steps of one line of the spec share its amount and its
    limit; first: whether this is the first of them. branch: 0 in the main order of payments, i in the i-th
    alternative. booked: place of its first transfer in the ledger.
    """

    id: str
    path: str
    pay: PayKind
    targets: tuple[int, ...]
    names: tuple[str, ...]
    sources: tuple[int, ...]
    support: tuple[tuple[str, int], ...]
    line: int
    first: bool
    branch: int
    booked: int
    amount: Formula | None = None
    limit: Formula | None = None
    when: Formula | None = None
    support_when: Formula | None = None


@dataclass(frozen=True)
class LedgerLine:
    """One kind of transfer. step: id of the step, or of what happens before the first ("collect", "income", ...).

    source, target: account or payee.
    """

    id: str
    step: str
    source: str
    target: str
    kind: str


@dataclass(frozen=True)
class Calendar:
    """Payment dates up to legal final.

    dates: adjusted to business days. nominal: as written. fractions: (day count, accrual dates) -> (P,) year fraction
    of each accrual period. months: (P,) months of pool flows paid out up to each date.
    """

    closing: dt.date
    dates: tuple[dt.date, ...]
    nominal: tuple[dt.date, ...]
    fractions: Mapping[tuple[str, str], FloatArray]
    months: NDArray[np.int64]

    @property
    def payments(self) -> int:
        """P, payment dates up to legal final maturity."""
        return len(self.dates)


@dataclass(frozen=True)
class Program:
    """A deal ready to run: flat steps in order over a calendar; the spec keeps the terms.

    names, initial_balance, coupon: (K,) classes, currency units and annual fractions (of a coupon that moves: NaN).
    reserve_initial: (A,) currency units at closing. cutoff_balance: pool at cut-off. closing_oc: what the notes leave
    of it. collected: source and group -> place of the account. lines: transfers of the ledger; opening_lines: id ->
    place of the transfers booked before the first step. branches: conditions of the alternatives, in order.
    """

    spec: DealSpec
    spec_hash: str
    currency: str
    names: tuple[str, ...]
    initial_balance: FloatArray
    coupon: FloatArray
    account_names: tuple[str, ...]
    account_initial: FloatArray
    cutoff_balance: float
    closing_oc: float
    calendar: Calendar
    collected: Mapping[tuple[str, str], int]
    steps: tuple[Step, ...]
    lines: tuple[LedgerLine, ...]
    opening_lines: Mapping[str, int]
    branches: tuple[Formula, ...]

    @property
    def fee_names(self) -> tuple[str, ...]:
        """Names of the fees, in the order of the spec."""
        return tuple(fee.name for fee in self.spec.fees)

    @property
    def payments(self) -> int:
        """Payment dates up to legal final maturity."""
        return self.calendar.payments

    @property
    def months(self) -> int:
        """Months of pool flows up to legal final maturity."""
        return int(self.calendar.months[-1])

    @property
    def reserve_initial(self) -> float:
        """Currency units in all reserve accounts at closing."""
        return float(self.account_initial.sum())


# What a state holds, and the axes before its scenarios: K classes, F fees, A accounts, L ledgers, D facilities, H
# hedges,
# N triggers, G groups; "" none.
STATE_AXES: dict[str, str] = {
    "balance": "K",
    "interest_shortfall": "K",
    "fee_shortfall": "F",
    "fee_paid_in_year": "F",
    "accounts": "A",
    "deficiency": "L",
    "drawn": "D",
    "facility_due": "D",
    "hedge_due": "H",
    "breached": "N",
    "bad_dates": "N",
    "good_dates": "N",
    "called": "",
    "amortising": "",
    "pool_balance": "G",
    "cumulative_loss": "G",
    "cumulative_default": "G",
}


@dataclass(frozen=True)
class DealState:
    """Where a deal stands after `period` payment dates: what a restarted run needs.

    Every array has the axis that STATE_AXES names and S scenarios last; S may be 1: one known state for all. breached:
    latched triggers (1 or 0), bad_dates and good_dates: dates in a row with and without its condition. called: 1 once
    the clean-up call was exercised; amortising: 1 once a revolving period has ended early. bought: future flows of
    collateral bought in a revolving period, (columns, T, S) from the next date on, or None. withheld: (A, S)
    collections that a servicer's failure holds back until its dip has ended, or None.

    Raises ValueError naming the field.
    """

    period: int
    balance: FloatArray
    interest_shortfall: FloatArray
    fee_shortfall: FloatArray
    fee_paid_in_year: FloatArray
    accounts: FloatArray
    deficiency: FloatArray
    drawn: FloatArray
    facility_due: FloatArray
    hedge_due: FloatArray
    breached: FloatArray
    bad_dates: FloatArray
    good_dates: FloatArray
    called: FloatArray
    amortising: FloatArray
    pool_balance: FloatArray
    cumulative_loss: FloatArray
    cumulative_default: FloatArray
    bought: FloatArray | None = None
    withheld: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.period < 0:
            raise ValueError(f"period: {self.period} must not be negative")
        for name, axis in STATE_AXES.items():
            column = getattr(self, name)
            if column.ndim != (2 if axis else 1):
                raise ValueError(f"{name}: shape {column.shape} has the wrong number of axes")
            signed = name == "cumulative_loss"  # recoveries may exceed what was charged off
            if column.size and not (np.isfinite(column).all() and (signed or column.min() >= 0.0)):
                raise ValueError(f"{name}: every amount must be finite and not negative")


@dataclass(frozen=True)
class Ledger:
    """Every transfer: amount (lines, T, S) by line, payment date and scenario."""

    lines: tuple[LedgerLine, ...]
    amount: NDArray[Any]


@dataclass(frozen=True)
class DealFlows:
    """What the deal paid. Index t is the payment date first_period + t + 1; dates: (T,) those dates.

    names, initial_balance, coupon: (K,). balance: (K, T, S) after the payment. interest, principal: (K, T, S) paid.
    interest_due: (K, T, S) accrued in the period, with what unpaid interest itself earns. interest_shortfall: (K, T,
    S) interest still unpaid after the payment, carried forward: shortfall[t] = shortfall[t - 1] + due - paid -
    capitalised. capitalised: (K, T, S) interest added to the balance (payment in kind, accrual classes), or None where
    no class does so: balance[t] = balance[t - 1] + capitalised - principal. residual: (T, S) cash to the residual
    certificate. fees, fee_shortfall: (F, T, S). accounts: (A, T, S) end balances; opening_accounts: (A, S).
    deficiency: (L, T, S). drawn: (D, T, S). hedge_net: (H, T, S) received less paid. breached: (N, T, S). called: (T,
    S) whether the pool is sold on this date or before. collections: (T, S) cash of the pool that reached the deal, the
    price of a call included. pool_balance: (T, S). unpaid_principal: (K, S) at the last date of a run that ends the
    deal. period_rate: (K, T, S or 1) coupon x year fraction of each period. unit: "currency", or "cents" where every
    amount is a whole number of cents. conservation_error: largest |opening cash + in - out - closing cash| over
    scenarios and dates. ledger: every transfer, where asked for. states: state after some dates, by number.
    """

    names: tuple[str, ...]
    fee_names: tuple[str, ...]
    account_names: tuple[str, ...]
    reserve_places: tuple[int, ...]
    initial_balance: FloatArray
    coupon: FloatArray
    closing: dt.date
    dates: tuple[dt.date, ...]
    months_between: int
    first_period: int
    unit: Unit
    balance: NDArray[Any]
    interest: NDArray[Any]
    principal: NDArray[Any]
    interest_due: NDArray[Any]
    interest_shortfall: NDArray[Any]
    capitalised: NDArray[Any] | None
    residual: NDArray[Any]
    fees: NDArray[Any]
    fee_shortfall: NDArray[Any]
    accounts: NDArray[Any]
    opening_accounts: NDArray[Any]
    deficiency: NDArray[Any]
    drawn: NDArray[Any]
    hedge_net: NDArray[Any]
    breached: BoolArray
    called: BoolArray
    collections: NDArray[Any]
    pool_balance: NDArray[Any]
    unpaid_principal: NDArray[Any]
    period_rate: FloatArray
    conservation_error: float
    ledger: Ledger | None = None
    states: Mapping[int, DealState] = field(default_factory=dict)

    @property
    def months(self) -> int:
        """T, payment dates in these flows; months where payments are monthly."""
        return int(self.residual.shape[0])

    @property
    def scenarios(self) -> int:
        """S, scenarios in these flows."""
        return int(self.residual.shape[1])

    @property
    def reserve(self) -> NDArray[Any]:
        """(T, S) end balance of all reserve accounts."""
        return np.asarray(self.accounts[list(self.reserve_places)].sum(axis=0))

    @property
    def opening_reserve(self) -> NDArray[Any]:
        """(S,) balance of all reserve accounts before the first date."""
        return np.asarray(self.opening_accounts[list(self.reserve_places)].sum(axis=0))

    def state_after(self, periods: int) -> DealState:
        """The state after the first `periods` dates of these flows: execute() goes on from it.

        It must have been asked for (execute's keep_states); the last one is always kept. Raises ValueError otherwise.
        """
        number = self.first_period + periods
        if number not in self.states:
            kept = ", ".join(str(known - self.first_period) for known in sorted(self.states))
            raise ValueError(f"periods: no state after {periods} was kept; kept: {kept}; name it in keep_states")
        return self.states[number]
