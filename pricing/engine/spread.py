"""Required spreads and yields by indicative grade and weighted average life, from a market snapshot."""

from __future__ import annotations

import math

import numpy as np

from pricing.engine.snapshot import MarketSnapshot


def spread(grade: str, wal_years: float, snapshot: MarketSnapshot) -> float:
    """Spread over swaps of a class of `grade` and `wal_years`, annual fraction, without asset-class add-on.

    ln s is linear in ln WAL between the columns of the grid and goes on with snapshot.wal_exponent beyond
    them; notches without a row lie between their neighbours, linear in ln s by the number of notches.
    Raises ValueError for a grade off the scale or a life that is not positive.
    """
    if grade not in snapshot.scale:
        raise ValueError(f"grade: {grade!r} is not on the scale {snapshot.scale[0]} to {snapshot.scale[-1]}")
    if not (math.isfinite(wal_years) and wal_years > 0):
        raise ValueError(f"wal_years: {wal_years} is not a positive number of years")
    x = math.log(wal_years)
    columns = np.log(snapshot.grid_wals)
    inside = min(max(x, columns[0]), columns[-1])
    rows = [float(np.interp(inside, columns, np.log(row))) for row in snapshot.grid]
    notches = [snapshot.scale.index(anchor) for anchor in snapshot.grid_grades]
    log_spread = float(np.interp(snapshot.scale.index(grade), notches, rows))
    return math.exp(log_spread + snapshot.wal_exponent * (x - inside))


def required_yield(grade: str, wal_years: float, snapshot: MarketSnapshot, *, asset_class: str) -> float:
    """Treasury par yield at the WAL + basis to swaps + grid spread + asset-class add-on.

    Annual fraction, bond-equivalent. The Treasury curve is flat below its first point (one month).
    Raises ValueError as spread() does, or for an asset class the snapshot does not know.
    """
    add_on = snapshot.add_on(asset_class)
    return float(snapshot.curve.par(wal_years)) + snapshot.basis + spread(grade, wal_years, snapshot) + add_on
