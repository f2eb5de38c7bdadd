"""Speed, memory and bias of the granular engine: python -m tests.benchmarks.granular

1,000,000 loans, 10 sectors and a global factor, 60 months, 100,000 scenarios on two threads; tables are built in one
process, scenarios run in another whose peak is measured. Ends with one line of JSON: {"figures": {...}}.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from pooling.engine.loans import LoanArrays
from rating.engine import layout
from rating.engine.curves import documented_model
from rating.engine.granular import granular_blocks, granular_losses
from rating.engine.granular_bias import granular_bias
from rating.engine.granular_tables import GranularTables, granular_tables
from rating.engine.model import CreditModel
from rating.engine.portfolio import accumulation
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks, sector_index

LOANS, SCENARIOS, CHUNK, THREADS, REPEATS = 1_000_000, 100_000, 4_096, 2, 3
BIAS_LOANS, BIAS_SCENARIOS, CHECKED = 100_000, 4_096, 32
SECTORS = tuple(f"region {k}" for k in range(10))
SHARES = (0.24, 0.28, 0.2, 0.14, 0.09, 0.03, 0.02)


def sector_pool(loans: int, seed: int) -> LoanArrays:
    """36- and 60-month loans of ages 0 to 12, 300 rates, 7 grades, 10 regions."""
    rng = np.random.default_rng(seed)
    term, age = np.where(rng.random(loans) < 0.84, 36, 60), rng.integers(0, 13, loans)
    age[:2], term[:2] = 0, 60  # 60 months in all
    return LoanArrays(
        loan_id=np.array([f"{i:07d}" for i in range(loans)]),
        balance=np.round(rng.uniform(1_000, 25_000, loans), 2),
        rate=np.round(0.06 + 0.0006 * rng.integers(0, 300, loans), 4),
        original_term=term,
        remaining_term=term - age,
        age=age,
        grade=rng.choice(np.array(list("ABCDEFG")), loans, p=SHARES),
        score=np.full(loans, np.nan),
        group=np.full(loans, "pool"),
        sector=np.array(SECTORS)[rng.integers(0, len(SECTORS), loans)],
    )


def sector_model() -> CreditModel:
    """The documented curve with every uncertainty it has, and 30 % of the correlation on the regions."""
    return replace(documented_model(), sectors=SECTORS, sector_share=0.3)


def expected_losses(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet) -> np.ndarray:
    """(S,) lifetime losses from a loan x month table of conditional probabilities, nothing interpolated."""
    months = int(loans.remaining_term.max())
    cell, sector, step = model.assign(loans), sector_index(model, loans), np.arange(months + 1)
    alive = step[1:] <= loans.remaining_term[:, None]
    column = np.minimum(loans.age[:, None] + np.arange(months), model.default_hazard.shape[1] - 1)
    hazard = np.zeros((len(loans), months + 1))
    speed = np.zeros_like(hazard)
    np.cumsum(model.default_hazard[cell[:, None], column], axis=1, out=hazard[:, 1:])
    np.cumsum(model.prepayment_hazard[cell[:, None], column], axis=1, out=speed[:, 1:])
    rates, where = np.unique(loans.rate, return_inverse=True)
    growth = accumulation(rates, months)[where]
    owed = loans.balance[:, None] * (1 - growth / growth[np.arange(len(loans)), loans.remaining_term][:, None])
    shocks = scenario_shocks(model, scenarios)
    out = np.empty(len(scenarios))
    for s in range(len(scenarios)):
        own_pd = -np.expm1(-shocks.default[s] * hazard)
        bad = ndtr((ndtri(own_pd) - shocks.score[s, sector, 0][:, None]) / shocks.own[s])
        lost = np.where(alive, owed[:, :-1] * np.diff(bad, axis=1) * np.exp(-shocks.prepayment[s] * speed[:, :-1]), 0.0)
        out[s] = lost.sum() * shocks.severity[s, 0]
    return out


def peak_gib() -> float:
    """Largest resident memory of this process since its start. On Linux ru_maxrss of a child starts at its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(tables: GranularTables, model: CreditModel, results: Any) -> None:
    """Child process: every monthly sum of every scenario, a chunk held at a time; then losses alone."""
    before = peak_gib()
    begin = time.perf_counter()
    scenarios = ScenarioSet.of_model(model, SCENARIOS, seed=2)
    drawn = time.perf_counter() - begin
    for _ in granular_blocks(tables, model, scenarios.slice(0, 64), 64):  # compiles, or reads what was compiled
        pass
    walls, processors, losses = [], [], []
    for _ in range(REPEATS):
        wall, processor, total = time.perf_counter(), time.process_time(), 0.0
        for part, sums in granular_blocks(tables, model, scenarios, CHUNK, threads=THREADS):
            lost = sums[:, :, layout.DEFAULT] - sums[:, :, layout.RECOVERED]
            total += float((lost.sum(axis=(1, 2)) * part.weights).sum())
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
        wall = time.perf_counter()
        alone = granular_losses(tables, model, scenarios, threads=THREADS)
        losses.append(time.perf_counter() - wall)
    results.put(
        {
            "granular_1m_100k_s": min(walls),
            "granular_1m_100k_cpu_s": min(processors),
            "granular_losses_1m_100k_s": min(losses),
            "granular_us_per_scenario": min(processors) / SCENARIOS * 1e6,
            "granular_draw_100k_s": drawn,
            "granular_peak_gib": peak_gib(),
            "granular_before_gib": before,
            "granular_el_share": total / SCENARIOS / tables.opening.sum(),
            "granular_el_agrees": abs(total / SCENARIOS / alone.expected - 1),
        }
    )


