"""Value of monthly cash flows: price, yield, duration and average life, many classes at once.

Price is a fraction of par in the engine (0.9932, not 99.32). Flows are per 1 of par. Column t of a flow
matrix is paid t + 1 months after settlement, plus a stated payment delay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pricing.engine.roots import rate_roots

FloatArray = NDArray[np.float64]

# Periods of compounding per year; "continuous" is apart. "semiannual" is the bond-equivalent yield.
COMPOUNDING = {"annual": 1, "semiannual": 2, "monthly": 12}
BLOCK = 4096  # columns per block: the working set stays in the processor's cache
NEWTON_LIMIT = 60
NEWTON_TOLERANCE = 1e-14


def _check_compounding(compounding: str) -> None:
    if compounding not in COMPOUNDING and compounding != "continuous":
        raise ValueError(f"compounding: {compounding!r} is not one of {', '.join((*COMPOUNDING, 'continuous'))}")


def log_rate(yields: ArrayLike, compounding: str = "semiannual") -> FloatArray:
    """Yearly log rate r (any shape), so that a flow at time t is worth exp(-r t): m ln(1 + y / m)."""
    _check_compounding(compounding)
    y = np.asarray(yields, dtype=float)
    if compounding == "continuous":
        return y
    m = COMPOUNDING[compounding]
    if np.any(y <= -m):
        raise ValueError(f"yields: {np.nanmin(y)} is at or below -{m}, compounding {compounding}")
    return np.asarray(m * np.log1p(y / m), dtype=float)


def yield_of(log_rates: ArrayLike, compounding: str = "semiannual") -> FloatArray:
    """Inverse of log_rate: m (exp(r / m) - 1)."""
    _check_compounding(compounding)
    r = np.asarray(log_rates, dtype=float)
    if compounding == "continuous":
        return r
    m = COMPOUNDING[compounding]
    return np.asarray(m * np.expm1(r / m), dtype=float)


def convert_yield(yields: ArrayLike, source: str, target: str) -> FloatArray:
    """The same yields under another compounding, e.g. "semiannual" to "monthly"."""
    return yield_of(log_rate(yields, source), target)


def _matrix(flows: ArrayLike) -> FloatArray:
    cash = np.atleast_2d(np.asarray(flows, dtype=float))
    if cash.ndim != 2 or cash.shape[1] == 0:
        raise ValueError(f"flows: shape {cash.shape}, expected (classes, months)")
    if not np.all(np.isfinite(cash)):
        row, month = np.argwhere(~np.isfinite(cash))[0]
        raise ValueError(f"flows: row {row}, month {month + 1} holds {cash[row, month]}")
    return cash


def _per_row(name: str, values: ArrayLike, rows: int) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.ndim > 1 or array.size not in (1, rows):
        raise ValueError(f"{name}: shape {array.shape}, expected ({rows},)")
    return np.array(np.broadcast_to(array, (rows,)), dtype=float)


def _horner(columns: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """h = sum c_t v^(t-1) and dh/dv of columns (T, n) at v (n,), by one backward pass."""
    h = np.zeros_like(v)
    slope = np.zeros_like(v)
    for flow in columns[::-1]:
        slope *= v
        slope += h
        h *= v
        h += flow
    return h, slope


def price(
    flows: ArrayLike, yields: ArrayLike, *, compounding: str = "semiannual", delay_months: float = 0.0
) -> FloatArray:
    """Prices (K,) of flows (K, T) per 1 of par at yields (K,) or a scalar; zero flows are worth 0.

    P = sum CF_t exp(-r (t + delay) / 12) with r = log_rate(y): BMA Standard Formulas SF-49 for "semiannual".
    """
    cash = _matrix(flows)
    monthly = log_rate(_per_row("yields", yields, len(cash)), compounding) / 12
    v = np.exp(-monthly)
    h, _ = _horner(np.ascontiguousarray(cash.T), v)
    return np.asarray(h * np.exp(-monthly * (1 + delay_months)), dtype=float)


@dataclass(frozen=True)
class YieldResult:
    """Yields and what comes with them, one entry a row of flows.

    yields: (K,) annual fractions under `compounding`, NaN where there is none. macaulay, modified: (K,)
    years. roots: (K,) number of yields that give the price (more than one only where flows change sign; the
    one nearest to zero is returned). reasons: (K,) words where the yield is NaN, else "". iterations: of
    Newton.
    """

    yields: FloatArray
    macaulay: FloatArray
    modified: FloatArray
    roots: NDArray[np.int64]
    reasons: tuple[str, ...]
    compounding: str
    iterations: int


def _newton(columns: FloatArray, prices: FloatArray, delay: float) -> tuple[FloatArray, int]:
    """Monthly log rates u (n,) of non-negative columns (T, n): Newton on ln P(u) = ln price.

    ln P is convex and decreasing in u, so Newton converges from any start.
    """
    months = np.arange(1, len(columns) + 1) + delay
    total = columns.sum(axis=0)
    u = np.log(total / prices) / np.maximum((months @ columns) / total, 1e-6)
    target = np.log(prices)
    for iteration in range(1, NEWTON_LIMIT + 1):
        v = np.exp(-u)
        h, slope = _horner(columns, v)
        step = (np.log(h) - u * (1 + delay) - target) / (1 + delay + v * slope / h)
        u += step
        if np.all(np.abs(step) <= NEWTON_TOLERANCE * (1 + np.abs(u))):
            return u, iteration
    return u, NEWTON_LIMIT


def durations(
    flows: ArrayLike, yields: ArrayLike, *, compounding: str = "semiannual", delay_months: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Macaulay and modified durations (K,) in years of flows (K, T) at yields (K,).

    Modified = -dP/dy / P = Macaulay / (1 + y / m); equal to Macaulay for "continuous". NaN for zero flows.
    """
    cash = _matrix(flows)
    y = _per_row("yields", yields, len(cash))
    v = np.exp(-log_rate(y, compounding) / 12)
    h, slope = _horner(np.ascontiguousarray(cash.T), v)
    with np.errstate(divide="ignore", invalid="ignore"):
        macaulay = np.where(h != 0, (1 + delay_months + v * slope / h) / 12, np.nan)
    growth = 1.0 if compounding == "continuous" else 1 + y / COMPOUNDING[compounding]
    return macaulay, macaulay / growth


