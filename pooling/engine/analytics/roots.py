"""All rates at which dated flows are worth nothing, for many streams at once, by an argument that can miss none.

f(r) = sum c_i exp(-r t_i) has at most as many real roots as its coefficients, in order of time, change sign (Descartes'
rule for exponential sums). Take tau between the two times of one such change: d/dr (exp(r tau) f) = sum (tau - t_i) c_i
exp(-r (t_i - tau)) is again such a sum, with one change of sign less, and by Rolle f is monotone in between its roots
once it is multiplied by exp(r tau). So roots are found from the sum without a change of sign upwards, each interval
holding one at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Yearly log rates searched by default: from a loss of 99.9994 % a year to a gain of 109,563 %.
BRACKET = (-12.0, 7.0)
BLOCK = 512  # streams at a time: bounds memory
NOTHING = 1e-14  # of the sum of absolute terms: where rounding decides the sign


def sign_changes(values: FloatArray) -> IntArray:
    """(n,) changes of sign along each row of (n, T), zeros left out."""
    return np.asarray(_changes(np.sign(values))[0].sum(axis=1))


def merged(times: FloatArray, flows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Times ascending and distinct, (T',) and (n, T'): flows of one time added up. times: (T,), flows: (T, n)."""
    distinct, place = np.unique(times, return_inverse=True)
    summed = np.zeros((flows.shape[1], len(distinct)))
    np.add.at(summed.T, place, flows)
    return distinct, summed


def rate_roots(times: FloatArray, flows: FloatArray, bracket: tuple[float, float] = BRACKET) -> FloatArray:
    """(n, R) yearly log rates at which each stream is worth nothing, ascending, padded with NaN; R >= 1.

    times: (T,) distinct years, ascending. flows: (n, T) currency units. Every root in the bracket is found; two that
    rounding cannot tell apart count as one. A stream of zeros has none to report.
    """
    parts = [_roots(times, flows[first : first + BLOCK], bracket) for first in range(0, len(flows), BLOCK)]
    width = max([1, *(part.shape[1] for part in parts)])
    found = np.full((len(flows), width), np.nan)
    for number, part in enumerate(parts):
        found[number * BLOCK : number * BLOCK + len(part), : part.shape[1]] = part
    return found


def _changes(signs: FloatArray) -> tuple[NDArray[np.bool_], IntArray]:
    """Where a sign differs from the last one that was not zero, and the place of that one."""
    places = np.where(signs != 0.0, np.arange(signs.shape[1]), -1)
    last = np.maximum.accumulate(places, axis=1)
    before = np.concatenate([np.full((len(signs), 1), -1), last[:, :-1]], axis=1)
    held = np.take_along_axis(signs, np.maximum(before, 0), axis=1)
    return (signs != 0.0) & (before >= 0) & (signs != held), before


def _chain(times: FloatArray, flows: FloatArray) -> list[FloatArray]:
    """The coefficients, and after them those of each derivative down to no change of sign; largest of a row 1."""
    largest = np.abs(flows).max(axis=1, keepdims=True, initial=0.0)
    chain = [flows / np.where(largest > 0.0, largest, 1.0)]
    while True:
        now = chain[-1]
        changed, before = _changes(np.sign(now))
        rows = np.flatnonzero(changed.any(axis=1))
        if not len(rows):
            return chain
        right = changed[rows].argmax(axis=1)
        tau = (times[right] + times[before[rows, right]]) / 2.0
        derived = now.copy()
        derived[rows] *= tau[:, None] - times
        derived[rows] /= np.abs(derived[rows]).max(axis=1, keepdims=True)
        chain.append(derived)


def _roots(times: FloatArray, flows: FloatArray, bracket: tuple[float, float]) -> FloatArray:
    low, high = bracket
    times = times - times.min(initial=np.inf) if len(times) else times
    n = len(flows)
    found = np.full((n, 0), np.nan)
    for coefficients in reversed(_chain(times, flows)):
        ends = np.full((n, 1), low), np.full((n, 1), high)
        knots = np.concatenate([ends[0], np.where(np.isnan(found), high, found), ends[1]], axis=1)
        rows = np.repeat(np.arange(n), knots.shape[1])
        signs = np.sign(_value(knots.ravel(), rows, coefficients, times)).reshape(knots.shape)
        row, left = np.nonzero(signs[:, :-1] * signs[:, 1:] < 0.0)
        at_knot = (signs == 0.0) & (np.abs(coefficients).sum(axis=1, keepdims=True) > 0.0)
        at_knot[:, 1:] &= knots[:, 1:] > knots[:, :-1]  # padding repeats the upper end
        knot_row, knot = np.nonzero(at_knot)
        inner = _refined(knots[row, left], knots[row, left + 1], row, coefficients, times)
        found = _padded(np.concatenate([row, knot_row]), np.concatenate([inner, knots[knot_row, knot]]), n)
    return found


def _value(rates: FloatArray, rows: IntArray, coefficients: FloatArray, times: FloatArray) -> FloatArray:
    """Value of row `rows` at each rate over the sum of its absolute terms: in [-1, 1], without overflow."""
    exponent = -rates[:, None] * times
    terms = coefficients[rows] * np.exp(exponent - exponent.max(axis=1, keepdims=True))
    total = np.abs(terms).sum(axis=1)
    value = np.divide(terms.sum(axis=1), total, out=np.zeros_like(total), where=total > 0.0)
    return np.where(np.abs(value) < NOTHING, 0.0, value)


def _refined(
    left: FloatArray, right: FloatArray, rows: IntArray, coefficients: FloatArray, times: FloatArray
) -> FloatArray:
    if not len(left):
        return np.empty(0)

    def value(rate: FloatArray, row: FloatArray) -> FloatArray:
        return _value(rate, row.astype(np.int64), coefficients, times)

    result = elementwise.find_root(value, (left, right), args=(rows.astype(np.float64),))
    if not np.all(result.success):
        raise ArithmeticError(f"a bracketed rate was not found: status {result.status[~result.success][0]}")
    return np.asarray(result.x, dtype=np.float64)


def _padded(rows: IntArray, values: FloatArray, n: int) -> FloatArray:
    """(n, R) values by row, ascending, padded with NaN."""
    order = np.lexsort((values, rows))
    rows, values = rows[order], values[order]
    count = np.bincount(rows, minlength=n)
    table = np.full((n, int(count.max(initial=0))), np.nan)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    table[rows, place] = values
    return table
