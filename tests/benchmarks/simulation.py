"""Speed of the simulation beside a plain-NumPy version in the same run: python -m tests.benchmarks.simulation

The plain version holds one loan x month table per scenario. Ends with one line of JSON: {"figures": {...}}.
"""

from __future__ import annotations

import json
import resource
import time

import numpy as np
from scipy.special import log_ndtr, ndtri

from pooling.engine.loans import LoanArrays
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import loan_draws, scenario_shocks, simulate

LOANS, SCENARIOS, PLAIN_SCENARIOS, REPEATS = 20_814, 2_048, 32, 3


def consumer_pool(loans: int, seed: int) -> LoanArrays:
    """New 36- and 60-month loans with some 300 different rates, the size and shape of a marketplace tape."""
    rng = np.random.default_rng(seed)
    term = np.where(rng.random(loans) < 0.84, 36, 60)
    return LoanArrays(
        loan_id=np.array([f"{i:07d}" for i in range(loans)]),
        balance=np.round(rng.uniform(1_000, 25_000, loans), 2),
        rate=np.round(0.06 + 0.0006 * rng.integers(0, 300, loans), 4),
        original_term=term,
        remaining_term=term,
        age=np.zeros(loans, dtype=np.int64),
        grade=rng.choice(np.array(list("ABCDEFG")), loans, p=[0.24, 0.28, 0.2, 0.14, 0.09, 0.03, 0.02]),
        score=np.full(loans, np.nan),
        group=np.full(loans, "pool"),
        sector=np.full(loans, ""),
    )


def plain_default(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet) -> np.ndarray:
    """(T, S) new defaults, with all other monthly sums computed alongside from loan x month tables."""
    months = int(loans.remaining_term.max())
    cell, left = model.assign(loans), loans.remaining_term[:, None]
    step = np.arange(months + 1)
    r = (loans.rate / 12)[:, None]
    balance = loans.balance[:, None] * np.clip(
        ((1 + r) ** left - (1 + r) ** np.minimum(step, left)) / ((1 + r) ** left - 1), 0, None
    )
    default_curve = np.cumsum(model.default_hazard[cell], axis=1)
    prepayment_curve = np.cumsum(model.prepayment_hazard[cell], axis=1)
    shocks = scenario_shocks(model, scenarios)
    loading, own = np.sqrt(model.asset_correlation), np.sqrt(1 - model.asset_correlation)
    out = np.zeros((months, len(scenarios)))
    for s in range(len(scenarios)):
        uniform, exponential = loan_draws(scenarios.seed, scenarios.first + s, len(loans))
        clock = -log_ndtr(-(loading * shocks["market"][s] + own * ndtri(uniform)))
        default = (default_curve * shocks["default"][s] < clock[:, None]).sum(axis=1) + 1
        prepaid = (prepayment_curve * shocks["prepayment"][s] < exponential[:, None]).sum(axis=1) + 1
        month = step[1:]
        alive = (month < np.minimum(default, prepaid)[:, None]) & (month <= left)
        bad = (month == default[:, None]) & (default <= prepaid)[:, None] & (month <= left)
        gone = (month == prepaid[:, None]) & (prepaid < default)[:, None] & (month <= left)
        paying = alive | gone
        out[:, s] = (balance[:, :-1] * bad).sum(axis=0)
        (balance[:, :-1] * r * paying).sum(axis=0)
        ((balance[:, :-1] - balance[:, 1:]) * paying).sum(axis=0)
        (balance[:, 1:] * gone).sum(axis=0)
        (balance[:, 1:] * alive).sum(axis=0)
    return out


def main() -> None:
    """Print the timings, best of three, and the ratio per scenario."""
    loans, model = consumer_pool(LOANS, seed=1), documented_model()
    scenarios = ScenarioSet.draw(SCENARIOS, seed=7)
    few = scenarios.slice(0, PLAIN_SCENARIOS)
    fast_best = plain_best = np.inf
    for _ in range(REPEATS):
        start = time.process_time()
        simulate(loans, model, few)
        fast_best = min(fast_best, (time.process_time() - start) / PLAIN_SCENARIOS)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    flows = simulate(loans, model, scenarios)
    whole = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for _ in range(REPEATS):
        start = time.process_time()
        plain = plain_default(loans, model, few)
        plain_best = min(plain_best, (time.process_time() - start) / PLAIN_SCENARIOS)
    gap = float(np.abs(plain - flows.default[0, : len(plain), :PLAIN_SCENARIOS]).max() / loans.balance.sum())
    if gap > 1e-9:
        raise SystemExit(f"the two versions differ by {gap} of the pool")
    figures = {
        "loans": LOANS,
        "scenarios": SCENARIOS,
        "months": flows.months,
        "seconds_whole_set": round(whole, 2),
        "ms_per_scenario": round(fast_best * 1e3, 3),
        "ms_per_scenario_plain": round(plain_best * 1e3, 3),
        "ratio_to_plain": round(plain_best / fast_best, 1),
        "million_loan_scenarios_per_cpu_second": round(LOANS * SCENARIOS / whole / 1e6, 1),
        "peak_memory_mb": round(peak),
        "memory_before_whole_set_mb": round(memory),
        "identity_error": flows.check(),
    }
    print(f"{LOANS:,} loans x {SCENARIOS:,} scenarios x {flows.months} months: {whole:.2f} CPU-s")
    print(f"per scenario {fast_best * 1e3:.2f} ms, plain NumPy {plain_best * 1e3:.2f} ms")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
