"""Speed of the exact engine beside plain NumPy and creditriskengine, in one run: python -m tests.benchmarks.simulation

Plain NumPy computes the same months and cash, every loan in every scenario. creditriskengine (Apache-2.0, a default
simulation without months or cash) needs an older pandas, so it runs in a child process from a lock of its own.
Ends with one line of JSON: {"figures": {...}}.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from pooling.engine.loans import LoanArrays
from rating.engine import layout
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks, scenario_shocks, sector_index
from rating.engine.simulation import Simulator, choose_engine
from tests.benchmarks.pools import benchmark_model, consumer_pool

FloatArray = NDArray[np.float64]

HERE = Path(__file__).parent
UV, LOCK = str(Path(sys.executable).parent / "uv"), HERE / "creditriskengine.txt"
SIZES = {10_000: (128, 32), 100_000: (32, 8)}  # loans: scenarios of the engine, of plain NumPy
PEER_LOANS, PEER_SCENARIOS = 10_000, 256
REPEATS = 5


class Plain:
    """What NumPy does without an idea: a default time for every loan in every scenario, then sums by month."""

    def __init__(self, loans: LoanArrays, model: CreditModel) -> None:
        self.loans, self.model = loans, model
        self.months, self.cell = int(loans.remaining_term.max()), model.assign(loans)
        self.sector = sector_index(model, loans)
        hazard = np.cumsum(model.default_hazard[:, : self.months], axis=1)
        self.lift = np.ceil(hazard.max()) + 1.0
        self.key = (hazard + self.lift * np.arange(len(hazard))[:, None]).ravel()
        self.speed = np.hstack([np.zeros((len(hazard), 1)), np.cumsum(model.prepayment_hazard, axis=1)])
        r, t = loans.rate / 12, np.arange(self.months + 1)
        growth = np.expm1(t[:, None] * np.log1p(r)) / r
        share = 1 - growth / growth[loans.remaining_term, np.arange(len(r))]
        self.owed = loans.balance * np.where(t[:, None] < loans.remaining_term, share, 0.0)
        codes = (loans.original_term > 36).astype(np.int64)
        self.groups = [np.flatnonzero(codes == k) for k in (0, 1)]
        # What the loans owe by speed if nothing defaults: (2, T + 1).
        self.open = np.stack([self.owed[:, rows].sum(axis=1) for rows in self.groups])
        self.coupon = np.stack([(self.owed[:, rows] * loans.rate[rows]).sum(axis=1) for rows in self.groups])
        self.group = codes

    def __call__(self, scenarios: ScenarioSet) -> FloatArray:
        """(S, 5, T) default, recovery, interest, scheduled principal, prepayment."""
        shocks = scenario_shocks(self.model, scenarios)
        rng = np.random.default_rng(scenarios.seed)
        return np.stack([self.scenario(shocks, s, rng) for s in range(len(scenarios))])

    def scenario(self, shocks: Shocks, s: int, rng: np.random.Generator) -> FloatArray:
        loans, months = self.loans, self.months
        noise = rng.standard_normal(len(loans))
        latent = shocks.score[s, self.sector, 0] + shocks.own[s] * noise
        clock = -log_ndtr(-latent) / shocks.default[s]
        place = np.searchsorted(self.key, np.minimum(clock, self.lift - 0.5) + self.lift * self.cell)
        month = place - self.cell * months + 1
        bad = np.flatnonzero(month <= loans.remaining_term)
        alive = np.exp(-shocks.prepayment[s] * self.speed)
        hit = month[bad]
        stays = rng.random(len(bad)) < alive[self.cell[bad], hit - 1]
        bad, hit = bad[stays], hit[stays]
        owed = self.owed[hit - 1, bad]
        default = np.bincount(hit - 1, owed, months)
        # A defaulted loan leaves the expected flows of its speed from its month on.
        gone = np.zeros((2, months + 1))
        gone_coupon = np.zeros((2, months + 1))
        for k in (0, 1):
            rows = bad[self.group[bad] == k]
            late = hit[self.group[bad] == k]
            later = np.arange(1, months + 2)[:, None] >= late
            lost = np.where(later, self.owed[:, rows], 0.0)
            gone[k], gone_coupon[k] = lost.sum(axis=1), (lost * loans.rate[rows]).sum(axis=1)
        curve = np.stack([alive[0], alive[1]])
        open_, coupon = self.open - gone, self.coupon - gone_coupon
        before, after = curve[:, :months], curve[:, 1 : months + 1]
        interest = (before * coupon[:, :months]).sum(axis=0) / 12
        scheduled = (before * (open_[:, :months] - open_[:, 1:])).sum(axis=0)
        prepaid = ((before - after) * open_[:, 1:]).sum(axis=0)
        severity = shocks.severity[s, 0]
        return np.stack([default, default * (1 - severity), interest, scheduled, prepaid])


def best(work: Callable[[ScenarioSet], object], scenarios: ScenarioSet) -> float:
    """Least CPU-microseconds a scenario of some repetitions."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work(scenarios)
        times.append(time.process_time() - start)
    return min(times) / len(scenarios) * 1e6


