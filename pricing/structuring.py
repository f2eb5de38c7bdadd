"""From simulated collateral to a solved deal: sizes, coupons, grades and prices at their fixed point.

Pure composition of the engines of pooling, rating and pricing; nothing is stored here. Base case: the waterfall
on the scenario-mean collateral flows, at which average lives, prices, yields and break-evens are quoted. A class is
priced as the worse end of its grade interval, which is what sizing secures; the point estimate may read better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.structure import StructureSolution, solve_structure
from pricing.engine.tranches import TranchePrice, class_lives, par_coupons, price_tranches
from rating.engine.breakeven import ClassBreakEven, Speeds, base_speeds, break_evens, loss_flows, most_severe_loss
from rating.engine.curves import CHARGE_OFF_LAG, RECOVERY_LAG
from rating.engine.grades import Cap, capped_targets, grades_by_multiple, history_cap, stressed_losses
from rating.engine.intervals import ModelInterval, parameter_factors
from rating.engine.losses import LossDistribution, MonthlyLosses, loss_distribution, monthly_losses, pool_defaults
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.sizing import Confidence, SizingResult, confidence_of, size_tranches
from rating.engine.tranches import ClassDetail, TrancheRating, class_details, rate_tranches

FloatArray = NDArray[np.float64]

ASSET_CLASS = "unsecured_consumer"
START_LIFE_YEARS = 2.0


@dataclass(frozen=True)
class Structure:
    """A solved deal. spec carries balances and coupons; deal: flows on every scenario; base: on the mean path.

    ratings, details: classes with a balance, senior to junior. dropped: class -> why it has no size; lowered: class ->
    why its target is below the template's. confidence: rated class with a target -> its margin. cap: of a short
    history, None where none binds or no model was given. losses, by_month: of the pool; defaults: (S,) lifetime
    defaults; interval: model interval of the expected loss. break_evens: every class, at the speeds of the base case.
    """

    spec: DealSpec
    deal: DealFlows
    base: DealFlows
    base_flows: PoolFlows
    losses: LossDistribution
    ratings: tuple[TrancheRating, ...]
    prices: tuple[TranchePrice, ...]
    solution: StructureSolution
    dropped: Mapping[str, str]
    details: tuple[ClassDetail, ...]
    by_month: MonthlyLosses
    defaults: FloatArray
    interval: ModelInterval | None
    break_evens: tuple[ClassBreakEven, ...]
    speeds: Speeds
    cap: Cap | None
    lowered: Mapping[str, str]
    confidence: Mapping[str, Confidence]


def check_ratable(template: DealSpec, surroundings: Surroundings | None = None) -> None:
    """What a rating request takes: monthly payments at fixed coupons from a static pool. What the deal language says
    beyond that needs surroundings that a request cannot state yet: paths of indices, collateral to buy.

    Raises ValueError naming what cannot be rated.
    """
    if surroundings is not None:
        return
    if template.payment_frequency != "monthly":
        raise ValueError(
            f"payment_frequency: only monthly deals are rated and priced so far, not {template.payment_frequency}"
        )
    for number, tranche in enumerate(template.tranches):
        if tranche.kind == "interest_only":
            raise ValueError(
                f"tranches[{number}].kind: class {tranche.name} has no principal; strips are not priced so far"
            )
        if tranche.coupon is not None and not isinstance(tranche.coupon, float | int):
            raise ValueError(
                f"tranches[{number}].coupon: only fixed coupons are rated and priced so far; give a number"
            )
    if template.revolving is not None:
        raise ValueError("revolving: only static pools are rated and priced so far; leave it out")
    for key in ("hedges", "facilities"):
        if getattr(template, key):
            raise ValueError(f"{key}: deals with {key} are not rated and priced so far; leave them out")


@dataclass(frozen=True)
class Surroundings:
    """What a deal is executed in beside its pool. rates: index -> (P,) annual fractions by payment date, one path for
    all scenarios. replacement: flows of the collateral that a revolving period buys, one scenario or as many as the
    pool's."""

    rates: Mapping[str, FloatArray]
    replacement: PoolFlows | None = None


