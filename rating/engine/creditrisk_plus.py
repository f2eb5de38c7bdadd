"""CREDITRISK+ with one sector: the loss distribution by Panjer's recursion, an actuarial check beside the copula.

Defaults are Poisson given a gamma-distributed rate that all obligors share. Not here: cash flows, months, tranches
through a waterfall. Source: Credit Suisse Financial Products, CREDITRISK+ A Credit Risk Management Framework (1997),
Appendix A (A9 to A13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Exposures this far above a whole unit are whole: a division's last bits must not lift an obligor by one band.
WHOLE = 1e-9
LARGEST_GRID = 2_000_000


@dataclass(frozen=True, eq=False)
class ActuarialLosses:
    """grid: (J,) losses in currency, multiples of unit from 0. pmf: (J,) their probabilities.

    expected_loss, standard_deviation: in closed form, currency. tail:
    probability beyond the grid.
    """

    unit: float
    grid: FloatArray
    pmf: FloatArray
    expected_loss: float
    standard_deviation: float
    tail: float

    def quantile(self, level: float) -> float:
        """Smallest grid loss with P(loss <= x) >= level, currency; level in (0, 1)."""
        return float(self.grid[self._place(level)])

    def quantile_interpolated(self, level: float) -> float:
        """The same on the line between the grid losses around the level, as the document prints it."""
        place = self._place(level)
        if place == 0:
            return 0.0
        reached = np.cumsum(self.pmf)
        step = (level - reached[place - 1]) / (reached[place] - reached[place - 1])
        return float(self.grid[place - 1] + step * self.unit)

    def _place(self, level: float) -> int:
        if not 0.0 < level < 1.0:
            raise ValueError(f"level: {level} is outside (0, 1)")
        place = int(np.searchsorted(np.cumsum(self.pmf), level, side="left"))
        if place >= len(self.grid):
            raise ValueError(f"level: {level} lies beyond the grid, whose tail is {self.tail:.3g}; lower `tail`")
        return place


def creditrisk_plus(
    exposure: ArrayLike, pd: ArrayLike, sd: ArrayLike, *, unit: float, tail: float = 1e-12
) -> ActuarialLosses:
    """Loss distribution of obligors that share one gamma-distributed default rate.

    exposure: (n,) currency lost at default, > 0. pd: (n,) [0, 1]; sd: (n,) standard deviation of each default rate,
    >= 0, adding up over one sector. unit: currency per band; exposures round up and the expected loss of each obligor
    is kept (its rate falls). tail: probability that may stay beyond the grid.

    With mu = sum of rates and alpha = (mu / sigma)**2, beta = sigma**2 / mu, p = beta / (1 + beta), the generating
    function is ((1 - p) / (1 - p P(z)))**alpha (A9), P the severities' own: A_n from
    n A_n = p / mu sum_j rate_j (n + (alpha - 1) nu_j) A_(n - nu_j)  (Panjer; A10). Variance: (EL sigma / mu)**2 +
    sum rate exposure**2 of the rounded exposures (A13). sigma = 0 is the compound Poisson limit.

    Raises ValueError naming the column and its value.
    """
    amounts, rates, deviations = (np.atleast_1d(np.asarray(x, dtype=np.float64)) for x in (exposure, pd, sd))
    _check(amounts, rates, deviations, unit, tail)
    expected = float(np.sum(amounts * rates))
    mean, deviation = float(rates.sum()), float(deviations.sum())
    relative = deviation / mean if mean > 0 else 0.0
    if mean == 0.0:
        return ActuarialLosses(unit, np.zeros(1), np.ones(1), 0.0, 0.0, 0.0)
    bands = np.ceil(amounts / unit - WHOLE).astype(np.int64)
    bands = np.maximum(bands, 1)
    nu, place = np.unique(bands, return_inverse=True)
    banded = np.bincount(place, rates * amounts / (bands * unit)).astype(np.float64)
    pmf = _panjer(nu, banded, relative, tail)
    variance = (expected * relative) ** 2 + float(np.sum(banded * (nu * unit) ** 2))
    return ActuarialLosses(
        unit=unit,
        grid=unit * np.arange(len(pmf), dtype=np.float64),
        pmf=pmf,
        expected_loss=expected,
        standard_deviation=float(np.sqrt(variance)),
        tail=max(0.0, 1.0 - float(pmf.sum())),
    )


def _check(amounts: FloatArray, rates: FloatArray, deviations: FloatArray, unit: float, tail: float) -> None:
    if amounts.ndim != 1 or not len(amounts):
        raise ValueError(f"exposure: shape {amounts.shape}, expected (n,) with at least one obligor")
    for name, column in (("pd", rates), ("sd", deviations)):
        if column.shape != amounts.shape:
            raise ValueError(f"{name}: shape {column.shape}, expected {amounts.shape}")
    checks = (
        ("exposure", amounts, ~(np.isfinite(amounts) & (amounts > 0)), "not positive and finite"),
        ("pd", rates, ~((rates >= 0) & (rates <= 1)), "outside [0, 1]"),
        ("sd", deviations, ~(np.isfinite(deviations) & (deviations >= 0)), "negative or not finite"),
    )
    for name, column, bad, words in checks:
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"{name}: row {row} holds {column[row]}, {words}")
    if not (unit > 0 and np.isfinite(unit)):
        raise ValueError(f"unit: {unit} is not positive and finite")
    if not 0.0 < tail < 1.0:
        raise ValueError(f"tail: {tail} is outside (0, 1)")


def _panjer(nu: NDArray[np.int64], rate: FloatArray, relative: float, tail: float) -> FloatArray:
    """(J,) probabilities of 0, 1, ... units until no more than `tail` is left."""
    mean = float(rate.sum())
    # Negative binomial counts; as sigma falls to zero alpha p / mu -> 1 and p -> 0, the Poisson limit.
    size = 1.0 / relative**2 if relative > 0 else np.inf
    beta = mean * relative**2
    p = beta / (1.0 + beta)
    start = -size * np.log1p(beta) if relative > 0 else -mean
    if start < -700.0:
        raise ValueError(f"pd: {mean:.4g} expected defaults leave no representable chance of none; split the pool")
    scale = 1.0 / (1.0 + beta)  # p alpha / mean, also in the limit
    values, total, n = [float(np.exp(start))], float(np.exp(start)), 0
    own, linked = rate * p / mean, rate * scale * nu
    while total < 1.0 - tail:
        n += 1
        if n > LARGEST_GRID:
            raise ValueError(f"tail: {tail} is not reached within {LARGEST_GRID} units; take a larger unit")
        reach = int(np.searchsorted(nu, n, side="right"))
        before = np.array([values[n - each] for each in nu[:reach]])
        term = float(np.sum(before * (own[:reach] * (n - nu[:reach]) + linked[:reach]))) / n
        values.append(term)
        total += term
        if n > nu[-1] and 0.0 < term < 1e-18:
            break  # rounding alone keeps the sum below 1 - tail
    return np.asarray(values)
