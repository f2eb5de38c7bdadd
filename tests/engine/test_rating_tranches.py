"""Ratings of classes: default, expected loss, average life, grade and its interval."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from rating.engine.grades import Cap
from rating.engine.scale import grade_of
from rating.engine.tranches import class_details, class_losses, rate_tranches


@dataclass(frozen=True)
class Cash:
    """Class cash written by hand: the fields of the waterfall's result that a rating reads."""

    names: tuple[str, ...]
    interest: np.ndarray
    principal: np.ndarray
    interest_shortfall: np.ndarray
    initial_balance: np.ndarray
    coupon: np.ndarray
    unpaid_principal: np.ndarray
    months_between: int = 1

    @property
    def period_rate(self) -> np.ndarray:
        """A twelfth of the coupon in every month."""
        return np.repeat(self.coupon[:, None, None] / 12.0, self.interest.shape[1], axis=1)


def _two_paths() -> Cash:
    """One class of 100 at 12 %: path 0 pays in full, path 1 misses 40 of principal; two months."""
    return Cash(
        names=("A",),
        interest=np.array([[[1.0, 1.0], [0.5, 0.5]]]),
        principal=np.array([[[50.0, 50.0], [50.0, 10.0]]]),
        interest_shortfall=np.zeros((1, 2, 2)),
        initial_balance=np.array([100.0]),
        coupon=np.array([0.12]),
        unpaid_principal=np.array([[0.0, 40.0]]),
    )


def test_a_loss_by_hand() -> None:
    rating = rate_tranches(_two_paths(), np.array([3.0, 1.0]))[0]
    # Path 1 misses 40 two months from closing: 40 / 1.01**2 / 100 = 0.392118 of present value; path 0 nothing.
    lost = 0.4 / 1.01**2
    assert class_losses(_two_paths(), 0).tolist() == [0.0, pytest.approx(lost, rel=1e-12)]
    assert rating.expected_loss == pytest.approx(lost / 4, rel=1e-12)
    assert rating.pd == 0.25
    # Ratio estimator: sqrt(3**2 (1/4)**2 + 1**2 (3/4)**2) / 4 for the default indicator.
    assert rating.pd_se == pytest.approx(np.sqrt((3 / 4) ** 2 + (3 / 4) ** 2) / 4)
    # Both paths: 50 after a month, 50 (paid or lost) after two.
    assert rating.wal_years == pytest.approx(1.5 / 12)
    assert rating.grade == grade_of(rating.expected_loss, rating.wal_years) == "CCC"


def test_a_promise_kept_at_any_speed_is_no_loss() -> None:
    months, coupon = 24, 0.09
    paths = []
    for share in (np.full(months, 1 / months), np.eye(months)[0], np.eye(months)[-1]):
        balance = 1.0 - np.concatenate([[0.0], np.cumsum(share)[:-1]])
        paths.append((balance * coupon / 12, share))
    deal = replace(
        _two_paths(),
        interest=np.stack([i for i, _ in paths], axis=1)[None],
        principal=np.stack([p for _, p in paths], axis=1)[None],
        interest_shortfall=np.zeros((1, months, 3)),
        initial_balance=np.array([1.0]),
        coupon=np.array([coupon]),
        unpaid_principal=np.zeros((1, 3)),
    )
    assert class_losses(deal, 0).tolist() == [0.0, 0.0, 0.0]
    rating = rate_tranches(deal, np.ones(3))[0]
    assert (rating.pd, rating.expected_loss, rating.grade, rating.grade_low) == (0.0, 0.0, "AAA", "AAA")
    assert rating.converged


def test_late_interest_is_default_of_a_timely_class_only() -> None:
    # Path 1 pays the first month's interest a month late with interest on it: 1 x 1.01 beside the 0.5 due.
    deal = replace(
        _two_paths(),
        interest=np.array([[[1.0, 0.0], [0.5, 1.51]]]),
        principal=np.array([[[50.0, 50.0], [50.0, 50.0]]]),
        interest_shortfall=np.array([[[0.0, 1.0], [0.0, 0.0]]]),
        unpaid_principal=np.zeros((1, 2)),
    )
    timely = rate_tranches(deal, np.ones(2))[0]
    ultimate = rate_tranches(deal, np.ones(2), deferrable=("A",))[0]
    assert (timely.pd, timely.expected_loss) == (0.5, 0.0)
    assert (ultimate.pd, ultimate.expected_loss) == (0.0, 0.0)
    unpaid = replace(deal, interest=np.array([[[1.0, 0.0], [0.5, 0.5]]]))
    assert rate_tranches(unpaid, np.ones(2), deferrable=("A",))[0].pd == 0.5


