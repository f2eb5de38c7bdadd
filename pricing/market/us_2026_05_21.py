"""United States, 2026-05-21: Treasury par curve, auto ABS spread grid, stated assumptions."""

from __future__ import annotations

from datetime import date

from pricing.engine.snapshot import MarketSnapshot
from rating.engine.scale import GRADES

# US Treasury constant-maturity par yields, percent, bond-equivalent (FRED DGS series; public domain).
# There is no 3-year point in this file.
TREASURY_PERCENT = {
    1 / 12: 3.72, 0.25: 3.68, 0.5: 3.78, 1.0: 3.83, 2.0: 4.08,
    5.0: 4.25, 7.0: 4.41, 10.0: 4.57, 20.0: 5.09, 30.0: 5.10,
}  # fmt: skip

# Spreads over swaps in basis points, by WAL, fitted to 45 classes of US auto ABS priced 2025-01 to 2026-01
# (term sheets filed under SEC Rule 433): ln s = deal + rating + 0.176 ln(WAL), residual sd 0.097.
GRID_WALS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0)
GRID_BP = {
    "AAA": (35.0, 40.0, 45.0, 48.0, 51.0, 53.0, 56.0),
    "AA": (50.0, 56.0, 63.0, 68.0, 72.0, 75.0, 79.0),
    "A": (62.0, 70.0, 79.0, 85.0, 89.0, 93.0, 98.0),
    "BBB": (93.0, 105.0, 118.0, 127.0, 134.0, 139.0, 148.0),
}

# Below BBB public term sheets show hardly anything: the BBB row times the ratio of corporate default spreads
# to BBB (Aswath Damodaran, NYU Stern, ratings.htm, January 2025: BBB 1.20 %).
CORPORATE_PERCENT = {"BBB": 1.20, "BB+": 1.55, "BB": 1.83, "B+": 2.61, "B": 3.00, "B-": 4.42, "CCC": 7.28}


def _grid() -> dict[str, tuple[float, ...]]:
    """Grade -> spreads as annual fractions, the observed rows and those extended below BBB."""
    rows = {grade: tuple(bp / 1e4 for bp in row) for grade, row in GRID_BP.items()}
    for grade, percent in CORPORATE_PERCENT.items():
        if grade not in rows:
            ratio = percent / CORPORATE_PERCENT["BBB"]
            rows[grade] = tuple(round(bp * ratio, 1) / 1e4 for bp in GRID_BP["BBB"])
    return rows


SNAPSHOT = MarketSnapshot(
    name="us-2026-05-21",
    as_of=date(2026, 5, 21),
    treasury_tenors=tuple(TREASURY_PERCENT),
    treasury_yields=tuple(round(percent / 100, 6) for percent in TREASURY_PERCENT.values()),
    interpolation="pchip",
    scale=GRADES,
    grid_grades=tuple(_grid()),
    grid_wals=GRID_WALS,
    grid=tuple(_grid().values()),
    wal_exponent=0.176,
    basis=0.0,
    add_ons={"prime_auto": 0.0, "unsecured_consumer": 0.0075},
    residual_yield=0.097,
    sources={
        "treasury": "US Treasury constant-maturity par yields of 2026-05-21, FRED series DGS (public domain)",
        "grid": "fitted to 45 classes of US auto ABS priced 2025-01 to 2026-01, SEC Rule 433 term sheets; "
        "below BBB times corporate spread ratios of A. Damodaran, NYU Stern, January 2025",
        "basis": "assumption: 0 bp. Yield less same-date Treasury less printed spread of US auto ABS has its "
        "median within 2.5 bp of 0 on 5 of 6 deals of 2022 to 2025 (CRVNA 2024-P2: -20 bp)",
        "add_ons": "assumption: unsecured consumer loans 75 bp over prime auto at every grade",
        "residual_yield": "assumption: 9.7 % loss-adjusted, the level found beside the fit of 45 auto ABS "
        "classes; none is published for unsecured consumer loans",
    },
)
