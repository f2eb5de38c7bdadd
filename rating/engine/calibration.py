"""From a history tape to a CreditModel: hazards, correlation, level uncertainty and severity, each with its origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pooling.tapes import OutcomeFrame
from rating.engine import curves
from rating.engine.hazards import History, TermStructure, fit_hazards
from rating.engine.model import CreditModel
from rating.engine.vintages import severity, vintage_estimate

# Quarters of a short history live through one stretch of the economy, so their spread understates what a new
# pool may meet: below this number the estimate may not fall under the regulatory correlation and a level floor.
LONG_HISTORY_QUARTERS = 20
SHORT_HISTORY_LEVEL_SIGMA = 0.20


def calibrate(
    outcomes: OutcomeFrame,
    *,
    cutoff_month: int | None = None,
    terms: Sequence[int] = (36, 60),
    source_sha256: str = "",
) -> CreditModel:
    """CreditModel from a history tape, see calibrated_model.

    cutoff_month: months since January 1970, the month in which the pool to be rated is cut off (for a pool aligned
    to origination: its first issue month); whatever happened later is not read. None: the end of the tape's
    data. source_sha256: of the history file, kept in the model. Raises ValueError where nothing can be watched.
    """
    columns = {item.name: getattr(outcomes, item.name) for item in fields(History) if item.name != "exit_month_on_book"}
    history = History(exit_month_on_book=outcomes.exit_month, **columns)
    model = calibrated_model(history, outcomes.data_end if cutoff_month is None else cutoff_month, terms=terms)
    return replace(model, provenance={**model.provenance, "history_sha256": source_sha256})


def calibrated_model(history: History, cutoff_month: int, *, terms: Sequence[int] = (36, 60)) -> CreditModel:
    """CreditModel from what the history showed at the cut-off; terms: original terms the pool needs.

    What the history is too short for (fewer than six issue quarters, fewer than 50 charge-offs, speed and severity
    dispersion, lags) comes from the documented curve and is named in `provenance` and `fallbacks`. Bands are the
    history's grades by rising mean rate; a loan of another grade takes the band whose mean rate is nearest.
    """
    structure = fit_hazards(history, cutoff_month, terms=terms)
    shape = (len(structure.grades) * len(structure.terms), -1)
    fallbacks = list(structure.fallbacks)
    origin: dict[str, Any] = {"hazards": _hazard_origin(structure)}
    correlation, level = _systematic(history, structure, origin, fallbacks)
    mean = _severity(history, structure, origin, fallbacks)
    for name in ("severity_sigma", "prepayment_sigma", "prepayment_link", "charge_off_lag", "recovery_lag"):
        origin[name] = curves.provenance()[name]
    rates = structure.mean_rate
    return CreditModel(
        name="calibrated on history",
        bands=structure.grades,
        terms=structure.terms,
        default_hazard=structure.default_hazard.reshape(shape),
        prepayment_hazard=structure.prepayment_hazard.reshape(shape),
        grade_band={grade.strip().upper(): i for i, grade in enumerate(structure.grades) if grade.strip()},
        score_floors=(),
        rate_ceilings=tuple(float(rate) for rate in (rates[1:] + rates[:-1]) / 2.0),
        asset_correlation=correlation,
        pd_level_sigma=level,
        severity_mean=mean,
        severity_sigma=curves.SEVERITY_SIGMA,
        prepayment_sigma=curves.PREPAYMENT_SIGMA,
        prepayment_link=curves.PREPAYMENT_LINK,
        charge_off_lag=structure.charge_off_lag,
        recovery_lag=curves.RECOVERY_LAG,
        provenance=origin,
        fallbacks=tuple(fallbacks),
    )


def _systematic(
    history: History, structure: TermStructure, origin: dict[str, Any], fallbacks: list[str]
) -> tuple[float, float]:
    """Asset correlation and level uncertainty; writes their origin."""
    found = vintage_estimate(history, structure)
    regulatory = curves.curve_correlation()
    if found is None:
        fallbacks.append("correlation and level uncertainty: too few issue quarters, those of the documented curve")
        for name in ("asset_correlation", "pd_level_sigma"):
            origin[name] = curves.provenance()[name]
        return regulatory, curves.PD_LEVEL_SIGMA
    correlation, level, floor = found.correlation, found.level_sigma, ""
    if found.quarters < LONG_HISTORY_QUARTERS:
        correlation, level = max(correlation, regulatory), max(level, SHORT_HISTORY_LEVEL_SIGMA)
        floor = f"; fewer than {LONG_HISTORY_QUARTERS} quarters, so not below"
    origin["asset_correlation"] = _estimated(
        correlation,
        f"maximum likelihood over {found.quarters} issue quarters {found.correlation:.4f}, 95 % interval "
        f"{found.low:.4f} to {found.high:.4f}{floor or '; beside it'} "
        f"the regulatory other-retail correlation {regulatory:.4f}",
    )
    text = f"standard error of the mean log level {found.level_sigma:.4f}, four quarters counting as one (assumption)"
    origin["pd_level_sigma"] = _estimated(
        level, f"{text}{floor} {SHORT_HISTORY_LEVEL_SIGMA} (assumption)" if floor else text
    )
    return correlation, level


def _severity(history: History, structure: TermStructure, origin: dict[str, Any], fallbacks: list[str]) -> float:
    """Mean severity; writes its origin."""
    found = severity(history, structure)
    if found is None:
        fallbacks.append("severity: too few charge-offs before the cut-off, that of the documented curve")
        origin["severity_mean"] = curves.provenance()["severity_mean"]
        return curves.SEVERITY_MEAN
    origin["severity_mean"] = _estimated(found[0], f"1 - net recoveries / charged off over {found[1]} charge-offs")
    fallbacks.append(
        "severity: recoveries carry no date on the history tape, so those received after the cut-off on loans "
        "charged off before it count too"
    )
    return found[0]


def _estimated(value: float, text: str) -> dict[str, Any]:
    return {"value": value, "kind": "estimated", "text": text}


def _hazard_origin(structure: TermStructure) -> dict[str, Any]:
    return {
        "kind": "estimated",
        "text": "person-month hazards by grade, term and month on book, right-censored at the cut-off",
        "cutoff_month": structure.cutoff_month,
        "loan_months": int(np.sum(structure.at_risk)),
        "defaults": int(np.sum(structure.defaults)),
        "prepayments": int(np.sum(structure.prepayments)),
    }
