"""Differential pricing of a solved deal: three views of every price, their reconciliation, and who earns what on it.

Composition of the pricing engines, JSON-able; nothing is stored here. Keys of the result: see differential().
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall.compile import calendar_of
from pricing.controls import capital
from pricing.engine.charges import CAPITAL_RATIO, CAPITAL_RETURN, InvestorType, investor_types
from pricing.engine.decomposition import ClassFigures, Decomposition, decompose, liquidity_at
from pricing.engine.reconciliation import LETTERS, Reconciliation, Viewed, default_view, reconcile, spread_of_price
from pricing.engine.scenario_loans import loan_cells, loan_values
from pricing.engine.scenario_pricing import (
    MARKET,
    class_values,
    conservation,
    implied_theta,
    payment_years,
    present_values,
    risk_weights,
    tilt,
    valued,
)
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.spread import spread as grid_spread
from pricing.engine.tranches import unit_flows
from pricing.engine.valuation import durations, price, solve_yields
from pricing.structuring import ASSET_CLASS, Structure
from rating.engine.capital import FULL_DEDUCTION
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.statistics import weighted_mean

Json = dict[str, Any]
FloatArray = NDArray[np.float64]

VERSION = "views-1"
LADDER = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
# Where the market snapshot does not say.
THETA = 0.5
LIQUIDITY: Mapping[str, float] = {"prime_auto": 0.0030, "unsecured_consumer": 0.0105}
ASSUMED = {
    "theta": "assumption: half a standard deviation of the market factor",
    "capital_return": "regression of 39 US auto ABS spreads of 2025 and 2026 on regulatory capital, R2 0.975",
    "capital_ratio": "Basel RBC20 and RBC30: 8 % and the conservation buffer",
    "liquidity": "assumption: prime auto 30 bp at one year, unsecured consumer 75 bp more",
}


@dataclass(frozen=True)
class Terms:
    """What the views take from the market snapshot. liquidity: l at one year, of the deal's asset class."""

    theta: float
    capital_return: float
    capital_ratio: float
    liquidity: float
    investors: tuple[InvestorType, ...]
    sources: Mapping[str, str]


def terms_of(snapshot: MarketSnapshot) -> Terms:
    """The terms of a snapshot; what it does not say is assumed, and its source says so."""
    given = {name: getattr(snapshot, name, None) for name in ASSUMED}
    liquidity = given["liquidity"] or {}
    given["liquidity"] = liquidity.get(ASSET_CLASS)
    assumed = {
        "theta": THETA,
        "capital_return": CAPITAL_RETURN,
        "capital_ratio": CAPITAL_RATIO,
        "liquidity": LIQUIDITY[ASSET_CLASS],
    }
    stated = {name: snapshot.sources.get(name, ASSUMED[name]) for name, value in given.items() if value is not None}
    found = {name: float(assumed[name] if value is None else value) for name, value in given.items()}
    return Terms(
        theta=found["theta"],
        capital_return=found["capital_return"],
        capital_ratio=found["capital_ratio"],
        liquidity=found["liquidity"],
        investors=investor_types(getattr(snapshot, "charges", None)),
        sources=ASSUMED | stated,
    )


@dataclass(frozen=True)
class _Issued:
    """A class with a balance, and what every view needs of it."""

    figures: ClassFigures
    balance: float
    flows: FloatArray
    benchmark: float
    grid: float
    market: float
    liquidity: float
    views: tuple[Decomposition, ...]


