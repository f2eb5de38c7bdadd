"""What capital an investor holds against a class, by type of investor: banks by SEC-SA, others by tables of their own.

The tables are named and sourced; what is ours is marked as an assumption. Not here: SEC-SA (rating.engine.capital).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

Basis = Literal["risk_weight", "grade", "grade_times_duration"]
BANK = "bank"
CAPITAL_RATIO = 0.105  # CET1 4.5 %, additional tier 1 1.5 %, tier 2 2 %, conservation buffer 2.5 % (Basel RBC20, RBC30)
CAPITAL_RETURN = 0.0425  # see InvestorType.capital_return


@dataclass(frozen=True)
class InvestorType:
    """A type of investor: how much capital it holds against a class and what holding one costs it.

    key, title. basis: "risk_weight": capital ratio times the SEC-SA risk weight; "grade": `charges` by grade; or that
    times the modified duration in years, at least 1. charges: grade -> fraction of the value. multiple: of the charge
    that the investor holds. servicing: annual fraction, what it spends on holding and watching the class. source: of
    the charges, or "assumption: ...". Charges of grades between the rows are linear in the logarithm by notch, beyond
    them flat. Raises ValueError naming field and value.
    """

    key: str
    title: str
    basis: Basis
    servicing: float
    source: str
    charges: Mapping[str, float] = field(default_factory=dict)
    multiple: float = 1.0

    def __post_init__(self) -> None:
        if self.basis not in ("risk_weight", "grade", "grade_times_duration"):
            raise ValueError(f"basis: {self.basis!r} is no way to charge capital")
        if (self.basis == "risk_weight") == bool(self.charges):
            raise ValueError(f"charges: investor type {self.key} needs charges by grade unless it takes risk weights")
        for grade, charge in self.charges.items():
            if not 0.0 < charge <= 1.0:
                raise ValueError(f"charges: {self.key}, {grade}: {charge} is outside (0, 1]")
        if not 0.0 <= self.servicing < 1.0:
            raise ValueError(f"servicing: {self.servicing} is no annual fraction")
        if not self.multiple > 0.0:
            raise ValueError(f"multiple: {self.multiple} is not positive")


# NAIC life C-1 bond factors of 2021, pre-tax, per cent. AAA to BB+ as J.P. Morgan Asset Management prints them (NAIC
# 2021 Summer National Meeting, exhibit 1, two decimals); the rows below are the adopted factors from memory, not
# checked against the printed table.
NAIC_PERCENT = {
    "AAA": 0.16, "AA+": 0.27, "AA": 0.42, "AA-": 0.52, "A+": 0.66, "A": 0.82, "A-": 1.02, "BBB+": 1.26, "BBB": 1.52,
    "BBB-": 2.17, "BB+": 3.15, "BB": 4.54, "BB-": 6.02, "B+": 7.39, "B": 9.54, "B-": 12.43, "CCC": 23.80,
}  # fmt: skip
NAIC_MULTIPLE = 3.0
# Delegated Regulation (EU) 2015/35, article 178(2), type 2 securitisations, per cent a year of modified duration, by
# credit quality step 0 to 5; a step stands for its letter grades.
SOLVENCY_PERCENT = {
    "AAA": 12.5, "AA+": 13.4, "AA-": 13.4, "A+": 16.6, "A-": 16.6, "BBB+": 19.7, "BBB-": 19.7, "BB+": 82.0,
    "BB-": 82.0, "B+": 100.0, "CCC": 100.0,
}  # fmt: skip
OTHER_SERVICING = 0.0003
FUND_PERCENT = {"AAA": 5.0, "AA": 7.0, "A": 10.0, "BBB": 15.0, "BB": 25.0, "B": 40.0, "CCC": 60.0}


def _fractions(percent: Mapping[str, float]) -> Mapping[str, float]:
    return MappingProxyType({grade: round(value / 100, 6) for grade, value in percent.items()})


_GRADE = "the indicative grade stands in for an agency's, which it is not"
INVESTOR_TYPES: tuple[InvestorType, ...] = (
    InvestorType(
        BANK, "Bank", "risk_weight", 0.0003,
        "SEC-SA, p = 1, legal maturity (Basel Framework CRE41); servicing: assumption, 3 bp",
    ),
    InvestorType(
        "insurer", "Insurer, US life", "grade", 0.0003,
        "NAIC life C-1 bond factors of 2021, pre-tax (rows of BB and below from memory); assumption: three times the "
        f"factor is held, and {_GRADE}; servicing: assumption, 3 bp",
        _fractions(NAIC_PERCENT), NAIC_MULTIPLE,
    ),
    InvestorType(
        "insurer_eu", "Insurer, Solvency II", "grade_times_duration", 0.0003,
        "Delegated Regulation (EU) 2015/35, article 178(2), type 2 securitisation, stress times modified duration; "
        f"assumption: standard formula without diversification, and {_GRADE}; servicing: assumption, 3 bp",
        _fractions(SOLVENCY_PERCENT),
    ),
    InvestorType(
        "fund", "Fund", "grade", 0.0005,
        "assumption: own money behind a financed position, as a lender's haircut by grade; servicing: assumption, 5 bp",
        _fractions(FUND_PERCENT),
    ),
)  # fmt: skip


def investor_types(charges: Mapping[str, Mapping[str, float]] | None = None) -> tuple[InvestorType, ...]:
    """The types above, with the charges by grade of a market snapshot in place of the tables where it has any; a type
    that only the snapshot knows comes after them, charged by grade.

    charges: type -> grade -> fraction. A bank has none: SEC-SA decides. Raises ValueError where it is given some.
    """
    given = dict(charges or {})
    if BANK in given:
        raise ValueError(f"charges: {BANK} takes SEC-SA risk weights; leave its charges out")
    known = {each.key for each in INVESTOR_TYPES}
    stated = [replace(each, charges=given[each.key]) if each.key in given else each for each in INVESTOR_TYPES]
    others = [
        InvestorType(
            key, key.replace("_", " ").capitalize(), "grade", OTHER_SERVICING,
            f"charges of the market snapshot; assumption: {_GRADE}; servicing: assumption, 3 bp", table,
        )
        for key, table in given.items() if key not in known
    ]  # fmt: skip
    return (*stated, *others)


def capital_charge(
    investor: InvestorType,
    *,
    grade: str,
    risk_weight: float,
    duration: float,
    scale: Sequence[str],
    capital_ratio: float = CAPITAL_RATIO,
) -> float:
    """Capital held per unit of value, at most 1. risk_weight: SEC-SA, 1.0 is 100 %. duration: modified, years.
    scale: grades, best to worst. Raises ValueError for a grade off the scale or a figure that is not a number."""
    if investor.basis == "risk_weight":
        if not risk_weight >= 0.0:
            raise ValueError(f"risk_weight: {risk_weight} is negative or no number")
        return min(1.0, capital_ratio * risk_weight)
    if grade not in scale:
        raise ValueError(f"grade: {grade!r} is not on the scale {scale[0]} to {scale[-1]}")
    rows = sorted((scale.index(name), charge) for name, charge in investor.charges.items())
    logs = np.log([charge for _, charge in rows])
    charge = math.exp(float(np.interp(scale.index(grade), [place for place, _ in rows], logs))) * investor.multiple
    if investor.basis == "grade_times_duration":
        if not math.isfinite(duration):
            raise ValueError(f"duration: {duration} is no number of years")
        charge *= max(1.0, duration)
    return min(1.0, charge)
