"""Why a class was paid what it was paid on a date: the run of one scenario again, with every step looked at.

Amounts are currency units. The figures are those of execute() to the bit, because the same Run makes them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pooling.engine.deal.rules import SOURCES
from pooling.engine.flows import PoolFlows
from pooling.engine.formula import Formula
from pooling.engine.waterfall.collateral import WHOLE_POOL
from pooling.engine.waterfall.execute import single_run
from pooling.engine.waterfall.program import Program, Step
from pooling.engine.waterfall.run import Run
from pooling.engine.waterfall.steps import pay


@dataclass(frozen=True)
class ReadFormula:
    """A formula and what it read. role: "amount", "limit", "when", "support_when", "condition" or "target". value: an
    amount, a number or a truth; reads: each quantity with its value, in the order of its first use."""

    role: str
    text: str
    value: float | bool
    reads: tuple[tuple[str, float | bool], ...]


@dataclass(frozen=True)
class Transfer:
    """One payment: from an account, the pool or a party to another. kind as in the ledger."""

    source: str
    target: str
    kind: str
    amount: float


@dataclass(frozen=True)
class ExplainedStep:
    """One step of the order of payments.

    number: its place, from 1. carried_out: whether its order of payments and its condition held. due, paid, left: by
    payee: what it asked for, got, and is still owed after it (principal: of what was due on the date). cash_before,
    cash_after: by account. concerns: whether the class asked about is among its payees. sentence: all that in words.
    """

    number: int
    id: str
    path: str
    pay: str
    names: tuple[str, ...]
    carried_out: bool
    due: Mapping[str, float]
    paid: Mapping[str, float]
    left: Mapping[str, float]
    formulas: tuple[ReadFormula, ...]
    transfers: tuple[Transfer, ...]
    cash_before: Mapping[str, float]
    cash_after: Mapping[str, float]
    concerns: bool
    sentence: str


@dataclass(frozen=True)
class ExplainedTrigger:
    """A test of the deal on the date. since: number of the first date of the present breach, None where it is not
    breached."""

    name: str
    condition: ReadFormula
    breached: bool
    since: int | None


@dataclass(frozen=True)
class ClassAccount:
    """A class on the date: opening + capitalised - principal = closing; owed_before + accrued - interest - (what of it
    was capitalised) = owed_after. rate: annual fraction; year_fraction: of the period."""

    name: str
    opening: float
    rate: float
    year_fraction: float
    accrued: float
    owed_before: float
    interest: float
    owed_after: float
    capitalised: float
    principal: float
    closing: float


@dataclass(frozen=True)
class Explanation:
    """One payment date of one scenario.

    number, date: of the payment. principal_due and how it came about: notes, pool_balance, target_oc. alternative:
    name of the order of payments that held, "" for the main one. steps: all of them, in order. opening, closing: cash
    by account. transfers: everything that moved, the pool's cash by source; for every account opening + in = out +
    closing. tranche: the class asked about, or "".
    """

    number: int
    date: dt.date
    currency: str
    tranche: str
    principal_due: float
    notes: float
    pool_balance: float
    target_oc: float
    revolving: bool
    called: bool
    final: bool
    alternative: str
    classes: tuple[ClassAccount, ...]
    triggers: tuple[ExplainedTrigger, ...]
    steps: tuple[ExplainedStep, ...]
    transfers: tuple[Transfer, ...]
    opening: Mapping[str, float]
    closing: Mapping[str, float]

    @property
    def chain(self) -> tuple[ExplainedStep, ...]:
        """The steps from the pool's cash to the last payment of the class asked about; all without one."""
        last = max((step.number for step in self.steps if step.concerns), default=len(self.steps))
        return self.steps[:last]


def explain(
    program: Program, flows: PoolFlows, *, tranche: str, date: int | dt.date, scenario: int = 0, **options: Any
) -> Explanation:
    """Explain what a class was paid on a date: explain_date() with the steps marked that concern it.

    Raises ValueError for a class or a date the run does not have.
    """
    if tranche not in program.names:
        raise ValueError(f"tranche: no class is named {tranche!r}; the deal has {', '.join(program.names)}")
    return explain_date(program, flows, date=date, scenario=scenario, tranche=tranche, **options)


