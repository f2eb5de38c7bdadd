"""Market snapshot: what a price was made from.

Holds the curve, the spread grid and the stated assumptions on one date. It reads no file and no clock; the
embedded figures live in pricing/market/.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from pricing.engine.curve import TreasuryCurve


@dataclass(frozen=True)
class MarketSnapshot:
    """All market figures behind a price, on one date, with their sources.

    name; as_of: date of the Treasury points. treasury_tenors (P,) years, treasury_yields (P,) annual
    fractions, bond-equivalent; interpolation, see par_yields. scale: every grade, best to worst. grid_grades
    (G,): grades with a row; grid_wals (W,) years ascending; grid (G, W): spreads over swaps, annual
    fractions; wal_exponent: d ln s / d ln WAL, used beyond the ends of grid_wals. basis: swap rate less
    Treasury yield, annual fraction. add_ons: asset class -> spread over the grid. residual_yield:
    loss-adjusted yield of residual certificates, annual fraction, bond-equivalent. sources: field -> where it
    comes from, or "assumption: ...".

    Raises ValueError naming field and value.
    """

    name: str
    as_of: date
    treasury_tenors: tuple[float, ...]
    treasury_yields: tuple[float, ...]
    interpolation: str
    scale: tuple[str, ...]
    grid_grades: tuple[str, ...]
    grid_wals: tuple[float, ...]
    grid: tuple[tuple[float, ...], ...]
    wal_exponent: float
    basis: float
    add_ons: Mapping[str, float]
    residual_yield: float
    sources: Mapping[str, str]

    def __post_init__(self) -> None:
        _ = self.curve
        if len(self.grid) != len(self.grid_grades) or any(len(row) != len(self.grid_wals) for row in self.grid):
            raise ValueError(f"grid: expected {len(self.grid_grades)} rows of {len(self.grid_wals)} spreads")
        unknown = [grade for grade in self.grid_grades if grade not in self.scale]
        if unknown:
            raise ValueError(f"grid_grades: {unknown[0]} is not on the scale")
        if (self.grid_grades[0], self.grid_grades[-1]) != (self.scale[0], self.scale[-1]):
            raise ValueError(f"grid_grades: rows must reach from {self.scale[0]} to {self.scale[-1]}")
        table = np.asarray(self.grid)
        if not np.all(table > 0) or np.any(np.diff(table, axis=0) < 0):
            raise ValueError("grid: spreads must be positive and must not fall from a grade to a worse one")
        if not 0 <= self.residual_yield < 1:
            raise ValueError(f"residual_yield: {self.residual_yield} is no annual fraction")

    @cached_property
    def curve(self) -> TreasuryCurve:
        return TreasuryCurve(self.treasury_tenors, self.treasury_yields, self.interpolation)

    def add_on(self, asset_class: str) -> float:
        """Spread of an asset class over the grid's, annual fraction. ValueError where the class is not
        known."""
        if asset_class not in self.add_ons:
            raise ValueError(f"asset_class: {asset_class!r} is not one of {', '.join(sorted(self.add_ons))}")
        return self.add_ons[asset_class]

    def staleness_days(self, on: date) -> int:
        """Days from the snapshot to `on`. ValueError where `on` lies before the snapshot."""
        days = (on - self.as_of).days
        if days < 0:
            raise ValueError(f"on: {on.isoformat()} lies before the snapshot of {self.as_of.isoformat()}")
        return days

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces; the same snapshot always gives the same text."""
        content: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        content["as_of"] = self.as_of.isoformat()
        content["add_ons"] = dict(self.add_ons)
        content["sources"] = dict(self.sources)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def content_hash(self) -> str:
        """SHA-256 of to_json(), hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> MarketSnapshot:
        """The snapshot in `text`. ValueError naming keys that are unknown or missing."""
        content = dict(json.loads(text) if isinstance(text, str) else text)
        known = {field.name for field in fields(cls)}
        if set(content) != known:
            unknown, missing = sorted(set(content) - known), sorted(known - set(content))
            raise ValueError(f"snapshot: unknown keys {unknown}, missing keys {missing}")
        content["as_of"] = date.fromisoformat(content["as_of"])
        for name in ("treasury_tenors", "treasury_yields", "scale", "grid_grades", "grid_wals"):
            content[name] = tuple(content[name])
        content["grid"] = tuple(tuple(row) for row in content["grid"])
        return cls(**content)
