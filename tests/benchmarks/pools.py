"""Pools and models of the simulation benchmarks: consumer loans, one global and ten sector factors, 60 months."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pooling.engine.loans import LoanArrays
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel

SECTORS = tuple(f"sector {k}" for k in range(10))
# Ten-sector pool, seven grades with five sub-grades each: 35 note rates, as a marketplace lists on one day.
GRADE_SHARES = (0.30, 0.28, 0.18, 0.12, 0.07, 0.03, 0.02)
# Share of the documented default hazards: a pool whose loans default at some 7 % over their life.
DEFAULT_SHARE = 0.45


def benchmark_model() -> CreditModel:
    """The documented curve at a prime level, 11 Gaussian factors, parameters certain."""
    model = documented_model()
    return replace(
        model,
        name="benchmark",
        default_hazard=model.default_hazard * DEFAULT_SHARE,
        asset_correlation=0.15,
        sectors=SECTORS,
        sector_share=0.4,
        sector_correlation=(),
        severity_bands=(),
        provenance={},
    ).without_parameter_uncertainty()


def consumer_pool(loans: int, seed: int) -> LoanArrays:
    """New loans of 36 and 60 months."""
    rng = np.random.default_rng(seed)
    term = np.where(rng.random(loans) < 0.7, 36, 60)
    grade = rng.choice(7, loans, p=GRADE_SHARES)
    rate = np.round(0.06 + 0.025 * grade + 0.005 * rng.integers(0, 5, loans), 4)
    return LoanArrays(
        loan_id=np.array([f"{i:07d}" for i in range(loans)]),
        balance=np.round(rng.uniform(1_000, 25_000, loans), 2),
        rate=rate.astype(np.float64),
        original_term=term,
        remaining_term=term,
        age=np.zeros(loans, dtype=np.int64),
        grade=np.array(list("ABCDEFG"))[grade],
        score=np.full(loans, np.nan),
        group=np.full(loans, "pool"),
        sector=np.array(SECTORS)[rng.integers(0, len(SECTORS), loans)],
    )
