"""Cost of a given error beside plain NumPy, tail class included: python -m tests.benchmarks.equal_error

10,000 loans, 11 factors of default; five classes cut out of the lifetime loss, then five notes of a deal with
triggers. Errors are measured over independent replicates, never taken from a formula. Ends with one line of JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.deals import template
from pooling.engine.deal import DealSpec
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import Program, compile_deal, execute
from rating.engine import layout
from rating.engine.direction import pool_direction
from rating.engine.model import CreditModel
from rating.engine.scenarios import Proposal, ScenarioSet
from rating.engine.simulation import Simulator, choose_engine
from rating.engine.tranches import class_losses
from tests.benchmarks.pools import benchmark_model, consumer_pool
from tests.benchmarks.simulation import Plain

FloatArray = NDArray[np.float64]

LOANS, SCENARIOS, REPLICATES = 10_000, 2_048, 64
REFERENCE_SETS, REFERENCE_SCENARIOS = 24, 8_192
# Seeds of the reference are far from those of the replicates, so that the two share no draw.
REFERENCE_SEED = 1_000
CLASSES = ("equity", "B", "BBB", "A", "AAA")
# Attachments in shares of the cut-off balance; the last is where the reference run finds an expected loss of 1.6e-5.
ATTACH = np.array([0.0, 0.03, 0.06, 0.11, 0.177])
DETACH = np.append(ATTACH[1:], 1.0)
# Notes of the deal in shares of the pool; excess spread covers losses first, so less stands below the senior class.
NOTES = {"A": (0.84, 0.05), "B": (0.05, 0.056), "C": (0.035, 0.063), "D": (0.03, 0.075), "E": (0.025, 0.095)}
PLAIN_SCENARIOS, PLAIN_REPEATS, ROW_SCENARIOS = 64, 5, 2_000


@dataclass(frozen=True)
class Spread:
    """Replicates of (K,) estimates: mean, relative standard deviation of one, and that deviation's own error."""

    mean: FloatArray
    relative: FloatArray
    relative_error: FloatArray

    @classmethod
    def of(cls, estimates: FloatArray) -> Spread:
        """estimates: (R, K). The deviation's error is its jackknife over replicates: no normality is assumed."""
        size = len(estimates)
        relative = estimates.std(axis=0, ddof=1) / estimates.mean(axis=0)
        without = np.stack([np.delete(estimates, r, axis=0) for r in range(size)])
        each = without.std(axis=1, ddof=1) / without.mean(axis=1)
        error = np.sqrt((size - 1) / size * np.square(each - each.mean(axis=0)).sum(axis=0))
        return cls(estimates.mean(axis=0), relative, error)


class Work:
    """The pool laid out once; from there what a replicate does: draw scenarios, simulate, sum up class losses."""

    def __init__(self, loans: LoanArrays, model: CreditModel) -> None:
        self.model = model
        self.direction: Mapping[str, float] = pool_direction(loans, model)
        self.simulator = Simulator(loans, model, choose_engine(loans, model, "exact"))
        self.opening = float(loans.balance.sum())
        self.program = compile_deal(deal_spec(self.opening), round(self.opening * 100))

    def draw(self, size: int, seed: int, proposal: Proposal = "wide") -> ScenarioSet:
        return ScenarioSet.of_model(self.model, size, seed=seed, proposal=proposal, direction=self.direction)

    def slices(self, scenarios: ScenarioSet) -> FloatArray:
        """(S, 5) loss shares of the classes cut out of the lifetime pool loss."""
        sums = self.simulator.sums(scenarios)
        loss = (sums[:, :, layout.DEFAULT] - sums[:, :, layout.RECOVERED]).sum(axis=(1, 2)) / self.opening
        return np.clip((loss[:, None] - ATTACH) / (DETACH - ATTACH), 0.0, 1.0)

    def notes(self, scenarios: ScenarioSet) -> FloatArray:
        """(S, 5) losses of the notes behind the waterfall, in present value over the promise."""
        paid = execute(self.program, self.simulator.flows(scenarios))
        return np.stack([class_losses(paid, k) for k in range(len(NOTES))], axis=1)


