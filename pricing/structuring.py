"""From simulated collateral to a solved deal: sizes, coupons, grades and prices at their fixed point.

Pure composition of the engines of pooling, rating and pricing; nothing is stored here. Base case: the waterfall
on the scenario-mean collateral flows, at which average lives, prices and yields are quoted. A class is priced as
the worse end of its grade interval, which is what sizing secures; the point estimate may read better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from pricing.engine.curve import MarketSnapshot
from pricing.engine.structure import StructureSolution, solve_structure
from pricing.engine.tranches import TranchePrice, class_lives, par_coupons, price_tranches
from rating.engine.losses import LossDistribution, loss_distribution
from rating.engine.scenarios import ScenarioSet
from rating.engine.sizing import SizingResult, size_tranches
from rating.engine.tranches import TrancheRating, rate_tranches

ASSET_CLASS = "unsecured_consumer"
START_LIFE_YEARS = 2.0


@dataclass(frozen=True)
class Structure:
    """A solved deal. spec carries balances and coupons; deal: flows on every scenario; base: on the mean path.

    ratings: classes with a balance, senior to junior. dropped: class -> why it has no size.
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


def check_ratable(template: DealSpec) -> None:
    """Rating and pricing value monthly flows at fixed coupons; the deal language says more than that.

    Raises ValueError naming what cannot be rated yet.
    """
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


class _Structurer:
    def __init__(
        self, template: DealSpec, flows: PoolFlows, scenarios: ScenarioSet, snapshot: MarketSnapshot, pool: int
    ) -> None:
        check_ratable(template)
        self.template, self.flows, self.snapshot, self.pool = template, flows, snapshot, pool
        self.weights = scenarios.weights
        self.base_flows = flows.weighted_mean(self.weights)
        self.losses = loss_distribution(flows, self.weights)
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
        return execute(compile_deal(self.template.with_solution(balances, coupons), self.pool), flows)

    def size(self, coupons: Mapping[str, float]) -> Mapping[str, int]:
        if not self.unsized:
            return {t.name: t.balance for t in self.template.tranches if t.balance is not None}
        result = size_tranches(
            lambda balances: self.run(coupons, balances, self.flows),
            self.targets,
            self.pool,
            self.weights,
            deferrable=self.deferrable,
            pool_losses=self.losses.losses,
        )
        self.sized["last"] = result
        return result.balances

    def evaluate(
        self, balances: Mapping[str, int], coupons: Mapping[str, float]
    ) -> tuple[dict[str, str], dict[str, float]]:
        ratings = {r.name: r.grade_low for r in self.rate(self.run(coupons, balances, self.flows))}
        lives = class_lives(self.run(coupons, balances, self.base_flows))
        worst = self.snapshot.scale[-1]
        grades = {name: ratings.get(name, worst) for name in balances}
        return grades, {name: lives[name] if balances[name] else START_LIFE_YEARS for name in balances}

    def rate(self, deal: DealFlows) -> tuple[TrancheRating, ...]:
        return rate_tranches(deal, self.weights, deferrable=self.deferrable, pool_losses=self.losses.losses)

    def coupons_for(self, grades: Mapping[str, str], lives: Mapping[str, float]) -> dict[str, float]:
        asked = par_coupons(grades, lives, self.snapshot, asset_class=ASSET_CLASS)
        given = {t.name: float(t.coupon) for t in self.template.tranches if isinstance(t.coupon, float | int)}
        return asked | given


def structure_deal(
    *, template: DealSpec, flows: PoolFlows, scenarios: ScenarioSet, snapshot: MarketSnapshot, pool_balance: int
) -> Structure:
    """Solve what the template leaves open and value the result.

    Balances that are null are sized to the target grades; coupons that are null become par coupons of the grade
    and average life reached. pool_balance: cents. Raises ValueError when a target is out of reach, or the
    template leaves the balances of only some classes open.
    """
    work = _Structurer(template, flows, scenarios, snapshot, pool_balance)
    start = work.coupons_for(
        {t.name: t.target_grade or snapshot.scale[-1] for t in template.tranches},
        {t.name: START_LIFE_YEARS for t in template.tranches},
    )
    solution = solve_structure(start, size=work.size, evaluate=work.evaluate, coupons_for=work.coupons_for)
    run = partial(work.run, solution.coupons, solution.balances)
    deal, base = run(flows), run(work.base_flows)
    ratings = work.rate(deal)
    grades = {name: snapshot.scale[-1] for name in solution.balances} | {r.name: r.grade_low for r in ratings}
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
    )
