"""What the pages show of an assumption set: every number with its origin, curves, uncertainty, and two sets compared.

Pure functions of a CreditModel. Not here: who may see it (rating.selectors), drawing (config).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from rating.engine.curves import curve_correlation, retail_correlation
from rating.engine.explanation import lifetime_curves
from rating.engine.model import CreditModel

CAUSES = {"default": "default_hazard", "prepayment": "prepayment_hazard"}
MONTHS_SHOWN = (1, 6, 12, 24, 36, 48, 60, 84, 120, 180, 240, 360)
TWO_SIDED = 1.96
# Where a field's origin stands in the provenance under another name; the first one that is there counts.
_ORIGINS = {
    "default_hazard": ("hazards", "band_points"),
    "prepayment_hazard": ("hazards", "prepayment_cpr"),
    "bands": ("grades",),
    "grade_band": ("grades",),
}
# What a field is where the provenance leaves it out: it is derived from others, or a convention of the engine.
_STATED = {
    "name": ("label", "what the set is called; enters no calculation but the hash"),
    "bands": ("derived", "grades of the history by rising mean rate, best first"),
    "terms": ("derived", "original terms, in months, that have curves of their own; other loans take the nearest"),
    "grade_band": ("derived", "each grade of the history is a band of its own"),
    "score_floors": ("derived", "not used: the band comes from the grade, else the rate"),
    "rate_ceilings": ("derived", "half-way between the mean loan rates of neighbouring bands"),
    "event_order": ("convention", "the engine's order of events within a month"),
    "degrees_of_freedom": ("convention", "0 under the Gaussian copula, which has none"),
    "sector_correlation": ("assumption", "where empty, sector factors are independent of each other"),
    "fallbacks": ("statement", "what was filled in, in sentences; listed above"),
}


@dataclass(frozen=True)
class AssumptionRow:
    """One number or table of a set. field: of the model itself, false where it only stands behind one."""

    name: str
    value: str
    kind: str
    grounds: str
    field: bool


def shown(value: Any) -> str:
    """A value as a short text."""
    if value is None or value == "" or (isinstance(value, list | tuple | dict) and not value):
        return "—"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def assumption_rows(model: CreditModel) -> list[AssumptionRow]:
    """Every field of the set, then what the provenance says besides, each with its kind and its grounds."""
    rows, used = [], set[str]()
    for item in fields(model):
        if item.name == "provenance":
            continue
        keys = (item.name, *_ORIGINS.get(item.name, ()))
        key = next((name for name in keys if name in model.provenance), None)
        kind, grounds = _STATED.get(item.name, ("not stated", ""))
        if key is not None:
            used.add(key)
            kind, grounds = _origin(model.provenance[key], kind)
        rows.append(AssumptionRow(item.name, _field_value(model, item.name), kind, grounds, True))
    for key, origin in model.provenance.items():
        if key not in used:
            kind, grounds = _origin(origin, "statement")
            value = origin.get("value") if isinstance(origin, Mapping) else origin
            rows.append(AssumptionRow(key, shown(value), kind, grounds, False))
    return rows


def _origin(origin: Any, kind: str) -> tuple[str, str]:
    """Kind and grounds of a provenance entry."""
    if not isinstance(origin, Mapping):
        return "source", "SHA-256 of the file" if origin else ""
    others = "; ".join(
        f"{key.replace('_', ' ')}: {shown(value)}" for key, value in origin.items()
        if key not in ("value", "kind", "text", "likelihood", "interval", "regulatory")
    )  # fmt: skip
    text = str(origin.get("text", ""))
    return str(origin.get("kind") or kind), "; ".join(part for part in (text, others) if part)


def _field_value(model: CreditModel, name: str) -> str:
    value = getattr(model, name)
    if isinstance(value, np.ndarray):
        return f"{value.shape[0]} curves of {value.shape[1]} months, below"
    if name == "fallbacks":
        return f"{len(value)} sentence{'' if len(value) == 1 else 's'}"
    return shown(dict(value) if isinstance(value, Mapping) else value)


# ------------------------------------------------------------------------------------------------------- hazards
@dataclass(frozen=True)
class CellRow:
    """Hazards of one band and term. monthly: probability in each month of MONTHS_SHOWN up to the term, fractions;
    None beyond it. lifetime, net: PD over the whole term with prepayment competing and without."""

    band: str
    term: int
    monthly: tuple[float | None, ...]
    lifetime: float
    net: float


def months_shown(model: CreditModel) -> tuple[int, ...]:
    """The months on book of the table of hazards."""
    return tuple(month for month in MONTHS_SHOWN if month <= max(model.terms))


def curve(model: CreditModel, cause: str, band: int, term: int) -> list[float]:
    """Monthly probability 1 - exp(-hazard) in months 1 to the term, by places of band and term."""
    table = getattr(model, CAUSES[cause])[band * len(model.terms) + term]
    held = table[np.minimum(np.arange(model.terms[term]), len(table) - 1)]
    return [float(value) for value in -np.expm1(-held)]


def cell_rows(model: CreditModel, cause: str) -> list[CellRow]:
    """One row a band and term, terms inside bands."""
    rows = []
    for b, band in enumerate(model.bands):
        for m, term in enumerate(model.terms):
            line = curve(model, cause, b, m)
            lifetime, net = lifetime_curves(model, b * len(model.terms) + m, 0, term)
            monthly = tuple(line[month - 1] if month <= term else None for month in months_shown(model))
            rows.append(CellRow(band, term, monthly, float(lifetime[-1]), float(net[-1])))
    return rows


def hazard_lines(model: CreditModel) -> list[list[object]]:
    """Every monthly probability as rows of a file: cause, band, term, month on book, probability."""
    return [
        [cause, band, term, month, repr(value)]
        for cause in CAUSES
        for b, band in enumerate(model.bands)
        for m, term in enumerate(model.terms)
        for month, value in enumerate(curve(model, cause, b, m), start=1)
    ]


# ------------------------------------------------------------------------------- correlation, severity, uncertainty
@dataclass(frozen=True)
class RangeRow:
    """An estimate with its 95 % range; None where it has none. text: what the range is."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    text: str


