"""Default probability, expected loss, average life and indicative grade of each class on one scenario set.

Not here: the rules that make a grade (scale.py, grades.py), and break-evens (breakeven.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rating.engine.grades import Cap, worse_of
from rating.engine.intervals import ModelInterval, model_interval
from rating.engine.scale import LOSS_GIVEN_DEFAULT, grade_of
from rating.engine.statistics import (
    Estimate,
    quantile_estimate,
    weighted_deviation,
    weighted_mean,
    weighted_ratio,
)

FloatArray = NDArray[np.float64]

HALF_A_CENT = 0.005
# What rounding leaves on a class that is paid in full, as a share of its balance.
ROUNDING = 1e-9
INTERVAL_ERRORS = 2.0
# With fewer failing scenarios than this, two standard errors say nothing of what the set did not reach: the
# worst scenarios that the class survived count as failures in the upper bound (a weighted rule of three).
FEW_FAILURES, UNSEEN_FAILURES = 10, 3
LIFE_QUANTILES = (0.05, 0.5, 0.95)


class ClassFlows(Protocol):
    """What a rating reads of the waterfall's result; see pooling.engine.waterfall for shapes and units."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def interest(self) -> FloatArray: ...
    @property
    def principal(self) -> FloatArray: ...
    @property
    def interest_shortfall(self) -> FloatArray: ...
    @property
    def initial_balance(self) -> FloatArray: ...
    @property
    def months_between(self) -> int: ...
    @property
    def period_rate(self) -> FloatArray: ...
    @property
    def unpaid_principal(self) -> FloatArray: ...


@dataclass(frozen=True)
class TrancheRating:
    """Result for one class; pd, expected_loss: fractions, with their standard errors; wal_years: scenario mean.

    grade: the worst of grade_by_loss, grade_by_pd, grade_by_multiple and the cap, see rate_tranches; the last two are
    None where the caller has none, and know no simulation error. grade_low (worse) and grade_high (better): the same
    at pd_upper and two standard errors above, and two below; converged when these two agree (simulation error only, not
    model error). pd_upper: two standard errors above pd, and where few scenarios fail the class, no less than if the
    three worst that it survived had failed it too.
    break_even_multiple: smallest pool loss in whose scenario the class loses principal or interest, over the
    expected pool loss; None without pool losses or where no scenario hurts the class. Shown, not graded.
    """

    name: str
    pd: float
    pd_se: float
    expected_loss: float
    expected_loss_se: float
    wal_years: float
    grade: str
    grade_by_loss: str
    grade_by_pd: str
    grade_low: str
    grade_high: str
    converged: bool
    pd_upper: float
    break_even_multiple: float | None = None
    grade_by_multiple: str | None = None
    cap: Cap | None = None

    @property
    def expected_loss_upper(self) -> float:
        """Upper confidence bound: expected loss plus two standard errors."""
        return self.expected_loss + INTERVAL_ERRORS * self.expected_loss_se

    @property
    def rated_loss_upper(self) -> float:
        """What sizing has to bring under the bound of a grade: both rules on their upper confidence bounds."""
        return min(1.0, max(self.expected_loss_upper, LOSS_GIVEN_DEFAULT * self.pd_upper))


def class_losses(deal: ClassFlows, k: int) -> FloatArray:
    """(S,) 1 - PV(received) / PV(promised) of class k at its own note rate.

    Promised: coupon x year fraction of the outstanding balance on each date and the whole principal by legal final
    maturity. Discounted at the note rate that promise is worth the initial balance whatever the speed of
    repayment, so PV(promised) is the initial balance and slow principal is no loss, unpaid principal and missed
    or late interest without compensation are. (Expected-loss approach: loss of present value over the promise.)
    """
    discount = np.exp(-np.cumsum(np.log1p(deal.period_rate[k]), axis=0))
    received = np.einsum("ts,ts->s", deal.interest[k], np.broadcast_to(discount, deal.interest[k].shape))
    received += np.einsum("ts,ts->s", deal.principal[k], np.broadcast_to(discount, deal.principal[k].shape))
    loss = 1.0 - received / float(deal.initial_balance[k])
    return np.where(np.abs(loss) < ROUNDING, 0.0, loss)


