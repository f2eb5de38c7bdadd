"""Reverse stress: the mildest combination of factors, and the flat speeds, that first hurt each class.

Not here: the waterfall and the draws, which live in the functions that the caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pooling.engine.analytics import ClassFlows, break_even, class_losses
from pooling.engine.flows import PoolFlows
from rating.engine.breakeven import CDR_TOLERANCE, HIGHEST_CDR, Speeds, cdr_flows

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
# (P, F) points of the factor space -> class -> (P,) whether it is hurt there.
Fails = Callable[[FloatArray], Mapping[str, BoolArray]]
Run = Callable[[PoolFlows], ClassFlows]

RADII, ROUNDS = 16, 3
SPEED_TOLERANCE = 1e-3
MOST_SPEED = 0.999


@dataclass(frozen=True)
class MildestScenario:
    """The combination of factors nearest to the median scenario that hurts a class; all None where none of the set
    does.

    factors: name -> value in standard deviations. distance: its Euclidean norm, 0 for the median scenario. tail:
    Phi(-distance), the probability of the half-space beyond it along its own direction, which is what a linear failure
    surface would give. source: "scenario" (of the set) or "direction" (search along the mean failing direction).
    scenario: index in the set where it is one of it. failing: scenarios of the set that hurt the class; their share of
    the weight is the class's default probability.
    """

    name: str
    factors: Mapping[str, float] | None
    distance: float | None
    tail: float | None
    source: str | None
    scenario: int | None
    failing: int
    probability: float


def mildest_scenarios(
    names: tuple[str, ...],
    factors: FloatArray,
    weights: FloatArray,
    failed: Mapping[str, BoolArray],
    fails: Fails | None = None,
    *,
    radii: int = RADII,
    rounds: int = ROUNDS,
) -> tuple[MildestScenario, ...]:
    """For each class the most probable way to be hurt: the failing point nearest to the origin of the factor space.

    names: F factors; factors: (S, F) standard normal scale; weights: (S,); failed: class -> (S,). The density of
    independent normal factors falls with the Euclidean norm alone, so the nearest failing point is the most probable
    one: the design point, its norm the reliability index (Hasofer & Lind 1974, Exact and invariant second-moment code
    format). First the failing scenario of smallest norm; then, with fails, radii along the weighted mean of the failing
    scenarios (`rounds` rounds of `radii` points between the last radius that did not fail and the first that did), kept
    where nearer. Ties go to the lower index. Both are upper bounds of the smallest distance.

    Raises ValueError for shapes that do not match.
    """
    norm = np.sqrt(np.square(factors).sum(axis=1))
    if factors.shape != (len(weights), len(names)):
        raise ValueError(f"factors: shape {factors.shape}, expected ({len(weights)}, {len(names)})")
    rows = []
    for name, hit in failed.items():
        if hit.shape != weights.shape:
            raise ValueError(f"failed: {name} has shape {hit.shape}, expected {weights.shape}")
        probability = float(weights[hit].sum() / weights.sum())
        if not hit.any():
            rows.append(MildestScenario(name, None, None, None, None, None, 0, probability))
            continue
        index = int(np.flatnonzero(hit)[np.argmin(norm[hit])])
        point, source = factors[index], "scenario"
        if fails is not None:
            nearer = _along_mean(name, factors[hit], weights[hit], fails, float(norm[index]), radii, rounds)
            if nearer is not None:
                point, source = nearer, "direction"
        distance = float(np.sqrt(np.square(point).sum()))
        rows.append(
            MildestScenario(
                name=name,
                factors={key: float(value) for key, value in zip(names, point, strict=True)},
                distance=distance,
                tail=float(ndtr(-distance)),
                source=source,
                scenario=index if source == "scenario" else None,
                failing=int(hit.sum()),
                probability=probability,
            )
        )
    return tuple(rows)


def _along_mean(
    name: str, points: FloatArray, weights: FloatArray, fails: Fails, farthest: float, radii: int, rounds: int
) -> FloatArray | None:
    """The nearest failing point on the ray through the weighted mean of failing points, None where none is nearer."""
    if not weights.sum() > 0:
        return None
    mean = (points * weights[:, None]).sum(axis=0)
    length = float(np.sqrt(np.square(mean).sum()))
    if not length > 0:
        return None
    direction, low, high = mean / length, 0.0, farthest
    found: float | None = None
    for _ in range(rounds):
        tried = np.linspace(low, high, radii + 1)[1:]
        hit = fails(tried[:, None] * direction)[name]
        if not hit.any():
            break
        first = int(np.argmax(hit))
        found, high = float(tried[first]), float(tried[first])
        low = float(tried[first - 1]) if first else low
    return None if found is None or found >= farthest else found * direction


@dataclass(frozen=True)
class FlatReverse:
    """Of one class: the lowest flat speeds that hurt it, each alone with the others at the base case's; None: none
    below the end of its range does.

    cdr, cpr_up: annual fractions, the lowest CDR, and CPR above the base case's. cpr_down: the highest CPR below it.
    severity: loss share, the lowest above the base case's. by_severity: severity -> break-even CDR. base: of the pool,
    {cdr, cpr, severity}.
    """

    name: str
    cdr: float | None
    cpr_up: float | None
    cpr_down: float | None
    severity: float | None
    by_severity: Mapping[float, float | None]
    base: Mapping[str, float]


def base_cdr(base: PoolFlows) -> float:
    """The flat CDR of a base case (S = 1): lifetime defaults over the balances that could default, a year."""
    opening = float(base.opening_balance.sum()) + float(base.performing[:, :-1].sum())
    monthly = float(base.default.sum()) / opening if opening > 0 else 0.0
    return float(1.0 - (1.0 - min(max(monthly, 0.0), 1.0)) ** 12)


def flat_reverse(
    run: Run,
    base: PoolFlows,
    speeds: Speeds,
    *,
    deferrable: Collection[str] = (),
    severities: Collection[float] = (0.5, 0.75, 1.0),
    points: int = 16,
) -> tuple[FlatReverse, ...]:
    """The flat CDR, CPR and severity that first hurt each class: one dollar of principal loss or interest shortfall.

    run: pool flows (S paths, horizon of the base case) to the deal's. base: S = 1. Search and definition of a loss:
    pooling.engine.analytics.break_even. A base case that already hurts a class has its own speeds as break-evens.
    """
    own = base_cdr(base)

    def at_cpr(values: FloatArray) -> PoolFlows:
        return PoolFlows.concatenate([cdr_flows(base, [own], replace(speeds, cpr=float(x))) for x in values])

    def at_severity(values: FloatArray) -> PoolFlows:
        return PoolFlows.concatenate([cdr_flows(base, [own], replace(speeds, severity=float(x))) for x in values])

    def lowest(
        make: Callable[[FloatArray], PoolFlows], low: float, high: float, error: float
    ) -> dict[str, float | None]:
        if not high > low:
            return {}
        found = break_even(
            lambda values: run(make(values)), low, high, tolerance=error, points=points, deferrable=deferrable
        )
        return {row.name: row.stress for row in found.classes}

    def lowest_cdr(severity: float) -> dict[str, float | None]:
        fixed = replace(speeds, severity=severity)
        return lowest(lambda cdr: cdr_flows(base, cdr, fixed), 0.0, HIGHEST_CDR, CDR_TOLERANCE)

    cdr = lowest_cdr(speeds.severity)
    up = lowest(at_cpr, speeds.cpr, MOST_SPEED, SPEED_TOLERANCE)
    # Downwards the distance below the base case rises.
    down = lowest(lambda less: at_cpr(speeds.cpr - less), 0.0, speeds.cpr, SPEED_TOLERANCE)
    severity = lowest(at_severity, speeds.severity, 1.0, SPEED_TOLERANCE)
    frontier = {each: lowest_cdr(each) for each in severities}
    rows = []
    for name in cdr:
        fallen = down.get(name)
        rows.append(
            FlatReverse(
                name=name,
                cdr=cdr[name],
                cpr_up=up.get(name),
                cpr_down=None if fallen is None else speeds.cpr - fallen,
                severity=severity.get(name),
                by_severity={each: found[name] for each, found in frontier.items()},
                base={"cdr": own, "cpr": speeds.cpr, "severity": speeds.severity},
            )
        )
    return tuple(rows)


def hurt_classes(deal: ClassFlows, *, deferrable: Collection[str] = ()) -> dict[str, BoolArray]:
    """Class -> (S,) whether it loses a dollar: principal unpaid, or interest short (of a deferrable class, at the
    end)."""
    losses = class_losses(deal, deferrable=deferrable)
    broken = losses.broken()
    return {name: np.asarray(broken[k]) for k, name in enumerate(losses.names)}
