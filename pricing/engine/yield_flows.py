"""The collateral's flows under the scenarios of a price/yield table, all of them side by side, and what breaks a class.

Not here: the grid itself (yield_grid.py) and what the classes are worth (yield_table.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pooling.engine.analytics import BreakEven, break_even, class_losses
from pooling.engine.analytics.search import first_breaks
from pooling.engine.assumptions import Assumptions, Default, EventOrder, Prepayment, assumed_flows
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, Program, execute
from pricing.engine.yield_grid import Curve, Scenario

FloatArray = NDArray[np.float64]

ADVANCED = ("advanced_interest", "advanced_principal")
Axis = Literal["cdr", "cpr", "severity"]
AXES: tuple[Axis, ...] = ("cdr", "cpr", "severity")
HIGHEST, TOLERANCE, GROUP_TOLERANCE = 0.99, 1e-4, 1e-3
# Stresses of the first grid, a percent apart: a class that breaks and holds again within one step can be missed.
POINTS = 100


def horizon_of(program: Program, loans: LoanArrays, scenarios: Sequence[Scenario]) -> int:
    """Months that cover the longest loan and all lags, no later than legal final takes collections.

    The last of them is the deal's final date, as in a rating: one for all scenarios of a table, so that a longer lag in
    one of them gives every class more time.
    """
    tail = max(each.charge_off_lag + each.recovery_lag for each in scenarios)
    return min(program.months, int(loans.remaining_term.max()) + tail)


def event_order_of(program: Program) -> EventOrder:
    """The deal's order of events; a servicer only reports, and speeds then take the usual order."""
    rule = program.spec.conventions.event_order
    return "default_first" if rule == "SERVICER" else rule


def scenario_flows(
    loans: LoanArrays, scenarios: Sequence[Scenario], *, months: int, event_order: EventOrder = "default_first"
) -> PoolFlows:
    """Flows of the pool, S = len(scenarios) in their order, T = months.

    Scenarios that share the kind of speed, the lags and whether anything is advanced run in one recursion. Where a
    share a of the defaulted loans is advanced, flows are (1 - a) x those without + a x those with advances: every loan
    is in one of the two, and flows of loans add up. Severity is of the balance charged off, after the servicer is
    repaid. Raises ValueError where there is no scenario.
    """
    if not scenarios:
        raise ValueError("scenarios: none are given; a table needs at least one")
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, each in enumerate(scenarios):
        key = (each.prepayment, each.recovery_lag, each.charge_off_lag, each.advance > 0.0)
        alike.setdefault(key, []).append(place)
    parts = [_alike(loans, [scenarios[i] for i in places], months, event_order) for places in alike.values()]
    if len(parts) == 1:
        return parts[0]
    if any(part.advanced_interest is not None for part in parts):
        parts = [_with_advances(part) for part in parts]
    joined = PoolFlows.concatenate(parts)
    back = np.argsort(np.concatenate([np.array(places) for places in alike.values()]), kind="stable")
    columns: dict[str, Any] = {name: np.ascontiguousarray(column[..., back]) for name, column in joined.columns.items()}
    return replace(joined, **columns)


def _alike(loans: LoanArrays, scenarios: Sequence[Scenario], months: int, event_order: EventOrder) -> PoolFlows:
    first = scenarios[0]

    def side_by_side(curves: Sequence[Curve]) -> FloatArray:
        return np.stack([curve.over(months) for curve in curves], axis=1)

    given = Assumptions(
        prepayment=Prepayment(first.prepayment, side_by_side([each.speed for each in scenarios])),
        default=Default("cdr", side_by_side([each.cdr for each in scenarios])),
        severity=side_by_side([each.severity for each in scenarios]),
        charge_off_lag=first.charge_off_lag,
        recovery_lag=first.recovery_lag,
        event_order=event_order,
    )
    share = np.array([each.advance for each in scenarios])
    if not share.any():
        return assumed_flows(loans, given, horizon=months)
    advanced = assumed_flows(loans, replace(given, advances="principal_and_interest"), horizon=months)
    if (share == 1.0).all():
        return advanced
    without = _with_advances(assumed_flows(loans, given, horizon=months)).columns
    mixed: Any = {name: (1.0 - share) * without[name] + share * column for name, column in advanced.columns.items()}
    return replace(advanced, **mixed)


def _with_advances(flows: PoolFlows) -> PoolFlows:
    """The flows with columns of advances, at nothing where they had none."""
    missing: Any = {name: np.zeros_like(flows.interest) for name in ADVANCED if getattr(flows, name) is None}
    return replace(flows, **missing) if missing else flows


@dataclass(frozen=True)
class ScenarioRuns:
    """A deal under S scenarios. runs: flows, with the places of their columns among the scenarios; loss: (S,), see
    collateral_loss."""

    runs: tuple[tuple[DealFlows, tuple[int, ...]], ...]
    loss: FloatArray


def scenario_runs(
    program: Program,
    loans: LoanArrays,
    scenarios: Sequence[Scenario],
    *,
    months: int,
    options: Mapping[str, Any] | None = None,
) -> ScenarioRuns:
    """All scenarios side by side through the waterfall: in one run, in two where some go to call and some to maturity,
    which is an option of a run. options: of execute() beside flows and to_call; index rates may be (P, S).
    """
    losses, runs = np.zeros(len(scenarios)), []
    for call in (True, False):
        places = tuple(place for place, each in enumerate(scenarios) if each.to_call is call)
        if places:
            order = event_order_of(program)
            flows = scenario_flows(loans, [scenarios[i] for i in places], months=months, event_order=order)
            losses[list(places)] = collateral_loss(flows)
            runs.append((execute(program, flows, to_call=call, **_of(options or {}, places)), places))
    return ScenarioRuns(tuple(runs), losses)


