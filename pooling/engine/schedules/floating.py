"""Rates that follow an index: margin, resets, caps and floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pooling.engine.schedules.factors import refuse
from pooling.engine.schedules.terms import RATE_UNITS, FloatArray

CapsLimit = Literal["rises", "both"]


@dataclass(frozen=True)
class FloatingTerms:
    """How the rate of a floating or adjustable loan is found; rates are annual fractions.

    margin: added to the index. first_reset: periods in which the start rate stands before the first reset. reset_every:
    periods between resets. initial_cap, periodic_cap: largest change at the first and at a later reset, None for no
    limit; caps_limit says whether they limit "rises" alone or "both" directions. life_cap, floor: the highest and the
    lowest rate there can be; they prevail over the other caps.

    Raises ValueError naming the parameter.
    """

    margin: float
    first_reset: int
    reset_every: int
    initial_cap: float | None = None
    periodic_cap: float | None = None
    life_cap: float | None = None
    floor: float = 0.0
    caps_limit: CapsLimit = "both"

    def __post_init__(self) -> None:
        if self.caps_limit not in get_args(CapsLimit):
            raise ValueError(f"caps_limit: {self.caps_limit!r} is none of {', '.join(get_args(CapsLimit))}")
        if self.first_reset < 0:
            raise ValueError(f"first_reset: {self.first_reset} must not be negative")
        if self.reset_every < 1:
            raise ValueError(f"reset_every: {self.reset_every} must be at least 1")
        for name in ("initial_cap", "periodic_cap"):
            cap = getattr(self, name)
            if cap is not None and not cap >= 0.0:
                raise ValueError(f"{name}: {cap} must not be negative; None means no limit")
        if self.floor < 0.0 or (self.life_cap is not None and self.life_cap < self.floor):
            raise ValueError(f"floor: {self.floor} must be from 0 to the life cap {self.life_cap}")


def floating_rates(index: ArrayLike, start_rate: ArrayLike, terms: FloatingTerms, periods: int) -> FloatArray:
    """(n, periods) annual fractions, held to 8 decimals: the rate of each loan in each period, as `schedule` takes it.

    index: (periods,) for all loans, or (n, periods); the index that a reset at the start of the period reads, other
    values being without effect. start_rate: (n,). At a reset the rate becomes index + margin, held within the cap of
    the change from the rate before, then within floor and life cap.

    Raises ValueError naming the input; an index missing (NaN) at a reset is an error, never a rate left as it was.
    """
    start = np.atleast_1d(np.asarray(start_rate, dtype=np.float64))
    table = np.atleast_2d(np.asarray(index, dtype=np.float64))
    if start.ndim != 1 or table.shape[0] not in (1, len(start)) or table.shape[1] < periods:
        raise ValueError(f"index: shape {table.shape}, expected (1 or {len(start)}, {periods})")
    refuse("start_rate", ~(np.isfinite(start) & (start >= 0.0)), start)
    rates = np.empty((periods, len(start)))
    rate = start
    for t in range(periods):
        if t >= terms.first_reset and (t - terms.first_reset) % terms.reset_every == 0:
            if not np.isfinite(table[:, t]).all():
                raise ValueError(f"index: missing for the reset of period {t + 1}; give a value for each reset")
            cap = terms.initial_cap if t == terms.first_reset else terms.periodic_cap
            rate = _reset(table[:, t] + terms.margin, rate, cap, terms)
        rates[t] = rate
    return np.asarray(np.rint(rates.T * RATE_UNITS) / RATE_UNITS, dtype=np.float64)


def _reset(wanted: FloatArray, before: FloatArray, cap: float | None, terms: FloatingTerms) -> FloatArray:
    if cap is not None:
        wanted = np.minimum(wanted, before + cap)
        if terms.caps_limit == "both":
            wanted = np.maximum(wanted, before - cap)
    highest = np.inf if terms.life_cap is None else terms.life_cap
    return np.broadcast_to(np.clip(wanted, terms.floor, highest), before.shape)
