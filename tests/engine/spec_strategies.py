"""Random deals that use most of the deal language at once, with pools and indices to run them: for property tests."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute
from tests.engine.deal_builders import CUTOFF, CUTOFF_CENTS, random_flows, slice_flows, template_json

SCENARIOS = 5
MONTHS = 18
INDEX = "SOFR-1M"
GROUPS = {"auto": 0.6, "card": 0.4}

Json = dict[str, Any]
seeds = st.integers(0, 2**32 - 1)
stresses = st.sampled_from([0.0, 0.02, 0.08, 0.4])


@dataclass(frozen=True, repr=False)
class Case:
    """A deal with all that a run of it needs."""

    deal: Json
    flows: PoolFlows
    rates: dict[str, np.ndarray]
    replacement: PoolFlows | None = None
    seed: int = 0
    stress: float = 0.0

    def __repr__(self) -> str:
        return f"seed {self.seed}, stress {self.stress}: {json.dumps(self.deal)}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """What hypothesis prints of a failing example: without the arrays."""
        printer.text(repr(self))

    @property
    def spec(self) -> DealSpec:
        return DealSpec.from_json(self.deal)

    @property
    def program(self) -> Program:
        return compile_deal(self.spec, CUTOFF_CENTS)

    def run(self, program: Program | None = None, **options: Any) -> DealFlows:
        """execute() with the case's indices and replacement."""
        return execute(program or self.program, self.flows, rates=self.rates, replacement=self.replacement, **options)

    def only(self, scenarios: Any) -> Case:
        """A choice or an order of scenarios."""
        chosen = {name: rate[:, scenarios] if rate.ndim == 2 else rate for name, rate in self.rates.items()}
        return replace(self, flows=slice_flows(self.flows, scenarios=scenarios), rates=chosen)

    def changed(self, **keys: Any) -> Case:
        """Top-level keys of the deal replaced."""
        return replace(self, deal=self.deal | keys)


# ---------------------------------------------------------------------------------------------------------- the pool
def pool_of(
    seed: int, stress: float, groups: bool = False, months: int = MONTHS, scenarios: int = SCENARIOS
) -> PoolFlows:
    """Random flows of one group or two, what is late spread over all buckets."""
    parts = []
    for place, (name, share) in enumerate(GROUPS.items() if groups else [("all", 1.0)]):
        flows = random_flows(seed + place, months, scenarios, stress)
        columns = {key: column * (1.0 if key == "coupon" else share) for key, column in flows.columns.items()}
        spread = np.random.default_rng(seed).dirichlet(np.ones(len(DELINQUENT_BUCKETS)))
        columns["delinquent"] = columns["delinquent"].sum(axis=1, keepdims=True) * spread[None, :, None, None]
        parts.append(PoolFlows(groups=(name,), opening_balance=np.array([CUTOFF * share]), **columns))
    return joined(parts)


def joined(parts: list[PoolFlows]) -> PoolFlows:
    """Pools side by side as the groups of one."""
    names = tuple(part.groups[0] for part in parts)
    columns: dict[str, Any] = {
        key: np.concatenate([part.columns[key] for part in parts], axis=0) for key in parts[0].columns
    }
    opening = np.concatenate([part.opening_balance for part in parts])
    return PoolFlows(groups=names, opening_balance=opening, **columns)


def times(flows: PoolFlows, factor: float) -> PoolFlows:
    """The same pool with every amount, and the number of loans, multiplied."""
    columns: dict[str, Any] = {k: c if k == "coupon" else c * factor for k, c in flows.columns.items()}
    return replace(flows, opening_balance=flows.opening_balance * factor, **columns)


def index_of(seed: int, periods: int, scenarios: int = SCENARIOS) -> np.ndarray:
    """(P, S) annual rates of an index that wanders between -1 % and 9 %."""
    rng = np.random.default_rng(seed + 7)
    return np.clip(0.03 + np.cumsum(rng.normal(0.0, 0.004, (periods, scenarios)), axis=0), -0.01, 0.09)