def correlation_rows(model: CreditModel) -> list[RangeRow]:
    """Asset correlation with its posterior and likelihood intervals, the regulatory one beside it, the sector share."""
    origin = model.provenance.get("asset_correlation", {})
    stated = origin if isinstance(origin, Mapping) else {}
    low, high = stated.get("interval") or (None, None)
    rows = [RangeRow("Asset correlation of the set", model.asset_correlation, low, high,
                     "95 % of the posterior" if low is not None else "no estimate: see its kind below")]  # fmt: skip
    if likelihood := stated.get("likelihood"):
        rows.append(
            RangeRow("Maximum likelihood", likelihood["mode"], likelihood["low"], likelihood["high"],
                     "95 % likelihood-ratio interval")
        )  # fmt: skip
    regulatory = stated.get("regulatory", curve_correlation())
    rows.append(
        RangeRow("Regulatory, other retail", regulatory, retail_correlation(1.0), retail_correlation(0.0),
                 "Basel Framework CRE31; the range is the rule's, by PD")
    )  # fmt: skip
    share = model.provenance.get("sector_share", {})
    low, high = (share.get("interval") if isinstance(share, Mapping) else None) or (None, None)
    rows.append(
        RangeRow("of it the sector's own", model.sector_share, low, high,
                 "95 % likelihood-ratio interval" if low is not None else f"{len(model.sectors)} sectors")
    )  # fmt: skip
    return rows


def severity_rows(model: CreditModel) -> list[tuple[str, float]]:
    """(band, loss share of a charged-off balance), after the mean of all."""
    by_band = model.severity_bands or tuple(model.severity_mean for _ in model.bands)
    return [("all", model.severity_mean), *zip(model.bands, by_band, strict=True)]


def uncertainty_rows(model: CreditModel) -> list[RangeRow]:
    """What each uncertain parameter does: its median or mean, and where 95 % of its draws lie."""
    level, rho, sigma = model.pd_level_sigma, model.correlation_sigma, model.severity_level_sigma
    wide = TWO_SIDED * level
    rows = [
        RangeRow("Default level, times the curve", 1.0, math.exp(-wide - level**2 / 2), math.exp(wide - level**2 / 2),
                 f"log-normal of mean 1, deviation {level:.3g}" if level else "held at its estimate"),
        RangeRow("Asset correlation", model.asset_correlation, model.asset_correlation * math.exp(-TWO_SIDED * rho),
                 min(0.95, model.asset_correlation * math.exp(TWO_SIDED * rho)),
                 f"log-normal about its median, deviation {rho:.3g}" if rho else "held at its estimate"),
    ]  # fmt: skip
    low, high = (_severity(model, sigma, z) for z in (-TWO_SIDED, TWO_SIDED))
    rows.append(
        RangeRow("Severity", model.severity_mean, low, high,
                 f"probit scale with that mean, deviation {sigma:.3g}" if sigma else "held at its estimate")
    )  # fmt: skip
    return rows


