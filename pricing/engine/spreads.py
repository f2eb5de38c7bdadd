"""Spreads of many cash-flow rows at once: zero-volatility spread, discount margin, nominal and interpolated spread.

Each is another way to write a price. Rows are (K, T) flows per 1 of par, column t paid t + 1 months after settlement
plus a delay; prices are fractions of par. Every compounding is named by the caller: a zero-volatility spread moves by
several basis points between annual and continuous.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from pooling.engine.analytics.conventions import PERIODS_PER_YEAR, Compounding
from pooling.engine.analytics.newton import BLOCK, Evaluate, newton_on_log
from pooling.engine.analytics.values import yield_at_price
from pricing.engine.curve import TreasuryCurve
from pricing.engine.valuation import convert_yield, price, solve_yields

FloatArray = NDArray[np.float64]

Quote = Literal["price", "yield", "nominal_spread", "i_spread", "z_spread", "discount_margin"]
QUOTES: tuple[Quote, ...] = get_args(Quote)

# At spreads (n,): ln of the discount factors (T, n) and minus their derivatives (T, n)
_Discounting = Callable[[FloatArray, slice], tuple[FloatArray, FloatArray]]

AGREES = 1e-8  # of ln price at a spread that is returned

# Spreads searched where flows change sign, finest around 0 (0.3 bp, 30 bp at 1); two closer than a step can be missed.
SCAN = 0.01 * np.sinh(np.linspace(-np.arcsinh(200.0), np.arcsinh(1000.0), 4001))  # from -2 to 10


@dataclass(frozen=True)
class Solved:
    """values: (K,) NaN where there is none; reasons: (K,) words where it is NaN, else ""; roots: (K,) number of
    solutions, of which values holds the one nearest to zero.
    """

    values: FloatArray
    reasons: tuple[str, ...]
    roots: NDArray[np.int64]


@dataclass(frozen=True)
class QuoteBasis:
    """What quotes are measured against, each named.

    curve: for nominal and z-spreads. swap_basis: annual fraction to add to its par yields for the i-spread.
    yield_compounding, spread_compounding: of yields and of z-spreads. delay_months: of the flows. index: (T,) or (K, T)
    annual fractions over fractions (T,) of a year, simple, for the discount margin; None for the curve's forwards of
    each month.
    """

    curve: TreasuryCurve
    swap_basis: float
    yield_compounding: Compounding
    spread_compounding: Compounding
    delay_months: float = 0.0
    index: FloatArray | None = None
    fractions: FloatArray | None = None

    def leg(self, months: int) -> tuple[FloatArray, FloatArray]:
        """(index, fractions) of so many months."""
        if self.index is not None and self.fractions is not None:
            return self.index, self.fractions
        times = flow_times(months, self.delay_months)
        starts = np.concatenate([[0.0], times[:-1]])
        return self.curve.forward(starts, times, None), times - starts


@dataclass(frozen=True)
class Quotes:
    """One price a row, in every language. quotes: by name (K,), annual fractions but for the price; nominal and
    i-spreads are differences of bond-equivalent yields. reasons: by name (K,) words where a figure is NaN, else "".
    """

    quotes: dict[Quote, FloatArray]
    reasons: dict[Quote, tuple[str, ...]]


def flow_times(months: int, delay_months: float = 0.0) -> FloatArray:
    """(T,) years to the payments of so many months. Raises ValueError where the first is not after settlement."""
    if not delay_months > -1:
        raise ValueError(f"delay_months: {delay_months} must exceed -1")
    return np.asarray((np.arange(1, months + 1) + delay_months) / 12)


# ------------------------------------------------------------------------------------------------------------ z-spread
def price_at_z_spread(
    flows: ArrayLike, spreads: ArrayLike, curve: TreasuryCurve, *, compounding: Compounding, delay_months: float = 0.0
) -> FloatArray:
    """Prices (K,) of flows (K, T) at spreads (K,) or one over the zero curve: sum CF_t (1 + (z_t + s) / m)^(-m t).

    z_t: zero rate under `compounding`. Raises ValueError where z_t + s is not above -m.
    """
    cash = _rows(flows)
    spread = _each("spreads", spreads, len(cash))
    _, discounting, lowest = _zero(cash, curve, compounding, delay_months)
    _above("spreads", spread, lowest)
    return _values(cash, spread, discounting)


def z_spreads(
    flows: ArrayLike, prices: ArrayLike, curve: TreasuryCurve, *, compounding: Compounding, delay_months: float = 0.0
) -> Solved:
    """Spreads (K,) over the zero curve at which flows (K, T) are worth prices (K,) or one.

    Continuous: a yield of flows discounted beforehand, all solutions where they change sign. Other compoundings: the
    same Newton on ln price, and a scan where flows change sign.
    """
    cash = _rows(flows)
    wanted = _each("prices", prices, len(cash))
    times, discounting, lowest = _zero(cash, curve, compounding, delay_months)
    solved = yield_at_price((cash * curve.discount(times)).T, times, wanted, compounding="continuous")
    if compounding == "continuous":
        reasons = tuple("" if ok else solved.reason(k) for k, ok in enumerate(solved.found))
        return Solved(solved.rates, reasons, solved.roots)
    start = np.where(solved.found, solved.rates, 0.0)
    return _solve(cash, wanted, discounting, np.maximum(start, lowest / 2), lowest)


def _zero(
    cash: FloatArray, curve: TreasuryCurve, compounding: Compounding, delay_months: float
) -> tuple[FloatArray, _Discounting, FloatArray]:
    """Times, discounting at a spread, and the spreads (K,) at which the rate of a payment has lost all."""
    times = flow_times(cash.shape[1], delay_months)
    zero = curve.zero(times, compounding)
    m = PERIODS_PER_YEAR.get(compounding)
    column, rates = times[:, None], zero[:, None]

    def continuous(s: FloatArray, _: slice) -> tuple[FloatArray, FloatArray]:
        return -(rates + s) * column, np.broadcast_to(column, (len(times), len(s)))

    if m is None:
        return times, continuous, np.full(len(cash), -np.inf)
    paid = cash != 0.0

    def discounting(s: FloatArray, part: slice) -> tuple[FloatArray, FloatArray]:
        growth = np.where(paid[part].T, 1.0 + (rates + s) / m, 1.0)
        return -m * column * np.log(growth), column / growth

    return times, discounting, np.where(paid, -m - zero, -np.inf).max(axis=1)


# ----------------------------------------------------------------------------------------------------- discount margin
def price_at_discount_margin(
    flows: ArrayLike, margins: ArrayLike, index: ArrayLike, fractions: ArrayLike
) -> FloatArray:
    """Prices (K,) of flows (K, T) at margins (K,) or one: sum CF_t / prod over i <= t of (1 + (L_i + m) f_i).

    index: (T,) or (K, T) annual fractions L, simple; fractions: (T,) years f of each period, the first from settlement.
    flows hold what the coupons pay, quoted margin included. Raises ValueError where a period's rate has lost all.
    """
    cash = _rows(flows)
    margin = _each("margins", margins, len(cash))
    discounting, lowest = _indexed(cash, index, fractions)
    _above("margins", margin, lowest)
    return _values(cash, margin, discounting)


def discount_margins_of(flows: ArrayLike, prices: ArrayLike, index: ArrayLike, fractions: ArrayLike) -> Solved:
    """Margins (K,) at which flows (K, T) are worth prices (K,) or one; arguments as price_at_discount_margin."""
    cash = _rows(flows)
    wanted = _each("prices", prices, len(cash))
    discounting, lowest = _indexed(cash, index, fractions)
    times = np.cumsum(np.asarray(fractions, dtype=np.float64))
    total, life = cash.sum(axis=1), cash @ times
    with np.errstate(divide="ignore", invalid="ignore"):
        rough = np.log(total / wanted) * total / life - np.asarray(index, dtype=np.float64).mean(axis=-1)
    start = np.where(np.isfinite(rough), rough, 0.0)
    return _solve(cash, wanted, discounting, np.maximum(start, lowest / 2), lowest)


def _indexed(cash: FloatArray, index: ArrayLike, fractions: ArrayLike) -> tuple[_Discounting, FloatArray]:
    years, rates = np.asarray(fractions, dtype=np.float64), np.asarray(index, dtype=np.float64)
    if years.shape != cash.shape[1:] or rates.shape not in (years.shape, cash.shape):
        raise ValueError(f"index: shape {rates.shape} and fractions {years.shape} for flows {cash.shape}")
    if not (np.all(years > 0.0) and np.isfinite(rates).all()):
        raise ValueError("fractions: every period must take time, and every index must be a number")
    table = np.broadcast_to(rates, cash.shape)
    until = np.logical_or.accumulate(cash[:, ::-1] != 0.0, axis=1)[:, ::-1]  # the last payment
    lowest = np.where(until, -1.0 / years - table, -np.inf).max(axis=1)

    def discounting(m: FloatArray, part: slice) -> tuple[FloatArray, FloatArray]:
        growth = np.where(until[part].T, 1.0 + (table[part].T + m) * years[:, None], 1.0)
        return -np.cumsum(np.log(growth), axis=0), np.cumsum(years[:, None] / growth, axis=0)

    return discounting, lowest


# ---------------------------------------------------------------------------------------------- all quotes of one price
def prices_of(quote: Quote, values: ArrayLike, flows: ArrayLike, lives: ArrayLike, basis: QuoteBasis) -> FloatArray:
    """Prices (K,) of flows (K, T) quoted as `quote` at values (K,) or one. lives: (K,) years at which the par curve is
    read for nominal and i-spreads. Raises ValueError for an unknown quote or a value out of its range.
    """
    cash = _rows(flows)
    given = _each(quote, values, len(cash))
    if quote == "price":
        return given
    if quote == "z_spread":
        return price_at_z_spread(
            cash, given, basis.curve, compounding=basis.spread_compounding, delay_months=basis.delay_months
        )
    if quote == "discount_margin":
        return price_at_discount_margin(cash, given, *basis.leg(cash.shape[1]))
    if quote == "yield":
        return price(cash, given, compounding=basis.yield_compounding, delay_months=basis.delay_months)
    if quote not in QUOTES:
        raise ValueError(f"quote: {quote!r} is not one of {', '.join(QUOTES)}")
    benchmark = basis.curve.par(_each("lives", lives, len(cash)))
    swap = basis.swap_basis if quote == "i_spread" else 0.0
    return price(cash, benchmark + swap + given, compounding="semiannual", delay_months=basis.delay_months)


def quotes_of(prices: ArrayLike, flows: ArrayLike, lives: ArrayLike, basis: QuoteBasis) -> Quotes:
    """Every quote of flows (K, T) at prices (K,) or one. lives: (K,) years, NaN where nothing is repaid."""
    cash = _rows(flows)
    wanted, years = _each("prices", prices, len(cash)), _each("lives", lives, len(cash))
    compounding, delay = basis.yield_compounding, basis.delay_months
    solved = solve_yields(cash, wanted, compounding=compounding, delay_months=delay)
    alive = np.isfinite(years) & (years > 0.0)
    benchmark = basis.curve.par(np.where(alive, years, 1.0))
    nominal = np.where(alive, convert_yield(solved.yields, compounding, "semiannual") - benchmark, np.nan)
    lifeless = "nothing is repaid: there is no life at which to read the curve"
    spread_reasons = tuple(why or ("" if ok else lifeless) for why, ok in zip(solved.reasons, alive, strict=True))
    zero = z_spreads(cash, wanted, basis.curve, compounding=basis.spread_compounding, delay_months=delay)
    margin = discount_margins_of(cash, wanted, *basis.leg(cash.shape[1]))
    return Quotes(
        {
            "price": wanted,
            "yield": solved.yields,
            "nominal_spread": nominal,
            "i_spread": nominal - basis.swap_basis,
            "z_spread": zero.values,
            "discount_margin": margin.values,
        },
        {
            "price": tuple("" if np.isfinite(each) else "no price is given" for each in wanted),
            "yield": solved.reasons,
            "nominal_spread": spread_reasons,
            "i_spread": spread_reasons,
            "z_spread": zero.reasons,
            "discount_margin": margin.reasons,
        },
    )


# ------------------------------------------------------------------------------------------------------------- inside
def _rows(flows: ArrayLike) -> FloatArray:
    cash = np.atleast_2d(np.asarray(flows, dtype=np.float64))
    if cash.ndim != 2 or cash.shape[1] == 0:
        raise ValueError(f"flows: shape {cash.shape}, expected (rows, months)")
    if not np.isfinite(cash).all():
        row, month = np.argwhere(~np.isfinite(cash))[0]
        raise ValueError(f"flows: row {row}, month {month + 1} holds {cash[row, month]}")
    return cash


def _each(name: str, values: ArrayLike, rows: int) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim > 1 or array.size not in (1, rows):
        raise ValueError(f"{name}: shape {array.shape}, expected ({rows},)")
    return np.array(np.broadcast_to(array, (rows,)))


def _above(name: str, values: FloatArray, lowest: FloatArray) -> None:
    low = ~(values > lowest)
    if low.any():
        row = int(np.argmax(low))
        raise ValueError(
            f"{name}: row {row}: {values[row]} is not above {lowest[row]:g}, where a discount rate has lost all"
        )


def _values(cash: FloatArray, spreads: FloatArray, discounting: _Discounting) -> FloatArray:
    found = np.empty(len(cash))
    for start in range(0, len(cash), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = (cash[part].T * np.exp(discounting(spreads[part], part)[0])).sum(axis=0)
    return found


def _solve(
    cash: FloatArray, wanted: FloatArray, discounting: _Discounting, start: FloatArray, lowest: FloatArray
) -> Solved:
    """Newton on ln price of the rows without a negative flow, a scan of the others; a reason where neither finds."""
    empty, mixed = np.asarray(~cash.any(axis=1)), np.asarray((cash < 0.0).any(axis=1))
    priced = np.isfinite(wanted) & (wanted > 0.0)
    good = ~empty & ~mixed & priced
    values, found = np.full(len(cash), np.nan), np.zeros(len(cash), dtype=bool)
    target = np.log(np.where(priced, wanted, 1.0))
    for first in range(0, len(cash), BLOCK):
        part = slice(first, first + BLOCK)
        evaluate = _log_price(cash[part].T, discounting, part)
        values[part], found[part], _ = newton_on_log(evaluate, start[part], target[part], lowest[part])
        with np.errstate(all="ignore"):  # next to the lowest spread no float64 may give the price
            found[part] &= np.abs(evaluate(values[part])[0] - target[part]) <= AGREES
    found &= good
    roots = found.astype(np.int64)
    values[~found] = np.nan
    for k in np.flatnonzero(mixed & np.isfinite(wanted)):
        every = _scanned(cash[k], float(wanted[k]), discounting, slice(k, k + 1), float(lowest[k]))
        roots[k] = len(every)
        if every:
            values[k] = min(every, key=abs)
    reasons = tuple(
        "" if roots[k] else "the row holds no cash flow" if empty[k]
        else "the flows change sign and no spread from -200 % to 1,000 % gives this price" if mixed[k]
        else f"a price of {wanted[k]} has no spread" if not priced[k] else "no spread gives this price within rounding"
        for k in range(len(cash))
    )  # fmt: skip
    return Solved(values, reasons, roots)


def _log_price(columns: FloatArray, discounting: _Discounting, part: slice) -> Evaluate:
    """ln P of flows (T, n) >= 0 and minus its derivative; the largest exponent is taken out, against underflow."""
    paid = columns > 0.0

    def evaluate(spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        logs, slopes = discounting(spread, part)
        logs = np.where(paid, logs, -np.inf)
        largest = logs.max(axis=0)
        worth = columns * np.exp(logs - largest)
        value = worth.sum(axis=0)
        return np.log(value) + largest, (slopes * worth).sum(axis=0) / value

    return evaluate


def _scanned(
    flows: FloatArray, wanted: float, discounting: _Discounting, part: slice, lowest: float
) -> tuple[float, ...]:
    """Every spread on SCAN at which one row (T,) is worth the price, ascending."""

    def excess(spreads: FloatArray) -> FloatArray:
        return np.asarray(flows @ np.exp(discounting(spreads, part)[0]) - wanted)

    grid = SCAN[SCAN > lowest]
    values = excess(grid)
    found = grid[values == 0.0].tolist()
    for left in np.flatnonzero(values[:-1] * values[1:] < 0.0):
        found.append(brentq(lambda s: float(excess(np.array([s]))[0]), grid[left], grid[left + 1], xtol=1e-15))
    return tuple(sorted(float(each) for each in found))
