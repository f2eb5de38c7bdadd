"""What parameter uncertainty costs in notches: a standard structure graded with and without it.

Not here: waterfalls; a class takes the pool's loss above its attachment, up to its detachment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from rating.engine.backtest import Cells, cells_of, forecast_cells
from rating.engine.model import CreditModel
from rating.engine.scale import GRADES, LOSS_GIVEN_DEFAULT, bound_of, grade_of
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks, sector_index
from rating.engine.statistics import weighted_mean, weighted_quantile

FloatArray = NDArray[np.float64]

STANDARD_TARGETS = ("AAA", "AA", "A", "BBB", "BB")
SCENARIOS, SEED = 4096, 20_101
MIN_THICKNESS = 0.005
# Fall of Phi^-1(PD) with the log of the hazard multiplier at the default shares of consumer pools, for the sampling
# direction alone: any direction is exact.
PROBIT_PER_LOG = 0.6


@dataclass(frozen=True)
class ClassCost:
    """One class of the standard structure, sized without parameter uncertainty.

    target: its grade. attachment, detachment: shares of the pool issued. needed: attachment at which a class up to the
    same neighbour would earn the grade with parameter uncertainty. grade: what the class earns with it; notches: how
    far that lies below the target; notches_without_correlation: the same where the correlation alone is certain.
    expected_loss, expected_loss_plain: with and without parameter uncertainty.
    """

    target: str
    attachment: float
    detachment: float
    needed: float
    grade: str
    notches: int
    notches_without_correlation: int
    expected_loss: float
    expected_loss_plain: float


@dataclass(frozen=True)
class UncertaintyCost:
    """classes: senior to junior. years: the pool's weighted average life, the horizon of every class. loss, loss_plain:
    mean pool loss with and without parameter uncertainty; tail, tail_plain: its 99.9 % quantile."""

    classes: tuple[ClassCost, ...]
    years: float
    loss: float
    loss_plain: float
    tail: float
    tail_plain: float


def uncertainty_cost(
    model: CreditModel, loans: LoanArrays, *, scenarios: int = SCENARIOS, seed: int = SEED
) -> UncertaintyCost:
    """Standard structure AAA, AA, A, BBB, BB on loans at age 0, sized without and graded with parameter uncertainty.

    The pool's loss in a scenario is its conditional expectation: right for pools of many loans, single names add to
    it. A class earns a grade where both its expected loss and 0.55 times its default probability are within the
    bound of the scale at the pool's weighted average life. Sizes: senior first, each class the thickest that earns
    its grade; one without room of 0.5 % of the pool is left out.
    """
    quarter = np.zeros(len(loans), dtype=np.int64)
    cells = cells_of(loans, quarter, loans.original_term, model)
    variants = (model, model.without_parameter_uncertainty(), replace(model, correlation_sigma=0.0))
    full, plain, certain = (_losses(each, loans, cells, scenarios, seed) for each in variants)
    years = _average_life(model, cells)
    classes, top, needed_top = [], 1.0, 1.0
    for target in STANDARD_TARGETS:
        bound = bound_of(target, years)
        attachment, needed = _attachment(*plain, top, bound), _attachment(*full, needed_top, bound)
        needed_top = min(needed, needed_top)
        if top - attachment < MIN_THICKNESS:
            continue
        loss, worst = _graded(*full, attachment, top)
        middle = _graded(*certain, attachment, top)[1]
        classes.append(
            ClassCost(
                target=target,
                attachment=attachment,
                detachment=top,
                needed=needed,
                grade=grade_of(worst, years),
                notches=_notches(target, worst, years),
                notches_without_correlation=_notches(target, middle, years),
                expected_loss=loss,
                expected_loss_plain=_graded(*plain, attachment, top)[0],
            )
        )
        top = attachment
    return UncertaintyCost(
        classes=tuple(classes),
        years=years,
        loss=weighted_mean(*full)[0],
        loss_plain=weighted_mean(*plain)[0],
        tail=weighted_quantile(*full, 0.999),
        tail_plain=weighted_quantile(*plain, 0.999),
    )


def _notches(target: str, decisive: float, years: float) -> int:
    """How far the grade lies below the target, 0 where it does not."""
    return max(0, GRADES.index(grade_of(decisive, years)) - GRADES.index(target))


def _losses(
    model: CreditModel, loans: LoanArrays, cells: Cells, scenarios: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """(S,) pool losses and their weights, drawn along the pool's own loss direction."""
    share = np.bincount(sector_index(model, loans), loans.balance, 1 + len(model.sectors)) / loans.balance.sum()
    direction = {f"sector:{name}": share[1 + k] for k, name in enumerate(model.sectors)}
    common = np.sqrt(model.asset_correlation * (1.0 - model.sector_share * (1.0 - share[0])))
    scale = np.sqrt(model.asset_correlation * model.sector_share)
    direction = {name: value * scale for name, value in direction.items()}
    direction |= {"market": common, "pd_level": -PROBIT_PER_LOG * model.pd_level_sigma}
    drawn = ScenarioSet.of_model(model, scenarios, seed=seed, proposal="wide", direction=direction)
    found = forecast_cells(model, scenario_shocks(model, drawn), cells)
    balance = cells.balance.sum(axis=1)
    return np.asarray((found.loss * (balance / balance.sum())[:, None]).sum(axis=0)), drawn.weights


def _average_life(model: CreditModel, cells: Cells) -> float:
    """Years: sum of expected balances over twelve, by the fitted hazards."""
    balance = cells.balance.sum(axis=1)
    total = 0.0
    for c, row in enumerate(cells.row):
        months = int(cells.term[c])
        hazard = model.default_hazard[row] + model.prepayment_hazard[row]
        held = np.concatenate([hazard[:months], np.full(max(0, months - len(hazard)), hazard[-1])])
        alive = np.exp(-np.concatenate([[0.0], np.cumsum(held)[:-1]]))
        total += balance[c] * float((cells.scheduled[c] * alive).sum())
    return total / float(balance.sum()) / 12.0


def _graded(losses: FloatArray, weights: FloatArray, attachment: float, detachment: float) -> tuple[float, float]:
    """Expected loss of a class and the figure that decides its grade, the worse of both rules."""
    hit = np.clip(losses - attachment, 0.0, detachment - attachment) / (detachment - attachment)
    expected = weighted_mean(hit, weights)[0]
    pd = weighted_mean((losses > attachment).astype(np.float64), weights)[0]
    return expected, max(expected, LOSS_GIVEN_DEFAULT * pd)


def _attachment(losses: FloatArray, weights: FloatArray, detachment: float, bound: float) -> float:
    """Lowest attachment at which a class up to the detachment keeps within the bound."""
    low, high = 0.0, detachment
    for _ in range(30):
        middle = 0.5 * (low + high)
        if _graded(losses, weights, middle, detachment)[1] <= bound:
            high = middle
        else:
            low = middle
    return high

