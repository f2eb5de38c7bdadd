"""Day counts against published examples, and the whole against a count day by day."""

from __future__ import annotations

import datetime as dt
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from pooling.engine.daycount import DayCount, year_fraction, year_fraction_parts, year_fractions
from tests.engine.schedule_reference import by_definition

DAYS = st.dates(dt.date(1990, 1, 1), dt.date(2060, 12, 31))


@pytest.mark.parametrize(
    ("start", "end", "years"),
    [
        # ISDA, "EMU and market conventions: recent developments" (1998): the examples, ACT/ACT (ISDA).
        ("2003-11-01", "2004-05-01", 0.49772438056740776),
        ("1999-02-01", "1999-07-01", 0.410958904110),
        ("1999-07-01", "2000-07-01", 1.001377348600),
        ("2002-08-15", "2003-07-15", 0.915068493151),
        ("1999-07-30", "2000-01-30", 0.503892506924),
        ("2000-01-30", "2000-06-30", 0.415300546448),
    ],
)
def test_actual_actual_matches_the_isda_memo(start: str, end: str, years: float) -> None:
    got = year_fraction(dt.date.fromisoformat(start), dt.date.fromisoformat(end), "ACT/ACT")

    assert got == pytest.approx(years, abs=1e-11)  # as printed


@pytest.mark.parametrize(
    ("start", "end", "bond_basis", "eurobond_basis"),
    [
        # ISDA, "30/360 Day Count Conventions" (isda.org, 22 December 2008), worksheet with the examples of the 2006
        # Definitions: days on Bond Basis, 4.16(f), and Eurobond Basis, 4.16(g).
        ("2006-08-20", "2007-02-20", 180, 180),
        ("2007-02-20", "2007-08-20", 180, 180),
        ("2006-08-31", "2007-02-28", 178, 178),
        ("2007-02-28", "2007-08-31", 183, 182),
        ("2007-08-31", "2008-02-29", 179, 179),
        ("2008-02-29", "2008-08-31", 182, 181),
        ("2006-01-31", "2006-02-28", 28, 28),
        ("2006-01-30", "2006-02-28", 28, 28),
        ("2006-02-28", "2006-03-03", 5, 5),
        ("2006-02-14", "2006-02-28", 14, 14),
        ("2006-09-30", "2006-10-31", 30, 30),
        ("2006-10-31", "2006-11-28", 28, 28),
        ("2008-02-28", "2008-08-30", 182, 182),
        ("2008-02-28", "2008-08-31", 183, 182),
        ("2007-02-26", "2008-02-29", 363, 363),
        ("2008-02-29", "2009-02-28", 359, 359),
        ("2008-02-28", "2008-03-31", 33, 32),
    ],
)
def test_thirty_360_matches_the_isda_examples(start: str, end: str, bond_basis: int, eurobond_basis: int) -> None:
    first, last = dt.date.fromisoformat(start), dt.date.fromisoformat(end)

    assert year_fraction(first, last, "30/360") == bond_basis / 360
    assert year_fraction(first, last, "30E/360") == eurobond_basis / 360


@pytest.mark.shared
@pytest.mark.parametrize("name", ["matlab_xirr_act360", "matlab_xirr_30_360", "excel_xirr"])
def test_yield_of_dated_flows_matches_the_spreadsheets(shared: Path, name: str) -> None:
    """oracles/pricing/10_xirr_and_excel.json: the rate that discounts the flows to nothing on the named day count."""
    cases: list[dict[str, Any]] = json.loads((shared / "oracles/pricing/10_xirr_and_excel.json").read_text())["cases"]
    case = next(case for case in cases if case["id"] == name)
    dates, amounts = zip(*case["inputs"]["flows"], strict=True)
    times = year_fractions([dates[0]] * len(dates), list(dates), case["inputs"]["dc"])

    found = brentq(lambda rate: float(np.sum(np.array(amounts) * (1 + rate) ** -times)), -0.5, 1.0, xtol=1e-14)

    assert found == pytest.approx(case["expected"]["xirr"], abs=case["tol"])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("bny_mellon_US06406RAH03", ["2025-04-28", "2027-10-28"]),
        ("la_unif_muni_US544647CW89", ["2025-01-01", "2025-01-01"]),
    ],
)
def test_accrued_interest_on_30_360_matches_market_screens(shared: Path, name: str, starts: list[str]) -> None:
    """oracles/pricing/04_bonds_official_rateslib.json: accrued since the last coupon date, per 100."""
    cases = json.loads((shared / "oracles/pricing/04_bonds_official_rateslib.json").read_text())["cases"]
    case = next(case for case in cases if case["id"] == name)

    accrued = 100 * case["inputs"]["coupon"] * year_fractions(starts, case["inputs"]["settles"], "30/360")

    tolerance = 1e-8 if isinstance(case["tol"], float) else case["tol"]["accrued"]
    assert accrued == pytest.approx(case["expected"]["accrued"], abs=tolerance)


@hypothesis_settings(max_examples=80, deadline=None)
@given(st.tuples(DAYS, DAYS), st.sampled_from(["30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT"]))
def test_fractions_equal_a_count_by_the_definition(span: tuple[dt.date, dt.date], day_count: DayCount) -> None:
    start, end = sorted(span)

    numerator, denominator = year_fraction_parts(np.array([start, start]), np.array([end, start]), day_count)

    assert Fraction(int(numerator[0]), denominator) == by_definition(start, end, day_count)
    assert numerator[1] == 0
    assert year_fraction(start, end, day_count) == float(by_definition(start, end, day_count))


@given(DAYS, DAYS, DAYS)
def test_actual_counts_add_up_over_parts(one: dt.date, two: dt.date, three: dt.date) -> None:
    first, middle, last = (np.datetime64(day) for day in sorted((one, two, three)))
    for day_count in ("ACT/360", "ACT/365F", "ACT/ACT"):
        parts = [
            int(year_fraction_parts(a, b, day_count)[0]) for a, b in ((first, middle), (middle, last), (first, last))
        ]
        assert parts[0] + parts[1] == parts[2]


def test_unusable_dates_and_names_are_refused() -> None:
    day, later = dt.date(2026, 1, 1), dt.date(2026, 2, 1)
    with pytest.raises(ValueError, match=r"^day_count: 'ACT/364' is unknown; use one of 30/360, 30E/360"):
        year_fraction(day, later, "ACT/364")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^ends: a date lies before its start"):
        year_fraction(later, day, "ACT/360")
    with pytest.raises(ValueError, match=r"^starts, ends: a date is missing"):
        year_fractions(["2026-01-01", "NaT"], ["2026-02-01", "2026-02-01"], "30/360")
