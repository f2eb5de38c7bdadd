"""What each product parameter does to a schedule, on figures counted by hand; due dates; refusals by name."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pooling.engine.schedules import (
    FloatingTerms,
    Frequency,
    PenaltySlide,
    PenaltySteps,
    ScheduleTerms,
    due_dates,
    floating_rates,
    level_balance_factors,
    level_payment,
    penalty_rates,
    schedule,
)


# ---------------------------------------------------------------------------------------------------- rounding
@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("half_even", [1000, 1002]), ("half_up", [1001, 1002]), ("down", [1000, 1001]), ("up", [1001, 1002])],
)
def test_exact_tie_goes_as_the_product_says(rounding: Any, expected: list[int]) -> None:
    """1,000.50 at 12 % for a month is 10.005, and 1,001.50 is 10.015."""
    result = schedule([100_050, 100_150], [0.12, 0.12], [2, 2], ScheduleTerms("bullet", rounding=rounding))

    assert result.interest[:, 0].tolist() == expected


def test_interest_rounds_to_five_cents() -> None:
    """1,234.00 at 12 % for a month is 12.34, to the nearest five cents 12.35; the principal is not rounded."""
    result = schedule([123_400], [0.12], [2], ScheduleTerms("bullet", interest_multiple=5))

    assert result.payment[0].tolist() == [1_235, 124_635]


def test_an_instalment_on_a_tie_is_decided_exactly() -> None:
    """201.00 over two months at 12 % pays P i (1 + i)^2 / ((1 + i)^2 - 1) = 201 x 1.0201 / 2.01 = 102.01, exactly: to a
    multiple of two cents a tie between 5,100 and 5,101 of them, which float64 alone could take either way.
    """
    for rounding, wanted in (("half_even", 10_200), ("half_up", 10_202), ("down", 10_200), ("up", 10_202)):
        result = schedule([20_100], [0.12], [2], ScheduleTerms(rounding=rounding, instalment_multiple=2))  # type: ignore[arg-type]
        assert result.payment[0, 0] == wanted, rounding


def test_balance_never_grows_where_the_rounded_instalment_is_below_interest() -> None:
    """10.00 at 40 % over 72 months: 0.37 a month rounds to 0 whole units, so only interest is due until the end."""
    result = schedule([1_000], [0.4], [72], ScheduleTerms(instalment_multiple=100))

    assert result.balance[0, :71].tolist() == [1_000] * 71
    assert result.payment[0, [0, 70, 71]].tolist() == [33, 33, 1_033]


def test_smoothing_is_kept_only_where_the_last_payment_comes_nearer() -> None:
    """45.00 at 48 % in 7 months, whole units: 7.00 leaves 10.93 for the last, 3.93 too much; a seventh of that is 0.56,
    so 8.00, which leaves 4.04, 3.96 too little: no nearer, so 7.00 stands. 16.00 at 48 % in 3 months: 5.77 leaves
    5.75, two cents less; 5.76 would leave 5.78, two more: no nearer.
    """
    whole_units = schedule([4_500], [0.48], [7], ScheduleTerms(smoothing=True, instalment_multiple=100))
    in_cents = schedule([1_600], [0.48], [3], ScheduleTerms(smoothing=True))

    assert whole_units.payment[0].tolist() == [700] * 6 + [1_093]
    assert in_cents.payment[0].tolist() == [577, 577, 575]


# ---------------------------------------------------------------------------------------------------- products
def test_interest_free_periods_are_deferred_waived_or_capitalised() -> None:
    """1,000.00 at 12 % for 4 months, two without interest and principal: 10.00 a month, 10.10 on the capitalised."""
    kinds: dict[Any, tuple[list[int], int]] = {
        "deferred": ([0, 0, 3_000, 101_000], 0),
        "waived": ([0, 0, 1_000, 101_000], 0),
        "capitalised": ([0, 0, 1_020, 103_030], 1_000 + 1_010),
    }
    for kind, (payments, capitalised) in kinds.items():
        terms = ScheduleTerms("bullet", interest_grace=2, grace_interest=kind)

        result = schedule([100_000], [0.12], [4], terms)

        assert result.payment[0].tolist() == payments, kind
        assert result.capitalised.sum() == capitalised, kind


def test_step_instalments_grow_and_repay_the_loan() -> None:
    """1,210.00 without interest, 10 % more from month 13: 12 a + 12 x 1.1 a = 25.2 a."""
    result = schedule([121_000], [0.0], [24], ScheduleTerms("step", step_rate=0.1, step_every=12))

    first = round(Fraction(121_000 * 10, 252))
    assert result.payment[0, 0] == first == 4_802
    assert result.payment[0, 12] == round(Fraction(first * 11, 10)) == 5_282
    assert abs(int(result.payment[0, 23]) - 5_282) <= 24  # what rounding left for the last


def test_balloon_of_a_level_loan() -> None:
    """A 60-month loan paid as if over 120: the balloon is what an exact 120-month loan owes after 59 payments."""
    result = schedule([10_000_00], [0.06], [60], ScheduleTerms(), amortisation_term=[120])

    owed = 10_000_00 * float(level_balance_factors([0.06], [120], 59)[0, 59])
    assert result.principal[0, 59] == pytest.approx(owed, abs=60)  # a cent a payment
    assert result.payment[0, 0] == round(float(level_payment(10_000_00, 0.005, 120)))


def test_given_principal_earns_interest_on_actual_days() -> None:
    """1,000.00 disbursed 1 January 2026, 400 on 1 April and 600 on 1 July, 10 % ACT/365: 90 and 91 days."""
    result = schedule(
        [100_000],
        [0.10],
        [2],
        ScheduleTerms("given", "ACT/365F"),
        ["2026-01-01", "2026-04-01", "2026-07-01"],
        given_principal=[[40_000, 60_000]],
    )

    assert result.interest[0].tolist() == [round(Fraction(10_000 * 90, 365)), round(Fraction(6_000 * 91, 365))]
    assert result.balance[0].tolist() == [60_000, 0]


def test_zero_rate_loans_of_every_kind_repay_principal_alone() -> None:
    for kind in ("level", "step", "equal_principal", "flat", "bullet"):
        result = schedule([100_000], [0.0], [7], ScheduleTerms(kind))
        assert not result.interest.any()
        assert result.principal.sum() == 100_000
        if kind != "bullet":
            assert result.payment[0].tolist() == [14_286] * 6 + [14_284], kind


def test_floating_loan_is_recast_when_its_rate_changes() -> None:
    """12 months, 12 % then 24 % from month 7: the new instalment repays the balance in the six months left."""
    rates = np.array([[0.12] * 6 + [0.24] * 6])

    result = schedule([10_000_00], rates, [12], ScheduleTerms())

    assert result.payment[0, 0] == round(float(level_payment(10_000_00, 0.01, 12)))
    assert result.payment[0, 6] == round(float(level_payment(int(result.balance[0, 5]), 0.02, 6)))
    assert set(result.payment[0, 6:11].tolist()) == {int(result.payment[0, 6])}


def test_caps_limit_both_directions_unless_told_otherwise() -> None:
    terms = FloatingTerms(margin=0.02, first_reset=1, reset_every=1, initial_cap=0.02, periodic_cap=0.01, life_cap=0.1)

    path = floating_rates([[0.05, 0.0, 0.2, 0.2, 0.2]], [0.06], terms, 5)

    assert path[0].tolist() == [0.06, 0.04, 0.05, 0.06, 0.07]
    with pytest.raises(ValueError, match=r"^index: missing for the reset of period 3"):
        floating_rates([0.05, 0.05, np.nan], [0.06], terms, 3)


# ------------------------------------------------------------------------------------------------------- dates
def test_due_dates_of_every_frequency() -> None:
    """First due on 31 January 2028, a leap year."""
    expected: dict[Frequency, list[str]] = {
        "weekly": ["2028-01-31", "2028-02-07", "2028-02-14"],
        "fortnightly": ["2028-01-31", "2028-02-14", "2028-02-28"],
        "monthly": ["2028-01-31", "2028-02-29", "2028-03-31"],
        "quarterly": ["2028-01-31", "2028-04-30", "2028-07-31"],
        "half_yearly": ["2028-01-31", "2028-07-31", "2029-01-31"],
        "yearly": ["2028-01-31", "2029-01-31", "2030-01-31"],
    }
    for frequency, wanted in expected.items():
        dates = due_dates(["2028-01-01"], ["2028-01-31"], frequency, 3)
        assert dates[0].astype(str).tolist() == ["2028-01-01", *wanted], frequency


def test_business_days_move_due_dates_and_not_the_disbursement() -> None:
    """31 January 2026 is a Saturday, 28 February too; 4 January 2026, a Sunday, is when the loan was paid out."""
    dates = due_dates(["2026-01-04"], ["2026-01-31"], "monthly", 3, "modified_following", "US")

    assert dates[0].tolist() == [
        dt.date(2026, 1, 4),
        dt.date(2026, 1, 30),
        dt.date(2026, 2, 27),
        dt.date(2026, 3, 31),
    ]


# ----------------------------------------------------------------------------------------------------- factors
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


# ---------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [0.1], [12]), "principal: row 0 holds 0"),
        (([100, 100], [0.1, float("nan")], [12, 12]), "rate: row 1 holds nan"),
        (([100], [[0.1, -0.2]], [2]), "rate: row 0, period 2 holds -0.2"),
        (([100], [-0.1], [12]), "rate: row 0 holds -0.1"),
        (([100], [0.1], [0]), "term: row 0 holds 0"),
        (([100.5], [0.1], [12]), "principal: whole numbers expected, got float64"),
        (([10**18], [0.1], [12]), "principal: row 0 holds 1000000000000000000"),
        (([100, 100], [0.1], [12, 12]), r"rate: shape \(1,\), expected \(2,\) or \(2, 12\) with a rate for each .*"),
    ],
)
def test_bad_loans_are_refused_by_name(arguments: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        schedule(*arguments, ScheduleTerms())


def test_a_balance_that_capitalising_would_lift_out_of_64_bits_is_refused() -> None:
    """$520m at 60 % fits; after twelve months without payment it is 1.8 times that, and its interest does not."""
    terms = ScheduleTerms(principal_grace=12, interest_grace=12, grace_interest="capitalised")
    schedule([52_000_000_000], [0.6], [24], ScheduleTerms(principal_grace=12))

    with pytest.raises(ValueError, match=r"^principal: row 0 holds 52000000000$"):
        schedule([52_000_000_000], [0.6], [24], terms)


@pytest.mark.parametrize(
    ("terms", "extra", "message"),
    [
        ({"day_count": "ACT/365F"}, {}, "dates: ACT/365F needs the disbursement and due dates"),
        (
            {"day_count": "ACT/365F"},
            {"dates": ["2026-02-01", "2026-02-01", "2026-03-01"]},
            "dates: due dates must rise strictly",
        ),
        ({"principal_grace": 2}, {}, "term: row 0 holds 2"),
        ({}, {"amortisation_term": [1]}, "amortisation_term: row 0 holds 1"),
        ({"amortisation": "bullet"}, {"amortisation_term": [4]}, "amortisation_term: means nothing for bullet"),
        ({"amortisation": "given"}, {}, "given_principal: comes with amortisation 'given'"),
        ({}, {"given_principal": [[50, 50]]}, "given_principal: comes with amortisation 'given'"),
        (
            {"amortisation": "given"},
            {"given_principal": [[50, 49]]},
            "given_principal: row 0 adds up to 99, not to its principal 100",
        ),
        ({"amortisation": "given"}, {"given_principal": [[101, -1]]}, "given_principal: row 0, period 2 holds -1"),
    ],
)
def test_what_the_terms_need_is_asked_for(terms: dict[str, Any], extra: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        schedule([100], [0.1], [2], ScheduleTerms(**terms), **extra)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"amortisation": "annuity"}, "amortisation: 'annuity' is none of level, step"),
        ({"day_count": "ACT/364"}, "day_count: 'ACT/364' is none of period, 30/360"),
        ({"instalment_multiple": 0}, "instalment_multiple: 0 must be from 1 to 10000"),
        ({"principal_grace": -1}, "principal_grace: -1 must not be negative"),
        ({"amortisation": "step", "step_rate": 3.0}, "step_rate: 3.0 must be from -0.5 to 1"),
        ({"instalment_rounding": "nearest"}, "instalment_rounding: 'nearest' is none of half_even"),
        ({"amortisation": "flat", "instalment_rounding": "up"}, "instalment_rounding: means nothing for 'flat'"),
        ({"step_rate": 0.1}, "step_rate: means nothing for 'level'"),
        ({"amortisation": "flat", "smoothing": True}, "smoothing: means nothing for 'flat'"),
        ({"amortisation": "bullet", "principal_grace": 1}, "principal_grace: means nothing for 'bullet'"),
        ({"interest_grace": 1}, "interest_grace: 1 exceeds principal_grace"),
        (
            {"amortisation": "flat", "interest_grace": 1, "grace_interest": "capitalised"},
            "grace_interest: 'flat' cannot capitalise interest",
        ),
        (
            {"amortisation": "equal_principal", "interest_grace": 1, "grace_interest": "capitalised"},
            "interest_grace: exceeds principal_grace",
        ),
    ],
)
def test_terms_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        ScheduleTerms(**parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FloatingTerms(0.01, -1, 1), "first_reset: -1 must not be negative"),
        (lambda: FloatingTerms(0.01, 1, 0), "reset_every: 0 must be at least 1"),
        (lambda: FloatingTerms(0.01, 1, 1, periodic_cap=-0.1), "periodic_cap: -0.1 must not be negative"),
        (lambda: FloatingTerms(0.01, 1, 1, life_cap=0.01, floor=0.02), "floor: 0.02 must be from 0 to the life cap"),
        (lambda: PenaltySteps(((3, 0.1), (3, 0.2))), "steps: .* must have rising periods"),
        (lambda: PenaltySteps(after=2.0), "steps: every fraction must be from 0 to 1"),
        (lambda: PenaltySlide(1.5, 0.0), "start: 1.5 must be from 0 to 1"),
        (lambda: penalty_rates(PenaltySteps(), 0), "periods: 0 must be at least 1"),
        (lambda: level_payment(100, -1.0, 12), "rate_per_period: must be a number above -1"),
        (lambda: level_payment(100, 0.01, 0), "periods: must be at least 1"),
        (lambda: due_dates(["2026-01-01"], ["2026-01-01"], "monthly", 2), "first_due: row 0 holds 2026-01-01, which"),
        (lambda: due_dates(["2026-01-01"], ["2026-02-01"], "daily", 2), "frequency: 'daily' is none of weekly"),  # type: ignore[arg-type]
    ],
)
def test_other_parameters_are_refused_by_name(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
