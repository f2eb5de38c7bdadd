"""Live checks of the rating models against answers known beforehand, for the model page.

Every expected figure is transcribed from a source named beside it, or follows from a stated formula; none comes from a
run of these engines. Not here: the tests, which check far more; see the inventory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from rating.engine.copula import vasicek_cdf, vasicek_quantile, vasicek_std
from rating.engine.curves import documented_model, retail_correlation
from rating.engine.explanation import explain_pd
from rating.engine.hazards import aalen_johansen, hazard_incidence
from rating.engine.model import CreditModel
from rating.engine.philox import philox4x32
from rating.engine.scale import GRADES, bound_of
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.engine.statistics import weighted_mean

FloatArray = NDArray[np.float64]

SEED, SCENARIOS = 20, 4_096
STANDARD_ERRORS = 4.0
CLOSED, SIMULATED = "closed form", "simulation"


@dataclass(frozen=True)
class CheckRow:
    """One check: what, where the expected figure is from, kind, and whether |found - expected| <= tolerance.

    tolerance: absolute; of a simulation four of its own standard errors. z: error in standard errors, None otherwise.
    """

    check: str
    source: str
    kind: str
    expected: float
    found: float
    tolerance: float
    z: float | None = None

    @property
    def passed(self) -> bool:
        return abs(self.found - self.expected) <= self.tolerance


@lru_cache(maxsize=1)
def validation_report() -> tuple[CheckRow, ...]:
    """Run every check, in a second or two; the same rows every time, since every seed is fixed."""
    return (
        *_large_pool(), *_streams(), *_incidence(), *_scale(), *_finite_pool(), *_simulated_incidence(),
        *_weights(), *_points(),
    )  # fmt: skip


def _large_pool() -> Iterator[CheckRow]:
    """Vasicek's distribution: oracle 01; joint default probability: oracle 13."""
    source = "Vasicek, Risk, December 2002; evaluated apart in double precision (oracle rating/01)"
    for label, found, expected in (
        ("Large pool, PD 5 %, correlation 10 %: 99.9 % quantile", vasicek_quantile(0.999, 0.05, 0.1),
         0.24079407499095096),
        ("Large pool, PD 2 %, correlation 20 %: P(share ≤ 5 %)", vasicek_cdf(0.05, 0.02, 0.2), 0.9036468690924246),
        ("Large pool, PD 10 %, correlation 3 %: standard deviation", vasicek_std(0.1, 0.03), 0.03077033381904253),
    ):  # fmt: skip
        yield CheckRow(label, source, CLOSED, expected, float(found), 1e-9)
    joint = vasicek_std(0.02, 0.2) ** 2 + 0.02**2
    yield CheckRow(
        "Two loans of PD 2 %, correlation 20 %: joint default", "bivariate normal integral (oracle rating/13)", CLOSED,
        0.001100176495629406, joint, 1e-12,
    )  # fmt: skip
    yield CheckRow(
        "Retail correlation at a PD of nothing", "Basel Framework CRE31, other retail: 16 %, falling to 3 %", CLOSED,
        0.16, retail_correlation(0.0), 1e-12,
    )  # fmt: skip


def _streams() -> Iterator[CheckRow]:
    """Known answer of the counter-based generator."""
    words = philox4x32([0, 0, 0, 0], [0, 0])
    yield CheckRow(
        "Philox4x32-10 of counter 0 and key 0: first word",
        "Salmon et al., SC 2011; Random123 known answers, 6627e8d5", CLOSED, float(0x6627E8D5), float(words[0]), 0.0,
    )  # fmt: skip


