"""View A of loans: each loan's worth under the weights that price the pool, its classes and its residual.

Given a scenario's factors a loan's defaults and prepayments are independent of all others', so its expected cash is
known without drawing it; the weighted mean over the scenarios is its value, and values of loans add up to the pool's,
but for the luck of the loans that the simulation drew. Not here: what an investor asks of a loan (loans.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.special import ndtr, ndtri

from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors
from rating.engine.exact import quantile
from rating.engine.model import CreditModel
from rating.engine.portfolio import cumulative_curves
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks, scenario_shocks, sector_index

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Nodes in the probit of the default probability and in the prepayment hazard; survival is smooth in both.
DEFAULT_NODES, PREPAYMENT_NODES = 48, 16
SMALLEST_HAZARD = 1e-9  # below it a loan counts as safe
DEGREE = 5
LOANS_AT_ONCE = 4096


@dataclass(frozen=True)
class _Means:
    """Weighted means over scenarios at the nodes of one sector and band: survived [e^-pP (1 - F(H))], and lost
    [e^-pP F(H) (1 - severity)], as splines in (probit of H, P); safe: nodes of P, E[e^-pP]."""

    survived: RectBivariateSpline
    recovered: RectBivariateSpline


class _Tables:
    """Means of default and prepayment under one weighting."""

    def __init__(self, model: CreditModel, shocks: Shocks, hazard: FloatArray, speed: FloatArray) -> None:
        self.model, self.shocks = model, shocks
        low, high = max(float(hazard[hazard > 0].min(initial=1.0)), SMALLEST_HAZARD), max(float(hazard.max()), 1e-6)
        ends = ndtri(-np.expm1(-np.array([min(low, high / 2), high])))
        self.probits = np.linspace(ends[0] - 1e-9, ends[1] + 1e-9, DEFAULT_NODES)
        self.hazards = -np.log(ndtr(-self.probits))
        self.speeds = np.linspace(0.0, max(float(speed.max()), 1e-9), PREPAYMENT_NODES)
        self.kept = np.exp(-shocks.prepayment[:, None] * self.speeds)  # (S, nodes of P)
        clock = -np.expm1(-shocks.default[:, None] * self.hazards)
        self.threshold = quantile(model, clock) * shocks.mixing[:, None]

    def defaulted(self, sector: int) -> FloatArray:
        """(S, nodes of H) probability to have defaulted, given the scenario."""
        score = self.shocks.score[:, sector, 0]
        return np.asarray(ndtr((self.threshold - score[:, None]) / self.shocks.own[:, None]))

    def means(self, defaulted: FloatArray, band: int, weights: FloatArray) -> _Means:
        share = (weights / weights.sum())[:, None]
        back = (1.0 - self.shocks.severity[:, band])[:, None]
        # Not a matrix product: its bytes would depend on the threads of the linear-algebra library.
        survived = np.einsum("sh,sp->hp", (1.0 - defaulted) * share, self.kept)
        recovered = np.einsum("sh,sp->hp", defaulted * (share * back), self.kept)
        grid = (self.probits, self.speeds)
        return _Means(
            RectBivariateSpline(*grid, survived, kx=DEGREE, ky=DEGREE),
            RectBivariateSpline(*grid, recovered, kx=DEGREE, ky=DEGREE),
        )

    def safe(self, speed: FloatArray, weights: FloatArray) -> FloatArray:
        """E[e^-pP] at speeds of any shape: what a loan that cannot default keeps."""
        nodes = (weights / weights.sum()) @ self.kept
        return np.asarray(np.exp(np.interp(speed, self.speeds, np.log(nodes))))


def loan_values(
    loans: LoanArrays,
    model: CreditModel,
    scenarios: ScenarioSet,
    weightings: Sequence[ArrayLike],
    discount: ArrayLike,
) -> FloatArray:
    """(W, n) values of the loans, currency units, under W weightings (S,) of one scenario set.

    discount: (M,) factors of cash of month 1..M after cut-off; M reaches the last recovery. Month by month, given the
    factors: F(t) as simulate() has it, prepayment survival e^(-p P(t)); a loan that survives pays interest and the
    scheduled balance, then prepays; a defaulted balance comes back at 1 - severity after both lags. Means over
    scenarios are taken at nodes of the two cumulative hazards and interpolated by quintic splines; errors about 1e-7
    of the balance, tested against sums over scenarios.

    Raises ValueError where the market moves in time, or the discount factors end too early.
    """
    if model.factor_persistence < 1.0:
        raise ValueError(
            f"factor_persistence: {model.factor_persistence}; loans are priced under factors that last (1)"
        )
    months = int(loans.remaining_term.max())
    lag = model.charge_off_lag + model.recovery_lag
    factors = np.asarray(discount, dtype=np.float64)
    if factors.ndim != 1 or len(factors) < months + lag:
        raise ValueError(f"discount: shape {factors.shape}, expected at least ({months + lag},) months")
    cell, sector = model.assign(loans), sector_index(model, loans)
    hazard, curve = cumulative_curves(model.default_hazard, cell, loans.age, months)
    speed, pace = cumulative_curves(model.prepayment_hazard, cell, loans.age, months)
    band = cell // len(model.terms)
    kinds, kind = np.unique(np.stack([sector, band, curve, pace]), axis=1, return_inverse=True)
    tables = _Tables(model, scenario_shocks(model, scenarios), hazard, speed)
    weights = [np.asarray(each, dtype=np.float64) for each in weightings]
    balance, interest = _coefficients(tables, kinds, hazard, speed, weights, factors[: months + lag], lag)
    return _summed(loans, kind.ravel(), balance, interest, months)


def _coefficients(
    tables: _Tables,
    kinds: IntArray,
    hazard: FloatArray,
    speed: FloatArray,
    weights: Sequence[FloatArray],
    discount: FloatArray,
    lag: int,
) -> tuple[FloatArray, FloatArray]:
    """(kinds, T, W) worth of a unit of scheduled balance at the end of month 0..T - 1, and of its yearly interest."""
    months = hazard.shape[1] - 1
    shape = (kinds.shape[1], months, len(weights))
    balance, interest = np.empty(shape), np.empty(shape)
    now, later = discount[:months], discount[lag : lag + months]
    for s in np.unique(kinds[0]):
        defaulted = tables.defaulted(int(s))
        for b in np.unique(kinds[1][kinds[0] == s]):
            rows = np.flatnonzero((kinds[0] == s) & (kinds[1] == b))
            h, p = hazard[kinds[2][rows]], speed[kinds[3][rows]]
            for w, weight in enumerate(weights):
                means = tables.means(defaulted, int(b), weight)
                paying = _survived(tables, means, weight, h[:, 1:], p[:, :-1])
                staying = _survived(tables, means, weight, h[:, 1:], p[:, 1:])
                lost = _recovered(tables, means, h[:, 1:], p[:, :-1]) - _recovered(tables, means, h[:, :-1], p[:, :-1])
                interest[rows, :, w] = now * paying
                # What is owed at the end of a month is paid by nobody who stays: it comes off that month's cash.
                owed = np.concatenate([np.zeros((len(rows), 1)), now[:-1] * staying[:, :-1]], axis=1)
                balance[rows, :, w] = now * paying + later * lost - owed
    return balance, interest


def _survived(tables: _Tables, means: _Means, weights: FloatArray, hazard: FloatArray, speed: FloatArray) -> FloatArray:
    found = means.survived.ev(_probit(tables, hazard), speed)
    return np.where(hazard < SMALLEST_HAZARD, tables.safe(speed, weights), found)


def _recovered(tables: _Tables, means: _Means, hazard: FloatArray, speed: FloatArray) -> FloatArray:
    return np.where(hazard < SMALLEST_HAZARD, 0.0, means.recovered.ev(_probit(tables, hazard), speed))


def _probit(tables: _Tables, hazard: FloatArray) -> FloatArray:
    """Where a hazard lies between the nodes; those below the first are told apart by the caller."""
    with np.errstate(divide="ignore"):
        return np.clip(ndtri(-np.expm1(-hazard)), tables.probits[0], tables.probits[-1])


def _summed(loans: LoanArrays, kind: IntArray, balance: FloatArray, interest: FloatArray, months: int) -> FloatArray:
    """(W, n) sum over months of the scheduled balance times its coefficients."""
    values = np.empty((balance.shape[2], len(loans)))
    order = np.argsort(kind, kind="stable")
    starts = np.flatnonzero(np.diff(kind[order], prepend=-1))
    for low, high in zip(starts, [*starts[1:], len(order)], strict=True):
        place = int(kind[order[low]])
        for first in range(int(low), int(high), LOANS_AT_ONCE):
            rows = order[first : min(first + LOANS_AT_ONCE, int(high))]
            rate, term = loans.rate[rows], loans.remaining_term[rows]
            owed = level_balance_factors(rate, term, months - 1) * loans.balance[rows][:, None]
            values[:, rows] = _paid(owed, balance[place]) + (rate / 12.0) * _paid(owed, interest[place])
    return values


def _paid(owed: FloatArray, worth: FloatArray) -> FloatArray:
    """(W, n) sum over months of (n, T) times (T, W); no matrix product, as above."""
    return np.asarray(np.einsum("nt,tw->wn", owed, worth))


@dataclass(frozen=True)
class LoanCell:
    """Loans alike: their grade and original term, number, balance, and values by weighting, currency units."""

    grade: str
    term: int
    loans: int
    balance: float
    values: tuple[float, ...]


def loan_cells(loans: LoanArrays, values: FloatArray) -> tuple[LoanCell, ...]:
    """Sum loan_values (W, n) by the originator's grade and original term."""
    keys = np.char.add(np.char.add(loans.grade.astype(str), "\x1f"), loans.original_term.astype(str))
    names, place = np.unique(keys, return_inverse=True)
    count = np.bincount(place)
    balance = np.bincount(place, loans.balance)
    sums = np.stack([np.bincount(place, row) for row in values])
    cells = []
    for i, name in enumerate(names.tolist()):
        grade, term = name.split("\x1f")
        cells.append(LoanCell(grade, int(term), int(count[i]), float(balance[i]), tuple(sums[:, i].tolist())))
    return tuple(sorted(cells, key=lambda cell: (cell.grade, cell.term)))
