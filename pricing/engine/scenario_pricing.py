"""View A of a price: scenario weights, one price of systematic risk for loans, pool, every class and the residual.

One measure, one discounting: what the payees of a deal are worth together is what its collections and its cash are
worth, path by path, so that no weighting can break it. Not here: what investors ask (decomposition.py, spread.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from pooling.engine.deal import DealSpec
from pooling.engine.flows import added
from pooling.engine.waterfall import DealFlows
from pooling.engine.waterfall.compile import calendar_of
from pricing.engine.residual import effective_size, price_weights
from rating.engine.scenarios import ScenarioSet, loss_direction
from rating.engine.statistics import weighted_mean

FloatArray = NDArray[np.float64]

# The priced factor: the economy that all pools share. A pool's own loss direction would price the same loan otherwise
# in every pool, and would price the doubt about our own parameters, which is no risk that the market shares.
MARKET: Mapping[str, float] = MappingProxyType({"market": 1.0})
MOST_THETA = 3.0  # beyond it no scenario set of ours has an effective sample worth the name
MONTHS_A_YEAR = 12


def check_theta(theta: float) -> None:
    """Raises ValueError unless 0 <= theta <= 3."""
    if not 0.0 <= theta <= MOST_THETA:
        raise ValueError(f"theta: {theta} is outside [0, {MOST_THETA:g}] standard deviations")


def systematic_factor(scenarios: ScenarioSet, direction: Mapping[str, float] = MARKET) -> FloatArray:
    """(S,) standard normal factor whose risk is priced, low in bad times.

    direction: factor -> how losses fall with it, of any length; the market alone unless named (a pool's own is
    rating.engine.direction.pool_direction). Where the market moves from year to year it is the first year's, which
    the later ones carry on. Raises ValueError where the set draws none of the named factors.
    """
    if not any(direction.get(name) for name in scenarios.names):
        raise ValueError(f"direction: the scenario set draws none of {', '.join(direction)}")
    towards = loss_direction(scenarios.names, direction)
    # Sums written out, not a matrix product: the same bytes on any linear-algebra library.
    return sum((scenarios.factors[:, k] * part for k, part in enumerate(towards)), np.zeros(len(scenarios)))


def risk_weights(scenarios: ScenarioSet, theta: float, direction: Mapping[str, float] = MARKET) -> FloatArray:
    """(S,) pricing weights of mean 1: the set's own times exp(-theta Z), Z as systematic_factor.

    theta: price of systematic risk per standard deviation. The factor then has mean -theta and variance 1 still
    (exponential tilting of a normal; Girsanov in one period). ValueError outside [0, 3].
    """
    check_theta(theta)
    weights = scenarios.weights * price_weights(systematic_factor(scenarios, direction), theta)
    return np.asarray(weights / weights.mean(), dtype=np.float64)


def tilted_probability(pd: ArrayLike, correlation: ArrayLike, theta: float) -> FloatArray:
    """Marginal default probability under the pricing weights: Phi(Phi^-1(PD) + sqrt(rho) theta), any shape.

    One factor X = sqrt(rho) Z + sqrt(1 - rho) e with Z of mean -theta (Wang, A class of distortion operators for
    pricing financial and insurance risks, J. Risk Insurance 67, 2000).
    """
    return np.asarray(ndtr(ndtri(np.asarray(pd)) + np.sqrt(np.asarray(correlation)) * theta), dtype=np.float64)


def payment_years(deal: DealFlows) -> FloatArray:
    """(T,) years from closing to each payment, in whole months: months count from closing."""
    months = deal.months_between * (deal.first_period + 1 + np.arange(deal.months))
    return np.asarray(months / MONTHS_A_YEAR, dtype=np.float64)


@dataclass(frozen=True)
class Line:
    """One payee or source of a deal. kind: class, residual, fee, hedge, facility, purchase, transition; collections,
    income, opening, carry, closing. values: (S,) present values by scenario, currency units."""

    name: str
    kind: str
    values: FloatArray


@dataclass(frozen=True)
class PresentValues:
    """What a deal pays and what it pays it from, by scenario, under one discounting.

    payees: classes, residual, fees, hedges (paid less received), facilities (repaid and charged less drawn), new
    collateral, a new servicer. sources: collections (the price of a call included), opening cash, account income, and
    two lines of time: "carry", what cash loses in value while it lies in an account (<= 0 at positive rates), and
    "closing", cash that is left at the end (<= 0). Account income net of carry is what accounts are worth.
    """

    payees: tuple[Line, ...]
    sources: tuple[Line, ...]

    @property
    def gap(self) -> FloatArray:
        """(S,) payees less sources: zero but for rounding, in every scenario and hence under any weights."""
        return _total(self.payees) - _total(self.sources)

    def of(self, kind: str) -> FloatArray:
        """(S,) sum of all lines of one kind."""
        return _total([line for line in (*self.payees, *self.sources) if line.kind == kind], like=self.gap)


def _total(lines: Sequence[Line], like: FloatArray | None = None) -> FloatArray:
    zero = np.zeros_like(lines[0].values if like is None else like)
    return sum((line.values for line in lines), zero)


def present_values(deal: DealFlows, spec: DealSpec, discount: ArrayLike) -> PresentValues:
    """Present values of every payee and source. discount: (T,) factors by payment date, > 0.

    deal: from closing, in currency units; with a ledger where the spec has facilities or a revolving period, whose cash
    stands nowhere else. Account income is computed from the accounts' own balances and rates, not as what is missing.
    Raises ValueError naming the argument.
    """
    factors = np.asarray(discount, dtype=np.float64)
    if factors.shape != (deal.months,) or not np.all(np.isfinite(factors) & (factors > 0)):
        raise ValueError(f"discount: shape {factors.shape}, expected ({deal.months},) positive factors")
    if deal.unit != "currency":
        raise ValueError("deal: runs in whole cents are not priced; execute it in float64")
    if deal.first_period:
        raise ValueError(f"deal: starts after {deal.first_period} payments; opening cash is that of closing")

    def line(name: str, kind: str, cash: FloatArray) -> Line:
        return Line(name, kind, factors @ cash)

    classes = deal.interest + deal.principal
    payees = [line(name, "class", classes[k]) for k, name in enumerate(deal.names)]
    payees.append(line(spec.residual.name, "residual", deal.residual))
    payees += [line(name, "fee", deal.fees[f]) for f, name in enumerate(deal.fee_names)]
    payees += [line(hedge.name, "hedge", -deal.hedge_net[h]) for h, hedge in enumerate(spec.hedges)]
    payees += [line(name, kind, cash) for name, kind, cash in _booked(deal, spec)]
    cash = np.concatenate([deal.opening_accounts[:, None], deal.accounts], axis=1)  # (A, T + 1, S)
    held = added(cash)
    lost = np.concatenate([[1.0], factors[:-1]]) - factors
    sources = [
        line("collections", "collections", deal.collections),
        Line("opening cash", "opening", held[0]),
        line("account income", "income", _income(spec, cash)),
        Line("time value of cash held", "carry", -(lost @ held[:-1])),
        Line("cash left at the end", "closing", -factors[-1] * held[-1]),
    ]
    return PresentValues(tuple(payees), tuple(sources))


def _income(spec: DealSpec, cash: FloatArray) -> FloatArray:
    """(T, S) interest that the accounts earn: yield times opening balance times the period's year fraction."""
    calendar, conventions = calendar_of(spec), spec.conventions
    fractions = calendar.fractions[conventions.interest_day_count, conventions.accrual_dates]
    earning = np.array([account.yield_rate for account in spec.accounts])
    return np.einsum("a,t,ats->ts", earning, fractions[: cash.shape[1] - 1], cash[:, :-1])