class _Structurer:
    def __init__(
        self,
        template: DealSpec,
        flows: PoolFlows,
        scenarios: ScenarioSet,
        snapshot: MarketSnapshot,
        pool: int,
        model: CreditModel | None,
        surroundings: Surroundings | None,
    ) -> None:
        check_ratable(template, surroundings)
        self.surroundings = surroundings or Surroundings({})
        self.template, self.flows, self.snapshot, self.pool = template, flows, snapshot, pool
        self.weights = scenarios.weights
        self.base_flows = flows.weighted_mean(self.weights)
        self.losses = loss_distribution(flows, self.weights)
        self.cap = None if model is None else history_cap(model.history_months)
        self.speeds = base_speeds(
            self.base_flows,
            charge_off_lag=CHARGE_OFF_LAG if model is None else model.charge_off_lag,
            recovery_lag=RECOVERY_LAG if model is None else model.recovery_lag,
        )
        self.stress = self._stress_paths()
        # One run of the waterfall serves both: some paths more cost next to nothing.
        self.joint = flows if self.stress is None else PoolFlows.concatenate([flows, _beside(flows, self.stress)])
        self.targets = {t.name: t.target_grade for t in template.tranches if t.target_grade is not None}
        self.deferrable = [t.name for t in template.tranches if t.interest_deferrable]
        self.sized: dict[str, SizingResult] = {}
        unsized = [t.name for t in template.tranches if t.balance is None]
        if unsized and len(unsized) < len(template.tranches):
            raise ValueError(f"tranches: class {unsized[0]} has no balance while others have; give all or none")
        for tranche in template.tranches:
            if tranche.balance is None and tranche.target_grade is None:
                raise ValueError(f"tranches: class {tranche.name} has neither balance nor target_grade; give one")
        self.unsized = bool(unsized)

    def run(self, coupons: Mapping[str, float], balances: Mapping[str, int], flows: PoolFlows) -> DealFlows:
        program = compile_deal(self.template.with_solution(balances, coupons), self.pool)
        around = self.surroundings
        return execute(program, flows, rates=around.rates, replacement=around.replacement)

    def _stress_paths(self) -> PoolFlows | None:
        """One path a grade: the base case scaled to the loss that the grade has to survive; None without defaults."""
        base_loss = self.losses.expected_loss
        if not self.base_flows.default.any() or not base_loss > 0.0:
            return None
        return loss_flows(
            self.base_flows, stressed_losses(base_loss, most_severe_loss(self.base_flows, self.speeds)), self.speeds
        )

    def run_joint(
        self, coupons: Mapping[str, float], balances: Mapping[str, int]
    ) -> tuple[DealFlows, dict[str, str] | None]:
        """The deal on the scenario set, as far as a rating reads it, and each class's grade by the multiple rule."""
        whole = self.run(coupons, balances, self.joint)
        if self.stress is None:
            return whole, None
        count = self.flows.scenarios
        stressed = scenarios_part(whole, slice(count, None))
        return scenarios_part(whole, slice(0, count)), grades_by_multiple(stressed, deferrable=self.deferrable)

    def size(self, coupons: Mapping[str, float]) -> Mapping[str, int]:
        if not self.unsized:
            return {t.name: t.balance for t in self.template.tranches if t.balance is not None}
        multiples: dict[str, str] = {}

        def sized(balances: Mapping[str, int]) -> DealFlows:
            deal, found = self.run_joint(coupons, balances)
            multiples.clear()
            multiples.update(found or {})
            return deal

        result = size_tranches(
            sized,
            self.targets,
            self.pool,
            self.weights,
            deferrable=self.deferrable,
            pool_losses=self.losses.losses,
            multiples=lambda balances: dict(multiples),
            cap=self.cap,
        )
        self.sized["last"] = result
        return result.balances

    def evaluate(
        self, balances: Mapping[str, int], coupons: Mapping[str, float]
    ) -> tuple[dict[str, str], dict[str, float]]:
        ratings = {r.name: r.grade_low for r in self.rate(*self.run_joint(coupons, balances))}
        lives = class_lives(self.run(coupons, balances, self.base_flows))
        worst = self.snapshot.scale[-1]
        grades = {name: ratings.get(name, worst) for name in balances}
        return grades, {name: lives[name] if balances[name] else START_LIFE_YEARS for name in balances}

    def rate(self, deal: DealFlows, multiples: Mapping[str, str] | None) -> tuple[TrancheRating, ...]:
        return rate_tranches(
            deal,
            self.weights,
            deferrable=self.deferrable,
            pool_losses=self.losses.losses,
            multiples=multiples,
            cap=self.cap,
        )

    def coupons_for(self, grades: Mapping[str, str], lives: Mapping[str, float]) -> dict[str, float]:
        asked = par_coupons(
            grades,
            lives,
            self.snapshot,
            asset_class=ASSET_CLASS,
            payments_a_year=12 // self.template.months_between,
        )
        given = {t.name: float(t.coupon) for t in self.template.tranches if isinstance(t.coupon, float | int)}
        return asked | given


