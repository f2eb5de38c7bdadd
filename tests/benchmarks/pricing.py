"""Timing of 10,000 yields of 60 monthly flows, of the price grid, and of a large auction.

Run as `python -m tests.benchmarks.pricing`. CPU seconds of this process; the last line is JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from marketplace.engine.auction import AuctionBid, clear
from pricing.engine.valuation import price, solve_yields

ROWS, MONTHS = 10_000, 60
BRACKETED = 1_000  # rows solved one by one, scaled up to ROWS in the ratio
GRID = 18_900  # 150 scenarios x 21 prices x 6 classes, notes/pricing.md section 2


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Least CPU time of several runs: the machine is shared."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def _bracket(flows: np.ndarray, prices: np.ndarray) -> list[float]:
    """The same yields one at a time: scipy's brentq on the present value."""
    months = np.arange(1, flows.shape[1] + 1)
    found = []
    for row, wanted in zip(flows, prices, strict=True):
        root = brentq(lambda u, row=row, wanted=wanted: row @ np.exp(-u * months) - wanted, -0.2, 0.5, xtol=1e-14)
        found.append(2 * np.expm1(6 * root))
    return found


def main() -> None:
    rng = np.random.default_rng(11)
    flows = rng.random((ROWS, MONTHS)) / 30
    yields = rng.uniform(0.0, 0.3, ROWS)
    prices = price(flows, yields)
    newton = _seconds(lambda: solve_yields(flows, prices), 5)
    loop = _seconds(lambda: _bracket(flows[:BRACKETED], prices[:BRACKETED]), 2) * ROWS / BRACKETED
    solved = solve_yields(flows, prices)
    slow = np.array(_bracket(flows[:BRACKETED], prices[:BRACKETED]))
    grid = np.tile(flows, (2, 1))[:GRID]
    grid_prices = price(grid, rng.uniform(0.0, 0.3, GRID))
    bids = [
        AuctionBid(f"bid-{n}", int(amount) * 100, int(limit))
        for n, (amount, limit) in enumerate(rng.integers([1, 500], [1000, 600], (10_000, 2)))
    ]
    supply = sum(bid.quantity for bid in bids) // 2 // 100 * 100
    figures = {
        "yields_10000x60_cpu_ms": newton * 1e3,
        "brentq_loop_10000x60_cpu_ms": loop * 1e3,
        "brentq_over_newton": loop / newton,
        "newton_iterations": solved.iterations,
        "largest_round_trip_error": float(np.abs(solved.yields - yields).max()),
        "largest_difference_to_brentq": float(np.abs(solved.yields[:BRACKETED] - slow).max()),
        "grid_18900_cells_cpu_ms": _seconds(lambda: solve_yields(grid, grid_prices), 3) * 1e3,
        "auction_10000_bids_cpu_ms": _seconds(lambda: clear(supply, bids, lot=100), 3) * 1e3,
    }
    for name, value in figures.items():
        print(f"{name:32s} {value:.4g}")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
