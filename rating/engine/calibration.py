"""From a history tape to a CreditModel: hazards, loadings, severity and their uncertainty, each with its origin.

Not here: the estimators; see hazards.py, vintages.py and posterior.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pooling.tapes import OutcomeFrame
from pooling.tapes.regions import REGIONS
from rating.engine import curves
from rating.engine.hazards import History, TermStructure, fit_hazards
from rating.engine.model import CreditModel
from rating.engine.posterior import LoadingPosterior, loading_posterior, sector_share
from rating.engine.vintages import VintageCounts, severity, vintage_counts

# Quarters of a short history live through one stretch of the economy, so their spread understates what a new
# pool may meet: below this number the estimate may not fall under the regulatory correlation and a level floor.
LONG_HISTORY_QUARTERS = 20
SHORT_HISTORY_LEVEL_SIGMA = 0.20
# Defaults at which a history stands on its own; below, hazards lean on the documented curve's by the square root of
# the count over it (limited fluctuation credibility: Klugman, Panjer & Willmot, Loss Models, chapter on credibility).
# Fifty give the level a standard error of 14 %.
FULL_CREDIBILITY_DEFAULTS = 50
# Correlations over which the sector share's likelihood is profiled.
PROFILE = np.geomspace(0.002, 0.2, 11)
_ASSUMED = (
    "severity_sigma",
    "severity_link",
    "prepayment_sigma",
    "prepayment_link",
    "charge_off_lag",
    "recovery_lag",
    "copula",
    "factor_persistence",
)


def history_of(outcomes: OutcomeFrame) -> History:
    """The columns of a history tape that a calibration reads."""
    columns = {item.name: getattr(outcomes, item.name) for item in fields(History) if item.name != "exit_month_on_book"}
    return History(exit_month_on_book=outcomes.exit_month, **columns)


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
    cutoff = outcomes.data_end if cutoff_month is None else cutoff_month
    model = calibrated_model(history_of(outcomes), cutoff, terms=terms)
    return replace(model, provenance={**model.provenance, "history_sha256": source_sha256})


def calibrated_model(history: History, cutoff_month: int, *, terms: Sequence[int] = (36, 60)) -> CreditModel:
    """CreditModel from what the history showed at the cut-off; terms: original terms the pool needs.

    What the history is too short for (fewer than six issue quarters, fewer than 50 charge-offs, a sector share that is
    not identified, speed and severity dispersion, lags) comes from the documented curve and is named in `provenance`
    and `fallbacks`. Bands are the history's grades by rising mean rate; a loan of another grade takes the band whose
    mean rate is nearest. Parameter uncertainty: pd_level_sigma, correlation_sigma and severity_level_sigma.
    """
    structure = fit_hazards(history, cutoff_month, terms=terms)
    fallbacks = list(structure.fallbacks)
    structure = _leaning(structure, fallbacks)
    shape = (len(structure.grades) * len(structure.terms), -1)
    first = int(history.issue_month.min())
    # Years after the data end are no experience, however late the cut-off.
    last = int((history.issue_month + history.exit_month_on_book).max())
    months = max(0, min(cutoff_month - structure.charge_off_lag, last) - first)
    origin: dict[str, Any] = {
        "hazards": _hazard_origin(structure),
        "history_months": _estimated(
            months, "first issue month to the cut-off less the charge-off lag, or to the end of the data"
        ),
        **{name: curves.provenance()[name] for name in _ASSUMED},
    }
    rates = structure.mean_rate
    counts = vintage_counts(history, structure)
    seen = tuple(name for name in counts.sectors if name)
    sectors = REGIONS if set(seen) <= set(REGIONS) else seen
    origin["sectors"] = {**curves.provenance()["sectors"], "value": list(sectors)}
    found = _loadings(counts, origin, fallbacks) | _sector_share(counts, origin, fallbacks)
    found |= _severity(history, structure, origin, fallbacks)
    return CreditModel(
        name="calibrated on history",
        bands=structure.grades,
        terms=structure.terms,
        default_hazard=structure.default_hazard.reshape(shape),
        prepayment_hazard=structure.prepayment_hazard.reshape(shape),
        grade_band={grade.strip().upper(): i for i, grade in enumerate(structure.grades) if grade.strip()},
        score_floors=(),
        rate_ceilings=tuple(float(rate) for rate in (rates[1:] + rates[:-1]) / 2.0),
        severity_sigma=curves.SEVERITY_SIGMA,
        prepayment_sigma=curves.PREPAYMENT_SIGMA,
        prepayment_link=curves.PREPAYMENT_LINK,
        charge_off_lag=structure.charge_off_lag,
        recovery_lag=curves.RECOVERY_LAG,
        sectors=sectors,
        history_months=months,
        provenance=origin,
        fallbacks=tuple(fallbacks),
        **found,
    )


def _leaning(structure: TermStructure, fallbacks: list[str]) -> TermStructure:
    """The structure with default hazards mixed with the documented curve's where it saw too few defaults."""
    seen = float(structure.defaults.sum())
    if seen >= FULL_CREDIBILITY_DEFAULTS:
        return structure
    trust = float(np.sqrt(seen / FULL_CREDIBILITY_DEFAULTS))
    default = structure.default_hazard.copy()
    documented = curves.documented_model()
    bands = np.searchsorted(np.asarray(documented.rate_ceilings), structure.mean_rate, side="left")
    for g, band in enumerate(bands):
        for m, term in enumerate(structure.terms):
            near = int(np.argmin([abs(term - each) for each in documented.terms]))
            row = documented.default_hazard[int(band) * len(documented.terms) + near]
            held = row[np.minimum(np.arange(default.shape[2]), len(row) - 1)]
            default[g, m] = trust * default[g, m] + (1.0 - trust) * held
    fallbacks.append(
        f"default hazards: {seen:.0f} defaults before the cut-off, fewer than {FULL_CREDIBILITY_DEFAULTS}, so they "
        f"count for {trust:.0%} and the documented curve at the grade's mean rate for the rest"
    )
    return replace(structure, default_hazard=default)


