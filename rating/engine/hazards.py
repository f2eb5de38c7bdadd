"""Right-censored person-month hazards of default and prepayment by grade, term and month on book.

Every loan issued before the cut-off enters as exposure and is censored there; what happened later, or was not
yet known then, is never read. Not here: correlation and severity (vintages.py), the model (calibration.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CENSORED, DEFAULTED, PREPAID, MATURED = 0, 1, 2, 3
CHARGE_OFF_LAG = 4
# Person-months at which a cell's own experience weighs as much as its prior.
GRADE_CREDIBILITY, TERM_CREDIBILITY = 2_000.0, 10_000.0
# Defaults at which a grade's own level weighs as much as the average grade's.
LEVEL_CREDIBILITY = 10.0
MIN_EXPOSURE, HELD_MONTHS = 500.0, 6


@dataclass(frozen=True, eq=False)
class History:
    """Finished and running loans of a history tape, arrays (n,).

    issue_month: months since any fixed epoch, the first payment falls in issue_month + 1. term: months.
    grade: str. rate: annual fraction. balance: currency at issue. exit_month_on_book: month k >= 1 of the exit;
    default: first missed payment; censored: last month seen. exit_kind: 0 censored, 1 default, 2 prepaid,
    3 matured. charged_off: principal charged off, net_recovery: recoveries less collection cost, currency.
    sector: str, region or industry whose economy the loan shares, "" where unknown; None: unknown of all loans.

    Raises ValueError naming the column, its shape or its first bad row.
    """

    issue_month: IntArray
    term: IntArray
    grade: NDArray[np.str_]
    rate: FloatArray
    balance: FloatArray
    exit_month_on_book: IntArray
    exit_kind: IntArray
    charged_off: FloatArray
    net_recovery: FloatArray
    sector: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        n = len(self.issue_month)
        for item in fields(self):
            column = getattr(self, item.name)
            if column is not None and column.shape != (n,):
                raise ValueError(f"{item.name}: shape {column.shape}, expected ({n},)")
        for name, low, high in (("exit_kind", 0, 3), ("exit_month_on_book", 0, 1200), ("term", 1, 1200)):
            column = getattr(self, name)
            bad = (column < low) | (column > high)
            if bad.any():
                row = int(np.argmax(bad))
                raise ValueError(f"{name}: row {row} holds {column[row]}, expected {low} to {high}")

    def __len__(self) -> int:
        return len(self.issue_month)

    def take(self, mask: NDArray[np.bool_]) -> History:
        """The loans where mask (n,) is true."""
        columns: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        taken: dict[str, Any] = {name: None if each is None else each[mask] for name, each in columns.items()}
        return History(**taken)

    def sectors(self) -> NDArray[np.str_]:
        """(n,) the sector column, "" where it is unknown."""
        return np.full(len(self), "") if self.sector is None else self.sector


@dataclass(frozen=True, eq=False)
class Observed:
    """What was known at the cut-off of the loans issued before it: history (their rows), months: (n,) at risk,
    0 for those issued too lately, kind: (n,) exit kind at the last of these months, 0 if still running."""

    history: History
    months: IntArray
    kind: IntArray


def observe(history: History, cutoff_month: int, charge_off_lag: int = CHARGE_OFF_LAG) -> Observed:
    """Status at the cut-off, from dates alone.

    A first missed payment is known to be a default only at charge-off, charge_off_lag months later. So every
    loan, whatever its fate, is watched up to cutoff_month - charge_off_lag: stopping only the defaults
    there would bias their hazard down. Months after the contractual term are folded into its last month.

    Raises ValueError when no loan was issued before the cut-off.
    """
    known = history.take(history.issue_month < cutoff_month)
    if not len(known):
        raise ValueError("cutoff_month: no loan of the history was issued before it")
    window = np.clip(cutoff_month - charge_off_lag - known.issue_month, 0, None)
    exit_month = np.minimum(known.exit_month_on_book, known.term)
    seen = known.issue_month + known.exit_month_on_book <= cutoff_month - charge_off_lag
    kind = np.where(seen, known.exit_kind, CENSORED)
    return Observed(history=known, months=np.minimum(exit_month, window), kind=kind)


def person_months(
    observed: Observed, cell: IntArray, cells: int, months: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(cells, months) loans at risk, defaults and prepayments in each month on book; cell (n,) in 0..cells-1."""
    size = cells * (months + 1)
    code = cell * (months + 1) + observed.months
    last = np.bincount(code, minlength=size).reshape(cells, -1)
    at_risk = np.cumsum(last[:, ::-1], axis=1)[:, ::-1][:, 1:]
    events = [
        np.bincount(code[observed.kind == kind], minlength=size).reshape(cells, -1)[:, 1:]
        for kind in (DEFAULTED, PREPAID)
    ]
    return at_risk.astype(np.float64), events[0].astype(np.float64), events[1].astype(np.float64)