def _booked(deal: DealFlows, spec: DealSpec) -> list[tuple[str, str, FloatArray]]:
    """(name, kind, (T, S) cash out) of what only the ledger knows: facilities, new collateral, a new servicer."""
    if deal.ledger is None:
        if spec.facilities or spec.revolving is not None:
            raise ValueError("deal: facilities and purchases of collateral stand in the ledger; execute with ledger")
        return []
    found: list[tuple[str, str, FloatArray]] = []
    lines = deal.ledger.lines
    for facility in spec.facilities:
        repaid = _ledger_sum(deal, [line.kind == "facility" and line.target == facility.name for line in lines])
        drawn = _ledger_sum(deal, [line.source == facility.name for line in lines])
        found.append((facility.name, "facility", repaid - drawn))
    for kind, name in (("purchase", "new collateral"), ("transition", "new servicer")):
        chosen = [line.kind == kind for line in lines]
        if any(chosen):
            found.append((name, kind, _ledger_sum(deal, chosen)))
    return found


def _ledger_sum(deal: DealFlows, chosen: Sequence[bool]) -> FloatArray:
    """(T, S) sum of the chosen lines of the ledger."""
    if deal.ledger is None:
        raise ValueError("deal: holds no ledger")
    return np.asarray(deal.ledger.amount[np.flatnonzero(chosen)].sum(axis=0), dtype=np.float64)


