"""The working state of one run over a slice of scenarios: opening a date, reading quantities, closing it.

The payments themselves are in steps.py. Amounts are in the units of the run's arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal.classes import AccrualNote, InterestOnly, PlannedNote
from pooling.engine.deal.features import ReserveAccount
from pooling.engine.flows import added
from pooling.engine.formula import Formula, Kind
from pooling.engine.waterfall.accruals import Accruals
from pooling.engine.waterfall.arithmetic import CRUMB, Arithmetic, sum_of
from pooling.engine.waterfall.collateral import BOUGHT, WHOLE_POOL, Collateral
from pooling.engine.waterfall.program import STATE_AXES, DealState, Program
from pooling.engine.waterfall.quantities import Reader
from pooling.engine.waterfall.stress import StructuralStress

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Truth = BoolArray | bool


@dataclass(frozen=True)
class Options:
    """What execute() was asked for, checked; see there."""

    rates: Mapping[str, FloatArray]
    forced: Mapping[str, bool]
    stress: StructuralStress
    to_call: bool
    ends: bool

    def of(self, part: slice) -> Options:
        """The same for a slice of the scenarios."""
        shared = {name: rate for name, rate in self.rates.items() if rate.ndim < 2 or rate.shape[-1] == 1}
        return replace(self, rates=shared | {n: rate[:, part] for n, rate in self.rates.items() if n not in shared})


class Run:
    """One slice of scenarios on its way through the dates. Lists hold one (S,) array for each class, fee, account,
    ..."""

    balance: list[FloatArray]
    interest_shortfall: list[FloatArray]
    fee_shortfall: list[FloatArray]
    fee_paid_in_year: list[FloatArray]
    accounts: list[FloatArray]
    deficiency: list[FloatArray]
    drawn: list[FloatArray]
    facility_due: list[FloatArray]
    hedge_due: list[FloatArray]
    bad_dates: list[FloatArray]
    good_dates: list[FloatArray]
    breached: list[BoolArray]
    called: FloatArray
    amortising: FloatArray
    # Set by the accruals of each date.
    interest_accrued: list[FloatArray]
    period_rate: list[FloatArray | float]
    commitment: list[FloatArray]

    def __init__(
        self,
        program: Program,
        collateral: Collateral,
        state: DealState,
        arithmetic: Arithmetic,
        options: Options,
        *,
        ledger: NDArray[Any] | None,
        replacement: FloatArray | None,
    ) -> None:
        self.program, self.spec, self.collateral, self.arithmetic = program, program.spec, collateral, arithmetic
        self.width, self.periods, self.first = collateral.width, collateral.periods, state.period
        self.rates, self.forced, self.stress, self.ends = options.rates, options.forced, options.stress, options.ends
        self.to_call = options.to_call and program.spec.call is not None
        self.ledger, self.replacement = ledger, replacement
        self.zero = np.zeros(self.width)
        self.ordinal = [day.toordinal() for day in program.calendar.dates]
        self._take(state, collateral.part)
        self.incoming = collateral.into_accounts()
        self.reader = Reader(self)
        self.accruals = Accruals(self)
        self.reserve_targets: dict[int, Formula] = {
            i: self.spec.formulas[f"accounts[{i}].target"]
            for i, account in enumerate(self.spec.accounts)
            if isinstance(account, ReserveAccount)
        }
        self.conditions = [self.spec.formulas[f"triggers[{i}].condition"] for i in range(len(self.spec.triggers))]
        self.notes = [k for k, part in enumerate(self.spec.tranches) if not isinstance(part, InterestOnly)]
        self.capitalises = [
            k
            for k, part in enumerate(self.spec.tranches)
            if isinstance(part, AccrualNote) or part.deferral == "capitalised"
        ]
        into = program.spec.deficiency.into if program.spec.deficiency else program.account_names[0]
        self.deficiency_into = program.account_names.index(into)
        # Accounts that the main order of payments may pay principal from, support included.
        principal = [step for step in program.steps if step.pay == "principal" and step.branch == 0]
        lenders = {place for step in principal for kind, place in step.support if kind == "account"}
        self.principal_cash = sorted(lenders.union(*(step.sources for step in principal)))
        self.error, self.accruing = 0.0, False

    def _take(self, state: DealState, part: slice) -> None:
        """Copy the state's columns for this slice; amounts become units."""
        scale = self.arithmetic.scale
        flags = {"breached", "bad_dates", "good_dates", "called", "amortising"}
        for name, axis in STATE_AXES.items():
            column = getattr(state, name)
            column = column[..., part] if column.shape[-1] > 1 else column
            column = np.broadcast_to(column, (*column.shape[:-1], self.width)).copy()
            if name not in flags and scale != 1.0:
                column = np.rint(column * scale)
            setattr(self, name, list(column) if axis else column)
        self.breached = [flag > 0 for flag in self.breached]
        self.called_before: BoolArray = self.called > 0
        self.over: BoolArray = self.amortising > 0
        self.bought = np.zeros((len(BOUGHT), self.periods + 1, self.width)) if self.replacement is not None else None
        if self.bought is not None and state.bought is not None:
            kept = state.bought[:, : self.periods, part if state.bought.shape[-1] > 1 else slice(None)]
            self.bought[:, : kept.shape[1]] = np.rint(kept * scale) if scale != 1.0 else kept
        # Where the deal revolves: to date, of the first group and of the collateral bought, which counts as its own.
        self.own = (self.collateral.groups or [WHOLE_POOL])[0]
        self.own_loss, self.own_default = (
            self.collateral.before(name, self.own) for name in ("cumulative_loss", "cumulative_default")
        )

    # -------------------------------------------------------------------------------------------------- reading values
    def evaluate(self, formula: Formula) -> FloatArray:
        """(S,) amount in units, or number, of a formula on this date."""
        value = formula.evaluate(self.reader.read)
        if formula.kind is Kind.MONEY:
            value = self.arithmetic.born(np.asarray(value) * self.arithmetic.scale)
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.width,))

    def holds(self, formula: Formula | None) -> Truth:
        """Whether a condition holds: one truth for all scenarios, or (S,)."""
        if formula is None:
            return True
        value = formula.evaluate(self.reader.read)
        return bool(value) if np.ndim(value) == 0 else np.asarray(value)

    def index(self, name: str) -> FloatArray | float:
        """Rate of an index in this period: a number, or (S,)."""
        row = self.rates[name][self.number - 1]
        return float(row) if np.ndim(row) == 0 else np.asarray(row)

    def pool(self, group: str, key: str) -> FloatArray:
        """(S,) of pool.<key> on this date, collateral bought in a revolving period included; zero once sold.

        In what accrues, balance and factor are those of the period's start.
        """
        if self.accruing and key == "balance":
            key = "opening_balance"
        if self.accruing and key == "factor":
            return self.pool(group, "opening_balance") / self.collateral.initial(group)
        value = self.collateral.quantity(group, key)[self.t]
        if self.bought is not None and group == WHOLE_POOL:
            value = self._with_bought(key, value, self.bought)
        if self.to_call and not key.startswith("cumulative"):
            value = np.where(self.called_before, 0.0, value)
        return value

    def _with_bought(self, key: str, value: FloatArray, bought: FloatArray) -> FloatArray:
        column = dict(zip(BOUGHT, bought[:, self.t], strict=True))
        if key in column:
            return value + column[key]
        if key == "performing":
            return value + column["balance"] - column["delinquent"]
        if key == "collections":
            return value + column["interest"] + column["principal"] + column["recovery"]
        if key == "opening_balance":
            return value + (bought[3, self.t - 1] if self.t else self.zero)
        if key == "factor":
            return value + column["balance"] / self.collateral.initial(WHOLE_POOL)
        if key == "loss":
            return value + column["charge_off"] - column["recovery"]
        if key == "delinquent_60_share":
            late, whole = self.pool(WHOLE_POOL, "delinquent_60"), self.pool(WHOLE_POOL, "balance")
            return np.divide(late, whole, out=np.zeros_like(whole), where=whole > 0.0)
        total = self.own_loss if key.startswith("cumulative_loss") else self.own_default
        for group in self.collateral.groups[1:]:
            total = total + self.collateral.quantity(group, key.removesuffix("_rate"))[self.t]
        return total / self.collateral.initial(WHOLE_POOL) if key.endswith("_rate") else total

    @property
    def number(self) -> int:
        """Number of the payment date, from 1."""
        return self.first + self.t + 1

    @property
    def notes_balance(self) -> FloatArray:
        """(S,) all classes with principal."""
        return sum_of([self.balance[k] for k in self.notes])

    # ------------------------------------------------------------------------------------------------- opening a date
    def open_date(self, t: int) -> None:
        """Collect the period's cash and fix what is due before anything is paid."""
        self.t = t
        self.final = self.ends and t == self.periods - 1
        self.opening_balance = list(self.balance)
        self.opening_cash = list(self.accounts)
        self.inflow = self.zero
        if self.bought is not None:
            lost, back, failed = (self.bought[BOUGHT.index(key), t] for key in ("charge_off", "recovery", "default"))
            self.own_loss = self.own_loss + (self.collateral.quantity(self.own, "loss")[t] + lost - back)
            self.own_default = self.own_default + (self.collateral.quantity(self.own, "default")[t] + failed)
        self.interest_paid: list[FloatArray | None] = [None] * len(self.balance)
        self.principal_paid: list[FloatArray | None] = [None] * len(self.balance)
        self.fees_paid: list[FloatArray | None] = [None] * len(self.fee_shortfall)
        self.hedge_net = [self.zero] * len(self.hedge_due)
        self.accreted = [self.zero] * len(self.balance)
        self.residual_paid = self.zero
        self.drawn_now, self.outflow = self.zero, self.zero
        self.line_amount: dict[int, FloatArray] = {}
        self.line_limit: dict[int, FloatArray] = {}
        self.line_when: dict[int, Truth] = {}
        self.called_now: Truth = False
        self.call_price = self.zero
        self.ending: Truth = self.final
        self._collect()
        self.accruing = True
        self.accruals.on_date()
        self.accruing = False
        self._debit_deficiency()
        self._test([i for i, trigger in enumerate(self.spec.triggers) if trigger.tested == "opening"])
        self._revolve()
        self._call()
        if self.called_now is not False:
            self.ending = self.called_now | self.final
        self._fix_principal()
        self._branch()

    def _collect(self) -> None:
        for place, column in self.incoming.items():
            cash = column[self.t]
            if self.bought is not None and place == self._bought_into():
                cash = cash + added(self.bought[:3, self.t])
            if self.to_call:
                cash = np.where(self.called_before, 0.0, cash)
            self.receive(place, cash, f"collect:{self.program.account_names[place]}")
        self.collected = self.inflow

    def _bought_into(self) -> int:
        """The account of the first group's interest: what is bought pays into the same waterfall."""
        groups = self.collateral.groups or [WHOLE_POOL]
        return self.program.collected["interest", groups[0]]

    def receive(self, place: int, amount: FloatArray, line: str) -> None:
        """Cash from outside into an account."""
        self.accounts[place] = self.accounts[place] + amount
        self.inflow = self.inflow + amount
        self.book_opening(line, amount)

    def book_opening(self, line: str, amount: FloatArray) -> None:
        """Write a transfer that comes before the first step into the ledger, where one is kept."""
        if self.ledger is not None:
            self.ledger[self.program.opening_lines[line], self.t] = amount

    def reserve_released(self, place: int) -> Truth:
        """Whether a reserve account is released on this date: the deal ends, or all notes are repaid."""
        account = self.spec.accounts[place]
        if isinstance(account, ReserveAccount) and account.release == "notes_repaid":
            return np.logical_or(self.ending, self.notes_balance <= CRUMB * self.arithmetic.scale)
        return self.ending

    def reserve_target(self, place: int) -> FloatArray:
        """(S,) target of a reserve account on this date; zero once it is released."""
        target = np.maximum(self.evaluate(self.reserve_targets[place]), 0.0)
        return np.where(self.reserve_released(place), 0.0, target)

    def test_masked(self, places: tuple[int, ...], mask: Truth) -> None:
        """Look at triggers inside the order of payments, where the step is carried out; elsewhere they stay."""
        before = [(self.breached[i], self.bad_dates[i], self.good_dates[i]) for i in places]
        self._test(places)
        if mask is not True:
            for i, (breached, bad, good) in zip(places, before, strict=True):
                self.breached[i] = np.where(mask, self.breached[i], breached)
                self.bad_dates[i] = np.where(mask, self.bad_dates[i], bad)
                self.good_dates[i] = np.where(mask, self.good_dates[i], good)

    def _debit_deficiency(self) -> None:
        """Debit the period's losses to the ledgers in order, each up to the balance of its class."""
        if self.spec.deficiency is None:
            return
        measure = self.spec.deficiency.losses
        loss = self.pool(WHOLE_POOL, measure if measure != "charge_off_less_recovery" else "loss")
        left = np.maximum(loss, 0.0)
        for i, ledger in enumerate(self.spec.ledgers):
            if ledger.tranche is None:
                debit = left
            else:
                limit = self.balance[self.program.names.index(ledger.tranche)]
                debit = np.minimum(left, np.maximum(limit - self.deficiency[i], 0.0))
            self.deficiency[i] = self.deficiency[i] + debit
            left = left - debit

    def _test(self, places: list[int] | tuple[int, ...]) -> None:
        """Look at triggers: count dates with and without the condition, breach and cure."""
        for i in places:
            trigger = self.spec.triggers[i]
            if trigger.name in self.forced:
                self.breached[i] = np.full(self.width, self.forced[trigger.name])
                continue
            bad = np.broadcast_to(np.asarray(self.holds(self.conditions[i])), (self.width,))
            self.bad_dates[i] = np.where(bad, self.bad_dates[i] + 1.0, 0.0)
            self.good_dates[i] = np.where(bad, 0.0, self.good_dates[i] + 1.0)
            breached = self.breached[i] | (self.bad_dates[i] >= trigger.breach_after)
            if trigger.cure_after is not None:
                breached = breached & (self.good_dates[i] < trigger.cure_after)
            self.breached[i] = breached

    def _revolve(self) -> None:
        revolving = self.spec.revolving
        self.revolving: Truth = False
        if revolving is None:
            return
        ends = self.spec.formulas.get("revolving.ends_when")
        if ends is not None:
            self.over = self.over | np.asarray(self.holds(ends))
        in_time = self.ordinal[self.number - 1] <= revolving.until.toordinal() and not self.final
        self.revolving = ~(self.over | self.called_before) if in_time else False

    def _call(self) -> None:
        """Sell the pool where it is small or old enough and the price repays the notes with all that is owed."""
        call = self.spec.call
        if call is None or not self.to_call or self.final:
            return
        allowed = np.zeros(self.width, dtype=bool)
        if call.factor is not None:
            allowed |= self.pool(WHOLE_POOL, "factor") <= call.factor
        if call.from_date is not None and self.ordinal[self.number - 1] >= call.from_date.toordinal():
            allowed |= True
        owed = self.notes_balance
        allowed &= ~self.called_before & (owed > 0.0)
        if not allowed.any():
            return
        premium = self.accruals.make_whole()
        price = self.evaluate(self.spec.formulas["call.price"])
        lenders = [*self.facility_due, *self.drawn, *self.hedge_due]
        needed = owed + sum_of([*self.interest_shortfall, *self.fee_shortfall, *lenders, *premium, self.zero])
        # Only cash that steps for principal may use counts: what else is there need not reach the notes on this date.
        into = self.program.account_names.index(call.into)
        reaching = [self.accounts[place] for place in self.principal_cash]
        funds = sum_of([*reaching, price]) if into in self.principal_cash else sum_of([*reaching, self.zero])
        allowed &= (funds >= needed) & (price >= 0.0)  # nobody sells a pool and pays for it
        if not allowed.any():
            return
        for k, extra in zip(self.notes, premium, strict=False):
            self.interest_shortfall[k] = self.interest_shortfall[k] + np.where(allowed, extra, 0.0)
            self.interest_accrued[k] = self.interest_accrued[k] + np.where(allowed, extra, 0.0)
        self.call_price = np.where(allowed, price, 0.0)
        self.receive(into, self.call_price, "call")
        self.called_now = allowed
        if self.revolving is not False:
            self.revolving = self.revolving & ~allowed

    def _fix_principal(self) -> None:
        """Principal due on the date, by the deal's rule; everything where the deal ends."""
        notes = self.notes_balance
        target = self.spec.formulas.get("overcollateralisation.target")
        closing = self.arithmetic.born(np.full(self.width, self.program.closing_oc * self.arithmetic.scale))
        self.target_oc = closing if target is None else self.evaluate(target)
        if self.spec.loss_coverage == "principal_collections":
            due = np.minimum(self.pool(WHOLE_POOL, "principal") + self.pool(WHOLE_POOL, "recovery"), notes)
        else:
            due = np.clip(notes - (self.pool(WHOLE_POOL, "balance") - self.target_oc), 0.0, notes)
        if self.revolving is not False:
            due = np.where(self.revolving, 0.0, due)
        self.principal_due = (
            notes if self.ending is True else np.where(self.ending, notes, due) if self.ending is not False else due
        )

    def _branch(self) -> None:
        """Which order of payments holds: the first alternative whose condition does, else the main one."""
        self.branch: list[Truth] = [True]
        rest: Truth = True
        for formula in self.program.branches:
            holds = self.holds(formula)
            self.branch.append(np.logical_and(rest, holds))
            rest = np.logical_and(rest, np.logical_not(holds))
        self.branch[0] = rest if self.program.branches else True

    # ------------------------------------------------------------------------------------------------- closing a date
    def close_date(self) -> None:
        """Capitalise, cap the ledgers and measure that no cash was made or lost."""
        for k in self.capitalises:
            if self.spec.tranches[k].deferral == "capitalised":
                unpaid = self.interest_shortfall[k]
                self.balance[k] = self.balance[k] + unpaid
                self.accreted[k] = self.accreted[k] + unpaid
                self.interest_shortfall[k] = self.zero
        for i, ledger in enumerate(self.spec.ledgers):
            if ledger.tranche is not None:
                self.deficiency[i] = np.minimum(
                    self.deficiency[i], self.balance[self.program.names.index(ledger.tranche)]
                )
        if self.called_now is not False:
            self.called_before = self.called_before | self.called_now
        gap = sum_of(self.opening_cash) + self.inflow + self.drawn_now - self.outflow
        gap -= sum_of(self.accounts)
        self.error = float(np.maximum(self.error, np.abs(gap).max()))  # Python's max would lose a NaN

    def state(self) -> dict[str, Any]:
        """What a restart needs after this date, in currency units."""
        scale = self.arithmetic.scale
        result: dict[str, Any] = {}
        for name, axis in STATE_AXES.items():
            if name in ("pool_balance", "cumulative_loss", "cumulative_default"):
                result[name] = self._pool_state(name) / scale
                continue
            flags = {"called": self.called_before, "amortising": self.over}
            column = flags.get(name, getattr(self, name))
            array = np.array(column, dtype=np.float64).reshape((-1, self.width) if axis else (self.width,))
            count = name in ("breached", "bad_dates", "good_dates", "called", "amortising")
            result[name] = array if count else array / scale
        result["bought"] = None if self.bought is None else self.bought[:, self.t + 1 :].copy() / scale
        held = self.collateral.withheld
        columns = [held[place][self.t] / scale if place in held else self.zero for place in range(len(self.accounts))]
        result["withheld"] = np.array(columns) if held else None
        return result

    def _pool_state(self, name: str) -> FloatArray:
        groups = self.collateral.groups or [WHOLE_POOL]
        if name == "pool_balance":
            value = np.stack([self.collateral.quantity(group, "balance")[self.t] for group in groups])
        else:
            value = np.stack([self.collateral.cumulative(name, group, self.t) for group in groups])
        if self.bought is not None:
            own = {"cumulative_loss": self.own_loss, "cumulative_default": self.own_default}
            value[0] = own.get(name, value[0] + self.bought[BOUGHT.index("balance"), self.t])
        return value

    def planned(self, k: int) -> FloatArray | float:
        """Planned balance of class k after this date, in units."""
        tranche = self.spec.tranches[k]
        row, planned = self.number - 1, tranche.planned_balances if isinstance(tranche, PlannedNote) else ()
        cents = planned[row] if row < len(planned) else 0
        return cents / 100.0 * self.arithmetic.scale