def deal_spec(opening: float) -> DealSpec:
    """Five sequential notes on the consumer template: a cumulative-loss and an overcollateralisation trigger, each of
    which turns excess spread to the notes; a reserve; no clean-up call. opening: pool balance in currency units."""
    value = template("consumer-sequential").to_json()
    names = list(NOTES)
    tranches = [
        {
            "name": name,
            "kind": "note",
            "balance": int(opening * share) * 100,
            "coupon": coupon,
            "interest_deferrable": name != "A",
        }
        for name, (share, coupon) in NOTES.items()
    ]
    turbo = {"pay": "principal", "to": names, "amount": "notes.balance", "when": "trigger[losses] or trigger[thin]"}
    # The limit never binds: it says that the turbo may pay more of the same classes after the test.
    usual = {"pay": "principal", "to": names, "limit": "notes.balance", "support": ["reserve"]}
    usual |= {"support_when": "period.is_final"}
    interest = [{"pay": "interest", "to": [name], "support": ["reserve"]} for name in names]
    for key in ("call", "retention"):
        value.pop(key, None)
    value |= {
        "name": "Equal Error 2026-1",
        "tranches": tranches,
        "fees": [fee for fee in value["fees"] if fee["name"] == "servicing"],
        "closing_expenses": 0,
        "overcollateralisation": {"target": None},
        "triggers": [
            {
                "name": "losses",
                "condition": "pool.cumulative_loss_rate > step(period.number, 12: 2.5%, 24: 4.5%, 6%)",
                "tested": "opening",
            },
            {"name": "thin", "condition": "class[E].oc_ratio < 101%", "tested": "step", "cure_after": 3},
        ],
        "waterfall": [
            {"pay": "fee", "to": ["servicing"], "support": ["reserve"]},
            *interest,
            usual,
            {"pay": "test", "to": ["thin"]},
            turbo,
            {"pay": "reserve", "to": ["reserve"]},
            {"pay": "residual", "to": ["R"]},
        ],
    }
    return DealSpec.from_json(value)


def trigger_shares(program: Program, work: Work) -> FloatArray:
    """(2,) probability that each trigger is ever breached, on one weighted set."""
    scenarios = work.draw(SCENARIOS, REFERENCE_SEED - 1)
    breached = execute(program, work.simulator.flows(scenarios)).breached.any(axis=1)
    return np.asarray((breached * scenarios.weights).mean(axis=1))


def mean_of(losses: FloatArray, scenarios: ScenarioSet) -> FloatArray:
    """(K,) self-normalised weighted means of (S, K)."""
    return np.asarray(scenarios.weights @ losses / scenarios.weights.sum())


def replicates(
    work: Work, losses: Callable[[ScenarioSet], FloatArray], proposal: Proposal
) -> tuple[Spread, FloatArray]:
    """Independent sets, each with its own scramble and its own loan streams; and (R,) CPU-seconds of each, the draw of
    the scenarios included, the layout of the pool not."""
    found, seconds = [], []
    for seed in range(1, REPLICATES + 1):
        start = time.process_time()
        scenarios = work.draw(SCENARIOS, seed, proposal)
        found.append(mean_of(losses(scenarios), scenarios))
        seconds.append(time.process_time() - start)
    return Spread.of(np.stack(found)), np.array(seconds)


