"""Exact division of whole numbers with named rounding, within 64 bits."""

from __future__ import annotations

from typing import cast

import numpy as np

from pooling.engine.schedules.terms import RATE_UNITS, IntArray, Rounding


def divide(numerator: IntArray, denominator: IntArray | int, rounding: Rounding) -> IntArray:
    """numerator / denominator rounded to a whole number; numerator of either sign, denominator > 0.

    "half_even": a tie goes to the even neighbour; "half_up": away from zero; "down": the rest is dropped; "up": any
    rest counts as a whole.
    """
    size = np.abs(numerator)
    quotient = cast("IntArray", size // denominator)
    rounded = _carried(quotient, cast("IntArray", size - quotient * denominator), denominator, rounding)
    return np.where(numerator < 0, -rounded, rounded)


def _carried(quotient: IntArray, rest: IntArray, denominator: IntArray | int, rounding: Rounding) -> IntArray:
    """quotient, plus one where the rest of the denominator calls for it."""
    if rounding == "down":
        return quotient
    if rounding == "up":
        return quotient + (rest > 0)
    if rounding == "half_up":
        return quotient + (2 * rest >= denominator)
    return quotient + (2 * rest + (quotient & 1) > denominator)


def interest(
    balance: IntArray, rate: IntArray, numerator: IntArray | int, denominator: int, multiple: int, rounding: Rounding
) -> IntArray:
    """balance x rate / RATE_UNITS x numerator / denominator in cents, rounded to the multiple; all >= 0.

    balance x rate must fit in 64 bits; the rest is split so that no later product leaves them.
    """
    annual = balance * rate
    if isinstance(numerator, int):
        return multiple * divide(annual, RATE_UNITS * denominator * multiple, rounding)
    whole = annual // RATE_UNITS
    rest = annual - whole * RATE_UNITS
    scaled = whole * numerator
    per_unit = denominator * multiple
    units = scaled // per_unit
    left = (scaled - units * per_unit) * RATE_UNITS + rest * numerator
    # left may exceed one unit only through rest x numerator; the parity of a tie is that of the whole sum.
    unit = per_unit * RATE_UNITS
    more = left // unit
    return multiple * _carried(units + more, left - more * unit, unit, rounding)
