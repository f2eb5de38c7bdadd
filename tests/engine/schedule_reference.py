"""One loan at a time, in exact fractions: what the vectorised schedules are compared with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pooling.engine.schedules import ScheduleTerms


@dataclass(frozen=True)
class Loan:
    """principal in cents; rates: annual, one for each period; years: year fraction of each period."""

    principal: int
    rates: Sequence[Fraction]
    term: int
    years: Sequence[Fraction]
    amortisation_term: int
    given: Sequence[int] = ()


@dataclass(frozen=True)
class Row:
    """Cents of one period."""

    principal: int
    interest: int
    balance: int
    capitalised: int


def rounded(value: Fraction, multiple: int, rounding: str) -> int:
    """To a multiple; Python rounds a Fraction half to even, exactly."""
    steps = abs(value) / multiple
    sizes = {
        "half_even": round(steps),
        "half_up": int(steps + Fraction(1, 2)),
        "down": int(steps),
        "up": -int(-steps // 1),
    }
    return sizes[rounding] * multiple * (1 if value >= 0 else -1)


def rows(loan: Loan, terms: ScheduleTerms, forced: int | None = None) -> list[Row]:
    """The schedule; forced: an instalment to use in place of the one figured (smoothing)."""
    result: list[Row] = []
    balance, deferred, first, instalment = loan.principal, 0, 0, 0
    for period in range(loan.term):
        base = loan.principal if terms.amortisation == "flat" else balance
        accrued = rounded(base * loan.rates[period] * loan.years[period], terms.interest_multiple, terms.rounding)
        interest, capitalised = accrued, 0
        if period < terms.interest_grace:
            interest = 0
            if terms.grace_interest == "capitalised":
                capitalised = accrued
                balance += accrued
            elif terms.grace_interest == "deferred":
                deferred += accrued
        elif deferred:
            interest, deferred = accrued + deferred, 0
        if period == terms.principal_grace:
            instalment = first = figured(loan, terms, balance, period) if forced is None else forced
        elif period > terms.principal_grace and forced is None:
            instalment = later(loan, terms, balance, period, instalment)
        paid = balance if period == loan.term - 1 else principal_due(loan, terms, balance, period, instalment, accrued)
        balance -= paid
        result.append(Row(paid, interest, balance, capitalised))
    return smoothed(loan, terms, result, first) if terms.smoothing and forced is None else result


def principal_due(loan: Loan, terms: ScheduleTerms, balance: int, period: int, instalment: int, accrued: int) -> int:
    if terms.amortisation == "given":
        return loan.given[period]
    if terms.amortisation == "bullet" or period < terms.principal_grace:
        return 0
    wanted = instalment - accrued if terms.amortisation in ("level", "step") else instalment
    return min(max(wanted, 0), balance)


def figured(loan: Loan, terms: ScheduleTerms, balance: int, period: int) -> int:
    """The instalment, or the equal principal, from this period on."""
    left = loan.amortisation_term - period
    if terms.amortisation in ("equal_principal", "flat"):
        return rounded(Fraction(balance, left), terms.principal_multiple, terms.rounding)
    if terms.amortisation in ("bullet", "given"):
        return 0
    i = loan.rates[period] / terms.periods_per_year
    if terms.amortisation == "step":
        growth = 1 + Fraction(str(terms.step_rate))
        worth = sum((growth ** (t // terms.step_every) / (1 + i) ** (t + 1) for t in range(left)), Fraction(0))
    else:
        worth = Fraction(left) if i == 0 else (1 - (1 + i) ** -left) / i
    return rounded(balance / worth, terms.instalment_multiple, terms.rounds_instalment)


def later(loan: Loan, terms: ScheduleTerms, balance: int, period: int, instalment: int) -> int:
    """The instalment after a reset or a step, else as it was."""
    if terms.amortisation == "level" and loan.rates[period] != loan.rates[period - 1]:
        return figured(loan, terms, balance, period)
    if terms.amortisation == "step" and (period - terms.principal_grace) % terms.step_every == 0:
        grown = instalment * (1 + Fraction(str(terms.step_rate)))
        return rounded(grown, terms.instalment_multiple, terms.rounds_instalment)
    return instalment


def smoothed(loan: Loan, terms: ScheduleTerms, plain: list[Row], instalment: int) -> list[Row]:
    n = loan.term - terms.principal_grace
    gap = plain[-1].principal + plain[-1].interest - instalment
    if 2 * abs(gap) <= n:
        return plain
    changed = instalment + rounded(Fraction(gap, n), terms.instalment_multiple, terms.rounds_instalment)
    trial = rows(loan, replace(terms, smoothing=False), changed)
    return trial if abs(trial[-1].principal + trial[-1].interest - changed) < abs(gap) else plain


def by_definition(start: dt.date, end: dt.date, day_count: str) -> Fraction:
    """The words of the 2006 ISDA Definitions, one date pair at a time."""
    if day_count in ("ACT/360", "ACT/365F"):
        return Fraction((end - start).days, 360 if day_count == "ACT/360" else 365)
    if day_count == "ACT/ACT":
        whole = Fraction(0)
        for year in range(start.year, end.year + 1):
            first, last = max(start, dt.date(year, 1, 1)), min(end, dt.date(year + 1, 1, 1))
            whole += Fraction((last - first).days, (dt.date(year + 1, 1, 1) - dt.date(year, 1, 1)).days)
        return whole
    d1, d2 = start.day, end.day
    if d1 == 31:
        d1 = 30
    if d2 == 31 and (day_count == "30E/360" or d1 == 30):
        d2 = 30
    return Fraction(360 * (end.year - start.year) + 30 * (end.month - start.month) + d2 - d1, 360)
