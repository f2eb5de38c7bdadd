"""The documented default curve, used where no history calibrates the pool.

Every number is either quoted from a published source or marked as an assumption; none comes from the
outcomes of a pool that may be rated with it. The statement of origins is part of the model and of its hash.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.tapes.regions import REGIONS
from rating.engine.model import CreditModel

FloatArray = NDArray[np.float64]

BANDS = ("A", "B", "C", "D", "E", "F", "G")
PUBLISHED_RATINGS = ("AA", "A", "B", "C", "D", "E", "HR")
# Upper ends of the published ranges of estimated annual loss; the last rating is open: 15 % and more.
LOSS_RANGE_ENDS = (0.02, 0.04, 0.06, 0.09, 0.12, 0.15)
OPEN_RANGE_LOSS = 0.165
TERM_60_ADDITION = 0.0225
SCORE_FLOORS = (760.0, 720.0, 680.0, 640.0, 600.0, 560.0)
RATE_BASE, RATE_SHARE = 0.06, 0.75
SEASONING_MONTHS = (1, 12, 24, 36, 60)
SEASONING_LEVELS = (0.25, 1.25, 1.15, 0.75, 0.6)
SEASONING_RATE = 0.13
PREPAYMENT_CPR, PREPAYMENT_RAMP = 0.16, 12
SEVERITY_MEAN, SEVERITY_SIGMA = 0.90, 0.15
PD_LEVEL_SIGMA, PREPAYMENT_SIGMA, PREPAYMENT_LINK = 0.30, 0.25, 0.10
SECTOR_SHARE, CORRELATION_SIGMA, SEVERITY_LEVEL_SIGMA = 0.2, 0.35, 0.10
CHARGE_OFF_LAG, RECOVERY_LAG = 4, 6
TERMS = (36, 60)


def band_losses() -> tuple[float, ...]:
    """Annual loss rate of each band: the middle of its published range; 16.5 % for the open one."""
    starts = (0.0, *LOSS_RANGE_ENDS[:-1])
    return (*((low + high) / 2 for low, high in zip(starts, LOSS_RANGE_ENDS, strict=True)), OPEN_RANGE_LOSS)


def seasoning(term: int) -> FloatArray:
    """(term,) relative default hazard by month on book, linear between the stated months, whose mean weighted
    by the scheduled balance of a level-payment loan is 1, so that an annual loss rate on balance is kept."""
    month = np.arange(1, term + 1)
    level = np.interp(month, SEASONING_MONTHS, SEASONING_LEVELS)
    growth = (1 + SEASONING_RATE / 12) ** np.arange(term)
    balance = ((1 + SEASONING_RATE / 12) ** term - growth) / ((1 + SEASONING_RATE / 12) ** term - 1)
    return np.asarray(level * balance.sum() / (level * balance).sum())


def prepayment_hazard(term: int) -> FloatArray:
    """(term,) -ln(1 - SMM) by month on book: linear ramp over the first year to a level annual speed (CPR)."""
    level = -np.log1p(-PREPAYMENT_CPR) / 12
    return np.asarray(level * np.minimum(np.arange(1, term + 1) / PREPAYMENT_RAMP, 1.0))


def retail_correlation(pd: float) -> float:
    """Asset correlation of "other retail" exposures, Basel Framework CRE31: 3 % to 16 %, falling in the annual PD."""
    if not 0.0 <= pd <= 1.0:
        raise ValueError(f"pd: {pd} is outside [0, 1]")
    weight = float(np.expm1(-35.0 * pd) / np.expm1(-35.0))
    return 0.03 * weight + 0.16 * (1.0 - weight)


def curve_correlation() -> float:
    """The retail correlation at the annual default rate of the middle band."""
    return retail_correlation(band_losses()[len(BANDS) // 2] / SEVERITY_MEAN)


def provenance() -> dict[str, Any]:
    """Origin of every number of the curve: kind "source" or "assumption", JSON-able."""

    def source(value: Any, text: str) -> dict[str, Any]:
        return {"value": value, "kind": "source", "text": text}

    def assumption(value: Any, text: str) -> dict[str, Any]:
        return {"value": value, "kind": "assumption", "text": text}

    loss_page = "prosper.com, legal, estimated loss rates"
    return {
        "loss_range_ends": source(
            list(LOSS_RANGE_ENDS),
            f"{loss_page}: estimated annual loss by rating, AA 0-1.99 %, A 2-3.99 %, B 4-5.99 %, C 6-8.99 %, "
            "D 9-11.99 %, E 12-14.99 %, HR 15 % and more; as widely published",
        ),
        "open_range_loss": assumption(OPEN_RANGE_LOSS, "the open range HR is read as 15 % to 18 %"),
        "band_points": assumption(list(band_losses()), "each band sits in the middle of its range"),
        "grades": assumption(
            dict(zip(BANDS, PUBLISHED_RATINGS, strict=True)),
            "grades A to G of a tape are read as the seven published ratings in the same order",
        ),
        "term_60_addition": source(
            TERM_60_ADDITION, f"{loss_page}: addition to the annual loss rate of a 60-month loan in its worked example"
        ),
        "score_floors": source(
            list(SCORE_FLOORS),
            "score ranges of Prosper's first credit grades: AA 760, A 720, B 680, C 640, D 600, E 560 and more; "
            "as widely published",
        ),
        "rate_ceilings": assumption(
            list(rate_ceilings()), "loan rate = 6 % funding and cost, plus annual loss over 0.75"
        ),
        "seasoning": assumption(
            {"months": list(SEASONING_MONTHS), "levels": list(SEASONING_LEVELS)},
            "relative hazard by month on book: rises for a year, falls after the second",
        ),
        "prepayment_cpr": assumption(PREPAYMENT_CPR, "annual speed of unsecured consumer loans after a 12-month ramp"),
        "severity_mean": assumption(
            SEVERITY_MEAN,
            "round figure for unsecured consumer loans, net of collection cost; measured on no tape that is rated",
        ),
        "severity_sigma": assumption(SEVERITY_SIGMA, "probit-scale dispersion: 0.87 to 0.92 at one deviation"),
        "asset_correlation": source(
            curve_correlation(), "Basel Framework CRE31, other retail, at the annual default rate of band D"
        ),
        "pd_level_sigma": assumption(
            PD_LEVEL_SIGMA, "the level of a borrowed curve may be a third too low or too high"
        ),
        "correlation_sigma": assumption(
            CORRELATION_SIGMA, "log deviation of the asset correlation: 95 % of it within half to twice the median"
        ),
        "sectors": source(list(REGIONS), "US Census Bureau, Census Regions and Divisions of the United States"),
        "sector_share": assumption(
            SECTOR_SHARE, "a fifth of the systematic variance is the region's own, four fifths are the country's"
        ),
        "severity_bands": assumption([], "unsecured loans of every band lose the same share"),
        "severity_level_sigma": assumption(
            SEVERITY_LEVEL_SIGMA, "probit-scale error of the severity itself: 0.88 to 0.92 at one deviation"
        ),
        "severity_link": assumption(
            0.0, "no link to the market: recoveries of unsecured loans are so small that a link moves the loss little"
        ),
        "severity_noise": assumption(0.0, "every loan of a scenario loses the same share: pools hold many loans"),
        "copula": assumption("gaussian", "no tail dependence beyond the factors and the uncertain parameters"),
        "factor_persistence": assumption(1.0, "the economy a pool meets lasts for its life"),
        "history_months": assumption(0, "no experience of the pool's own kind stands behind the curve"),
        "prepayment_sigma": assumption(PREPAYMENT_SIGMA, "log deviation of the speed"),
        "prepayment_link": assumption(PREPAYMENT_LINK, "a better market prepays faster"),
        "charge_off_lag": source(
            CHARGE_OFF_LAG, "charge-off at 120 days: US Uniform Retail Credit Classification, 2000"
        ),
        "recovery_lag": assumption(RECOVERY_LAG, "months from charge-off to the net recovery"),
    }


def rate_ceilings() -> tuple[float, ...]:
    """Highest loan rate of each band but the last: base rate plus the range's end over the loss share."""
    return tuple(round(RATE_BASE + end / RATE_SHARE, 6) for end in LOSS_RANGE_ENDS)


