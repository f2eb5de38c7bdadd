"""The two arithmetics that share one program: float64 currency units, and whole cents held exactly in float64.

A whole number below 2^53 is exact in float64, so both run the same code; whole cents differ only where an amount is
born (rounded by the named rule) or divided (largest remainders).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

TIE_NOISE = 2e-15  # relative to the amount, at least of a cent: some ten units in the last place
CRUMB = 0.005  # half a cent: a note is never left with less, which would be rounding error posing as debt

Mode = Literal["float64", "cents"]


@dataclass(frozen=True)
class Arithmetic:
    """mode: "float64" or "cents". rounding: of an amount that is born in cents."""

    mode: Mode
    rounding: Literal["HALF_EVEN", "HALF_UP", "DOWN"]

    @property
    def scale(self) -> float:
        """Units of an amount for one currency unit."""
        return 100.0 if self.mode == "cents" else 1.0

    def born(self, amount: FloatArray) -> FloatArray:
        """A new amount, in units; rounded to whole cents in that mode."""
        if self.mode == "float64":
            return amount
        # A product of rates is off by a few units in its last place: what lies that near to half a cent is half a cent.
        noise = np.maximum(np.abs(amount) * TIE_NOISE, TIE_NOISE)
        if self.rounding == "DOWN":
            return np.floor(amount + noise)
        below = np.floor(amount)
        tie = np.abs(amount - below - 0.5) <= noise
        up = below + 1.0 if self.rounding == "HALF_UP" else below + below % 2.0
        return np.where(tie, up, np.floor(amount + 0.5))

    def share(self, dues: list[FloatArray], cash: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
        """What `cash` pays of `dues`, in proportion, and what is left of each.

        Left is never derived from the total paid, so that a debt paid in full leaves exactly zero.
        """
        if len(dues) == 1:
            paid = np.minimum(dues[0], cash)
            return [paid], [dues[0] - paid]
        total = sum_of(dues)
        short = total > cash
        part = np.divide(cash, total, out=np.ones_like(total), where=short)
        shares = [due * part for due in dues]
        if self.mode == "cents" and np.any(short):
            shares = self._largest_remainders(shares, np.minimum(cash, total))
        return shares, [due - share for due, share in zip(dues, shares, strict=True)]

    @staticmethod
    def _largest_remainders(shares: list[FloatArray], total: FloatArray) -> list[FloatArray]:
        """Whole cents that add up to `total`: the missing cents go to the largest fractions, the earlier payee on
        ties."""
        exact = np.stack(shares)
        # A product a hair below a whole number is that number: otherwise a full share would lose a cent to noise.
        floor = np.floor(exact + 1e-6)
        missing = total - floor.sum(axis=0)
        order = np.argsort(-(exact - floor), axis=0, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(len(shares))[:, None] * np.ones_like(order), axis=0)
        return list(floor + (rank < missing))

    def whole(self, balance: FloatArray, due: FloatArray) -> FloatArray:
        """The whole balance where what is due would leave less than half a cent of it."""
        if self.mode == "cents":
            return due
        return np.where(balance - due < CRUMB, balance, due)


def sum_of(parts: list[FloatArray]) -> FloatArray:
    """The sum of the parts, in their order, as a fresh array."""
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def less(amount: FloatArray, parts: list[FloatArray]) -> FloatArray:
    """amount - sum(parts), at least zero: pro rata shares may add up to a rounding error more."""
    if len(parts) == 1:
        return amount - parts[0]
    return np.maximum(amount - sum_of(parts), 0.0)
