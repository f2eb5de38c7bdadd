"""Loan schedules in integer cents, and level amortisation of a unit balance in float64.

Rounding, instalment multiple, day count and smoothing change the cents, so they are parameters of the
product. Not here: payment events on a living loan, floating rates, holidays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Amortisation = Literal["level", "equal_principal", "bullet"]
DayCount = Literal["30/360_period", "act/365_daily"]
Rounding = Literal["half_even"]

RATE_UNITS = 10**8  # whole hundred-millionths, so that interest is an exact fraction before rounding
_INT64_MAX = np.iinfo(np.int64).max


@dataclass(frozen=True)
class ScheduleTerms:
    """What the product fixes beside the loan itself.

    amortisation: "level" instalments, "equal_principal", or "bullet" (interest, then all principal at the
    end). day_count: "30/360_period" charges the annual rate / periods_per_year for each period;
    "act/365_daily" charges actual days / 365, the level instalment still coming from the period rate.
    rounding: "half_even", to the cent. instalment_multiple: cents the level instalment is rounded to (100:
    whole units). smoothing: one adjustment of the level instalment, see `schedule`. periods_per_year: 12
    for months.

    Raises ValueError naming the parameter.
    """

    amortisation: Amortisation = "level"
    day_count: DayCount = "30/360_period"
    rounding: Rounding = "half_even"
    instalment_multiple: int = 1
    smoothing: bool = False
    periods_per_year: int = 12

    def __post_init__(self) -> None:
        choices = {"amortisation": Amortisation, "day_count": DayCount, "rounding": Rounding}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name}: {getattr(self, name)!r} is none of {', '.join(get_args(allowed))}")
        for name in ("instalment_multiple", "periods_per_year"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")


@dataclass(frozen=True)
class Schedule:
    """Scheduled payments in cents, (n_loans, n_periods) int64 each; zero after a loan's last period.

    payment = principal + interest; balance is what is owed after the payment.
    """

    payment: IntArray
    principal: IntArray
    interest: IntArray
    balance: IntArray


@dataclass(frozen=True)
class _Loans:
    """Checked inputs as arrays: principal and term (n,), rate in RATE_UNITS (n,), numerator (n, periods) of
    the period's year fraction numerator / denominator."""

    principal: IntArray
    rate: IntArray
    term: IntArray
    numerator: IntArray
    denominator: int


def schedule(
    principal: ArrayLike,
    rate: ArrayLike,
    term: ArrayLike,
    terms: ScheduleTerms,
    dates: ArrayLike | None = None,
) -> Schedule:
    """Schedules of many loans, to the cent.

    principal: (n,) cents, > 0. rate: (n,) annual fraction, held to 8 decimals. term: (n,) periods, >= 1.
    dates: disbursement and due dates, (periods + 1,) for all loans or (n, periods + 1); needed for
    "act/365_daily".

    Interest = balance x rate x year fraction, exact, then rounded half to even. Level instalment = P i / (1
    - (1 + i)^-n) with i = rate / periods_per_year (P / n at zero rate), rounded half to even to the
    multiple. Where interest exceeds the instalment no principal is due: a balance never grows. The last
    instalment absorbs what is left. Smoothing: when |last - instalment| in cents exceeds n / 2, the
    instalment is changed once by (last - instalment) / n, and the change is kept only where it brings the
    two nearer (conventions of the oracle files, loans S01 to S08).

    Raises ValueError naming the input and its first bad row.
    """
    loans = _checked(principal, rate, term, terms, dates)
    if terms.amortisation == "equal_principal":
        return _run(loans, _divide_half_even(loans.principal, loans.term), level=False)
    if terms.amortisation == "bullet":
        return _run(loans, np.zeros_like(loans.principal), level=False)
    instalment = _level_instalment(loans, terms)
    plain = _run(loans, instalment, level=True)
    return _smoothed(loans, instalment, plain, terms) if terms.smoothing else plain


