"""A pool whose cash can be written down by hand: given amounts each month, one path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pooling.engine.deal import DealSpec
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from tests.engine.deal_builders import template_json

COLLECTION = {"name": "collection", "kind": "collection"}


def pool(
    principal: Sequence[float],
    interest: Sequence[float] | None = None,
    *,
    losses: Sequence[float] | None = None,
    recoveries: Sequence[float] | None = None,
    group: str = "all",
) -> PoolFlows:
    """A pool of sum(principal) + sum(losses): each month pays scheduled principal and interest and charges losses off
    at once; 10 loans stay in it until the end."""
    months = len(principal)
    paid, lost = np.asarray(principal, dtype=float), np.asarray(losses or [0.0] * months, dtype=float)
    opening = float(paid.sum() + lost.sum())
    performing = opening - np.cumsum(paid + lost)

    def column(values: Any) -> np.ndarray:
        return np.asarray(values, dtype=float).reshape(1, months, 1)

    zero = np.zeros((1, months, 1))
    return PoolFlows(
        groups=(group,),
        opening_balance=np.array([opening]),
        interest=column(interest or [0.0] * months),
        scheduled_principal=column(paid),
        prepayment=zero,
        default=column(lost),
        charge_off=column(lost),
        recovery=column(recoveries or [0.0] * months),
        performing=column(performing),
        delinquent=np.zeros((1, len(DELINQUENT_BUCKETS), months, 1)),
        defaulted=column(np.cumsum(lost)),
        count=column([10.0] * months),
        coupon=zero,
    )


def deal(tranches: list[dict[str, Any]], waterfall: list[dict[str, Any]], **changes: Any) -> DealSpec:
    """A deal without fees and reserve over such a pool; amounts of classes in whole currency units."""
    value = template_json() | {"fees": [], "accounts": [COLLECTION], "waterfall": waterfall}
    value["tranches"] = [
        {"kind": "note", **part, "balance": part["balance"] * 100} for part in tranches if "balance" in part
    ]
    value["tranches"] += [part for part in tranches if "balance" not in part]
    return DealSpec.from_json(value | changes)


def interest(*names: str, **more: Any) -> dict[str, Any]:
    """A step that pays interest."""
    return {"pay": "interest", "to": list(names), **more}


def principal(*names: str, **more: Any) -> dict[str, Any]:
    """A step that pays principal."""
    return {"pay": "principal", "to": list(names), **more}


RESIDUAL = {"pay": "residual", "to": ["R"]}


A, B = {"name": "A", "balance": 600, "coupon": 0.06}, {"name": "B", "balance": 300, "coupon": 0.12}
STEPS = [interest("A"), interest("B"), principal("A", "B"), RESIDUAL]


def run(spec: DealSpec, flows: PoolFlows, **options: Any) -> DealFlows:
    return execute(compile_deal(spec, round(float(flows.opening_balance.sum()) * 100)), flows, **options)


def path(column: np.ndarray) -> list[float]:
    """The one path of a (T, 1) column, to the hundredth of a cent."""
    return [round(float(value), 4) for value in column[:, 0]]