def aalen_johansen(at_risk: FloatArray, defaults: FloatArray, prepayments: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cumulative incidence of default and prepayment, (..., months), competing with each other.

    I_j(k) = sum over i <= k of S(i - 1) d_j(i) / n(i), S the product of 1 - (d_1 + d_2) / n
    (Aalen & Johansen, Scandinavian Journal of Statistics 5, 1978). Months without exposure add nothing.
    """
    risk = np.where(at_risk > 0, at_risk, 1.0)
    survival = np.cumprod(1.0 - (defaults + prepayments) / risk, axis=-1)
    before = np.concatenate([np.ones_like(survival[..., :1]), survival[..., :-1]], axis=-1)
    return np.cumsum(before * defaults / risk, axis=-1), np.cumsum(before * prepayments / risk, axis=-1)


def net_default_curve(at_risk: FloatArray, defaults: FloatArray) -> FloatArray:
    """F(k) = 1 - prod (1 - d / n): the latent curve, default as if nothing else ended a loan (cause-specific)."""
    return np.asarray(1.0 - np.cumprod(1.0 - defaults / np.where(at_risk > 0, at_risk, 1.0), axis=-1))


def hazard_incidence(default_hazard: FloatArray, prepayment_hazard: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cumulative incidences (..., months) that hazards -ln(1 - q) imply when default comes first in a month."""
    default, prepaid = -np.expm1(-default_hazard), -np.expm1(-prepayment_hazard)
    stay = (1.0 - default) * (1.0 - prepaid)
    alive = np.concatenate([np.ones_like(stay[..., :1]), np.cumprod(stay, axis=-1)[..., :-1]], axis=-1)
    return np.cumsum(alive * default, axis=-1), np.cumsum(alive * (1.0 - default) * prepaid, axis=-1)


@dataclass(frozen=True, eq=False)
class TermStructure:
    """Fitted hazards: default_hazard, prepayment_hazard (G, M, A) monthly, grades G by rising mean rate, terms M.

    at_risk, defaults, prepayments: (G, M, A) the counts behind them. mean_rate: (G,) annual fraction.
    fallbacks: sentences on what the history did not show. cutoff_month, charge_off_lag: as given.
    """

    grades: tuple[str, ...]
    terms: tuple[int, ...]
    default_hazard: FloatArray
    prepayment_hazard: FloatArray
    at_risk: FloatArray
    defaults: FloatArray
    prepayments: FloatArray
    mean_rate: FloatArray
    fallbacks: tuple[str, ...]
    cutoff_month: int
    charge_off_lag: int


def fit_hazards(
    history: History,
    cutoff_month: int,
    *,
    terms: Sequence[int] = (),
    charge_off_lag: int = CHARGE_OFF_LAG,
    grade_credibility: float = GRADE_CREDIBILITY,
    term_credibility: float = TERM_CREDIBILITY,
) -> TermStructure:
    """Hazards by grade x term x month on book from what was known at the cut-off.

    terms: original terms to serve besides those in the history. Smoothing is by credibility, (d + K prior) /
    (n + K) with K person-months per cell and month (Buehlmann's form): a term's pooled hazard leans on the
    best observed term's at the same share of the term (K = term_credibility, months counted from the base),
    a grade's on its term's pooled hazard times the grade's level. Months on book with fewer than 500 loan-months
    of the base term hold the mean of the last six observed. K = 0 leaves raw hazards where anything was observed.
    Default is found before prepayment within a month, as in the simulation, so prepayment's exposure is n - d.

    Raises ValueError when no loan was issued, or none could be watched for a month, before the cut-off.
    """
    observed = observe(history, cutoff_month, charge_off_lag)
    known = observed.history
    grades, mean_rate = _grades_by_rate(known)
    position = {grade: i for i, grade in enumerate(grades)}
    seen_terms = sorted({int(term) for term in known.term})
    all_terms = tuple(sorted(set(seen_terms) | {int(term) for term in terms}))
    longest = all_terms[-1]
    grade_of = np.array([position[str(grade)] for grade in known.grade], dtype=np.int64)
    cell = grade_of * len(all_terms) + np.searchsorted(all_terms, known.term)
    shape = (len(grades), len(all_terms), longest)
    counts = person_months(observed, cell, shape[0] * shape[1], longest)
    at_risk, defaults, prepayments = (column.reshape(shape) for column in counts)
    if not at_risk.sum() > 0:
        raise ValueError(f"cutoff_month: {cutoff_month}, no loan could be watched for a month before it")
    fallbacks: list[str] = []
    credibility = (grade_credibility, term_credibility)
    default = _fit_cause(at_risk, defaults, all_terms, credibility, fallbacks)
    prepaid = _fit_cause(at_risk - defaults, prepayments, all_terms, credibility, [])
    return TermStructure(
        grades=grades,
        terms=all_terms,
        default_hazard=-np.log1p(-default),
        prepayment_hazard=-np.log1p(-prepaid),
        at_risk=at_risk,
        defaults=defaults,
        prepayments=prepayments,
        mean_rate=mean_rate,
        fallbacks=tuple(fallbacks),
        cutoff_month=cutoff_month,
        charge_off_lag=charge_off_lag,
    )


def _grades_by_rate(history: History) -> tuple[tuple[str, ...], FloatArray]:
    grades, inverse = np.unique(history.grade, return_inverse=True)
    mean = np.bincount(inverse, history.rate) / np.bincount(inverse)
    order = np.argsort(mean, kind="stable")
    return tuple(str(grade) for grade in grades[order]), mean[order]


def _fit_cause(
    at_risk: FloatArray,
    events: FloatArray,
    terms: tuple[int, ...],
    credibility: tuple[float, float],
    fallbacks: list[str],
) -> FloatArray:
    """(G, M, A) monthly probabilities of one cause; appends a sentence for each thing that was filled in."""
    by_grade, by_term = credibility
    pooled_risk, pooled_events = at_risk.sum(axis=0), events.sum(axis=0)
    base = int(np.argmax(pooled_risk.sum(axis=1)))
    pooled = np.zeros(pooled_risk.shape)
    pooled[base] = _base_curve(pooled_risk[base], pooled_events[base], terms[base], fallbacks)
    for m, term in enumerate(terms):
        if m != base:
            pooled[m] = _stretched(pooled[base], terms[base], term, pooled_risk.shape[1])
            seen = int(pooled_risk[m].sum())
            own = f"mixed with its own {seen} loan-months" if seen else "no loan-month was observed before the cut-off"
            fallbacks.append(
                f"{term}-month loans: hazards of the {terms[base]}-month loans of the same grade "
                f"at the same share of the term, {own}"
            )
            pooled[m] = _mix(pooled_events[m], pooled_risk[m], pooled[m], by_term)
    expected = (at_risk * pooled).sum(axis=(1, 2))
    level = (events.sum(axis=(1, 2)) + LEVEL_CREDIBILITY) / (expected + LEVEL_CREDIBILITY)
    prior = np.minimum(level[:, None, None] * pooled[None], 0.5)
    return _mix(events, at_risk, prior, by_grade)


def _mix(events: FloatArray, at_risk: FloatArray, prior: FloatArray, credibility: float) -> FloatArray:
    total = at_risk + credibility
    mixed = (events + credibility * prior) / np.where(total > 0, total, 1.0)
    # A cell in which every last loan ended would give an infinite hazard.
    return np.minimum(np.where(total > 0, mixed, prior), 0.999)


def _base_curve(at_risk: FloatArray, events: FloatArray, term: int, fallbacks: list[str]) -> FloatArray:
    """(A,) raw hazards of the best observed term, months too thinly observed held at the last six's mean."""
    thick = np.flatnonzero(at_risk[:term] >= MIN_EXPOSURE)
    last = int(thick[-1]) + 1 if len(thick) else int(np.flatnonzero(at_risk[:term] > 0)[-1]) + 1
    curve = np.zeros(len(at_risk))
    curve[:last] = events[:last] / np.maximum(at_risk[:last], 1.0)
    low = max(0, last - HELD_MONTHS)
    curve[last:] = events[low:last].sum() / max(at_risk[low:last].sum(), 1.0)
    if last < term:
        fallbacks.append(
            f"{term}-month loans: months on book {last + 1} to {term} were observed on fewer than "
            f"{MIN_EXPOSURE:.0f} loan-months each and hold the mean hazard of months {low + 1} to {last}"
        )
    return curve


def _stretched(curve: FloatArray, from_term: int, to_term: int, months: int) -> FloatArray:
    """(months,) monthly hazard of from_term at the same share of the term: the level per month is kept."""
    month = np.arange(1, months + 1) * from_term / to_term
    return np.interp(month, np.arange(1, from_term + 1), curve[:from_term])
