"""In which unit a column of a tape is written, decided for the whole column and recorded with its grounds.

One tape may hold int_rate 0.1122, dti 14.04 and revol_util 0.537; another writes the same rate 14.07 or
"8.90%".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Share of loans whose instalment must agree with the annuity before the cross-check decides.
_CROSS_CHECK_SHARE = 0.5
_CROSS_CHECK_TOLERANCE = 0.02


@dataclass(frozen=True)
class UnitDecision:
    """What a column's numbers were taken to mean.

    field, column: canonical field and the tape's header. unit: "fraction", "percent", "months", "years",
    "per_year", "per_month", "month_first", "day_first", "midpoint" or "points". confidence: 0 to 1.
    basis: the grounds, for a person to confirm.
    """

    field: str
    column: str
    unit: str
    confidence: float
    basis: str


def decide_ratio(
    field: str,
    column: str,
    values: FloatArray,
    signed: BoolArray,
    *,
    instalment: FloatArray | None = None,
    balance: FloatArray | None = None,
    term: FloatArray | None = None,
) -> UnitDecision:
    """Percent or fraction, for the cells without a % sign (a sign speaks for itself).

    values: (n,) numbers as written, NaN where none. signed: (n,) cells with a % sign. With instalment,
    balance (currency units) and term (months), all (n,), the unit under which more instalments agree with the
    level-payment annuity within 2 % decides; without, the median does (above 1: percent).
    """
    known = np.isfinite(values)
    bare = known & ~signed
    if not bare.any():
        sure = 1.0 if known.any() else 0.0
        return UnitDecision(
            field, column, "percent", sure, "every value carries a % sign" if known.any() else "no values"
        )
    share = f"{signed.sum():,} of {known.sum():,} values carry a % sign; " if signed.any() else ""
    median = float(np.median(values[bare]))
    if instalment is not None and balance is not None and term is not None:
        usable = bare & (values > 0) & (instalment > 0) & (balance > 0) & (term >= 1)
        if usable.any():
            fits = {
                unit: _annuity_share(values[usable] * scale, balance[usable], term[usable], instalment[usable])
                for unit, scale in (("fraction", 1.0), ("percent", 0.01))
            }
            unit = max(fits, key=lambda each: fits[each])
            if fits[unit] >= _CROSS_CHECK_SHARE:
                agree = f"instalments agree with the annuity on {fits[unit]:.1%} of loans"
                return UnitDecision(field, column, unit, 1.0, f"{share}{agree}; median {median:g}")
    unit = "percent" if median > 1.0 else "fraction"
    # A median between 0.5 and 2 could be either; small columns prove little.
    clear = not 0.5 < median < 2.0
    confidence = (0.95 if bare.sum() >= 30 else 0.8) if clear else 0.5
    return UnitDecision(field, column, unit, confidence, f"{share}median {median:g} of {bare.sum():,} values")


def _annuity_share(rate: FloatArray, balance: FloatArray, term: FloatArray, instalment: FloatArray) -> float:
    """Share of loans whose instalment is balance * (r/12) / (1 - (1 + r/12)^-term) within tolerance."""
    monthly = rate / 12.0
    with np.errstate(all="ignore"):
        level = balance * monthly / -np.expm1(-term * np.log1p(monthly))
        return float(np.mean(np.abs(level / instalment - 1.0) < _CROSS_CHECK_TOLERANCE))


def decide_term(column: str, values: FloatArray, years: BoolArray, months: BoolArray) -> UnitDecision:
    """Months or years, for the cells that do not say. years, months: (n,) cells that name their unit."""
    known = np.isfinite(values)
    named = int((years | months)[known].sum())
    if known.any() and named == known.sum():
        unit = "years" if years.sum() > months.sum() else "months"
        return UnitDecision("term", column, unit, 1.0, "every value names its unit")
    bare = values[known & ~years & ~months]
    if not len(bare):
        return UnitDecision("term", column, "months", 0.0, "no values")
    median = float(np.median(bare))
    confidence = 0.95 if 12 <= median <= 480 else 0.5
    return UnitDecision(
        "term", column, "months", confidence, f"median {median:g} of {len(bare):,} values, taken as months"
    )
