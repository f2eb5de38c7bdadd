"""Late payers who cure, loans of several shapes, and slices of scenarios."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooling.engine.assumptions import (
    Assumptions,
    Default,
    DelinquencyRoll,
    LoanShape,
    Prepayment,
    assumed_flows,
    pool,
)
from tests.engine.test_assumptions import assumptions, some_loans
from tests.engine.test_oracle_bma import loans

EXACT = 1e-9
shares = st.floats(0.0, 1.0)
rolls = st.builds(DelinquencyRoll, st.floats(0.0, 0.3), st.tuples(shares, shares, shares))


def test_one_late_loan_by_hand() -> None:
    """All of a linear loan of 1,000 over 4 months at 12 % misses month 1, half of it month 2 too; then it cures."""
    into = np.zeros(8)
    into[0] = 1.0
    terms = Assumptions(roll=DelinquencyRoll(into, (0.5, 0.0, 0.0)))
    flows = assumed_flows(loans(1_000.0, 0.12, 4), terms, horizon=8, amortisation="linear")

    assert flows.arrears is not None
    assert flows.arrears[0, :, :3, 0].tolist() == [[1_000.0, 0.0, 0.0], [0.0, 500.0, 0.0], [0.0] * 3, [0.0] * 3]
    # Month 2: half pays two instalments of 125 and interest of 5.00 and 3.75; month 3: the rest pays three.
    assert flows.scheduled_principal[0, :4, 0] == pytest.approx([0.0, 250.0, 375.0 + 125.0, 250.0])
    assert flows.interest[0, :4, 0] == pytest.approx([0.0, 8.75, 2.5 + (5.0 + 3.75 + 2.5), 2.5])
    assert flows.performing[0, :5, 0] == pytest.approx([1_000.0, 750.0, 250.0, 0.0, 0.0])
    assert flows.count[0, :4, 0] == pytest.approx([1.0, 1.0, 1.0, 0.0])
    assert flows.delinquent_share(30)[:3, 0] == pytest.approx([0.0, 500.0 / 750.0, 0.0])
    assert flows.check() < EXACT


@settings(max_examples=40, deadline=None)
@given(terms=assumptions(), roll=rolls)
def test_identities_hold_with_late_payers(terms: Assumptions, roll: DelinquencyRoll) -> None:
    flows = assumed_flows(some_loans(), replace(terms, arrears=(0.0,) * 4, roll=roll))

    assert flows.check() < EXACT
    assert flows.arrears is not None
    assert np.all(flows.arrears.sum(axis=1) <= flows.performing + 1e-6)
    for name, column in flows.columns.items():
        assert column.min() >= -1e-6, name
    paid = flows.principal.sum() + (0.0 if flows.advanced_principal is None else flows.advanced_principal.sum())
    assert paid + flows.charge_off.sum() == pytest.approx(some_loans().balance.sum(), rel=EXACT)


@settings(max_examples=25, deadline=None)
@given(roll=rolls)
def test_curing_pays_everything_later_and_nothing_less(roll: DelinquencyRoll) -> None:
    months = 50
    prompt = assumed_flows(some_loans(), Assumptions(), horizon=months)
    late = assumed_flows(some_loans(), Assumptions(roll=roll), horizon=months)

    assert late.interest.sum() == pytest.approx(prompt.interest.sum(), rel=EXACT)
    assert late.scheduled_principal.sum() == pytest.approx(prompt.scheduled_principal.sum(), rel=EXACT)
    behind = np.cumsum(prompt.total_collections - late.total_collections, axis=0)
    assert behind.min() >= -1e-6


@settings(max_examples=25, deadline=None)
@given(roll=rolls)
def test_a_servicer_that_advances_keeps_late_payers_from_the_trust(roll: DelinquencyRoll) -> None:
    prompt = assumed_flows(some_loans(), Assumptions(), horizon=50)
    late = assumed_flows(some_loans(), Assumptions(roll=roll, advances="principal_and_interest"), horizon=50)

    assert late.total_collections == pytest.approx(prompt.total_collections, abs=1e-6)


# ---------------------------------------------------------------------------------------------------- shapes
def test_each_group_amortises_in_its_own_shape() -> None:
    both = some_loans(groups=True)
    shapes = {"a": LoanShape("bullet"), "b": LoanShape("balloon", amortisation_term=60)}
    terms = Assumptions(Prepayment("cpr", 0.1), Default("cdr", 0.05), severity=0.5)

    flows = assumed_flows(both, terms, amortisation=shapes, horizon=45)

    for place, name in enumerate(("a", "b")):
        alone = assumed_flows(both.take(both.group == name), terms, amortisation=shapes[name], horizon=45)
        for column in ("interest", "scheduled_principal", "performing", "recovery"):
            assert np.array_equal(getattr(flows, column)[place], getattr(alone, column)[0]), column


@pytest.mark.parametrize(
    ("amortisation", "more", "sentence"),
    [
        ({"a": LoanShape()}, {}, "amortisation: the group 'b' has none; name how its loans amortise"),
        (
            {"a": LoanShape(), "b": LoanShape(), "bb": LoanShape()},
            {},
            "amortisation: no group is named 'bb'; did you mean 'b'",
        ),
        (LoanShape("bullet"), {"amortisation_term": 60}, "amortisation_term: a LoanShape holds it already; leave it"),
        ("level", {"interest_only_months": 3}, "interest_only_months: give it for interest_only, and only for that"),
        ("interest_only", {"interest_only_months": 30}, "interest_only_months: 30 leave a loan of"),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be_are_refused(amortisation: Any, more: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        assumed_flows(some_loans(groups=True), Assumptions(), amortisation=amortisation, **more)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"roll": DelinquencyRoll(0.1), "arrears": (0.1, 0.0, 0.0, 0.0)}, "roll: the arrears are stated as shares too"),
        (
            {"roll": DelinquencyRoll(0.1), "floor_cents": True, "event_order": "WITNESS"},
            "roll: the engine whose cents are cut knows no late payers",
        ),
        ({"severity_of": "balance"}, "severity_of: 'balance' is none of charge_off, default"),
    ],
)
def test_assumptions_that_contradict_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        Assumptions(**change)


# ---------------------------------------------------------------------------------------------------- slices
@settings(max_examples=10, deadline=None)
@given(terms=assumptions(), seed=st.integers(0, 99))
def test_slices_of_scenarios_give_the_same_bits(terms: Assumptions, seed: int) -> None:
    months = 45
    rng = np.random.default_rng(seed)
    wide = replace(
        terms,
        default=Default("cdr", rng.random((months, 7))),
        severity=rng.random((months, 7)),
        roll=None if any(terms.arrears) else DelinquencyRoll(0.3 * rng.random((months, 7)), (0.5, 0.4, 0.3)),
    )
    whole = assumed_flows(some_loans(), wide, horizon=months)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_NUMBERS_AT_ONCE", 1)
        sliced = assumed_flows(some_loans(), wide, horizon=months)

    for name, column in whole.columns.items():
        assert np.array_equal(column, sliced.columns[name]), name


def test_a_loss_curve_divides_by_the_severity_of_the_charge_off() -> None:
    """Severity 50 % before month 4 and 80 % from then on; the first default is charged off in month 4."""
    severity = np.where(np.arange(20) < 3, 0.5, 0.8)
    terms = Assumptions(
        default=Default("loss_curve", [[0.05, 0.10]], timing=(1.0,)), severity=severity, charge_off_lag=3
    )
    flows = assumed_flows(loans(1e6, 0.1, 12), terms, horizon=20)

    assert flows.default[0, 0] == pytest.approx([62_500.0, 125_000.0])
    assert flows.cumulative_loss[-1] == pytest.approx([50_000.0, 100_000.0])
    with pytest.raises(ValueError, match=r"default.rate: shape \(2,\); a loss curve takes one number or \(1, scen"):
        Default("loss_curve", [0.05, 0.10], timing=(1.0,))