def test_the_interval_is_two_errors_wide_and_says_when_it_spans_grades() -> None:
    rng = np.random.default_rng(1)
    unpaid = np.where(rng.random(200) < 0.02, rng.uniform(0, 4, 200), 0.0)
    deal = replace(
        _two_paths(),
        interest=np.repeat(np.array([[[1.0], [0.5]]]), 200, axis=2),
        principal=np.stack([np.full(200, 50.0), 50.0 - unpaid])[None],
        interest_shortfall=np.zeros((1, 2, 200)),
        unpaid_principal=unpaid[None],
    )
    rating = rate_tranches(deal, np.ones(200), pool_losses=unpaid / 100)[0]
    upper = rating.expected_loss + 2 * rating.expected_loss_se
    assert rating.expected_loss_upper == upper
    pd_upper = rating.pd + 2 * rating.pd_se
    assert rating.rated_loss_upper == max(upper, 0.55 * pd_upper)
    assert rating.grade_low == grade_of(max(upper, 0.55 * pd_upper), rating.wal_years) == "CCC"
    # 2 % of the paths miss a little: the default probability, not the small loss, sets the grade.
    assert rating.grade_by_loss == grade_of(rating.expected_loss, rating.wal_years)
    assert rating.grade == rating.grade_by_pd == grade_of(0.55 * rating.pd, rating.wal_years)
    assert rating.grade_by_loss != rating.grade_by_pd
    assert rating.converged == (rating.grade_low == rating.grade_high)
    assert rating.break_even_multiple == pytest.approx(unpaid[unpaid > 0].min() / unpaid.mean())


def test_classes_without_balance_are_left_out_and_strange_names_refused() -> None:
    assert rate_tranches(replace(_two_paths(), initial_balance=np.array([0.0])), np.ones(2)) == ()
    with pytest.raises(ValueError, match=r"deferrable: .'Z'. are no classes of A"):
        rate_tranches(_two_paths(), np.ones(2), deferrable=("Z",))
    with pytest.raises(ValueError, match="weights"):
        rate_tranches(_two_paths(), np.ones(3))


def _thin_tail(failing: int, paths: int = 64) -> tuple[Cash, np.ndarray, np.ndarray]:
    """One class of 100 that the `failing` worst of many paths leave 50 short; pool losses rise, weights fall."""
    unpaid = np.zeros((1, paths))
    unpaid[0, paths - failing :] = 50.0
    principal = np.full((1, 1, paths), 100.0) - unpaid[:, None, :]
    cash = Cash(
        names=("A",),
        interest=np.ones((1, 1, paths)),
        principal=principal,
        interest_shortfall=np.zeros((1, 1, paths)),
        initial_balance=np.array([100.0]),
        coupon=np.array([0.12]),
        unpaid_principal=unpaid,
    )
    return cash, np.linspace(2.0, 0.001, paths), np.linspace(0.0, 0.4, paths)


def test_a_class_that_no_scenario_hurts_is_not_certain() -> None:
    cash, weights, losses = _thin_tail(failing=0)
    rating = rate_tranches(cash, weights, pool_losses=losses)[0]
    unseen = weights[-3:].sum() / weights.sum()  # the three worst paths, had they failed it
    assert (rating.pd, rating.pd_se) == (0.0, 0.0)
    assert rating.pd_upper == pytest.approx(unseen, rel=1e-12)
    assert rating.grade == "AAA"
    assert rating.grade_low == grade_of(0.55 * unseen, rating.wal_years) != "AAA"
    assert not rating.converged


@pytest.mark.parametrize("failing", [1, 9, 10, 20])
def test_the_worst_survivors_count_only_where_few_scenarios_fail(failing: int) -> None:
    cash, weights, losses = _thin_tail(failing)
    rating = rate_tranches(cash, weights, pool_losses=losses)[0]
    normal = rating.pd + 2 * rating.pd_se
    survivors = weights[64 - failing - 3 : 64 - failing].sum() / weights.sum()
    expected = normal if failing >= 10 else max(normal, rating.pd + survivors)
    assert rating.pd_upper == pytest.approx(expected, rel=1e-12)


def test_the_worst_rule_stands_and_the_cap_is_above_them_all() -> None:
    cash, weights, losses = _thin_tail(failing=0)
    plain = rate_tranches(cash, weights, pool_losses=losses)[0]
    assert (plain.grade_by_multiple, plain.cap) == (None, None)
    for multiple, cap, grade in (
        ("AAA", None, plain.grade),
        ("BB", None, "BB"),
        (None, Cap("A+", "short"), "A+"),
        ("BB", Cap("A+", "short"), "BB"),
        ("AAA", Cap("A+", "short"), "A+"),
    ):
        multiples = None if multiple is None else {"A": multiple}
        rating = rate_tranches(cash, weights, pool_losses=losses, multiples=multiples, cap=cap)[0]
        assert (rating.grade, rating.grade_by_multiple, rating.cap) == (grade, multiple, cap)
        assert (rating.grade_by_loss, rating.grade_by_pd) == (plain.grade_by_loss, plain.grade_by_pd)


