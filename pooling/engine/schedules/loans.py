"""The loans of a schedule, checked at the door and held as arrays of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from pooling.engine.daycount import year_fraction_parts
from pooling.engine.schedules.factors import refuse
from pooling.engine.schedules.terms import RATE_UNITS, IntArray, ScheduleTerms

INT64_MAX = float(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Loans:
    """Checked loans, sorted by falling term so that the loans alive in a period are the first ones.

    principal, term, amortisation_term: (n,). rate: (R, n) in RATE_UNITS, R = 1 or periods. numerator: 1, or (periods,
    n or 1) of the period's year fraction numerator / denominator. given: (periods, n) principal, or None. order: (n,)
    the row of the caller at each place.
    """

    principal: IntArray
    rate: IntArray
    term: IntArray
    amortisation_term: IntArray
    numerator: IntArray | int
    denominator: int
    given: IntArray | None
    order: IntArray

    @property
    def periods(self) -> int:
        """The longest term."""
        return int(self.term.max())

    def alive(self) -> list[int]:
        """Loans alive in each period, and 0 after the last: (periods + 1)."""
        ending = np.bincount(self.term, minlength=self.periods + 1)
        return [int(count) for count in len(self.term) - np.cumsum(ending)]

    def rows(self, keep: IntArray) -> Loans:
        """Some of the loans, by place; keep rises."""
        shared = isinstance(self.numerator, int) or self.numerator.shape[1] == 1
        return Loans(
            principal=self.principal[keep],
            rate=self.rate[:, keep],
            term=self.term[keep],
            amortisation_term=self.amortisation_term[keep],
            numerator=self.numerator if shared else cast("IntArray", self.numerator)[:, keep],
            denominator=self.denominator,
            given=None if self.given is None else self.given[:, keep],
            order=self.order[keep],
        )


def checked_loans(
    principal: ArrayLike,
    rate: ArrayLike,
    term: ArrayLike,
    terms: ScheduleTerms,
    dates: ArrayLike | None,
    amortisation_term: ArrayLike | None,
    given_principal: ArrayLike | None,
) -> Loans:
    """The loans of `schedule`. Raises ValueError naming the input and its first bad row."""
    p, n = _whole("principal", principal), _whole("term", term)
    if p.ndim != 1 or p.shape != n.shape or not len(p):
        raise ValueError(f"principal: shape {p.shape} and term's {n.shape} must both be (n,), n at least 1")
    refuse("principal", p <= 0, p)
    refuse("term", n < 1, n)
    periods = int(n.max())
    units = _rate_units(rate, len(p), periods, terms)
    a = n if amortisation_term is None else _amortisation_term(amortisation_term, n, terms)
    grace = max(terms.principal_grace, terms.interest_grace)
    if grace:
        refuse("term", n <= grace, n)
    order = np.argsort(-n, kind="stable")
    numerator, denominator = _fractions(dates, len(p), periods, terms, order)
    loans = Loans(
        principal=p[order],
        rate=units[:, order],
        term=n[order],
        amortisation_term=a[order],
        numerator=numerator,
        denominator=denominator,
        given=_given(given_principal, p, n, terms, order),
        order=order,
    )
    _refuse_overflow(loans, terms, p)
    return loans


def _whole(name: str, values: ArrayLike) -> IntArray:
    column = np.atleast_1d(np.asarray(values))
    if not np.issubdtype(column.dtype, np.integer):
        raise ValueError(f"{name}: whole numbers expected, got {column.dtype}")
    return column.astype(np.int64)


def _rate_units(rate: ArrayLike, n: int, periods: int, terms: ScheduleTerms) -> IntArray:
    r = np.atleast_1d(np.asarray(rate)).astype(np.float64)
    by_period = r.ndim == 2
    if r.shape[0] != n or r.ndim > 2 or (by_period and r.shape[1] < periods):
        raise ValueError(f"rate: shape {r.shape}, expected ({n},) or ({n}, {periods}) with a rate for each period")
    if by_period and (terms.smoothing or terms.amortisation == "step"):
        raise ValueError("rate: one rate for each loan is expected where the instalment is smoothed or steps")
    refuse("rate", ~(np.isfinite(r) & (r >= 0.0) & (r <= 100.0)), r)
    table = r[:, :periods].T if by_period else r[None, :]
    return np.rint(table * RATE_UNITS).astype(np.int64)


def _amortisation_term(values: ArrayLike, term: IntArray, terms: ScheduleTerms) -> IntArray:
    a = _whole("amortisation_term", values)
    if terms.amortisation in ("bullet", "given") or terms.smoothing:
        raise ValueError("amortisation_term: means nothing for bullet, given or smoothed loans; remove it")
    if a.shape != term.shape:
        raise ValueError(f"amortisation_term: shape {a.shape}, expected {term.shape}")
    refuse("amortisation_term", a < term, a)
    return a


def _given(
    values: ArrayLike | None, p: IntArray, n: IntArray, terms: ScheduleTerms, order: IntArray
) -> IntArray | None:
    if (values is None) == (terms.amortisation == "given"):
        raise ValueError("given_principal: comes with amortisation 'given', and with no other")
    if values is None:
        return None
    table = np.atleast_2d(_whole("given_principal", values))
    if table.shape != (len(p), int(n.max())):
        raise ValueError(f"given_principal: shape {table.shape}, expected {(len(p), int(n.max()))}")
    refuse("given_principal", table < 0, table)
    after = np.arange(table.shape[1])[None, :] >= n[:, None]
    refuse("given_principal", after & (table != 0), table)
    total = table.sum(axis=1)
    if np.any(total != p):
        row = int(np.argmax(total != p))
        raise ValueError(f"given_principal: row {row} adds up to {total[row]}, not to its principal {p[row]}")
    return np.ascontiguousarray(table[order].T)


def _fractions(
    dates: ArrayLike | None, n: int, periods: int, terms: ScheduleTerms, order: IntArray
) -> tuple[IntArray | int, int]:
    if terms.day_count == "period":
        return 1, terms.periods_per_year
    if dates is None:
        raise ValueError(f"dates: {terms.day_count} needs the disbursement and due dates")
    given = np.atleast_2d(np.asarray(dates, dtype="datetime64[D]"))
    if given.shape[0] not in (1, n) or given.shape[1] < periods + 1:
        raise ValueError(f"dates: shape {given.shape}, expected ({n} or 1, {periods + 1})")
    used = given[:, : periods + 1]
    if np.isnat(used).any() or np.any(used[:, 1:] <= used[:, :-1]):
        raise ValueError("dates: due dates must rise strictly and none may be missing")
    numerator, denominator = year_fraction_parts(used[:, :-1], used[:, 1:], terms.day_count)
    return np.ascontiguousarray((numerator[order] if len(numerator) > 1 else numerator).T), denominator


def _refuse_overflow(loans: Loans, terms: ScheduleTerms, principal: IntArray) -> None:
    """balance x rate must fit in 64 bits, the balance being the principal with what may be capitalised."""
    longest = 1.0 if isinstance(loans.numerator, int) else float(loans.numerator.max())
    highest = loans.rate.max(axis=0).astype(np.float64)
    growth = 1.0 + highest / RATE_UNITS * longest / loans.denominator
    capitalised = growth**terms.interest_grace if terms.grace_interest == "capitalised" else 1.0
    largest = loans.principal.astype(np.float64) * capitalised * np.maximum(highest, RATE_UNITS)
    bad = np.zeros(len(principal), dtype=np.bool_)
    bad[loans.order] = largest >= INT64_MAX
    refuse("principal", bad, principal)
