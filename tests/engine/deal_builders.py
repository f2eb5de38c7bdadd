"""Pools and deals for the tests of the deal engine: small, random where a property is tested, always
consistent.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pooling.engine.deal import DealSpec, default_template
from pooling.engine.flows import COLUMNS, DELINQUENT_BUCKETS, PoolFlows

CUTOFF = 1_000_000.0
CUTOFF_CENTS = 100_000_000


def template_json() -> dict[str, Any]:
    """The default template as fresh JSON, free to be broken."""
    spec = default_template(
        name="Test 2026-1",
        currency="USD",
        cut_off="2026-06-30",
        closing="2026-07-15",
        first_payment="2026-08-15",
        legal_final="2032-08-15",
    )
    value: dict[str, Any] = json.loads(json.dumps(spec.to_json()))
    return value


def solved(balances: tuple[int, int, int] = (65_000_000, 8_000_000, 7_000_000), **changes: Any) -> DealSpec:
    """The template with class balances (cents) and coupons; changes replace top-level keys of its JSON."""
    spec = DealSpec.from_json(template_json() | changes)
    coupons = {"A": 0.05, "B": 0.065, "C": 0.09}
    return spec.with_solution(dict(zip("ABC", balances, strict=True)), coupons)


def random_flows(seed: int, months: int = 18, scenarios: int = 5, stress: float = 0.03) -> PoolFlows:
    """Random flows of one group that keep PoolFlows's identities; default speed up to `stress` a month.

    The pool is empty at the end: what performs in the last month is repaid or, in a fifth of the scenarios,
    defaults.
    """
    rng = np.random.default_rng(seed)
    shape = (1, months, scenarios)
    columns = {name: np.zeros(shape) for name in COLUMNS if name != "delinquent"}
    delinquent = np.zeros((1, len(DELINQUENT_BUCKETS), months, scenarios))
    performing, stock = np.full(scenarios, CUTOFF), np.zeros(scenarios)
    defaulted = np.zeros(scenarios)
    speed = stress * rng.random(scenarios) * 2.0
    for t in range(months):
        last = t == months - 1
        coupon = 0.08 + 0.08 * rng.random(scenarios)
        default = performing * np.minimum(speed * rng.random(scenarios), 1.0)
        if last:
            lost = rng.random(scenarios) < (0.2 if stress > 0.0 else 0.0)
            default = np.where(lost, performing, default)
        rest = performing - default
        scheduled = rest * (1.0 if last else 1.0 / (months - t))
        prepayment = (rest - scheduled) * 0.03 * rng.random(scenarios)
        charge_off = (stock + default) * (1.0 if last else rng.random(scenarios))
        recovery = 0.4 * charge_off * rng.random(scenarios)
        interest = rest * coupon / 12.0
        performing = rest - scheduled - prepayment
        stock, defaulted = stock + default - charge_off, defaulted + charge_off
        row = {"interest": interest, "scheduled_principal": scheduled, "prepayment": prepayment}
        row |= {"default": default, "charge_off": charge_off, "recovery": recovery}
        row |= {"performing": performing, "defaulted": defaulted}
        row |= {"count": performing / 1000.0, "coupon": coupon}
        for name, column in row.items():
            columns[name][0, t] = column
        delinquent[0, 0, t] = stock
    return PoolFlows(groups=("all",), opening_balance=np.array([CUTOFF]), delinquent=delinquent, **columns)


def slice_flows(flows: PoolFlows, months: slice = slice(None), scenarios: Any = slice(None)) -> PoolFlows:
    """A window of months and a choice or order of scenarios."""
    columns = {name: column[..., months, :][..., scenarios] for name, column in flows.columns.items()}
    return PoolFlows(groups=flows.groups, opening_balance=flows.opening_balance, **columns)
