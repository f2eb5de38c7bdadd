"""Value of monthly cash flows: price, yield, duration and average life, many classes at once.

Price is a fraction of par in the engine (0.9932, not 99.32). Flows are per 1 of par. Column t of a flow
matrix is paid t + 1 months after settlement, plus a stated payment delay. The solver, the search for several
yields and the arithmetic of compounding are those of pooling.engine.analytics; here is only the monthly view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.conventions import PERIODS_PER_YEAR, Compounding, log_rate
from pooling.engine.analytics.conventions import convert_rate as convert_yield
from pooling.engine.analytics.conventions import rate_of as yield_of
from pooling.engine.analytics.newton import BLOCK, horner
from pooling.engine.analytics.values import STATUSES, Yields, yield_at_price

__all__ = [
    "Compounding",
    "YieldResult",
    "average_life",
    "convert_yield",
    "durations",
    "log_rate",
    "present_values",
    "price",
    "solve_yields",
    "yield_of",
]

FloatArray = NDArray[np.float64]

PER_100 = 10.0  # a price so many times all that the flows pay was meant per 100 of par


def _matrix(flows: ArrayLike) -> FloatArray:
    cash = np.atleast_2d(np.asarray(flows, dtype=float))
    if cash.ndim != 2 or cash.shape[1] == 0:
        raise ValueError(f"flows: shape {cash.shape}, expected (classes, months)")
    if not np.isfinite(cash.sum()) and not np.isfinite(cash).all():  # the sum alone is quicker
        row, month = np.argwhere(~np.isfinite(cash))[0]
        raise ValueError(f"flows: row {row}, month {month + 1} holds {cash[row, month]}")
    return cash


def _per_row(name: str, values: ArrayLike, rows: int) -> FloatArray:
    array = np.asarray(values, dtype=float)
    if array.ndim > 1 or array.size not in (1, rows):
        raise ValueError(f"{name}: shape {array.shape}, expected ({rows},)")
    return np.array(np.broadcast_to(array, (rows,)), dtype=float)


def price(
    flows: ArrayLike, yields: ArrayLike, *, compounding: Compounding = "semiannual", delay_months: float = 0.0
) -> FloatArray:
    """Prices (K,) of flows (K, T) per 1 of par at yields (K,) or a scalar; zero flows are worth 0.

    P = sum CF_t exp(-r (t + delay) / 12) with r = log_rate(y): BMA Standard Formulas SF-49 for "semiannual".
    """
    cash = _matrix(flows)
    monthly = log_rate(_per_row("yields", yields, len(cash)), compounding) / 12
    v = np.exp(-monthly)
    h, _ = horner(np.ascontiguousarray(cash.T), v)
    return np.asarray(h * np.exp(-monthly * (1 + delay_months)), dtype=float)


def present_values(flows: ArrayLike, factors: ArrayLike) -> FloatArray:
    """Values (K, S) of flows (K, T, S), scenarios innermost, at discount factors (T,): sum CF_t D_t, in one product.

    Raises ValueError where shapes differ or a number is not finite.
    """
    cash, discount = np.asarray(flows, dtype=float), np.asarray(factors, dtype=float)
    if cash.ndim != 3 or discount.shape != cash.shape[1:2]:
        raise ValueError(f"factors: shape {discount.shape} for flows {cash.shape}; give (T,) and (K, T, S)")
    values = np.matmul(discount, cash)
    if not np.isfinite(values).all():  # cheaper than a look at every flow, and misses none
        raise ValueError("flows: a flow or a factor is not finite; mend the stream")
    return np.asarray(values, dtype=float)


@dataclass(frozen=True)
class YieldResult:
    """Yields and what comes with them, one entry a row of flows.

    yields: (K,) annual fractions under `compounding`, NaN where there is none. macaulay, modified: (K,)
    years. roots: (K,) number of yields that give the price (more than one only where flows change sign; the
    one nearest to zero is returned). reasons: (K,) words where the yield is NaN, else "". cautions: (K,)
    words where there is a yield that needs an explanation, else "". iterations: of Newton.
    """

    yields: FloatArray
    macaulay: FloatArray
    modified: FloatArray
    roots: NDArray[np.int64]
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    compounding: Compounding
    iterations: int


def durations(
    flows: ArrayLike, yields: ArrayLike, *, compounding: Compounding = "semiannual", delay_months: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Macaulay and modified durations (K,) in years of flows (K, T) at yields (K,).

    Modified = -dP/dy / P = Macaulay / (1 + y / m); equal to Macaulay for "continuous". NaN for zero flows.
    """
    cash = np.ascontiguousarray(_matrix(flows).T)
    y = _per_row("yields", yields, cash.shape[1])
    return _durations(cash, y, compounding, delay_months)


