"""Back-test: calibrate with censoring at a cut-off, then predict what was issued after it and look what came.

Conditional on each scenario the loans of a cell default independently, so intervals need no cash flows and no
loan-level draws. Not here: reading tapes and writing tables; see rating/backtest_report.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtr, ndtri

from pooling.engine.loans import LoanArrays
from rating.engine.calibration import calibrated_model
from rating.engine.hazards import DEFAULTED, History, aalen_johansen, fit_hazards, hazard_incidence, net_default_curve
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks, scenario_shocks, sector_index
from rating.engine.statistics import weighted_mean

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SCENARIOS, SEED = 2048, 20_100
MIN_LOANS = 30
TAILS = (0.025, 0.975)
PIT_BINS = 10


@dataclass(frozen=True)
class Forecast:
    """A predicted share: mean, equal-tailed 95 % interval low to high, and where what came lies in it: pit, the
    probability of less plus half the probability of exactly that (mid-PIT; Czado, Gneiting & Held 2009)."""

    mean: float
    low: float
    high: float
    pit: float

    def covers(self, realised: float) -> bool:
        """Whether the realised share lies in the interval, its ends included."""
        return self.low <= realised <= self.high


@dataclass(frozen=True)
class Outcome:
    """One prediction and what came.

    cutoff_month: of the calibration, quarter: issue month // 3, both in months or quarters of the history's epoch.
    grade: band of the model, "" for all. term: months, 0 for all. loans: issued. horizon: months on book, the longest
    predicted. realised: share of loans that defaulted, or of the issued balance that was lost.
    full: forecast with, plain: without parameter uncertainty.
    """

    cutoff_month: int
    quarter: int
    grade: str
    term: int
    loans: int
    horizon: int
    realised: float
    full: Forecast
    plain: Forecast


@dataclass(frozen=True, eq=False)
class Period:
    """Everything predicted from one cut-off: the model, the loans issued after it, and the predictions.

    cells: by issue quarter x grade x term, default shares by number. losses: by issue quarter, loss over balance.
    left_out: loans in cells too small to be judged, or with no month that could be watched.
    """

    cutoff_month: int
    model: CreditModel
    loans: LoanArrays
    cells: tuple[Outcome, ...]
    losses: tuple[Outcome, ...]
    left_out: int


@dataclass(frozen=True)
class Coverage:
    """cells: judged. full, plain: share of them inside the 95 % interval. full_pit, plain_pit: (10,) counts of the
    mid-PIT values in tenths. full_width, plain_width: mean width of the intervals."""

    cells: int
    full: float
    plain: float
    full_pit: tuple[int, ...]
    plain_pit: tuple[int, ...]
    full_width: float
    plain_width: float


@dataclass(frozen=True, eq=False)
class PoolForecast:
    """Conditional results of cells (C) in scenarios (S): share (C, S) default probability of a loan, loss (C, S) its
    expected loss over the balance issued, variance (C, S) of that share given the scenario."""

    share: FloatArray
    loss: FloatArray
    variance: FloatArray


@dataclass(frozen=True, eq=False)
class Cells:
    """Loans of equal issue quarter and hazard row. cell: (n,) of each loan. quarter, row, term, horizon: (C,).
    loans: (C, 1 + K) loans by row of Shocks.score; balance, square: the same of balance and its square.
    scheduled: per cell (horizon,) balance before each payment over the balance issued, at the cell's mean rate."""

    cell: IntArray
    quarter: IntArray
    row: IntArray
    term: IntArray
    horizon: IntArray
    loans: FloatArray
    balance: FloatArray
    square: FloatArray
    scheduled: tuple[FloatArray, ...]


def loans_of_history(history: History) -> LoanArrays:
    """The loans of a history as they were issued: age 0, nothing of their outcome."""
    n = len(history)
    return LoanArrays(
        loan_id=np.array([f"{i:09d}" for i in range(n)]),
        balance=history.balance,
        rate=history.rate,
        original_term=history.term,
        remaining_term=history.term,
        age=np.zeros(n, dtype=np.int64),
        grade=history.grade,
        score=np.full(n, np.nan),
        group=np.full(n, ""),
        sector=history.sectors(),
    )


