"""One payment date of a listed deal as the page shows it: steps with their formulas in numbers, triggers, and the cash
from its sources to its payees. Amounts in cents; why they are what they are is the engine's explain.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from marketplace.cashflows import BaseCase, Cents
from pooling.engine.deal.classes import AccrualNote, InterestOnly
from pooling.engine.formula import Kind
from pooling.engine.waterfall.explain import (
    ClassAccount,
    ExplainedStep,
    Explanation,
    ReadFormula,
    Transfer,
    explain,
)

ROLES = {
    "when": "only where",
    "amount": "amount",
    "limit": "at most",
    "support_when": "support only where",
    "target": "target",
    "condition": "breached where",
}
WORDS = {
    "interest": "Interest", "principal": "Principal", "reserve": "Top-up of", "deficiency": "Deficiency of",
    "facility": "Facility", "hedge": "Hedge", "purchase": "New collateral", "transfer": "Transfer", "test": "Test",
    "residual": "Residual",
}  # fmt: skip
ENGINE_ENDS = {"bank": "Account income", "call": "Price of the call", "pool": "Pool"}
HALF_CENT = 0.005


def cents(amount: float) -> Cents:
    """Whole cents of an amount in currency units, which a run of cents makes exact but for its binary form."""
    return round(amount * 100)


@dataclass(frozen=True)
class Reading:
    """A formula in numbers. role: what it is for; reads: name and value of each quantity, as texts."""

    role: str
    text: str
    value: str
    reads: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StepRow:
    """One step. sources: accounts that pay; support: reserves and facilities behind them; parts: what each paid, where
    several did. cash_left: in the accounts, after it. Amounts are None where the step has none. words: of a step that
    concerns the class."""

    number: int
    title: str
    names: tuple[str, ...]
    sources: tuple[str, ...]
    support: tuple[str, ...]
    parts: tuple[tuple[str, Cents], ...]
    due: Cents | None
    limit: Cents | None
    paid: Cents | None
    unpaid: Cents | None
    released: Cents
    cash_left: Cents | None
    carried_out: bool
    own: bool
    words: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class TriggerRow:
    """A test on the date. since: number and date of the first date of the present breach."""

    name: str
    breached: bool
    since: tuple[int, dt.date] | None
    reading: Reading


@dataclass(frozen=True)
class CashNode:
    """Where cash comes from, rests or goes. kind: "pool", "opening", "account", "class", "residual", "closing" or
    "other"; slot: seniority of a class."""

    label: str
    kind: str
    slot: int | None = None


@dataclass(frozen=True)
class CashLink:
    """Cash from one node to another, by their places. amount: cents."""

    source: int
    target: int
    amount: Cents


@dataclass(frozen=True)
class PaymentView:
    """Everything the page says of a class on a date. account: in currency units, of the engine; interest, principal:
    how what is due came about, in numbers."""

    why: Explanation
    account: ClassAccount
    interest: str
    principal: str
    steps: tuple[StepRow, ...]
    triggers: tuple[TriggerRow, ...]
    nodes: tuple[CashNode, ...]
    links: tuple[CashLink, ...]

    @property
    def facts(self) -> tuple[tuple[str, Cents], ...]:
        """Name and cents of the class's account on the date."""
        found = [
            ("Opening balance", self.account.opening),
            ("Interest accrued", self.account.accrued),
            ("Interest paid", self.account.interest),
            ("Interest unpaid, end", self.account.owed_after),
            ("Added to balance", self.account.capitalised),
            ("Principal paid", self.account.principal),
            ("Closing balance", self.account.closing),
        ]
        return tuple((name, cents(amount)) for name, amount in found if amount or name != "Added to balance")

    @property
    def transfers(self) -> tuple[tuple[str, str, Cents], ...]:
        """The links by the labels of their nodes."""
        return tuple((self.nodes[link.source].label, self.nodes[link.target].label, link.amount) for link in self.links)


