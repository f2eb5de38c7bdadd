"""Newton's method on the logarithm of a price, many streams at once: the one solver behind yields and spreads.

Of flows without a negative one, ln P is convex and falls as the rate rises, so that Newton's method converges from any
start: after its first step it climbs to the root and never passes it. Not here: flows that change sign (roots.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# (n,) rates -> ln P (n,) and -d ln P / d rate (n,), the Macaulay time where the rate is a log rate
Evaluate = Callable[[FloatArray], tuple[FloatArray, FloatArray]]

BLOCK = 16384  # streams at a time: three numbers of each stay in the processor's cache, and memory is bounded
LIMIT = 100
STEP_TOLERANCE = 1e-9  # the error left after a step is of the order of its square
ROUNDING = 1e-14  # relative; a difference of logarithms below it is noise
EVEN = 1e-13  # relative; what times k / 12 in floating point may stray from equal steps


def newton_on_log(
    evaluate: Evaluate, start: FloatArray, target: FloatArray, lowest: FloatArray | float = -np.inf
) -> tuple[FloatArray, BoolArray, int]:
    """Rates (n,) with ln P = target (n,), whether each was found, and the iterations used.

    evaluate: convex and falling ln P. lowest: (n,) or one, where ln P grows without bound; never reached. A stream
    stands still once its step is below STEP_TOLERANCE (of its way to the lowest, where that is short) or its ln P
    within rounding of the target, whatever its neighbours need. One whose ln P overflows is given up.
    """
    rates = start.copy()
    done = np.zeros(len(start), dtype=bool)
    found = np.zeros(len(start), dtype=bool)
    with np.errstate(all="ignore"):
        for iteration in range(1, LIMIT + 1):
            value, slope = evaluate(rates)
            excess = value - target
            step = np.where(done, 0.0, excess / slope)
            near = np.abs(excess) <= ROUNDING * (1.0 + np.abs(target) + np.abs(rates * slope))
            moved = rates + step
            rates = np.where(moved > lowest, moved, (rates + lowest) / 2.0)
            small = np.abs(step) <= STEP_TOLERANCE * np.minimum(1.0 + np.abs(rates), rates - lowest)
            found |= ~done & np.isfinite(step) & (near | small)
            done |= found | ~np.isfinite(step)
            if done.all():
                return rates, found, iteration
    return rates, found, LIMIT


def horner(columns: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
    """h = sum c_t v^(t-1) and dh/dv of columns (T, n) at v (n,), by one backward pass."""
    h = np.zeros_like(v)
    slope = np.zeros_like(v)
    for flow in columns[::-1]:
        slope *= v
        slope += h
        h *= v
        h += flow
    return h, slope


def even_steps(times: FloatArray) -> tuple[float, float] | None:
    """(step, delay) of times = step x (1 + delay, 2 + delay, ...); None where they are not evenly spaced."""
    if len(times) < 2:
        return None
    step = float(times[-1] - times[0]) / (len(times) - 1)
    if step <= 0.0 or np.abs(times[0] + step * np.arange(len(times)) - times).max() > EVEN * np.abs(times).max():
        return None
    return step, float(times[0]) / step - 1.0


def log_rates(cash: FloatArray, times: FloatArray, prices: FloatArray) -> tuple[FloatArray, BoolArray, int]:
    """Yearly log rates (n,) at which flows (T, n) >= 0, none of them all zero, are worth prices (n,) > 0.

    times: (T,) years, positive. Evenly spaced times go through Horner's scheme, others and what overflows there
    through exponentials. Also: whether each rate was found, and the most iterations of a block.
    """
    n = cash.shape[1]
    rates, found, most = np.empty(n), np.zeros(n, dtype=bool), 0
    even = even_steps(times)
    target = np.log(prices)
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        columns = cash[:, part]
        if columns.strides[1] != columns.itemsize:  # the flows of one date must lie side by side
            columns = np.ascontiguousarray(columns)
        guess = _guess(columns, times, target[part])
        if even is None:
            rates[part], found[part], used = newton_on_log(_dated(columns, times), guess, target[part])
        else:
            step, delay = even
            monthly, found[part], used = newton_on_log(_stepwise(columns, delay), guess * step, target[part])
            rates[part] = monthly / step
            again = np.flatnonzero(~found[part])
            if len(again):
                solved = newton_on_log(_dated(columns[:, again], times), guess[again], target[part][again])
                rates[start + again], found[start + again], used = solved[0], solved[1], max(used, solved[2])
        most = max(most, used)
    return rates, found, most


def _guess(columns: FloatArray, times: FloatArray, target: FloatArray) -> FloatArray:
    """Yearly log rates r near the solution of ln P = ln total - k1 r + k2 r^2 / 2 - k3 r^3 / 6 + k4 r^4 / 24, k the
    cumulants of the times of payment: the solution of the first three terms (of two, where these have none), and from
    there one step of Newton's on all five, unless that leads far away, where the series says nothing.
    """
    total, *moments = times ** np.arange(5)[:, None] @ columns
    k1, m2, m3, m4 = (each / total for each in moments)
    square = k1 * k1
    k2 = np.maximum(m2 - square, 0.0)
    k3 = m3 - k1 * (3.0 * m2 - 2.0 * square)
    k4 = m4 - k1 * 4.0 * m3 - 3.0 * m2 * m2 + square * (12.0 * m2 - 6.0 * square)
    short = target - np.log(total)
    root = square + 2.0 * k2 * short
    near = -2.0 * short / (k1 + np.where(root > 0.0, np.sqrt(np.maximum(root, 0.0)), k1))
    with np.errstate(all="ignore"):
        value = near * (near * (k2 / 2.0 + near * (near * k4 / 24.0 - k3 / 6.0)) - k1) - short
        step = value / (k1 - near * (k2 + near * (near * k4 / 6.0 - k3 / 2.0)))
    # Rounded, so that the order in which a matrix product sums, which depends on its size, leaves no trace.
    return np.round(np.where(np.abs(step) <= 0.1 * np.abs(near), near + step, near), 9)


def _stepwise(columns: FloatArray, delay: float) -> Evaluate:
    """Of flows paid 1 + delay, 2 + delay, ... steps from now, at log rates per step."""

    def evaluate(u: FloatArray) -> tuple[FloatArray, FloatArray]:
        v = np.exp(-u)
        h, slope = horner(columns, v)
        return np.log(h) - u * (1.0 + delay), 1.0 + delay + v * slope / h

    return evaluate


def _dated(columns: FloatArray, times: FloatArray) -> Evaluate:
    """Of flows at any times, at yearly log rates; the largest exponent is taken out so that no sum can underflow."""
    paid = columns > 0.0

    def evaluate(rates: FloatArray) -> tuple[FloatArray, FloatArray]:
        exponent = np.where(paid, -rates * times[:, None], -np.inf)
        largest = exponent.max(axis=0)
        worth = columns * np.exp(exponent - largest)
        value = worth.sum(axis=0)
        return np.log(value) + largest, (times @ worth) / value

    return evaluate