def class_lives(deal: ClassFlows, k: int) -> FloatArray:
    """(S,) average life of class k in years from closing; principal unpaid at legal final counts at that date."""
    payments = deal.principal.shape[1]
    time = deal.months_between * np.arange(1, payments + 1) / 12.0
    paid = np.einsum("ts,t->s", deal.principal[k], time)
    return np.asarray((paid + deal.unpaid_principal[k] * time[-1]) / float(deal.initial_balance[k]))


def rate_tranches(
    deal: ClassFlows,
    weights: FloatArray,
    *,
    deferrable: Collection[str] = (),
    pool_losses: FloatArray | None = None,
    multiples: Mapping[str, str] | None = None,
    cap: Cap | None = None,
) -> tuple[TrancheRating, ...]:
    """Rate every class that has a balance, senior to junior; none has: an empty tuple.

    deal: cash by class, month, scenario. weights: (S,) of the scenario set. deferrable: names of classes whose
    interest may be paid late (with interest on it): they default by ultimate, the others by timely interest.
    pool_losses: (S,) orders the scenarios for the upper bound of a class that few of them hurt, and gives the
    break-even multiple; without it both are left out. multiples: class -> grade by the multiple of base-case loss
    (grades.grades_by_multiple). cap: for a short history.

    Default of a class: interest short by more than half a cent on any date (deferrable: a present-value loss),
    or principal unpaid at legal final. Two rules on one scale, at the scenario-mean average life: the expected loss,
    and the default probability on the ladder PD = EL / 0.55 (an assumption); a third on the base case, the multiple.
    The worst one, no better than the cap, is the grade: by expected loss alone a thick senior class could reach so
    deep that nothing below it could earn a grade.

    Raises ValueError for unknown deferrable names, weights of another length or that sum to 0, and a single scenario,
    which has no standard error.
    """
    unknown = set(deferrable) - set(deal.names)
    if unknown:
        raise ValueError(f"deferrable: {sorted(unknown)} are no classes of {', '.join(deal.names)}")
    if np.count_nonzero(weights) == 1:
        raise ValueError("weights: one scenario has no standard error and earns no grade; give at least 2")
    return tuple(
        _rated(deal, k, weights, name in deferrable, pool_losses, (multiples or {}).get(name), cap)
        for k, name in enumerate(deal.names)
        if deal.initial_balance[k] > 0
    )


def _rated(
    deal: ClassFlows,
    k: int,
    weights: FloatArray,
    deferrable: bool,
    pool_losses: FloatArray | None,
    by_multiple: str | None,
    cap: Cap | None,
) -> TrancheRating:
    loss = class_losses(deal, k)
    failed = _failed(deal, k, loss, deferrable)
    pd, pd_se = weighted_mean(failed.astype(np.float64), weights)
    expected, error = weighted_mean(loss, weights)
    life, _ = weighted_mean(class_lives(deal, k), weights)
    pd_upper = min(1.0, pd + max(INTERVAL_ERRORS * pd_se, _unseen(failed, pool_losses, weights)))
    worst = max(expected + INTERVAL_ERRORS * error, LOSS_GIVEN_DEFAULT * pd_upper)
    best = max(expected - INTERVAL_ERRORS * error, LOSS_GIVEN_DEFAULT * (pd - INTERVAL_ERRORS * pd_se))

    def standing(level: float) -> str:
        return worse_of(grade_of(min(1.0, level), life), by_multiple, None if cap is None else cap.grade)

    low, high = standing(worst), standing(best)
    return TrancheRating(
        name=deal.names[k],
        pd=pd,
        pd_se=pd_se,
        expected_loss=expected,
        expected_loss_se=error,
        wal_years=life,
        grade=standing(max(expected, LOSS_GIVEN_DEFAULT * pd)),
        grade_by_loss=grade_of(expected, life),
        grade_by_pd=grade_of(LOSS_GIVEN_DEFAULT * pd, life),
        grade_low=low,
        grade_high=high,
        converged=low == high,
        pd_upper=pd_upper,
        break_even_multiple=_multiple(failed, pool_losses, weights),
        grade_by_multiple=by_multiple,
        cap=cap,
    )


