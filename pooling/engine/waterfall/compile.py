"""DealSpec to Program: names become places, shares become amounts, sequential steps become single ones."""

from __future__ import annotations

import numpy as np

from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.deal.parts import Fee, FixedFee, Reserve, WaterfallStep
from pooling.engine.waterfall.program import FeeTerms, LedgerLine, Program, Step

CENTS = 100.0
COLLECTION = "collection"
_COVERED_BY = {
    "fee": ("fees", "always"),
    "interest": ("interest", "always"),
    "principal": ("principal_at_final", "final"),
}


def compile_deal(spec: DealSpec, pool_balance_cents: int) -> Program:
    """The program of a deal over a pool of this balance at cut-off.

    pool_balance_cents: cents, > 0. Target overcollateralisation = the spec's share of it, or, where the
    spec holds null, what the notes leave of it at closing; never below the floor.

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
    oc = spec.overcollateralisation
    share = oc.target_share_of_cutoff_balance
    target = pool - float(initial.sum()) if share is None else share * pool
    steps = tuple(step for line in spec.waterfall for step in _steps(spec, line))
    return Program(
        spec_hash=spec.content_hash(),
        currency=spec.currency,
        names=spec.class_names,
        initial_balance=initial,
        coupon=np.array([tranche.coupon for tranche in spec.tranches], dtype=np.float64),
        fees=tuple(_fee(fee) for fee in spec.fees),
        residual_name=spec.residual.name,
        reserve_name=None if spec.reserve is None else spec.reserve.name,
        reserve_initial=reserve_deposit(spec, pool_balance_cents) / CENTS,
        reserve_target=_reserve_target(spec.reserve) * pool,
        cutoff_balance=pool,
        target_oc=max(target, oc.floor_share_of_cutoff_balance * pool),
        payments=spec.dates.payments,
        compound_shortfall=spec.conventions.shortfall_interest == "note_rate",
        hold_reserve=spec.conventions.reserve_release == "final",
        steps=steps,
        lines=tuple(line for step in (None, *steps) for line in _lines(spec, step)),
    )


def reserve_deposit(spec: DealSpec, pool_balance_cents: int) -> int:
    """Cents put into the reserve at closing: its share of the cut-off balance, rounded half to even."""
    if spec.reserve is None:
        return 0
    return round(spec.reserve.initial_share_of_cutoff_balance * pool_balance_cents)


def _reserve_target(reserve: Reserve | None) -> float:
    if reserve is None:
        return 0.0
    return max(reserve.target_share_of_cutoff_balance, reserve.floor_share_of_cutoff_balance)


def _fee(fee: Fee) -> FeeTerms:
    if isinstance(fee, FixedFee):
        return FeeTerms(name=fee.name, rate=0.0, amount=fee.amount_per_month / CENTS)
    return FeeTerms(name=fee.name, rate=fee.rate, amount=0.0)


def _steps(spec: DealSpec, line: WaterfallStep) -> list[Step]:
    """One step per payee in order, or one for all where they share pro rata."""
    places = {
        "fee": [fee.name for fee in spec.fees],
        "interest": list(spec.class_names),
        "principal": list(spec.class_names),
        "reserve": [line.to[0]],
        "residual": [line.to[0]],
    }[line.pay]
    use, when = _COVERED_BY.get(line.pay, ("", "never"))
    covered = when if spec.reserve is not None and use in spec.reserve.covers else "never"
    groups = [line.to] if line.rule == "pro_rata" else [(name,) for name in line.to]
    return [
        Step(
            id=f"{line.pay}:{'+'.join(names)}",
            pay=line.pay,
            targets=tuple(places.index(name) for name in names),
            reserve=covered,
        )
        for names in groups
    ]


def _lines(spec: DealSpec, step: Step | None) -> list[LedgerLine]:
    """Transfers a step can make, in the order execute() books them."""
    if step is None:
        return [LedgerLine("collect", "collect", "pool", COLLECTION, "collections")]
    if step.pay == "residual":
        return [LedgerLine(step.id, step.id, COLLECTION, spec.residual.name, "residual")]
    account = "" if spec.reserve is None else spec.reserve.name
    if step.pay == "reserve":
        return [
            LedgerLine(f"{step.id}/top-up", step.id, COLLECTION, account, "top-up"),
            LedgerLine(f"{step.id}/release", step.id, account, COLLECTION, "release"),
        ]
    names = [fee.name for fee in spec.fees] if step.pay == "fee" else list(spec.class_names)
    lines = []
    for place in step.targets:
        name = names[place]
        lines.append(LedgerLine(f"{step.pay}:{name}", step.id, COLLECTION, name, step.pay))
        if step.reserve != "never":
            lines.append(LedgerLine(f"{step.pay}:{name}/draw", step.id, account, name, step.pay))
    return lines
