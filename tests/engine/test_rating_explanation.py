"""Points of a loan's lifetime PD: exact sums, the scalar Shapley value, known PDs, order, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from pooling.engine.loans import LoanArrays
from rating.engine.curves import documented_model
from rating.engine.explanation import (
    DRIVERS,
    TENTHS,
    PdPoints,
    band_sources,
    explain_pd,
    lifetime_curves,
    pd_of,
    points_of,
)
from rating.engine.model import CreditModel
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

MODEL = documented_model()
SUM = 1e-10  # points: sums of 32 floats of some hundreds


def summed(found: PdPoints) -> np.ndarray:
    return found.base + found.points.sum(axis=1)


# ---------------------------------------------------------------------------------------------------- the scale
def test_the_scale_is_200_at_even_odds_and_20_double_the_odds() -> None:
    # Siddiqi, Credit Risk Scorecards (2006), chapter 6: score = offset + factor ln(odds), factor = PDO / ln 2.
    assert points_of(0.5) == 200.0
    assert points_of(2 / 3) == pytest.approx(220.0, abs=1e-12)  # odds 2 : 1
    assert points_of(1 / 1025) == pytest.approx(0.0, abs=1e-12)  # odds 1 : 1024
    assert pd_of(points_of(np.array([1e-6, 0.2, 0.97]))) == pytest.approx([1e-6, 0.2, 0.97], rel=1e-12)
    assert np.isfinite(points_of(np.array([0.0, 1.0]))).all()


# ----------------------------------------------------------------------------------------------------- the sums
@pytest.mark.parametrize("seed", range(5))
def test_points_sum_exactly_also_as_they_are_shown(seed: int) -> None:
    found = explain_pd(mixed_loans(2_000, seed), MODEL)
    assert np.abs(summed(found) - found.total).max() < SUM
    assert np.array_equal(found.base_tenths + found.tenths.sum(axis=1), found.total_tenths)
    # what is shown is less than a tenth from what was found, and the total is its own rounding
    assert np.abs(found.tenths / TENTHS - found.points).max() < 1 / TENTHS
    assert np.array_equal(found.total_tenths, np.rint(found.total * TENTHS))


def test_twenty_thousand_loans_give_every_loan_its_own_pd() -> None:
    loans = mixed_loans(20_000, 11)
    found = explain_pd(loans, MODEL)
    assert len(found) == 20_000
    assert pd_of(found.total) == pytest.approx(found.pd, rel=1e-12)
    rows = found.band * len(MODEL.terms) + found.term_row
    assert np.array_equal(rows, MODEL.assign(loans))
    for i in range(0, 20_000, 997):
        months = int(loans.remaining_term[i])
        competing, net = lifetime_curves(MODEL, int(rows[i]), int(loans.age[i]), months)
        assert (found.pd[i], found.pd_net[i]) == pytest.approx((competing[-1], net[-1]), rel=1e-12)
    weight = loans.balance / loans.balance.sum()
    assert found.pool_pd == pytest.approx(weight @ found.pd, rel=1e-12)
    assert found.pool_pd_net == pytest.approx(weight @ found.pd_net, rel=1e-12)
    assert found.base == pytest.approx(points_of(found.pool_pd_net), abs=1e-9)


def test_pd_of_constant_hazards_has_the_closed_form_of_competing_risks() -> None:
    # Geometric series: default first in a month, q and p monthly, s = (1 - q)(1 - p): I(k) = q (1 - s**k) / (1 - s).
    q, p, months = 0.01, 0.02, 24
    hazards = -np.log1p(-np.array([[q]])), -np.log1p(-np.array([[p]]))
    stay = (1 - q) * (1 - p)
    found = explain_pd(equal_loans(1, remaining=months), model_of(*hazards, ("A",)))
    assert found.pd[0] == pytest.approx(q * (1 - stay**months) / (1 - stay), rel=1e-12)
    assert found.pd_net[0] == pytest.approx(1 - (1 - q) ** months, rel=1e-12)


# ------------------------------------------------------------------------------------------- the scalar reference
def scalar(loans: LoanArrays, model: CreditModel, i: int) -> list[float]:
    """Shapley values of loan i by walking through all 120 orders, loan by loan, with Python floats."""
    rows = model.assign(loans)
    facts = [(int(row) // len(model.terms), int(row) % len(model.terms)) for row in rows]
    share = loans.balance / loans.balance.sum()

    def pd(band: int, term: int, age: int, left: int, prepays: bool) -> float:
        competing, net = lifetime_curves(model, band * len(model.terms) + term, age, left)
        return float((competing if prepays else net)[-1])

    def worth(members: frozenset[int]) -> float:
        mean = 0.0
        for k in range(len(loans)):
            band, term, age, left = (
                (facts[i if 0 in members else k][0]),
                (facts[i if 1 in members else k][1]),
                int(loans.age[i if 2 in members else k]),
                int(loans.remaining_term[i if 3 in members else k]),
            )
            mean += share[k] * pd(band, term, age, left, 4 in members)
        return 200 + 20 * math.log2(mean / (1 - mean))

    totals = [0.0] * len(DRIVERS)
    known = {frozenset[int](): worth(frozenset())}
    for order in permutations(range(len(DRIVERS))):
        members: frozenset[int] = frozenset()
        for driver in order:
            joined = members | {driver}
            if joined not in known:
                known[joined] = worth(joined)
            totals[driver] += known[joined] - known[members]
            members = joined
    return [total / math.factorial(len(DRIVERS)) for total in totals]


def test_points_are_the_shapley_values_of_the_scalar_reference() -> None:
    loans = mixed_loans(12, 4)
    found = explain_pd(loans, MODEL)
    for i in (0, 5, 11):
        assert found.points[i] == pytest.approx(scalar(loans, MODEL, i), abs=1e-9)


# ----------------------------------------------------------------------------------------------------- the order
def test_a_worse_grade_and_a_longer_life_never_take_points_away() -> None:
    loans = mixed_loans(2_000, 2)
    found = explain_pd(loans, MODEL)
    # hazards of the documented curve rise from band to band in every month, so among loans alike in all else
    # the worse band has more points of its grade and in sum
    pairs, seen = 0, dict[tuple[int, int, int], tuple[int, int]]()
    alike = zip(found.term_row.tolist(), loans.age.tolist(), loans.remaining_term.tolist(), strict=True)
    order = np.argsort(found.band, kind="stable").tolist()
    facts = list(alike)
    for i in order:
        band, before = int(found.band[i]), seen.get(facts[i])
        if before is not None and before[0] < band:
            pairs += 1
            assert found.points[before[1], 0] < found.points[i, 0]
            assert found.total[before[1]] < found.total[i]
        seen[facts[i]] = (band, i)
    assert pairs > 100
    longer = replace(loans, remaining_term=loans.remaining_term + 1)
    assert (explain_pd(longer, MODEL).pd > found.pd).all()
    assert (found.points[:, DRIVERS.index("prepayment")] < 0).all()


def test_only_the_driver_that_differs_has_points() -> None:
    # given a pool alike in all but the grade, whose hazards double from A to B
    hazard = np.array([[0.01], [0.02]])
    model = model_of(hazard, np.zeros((2, 1)), ("A", "B"))
    loans = replace(equal_loans(4, remaining=12), grade=np.array(["A", "A", "B", "B"]))
    found = explain_pd(loans, model)
    # then the grade alone carries points, up for B and down for A
    assert np.abs(found.points[:, 1:]).max() < SUM
    assert (found.points[:2, 0] < 0).all()
    assert (found.points[2:, 0] > 0).all()
    assert found.base + found.points[:, 0] == pytest.approx(found.total, abs=SUM)


def test_a_pool_of_one_loan_is_its_own_average() -> None:
    found = explain_pd(mixed_loans(1, 1), MODEL)
    assert np.abs(found.points[:, :4]).max() < SUM
    assert found.total[0] == pytest.approx(found.base + found.points[0, 4], abs=SUM)


def test_points_do_not_depend_on_the_other_loans_order_or_scale_of_weights() -> None:
    loans = mixed_loans(300, 8)
    once, again = explain_pd(loans, MODEL), explain_pd(loans, MODEL, weights=loans.balance * 1000)
    assert np.array_equal(once.tenths, again.tenths)
    assert once.points == pytest.approx(again.points, abs=1e-9)


# -------------------------------------------------------------------------------------------- sources and refusals
def test_the_band_comes_from_the_grade_else_the_score_else_the_rate() -> None:
    loans = replace(
        equal_loans(4), grade=np.array(["b3", "", "?", "HR"]), score=np.array([np.nan, 700.0, np.nan, 800.0])
    )
    assert band_sources(loans, MODEL).tolist() == ["grade", "score", "rate", "grade"]
    unscored = replace(MODEL, score_floors=())
    assert band_sources(loans, unscored).tolist() == ["grade", "rate", "rate", "grade"]
    # as the model itself assigns: the score of 700 is band C (floors 760, 720, 680), whatever the rate says
    assert MODEL.assign_bands(loans)[1] == 2


@pytest.mark.parametrize("weights", [np.zeros(3), np.array([1.0, -1.0, 1.0]), np.ones(2), np.array([1.0, np.nan, 1.0])])
def test_weights_that_weigh_nothing_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^weights: shape"):
        explain_pd(equal_loans(3), MODEL, weights=weights)


def test_hazards_of_zero_have_points_all_the_same() -> None:
    found = explain_pd(equal_loans(2, remaining=5), model_of(np.zeros((1, 1)), np.zeros((1, 1)), ("A",)))
    assert np.isfinite(found.points).all()
    assert np.array_equal(found.base_tenths + found.tenths.sum(axis=1), found.total_tenths)


def test_a_curve_needs_an_age_and_a_month() -> None:
    with pytest.raises(ValueError, match=r"^age, months: -1, 3"):
        lifetime_curves(MODEL, 0, -1, 3)
    with pytest.raises(ValueError, match=r"^age, months: 0, 0"):
        lifetime_curves(MODEL, 0, 0, 0)
