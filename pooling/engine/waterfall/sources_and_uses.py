"""The balance of the closing date: what comes in pays for the pool, the reserve and the expenses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pooling.engine.deal import DealSpec
from pooling.engine.waterfall.compile import reserve_deposit


def sources_and_uses(
    spec: DealSpec,
    pool_balance_cents: int,
    proceeds: Mapping[str, int],
    residual_consideration: int,
    expenses: int | None = None,
    purchase_price: int | None = None,
) -> dict[str, Any]:
    """Note proceeds + residual consideration = purchase price + reserve deposit + expenses, in cents.

    proceeds: cents by class, all classes. residual_consideration: cents credited for the residual
    certificate. expenses: None takes the spec's. purchase_price: None is par, the balance at cut-off.
    Returns {"currency", "sources": {name: cents}, "uses": {name: cents}, "total_sources", "total_uses"}.

    Raises ValueError naming a class without proceeds, a negative amount, or the difference of the two sides.
    """
    if set(proceeds) != set(spec.class_names):
        raise ValueError(f"proceeds: classes {sorted(proceeds)}, expected {list(spec.class_names)}")
    sources = {name: proceeds[name] for name in spec.class_names} | {spec.residual.name: residual_consideration}
    uses = _uses(spec, pool_balance_cents, expenses, purchase_price)
    for name, cents in (*sources.items(), *uses.items()):
        if cents != int(cents) or cents < 0:
            raise ValueError(f"{name}: {cents} is not a whole number of cents from 0 up")
    total_sources, total_uses = sum(sources.values()), sum(uses.values())
    if total_sources != total_uses:
        raise ValueError(
            f"sources: {total_sources} cents differ from uses {total_uses} by {total_sources - total_uses}"
        )
    return {
        "currency": spec.currency,
        "sources": sources,
        "uses": uses,
        "total_sources": total_sources,
        "total_uses": total_uses,
    }


def balancing_residual(
    spec: DealSpec,
    pool_balance_cents: int,
    proceeds: Mapping[str, int],
    expenses: int | None = None,
    purchase_price: int | None = None,
) -> int:
    """Cents of residual consideration that balance the closing; negative where the notes raise more than is
    used.
    """
    return sum(_uses(spec, pool_balance_cents, expenses, purchase_price).values()) - sum(proceeds.values())


def _uses(spec: DealSpec, pool_balance_cents: int, expenses: int | None, purchase_price: int | None) -> dict[str, int]:
    return {
        "pool_purchase_price": pool_balance_cents if purchase_price is None else purchase_price,
        "reserve_deposit": reserve_deposit(spec, pool_balance_cents),
        "expenses": spec.closing_expenses if expenses is None else expenses,
    }
