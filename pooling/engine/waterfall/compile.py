"""DealSpec to Program: names become places, dates are resolved, sequential lines become single steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pooling.engine.calendars import add_months, adjust
from pooling.engine.daycount import DayCount, year_fractions
from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.deal.checks import collection_map
from pooling.engine.deal.features import ReserveAccount
from pooling.engine.deal.rules import WaterfallStep
from pooling.engine.waterfall.program import Calendar, FloatArray, LedgerLine, Program, Step

CENTS = 100.0
POOL = "pool"


def compile_deal(spec: DealSpec, pool_balance_cents: int) -> Program:
    """The program of a deal over a pool of this balance at cut-off.

    pool_balance_cents: cents, > 0. Where the spec gives no target overcollateralisation it is what the notes leave of
    the pool at closing.

    Raises SpecError naming the class whose balance or coupon is still null; ValueError for the pool balance.
    """
    if pool_balance_cents <= 0:
        raise ValueError(f"pool_balance_cents: {pool_balance_cents} must be above 0")
    for number, tranche in enumerate(spec.tranches):
        for key in ("balance", "coupon"):
            if getattr(tranche, key) is None:
                raise SpecError(f"tranches[{number}].{key}", f"class {tranche.name!r} is not solved yet")
    initial = np.array([tranche.balance for tranche in spec.tranches], dtype=np.float64) / CENTS
    pool = pool_balance_cents / CENTS
    names = tuple(account.name for account in spec.accounts)
    deposits = reserve_deposits(spec, pool_balance_cents)
    steps, lines, opening = _Flattening(spec).run()
    fixed = [tranche.coupon if isinstance(tranche.coupon, float | int) else np.nan for tranche in spec.tranches]
    return Program(
        spec=spec,
        spec_hash=spec.content_hash(),
        currency=spec.currency,
        names=spec.class_names,
        initial_balance=initial,
        coupon=np.array(fixed, dtype=np.float64),
        account_names=names,
        account_initial=np.array([deposits.get(name, 0) for name in names], dtype=np.float64) / CENTS,
        cutoff_balance=pool,
        closing_oc=pool - float(initial.sum()),
        calendar=calendar_of(spec),
        collected={key: names.index(into) for key, into in collection_map(spec).items()},
        steps=steps,
        lines=lines,
        opening_lines=opening,
        branches=tuple(spec.formulas[f"alternatives[{i}].when"] for i in range(len(spec.alternatives))),
    )


def calendar_of(spec: DealSpec) -> Calendar:
    """Payment dates of the deal up to legal final, with the year fraction of every accrual period by day count."""
    conventions, dates = spec.conventions, spec.dates
    nominal = tuple(
        dates.first_payment if k == 0 else add_months(dates.first_payment, k * spec.months_between, dates.payment_day)
        for k in range(spec.payments)
    )
    adjusted = tuple(adjust(day, conventions.business_day_rule, conventions.calendar) for day in nominal)
    given = [getattr(part, "day_count", None) for part in (*spec.tranches, *spec.fees, *spec.hedges)]
    counts: set[DayCount] = {conventions.interest_day_count, *(count for count in given if count is not None)}
    fractions: dict[tuple[str, str], FloatArray] = {}
    for accrual, ends in (("unadjusted", nominal), ("adjusted", adjusted)):
        days = np.array((dates.closing, *ends), dtype="datetime64[D]")
        for count in counts:
            fractions[count, accrual] = year_fractions(days[:-1], days[1:], count)
    first = dates.first_collection_months or spec.months_between
    months = first + spec.months_between * np.arange(len(nominal), dtype=np.int64)
    return Calendar(closing=dates.closing, dates=adjusted, nominal=nominal, fractions=fractions, months=months)


def reserve_deposits(spec: DealSpec, pool_balance_cents: int) -> dict[str, int]:
    """Cents put into each reserve account at closing: its formula over the cut-off balance, rounded half to even."""
    known = {"pool.initial_balance": pool_balance_cents / CENTS}
    known["notes.initial_balance"] = sum((tranche.balance or 0) for tranche in spec.tranches) / CENTS
    for tranche in spec.tranches:
        known[f"class[{tranche.name}].initial_balance"] = (tranche.balance or 0) / CENTS

    def value(name: str) -> float:
        definitions = spec.formulas.definitions
        found = definitions[name].evaluate(value) if name in definitions else known.get(name)
        if found is None:
            raise SpecError("accounts", f"{name} is not known when the reserve is funded; use pool.initial_balance")
        return float(found)

    deposits = {}
    for i, account in enumerate(spec.accounts):
        if isinstance(account, ReserveAccount):
            amount = round(float(spec.formulas[f"accounts[{i}].initial"].evaluate(value)) * CENTS)
            if amount < 0:
                raise SpecError(f"accounts[{i}].initial", f"the deposit of {amount} cents lies below zero")
            deposits[account.name] = amount
    return deposits


def reserve_deposit(spec: DealSpec, pool_balance_cents: int) -> int:
    """Cents put into all reserve accounts at closing."""
    return sum(reserve_deposits(spec, pool_balance_cents).values())


class _Flattening:
    """Turns lines of the spec into steps and numbers the transfers that each can make."""

    def __init__(self, spec: DealSpec) -> None:
        self.spec = spec
        self.steps: list[Step] = []
        self.lines: list[LedgerLine] = []
        self.ids: dict[str, int] = {}
        self.line_ids: dict[str, int] = {}
        self.accounts = [account.name for account in spec.accounts]
        self.facilities = [facility.name for facility in spec.facilities]
        self.places: Mapping[str, list[str]] = {
            "fee": [fee.name for fee in spec.fees],
            "interest": list(spec.class_names),
            "principal": list(spec.class_names),
            "reserve": self.accounts,
            "transfer": self.accounts,
            "deficiency": [ledger.name for ledger in spec.ledgers],
            "facility": self.facilities,
            "hedge": [hedge.name for hedge in spec.hedges],
            "test": [trigger.name for trigger in spec.triggers],
            "residual": [spec.residual.name],
            "purchase": [],
        }

    def run(self) -> tuple[tuple[Step, ...], tuple[LedgerLine, ...], dict[str, int]]:
        opening = self._opening()
        line = 0
        for branch, (path, steps) in enumerate(
            [("waterfall", self.spec.waterfall)]
            + [(f"alternatives[{i}].waterfall", part.waterfall) for i, part in enumerate(self.spec.alternatives)]
        ):
            for number, step in enumerate(steps):
                self._add(step, f"{path}[{number}]", line, branch)
                line += 1
        return tuple(self.steps), tuple(self.lines), opening

    def _opening(self) -> dict[str, int]:
        """Transfers before the first step: collections, income, hedge receipts, the price of a call."""
        spec, opening = self.spec, {}
        collecting = sorted(set(collection_map(spec).values()), key=self.accounts.index)
        booked = [
            ("collect" if len(collecting) == 1 else f"collect:{name}", POOL, name, "collections") for name in collecting
        ]
        booked += [
            (f"income:{account.name}", "bank", account.name, "income")
            for account in spec.accounts
            if account.yield_rate > 0.0
        ]
        booked += [(f"receive:{hedge.name}", hedge.name, hedge.into, "hedge") for hedge in spec.hedges]
        booked += [(f"transition:{name}", name, "new servicer", "transition") for name in collecting]
        if spec.call is not None:
            booked.append(("call", "call", spec.call.into, "call"))
        for name, source, target, kind in booked:
            opening[name if kind != "collections" else f"collect:{target}"] = len(self.lines)
            self.lines.append(LedgerLine(name, name, source, target, kind))
        return opening

    def _add(self, step: WaterfallStep, path: str, line: int, branch: int) -> None:
        groups = [step.to] if step.rule == "pro_rata" or not step.to else [(name,) for name in step.to]
        if step.pay in ("test", "residual", "purchase", "transfer"):
            groups = [step.to]
        formulas = self.spec.formulas
        for number, names in enumerate(groups):
            base = f"{step.pay}:{'+'.join(names)}" if names else step.pay
            self.ids[base] = self.ids.get(base, 0) + 1
            step_id = base if self.ids[base] == 1 else f"{base}#{self.ids[base]}"
            self.steps.append(
                Step(
                    id=step_id,
                    path=path,
                    pay=step.pay,
                    targets=tuple(self.places[step.pay].index(name) for name in names),
                    names=names,
                    sources=tuple(self.accounts.index(name) for name in step.source) if step.pay != "test" else (),
                    support=tuple(self._lender(name) for name in step.support),
                    line=line,
                    first=number == 0,
                    branch=branch,
                    booked=len(self.lines),
                    amount=formulas.get(f"{path}.amount"),
                    limit=formulas.get(f"{path}.limit"),
                    when=formulas.get(f"{path}.when"),
                    support_when=formulas.get(f"{path}.support_when"),
                )
            )
            for transfer in self._transfers(step, step_id, names):
                # A class may be paid by several lines of the spec: each of its transfers has a name of its own.
                known = self.line_ids[transfer.id] = self.line_ids.get(transfer.id, 0) + 1
                self.lines.append(transfer if known == 1 else replace(transfer, id=f"{transfer.id}#{known}"))

    def _lender(self, name: str) -> tuple[str, int]:
        if name in self.accounts:
            return "account", self.accounts.index(name)
        return "facility", self.facilities.index(name)

    def _transfers(self, step: WaterfallStep, step_id: str, names: tuple[str, ...]) -> list[LedgerLine]:
        """Transfers a step can make: payee by payee from each account in turn, in the order execute() books them."""
        lenders = (*step.source, *step.support)
        many = len(lenders) > 1

        def named(target: str, lender: str) -> str:
            return f"{step.pay}:{target}" + (f"/{lender}" if many and lender != lenders[0] else "")

        if step.pay == "test":
            return []
        if step.pay == "reserve":
            account = step.source[0]
            return [
                line
                for name in names
                for line in (
                    *(
                        LedgerLine(f"{named(name, lender)}/top-up", step_id, lender, name, "top-up")
                        for lender in lenders
                    ),
                    LedgerLine(f"{step.pay}:{name}/release", step_id, name, account, "release"),
                )
            ]
        targets = names or ("new collateral",)
        if step.pay == "deficiency":
            into = self.spec.deficiency.into if self.spec.deficiency else ""
            return [
                LedgerLine(named(name, lender), step_id, lender, into, step.pay)
                for lender in lenders
                for name in targets
            ]
        return [
            LedgerLine(named(name if names else "collateral", lender), step_id, lender, name, step.pay)
            for lender in lenders
            for name in targets
        ]
