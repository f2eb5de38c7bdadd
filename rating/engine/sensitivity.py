"""What moves a grade: stresses on common random numbers, a PD by recovery matrix, and the smallest change of a notch.

Not here: what a stress is (stresses.py), the waterfall and the rules of a grade: both live in the function that the
caller hands in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine.losses import pool_losses
from rating.engine.model import CreditModel
from rating.engine.scale import GRADES
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import Engine, Simulator, choose_engine
from rating.engine.statistics import weighted_mean
from rating.engine.stresses import BASE, STANDARD, Change, Stress
from rating.engine.tranches import TrancheRating

FloatArray = NDArray[np.float64]
# A stress and the flows it gave -> ratings, senior to junior.
Rate = Callable[[Stress, PoolFlows], tuple[TrancheRating, ...]]

MATRIX_PD = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
MATRIX_RECOVERY = (1.25, 1.0, 0.9, 0.75, 0.5, 0.0)
GRID, HALVINGS = 4, 4


def common_engine(loans: LoanArrays, model: CreditModel) -> Engine:
    """The engine of what-ifs: each loan's own draws, or granular where a rating of the pool would be granular.

    Both draw the same numbers whatever the model says, so that a difference of two runs is the assumption's alone.
    """
    return "granular" if choose_engine(loans, model).name == "granular" else "by_loan"


class CommonDraws:
    """A pool under stressed models on one scenario set and one stream of draws: common random numbers.

    The last simulated flows are kept, so that stresses of recoveries in a row draw the loans once.
    """

    def __init__(
        self,
        loans: LoanArrays,
        model: CreditModel,
        scenarios: ScenarioSet,
        *,
        engine: Engine | None = None,
        longest: int | None = None,
        compiled: bool | None = None,
    ) -> None:
        """engine: None for common_engine. longest: months after which cash comes too late for the deal's legal final
        and is cut off, None for none."""
        self.loans, self.model, self.scenarios, self.longest = loans, model, scenarios, longest
        self.engine: Engine = engine or common_engine(loans, model)
        self.compiled = compiled
        self.simulations = 0
        self._kept: tuple[tuple[Change, ...], PoolFlows] | None = None

    @property
    def weights(self) -> FloatArray:
        return self.scenarios.weights

    def flows(self, stress: Stress = BASE) -> PoolFlows:
        """The flows of the stress, (G, T, S)."""
        drawn = tuple(change for change in stress.changes if Stress((change,)).needs_simulation)
        kept = self._kept
        if kept is None or kept[0] != drawn:
            model = Stress(drawn).on_model(self.model)
            choice = choose_engine(self.loans, model, self.engine, self.compiled)
            scenarios = stress.on_scenarios(self.scenarios, self.model)
            kept = self._kept = (drawn, Simulator(self.loans, model, choice).flows(scenarios))
            self.simulations += 1
        return cut(stress.on_flows(kept[1]), self.longest)


    def at(self, points: FloatArray, *, first: int = 0) -> PoolFlows:
        """(G, T, P) flows of the unstressed model at (P, F) points of the factors of the set, each with equal weight.
        first: the index in the set whose draws the first point takes, the next ones following."""
        choice = choose_engine(self.loans, self.model, self.engine, self.compiled)
        scenarios = ScenarioSet(
            seed=self.scenarios.seed,
            first=first,
            names=self.scenarios.names,
            factors=points,
            weights=np.ones(len(points)),
        )
        return cut(Simulator(self.loans, self.model, choice).flows(scenarios), self.longest)


def cut(flows: PoolFlows, months: int | None) -> PoolFlows:
    """The first months of the flows; None for all."""
    if months is None or flows.months <= months:
        return flows
    columns = {
        name: column[:, :, :months] if name in ("delinquent", "arrears") else column[:, :months]
        for name, column in flows.columns.items()
    }
    return PoolFlows(groups=flows.groups, opening_balance=flows.opening_balance, **columns)


@dataclass(frozen=True)
class ClassOutcome:
    """A class under a stress. notches: the move of its grade from the base case, below 0 worse. pd, expected_loss:
    fractions; wal_years: scenario mean."""

    name: str
    grade: str
    notches: int
    pd: float
    expected_loss: float
    wal_years: float


@dataclass(frozen=True)
class Outcome:
    """One stress. pool_loss: expected loss over the cut-off balance. classes: senior to junior."""

    stress: Stress
    pool_loss: float
    classes: tuple[ClassOutcome, ...]


def outcome(stress: Stress, flows: PoolFlows, weights: FloatArray, rate: Rate, base: Mapping[str, str]) -> Outcome:
    """Rate the flows of a stress. base: class -> grade that notches count from; a class not in it has moved by none."""
    loss, _ = weighted_mean(pool_losses(flows), weights)
    classes = tuple(
        ClassOutcome(
            name=found.name,
            grade=found.grade,
            notches=notches(base.get(found.name, found.grade), found.grade),
            pd=found.pd,
            expected_loss=found.expected_loss,
            wal_years=found.wal_years,
        )
        for found in rate(stress, flows)
    )
    return Outcome(stress, loss, classes)


def notches(before: str, after: str) -> int:
    """Notches from one grade to the other, below 0 worse."""
    return GRADES.index(before) - GRADES.index(after)


def grades_of(found: Outcome) -> dict[str, str]:
    """Class -> grade."""
    return {each.name: each.grade for each in found.classes}


def tornado(
    draws: CommonDraws, rate: Rate, stresses: Sequence[Stress] = STANDARD, *, base: Outcome | None = None
) -> tuple[Outcome, tuple[Outcome, ...]]:
    """The base case, and every stress with its notches counted from it; all on the draws of `draws`.

    rate: a stress and its flows to ratings. base: where it is known already. A stress is one at a time, everything
    else as the model has it; grades are point estimates, so that a class near a bound moves by less than one that is
    not. Costs one simulation a stress that changes the model, none for recoveries.
    """
    start = base or outcome(BASE, draws.flows(), draws.weights, rate, {})
    grades = grades_of(start)
    rows = tuple(outcome(stress, draws.flows(stress), draws.weights, rate, grades) for stress in stresses)
    return start, rows


@dataclass(frozen=True)
class Matrix:
    """Grades and expected losses by PD multiplier (rows) and recovery multiplier (columns).

    grades, expected_loss: class -> P rows of R. pool_loss: P rows of R.
    """

    pd: tuple[float, ...]
    recovery: tuple[float, ...]
    grades: Mapping[str, tuple[tuple[str, ...], ...]]
    expected_loss: Mapping[str, tuple[tuple[float, ...], ...]]
    pool_loss: tuple[tuple[float, ...], ...]


def matrix_row(draws: CommonDraws, rate: Rate, pd: float, recovery: Sequence[float]) -> tuple[Outcome, ...]:
    """One row of the matrix: one simulation at the PD multiplier, every recovery by rescaling its cash, exactly."""
    stresses = [Stress.of(pd=pd, recovery=each) for each in recovery]
    return tuple(outcome(stress, draws.flows(stress), draws.weights, rate, {}) for stress in stresses)


def matrix_of(
    pd: Sequence[float], recovery: Sequence[float], rows: Sequence[Sequence[Outcome]]
) -> Matrix:
    """The matrix from its rows. Raises ValueError where their number is not that of the multipliers."""
    if len(rows) != len(pd) or any(len(row) != len(recovery) for row in rows):
        raise ValueError(f"rows: expected {len(pd)} rows of {len(recovery)} outcomes")
    names = [each.name for each in rows[0][0].classes]
    at = [[{each.name: each for each in cell.classes} for cell in row] for row in rows]
    return Matrix(
        pd=tuple(pd),
        recovery=tuple(recovery),
        grades={name: tuple(tuple(cell[name].grade for cell in row) for row in at) for name in names},
        expected_loss={name: tuple(tuple(cell[name].expected_loss for cell in row) for row in at) for name in names},
        pool_loss=tuple(tuple(cell.pool_loss for cell in row) for row in rows),
    )


def matrix(
    draws: CommonDraws,
    rate: Rate,
    *,
    pd: Sequence[float] = MATRIX_PD,
    recovery: Sequence[float] = MATRIX_RECOVERY,
) -> Matrix:
    """Two-way PD x recovery grid of grades: one simulation a PD multiplier, see matrix_row."""
    return matrix_of(pd, recovery, [matrix_row(draws, rate, each, recovery) for each in pd])


@dataclass(frozen=True)
class Driver:
    """An assumption moved away from the model's towards one end. kind: of stresses.KINDS; end: the furthest size."""

    kind: str
    end: float

    @property
    def label(self) -> str:
        """For people: what is moved, and how far at most."""
        sign = "up to +" if self.kind == "correlation" else "up to ×" if self.end > 1 else "down to ×"
        return f"{self.kind} {sign}{self.end:.3g}"

    def size(self, share: float) -> float:
        """The size at a share of the way, 0 (no change) to 1 (the end): geometric for multipliers, down to 0 linear;
        with the square of the share for what is added, since a few points of correlation matter most."""
        if self.kind in ("correlation", "timing"):
            return self.end * share * share
        return float(self.end**share) if self.end > 0 else 1.0 - share


