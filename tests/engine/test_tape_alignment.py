"""Outcomes, age alignment and the generated tape."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from accounts.errors import ApplicationError
from pooling.tapes import (
    CENSORED,
    DEFAULT,
    MATURED,
    PREPAID,
    SealedRows,
    age_align,
    check_tape,
    month_number,
    outcomes,
    pool_frame,
    read_tape,
    realised_loss,
    scheduled_balance,
    write_generated_tape,
)
from tests.engine.tape_files import HEADER, checked, loan

HISTORY = (*HEADER, "loan_status", "last_pymnt_d", "total_rec_prncp", "recoveries", "collection_recovery_fee")


def history(number, status, last, principal, recovered="0", fee="0", **changes):
    base = {"funded_amnt": "1000", "issue_d": "2009-01-01", "term": "36"}
    return [*loan(number, **(base | changes)), status, last, principal, recovered, fee]


ROWS = [
    history(1, "Fully Paid", "2012-01-01", "1000"),
    history(2, "Fully Paid", "2010-01-01", "1000"),
    history(3, "Charged Off", "2009-05-01", "200", "50", "10"),
    history(4, "Charged Off", "", "0"),
    history(5, "Current", "2012-03-01", "500", issue_d="2010-03-01"),
    history(6, "Does not meet the credit policy. Status:Charged Off", "2012-03-01", "900"),
]


def test_outcomes_come_from_dates_and_amounts(tmp_path):
    tape = checked(tmp_path / "a.csv", ROWS, HISTORY)
    found = outcomes(tape)
    assert found is not None
    assert list(found.exit_kind) == [MATURED, PREPAID, DEFAULT, DEFAULT, CENSORED, DEFAULT]
    # 3: last payment in month 4, so the fifth is the first missed; 4: never paid; 6: after the term, in its last
    assert list(found.exit_month) == [36, 12, 5, 1, 24, 36]
    assert list(found.charged_off) == [0, 0, 800, 1000, 0, 100]
    assert list(found.net_recovery) == [0, 0, 40, 0, 0, 0]
    assert found.data_end == month_number("2012-03")
    assert realised_loss(found) == pytest.approx((800 - 40 + 1000 + 100) / 6000)
    assert realised_loss(found, found.exit_kind == PREPAID) == 0.0
    with pytest.raises(ValueError, match="mask"):
        realised_loss(found, np.zeros(6, dtype=bool))


def test_no_finished_loan_or_no_dates_means_no_outcome(tmp_path):
    assert outcomes(checked(tmp_path / "a.csv", ROWS[4:5], HISTORY)) is None
    assert outcomes(checked(tmp_path / "b.csv", [loan(1)])) is None


def test_at_origination_every_loan_is_new_and_the_pool_is_called_synthetic(tmp_path):
    pool = age_align(checked(tmp_path / "a.csv", ROWS, HISTORY), "origination")
    assert pool.synthetic
    assert "synthetic" in pool.label
    assert list(pool.loans.balance) == [1000.0] * 6
    assert set(pool.loans.age) == {0}
    assert list(pool.loans.remaining_term) == [36] * 6


def test_at_a_date_only_what_was_known_then_counts(tmp_path):
    rows = [
        *ROWS,
        history(7, "Charged Off", "2009-06-01", "100"),  # one payment behind in 2009-07
        history(8, "Charged Off", "2011-01-01", "800"),  # fails later
        history(9, "Fully Paid", "2010-01-01", "1000", issue_d="2009-08-01"),
    ]
    pool = age_align(checked(tmp_path / "a.csv", rows, HISTORY), "2009-07-31")
    assert list(pool.loans.loan_id) == ["1001", "1002", "1006", "1007", "1008"]
    assert dict(pool.excluded) == {
        "issued after the date": 2,
        "charged off by the date": 1,
        "two or more payments behind at the date": 1,
    }
    assert (set(pool.loans.age), set(pool.loans.remaining_term)) == ({6}, {30})
    assert (pool.cut_off, pool.synthetic) == ("2009-07", False)
    # the balance after six level payments at 12.5 % a year, by recursion
    monthly = 0.125 / 12
    level, balance = 1000 * monthly / (1 - (1 + monthly) ** -36), 1000.0
    for _ in range(6):
        balance = balance * (1 + monthly) - level
    assert pool.loans.balance[0] == pytest.approx(balance, abs=0.005)


def test_the_schedule_is_exact_at_its_ends_and_at_rate_zero():
    one = np.array([1000.0])
    term = np.array([36])
    assert scheduled_balance(one, np.array([0.1]), term, np.array([0]))[0] == 1000.0
    assert scheduled_balance(one, np.array([0.1]), term, np.array([36]))[0] == 0.0
    assert scheduled_balance(one, np.array([0.0]), term, np.array([9]))[0] == 750.0
    nearly = scheduled_balance(one, np.array([1e-12]), term, np.array([9]))[0]
    assert nearly == pytest.approx(750.0, rel=1e-9)


def test_as_they_stand_current_loans_keep_their_outstanding_balance(tmp_path):
    header = (*HEADER, "loan_status", "out_prncp", "last_pymnt_d")
    rows = [
        [*loan(1), "Current", "4000.50", "2018-06"],
        [*loan(2), "Fully Paid", "0", "2018-05"],
        [*loan(3), "Late (31-120 days)", "4500", "2018-04"],
        [*loan(4), "Current", "0.00", "2018-06"],
    ]
    pool = age_align(checked(tmp_path / "a.csv", rows, header))
    assert list(pool.loans.balance) == [4000.5]
    assert (pool.cut_off, pool.loans.age[0], pool.loans.remaining_term[0]) == ("2018-06", 3, 33)
    assert dict(pool.excluded) == {
        "finished: paid or charged off": 1,
        "not current": 1,
        "no outstanding balance": 1,
    }


@pytest.mark.parametrize(
    ("as_of", "code"),
    [(None, "pool_empty"), ("2030-01", "pool_empty"), ("2010-13", "as_of_invalid"), ("someday", "as_of_invalid")],
)
def test_a_pool_that_cannot_be_is_refused(tmp_path, as_of, code):
    tape = checked(tmp_path / "a.csv", ROWS[:4], HISTORY)
    with pytest.raises(ApplicationError) as caught:
        age_align(tape, as_of)
    assert caught.value.code == code


def test_a_date_needs_dates(tmp_path):
    tape = checked(tmp_path / "a.csv", [["1000", "0.1", "36"]], ("amount", "rate", "term"))
    with pytest.raises(ApplicationError) as caught:
        age_align(tape, "2010-03")
    assert caught.value.code == "tape_no_dates"
    assert list(age_align(tape).loans.balance) == [1000.0]


def test_sealed_rows_align_as_the_tape_they_came_from(tmp_path):
    tape = checked(tmp_path / "a.csv", ROWS, HISTORY)
    tape.frame.to_parquet(tmp_path / "rows.parquet")
    sealed = SealedRows(frame=pd.read_parquet(tmp_path / "rows.parquet"), mapping=tape.mapping)
    one, other = age_align(tape, "2009-07"), age_align(sealed, "2009-07")
    assert (one.loans.balance == other.loans.balance).all()
    assert (one.loans.loan_id == other.loans.loan_id).all()


def test_the_pool_frame_knows_no_outcome(tmp_path):
    tape = checked(tmp_path / "a.csv", ROWS, HISTORY)
    frame = pool_frame(tape, age_align(tape, "origination"))
    assert not {"status", "last_payment_month", "received_principal_cents", "recoveries_cents"} & set(frame.columns)
    assert list(frame["balance_cents"]) == [100_000] * 6


# -------------------- the generated tape
def test_the_generated_tape_is_the_same_bytes_for_a_seed(tmp_path):
    for name in ("a.csv", "b.csv", "c.csv.gz"):
        write_generated_tape(tmp_path / name, 200, 7)
    one = (tmp_path / "a.csv").read_bytes()
    assert one == (tmp_path / "b.csv").read_bytes()
    write_generated_tape(tmp_path / "b.csv", 200, 8)
    assert one != (tmp_path / "b.csv").read_bytes()
    packed = hashlib.sha256((tmp_path / "c.csv.gz").read_bytes()).digest()
    write_generated_tape(tmp_path / "c.csv.gz", 200, 7)
    assert packed == hashlib.sha256((tmp_path / "c.csv.gz").read_bytes()).digest()


def test_the_generated_tape_passes_every_check_and_holds_no_outcome(tmp_path):
    write_generated_tape(tmp_path / "a.csv", 2000, 3)
    tape = check_tape(read_tape(tmp_path / "a.csv"))
    assert (tape.rows, tape.rejected, dict(tape.quality.warnings)) == (2000, 0, {})
    assert outcomes(tape) is None
    pool = age_align(tape)
    assert len(pool.loans) == 2000
    assert (pool.loans.age.min(), pool.loans.age.max(), pool.cut_off) == (0, 5, "2025-06")
    # balances lie on the schedule, within the cents of rounded payments
    frame = tape.frame
    scheduled = scheduled_balance(
        frame["balance_cents"].to_numpy() / 100, pool.loans.rate, pool.loans.original_term, pool.loans.age
    )
    assert np.abs(scheduled - pool.loans.balance).max() < 0.06
    # grades are priced apart
    means = [frame.loc[frame["grade"] == grade, "rate"].mean() for grade in "ABCDE"]
    assert means == sorted(means)


# -------------------- the given history
@pytest.mark.shared
def test_the_given_history_gives_the_known_figures(shared):
    # sources: README of the sample data (15.06 % charged off, 2,373 + 761 loans; by grade) and the settled notes on
    # modelling (recoveries net of fees 7.1 % of principal charged off; status of 36-month loans by vintage)
    tape = check_tape(read_tape(shared / "data/lendingclub_2007_2010.csv.gz"))
    found = outcomes(tape)
    assert found is not None
    failed = found.exit_kind == DEFAULT
    assert failed.sum() == 2_373 + 761
    assert round(100 * failed.mean(), 2) == 15.06
    by_grade = [round(100 * failed[found.grade == grade].mean(), 1) for grade in "ABCDEFG"]
    assert by_grade == [5.4, 12.5, 16.3, 21.2, 24.9, 32.5, 34.6]
    assert round(found.net_recovery.sum() / found.charged_off.sum(), 3) == 0.071
    # every loan has ended: nothing is censored, and paid loans owe nothing
    assert set(found.exit_kind) == {DEFAULT, PREPAID, MATURED}
    year = 1970 + found.issue_month // 12
    vintages = [round(100 * failed[(year == y) & (found.term == 36)].mean()) for y in (2007, 2008, 2009, 2010)]
    assert vintages == [26, 21, 14, 11]
    # the first 60-month loan is issued in 2010-05
    assert found.issue_month[found.term == 60].min() == month_number("2010-05")
    pool = age_align(tape, "origination")
    assert realised_loss(found) == pytest.approx(0.0937, abs=5e-5)
    assert pool.loans.balance.sum() == tape.frame["balance_cents"].sum() / 100


@pytest.mark.shared
def test_the_current_tape_stands_in_june_2018(shared):
    # no payment dates: the cut-off is where the balances lie on their schedules
    tape = check_tape(read_tape(shared / "data/lendingclub_2018q1_openintro_10000.csv.gz"))
    pool = age_align(tape)
    assert pool.cut_off == "2018-06"
    assert len(pool.loans) + sum(pool.excluded.values()) == 10_000
    assert outcomes(tape) is None
