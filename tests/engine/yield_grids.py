"""A small grid for the tests of the price/yield table, from words as the page takes them."""

from __future__ import annotations

from pricing.engine.yield_grid import Grid, grid_from_query

DEFAULTS = {
    "centre": "100", "step": "1", "number": "7", "prepayment": "cpr", "speed": "6, 18", "cdr": "0, 6, 16",
    "severity": "60", "lag": "6", "charge_off_lag": "4", "advance": "0", "call": "yes", "measure": "yield",
}  # fmt: skip


def grid(**changes: str) -> Grid:
    """The grid of DEFAULTS with some words changed."""
    return grid_from_query(changes, DEFAULTS)