DRIVERS: tuple[Driver, ...] = (
    Driver("pd", 3.0),
    Driver("pd", 1 / 3),
    Driver("recovery", 0.0),
    Driver("recovery", 3.0),
    Driver("correlation", 0.30),
    Driver("prepayment", 3.0),
    Driver("prepayment", 1 / 3),
)


@dataclass(frozen=True)
class Mover:
    """How far a driver has to move until a class's grade does.

    moved: the smallest size tested at which its grade differs from the base case's, None: at none up to the end;
    held: the largest tested below it with the base grade. grade, notches: at moved, None where nothing moved it.
    end: the furthest size tested. tested: sizes tried for all classes together.
    """

    kind: str
    end: float
    name: str
    base: str
    held: float
    moved: float | None
    grade: str | None
    notches: int | None
    tested: int


def notch_movers(
    draws: CommonDraws,
    rate: Rate,
    base: Mapping[str, str],
    drivers: Sequence[Driver] = DRIVERS,
    *,
    grid: int = GRID,
    halvings: int = HALVINGS,
) -> tuple[Mover, ...]:
    """For every driver and class the smallest change that moves its grade by a notch or more.

    base: class -> grade at no change, on the same draws. Each driver is tested at `grid` sizes and, where a class moved
    between two of them, by `halvings` bisections: at most grid + classes * halvings simulations a driver, none for
    recoveries. Common random numbers make the grade a function of the size; where it moves and comes back between two
    grid points, that is not seen. Raises ValueError for a grid or halvings below 1.
    """
    if grid < 1 or halvings < 0:
        raise ValueError(f"grid: {grid} points and {halvings} halvings; expected at least 1 and 0")
    found: list[Mover] = []
    for driver in drivers:
        known: dict[float, dict[str, str]] = {0.0: dict(base)}

        def grades(share: float, driver: Driver = driver, known: dict[float, dict[str, str]] = known) -> dict[str, str]:
            if share not in known:
                stress = Stress((Change(driver.kind, driver.size(share)),))
                known[share] = {each.name: each.grade for each in rate(stress, draws.flows(stress))}
            return known[share]

        ends = {name: _bracket(name, grades, grid, halvings) for name in base}
        tested = len(known) - 1
        for name, (held, moved) in ends.items():
            grade = None if moved is None else known[moved][name]
            found.append(
                Mover(
                    kind=driver.kind,
                    end=driver.end,
                    name=name,
                    base=base[name],
                    held=driver.size(held),
                    moved=None if moved is None else driver.size(moved),
                    grade=grade,
                    notches=None if grade is None else notches(base[name], grade),
                    tested=tested,
                )
            )
    return tuple(found)


def _bracket(
    name: str, grades: Callable[[float], dict[str, str]], grid: int, halvings: int
) -> tuple[float, float | None]:
    """Shares of the way: the last that held the base grade, and the first tested that did not."""
    start = grades(0.0)[name]
    held, moved = 0.0, None
    for step in range(1, grid + 1):
        if grades(step / grid)[name] != start:
            moved = step / grid
            break
        held = step / grid
    if moved is None:
        return held, None
    for _ in range(halvings):
        middle = (held + moved) / 2.0
        if grades(middle)[name] != start:
            moved = middle
        else:
            held = middle
    return held, moved
