"""Loans as arrays: what a simulation and a schedule need to know of a pool, and nothing else.

Not here: names, outcomes, raw rows. Outcomes never reach a rating of their own pool.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoanArrays:
    """Level-payment loans of one pool, sorted by loan id.

    loan_id: (n,) str, unique, ascending. balance: (n,) currency units at cut-off, > 0.
    rate: (n,) annual fraction, nominal monthly, >= 0. original_term, age: (n,) months.
    remaining_term: (n,) months, >= 1. grade: (n,) str, the originator's grade or "".
    score: (n,) credit score points, NaN where unknown. group: (n,) str, collateral group.
    sector: (n,) str, region or industry whose economy the loan shares, "" where unknown.

    Raises ValueError naming the column and the first bad row.
    """

    loan_id: NDArray[np.str_]
    balance: FloatArray
    rate: FloatArray
    original_term: IntArray
    remaining_term: IntArray
    age: IntArray
    grade: NDArray[np.str_]
    score: FloatArray
    group: NDArray[np.str_]
    sector: NDArray[np.str_]

    def __post_init__(self) -> None:
        n = len(self.loan_id)
        if n == 0:
            raise ValueError("loan_id: the pool holds no loan")
        for field in fields(self):
            column = getattr(self, field.name)
            if column.shape != (n,):
                raise ValueError(f"{field.name}: shape {column.shape}, expected ({n},)")
        if np.any(self.loan_id[1:] <= self.loan_id[:-1]):
            row = int(np.argmax(self.loan_id[1:] <= self.loan_id[:-1])) + 1
            raise ValueError(f"loan_id: row {row} ({self.loan_id[row]}) is not in strict ascending order")
        checks = {
            "balance": ~(np.isfinite(self.balance) & (self.balance > 0)),
            "rate": ~(np.isfinite(self.rate) & (self.rate >= 0)),
            "remaining_term": self.remaining_term < 1,
            "age": self.age < 0,
        }
        for name, bad in checks.items():
            if bad.any():
                row = int(np.argmax(bad))
                raise ValueError(f"{name}: row {row} holds {getattr(self, name)[row]}")

    def __len__(self) -> int:
        return len(self.loan_id)

    @classmethod
    def sorted_by_id(cls, **columns: NDArray[Any]) -> LoanArrays:
        """Build from columns in any order; rows are sorted by loan id, so that row order never matters."""
        order = np.argsort(columns["loan_id"], kind="stable")
        return cls(**{name: np.asarray(column)[order] for name, column in columns.items()})

    def take(self, mask: NDArray[np.bool_]) -> LoanArrays:
        """The loans where mask (n,) is true, in the same order."""
        return replace(self, **{f.name: getattr(self, f.name)[mask] for f in fields(self)})
