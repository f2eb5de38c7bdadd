"""Grade rules beside the scale: multiples of base-case loss, short histories, scenario default rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from rating.engine.grades import (
    MULTIPLE_GRADES,
    Cap,
    capped_targets,
    grade_of_break_even,
    grades_by_multiple,
    history_cap,
    multiple_of,
    scenario_rate,
    stressed_losses,
    worse_of,
)
from rating.engine.scale import GRADES, pd_bound_of
from rating.engine.scenarios import ScenarioSet
from tests.engine.analytics_deals import flows_of


def test_the_multiples_are_those_of_the_derivation() -> None:
    # Module docstring: 5 at AAA, 1.2 at B, log-linear between.
    printed = {"AAA": 5.0, "AA": 4.08, "A": 3.00, "BBB": 2.21, "BB": 1.63, "B": 1.20, "B-": 1.08}
    for grade, value in printed.items():
        assert multiple_of(grade) == pytest.approx(value, abs=0.005), grade
    row = [multiple_of(grade) for grade in MULTIPLE_GRADES]
    assert np.diff(np.log(row)) == pytest.approx(np.full(len(row) - 1, np.log(1.2 / 5) / 14))
    assert multiple_of("CCC") == 0.0


def test_stressed_losses_fall_with_the_grade_rise_with_the_base_case_and_stay_below_the_pool() -> None:
    before = np.zeros(16)
    for base in (0.001, 0.02, 0.0999, 0.1, 0.1001, 0.2, 0.4, 0.8, 0.99):
        row = stressed_losses(base, 1.0)
        assert (np.diff(row) < 0).all(), base
        assert (row > before).all(), base
        assert (row < 1.0).all(), base
        assert (row > base).all(), base
        before = row
    assert stressed_losses(0.02, 1.0)[0] == pytest.approx(0.10)
    # s = ln 0.2 / ln 0.1 = 0.69897; 5 ** 0.69897 = 3.0797.
    assert multiple_of("AAA", 0.2) == pytest.approx(3.0797, abs=5e-4)
    assert stressed_losses(0.3, 0.5).max() == 0.5


def test_a_class_takes_the_best_grade_below_its_first_failure() -> None:
    # 16 paths, AAA first. A fails nothing; B fails AAA and AA+; C survives AAA but fails A: no credit for that; D all.
    unpaid = np.zeros((4, 16))
    unpaid[1, :2] = 1.0
    unpaid[2, 5] = 1.0
    unpaid[3] = 1.0
    paid = np.zeros((4, 2, 16))
    deal = flows_of(principal=paid, interest=paid, initial=np.full(4, 100.0), names=("A", "B", "C", "D"))
    object.__setattr__(deal, "unpaid_principal", unpaid)
    assert grades_by_multiple(deal) == {"A": "AAA", "B": "AA", "C": "A-", "D": "CCC"}
    object.__setattr__(deal, "unpaid_principal", unpaid[:, :3])
    object.__setattr__(deal, "interest_shortfall", paid[..., :3])
    with pytest.raises(ValueError, match="stressed: 3 paths, expected 16, one a grade"):
        grades_by_multiple(deal)


def test_a_break_even_loss_earns_the_grade_whose_multiple_it_reaches() -> None:
    assert grade_of_break_even(None, 0.05) == "AAA"
    for grade in MULTIPLE_GRADES:
        needed = multiple_of(grade, 0.05) * 0.05
        assert grade_of_break_even(needed, 0.05) == grade
        assert GRADES.index(grade_of_break_even(needed * 0.999, 0.05)) == GRADES.index(grade) + 1
    assert grade_of_break_even(0.0, 0.05) == "CCC"


@pytest.mark.parametrize(
    ("months", "grade"), [(0, "A+"), (1, "A+"), (35, "A+"), (36, "AA"), (59, "AA"), (60, None), (400, None)]
)
def test_short_histories_are_capped_and_say_why(months: int, grade: str | None) -> None:
    cap = history_cap(months)
    assert (None if cap is None else cap.grade) == grade
    if cap is not None:
        assert f"no grade above {grade}" in cap.reason
        assert ("borrowed curve" if months == 0 else f"{months} months") in cap.reason


def test_targets_above_the_cap_are_lowered_with_a_sentence() -> None:
    targets = {"A": "AA", "B": "A", "C": "BBB"}
    assert capped_targets(targets, None) == (targets, {})
    reached, notes = capped_targets(targets, Cap("A+", "too short"))
    assert reached == {"A": "A+", "B": "A", "C": "BBB"}
    assert notes == {"A": "class A aims at A+ instead of AA: too short"}


def test_the_worst_grade_stands() -> None:
    assert worse_of("AA", None, "BBB", "A") == "BBB"
    assert worse_of("AAA") == "AAA"


def test_the_scenario_rate_is_the_quantile_at_the_grade_s_default_probability() -> None:
    # Uniform rates: the p-quantile is p. BB at 3 years has a PD of a few per cent.
    scenarios = ScenarioSet.draw(4096, seed=3)
    rates = ndtr(-scenarios.factor("market"))
    found = scenario_rate(rates, scenarios.weights, "BB", 3.0)
    assert found is not None
    assert found.reached
    assert abs(found.value - (1.0 - pd_bound_of("BB", 3.0))) < 4 * found.error < 0.02
    far = scenario_rate(rates[:64], np.ones(64), "AAA", 1.0)
    assert far is not None
    assert (far.value, far.reached) == (rates[:64].max(), False)
    assert scenario_rate(rates, scenarios.weights, "CCC", 100.0) is None  # its PD bound is 1


def test_bad_arguments_are_named() -> None:
    for call, message in (
        (lambda: multiple_of("Aaa"), "grade: 'Aaa' is not on the indicative scale"),
        (lambda: multiple_of("AA", 1.5), "base_loss: 1.5 lies outside 0 to 1"),
        (lambda: worse_of("AA", "Aaa"), "grade: 'Aaa'"),
        (lambda: worse_of(None), "grades: none given"),
        (lambda: history_cap(-1), "history_months: -1 is negative"),
        (lambda: scenario_rate(np.ones(3), np.zeros(3), "BB", 3.0), "weights: must be finite, >= 0 and not all zero"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
