"""What-if by hand: a rated deal re-sized or re-graded under other assumptions, from its stored simulated flows.

No loan is drawn again, which is why it answers in under a second; what that leaves out is said with every answer. Not
here: sensitivities with loans drawn again (sensitivities.py), and who may ask (the caller's selectors).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from accounts.errors import ApplicationError
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.packing import flows_from_bytes
from pooling.engine.waterfall import DealFlows, compile_deal
from pricing.sensitivities import FlowRater, Lags, deferrable_of
from rating.engine.breakeven import base_speeds
from rating.engine.grades import Cap, history_cap
from rating.engine.model import CreditModel
from rating.engine.scale import GRADES, LOSS_GIVEN_DEFAULT, MIN_YEARS, bound_of
from rating.engine.scenarios import ScenarioSet
from rating.engine.sensitivity import cut, notches
from rating.engine.sizing import MIN_THICKNESS, UNIT_CENTS, size_tranches
from rating.engine.statistics import weighted_quantile
from rating.engine.stresses import flows_at_pd, reweighted, scaled_losses, scaled_recoveries
from rating.engine.tranches import TrancheRating
from rating.models import RatingReport
from rating.runs import model_of, scenarios_of
from runs.models import Run
from runs.registry import NotHere

FloatArray = NDArray[np.float64]

# Paths of a what-if: the first of the rating's set, itself a set of Sobol points.
MOST_SCENARIOS = 2048
# Below this share of the set's effective size, reweighting is given up for the approximation on the flows; earlier
# where sizes are searched, since the confidence bounds of a few scenarios leave room for no class at all.
FEWEST_TO_GRADE, FEWEST_TO_SIZE = 0.10, 0.25
PD_RANGE = (0.2, 5.0)
# Steps of the first guess of a size, fewer where one moves no class by more than this share of the pool.
REFINEMENTS, CLOSE = 4, 0.01


@dataclass(frozen=True, eq=False)
class Rated:
    """A rated deal with the flows it was rated on, as far as a what-if uses them.

    balances: class -> cents as solved; base: ratings of the deal as it stands, on these scenarios; severity: loss share
    of the base case; base_loss, losses: of the pool, expected and (S,).
    """

    spec: DealSpec
    pool: int
    flows: PoolFlows
    scenarios: ScenarioSet
    model: CreditModel
    severity: float
    base: tuple[TrancheRating, ...]
    base_loss: float
    losses: FloatArray

    @property
    def lags(self) -> Lags:
        return Lags(self.model.charge_off_lag, self.model.recovery_lag)

    @property
    def balances(self) -> dict[str, int]:
        return {tranche.name: tranche.balance or 0 for tranche in self.spec.tranches}

    @property
    def targets(self) -> dict[str, str]:
        return {t.name: t.target_grade for t in self.spec.tranches if t.target_grade is not None}

    @property
    def cap(self) -> Cap | None:
        return history_cap(self.model.history_months)

    def at(self, balances: Mapping[str, int]) -> DealSpec:
        """The deal with these sizes; coupons as solved."""
        coupons = {t.name: float(t.coupon) for t in self.spec.tranches if isinstance(t.coupon, float | int)}
        return self.spec.with_solution(balances, coupons)


@dataclass(frozen=True)
class Question:
    """What is changed. sizes: class -> cents, whole thousands, or empty; targets: class -> grade to size to, or empty:
    one of the two at most, and with neither the sizes stay. pd: multiplier of default hazards; severity: loss share of
    the base case, None for the model's."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, str] = field(default_factory=dict)
    pd: float = 1.0
    severity: float | None = None


@dataclass(frozen=True)
class ClassAnswer:
    """One class before and after. balances in cents; attach: share of the pool below it. None: without a size."""

    name: str
    balance_before: int
    balance: int
    attach: float
    before: TrancheRating | None
    after: TrancheRating | None
    notches: int | None