class _Views:
    """One deal under its scenario set and a snapshot."""

    def __init__(
        self, structure: Structure, scenarios: ScenarioSet, snapshot: MarketSnapshot, weights: Mapping[str, float]
    ) -> None:
        self.structure, self.scenarios, self.snapshot = structure, scenarios, snapshot
        self.terms = terms_of(snapshot)
        deal = structure.deal
        years = payment_years(deal)
        self.discount = snapshot.curve.discount(years) * np.exp(-snapshot.basis * years)
        self.found = present_values(deal, structure.spec, self.discount)
        self.issued = tuple(self._issued(weights))
        own = dict.fromkeys(deal.names, 0.0) | {each.figures.name: each.liquidity for each in self.issued}
        self.own = class_values(deal, self.discount, own)

    def _issued(self, risk_weight: Mapping[str, float]) -> list[_Issued]:
        base, terms, snapshot = self.structure.base, self.terms, self.snapshot
        cash, _ = unit_flows(base)
        losses = {rating.name: rating.expected_loss for rating in self.structure.ratings}
        rows = []
        for priced in self.structure.prices:
            if priced.reason or priced.name not in losses or priced.name not in risk_weight:
                continue
            k = base.names.index(priced.name)
            figures = ClassFigures(
                priced.name, priced.grade, priced.wal_years, priced.modified_duration, losses[priced.name],
                risk_weight[priced.name],
            )  # fmt: skip
            level = liquidity_at(terms.liquidity, figures.wal, snapshot.wal_exponent)
            rows.append(
                _Issued(
                    figures=figures,
                    balance=float(base.initial_balance[k]),
                    flows=cash[k],
                    benchmark=float(snapshot.curve.par(figures.wal)),
                    grid=grid_spread(figures.grade, figures.wal, snapshot),
                    market=priced.spread,
                    liquidity=level,
                    views=tuple(
                        decompose(
                            figures, investor, liquidity=level, capital_return=terms.capital_return,
                            scale=snapshot.scale, capital_ratio=terms.capital_ratio,
                        )
                        for investor in terms.investors
                    ),
                )
            )  # fmt: skip
        return rows

    def rung(self, theta: float) -> Json:
        """Everything that depends on the price of risk."""
        weights = risk_weights(self.scenarios, theta)
        reached = tilt(self.scenarios, theta)
        payees, sources = valued(self.found.payees, weights), valued(self.found.sources, weights)
        kept = conservation(self.found, weights)
        common = {row.name: row.value for row in payees if row.kind == "class"}
        classes = [self._weighted(each, weights, theta, common[each.figures.name]) for each in self.issued]
        residual = next(row for row in payees if row.kind == "residual")
        pool = next(row for row in sources if row.kind == "collections")
        return {
            "theta": theta,
            "effective": reached.effective,
            "factor_mean": reached.mean,
            "factor_mean_se": reached.mean_error,
            "classes": classes,
            "residual": {"value": residual.value, "se": residual.error, "yield": self._residual_yield(residual.value)},
            "pool": {"value": pool.value, "se": pool.error, "price": pool.value / self.opening},
            "conservation": {
                "payees": [{"name": row.name, "kind": row.kind, "value": row.value} for row in payees],
                "sources": [{"name": row.name, "kind": row.kind, "value": row.value} for row in sources],
                "error": kept.error,
                "relative": kept.relative,
                "liquidity": sum(row["liquidity_cost"] for row in classes),
            },
        }

    def residual(self) -> Json | None:
        """View B of the residual certificate. Its base-case cash is what is left after losses, so no loss comes off."""
        cash, snapshot, terms = self.structure.base.residual[:, 0], self.snapshot, self.terms
        if not cash.sum() > 0.0:
            return None
        life = float(payment_years(self.structure.base) @ cash / cash.sum())
        _, duration = durations(cash, snapshot.residual_yield)
        figures = ClassFigures(
            self.structure.spec.residual.name, snapshot.scale[-1], life, float(duration[0]), 0.0, FULL_DEDUCTION
        )
        benchmark = float(snapshot.curve.par(life))
        rows = []
        for investor in terms.investors:
            found = decompose(
                figures, investor, liquidity=liquidity_at(terms.liquidity, life, snapshot.wal_exponent),
                capital_return=terms.capital_return, scale=snapshot.scale, capital_ratio=terms.capital_ratio,
            )  # fmt: skip
            asked = benchmark + found.spread
            rows.append(_asked(found) | {"yield": asked, "value": float(price(cash, asked)[0])})
        return {"life": life, "duration": float(duration[0]), "benchmark": benchmark, "investors": rows}

    def implied(self, each: _Issued) -> Json | None:
        """The price of risk at which view A gives the market's price, and what the set is worth there."""
        worth = float(price(each.flows, each.benchmark + each.market)[0]) * each.balance
        theta = implied_theta(self.own[each.figures.name], worth, self.scenarios)
        return None if theta is None else {"theta": theta, "effective": tilt(self.scenarios, theta).effective}

    def _residual_yield(self, worth: float) -> float | None:
        """Yield of the base-case residual cash bought at that value; null where none is."""
        return _finite(float(solve_yields(self.structure.base.residual[:, 0], worth).yields[0]))

    def monthly_discount(self, months: int) -> FloatArray:
        """(months,) factors of cash by month after cut-off: of the payment date on which it reaches the deal."""
        ends = calendar_of(self.structure.spec).months
        place = np.minimum(np.searchsorted(ends, np.arange(1, months + 1)), len(self.discount) - 1)
        return np.asarray(self.discount[place])

    @property
    def opening(self) -> float:
        return float(self.structure.base_flows.opening_balance.sum())

    @cached_property
    def untilted(self) -> dict[str, float]:
        """Class -> view A at theta 0, fraction of par."""
        weights = self.scenarios.weights
        return {
            each.figures.name: weighted_mean(self.own[each.figures.name], weights)[0] / each.balance
            for each in self.issued
        }

    def _weighted(self, each: _Issued, weights: FloatArray, theta: float, common: float) -> Json:
        name = each.figures.name
        value, error = weighted_mean(self.own[name], weights)
        worth = value / each.balance
        row: Json = {
            "name": name,
            "value": value,
            "se": error,
            "price": 100 * worth,
            "price_se": 100 * error / each.balance,
            "liquidity_cost": common - value,
        }
        if math.isfinite(spread_of_price(each.flows, worth, each.benchmark)[0]):
            row |= _bridged(self._reconciled(each, worth))
        return row

    def _reconciled(self, each: _Issued, worth: float) -> Reconciliation:
        return reconcile(
            each.views[0],
            each.flows,
            benchmark=each.benchmark,
            market_spread=each.market,
            weighted_price=worth,
            untilted_price=self.untilted[each.figures.name],
        )


