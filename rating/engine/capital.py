"""Regulatory capital beside a rating: IRB risk weights of loans, SEC-SA, SEC-IRBA and SEC-ERBA of classes.

SEC-SA decides for our deals: an indicative grade is no external rating, so SEC-ERBA is an illustration. Sources: Basel
Framework CRE31, CRE40 to CRE44 (Bank for International Settlements); CRR articles 259 to 264 say the same of these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

FULL_DEDUCTION = 12.5
FLOOR = 0.15  # CRE40.50
ORDINARY_P, SIMPLE_P, RESECURITISATION_P = 1.0, 0.5, 1.5  # CRE41.9, CRE41.23, CRE41.24
STANDARDISED_RETAIL, STANDARDISED_CORPORATE = 0.06, 0.08  # K_SA: 75 % and 100 % of 8 %

# CRE42 table 2: senior 1 and 5 years, thin non-senior 1 and 5 years; CCC stands for CCC+ to CCC-.
ERBA: dict[str, tuple[float, float, float, float]] = {
    "AAA": (0.15, 0.20, 0.15, 0.70),
    "AA+": (0.15, 0.30, 0.15, 0.90),
    "AA": (0.25, 0.40, 0.30, 1.20),
    "AA-": (0.30, 0.45, 0.40, 1.40),
    "A+": (0.40, 0.50, 0.60, 1.60),
    "A": (0.50, 0.65, 0.80, 1.80),
    "A-": (0.60, 0.70, 1.20, 2.10),
    "BBB+": (0.75, 0.90, 1.70, 2.60),
    "BBB": (0.90, 1.05, 2.20, 3.10),
    "BBB-": (1.20, 1.40, 3.30, 4.20),
    "BB+": (1.40, 1.60, 4.70, 5.80),
    "BB": (1.60, 1.80, 6.20, 7.60),
    "BB-": (2.00, 2.25, 7.50, 8.60),
    "B+": (2.50, 2.80, 9.00, 9.50),
    "B": (3.10, 3.40, 10.50, 10.50),
    "B-": (3.80, 4.20, 11.30, 11.30),
    "CCC": (4.60, 5.05, 12.50, 12.50),
}
ERBA_SHORT_TERM = {"A-1": 0.15, "A-2": 0.50, "A-3": 1.00}  # CRE42 table 1
# CRE44.20: A, B, C, D, E of the supervisory parameter by pool, seniority and granularity (N of 25 and more).
IRBA_P = {
    ("wholesale", True, True): (0.0, 3.56, -1.85, 0.55, 0.07),
    ("wholesale", True, False): (0.11, 2.61, -2.91, 0.68, 0.07),
    ("wholesale", False, True): (0.16, 2.87, -1.03, 0.21, 0.07),
    ("wholesale", False, False): (0.22, 2.35, -2.46, 0.48, 0.07),
    ("retail", True, True): (0.0, 0.0, -7.48, 0.71, 0.24),
    ("retail", False, True): (0.0, 0.0, -5.78, 0.55, 0.27),
}


def _fraction(name: str, value: float, *, high: float = 1.0) -> None:
    if not 0.0 <= value <= high:
        raise ValueError(f"{name}: {value} is outside [0, {high:g}]")


def _capital(pd: float, lgd: float, correlation: float) -> float:
    """Unexpected loss at 99.9 %: LGD (Phi((Phi^-1(PD) + sqrt(R) Phi^-1(0.999)) / sqrt(1 - R)) - PD), CRE31.5."""
    stressed = ndtr((ndtri(pd) + math.sqrt(correlation) * ndtri(0.999)) / math.sqrt(1.0 - correlation))
    return float(lgd * (stressed - pd))


def corporate_capital(pd: float, lgd: float, maturity: float) -> float:
    """K of a corporate exposure, share of its amount, CRE31.5. pd, lgd: fractions; maturity: years.

    R = 0.12 w + 0.24 (1 - w), w = (1 - exp(-50 PD)) / (1 - exp(-50)); b = (0.11852 - 0.05478 ln PD)**2; the maturity
    adjustment is (1 + (M - 2.5) b) / (1 - 1.5 b). Raises ValueError for a pd or lgd outside [0, 1].
    """
    _fraction("pd", pd)
    _fraction("lgd", lgd)
    if pd in (0.0, 1.0):
        return 0.0
    weight = math.expm1(-50.0 * pd) / math.expm1(-50.0)
    slope = (0.11852 - 0.05478 * math.log(pd)) ** 2
    adjustment = (1.0 + (maturity - 2.5) * slope) / (1.0 - 1.5 * slope)
    return _capital(pd, lgd, 0.12 * weight + 0.24 * (1.0 - weight)) * adjustment


def retail_capital(pd: float, lgd: float) -> float:
    """K of an "other retail" exposure, CRE31.24: R = 0.03 w + 0.16 (1 - w), w = (1 - exp(-35 PD)) / (1 - exp(-35))."""
    _fraction("pd", pd)
    _fraction("lgd", lgd)
    if pd in (0.0, 1.0):
        return 0.0
    weight = math.expm1(-35.0 * pd) / math.expm1(-35.0)
    return _capital(pd, lgd, 0.03 * weight + 0.16 * (1.0 - weight))


def legal_maturity(years: float) -> float:
    """M_T of a class from its legal final maturity: 1 + 80 % (M_L - 1), between 1 and 5 years, CRE40.22."""
    return min(5.0, max(1.0, 1.0 + 0.8 * (years - 1.0)))


def delinquency_capital(ksa: float, delinquent: float, unknown: float = 0.0) -> float:
    """K_A of SEC-SA: (1 - W) K_SA + 0.5 W, W the delinquent share (90 days and more past due, in default, foreclosed)
    of what is known; the unknown share enters in full where it is at most 5 %, CRE41.6 to 41.8.

    Raises ValueError for shares outside [0, 1]; with more than 5 % unknown the class weighs 1,250 %, hence K_A = 1.
    """
    for name, value in (("ksa", ksa), ("delinquent", delinquent), ("unknown", unknown)):
        _fraction(name, value)
    if unknown > 0.05:
        return 1.0
    return (1.0 - unknown) * ((1.0 - delinquent) * ksa + 0.5 * delinquent) + unknown


def ssfa_risk_weight(capital: float, attachment: float, detachment: float, p: float, floor: float = FLOOR) -> float:
    """Risk weight by the supervisory formula, CRE41.3 to 41.10 and CRE44.24: 12.5 is 1,250 %.

    capital: K_A of SEC-SA or K_IRB of SEC-IRBA. a = -1 / (p K), u = D - K, l = max(A - K, 0),
    K_SSFA = (exp(a u) - exp(a l)) / (a (u - l)); D <= K weighs 1,250 %, A >= K 12.5 K_SSFA, what straddles K the
    average of the two. attachment, detachment: fractions of the pool, overcollateralisation and funded reserve below.

    Raises ValueError for a class without thickness, fractions outside [0, 1], or p that is not positive.
    """
    _fraction("capital", capital)
    _fraction("detachment", detachment)
    if not 0.0 <= attachment < detachment:
        raise ValueError(f"attachment: a class from {attachment} to {detachment} has no thickness")
    if not p > 0:
        raise ValueError(f"p: {p} is not positive")
    if detachment <= capital:
        return FULL_DEDUCTION
    if capital == 0.0:
        return floor
    a = -1.0 / (p * capital)
    upper, lower = detachment - capital, max(attachment - capital, 0.0)
    above = (math.exp(a * upper) - math.exp(a * lower)) / (a * (upper - lower)) * FULL_DEDUCTION
    if attachment >= capital:
        return max(floor, above)
    inside = (capital - attachment) / (detachment - attachment)
    return max(floor, inside * FULL_DEDUCTION + (1.0 - inside) * above)


def irba_p(pool: str, senior: bool, loans: float, kirb: float, lgd: float, maturity: float) -> float:
    """p of SEC-IRBA: max(0.3, A + B / N + C K_IRB + D LGD + E M_T), CRE44.20. pool: "wholesale" or "retail".

    loans: effective number N. Raises ValueError for another pool, or fewer than one loan.
    """
    if pool not in ("wholesale", "retail"):
        raise ValueError(f"pool: {pool!r} is neither wholesale nor retail")
    if not loans >= 1:
        raise ValueError(f"loans: {loans}, expected at least 1")
    a, b, c, d, e = IRBA_P[(pool, senior, pool == "retail" or loans >= 25)]
    return max(0.3, a + b / loans + c * kirb + d * lgd + e * maturity)


def erba_risk_weight(
    grade: str, senior: bool, attachment: float, detachment: float, maturity: float, floor: float = FLOOR
) -> float:
    """Risk weight of SEC-ERBA, CRE42.2 to 42.6: linear in M_T between 1 and 5 years; a non-senior class times
    1 - min(D - A, 50 %), and never less than a senior class of the same grade and maturity. "D" weighs 1,250 %.
    Raises ValueError for a class without thickness, or a grade that is not on the scale.
    """
    if not 0.0 <= attachment < detachment <= 1.0:
        raise ValueError(f"attachment: a class from {attachment} to {detachment} has no thickness within [0, 1]")
    if grade == "D":
        return FULL_DEDUCTION
    if grade not in ERBA:
        raise ValueError(f"grade: {grade!r} is none of {', '.join(ERBA)}, D")
    years = min(5.0, max(1.0, maturity))
    senior_1, senior_5, thin_1, thin_5 = ERBA[grade]
    weight = senior_1 + (senior_5 - senior_1) * (years - 1.0) / 4.0
    if not senior:
        thin = thin_1 + (thin_5 - thin_1) * (years - 1.0) / 4.0
        weight = max(weight, thin * (1.0 - min(detachment - attachment, 0.5)))
    return max(floor, weight)


@dataclass(frozen=True)
class CapitalClass:
    """What a class is to the formulas. attachment, detachment: fractions of the pool, the funded reserve included."""

    name: str
    attachment: float
    detachment: float
    grade: str
    senior: bool


@dataclass(frozen=True)
class ClassCapital:
    """Risk weights of one class, 1.0 is 100 %. sec_sa decides; sec_erba (of an indicative grade) and sec_irba
    illustrate. capped: whether SEC-SA of a senior class is held to the look-through weight of the pool (CRE40.50)."""

    name: str
    attachment: float
    detachment: float
    sec_sa: float
    sec_irba: float
    sec_erba: float
    capped: bool


def capital_of_classes(
    classes: Sequence[CapitalClass],
    *,
    ksa: float,
    delinquent: float,
    kirb: float,
    lgd: float,
    loans: float,
    legal_years: float,
    pool: str = "retail",
    p: float = ORDINARY_P,
) -> tuple[ClassCapital, ...]:
    """One row a class. p: 1 for ordinary senior and mezzanine alike, 0.5 for simple, transparent and comparable deals
    alone, 1.5 for re-securitisations, whose classes know no look-through cap and weigh at least 100 %. kirb: of the
    pool, expected loss included (CRE44.2). legal_years: from closing to legal final maturity."""
    ka, maturity = delinquency_capital(ksa, delinquent), legal_maturity(legal_years)
    again = p >= RESECURITISATION_P
    floor = 1.0 if again else FLOOR
    rows = []
    for each in classes:
        place = (each.attachment, each.detachment)
        by_sa = ssfa_risk_weight(ka, *place, p, floor)
        held = each.senior and not again
        # A senior class weighs no more than the pool behind it would, by either approach.
        standardised, internal = (max(FLOOR, k * FULL_DEDUCTION) if held else FULL_DEDUCTION for k in (ksa, kirb))
        share = irba_p(pool, each.senior, loans, kirb, lgd, maturity)
        rows.append(
            ClassCapital(
                name=each.name,
                attachment=each.attachment,
                detachment=each.detachment,
                sec_sa=min(standardised, by_sa),
                sec_irba=min(internal, ssfa_risk_weight(kirb, *place, share, floor)),
                sec_erba=min(standardised, erba_risk_weight(each.grade, each.senior, *place, maturity, floor)),
                capped=by_sa > standardised,
            )
        )
    return tuple(rows)
