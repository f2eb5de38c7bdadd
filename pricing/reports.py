"""What a solved deal says, as JSON: the rating report, the price report, and the manifest of both."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
from django.conf import settings

from pooling.engine.deal import DealSpec
from pooling.engine.packing import flows_to_json
from pooling.engine.waterfall import DealFlows
from pricing.engine.curve import MarketSnapshot
from pricing.engine.residual import value_residual
from pricing.engine.tranches import TranchePrice
from pricing.structuring import ASSET_CLASS, Structure
from rating.engine.scale import SCALE_VERSION
from rating.engine.scenarios import ScenarioSet
from rating.engine.tranches import TrancheRating

Json = dict[str, Any]
VERSION = "0.1.0"
ENGINE = f"glasspool {VERSION}, NumPy per-loan default times"


RESIDUAL_BASES = {
    "scenario_value": "weighted mean over scenarios at Treasury discount factors and the liquidity spread",
    "base_value": "base-case cash at the loss-adjusted residual yield",
    "pool_less_classes": "pool at par and the reserve paid in at closing, less the classes at their model prices",
    "irr_quantiles": "of a buyer at irr_price, which is the base value; annual effective",
}


def rating_result(structure: Structure, scenarios: ScenarioSet, pool_balance: int) -> Json:
    """The rating report: loss distribution, classes with intervals, base-case balances."""
    losses = structure.losses
    base, flows = structure.base, structure.base_flows
    return {
        "pool": {"balance": pool_balance},
        "simulation": {
            "scenarios": len(scenarios),
            "seed": scenarios.seed,
            "engine": ENGINE,
            "effective_scenarios": scenarios.effective_size,
            "expected_loss": losses.expected_loss,
            "expected_loss_se": losses.expected_loss_se,
            "loss_quantiles": {str(p): value for p, value in losses.quantiles.items()},
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


def _column(values: np.ndarray[Any, Any]) -> list[float]:
    """The single path of a (T, 1) array."""
    return [float(value) for value in values[:, 0]]


def tranche_rows(structure: Structure, pool_balance: int) -> list[Json]:
    """One row a class, senior first, the residual certificate last.

    attach, detach: fractions of the cut-off pool balance, overcollateralisation below, reserve apart.
    """
    ratings = {rating.name: rating for rating in structure.ratings}
    rows, above = [], 0
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
        }
        rows.append(row | _rated(ratings.get(tranche.name)))
    residual = {
        "name": structure.spec.residual.name,
        "balance": pool_balance - above,
        "attach": 0.0,
        "detach": 1 - above / pool_balance,
        "coupon": None,
        "target": None,
    }
    return [*rows, residual | _rated(None)]


def _rated(rating: TrancheRating | None) -> Json:
    if rating is None:
        keys = "rating rating_interval pd pd_se pd_upper expected_loss expected_loss_se wal_years converged"
        return dict.fromkeys([*keys.split(), "break_even_multiple"])
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
    }


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