def main() -> None:
    model = sector_model()
    loans = sector_pool(LOANS, seed=1)
    begin = time.perf_counter()
    tables = granular_tables(loans, model)
    figures: dict[str, float] = {"granular_tables_1m_s": time.perf_counter() - begin}
    figures["granular_tables_mib"] = tables.nbytes / 2**20
    print(
        f"{LOANS:,} loans, {tables.months} months, {len(tables.sectors)} sectors: {len(tables.hazard)} hazard nodes, "
        f"{len(tables.prepayment)} rows, {figures['granular_tables_mib']:.1f} MiB "
        f"in {figures['granular_tables_1m_s']:.2f} s"
    )
    del loans
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=run, args=(tables, model, results))
    child.start()
    figures |= results.get(timeout=600)
    child.join()
    print(
        f"{SCENARIOS:,} scenarios, all monthly sums: {figures['granular_1m_100k_s']:.2f} s on {THREADS} threads, "
        f"{figures['granular_1m_100k_cpu_s']:.2f} CPU-s, peak {figures['granular_peak_gib']:.3f} GiB "
        f"({figures['granular_before_gib']:.3f} of it the interpreter and tables); "
        f"losses alone {figures['granular_losses_1m_100k_s']:.2f} s"
    )
    pool = sector_pool(BIAS_LOANS, seed=3)
    bias = granular_bias(pool, model, ScenarioSet.of_model(model, BIAS_SCENARIOS, seed=5), threads=THREADS)
    figures |= {"granular_bias": bias.relative, "granular_bias_se": bias.standard_error}
    print(
        f"{BIAS_LOANS:,} loans x {BIAS_SCENARIOS:,} scenarios: expected loss {100 * bias.granular:.4f} % of the pool, "
        f"{100 * bias.relative:+.4f} % of the exact engine's (standard error {100 * bias.standard_error:.4f} %)"
    )
    scenarios = ScenarioSet.of_model(model, CHECKED, seed=6)
    some = pool.take(np.arange(len(pool)) % 5 == 0)
    found = granular_losses(granular_tables(some, model), model, scenarios, noise=False).lifetime * scenarios.weights
    asked = expected_losses(some, model, scenarios) * scenarios.weights
    figures["granular_interpolation_bias"] = float(found.sum() / asked.sum() - 1)
    figures["granular_interpolation_worst"] = float(np.abs(found / asked - 1).max())
    print(
        f"interpolation, {len(some):,} loans x {CHECKED} scenarios: {figures['granular_interpolation_bias']:+.2e} "
        f"of the expected loss, {figures['granular_interpolation_worst']:.2e} in the worst scenario"
    )
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
