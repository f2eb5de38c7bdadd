"""What moves the grades of a solved deal: loans, model and waterfall put together for the sensitivity engines.

Pure composition, nothing is stored here (sensitivity_runs.py does that). Sizes and coupons stay as solved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from pricing.structuring import scenarios_part
from rating.engine.breakeven import base_speeds, loss_flows, most_severe_loss
from rating.engine.grades import Cap, grades_by_multiple, history_cap, stressed_losses
from rating.engine.losses import pool_defaults, pool_losses
from rating.engine.model import CreditModel
from rating.engine.reverse import FlatReverse, MildestScenario, flat_reverse, hurt_classes, mildest_scenarios
from rating.engine.scenarios import ScenarioSet
from rating.engine.sensitivity import (
    DRIVERS,
    MATRIX_PD,
    MATRIX_RECOVERY,
    ClassOutcome,
    CommonDraws,
    Outcome,
    grades_of,
    matrix_of,
    matrix_row,
    notch_movers,
    outcome,
)
from rating.engine.shocks import scenario_shocks
from rating.engine.simulation import choose_engine
from rating.engine.statistics import weighted_mean
from rating.engine.stresses import BASE, STANDARD, Stress
from rating.engine.tranches import TrancheRating, rate_tranches

FloatArray = NDArray[np.float64]
Json = dict[str, Any]

VERSION = 1


@dataclass(frozen=True)
class Lags:
    """Months from the first missed payment to charge-off, and from there to the recovery."""

    charge_off: int
    recovery: int


class FlowRater:
    """Flows and weights on which deals of one pool are rated by the rules of a rating report.

    The multiple rule is applied to the base case of these very flows; its paths ride in the same run of the waterfall.
    losses: (S,) of the pool. executes: runs of the waterfall so far.
    """

    def __init__(
        self, flows: PoolFlows, weights: FloatArray, *, pool: int, lags: Lags, cap: Cap | None
    ) -> None:
        """pool: cents at cut-off; weights: (S,). The flows end at legal final, or before."""
        self.weights, self.pool, self.cap = weights, pool, cap
        self.scenarios, self.losses, self.executes = flows.scenarios, pool_losses(flows), 0
        self.expected, _ = weighted_mean(self.losses, weights)
        base = flows.weighted_mean(weights)
        self.stressed = bool(base.default.any()) and self.expected > 0.0
        self.joint = flows
        if self.stressed:
            speeds = base_speeds(base, charge_off_lag=lags.charge_off, recovery_lag=lags.recovery)
            wanted = stressed_losses(min(self.expected, 1.0), most_severe_loss(base, speeds))
            self.joint = PoolFlows.concatenate([flows, loss_flows(base, wanted, speeds)])

    def run(self, spec: DealSpec) -> tuple[DealFlows, dict[str, str] | None]:
        """The deal on the scenarios, as far as a rating reads it, and its classes' grades by the multiple rule."""
        self.executes += 1
        whole = execute(compile_deal(spec, self.pool), self.joint)
        if not self.stressed:
            return whole, None
        multiples = grades_by_multiple(
            scenarios_part(whole, slice(self.scenarios, None)), deferrable=deferrable_of(spec)
        )
        return scenarios_part(whole, slice(0, self.scenarios)), multiples

    def rate(self, spec: DealSpec) -> tuple[TrancheRating, ...]:
        """Ratings of a deal with sizes and coupons. Raises ValueError where the spec leaves one of them open."""
        deal, multiples = self.run(spec)
        return rate_tranches(
            deal,
            self.weights,
            deferrable=deferrable_of(spec),
            pool_losses=self.losses,
            multiples=multiples,
            cap=self.cap,
        )


def deferrable_of(spec: DealSpec) -> list[str]:
    """Names of the classes that are rated on ultimate interest."""
    return [tranche.name for tranche in spec.tranches if tranche.interest_deferrable]