def explain_date(
    program: Program,
    flows: PoolFlows,
    *,
    date: int | dt.date,
    scenario: int = 0,
    tranche: str = "",
    **options: Any,
) -> Explanation:
    """Explain one payment date of one scenario.

    date: number of the payment after closing, from 1, or its date. scenario: column of the flows. options: those of
    execute() that the run was made with (state, mode, rates, replacement, forced, stress, to_call, ends). Raises
    ValueError for a date or scenario that the run does not have, and as execute().
    """
    if not 0 <= scenario < flows.scenarios:
        raise ValueError(f"scenario: {scenario} lies outside 0 to {flows.scenarios - 1}")
    run = single_run(program, flows, scenario, **options)
    wanted = _place(program, run, date)
    first_breach: dict[int, int] = {}
    for t in range(wanted):
        run.open_date(t)
        for step in program.steps:
            pay(run, step)
        run.close_date()
        _note_breaches(run, first_breach)
    return _Look(run, wanted, tranche, first_breach).explanation()


def _place(program: Program, run: Run, date: int | dt.date) -> int:
    if isinstance(date, dt.date):
        days = program.calendar.dates[run.first : run.first + run.periods]
        if date not in days:
            raise ValueError(f"date: {date} is no payment date of this run, which has {days[0]} to {days[-1]}")
        return days.index(date)
    if not run.first < date <= run.first + run.periods:
        raise ValueError(f"date: payment {date} lies outside {run.first + 1} to {run.first + run.periods}")
    return date - run.first - 1


def _note_breaches(run: Run, first: dict[int, int]) -> None:
    for i, breached in enumerate(run.breached):
        if not breached[0]:
            first.pop(i, None)
        else:
            first.setdefault(i, run.number)


