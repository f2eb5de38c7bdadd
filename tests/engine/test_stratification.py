"""Stratification tables."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooling.engine.stratification import DIMENSIONS, UNKNOWN, stratify, stratify_all

POOL = pd.DataFrame(
    {
        "balance_cents": [100_000, 300_000, 600_000, 1_000_000],
        "rate": [0.0599, 0.06, 0.12, 0.35],
        "remaining_term": [36, 30, 60, 10],
        "term": [36, 36, 60, 36],
        "age": [0, 6, 0, 26],
        "grade": ["B", "A", "", "B"],
        "state": ["NY", "CA", "CA", ""],
        "purpose": ["car", "car", "car", "house"],
        "score": [700.0, 699.9, float("nan"), 810.0],
    }
)


def names(dimension, **options):
    return [(row.name, row.count) for row in stratify(POOL, dimension, **options).strata]


def test_strata_are_named_and_ordered():
    assert names("grade") == [("A", 1), ("B", 2), (UNKNOWN, 1)]
    assert names("term") == [("36 months", 3), ("60 months", 1)]
    assert names("rate") == [
        ("0 % to below 6 %", 1),
        ("6 % to below 8 %", 1),
        ("12 % to below 14 %", 1),
        ("30 % and above", 1),
    ]
    assert names("balance") == [
        ("0 to below 2,500", 1),
        ("2,500 to below 5,000", 1),
        ("5,000 to below 10,000", 1),
        ("10,000 to below 15,000", 1),
    ]
    assert names("score") == [("680 to below 700", 1), ("700 to below 720", 1), ("800 and above", 1), (UNKNOWN, 1)]
    assert names("age") == [("0 to below 1", 2), ("6 to below 12", 1), ("24 to below 36", 1)]
    assert names("state") == [("CA", 2), ("NY", 1), (UNKNOWN, 1)]
    assert names("rate", edges=[0.1, 0.2]) == [("below 10 %", 2), ("10 % to below 20 %", 1), ("20 % and above", 1)]


def test_averages_are_weighted_by_balance():
    table = stratify(POOL, "purpose")
    car, house = table.strata  # of equal balance, so by name
    assert (car.name, house.name) == ("car", "house")
    assert car.balance_cents == 1_000_000
    assert car.share == 0.5
    assert car.wac == pytest.approx((0.0599 * 1 + 0.06 * 3 + 0.12 * 6) / 10, rel=1e-14)
    assert car.wam == pytest.approx((36 * 1 + 30 * 3 + 60 * 6) / 10, rel=1e-14)
    assert table.total.wac == pytest.approx((0.0599 + 0.18 + 0.72 + 3.5) / 20, rel=1e-14)


@given(
    st.lists(
        st.tuples(st.integers(1, 10**9), st.floats(0, 1), st.sampled_from(["A", "B", ""]), st.integers(0, 60)),
        min_size=1,
        max_size=30,
    )
)
def test_strata_always_add_up_to_the_pool(loans):
    frame = pd.DataFrame(loans, columns=["balance_cents", "rate", "grade", "age"])
    frame = frame.assign(remaining_term=36, term=36, state="CA", purpose="", score=700.0)
    for dimension in DIMENSIONS:
        table = stratify(frame, dimension)
        assert sum(row.count for row in table.strata) == table.total.count == len(frame)
        assert sum(row.balance_cents for row in table.strata) == frame["balance_cents"].sum()
        assert sum(row.share for row in table.strata) == pytest.approx(1.0)
        assert sum(row.share * row.wac for row in table.strata) == pytest.approx(table.total.wac)


def test_dimensions_the_pool_knows_nothing_of_are_left_out():
    tables = stratify_all(POOL.assign(grade="", score=float("nan")))
    assert {table.dimension for table in tables} == set(DIMENSIONS) - {"grade", "score"}


@pytest.mark.parametrize(
    ("dimension", "edges", "said"),
    [
        ("colour", None, "dimension"),
        ("rate", [0.2, 0.1], "ascend"),
        ("rate", [], "ascend"),
        ("state", [1.0], "no bands"),
    ],
)
def test_what_cannot_be_tabled_is_refused(dimension, edges, said):
    with pytest.raises(ValueError, match=said):
        stratify(POOL, dimension, edges)


def test_an_empty_pool_has_no_table():
    with pytest.raises(ValueError, match="balance"):
        stratify(POOL.iloc[:0], "grade")