@dataclass(frozen=True)
class Answer:
    """classes: senior to junior. pool_loss, effective: expected loss and effective scenarios under the change. method:
    how the PD was changed, "none", "reweighted" or "scaled". approximations: sentences on what the answer leaves out.
    residual: cents of the pool below the classes. notes: what sizing dropped or lowered. executes: of the waterfall."""

    classes: tuple[ClassAnswer, ...]
    pool_loss: float
    pool_loss_before: float
    effective: float
    scenarios: int
    method: str
    approximations: tuple[str, ...]
    notes: tuple[str, ...]
    residual: int
    executes: int


def rated_of(report: RatingReport) -> Rated:
    """The flows of a rating with what reads them, decoded once per process.

    ApplicationError(code="flows_missing") where the simulation's result is no longer kept or the loans cannot be read
    here.
    """
    rating_run = report.rating_run
    digest = Run.objects.filter(pk=rating_run.simulation_id).values_list("result_digest", flat=True).get()
    try:
        return _rated(str(report.pk), str(rating_run.simulation_id), digest)
    except NotHere as lack:
        raise ApplicationError(
            "The loans of this rating cannot be read here at the moment; try again, and tell the operator if it stays"
            " so.",
            code="flows_missing",
        ) from lack


@lru_cache(maxsize=2)
def _rated(report_id: str, simulation_id: str, digest: str) -> Rated:
    """Keyed by the content of the simulation: an entry never grows old. Two at most, some 20 to 60 MB each."""
    report = RatingReport.objects.select_related("rating_run__deal__pool", "deal_version").get(pk=report_id)
    rating_run = report.rating_run
    stored = Run.objects.filter(pk=simulation_id).values_list("result", flat=True).get()
    if stored is None:
        raise ApplicationError("The simulated flows of this rating are no longer kept.", code="flows_missing")
    pool, model = rating_run.deal.pool, model_of(rating_run.credit_model_id)
    scenarios = scenarios_of(
        pool.loans_path, pool.loans_digest, rating_run.credit_model_id, rating_run.scenarios, rating_run.seed
    )
    return rated(
        spec=DealSpec.from_json(report.deal_version.spec),
        pool=pool.balance,
        flows=flows_from_bytes(stored),
        scenarios=scenarios,
        model=model,
    )


def rated(*, spec: DealSpec, pool: int, flows: PoolFlows, scenarios: ScenarioSet, model: CreditModel) -> Rated:
    """The same from a solved spec and its flows. pool: cents at cut-off."""
    flows = cut(flows, compile_deal(spec, pool).months)
    if len(scenarios) > MOST_SCENARIOS:
        scenarios = scenarios.slice(0, MOST_SCENARIOS)
        scenarios = replace(scenarios, weights=scenarios.weights / scenarios.weights.mean())
        flows = PoolFlows(
            groups=flows.groups,
            opening_balance=flows.opening_balance,
            **{name: np.ascontiguousarray(column[..., :MOST_SCENARIOS]) for name, column in flows.columns.items()},
        )
    lags, cap = Lags(model.charge_off_lag, model.recovery_lag), history_cap(model.history_months)
    rater = FlowRater(flows, scenarios.weights, pool=pool, lags=lags, cap=cap)
    base = flows.weighted_mean(scenarios.weights)
    return Rated(
        spec=spec,
        pool=pool,
        flows=flows,
        scenarios=scenarios,
        model=model,
        severity=base_speeds(base, charge_off_lag=lags.charge_off, recovery_lag=lags.recovery).severity,
        base=rater.rate(spec),
        base_loss=rater.expected,
        losses=rater.losses,
    )


def answer(deal: Rated, question: Question) -> Answer:
    """The deal under the change. Raises ApplicationError naming the field that cannot be answered."""
    _checked(deal, question)
    flows, scenarios, method = _at_pd(deal, question)
    flows = _at_severity(deal, flows, question.severity)
    rater = FlowRater(flows, scenarios.weights, pool=deal.pool, lags=deal.lags, cap=deal.cap)
    notes: tuple[str, ...] = ()
    balances = deal.balances | dict(question.sizes)
    if question.targets:
        balances, notes = _sized(deal, rater, question)
    after = {found.name: found for found in rater.rate(deal.at(balances))}
    before = {found.name: found for found in deal.base}
    rows, above = [], 0
    for name, balance in balances.items():
        above += balance
        old, new = before.get(name), after.get(name)
        rows.append(
            ClassAnswer(
                name=name,
                balance_before=deal.balances[name],
                balance=balance,
                attach=1.0 - above / deal.pool,
                before=old,
                after=new,
                notches=None if old is None or new is None else notches(old.grade, new.grade),
            )
        )
    return Answer(
        classes=tuple(rows),
        pool_loss=rater.expected,
        pool_loss_before=deal.base_loss,
        effective=scenarios.effective_size,
        scenarios=len(scenarios),
        method=method,
        approximations=_approximations(question, method, scenarios),
        notes=notes,
        residual=deal.pool - above,
        executes=rater.executes,
    )


