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


def feature_json() -> dict[str, Any]:
    """A valid deal with every part of the language once, as fresh JSON, free to be broken."""
    inward, onward = ["interest-account"], ["principal-account"]
    order = [
        {"pay": "test", "to": ["late"]},
        {"pay": "fee", "to": ["servicing"], "source": inward, "support": ["principal-account", "reserve", "liquidity"]},
        {"pay": "facility", "to": ["liquidity"], "source": inward},
        {"pay": "hedge", "to": ["swap"], "source": inward},
        {
            "pay": "interest",
            "to": ["A", "X"],
            "rule": "pro_rata",
            "source": inward,
            "support": ["reserve", "liquidity"],
        },
        {"pay": "deficiency", "to": ["pdl-A", "pdl-B"], "source": inward},
        {"pay": "interest", "to": ["B", "Z"], "source": inward, "when": "not trigger[late]"},
        {"pay": "purchase", "source": onward},
        {"pay": "principal", "to": ["A"], "source": onward, "amount": "class[A].planned_due"},
        {"pay": "principal", "to": ["A", "B", "Z"], "source": onward},
        {"pay": "reserve", "to": ["reserve"], "source": inward},
        {"pay": "fee", "to": ["audit"], "source": inward, "limit": "USD 20000 - fee[audit].paid_in_year"},
        {"pay": "residual", "to": ["R"], "source": [*inward, *onward]},
    ]
    enforced = [
        {"pay": "transfer", "to": onward, "source": inward},
        {"pay": "interest", "to": ["A", "B", "Z"], "source": onward},
        {"pay": "principal", "to": ["A", "B", "Z"], "source": [*onward, "reserve"]},
        {"pay": "residual", "to": ["R"], "source": [*inward, *onward, "reserve"]},
    ]
    floating = {"kind": "floating", "index": "SOFR-1M", "margin": 0.01, "floor": 0.0, "cap": 0.12}
    later = {"first_accrual": "2027-08-15", "rate": 0.06}
    coupon_b = {"kind": "triggered", "before": 0.05, "when": "trigger[losses]", "after": floating}
    deal = template_json() | {
        "collateral": [{"name": "auto", "currency": "USD"}, {"name": "card"}],
        "parties": {"issuer": "Trust", "originator": "Lender", "servicer": "Servicer"},
        "tranches": [
            {
                "name": "A", "kind": "planned", "balance": 60_000_000, "planned_balances": [30_000_000, 0],
                "coupon": floating,
            },
            {"name": "X", "kind": "interest_only", "notional": "class[A].balance", "coupon": 0.005},
            {"name": "B", "kind": "note", "balance": 20_000_000, "coupon": coupon_b, "interest_deferrable": True},
            {
                "name": "Z", "kind": "accrual", "balance": 10_000_000, "accretes_while": "class[A].balance > 0",
                "coupon": {"kind": "step", "rate": 0.05, "steps": [later, later | {"first_accrual": "2028-08-15"}]},
            },
        ],
        "fees": [
            {"name": "servicing", "kind": "annual_percentage", "rate": 0.01, "base": "pool.balance"},
            {"name": "audit", "kind": "dated", "amounts": [{"date": "2026-12-31", "amount": 100_000}]},
        ],
        "accounts": [
            {"name": "interest-account", "kind": "collection"},
            {"name": "principal-account", "kind": "collection"},
            {
                "name": "reserve", "kind": "reserve", "initial": "defined[cushion]", "target": "1% * pool.balance",
                "excess": "released", "release": "notes_repaid",
            },
        ],
        "collections": [
            {"source": "all", "into": "principal-account"},
            {"source": "interest", "into": "interest-account"},
            {"source": "recovery", "into": "interest-account", "group": "card"},
        ],
        "definitions": [{"name": "cushion", "formula": "1% * pool.initial_balance"}],
        "triggers": [
            {"name": "losses", "condition": "pool.cumulative_loss_rate > 4%", "tested": "opening"},
            {"name": "default", "condition": "trigger[losses] and class[A].oc_ratio < 1", "tested": "opening"},
            {"name": "late", "condition": "pool[auto].delinquent_60_share > 5%", "tested": "step", "cure_after": 3},
        ],
        "overcollateralisation": {"target": None},
        "loss_coverage": "principal_collections",
        "deficiency": {
            "losses": "charge_off", "ledgers": [{"name": "pdl-B", "tranche": "B"}, {"name": "pdl-A"}],
            "into": "principal-account",
        },
        "facilities": [
            {"name": "liquidity", "commitment": "2% * notes.balance", "commitment_fee": 0.004, "rate": 0.05},
        ],
        "hedges": [
            {
                "name": "swap", "kind": "swap", "notional": "class[A].balance", "pays": 0.03, "receives": floating,
                "into": "interest-account",
            },
            {
                "name": "cap", "kind": "cap", "notional": "class[B].balance", "index": "SOFR-1M", "strike": 0.05,
                "into": "interest-account",
            },
        ],
        "revolving": {"until": "2027-02-15", "ends_when": "trigger[losses]", "criteria": "pool.factor > 50%"},
        "call": {
            "factor": 0.1, "into": "principal-account",
            "make_whole": {"reference_rate": 0.02, "until": "2028-01-01"},
        },
        "retention": {"kind": "horizontal", "share_of_residual": 1.0, "required_fair_value": 0.05},
        "waterfall": order,
        "alternatives": [{"name": "acceleration", "when": "trigger[default]", "waterfall": enforced}],
    }  # fmt: skip
    value: dict[str, Any] = json.loads(json.dumps(deal))
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
