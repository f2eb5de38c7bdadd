"""The additive rules by which loan platforms have priced, as they published them, to set beside our own.

Neither knows a term structure or correlation; loans.py shows both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Prosper, estimated loss rates: rating and the annual loss rate up to which it reaches.
PROSPER_RATINGS: tuple[tuple[str, float], ...] = (
    ("AA", 0.0199), ("A", 0.0399), ("B", 0.0599), ("C", 0.0899), ("D", 0.1199), ("E", 0.1499), ("HR", 1.0),
)  # fmt: skip


def adjusted_loss(base: float, adjustments: Sequence[float]) -> float:
    """Annual loss rate: the base rate of the grid's cell plus adjustments, annual fractions, not below 0.

    Raises ValueError where the sum is no fraction of the balance.
    """
    loss = max(0.0, base + sum(adjustments))
    if not loss <= 1.0:
        raise ValueError(f"adjustments: the loss rate comes to {loss}, which is no annual fraction up to 1")
    return loss


def prosper_rating(loss: float) -> str:
    """Rating of an annual loss rate, printed to a hundredth of a per cent. ValueError where it is no fraction."""
    if not 0.0 <= loss <= 1.0:
        raise ValueError(f"loss: {loss} is no annual fraction from 0 to 1")
    printed = round(loss, 4)
    return next(rating for rating, most in PROSPER_RATINGS if printed <= most)


def projected_return(rate: ArrayLike, service_charge: ArrayLike, expected_loss: ArrayLike) -> FloatArray:
    """Annual return by simple subtraction, annual fractions of any shape: rate less service charge less loss."""
    return np.asarray(np.asarray(rate, dtype=float) - np.asarray(service_charge) - np.asarray(expected_loss))
