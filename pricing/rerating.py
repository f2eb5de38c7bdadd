"""A deal rated again in mid-life: what its pool has done so far, replayed; what is left of it, simulated and rated.

Pure composition of the engines of pooling and rating; nothing is stored here. The model is the one of the rating: what
the months so far have shown enters by balances, ages, lateness and the state of the deal, not by new parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.assumptions.servicer import servicer_flows
from pooling.engine.deal import DealSpec
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, DealState, Program, compile_deal, execute
from pooling.tapes.performance import FLOWS, Performance
from pricing.sensitivities import FlowRater, Lags, deferrable_of
from pricing.structuring import scenarios_part
from rating.engine.grades import grades_by_multiple, history_cap
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.sensitivity import cut
from rating.engine.shocks import scenario_shocks
from rating.engine.simulation import EngineChoice, Simulator, rating_scenarios
from rating.engine.tranches import HALF_A_CENT, TrancheRating

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A loan as late as this at the rating date is taken for defaulted: its first missed payment is never cured. A
# conservative reading, without cures; below it a loan is taken for performing.
LATE_FROM_DAYS = 30
DAYS_A_MONTH = 30
# PoolFlows' buckets begin one day past these.
BUCKET_AFTER = (0, 30, 60, 90)


@dataclass(frozen=True, eq=False)
class SeasonedPool:
    """A pool after T months, as a simulation takes it. performing: loans that pay, None where there is none, with their
    balance, age and remaining term of today (a term that has run out is one month). Late loans (m,): late_balance in
    currency units, late_since months since the first missed payment, late_band of the model. Pending recoveries of
    loans charged off (p,): pending_balance, pending_in months, pending_band.
    """

    months: int
    group: str
    performing: LoanArrays | None
    late_balance: FloatArray
    late_since: IntArray
    late_band: IntArray
    pending_balance: FloatArray
    pending_in: IntArray
    pending_band: IntArray

    @property
    def balance(self) -> float:
        """Currency units still owed, late loans included."""
        paying = 0.0 if self.performing is None else float(self.performing.balance.sum())
        return paying + float(self.late_balance.sum())

    @property
    def loans(self) -> int:
        return (0 if self.performing is None else len(self.performing)) + len(self.late_balance)


def seasoned_pool(loans: LoanArrays, performance: Performance, model: CreditModel) -> SeasonedPool:
    """The pool after the reported months. loans: at cut-off, in the order of the columns of performance.

    A charged-off loan whose recovery has not come is still expected to bring it recovery_lag months after charge-off.
    Raises ValueError for a pool of several collateral groups, and for one that has ended.
    """
    groups = sorted(set(loans.group.tolist()))
    if len(groups) > 1:
        raise ValueError(f"loans: {len(groups)} collateral groups; only pools of one are re-rated so far")
    months, owed, days = performance.months, performance.balance[-1], performance.days_past_due[-1]
    late = (owed > 0) & (days >= LATE_FROM_DAYS)
    paying = (owed > 0) & ~late
    if not owed.any():
        raise ValueError("performance: every loan of the pool has ended; there is nothing left to rate on")
    band = model.assign_bands(loans)
    performing = None
    if paying.any():
        now = replace(
            loans,
            balance=np.where(paying, owed, 1) / 100.0,
            age=loans.age + months,
            remaining_term=np.maximum(loans.remaining_term - months, 1),
        )
        performing = now.take(paying)
    pending, due = _pending(performance, model.recovery_lag)
    return SeasonedPool(
        months=months,
        group=groups[0],
        performing=performing,
        late_balance=owed[late] / 100.0,
        late_since=np.maximum(days[late] // DAYS_A_MONTH, 1),
        late_band=band[late],
        pending_balance=performance.charge_off.sum(axis=0)[pending] / 100.0,
        pending_in=due[pending],
        pending_band=band[pending],
    )


def _pending(performance: Performance, lag: int) -> tuple[NDArray[np.bool_], IntArray]:
    """(n,) loans whose recovery is still due, and in how many months."""
    months, written = performance.months, performance.charge_off > 0
    number = np.arange(1, months + 1)[:, None]
    last = np.where(written, number, 0).max(axis=0, initial=0)
    due = last + lag - months
    return (last > 0) & (due > 0) & ~(performance.recovery > 0).any(axis=0), due


# ----------------------------------------------------------------------------------------------- what has happened
def actual_flows(loans: LoanArrays, performance: Performance) -> PoolFlows:
    """The reported months as one path of pool flows; a loan defaults when it is charged off, late loans are arrears.

    Raises ValueError where nothing is reported, or the columns contradict each other.
    """
    owed, days = performance.balance / 100.0, performance.days_past_due[1:]
    columns = {
        name: getattr(performance, name).sum(axis=1) / 100.0
        for name in FLOWS
    }
    edges = (*BUCKET_AFTER, np.inf)
    late = [
        np.where((days > edges[b]) & (days <= edges[b + 1]), owed[1:], 0.0).sum(axis=1)
        for b in range(len(BUCKET_AFTER))
    ]
    opening = owed[:-1].sum(axis=1)
    earned = (owed[:-1] * loans.rate).sum(axis=1)
    return servicer_flows(
        float(owed[0].sum()),
        columns
        | {
            "count": (owed[1:] > 0).sum(axis=1),
            "coupon": np.divide(earned, opening, out=np.zeros_like(opening), where=opening > 0),
            "ending_balance": owed[1:].sum(axis=1),
        },
        group=str(loans.group[0]),
        delinquent=np.stack(late),
    )


def replayed(program: Program, flows: PoolFlows) -> DealFlows:
    """The deal on what its pool has paid so far; the state after the last date is kept. Errors as execute()."""
    return execute(program, flows, ends=False)


# -------------------------------------------------------------------------------------------------- what is to come
def remaining_flows(
    pool: SeasonedPool, model: CreditModel, scenarios: ScenarioSet, choice: EngineChoice, longest: int
) -> PoolFlows:
    """Flows of what is left of a pool, months from its rating date, at most `longest`.

    Loans that pay are simulated. Late ones default at once: charged off when they reach the model's charge_off_lag
    since their first missed payment, the recovery at the scenario's severity recovery_lag months later. Without late
    loans and recoveries to come these are the bytes of the simulation.
    """
    simulated = None if pool.performing is None else Simulator(pool.performing, model, choice).flows(scenarios)
    if simulated is not None and not len(pool.late_balance) and not len(pool.pending_balance):
        return cut(simulated, longest)
    tail = model.charge_off_lag + model.recovery_lag
    months = min(longest, max(tail, 0 if simulated is None else simulated.months))
    kept = scenario_shocks(model, scenarios).severity
    run_off = _run_off(pool, model, 1.0 - kept, months)
    if simulated is None:
        return PoolFlows(groups=(pool.group,), opening_balance=np.array([pool.balance]), **run_off)
    whole = _stretched(cut(simulated, months), months)
    return PoolFlows(
        groups=simulated.groups,
        opening_balance=simulated.opening_balance + float(pool.late_balance.sum()),
        **{name: column + run_off[name] if name != "coupon" else column for name, column in whole.items()},
    )


def _run_off(pool: SeasonedPool, model: CreditModel, recovered: FloatArray, months: int) -> dict[str, Any]:
    """Columns of PoolFlows of the late loans and the recoveries to come, one group; recovered: (S, B) shares."""
    size = len(recovered)
    blank = (1, months, size)
    columns: dict[str, Any] = {
        name: np.zeros(blank)
        for name in (
            "interest", "scheduled_principal", "prepayment", "default", "charge_off", "recovery", "performing",
            "defaulted", "count", "coupon",
        )
    }  # fmt: skip
    columns["delinquent"] = np.zeros((1, len(DELINQUENT_BUCKETS), months, size))
    columns["default"][0, 0] += pool.late_balance.sum()
    written_in = np.maximum(model.charge_off_lag - pool.late_since, 1)
    for since in np.unique(pool.late_since).tolist():
        alike = pool.late_since == since
        for t in range(1, min(int(np.maximum(model.charge_off_lag - since, 1)), months + 1)):
            bucket = min(since + t, len(DELINQUENT_BUCKETS) - 1)
            columns["delinquent"][0, bucket, t - 1] += pool.late_balance[alike].sum()
            columns["count"][0, t - 1] += float(alike.sum())
    bands = recovered.shape[1]
    written = _by_month(months, bands, written_in, pool.late_band, pool.late_balance)
    columns["charge_off"][0] += written.sum(axis=1)[:, None]
    back = _by_month(months, bands, written_in + model.recovery_lag, pool.late_band, pool.late_balance)
    back += _by_month(months, bands, pool.pending_in, pool.pending_band, pool.pending_balance)
    for band in range(bands):  # written out, not a matrix product: the same bytes on any linear-algebra library
        columns["recovery"][0] += back[:, band, None] * recovered[:, band]
    columns["defaulted"] = np.cumsum(columns["charge_off"], axis=1)
    return columns


def _by_month(months: int, bands: int, month: IntArray, band: IntArray, amount: FloatArray) -> FloatArray:
    """(months, bands) sums of the amounts; what falls beyond the horizon is cut."""
    seen = month <= months
    cell = (month[seen] - 1) * bands + band[seen]
    return np.bincount(cell, amount[seen], months * bands).reshape(months, bands).astype(np.float64)


def _stretched(flows: PoolFlows, months: int) -> dict[str, FloatArray]:
    """The columns over a longer horizon: flows end, and the stock of what was charged off stays."""
    more = months - flows.months
    found: dict[str, FloatArray] = {}
    for name, column in flows.columns.items():
        axis = column.ndim - 2
        width = [(0, 0)] * column.ndim
        width[axis] = (0, more)
        found[name] = np.pad(column, width, mode="edge" if name == "defaulted" else "constant")
    return found


# ------------------------------------------------------------------------------------------------------- the rating
class SeasonedRater(FlowRater):
    """FlowRater on a deal in mid-life: the waterfall goes on from a state, and what a class is owed today is what it
    is promised."""

    def __init__(
        self, flows: PoolFlows, weights: FloatArray, *, pool: int, model: CreditModel, state: DealState | None
    ) -> None:
        """pool: cents at cut-off; state: of the deal, None at closing; flows: from its date on."""
        lags = Lags(model.charge_off_lag, model.recovery_lag)
        super().__init__(flows, weights, pool=pool, lags=lags, cap=history_cap(model.history_months))
        self.state = state

    def run(self, spec: DealSpec) -> tuple[DealFlows, dict[str, str] | None]:
        """As FlowRater.run, from the state on."""
        self.executes += 1
        whole = execute(compile_deal(spec, self.pool), self.joint, self.state)
        if self.state is not None:
            whole = replace(whole, initial_balance=claims(self.state))
        if not self.stressed:
            return whole, None
        multiples = grades_by_multiple(
            scenarios_part(whole, slice(self.scenarios, None)), deferrable=deferrable_of(spec)
        )
        return scenarios_part(whole, slice(0, self.scenarios)), multiples


def claims(state: DealState) -> FloatArray:
    """(K,) what each class is owed: principal and unpaid interest; 0 for what rounding leaves of a class paid in
    full. state: one for all scenarios."""
    owed = state.balance[:, 0] + state.interest_shortfall[:, 0]
    return np.where(owed > HALF_A_CENT, owed, 0.0)


@dataclass(frozen=True, eq=False)
class Rerating:
    """A deal rated again. ratings: classes that are owed something. pool: what was rated on; flows, scenarios: how.
    deal: what the deal has paid so far, None at closing. rater: losses of what is left, as shares of its balance."""

    ratings: tuple[TrancheRating, ...]
    pool: SeasonedPool
    flows: PoolFlows
    scenarios: ScenarioSet
    deal: DealFlows | None
    rater: SeasonedRater

    @property
    def state(self) -> DealState | None:
        return self.rater.state


def rerate(
    *,
    spec: DealSpec,
    pool: int,
    loans: LoanArrays,
    performance: Performance,
    model: CreditModel,
    scenarios: int,
    seed: int,
    choice: EngineChoice,
) -> Rerating:
    """Rate a solved deal on the pool as it stands after the reported months.

    pool: cents at cut-off; loans: at cut-off. scenarios, seed: as of a rating; at month 0, with those of the original
    rating, its figures come out again. Raises ValueError where nothing is left, or the months reach beyond legal final.
    """
    program = compile_deal(spec, pool)
    seasoned = seasoned_pool(loans, performance, model)
    deal = replayed(program, actual_flows(loans, performance)) if performance.months else None
    state = None if deal is None else deal.state_after(performance.months)
    # All loans late: their band still needs a scenario set, drawn along the direction of the whole pool.
    drawn = rating_scenarios(loans if seasoned.performing is None else seasoned.performing, model, scenarios, seed)
    flows = remaining_flows(seasoned, model, drawn, choice, program.months - performance.months)
    rater = SeasonedRater(flows, drawn.weights, pool=pool, model=model, state=state)
    return Rerating(rater.rate(spec), seasoned, flows, drawn, deal, rater)


def class_standing(spec: DealSpec, state: DealState | None) -> Mapping[str, tuple[float, float]]:
    """Class -> balance and unpaid interest at the state, currency units; as issued where there is none."""
    if state is None:
        return {tranche.name: ((tranche.balance or 0) / 100.0, 0.0) for tranche in spec.tranches}
    return {
        tranche.name: (float(state.balance[k, 0]), float(state.interest_shortfall[k, 0]))
        for k, tranche in enumerate(spec.tranches)
    }
