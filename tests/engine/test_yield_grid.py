"""The grid of a price/yield table from words: the product of its lists, the ladder, curves, and what is refused."""

from __future__ import annotations

import re

import pytest

from pricing.engine.yield_grid import grid_from_query
from tests.engine.yield_grids import DEFAULTS, grid


def test_the_grid_is_the_product_of_its_lists_cdr_fastest() -> None:
    given = grid(speed="6, 12", cdr="0, 4", severity="50, 60", lag="3, 6", advance="0, 50", call="both")
    assert given.columns == len(given.scenarios) == 64
    assert [each.cdr.text for each in given.scenarios[:3]] == ["0", "4", "0"]
    assert [each.advance for each in given.scenarios[:5]] == [0.0, 0.0, 0.5, 0.5, 0.0]
    assert [each.to_call for each in given.scenarios] == [True] * 32 + [False] * 32
    middle = given.scenarios[given.middle]
    assert (middle.speed.text, middle.cdr.text, middle.recovery_lag, middle.advance, middle.to_call) == (
        "12", "4", 6, 0.5, True,
    )  # fmt: skip
    assert middle.name == "CDR 4 %, CPR 12 %, severity 60 %, lag 6 months, advance 50 %, to call"


def test_the_ladder_is_exact() -> None:
    given = grid(centre="99.9", step="0.1", number="4")
    assert [str(price) for price in given.prices_per_100] == ["99.7", "99.8", "99.9", "100.0"]
    assert given.prices.tolist() == [0.997, 0.998, 0.999, 1.0]


def test_a_rate_may_move_by_month() -> None:
    (curve,) = grid(cdr="2 for 3 4 ramp 5 8").cdrs
    assert curve.over(11).tolist() == pytest.approx([0.02] * 3 + [0.04, 0.05, 0.06, 0.07, 0.08] + [0.08] * 3)
    assert grid(cdr="2").cdrs[0].is_flat
    assert not curve.is_flat


REFUSED = {
    "cdr=x": "cdr: 'x' is not a number; write it like 4 or 4.5",
    "cdr=": None,
    "cdr=1,,2": "cdr: a value is missing",
    "cdr=101": "cdr: 101 lies outside 0 to 100 per cent",
    "cdr=-1": "cdr: -1 lies outside 0 to 100 per cent",
    "cdr=nan": "cdr: 'nan' is not a number",
    "cdr=1e999999": "cdr: 1e999999 lies outside",
    "cdr=2, 2.0": "cdr: 2.0 stands there twice",
    "cdr=2 ramp 12": "cdr: '2 ramp 12' is no curve",
    "cdr=2 ramp 900 4": "cdr: 900 is not a whole number from 1 to 480",
    "cdr=2 for 400 3 for 400 4": "cdr: '2 for 400 3 for 400 4' runs over 801 months",
    "prepayment=smm": "prepayment: 'smm' is none of cpr, psa, abs",
    "speed=1,2,3,4,5,6,7,8,9,10,11": "speed: 11 speeds; give at most 10",
    "severity=150": "severity: 150 lies outside 0 to 100 per cent",
    "lag=1.5": "lag: 1.5 is not a whole number from 0 to 120",
    "advance=101": "advance: 101 lies outside 0 to 100 per cent",
    "call=maybe": "call: 'maybe' is none of yes, no, both",
    "measure=irr": "measure: 'irr' is none of yield, spread, discount_margin",
    "number=42": "number: 42 is not a whole number from 1 to 41",
    "step=0": "step: 0 is no price",
    "centre=301": "centre: 301 is no price",
    "centre=1": "step: the ladder reaches down to -2",
    "cdrs=4": "cdrs: unknown; did you mean 'cdr'?",
    "speed=1,2,3,4,5,6&cdr=1,2,3,4,5,6&severity=10,20,30,40,50": "cdr: 6 of speed × 5 of severity × 6 of cdr make 180",
}


@pytest.mark.parametrize("query", REFUSED)
def test_refusals_are_sentences_that_name_the_field(query: str) -> None:
    asked = dict(part.split("=", 1) for part in query.split("&"))
    wanted = REFUSED[query]
    if wanted is None:  # an empty field is its default
        assert grid(**asked) == grid()
        return
    with pytest.raises(ValueError, match="^" + re.escape(wanted)):
        grid_from_query(asked, DEFAULTS)