def test_a_rule_without_simulation_error_makes_a_spanning_interval_agree() -> None:
    # The simulation alone spans AAA and worse; CCC by the multiple, whatever the scenarios, is one grade.
    cash, weights, losses = _thin_tail(failing=0)
    assert not rate_tranches(cash, weights, pool_losses=losses)[0].converged
    rating = rate_tranches(cash, weights, pool_losses=losses, multiples={"A": "CCC"})[0]
    assert (rating.grade_low, rating.grade_high, rating.converged) == ("CCC", "CCC", True)


def test_details_by_hand() -> None:
    deal = replace(_two_paths(), interest_shortfall=np.array([[[0.0, 0.0], [0.0, 2.0]]]))
    detail = class_details(deal, np.array([3.0, 1.0]))[0]
    lost = 0.4 / 1.01**2
    assert detail.loss_given_default is not None
    assert detail.loss_given_default.value == pytest.approx(lost)
    assert detail.loss_given_default.error == pytest.approx(0.0, abs=1e-15)  # one failing path: a ratio of itself
    assert detail.wal_years.value == pytest.approx(1.5 / 12)
    assert detail.wal_deviation == pytest.approx(0.0, abs=1e-15)
    assert detail.interest_shortfall_probability.value == 0.25
    assert detail.interest_shortfall.value == pytest.approx(0.02 / 4)
    # Ratio estimator: sqrt((3 x 0.005)**2 + (1 x 0.015)**2) / 4 with the mean 0.005.
    assert detail.interest_shortfall.error == pytest.approx(np.sqrt(2) * 0.015 / 4)
    assert detail.intervals == {}


def test_lives_spread_over_the_scenarios() -> None:
    months = 24
    principal = np.zeros((1, months, 4))
    for path, month in enumerate((6, 12, 18, 24)):
        principal[0, month - 1, path] = 100.0
    deal = replace(
        _two_paths(),
        interest=np.zeros((1, months, 4)),
        principal=principal,
        interest_shortfall=np.zeros((1, months, 4)),
        coupon=np.array([0.0]),
        unpaid_principal=np.zeros((1, 4)),
    )
    detail = class_details(deal, np.ones(4))[0]
    assert detail.wal_years.value == pytest.approx(1.25)
    assert detail.wal_deviation == pytest.approx(np.std([0.5, 1.0, 1.5, 2.0]))
    assert {p: found.value for p, found in detail.wal_quantiles.items()} == {0.05: 0.5, 0.5: 1.0, 0.95: 2.0}
    assert detail.loss_given_default is None


def test_model_intervals_have_no_width_without_parameters_and_follow_one_that_decides() -> None:
    rng = np.random.default_rng(2)
    level = rng.standard_normal(400)
    unpaid = 20.0 + 4.0 * level  # exactly linear in the parameter, always a loss
    deal = replace(
        _two_paths(),
        interest=np.zeros((1, 1, 400)),
        principal=(100.0 - unpaid)[None, None],
        interest_shortfall=np.zeros((1, 1, 400)),
        coupon=np.array([0.0]),
        unpaid_principal=unpaid[None],
    )
    still = class_details(deal, np.ones(400), parameters=((), np.empty((400, 0))))[0].intervals["expected_loss"]
    assert still is not None
    assert still.low == still.mean == still.high
    moved = class_details(deal, np.ones(400), parameters=(("pd_level",), level[:, None]))[0].intervals
    ordered = np.sort(unpaid) / 100
    for key in ("expected_loss", "loss_given_default"):
        found = moved[key]
        assert found is not None
        assert [found.low, found.high] == pytest.approx([ordered[9], ordered[389]])
    certain = moved["pd"]
    assert certain is not None
    assert [certain.low, certain.high] == pytest.approx([1.0, 1.0])


def test_weights_that_sum_to_nothing_and_a_single_scenario_are_refused() -> None:
    with pytest.raises(ValueError, match="weights: must be finite, >= 0 and not all zero"):
        rate_tranches(_two_paths(), np.zeros(2))
    for weights in (np.array([1.0, 0.0]), np.array([0.0, 2.0])):
        with pytest.raises(ValueError, match="weights: one scenario has no standard error and earns no grade"):
            rate_tranches(_two_paths(), weights)


def test_an_empty_class_beside_a_full_one_is_left_out_of_ratings_and_details() -> None:
    one = _two_paths()
    two = replace(
        one,
        names=("A", "B"),
        interest=np.concatenate([one.interest, np.zeros((1, 2, 2))]),
        principal=np.concatenate([one.principal, np.zeros((1, 2, 2))]),
        interest_shortfall=np.zeros((2, 2, 2)),
        initial_balance=np.array([100.0, 0.0]),
        coupon=np.array([0.12, 0.2]),
        unpaid_principal=np.concatenate([one.unpaid_principal, np.zeros((1, 2))]),
    )
    assert rate_tranches(two, np.ones(2)) == rate_tranches(one, np.ones(2))
    assert [detail.name for detail in class_details(two, np.ones(2))] == ["A"]