# --------------------------------------------------------------------------------------------------------- the parts
FLOATING = {"kind": "floating", "index": INDEX, "margin": 0.02, "floor": 0.025, "cap": 0.09}
UNFLOORED = {"kind": "floating", "index": INDEX, "margin": -0.03}  # below zero on most dates
FALLING = {"kind": "step", "rate": 0.03, "steps": [{"first_accrual": "2027-03-01", "rate": UNFLOORED}]}
STEPPED = {
    "kind": "step",
    "rate": 0.04,
    "steps": [{"first_accrual": "2026-12-15", "rate": 0.06}, {"first_accrual": "2027-05-01", "rate": 0.05}],
}
TRIGGERED = {"kind": "triggered", "before": 0.05, "when": "period.number > 6", "after": FLOATING}
coupons = st.sampled_from(
    [
        0.0,
        0.055,
        FLOATING,
        UNFLOORED,
        STEPPED,
        STEPPED | {"within_period": "day_weighted"},
        FALLING | {"within_period": "day_weighted"},
        TRIGGERED,
    ]
)  # all kinds; fmt: skip

FEES: dict[str, Json] = {
    "servicing": {"kind": "annual_percentage", "rate": 0.01, "base": "pool.balance"},
    "agent": {"kind": "annual_percentage", "rate": 0.002, "base": "notes.balance", "day_count": "ACT/360"},
    "trustee": {"kind": "recurring", "amount": 50_000, "every": 3, "first": 2},
    "setup": {"kind": "one_off", "amount": 123_456, "due": "2026-10-20"},
    "audit": {
        "kind": "dated",
        "amounts": [{"date": "2026-12-31", "amount": 77_777}, {"date": "2027-06-30", "amount": 57}],
    },
    "handling": {"kind": "per_loan", "amount_per_loan": 35},
    "variable": {"kind": "formula", "amount": "0.01% * pool.balance + USD 25.5"},
    # Of an amount that goes below zero where losses eat up the collateral.
    "excess": {"kind": "annual_percentage", "rate": 0.003, "base": "pool.balance - notes.balance"},
}


@st.composite
def classes_of(draw: st.DrawFn, plain: bool) -> list[Json]:
    """Three to five classes senior to junior, of random kinds."""
    sizes = [draw(st.integers(20, 70)), draw(st.integers(0, 20)), draw(st.integers(0, 10))]
    senior: Json = {"name": "A", "kind": "note", "balance": sizes[0] * 10**6 + 7, "coupon": draw(coupons)}
    if not plain and draw(st.booleans()):
        schedule = np.maximum(sizes[0] * 10**6 * (1.0 - np.arange(1, 15) / 14.0), 0.0)
        senior |= {"kind": "planned", "planned_balances": [round(float(part)) for part in schedule]}
    middle: Json = {"name": "B", "kind": "note", "balance": sizes[1] * 10**6 + 3, "coupon": draw(coupons)}
    middle |= {"interest_deferrable": True, "deferral": draw(st.sampled_from(["carried", "capitalised"]))}
    junior: Json = {"name": "C", "kind": "note", "balance": sizes[2] * 10**6, "coupon": draw(coupons)}
    if draw(st.booleans()):
        junior["day_count"] = draw(st.sampled_from(["ACT/365F", "ACT/ACT", "30/360"]))
    if not plain and draw(st.booleans()):
        junior |= {"kind": "accrual", "accretes_while": "class[A].balance > USD 100000"}
    found = [senior, middle, junior]
    if draw(st.booleans()):
        notional = draw(st.sampled_from(["class[A].balance", "class[A].balance - USD 200000"]))
        found.insert(1, {"name": "X", "kind": "interest_only", "notional": notional, "coupon": 0.004})
    return found


@st.composite
def reserves_of(draw: st.DrawFn, plain: bool) -> list[Json]:
    """No reserve, one or two."""
    targets = ["1.5% * pool.initial_balance"]
    if not plain:
        targets += ["max(3% * pool.balance, USD 4000)", "if(period.number < 5, 1% * notes.balance, 5000.5 * USD 1)"]
    return [
        {
            "name": name,
            "kind": "reserve",
            "initial": draw(st.sampled_from(["1% * pool.initial_balance", "0.777% * class[A].initial_balance"])),
            "target": draw(st.sampled_from(targets)),
            "excess": draw(st.sampled_from(["released", "held"])),
            "release": draw(st.sampled_from(["notes_repaid", "final"])),
            "yield_rate": draw(st.sampled_from([0.0, 0.02])),
        }
        for name in ["reserve", "liquid"][: draw(st.integers(0, 2))]
    ]


