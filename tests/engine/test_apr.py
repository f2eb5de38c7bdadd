"""Annual percentage rates against Regulation Z, Appendix J (c), and rates put in by construction."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.apr import UNIT_PERIODS_PER_YEAR, UnitPeriod, annual_percentage_rates, unit_periods_between
from pooling.engine.schedules import ScheduleTerms, schedule


@pytest.mark.shared
def test_all_rates_of_appendix_j(shared: Path) -> None:
    """oracles/loans/apr_regz_appendixJ.json: 11 published rates, general equation (b)(8), 0.01 percentage point."""
    oracle = json.loads((shared / "oracles/loans/apr_regz_appendixJ.json").read_text())
    assert len(oracle["cases"]) == 11
    for case in oracle["cases"]:
        times = case["t"] + case["f"] + np.arange(len(case["payments"]))

        rate = annual_percentage_rates(
            [[case["amount_financed"]]], [[0.0]], [case["payments"]], times, case["unit_periods_per_year"]
        )

        assert 100 * rate[0] == pytest.approx(case["apr_pct"], abs=oracle["tolerance_pct_points"]), case["name"]


@pytest.mark.shared
def test_irregular_loans_are_solved_together(shared: Path) -> None:
    """oracles/loans/apr_regz_appendixJ.json: the monthly cases as one table, short rows filled with zeros."""
    oracle = json.loads((shared / "oracles/loans/apr_regz_appendixJ.json").read_text())
    cases = [case for case in oracle["cases"] if case["unit_periods_per_year"] == 12]
    longest = max(len(case["payments"]) for case in cases)
    payments = np.array([case["payments"] + [0.0] * (longest - len(case["payments"])) for case in cases])
    times = np.array([case["t"] + case["f"] + np.arange(longest) for case in cases])

    rates = annual_percentage_rates([[case["amount_financed"]] for case in cases], [0.0], payments, times, 12)

    assert 100 * rates == pytest.approx([case["apr_pct"] for case in cases], abs=oracle["tolerance_pct_points"])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "advanced", "first_payment", "unit"),
    [
        # Dates that have the t and f of the examples: 19 days and a month, 6 days, 9 days and four months, 32 days.
        ("c1ii", "1978-02-10", "1978-04-01", "month"),
        ("c1iii", "1978-02-23", "1978-03-01", "semimonth"),
        ("c1iv", "1978-05-23", "1978-10-01", "quarter"),
        ("c1v", "1978-03-20", "1978-04-21", "week"),
    ],
)
def test_odd_first_periods_are_counted_from_dates(
    shared: Path, name: str, advanced: str, first_payment: str, unit: UnitPeriod
) -> None:
    """oracles/loans/apr_regz_appendixJ.json: t and f by Appendix J (b)(5)."""
    cases = json.loads((shared / "oracles/loans/apr_regz_appendixJ.json").read_text())["cases"]
    case = next(case for case in cases if case["id"] == name)

    counted = unit_periods_between(dt.date.fromisoformat(advanced), dt.date.fromisoformat(first_payment), unit)

    assert counted == pytest.approx(case["t"] + case["f"], abs=1e-12)
    assert UNIT_PERIODS_PER_YEAR[unit] == case["unit_periods_per_year"]


@pytest.mark.parametrize(
    ("earlier", "later", "unit", "expected"),
    [
        ("2026-01-31", "2026-02-28", "month", 28 / 30),  # measured back from the 28th: not yet a full month
        ("2026-01-31", "2026-03-31", "month", 2.0),
        ("2024-01-15", "2026-07-15", "year", 2.5),  # (b)(5)(v)(A): whole months / 12
        ("2024-01-15", "2026-07-20", "year", 2 + 187 / 365),  # (b)(5)(v)(B): days / 365
        ("2026-01-01", "2026-01-01", "day", 0.0),
    ],
)
def test_unit_periods_follow_the_rules_of_appendix_j(
    earlier: str, later: str, unit: UnitPeriod, expected: float
) -> None:
    """Appendix J (b)(5)(ii) and (v), counted by hand."""
    counted = unit_periods_between(dt.date.fromisoformat(earlier), dt.date.fromisoformat(later), unit)

    assert counted == pytest.approx(expected, abs=1e-12)


def test_payments_on_the_last_of_each_month_are_a_month_apart() -> None:
    """Appendix J (b)(3)(iv): from the last day of a month to the last of another."""
    january, february = dt.date(2026, 1, 31), dt.date(2026, 2, 28)

    assert unit_periods_between(january, february, "month", payment_day=31) == 1.0
    assert unit_periods_between(dt.date(2026, 1, 30), february, "month", payment_day=30) == 1.0


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.0, 0.2),
    lent=st.lists(st.tuples(st.floats(10, 5_000), st.integers(0, 60)), min_size=1, max_size=4),
    shares=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=30),
    odd=st.floats(0.0, 0.99),
)
def test_several_advances_give_back_the_rate_they_were_built_with(
    rate: float, lent: list[tuple[float, int]], shares: list[float], odd: float
) -> None:
    """Payments scaled so that equation (b)(8) holds at a known unit-period rate; advances in the first two periods."""
    advances = np.array([amount for amount, _ in lent])
    advanced = np.array([thirtieths / 30 for _, thirtieths in lent])
    times = 2 + odd + np.arange(len(shares))
    worth = np.sum(advances / ((1 + rate) ** np.floor(advanced) * (1 + (advanced % 1) * rate)))
    unscaled = np.sum(np.array(shares) / ((1 + rate) ** np.floor(times) * (1 + (times % 1) * rate)))
    payments = np.array(shares) * worth / unscaled

    found = annual_percentage_rates([advances], [advanced], [payments], [times], 12)

    assert found[0] == pytest.approx(12 * rate, abs=1e-8)


def test_rate_of_a_level_loan_without_charges_is_its_coupon() -> None:
    """Without a finance charge beside interest the actuarial rate of a monthly loan is its coupon, up to the cents."""
    coupons, terms = np.array([0.0, 0.05, 0.12, 0.3599]), np.array([24, 36, 48, 60])
    result = schedule([50_000_00] * 4, coupons, terms, ScheduleTerms())

    found = annual_percentage_rates([[50_000_00]] * 4, [0.0], result.payment, 1.0 + np.arange(60), 12)

    assert found == pytest.approx(coupons, abs=2e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[100.0]], [0.0], [[40.0, 40.0]], [1.0, 2.0], 12), "payments: row 0 repays 80 of 100; no rate is that low"),
        (([[100.0]], [0.0], [[-40.0, 200.0]], [1.0, 2.0], 12), "payments: row 0 has a negative or missing amount"),
        (([[100.0]], [0.0, 1.0], [[120.0]], [1.0], 12), "advances: shape"),
        (([[100.0]], [0.0], [[120.0]], [1.0], 0), "unit_periods_per_year: 0 must be above 0"),
        (([[100.0], [5.0]], [0.0], [[120.0]], [1.0], 12), "payments: 1 rows, but advances has 2"),
        (([[100.0]], [5.0], [[120.0]], [1.0], 12), "payments: row 0 gives no rate"),
    ],
)
def test_flows_without_a_rate_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        annual_percentage_rates(*arguments)


def test_unknown_units_and_exchanged_dates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^unit: 'decade' is unknown; use one of day, week"):
        unit_periods_between(dt.date(2026, 1, 1), dt.date(2026, 2, 1), "decade")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^later: 2026-01-01 lies before 2026-02-01"):
        unit_periods_between(dt.date(2026, 2, 1), dt.date(2026, 1, 1), "month")
