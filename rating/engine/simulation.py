"""From loans, a credit model and scenarios to PoolFlows: which engine draws them, and how monthly sums become flows.

Not here: the draws (exact.py, granular.py), waterfalls, and where hazards come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine import layout
from rating.engine.direction import pool_direction
from rating.engine.exact import exact_sums, loops
from rating.engine.granular import granular_sums
from rating.engine.granular_tables import GranularTables, granular_tables
from rating.engine.model import CreditModel
from rating.engine.portfolio import Portfolio, build_portfolio
from rating.engine.scenarios import Proposal, ScenarioSet
from rating.engine.shocks import scenario_shocks

FloatArray = NDArray[np.float64]

Engine = Literal["auto", "exact", "granular", "by_loan"]
ENGINES: tuple[Engine, ...] = ("auto", "exact", "granular", "by_loan")
# Below this a pool's own noise decides small classes, and nothing is gained by leaving it to an approximation.
GRANULAR_LOANS = 250_000
PROPOSAL: Proposal = "wide"


@dataclass(frozen=True)
class EngineChoice:
    """name: "exact", "granular" or "by_loan". compiled: whether Numba runs it. reason: one sentence."""

    name: str
    compiled: bool
    reason: str

    @property
    def words(self) -> str:
        """For people: which engine drew, whose loops, and why."""
        return f"{self.name} engine, {'Numba' if self.compiled else 'NumPy'}; {self.reason}"


def rating_scenarios(loans: LoanArrays, model: CreditModel, count: int, seed: int) -> ScenarioSet:
    """The scenario set of a rating: every factor of the model, Sobol points with the wide proposal along the
    direction in which this pool's losses grow."""
    return ScenarioSet.of_model(
        model, count, seed=seed, proposal=PROPOSAL, direction=pool_direction(loans, model)
    )


def horizon_of(loans: LoanArrays, model: CreditModel) -> int:
    """Months until the last loan's last possible recovery, so that nothing is dropped."""
    return int(loans.remaining_term.max()) + model.charge_off_lag + model.recovery_lag


def choose_engine(
    loans: LoanArrays, model: CreditModel, engine: Engine = "auto", compiled: bool | None = None
) -> EngineChoice:
    """Which engine simulates a pool, and why. Raises ValueError for an unknown name, or Numba asked for in vain."""
    if engine not in ENGINES:
        raise ValueError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
    native = loops(compiled).__name__.endswith("kernels")
    if engine != "auto":
        return EngineChoice(engine, native, "as asked for")
    if len(loans) >= GRANULAR_LOANS and model.factor_persistence < 1:
        return EngineChoice("exact", native, "the market moves in time, which the granular engine does not follow")
    if len(loans) >= GRANULAR_LOANS:
        return EngineChoice(
            "granular", native, f"{len(loans):,} loans: at {GRANULAR_LOANS:,} and more their own noise is diversified"
        )
    return EngineChoice("exact", native, f"{len(loans):,} loans, fewer than {GRANULAR_LOANS:,}: every loan is drawn")


def simulate(
    loans: LoanArrays,
    model: CreditModel,
    scenarios: ScenarioSet,
    horizon: int | None = None,
    *,
    engine: Engine = "auto",
    compiled: bool | None = None,
    threads: int = 1,
) -> PoolFlows:
    """Monthly flows and stocks of the pool in every scenario.

    loans: n level-payment loans. horizon: months; None covers the longest remaining term, charge-off and
    recovery, so that nothing is dropped; a shorter one cuts the tail. Returns PoolFlows (G, T, S), groups in
    alphabetical order. engine: "exact" draws every loan on streams of loan groups; "by_loan" on streams keyed by loan
    id, so that a what-if moves no other loan's draw; "granular" replaces the loans' own noise by its distribution;
    "auto" chooses, see choose_engine. compiled: Numba, None where it is installed. threads: the bytes do not depend
    on them.

    Loan i of age a at closing has latent X = (systematic score + own e_i) / mixing (shocks.py) and defaults in the
    month t in which m (H(a + t) - H(a)) reaches -ln(1 - F(X)): H the cumulative cause-specific hazard of its cell, m
    the scenario's multiplier, F the distribution of X (Li 2000, On Default Correlation). Prepayment is an independent
    competing exponential clock on its own cumulative hazard; whichever comes first takes the loan out, default on a
    tie (the event order of the model). Default = the first missed payment: no cash of the loan from that month;
    charged off charge_off_lag months later; the recovery, 1 - severity, arrives recovery_lag months after that.
    Loans that would not default before maturity enter by their expected prepayment, see exact.py.

    Memory: O(groups * months * scenarios + loans). Same bytes for any slicing of the scenario set.
    """
    choice = choose_engine(loans, model, engine, compiled)
    length = horizon_of(loans, model) if horizon is None else horizon
    if length < 1:
        raise ValueError(f"horizon: {length} months, expected at least 1")
    return Simulator(loans, model, choice, threads).flows(scenarios, length)


