"""Class sizes that reach their target grades on a scenario set.

Not here: coupons and the waterfall; both live in the function the caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rating.engine.grades import Cap, capped_targets
from rating.engine.scale import GRADES, LOSS_GIVEN_DEFAULT, bound_of
from rating.engine.tranches import ClassFlows, TrancheRating, rate_tranches

FloatArray = NDArray[np.float64]

UNIT_CENTS = 100_000  # class sizes in whole thousands
MIN_THICKNESS = 0.005
FIRST_ROUNDS, NEXT_ROUNDS, PASSES = 10, 7, 4
REOPEN = 0.03
REPAIR_STEP = 0.002
MAX_REPAIRS = 20

Execute = Callable[[Mapping[str, int]], ClassFlows]
Multiples = Callable[[Mapping[str, int]], Mapping[str, str]]


@dataclass(frozen=True)
class Confidence:
    """How far a class lies from losing its target, in standard errors of the simulation (model error apart).

    target: the grade aimed at. bound: largest expected loss of that grade at the scenario-mean average life.
    loss_errors: (bound - expected loss) over its standard error; pd_errors: (bound / 0.55 - PD) over its own; None
    where the error is 0, which in a finite set says that no scenario, or every one, hurts the class. errors: the
    smaller of both. binding: "loss" or "pd", the rule whose upper confidence bound is nearer to the grade's;
    "multiple" or "history" where one of these allows no better grade than the target. reached: by the upper confidence
    bounds and those two.
    """

    target: str
    bound: float
    loss_errors: float | None
    pd_errors: float | None
    errors: float | None
    binding: str
    reached: bool


@dataclass(frozen=True)
class SizingResult:
    """balances: class -> cents, whole thousands, 0 where dropped. ratings: on those balances, senior to junior.

    executes: runs of the waterfall on the scenario set. dropped: class -> sentence why no size serves. lowered: class
    -> sentence why it is sized to a lower grade than its target. confidence: class with a size -> its margin.
    """

    balances: Mapping[str, int]
    ratings: tuple[TrancheRating, ...]
    executes: int
    dropped: Mapping[str, str]
    lowered: Mapping[str, str]
    confidence: Mapping[str, Confidence]


def confidence_of(rating: TrancheRating, target: str) -> Confidence:
    """The margin of a rated class to a target grade. Raises ValueError for an unknown grade."""
    bound = bound_of(target, max(rating.wal_years, 1e-6))

    def errors(room: float, error: float) -> float | None:
        return room / error if error > 0 else None

    loss_errors = errors(bound - rating.expected_loss, rating.expected_loss_se)
    pd_errors = errors(bound / LOSS_GIVEN_DEFAULT - rating.pd, rating.pd_se)
    known = [value for value in (loss_errors, pd_errors) if value is not None]
    binding = "loss" if rating.expected_loss_upper >= LOSS_GIVEN_DEFAULT * rating.pd_upper else "pd"
    notch = GRADES.index(target)
    outside = {"multiple": rating.grade_by_multiple, "history": None if rating.cap is None else rating.cap.grade}
    for rule, grade in outside.items():
        if grade is not None and GRADES.index(grade) >= notch:
            binding = rule
    return Confidence(
        target=target,
        bound=bound,
        loss_errors=loss_errors,
        pd_errors=pd_errors,
        errors=min(known, default=None),
        binding=binding,
        reached=reaches(rating, target),
    )


def reaches(rating: TrancheRating, target: str) -> bool:
    """Whether a class earns the grade: both rules on their upper confidence bounds, the multiple, and the cap."""
    notch = GRADES.index(target)
    fixed = [rating.grade_by_multiple, None if rating.cap is None else rating.cap.grade]
    if any(grade is not None and GRADES.index(grade) > notch for grade in fixed):
        return False
    return rating.rated_loss_upper <= bound_of(target, max(rating.wal_years, 1e-6))


class _Search:
    """Brackets of the cumulative share of the pool down to the lower end of each class."""

    def __init__(
        self,
        execute: Execute,
        targets: Mapping[str, str],
        pool: int,
        weights: FloatArray,
        deferrable: Collection[str],
        pool_losses: FloatArray | None,
        multiples: Multiples | None,
        cap: Cap | None,
    ) -> None:
        self.execute, self.targets, self.pool = execute, targets, pool
        self.multiples, self.cap = multiples, cap
        self.weights, self.deferrable, self.pool_losses = weights, deferrable, pool_losses
        self.names = list(targets)
        self.executes = 0

    def balances(self, shares: FloatArray) -> dict[str, int]:
        edges = np.concatenate([[0.0], shares])
        cents = np.diff(edges) * self.pool
        live = {name: int(c / UNIT_CENTS + 1e-9) * UNIT_CENTS for name, c in zip(self.names, cents, strict=True)}
        return {name: live.get(name, 0) for name in self.targets}

    def run(self, balances: Mapping[str, int]) -> tuple[dict[str, bool], tuple[TrancheRating, ...]]:
        self.executes += 1
        deferrable = [name for name in self.deferrable if name in self.targets]
        deal = self.execute(balances)
        ratings = rate_tranches(
            deal,
            self.weights,
            deferrable=deferrable,
            pool_losses=self.pool_losses,
            multiples=None if self.multiples is None else self.multiples(balances),
            cap=self.cap,
        )
        # A size that rounds to nothing is no proof that the class can be sold.
        passed = {name: False for name in self.names}
        for rating in ratings:
            if rating.name in passed:
                passed[rating.name] = reaches(rating, self.targets[rating.name])
        return passed, ratings

    def narrow(self, low: FloatArray, high: FloatArray, rounds: int) -> FloatArray:
        """Halve all brackets at once: a class is moved mostly by its own lower end."""
        for _ in range(rounds):
            middle = (low + high) / 2.0
            for k in range(1, len(middle)):
                middle[k] = max(middle[k], middle[k - 1] + MIN_THICKNESS)
            middle = np.minimum(middle, 1.0)
            passed, _ = self.run(self.balances(middle))
            for k, name in enumerate(self.names):
                # Where another class has moved meanwhile the newest answer stands.
                if passed[name]:
                    low[k], high[k] = middle[k], max(high[k], middle[k])
                else:
                    low[k], high[k] = min(low[k], middle[k]), middle[k]
        return low

    def drop(self, shares: FloatArray) -> tuple[FloatArray, dict[str, str]]:
        """Remove the junior classes that found no room below their senior neighbour."""
        keep, reasons, above = [], {}, 0.0
        for k, name in enumerate(self.names):
            if k == 0 and shares[0] < MIN_THICKNESS:
                raise ValueError(
                    f"targets: class {name} reaches {self.targets[name]} at no size of at least "
                    f"{MIN_THICKNESS:.1%} of the pool: the pool is too weak for this target, or the scenarios are too "
                    "few to show it; choose a lower target or more scenarios"
                )
            if shares[k] - above >= MIN_THICKNESS:
                keep.append(k)
                above = shares[k]
            else:
                reasons[name] = (
                    f"class {name} reaches {self.targets[name]} at no size of at least {MIN_THICKNESS:.1%} "
                    "of the pool below its senior neighbour"
                )
        self.names = [self.names[k] for k in keep]
        return shares[keep], reasons

    def settle(self, shares: FloatArray) -> tuple[dict[str, int], tuple[TrancheRating, ...], dict[str, str]]:
        """Round down, verify all classes together, and draw in the ends of those that miss."""
        reasons: dict[str, str] = {}
        for _ in range(MAX_REPAIRS):
            balances = self.balances(shares)
            passed, ratings = self.run(balances)
            if all(passed.values()):
                return balances, ratings, reasons
            missed = np.array([not passed[name] for name in self.names])
            # A junior end never stays above its own senior neighbour's.
            shares = np.maximum.accumulate(np.maximum(shares - REPAIR_STEP * missed, 0.0))
            shares, more = self.drop(shares)
            reasons |= more
        left = ", ".join(f"{name} {self.targets[name]}" for name, fine in passed.items() if not fine)
        raise ValueError(f"targets: no sizes found on which all classes reach their grades together; missed: {left}")


def size_tranches(
    execute_for: Execute,
    targets: Mapping[str, str],
    pool_balance: int,
    weights: FloatArray,
    *,
    deferrable: Collection[str] = (),
    pool_losses: FloatArray | None = None,
    start: Mapping[str, int] | None = None,
    multiples: Multiples | None = None,
    cap: Cap | None = None,
) -> SizingResult:
    """Largest classes, senior first, that each reach their target grade on the upper confidence bound (two errors).

    execute_for: class balances in cents (every class of targets, whole thousands, 0 for a dropped one) -> flows
    of all classes. targets: class -> indicative grade, senior to junior. pool_balance: cents at cut-off.
    weights: (S,). deferrable: classes rated on ultimate interest. pool_losses: (S,), see
    rate_tranches. start: sizes in cents near the answer, e.g. those of the last coupons: the search opens around them
    and takes about half the runs. multiples: class balances -> grade of each class by the multiple of base-case loss,
    asked once after each run; a class has to reach its target by this rule too. cap: a target above it is lowered to
    it, and the result says so.

    The lower end of each class, as a share of the pool, is found by bisection; one run of the waterfall
    serves all classes, because a class is moved mostly by its own lower end. Brackets are opened again around
    the first answer until it lies well inside them, so that the classes' influence on each other is settled; the
    rounded sizes are verified together. At most 10 + 3 * 7 + 20 runs, usually about 20; deterministic. A junior class
    without room of 0.5 % of the pool is dropped to size 0 with a reason; for the senior class that is an error.

    Raises ValueError when the senior target is out of reach, or no common solution is found.
    """
    if not targets:
        raise ValueError("targets: name at least one class")
    for name, grade in targets.items():
        try:
            bound_of(grade, 1.0)
        except ValueError as error:
            raise ValueError(f"targets: class {name}: {error}") from error
    if pool_balance < UNIT_CENTS:
        raise ValueError(f"pool_balance: {pool_balance} cents is less than one unit of {UNIT_CENTS} cents")
    targets, lowered = capped_targets(targets, cap)
    search = _Search(execute_for, targets, pool_balance, weights, deferrable, pool_losses, multiples, cap)
    count = len(targets)
    if start is None:
        shares = search.narrow(np.zeros(count), np.ones(count), FIRST_ROUNDS)
    else:
        shares = np.cumsum([start.get(name, 0) / pool_balance for name in targets])
    dropped: dict[str, str] = {}
    for _ in range(PASSES - 1):
        before = shares.copy()
        low, high = np.maximum(before - REOPEN, 0.0), np.minimum(before + REOPEN, 1.0)
        shares = search.narrow(low, high, NEXT_ROUNDS)
        shares, reasons = search.drop(shares)
        dropped |= reasons
        if not reasons and np.abs(shares - before).max() < REOPEN / 2:
            break
    balances, ratings, reasons = search.settle(shares)
    return SizingResult(
        balances=balances,
        ratings=ratings,
        executes=search.executes,
        dropped=dropped | reasons,
        lowered=lowered,
        confidence={r.name: confidence_of(r, targets[r.name]) for r in ratings if r.name in targets},
    )