def _loadings(counts: VintageCounts, origin: dict[str, Any], fallbacks: list[str]) -> dict[str, Any]:
    """asset_correlation, correlation_sigma and pd_level_sigma; writes their origin."""
    regulatory = curves.curve_correlation()
    found = loading_posterior(counts, prior=regulatory)
    if found is None:
        fallbacks.append("correlation and level uncertainty: too few issue quarters, those of the documented curve")
        names = ("asset_correlation", "correlation_sigma", "pd_level_sigma")
        origin.update({name: curves.provenance()[name] for name in names})
        return {name: curves.provenance()[name]["value"] for name in names}
    rho = found.correlation
    # The hazards stay where the history has them; how far the posterior's level lies from them counts as uncertainty.
    level = float(np.hypot(found.level.mean, found.level.sd))
    correlation, floor = rho.median, ""
    if found.quarters < LONG_HISTORY_QUARTERS:
        correlation, level = max(correlation, regulatory), max(level, SHORT_HISTORY_LEVEL_SIGMA)
        floor = f"; fewer than {LONG_HISTORY_QUARTERS} quarters, so not below"
    likelihood = (
        f"maximum likelihood over {found.quarters} issue quarters {rho.mode:.4f}, 95 % likelihood-ratio interval "
        f"{found.likelihood_low:.4f} to {found.likelihood_high:.4f}"
    )
    origin["asset_correlation"] = _estimated(
        correlation,
        f"posterior median {rho.median:.4f}, 95 % interval {rho.low:.4f} to {rho.high:.4f} ({likelihood}; four "
        "quarters count as one, prior log-normal about the regulatory correlation with deviation 0.6, both assumptions)"
        f"{floor or '; beside it'} the regulatory other-retail correlation {regulatory:.4f}",
    ) | {"interval": [rho.low, rho.high], "likelihood": _likelihood(found), "regulatory": regulatory}
    sigma = found.log_correlation.sd
    origin["correlation_sigma"] = _estimated(sigma, "posterior deviation of ln(asset correlation)")
    text = (
        f"root mean square of the posterior of the log level over the fitted hazards, mean {found.level.mean:.4f}, "
        f"deviation {found.level.sd:.4f}"
    )
    origin["pd_level_sigma"] = _estimated(
        level, f"{text}{floor} {SHORT_HISTORY_LEVEL_SIGMA} (assumption)" if floor else text
    ) | {"interval": [found.level.low, found.level.high]}
    return {"asset_correlation": correlation, "correlation_sigma": sigma, "pd_level_sigma": level}