def _durations(
    columns: FloatArray, y: FloatArray, compounding: Compounding, delay_months: float
) -> tuple[FloatArray, FloatArray]:
    """durations() of columns (T, K)."""
    v = np.exp(-log_rate(y, compounding) / 12)
    macaulay = np.empty(len(y))
    for start in range(0, len(y), BLOCK):
        part = slice(start, start + BLOCK)
        h, slope = horner(columns[:, part], v[part])
        with np.errstate(divide="ignore", invalid="ignore"):
            macaulay[part] = np.where(h != 0, (1 + delay_months + v[part] * slope / h) / 12, np.nan)
    growth = 1.0 if compounding == "continuous" else 1 + y / PERIODS_PER_YEAR[compounding]
    return macaulay, macaulay / growth


def solve_yields(
    flows: ArrayLike, prices: ArrayLike, *, compounding: Compounding = "semiannual", delay_months: float = 0.0
) -> YieldResult:
    """Yields at which flows (K, T), per 1 of par, are worth prices (K,): yield_at_price on months.

    Rows whose flows change sign are searched for all roots. A row of zero flows, or a price that is not
    positive where flows are, gives NaN and a reason, never an exception. delay_months must exceed -1.
    """
    if not delay_months > -1:
        raise ValueError(f"delay_months: {delay_months} must exceed -1")
    cash = _matrix(flows)
    wanted = _per_row("prices", prices, len(cash))
    columns = np.ascontiguousarray(cash.T)
    times = (np.arange(1, cash.shape[1] + 1) + delay_months) / 12
    solved = yield_at_price(columns, times, wanted, compounding=compounding)
    macaulay, modified = _durations(columns, solved.rates, compounding, delay_months)
    return YieldResult(
        solved.rates,
        macaulay,
        modified,
        solved.roots,
        _reasons(solved, wanted),
        _cautions(solved, wanted, cash),
        compounding,
        solved.iterations,
    )


def _reasons(solved: Yields, prices: FloatArray) -> tuple[str, ...]:
    words = [""] * len(prices)
    for row in np.flatnonzero(~solved.found):
        status = STATUSES[int(solved.status[row])]
        if status == "no_flows":
            words[row] = "the row holds no cash flow"
        elif status == "no_price":
            words[row] = f"a price of {prices[row]} has no yield"
        elif status == "no_rate":
            words[row] = "no yield gives this price: the flows change sign and the value never meets it"
        else:
            words[row] = solved.reason(int(row))
    return tuple(words)


def _cautions(solved: Yields, prices: FloatArray, cash: FloatArray) -> tuple[str, ...]:
    words = [""] * len(prices)
    for row in np.flatnonzero((solved.roots > 1) | (solved.rates < 0)):
        total = cash[row].sum()
        if solved.roots[row] > 1:
            words[row] = (
                f"{solved.roots[row]} yields give this price, since the flows change sign: this is the nearest to 0"
            )
        elif prices[row] > PER_100 * total > 0:
            words[row] = (
                f"a price of {prices[row]:g} is over {PER_100:g} times all that the flows pay: "
                "give prices as fractions of par, 0.9932 for 99.32"
            )
        elif prices[row] > total:
            words[row] = "the price is above all that the flows pay: the yield is negative"
    return tuple(words)


def average_life(principal: ArrayLike, *, delay_months: float = 0.0) -> FloatArray:
    """Weighted average life (K,) in years of principal (K, T), any scale; NaN where no principal is paid.

    Sum of time x principal over total principal (BMA Standard Formulas SF-50).
    """
    paid = _matrix(principal)
    months = np.arange(1, paid.shape[1] + 1) + delay_months
    total = paid.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total != 0, (paid @ months) / total / 12, np.nan), dtype=float)