def _severity(model: CreditModel, sigma: float, z: float) -> float:
    """Severity at z deviations: Phi(Phi^-1(mean) sqrt(1 + sigma^2) + sigma z), whose mean over z is the mean."""
    if not 0 < model.severity_mean < 1:
        return model.severity_mean
    return float(ndtr(ndtri(model.severity_mean) * math.sqrt(1 + sigma**2) + sigma * z))


# ------------------------------------------------------------------------------------------------------ comparison
@dataclass(frozen=True)
class Difference:
    """A field in which two sets differ, as texts."""

    name: str
    first: str
    second: str
    change: str


@dataclass(frozen=True)
class CellDifference:
    """Where two sets' monthly probabilities of a cause differ most in a cell; month: on book. Fractions."""

    cause: str
    band: str
    term: int
    month: int
    first: float
    second: float
    lifetime_first: float
    lifetime_second: float

    @property
    def difference(self) -> float:
        return self.second - self.first


def differences(first: CreditModel, second: CreditModel) -> list[Difference]:
    """Fields of the set that are not equal, in the order of the model; of the provenance the entries that differ."""
    found = (_difference(item.name, getattr(first, item.name), getattr(second, item.name)) for item in fields(first))
    return [row for row in found if row is not None]


def _difference(name: str, one: Any, two: Any) -> Difference | None:
    if isinstance(one, np.ndarray):
        if np.array_equal(one, two):
            return None
        count = f"{int((one != two).sum()):,} of {one.size:,} hazards" if one.shape == two.shape else "other cells"
        sizes = [f"{table.shape[0]} curves of {table.shape[1]} months" for table in (one, two)]
        return Difference(name, sizes[0], sizes[1], count)
    if one == two:
        return None
    if name == "provenance":
        keys = sorted(key for key in one.keys() | two.keys() if one.get(key) != two.get(key))
        return Difference(name, f"{len(one)} entries", f"{len(two)} entries", shown(keys).replace("_", " "))
    number = isinstance(one, float | int) and isinstance(two, float | int)
    return Difference(name, _whole(one), _whole(two), f"{two - one:+.4g}".replace("-", "−") if number else "")


def _whole(value: Any) -> str:
    if isinstance(value, Mapping):
        return shown(dict(value))
    sentences = isinstance(value, tuple) and value and isinstance(value[0], str)
    return "; ".join(value) if sentences else shown(value)


def cell_differences(first: CreditModel, second: CreditModel) -> list[CellDifference]:
    """Cells that both sets have, by name of band and term, each with its largest difference of a monthly
    probability; the largest of all first."""
    rows = []
    for cause in CAUSES:
        for band, term in common_cells(first, second):
            one, two = cell_curve(first, cause, band, term), cell_curve(second, cause, band, term)
            gaps = [abs(b - a) for a, b in zip(one, two, strict=True)]
            month = max(range(len(gaps)), key=gaps.__getitem__)
            lives = [_lifetime(model, band, term) for model in (first, second)]
            rows.append(CellDifference(cause, band, term, month + 1, one[month], two[month], lives[0], lives[1]))
    return sorted(rows, key=lambda row: -abs(row.difference))


def common_cells(first: CreditModel, second: CreditModel) -> list[tuple[str, int]]:
    """(band, term) that both sets name."""
    return [
        (band, term) for band in first.bands if band in second.bands for term in first.terms if term in second.terms
    ]


def cell_curve(model: CreditModel, cause: str, band: str, term: int) -> list[float]:
    """curve() by names."""
    return curve(model, cause, model.bands.index(band), model.terms.index(term))


def _lifetime(model: CreditModel, band: str, term: int) -> float:
    row = model.bands.index(band) * len(model.terms) + model.terms.index(term)
    return float(lifetime_curves(model, row, 0, term)[0][-1])