def level_balance_factors(rate: ArrayLike, term: ArrayLike, months: int) -> FloatArray:
    """(K, months + 1) float64: balance per unit of opening balance after 0, 1, ... months of level payments.

    rate: (K,) annual fraction, nominal monthly, >= 0. term: (K,) remaining months, >= 1. months: >= 0.
    factor(k) = 1 - ((1 + i)^k - 1) / ((1 + i)^n - 1), i = rate / 12, n = term; 1 - k / n at zero rate; 0
    from k = n on (Standard Formulas of the Bond Market Association, 1999, SF-4, rearranged). The interest
    of month k on a unit of opening balance is factor[:, k - 1] x rate / 12.

    Raises ValueError naming the input and its first bad row.
    """
    i = np.atleast_1d(np.asarray(rate, dtype=np.float64)) / 12.0
    n = np.atleast_1d(np.asarray(term, dtype=np.int64))
    if i.shape != n.shape or i.ndim != 1:
        raise ValueError(f"rate: shape {i.shape} differs from term's {n.shape}, or is not (K,)")
    _refuse("rate", ~(np.isfinite(i) & (i >= 0.0)), i * 12.0)
    _refuse("term", n < 1, n)
    if months < 0:
        raise ValueError(f"months: {months} must not be negative")
    k = np.minimum(np.arange(months + 1, dtype=np.int64)[None, :], n[:, None]).astype(np.float64)
    growth = np.log1p(i)[:, None]
    interest_bearing = i[:, None] > 0.0
    whole = np.where(interest_bearing, np.expm1(n[:, None] * growth), n[:, None].astype(np.float64))
    paid = np.where(interest_bearing, np.expm1(k * growth), k)
    return 1.0 - paid / whole


def _checked(
    principal: ArrayLike, rate: ArrayLike, term: ArrayLike, terms: ScheduleTerms, dates: ArrayLike | None
) -> _Loans:
    p, r, n = (
        np.atleast_1d(np.asarray(principal)),
        np.atleast_1d(np.asarray(rate)),
        np.atleast_1d(np.asarray(term)),
    )
    for name, column in (("principal", p), ("term", n)):
        if not np.issubdtype(column.dtype, np.integer):
            raise ValueError(f"{name}: whole numbers expected, got {column.dtype}")
    if p.ndim != 1 or p.shape != r.shape or p.shape != n.shape:
        raise ValueError(f"principal: shapes {p.shape}, rate {r.shape}, term {n.shape} must all be (n,)")
    r = r.astype(np.float64)
    _refuse("principal", p <= 0, p)
    _refuse("rate", ~(np.isfinite(r) & (r >= 0.0) & (r <= 100.0)), r)
    _refuse("term", n < 1, n)
    units = np.rint(r * RATE_UNITS).astype(np.int64)
    _refuse("principal", p.astype(np.float64) * units >= float(_INT64_MAX), p)
    periods = int(n.max())
    if terms.day_count == "30/360_period":
        fractions, denominator = np.ones((1, periods), np.int64), terms.periods_per_year
    else:
        fractions, denominator = _days(dates, len(p), periods), 365
    return _Loans(p.astype(np.int64), units, n.astype(np.int64), fractions, denominator)


def _days(dates: ArrayLike | None, n: int, periods: int) -> IntArray:
    if dates is None:
        raise ValueError("dates: act/365_daily needs the disbursement and due dates")
    given = np.atleast_2d(np.asarray(dates, dtype="datetime64[D]"))
    if given.shape[0] not in (1, n) or given.shape[1] < periods + 1:
        raise ValueError(f"dates: shape {given.shape}, expected ({n} or 1, {periods + 1})")
    days = np.diff(given[:, : periods + 1], axis=1).astype(np.int64)
    if np.any(days <= 0) or np.isnat(given).any():
        raise ValueError("dates: due dates must rise strictly and none may be missing")
    return days