def payment_view(case: BaseCase, *, tranche: str, number: int) -> PaymentView:
    """Explain what a class is paid on a date of the base case. Raises ValueError for a class or date it has not."""
    why = explain(case.program, case.flows, tranche=tranche, date=number, mode="cents", to_call=case.to_call)
    account = next(each for each in why.classes if each.name == tranche)
    nodes, links = cash_graph(case, why)
    return PaymentView(
        why=why,
        account=account,
        interest=_interest_words(case, account),
        principal=_principal_words(case, why),
        steps=tuple(_step_row(case, step) for step in why.steps if _in_force(case, why, step)),
        triggers=tuple(
            TriggerRow(
                name=each.name,
                breached=each.breached,
                since=None if each.since is None else (each.since, case.program.calendar.dates[each.since - 1]),
                reading=_reading(case, each.condition),
            )
            for each in why.triggers
        ),
        nodes=nodes,
        links=links,
    )


# ------------------------------------------------------------------------------------------------------------- words
def _amount(value: float) -> str:
    return f"{value:,.2f}"


def _interest_words(case: BaseCase, account: ClassAccount) -> str:
    """The interest of the period as a product, where that is what it is."""
    tranche = next(each for each in case.spec.tranches if each.name == account.name)
    count = tranche.day_count or case.spec.conventions.interest_day_count
    rate = f"{account.rate * 100:.6g} % × {account.year_fraction:.6f} years ({count})"
    if isinstance(tranche, InterestOnly):
        return f"notional amount × {rate}, rounded = {_amount(account.accrued)}"
    owed = account.owed_before if case.spec.conventions.shortfall_interest == "note_rate" else 0.0
    born = account.accrued + (account.capitalised if isinstance(tranche, AccrualNote) else 0.0)
    if abs((account.opening + owed) * account.rate * account.year_fraction - born) > HALF_CENT + 1e-6:
        return f"{_amount(born)}, a premium of the call included; {rate} on the balance"
    base = f"({_amount(account.opening)} + {_amount(owed)} unpaid)" if owed else _amount(account.opening)
    return f"{base} × {rate}, rounded = {_amount(born)}"


def _principal_words(case: BaseCase, why: Explanation) -> str:
    """How the principal due of the deal came about, in numbers."""
    due = _amount(why.principal_due)
    if why.final:
        return f"the deal ends on this date, so all notes are due: {due}"
    if why.revolving:
        return f"{due}: the deal revolves"
    if case.spec.loss_coverage == "principal_collections":
        return f"principal collected and recovered, at most the notes of {_amount(why.notes)} = {due}"
    pool, target = _amount(why.pool_balance), _amount(why.target_oc)
    return (
        f"notes {_amount(why.notes)} − (pool {pool} − target overcollateralisation {target}), from 0 to notes = {due}"
    )


def shown(value: float | bool, kind: Kind) -> str:
    """A value of a formula as text."""
    if isinstance(value, bool) or kind is Kind.BOOL:
        return "true" if value else "false"
    if not math.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if kind is Kind.MONEY:
        return _amount(value)
    if kind is Kind.DATE:
        return dt.date.fromordinal(int(value)).isoformat()
    return f"{value:,.6g}"


def _reading(case: BaseCase, formula: ReadFormula) -> Reading:
    kinds = case.spec.formulas.kinds
    truth = formula.role in ("when", "support_when", "condition")
    return Reading(
        role=ROLES[formula.role],
        text=formula.text,
        value=shown(formula.value, Kind.BOOL if truth else Kind.MONEY),
        # A formula that is one quantity has said its value.
        reads=tuple((name, shown(value, kinds[name])) for name, value in formula.reads if name != formula.text),
    )


# ------------------------------------------------------------------------------------------------------------- steps
def _in_force(case: BaseCase, why: Explanation, step: ExplainedStep) -> bool:
    """Whether the step belongs to the order of payments that holds on the date."""
    names = [alternative.name for alternative in case.spec.alternatives]
    order = f"alternatives[{names.index(why.alternative)}].waterfall[" if why.alternative else "waterfall["
    return step.path.startswith(order)


