"""Differential pricing of loans: what each loan is worth, and which requirement costs how much.

Base-case vector flows of many loans at once: contract, expected loss, servicing, funding, liquidity, capital.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pricing.engine.valuation import price, solve_yields

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LAYERS = ("contract", "expected_loss", "servicing", "liquidity", "capital")
RATE_TOLERANCE = 1e-10


@dataclass(frozen=True)
class RequiredReturn:
    """The stack of returns a holder requires, annual fractions; yields bond-equivalent.

    funding: yield at which the holder funds itself. liquidity: for what cannot be sold. servicing: fee on the
    performing balance. Capital costs excess_return x capital_ratio x risk_weight: with the Basel retail
    weight of 75 % (CRE20.68), 10.5 % capital and 10 % excess return that is 0.79 %.
    """

    funding: float
    liquidity: float = 0.015
    servicing: float = 0.01
    risk_weight: float = 0.75
    capital_ratio: float = 0.105
    excess_return: float = 0.10

    @property
    def capital(self) -> float:
        return self.excess_return * self.capital_ratio * self.risk_weight

    @property
    def total_yield(self) -> float:
        """Funding + liquidity + capital: the yield asked of flows after expected loss and servicing."""
        return self.funding + self.liquidity + self.capital


@dataclass(frozen=True)
class LoanCells:
    """Level-payment loans, or cells of like loans, with their base-case curves.

    rate: (n,) annual fraction, nominal monthly. term: (n,) months remaining, >= 1. curve: (n,) row of the
    curve tables that each loan follows. mdr, smm: (C, M) monthly default and prepayment fractions of the
    balance performing, by month from now, M >= longest term. severity: (n,) fraction. lag: months from
    default to recovery. Raises ValueError naming field and value.
    """

    rate: FloatArray
    term: IntArray
    curve: IntArray
    mdr: FloatArray
    smm: FloatArray
    severity: FloatArray
    lag: int = 0

    def __post_init__(self) -> None:
        n = len(self.rate)
        for name in ("rate", "term", "curve", "severity"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name}: shape {getattr(self, name).shape}, expected ({n},)")
        if self.mdr.shape != self.smm.shape or self.mdr.ndim != 2:
            raise ValueError(f"smm: shape {self.smm.shape}, expected {self.mdr.shape} as of mdr")
        checks = (
            ("rate", self.rate, bool(np.all(np.isfinite(self.rate) & (self.rate >= 0)))),
            ("term", self.term, bool(np.all((self.term >= 1) & (self.term <= self.mdr.shape[1])))),
            ("curve", self.curve, bool(np.all((self.curve >= 0) & (self.curve < len(self.mdr))))),
            ("severity", self.severity, bool(np.all((self.severity >= 0) & (self.severity <= 1)))),
            ("mdr", self.mdr, bool(np.all((self.mdr >= 0) & (self.mdr <= 1)))),
            ("smm", self.smm, bool(np.all((self.smm >= 0) & (self.smm <= 1)))),
        )
        for name, values, good in checks:
            if not good:
                raise ValueError(f"{name}: values from {values.min()} to {values.max()} leave their range")
        if self.lag < 0:
            raise ValueError(f"lag: {self.lag} is negative")


@dataclass(frozen=True)
class LoanPrices:
    """One entry a loan, (n,).

    price: fraction of the balance, after every requirement. layers: name -> (n,) what each takes off:
    price = contract - expected_loss - servicing - liquidity - capital, where contract is the worth of the
    promised flows (with prepayment) at the funding yield. contract_yield: of the promised flows at par, and
    loss_adjusted_yield: of the expected flows after servicing at par, both bond-equivalent; their difference
    is the yearly cost of loss and servicing. required_yield: the stack's.
    """

    price: FloatArray
    layers: dict[str, FloatArray]
    contract_yield: FloatArray
    loss_adjusted_yield: FloatArray
    required_yield: float
    required: RequiredReturn


def cell_flows(cells: LoanCells, *, defaults: bool = True, servicing: float = 0.0) -> FloatArray:
    """Expected cash (n, M + lag) per 1 of balance, net of the servicing fee on the performing balance.

    Month by month: defaults leave the opening balance (no cash from that date), the rest pays interest and
    the level instalment's principal, prepayment takes its share of what is left, and recoveries of 1 -
    severity come `lag` months later.
    """
    longest = int(cells.term.max())
    monthly = cells.rate / 12
    cash = np.zeros((len(cells.rate), longest + cells.lag))
    balance = np.ones(len(cells.rate))
    for month in range(longest):
        left = cells.term - month
        alive = left > 0
        mdr = np.where(alive, cells.mdr[cells.curve, month], 0.0) if defaults else np.zeros_like(balance)
        smm = np.where(alive, cells.smm[cells.curve, month], 0.0)
        defaulted = balance * mdr
        performing = balance - defaulted
        # Share of the balance that a level instalment repays with `left` payments to go: i / ((1+i)^left -
        # 1).
        periods = np.maximum(left, 1)
        growth = np.expm1(periods * np.log1p(monthly))
        share = np.where(monthly > 0, monthly / np.where(growth > 0, growth, 1.0), 1.0 / periods)
        # The last instalment repays all: no dust of rounding lives on.
        share = np.where(left == 1, 1.0, np.minimum(share, 1.0))
        scheduled = np.where(alive, performing * share, 0.0)
        prepaid = (performing - scheduled) * smm
        cash[:, month] += performing * (monthly - servicing / 12) + scheduled + prepaid
        cash[:, month + cells.lag] += defaulted * (1 - cells.severity)
        balance = performing - scheduled - prepaid
    return cash


def loan_prices(cells: LoanCells, required: RequiredReturn) -> LoanPrices:
    """Price loans by adding one requirement after the other to their base-case flows.

    The layers are differences of present values in the order of LAYERS, so they add up to the price exactly.
    """
    promised = cell_flows(cells, defaults=False)
    expected = cell_flows(cells)
    serviced = cell_flows(cells, servicing=required.servicing)
    liquid = required.funding + required.liquidity
    values = (
        price(promised, required.funding),
        price(expected, required.funding),
        price(serviced, required.funding),
        price(serviced, liquid),
        price(serviced, required.total_yield),
    )
    layers = {LAYERS[0]: values[0]}
    for name, before, after in zip(LAYERS[1:], values[:-1], values[1:], strict=True):
        layers[name] = before - after
    return LoanPrices(
        price=values[-1],
        layers=layers,
        contract_yield=solve_yields(promised, 1.0).yields,
        loss_adjusted_yield=solve_yields(serviced, 1.0).yields,
        required_yield=required.total_yield,
        required=required,
    )


def required_rates(cells: LoanCells, required: RequiredReturn, *, target_price: float = 1.0) -> FloatArray:
    """Loan rate (n,) at which each cell is worth target_price under the whole stack; cells.rate is ignored.

    The price rises with the rate, so bisection on [0, 10] finds it: annual fraction, nominal monthly; NaN
    where no rate up to 1,000 % suffices, or a loan without interest is already worth more.
    """
    low, high = np.zeros(len(cells.rate)), np.full(len(cells.rate), 10.0)

    def worth(rate: FloatArray) -> FloatArray:
        flows = cell_flows(replace(cells, rate=rate), servicing=required.servicing)
        return price(flows, required.total_yield)

    unsolved = (worth(low) > target_price) | (worth(high) < target_price)
    while float((high - low).max()) > RATE_TOLERANCE:
        middle = (low + high) / 2
        below = worth(middle) < target_price
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(unsolved, np.nan, (low + high) / 2)