TRIGGERS: list[Json] = [
    {
        "name": "losses", "tested": "opening",
        "condition": "pool.cumulative_loss_rate > step(period.number, 1: 1%, 7: 3%, 0%)",
    },
    {
        "name": "late", "condition": "pool.delinquent_60_share > 3%", "tested": "step",
        "breach_after": 2, "cure_after": 2,
    },
    {"name": "thin", "condition": "class[A].oc_ratio < 1.05", "tested": "opening", "cure_after": 1},
    {"name": "default", "condition": "trigger[losses] and pool.cumulative_loss_rate > 6%", "tested": "opening"},
]  # fmt: skip


class _Builder:
    """Writes one deal from a few draws."""

    def __init__(self, draw: st.DrawFn, plain: bool) -> None:
        self.draw, self.plain = draw, plain
        self.split = draw(st.booleans())
        self.groups = not plain and draw(st.booleans())
        self.revolves = not plain and not self.groups and draw(st.integers(0, 3)) == 0
        self.quarterly = not self.revolves and draw(st.integers(0, 3)) == 0
        self.tests = not plain and draw(st.booleans())
        self.hedged = not plain and draw(st.booleans())
        self.classes = draw(classes_of(plain))
        if self.tests and draw(st.booleans()):  # what accrues reads the test of the date before
            self.classes[-1]["coupon"] = TRIGGERED | {"when": "trigger[late] or defined[sequential]"}
        self.reserves = draw(reserves_of(plain))
        self.fees = sorted(draw(st.sets(st.sampled_from(list(FEES)), max_size=4)))
        self.facility = not plain and draw(st.booleans())
        self.interest_from = "interest-account" if self.split else "collection"
        self.principal_from = "principal-account" if self.split else "collection"
        self.support = [part["name"] for part in self.reserves] + ["liquidity"] * self.facility
        if self.split and draw(st.booleans()):
            self.support.insert(0, "principal-account")

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def step(self, pay: str, to: list[str], source: str | None = None, **more: Any) -> Json:
        supported = pay in ("fee", "interest", "hedge") and bool(self.support) and self.flag()
        aid = {"support": self.support} if supported else {}
        return {"pay": pay, "to": to, "source": [source or self.interest_from]} | aid | more

    def fee_steps(self) -> list[Json]:
        rule = self.draw(st.sampled_from(["sequential", "pro_rata"]))
        steps = [self.step("fee", self.fees, rule=rule)] if self.fees else []
        if self.fees and self.flag():
            steps[0]["limit"] = f"max(USD 4000 - fee[{self.fees[0]}].paid_in_year, 0)"
        return steps

    def principal_steps(self) -> list[Json]:
        names = [part["name"] for part in self.classes if part["kind"] != "interest_only"]
        source = self.principal_from
        final = {"support": [self.reserves[0]["name"]], "support_when": "period.is_final"} if self.reserves else {}
        if self.classes[0]["kind"] == "planned":
            return [
                self.step("principal", ["A"], source, amount="class[A].planned_due"),
                self.step("principal", names[1:], source, limit="0.5 * pool.collections"),
                self.step("principal", names, source, **final),
            ]
        if self.tests:
            return [
                self.step("principal", names, source, rule="pro_rata", when="not defined[sequential]"),
                self.step("principal", names, source, when="defined[sequential]", **final),
            ]
        rule = self.draw(st.sampled_from(["sequential", "pro_rata"]))
        if self.flag():
            return [
                self.step("principal", ["A"], source),
                self.step("principal", names[1:], source, rule=rule, **final),
            ]
        return [self.step("principal", names, source, rule=rule, **final)]

    def waterfall(self) -> list[Json]:
        names = [part["name"] for part in self.classes]
        steps = [self.step("test", ["late"])] if self.tests else []
        steps += self.fee_steps()
        steps += [self.step("facility", ["liquidity"])] if self.facility else []
        steps += [self.step("hedge", ["swap"])] if self.hedged else []
        senior = [self.step("interest", names[:2], rule=self.draw(st.sampled_from(["sequential", "pro_rata"])))]
        junior = [self.step("interest", names[2:])]
        middle = [self.step("deficiency", ["pdl-A"]), self.step("deficiency", ["pdl-BC"])] if self.split else []
        buys = [{"pay": "purchase", "source": [self.principal_from]}] if self.revolves else []
        fill = [self.step("reserve", [part["name"]]) for part in self.reserves]
        steps += self.draw(
            st.sampled_from(
                [
                    [*senior, *junior, *middle, *buys, *self.principal_steps(), *fill],
                    [*senior, *middle, *fill, *buys, *self.principal_steps(), *junior],
                ]
            )
        )
        if any("limit" in step for step in steps if step["pay"] == "fee"):
            steps.append(self.step("fee", self.fees))
        return [*steps, self.residual()]

    def residual(self) -> Json:
        sources = ["interest-account", "principal-account"] if self.split else ["collection"]
        return {"pay": "residual", "to": ["R"], "source": sources}

    def enforced(self) -> list[Json]:
        """The order of payments after an event of default."""
        names = [part["name"] for part in self.classes]
        owed = [name for name in names if name != "X"]
        pooled = ["interest-account", "principal-account"] if self.split else ["collection"]
        steps = [{"pay": "fee", "to": self.fees, "source": pooled}] if self.fees else []
        steps += [{"pay": "interest", "to": names, "source": pooled, "support": [r["name"] for r in self.reserves]}]
        steps += [{"pay": "principal", "to": owed, "source": pooled, "rule": "pro_rata"}]
        steps += [{"pay": "reserve", "to": [part["name"]], "source": pooled} for part in self.reserves]
        return [*steps, self.residual()]

    def triggers(self) -> Json:
        if not self.tests:
            return {}
        stop = {"name": "event-of-default", "when": "trigger[default]", "waterfall": self.enforced()}
        return {
            "triggers": TRIGGERS,
            "definitions": [{"name": "sequential", "formula": "trigger[losses] or trigger[late] or trigger[thin]"}],
            "alternatives": [stop] if self.flag() else [],
        }

    def accounts(self) -> Json:
        names = ["interest-account", "principal-account"] if self.split else ["collection"]
        yields = self.draw(st.sampled_from([0.0, 0.01]))
        cash = [{"name": name, "kind": "collection", "yield_rate": yields} for name in names]
        rules = [{"source": "all", "into": names[0]}]
        if self.split:
            rules = [
                {"source": "all", "into": names[1]},
                {"source": "interest", "into": names[0]},
                {"source": "recovery", "into": names[0], **({"group": "card"} if self.groups else {})},
            ]
        result: Json = {"accounts": [*cash, *self.reserves], "collections": rules}
        if self.groups:
            result["collateral"] = [{"name": name} for name in GROUPS]
        if self.split:
            ledgers = [{"name": "pdl-BC", "tranche": "B"}, {"name": "pdl-A"}]
            losses = self.draw(st.sampled_from(["default", "charge_off", "charge_off_less_recovery"]))
            result["deficiency"] = {"losses": losses, "ledgers": ledgers, "into": names[1]}
        return result

    def hedges(self) -> Json:
        result: Json = {}
        if self.hedged:
            swap = {"pays": 0.03, "receives": {"kind": "floating", "index": INDEX, "margin": 0.0}, "kind": "swap"}
            swap |= {"name": "swap", "notional": "notes.balance", "into": self.interest_from}
            cap = {"name": "cap", "kind": "cap", "notional": "0.5 * class[A].balance", "index": INDEX, "strike": 0.04}
            result["hedges"] = [swap, cap | {"into": self.interest_from}]
        if self.facility:
            line = {"name": "liquidity", "commitment": "2% * notes.balance", "commitment_fee": 0.004, "rate": 0.05}
            result["facilities"] = [line]
        return result

    def endings(self) -> Json:
        result: Json = {}
        if self.revolves:
            revolving: Json = {"until": "2026-12-15", "ends_when": "pool.cumulative_loss_rate > 2%", "price": 0.98}
            result["revolving"] = revolving | ({"criteria": "pool.delinquent_60_share < 10%"} if self.flag() else {})
        if not self.plain and self.flag():
            call: Json = self.draw(st.sampled_from([{"factor": 0.3}, {"from_date": "2027-04-01"}, {"factor": 0.5}]))
            call |= {"price": "pool.performing + 30% * pool.delinquent", "into": self.principal_from}
            whole = {"reference_rate": 0.01, "until": "2027-11-15"}
            result["call"] = call | ({"make_whole": whole} if self.flag() else {})
        return result

    def deal(self) -> Json:
        base = template_json()
        conventions = base["conventions"] | {
            "interest_day_count": self.draw(st.sampled_from(["30/360", "ACT/360"])),
            "shortfall_interest": self.draw(st.sampled_from(["note_rate", "none"])),
            "rounding": self.draw(st.sampled_from(["HALF_EVEN", "HALF_UP", "DOWN"])),
        }
        if self.flag():
            conventions |= {"accrual_dates": "adjusted", "business_day_rule": "following", "calendar": "US"}
        target = self.draw(
            st.sampled_from([None, "12% * pool.initial_balance"] + ["25% * pool.balance"] * (not self.plain))
        )
        base |= {
            "tranches": self.classes,
            "fees": [{"name": name} | FEES[name] for name in self.fees],
            "overcollateralisation": {"target": None if self.split else target},
            "loss_coverage": "principal_collections" if self.split else "principal_distribution_amount",
            "conventions": conventions,
        }
        if self.quarterly:
            base["payment_frequency"] = "quarterly"
            base["dates"] |= {"first_collection_months": 2} if self.flag() else {}
        for part in (self.accounts(), self.hedges(), self.triggers(), self.endings()):
            base |= part
        steps = self.waterfall()
        return base | {"waterfall": [{k: v for k, v in step.items() if v is not None} for step in steps]}