def peer() -> dict[str, float]:
    """creditriskengine's best microseconds a scenario in a child process with its own environment; empty without."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "venv/bin/python"
        steps = [
            [sys.executable, "-m", "venv", "--without-pip", str(python.parent.parent)],
            [UV, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(LOCK)],
            [str(python), str(HERE / "creditriskengine_child.py"), str(PEER_LOANS), str(PEER_SCENARIOS), str(REPEATS)],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"creditriskengine was not measured: {done.stderr.strip().splitlines()[-1:]}")
                return {}
    return json.loads(done.stdout)


def main() -> None:
    """Print microseconds a scenario and the ratios."""
    model = benchmark_model()
    figures: dict[str, float] = {}
    for size, (many, few) in SIZES.items():
        loans = consumer_pool(size, seed=1)
        scenarios = ScenarioSet.of_model(model, 128, seed=7, proposal="normal")
        plain, known = Plain(loans, model), f"{size // 1000}k"
        exact, fallback = (
            Simulator(loans, model, choose_engine(loans, model, "exact", native)) for native in (True, False)
        )
        exact.sums(scenarios.slice(0, 2))
        micro = {
            "exact": best(exact.sums, scenarios.slice(0, many)),
            "fallback": best(fallback.sums, scenarios.slice(0, many)),
            "plain": best(plain, scenarios.slice(0, few)),
        }
        part = scenarios.slice(0, few)
        sums = exact.sums(scenarios)
        share = float(sums[:, :, layout.DEFAULT].sum() / len(scenarios) / loans.balance.sum())
        check = float(plain(part)[:, 0].sum() / few / loans.balance.sum())
        print(
            f"{size:,} loans x 60 months, 11 factors, {share:.2%} of the balance defaults (plain {check:.2%}): "
            + ", ".join(f"{name} {value:,.0f}" for name, value in micro.items())
            + " microseconds a scenario"
        )
        figures |= {f"{name}_us_{known}": round(value, 1) for name, value in micro.items()}
        figures[f"exact_vs_numpy_{known}"] = round(micro["plain"] / micro["exact"], 1)
        figures[f"fallback_vs_numpy_{known}"] = round(micro["plain"] / micro["fallback"], 1)
    figures["fallback_vs_numpy"] = figures["fallback_vs_numpy_100k"]
    found = peer()
    if found:
        figures |= {f"creditriskengine_{name}": round(value, 1) for name, value in found.items()}
        # Like for like is its multi-factor simulation: 11 factors here and there.
        figures["exact_vs_creditriskengine_10k"] = round(found["multi_factor_us"] / figures["exact_us_10k"], 1)
        figures["exact_vs_creditriskengine_one_factor_10k"] = round(
            found["single_factor_us"] / figures["exact_us_10k"], 1
        )
        print(f"creditriskengine {found} microseconds a scenario of {PEER_LOANS:,} loans, defaults at the horizon only")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
