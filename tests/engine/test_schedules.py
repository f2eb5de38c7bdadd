"""Loan schedules: oracle files to the cent, one exact scalar reference, and the amortisation factors."""

from __future__ import annotations

import json
from datetime import date
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.schedules import ScheduleTerms, level_balance_factors, schedule

AMORTISATION = {"EQUAL_INSTALLMENTS": "level", "EQUAL_PRINCIPAL_PAYMENTS": "equal_principal"}


def half_even(value: Fraction) -> int:
    """Python rounds a Fraction half to even, exactly."""
    return round(value)


def reference(
    principal: int, rate: Fraction, term: int, terms: ScheduleTerms, days: list[int], level: int | None = None
) -> list[tuple[int, int, int]]:
    """One loan in exact fractions: (principal, interest, balance) in cents per period."""
    i = rate / terms.periods_per_year
    multiple = terms.instalment_multiple
    if level is None and terms.amortisation == "level":
        exact = Fraction(principal, term) if i == 0 else principal * i / (1 - (1 + i) ** -term)
        level = half_even(exact / multiple) * multiple
    rows, balance = [], principal
    for period in range(term):
        fraction = i if terms.day_count == "30/360_period" else rate * days[period] / 365
        interest = half_even(balance * fraction)
        if period == term - 1:
            paid = balance
        elif terms.amortisation == "bullet":
            paid = 0
        elif terms.amortisation == "equal_principal":
            paid = min(half_even(Fraction(principal, term)), balance)
        else:
            assert level is not None
            paid = min(max(level - interest, 0), balance)
        balance -= paid
        rows.append((paid, interest, balance))
    if not (terms.smoothing and level is not None and terms.amortisation == "level"):
        return rows
    gap = rows[-1][0] + rows[-1][1] - level
    if 2 * abs(gap) <= term:
        return rows
    changed = level + half_even(Fraction(gap, term * multiple)) * multiple
    plain = ScheduleTerms(day_count=terms.day_count, instalment_multiple=multiple)
    trial = reference(principal, rate, term, plain, days, changed)
    return trial if abs(trial[-1][0] + trial[-1][1] - changed) < abs(gap) else rows


@pytest.mark.shared
@pytest.mark.parametrize("name", ["S02", "S03", "S04", "S07", "S08"])
def test_schedule_matches_oracle_to_the_cent(shared: Path, name: str) -> None:
    """oracles/loans: apache/fineract worked schedules, tolerance exact."""
    case = json.loads((shared / "oracles" / "loans" / f"{name}.json").read_text())
    inputs, conventions, expected = case["inputs"], case["conventions"], case["expected"]
    terms = ScheduleTerms(
        amortisation=AMORTISATION[inputs["amortization"]],  # type: ignore[arg-type]
        day_count="act/365_daily" if conventions["day_count"].startswith("ACT/365") else "30/360_period",
        instalment_multiple=round(100 * (conventions["installment_multiple_of"] or 0.01)),
        smoothing="30/360" == conventions["day_count"],
    )
    dates = [inputs["disbursed"], *(row["due"] for row in expected)]

    result = schedule(
        [cents(inputs["principal"])], [inputs["annual_rate_pct"] / 100], [inputs["n"]], terms, dates=dates
    )

    for column, key in (("principal", "principal"), ("interest", "interest"), ("balance", "balance")):
        assert getattr(result, column)[0].tolist() == [cents(row[key]) for row in expected], column
    assert result.payment[0].tolist() == [cents(row["due_total"]) for row in expected]
    assert int(result.payment.sum()) == cents(case["totals"]["Due"])