def _failed(deal: ClassFlows, k: int, loss: FloatArray, deferrable: bool) -> NDArray[np.bool_]:
    unpaid = deal.unpaid_principal[k] > HALF_A_CENT
    late = loss > 0 if deferrable else (deal.interest_shortfall[k] > HALF_A_CENT).any(axis=0)
    return np.asarray(unpaid | late)


@dataclass(frozen=True)
class ClassDetail:
    """What a report says of one class beside its rating; estimates with their simulation error.

    loss_given_default: expected loss over default probability, None where no scenario fails the class. wal_years: mean
    and wal_deviation, wal_quantiles over scenarios, in years. interest_shortfall_probability: that interest is unpaid
    after any date, deferrable or not; interest_shortfall: the most unpaid on any date over the initial balance, mean.
    intervals: figure -> model interval, None where the scenarios are too few for one; empty where the parameters are
    not known.
    """

    name: str
    loss_given_default: Estimate | None
    wal_years: Estimate
    wal_deviation: float
    wal_quantiles: Mapping[float, Estimate]
    interest_shortfall_probability: Estimate
    interest_shortfall: Estimate
    intervals: Mapping[str, ModelInterval | None]


def class_details(
    deal: ClassFlows,
    weights: FloatArray,
    *,
    deferrable: Collection[str] = (),
    parameters: tuple[tuple[str, ...], FloatArray] | None = None,
) -> tuple[ClassDetail, ...]:
    """Details of every class that has a balance, senior to junior; arguments as rate_tranches.

    parameters: names and (S, F) draws of the uncertain parameters (intervals.parameter_factors); no names: intervals of
    no width; None: no intervals.
    """
    rows = []
    for k, name in enumerate(deal.names):
        if not deal.initial_balance[k] > 0:
            continue
        loss, lives = class_losses(deal, k), class_lives(deal, k)
        failed = _failed(deal, k, loss, name in deferrable).astype(np.float64)
        worst = deal.interest_shortfall[k].max(axis=0)
        short, amount = (worst > HALF_A_CENT).astype(np.float64), worst / float(deal.initial_balance[k])
        figures = {
            "pd": failed,
            "expected_loss": loss,
            "loss_given_default": loss,
            "wal_years": lives,
            "interest_shortfall_probability": short,
            "interest_shortfall": amount,
        }
        rows.append(
            ClassDetail(
                name=name,
                loss_given_default=weighted_ratio(loss * failed, failed, weights),
                wal_years=Estimate(*weighted_mean(lives, weights)),
                wal_deviation=weighted_deviation(lives, weights),
                wal_quantiles={p: quantile_estimate(lives, weights, p) for p in LIFE_QUANTILES},
                interest_shortfall_probability=Estimate(*weighted_mean(short, weights)),
                interest_shortfall=Estimate(*weighted_mean(amount, weights)),
                intervals=_intervals(figures, weights, parameters),
            )
        )
    return tuple(rows)


def _intervals(
    figures: Mapping[str, FloatArray], weights: FloatArray, parameters: tuple[tuple[str, ...], FloatArray] | None
) -> dict[str, ModelInterval | None]:
    if parameters is None:
        return {}
    names, draws = parameters
    return {
        key: model_interval(
            values,
            weights,
            draws,
            names,
            within=figures["pd"] if key == "loss_given_default" else None,
            bounds=(0.0, np.inf) if key in ("wal_years", "interest_shortfall") else (0.0, 1.0),
        )
        for key, values in figures.items()
    }


def _unseen(failed: NDArray[np.bool_], losses: FloatArray | None, weights: FloatArray) -> float:
    """Weight share of the worst scenarios that the class survived, where few failed it."""
    if losses is None or np.count_nonzero(failed) >= FEW_FAILURES:
        return 0.0
    survived = np.flatnonzero(~failed)
    worst = survived[np.argsort(-losses[survived], kind="stable")[:UNSEEN_FAILURES]]
    return float(weights[worst].sum() / weights.sum())


def _multiple(failed: NDArray[np.bool_], losses: FloatArray | None, weights: FloatArray) -> float | None:
    if losses is None or not failed.any():
        return None
    expected, _ = weighted_mean(losses, weights)
    return float(losses[failed].min() / expected) if expected > 0 else None