def _incidence() -> Iterator[CheckRow]:
    """Competing risks, worked by hand."""
    source = "Aalen & Johansen 1978, by hand: 1/10 + 7/10 × 1/7"
    found, _ = aalen_johansen(np.array([10.0, 7.0]), np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    label = "Incidence of 10 loans, one default a month, two prepay"
    yield CheckRow(label, source, CLOSED, 0.2, float(found[-1]), 1e-12)
    q, p, months = 0.01, 0.02, 24
    implied, _ = hazard_incidence(-np.log1p(-np.full(months, q)), -np.log1p(-np.full(months, p)))
    yield CheckRow(
        "Lifetime PD of constant hazards, 1 % default and 2 % prepayment, 24 months",
        "geometric series q (1 − s^k) / (1 − s), s = 0.99 × 0.98", CLOSED, _geometric(q, p, months), float(implied[-1]),
        1e-12,
    )  # fmt: skip


def _geometric(q: float, p: float, months: int) -> float:
    stay = (1 - q) * (1 - p)
    return q * (1 - stay**months) / (1 - stay)


def _scale() -> Iterator[CheckRow]:
    """The anchors that define the indicative scale."""
    for grade, expected in ((GRADES[0], 1e-4), (GRADES[-1], 0.30)):
        yield CheckRow(
            f"Scale: largest expected loss of {grade} over ten years", "derivation of the scale: the anchor itself",
            CLOSED, expected, bound_of(grade, 10.0), 1e-12,
        )  # fmt: skip


def _simple_model(default: float, prepayment: float, **changes: Any) -> CreditModel:
    """One band, one term, monthly probabilities that never change, no shocks besides those named."""
    values: dict[str, Any] = {
        "name": "check",
        "bands": ("A",),
        "terms": (36,),
        "default_hazard": np.array([[-np.log1p(-default)]]),
        "prepayment_hazard": np.array([[-np.log1p(-prepayment)]]),
        "grade_band": {"A": 0},
        "score_floors": (),
        "rate_ceilings": (),
        "asset_correlation": 0.0,
        "pd_level_sigma": 0.0,
        "severity_mean": 1.0,
        "severity_sigma": 0.0,
        "prepayment_sigma": 0.0,
        "prepayment_link": 0.0,
        "charge_off_lag": 0,
        "recovery_lag": 0,
    }
    return CreditModel(**(values | changes))


def _equal_loans(n: int, remaining: int) -> LoanArrays:
    """n interest-free loans of 1, equal in all but the id."""
    return LoanArrays(
        loan_id=np.array([f"{i:05d}" for i in range(n)]),
        balance=np.ones(n),
        rate=np.zeros(n),
        original_term=np.full(n, remaining),
        remaining_term=np.full(n, remaining),
        age=np.zeros(n, dtype=np.int64),
        grade=np.full(n, "A"),
        score=np.full(n, np.nan),
        group=np.full(n, "pool"),
        sector=np.full(n, ""),
    )


def _finite_pool() -> Iterator[CheckRow]:
    """100 equal loans with one payment left: oracle 03. The NumPy loops, which need no compilation."""
    n, pd, severity = 100, 0.0488, 0.6
    model = _simple_model(pd, 0.0, asset_correlation=0.3, severity_mean=severity)
    scenarios = ScenarioSet.draw(SCENARIOS, seed=SEED, names=("market",))
    flows = simulate(_equal_loans(n, 1), model, scenarios, engine="exact", compiled=False)
    loss = flows.loss.sum(axis=(0, 1)) / n
    source = "exact binomial mixture (oracle rating/03: n 100, PD 4.88 %, correlation 30 %, LGD 60 %)"
    yield _scored("Pool of 100 loans: expected loss", "PD × LGD", pd * severity, loss, scenarios.weights)
    for low, high, expected in (
        (0.0, 0.03, 0.5102096380406138), (0.03, 0.07, 0.1958067096459578), (0.10, 0.15, 0.04204760966442465),
        (0.15, 0.30, 0.008546535322796771),
    ):  # fmt: skip
        share = np.clip((loss - low) / (high - low), 0.0, 1.0)
        label = f"Pool of 100 loans: expected loss of the class from {low:.0%} to {high:.0%}"
        yield _scored(label, source, expected, share, scenarios.weights)


def _scored(label: str, source: str, expected: float, values: FloatArray, weights: FloatArray) -> CheckRow:
    mean, error = weighted_mean(values, weights)
    return CheckRow(label, source, SIMULATED, expected, mean, STANDARD_ERRORS * error, (mean - expected) / error)


def _simulated_incidence() -> Iterator[CheckRow]:
    """Independent loans under competing risks: the simulated share of defaults, a binomial one."""
    q, p, months, loans, size = 0.01, 0.02, 24, 1_000, 64
    scenarios = ScenarioSet.draw(size, seed=SEED, names=("market",), proposal="normal")
    flows = simulate(_equal_loans(loans, months), _simple_model(q, p), scenarios, engine="exact", compiled=False)
    # An interest-free loan owes 1 - (t - 1) / 24 when it misses payment t: dividing gives back the count.
    owed = 1.0 - np.arange(months) / months
    found = float((flows.default[0, :months].mean(axis=1) / owed).sum() / loans)
    expected = _geometric(q, p, months)
    error = float(np.sqrt(expected * (1 - expected) / (loans * size)))
    yield CheckRow(
        "64,000 independent loans: simulated incidence of default beside prepayment",
        "geometric series, as above: the Aalen–Johansen curve of these hazards", SIMULATED, expected, found,
        STANDARD_ERRORS * error, (found - expected) / error,
    )  # fmt: skip


def _weights() -> Iterator[CheckRow]:
    """Weighted moments of the wide proposal."""
    scenarios = ScenarioSet.draw(SCENARIOS, seed=SEED)
    market = scenarios.factor("market")
    for label, values, expected in (("mean", market, 0.0), ("mean square", market**2, 1.0)):
        row = _scored(
            f"Scenario weights: weighted {label} of the market factor", "standard normal", expected, values,
            scenarios.weights,
        )  # fmt: skip
        yield row


def _points() -> Iterator[CheckRow]:
    """Points of a small mixed pool under the documented curve: the largest difference from their own total."""
    n = 300
    rng = np.random.Generator(np.random.PCG64(SEED))
    term = rng.choice(np.array([36, 60]), n)
    age = rng.integers(0, 24, n)
    loans = LoanArrays(
        loan_id=np.array([f"{i:05d}" for i in range(n)]),
        balance=rng.uniform(1_000, 30_000, n),
        rate=rng.uniform(0.06, 0.28, n),
        original_term=term,
        remaining_term=term - age,
        age=age,
        grade=np.full(n, ""),
        score=np.full(n, np.nan),
        group=np.full(n, "pool"),
        sector=np.full(n, ""),
    )
    found = explain_pd(loans, documented_model())
    off = np.abs(found.base_tenths + found.tenths.sum(axis=1) - found.total_tenths).max()
    yield CheckRow(
        "Points of 300 loans as shown: largest difference from their total, tenths", "an identity", CLOSED, 0.0,
        float(off), 0.0,
    )  # fmt: skip
