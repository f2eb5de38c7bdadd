"""Embedded market figures: small dated tables with their sources, and nothing that computes a price."""

from __future__ import annotations

from pricing.engine.snapshot import MarketSnapshot
from pricing.market import us_2026_05_21

SNAPSHOTS = {us_2026_05_21.SNAPSHOT.name: us_2026_05_21.SNAPSHOT}


def default_snapshot() -> MarketSnapshot:
    """The newest embedded snapshot."""
    return max(SNAPSHOTS.values(), key=lambda snapshot: snapshot.as_of)
