"""Run a program over pool flows: Python loops over months and steps only, scenarios innermost.

A step never looks at single scenarios; every payment is min(cash, due) over all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall.program import DealFlows, DealState, Ledger, Program, Step

FloatArray = NDArray[np.float64]

CRUMB = 0.005  # half a cent: a note is never left with less, which would be rounding error posing as debt
CONSERVATION_TOLERANCE = 1e-9  # of the cut-off balance; float64 sums of a few dozen terms stay far below
BALANCE_TOLERANCE = 1e-6  # relative: the pool of the flows and of the program are the same pool


def execute(program: Program, flows: PoolFlows, state: DealState | None = None, ledger: bool = False) -> DealFlows:
    """Pay the pool's cash through the order of payments.

    flows: months 1 to T after closing, or, with a state, the T months after it. The last month of the flows
    is the deal's final date: all principal is due there and the reserve is released; what is not paid is
    unpaid_principal. Interest accrues coupon / 12 on the opening balance. Principal due is max(0, notes -
    (pool balance - target overcollateralisation)), from all cash after the steps before it. ledger: keep
    every transfer, (L, T, S) more memory.

    Raises ValueError when flows reach beyond legal final, hold NaN or negative cash, or belong to another
    pool; ArithmeticError should cash not be conserved.
    """
    start = _check(program, flows, state)
    run = _Run(program, flows, start, ledger)
    for t in range(flows.months):
        run.open_month(t, final=t == flows.months - 1)
        for step in program.steps:
            _PAY[step.pay](run, step)
        run.close_month()
    return run.result()


def opening_state(program: Program, scenarios: int) -> DealState:
    """The state at closing, the same in every scenario: (K, S) and (S,) arrays."""
    fees = np.zeros((len(program.fees), scenarios))
    balance = np.repeat(program.initial_balance[:, None], scenarios, axis=1)
    return DealState(
        month=0,
        balance=balance,
        interest_shortfall=np.zeros_like(balance),
        fee_shortfall=fees,
        reserve=np.full(scenarios, program.reserve_initial),
        pool_balance=np.full(scenarios, program.cutoff_balance),
    )


class _Run:
    """The working arrays of one execution."""

    def __init__(self, program: Program, flows: PoolFlows, state: DealState, ledger: bool) -> None:
        classes, months, scenarios = len(program.names), flows.months, flows.scenarios
        self.program, self.start = program, state
        self.collections, self.pool = flows.total_collections, flows.total_pool_balance
        self.balance = list(_spread(state.balance, scenarios))
        self.owed = list(_spread(state.interest_shortfall, scenarios))
        self.fee_owed = list(_spread(state.fee_shortfall, scenarios))
        self.reserve = _spread(state.reserve, scenarios)
        self.opening_reserve = self.reserve.copy()
        self.opening_pool = _spread(state.pool_balance, scenarios)
        shape = (classes, months, scenarios)
        self.out = {
            name: np.empty(shape) for name in ("balance", "interest", "principal", "interest_due", "interest_shortfall")
        }
        fee_shape = (len(program.fees), months, scenarios)
        self.fees, self.fee_shortfall = np.empty(fee_shape), np.empty(fee_shape)
        self.residual, self.reserve_end = np.empty(shape[1:]), np.empty(shape[1:])
        self.ledger = np.zeros((len(program.lines), months, scenarios)) if ledger else None
        self.line = {line.id: place for place, line in enumerate(program.lines)}
        self.error = 0.0

    def open_month(self, t: int, final: bool) -> None:
        """Collect the month's cash and fix what is due before anything is paid."""
        program = self.program
        self.t, self.final = t, final
        self.reserve_before = self.reserve
        self.cash = self.collections[t].copy()
        self.book("collect", self.cash)
        notes = _total(self.balance)
        if final:
            self.principal_due = notes
        else:
            self.principal_due = np.clip(notes - (self.pool[t] - program.target_oc), 0.0, notes)
        for k, coupon in enumerate(program.coupon):
            earning = self.balance[k] + self.owed[k] if program.compound_shortfall else self.balance[k]
            accrued = earning * (coupon / 12.0)
            self.out["interest_due"][k, t] = accrued
            self.owed[k] = self.owed[k] + accrued
        for f, fee in enumerate(program.fees):
            self.fee_owed[f] = self.fee_owed[f] + (self.opening_pool * (fee.rate / 12.0) + fee.amount)

    def settle(self, step: Step, names: list[str], due: list[FloatArray]) -> tuple[list[FloatArray], list[FloatArray]]:
        """Pay `due` from collections, then from the reserve where the step may. Returns paid and left, per
        payee.

        Left is never derived from paid, so that a debt paid in full leaves exactly zero.
        """
        covered = step.reserve == "always" or (step.reserve == "final" and self.final)
        total = due[0] if len(due) == 1 else _total(due)
        paid, left = self._share(total, due, self.cash)
        self.cash = _less(self.cash, paid)
        self._book_all(step, names, paid, "")
        if not covered or not any(part.any() for part in left):
            return paid, left
        drawn, still = self._share(_total(left), left, self.reserve)
        self.reserve = _less(self.reserve, drawn)
        self._book_all(step, names, drawn, "/draw")
        return [a + b for a, b in zip(paid, drawn, strict=True)], still

    @staticmethod
    def _share(total: FloatArray, due: list[FloatArray], cash: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
        if len(due) == 1:
            paid = np.minimum(due[0], cash)
            return [paid], [due[0] - paid]
        part = np.divide(cash, total, out=np.ones_like(cash), where=total > cash)
        shares = [amount * part for amount in due]
        return shares, [amount - share for amount, share in zip(due, shares, strict=True)]

    def book(self, line: str, amount: FloatArray) -> None:
        """Write one transfer into the ledger, where one is kept."""
        if self.ledger is not None:
            self.ledger[self.line[line], self.t] = amount

    def _book_all(self, step: Step, names: list[str], amounts: list[FloatArray], suffix: str) -> None:
        if self.ledger is not None:
            for name, amount in zip(names, amounts, strict=True):
                self.book(f"{step.pay}:{name}{suffix}", amount)

    def close_month(self) -> None:
        """Record stocks and measure conservation from what was recorded, not from the running cash."""
        t, out = self.t, self.out
        for k, balance in enumerate(self.balance):
            out["balance"][k, t], out["interest_shortfall"][k, t] = balance, self.owed[k]
        for f, owed in enumerate(self.fee_owed):
            self.fee_shortfall[f, t] = owed
        self.reserve_end[t] = self.reserve
        self.opening_pool = self.pool[t]
        gap = self.reserve_before + self.collections[t] - self.residual[t] - self.reserve
        for paid in (*out["interest"][:, t], *out["principal"][:, t], *self.fees[:, t]):
            gap -= paid
        self.error = max(self.error, float(np.abs(gap).max()))

    def result(self) -> DealFlows:
        """The recorded arrays, after the last look at conservation."""
        program = self.program
        if not self.error <= CONSERVATION_TOLERANCE * program.cutoff_balance:
            raise ArithmeticError(f"cash is not conserved: {self.error} {program.currency} on some date and scenario")
        if self.reserve_end.min() < 0.0 or self.residual.min() < 0.0:
            raise ArithmeticError("an account fell below zero")
        final = self.out["balance"][:, -1]
        return DealFlows(
            names=program.names,
            fee_names=program.fee_names,
            initial_balance=program.initial_balance,
            coupon=program.coupon,
            first_month=self.start.month,
            residual=self.residual,
            fees=self.fees,
            fee_shortfall=self.fee_shortfall,
            reserve=self.reserve_end,
            opening_reserve=self.opening_reserve,
            collections=self.collections,
            pool_balance=self.pool,
            unpaid_principal=np.where(final >= CRUMB, final, 0.0),
            conservation_error=self.error,
            ledger=None if self.ledger is None else Ledger(program.lines, self.ledger),
            **self.out,
        )


def _pay_fee(run: _Run, step: Step) -> None:
    names = [run.program.fees[f].name for f in step.targets]
    paid, left = run.settle(step, names, [run.fee_owed[f] for f in step.targets])
    for f, amount, rest in zip(step.targets, paid, left, strict=True):
        run.fees[f, run.t], run.fee_owed[f] = amount, rest


def _pay_interest(run: _Run, step: Step) -> None:
    names = [run.program.names[k] for k in step.targets]
    paid, left = run.settle(step, names, [run.owed[k] for k in step.targets])
    for k, amount, rest in zip(step.targets, paid, left, strict=True):
        run.out["interest"][k, run.t], run.owed[k] = amount, rest


def _pay_principal(run: _Run, step: Step) -> None:
    balances = [run.balance[k] for k in step.targets]
    if len(balances) == 1:
        due = [_without_crumb(balances[0], np.minimum(balances[0], run.principal_due))]
    else:
        total = _total(balances)
        part = np.divide(run.principal_due, total, out=np.ones_like(total), where=total > run.principal_due)
        due = [_without_crumb(balance, balance * part) for balance in balances]
    paid, left = run.settle(step, [run.program.names[k] for k in step.targets], due)
    # What this step could not pay stays due to it: the next step gets only the rest of the amount.
    run.principal_due = _less(run.principal_due, due)
    for k, amount, rest, balance, wanted in zip(step.targets, paid, left, balances, due, strict=True):
        run.out["principal"][k, run.t] = amount
        run.balance[k] = (balance - wanted) + rest


def _fund_reserve(run: _Run, step: Step) -> None:
    program = run.program
    if run.final:
        target = np.zeros_like(run.cash)
    elif program.hold_reserve:
        target = np.full_like(run.cash, program.reserve_target)
    else:
        target = np.where(_total(run.balance) > CRUMB, program.reserve_target, 0.0)
    top_up = np.clip(target - run.reserve, 0.0, run.cash)
    release = np.maximum(run.reserve - target, 0.0)
    run.cash = run.cash - top_up + release
    run.reserve = run.reserve + top_up - release
    run.book(f"{step.id}/top-up", top_up)
    run.book(f"{step.id}/release", release)


def _pay_residual(run: _Run, step: Step) -> None:
    run.residual[run.t] = run.cash
    run.book(step.id, run.cash)


_PAY: dict[str, Callable[[_Run, Step], None]] = {
    "fee": _pay_fee,
    "interest": _pay_interest,
    "principal": _pay_principal,
    "reserve": _fund_reserve,
    "residual": _pay_residual,
}


def _without_crumb(balance: FloatArray, due: FloatArray) -> FloatArray:
    """The whole balance where what is due would leave less than half a cent of it."""
    return np.where(balance - due < CRUMB, balance, due)


def _total(parts: list[FloatArray]) -> FloatArray:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _less(amount: FloatArray, parts: list[FloatArray]) -> FloatArray:
    """amount - sum(parts), at least zero: pro rata shares may add up to a rounding error more."""
    return np.maximum(amount - (parts[0] if len(parts) == 1 else _total(parts)), 0.0)


def _spread(column: FloatArray, scenarios: int) -> FloatArray:
    """A column whose last axis is 1 or S, as a fresh array over S scenarios."""
    if column.shape[-1] not in (1, scenarios):
        raise ValueError(f"state: {column.shape[-1]} scenarios, the flows have {scenarios}")
    return np.broadcast_to(column, (*column.shape[:-1], scenarios)).copy()


def _check(program: Program, flows: PoolFlows, state: DealState | None) -> DealState:
    cutoff = float(flows.opening_balance.sum())
    if state is None and abs(cutoff - program.cutoff_balance) > BALANCE_TOLERANCE * program.cutoff_balance:
        raise ValueError(f"flows: cut-off balance {cutoff} differs from the program's {program.cutoff_balance}")
    start = opening_state(program, flows.scenarios) if state is None else state
    if start.balance.shape[0] != len(program.names) or start.fee_shortfall.shape[0] != len(program.fees):
        raise ValueError(f"state: not of a deal with classes {', '.join(program.names)}")
    if start.month + flows.months > program.payments:
        raise ValueError(
            f"flows: {start.month + flows.months} months of collections, but legal final is payment "
            f"{program.payments}; move dates.legal_final or shorten the horizon"
        )
    for name, column in (
        ("collections", flows.total_collections),
        ("pool balance", flows.total_pool_balance),
    ):
        if not np.isfinite(column).all():
            raise ValueError(f"flows: {name} hold NaN or infinities")
        if column.min() < -CONSERVATION_TOLERANCE * program.cutoff_balance:
            raise ValueError(f"flows: {name} hold {column.min()}, an amount below zero")
    return start