def cells_of(loans: LoanArrays, quarter: IntArray, watched: IntArray, model: CreditModel) -> Cells:
    """Group loans issued at age 0. quarter: (n,). watched: (n,) months on book whose events are known by now; a cell
    is predicted to the shortest of its loans, at most its term, 0 where nothing can be watched."""
    row = model.assign(loans)
    key = np.stack([quarter, row, loans.original_term], axis=1)
    names, cell = np.unique(key, axis=0, return_inverse=True)
    count, sectors = len(names), 1 + len(model.sectors)
    place = cell * sectors + sector_index(model, loans)

    def table(values: FloatArray) -> FloatArray:
        return np.bincount(place, values, count * sectors).reshape(count, sectors).astype(np.float64)

    horizon = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(horizon, cell, np.clip(np.minimum(watched, loans.original_term), 0, None))
    balance = table(loans.balance)
    rate = np.bincount(cell, loans.balance * loans.rate, count) / balance.sum(axis=1)
    return Cells(
        cell=cell,
        quarter=names[:, 0],
        row=names[:, 1],
        term=names[:, 2],
        horizon=horizon,
        loans=table(np.ones(len(loans))),
        balance=balance,
        square=table(loans.balance**2),
        scheduled=tuple(_scheduled(float(rate[c]), int(names[c, 2]), int(horizon[c])) for c in range(count)),
    )


def _scheduled(rate: float, term: int, months: int) -> FloatArray:
    """(months,) balance of a level-payment loan before payment t = 1.., over the balance issued."""
    t = np.arange(months, dtype=np.float64)
    if rate == 0.0:
        return 1.0 - t / term
    monthly = np.log1p(rate / 12.0)
    return np.asarray(1.0 - np.expm1(t * monthly) / np.expm1(term * monthly))


def _held(table: FloatArray, months: int) -> FloatArray:
    """(months,) cumulative hazards, the last month held beyond the table."""
    monthly = np.concatenate([table[:months], np.full(max(0, months - len(table)), table[-1])])
    return np.cumsum(monthly)


def conditional_incidence(model: CreditModel, shocks: Shocks, row: int, sector: int, months: int) -> FloatArray:
    """(months, S) probability of a default in month on book t of a loan issued now, given each scenario.

    P(default in t, not prepaid before t | scenario) = (F(t) - F(t - 1)) exp(-k H_p(t - 1)), with F(t) =
    Phi((Phi^-1(1 - exp(-m H_d(t))) w - score) / own), as the simulation draws it: m, k the scenario's multipliers,
    w the mixing variable of the Student-t copula. Default comes first within a month.

    Raises ValueError where factors do not last for the pool's life (factor_persistence < 1).
    """
    if model.factor_persistence < 1.0:
        raise ValueError(f"factor_persistence: {model.factor_persistence}, the back-test knows factors that last only")
    default = _held(model.default_hazard[row], months)[:, None] * shocks.default
    threshold = ndtri(-np.expm1(-default)) * shocks.mixing - shocks.score[:, sector, 0]
    curve = ndtr(threshold / shocks.own)
    prepaid = _held(model.prepayment_hazard[row], months)[:, None] * shocks.prepayment
    monthly = np.diff(curve, axis=0, prepend=0.0)
    monthly[1:] *= np.exp(-prepaid[:-1])
    return np.asarray(monthly)


