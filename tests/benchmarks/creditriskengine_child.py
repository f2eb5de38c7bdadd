"""Run by tests.benchmarks.simulation under a lock of its own: loans, scenarios, repeats -> JSON of timings."""

import json
import sys
import time

import numpy as np
from creditriskengine.portfolio.copula import simulate_multi_factor, simulate_single_factor

loans, scenarios, repeats = (int(text) for text in sys.argv[1:4])
rng = np.random.default_rng(1)
pd = rng.uniform(0.01, 0.13, loans)
lgd, ead = np.full(loans, 0.9), rng.uniform(1_000, 25_000, loans)
loadings = np.zeros((loans, 11))
loadings[:, 0] = 0.3
loadings[np.arange(loans), 1 + rng.integers(0, 10, loans)] = 0.245


def best(work):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) / scenarios * 1e6


print(
    json.dumps(
        {
            "multi_factor_us": best(lambda: simulate_multi_factor(pd, lgd, ead, loadings, scenarios, seed=7)),
            "single_factor_us": best(
                lambda: simulate_single_factor(pd, lgd, ead, 0.15, scenarios, seed=7, antithetic=False)
            ),
        }
    )
)
