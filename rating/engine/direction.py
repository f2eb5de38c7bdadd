"""The direction in factor space along which a pool's losses grow: where a scenario set should put its points.

Any direction keeps the weighted estimates unbiased; this one makes their errors small. Not here: the draws
(scenarios.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from pooling.engine.loans import LoanArrays
from rating.engine.exact import quantile
from rating.engine.model import CreditModel
from rating.engine.scenarios import LOSS_DIRECTION, ScenarioSet, loss_direction
from rating.engine.shocks import scenario_shocks, sector_index

FloatArray = NDArray[np.float64]

# The gradient is taken this far out along the usual direction, where the senior classes are decided.
REACH, STEP = -2.0, 0.25
DECIMALS = 6


def pool_direction(loans: LoanArrays, model: CreditModel) -> dict[str, float]:
    """How losses fall with each factor of the model, as a vector of length 1 rounded to six decimals, by name.

    Gradient of the conditional expected lifetime loss sum_i b_i F_i(maturity | factors) severity_i, prepayment and
    amortisation aside, by central differences at a bad point two standard deviations out (Glasserman & Li 2005,
    Importance sampling for portfolio credit risk, shift along the direction in which the loss grows fastest).
    """
    names = model.factor_names
    point = REACH * loss_direction(names, LOSS_DIRECTION)
    steps = np.concatenate([point + STEP * np.eye(len(names)), point - STEP * np.eye(len(names))])
    scenarios = ScenarioSet(seed=0, first=0, names=names, factors=steps, weights=np.ones(len(steps)))
    loss = conditional_loss(loans, model, scenarios)
    falls = loss[len(names) :] - loss[: len(names)]
    length = float(np.sqrt(np.square(falls).sum()))
    if not length > 0:
        return {name: LOSS_DIRECTION.get(name, 0.0) for name in names}
    # Rounded, so that the last bits of a library's functions do not move the whole set.
    return {name: round(float(fall) / length, DECIMALS) for name, fall in zip(names, falls, strict=True)}


def conditional_loss(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet) -> FloatArray:
    """(S,) expected share of the balance lost by maturity given the factors, without prepayment or amortisation."""
    shocks, cell, sector = scenario_shocks(model, scenarios), model.assign(loans), sector_index(model, loans)
    hazard = np.cumsum(model.default_hazard, axis=1)
    hazard = np.hstack([np.zeros((len(hazard), 1)), hazard])
    last = hazard.shape[1] - 1
    end, start = np.minimum(loans.age + loans.remaining_term, last), np.minimum(loans.age, last)
    beyond = loans.age + loans.remaining_term - end - (loans.age - start)
    span = hazard[cell, end] - hazard[cell, start] + beyond * model.default_hazard[cell, -1]
    kinds, kind = np.unique(np.stack([sector, cell // len(model.terms), span]), axis=1, return_inverse=True)
    weight = np.bincount(kind.ravel(), loans.balance)
    row, band, span = kinds[0].astype(np.int64), kinds[1].astype(np.int64), kinds[2]
    threshold = quantile(model, -np.expm1(-shocks.default[:, None] * span)) * shocks.mixing[:, None]
    # A moving market counts with its mean over the years that the pool lives.
    years = max(1, min(-(-int(loans.remaining_term.max()) // 12), shocks.score.shape[2]))
    score = shocks.score[:, :, :years].mean(axis=2)
    default = np.exp(log_ndtr((threshold - score[:, row]) / shocks.own[:, None]))
    return np.asarray(((default * shocks.severity[:, band]) * weight).sum(axis=1) / weight.sum())
