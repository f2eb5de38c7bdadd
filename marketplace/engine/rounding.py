"""Exact division of whole units: largest remainder with a published tie-break."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any


def lottery_key(seed: int, key: str) -> str:
    """SHA-256 of "seed:key", hexadecimal: a draw that anybody can repeat once the seed is published."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def largest_remainder(weights: Sequence[int], total: int, tie_break: Sequence[Any] | None = None) -> tuple[int, ...]:
    """Split `total` whole units over integer weights by the largest-remainder (Hare) method, exactly.

    weights: n integers >= 0; total: integer >= 0. Share i is floor(w_i total / W); the units left over go to
    the larger remainder, then the larger weight, then the smaller tie_break (n comparable values; the
    position in the list where None, which is priority in time for a list in order of arrival).
    Raises ValueError naming the argument where a weight or total is negative, or all weights are 0 and
    total is not.
    """
    if total < 0:
        raise ValueError(f"total: {total} is negative")
    negative = next((index for index, weight in enumerate(weights) if weight < 0), None)
    if negative is not None:
        raise ValueError(f"weights: {weights[negative]} at position {negative} is negative")
    ties: Sequence[Any] = range(len(weights)) if tie_break is None else tie_break
    if len(ties) != len(weights):
        raise ValueError(f"tie_break: {len(ties)} values for {len(weights)} weights")
    whole = sum(weights)
    if whole == 0:
        if total:
            raise ValueError(f"weights: all are 0, {total} units cannot be split")
        return tuple(0 for _ in weights)
    shares = [weight * total // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(weights[i] * total % whole), -weights[i], ties[i], i))
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return tuple(shares)