def cents(amount: float) -> int:
    return round(amount * 100)


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    loans=st.lists(
        st.tuples(st.integers(1, 50_000_00), st.integers(0, 40_000_000), st.integers(1, 72)),
        min_size=1,
        max_size=6,
    ),
    amortisation=st.sampled_from(["level", "equal_principal", "bullet"]),
    day_count=st.sampled_from(["30/360_period", "act/365_daily"]),
    multiple=st.sampled_from([1, 5, 100]),
    smoothing=st.booleans(),
)
def test_vectorised_schedule_equals_scalar_reference(
    loans: list[tuple[int, int, int]], amortisation: Any, day_count: Any, multiple: int, smoothing: bool
) -> None:
    terms = ScheduleTerms(amortisation, day_count, instalment_multiple=multiple, smoothing=smoothing)
    first = date(2026, 1, 31)
    dates = [date(2026 + month // 12, month % 12 + 1, 28 if month else first.day) for month in range(73)]
    days = [(later - earlier).days for earlier, later in pairwise(dates)]
    principal, units, term = (list(column) for column in zip(*loans, strict=True))

    result = schedule(principal, [unit / 1e8 for unit in units], term, terms, dates=[d.isoformat() for d in dates])

    for row, (amount, unit, n) in enumerate(loans):
        wanted = reference(amount, Fraction(unit, 10**8), n, terms, days)
        got = list(
            zip(
                *(c[row, :n].tolist() for c in (result.principal, result.interest, result.balance)),
                strict=True,
            )
        )
        assert got == wanted
        assert result.principal[row].sum() == amount
        assert not result.payment[row, n:].any()


def test_exact_tie_rounds_to_even() -> None:
    """1,000.50 at 12 % for a month is 10.005: half to even gives 10.00, and 1,001.50 (10.015) gives 10.02."""
    result = schedule([100_050, 100_150], [0.12, 0.12], [2, 2], ScheduleTerms(amortisation="bullet"))

    assert result.interest[:, 0].tolist() == [1000, 1002]


def test_balance_never_grows_where_the_rounded_instalment_is_below_interest() -> None:
    """10.00 at 40 % over 72 months: 0.37 a month rounds to 0 whole units, so only interest is due until the end."""
    result = schedule([1_000], [0.4], [72], ScheduleTerms(instalment_multiple=100))

    assert result.balance[0, :71].tolist() == [1_000] * 71
    assert result.payment[0, [0, 70, 71]].tolist() == [33, 33, 1_033]


def test_balance_factors_follow_the_level_payment() -> None:
    rate, term = np.array([0.12, 0.07, 0.0, 1e-9]), np.array([18, 60, 36, 36])
    factors = level_balance_factors(rate, term, 72)

    for row in range(4):
        n, i = int(term[row]), Fraction(float(rate[row])) / 12
        payment = Fraction(1, n) if i == 0 else i / (1 - (1 + i) ** -n)
        balance = Fraction(1)
        for month in range(1, 73):
            balance = max(balance * (1 + i) - payment, Fraction(0)) if month <= n else Fraction(0)
            assert factors[row, month] == pytest.approx(float(balance), abs=1e-12)
        assert factors[row, n] == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [0.1], [12]), "principal: row 0 holds 0"),
        (([100, 100], [0.1, float("nan")], [12, 12]), "rate: row 1 holds nan"),
        (([100], [-0.1], [12]), "rate: row 0 holds -0.1"),
        (([100], [0.1], [0]), "term: row 0 holds 0"),
        (([100.5], [0.1], [12]), "principal: whole numbers expected, got float64"),
        (([10**18], [0.1], [12]), "principal: row 0 holds 1000000000000000000"),
    ],
)
def test_bad_loans_are_refused_by_name(arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        schedule(*arguments, ScheduleTerms())


def test_daily_interest_needs_rising_dates() -> None:
    terms = ScheduleTerms(day_count="act/365_daily")
    with pytest.raises(ValueError, match="dates: act/365_daily needs"):
        schedule([100], [0.1], [1], terms)
    with pytest.raises(ValueError, match="dates: due dates must rise strictly"):
        schedule([100], [0.1], [1], terms, dates=["2026-02-01", "2026-02-01"])
