"""A million loans through the exact engine: python -m tests.benchmarks.large [scenarios]

1,000,000 loans x 100,000 scenarios x 60 months (the default) in chunks on two threads: wall seconds and peak memory.
The granular engine on the same task is tests.benchmarks.granular. Ends with one line of JSON: {"figures": {...}}.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np

from rating.engine import layout
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import Simulator, choose_engine
from tests.benchmarks.pools import benchmark_model, consumer_pool

LOANS, SCENARIOS, CHUNK, THREADS = 1_000_000, 100_000, 2_048, 2


def gib() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Lay the pool out, run all chunks, keep each scenario's loss and the sums by month."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SCENARIOS
    loans, model = consumer_pool(LOANS, seed=1), benchmark_model()
    scenarios = ScenarioSet.of_model(model, count, seed=7, proposal="normal")
    start = time.perf_counter()
    simulator = Simulator(loans, model, choose_engine(loans, model, "exact"), threads=THREADS)
    simulator.sums(scenarios.slice(0, 2))
    layout_s, before = time.perf_counter() - start, gib()
    losses, month = [], np.zeros((layout.SUMS, simulator.portfolio.months))
    start, cpu = time.perf_counter(), time.process_time()
    for part, sums in simulator.chunks(scenarios, CHUNK):
        losses.append((sums[:, :, layout.DEFAULT] - sums[:, :, layout.RECOVERED]).sum(axis=(1, 2)))
        month += np.einsum("s,sgkt->kt", part.weights, sums)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    loss = np.concatenate(losses) / loans.balance.sum()
    figures = {
        "exact_1m_100k_s" if count == SCENARIOS else f"exact_1m_{count}_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "us_per_scenario": round(cpu / count * 1e6),
        "million_loan_scenarios_per_cpu_second": round(LOANS * count / cpu / 1e6),
        "layout_s": round(layout_s, 1),
        "peak_gib_exact": round(gib(), 2),
        "gib_after_layout": round(before, 2),
        "expected_loss": round(float(loss.mean()), 6),
        "loss_q999": round(float(np.quantile(loss, 0.999)), 6),
    }
    months = simulator.portfolio.months
    print(f"{LOANS:,} loans x {count:,} scenarios x {months} months, {THREADS} threads: {wall:.1f} s")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
