"""Small pools and models for the rating tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pooling.engine.loans import LoanArrays
from rating.engine.model import CreditModel


def model_of(default: np.ndarray, prepayment: np.ndarray, bands: tuple[str, ...], **changes: Any) -> CreditModel:
    """One term for all; rate cuts are spread evenly, shocks are off unless named."""
    base = CreditModel(
        name="test",
        bands=bands,
        terms=(36,),
        default_hazard=default,
        prepayment_hazard=prepayment,
        grade_band={band: i for i, band in enumerate(bands)},
        score_floors=(),
        rate_ceilings=tuple(0.1 + 0.05 * i for i in range(len(bands) - 1)),
        asset_correlation=0.05,
        pd_level_sigma=0.0,
        severity_mean=0.93,
        severity_sigma=0.0,
        prepayment_sigma=0.0,
        prepayment_link=0.0,
        charge_off_lag=4,
        recovery_lag=6,
    )
    return replace(base, **changes)


def equal_loans(n: int, *, balance: float = 1.0, rate: float = 0.12, remaining: int = 1) -> LoanArrays:
    return LoanArrays(
        loan_id=np.array([f"{i:07d}" for i in range(n)]),
        balance=np.full(n, balance),
        rate=np.full(n, rate),
        original_term=np.full(n, remaining),
        remaining_term=np.full(n, remaining),
        age=np.zeros(n, dtype=np.int64),
        grade=np.full(n, "A"),
        score=np.full(n, np.nan),
        group=np.full(n, "pool"),
        sector=np.full(n, ""),
    )


def mixed_loans(n: int, seed: int) -> LoanArrays:
    """Two groups, seasoned loans of several terms, a zero-rate loan among them."""
    rng = np.random.default_rng(seed)
    term = rng.choice([12, 24, 36], n)
    age = (rng.random(n) * (term - 1)).astype(np.int64)
    rate = np.round(rng.uniform(0.05, 0.3, n), 3)
    rate[0] = 0.0
    return LoanArrays.sorted_by_id(
        loan_id=np.array([f"L{i:05d}" for i in rng.permutation(n)]),
        balance=np.round(rng.uniform(500, 30_000, n), 2),
        rate=rate,
        original_term=term,
        remaining_term=term - age,
        age=age,
        grade=rng.choice(np.array(["A", "B", "C"]), n),
        score=np.full(n, np.nan),
        group=rng.choice(np.array(["east", "west"]), n),
        sector=rng.choice(np.array(["", "North", "South"]), n),
    )