@st.composite
def rich_deals(draw: st.DrawFn, plain: bool = False) -> Json:
    """A deal as JSON. plain: no performance test, step-down, revolving period, call, hedge or facility, and no planned
    or accrual class."""
    return _Builder(draw, plain).deal()


@st.composite
def cases(draw: st.DrawFn, plain: bool = False, where: Callable[[Json], bool] | None = None) -> Case:
    """A rich deal with five paths of a pool and of an index."""
    deal = draw(rich_deals(plain).filter(where) if where else rich_deals(plain))
    seed, stress = draw(seeds), draw(stresses)
    return case_of(deal, seed, stress)


def case_of(deal: Json, seed: int, stress: float) -> Case:
    """A deal with random flows, the index it reads and the collateral it may buy."""
    flows = pool_of(seed, stress, bool(deal.get("collateral")))
    reads = INDEX in str([deal["tranches"], deal.get("hedges"), deal.get("facilities")])
    rates = {INDEX: index_of(seed, 80, flows.scenarios)} if reads else {}
    replacement = pool_of(seed + 3, 0.02, months=12, scenarios=1) if deal.get("revolving") else None
    return Case(deal, flows, rates, replacement, seed, stress)


# ------------------------------------------------------------------------------------------------- changes of a deal
def scaled(deal: Json, factor: int) -> Json:
    """The deal with every amount multiplied: keys of cents, and amounts of currency in formulas."""

    def walk(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: walk(part, name) for name, part in value.items()}
        if isinstance(value, list):
            return [walk(part, key) for part in value]
        if isinstance(value, int) and key in ("balance", "planned_balances", "amount", "closing_expenses"):
            return value * factor
        if isinstance(value, str):
            return re.sub(r"USD ([\d.]+)", lambda found: f"USD {float(found[1]) * factor!r}", value)
        return value

    result: Json = walk(copy.deepcopy(deal))
    return result


def steps_of(deal: Json) -> list[Json]:
    """The steps of every order of payments."""
    return [*deal["waterfall"], *(step for other in deal.get("alternatives", []) for step in other["waterfall"])]