def _refuse(name: str, bad: NDArray[np.bool_], column: NDArray[Any]) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{name}: row {row} holds {column[row]}")


def _divide_half_even(numerator: IntArray, denominator: IntArray | int) -> IntArray:
    """numerator / denominator, both whole, rounded half to even; denominator > 0."""
    quotient = numerator // denominator
    twice = 2 * (numerator - quotient * denominator)
    up = (twice > denominator) | ((twice == denominator) & (quotient % 2 != 0))
    rounded: IntArray = quotient + up
    return rounded


def _interest(loans: _Loans, balance: IntArray, period: int) -> IntArray:
    """balance x rate x numerator / denominator, split so that no product leaves 64 bits."""
    whole, rest = np.divmod(balance * loans.rate, RATE_UNITS)
    days = loans.numerator[:, period]
    units, left = np.divmod(whole * days, loans.denominator)
    remainder = _divide_half_even_given(left * RATE_UNITS + rest * days, loans.denominator * RATE_UNITS, units)
    return units + remainder


def _divide_half_even_given(numerator: IntArray, denominator: int, offset: IntArray) -> IntArray:
    """Round offset + numerator / denominator half to even, less offset: the tie looks at the whole sum's
    parity.
    """
    quotient = numerator // denominator
    twice = 2 * (numerator - quotient * denominator)
    odd = (quotient + offset) % 2 != 0
    rounded: IntArray = quotient + ((twice > denominator) | ((twice == denominator) & odd))
    return rounded


def _level_instalment(loans: _Loans, terms: ScheduleTerms) -> IntArray:
    i = loans.rate / RATE_UNITS / terms.periods_per_year
    with np.errstate(divide="ignore", invalid="ignore"):
        level = loans.principal * i / -np.expm1(-loans.term * np.log1p(i))
    exact = np.rint(level / terms.instalment_multiple, where=i > 0.0, out=np.zeros_like(level)).astype(np.int64)
    flat = _divide_half_even(loans.principal, loans.term * terms.instalment_multiple)
    return np.where(i > 0.0, exact, flat) * terms.instalment_multiple


def _run(loans: _Loans, instalment: IntArray, level: bool) -> Schedule:
    """Roll the balance: `instalment` is the whole payment where level, else the principal of each period."""
    n, periods = len(loans.principal), int(loans.term.max())
    principal = np.zeros((n, periods), dtype=np.int64)
    interest, balances = np.zeros_like(principal), np.zeros_like(principal)
    balance = loans.principal.copy()
    for t in range(periods):
        due = _interest(loans, balance, t)
        wanted = instalment - due if level else instalment
        paid = np.where(loans.term == t + 1, balance, np.clip(wanted, 0, balance))
        balance = balance - paid
        principal[:, t], interest[:, t], balances[:, t] = paid, due, balance
    return Schedule(payment=principal + interest, principal=principal, interest=interest, balance=balances)


def _smoothed(loans: _Loans, instalment: IntArray, plain: Schedule, terms: ScheduleTerms) -> Schedule:
    rows = np.arange(len(instalment))
    gap = plain.payment[rows, loans.term - 1] - instalment
    step = _divide_half_even(gap, loans.term * terms.instalment_multiple) * terms.instalment_multiple
    trial_instalment = instalment + np.where(2 * np.abs(gap) > loans.term, step, 0)
    trial = _run(loans, trial_instalment, level=True)
    trial_gap = trial.payment[rows, loans.term - 1] - trial_instalment
    kept = (np.abs(trial_gap) < np.abs(gap))[:, None]
    return Schedule(
        payment=np.where(kept, trial.payment, plain.payment),
        principal=np.where(kept, trial.principal, plain.principal),
        interest=np.where(kept, trial.interest, plain.interest),
        balance=np.where(kept, trial.balance, plain.balance),
    )