class Sensitivities:
    """The sensitivities of one solved deal, unit by unit, so that each can be a chunk of a run.

    units: names of the units in their order; unit(i) computes one as JSON; assemble joins them.
    """

    def __init__(
        self,
        *,
        loans: LoanArrays,
        model: CreditModel,
        spec: DealSpec,
        pool: int,
        scenarios: ScenarioSet,
        stresses: Sequence[Stress] = STANDARD,
        compiled: bool | None = None,
    ) -> None:
        """spec: solved, with sizes and coupons. pool: cents at cut-off. scenarios: of the model, see of_model."""
        self.model, self.spec, self.pool, self.stresses = model, spec, pool, tuple(stresses)
        self.program = compile_deal(spec, pool)
        self.cap = history_cap(model.history_months)
        self.draws = CommonDraws(loans, model, scenarios, longest=self.program.months, compiled=compiled)
        self.units = [
            *(("stress", n) for n in range(len(self.stresses))),
            *(("row", n) for n in range(len(MATRIX_PD))),
            *(("driver", n) for n in range(len(DRIVERS))),
            ("reverse", 0),
        ]

    def rate(self, stress: Stress, flows: PoolFlows) -> tuple[TrancheRating, ...]:
        """Ratings under a stress: the multiple rule takes the stress's own recovery lag."""
        later = sum(round(change.size) for change in stress.changes if change.kind == "lag")
        lags = Lags(self.model.charge_off_lag, self.model.recovery_lag + later)
        rater = FlowRater(flows, self.draws.weights, pool=self.pool, lags=lags, cap=self.cap)
        return rater.rate(self.spec)

    @cached_property
    def base(self) -> Outcome:
        """The base case on the common draws, from which notches count."""
        return outcome(BASE, self.draws.flows(), self.draws.weights, self.rate, {})

    def unit(self, number: int) -> Json:
        """One unit as JSON. Raises IndexError for a number beyond the units."""
        kind, n = self.units[number]
        if kind == "stress":
            stress = self.stresses[n]
            grades = grades_of(self.base)
            found = outcome(stress, self.draws.flows(stress), self.draws.weights, self.rate, grades)
            return {"stress": _outcome(found)}
        if kind == "row":
            row = matrix_row(self.draws, self.rate, MATRIX_PD[n], MATRIX_RECOVERY)
            return {"row": [_outcome(cell) for cell in row]}
        if kind == "driver":
            movers = notch_movers(self.draws, self.rate, grades_of(self.base), [DRIVERS[n]])
            return {"movers": [asdict(mover) for mover in movers]}
        return {"base": _outcome(self.base), "reverse": self._reverse(), "made_by": self._made_by()}

    def _reverse(self) -> Json:
        flows, deferrable, scenarios = self.draws.flows(), deferrable_of(self.spec), self.draws.scenarios
        live = list(grades_of(self.base))
        hurt = hurt_classes(execute(self.program, flows), deferrable=deferrable)

        def fails(points: FloatArray) -> Mapping[str, NDArray[np.bool_]]:
            return hurt_classes(execute(self.program, self.draws.at(points)), deferrable=deferrable)

        mildest = mildest_scenarios(
            scenarios.names, scenarios.factors, scenarios.weights, {name: hurt[name] for name in live}, fails
        )
        base = flows.weighted_mean(scenarios.weights)
        speeds = base_speeds(
            base, charge_off_lag=self.model.charge_off_lag, recovery_lag=self.model.recovery_lag
        )
        flat = flat_reverse(lambda pool: execute(self.program, pool), base, speeds, deferrable=deferrable)
        return {
            "mildest": [self._mildest(found) for found in mildest],
            "flat": [_flat(row) for row in flat if row.name in live],
        }

    def _mildest(self, found: MildestScenario) -> Json:
        """A combination of factors with what it means for the pool: multipliers, severity, losses."""
        row = asdict(found) | {"means": None}
        if found.factors is None:
            return row
        names = self.draws.scenarios.names
        point = np.array([[found.factors[name] for name in names]])
        shocks = scenario_shocks(
            self.model, ScenarioSet(seed=0, first=0, names=names, factors=point, weights=np.ones(1))
        )
        flows = self.draws.at(point, first=found.scenario or 0)
        row["means"] = {
            "default_level": float(shocks.default[0]),
            "prepayment": float(shocks.prepayment[0]),
            "severity": float(shocks.severity[0].mean()),
            "market": float(shocks.market[0]),
            "loss": float(pool_losses(flows)[0]),
            "default_rate": float(pool_defaults(flows)[0]),
        }
        return row

    def _made_by(self) -> Json:
        choice = choose_engine(self.draws.loans, self.model, self.draws.engine, self.draws.compiled)
        scenarios = self.draws.scenarios
        return {
            "version": VERSION,
            "credit_model": self.model.content_hash(),
            "spec_hash": self.spec.content_hash(),
            "seed": scenarios.seed,
            "scenarios": len(scenarios),
            "effective_scenarios": scenarios.effective_size,
            "proposal": scenarios.proposal,
            "engine": f"{choice.name} engine, {'Numba' if choice.compiled else 'NumPy'}",
            "stresses": {stress.label: stress.content_hash() for stress in self.stresses},
            "cap": None if self.cap is None else asdict(self.cap),
        }


def assemble(parts: Sequence[Json]) -> Json:
    """The result of all units in their order: base, tornado, matrix, movers, reverse, made_by."""
    last = parts[-1]
    rows = [[_outcome_from(cell) for cell in part["row"]] for part in parts if "row" in part]
    return {
        "base": last["base"],
        "tornado": [part["stress"] for part in parts if "stress" in part],
        "matrix": asdict(matrix_of(MATRIX_PD, MATRIX_RECOVERY, rows)),
        "movers": [row for part in parts for row in part.get("movers", ())],
        "reverse": last["reverse"],
        "made_by": last["made_by"],
    }


def sensitivities(progress: Callable[[int, int], None] | None = None, **given: Any) -> Json:
    """Every unit of Sensitivities(**given) in this process, assembled. progress: called after each unit."""
    work = Sensitivities(**given)
    parts = []
    for number in range(len(work.units)):
        parts.append(work.unit(number))
        if progress is not None:
            progress(number + 1, len(work.units))
    return assemble(parts)


def unit_count(stresses: Collection[Stress] = STANDARD) -> int:
    """How many units a run has, known before its loans are read."""
    return len(stresses) + len(MATRIX_PD) + len(DRIVERS) + 1


def _outcome(found: Outcome) -> Json:
    row = asdict(found)
    row["stress"] = found.stress.to_json()
    row["classes"] = list(row["classes"])
    return row


def _outcome_from(row: Mapping[str, Any]) -> Outcome:
    classes = tuple(ClassOutcome(**each) for each in row["classes"])
    return Outcome(Stress.from_json(row["stress"]), row["pool_loss"], classes)


def _flat(row: FlatReverse) -> Json:
    found = asdict(row)
    found["by_severity"] = {f"{severity:g}": cdr for severity, cdr in row.by_severity.items()}
    return found