def _step_row(case: BaseCase, step: ExplainedStep) -> StepRow:
    program = case.program
    compiled = program.steps[step.number - 1]
    accounts = [program.account_names[place] for place in compiled.sources]
    facilities = [facility.name for facility in case.spec.facilities]
    support = [(program.account_names if kind == "account" else facilities)[place] for kind, place in compiled.support]
    moved = [move for move in step.transfers if move.kind != "release"]
    parts = [(name, sum(cents(move.amount) for move in moved if move.source == name)) for name in accounts + support]
    parts = [part for part in parts if part[1]]
    limit = next((formula.value for formula in step.formulas if formula.role == "limit"), None)
    return StepRow(
        number=step.number,
        title=_title(step),
        names=step.names,
        sources=tuple(accounts),
        support=tuple(support),
        parts=tuple(parts) if len(parts) > 1 else (),
        due=sum(map(cents, step.due.values())) if step.due else None,
        limit=None if limit is None else cents(float(limit)),
        paid=sum(cents(move.amount) for move in moved) if accounts else None,
        unpaid=sum(map(cents, step.left.values())) if step.due else None,
        released=sum(cents(move.amount) for move in step.transfers if move.kind == "release"),
        cash_left=sum(cents(step.cash_after[name]) for name in accounts) if accounts else None,
        carried_out=step.carried_out,
        own=step.concerns,
        words=_titled(step.sentence) if step.concerns else "",
        readings=tuple(_reading(case, formula) for formula in step.formulas),
    )


def _title(step: ExplainedStep) -> str:
    names = ", ".join(step.names)
    return f"{_titled(names)} fee" if step.pay == "fee" else f"{WORDS[step.pay]} {names}".strip()


# -------------------------------------------------------------------------------------------------------------- cash
def cash_graph(case: BaseCase, why: Explanation) -> tuple[tuple[CashNode, ...], tuple[CashLink, ...]]:
    """The cash of the date as nodes and links: the pool and opening cash, accounts, payees and closing cash.

    Of every account as much comes in as goes out; links of the same two nodes are one.
    """
    places: dict[tuple[str, str, str], int] = {}
    amounts: dict[tuple[int, int], Cents] = {}
    accounts = set(case.program.account_names)

    def place(*key: str) -> int:
        return places.setdefault((key[0], key[1], key[2]), len(places))

    def flow(source: int, target: int, amount: float) -> None:
        amounts[source, target] = amounts.get((source, target), 0) + cents(amount)

    for move in _sources_first(why.transfers, accounts):
        source = place("account" if move.source in accounts else "from", move.source, "")
        inside = move.target in accounts
        target = place("account" if inside else "to", move.target, "" if inside else move.kind)
        flow(source, target, move.amount)
    for name, amount in why.opening.items():
        if amount:
            flow(place("opening", name, ""), place("account", name, ""), amount)
    for name, amount in why.closing.items():
        if amount:
            flow(place("account", name, ""), place("closing", name, ""), amount)
    nodes = tuple(_node(case, *key) for key in places)
    links = tuple(CashLink(source, target, amount) for (source, target), amount in amounts.items())
    return nodes, links


def _sources_first(moves: Iterable[Transfer], accounts: set[str]) -> Sequence[Transfer]:
    """Cash from outside first, so that its nodes stand in the order in which it came in."""
    return sorted(moves, key=lambda move: move.source in accounts)


def _node(case: BaseCase, family: str, name: str, kind: str) -> CashNode:
    names = case.program.names
    if family == "from":
        return CashNode(ENGINE_ENDS.get(name) or _titled(name), "pool")
    if family in ("opening", "closing"):
        return CashNode(f"{_titled(name)}, {family} cash", family)
    if family == "account":
        return CashNode(_titled(name), "account")
    if name in names:
        return CashNode(f"{name} {kind}", "class", names.index(name))
    if name == case.spec.residual.name:
        return CashNode(f"{name} residual", "residual")
    return CashNode(_titled(f"{name} {kind}" if kind == "fee" else name), "other")


def _titled(text: str) -> str:
    """The text with its first letter large; the names in it stay as they are."""
    return text[:1].upper() + text[1:]
