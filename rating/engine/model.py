"""CreditModel: every number a simulation needs besides the loans, as immutable, hashable data.

Not here: where the numbers come from; see calibration.py (history) and curves.py (documented fallback).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Within a month: the missed payment is found first, the others pay interest and scheduled principal, and what
# prepays does so on the balance left after that payment.
EVENT_ORDER = "default, scheduled payment, prepayment"

_TABLES = ("default_hazard", "prepayment_hazard")
_TUPLES = ("bands", "terms", "score_floors", "rate_ceilings", "fallbacks")


@dataclass(frozen=True, eq=False)
class CreditModel:
    """Default, prepayment and recovery assumptions of a pool.

    name: what the model is, for people. bands: B risk bands, best first. terms: M original terms in months.
    default_hazard, prepayment_hazard: (B * M, A) cause-specific monthly hazards -ln(1 - q) at month on book
        1..A; row band * M + term. The last month is held beyond A.
    grade_band: originator's grade -> band; score_floors: B - 1 descending scores (band i if score >= floor i),
        empty where scores are not used; rate_ceilings: B - 1 ascending annual fractions (band i if rate <= ceiling i).
        A loan takes the band of its grade, else of its score, else of its rate.
    asset_correlation: rho of the Gaussian factor, [0, 1). pd_level_sigma: sd of the log of a pool-wide
        multiplier (mean 1) on default hazards. severity_mean: loss share of a charged-off balance net of
        collection cost; severity_sigma: probit-scale dispersion with that mean. prepayment_sigma: as
        pd_level_sigma, on prepayment hazards; prepayment_link: prepayment hazards also scale with
        exp(link * G - link**2 / 2), G the market factor.
    charge_off_lag: months from the first missed payment to charge-off; recovery_lag: from there to the cash.
    provenance: JSON-able statement of every number's origin. fallbacks: sentences on what was filled in.
    event_order: the named order of events within a month.

    Raises ValueError naming the field and its value.
    """

    name: str
    bands: tuple[str, ...]
    terms: tuple[int, ...]
    default_hazard: FloatArray
    prepayment_hazard: FloatArray
    grade_band: Mapping[str, int]
    score_floors: tuple[float, ...]
    rate_ceilings: tuple[float, ...]
    asset_correlation: float
    pd_level_sigma: float
    severity_mean: float
    severity_sigma: float
    prepayment_sigma: float
    prepayment_link: float
    charge_off_lag: int
    recovery_lag: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    event_order: str = EVENT_ORDER

    def __post_init__(self) -> None:
        self._check_tables()
        self._check_cuts()
        if not 0 <= self.asset_correlation < 1:
            raise ValueError(f"asset_correlation: {self.asset_correlation} is outside [0, 1)")
        if not 0 <= self.severity_mean <= 1:
            raise ValueError(f"severity_mean: {self.severity_mean} is outside [0, 1]")
        for name in ("pd_level_sigma", "severity_sigma", "prepayment_sigma", "charge_off_lag", "recovery_lag"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is negative")
        if self.event_order != EVENT_ORDER:
            raise ValueError(f"event_order: {self.event_order!r}, only {EVENT_ORDER!r} is simulated")

    def _check_tables(self) -> None:
        cells = len(self.bands) * len(self.terms)
        if not cells:
            raise ValueError(f"bands, terms: {self.bands}, {self.terms} leave no cell")
        if list(self.terms) != sorted(set(self.terms)) or self.terms[0] < 1:
            raise ValueError(f"terms: {self.terms}, expected ascending months >= 1")
        for name in _TABLES:
            table = getattr(self, name)
            if table.ndim != 2 or table.shape[0] != cells or table.shape[1] < 1:
                raise ValueError(f"{name}: shape {table.shape}, expected ({cells}, months >= 1)")
            if not (np.isfinite(table) & (table >= 0)).all():
                raise ValueError(f"{name}: a hazard is negative or not finite")

    def _check_cuts(self) -> None:
        for name, descending, optional in (("score_floors", True, True), ("rate_ceilings", False, False)):
            cuts = getattr(self, name)
            if len(cuts) != len(self.bands) - 1 and not (optional and not cuts):
                raise ValueError(f"{name}: {len(cuts)} cuts for {len(self.bands)} bands")
            if list(cuts) != sorted(cuts, reverse=descending):
                raise ValueError(f"{name}: {cuts} are not in order")
        for grade, band in self.grade_band.items():
            if not 0 <= band < len(self.bands):
                raise ValueError(f"grade_band: {grade!r} points to band {band} of {len(self.bands)}")

    def assign(self, loans: LoanArrays) -> IntArray:
        """(n,) hazard row of each loan: band by grade, else score, else rate; nearest term, the longer on a tie."""
        return self.assign_bands(loans) * len(self.terms) + self._nearest_term(loans.original_term)

    def assign_bands(self, loans: LoanArrays) -> IntArray:
        """(n,) risk band of each loan. Grades compare without case; "B3" is read as "B" where unknown itself."""
        band = np.searchsorted(np.asarray(self.rate_ceilings, dtype=np.float64), loans.rate, side="left")
        if self.score_floors:
            known = np.isfinite(loans.score)
            floors = -np.asarray(self.score_floors, dtype=np.float64)
            band = np.where(known, np.searchsorted(floors, -np.where(known, loans.score, 0.0), side="left"), band)
        grades, inverse = np.unique(loans.grade, return_inverse=True)
        by_grade = np.array([self._band_of_grade(str(grade)) for grade in grades], dtype=np.int64)[inverse]
        return np.where(by_grade >= 0, by_grade, band).astype(np.int64)

    def _band_of_grade(self, grade: str) -> int:
        text = grade.strip().upper()
        if text in self.grade_band:
            return self.grade_band[text]
        if len(text) > 1 and text[1:].isdigit() and text[0] in self.grade_band:
            return self.grade_band[text[0]]
        return -1

    def _nearest_term(self, original_term: IntArray) -> IntArray:
        terms = np.asarray(self.terms, dtype=np.float64)
        # The longer term wins a tie: its hazards reach further, so nothing has to be held flat.
        return np.searchsorted((terms[:-1] + terms[1:]) / 2.0, original_term, side="right").astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """JSON-able dictionary; floats survive exactly (shortest repr)."""
        out: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _TABLES:
                value = value.tolist()
            elif item.name in _TUPLES:
                value = list(value)
            elif item.name in ("grade_band", "provenance"):
                value = dict(value)
            out[item.name] = value
        return out

    @classmethod
    def from_json(cls, data: str | Mapping[str, Any]) -> CreditModel:
        """Exact inverse of to_json; unknown or missing keys raise ValueError naming them."""
        raw = json.loads(data) if isinstance(data, str) else dict(data)
        expected = {item.name for item in fields(cls)}
        if set(raw) != expected:
            raise ValueError(f"model: keys differ from the schema: {sorted(set(raw) ^ expected)}")
        for name in _TABLES:
            raw[name] = np.asarray(raw[name], dtype=np.float64)
        for name in _TUPLES:
            raw[name] = tuple(raw[name])
        return cls(**raw)

    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON: sorted keys, no spaces."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