def solve_yields(
    flows: ArrayLike, prices: ArrayLike, *, compounding: str = "semiannual", delay_months: float = 0.0
) -> YieldResult:
    """Yields at which flows (K, T), per 1 of par, are worth prices (K,).

    Rows without a negative flow go through Newton on ln price, in blocks of columns; rows whose flows change
    sign are scanned for all roots. A row of zero flows, or a price that is not positive where flows are,
    gives NaN and a reason, never an exception. delay_months must exceed -1.
    """
    _check_compounding(compounding)
    if not delay_months > -1:
        raise ValueError(f"delay_months: {delay_months} must exceed -1")
    cash = _matrix(flows)
    n = len(cash)
    wanted = _per_row("prices", prices, n)
    rates = np.full(n, np.nan)
    roots = np.zeros(n, dtype=np.int64)
    reasons = [""] * n
    empty = np.asarray(~cash.any(axis=1))
    priced = np.asarray(np.isfinite(wanted) & (wanted > 0))
    mixed = np.asarray((cash < 0).any(axis=1) & np.isfinite(wanted) & ~empty)
    regular = np.flatnonzero(~empty & priced & ~mixed)
    iterations = 0
    for start in range(0, len(regular), BLOCK):
        rows = regular[start : start + BLOCK]
        u, used = _newton(np.ascontiguousarray(cash[rows].T), wanted[rows], delay_months)
        rates[rows], roots[rows], iterations = 12 * u, 1, max(iterations, used)
    times = np.concatenate([[0.0], (np.arange(1, cash.shape[1] + 1) + delay_months) / 12])
    for row in np.flatnonzero(mixed):
        found = rate_roots(times, np.concatenate([[-wanted[row]], cash[row]]))
        roots[row] = len(found)
        if found:
            rates[row] = min(found, key=abs)
    for row in np.flatnonzero(np.isnan(rates)):
        if empty[row]:
            reasons[row] = "the row holds no cash flow"
        elif mixed[row]:
            reasons[row] = "no yield gives this price: the flows change sign and the value never meets it"
        else:
            reasons[row] = f"a price of {wanted[row]} has no yield"
    y = yield_of(rates, compounding)
    macaulay, modified = durations(cash, y, compounding=compounding, delay_months=delay_months)
    return YieldResult(y, macaulay, modified, roots, tuple(reasons), compounding, iterations)


def average_life(principal: ArrayLike, *, delay_months: float = 0.0) -> FloatArray:
    """Weighted average life (K,) in years of principal (K, T), any scale; NaN where no principal is paid.

    Sum of time x principal over total principal (BMA Standard Formulas SF-50).
    """
    paid = _matrix(principal)
    months = np.arange(1, paid.shape[1] + 1) + delay_months
    total = paid.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total != 0, (paid @ months) / total / 12, np.nan), dtype=float)
