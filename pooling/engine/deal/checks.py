"""Checks across the parts of a deal: names, references, formulas, currency, cash that has a way in and a way out.

The order of payments is checked in checks_waterfall.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pooling.engine.deal.checks_waterfall import check_waterfalls
from pooling.engine.deal.classes import InterestOnly
from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.features import CollectionAccount
from pooling.engine.deal.quantities import written_formulas
from pooling.engine.deal.rules import SOURCES, CollectionRule, Revolving, WaterfallStep

if TYPE_CHECKING:
    from pooling.engine.deal.spec import DealSpec

_DEFINED = re.compile(r"\bdefined\[\s*([^\[\]]*?)\s*\]")


def check_deal(spec: DealSpec) -> None:
    """Everything that one part alone cannot know. Raises SpecError with the path at fault."""
    _check_names(spec)
    _check_currency(spec)
    _check_references(spec)
    _check_collections(spec)
    check_waterfalls(spec)
    _check_accounts(spec)
    _check_definitions(spec)
    book = spec.formulas  # parses and type-checks every formula
    _check_trigger_order(spec)
    _check_known_in_time(spec)
    del book


# ------------------------------------------------------------------------------------------------ names and currency
def _named(spec: DealSpec) -> Iterator[tuple[str, str]]:
    yield from ((f"tranches[{i}].name", part.name) for i, part in enumerate(spec.tranches))
    yield "residual.name", spec.residual.name
    for key in ("fees", "accounts", "facilities", "hedges", "triggers", "definitions", "alternatives", "collateral"):
        yield from ((f"{key}[{i}].name", part.name) for i, part in enumerate(getattr(spec, key)))
    yield from ((f"deficiency.ledgers[{i}].name", part.name) for i, part in enumerate(spec.ledgers))


def _check_names(spec: DealSpec) -> None:
    """Every name occurs once in the deal."""
    if not spec.tranches:
        raise SpecError("tranches", "a deal needs at least one class of notes")
    if all(isinstance(tranche, InterestOnly) for tranche in spec.tranches):
        raise SpecError("tranches", "a deal needs at least one class with principal; strips alone own none")
    if not any(isinstance(account, CollectionAccount) for account in spec.accounts):
        raise SpecError("accounts", "a deal needs at least one account of kind collection")
    first: dict[str, str] = {}
    for path, name in _named(spec):
        if name in first:
            raise SpecError(path, f"{name!r} is already the name at {first[name]}")
        first[name] = path


def _check_currency(spec: DealSpec) -> None:
    for key in ("tranches", "accounts", "collateral"):
        for i, part in enumerate(getattr(spec, key)):
            given = getattr(part, "currency", None)
            if given is not None and given != spec.currency:
                raise SpecError(
                    f"{key}[{i}].currency",
                    f"{part.name!r} is in {given}, the deal in {spec.currency}; one deal pays one currency",
                )


# --------------------------------------------------------------------------------------------------------- references
def _known(path: str, name: str, names: list[str], noun: str) -> None:
    if name not in names:
        raise SpecError(path, f"no {noun} is named {name!r}{suggestion(name, names)}")


def _check_references(spec: DealSpec) -> None:
    accounts = [account.name for account in spec.accounts if isinstance(account, CollectionAccount)]
    _check_ledgers(spec, accounts)
    for i, hedge in enumerate(spec.hedges):
        _known(f"hedges[{i}].into", hedge.into, accounts, "collection account")
    if spec.call is not None:
        _known("call.into", spec.call.into, accounts, "collection account")
    if spec.loss_coverage == "principal_collections" and spec.overcollateralisation.target is not None:
        raise SpecError(
            "overcollateralisation.target", "it has no effect where loss_coverage is principal_collections; give null"
        )
    if spec.revolving is not None:
        _check_revolving(spec, spec.revolving)


def _check_ledgers(spec: DealSpec, accounts: list[str]) -> None:
    """Ledgers stand for classes with principal, each for another; only the last may stand for none."""
    if spec.deficiency is None:
        return
    _known("deficiency.into", spec.deficiency.into, accounts, "collection account")
    with_principal = [tranche.name for tranche in spec.tranches if not isinstance(tranche, InterestOnly)]
    first: dict[str, int] = {}
    for i, ledger in enumerate(spec.ledgers):
        path = f"deficiency.ledgers[{i}].tranche"
        if ledger.tranche is None:
            if i < len(spec.ledgers) - 1:
                raise SpecError(path, "only the last ledger may be without limit")
            continue
        _known(path, ledger.tranche, with_principal, "class with principal")
        if ledger.tranche in first:
            raise SpecError(path, f"{ledger.tranche!r} already limits deficiency.ledgers[{first[ledger.tranche]}]")
        first[ledger.tranche] = i


def _check_revolving(spec: DealSpec, revolving: Revolving) -> None:
    if revolving.until < spec.dates.first_payment:
        raise SpecError("revolving.until", f"{revolving.until} lies before the first payment")
    if revolving.until > spec.dates.legal_final:
        raise SpecError("revolving.until", f"{revolving.until} lies after legal final {spec.dates.legal_final}")
    if spec.payment_frequency != "monthly":
        raise SpecError("payment_frequency", f"{spec.payment_frequency}, but a deal that revolves pays monthly")


# -------------------------------------------------------------------------------------------------------- collections
def collection_map(spec: DealSpec) -> dict[tuple[str, str], str]:
    """(source, group) -> account, for every source and group; "" is the one group of a deal that names none.

    The rule that names the group goes before the one that does not, then the rule that names the source. Raises
    SpecError for a source nobody collects.
    """
    rules: dict[tuple[str, str | None], str] = {}
    for i, rule in enumerate(spec.collections):
        _check_rule(spec, i, rule)
        if (rule.source, rule.group) in rules:
            raise SpecError(f"collections[{i}]", f"{rule.source} of {_group(rule.group)} is already collected")
        rules[rule.source, rule.group] = rule.into
    result: dict[tuple[str, str], str] = {}
    for group in [part.name for part in spec.collateral] or [""]:
        for source in SOURCES:
            keys = [(source, group), ("all", group), (source, None), ("all", None)]
            into = next((rules[key] for key in keys if key in rules), None)
            if into is None:
                where = f" of group {group!r}" if group else ""
                raise SpecError("collections", f"no rule collects the {source.replace('_', ' ')}{where} of the pool")
            result[source, group] = into
    return result


def _group(name: str | None) -> str:
    return "every group" if name is None else f"group {name!r}"


def _check_rule(spec: DealSpec, i: int, rule: CollectionRule) -> None:
    accounts = [account.name for account in spec.accounts if isinstance(account, CollectionAccount)]
    _known(f"collections[{i}].into", rule.into, accounts, "collection account")
    if rule.group is not None:
        _known(f"collections[{i}].group", rule.group, [part.name for part in spec.collateral], "collateral group")


def _check_collections(spec: DealSpec) -> None:
    collection_map(spec)


# ----------------------------------------------------------------------------------------------------------- accounts
def _check_accounts(spec: DealSpec) -> None:
    """Cash can reach every account, and leave it for good."""
    fed = set(collection_map(spec).values())
    if spec.deficiency is not None:
        fed.add(spec.deficiency.into)
    fed |= {hedge.into for hedge in spec.hedges}
    if spec.call is not None:
        fed.add(spec.call.into)
    every = [step for _, steps in _waterfalls(spec) for step in steps]
    moved = [step for step in every if step.pay == "transfer"]
    fed |= {account.name for account in spec.reserves}
    _spread(fed, [(name, into) for step in moved for name in step.source for into in step.to])
    swept = {name for step in every if step.pay == "residual" for name in step.source}
    swept |= {account.name for account in spec.reserves}
    _spread(swept, [(into, name) for step in moved if step.amount is None for name in step.source for into in step.to])
    for i, account in enumerate(spec.accounts):
        if account.name not in fed:
            raise SpecError(
                f"accounts[{i}]",
                f"nothing is ever paid into the account {account.name!r}; remove it or collect into it",
            )
        if account.name not in swept:
            raise SpecError(
                f"accounts[{i}]",
                f"what stays in the account {account.name!r} can never leave it; let the residual step or a transfer "
                "without amount pay from it",
            )


def _spread(names: set[str], links: list[tuple[str, str]]) -> None:
    """Add what the links reach, from the one to the other, until nothing new is reached."""
    while new := {other for one, other in links if one in names} - names:
        names |= new


# -------------------------------------------------------------------------------------------------------- definitions
def _check_definitions(spec: DealSpec) -> None:
    """A definition reads only those before it, so that they never go round in a circle."""
    names = [definition.name for definition in spec.definitions]
    for i, definition in enumerate(spec.definitions):
        for read in _DEFINED.findall(definition.formula):
            if read in names[i:]:
                later = f"what is defined only at definitions[{names.index(read)}]"
                how = "itself" if read == definition.name else later
                raise SpecError(
                    f"definitions[{i}].formula",
                    f"{definition.name!r} reads {how}; a definition reads those that stand before it",
                )


# ----------------------------------------------------------------------------------------------------------- triggers
def _check_trigger_order(spec: DealSpec) -> None:
    """No formula reads a trigger before the date has tested it; accruals read what the previous date left."""
    opening = [trigger.name for trigger in spec.triggers if trigger.tested == "opening"]
    in_steps = [trigger.name for trigger in spec.triggers if trigger.tested == "step"]
    place = {trigger.name: i for i, trigger in enumerate(spec.triggers)}
    tested_at = {
        (path, name): i
        for path, steps in _waterfalls(spec)
        for i, step in enumerate(steps)
        if step.pay == "test"
        for name in step.to
    }
    for written in written_formulas(spec):
        every = _read_at(spec, written.path)
        read = {name[len("trigger[") : -1] for name in every if name.startswith("trigger[")}
        for name in sorted(read, key=place.__getitem__):
            if written.path.startswith("triggers["):
                own = int(written.path[len("triggers[") : written.path.index("]")])
                tested = place[name] < own and name in opening
            elif written.stage == "accrual":
                continue
            elif written.stage == "step":
                tested = name in opening or tested_at.get((written.waterfall, name), written.step) < written.step
            else:
                tested = name in opening
            if not tested:
                how = "the step that tests it comes later" if name in in_steps else "it is tested later"
                if written.stage == "step" and (written.waterfall, name) not in tested_at:
                    how = f"no step of {written.waterfall} tests it"
                if written.path == f"triggers[{place[name]}].condition":
                    how = "it reads itself"
                raise SpecError(written.path, f"trigger[{name}] is read before it is set: {how}")


def _read_at(spec: DealSpec, path: str, through: tuple[str, ...] = ()) -> set[str]:
    """What the formula at a path reads, through definitions and the targets of reserve accounts. Raises SpecError for
    a target that reads itself."""
    if path in through:
        raise SpecError(path, "the target reads itself, directly or through another one")
    found: set[str] = set()
    targets = {f"account[{part.name}].target": f"accounts[{i}].target" for i, part in enumerate(spec.accounts)}
    for name in spec.formulas.reads(spec.formulas[path]):
        found |= _read_at(spec, targets[name], (*through, path)) if name in targets else {name}
    return found


# ------------------------------------------------------------------------------------------ what a date has not yet set
_ACCRUAL, _TRIGGER, _REVOLVING, _CALL, _TARGET, _STEP = range(6)  # the moments of a date, in their order
_MOMENTS = {"revolving.ends_when": _REVOLVING, "call.price": _CALL, "overcollateralisation.target": _TARGET}
_SET = {
    "deal.revolving": (_CALL, "once the triggers have been looked at"),
    "deal.target_oc": (_STEP, "just before the order of payments"),
    "deal.principal_due": (_STEP, "just before the order of payments"),
}


def _check_known_in_time(spec: DealSpec) -> None:
    """No formula reads what its date sets only later: a restarted run could not know what the date before left."""
    known = _SET | {
        f"facility[{part.name}].available": (_TRIGGER, "once interest and fees have accrued")
        for part in spec.facilities
    }
    for written in written_formulas(spec):
        moment = _MOMENTS.get(written.path, _STEP)
        if written.stage == "accrual":
            moment = _TRIGGER if written.path.startswith("hedges[") else _ACCRUAL  # hedges accrue after facilities
        elif written.stage == "opening" and written.path.startswith("triggers["):
            moment = _TRIGGER
        for name in sorted(known.keys() & _read_at(spec, written.path)):
            first, when = known[name]
            if moment < first:
                raise SpecError(written.path, f"{name} is read before it is set: it is set {when}")


def _waterfalls(spec: DealSpec) -> Iterator[tuple[str, tuple[WaterfallStep, ...]]]:
    yield "waterfall", spec.waterfall
    for i, alternative in enumerate(spec.alternatives):
        yield f"alternatives[{i}].waterfall", alternative.waterfall
