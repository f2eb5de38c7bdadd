"""Checks across the parts of a deal: references, names, and an order of payments that pays everybody once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pooling.engine.deal.errors import SpecError, suggestion
from pooling.engine.deal.parts import Fee, Reserve, Residual, Tranche, WaterfallStep

_NOUNS = {
    "fee": "fee",
    "interest": "class",
    "principal": "class",
    "reserve": "reserve account",
    "residual": "residual certificate",
}


def check_names(tranches: Sequence[Tranche], residual: Residual, fees: Sequence[Fee], reserve: Reserve | None) -> None:
    """Every name occurs once in the deal. Raises SpecError at the second use."""
    if not tranches:
        raise SpecError("tranches", "a deal needs at least one class of notes")
    named = [(f"tranches[{i}].name", tranche.name) for i, tranche in enumerate(tranches)]
    named.append(("residual.name", residual.name))
    named += [(f"fees[{i}].name", fee.name) for i, fee in enumerate(fees)]
    if reserve is not None:
        named.append(("reserve.name", reserve.name))
    first: dict[str, str] = {}
    for path, name in named:
        if name in first:
            raise SpecError(path, f"{name!r} is already the name at {first[name]}")
        first[name] = path


def check_waterfall(
    steps: Sequence[WaterfallStep],
    tranches: Sequence[Tranche],
    residual: Residual,
    fees: Sequence[Fee],
    reserve: Reserve | None,
) -> None:
    """Every fee and class is paid once, the reserve is topped up once, the residual comes last.

    Raises SpecError at the step at fault, or at `waterfall` for a payee left out.
    """
    classes = {tranche.name for tranche in tranches}
    payees: dict[str, set[str]] = {
        "fee": {fee.name for fee in fees},
        "interest": classes,
        "principal": classes,
        "reserve": set() if reserve is None else {reserve.name},
        "residual": {residual.name},
    }
    seen: dict[tuple[str, str], int] = {}
    for number, step in enumerate(steps):
        for place, name in enumerate(step.to):
            path = f"waterfall[{number}].to[{place}]"
            _check_payee(path, step, name, payees)
            if (step.pay, name) in seen:
                before = seen[step.pay, name]
                raise SpecError(path, f"{step.pay} of {name!r} is already paid in waterfall[{before}]")
            seen[step.pay, name] = number
    for pay, names in payees.items():
        for name in sorted(names):
            if (pay, name) not in seen:
                raise SpecError("waterfall", f"no step pays {_described(pay, name)}")
    last = len(steps) - 1
    if seen["residual", residual.name] != last:
        raise SpecError(f"waterfall[{seen['residual', residual.name]}]", "the residual must be the last step")


def _check_payee(path: str, step: WaterfallStep, name: str, payees: Mapping[str, set[str]]) -> None:
    known = payees[step.pay]
    if name in known:
        return
    for other, names in payees.items():
        if name in names:
            raise SpecError(path, f"{name!r} is a {_NOUNS[other]}, not a {_NOUNS[step.pay]}")
    raise SpecError(path, f"no {_NOUNS[step.pay]} is named {name!r}{suggestion(name, known)}")


def _described(pay: str, name: str) -> str:
    return f"{pay} of {name!r}" if pay in ("interest", "principal") else f"the {_NOUNS[pay]} {name!r}"
