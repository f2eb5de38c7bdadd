"""Price, yield, duration and convexity of dated flows, many streams at once.

Flows are (T,) of one stream, or (..., T, S) with time last but one and scenarios innermost, as the waterfall returns
them; results are () or (..., S). Prices are money of the flows' unit, accrued interest included. Times are years from
settlement, see payment_times.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.conventions import (
    PERIODS_PER_YEAR,
    Compounding,
    TimeMeasure,
    log_rate,
    payment_times,
    rate_of,
)
from pooling.engine.analytics.newton import BLOCK, log_rates
from pooling.engine.analytics.roots import BRACKET, merged, rate_roots, sign_changes

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_NOTHING = 1e-12  # of the sum of absolute flows: what rounding leaves of a running sum of 0

YieldStatus = Literal["found", "several", "no_flows", "no_price", "no_rate", "not_converged"]
STATUSES: tuple[YieldStatus, ...] = get_args(YieldStatus)
_REASONS: dict[YieldStatus, str] = {
    "found": "",
    "several": "several rates give this price, since the flows change sign; the one nearest to zero is shown",
    "no_flows": "there is no cash flow after settlement",
    "no_price": "the price is not a positive amount",
    "no_rate": "no rate gives this price",
    "not_converged": "the search for the rate did not converge",
}
_CODE = {status: code for code, status in enumerate(STATUSES)}


@dataclass(frozen=True)
class Yields:
    """Rates (...,) annual fractions under `compounding`, and why one is missing.

    rates: NaN exactly where status says that there is none. status: (...,) places in STATUSES. roots: (...,) number of
    rates that solve the stream; where several do, the one nearest to zero is in rates. sign_changes: (...,) of the
    stream with its price, an upper bound of that number (Descartes); cumulative_changes: (...,) of the running sum, an
    upper bound of the positive ones (Norstrom). all_roots: (..., R) every rate found, ascending, padded with NaN.
    bracket: yearly log rates between which streams whose flows change sign were searched. iterations: the most that
    Newton's method took for a stream.
    """

    rates: FloatArray
    compounding: Compounding
    status: NDArray[np.int8]
    roots: IntArray
    sign_changes: IntArray
    cumulative_changes: IntArray
    all_roots: FloatArray
    bracket: tuple[float, float]
    iterations: int

    @property
    def found(self) -> NDArray[np.bool_]:
        """Where there is a rate."""
        return np.asarray(self.status <= _CODE["several"])

    def reason(self, *place: int) -> str:
        """In words why there is no rate at `place`, or that it is one of several; "" where all is plain."""
        status = STATUSES[int(self.status[place])]
        if status == "no_rate":
            low, high = rate_of(self.bracket, "annual")
            return f"{_REASONS[status]} between {low:.4%} and {high:,.0%} a year"
        return _REASONS[status]


@dataclass(frozen=True)
class Durations:
    """macaulay, modified: (...,) years; convexity: (...,) years squared. NaN exactly where `worth` is False: the stream
    is worth nothing at that yield, so that it has none.
    """

    macaulay: FloatArray
    modified: FloatArray
    convexity: FloatArray
    worth: NDArray[np.bool_]


def price_at_yield(flows: ArrayLike, times: ArrayLike, yields: ArrayLike, *, compounding: Compounding) -> FloatArray:
    """Value (...,) of the flows at annual yields of any shape that broadcasts to it.

    P = sum CF_t (1 + y / m)^(-m t) (Standard Formulas SF-49). Raises ValueError naming the input.
    """
    cash, when, shape = _columns(flows, times)
    rates = _each("yields", log_rate(yields, compounding), shape)
    return _moments(cash, when, rates, 0)[0].reshape(shape)


def yield_at_price(
    flows: ArrayLike,
    times: ArrayLike,
    prices: ArrayLike,
    *,
    compounding: Compounding,
    bracket: tuple[float, float] = BRACKET,
) -> Yields:
    """Annual yields at which the flows are worth the prices (broadcast to (...,)).

    Without negative flows the yield is the only one, and Newton's method on ln P finds it from any start
    (pooling.engine.analytics.newton). Streams whose flows change sign are searched for every root in the bracket of
    yearly log rates, see pooling.engine.analytics.roots. Times must be positive. Raises ValueError naming the input.
    """
    cash, when, shape = _columns(flows, times)
    if np.any(when <= 0.0):
        raise ValueError(f"times: {when.min()} is not after settlement; leave out what is paid on it or before")
    wanted = _each("prices", prices, shape)
    total = cash.sum(axis=0)
    negative = np.zeros(len(total), dtype=bool) if cash.min() >= 0.0 else (cash < 0.0).any(axis=0)
    empty = ~negative & (total == 0.0)
    regular = ~empty & ~negative & np.isfinite(wanted) & (wanted > 0.0)
    mixed = negative & np.isfinite(wanted)
    status = np.where(empty, _CODE["no_flows"], _CODE["no_price"])
    roots, changes, cumulative = np.full((len(wanted), 1), np.nan), np.zeros_like(status), np.zeros_like(status)
    places, iterations = np.flatnonzero(regular), 0
    if len(places):
        price = wanted[places]
        rates, done, iterations = log_rates(cash if regular.all() else cash[:, places], when, price)
        roots[places, 0] = np.where(done, rates, np.nan)
        status[places] = np.where(done, _CODE["found"], _CODE["not_converged"])
        changes[places], cumulative[places] = 1, total[places] - price > _NOTHING * (total[places] + price)
    if mixed.any():
        stream_times, stream = merged(
            np.concatenate([[0.0], when]), np.concatenate([-wanted[None, mixed], cash[:, mixed]])
        )
        searched = rate_roots(stream_times, stream, bracket)
        roots = np.pad(roots, ((0, 0), (0, searched.shape[1] - 1)), constant_values=np.nan)
        roots[mixed], status[mixed] = searched, _status_of(searched)
        changes[mixed], cumulative[mixed] = _changes(stream)
    return _yields((changes, cumulative), roots, status, compounding, shape, bracket, iterations)


def internal_rates(
    flows: ArrayLike,
    times: ArrayLike,
    *,
    compounding: Compounding = "annual",
    bracket: tuple[float, float] = BRACKET,
) -> Yields:
    """Internal rates of return: rates at which streams, outlays negative, are worth nothing; all in the bracket.

    times: (T,) years in any order, e.g. payment_times(..., "ACT/365F") for XIRR. Raises ValueError naming the input.
    """
    cash, when, shape = _columns(flows, times)
    stream_times, stream = merged(when, cash)
    roots = rate_roots(stream_times, stream, bracket)
    status = np.where((stream != 0.0).any(axis=1), _status_of(roots), _CODE["no_flows"])
    return _yields(_changes(stream), roots, status, compounding, shape, bracket, 0)


def dated_rates(
    dates: Sequence[dt.date],
    flows: ArrayLike,
    *,
    measure: TimeMeasure,
    compounding: Compounding = "annual",
    bracket: tuple[float, float] = BRACKET,
) -> Yields:
    """internal_rates of flows on dates in any order, the earliest of them time 0: XIRR of spreadsheets where measure is
    "ACT/365F" and compounding annual, but with every rate. Raises ValueError naming the input.
    """
    if not len(dates):
        raise ValueError("dates: there is none; give the day of every flow")
    if measure == "periods":
        raise ValueError("measure: dated flows need a day count, not equal periods; use ACT/365F")
    times = payment_times(min(dates), dates, measure)
    return internal_rates(flows, times, compounding=compounding, bracket=bracket)


def durations(flows: ArrayLike, times: ArrayLike, yields: ArrayLike, *, compounding: Compounding) -> Durations:
    """Macaulay and modified duration and convexity of the flows at given yields (Standard Formulas SF-49).

    Macaulay = sum t PV_t / P; modified = -dP/dy / P = Macaulay / (1 + y / m); convexity = d2P/dy2 / P = sum
    t (t + 1 / m) PV_t / P / (1 + y / m)^2. Continuous compounding: m without bound. A yield of NaN gives none.

    Raises ValueError naming the input.
    """
    cash, when, shape = _columns(flows, times)
    y = _each("yields", yields, shape)
    value, first, second = _moments(cash, when, log_rate(y, compounding), 2)
    worth = np.isfinite(value) & (value != 0.0)
    safe = np.where(worth, value, 1.0)
    m = PERIODS_PER_YEAR.get(compounding)
    growth, step = (1.0, 0.0) if m is None else (1.0 + y / m, 1.0 / m)
    macaulay = np.where(worth, first / safe, np.nan)
    convexity = np.where(worth, (second + step * first) / safe / growth**2, np.nan)
    return Durations(
        macaulay=macaulay.reshape(shape),
        modified=(macaulay / growth).reshape(shape),
        convexity=convexity.reshape(shape),
        worth=np.asarray(worth.reshape(shape)),
    )


def effective_duration(price: ArrayLike, price_up: ArrayLike, price_down: ArrayLike, shift: float) -> FloatArray:
    """(P- - P+) / (2 P shift) in years, any shape: prices when yields rise and fall by `shift`, an annual fraction,
    with flows that answer to it (Standard Formulas SF-50).
    """
    middle, up, down = (np.asarray(value, dtype=np.float64) for value in (price, price_up, price_down))
    _positive("shift", np.asarray(shift))
    _positive("price", middle)
    return np.asarray((down - up) / (2.0 * middle * shift))


def effective_convexity(price: ArrayLike, price_up: ArrayLike, price_down: ArrayLike, shift: float) -> FloatArray:
    """(P+ + P- - 2 P) / (P shift^2) in years squared; arguments as effective_duration (Standard Formulas SF-50)."""
    middle, up, down = (np.asarray(value, dtype=np.float64) for value in (price, price_up, price_down))
    _positive("shift", np.asarray(shift))
    _positive("price", middle)
    return np.asarray((up + down - 2.0 * middle) / (middle * shift**2))


@dataclass(frozen=True)
class TotalReturn:
    """terminal_value: (...,) money at the horizon. earned: (...,) fraction of the price over the horizon, not annual.
    rate: (...,) annual fraction under the compounding asked for.
    """

    terminal_value: FloatArray
    earned: FloatArray
    rate: FloatArray


def total_return(
    flows: ArrayLike,
    times: ArrayLike,
    *,
    price: ArrayLike,
    sale_proceeds: ArrayLike,
    horizon_years: float,
    reinvestment_rate: ArrayLike,
    compounding: Compounding,
) -> TotalReturn:
    """Return of a holding sold at a horizon (Standard Formulas SF-50).

    flows: those that belong to the holder, at times; each is carried to the horizon at the reinvestment rate, one that
    is paid after the sale (its record date was before) is brought back at it. price, sale_proceeds: money at settlement
    and at the horizon, accrued interest included. Raises ValueError naming the input.
    """
    cash, when, shape = _columns(flows, times)
    _positive("horizon_years", np.asarray(horizon_years))
    paid, sold = (_each(name, v, shape) for name, v in (("price", price), ("sale_proceeds", sale_proceeds)))
    _positive("price", paid)
    rates = _each("reinvestment_rate", log_rate(reinvestment_rate, compounding), shape)
    terminal = sold + _moments(cash, when - horizon_years, rates, 0)[0]
    if np.any(terminal <= 0.0):
        raise ValueError("flows: a holding that ends with nothing or less has no compounded rate of return")
    rate = rate_of(np.log(terminal / paid) / horizon_years, compounding)
    return TotalReturn(*(part.reshape(shape) for part in (terminal, terminal / paid - 1.0, rate)))


# ------------------------------------------------------------------------------------------------------------- inside
def _columns(flows: ArrayLike, times: ArrayLike) -> tuple[FloatArray, FloatArray, tuple[int, ...]]:
    """(T, n) flows, (T,) times, and the shape of the results."""
    cash, when = np.asarray(flows, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if cash.ndim == 0 or when.ndim != 1 or cash.shape[0 if cash.ndim == 1 else -2] != len(when) or not len(when):
        raise ValueError(f"flows: shape {cash.shape} with times {when.shape}; give (T,) or (..., T, S), and (T,)")
    for name, array in (("flows", cash), ("times", when)):
        if not np.isfinite(array.sum()) and not np.isfinite(array).all():  # the sum alone is quicker
            raise ValueError(f"{name}: {array[~np.isfinite(array)][0]} is no number to discount; mend the stream")
    if cash.ndim == 1:
        return cash[:, None], when, ()
    shape = (*cash.shape[:-2], cash.shape[-1])
    return np.moveaxis(cash, -2, 0).reshape(len(when), -1), when, shape


def _each(name: str, values: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """(n,) one value for each stream."""
    given = np.asarray(values, dtype=np.float64)
    try:
        return np.broadcast_to(given, shape).reshape(-1).astype(np.float64)
    except ValueError:
        raise ValueError(f"{name}: shape {given.shape}, the streams are {shape}; give one or one for each") from None


def _positive(name: str, values: FloatArray) -> None:
    if not np.all(values > 0.0):
        raise ValueError(f"{name}: {np.min(values)} must be above 0")


def _moments(cash: FloatArray, times: FloatArray, rates: FloatArray, highest: int) -> tuple[FloatArray, ...]:
    """Sums of t^p CF_t exp(-r t) for p from 0 to `highest`, (n,) each."""
    sums = tuple(np.empty(cash.shape[1]) for _ in range(highest + 1))
    for start in range(0, cash.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        worth = cash[:, part] * np.exp(-rates[None, part] * times[:, None])
        for power, total in enumerate(sums):
            total[part] = (times**power) @ worth
    return sums


def _status_of(roots: FloatArray) -> IntArray:
    count = np.isfinite(roots).sum(axis=1)
    return np.select([count == 0, count == 1], [_CODE["no_rate"], _CODE["found"]], _CODE["several"])


def _changes(stream: FloatArray) -> tuple[IntArray, IntArray]:
    """(n,) changes of sign of each row of (n, T), and of its running sum."""
    running = np.cumsum(stream, axis=1)
    running[np.abs(running) < _NOTHING * np.abs(stream).sum(axis=1, keepdims=True)] = 0.0
    return sign_changes(stream), sign_changes(running)


def _yields(
    changes: tuple[IntArray, IntArray],
    roots: FloatArray,
    status: IntArray,
    compounding: Compounding,
    shape: tuple[int, ...],
    bracket: tuple[float, float],
    iterations: int,
) -> Yields:
    """The result: the root nearest to zero, measured as a log rate."""
    found = np.isfinite(roots)
    nearest = np.abs(np.where(found, roots, np.inf)).argmin(axis=1)
    chosen = roots[np.arange(len(roots)), nearest]
    return Yields(
        rates=rate_of(chosen, compounding).reshape(shape),
        compounding=compounding,
        status=status.astype(np.int8).reshape(shape),
        roots=found.sum(axis=1).reshape(shape),
        sign_changes=changes[0].reshape(shape),
        cumulative_changes=changes[1].reshape(shape),
        all_roots=rate_of(roots, compounding).reshape(*shape, roots.shape[1]),
        bracket=bracket,
        iterations=iterations,
    )
