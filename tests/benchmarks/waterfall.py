"""Speed of the waterfall: `python -m tests.benchmarks.waterfall`.

One deal of 14 steps with tests, a switch from pro rata to sequential principal, turbo and a reserve, over 60 months:
10,000 scenarios with the whole ledger, 100,000 without it slice by slice, and the same program scenario by scenario.
Times are wall-clock, the least of three runs; the first run of each is shown beside it, because it also pays for fresh
memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import Program, compile_deal, execute, execute_in_slices
from tests.engine.deal_builders import CUTOFF_CENTS, random_flows, slice_flows, solved

MONTHS = 60
STEPS = 14
SAMPLE = 40  # scenarios run one by one
RUNS = 3
MILLION = 1e6


def deal() -> DealSpec:
    """A deal of 14 steps: every kind that costs time but the revolving one."""
    stepped_down = "trigger[losses] or trigger[thin]"
    return solved(
        fees=[
            {"name": "trustee", "kind": "recurring", "amount": 20_000},
            {"name": "servicing", "kind": "annual_percentage", "rate": 0.01, "base": "pool.balance"},
            {"name": "expenses", "kind": "recurring", "amount": 50_000},
        ],
        triggers=[
            {"name": "losses", "condition": "pool.cumulative_loss_rate > step(period.number, 12: 3%, 24: 6%, 2%)",
             "tested": "opening"},
            {"name": "thin", "condition": "class[C].oc_ratio < 1.10", "tested": "step", "cure_after": 3},
        ],
        waterfall=[
            {"pay": "fee", "to": ["trustee", "servicing"], "support": ["reserve"]},
            {"pay": "interest", "to": ["A", "B", "C"], "support": ["reserve"]},
            {"pay": "test", "to": ["thin"]},
            {"pay": "principal", "to": ["A", "B", "C"], "rule": "pro_rata", "when": f"not ({stepped_down})"},
            {"pay": "principal", "to": ["A", "B", "C"], "when": stepped_down},
            {"pay": "reserve", "to": ["reserve"]},
            {"pay": "fee", "to": ["expenses"], "limit": "1% * pool.balance"},
            {"pay": "principal", "to": ["A"], "amount": "class[A].balance", "when": "trigger[losses]"},
            {"pay": "residual", "to": ["R"]},
        ],
    )  # fmt: skip


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """(first, least) wall seconds of RUNS runs; what a run returns is dropped before the next."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
        del result
    return times[0], min(times)


def in_slices(program: Program, flows: PoolFlows) -> float:
    """Residual cash over all scenarios, so that each slice is used before it is dropped."""
    return sum(float(paid.residual.sum()) for _, paid in execute_in_slices(program, flows))


def scenario_by_scenario(program: Program, flows: PoolFlows) -> None:
    for s in range(SAMPLE):
        execute(program, slice_flows(flows, scenarios=[s]))


def main() -> None:
    program = compile_deal(deal(), CUTOFF_CENTS)
    assert len(program.steps) == STEPS
    few, many = (random_flows(1, months=MONTHS, scenarios=n, stress=0.02) for n in (10_000, 100_000))
    size = len(program.lines) * MONTHS * few.scenarios * 8 / MILLION
    first, ledger = timed(lambda: execute(program, few, ledger=True))
    print(f"{STEPS} steps x {MONTHS} months x 10,000 scenarios")
    print(f"  ledger of {len(program.lines)} lines, {size:.0f} MB  {ledger:.3f} s, first run {first:.3f} s")
    first, plain = timed(lambda: execute(program, few))
    print(f"  without the ledger          {plain:.3f} s, first run {first:.3f} s")
    first, large = timed(lambda: in_slices(program, many))
    print(f"100,000 scenarios, in slices    {large:.3f} s, first run {first:.3f} s")
    _, single = timed(lambda: scenario_by_scenario(program, few))
    one, share = single / SAMPLE, plain / few.scenarios
    print(f"scenario by scenario            {one * 1e3:.1f} ms each, all at once {share * 1e3:.4f} ms each")
    figures = {
        "wall_10k_ledger_s": round(ledger, 4),
        "wall_100k_s": round(large, 4),
        "vector_vs_scalar": round(one / share, 1),
    }
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
