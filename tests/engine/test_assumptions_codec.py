"""Assumptions as JSON, rates by date, and a servicer's table."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from pooling.engine.assumptions import (
    Assumptions,
    Default,
    DelinquencyRoll,
    assumptions_from_json,
    assumptions_to_json,
    servicer_flows,
)
from pooling.engine.assumptions.speeds import by_date
from tests.engine.test_assumptions import assumptions


@settings(max_examples=60, deadline=None)
@given(terms=assumptions())
def test_json_and_back_is_the_same(terms: Assumptions) -> None:
    text = json.dumps(assumptions_to_json(terms), allow_nan=False)
    assert assumptions_to_json(assumptions_from_json(json.loads(text))) == json.loads(text)
    assert assumptions_from_json(json.loads(text)) == terms  # no rate here is an array


def test_arrays_and_optional_parts_survive() -> None:
    terms = Assumptions(
        default=Default("loss_curve", [[0.05, 0.1]], timing=(0.5, 0.5)),
        severity=np.full((3, 2), 0.4),
        roll=DelinquencyRoll([0.1, 0.2, 0.3], (0.5, 0.5, 0.5)),
        days=[31, 28, 31],
    )
    written = assumptions_to_json(terms)
    back = assumptions_from_json(json.loads(json.dumps(written)))

    assert back.roll is not None
    assert np.array_equal(np.asarray(back.severity), np.full((3, 2), 0.4))
    assert assumptions_to_json(back) == written
    assert assumptions_from_json({}) == Assumptions()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"prepayments": {}}, "prepayments: unknown key; did you mean 'prepayment'"),
        ({"default": {"rates": 0.1}}, "default.rates: unknown key; did you mean 'rate'"),
        ({"default": {"kind": "cdrr"}}, "default.kind: 'cdrr' is none of cdr, mdr, sda, amount, loss_curve"),
        ({"default": 0.1}, "default: an object is expected, not 0.1"),
        ({"severity": "0.4"}, "severity: a number is expected, not '0.4'"),
        ({"severity": float("nan")}, "severity: a number is expected, not nan"),
        ({"severity": [[0.1, 0.2], [0.1]]}, "severity: its rows are of different lengths"),
        ({"severity": True}, "severity: a number is expected, not True"),
        ({"severity": None}, "severity: null is not allowed here; leave the key out for its default"),
        ({"charge_off_lag": 1.5}, "charge_off_lag: a whole number is expected, not 1.5"),
        ({"floor_cents": 1}, "floor_cents: true or false is expected, not 1"),
        ({"recovery_timing": 1.0}, "recovery_timing: a list is expected, not 1.0"),
        ({"advances": 1}, "advances: a name is expected, not 1"),
        ({"roll": {"onward": [0.1, 0.2]}}, "roll.onward: 2 shares; give those of 1-30, 31-60 and 61-90"),
        ([], "assumptions: an object is expected, not []"),
    ],
)
def test_bad_json_is_refused_with_its_place(value: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=r": ") as error:
        assumptions_from_json(value)
    assert str(error.value).startswith(sentence)


def test_rates_by_date_are_read_at_the_start_of_the_month() -> None:
    ends = ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]
    rates = {dt.date(2026, 3, 1): 0.2, dt.date(2026, 1, 1): 0.1, dt.date(2026, 3, 31): 0.3}

    assert by_date(rates, ends).tolist() == [0.1, 0.1, 0.3]
    with pytest.raises(ValueError, match="values: the first starts on 2026-03-01; give one that holds on 2026-01-31"):
        by_date({dt.date(2026, 3, 1): 0.2}, ends)
    with pytest.raises(ValueError, match="values: the first is missing"):
        by_date({}, ends)


# ------------------------------------------------------------------------------------------------------------ servicer
TABLE = {"interest": [1.0, 1.0], "scheduled_principal": [10.0, 10.0], "charge_off": [0.0, 5.0]}
LATE = [[4.0, 3.0], [2.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_reported_late_loans_may_cure() -> None:
    """A report of charge-offs without defaults: late loans stay part of the pool until they are written off."""
    flows = servicer_flows(100.0, TABLE | {"ending_balance": [90.0, 75.0]}, delinquent=LATE)

    assert flows.performing[0, :, 0].tolist() == [90.0, 75.0]
    assert flows.total_pool_balance[:, 0].tolist() == [90.0, 75.0]
    assert flows.delinquent_share(30)[:, 0] == pytest.approx([2.0 / 90.0, 1.0 / 75.0])
    assert flows.default[0, :, 0].tolist() == [0.0, 5.0]
    assert flows.check() < 1e-12


def test_reported_defaults_fill_the_reported_buckets() -> None:
    table = TABLE | {"default": [6.0, 3.0], "ending_balance": [90.0, 75.0]}
    flows = servicer_flows(100.0, table, delinquent=LATE)

    assert flows.arrears is None
    assert flows.performing[0, :, 0].tolist() == [84.0, 71.0]
    assert flows.delinquent[0, :, :, 0].tolist() == LATE
    assert flows.check() < 1e-12


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ending_balance": [90.0, 80.0]}, "ending_balance: 80.0 in month 2, but the other columns leave 75.0"),
        ({"default": [7.0, 0.0]}, "delinquent: 6.0 in month 1, but the other columns leave 7.0"),
        ({"recovery": [1.0, float("nan")]}, "recovery: month 2 holds no number"),
        ({"charge_offs": [1.0, 1.0]}, "columns: 'charge_offs' is unknown; did you mean 'charge_off'"),
    ],
)
def test_a_report_that_contradicts_itself_is_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=r": ") as error:
        servicer_flows(100.0, TABLE | change, delinquent=LATE)
    assert str(error.value).startswith(sentence)