def moments(work: Work, losses: Callable[[ScenarioSet], FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(K,) expected loss, its relative standard error, and the variance of ONE plain scenario, from a large run."""
    firsts, seconds = [], []
    for k in range(REFERENCE_SETS):
        scenarios = work.draw(REFERENCE_SCENARIOS, REFERENCE_SEED + k)
        found = losses(scenarios)
        firsts.append(mean_of(found, scenarios))
        seconds.append(mean_of(np.square(found), scenarios))
    first, second = np.mean(firsts, axis=0), np.mean(seconds, axis=0)
    error = np.std(firsts, axis=0, ddof=1) / np.sqrt(REFERENCE_SETS) / first
    return first, error, second - first**2


def least(work: Callable[[], object]) -> float:
    """Least CPU-seconds of some repetitions."""
    times = []
    for _ in range(PLAIN_REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def table(
    names: tuple[str, ...],
    reference: tuple[FloatArray, FloatArray, FloatArray],
    sobol: Spread,
    wide: Spread,
    gain: FloatArray,
) -> None:
    """A row a class: expected loss, errors of the three kinds of set, and what the wide one saves."""
    first, error, variance = reference
    plain = np.sqrt(variance / ROW_SCENARIOS) / first
    print(
        f"{'class':>8} {'EL':>10} {'+-':>7} {'plain ' + str(ROW_SCENARIOS):>11} {'Sobol ' + str(SCENARIOS):>11} "
        f"{'wide ' + str(SCENARIOS):>10} {'+-':>7} {'bias z':>7} {'CPU saved':>10}"
    )
    for k, name in enumerate(names):
        z = (wide.mean[k] / first[k] - 1) / np.hypot(wide.relative[k] / np.sqrt(REPLICATES), error[k])
        # A class that no set of the plain kind reaches has no deviation to show.
        shown = f"{sobol.relative[k]:11.2%}" if np.isfinite(sobol.relative[k]) else f"{'none hit':>11}"
        print(
            f"{name:>8} {first[k]:10.3e} {error[k]:7.2%} {plain[k]:11.2%} {shown} {wide.relative[k]:10.2%} "
            f"{wide.relative_error[k]:7.2%} {z:7.1f} {gain[k]:10,.0f}x"
        )


def compare(
    work: Work, losses: Callable[[ScenarioSet], FloatArray], names: tuple[str, ...], senior: int, plain_seconds: float
) -> tuple[Spread, FloatArray, FloatArray]:
    """Print the table of one way to cut classes; the wide replicates, their CPU-seconds, and (K,) the gain.

    gain = n x plain_seconds / ours, n = variance / (EL x relative error)**2 the independent scenarios with that error.
    """
    losses(work.draw(8, REFERENCE_SEED - 1))  # compiles, or reads what was compiled
    reference = moments(work, losses)
    with np.errstate(invalid="ignore"):
        sobol, _ = replicates(work, losses, "normal")
    wide, seconds = replicates(work, losses, "wide")
    first, _, variance = reference
    needed = variance / np.square(first * wide.relative)
    gain = needed * plain_seconds / seconds.min()
    table(names, reference, sobol, wide, gain)
    print(
        f"{SCENARIOS:,} weighted scenarios: {seconds.min():.3f} CPU-s at best, {np.median(seconds):.3f} in the median "
        f"of {REPLICATES}. Plain NumPy for class {names[senior]} at that error: {needed[senior]:,.0f} scenarios of "
        f"{1e6 * plain_seconds:,.0f} microseconds, {needed[senior] * plain_seconds:,.0f} CPU-s"
    )
    return wide, seconds, gain


def main() -> None:
    """Print both tables and the figures."""
    loans, model = consumer_pool(LOANS, seed=1), benchmark_model()
    start = time.process_time()
    work = Work(loans, model)
    laid = time.process_time() - start
    plain = Plain(loans, model)
    sample = ScenarioSet.of_model(model, PLAIN_SCENARIOS, seed=7, proposal="plain")
    plain_seconds = least(lambda: plain(sample)) / PLAIN_SCENARIOS
    print(f"{LOANS:,} loans, layout and direction {laid:.2f} CPU-s once a pool; classes cut from the lifetime loss at")
    print("  " + ", ".join(f"{name} {a:.1%}" for name, a in zip(CLASSES, ATTACH, strict=True)))
    wide, seconds, gain = compare(work, work.slices, CLASSES, len(CLASSES) - 1, plain_seconds)
    figures = {
        "aaa_se": round(float(wide.relative[-1]), 5),
        "aaa_se_error": round(float(wide.relative_error[-1]), 5),
        "other_classes_worst_se": round(float(wide.relative[:-1].max()), 5),
        "aaa_cpu_s": round(float(seconds.min()), 4),
        "aaa_cpu_median_s": round(float(np.median(seconds)), 4),
        "layout_cpu_s": round(laid, 3),
        "plain_us_per_scenario": round(1e6 * plain_seconds, 1),
        "equal_error_vs_numpy": round(float(gain[-1])),
    }
    flows = work.simulator.flows(work.draw(SCENARIOS, REFERENCE_SEED - 1, "normal"))

    def paid() -> None:
        deal = execute(work.program, flows)
        for k in range(len(NOTES)):
            class_losses(deal, k)

    # The plain side takes the same waterfall, vectorised, and nothing for laying its sums out as flows.
    waterfall_seconds = least(paid) / SCENARIOS
    print("\nThe same through a waterfall; probability that a trigger is ever breached: ", end="")
    names = (trigger.name for trigger in work.program.spec.triggers)
    print(", ".join(f"{name} {p:.2%}" for name, p in zip(names, trigger_shares(work.program, work), strict=True)))
    wide, seconds, through = compare(work, work.notes, tuple(NOTES), 0, plain_seconds + waterfall_seconds)
    figures |= {
        "waterfall_aaa_se": round(float(wide.relative[0]), 5),
        "waterfall_aaa_se_error": round(float(wide.relative_error[0]), 5),
        "waterfall_other_classes_worst_se": round(float(wide.relative[1:].max()), 5),
        "waterfall_aaa_cpu_s": round(float(seconds.min()), 4),
        "waterfall_us_per_scenario": round(1e6 * waterfall_seconds, 1),
        "equal_error_vs_numpy_waterfall": round(float(through[0])),
    }
    print(f"Of the gain {through[0] / gain[-1]:.0%} remains for the senior class behind the waterfall")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
