"""Lumpiness measures and the survival tests that ask no copula."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rating.engine.concentration import (
    diversity_score,
    effective_number,
    grade_of_factor,
    herfindahl,
    largest_industry_test,
    largest_obligor_test,
    obligors_to_survive,
    rating_factor,
    weighted_average_rating_factor,
)
from rating.engine.copula import default_correlation, joint_default
from rating.engine.scale import GRADES

# What scale.py claims of published tables: the same order of magnitude, no more. Ours is the stricter from AA+ to B-;
# the widest gap is A, 21 against 120.
FACTOR_RATIO = 10.0


def test_equal_loans_count_fully_and_one_loan_counts_once() -> None:
    assert effective_number(np.full(40, 250.0)) == pytest.approx(40.0)
    assert herfindahl(np.full(40, 250.0)) == pytest.approx(1 / 40)
    assert effective_number([700.0]) == 1.0
    # CRE44.7 by hand: (3 + 1)**2 / (9 + 1).
    assert effective_number([3.0, 1.0]) == pytest.approx(1.6)


# ------------------------------------------------------------------------------------------------------- rating factors
def test_factors_rise_along_the_scale_and_find_their_grade_back() -> None:
    factors = [rating_factor(grade) for grade in GRADES]
    assert factors == sorted(factors)
    assert [grade_of_factor(factor) for factor in factors] == list(GRADES)
    assert grade_of_factor(9_999.0) == "CCC"


def test_the_average_is_weighted_by_balance() -> None:
    # 10,000 x EL(ten years) / 0.55 of scale.py's two anchors: 0.0001 and 0.30.
    best, worst = 1.0 / 0.55, 3_000.0 / 0.55
    found = weighted_average_rating_factor([300.0, 100.0], ["AAA", "CCC"])
    assert found == pytest.approx(0.75 * best + 0.25 * worst)


@pytest.mark.shared
def test_our_factors_are_of_the_order_of_the_published_ones(shared: Path) -> None:
    """A comparison, never an input: tables/moodys_rating_factors_10y_idealized_default.csv."""
    with (shared / "tables/moodys_rating_factors_10y_idealized_default.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(line for line in file if not line.startswith("#")))
    published = {row["sp_fitch"]: float(row["rating_factor"]) for row in table}
    for grade in GRADES:
        assert 1 / FACTOR_RATIO < rating_factor(grade) / published[grade] < FACTOR_RATIO, grade


# ------------------------------------------------------------------------------------------------------ diversity score
def test_diversity_of_equal_loans_is_the_closed_form() -> None:
    n, pd, rho = 30, 0.05, 0.2
    found = diversity_score(np.ones(n), np.full(n, pd), np.full(n, "a"), within=rho, across=0.0)
    assert found == pytest.approx(n / (1 + (n - 1) * default_correlation(pd, pd, rho)))
    alone = diversity_score(np.ones(n), np.full(n, pd), np.arange(n).astype(str), within=rho, across=0.0)
    assert alone == pytest.approx(n)


def test_diversity_is_the_sum_over_all_pairs() -> None:
    balance, pd = np.array([5.0, 1.0, 2.0, 2.0, 3.0]), np.array([0.02, 0.1, 0.02, 0.02, 0.3])
    sector, within, across = np.array(["a", "a", "b", "b", "a"]), 0.25, 0.1
    variance = 0.0
    for i in range(5):
        for j in range(5):
            rho = within if sector[i] == sector[j] else across
            both = pd[i] if i == j else joint_default(pd[i], pd[j], rho)
            variance += balance[i] * balance[j] * (both - pd[i] * pd[j])
    mean, rest = float(np.sum(balance * pd)), float(np.sum(balance * (1 - pd)))
    found = diversity_score(balance, pd, sector, within=within, across=across)
    assert found == pytest.approx(mean * rest / variance, rel=1e-12)


def test_diversity_of_one_loan_and_of_certain_loans() -> None:
    assert diversity_score([9.0], [0.2], ["a"], within=0.3, across=0.1) == pytest.approx(1.0)
    # Nothing varies: the pool is as diverse as it is granular.
    assert diversity_score([3.0, 1.0], [0.0, 1.0], ["a", "a"], within=0.3, across=0.1) == pytest.approx(1.6)


# -------------------------------------------------------------------------------------------------------- largest names
def test_loans_of_one_obligor_default_together() -> None:
    balance, obligor = [40.0, 30.0, 20.0, 25.0, 885.0], ["x", "y", "x", "z", "bulk"]
    found = largest_obligor_test(balance, obligor, grade="BB", attachment=0.4, recovery=0.4)
    assert found.defaulted == ("bulk", "x", "y")  # three for BB; x owes 60 on two loans
    assert found.exposure == 975.0
    assert found.loss == pytest.approx(585.0)
    assert (found.enhancement, found.passed) == (400.0, False)
    assert found.margin == pytest.approx(-185.0)
    assert largest_obligor_test(
        balance, obligor, grade="BB", attachment=0.4, recovery=0.4, reserve=185.0 + 1e-6
    ).passed


def test_stronger_grades_survive_more_obligors() -> None:
    counts = [obligors_to_survive(grade) for grade in GRADES]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (10, 1)
    balance, obligor = np.full(100, 1.0), np.arange(100).astype(str)
    weak = largest_obligor_test(balance, obligor, grade="B", attachment=0.05, recovery=0.0)
    strong = largest_obligor_test(balance, obligor, grade="AAA", attachment=0.05, recovery=0.0)
    assert (weak.loss, weak.passed) == (2.0, True)
    assert (strong.loss, strong.passed) == (10.0, False)


def test_unnamed_loans_are_obligors_of_their_own() -> None:
    found = largest_obligor_test([50.0, 50.0, 60.0], ["", "", "x"], grade="CCC", attachment=0.375, recovery=0.0)
    assert (found.defaulted, found.loss, found.unlabelled) == (("x",), 60.0, 100.0)
    assert found.passed  # 0.375 x 160 = 60: an enhancement that is just used up has survived


def test_a_pool_of_one_loan_defaults_whole() -> None:
    found = largest_obligor_test([100.0], ["x"], grade="AAA", attachment=0.5, recovery=0.2)
    assert (found.exposure, found.passed) == (100.0, False)
    assert found.loss == pytest.approx(80.0)


def test_the_largest_industry_is_summed_and_unlabelled_loans_are_none() -> None:
    balance, industry = [30.0, 30.0, 40.0, 100.0], ["retail", "retail", "steel", ""]
    found = largest_industry_test(balance, industry, grade="AAA", attachment=0.2, recovery=0.5)
    assert (found.defaulted, found.exposure, found.loss, found.unlabelled) == (("retail",), 60.0, 30.0, 100.0)
    assert found.passed
    none = largest_industry_test([1.0, 2.0], ["", ""], grade="AAA", attachment=0.0, recovery=0.0)
    assert (none.defaulted, none.loss, none.unlabelled, none.passed) == ((), 0.0, 3.0, True)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: effective_number([]), r"balance: shape \(0,\), expected \(n,\) with at least one loan"),
        (lambda: effective_number([1.0, -2.0]), "balance: row 1 holds -2.0, negative or not finite"),
        (lambda: effective_number([0.0]), "balance: adds up to 0.0, nothing to measure"),
        (lambda: rating_factor("Aaa"), "grade: 'Aaa' is not on the indicative scale"),
        (lambda: obligors_to_survive("AB"), "grade: 'AB' is not on the indicative scale"),
        (lambda: grade_of_factor(-1.0), "factor: -1.0 is negative"),
        (lambda: weighted_average_rating_factor([1.0], ["A", "A"]), "grades: 2 for 1 loans"),
        (lambda: diversity_score([1.0], [1.3], ["a"], within=0.2, across=0.1), r"pd: 1.3 is outside \[0, 1\]"),
        (lambda: diversity_score([1.0], [0.3], ["a"], within=1.0, across=0.1), "within, across: 1.0, 0.1"),
        (lambda: diversity_score([1.0], [0.3], ["a"], within=0.1, across=0.2), "within, across: 0.1, 0.2"),
        (
            lambda: largest_obligor_test([1.0], ["a", "b"], grade="A", attachment=0.1, recovery=0.1),
            r"obligor: shape \(2,\), expected \(1,\)",
        ),
        (
            lambda: largest_obligor_test([1.0], ["a"], grade="A", attachment=1.1, recovery=0.1),
            r"attachment: 1.1 is outside \[0, 1\]",
        ),
        (
            lambda: largest_industry_test([1.0], ["a"], grade="A", attachment=0.1, recovery=-0.1),
            r"recovery: -0.1 is outside \[0, 1\]",
        ),
        (
            lambda: largest_industry_test([1.0], ["a"], grade="A", attachment=0.1, recovery=0.1, reserve=-1.0),
            "reserve: -1.0 is negative",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
