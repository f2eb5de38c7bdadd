"""What stands beside a rating and is no part of it: the semi-analytic control, regulatory capital, concentration."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from pooling.engine.loans import LoanArrays
from pricing.structuring import Structure
from rating.engine.capital import STANDARDISED_RETAIL, CapitalClass, capital_of_classes, legal_maturity, retail_capital
from rating.engine.concentration import effective_number, herfindahl, largest_industry_test, largest_obligor_test
from rating.engine.model import CreditModel
from rating.engine.portfolio import cumulative_curves
from rating.engine.scenarios import ScenarioSet
from rating.engine.semianalytic import lifetime_control
from rating.engine.statistics import weighted_mean, weighted_quantile

Json = dict[str, Any]
CONTROL_QUANTILES = (0.5, 0.9, 0.99)


def controls(structure: Structure, scenarios: ScenarioSet, loans: LoanArrays, model: CreditModel) -> Json:
    """{"control", "capital", "concentration"} of a solved deal, JSON-able."""
    return {
        "control": _control(structure, scenarios, loans, model),
        "capital": capital(structure, loans, model),
        "concentration": _concentration(structure, loans),
    }


def _control(structure: Structure, scenarios: ScenarioSet, loans: LoanArrays, model: CreditModel) -> Json | None:
    """Lifetime defaults without drawing a loan beside the simulated ones; None where the control cannot follow."""
    try:
        found = lifetime_control(loans, model, CONTROL_QUANTILES)
    except ValueError:
        return None
    mean, error = weighted_mean(structure.defaults, scenarios.weights)
    return {
        "default_rate": found.mean,
        "simulated": mean,
        "simulated_se": error,
        "z": (mean - found.mean) / error if error > 0 else 0.0,
        "quantiles": {
            str(p): {
                "control": found.quantiles[p],
                "simulated": weighted_quantile(structure.defaults, scenarios.weights, p),
            }
            for p in CONTROL_QUANTILES
        },
        "approximation": found.approximation,
    }


def capital(structure: Structure, loans: LoanArrays, model: CreditModel) -> Json:
    """Risk weights by class. K_SA: 75 % x 8 %; no delinquency at cut-off; K_IRB: other retail at the loans' own
    one-year default probability and the model's severity, expected loss included; attachment and detachment are of the
    pool and the funded reserve together, the reserve below."""
    pool = float(structure.base_flows.opening_balance.sum())
    reserve = float(structure.base.opening_reserve[0]) / pool
    cell = model.assign(loans)
    curve, row = cumulative_curves(model.default_hazard, cell, loans.age, int(loans.remaining_term.max()))
    year = -np.expm1(-curve[row, np.minimum(12, loans.remaining_term)])
    pd, weight = np.unique(np.round(year, 6), return_inverse=True)
    share = np.bincount(weight, loans.balance) / loans.balance.sum()
    lgd = model.severity_mean
    each = [float(s) * (retail_capital(float(p), lgd) + float(p) * lgd) for p, s in zip(pd, share, strict=True)]
    kirb = min(1.0, float(sum(each)))
    grades = {rating.name: rating.grade for rating in structure.ratings}
    classes, above = [], 0.0
    for number, tranche in enumerate(structure.spec.tranches):
        size = (tranche.balance or 0) / 100 / pool
        if size <= 0 or tranche.name not in grades:
            continue
        high = 1.0 if number == 0 else (1.0 - above + reserve) / (1.0 + reserve)
        above += size
        low = (1.0 - above + reserve) / (1.0 + reserve)
        classes.append(CapitalClass(tranche.name, low, high, grades[tranche.name], number == 0))
    years = structure.base.months / 12
    rows = capital_of_classes(
        classes, ksa=STANDARDISED_RETAIL, delinquent=0.0, kirb=kirb, lgd=lgd, loans=effective_number(loans.balance),
        legal_years=years,
    )  # fmt: skip
    return {
        "ksa": STANDARDISED_RETAIL,
        "kirb": kirb,
        "delinquent": 0.0,
        "maturity_years": legal_maturity(years),
        "reserve": reserve,
        "classes": [asdict(each) for each in rows],
    }


def _concentration(structure: Structure, loans: LoanArrays) -> Json:
    """Largest loans and sectors apart from the copula: what is left of each class's support if they default at once."""
    order = np.argsort(-loans.balance, kind="stable")
    total, severity = float(loans.balance.sum()), structure.speeds.severity
    largest = loans.balance[order]
    names, place = np.unique(loans.sector, return_inverse=True)
    by_sector = np.bincount(place, loans.balance) / total
    return {
        "effective_number": effective_number(loans.balance),
        "hhi": herfindahl(loans.balance),
        "largest": [float(largest[:n].sum() / total) for n in (1, 5, 20)],
        "largest_loss": [float(severity * largest[:n].sum() / total) for n in (1, 5, 20)],
        "tests": _survival_tests(structure, loans),
        "sectors": [
            {"name": str(name), "share": float(share)}
            for name, share in sorted(zip(names, by_sector, strict=True), key=lambda item: -item[1])
        ],
    }


def _survival_tests(structure: Structure, loans: LoanArrays) -> list[Json]:
    """Of each rated class: does what stands below it survive the largest loans, and the largest region, in default?"""
    recovery, reserve = 1.0 - structure.speeds.severity, float(structure.base.opening_reserve[0])
    grades = {rating.name: rating.grade for rating in structure.ratings}
    rows, above, pool = [], 0.0, float(loans.balance.sum())
    for tranche in structure.spec.tranches:
        above += (tranche.balance or 0) / 100 / pool
        if tranche.name not in grades:
            continue
        given: dict[str, Any] = {
            "grade": grades[tranche.name],
            "attachment": min(1.0, max(0.0, 1.0 - above)),
            "recovery": recovery,
            "reserve": reserve,
        }
        for found in (
            largest_obligor_test(loans.balance, loans.loan_id, **given),
            largest_industry_test(loans.balance, loans.sector, **given),
        ):
            rows.append(
                {
                    "class": tranche.name,
                    "name": found.name,
                    "loss": found.loss / pool,
                    "enhancement": found.enhancement / pool,
                    "passed": found.passed,
                }
            )
    return rows