class _Look:
    """Runs the date and writes down what each step found and did."""

    def __init__(self, run: Run, t: int, tranche: str, first_breach: dict[int, int]) -> None:
        self.run, self.t, self.tranche, self.first_breach = run, t, tranche, first_breach
        self.scale = run.arithmetic.scale

    def explanation(self) -> Explanation:
        """Open the date, take every step, close it."""
        run, program = self.run, self.run.program
        owed_before = list(run.interest_shortfall)
        run.open_date(self.t)
        notes, principal_due, target = run.notes_balance, run.principal_due, run.target_oc
        pool, opening = run.pool(WHOLE_POOL, "balance"), self._cash(run.opening_cash)
        branch = [i for i, holds in enumerate(run.branch) if np.any(holds)]
        # A trigger that a step tests is looked at there; one that no step reaches, when the date opens.
        self.conditions = [self._read("condition", formula) for formula in run.conditions]
        steps = tuple(self._step(number, step) for number, step in enumerate(program.steps, start=1))
        run.close_date()
        _note_breaches(run, self.first_breach)
        return Explanation(
            number=run.number,
            date=program.calendar.dates[run.number - 1],
            currency=program.currency,
            tranche=self.tranche,
            principal_due=self._money(principal_due),
            notes=self._money(notes),
            pool_balance=self._money(pool),
            target_oc=self._money(target),
            revolving=bool(np.all(run.revolving)),
            called=bool(np.all(run.called_before)),
            final=bool(np.all(run.ending)),
            alternative=run.spec.alternatives[branch[-1] - 1].name if branch and branch[-1] > 0 else "",
            classes=tuple(self._class(k, owed_before[k]) for k in range(len(program.names))),
            triggers=tuple(
                ExplainedTrigger(trigger.name, self.conditions[i], bool(run.breached[i][0]), self.first_breach.get(i))
                for i, trigger in enumerate(run.spec.triggers)
            ),
            steps=steps,
            transfers=(*self._collections(), *(move for step in steps for move in step.transfers)),
            opening=opening,
            closing=self._cash(run.accounts),
        )

    # ------------------------------------------------------------------------------------------------------ amounts
    def _money(self, amount: Any) -> float:
        return float(np.asarray(amount).reshape(-1)[0]) / self.scale

    def _cash(self, accounts: list[Any]) -> dict[str, float]:
        return {
            name: self._money(amount) for name, amount in zip(self.run.program.account_names, accounts, strict=True)
        }

    def _read(self, role: str, formula: Formula) -> ReadFormula:
        reads = tuple((name, _plain(value)) for name, value in formula.explain(self.run.reader.read))
        return ReadFormula(role, formula.text, _plain(formula.evaluate(self.run.reader.read)), reads)

    # -------------------------------------------------------------------------------------------------------- a step
    def _step(self, number: int, step: Step) -> ExplainedStep:
        run = self.run
        roles = (
            ("when", step.when),
            ("amount", step.amount),
            ("limit", step.limit),
            ("support_when", step.support_when),
        )
        formulas = tuple(self._read(role, formula) for role, formula in roles if formula is not None)
        if step.pay == "reserve":
            formulas += tuple(self._read("target", run.reserve_targets[place]) for place in step.targets)
        before, due = self._cash(run.accounts), self._due(step)
        held = bool(np.any(run.branch[step.branch])) and self._holds(step)
        if step.pay == "test" and held:
            for i in step.targets:
                self.conditions[i] = self._read("condition", run.conditions[i])
        pay(run, step)
        transfers = self._transfers(step)
        paid = dict.fromkeys(step.names, 0.0)
        for move in transfers:
            if move.target in paid:
                paid[move.target] += move.amount
            elif len(step.names) == 1 and move.kind not in ("release",):
                paid[step.names[0]] += move.amount
        left = {name: max(due[name] - paid.get(name, 0.0), 0.0) for name in due} if held else dict(due)
        after = self._cash(run.accounts)
        explained = ExplainedStep(
            number=number,
            id=step.id,
            path=step.path,
            pay=step.pay,
            names=step.names,
            carried_out=held,
            due=due,
            paid=paid,
            left=left,
            formulas=formulas,
            transfers=transfers,
            cash_before=before,
            cash_after=after,
            concerns=step.pay in ("interest", "principal") and self.tranche in step.names,
            sentence=self._sentence(step, held, due, transfers, after),
        )
        return explained

    def _holds(self, step: Step) -> bool:
        if step.when is None:
            return True
        run = self.run
        known = run.line_when.get(step.line) if not step.first else None
        return bool(np.all(run.holds(step.when) if known is None else known))

    def _due(self, step: Step) -> dict[str, float]:
        """What each payee is owed before the step; principal: what the date has due for it."""
        run = self.run
        columns = {
            "fee": run.fee_shortfall,
            "interest": run.interest_shortfall,
            "deficiency": run.deficiency,
            "hedge": run.hedge_due,
        }
        if step.pay in columns:
            return {name: self._money(columns[step.pay][i]) for name, i in zip(step.names, step.targets, strict=True)}
        if step.pay == "facility":
            return {
                name: self._money(run.facility_due[i] + run.drawn[i])
                for name, i in zip(step.names, step.targets, strict=True)
            }
        if step.pay == "reserve":
            return {
                name: max(self._money(run.reserve_target(i)) - self._money(run.accounts[i]), 0.0)
                for name, i in zip(step.names, step.targets, strict=True)
            }
        if step.pay == "principal":
            return self._principal_due(step)
        if step.pay in ("residual", "transfer"):
            return {step.names[0]: sum(self._money(run.accounts[place]) for place in step.sources)}
        return {}

    def _principal_due(self, step: Step) -> dict[str, float]:
        run = self.run
        balances = [run.balance[k] for k in step.targets]
        if step.amount is None:
            budget = run.principal_due
        elif not step.first and step.line in run.line_amount:
            budget = run.line_amount[step.line]
        else:
            budget = np.maximum(run.evaluate(step.amount), 0.0)
            budget = run.notes_balance if np.any(run.ending) else budget
        shares, _ = run.arithmetic.share(balances, np.asarray(budget))
        return {name: self._money(share) for name, share in zip(step.names, shares, strict=True)}

    def _transfers(self, step: Step) -> tuple[Transfer, ...]:
        """What the step moved, from the ledger of this run."""
        run = self.run
        if run.ledger is None:
            return ()
        found = []
        for place in range(step.booked, len(run.program.lines)):
            line = run.program.lines[place]
            if line.step != step.id:
                break
            amount = float(run.ledger[place, self.t, 0]) / self.scale
            if amount > 0.0:
                found.append(Transfer(line.source, line.target, line.kind, amount))
        return tuple(found)

    def _sentence(
        self,
        step: Step,
        held: bool,
        due: Mapping[str, float],
        transfers: tuple[Transfer, ...],
        after: Mapping[str, float],
    ) -> str:
        what = {"residual": "everything left", "reserve": "top-up", "purchase": "new collateral"}.get(
            step.pay, step.pay
        )
        to = f" to {' and '.join(step.names)}" if step.names else ""
        if not held:
            return f"{what}{to}: not carried out, its condition does not hold."
        if step.pay == "test":
            states = (f"{name} is {'breached' if self._breached(name) else 'not breached'}" for name in step.names)
            return f"test: {' and '.join(states)}."
        parts = [f"{_shown(move.amount)} from {move.source}" for move in transfers if move.kind != "release"]
        released = [f"{_shown(move.amount)} released to {move.target}" for move in transfers if move.kind == "release"]
        total = sum(due.values())
        asked = f"{_shown(total)} due; " if due and step.pay not in ("residual", "transfer") else ""
        paid = f"paid {' and '.join(parts)}" if parts else "nothing paid"
        left = f", where {_shown(after[transfers[0].source])} is left" if parts and transfers[0].source in after else ""
        return f"{what}{to}: {asked}{', '.join([paid + left, *released])}."

    def _breached(self, name: str) -> bool:
        names = [trigger.name for trigger in self.run.spec.triggers]
        return bool(self.run.breached[names.index(name)][0])

    # ------------------------------------------------------------------------------------------- classes and the pool
    def _class(self, k: int, owed_before: Any) -> ClassAccount:
        run, tranche = self.run, self.run.spec.tranches[k]
        fraction = run.accruals.fraction(tranche.day_count, tranche.accrual_dates)
        factor = float(np.asarray(run.period_rate[k]).reshape(-1)[0])
        paid, principal = run.interest_paid[k], run.principal_paid[k]
        return ClassAccount(
            name=tranche.name,
            opening=self._money(run.opening_balance[k]),
            rate=factor / fraction if fraction else 0.0,
            year_fraction=fraction,
            accrued=self._money(run.interest_accrued[k]),
            owed_before=self._money(owed_before),
            interest=0.0 if paid is None else self._money(paid),
            owed_after=self._money(run.interest_shortfall[k]),
            capitalised=self._money(run.accreted[k]),
            principal=0.0 if principal is None else self._money(principal),
            closing=self._money(run.balance[k]),
        )

    def _collections(self) -> tuple[Transfer, ...]:
        """What came in before the first step: the pool's cash by source where nothing but the pool paid it, and all
        else."""
        run, program = self.run, self.run.program
        moves: list[Transfer] = []
        for line_id, place in program.opening_lines.items():
            line = program.lines[place]
            amount = 0.0 if run.ledger is None else float(run.ledger[place, self.t, 0]) / self.scale
            if amount <= 0.0:
                continue
            parts = self._by_source(line.target) if line_id.startswith("collect") else []
            # Stress and collateral bought in a revolving period change the sum: then it is shown as one.
            whole = abs(sum(part.amount for part in parts) - amount) <= 1e-9 * max(1.0, amount)
            moves += parts if parts and whole else [Transfer(line.source, line.target, line.kind, amount)]
        return tuple(moves)

    def _by_source(self, account: str) -> list[Transfer]:
        run, program = self.run, self.run.program
        place = program.account_names.index(account)
        amounts = dict.fromkeys(SOURCES, 0.0)
        for group in run.collateral.groups or [WHOLE_POOL]:
            for source in SOURCES:
                if program.collected[source, group] == place:
                    amounts[source] += float(run.collateral.source(source, group)[self.t, 0]) / self.scale
        return [
            Transfer(f"pool: {source.replace('_', ' ')}", account, "collections", amount)
            for source, amount in amounts.items()
            if amount > 0.0
        ]


def _plain(value: Any) -> float | bool:
    first = np.asarray(value).reshape(-1)[0]
    return bool(first) if isinstance(first, bool | np.bool_) else float(first)


def _shown(amount: float) -> str:
    return f"{amount:,.2f}"
