"""Break-even, first loss, sizing and sensitivity: against one run at a time, and deals whose answer is known."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.deals import template, template_collateral
from pooling.engine.analytics import (
    average_lives,
    break_even,
    class_losses,
    class_yields,
    first_loss,
    principal_window,
    sensitivity_grid,
    size_to_stress,
)
from pooling.engine.analytics.search import first_breaks
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import compile_deal, execute
from tests.engine.analytics_deals import flows_of

TOLERANCE = 1e-4  # of a CDR
HALF_A_CENT = 0.005


def runner(name, key="cdr", **base):
    """Runs a template over a vector of one assumption, the others as in its base case or as given."""
    spec, pool = template(name), template_collateral(name)
    program = compile_deal(spec, pool.balance_cents)
    options = pool.options(spec)

    def run(values):
        flows = PoolFlows.concatenate([pool.flows(spec, **base | {key: float(value)}) for value in values])
        return execute(program, flows, to_call=False, **options)

    return run


def broken_alone(run, k, value):
    """One scenario, one class, by the words of the definition."""
    deal = run([value])
    missed = any(float(short) > HALF_A_CENT for short in deal.interest_shortfall[k, :, 0])
    return missed or float(deal.unpaid_principal[k, 0]) > HALF_A_CENT


@pytest.mark.parametrize("name", ["consumer-sequential", "prime-auto", "sme-deficiency", "two-groups"])
def test_break_even_cdr_equals_a_bisection_one_run_at_a_time(name):
    run = runner(name)

    result: Any = break_even(run, 0.0, 0.6, tolerance=TOLERANCE)

    assert [row.name for row in result.classes] == list(run([0.0]).names)
    for k, row in enumerate(result.classes):
        if row.status != "found":
            assert broken_alone(run, k, 0.0) is (row.status == "at_low")
            assert broken_alone(run, k, 0.6) is (row.status == "at_low")
            continue
        low, high = 0.0, 0.6
        while high - low > TOLERANCE / 4:
            middle = (low + high) / 2
            low, high = (low, middle) if broken_alone(run, k, middle) else (middle, high)
        assert row.survives - TOLERANCE <= low <= high <= row.stress + TOLERANCE
        assert row.stress - row.survives <= TOLERANCE * (1 + 1e-9)
        assert (broken_alone(run, k, row.survives), broken_alone(run, k, row.stress)) == (False, True)
        assert row.monotone


def test_subordinated_classes_break_first_and_first_loss_names_the_lowest():
    result: Any = break_even(runner("consumer-sequential"), 0.0, 0.6, tolerance=TOLERANCE)
    stresses = [row.stress for row in result.classes]
    assert stresses == sorted(stresses, reverse=True)

    loss: Any = first_loss(result.classes)

    assert (loss.classes, loss.stress) == (("C",), result["C"].stress)
    assert loss.survives == result["C"].survives
    base = template_collateral("consumer-sequential").base_case["cdr"]
    assert result["A"].multiple_of(base) == result["A"].stress / base
    with pytest.raises(ValueError, match=r"base: 0.0 has no multiples"):
        result["A"].multiple_of(0.0)
    with pytest.raises(KeyError):
        result["Z"]


def test_break_even_severity_leaves_a_class_beyond_the_bound_unbroken():
    """Up to 90 % severity alone breaks only B of two-groups at its base-case CDR."""
    run = runner("two-groups", "severity")
    assert [broken_alone(run, k, 0.9) for k in range(3)] == [False, False, True]

    result: Any = break_even(run, 0.0, 0.9, tolerance=1e-4)

    assert [row.status for row in result.classes] == ["never", "never", "found"]
    assert (result["A-auto"].stress, result["A-auto"].cause, result["A-auto"].survives) == (None, None, 0.9)
    assert result["A-auto"].multiple_of(0.5) is None
    assert result["B"].cause in ("principal", "both")
    assert result["B"].principal > HALF_A_CENT


def test_interest_that_may_be_late_moves_the_break_even_of_a_deferrable_class_only():
    """sme-deficiency defers interest of B: at its timely break-even the interest is late, but paid in the end."""
    run = runner("sme-deficiency")

    timely: Any = break_even(run, 0.0, 0.6, tolerance=1e-6)
    ultimate: Any = break_even(run, 0.0, 0.6, tolerance=1e-6, deferrable=("B",))

    assert timely["B"].cause == "interest"
    assert ultimate["B"].stress > timely["B"].stress
    deal = run([timely["B"].stress])
    assert deal.interest_shortfall[1, :, 0].max() > HALF_A_CENT > deal.interest_shortfall[1, -1, 0]
    assert ultimate["A"].stress == pytest.approx(timely["A"].stress, abs=2e-6)


def test_a_multiple_of_the_base_case_is_a_stress_like_any_other():
    name = "senior-subordinated"
    base = template_collateral(name).base_case["cdr"]
    run = runner(name)

    direct: Any = break_even(run, 0.0, 0.6, tolerance=1e-7)
    multiple: Any = break_even(lambda times: run(times * base), 0.0, 0.6 / base, tolerance=1e-7 / base)

    for one, other in zip(direct.classes, multiple.classes, strict=True):
        assert other.stress == pytest.approx(one.multiple_of(base), abs=3e-7 / base)


def test_the_whole_grid_is_one_run_and_rounds_are_few():
    calls = []
    run = runner("consumer-sequential")

    def counted(values):
        calls.append(len(values))
        return run(values)

    result: Any = break_even(counted, 0.0, 0.6, tolerance=1e-6, points=33)

    assert (len(calls), sum(calls)) == (result.rounds, len(result.stresses))
    assert result.rounds <= 6  # 0.6 / 32 / 12^5 < 1e-6
    assert max(calls) <= 33


# ---------------------------------------------------------------------------------- responses that are not monotone
def banded(bands):
    """A deal in which class k loses a dollar where the stress lies in its band [low, high)."""

    def run(stress):
        lost = np.array([[float(low <= value < high) for value in stress] for low, high in bands])
        names = tuple(f"K{k}" for k in range(len(bands)))
        paid = 100.0 - lost[:, None, :]
        return flows_of(principal=paid, interest=np.zeros_like(paid), initial=[100.0] * len(bands), names=names)

    return run


def test_a_class_that_recovers_is_reported_with_its_first_crossing():
    """As of prepayments: fast ones hurt, faster ones do not."""
    result: Any = break_even(banded([(0.21, 0.63), (0.0, 0.4), (0.3, 9.0)]), 0.0, 1.0, tolerance=1e-6, points=11)

    first, second, third = result.classes
    assert first.survives < 0.21 <= first.stress < 0.21 + 1e-6
    assert (first.monotone, second.monotone, third.monotone) == (False, False, True)
    assert [change.broken for change in first.changes] == [True, False]
    assert first.changes[1].below < 0.63 <= first.changes[1].above
    assert (second.status, second.stress, second.survives) == ("at_low", 0.0, None)
    assert third.survives < 0.3 <= third.stress
    assert first_loss(result.classes).classes == ("K1",)
    assert first_loss(result.classes).survives is None
    assert first_loss([]).stress is None


@given(
    st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(0.0, 1.5)), min_size=1, max_size=6),
    st.integers(2, 40),
    st.sampled_from([1e-2, 1e-5, 1e-9]),
)
@hypothesis_settings(deadline=None, max_examples=150)
def test_brackets_hold_just_below_and_break_just_above(bands, points, tolerance):
    spans = [(low, low + width) for low, width in bands]

    result: Any = break_even(banded(spans), 0.0, 1.0, tolerance=tolerance, points=points)

    for row, (low, high) in zip(result.classes, spans, strict=True):
        if row.stress is not None:
            assert low <= row.stress < high
        if row.status == "found":
            assert not low <= row.survives < high
            assert 0 < row.stress - row.survives <= tolerance * (1 + 1e-9)
        elif row.status == "at_low":
            assert row.stress == 0.0
        else:
            assert not any(low <= stress < high for stress in result.stresses)
        monotone = high > result.stresses[-1] or row.stress is None
        assert row.monotone == monotone


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
@hypothesis_settings(deadline=None, max_examples=50)
def test_the_order_of_the_rows_changes_no_answer(rows, seed):
    rng = np.random.default_rng(seed)
    thresholds = rng.uniform(0.0, 1.0, rows)
    order = rng.permutation(rows)

    def at(which):
        return lambda values: values[None, :] >= thresholds[which][:, None]

    straight = first_breaks(at(np.arange(rows)), 0.0, 1.0, tolerance=1e-6, points=9)
    turned = first_breaks(at(order), 0.0, 1.0, tolerance=1e-6, points=9)

    assert [straight.rows[i] for i in order] == list(turned.rows)


# ----------------------------------------------------------------------------------------------------------- sizing
STRESS = np.array([[30.0, 25.0, 20.0], [30.0, 30.0, 30.0], [31.0, 20.0, 40.0]])  # cash by date and scenario: 91, 75, 90


def pays(sizes, stress=STRESS):
    """A class of each size over the scenarios of cash, size by size: it is repaid as far as the cash reaches."""
    cash = np.tile(stress, len(sizes))
    owed = np.repeat(sizes, stress.shape[1])
    paid = np.minimum(np.cumsum(cash, axis=0), owed)
    principal = np.diff(paid, axis=0, prepend=0.0)[None]
    flows = flows_of(principal=principal, interest=np.zeros_like(principal), initial=[0.0])
    return dataclasses.replace(flows, unpaid_principal=(owed - paid[-1])[None])


@pytest.mark.parametrize(
    ("weights", "allowed", "answer"),
    [(None, 0.0, 75.0), (None, 1 / 3, 90.0), ([1.0, 0.2, 0.8], 0.1, 90.0), ([1.0, 0.2, 0.8], 0.5, 91.0)],
)
def test_largest_class_is_the_cash_that_the_worst_scenarios_allowed_pay(weights, allowed, answer):
    result: Any = size_to_stress(
        pays, ["A"], 0.0, 200.0, larger="weaker", tolerance=1e-6, weights=weights, allowed_share=allowed
    )
    assert result.status == "found"
    assert answer - 1e-6 <= result.size <= answer + HALF_A_CENT + 1e-6 < result.fails + 1e-6
    assert (result.limiting, result.monotone) == (("A",), True)


def test_a_denomination_is_kept_and_deals_may_come_one_by_one():
    one_by_one: Any = size_to_stress(
        lambda sizes: [pays([size]) for size in sizes],
        ["A"], 5.0, 200.0, larger="weaker", tolerance=1.0, denomination=7.0,
    )  # fmt: skip
    assert (one_by_one.size, one_by_one.fails) == (70.0, 77.0)
    assert (one_by_one.sizes % 7.0 == 0.0).all()


def test_smallest_support_is_found_from_above_and_bounds_are_reported():
    """Support of x beside cash of 91, 75 and 90 for a class of 100: 25 is needed."""

    def with_support(sizes):
        assert (np.diff(sizes) > 0).all()  # as promised
        return [pays([100.0], np.vstack([STRESS, np.full(3, size)])) for size in sizes]

    found: Any = size_to_stress(with_support, ["A"], 0.0, 60.0, larger="stronger", tolerance=1e-6)
    assert found.fails < 25.0 - HALF_A_CENT + 1e-6
    assert found.size == pytest.approx(25.0 - HALF_A_CENT, abs=1e-5)
    assert found.fails < found.size
    high: Any = size_to_stress(with_support, ["A"], 30.0, 60.0, larger="stronger", tolerance=1e-6)
    assert (high.status, high.size, high.fails, high.limiting) == ("all_survive", 30.0, None, ())
    none: Any = size_to_stress(with_support, ["A"], 0.0, 20.0, larger="stronger", tolerance=1e-6)
    assert (none.status, none.size, none.fails, none.limiting) == ("none_survives", None, 20.0, ("A",))


def test_senior_class_of_a_real_deal_is_sized_to_a_break_even_multiple():
    """consumer-sequential: the largest A that survives four times the base-case CDR breaks at just that multiple."""
    name, multiple = "consumer-sequential", 4.0
    spec, pool = template(name), template_collateral(name)
    notes: Any = spec.tranches
    stressed = multiple * pool.base_case["cdr"]
    rest = {note.name: note.balance for note in notes}
    coupons = {note.name: note.coupon for note in notes}

    def deal_of(size, values):
        # What A gains is taken from C, so that the pool and the notes together stay as they are.
        balances = rest | {"A": round(100 * size), "C": rest["C"] + rest["A"] - round(100 * size)}
        program = compile_deal(spec.with_solution(balances, coupons), pool.balance_cents)
        flows = PoolFlows.concatenate([pool.flows(spec, cdr=float(value)) for value in values])
        return execute(program, flows, to_call=False, **pool.options(spec))

    top = (rest["A"] + rest["C"]) / 100
    result: Any = size_to_stress(
        lambda sizes: [deal_of(size, [stressed]) for size in sizes],
        ["A"], 0.5 * top, 0.999 * top, larger="weaker", tolerance=1.0, denomination=20_000.0, points=8,
    )  # fmt: skip

    assert result.status == "found"
    assert result.fails - result.size == pytest.approx(20_000.0)
    check: Any = break_even(lambda cdr: deal_of(result.size, cdr), 0.0, 0.6, tolerance=1e-6)
    beyond: Any = break_even(lambda cdr: deal_of(result.fails, cdr), 0.0, 0.6, tolerance=1e-6)
    assert beyond["A"].stress <= stressed + 1e-6 <= check["A"].stress + 2e-6


# ------------------------------------------------------------------------------------------------------ sensitivity
def test_every_cell_of_the_grid_equals_a_run_of_its_own():
    spec_names = ["consumer-sequential", "senior-subordinated"]
    stresses = {"cpr": [0.05, 0.2], "cdr": [0.01, 0.1, 0.3]}
    prices = {"A": 1.0, "B": 0.97, "C": 0.9}

    def structure(name):
        spec, pool = template(name), template_collateral(name)
        program = compile_deal(spec, pool.balance_cents)

        def run(given):
            points = zip(given["cpr"], given["cdr"], strict=True)
            flows = PoolFlows.concatenate([pool.flows(spec, cpr=float(c), cdr=float(d)) for c, d in points])
            return execute(program, flows, **pool.options(spec))

        return run

    runs = {name: structure(name) for name in spec_names}
    table: Any = sensitivity_grid(runs, stresses, prices=prices, compounding="semiannual")

    rows = {(row["structure"], row["class"], row["cpr"], row["cdr"]): row for row in table.rows()}
    assert table.shape == (2, 3)
    assert len(rows) == (3 + 2) * 6
    for name in spec_names:
        for cpr in stresses["cpr"]:
            for cdr in stresses["cdr"]:
                deal = runs[name]({"cpr": [cpr], "cdr": [cdr]})
                known = {key: price for key, price in prices.items() if key in deal.names}
                lives, window = average_lives(deal), principal_window(deal)
                yields, losses = class_yields(deal, known, compounding="semiannual"), class_losses(deal)
                for k, key in enumerate(deal.names):
                    row = rows[name, key, cpr, cdr]
                    life = row["wal_years"]
                    assert (life is None) == (not lives.repaid[k, 0])
                    assert life is None or life == pytest.approx(float(lives.years[k, 0]), rel=1e-12)
                    assert (window.between(k, 0) or (None, None)) == (row["first_principal"], row["last_principal"])
                    if yields.found[k, 0]:
                        assert row["yield"] == pytest.approx(float(yields.rates[k, 0]), abs=1e-12)
                    else:
                        assert (row["yield"], row["yield_reason"]) == (None, yields.reason(k, 0))
                    assert row["write_down"] == pytest.approx(float(losses.principal[k, 0]), abs=1e-6)
                    assert row["interest_shortfall"] == pytest.approx(float(losses.shortfall[k, 0]), abs=1e-6)
    assert rows["consumer-sequential", "C", 0.05, 0.3]["write_down"] > 0.0
    grid = table.structures[0]
    by_axis = grid.lives.years.reshape(-1, *table.shape)
    assert by_axis[0, 1, 0] == rows["consumer-sequential", "A", 0.2, 0.01]["wal_years"]
    assert by_axis[0, 0, 2] == rows["consumer-sequential", "A", 0.05, 0.3]["wal_years"]
    with pytest.raises(TypeError):
        table.assumptions["cpr"] = np.zeros(6)


def test_wrong_arguments_are_named():
    run = banded([(0.2, 1.0)])

    def sized(**changes):
        given: Any = {"larger": "weaker", "tolerance": 1.0, "classes": ["A"]} | changes
        return lambda: size_to_stress(pays, low=0.0, high=200.0, **given)

    def grid(runs, stresses):
        return lambda: sensitivity_grid(runs, stresses, prices={"K0": 1.0}, compounding="annual")

    cases = {
        "low: 1.0 must be below high, 0.0": lambda: break_even(run, 1.0, 0.0, tolerance=0.1),
        "low: 0.0 must be below high, inf": lambda: break_even(run, 0.0, np.inf, tolerance=0.1),
        "tolerance: 0.0 must be above 0": lambda: break_even(run, 0.0, 1.0, tolerance=0.0),
        "points: 1 are no grid": lambda: break_even(run, 0.0, 1.0, tolerance=0.1, points=1),
        "run: 1 scenarios for 4 stresses": lambda: break_even(lambda x: run(x[:1]), 0.0, 1.0, tolerance=0.1, points=4),
        "low: no multiple of 300.0 lies between 1": lambda: size_to_stress(
            pays, ["A"], 1.0, 200.0, larger="weaker", tolerance=1.0, denomination=300.0
        ),
        "larger: 'better' is unknown": sized(larger="better"),
        "classes: none named": sized(classes=[]),
        "classes: the deal has no class 'B'": sized(classes=["B"]),
        "allowed_share: 1.0 must be from 0": sized(allowed_share=1.0),
        "weights: shape (2,), expected (3,)": sized(weights=[1.0, 1.0]),
        "run_for_balances: 2 deals for 16 sizes": lambda: size_to_stress(
            lambda sizes: [pays([1.0])] * 2, ["A"], 0.0, 1.0, larger="weaker", tolerance=1.0
        ),
        "stresses: a grid needs": grid({}, {"cdr": [0.1]}),
        "stresses: cdr must be a list of finite values": grid({"one": run}, {"cdr": [np.nan]}),
        "runs: one: 1 scenarios for 2 combinations": grid({"one": lambda x: run([0.5])}, {"cdr": [0.1, 0.2]}),
    }
    for sentence, call in cases.items():
        with pytest.raises(ValueError, match=re.escape(sentence)):
            call()