def differential(
    structure: Structure,
    scenarios: ScenarioSet,
    snapshot: MarketSnapshot,
    loans: LoanArrays,
    model: CreditModel,
) -> Json:
    """Three views of every price of a solved deal.

    version, factor; terms {theta, capital_return, capital_ratio, liquidity, sources}; investors [type, its charges].
    classes[i]: name, grade, view (the default: "C" or "A"), wal_years, benchmark, market {grid, basis, add_on, spread},
    risk_weight, investors [{key, parts of view B, spread, charge, rorac at the market spread}], implied {theta at
    which A gives C's price, effective sample there}, null where none up to 3 does; default {price, yield, spread} of
    that view at the terms' theta.
    ladder[j], one a theta: effective sample, classes [{value, se, price per 100, views {C, B, A}, built, steps}],
    residual, pool, conservation {payees, sources, error, relative, liquidity: what class-specific spreads take off}.
    residual: view B, null where the base case pays it nothing: life and duration of its base-case cash, benchmark,
    and by investor what it asks and what the cash is worth at that; a position of 1,250 %, no loss beside that cash.
    loans: cells {grade, term, loans, balance, prices by theta}; expected: their sum by theta, without the luck of the
    draw; factor: pool over that, by which prices are scaled (scaled: false where a call may sell the pool: then 1).
    Money in currency units, spreads and yields annual fractions, prices per 100.
    """
    weights = {row["name"]: row["sec_sa"] for row in capital(structure, loans, model)["classes"]}
    views = _Views(structure, scenarios, snapshot, weights)
    terms = views.terms
    thetas = sorted({*LADDER, terms.theta})
    ladder = [views.rung(theta) for theta in thetas]
    shown = {row["name"]: row for row in ladder[thetas.index(terms.theta)]["classes"]}
    return {
        "version": VERSION,
        "factor": dict(MARKET),
        "terms": {
            "theta": terms.theta,
            "capital_return": terms.capital_return,
            "capital_ratio": terms.capital_ratio,
            "liquidity": terms.liquidity,
            "wal_exponent": snapshot.wal_exponent,
            "sources": dict(terms.sources),
        },
        "investors": [_investor(each) for each in terms.investors],
        "classes": [
            _class(each, snapshot) | {"implied": views.implied(each), "default": _default(each, snapshot, shown)}
            for each in views.issued
        ],
        "ladder": ladder,
        "residual": views.residual(),
        "loans": _loans(views, loans, model, thetas, [rung["pool"]["value"] for rung in ladder]),
    }


