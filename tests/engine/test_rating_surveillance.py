"""Actual against expected on distributions that are known, and the watch list, every rule of it once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pooling.engine.deal import DealSpec
from pooling.engine.deal.template import default_template
from pooling.engine.waterfall.trigger_readings import Comparison, Joined, condition_of, room_of
from pooling.tapes import DEFAULT, age_align, check_tape, outcomes, read_tape, realised_loss
from pooling.tapes.derived_performance import derived_months
from pooling.tapes.performance import PoolStanding, performance_checked
from rating.engine.losses import FAN_QUANTILES
from rating.engine.surveillance import (
    ActualExpected,
    ClassGrades,
    TriggerRoom,
    actual_against_expected,
    watch_list,
)


def uniform(months: int, top: float) -> dict[str, np.ndarray]:
    """Losses uniform on [0, top] in every month: the p-quantile is p top, the mean half of it."""
    ladder = np.array(FAN_QUANTILES)
    return {"mean": np.full(months, top / 2), "quantiles": np.repeat(ladder[:, None] * top, months, axis=1)}


def compared(lost: list[float], months: int = 3, top: float = 0.10) -> ActualExpected:
    return actual_against_expected(lost, [0.0] * len(lost), 1_000.0, levels=FAN_QUANTILES, **uniform(months, top))


def test_the_percentile_of_a_uniform_law_is_the_share_itself() -> None:
    # Between the outermost quantiles interpolation is exact for this law.
    found = compared([30.0, 17.0, 43.0])
    np.testing.assert_allclose(found.actual, [0.030, 0.047, 0.090], rtol=1e-12)
    np.testing.assert_allclose(found.percentile, [0.30, 0.47, 0.90], rtol=1e-12)
    assert found.bounded.tolist() == [0, 0, 0]
    assert found.low.tolist() == [pytest.approx(0.005)] * 3
    assert found.high.tolist() == [pytest.approx(0.095)] * 3
    assert found.above.tolist() == [False, False, False]


def test_beyond_the_quantiles_it_is_a_bound_and_beyond_the_horizon_the_last_month_stands() -> None:
    found = compared([1.0, 98.5, 0.0, 0.0], months=3)
    assert found.percentile.tolist() == [FAN_QUANTILES[0], FAN_QUANTILES[-1], FAN_QUANTILES[-1], FAN_QUANTILES[-1]]
    assert found.bounded.tolist() == [-1, 1, 1, 1]
    assert found.above.tolist() == [False, True, True, True]
    nothing = actual_against_expected(
        [0.0], [0.0], 1.0, mean=[0.0], levels=FAN_QUANTILES, quantiles=np.zeros((len(FAN_QUANTILES), 1))
    )
    assert np.isnan(nothing.percentile[0])  # nothing could be lost yet: no place in nothing


def test_recoveries_count_against_losses() -> None:
    found = actual_against_expected([50.0, 0.0], [0.0, 20.0], 1_000.0, levels=FAN_QUANTILES, **uniform(2, 0.1))
    np.testing.assert_allclose(found.actual, [0.05, 0.03], rtol=1e-12)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="levels: "):
        actual_against_expected([1.0], [0.0], 1.0, mean=[0.0], levels=[0.1, 0.9], quantiles=np.zeros((2, 1)))
    with pytest.raises(ValueError, match="quantiles: shape"):
        actual_against_expected([1.0], [0.0], 1.0, mean=[0.0, 0.0], levels=FAN_QUANTILES, quantiles=np.zeros((8, 1)))
    with pytest.raises(ValueError, match="cutoff_balance"):
        actual_against_expected([1.0], [0.0], 0.0, mean=[0.0], levels=FAN_QUANTILES, quantiles=np.zeros((8, 1)))


# ------------------------------------------------------------------------------------------------------ watch list
def test_every_reason_to_watch_has_its_sentence() -> None:
    classes = [ClassGrades("A", "AA", "A+"), ClassGrades("B", "A", "A"), ClassGrades("C", "BBB", None),
               ClassGrades("D", "B", "CCC")]  # fmt: skip
    triggers = [
        TriggerRoom("loss", "pool.cumulative_loss_rate > 6%", 0.0999, False),
        TriggerRoom("late", "pool.delinquent_60_share > 5%", 0.11, False),
        TriggerRoom("oc", "class[A].oc_ratio < 110%", -0.2, True),
        TriggerRoom("odd", "trigger[oc]", None, False),
    ]
    found = watch_list(classes, triggers, compared([99.0]))
    assert [(each.kind, each.subject, each.sentence) for each in found] == [
        ("class", "A", "Class A re-rates at A+, 2 notches below AA."),
        ("class", "D", "Class D re-rates at CCC, 2 notches below B."),
        ("trigger", "loss", "Trigger loss is within 10% of its level: 10.0% of it is left"
         " (pool.cumulative_loss_rate > 6%)."),
        ("trigger", "oc", "Trigger oc is breached (class[A].oc_ratio < 110%)."),
        ("loss", "pool", "The cumulative net loss of 9.90% after 1 months lies above the predicted 90% band, 0.50% to"
         " 9.50%."),
    ]  # fmt: skip
    assert watch_list(classes[1:3], triggers[1:2], compared([50.0])) == ()
    assert watch_list((), (), None) == ()
    with pytest.raises(ValueError, match="'Aa2' is not on the indicative scale"):
        watch_list([ClassGrades("A", "AA", "Aa2")], (), None)


# -------------------------------------------------------------------------------------------------------- triggers
@pytest.mark.parametrize(
    ("value", "operator", "level", "room"),
    [
        (0.045, ">", 0.06, 0.25), (0.07, ">", 0.06, -1 / 6), (1.21, "<", 1.10, 0.1), (1.045, "<", 1.10, -0.05),
        (0.06, ">=", 0.06, 0.0), (float("inf"), "<", 1.1, float("inf")), (3.0, "==", 3.0, -float("inf")),
        (1.0, ">", 0.0, -float("inf")), (-1.0, ">", 0.0, float("inf")),
    ],
)  # fmt: skip
def test_room_is_the_distance_as_a_share_of_the_level(value: float, operator: str, level: float, room: float) -> None:
    assert room_of(value, operator, level) == pytest.approx(room, abs=1e-12)


def test_on_its_level_a_strict_comparison_has_some_room_left() -> None:
    assert 0 < room_of(0.06, ">", 0.06) < 1e-300


def test_a_condition_is_taken_apart_where_its_logic_is() -> None:
    text = (
        "not (pool.cumulative_loss_rate <= 6% or trigger[b]) and"
        " max(pool.delinquent_60_share, if(pool.factor < 50%, 1%, 2%)) >= (1% + 2%) * 2"
    )
    spec = DealSpec.from_json(
        default_template(
            name="T", currency="USD", cut_off="2026-04-30", closing="2026-05-21", first_payment="2026-06-21",
            legal_final="2033-05-21",
        ).to_json()
        | {
            "triggers": [
                {"name": "b", "condition": "pool.factor < 10%", "tested": "opening"},
                {"name": "a", "condition": text, "tested": "opening"},
            ]
        }
    )  # fmt: skip
    whole = condition_of(spec, 1)
    assert isinstance(whole, Joined)
    assert whole.word == "and"
    first, second = whole.parts
    assert isinstance(first, Joined)
    assert first.word == "not"
    (inside,) = first.parts
    assert isinstance(inside, Joined)
    assert inside.word == "or"
    assert [each.text for each in inside.parts if isinstance(each, Comparison)] == [
        "pool.cumulative_loss_rate <= 6%", "trigger[b]",
    ]  # fmt: skip
    assert isinstance(second, Comparison)
    assert (second.operator, second.right.text if second.right else "") == (">=", "(1% + 2%) * 2")


# ----------------------------------------------------------------------------------------- months of a finished tape
@pytest.mark.shared
def test_derived_months_lose_what_the_tape_says_was_lost(shared: Path) -> None:
    # given all loans of LendingClub 2007-2010 at its origination
    checked = check_tape(read_tape(shared / "data/lendingclub_2007_2010.csv.gz"))
    loans, outcome = age_align(checked, "origination").loans, outcomes(checked)
    assert outcome is not None
    found = derived_months(loans, outcome, first=676)
    # then the months pass the checks of any servicer's tape, all loans end, and the loss is that of the tape
    cents = np.rint(loans.balance * 100).astype(np.int64)
    standing = PoolStanding.at_cutoff(loans.loan_id, cents)
    lost = paid = 0
    for month in found.months:
        standing = performance_checked(month, standing)
        lost += int(month.charge_off.sum() - month.recovery.sum())
        paid += int((month.scheduled_principal + month.prepayment).sum())
    assert standing.balance.sum() == 0
    assert paid + standing.written_off.sum() == cents.sum()
    assert standing.written_off.sum() == np.rint(outcome.charged_off * 100).sum()
    assert lost / cents.sum() == pytest.approx(realised_loss(outcome), rel=1e-12)
    assert found.capped == 0
    assert len(found.months) == found.horizon
    # the first missed payment is in the month of the exit, and charge-off four months later
    late = found.months[0].days_past_due > 0
    at_once = (outcome.exit_kind == DEFAULT) & (outcome.exit_month == 1)
    assert set(found.months[0].loan_id[late]) == set(outcome.loan_id[at_once])
    assert [int(month.charge_off.sum()) > 0 for month in found.months[:5]] == [False, False, False, False, True]
