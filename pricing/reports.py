"""What a solved deal says, as JSON: the rating report, the price report, and the manifest of both.

Keys of a rating that need a word; fractions of the cut-off balance for the pool, of the class balance for a class,
unless said. "se": simulation error. "interval": model interval {low, high, mean, explained, shrink, parameters}, or
null.

simulation
    loss_quantiles_se          level -> {se, reached}; reached false: the tail ends before, se is a lower bound
    expected_shortfall         level -> {value, se, reached}: mean of the worst 1 - level
    by_month                   {month, mean, se, quantiles: level -> list} of the cumulative loss
    interval                   of expected_loss; null where the model was not given
    base_case                  {loss, default_rate, cpr, severity, charge_off_lag, recovery_lag}: the scenario mean
    rules                      version of the grade rules; "scale" is the version of the scale
tranches[i]
    grade_by_loss, _pd, _multiple  the three rules; "rating" is the worst, no better than "cap"
    cap                        {grade, reason} of a short history, or null; lowered: sentence, a target above the cap
    required_multiple          what "rating" has to survive, times base-case loss
    lgd, wal_se, wal_sd, wal_quantiles             loss given default; life over scenarios, years
    interest_shortfall, interest_shortfall_probability  most unpaid on any date; that any is unpaid
    interval                   figure -> model interval
    break_even                 {cdr, default_rate} at a flat CDR; {loss, multiple, scaled_default_rate} on the base case
                               scaled; cause, monotone. Null: no stress tested hurts the class
    break_even_multiple        in the scenario set: smallest pool loss that hurts the class, over the expected loss
    scenario_default_rate, scenario_loss  {value, se, reached}: exceeded with the PD of "rating"
    cushion, cushion_loss      break_even.scaled_default_rate, .loss less those
    confidence                 {target, bound, loss_errors, pd_errors, errors, binding, reached}: rating.engine.sizing
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from django.conf import settings

from pooling.engine.deal import DealSpec
from pooling.engine.packing import flows_to_json
from pooling.engine.waterfall import DealFlows
from pricing.engine.residual import value_residual
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.structure import StructureStep
from pricing.engine.tranches import TranchePrice
from pricing.structuring import ASSET_CLASS, Structure
from rating.engine.breakeven import ClassBreakEven
from rating.engine.grades import RULES_VERSION, multiple_of, scenario_rate
from rating.engine.intervals import ModelInterval
from rating.engine.losses import MonthlyLosses
from rating.engine.scale import MIN_YEARS, SCALE_VERSION
from rating.engine.scenarios import ScenarioSet
from rating.engine.statistics import Estimate
from rating.engine.tranches import ClassDetail, TrancheRating

Json = dict[str, Any]
VERSION = "0.1.0"
ENGINE = f"glasspool {VERSION}"


RESIDUAL_BASES = {
    "scenario_value": "weighted mean over scenarios at Treasury discount factors and the liquidity spread",
    "base_value": "base-case cash at the loss-adjusted residual yield",
    "pool_less_classes": "pool at par and the reserve paid in at closing, less the classes at their model prices",
    "irr_quantiles": "of a buyer at irr_price, which is the base value; annual effective",
}


def rating_result(structure: Structure, scenarios: ScenarioSet, pool_balance: int, engine: str) -> Json:
    """The rating report: loss distribution, classes with intervals, base-case balances. engine: which one, in words."""
    losses = structure.losses
    base, flows = structure.base, structure.base_flows
    return {
        "pool": {"balance": pool_balance},
        "simulation": {
            "scenarios": len(scenarios),
            "seed": scenarios.seed,
            "engine": f"{ENGINE}, {engine}",
            "effective_scenarios": scenarios.effective_size,
            "expected_loss": losses.expected_loss,
            "expected_loss_se": losses.expected_loss_se,
            "loss_quantiles": {str(p): value for p, value in losses.quantiles.items()},
            "loss_quantiles_se": {
                str(p): {"se": found.error, "reached": found.reached} for p, found in losses.quantile_errors.items()
            },
            "expected_shortfall": {str(p): _estimate(found) for p, found in losses.shortfalls.items()},
            "by_month": _by_month(structure.by_month),
            "interval": _interval(structure.interval),
            "base_case": _base_case(structure),
            "rules": RULES_VERSION,
            "histogram": {
                "edges": losses.histogram.edges.tolist(),
                "mass": losses.histogram.share.tolist(),
            },
        },
        "tranches": tranche_rows(structure, pool_balance),
        "scale": SCALE_VERSION,
        "structure": {
            "converged": structure.solution.converged,
            "iterations": structure.solution.iterations,
            "reason": structure.solution.reason,
            "steps": [_pass(step) for step in structure.solution.steps],
            "dropped": dict(structure.dropped),
            "conservation_error": max(structure.deal.conservation_error, structure.base.conservation_error),
        },
        "collateral": {
            "month": list(range(1, base.months + 1)),
            "pool_balance": _column(base.pool_balance),
            "balances": {name: base.balance[k, :, 0].tolist() for k, name in enumerate(base.names)},
            "reserve": _column(base.reserve),
            "interest": _column(flows.interest.sum(axis=0)),
            "principal": _column(flows.principal.sum(axis=0)),
            "recovery": _column(flows.recovery.sum(axis=0)),
            "loss": _column(flows.loss.sum(axis=0)),
            "residual": _column(base.residual),
            "flows": flows_to_json(flows),
        },
    }


def _pass(step: StructureStep) -> Json:
    """One pass of the loop. coupons, required: annual fractions; balances: cents; lives: years."""
    return {
        "coupons": dict(step.coupons),
        "balances": dict(step.balances),
        "grades": dict(step.grades),
        "lives": {name: _finite(life) for name, life in step.lives.items()},
        "required": dict(step.required),
        "gap": step.coupon_gap,
    }


def _column(values: np.ndarray[Any, Any]) -> list[float]:
    """The single path of a (T, 1) array."""
    return [float(value) for value in values[:, 0]]


def tranche_rows(structure: Structure, pool_balance: int) -> list[Json]:
    """One row a class, senior first, the residual certificate last.

    attach, detach: fractions of the cut-off pool balance, overcollateralisation below, reserve apart.
    """
    rated, rows, above = _class_results(structure), [], 0
    for tranche in structure.spec.tranches:
        balance = tranche.balance or 0
        detach = 1 - above / pool_balance
        above += balance
        row = {
            "name": tranche.name,
            "balance": balance,
            "attach": 1 - above / pool_balance,
            "detach": detach,
            "coupon": tranche.coupon,
            "target": tranche.target_grade,
            "lowered": structure.lowered.get(tranche.name),
        }
        rows.append(row | rated.get(tranche.name, dict.fromkeys(CLASS_KEYS)))
    residual = {
        "name": structure.spec.residual.name,
        "balance": pool_balance - above,
        "attach": 0.0,
        "detach": 1 - above / pool_balance,
        "coupon": None,
        "target": None,
        "lowered": None,
    }
    return [*rows, residual | dict.fromkeys(CLASS_KEYS)]


CLASS_KEYS = (
    "rating rating_interval pd pd_se pd_upper expected_loss expected_loss_se wal_years converged break_even_multiple"
    " grade_by_loss grade_by_pd grade_by_multiple cap required_multiple lgd lgd_se wal_se wal_sd wal_quantiles"
    " interest_shortfall interest_shortfall_se interest_shortfall_probability interest_shortfall_probability_se"
    " interval break_even scenario_default_rate scenario_loss cushion cushion_loss confidence"
).split()


def _class_results(structure: Structure) -> dict[str, Json]:
    """Class -> every key of CLASS_KEYS, for the classes that are rated."""
    details = {detail.name: detail for detail in structure.details}
    even = {row.name: row for row in structure.break_evens}
    rows = {}
    for rating in structure.ratings:
        name = rating.name
        confidence = structure.confidence.get(name)
        rows[name] = (
            _rated(rating, structure.losses.expected_loss)
            | _detailed(details[name])
            | _stressed(rating, even[name], structure)
            | {"confidence": None if confidence is None else asdict(confidence)}
        )
    return rows


def _rated(rating: TrancheRating, base_loss: float) -> Json:
    return {
        "rating": rating.grade,
        "rating_interval": [rating.grade_low, rating.grade_high],
        "pd": rating.pd,
        "pd_se": rating.pd_se,
        "pd_upper": rating.pd_upper,
        "expected_loss": rating.expected_loss,
        "expected_loss_se": rating.expected_loss_se,
        "wal_years": rating.wal_years,
        "converged": rating.converged,
        "break_even_multiple": rating.break_even_multiple,
        "grade_by_loss": rating.grade_by_loss,
        "grade_by_pd": rating.grade_by_pd,
        "grade_by_multiple": rating.grade_by_multiple,
        "cap": None if rating.cap is None else asdict(rating.cap),
        "required_multiple": multiple_of(rating.grade, min(max(base_loss, 0.0), 1.0)),
    }


def _detailed(detail: ClassDetail) -> Json:
    lgd = detail.loss_given_default
    return {
        "lgd": None if lgd is None else lgd.value,
        "lgd_se": None if lgd is None else lgd.error,
        "wal_se": detail.wal_years.error,
        "wal_sd": detail.wal_deviation,
        "wal_quantiles": {str(p): _estimate(found) for p, found in detail.wal_quantiles.items()},
        "interest_shortfall": detail.interest_shortfall.value,
        "interest_shortfall_se": detail.interest_shortfall.error,
        "interest_shortfall_probability": detail.interest_shortfall_probability.value,
        "interest_shortfall_probability_se": detail.interest_shortfall_probability.error,
        "interval": {key: _interval(found) for key, found in detail.intervals.items()} or None,
    }


def _stressed(rating: TrancheRating, even: ClassBreakEven, structure: Structure) -> Json:
    """Break-evens, what the rated grade has to survive in the scenario set, and the room between."""
    weights, years = structure.losses.weights, max(rating.wal_years, MIN_YEARS)
    defaults = scenario_rate(structure.defaults, weights, rating.grade, years)
    losses = scenario_rate(structure.losses.losses, weights, rating.grade, years)
    return {
        "break_even": {key: value for key, value in asdict(even).items() if key != "name"},
        "scenario_default_rate": _estimate(defaults),
        "scenario_loss": _estimate(losses),
        "cushion": _room(even.scaled_default_rate, defaults),
        "cushion_loss": _room(even.loss, losses),
    }


def _room(stress: float | None, needed: Estimate | None) -> float | None:
    return None if stress is None or needed is None else stress - needed.value


def _estimate(found: Estimate | None) -> Json | None:
    return None if found is None else {"value": found.value, "se": found.error, "reached": found.reached}


def _interval(found: ModelInterval | None) -> Json | None:
    return None if found is None else asdict(found) | {"parameters": list(found.parameters)}


def _by_month(found: MonthlyLosses) -> Json:
    return {
        "month": list(range(1, len(found.mean) + 1)),
        "mean": found.mean.tolist(),
        "se": found.error.tolist(),
        "quantiles": {str(p): row.tolist() for p, row in zip(found.levels, found.quantiles, strict=True)},
    }


def _base_case(structure: Structure) -> Json:
    flows = structure.base_flows
    defaults = float(flows.default.sum() / flows.opening_balance.sum())
    return {"loss": structure.losses.expected_loss, "default_rate": defaults} | asdict(structure.speeds)


def price_result(structure: Structure, scenarios: ScenarioSet, snapshot: MarketSnapshot) -> Json:
    """The price report: figures per class, base-case flows per unit of balance, the residual two ways."""
    base = structure.base
    classes = {row.name: _finite(row.price) or 0.0 for row in structure.prices}
    residual = value_residual(
        structure.deal.residual,
        scenarios.weights,
        base.residual[:, 0],
        snapshot,
        pool_value=float(structure.base_flows.opening_balance.sum() + base.opening_reserve[0]),
        class_values={name: classes[name] * float(base.initial_balance[k]) for k, name in enumerate(base.names)},
    )
    return {
        "as_of": snapshot.as_of.isoformat(),
        "snapshot": snapshot.name,
        "speed": "scenario-mean collateral flows of the rating simulation, to maturity",
        "tranches": [_priced(structure.base, price) for price in structure.prices],
        "residual": {
            "name": structure.spec.residual.name,
            "scenario_value": residual.scenario_value,
            "scenario_value_se": residual.scenario_value_se,
            "base_value": residual.base_value,
            "residual_yield": residual.residual_yield,
            "liquidity_spread": residual.liquidity_spread,
            "pool_less_classes": residual.pool_less_classes,
            "irr_price": residual.irr_price,
            "bases": RESIDUAL_BASES,
            "irr_quantiles": {str(p): _finite(value) for p, value in residual.irr_quantiles.items()},
            "mean_cash": residual.mean_cash,
        },
        "assumptions": {
            "asset_class": ASSET_CLASS,
            "basis": snapshot.basis,
            "add_on": snapshot.add_ons[ASSET_CLASS],
            "sources": dict(snapshot.sources),
            "compounding": "bond-equivalent (semiannual) yields, monthly flows, 30/360",
        },
    }


def _priced(base: DealFlows, price: TranchePrice) -> Json:
    k = base.names.index(price.name)
    balance = float(base.initial_balance[k])
    scale = 1 / balance if balance > 0 else 0.0
    return {
        "name": price.name,
        "grade": price.grade,
        "price": _finite(price.price_per_100),
        "yield": _finite(price.yield_),
        "spread_bp": _finite(price.spread_bp),
        "wal_years": _finite(price.wal_years),
        "modified_duration": _finite(price.modified_duration),
        "guide_ticks": None if math.isnan(price.yield_) else round(price.yield_ * 1e5),
        "reason": price.reason,
        "flows": {
            "interest": (base.interest[k, :, 0] * scale).tolist(),
            "principal": (base.principal[k, :, 0] * scale).tolist(),
        },
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def manifest(
    *, structure: Structure, template: DealSpec, snapshot: MarketSnapshot, simulation: Mapping[str, Any]
) -> Json:
    """Everything that made a rating and its prices. simulation: parameters and digest of the simulation run."""
    return dict(simulation) | {
        "template_hash": template.content_hash(),
        "spec_hash": structure.spec.content_hash(),
        "snapshot": snapshot.content_hash(),
        "snapshot_as_of": snapshot.as_of.isoformat(),
        "build": build(),
    }


@lru_cache(maxsize=1)
def build() -> Json:
    """What decides the bytes beside the inputs: lock file, library versions, instruction set."""
    lock = settings.BASE_DIR / "requirements.txt"
    # The instruction sets NumPy found decide which kernels run, hence the last bits.
    features = np._core._multiarray_umath.__cpu_features__  # type: ignore[attr-defined]
    found = ",".join(sorted(name for name, present in features.items() if present))
    return {
        "glasspool": VERSION,
        "engine": ENGINE,
        "scale": SCALE_VERSION,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "lock": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else "",
        "cpu_features": hashlib.sha256(found.encode()).hexdigest()[:16],
    }
