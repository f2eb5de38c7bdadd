"""The indicative scale."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from rating.engine.scale import GRADES, bound_of, grade_of, pd_bound_of

HORIZONS = (0.1, 0.5, 1, 2, 3, 5, 7, 10, 20, 30)
ORDER_OF_MAGNITUDE = 10.0


def test_bounds_rise_with_notch_and_horizon() -> None:
    for years in HORIZONS:
        column = [bound_of(grade, years) for grade in GRADES]
        assert column == sorted(column)
        assert len(set(column)) == len(column)
    for grade in GRADES:
        row = [bound_of(grade, years) for years in HORIZONS]
        assert row == sorted(row)
        assert len(set(row)) == len(row)


def test_the_anchors_are_those_of_the_derivation() -> None:
    assert bound_of("AAA", 10) == pytest.approx(1e-4)
    assert bound_of("CCC", 10) == pytest.approx(0.30)
    assert bound_of("AAA", 1) == pytest.approx(1e-4 * 10**-2.5)
    assert bound_of("CCC", 1) == pytest.approx(0.30 * 10**-0.5)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("years", [0.7, 2.3, 8.0])
def test_a_bound_still_earns_its_grade_and_a_little_more_does_not(grade: str, years: float) -> None:
    bound = bound_of(grade, years)
    assert grade_of(bound, years) == grade
    if grade != "CCC":
        assert grade_of(bound * (1 + 1e-9), years) == GRADES[GRADES.index(grade) + 1]


def test_no_loss_is_the_best_grade_and_total_loss_the_worst() -> None:
    assert grade_of(0.0, 3.0) == "AAA"
    assert grade_of(-1e-12, 3.0) == "AAA"
    assert grade_of(1.0, 3.0) == "CCC"
    assert pd_bound_of("BBB", 5) == pytest.approx(bound_of("BBB", 5) / 0.55)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="grade: 'Aaa'"):
        bound_of("Aaa", 1)
    with pytest.raises(ValueError, match="years: 0"):
        grade_of(0.1, 0)
    with pytest.raises(ValueError, match="expected_loss: nan"):
        grade_of(float("nan"), 1)


@pytest.mark.shared
def test_the_scale_has_the_order_of_magnitude_of_published_tables(shared: Path) -> None:
    lines = (shared / "tables/idealised_expected_loss_1_10y.csv").read_text().splitlines()
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))[1:]
    assert len(rows) == 16
    for grade, row in zip(GRADES, rows, strict=False):
        for years, percent in enumerate(row[1:], start=1):
            ratio = float(percent) / 100 / bound_of(grade, years)
            assert 1 / ORDER_OF_MAGNITUDE < ratio < ORDER_OF_MAGNITUDE, (grade, years, ratio)