def class_values(deal: DealFlows, discount: ArrayLike, liquidity: Mapping[str, float]) -> dict[str, FloatArray]:
    """Class -> (S,) present values with a liquidity spread of its own, sum CF D e^(-l t), currency units.

    liquidity: class -> annual fraction, continuous; every class. Raises ValueError naming a missing class.
    """
    factors, years = np.asarray(discount, dtype=np.float64), payment_years(deal)
    missing = [name for name in deal.names if name not in liquidity]
    if missing:
        raise ValueError(f"liquidity: class {missing[0]!r} is missing")
    return {
        name: (factors * np.exp(-liquidity[name] * years)) @ (deal.interest[k] + deal.principal[k])
        for k, name in enumerate(deal.names)
    }


@dataclass(frozen=True)
class Valued:
    """A weighted mean present value, currency units, and its standard error (ratio estimator; conservative for Sobol
    points, see weighted_mean)."""

    name: str
    kind: str
    value: float
    error: float


def valued(lines: Sequence[Line], weights: ArrayLike) -> tuple[Valued, ...]:
    """Each line's value under the weights (S,): sum w V / sum w."""
    return tuple(Valued(line.name, line.kind, *weighted_mean(line.values, weights)) for line in lines)


@dataclass(frozen=True)
class Conservation:
    """Under one discounting and weighting, currency units: payees, sources by kind; error = payees less sources, and
    as a share of the pool's value (its collections)."""

    payees: float
    sources: float
    pool: float

    @property
    def error(self) -> float:
        return self.payees - self.sources

    @property
    def relative(self) -> float:
        return abs(self.error) / self.pool if self.pool > 0 else abs(self.error)


def conservation(found: PresentValues, weights: ArrayLike) -> Conservation:
    """Sum PV(all payees) against PV(collections) + opening cash + account income net of its carry."""
    payees = sum(row.value for row in valued(found.payees, weights))
    sources = valued(found.sources, weights)
    pool = next(row.value for row in sources if row.kind == "collections")
    return Conservation(payees, sum(row.value for row in sources), pool)


@dataclass(frozen=True)
class Tilt:
    """How well a set carries a price of risk. effective: equal scenarios that the weighted ones are worth (Kish).
    mean, mean_error: of the priced factor under the weights; its mean is -theta in the limit."""

    theta: float
    effective: float
    mean: float
    mean_error: float


def implied_theta(
    values: FloatArray, target: float, scenarios: ScenarioSet, direction: Mapping[str, float] = MARKET
) -> float | None:
    """Price of risk at which values (S,) have the weighted mean `target`; None where none in [0, 3] gives it.

    By Brent's method to 1e-12; for values that fall with theta, as those of whatever carries losses do.
    """

    def over(theta: float) -> float:
        return weighted_mean(values, risk_weights(scenarios, theta, direction))[0] - target

    if over(0.0) < 0.0 or over(MOST_THETA) > 0.0:
        return None
    return float(brentq(over, 0.0, MOST_THETA, xtol=1e-12))


def tilt(scenarios: ScenarioSet, theta: float, direction: Mapping[str, float] = MARKET) -> Tilt:
    """Effective size and reached mean of the priced factor at theta."""
    weights = risk_weights(scenarios, theta, direction)
    mean, error = weighted_mean(systematic_factor(scenarios, direction), weights)
    return Tilt(theta, effective_size(weights), mean, error)
