"""Checks of the order of payments: everybody is known, everybody is paid, nothing is paid twice, the residual is
last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pooling.engine.deal.classes import InterestOnly
from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.features import CollectionAccount, ReserveAccount, Swap
from pooling.engine.deal.rules import WaterfallStep

if TYPE_CHECKING:
    from pooling.engine.deal.spec import DealSpec

_NOUNS = {
    "fee": "fee",
    "interest": "class",
    "principal": "class",
    "reserve": "reserve account",
    "deficiency": "deficiency ledger",
    "facility": "liquidity facility",
    "hedge": "swap",
    "transfer": "account",
    "test": "trigger tested by a step",
    "residual": "residual certificate",
}
# What may stand in several steps without a limit or a condition on the earlier one.
_REPEATABLE = {"transfer", "purchase"}


def payees_of(spec: DealSpec) -> dict[str, set[str]]:
    """Whom each kind of step may name."""
    return {
        "fee": {fee.name for fee in spec.fees},
        "interest": {tranche.name for tranche in spec.tranches},
        "principal": {tranche.name for tranche in spec.tranches if not isinstance(tranche, InterestOnly)},
        "reserve": {account.name for account in spec.accounts if isinstance(account, ReserveAccount)},
        "deficiency": {ledger.name for ledger in spec.ledgers},
        "facility": {facility.name for facility in spec.facilities},
        "hedge": {hedge.name for hedge in spec.hedges if isinstance(hedge, Swap)},
        "transfer": {account.name for account in spec.accounts},
        "test": {trigger.name for trigger in spec.triggers if trigger.tested == "step"},
        "residual": {spec.residual.name},
        "purchase": set(),
    }


def check_waterfalls(spec: DealSpec) -> None:
    """Check the main order of payments and every alternative. Raises SpecError at the step at fault."""
    payees = payees_of(spec)
    _check_steps(spec, "waterfall", spec.waterfall, payees)
    _check_complete("waterfall", spec.waterfall, payees)
    buys = [step for step in spec.waterfall if step.pay == "purchase"]
    if spec.revolving is not None and not buys:
        raise SpecError("waterfall", "the deal revolves, but no step buys collateral; add a step purchase")
    for i, alternative in enumerate(spec.alternatives):
        path = f"alternatives[{i}].waterfall"
        _check_steps(spec, path, alternative.waterfall, payees)
        # What an alternative leaves unpaid may be meant, but notes and residual always have their place.
        _check_complete(path, alternative.waterfall, {key: payees[key] for key in ("principal", "residual")})
        _check_reserves(path, alternative.waterfall, payees["reserve"])


def _check_steps(spec: DealSpec, path: str, steps: tuple[WaterfallStep, ...], payees: Mapping[str, set[str]]) -> None:
    seen: dict[tuple[str, str], int] = {}
    open_ended: set[tuple[str, str]] = set()
    for number, step in enumerate(steps):
        here = f"{path}[{number}]"
        _check_accounts_of(spec, here, step)
        if step.pay == "purchase" and spec.revolving is None:
            raise SpecError(f"{here}.pay", "the deal has no revolving period in which collateral could be bought")
        for place, name in enumerate(step.to):
            where = f"{here}.to[{place}]"
            _check_payee(where, step, name, payees)
            key = (step.pay, name)
            if key in open_ended:
                before = f"{path}[{seen[key]}], which has neither limit nor condition"
                raise SpecError(where, f"{step.pay} of {name!r} is already paid in {before}")
            seen[key] = number
            if step.pay not in _REPEATABLE and step.limit is None and step.when is None and step.amount is None:
                open_ended.add(key)
    residual = [number for number, step in enumerate(steps) if step.pay == "residual"]
    if residual and residual != [len(steps) - 1]:
        raise SpecError(f"{path}[{residual[0]}]", "the residual must be the last step")


def _check_accounts_of(spec: DealSpec, here: str, step: WaterfallStep) -> None:
    cash = [account.name for account in spec.accounts]
    for place, name in enumerate(step.source):
        if name not in cash and (step.pay != "test" or step.source != ("collection",)):
            raise SpecError(f"{here}.source[{place}]", f"no account is named {name!r}{suggestion(name, cash)}")
    lenders = [account.name for account in spec.accounts] + [facility.name for facility in spec.facilities]
    for place, name in enumerate(step.support):
        if name not in lenders:
            raise SpecError(
                f"{here}.support[{place}]", f"no account or facility is named {name!r}{suggestion(name, lenders)}"
            )
        if name in step.source:
            raise SpecError(f"{here}.support[{place}]", f"{name!r} already pays the step as its source")
    if step.pay == "transfer" and set(step.to) & set(step.source):
        raise SpecError(f"{here}.to", "a transfer goes to another account than it comes from")
    if step.pay == "transfer" and len(step.to) != 1:
        raise SpecError(f"{here}.to", "a transfer goes to one account")
    _check_kind(here, step)
    if step.pay == "reserve" and not any(
        isinstance(account, CollectionAccount) and account.name == step.source[0] for account in spec.accounts
    ):
        raise SpecError(f"{here}.source[0]", "a reserve is filled from, and released to, a collection account")


def _check_kind(here: str, step: WaterfallStep) -> None:
    """Keys that a kind of step does not take."""
    if step.pay == "residual" and step.when is not None:
        raise SpecError(f"{here}.when", "the residual takes what is left on every date; no condition may hold it back")
    if step.pay == "residual" and step.limit is not None:
        raise SpecError(f"{here}.limit", "the residual takes what is left on every date; no limit may hold it back")
    if step.pay == "purchase" and step.to:
        raise SpecError(f"{here}.to", "a purchase buys collateral and pays no name of the deal; leave the key out")
    if step.pay == "test" and step.limit is not None:
        raise SpecError(f"{here}.limit", "a test moves no money that could be limited")
    if step.rule == "pro_rata" and step.pay in ("reserve", "facility") and len(step.to) > 1:
        raise SpecError(f"{here}.rule", f"a step {step.pay} serves one after the other; write sequential")


def _check_payee(path: str, step: WaterfallStep, name: str, payees: Mapping[str, set[str]]) -> None:
    known = payees[step.pay]
    if name in known:
        return
    for other, names in payees.items():
        if name in names and other != "transfer":
            if other == "interest" and step.pay == "principal":
                raise SpecError(path, f"{name!r} is a strip and owns no principal")
            article = "an" if _NOUNS[other][0] in "aeiou" else "a"
            raise SpecError(path, f"{name!r} is {article} {_NOUNS[other]}, not a {_NOUNS.get(step.pay, 'payee')}")
    raise SpecError(path, f"no {_NOUNS.get(step.pay, 'payee')} is named {name!r}{suggestion(name, known)}")


def _check_complete(path: str, steps: tuple[WaterfallStep, ...], payees: Mapping[str, set[str]]) -> None:
    paid = {(step.pay, name) for step in steps for name in step.to}
    for pay, names in payees.items():
        for name in sorted(names):
            if pay != "transfer" and (pay, name) not in paid:
                verb = "tests the trigger" if pay == "test" else "pays"
                raise SpecError(path, f"no step {verb} {_described(pay, name)}")


def _check_reserves(path: str, steps: tuple[WaterfallStep, ...], reserves: set[str]) -> None:
    """The deal may end while an alternative holds: its reserves must then have a way out."""
    emptied = {name for step in steps for name in (*step.source, *(step.to if step.pay == "reserve" else ()))}
    for name in sorted(reserves - emptied):
        raise SpecError(
            path, f"the reserve account {name!r} is neither released nor spent; add a step reserve, or pay from it"
        )


def _described(pay: str, name: str) -> str:
    if pay == "test":
        return repr(name)
    return f"{pay} of {name!r}" if pay in ("interest", "principal") else f"the {_NOUNS[pay]} {name!r}"