class Simulator:
    """A pool laid out once for many scenario sets; what simulate() does, without laying out again."""

    def __init__(self, loans: LoanArrays, model: CreditModel, choice: EngineChoice, threads: int = 1) -> None:
        self.model, self.choice, self.threads = model, choice, threads
        self.horizon = horizon_of(loans, model)
        granular = choice.name == "granular"
        self.portfolio: Portfolio | GranularTables = (granular_tables if granular else build_portfolio)(loans, model)

    def sums(self, scenarios: ScenarioSet) -> FloatArray:
        """(S, G, SUMS, T) monthly sums, see layout."""
        compiled, threads = self.choice.compiled, self.threads
        if isinstance(self.portfolio, GranularTables):
            return granular_sums(self.portfolio, self.model, scenarios, compiled=compiled, threads=threads)
        return exact_sums(
            self.portfolio,
            self.model,
            scenarios,
            scenario_shocks(self.model, scenarios),
            by_loan=self.choice.name == "by_loan",
            compiled=compiled,
            threads=threads,
        )

    def flows(self, scenarios: ScenarioSet, horizon: int | None = None) -> PoolFlows:
        """The flows of the scenarios over the horizon, None for the whole."""
        return pool_flows(self.portfolio, self.sums(scenarios), self.model, horizon or self.horizon)

    def chunks(self, scenarios: ScenarioSet, chunk: int) -> Iterator[tuple[ScenarioSet, FloatArray]]:
        """Slices of the set with their sums: never more than one chunk is held."""
        for low in range(0, len(scenarios), chunk):
            part = scenarios.slice(low, min(low + chunk, len(scenarios)))
            yield part, self.sums(part)


def _shift(flow: FloatArray, lag: int) -> FloatArray:
    """(G, T, S) the flow `lag` months later, what falls beyond the horizon cut."""
    moved = np.zeros_like(flow)
    if lag < flow.shape[1]:
        moved[:, lag:] = flow[:, : flow.shape[1] - lag]
    return moved


def pool_flows(portfolio: Portfolio | GranularTables, sums: FloatArray, model: CreditModel, length: int) -> PoolFlows:
    """Lay (S, G, SUMS, T) monthly sums out on the horizon and add charge-off, recovery, delinquency and counts."""
    scenarios, groups, _, months = sums.shape
    keep = min(months, length)

    def stretch(row: int, skip: int = 0) -> FloatArray:
        full = np.zeros((groups, length, scenarios))
        part = np.moveaxis(sums[:, :, row, skip : skip + keep], 0, -1)
        full[:, : part.shape[1]] = part
        return full

    default, start = stretch(layout.DEFAULT), stretch(layout.OPENING)
    missed = stretch(layout.MISSED)
    charge_off = _shift(default, model.charge_off_lag)
    delinquent = np.zeros((groups, len(DELINQUENT_BUCKETS), length, scenarios))
    late = np.zeros_like(missed)
    for since in range(model.charge_off_lag):
        delinquent[:, min(since, len(DELINQUENT_BUCKETS) - 1)] += _shift(default, since)
        late += _shift(missed, since)
    # Loans that leave at month t are alive until t - 1: count backwards from the last exit, to end at an exact zero.
    left = np.moveaxis(sums[:, :, layout.LEFT], 0, -1)
    remaining = np.zeros((groups, months + 1, scenarios))
    remaining[:, :months] = np.cumsum(left[:, ::-1], axis=1)[:, ::-1]
    count = np.zeros((groups, length, scenarios))
    count[:, :keep] = remaining[:, 1 : keep + 1]
    coupon = np.divide(stretch(layout.COUPON), start, out=np.zeros_like(start), where=start > 0)
    return PoolFlows(
        groups=portfolio.collateral,
        opening_balance=portfolio.opening,
        interest=stretch(layout.INTEREST),
        scheduled_principal=stretch(layout.SCHEDULED),
        prepayment=stretch(layout.PREPAYMENT),
        default=default,
        charge_off=charge_off,
        recovery=_shift(stretch(layout.RECOVERED), model.charge_off_lag + model.recovery_lag),
        performing=stretch(layout.OPENING, skip=1),
        delinquent=delinquent,
        defaulted=np.cumsum(charge_off, axis=1),
        count=count + late,
        coupon=coupon,
    )
