"""One loop, closed: class sizes, coupons, excess spread and grades solved to a fixed point.

The template, the simulation and the market stay outside: they come in as three functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

COUPON_TICK = 1e-5
COUPON_TOLERANCE = COUPON_TICK * (1 - 1e-6)  # less than one tick: two coupons in ticks are equal
ONE_TICK = COUPON_TICK * (1 + 1e-6)  # between two neighbouring ticks there is no coupon left to try

Balances = Mapping[str, int]
Coupons = Mapping[str, float]
Grades = Mapping[str, str]
Lives = Mapping[str, float]


@dataclass(frozen=True)
class StructureStep:
    """One pass: the coupons assumed, the sizes they allow, the grades and lives that follow, and the coupons
    those require. coupon_gap: the largest |required - assumed|, annual fraction."""

    coupons: Coupons
    balances: Balances
    grades: Grades
    lives: Lives
    required: Coupons
    coupon_gap: float


@dataclass(frozen=True)
class StructureSolution:
    """The last pass and how it ended.

    balances: cents by class; coupons: annual fractions by class, those the balances were solved with; grades,
    lives (WAL, years) by class at these balances and coupons. converged: coupons and balances repeat.
    coupon_gap: what is left, annual fraction. reason: a sentence. steps: every pass.
    """

    balances: Balances
    coupons: Coupons
    grades: Grades
    lives: Lives
    converged: bool
    coupon_gap: float
    reason: str
    steps: tuple[StructureStep, ...]

    @property
    def iterations(self) -> int:
        return len(self.steps)


def _state(coupons: Coupons) -> tuple[tuple[str, int], ...]:
    """Coupons in whole tolerances, to recognise a pass that has been seen before."""
    return tuple((name, round(coupons[name] / COUPON_TICK)) for name in sorted(coupons))


def solve_structure(
    start_coupons: Coupons,
    *,
    size: Callable[[Coupons], Balances],
    evaluate: Callable[[Balances, Coupons], tuple[Grades, Lives]],
    coupons_for: Callable[[Grades, Lives], Coupons],
    max_iterations: int = 20,
    tolerance: float = COUPON_TOLERANCE,
) -> StructureSolution:
    """Iterate coupons -> sizes -> grades and lives -> coupons until they repeat.

    size(coupons): balances in cents that reach the target grades on the simulation. evaluate(balances,
    coupons): (grades, WAL in years) of each class. coupons_for(grades, lives): par coupons, e.g.
    tranches.par_coupons. Converged when every required coupon is within `tolerance` (annual fraction) of the
    one assumed; equal coupons give equal sizes, as all three functions are deterministic. A class sized to 0
    keeps its coupon and may be left out by evaluate and coupons_for.

    Where coupons come back to an earlier pass the loop would go round for ever (a grade that flips with the
    size): the highest coupon of the cycle is then held for every class, so that no class is worth less than
    par by more than the gap that is reported. Held coupons have converged where they repeat to one tick: between
    two neighbouring ticks lies none that could repeat.
    Raises ValueError where max_iterations < 1 or the functions speak of other classes.
    """
    if max_iterations < 1:
        raise ValueError(f"max_iterations: {max_iterations} is below 1")
    steps: list[StructureStep] = []
    seen: dict[tuple[tuple[str, int], ...], int] = {}
    coupons = dict(start_coupons)
    reason = f"The coupons still moved after {max_iterations} passes."
    converged, held = False, False
    while len(steps) < max_iterations:
        step = _step(coupons, size, evaluate, coupons_for)
        steps.append(step)
        exact = step.coupon_gap <= tolerance
        if converged := exact or (held and step.coupon_gap <= ONE_TICK):
            near = "" if exact else " to one tick of coupon"
            reason = f"Coupons, sizes and grades repeat{near} after {len(steps)} passes."
            break
        if held:
            reason = "The coupons go round in a cycle; its highest coupons are held."
            break
        seen[_state(coupons)] = len(steps) - 1
        back = seen.get(_state(step.required))
        coupons = dict(step.required)
        if back is not None:
            cycle = steps[back:]
            coupons = {name: max(each.coupons[name] for each in cycle) for name in coupons}
            held = True
    last = steps[-1]
    return StructureSolution(
        last.balances, last.coupons, last.grades, last.lives, converged, last.coupon_gap, reason, tuple(steps)
    )


def _step(
    coupons: Coupons,
    size: Callable[[Coupons], Balances],
    evaluate: Callable[[Balances, Coupons], tuple[Grades, Lives]],
    coupons_for: Callable[[Grades, Lives], Coupons],
) -> StructureStep:
    assumed = MappingProxyType(dict(coupons))
    balances = MappingProxyType(dict(size(assumed)))
    if set(balances) != set(assumed):
        raise ValueError(f"size: classes {sorted(balances)}, expected {sorted(assumed)}")
    grades, lives = evaluate(balances, assumed)
    live = {name for name, balance in balances.items() if balance}
    asked = coupons_for(grades, lives)
    unpaid = sorted(live - set(asked))
    if unpaid and math.isnan(lives.get(unpaid[0], 0.0)):
        raise ValueError(
            f"coupon: class {unpaid[0]} is repaid nothing in the base case, so that it has no life to price; make it "
            "smaller, or give it a coupon"
        )
    if not live <= set(asked) <= set(assumed):
        raise ValueError(f"coupons_for: classes {sorted(asked)}, expected {sorted(live)}")
    # A class sized to nothing has no life and no price: its coupon stands as it was.
    required = MappingProxyType({name: asked[name] if name in live else assumed[name] for name in assumed})
    gap = max(abs(required[name] - assumed[name]) for name in assumed)
    return StructureStep(
        assumed, balances, MappingProxyType(dict(grades)), MappingProxyType(dict(lives)), required, gap
    )
