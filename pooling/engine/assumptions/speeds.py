"""Speeds of prepayment and default turned into one another: SMM, CPR, PSA, ABS, MDR, CDR, SDA.

Source of every formula: Standard Formulas, Bond Market Association (now SIFMA), 1999, pages as named. Fractions
throughout: 6 % is 0.06 and 150 % PSA is 1.5. The age of a new loan in its first month is 1. Arrays broadcast.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

MONTHS = 12.0
YEAR_DAYS = 365.0
PSA_STEP, PSA_MONTHS = 0.002, 30  # SF-5: 0.2 % CPR more each month, up to 6 % in month 30
SDA_PEAK, SDA_TAIL = 0.006, 0.0003  # SF-17: CDR at 100 % SDA between months 30 and 60, and from month 120 on
SDA_RAMP, SDA_PLATEAU, SDA_END = 30, 60, 120


def monthly_rate(annual: ArrayLike) -> FloatArray:
    """1 - (1 - annual)^(1/12): SMM of a CPR, MDR of a CDR (SF-5, SF-16). Any shape, fractions below or at 1."""
    return period_rate(annual, 1.0 / MONTHS)


def annual_rate(monthly: ArrayLike) -> FloatArray:
    """1 - (1 - monthly)^12: CPR of an SMM, CDR of an MDR. The inverse of monthly_rate()."""
    return period_rate(monthly, MONTHS)


def period_rate(annual: ArrayLike, years: ArrayLike) -> FloatArray:
    """1 - (1 - annual)^years: the rate of a period; years = days / 365 by actual days, 1/12 by months."""
    rate: FloatArray = 1.0 - (1.0 - np.asarray(annual, dtype=np.float64)) ** np.asarray(years, dtype=np.float64)
    return rate


def years_between(dates: ArrayLike) -> FloatArray:
    """(T,) actual days / 365 between dates (T + 1,), days of datetime64 or ISO text.

    Raises ValueError when the dates are not ascending.
    """
    days = np.diff(np.asarray(dates, dtype="datetime64[D]")).astype(np.float64)
    if np.any(days <= 0.0):
        raise ValueError(f"dates: entry {int(np.argmax(days <= 0.0)) + 1} is not later than the one before it")
    years: FloatArray = days / YEAR_DAYS
    return years


def psa_to_cpr(psa: ArrayLike, age: ArrayLike) -> FloatArray:
    """CPR at a loan's age in months (>= 1): psa x min(0.2 % x age, 6 %) (SF-5)."""
    ramp = PSA_STEP * np.minimum(np.asarray(age, dtype=np.float64), PSA_MONTHS)
    cpr: FloatArray = np.asarray(psa, dtype=np.float64) * ramp
    return cpr


def cpr_to_psa(cpr: ArrayLike, age: ArrayLike) -> FloatArray:
    """PSA of a CPR seen at a loan's age in months (>= 1). The inverse of psa_to_cpr()."""
    psa: FloatArray = np.asarray(cpr, dtype=np.float64) / psa_to_cpr(1.0, age)
    return psa


def sda_to_cdr(sda: ArrayLike, age: ArrayLike) -> FloatArray:
    """CDR at a loan's age in months (>= 1) (SF-17): 100 % SDA rises by 0.02 % a month to 0.60 % in month 30, stays
    until month 60, falls by 0.0095 % a month to 0.03 % in month 120 and stays there.
    """
    points = (0, SDA_RAMP, SDA_PLATEAU, SDA_END)
    curve = np.interp(np.asarray(age, dtype=np.float64), points, (0.0, SDA_PEAK, SDA_PEAK, SDA_TAIL))
    cdr: FloatArray = np.asarray(sda, dtype=np.float64) * curve
    return cdr


def abs_to_smm(abs_speed: ArrayLike, age: ArrayLike) -> FloatArray:
    """SMM of an ABS speed, the share of the original number of loans prepaid each month (SF-12): a / (1 - a (age - 1)).

    From the month on in which that would exceed 1 no loan is left: 1.
    """
    speed, months = np.asarray(abs_speed, dtype=np.float64), np.asarray(age, dtype=np.float64)
    left = 1.0 - speed * (months - 1.0)
    smm: FloatArray = np.divide(speed, left, out=np.ones_like(left), where=left > speed)
    return np.where(speed > 0.0, smm, 0.0)


def smm_to_abs(smm: ArrayLike, age: ArrayLike) -> FloatArray:
    """ABS speed of an SMM seen at a loan's age in months (>= 1): s / (1 + s (age - 1)) (SF-13)."""
    rate = np.asarray(smm, dtype=np.float64)
    speed: FloatArray = rate / (1.0 + rate * (np.asarray(age, dtype=np.float64) - 1.0))
    return speed


def timed_amounts(total: ArrayLike, timing: ArrayLike) -> FloatArray:
    """(T,) or (T, S) amounts by month: total, a number or (S,), spread by timing (T,), which adds up to 1.

    Raises ValueError for a timing that does not add up to 1 or has a negative part.
    """
    shares = timing_vector("timing", timing)
    spread: FloatArray = np.multiply.outer(shares, np.asarray(total, dtype=np.float64))
    return spread


def by_date(values: Mapping[dt.date, float], dates: ArrayLike) -> FloatArray:
    """(T,) a rate given by calendar date, by month of the deal: each value holds from its date until the next one's.

    dates: (T + 1,) cut-off and the ends of the months; a month takes the value that holds at its start.
    Raises ValueError when the first value starts after the first month.
    """
    starts = np.asarray(dates, dtype="datetime64[D]")[:-1]
    known = sorted(values)
    at = np.searchsorted(np.array(known, dtype="datetime64[D]"), starts, side="right") - 1
    if not known or at.min() < 0:
        first = f"starts on {known[0]}" if known else "is missing"
        raise ValueError(f"values: the first {first}; give one that holds on {starts[0]}")
    rates: FloatArray = np.array([values[day] for day in known], dtype=np.float64)[at]
    return rates


def timing_vector(name: str, timing: ArrayLike) -> FloatArray:
    """(T,) fractions >= 0 that add up to 1 within 1e-9. Raises ValueError with the name."""
    shares = np.atleast_1d(np.asarray(timing, dtype=np.float64))
    if shares.ndim != 1 or not len(shares):
        raise ValueError(f"{name}: shape {shares.shape}; give a list of fractions")
    if not np.all(shares >= 0.0):
        raise ValueError(f"{name}: {shares[~(shares >= 0.0)][0]} is no fraction; give fractions of 0 or more")
    if abs(float(shares.sum()) - 1.0) > 1e-9:
        raise ValueError(f"{name}: the fractions add up to {shares.sum():.6g}; make them add up to 1")
    return shares