def _of(options: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """The options for some of the scenarios."""
    rates = {name: np.asarray(rate, dtype=np.float64) for name, rate in options.get("rates", {}).items()}
    wide = {name: rate[:, places] for name, rate in rates.items() if rate.ndim == 2 and rate.shape[1] > 1}
    return {**options, **({"rates": rates | wide} if rates else {})}


def collateral_loss(flows: PoolFlows) -> FloatArray:
    """(S,) principal charged off less recoveries within the horizon, over the cut-off balance."""
    return np.asarray(flows.loss.sum(axis=(0, 1)) / flows.opening_balance.sum(), dtype=np.float64)


# --------------------------------------------------------------------------------------------------------- break-even
@dataclass(frozen=True)
class ClassBreak:
    """One class along one axis. found: see pooling.engine.analytics.BreakEven; loss: collateral loss over the cut-off
    balance at its stress, None where no stress hurts. holds_again: the lowest stress tested above it at which the class
    loses nothing, as fine as the first grid, None where there is none."""

    axis: Axis
    found: BreakEven
    loss: float | None

    @property
    def holds_again(self) -> float | None:
        return next((change.above for change in self.found.changes if not change.broken), None)


@dataclass(frozen=True)
class BreakTable:
    """Break-evens of every class: rows[axis] in the order of the deal. at: the scenario whose other speeds stand still;
    high: the highest stress tested; tolerance: how near the figures are; runs: of the waterfall."""

    at: Scenario
    rows: Mapping[Axis, tuple[ClassBreak, ...]]
    high: float
    tolerance: float
    runs: int


def break_table(
    program: Program,
    loans: LoanArrays,
    at: Scenario,
    *,
    months: int,
    options: Mapping[str, Any] | None = None,
    axes: Collection[Axis] = AXES,
) -> BreakTable:
    """Lowest flat CDR, CPR and severity at which each class has its first dollar of principal loss or interest
    shortfall, all else as in `at`; of a class whose interest may be deferred, unpaid interest at the end.

    options: of execute() beside flows and to_call. Raises ValueError as execute() does.
    """
    deferrable = [tranche.name for tranche in program.spec.tranches if tranche.interest_deferrable]
    rows, runs = {}, 0
    for axis in AXES:
        if axis not in axes:
            continue
        losses: dict[float, float] = {}

        def run(stresses: FloatArray, axis: Axis = axis, losses: dict[float, float] = losses) -> DealFlows:
            flows = _stressed(program, loans, at, axis, stresses, months)
            losses.update(zip(stresses.tolist(), collateral_loss(flows).tolist(), strict=True))
            return execute(program, flows, to_call=at.to_call, **dict(options or {}))

        found = break_even(run, 0.0, HIGHEST, tolerance=TOLERANCE, points=POINTS, deferrable=deferrable)
        rows[axis] = tuple(
            ClassBreak(axis, row, None if row.stress is None else losses[row.stress]) for row in found.classes
        )
        runs += found.rounds
    return BreakTable(at, rows, HIGHEST, TOLERANCE, runs)


@dataclass(frozen=True)
class GroupBreaks:
    """Lowest flat CDR that hurts each of K classes at the other speeds of C scenarios. cdr, loss: (K, C) annual
    fraction, and collateral loss there over the cut-off balance; NaN exactly where never is True: no CDR up to `high`
    hurts the class. tolerance: how near the figures are."""

    cdr: FloatArray
    loss: FloatArray
    never: NDArray[np.bool_]
    high: float
    tolerance: float


def group_breaks(
    program: Program,
    loans: LoanArrays,
    at: Sequence[Scenario],
    *,
    months: int,
    options: Mapping[str, Any] | None = None,
    tolerance: float = GROUP_TOLERANCE,
) -> GroupBreaks:
    """Break-even CDRs of every class around several scenarios at once: all are stressed in the same runs of the deal.

    The definition, arguments and errors are those of break_table; options must be the same for all scenarios.
    """
    deferrable = [tranche.name for tranche in program.spec.tranches if tranche.interest_deferrable]
    losses: dict[float, FloatArray] = {}

    def broken_at(stresses: FloatArray) -> NDArray[np.bool_]:
        each = [replace(one, cdr=Curve.flat(stress)) for one in at for stress in stresses.tolist()]
        found = scenario_runs(program, loans, each, months=months, options=options)
        losses.update(zip(stresses.tolist(), found.loss.reshape(len(at), -1).T, strict=True))
        broken = np.zeros((len(program.names), len(each)), dtype=bool)
        for deal, places in found.runs:
            broken[:, places] = class_losses(deal, deferrable=deferrable).broken()
        return broken.reshape(len(program.names) * len(at), -1)

    rows = first_breaks(broken_at, 0.0, HIGHEST, tolerance=tolerance, points=POINTS).rows
    shape = (len(program.names), len(at))
    cdr = np.array([np.nan if row.breaks is None else row.breaks for row in rows]).reshape(shape)
    loss = np.full(shape, np.nan)
    for k, c in np.argwhere(np.isfinite(cdr)):
        loss[k, c] = losses[float(cdr[k, c])][c]
    return GroupBreaks(cdr, loss, np.isnan(cdr), HIGHEST, tolerance)


def _stressed(
    program: Program, loans: LoanArrays, at: Scenario, axis: Axis, stresses: FloatArray, months: int
) -> PoolFlows:
    curves = [Curve.flat(stress) for stress in stresses.tolist()]
    if axis == "cpr":
        each = [replace(at, prepayment="cpr", speed=curve) for curve in curves]
    else:
        changes: list[dict[str, Any]] = [{axis: curve} for curve in curves]
        each = [replace(at, **change) for change in changes]
    return scenario_flows(loans, each, months=months, event_order=event_order_of(program))