def forecast_cells(model: CreditModel, shocks: Shocks, cells: Cells) -> PoolForecast:
    """Conditional default share, loss and its variance of every cell; see conditional_incidence.

    The loss of a loan that defaults in month t is its scheduled balance before payment t times the scenario's severity
    of its band. variance: between loans of the cell given the scenario, severities taken at their mean.
    """
    size, count = len(shocks.own), len(cells.row)
    out = PoolForecast(*(np.zeros((count, size)) for _ in range(3)))
    for row in np.unique(cells.row):
        mine = np.flatnonzero((cells.row == row) & (cells.horizon > 0))
        if not len(mine):
            continue
        severity = shocks.severity[:, int(row) // len(model.terms)]
        for sector in np.flatnonzero(cells.loans[mine].sum(axis=0)):
            monthly = conditional_incidence(model, shocks, int(row), int(sector), int(cells.horizon[mine].max()))
            for c in mine:
                seen, balance = monthly[: cells.horizon[c]], cells.scheduled[c][:, None]
                loss = (seen * balance).sum(axis=0) * severity
                total = cells.balance[c].sum()
                spread = (seen * balance**2).sum(axis=0) * severity**2 - loss**2
                out.share[c] += seen.sum(axis=0) * (cells.loans[c, sector] / cells.loans[c].sum())
                out.loss[c] += loss * (cells.balance[c, sector] / total)
                out.variance[c] += np.maximum(spread, 0.0) * (cells.square[c, sector] / total**2)
    return out


def count_forecast(share: FloatArray, weights: FloatArray, loans: int, found: int) -> Forecast:
    """Forecast of a default share: defaults of the cell are binomial given the scenario's share (S,).

    Where loans of several regions are mixed the binomial at the mean share is a little too wide (Hoeffding 1956).
    low, high: smallest counts that are not exceeded with probability 2.5 % and 97.5 %, over the loans.
    """
    part = weights / weights.sum()
    p = np.clip(share, 0.0, 1.0)

    def below(count: int) -> float:
        return float((part * bdtr(float(count), loans, p)).sum()) if count >= 0 else 0.0

    low, high = (_smallest(below, loans, tail) / loans for tail in TAILS)
    return Forecast(weighted_mean(share, weights)[0], low, high, 0.5 * (below(found - 1) + below(found)))


def _smallest(below: Callable[[int], float], top: int, probability: float) -> int:
    bottom = -1
    while top - bottom > 1:
        middle = (top + bottom) // 2
        if below(middle) >= probability:
            top = middle
        else:
            bottom = middle
    return top


def loss_forecast(loss: FloatArray, variance: FloatArray, weights: FloatArray, realised: float) -> Forecast:
    """Forecast of a loss share, normal given the scenario with mean loss (S,) and the given variance (S,)."""
    part, width = weights / weights.sum(), np.sqrt(np.maximum(variance, 1e-18))

    def below(value: float) -> float:
        return float((part * ndtr((value - loss) / width)).sum())

    ends = []
    for tail in TAILS:
        bottom, top = float((loss - 8 * width).min()), float((loss + 8 * width).max())
        for _ in range(40):
            middle = 0.5 * (bottom + top)
            bottom, top = (bottom, middle) if below(middle) >= tail else (middle, top)
        ends.append(max(top, 0.0))
    return Forecast(weighted_mean(loss, weights)[0], ends[0], ends[1], below(realised))


def predict(
    history: History,
    cutoff_month: int,
    until_month: int,
    data_end: int,
    *,
    min_loans: int = MIN_LOANS,
    scenarios: int = SCENARIOS,
    seed: int = SEED,
) -> Period:
    """Calibrate at the cut-off and predict what was issued from then on, before until_month.

    history: all loans; what happened after the cut-off serves as the answer only. data_end: last month of the data.
    min_loans: smallest cell that is judged (>= 1). Both forecasts stand on the same scenarios.

    Raises ValueError where no loan was issued in the period, or nothing can be watched before the cut-off.
    """
    if min_loans < 1:
        raise ValueError(f"min_loans: {min_loans}, expected at least 1")
    later = history.take((history.issue_month >= cutoff_month) & (history.issue_month < until_month))
    if not len(later):
        raise ValueError(f"cutoff_month: {cutoff_month}, no loan was issued from then on before {until_month}")
    terms = sorted({int(term) for term in later.term})
    model = calibrated_model(history, cutoff_month, terms=terms)
    loans = loans_of_history(later)
    cells = cells_of(loans, later.issue_month // 3, data_end - model.charge_off_lag - later.issue_month, model)
    drawn = ScenarioSet.of_model(model, scenarios, seed=seed, proposal="normal")
    found = [
        forecast_cells(each, scenario_shocks(each, drawn), cells)
        for each in (model, model.without_parameter_uncertainty())
    ]
    bad = (later.exit_kind == DEFAULTED) & (later.exit_month_on_book <= cells.horizon[cells.cell])
    defaults = np.bincount(cells.cell, bad, len(cells.row)).astype(np.int64)
    loss = np.where(bad, later.charged_off - later.net_recovery, 0.0)
    lost = np.bincount(cells.cell, loss, len(cells.row)).astype(np.float64)
    outcomes, left_out = [], 0
    for c in range(len(cells.row)):
        size = int(cells.loans[c].sum())
        if size < min_loans or cells.horizon[c] < 1:
            left_out += size
            continue
        full, plain = (count_forecast(each.share[c], drawn.weights, size, int(defaults[c])) for each in found)
        outcomes.append(
            Outcome(
                cutoff_month=cutoff_month,
                quarter=int(cells.quarter[c]),
                grade=model.bands[int(cells.row[c]) // len(model.terms)],
                term=int(cells.term[c]),
                loans=size,
                horizon=int(cells.horizon[c]),
                realised=float(defaults[c] / size),
                full=full,
                plain=plain,
            )
        )
    losses = _quarter_losses(cutoff_month, cells, found, drawn.weights, lost)
    return Period(cutoff_month, model, loans, tuple(outcomes), losses, left_out)


def _quarter_losses(
    cutoff_month: int, cells: Cells, found: Sequence[PoolForecast], weights: FloatArray, lost: FloatArray
) -> tuple[Outcome, ...]:
    out = []
    for quarter in np.unique(cells.quarter):
        mine = np.flatnonzero((cells.quarter == quarter) & (cells.horizon > 0))
        if not len(mine):
            continue
        balance = cells.balance[mine].sum(axis=1)
        part = (balance / balance.sum())[:, None]
        realised = float(lost[mine].sum() / balance.sum())
        full, plain = (
            loss_forecast(
                (each.loss[mine] * part).sum(axis=0), (each.variance[mine] * part**2).sum(axis=0), weights, realised
            )
            for each in found
        )
        out.append(
            Outcome(
                cutoff_month=cutoff_month,
                quarter=int(quarter),
                grade="",
                term=0,
                loans=int(cells.loans[mine].sum()),
                horizon=int(cells.horizon[mine].max()),
                realised=realised,
                full=full,
                plain=plain,
            )
        )
    return tuple(out)


def backtest(
    history: History,
    cutoffs: Sequence[int],
    data_end: int,
    *,
    min_loans: int = MIN_LOANS,
    scenarios: int = SCENARIOS,
    seed: int = SEED,
) -> tuple[Period, ...]:
    """One Period for each cut-off (ascending months), each predicting what was issued up to the next one or the end.

    Deterministic for a seed. Raises ValueError where the cut-offs are none or not ascending; see also predict.
    """
    if not cutoffs or list(cutoffs) != sorted(set(cutoffs)):
        raise ValueError(f"cutoffs: {list(cutoffs)}, expected ascending months")
    ends = [*cutoffs[1:], int(history.issue_month.max()) + 1]
    return tuple(
        predict(history, cutoff, end, data_end, min_loans=min_loans, scenarios=scenarios, seed=seed)
        for cutoff, end in zip(cutoffs, ends, strict=True)
    )


def coverage(outcomes: Sequence[Outcome]) -> Coverage:
    """Coverage of the 95 % intervals and the mid-PIT histogram. Cells of one period share their economy: their values
    are no independent draws. Raises ValueError for no outcome."""
    if not outcomes:
        raise ValueError("outcomes: none to judge; lower min_loans or choose earlier cut-offs")
    both = [[item.full for item in outcomes], [item.plain for item in outcomes]]
    inside = [
        float(np.mean([each.covers(item.realised) for each, item in zip(side, outcomes, strict=True)])) for side in both
    ]
    pits = [_pit_counts([each.pit for each in side]) for side in both]
    widths = [float(np.mean([each.high - each.low for each in side])) for side in both]
    return Coverage(len(outcomes), inside[0], inside[1], pits[0], pits[1], widths[0], widths[1])


def _pit_counts(values: Sequence[float]) -> tuple[int, ...]:
    counts = np.histogram(np.clip(values, 0.0, 1.0), np.linspace(0.0, 1.0, PIT_BINS + 1))[0]
    return tuple(int(each) for each in counts)


def misses(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """The outcomes outside their interval with parameter uncertainty, in order."""
    return tuple(item for item in outcomes if not item.full.covers(item.realised))


@dataclass(frozen=True)
class IncidenceCheck:
    """Of one term at one month on book, as shares of the loans issued: incidence of default and prepayment by
    Aalen-Johansen, the latent default curve, and the same incidences from the fitted model's scenarios."""

    term: int
    month: int
    default: float
    prepaid: float
    latent: float
    model_default: float
    hazard_default: float
    hazard_prepaid: float


def incidence_checks(history: History, cutoff_month: int, *, months: int = 12) -> tuple[IncidenceCheck, ...]:
    """Fitted hazards and scenario means beside the Aalen-Johansen curves of the history, every `months` months.

    Grades are weighted by their loans issued, as in the pooled curves. Defaults stand at the first missed payment.
    """
    fitted = fit_hazards(history, cutoff_month)
    model = calibrated_model(history, cutoff_month, terms=fitted.terms).without_parameter_uncertainty()
    drawn = ScenarioSet.of_model(model, SCENARIOS, seed=SEED, proposal="normal")
    shocks = scenario_shocks(model, drawn)
    out = []
    for m, term in enumerate(fitted.terms):
        risk, bad, paid = (each[:, m, :term] for each in (fitted.at_risk, fitted.defaults, fitted.prepayments))
        truth = aalen_johansen(risk.sum(axis=0), bad.sum(axis=0), paid.sum(axis=0))
        latent = net_default_curve(risk.sum(axis=0), bad.sum(axis=0))
        share = risk[:, 0] / risk[:, 0].sum()
        hazards = hazard_incidence(fitted.default_hazard[:, m, :term], fitted.prepayment_hazard[:, m, :term])
        by_hazard = [(share[:, None] * each).sum(axis=0) for each in hazards]
        simulated = np.zeros(term)
        for g in range(len(fitted.grades)):
            monthly = conditional_incidence(model, shocks, g * len(model.terms) + m, 0, term)
            simulated += share[g] * np.cumsum((monthly * drawn.weights).sum(axis=1) / drawn.weights.sum())
        for month in range(months, term + 1, months):
            at = month - 1
            values = (truth[0], truth[1], latent, simulated, by_hazard[0], by_hazard[1])
            out.append(IncidenceCheck(term, month, *(float(each[at]) for each in values)))
    return tuple(out)