def structure_deal(
    *,
    template: DealSpec,
    flows: PoolFlows,
    scenarios: ScenarioSet,
    snapshot: MarketSnapshot,
    pool_balance: int,
    model: CreditModel | None = None,
    surroundings: Surroundings | None = None,
) -> Structure:
    """Solve what the template leaves open and value the result.

    Balances that are null are sized to the target grades; coupons that are null become par coupons of the grade
    and average life reached. pool_balance: cents. model: that the flows were simulated with; it says which parameters
    are uncertain, how long the history is and the lags of charge-off and recovery; without it there are no model
    intervals and no cap, and the lags are the documented curve's. Raises ValueError when a target is out of reach, or
    the template leaves the balances of only some classes open.
    """
    work = _Structurer(template, flows, scenarios, snapshot, pool_balance, model, surroundings)
    start = work.coupons_for(
        {t.name: t.target_grade or snapshot.scale[-1] for t in template.tranches},
        {t.name: START_LIFE_YEARS for t in template.tranches},
    )
    solution = solve_structure(start, size=work.size, evaluate=work.evaluate, coupons_for=work.coupons_for)
    run = partial(work.run, solution.coupons, solution.balances)
    deal, base = run(flows), run(work.base_flows)
    stressed = None if work.stress is None else run(work.stress)
    multiples = None if stressed is None else grades_by_multiple(stressed, deferrable=work.deferrable)
    ratings = work.rate(deal, multiples)
    grades = {name: snapshot.scale[-1] for name in solution.balances} | {r.name: r.grade_low for r in ratings}
    targets, lowered = capped_targets(work.targets, work.cap)
    parameters = None if model is None else parameter_factors(model, scenarios)
    return Structure(
        spec=template.with_solution(solution.balances, solution.coupons),
        deal=deal,
        base=base,
        base_flows=work.base_flows,
        losses=work.losses,
        ratings=ratings,
        prices=price_tranches(base, grades, snapshot, asset_class=ASSET_CLASS),
        solution=solution,
        dropped=work.sized["last"].dropped if work.sized else {},
        details=class_details(deal, work.weights, deferrable=work.deferrable, parameters=parameters),
        by_month=monthly_losses(flows, work.weights),
        defaults=pool_defaults(flows),
        interval=None if parameters is None else work.losses.interval(*parameters),
        break_evens=break_evens(run, work.base_flows, work.speeds, deferrable=work.deferrable),
        speeds=work.speeds,
        cap=work.cap,
        lowered=lowered,
        confidence={r.name: confidence_of(r, targets[r.name]) for r in ratings if r.name in targets},
    )


def _beside(flows: PoolFlows, stress: PoolFlows) -> PoolFlows:
    """The stress paths with the optional columns of the flows, at nothing: nobody advances on them or pays late."""
    missing = flows.columns.keys() - stress.columns.keys()
    zeros: Any = {name: np.zeros((*flows.columns[name].shape[:-1], stress.scenarios)) for name in missing}
    return replace(stress, **zeros)


def scenarios_part(deal: DealFlows, part: slice) -> DealFlows:
    """What ratings read of some scenarios; the other columns keep all of them."""
    wide = deal.period_rate.shape[-1] > 1
    return replace(
        deal,
        interest=deal.interest[..., part],
        principal=deal.principal[..., part],
        interest_shortfall=deal.interest_shortfall[..., part],
        unpaid_principal=deal.unpaid_principal[..., part],
        period_rate=deal.period_rate[..., part] if wide else deal.period_rate,
    )