def _loans(
    views: _Views, loans: LoanArrays, model: CreditModel, thetas: Sequence[float], pool: Sequence[float]
) -> Json:
    """Cells of loans at each theta, scaled so that they add up to the pool's value; see differential()."""
    try:
        values = loan_values(
            loans, model, views.scenarios, [risk_weights(views.scenarios, theta) for theta in thetas],
            views.monthly_discount(int(loans.remaining_term.max()) + model.charge_off_lag + model.recovery_lag),
        )  # fmt: skip
    except ValueError as error:
        return {"reason": str(error), "cells": [], "expected": [], "factor": [], "scaled": False}
    expected = values.sum(axis=1)
    # A call sells the pool early: then more than the luck of the draw lies between the loans and the collections.
    scaled = views.structure.spec.call is None
    factor = np.asarray(pool) / expected if scaled else np.ones(len(thetas))
    return {
        "reason": "",
        "cells": [
            {
                "grade": cell.grade,
                "term": cell.term,
                "loans": cell.loans,
                "balance": cell.balance,
                "prices": (100 * np.asarray(cell.values) * factor / cell.balance).tolist(),
            }
            for cell in loan_cells(loans, values)
        ],
        "expected": expected.tolist(),
        "factor": factor.tolist(),
        "scaled": scaled,
    }


def _investor(each: InvestorType) -> Json:
    return {
        "key": each.key,
        "title": each.title,
        "basis": each.basis,
        "servicing": each.servicing,
        "multiple": each.multiple,
        "charges": dict(each.charges),
        "source": each.source,
    }


def _class(each: _Issued, snapshot: MarketSnapshot) -> Json:
    figures = each.figures
    return {
        "name": figures.name,
        "grade": figures.grade,
        "view": LETTERS[default_view(figures.grade, snapshot.scale)],
        "wal_years": figures.wal,
        "duration": figures.duration,
        "benchmark": each.benchmark,
        "expected_loss": figures.expected_loss,
        "risk_weight": figures.risk_weight,
        "market": {
            "grid": each.grid,
            "basis": snapshot.basis,
            "add_on": snapshot.add_on(ASSET_CLASS),
            "spread": each.market,
        },
        "investors": [_asked(view) | {"rorac": _finite(view.return_on_capital(each.market))} for view in each.views],
    }


def _default(each: _Issued, snapshot: MarketSnapshot, shown: Mapping[str, Json]) -> Json | None:
    """The figures of the default view at the terms' theta; null where it has no yield."""
    found: Mapping[str, Json] = shown[each.figures.name].get("views", {})
    return found.get(LETTERS[default_view(each.figures.grade, snapshot.scale)])


def _asked(view: Decomposition) -> Json:
    return {
        "key": view.investor,
        "liquidity": view.liquidity,
        "expected_loss": view.expected_loss,
        "capital": view.capital,
        "servicing": view.servicing,
        "spread": view.spread,
        "charge": view.charge,
    }


def _bridged(found: Reconciliation) -> Json:
    return {
        "views": {LETTERS[each.view]: _viewed(each) for each in (found.market, found.decomposition, found.weights)},
        "treasury": 100 * found.treasury,
        "built": _steps(found.built),
        "steps": _steps(found.steps),
    }


def _viewed(each: Viewed) -> Json:
    return {"price": 100 * each.price, "yield": each.yield_, "spread": each.spread}


def _steps(steps: Sequence[Any]) -> list[Json]:
    return [{"name": step.name, "spread": step.spread, "price": 100 * step.price} for step in steps]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
