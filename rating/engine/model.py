"""CreditModel: every number a simulation needs besides the loans, as immutable, hashable data.

Not here: where the numbers come from; see calibration.py (history) and curves.py (documented fallback).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
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
_TUPLES = ("bands", "terms", "score_floors", "rate_ceilings", "fallbacks", "sectors", "severity_bands")
COPULAS = ("gaussian", "student_t")
# Horizons reach 30 years; an AR(1) factor takes one shock a year.
FACTOR_YEARS = 30
PSD_TOLERANCE = -1e-10
_NOT_NEGATIVE = (
    "pd_level_sigma",
    "correlation_sigma",
    "severity_sigma",
    "severity_level_sigma",
    "severity_noise",
    "prepayment_sigma",
    "degrees_of_freedom",
    "charge_off_lag",
    "recovery_lag",
    "history_months",
)


def correlation_root(correlation: Sequence[Sequence[float]], size: int) -> FloatArray:
    """(K, K) symmetric root R of a correlation matrix, R R' = C, by its eigenvalues.

    Raises ValueError where it is not square of the given size, not symmetric, has no unit diagonal, or is not
    positive semi-definite; the sentence names the smallest eigenvalue.
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.shape != (size, size):
        raise ValueError(f"sector_correlation: shape {matrix.shape}, expected ({size}, {size}), one row a sector")
    if not np.isfinite(matrix).all() or not np.array_equal(matrix, matrix.T):
        raise ValueError("sector_correlation: not symmetric, or holds a value that is not finite")
    if not np.array_equal(np.diag(matrix), np.ones(size)):
        raise ValueError("sector_correlation: the diagonal must be 1")
    values, vectors = np.linalg.eigh(matrix)
    if values.min() < PSD_TOLERANCE:
        raise ValueError(
            f"sector_correlation: not positive semi-definite, its smallest eigenvalue is {values.min():.3g}; "
            "lower the correlations that contradict each other"
        )
    return np.asarray(np.einsum("ij,j,kj->ik", vectors, np.sqrt(np.maximum(values, 0.0)), vectors))


@dataclass(frozen=True, eq=False)
class CreditModel:
    """Default, prepayment and recovery assumptions of a pool.

    name: what the model is, for people. bands: B risk bands, best first. terms: M original terms in months.
    default_hazard, prepayment_hazard: (B * M, A) cause-specific monthly hazards -ln(1 - q) at month on book
        1..A; row band * M + term. The last month is held beyond A.
    grade_band: originator's grade -> band; score_floors: B - 1 descending scores (band i if score >= floor i),
        empty where scores are not used; rate_ceilings: B - 1 ascending annual fractions (band i if rate <= ceiling i).
        A loan takes the band of its grade, else of its score, else of its rate.
    asset_correlation: rho, [0, 1), the share of a loan's latent variance that is systematic. sectors: K names of
        sector factors; a loan whose sector is one of them carries sector_share of rho on that factor and the rest
        on the market, any other loan all of rho on the market. sector_correlation: (K, K) nested tuples, of the
        sector factors among each other; () for none. copula: "gaussian" or "student_t", that with
        degrees_of_freedom > 2 (0 under "gaussian"). factor_persistence: 1 for one draw of each factor that lasts
        the pool's life, less for an AR(1) market with that year-to-year correlation, [0, 1].
    pd_level_sigma: sd of the log of a pool-wide multiplier (mean 1) on default hazards. correlation_sigma: sd of
        the log of rho (median rho, capped below 0.95). Both, and severity_level_sigma, are parameter uncertainty.
    severity_mean: loss share of a charged-off balance net of collection cost. severity_bands: the same by band,
        (B,), or () for one figure. severity_sigma: probit-scale dispersion between scenarios with that mean;
        severity_level_sigma: the same of the parameter itself; severity_link: probit-scale loading on a bad market;
        severity_noise: probit-scale dispersion between the loans of one scenario.
    prepayment_sigma: as pd_level_sigma, on prepayment hazards; prepayment_link: prepayment hazards also scale
        with exp(link * G - link**2 / 2), G the market factor.
    history_months: months of experience behind the hazards, 0 where none of the pool's own kind: caps the grade.
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
    sectors: tuple[str, ...] = ()
    sector_share: float = 0.0
    sector_correlation: tuple[tuple[float, ...], ...] = ()
    copula: str = "gaussian"
    degrees_of_freedom: float = 0.0
    factor_persistence: float = 1.0
    correlation_sigma: float = 0.0
    severity_bands: tuple[float, ...] = ()
    severity_level_sigma: float = 0.0
    severity_link: float = 0.0
    severity_noise: float = 0.0
    history_months: int = 0

    def __post_init__(self) -> None:
        self._check_tables()
        self._check_cuts()
        self._check_factors()
        if not 0 <= self.asset_correlation < 1:
            raise ValueError(f"asset_correlation: {self.asset_correlation} is outside [0, 1)")
        for name in ("severity_mean", "sector_share", "factor_persistence"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)} is outside [0, 1]")
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if not (value >= 0 and np.isfinite(value)):
                raise ValueError(f"{name}: {value} is negative or not finite")
        for band, value in enumerate(self.severity_bands):
            if not 0 <= value <= 1:
                raise ValueError(f"severity_bands: band {band} holds {value}, outside [0, 1]")
        if self.severity_bands and len(self.severity_bands) != len(self.bands):
            raise ValueError(f"severity_bands: {len(self.severity_bands)} figures for {len(self.bands)} bands")
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

    def _check_factors(self) -> None:
        if self.copula not in COPULAS:
            raise ValueError(f"copula: {self.copula!r} is none of {', '.join(COPULAS)}")
        if (self.copula == "student_t") != (self.degrees_of_freedom > 2):
            raise ValueError(
                f"degrees_of_freedom: {self.degrees_of_freedom} under the {self.copula} copula; "
                "student_t needs more than 2, gaussian takes 0"
            )
        if len(set(self.sectors)) != len(self.sectors) or "" in self.sectors:
            raise ValueError(f"sectors: {self.sectors} repeat a name or hold an empty one")
        if self.sector_correlation:
            correlation_root(self.sector_correlation, len(self.sectors))

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the systematic factors that a scenario set has to draw for this model, the market first."""
        names = ["market", "pd_level", "severity", "prepayment"]
        names += ["correlation"] if self.correlation_sigma > 0 else []
        names += ["severity_level"] if self.severity_level_sigma > 0 else []
        names += ["mixing"] if self.copula == "student_t" else []
        names += [f"sector:{name}" for name in self.sectors] if self.sector_share > 0 else []
        names += [f"market:{year}" for year in range(2, FACTOR_YEARS + 1)] if self.factor_persistence < 1 else []
        return tuple(names)

    def without_parameter_uncertainty(self) -> CreditModel:
        """The same model with every parameter at its estimate: scenarios then differ by the economy alone."""
        return replace(self, pd_level_sigma=0.0, correlation_sigma=0.0, severity_level_sigma=0.0)

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
            elif item.name == "sector_correlation":
                value = [list(row) for row in value]
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
        raw["sector_correlation"] = tuple(tuple(row) for row in raw["sector_correlation"])
        return cls(**raw)

    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON: sorted keys, no spaces."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