def documented_model() -> CreditModel:
    """The fallback CreditModel: annual loss by band -> monthly default hazard loss / (12 severity) x seasoning.

    A loan takes its band from its grade, else its score, else its rate. Terms other than 36 and 60 take
    the nearer table (the longer on a tie).
    """
    longest = max(TERMS)
    default, prepayment = np.zeros((len(BANDS) * len(TERMS), longest)), np.zeros((len(BANDS) * len(TERMS), longest))
    for b, loss in enumerate(band_losses()):
        for m, term in enumerate(TERMS):
            row = b * len(TERMS) + m
            annual = loss + (TERM_60_ADDITION if term == 60 else 0.0)
            default[row, :term] = annual / SEVERITY_MEAN / 12 * seasoning(term)
            default[row, term:] = default[row, term - 1]
            prepayment[row] = prepayment_hazard(longest)
    bands = {grade: i for i, grade in enumerate(BANDS)}
    return CreditModel(
        name="documented curve",
        bands=BANDS,
        terms=TERMS,
        default_hazard=default,
        prepayment_hazard=prepayment,
        grade_band={**bands, "AA": 0, "HR": len(BANDS) - 1},
        score_floors=SCORE_FLOORS,
        rate_ceilings=rate_ceilings(),
        asset_correlation=curve_correlation(),
        pd_level_sigma=PD_LEVEL_SIGMA,
        severity_mean=SEVERITY_MEAN,
        severity_sigma=SEVERITY_SIGMA,
        prepayment_sigma=PREPAYMENT_SIGMA,
        prepayment_link=PREPAYMENT_LINK,
        charge_off_lag=CHARGE_OFF_LAG,
        recovery_lag=RECOVERY_LAG,
        provenance=provenance(),
        sectors=REGIONS,
        sector_share=SECTOR_SHARE,
        correlation_sigma=CORRELATION_SIGMA,
        severity_level_sigma=SEVERITY_LEVEL_SIGMA,
        fallbacks=("no history calibrates this pool: published loss ranges and stated assumptions stand in",),
    )
