"""The named quantities that formulas of a deal may read, and the formulas that a deal holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pooling.engine.deal.classes import (
    AccrualNote,
    Coupon,
    FloatingCoupon,
    InterestOnly,
    PlannedNote,
    StepCoupon,
    TriggeredCoupon,
)
from pooling.engine.deal.errors import SpecError
from pooling.engine.deal.features import AnnualPercentageFee, Cap, FormulaFee, ReserveAccount
from pooling.engine.deal.rules import WaterfallStep
from pooling.engine.formula import Formula, FormulaError, Kind, parse_formula

if TYPE_CHECKING:
    from pooling.engine.deal.spec import DealSpec

Stage = Literal["closing", "accrual", "opening", "step"]

POOL_KINDS = {
    "balance": Kind.MONEY,  # performing and delinquent at the end of the period
    "opening_balance": Kind.MONEY,  # the same at its beginning
    "initial_balance": Kind.MONEY,  # at cut-off
    "factor": Kind.NUMBER,
    "performing": Kind.MONEY,
    "delinquent": Kind.MONEY,
    "delinquent_30": Kind.MONEY,  # 31 days and more
    "delinquent_60": Kind.MONEY,
    "delinquent_90": Kind.MONEY,
    "delinquent_60_share": Kind.NUMBER,  # of the balance
    "count": Kind.NUMBER,
    "collections": Kind.MONEY,  # cash of the period, all sources
    "interest": Kind.MONEY,
    "principal": Kind.MONEY,  # scheduled and prepaid
    "recovery": Kind.MONEY,
    "default": Kind.MONEY,
    "loss": Kind.MONEY,  # charged off less recovered in the period
    "cumulative_loss": Kind.MONEY,
    "cumulative_default": Kind.MONEY,
    "cumulative_loss_rate": Kind.NUMBER,  # of the balance at cut-off
    "cumulative_default_rate": Kind.NUMBER,
}
CLASS_KINDS = {
    "balance": Kind.MONEY,
    "opening_balance": Kind.MONEY,
    "initial_balance": Kind.MONEY,
    "factor": Kind.NUMBER,
    "interest_due": Kind.MONEY,  # accrued in the period and still owed from before, not yet paid
    "interest_paid": Kind.MONEY,  # on this date so far
    "principal_paid": Kind.MONEY,
    "accreted": Kind.MONEY,  # interest added to the balance on this date
    "planned_due": Kind.MONEY,  # above the planned balance
    "oc_ratio": Kind.NUMBER,  # pool balance over the balances of this class and those senior to it
    "ic_ratio": Kind.NUMBER,  # interest collected over interest due to this class and those senior to it
}
PERIOD_KINDS = {
    "number": Kind.NUMBER,
    "date": Kind.DATE,
    "is_final": Kind.BOOL,  # the deal ends on this date: its last one, or the one of its call
    "year_fraction": Kind.NUMBER,
}
# What is known on the closing date, before anything is collected.
_CLOSING = {"pool.initial_balance", "notes.initial_balance"}


def quantity_kinds(spec: DealSpec) -> dict[str, Kind]:
    """Every name that a formula of this deal may read, with its kind; definitions excepted."""
    known: dict[str, Kind] = {f"pool.{key}": kind for key, kind in POOL_KINDS.items()}
    for group in spec.collateral:
        known |= {f"pool[{group.name}].{key}": kind for key, kind in POOL_KINDS.items()}
    known |= {f"period.{key}": kind for key, kind in PERIOD_KINDS.items()}
    known |= dict.fromkeys(("notes.balance", "notes.opening_balance", "notes.initial_balance"), Kind.MONEY)
    known |= {"notes.factor": Kind.NUMBER, "deal.principal_due": Kind.MONEY, "deal.target_oc": Kind.MONEY}
    known |= {"deal.revolving": Kind.BOOL, "deal.called": Kind.BOOL}
    for tranche in spec.tranches:
        for key, kind in CLASS_KINDS.items():
            if key != "planned_due" or isinstance(tranche, PlannedNote):
                known[f"class[{tranche.name}].{key}"] = kind
    for fee in spec.fees:
        known |= {f"fee[{fee.name}].due": Kind.MONEY, f"fee[{fee.name}].paid_in_year": Kind.MONEY}
    for account in spec.accounts:
        known[f"account[{account.name}].balance"] = Kind.MONEY
        if isinstance(account, ReserveAccount):
            known[f"account[{account.name}].target"] = Kind.MONEY
    for ledger in spec.ledgers:
        known[f"ledger[{ledger.name}].balance"] = Kind.MONEY
    for facility in spec.facilities:
        known |= {f"facility[{facility.name}].{key}": Kind.MONEY for key in ("drawn", "available", "due")}
    for hedge in spec.hedges:
        known[f"hedge[{hedge.name}].due"] = Kind.MONEY
    known |= {f"trigger[{trigger.name}]": Kind.BOOL for trigger in spec.triggers}
    known |= {f"rate[{index}]": Kind.NUMBER for index in index_names(spec)}
    return known


def index_names(spec: DealSpec) -> tuple[str, ...]:
    """Names of the indices that coupons, facilities and hedges refer to, sorted."""
    found = set()
    coupons: list[Coupon | None] = [tranche.coupon for tranche in spec.tranches]
    coupons += [facility.rate for facility in spec.facilities]
    for hedge in spec.hedges:
        if isinstance(hedge, Cap):
            found.add(hedge.index)
        else:
            coupons += [hedge.pays, hedge.receives]
    while coupons:
        coupon = coupons.pop()
        if isinstance(coupon, FloatingCoupon):
            found.add(coupon.index)
        elif isinstance(coupon, TriggeredCoupon):
            coupons += [coupon.before, coupon.after]
        elif isinstance(coupon, StepCoupon):
            coupons += [step.rate for step in coupon.steps]
    return tuple(sorted(found))


@dataclass(frozen=True)
class Written:
    """A formula as it stands in the spec: its path, its text, the kinds it may have, and when it is evaluated."""

    path: str
    text: str
    expected: tuple[Kind, ...]
    stage: Stage
    step: int = -1  # place in its waterfall, for stage "step"
    waterfall: str = ""  # "waterfall" or "alternatives[i].waterfall"


_AMOUNT, _TRUTH = (Kind.MONEY,), (Kind.BOOL,)


def written_formulas(spec: DealSpec) -> Iterator[Written]:
    """Every formula of the deal but the definitions, in the order of the JSON."""
    yield from _of_classes(spec)
    if spec.overcollateralisation.target is not None:
        yield Written("overcollateralisation.target", spec.overcollateralisation.target, _AMOUNT, "opening")
    yield from _of_features(spec)
    for i, trigger in enumerate(spec.triggers):
        stage: Stage = "opening" if trigger.tested == "opening" else "step"
        yield Written(f"triggers[{i}].condition", trigger.condition, _TRUTH, stage)
    if spec.revolving is not None:
        for key in ("ends_when", "criteria"):
            text = getattr(spec.revolving, key)
            if text is not None:
                yield Written(f"revolving.{key}", text, _TRUTH, "opening")
    if spec.call is not None:
        yield Written("call.price", spec.call.price, _AMOUNT, "opening")
    yield from _of_steps("waterfall", spec.waterfall)
    for i, alternative in enumerate(spec.alternatives):
        yield Written(f"alternatives[{i}].when", alternative.when, _TRUTH, "opening")
        yield from _of_steps(f"alternatives[{i}].waterfall", alternative.waterfall)


def _of_features(spec: DealSpec) -> Iterator[Written]:
    for i, fee in enumerate(spec.fees):
        if isinstance(fee, AnnualPercentageFee):
            yield Written(f"fees[{i}].base", fee.base, _AMOUNT, "accrual")
        elif isinstance(fee, FormulaFee):
            yield Written(f"fees[{i}].amount", fee.amount, _AMOUNT, "accrual")
    for i, account in enumerate(spec.accounts):
        if isinstance(account, ReserveAccount):
            yield Written(f"accounts[{i}].initial", account.initial, _AMOUNT, "closing")
            yield Written(f"accounts[{i}].target", account.target, _AMOUNT, "opening")
    for i, facility in enumerate(spec.facilities):
        yield Written(f"facilities[{i}].commitment", facility.commitment, _AMOUNT, "accrual")
    for i, hedge in enumerate(spec.hedges):
        yield Written(f"hedges[{i}].notional", hedge.notional, _AMOUNT, "accrual")


def _of_classes(spec: DealSpec) -> Iterator[Written]:
    for i, tranche in enumerate(spec.tranches):
        if isinstance(tranche, InterestOnly):
            yield Written(f"tranches[{i}].notional", tranche.notional, _AMOUNT, "accrual")
        if isinstance(tranche, AccrualNote):
            yield Written(f"tranches[{i}].accretes_while", tranche.accretes_while, _TRUTH, "accrual")
        if isinstance(tranche.coupon, TriggeredCoupon):
            yield Written(f"tranches[{i}].coupon.when", tranche.coupon.when, _TRUTH, "accrual")


def _of_steps(path: str, steps: tuple[WaterfallStep, ...]) -> Iterator[Written]:
    for i, step in enumerate(steps):
        for key, expected in (("amount", _AMOUNT), ("limit", _AMOUNT), ("when", _TRUTH), ("support_when", _TRUTH)):
            text = getattr(step, key)
            if text is not None:
                yield Written(f"{path}[{i}].{key}", text, expected, "step", i, path)


class FormulaBook:
    """The formulas of one deal, parsed and type-checked once, by their path; definitions by their name."""

    def __init__(self, spec: DealSpec) -> None:
        self.kinds = quantity_kinds(spec)
        self.currency = spec.currency
        self.definitions: dict[str, Formula] = {}
        every = (Kind.MONEY, Kind.NUMBER, Kind.BOOL, Kind.DATE)
        for i, definition in enumerate(spec.definitions):
            formula = self._parse(f"definitions[{i}].formula", definition.formula, every)
            self.definitions[f"defined[{definition.name}]"] = formula
            self.kinds[f"defined[{definition.name}]"] = formula.kind
        self.formulas: dict[str, Formula] = {}
        for written in written_formulas(spec):
            formula = self._parse(written.path, written.text, written.expected)
            if written.stage == "closing":
                self._known_at_closing(written.path, formula)
            self.formulas[written.path] = formula

    def __getitem__(self, path: str) -> Formula:
        return self.formulas[path]

    def get(self, path: str) -> Formula | None:
        """The formula at a path, or None where the spec has none there."""
        return self.formulas.get(path)

    def reads(self, formula: Formula) -> set[str]:
        """Every quantity a formula reads, through the definitions it reads."""
        found: set[str] = set()
        for name in formula.names:
            found |= self.reads(self.definitions[name]) if name in self.definitions else {name}
        return found

    def _parse(self, path: str, text: str, expected: tuple[Kind, ...]) -> Formula:
        try:
            return parse_formula(text, self.kinds, expected, currency=self.currency)
        except FormulaError as error:
            raise SpecError(path, error.message) from None

    def _known_at_closing(self, path: str, formula: Formula) -> None:
        for name in self.reads(formula):
            if name not in _CLOSING and not (
                name.startswith(("class[", "pool[")) and name.endswith("].initial_balance")
            ):
                raise SpecError(path, f"{name} is not known on the closing date; use initial balances")


__all__ = ["FormulaBook", "Stage", "Written", "index_names", "quantity_kinds", "written_formulas"]
