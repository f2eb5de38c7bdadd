"""The closing balances or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pooling.engine.waterfall import balancing_residual, reserve_deposit, sources_and_uses
from tests.engine.deal_builders import CUTOFF_CENTS, solved

PROCEEDS = {"A": 65_000_000, "B": 8_010_000, "C": 6_900_000}


def test_sources_equal_uses_in_cents() -> None:
    spec = solved(closing_expenses=25_000)
    residual = balancing_residual(spec, CUTOFF_CENTS, PROCEEDS)

    result = sources_and_uses(spec, CUTOFF_CENTS, PROCEEDS, residual)

    assert residual == 100_000_000 + 1_000_000 + 25_000 - 79_910_000
    assert result["sources"] == {**PROCEEDS, "R": residual}
    assert result["uses"] == {
        "pool_purchase_price": 100_000_000,
        "reserve_deposit": 1_000_000,
        "expenses": 25_000,
    }
    assert result["total_sources"] == result["total_uses"] == 101_025_000


def test_purchase_price_above_par_and_given_expenses_are_used() -> None:
    residual = balancing_residual(solved(), CUTOFF_CENTS, PROCEEDS, expenses=7, purchase_price=102_000_001)
    result = sources_and_uses(solved(), CUTOFF_CENTS, PROCEEDS, residual, expenses=7, purchase_price=102_000_001)
    assert result["total_uses"] == 103_000_008


@pytest.mark.parametrize(
    ("proceeds", "residual", "sentence"),
    [
        (PROCEEDS, 21_090_001, "sources: 101000001 cents differ from uses 101000000 by 1"),
        ({"A": 1, "B": 2}, 0, "proceeds: classes ['A', 'B'], expected ['A', 'B', 'C']"),
        (PROCEEDS, -5, "R: -5 is not a whole number of cents from 0 up"),
        (PROCEEDS | {"B": 0.5}, 0, "B: 0.5 is not a whole number of cents from 0 up"),
    ],
)
def test_unbalanced_closing_is_refused(proceeds: dict[str, Any], residual: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        sources_and_uses(solved(), CUTOFF_CENTS, proceeds, residual)
    assert str(caught.value) == sentence


def test_reserve_deposit_is_rounded_half_to_even() -> None:
    assert [reserve_deposit(solved(), cents) for cents in (50, 150, 1_234_567)] == [0, 2, 12_346]
