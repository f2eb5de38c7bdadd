"""Required rates of a pool's loans under a credit model and a market snapshot: cells of like loans are solved once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from pricing.engine.loan_apr import AprStack, RequiredApr, required_aprs
from pricing.engine.loans import LoanCells
from rating.engine.model import CreditModel
from rating.engine.portfolio import cumulative_curves

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LoanAprs:
    """apr: (n,) required, gap: (n,) contract less required rate, annual fractions. stack: of the cells; cell: (n,) each
    loan's place in it."""

    apr: FloatArray
    gap: FloatArray
    stack: AprStack
    cell: IntArray

    def mean_layers(self, loans: LoanArrays, members: NDArray[np.bool_]) -> dict[str, float]:
        """Balance-weighted layers of some loans."""
        weights = loans.balance[members] / loans.balance[members].sum()
        return {name: float(weights @ values[self.cell[members]]) for name, values in self.stack.layers.items()}


def loan_aprs(loans: LoanArrays, model: CreditModel, required: RequiredApr) -> LoanAprs:
    """Required rates at the model's estimates: hazards of each loan's own cell and age, severity of its band.

    The recovery comes charge-off and recovery lag after the default. Raises ValueError as RequiredApr.
    """
    months = int(loans.remaining_term.max())
    cell = model.assign(loans)
    default, first = cumulative_curves(model.default_hazard, cell, loans.age, months)
    prepayment, second = cumulative_curves(model.prepayment_hazard, cell, loans.age, months)
    band = cell // len(model.terms)
    severity = np.asarray(model.severity_bands or (model.severity_mean,) * len(model.bands))[band]
    keys = np.stack([first, second, loans.remaining_term, band], axis=1)
    cells, place, found = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    pairs, curve = np.unique(cells[:, :2], axis=0, return_inverse=True)
    stack = required_aprs(
        LoanCells(
            rate=np.zeros(len(cells)),
            term=cells[:, 2].astype(np.int64),
            curve=curve.ravel().astype(np.int64),
            mdr=-np.expm1(-np.diff(default, axis=1))[pairs[:, 0]],
            smm=-np.expm1(-np.diff(prepayment, axis=1))[pairs[:, 1]],
            severity=severity[place],
            lag=model.charge_off_lag + model.recovery_lag,
        ),
        required,
    )
    where = found.ravel()
    apr = stack.apr[where]
    return LoanAprs(apr=apr, gap=loans.rate - apr, stack=stack, cell=where)
