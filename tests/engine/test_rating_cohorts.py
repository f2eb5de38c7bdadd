"""Static pools against sums by hand and the published shares of a real tape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pooling.tapes import check_tape, outcomes, read_tape
from rating.engine.cohorts import Outcomes, quarters, transition_matrix, vintage_triangle, years
from rating.engine.hazards import DEFAULTED, MATURED, PREPAID

# Two vintages of 12-month loans issued in months 0 and 6; the data end in month 10.
SMALL = Outcomes(
    issue_month=np.array([0, 0, 0, 6, 6]),
    term=np.full(5, 12),
    balance=np.array([100.0, 100.0, 200.0, 100.0, 300.0]),
    exit_month=np.array([3, 5, 10, 2, 4]),
    exit_kind=np.array([DEFAULTED, PREPAID, 0, DEFAULTED, 0]),
    charged_off=np.array([80.0, 0.0, 0.0, 90.0, 0.0]),
    net_recovery=np.array([10.0, 0.0, 0.0, 0.0, 0.0]),
    data_end=10,
)
OLD_NEW = ["old", "old", "old", "new", "new"]


def test_losses_are_dated_at_charge_off_and_unknown_cells_are_not_zero() -> None:
    found = vintage_triangle(SMALL, OLD_NEW, "net_loss")
    assert found.vintages == ("new", "old")
    assert found.seen.tolist() == [4, 10]
    old, new = found.share[1], found.share[0]
    # 70 of 400, missed in month 3, charged off four months later.
    assert np.allclose(old[:11], [0] * 7 + [0.175] * 4)
    assert np.isnan(old[11:]).all()
    assert np.allclose(new[:5], 0)  # its default of month 2 is charged off in month 6, which nobody has seen
    assert np.isnan(new[5:]).all()


def test_defaults_are_known_four_months_late_and_prepayments_at_once() -> None:
    default = vintage_triangle(SMALL, OLD_NEW, "default")
    assert default.seen.tolist() == [0, 6]
    assert np.allclose(default.share[1][:7], [0, 0, 0, 0.25, 0.25, 0.25, 0.25])
    prepaid = vintage_triangle(SMALL, OLD_NEW, "prepayment")
    assert prepaid.seen.tolist() == [4, 10]
    assert prepaid.share[1][10] == 0.25
    # The new vintage's peers at month 4 are the old one's 0; the old one has none at month 10.
    assert prepaid.peers[0][4] == 0.0
    assert np.isnan(prepaid.peers[1][10])


def test_the_chain_ladder_carries_a_young_vintage_to_the_end() -> None:
    # Old: 10, 20, 30 lost by month; new: 6 by month 1. Factors 2 and 1.5: 6 becomes 18.
    old = [(1, 10.0), (2, 10.0), (3, 10.0)]
    history = Outcomes(
        issue_month=np.array([0, 0, 0, 0, 6]),
        term=np.full(5, 3),
        balance=np.array([25.0, 25.0, 25.0, 25.0, 100.0]),
        exit_month=np.array([*(month for month, _ in old), 3, 1]),
        exit_kind=np.array([DEFAULTED] * 3 + [MATURED, DEFAULTED]),
        charged_off=np.array([*(loss for _, loss in old), 0.0, 6.0]),
        net_recovery=np.zeros(5),
        data_end=7,
    )
    found = vintage_triangle(history, ["a"] * 4 + ["b"], "net_loss", charge_off_lag=0)
    assert found.factors.tolist() == [1.0, 2.0, 1.5]
    assert found.seen.tolist() == [3, 1]
    assert found.projected.tolist() == pytest.approx([0.30, 0.18])


def test_a_complete_vintage_is_shown_to_the_end() -> None:
    done = vintage_triangle(replace(SMALL, data_end=100), OLD_NEW, "net_loss")
    assert done.seen.tolist() == [16, 16]
    assert done.share[:, -1].tolist() == pytest.approx([90 / 400, 70 / 400])
    assert np.array_equal(done.projected, done.share[:, -1])


def test_names_of_vintages() -> None:
    assert quarters(np.array([479, 480])) == ["2009Q4", "2010Q1"]
    assert years(np.array([479, 480])) == ["2009", "2010"]


@pytest.mark.parametrize(
    ("measure", "names", "sentence"),
    [
        ("losses", OLD_NEW, "measure: 'losses' is none of net_loss, default, prepayment"),
        ("default", ["a"], "vintage: 1 names for 5 loans"),
    ],
)
def test_what_cannot_be_shown_is_refused(measure: str, names: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        vintage_triangle(SMALL, names, measure)


def test_roll_rates_by_hand() -> None:
    states = ("current", "late", "default")
    before, after = ["current", "current", "late", "late"], ["current", "late", "default", "current"]
    found = transition_matrix(before, after, np.array([10.0, 30.0, 5.0, 15.0]), states)
    assert found["count"][:2].tolist() == [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]
    assert found["balance"][:2].tolist() == [[0.25, 0.75, 0.0], [0.75, 0.0, 0.25]]
    assert np.isnan(found["count"][2]).all()
    with pytest.raises(ValueError, match="state: 'gone' is none of current, late, default"):
        transition_matrix(["gone"], ["late"], np.ones(1), states)


@pytest.mark.shared
def test_the_vintages_of_a_real_tape(shared: Path) -> None:
    """notes/model.md: of 36-month loans issued in 2007, 2008, 2009, 2010 some 26, 21, 14 and 11 % defaulted."""
    frame = outcomes(check_tape(read_tape(shared / "data/lendingclub_2007_2010.csv.gz")))
    assert frame is not None
    short = frame.term == 36
    columns = {name: getattr(frame, name)[short] for name in Outcomes.__dataclass_fields__ if name != "data_end"}
    history = Outcomes(**columns, data_end=frame.data_end)
    by_number = replace(history, balance=np.ones(len(history)))
    found = vintage_triangle(by_number, years(history.issue_month), "default")
    assert found.vintages == ("2007", "2008", "2009", "2010")
    assert [round(share, 2) for share in found.share[:, -1].tolist()] == [0.26, 0.21, 0.14, 0.11]
    losses = vintage_triangle(history, years(history.issue_month), "net_loss")
    total = float((losses.share[:, -1] * losses.balance).sum())
    assert total == pytest.approx(float((history.charged_off - history.net_recovery).sum()), rel=1e-12)
