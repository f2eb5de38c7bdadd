"""Transitions, roll rates and realised speeds: exact counts on a pool small enough to write down, and identities."""

from __future__ import annotations

import numpy as np
import pytest

from pooling.engine.assumptions.history import smm_from_balances
from rating.engine.transitions import (
    CHARGED_OFF,
    LIVE,
    MATURED,
    PREPAID,
    STATES,
    loan_states,
    realised_speeds,
    roll_rates,
    transitions,
)

# Five loans over three months: one that pays, one that rolls to charge-off, one that cures, one that prepays, one that
# matures. Rows are months from cut-off.
BALANCE = np.array(
    [
        [100, 200, 300, 400, 50],
        [90, 200, 300, 390, 25],
        [80, 200, 290, 0, 0],
        [70, 0, 280, 0, 0],
    ]
)
DAYS = np.array(
    [
        [0, 0, 0, 0, 0],
        [0, 29, 30, 0, 0],
        [0, 60, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
)
PREPAYMENT = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 380, 0], [0, 0, 0, 0, 0]])
CHARGE_OFF = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 200, 0, 0, 0]])


def test_states_follow_from_days_and_from_how_a_loan_ended() -> None:
    states = loan_states(BALANCE, DAYS, PREPAYMENT, CHARGE_OFF)
    assert [[STATES[k] for k in row] for row in states] == [
        ["current"] * 5,
        ["current", "1-29", "30-59", "current", "current"],
        ["current", "60-89", "current", "prepaid", "matured"],
        ["current", "charged off", "current", "prepaid", "matured"],
    ]


@pytest.mark.parametrize(
    ("days", "state"), [(0, 0), (1, 1), (29, 1), (30, 2), (59, 2), (60, 3), (89, 3), (90, 4), (4000, 4)]
)
def test_edges_of_the_buckets(days: int, state: int) -> None:
    found = loan_states(
        np.array([[1], [1]]), np.array([[0], [days]]), np.zeros((1, 1), dtype=int), np.zeros((1, 1), dtype=int)
    )
    assert found[1, 0] == state


def test_transition_counts_are_the_loans_and_rows_sum_to_one() -> None:
    states = loan_states(BALANCE, DAYS, PREPAYMENT, CHARGE_OFF)
    second = transitions(states, BALANCE, 2, 2)
    expected = np.zeros((8, 8), dtype=int)
    expected[0, 0], expected[0, PREPAID], expected[0, MATURED], expected[1, 3], expected[2, 0] = 1, 1, 1, 1, 1
    np.testing.assert_array_equal(second.count, expected)
    assert second.balance[0].tolist() == [90, 0, 0, 0, 0, 0, 390, 25]
    assert second.share[0].tolist() == [1 / 3, 0, 0, 0, 0, 0, 1 / 3, 1 / 3]
    assert np.isnan(second.share[3]).all()  # nobody began there
    whole = transitions(states, BALANCE)
    assert (whole.first, whole.last, whole.count.sum()) == (1, 3, 15)
    assert whole.count[3, CHARGED_OFF] == 1


def test_many_loans_add_up_month_by_month() -> None:
    # given 400 loans whose lateness is drawn and that end in any way
    rng = np.random.default_rng(11)
    months, loans = 12, 400
    end = rng.integers(1, 2 * months, loans)
    alive = np.arange(months + 1)[:, None] < end[None, :]
    balance = np.where(alive, rng.integers(1, 10**9, (months + 1, loans)), 0)
    days = np.where(alive, rng.choice([0, 0, 0, 15, 45, 75, 105], (months + 1, loans)), 0)
    days[0] = 0
    how = rng.integers(0, 3, loans)
    last = (np.arange(1, months + 1)[:, None] == end[None, :]).astype(int)
    states = loan_states(balance, days, last * (how == 1), last * (how == 0))
    whole = transitions(states, balance)
    assert whole.count.sum() == months * loans
    parts = [transitions(states, balance, t, t) for t in range(1, months + 1)]
    np.testing.assert_array_equal(sum(part.count for part in parts), whole.count)
    for t, part in enumerate(parts):
        assert part.count.sum() == loans
        assert part.balance.sum() == balance[t].sum()
        for table, size in ((part.share, part.count), (part.share_of_balance, part.balance)):
            seen = size.sum(axis=1) > 0
            np.testing.assert_allclose(table[seen].sum(axis=1), 1.0, rtol=1e-14)
        # what is charged off, prepaid or matured stays so
        assert part.count[LIVE:].sum() == np.trace(part.count[LIVE:, LIVE:])
    rolls = roll_rates(states, balance)
    stayed = np.array([[part.count[k, k] for part in parts] for k in range(LIVE)])
    np.testing.assert_array_equal(rolls.worse + rolls.better + rolls.paid_off + stayed, rolls.began)
    np.testing.assert_array_equal(rolls.began.sum(axis=0), (balance[:-1] > 0).sum(axis=1))
    assert rolls.balance_began.sum() == balance[:-1].sum()