def _likelihood(found: LoadingPosterior) -> dict[str, float]:
    return {"mode": found.correlation.mode, "low": found.likelihood_low, "high": found.likelihood_high}


def _sector_share(counts: VintageCounts, origin: dict[str, Any], fallbacks: list[str]) -> dict[str, Any]:
    """sector_share; writes its origin."""
    found = sector_share(counts, PROFILE)
    if found is not None and found.identified:
        text = (
            f"maximum likelihood over {found.cells} cells of region and issue quarter, 95 % likelihood-ratio interval "
            f"{found.low:.3f} to {found.high:.3f}"
        )
        origin["sector_share"] = _estimated(found.share, text) | {"interval": [found.low, found.high]}
        return {"sector_share": found.share}
    why = "too few regions and quarters with three expected defaults"
    if found is not None:
        why = f"the 95 % likelihood-ratio interval {found.low:.3f} to {found.high:.3f} reaches 0 or 1"
    fallbacks.append(f"sector share: not identified by the history ({why}), that of the documented curve")
    stated = curves.provenance()["sector_share"]
    origin["sector_share"] = {**stated, "text": f"{stated['text']}; {why}"}
    return {"sector_share": curves.SECTOR_SHARE}


def _severity(
    history: History, structure: TermStructure, origin: dict[str, Any], fallbacks: list[str]
) -> dict[str, Any]:
    """severity_mean, severity_bands, severity_level_sigma and severity_noise; writes their origin."""
    found = severity(history, structure)
    if found is None:
        fallbacks.append("severity: too few charge-offs before the cut-off, that of the documented curve")
        names = ("severity_mean", "severity_bands", "severity_level_sigma", "severity_noise")
        origin.update({name: curves.provenance()[name] for name in names})
        return {
            "severity_mean": curves.SEVERITY_MEAN,
            "severity_bands": (),
            "severity_level_sigma": curves.SEVERITY_LEVEL_SIGMA,
            "severity_noise": 0.0,
        }
    origin["severity_mean"] = _estimated(
        found.mean,
        f"1 - net recoveries / charged off over {found.charge_offs} charge-offs, standard error {found.error:.4f}",
    )
    trust = ", ".join(f"{g} {z:.2f}" for g, z in zip(structure.grades, found.credibility, strict=True))
    origin["severity_bands"] = _estimated(
        list(found.by_grade), f"by grade, leaning on the mean by credibility (Buehlmann-Straub): {trust}"
    )
    origin["severity_level_sigma"] = _estimated(
        found.level_sigma, "standard error of the mean severity on probit scale, loans of an issue quarter as one draw"
    )
    origin["severity_noise"] = _estimated(
        found.noise, "probit-scale dispersion between loans that has their mean and variance of the loss share"
    )
    fallbacks.append(
        "severity: recoveries carry no date on the history tape, so those received after the cut-off on loans "
        "charged off before it count too"
    )
    return {
        "severity_mean": found.mean,
        "severity_bands": found.by_grade,
        "severity_level_sigma": found.level_sigma,
        "severity_noise": found.noise,
    }


def _estimated(value: float | list[float], text: str) -> dict[str, Any]:
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