def _checked(deal: Rated, question: Question) -> None:
    low, high = PD_RANGE
    if not low <= question.pd <= high:
        raise ApplicationError(f"PD times {question.pd:g} lies outside {low:g} to {high:g}.", field="pd")
    if question.severity is not None and not 0.0 <= question.severity <= 1.0:
        raise ApplicationError(f"A severity of {question.severity:.1%} lies outside 0 to 100 %.", field="severity")
    if question.sizes and question.targets:
        raise ApplicationError("Give sizes or targets, not both.", field="targets")
    for name in (*question.sizes, *question.targets):
        if name not in deal.balances:
            raise ApplicationError(f"{name} is no class of this deal.", field="sizes")
    for name, cents in question.sizes.items():
        if cents < 0 or cents % UNIT_CENTS:
            raise ApplicationError(f"The size of {name} must be whole thousands, 0 or more.", field=f"size_{name}")
    total = sum((deal.balances | dict(question.sizes)).values())
    if total > deal.pool or not total:
        share = total / deal.pool
        raise ApplicationError(
            f"The classes add up to {share:.2%} of the pool; give more than 0, at most 100 %.", field="sizes"
        )
    for name, grade in question.targets.items():
        if grade not in GRADES:
            raise ApplicationError(f"{grade} is no grade of the indicative scale.", field=f"target_{name}")


def _at_pd(deal: Rated, question: Question) -> tuple[PoolFlows, ScenarioSet, str]:
    size, share = question.pd, FEWEST_TO_SIZE if question.targets else FEWEST_TO_GRADE
    if size == 1.0:
        return deal.flows, deal.scenarios, "none"
    moved = reweighted(deal.scenarios, deal.model, size)
    if moved is not None and moved.effective_size >= share * deal.scenarios.effective_size:
        return deal.flows, moved, "reweighted"
    lags = deal.lags
    scaled = flows_at_pd(deal.flows, size, charge_off_lag=lags.charge_off, recovery_lag=lags.recovery)
    return scaled, deal.scenarios, "scaled"


def _at_severity(deal: Rated, flows: PoolFlows, severity: float | None) -> PoolFlows:
    """Losses scaled down or recoveries scaled down: every severity stays within 0 and 1, and the mean is the one
    given."""
    if severity is None or severity == deal.severity:
        return flows
    if severity < deal.severity:
        return scaled_losses(flows, severity / deal.severity, recovery_lag=deal.lags.recovery)
    return scaled_recoveries(flows, (1.0 - severity) / (1.0 - deal.severity))


def _sized(deal: Rated, rater: FlowRater, question: Question) -> tuple[dict[str, int], tuple[str, ...]]:
    """The largest sizes on which every class reaches its target, as a rating sizes them, but for the coupons.

    All classes that have a target are sized; a target that the question leaves out is the deal's own.
    """
    targets = {name: question.targets.get(name, deal.targets.get(name, "")) for name in deal.balances}
    open_ended = [name for name, grade in targets.items() if not grade]
    if open_ended:
        raise ApplicationError(f"{open_ended[0]} has no target grade; give one.", field=f"target_{open_ended[0]}")
    multiples: dict[str, str] = {}

    def execute_for(balances: Mapping[str, int]) -> DealFlows:
        found, by_multiple = rater.run(deal.at(balances))
        multiples.clear()
        multiples.update(by_multiple or {})
        return found

    try:
        result = size_tranches(
            execute_for,
            targets,
            deal.pool,
            rater.weights,
            deferrable=deferrable_of(deal.spec),
            pool_losses=rater.losses,
            start=_guess(deal, rater, targets),
            multiples=lambda balances: dict(multiples),
            cap=deal.cap,
        )
    except ValueError as error:
        raise ApplicationError(f"No sizes reach these targets: {error}.", field="targets") from error
    return dict(result.balances), (*result.lowered.values(), *result.dropped.values())