def test_roll_rates_count_every_worse_state() -> None:
    states = loan_states(BALANCE, DAYS, PREPAYMENT, CHARGE_OFF)
    rolls = roll_rates(states, BALANCE)
    assert rolls.began[:3].tolist() == [[5, 3, 2], [0, 1, 0], [0, 1, 0]]
    assert rolls.worse[0].tolist() == [2, 0, 0]  # one of them at once to 30-59
    assert (rolls.worse[1, 1], rolls.worse[3, 2], rolls.better[2, 1]) == (1, 1, 1)
    assert rolls.paid_off[0].tolist() == [0, 2, 0]
    assert rolls.share[0, 0] == 2 / 5
    assert rolls.share_of_balance[0, 0] == 500 / 1050


def test_speeds_are_the_published_formulas() -> None:
    # SF-4 and SF-8 (Standard Formulas, BMA 1999): CPR = 1 - (1 - SMM)^12; the average SMM of several months from the
    # actual and the scheduled balance at their end.
    opening = np.array([1_000_000.0, 980_000.0, 955_000.0, 940_000.0])
    scheduled = np.array([10_000.0, 10_000.0, 9_000.0, 9_000.0])
    prepaid = np.array([10_000.0, 15_000.0, 6_000.0, 12_000.0])
    found = realised_speeds(opening, scheduled, prepaid, np.zeros(4))
    for t in range(4):
        smm = smm_from_balances(opening[t] - scheduled[t] - prepaid[t], opening[t] - scheduled[t])
        assert found.smm[t] == pytest.approx(smm, rel=1e-12)
        assert found.cpr[t] == pytest.approx(1 - (1 - smm) ** 12, rel=1e-12)
    left = np.prod(1 - found.smm[1:])
    assert found.cpr_3[3] == pytest.approx(1 - left ** (12 / 3), rel=1e-12)
    assert found.cpr_3[1] == pytest.approx(1 - np.prod(1 - found.smm[:2]) ** 6, rel=1e-12)
    assert found.cpr_life[3] == pytest.approx(1 - np.prod(1 - found.smm) ** 3, rel=1e-12)
    assert found.cdr.tolist() == [0.0] * 4
    lost = realised_speeds(opening, scheduled, prepaid, np.array([0.0, 9_800.0, 0.0, 0.0]))
    assert lost.mdr[1] == 0.01
    assert lost.cdr[1] == pytest.approx(1 - 0.99**12, rel=1e-12)
    assert lost.smm[1] == pytest.approx(15_000 / (980_000 - 9_800 - 10_000), rel=1e-12)
    ended = realised_speeds(np.array([100.0, 0.0]), np.array([0.0, 0.0]), np.array([100.0, 0.0]), np.zeros(2))
    assert ended.cpr[0] == pytest.approx(1.0)
    assert np.isnan(ended.cpr[1])


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"balance: shape \(3, 5\), expected \(4, 5\)"):
        loan_states(BALANCE[:3], DAYS, PREPAYMENT, CHARGE_OFF)
    with pytest.raises(ValueError, match="loan 1 owes nothing at cut-off"):
        loan_states(BALANCE * [1, 0, 1, 1, 1], DAYS, PREPAYMENT, CHARGE_OFF)
    states = loan_states(BALANCE, DAYS, PREPAYMENT, CHARGE_OFF)
    with pytest.raises(ValueError, match="3 to 4 of 3 months"):
        transitions(states, BALANCE, 3, 4)