def _guess(deal: Rated, rater: FlowRater, targets: Mapping[str, str]) -> dict[str, int]:
    """Sizes near the answer, in cents, for the search to open around: they halve the runs of the waterfall.

    A class that fails with probability p at an attachment, and may with p', needs protection from the loss exceeded
    with p': the attachment moves by as much as that quantile of the pool's loss. First from the deal as rated, whose
    quantile is of the old losses; then from the classes rated on the guess, which corrects what cash flows add.
    """
    ends = _moved(deal, rater, targets, _ends(deal, deal.balances), deal.base, deal.losses, deal.scenarios.weights)
    for _ in range(REFINEMENTS):
        ratings = rater.rate(deal.at(_between(deal, ends, UNIT_CENTS)))
        before = ends
        ends = _moved(deal, rater, targets, ends, ratings, rater.losses, rater.weights)
        if max(abs(ends[name] - before[name]) for name in ends) < CLOSE:
            break
    return _between(deal, ends, 1)


def _ends(deal: Rated, balances: Mapping[str, int]) -> dict[str, float]:
    """Class -> share of the pool down to its lower end."""
    found, above = {}, 0
    for name, balance in balances.items():
        above += balance
        found[name] = above / deal.pool
    return found


def _between(deal: Rated, ends: Mapping[str, float], unit: int) -> dict[str, int]:
    """Class -> cents between the ends, in whole units downwards."""
    balances, above = {}, 0.0
    for name, end in ends.items():
        balances[name] = int((end - above) * deal.pool / unit + 1e-9) * unit
        above = end
    return balances


def _moved(
    deal: Rated,
    rater: FlowRater,
    targets: Mapping[str, str],
    ends: Mapping[str, float],
    ratings: Iterable[TrancheRating],
    losses: FloatArray,
    weights: FloatArray,
) -> dict[str, float]:
    """The lower ends after one step. losses, weights: of the distribution that the ratings rest on."""
    known = {found.name: found for found in ratings}
    moved, above = {}, 0.0
    for name, end in ends.items():
        found = known.get(name)
        if found is not None and found.pd < 1.0:
            bound = bound_of(targets[name], max(found.wal_years, MIN_YEARS))
            # What no scenario hurts could lie further down: it counts as failing at the worst loss of the set.
            wanted = found.pd * bound / found.rated_loss_upper if found.pd > 0 else bound / LOSS_GIVEN_DEFAULT
            wanted = min(max(wanted, 1e-9), 1.0 - 1e-9)
            then = weighted_quantile(losses, weights, 1.0 - found.pd)
            end -= weighted_quantile(rater.losses, rater.weights, 1.0 - wanted) - then
        above = min(max(end, above + MIN_THICKNESS), 1.0)
        moved[name] = above
    return moved


def _approximations(question: Question, method: str, scenarios: ScenarioSet) -> tuple[str, ...]:
    """What the answer leaves out, in sentences."""
    said = ["Coupons stay as solved; a rating would solve them again with the sizes."]
    if method == "reweighted":
        said.append(
            f"PD: the rating's own scenarios with other weights, exact in the mean; {scenarios.effective_size:,.0f}"
            f" effective scenarios of {len(scenarios):,} carry it."
        )
    if method == "scaled":
        said.append(
            "PD: an approximation. Each scenario's monthly default rate is raised on the stored flows; that weak loans"
            " go first is left out, and bad scenarios are made somewhat too bad."
        )
    if question.severity is not None:
        said.append(
            "Severity: of every charge-off of every scenario the loss, or the recovery, is scaled down, so that the"
            " scenario mean at the rating's PD is the one given."
        )
    return tuple(said)
