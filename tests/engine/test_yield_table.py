"""The price/yield table against scalar routes, published figures and what must always hold of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from pooling.deals import TemplateCollateral, template, template_collateral
from pooling.engine.analytics import average_lives, class_losses, principal_window
from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.curves import curve_flows
from pooling.engine.deal.classes import FloatingCoupon
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute
from pricing.engine.yield_flows import AXES, HIGHEST, TOLERANCE, break_table, group_breaks, horizon_of, scenario_flows
from pricing.engine.yield_grid import Curve, Grid, Scenario
from pricing.engine.yield_table import (
    ALL_LOST,
    BELOW_ZERO,
    FINE,
    MANY_ROOTS,
    NO_BALANCE,
    NO_CASH,
    NO_PRICE,
    NO_ROOT,
    NOT_FLOATING,
    REASONS,
    YieldTable,
    grid_table,
    yield_table,
)
from pricing.market import default_snapshot
from rating.engine.breakeven import base_speeds, break_evens
from tests.engine.deal_builders import template_json
from tests.engine.flat_pool import RESIDUAL, deal, interest, principal
from tests.engine.yield_grids import grid

CURVE = default_snapshot().curve
BREAKING = 1e-12  # of the pool: sums of some hundred float64 amounts


@cache
def prime() -> tuple[Program, TemplateCollateral]:
    """Six classes, a trigger, a clean-up call."""
    pool = template_collateral("prime-auto")
    return compile_deal(template("prime-auto"), pool.balance_cents), pool


def table_of(given: Grid, **options: Any) -> YieldTable:
    program, pool = prime()
    return grid_table(program, pool.loans, given.scenarios, given.prices, measure=given.measure, curve=CURVE, **options)


def alone(program: Program, pool: TemplateCollateral, each: Scenario, months: int) -> DealFlows:
    """One scenario by itself, its assumptions written out here."""
    given = Assumptions(
        prepayment=Prepayment(each.prepayment, each.speed.over(months)),
        default=Default("cdr", each.cdr.over(months)),
        severity=each.severity.over(months),
        charge_off_lag=each.charge_off_lag,
        recovery_lag=each.recovery_lag,
        advances="principal_and_interest" if each.advance else "none",
    )
    return execute(program, assumed_flows(pool.loans, given, horizon=months), to_call=each.to_call)


def bond_equivalent(cash: np.ndarray, times: np.ndarray, price: float) -> float:
    """The yield of one stream at one price, by bracketing."""
    return float(brentq(lambda y: cash @ (1.0 + y / 2.0) ** (-2.0 * times) - price, -1.9, 5.0, xtol=1e-14, rtol=1e-14))


# ------------------------------------------------------------------------------------------------- every cell by itself
def test_every_cell_and_every_line_is_that_of_its_scenario_alone() -> None:
    # given scenarios of both ways to end, two lags, a curve, and advances on everything or nothing
    given = grid(call="both", lag="2, 9", advance="0, 100", cdr="0, 2 for 6 4 ramp 12 12", speed="12")
    assert given.columns == 16
    table = table_of(given)
    program, pool = prime()
    months = horizon_of(program, pool.loans, given.scenarios)
    # when each is run by itself, as one path
    for s, each in enumerate(given.scenarios):
        run = alone(program, pool, each, months)
        lives, window, losses = average_lives(run, measure="periods"), principal_window(run), class_losses(run)
        times = np.arange(1, run.months + 1) / 12.0
        # then every figure is the same
        assert table.wal_years[:, s] == pytest.approx(lives.years[:, 0], abs=1e-12)
        assert table.first[:, s].tolist() == window.first[:, 0].tolist()
        assert table.last[:, s].tolist() == window.last[:, 0].tolist()
        assert table.window(0, s) == window.between(0, 0)
        assert table.write_down[:, s] == pytest.approx(losses.principal[:, 0], abs=1e-5)
        assert table.shortfall[:, s] == pytest.approx(losses.shortfall[:, 0], abs=1e-5)
        assert table.write_down_share[:, s] == pytest.approx(losses.principal[:, 0] / run.initial_balance, abs=1e-13)
        sold = np.flatnonzero(run.called[:, 0])
        assert table.called[s] == (sold[0] + 1 if len(sold) else 0)
        for k in range(len(table.names)):
            cash = (run.interest[k, :, 0] + run.principal[k, :, 0]) / run.initial_balance[k]
            for p, price in enumerate(given.prices):
                found = bond_equivalent(cash, times, price)
                assert table.cells[k, s, p] == pytest.approx(found, abs=1e-10), (k, s, p)
            middle = bond_equivalent(cash, times, 1.0)
            up, down = (cash @ (1.0 + (middle + h) / 2.0) ** (-2.0 * times) for h in (1e-5, -1e-5))
            assert table.modified_duration[k, s] == pytest.approx((down - up) / 2e-5, rel=1e-8)


@pytest.mark.parametrize(("name", "months_between"), [("sme-deficiency", 3), ("senior-subordinated", 6)])
def test_deals_that_pay_less_often_than_monthly(name: str, months_between: int) -> None:
    pool, spec = template_collateral(name), template(name)
    program = compile_deal(spec, pool.balance_cents)
    given = grid(cdr="1, 4", speed="10", number="3", call="both")
    options = pool.options(spec)
    # an index that moves by scenario goes with its scenario
    wide = {
        index: np.stack([rate + 0.002 * s for s in range(given.columns)], axis=1)
        for index, rate in options["rates"].items()
    }
    table = grid_table(program, pool.loans, given.scenarios, given.prices, options={"rates": wide})
    months = horizon_of(program, pool.loans, given.scenarios)
    for s, each in enumerate(given.scenarios):
        rates = {index: rate[:, s] for index, rate in wide.items()}
        flows = scenario_flows(pool.loans, [each], months=months)
        run = execute(program, flows, rates=rates, to_call=each.to_call)
        times = months_between * np.arange(1, run.months + 1) / 12.0
        for k in range(len(table.names)):
            cash = (run.interest[k, :, 0] + run.principal[k, :, 0]) / run.initial_balance[k]
            expected = [bond_equivalent(cash, times, price) for price in given.prices]
            assert table.cells[k, s] == pytest.approx(expected, abs=1e-10)
            assert table.wal_years[k, s] == pytest.approx(
                run.principal[k, :, 0] @ times / run.principal[k, :, 0].sum(), abs=1e-12
            )


def test_triggers_are_read_where_they_first_fail() -> None:
    program, pool = prime()
    given = grid(cdr="0, 6, 16, 40, 80")
    table = table_of(given)
    months = horizon_of(program, pool.loans, given.scenarios)
    for s, each in enumerate(given.scenarios):
        breached = alone(program, pool, each, months).breached[0, :, 0]
        assert table.failed[0, s] == (int(np.flatnonzero(breached)[0]) + 1 if breached.any() else 0)
    assert table.triggers == ("event-of-default",)
    assert 0 < (table.failed > 0).sum() < table.failed.size


def test_the_order_of_scenarios_changes_nothing() -> None:
    program, pool = prime()
    given = grid(call="both", lag="2, 9", number="3")
    order = np.random.default_rng(4).permutation(given.columns)
    table = table_of(given)
    shuffled = grid_table(program, pool.loans, [given.scenarios[i] for i in order], given.prices)
    for name in ("wal_years", "first", "last", "write_down", "shortfall", "modified_duration", "failed", "called"):
        assert np.array_equal(getattr(table, name)[..., order], getattr(shuffled, name), equal_nan=True), name
    assert np.array_equal(table.cells[:, order], shuffled.cells)
    assert np.array_equal(table.loss[order], shuffled.loss)


# ---------------------------------------------------------------------------------------------------- published figures
def pass_through() -> tuple[Program, LoanArrays]:
    """The security of Standard Formulas SF-49: 9.5 % mortgages over 360 months, 9 % to the holder, through a deal."""
    pay = [interest("P"), principal("P"), RESIDUAL]
    dates = template_json()["dates"] | {"legal_final": "2056-08-15"}
    rules = template_json()["conventions"] | {"interest_day_count": "30/360", "accrual_dates": "unadjusted"}
    security = {"name": "P", "balance": 1_000_000, "coupon": 0.09, "day_count": "30/360"}
    spec = deal(
        [security], pay, dates=dates, conventions=rules, loss_coverage="principal_collections", call=None,
        overcollateralisation={"target": None},
    )  # fmt: skip
    loan = LoanArrays(
        loan_id=np.array(["1"]), balance=np.array([1e6]), rate=np.array([0.095]), original_term=np.array([360]),
        remaining_term=np.array([360]), age=np.array([0]), grade=np.array([""]), score=np.array([np.nan]),
        group=np.array(["pool"]), sector=np.array([""]),
    )  # fmt: skip
    return compile_deal(spec, 100_000_000), loan


@pytest.mark.shared
def test_published_yield_life_and_duration_of_a_pass_through(shared: Path) -> None:
    """B04, SF-49/50: 150 PSA at par with 14 days of delay, to every printed digit, from the loan to the table."""
    value = json.loads((shared / "oracles/cashflows/B04_bma_yield_average_life.json").read_text())
    expected = value["examples"][0]["expected"]
    program, loan = pass_through()
    scenario = Scenario(
        speed=Curve.flat(1.5), cdr=Curve.flat(0.0), severity=Curve.flat(0.0), recovery_lag=0, charge_off_lag=0,
        prepayment="psa",
    )  # fmt: skip
    table = grid_table(program, loan, [scenario], np.array([1.0]), delay_months=14 / 30)
    assert round(100 * float(table.cells[0, 0, 0]), 5) == expected["bond_equivalent_yield_pct"]
    assert round(float(table.modified_duration[0, 0]), 5) == expected["modified_duration"]
    assert round(float(table.wal_years[0, 0]), 5) == expected["average_life_years"]
    assert (table.first[0, 0], table.last[0, 0], table.write_down[0, 0]) == (1, 360, 0.0)


# ------------------------------------------------------------------------------------------------------- what must hold
def test_yields_fall_in_the_price_and_write_downs_grow_in_the_cdr() -> None:
    given = grid(cdr="0, 5, 10, 15, 20, 30, 40, 60, 90", speed="12")
    table = table_of(given)
    falls = np.diff(table.cells, axis=2)
    assert (falls[np.isfinite(falls)] < 0.0).all()
    assert np.isfinite(falls[:, :4]).all()
    assert set(np.unique(table.flags).tolist()) <= {FINE, BELOW_ZERO, NO_CASH, ALL_LOST}
    assert (np.diff(table.write_down, axis=1) >= -1e-6).all()
    assert (np.diff(table.loss) > 0.0).all()
    # the junior class is hurt first, and in the end the others too
    assert table.write_down[-1, 2] > 0.0 == table.write_down[0, 2]
    assert (table.write_down[:, -1] > 0.0).sum() >= 4


def test_the_call_shortens_the_life_of_the_last_class_only_there() -> None:
    table = table_of(grid(call="both", cdr="2", speed="6, 12, 18"))
    called, held = table.called[:3], table.called[3:]
    assert (called > 0).all()
    assert not held.any()
    assert (table.wal_years[-1, :3] < table.wal_years[-1, 3:]).all()
    assert table.wal_years[0, :3].tolist() == table.wal_years[0, 3:].tolist()
    assert (table.last[-1, :3] == called).all()
    assert (table.last[-1, 3:] > called).all()


def test_spreads_are_yields_less_the_curve_at_the_life() -> None:
    yields, spreads = table_of(grid()), table_of(grid(measure="spread"))
    for k in range(6):
        for s in range(yields.cells.shape[1]):
            benchmark = float(CURVE.par(yields.wal_years[k, s]))
            assert spreads.cells[k, s] == pytest.approx(yields.cells[k, s] - benchmark, abs=1e-15, nan_ok=True)


def floating() -> tuple[Program, TemplateCollateral, dict[str, Any]]:
    pool = template_collateral("floating-swap")
    spec = template("floating-swap")
    return compile_deal(spec, pool.balance_cents), pool, pool.options(spec)


def test_a_floater_at_par_earns_its_margin_and_others_their_own() -> None:
    program, pool, options = floating()
    given = grid(cdr="0, 3", speed="10", measure="discount_margin")
    table = grid_table(program, pool.loans, given.scenarios, given.prices, measure="discount_margin", options=options)
    months = horizon_of(program, pool.loans, given.scenarios)
    assert not (table.flags == NOT_FLOATING).any()
    for k, tranche in enumerate(program.spec.tranches):
        coupon = tranche.coupon
        assert isinstance(coupon, FloatingCoupon)
        assert table.shortfall[k].tolist() == pytest.approx([0.0, 0.0], abs=1e-6)
        assert table.cells[k, :, table.middle] == pytest.approx(coupon.margin, abs=1e-11)
        rules = program.spec.conventions
        fractions = program.calendar.fractions[
            tranche.day_count or rules.interest_day_count, tranche.accrual_dates or rules.accrual_dates
        ][:months]
        index = options["rates"][coupon.index][:months]
        flows = scenario_flows(pool.loans, given.scenarios, months=months)
        run = execute(program, flows, to_call=True, **options)
        for s in range(2):
            cash = (run.interest[k, :, s] + run.principal[k, :, s]) / run.initial_balance[k]
            for p, price in enumerate(given.prices):

                def gap(m: float, cash: Any = cash, price: float = price, r: Any = index, f: Any = fractions) -> float:
                    return float(cash @ (1.0 / np.cumprod(1.0 + (r + m) * f))) - price

                assert table.cells[k, s, p] == pytest.approx(brentq(gap, -0.5, 1.0, xtol=1e-15), abs=1e-10)


def test_a_fixed_class_has_no_discount_margin_and_says_so() -> None:
    table = table_of(grid(measure="discount_margin"))
    assert np.isnan(table.cells).all()
    assert (table.flags == NOT_FLOATING).all()
    assert table.reason(0, 0, 0) == REASONS[NOT_FLOATING]


# -------------------------------------------------------------------------------------------------------- odd and empty
def test_what_has_no_figure_says_why() -> None:
    program, pool = prime()
    ruined = replace(grid().scenarios[0], cdr=Curve.flat(1.0), severity=Curve.flat(1.0))
    prices = np.array([0.0, 0.9, 2.5])
    table = grid_table(program, pool.loans, [grid().scenarios[0], ruined], prices)
    assert table.flags[:, 0, 0].tolist() == [NO_PRICE] * 6
    assert table.flags[:, 0, 1].tolist() == [FINE] * 6
    # a price above all that is paid has a yield, below zero, and it is the right one
    assert table.flags[:, 0, 2].tolist() == [BELOW_ZERO] * 6
    months = horizon_of(program, pool.loans, [ruined])
    run = alone(program, pool, grid().scenarios[0], months)
    cash = (run.interest[5, :, 0] + run.principal[5, :, 0]) / run.initial_balance[5]
    worth = cash @ (1.0 + table.cells[5, 0, 2] / 2.0) ** (-2.0 * np.arange(1, run.months + 1) / 12.0)
    assert worth == pytest.approx(2.5, abs=1e-12)
    # a class that is never paid has nothing, and is written down whole
    assert table.flags[5, 1].tolist() == [NO_CASH] * 3
    assert math.isnan(table.wal_years[5, 1])
    assert table.window(5, 1) is None
    assert table.write_down_share[5, 1] == 1.0
    assert math.isnan(table.modified_duration[5, 1])
    # a figure is missing exactly where a reason stands
    missing = np.isin(table.flags, (NO_BALANCE, NO_CASH, NO_PRICE, NO_ROOT, NOT_FLOATING, ALL_LOST))
    assert np.array_equal(np.isnan(table.cells), missing)


def test_a_strip_has_no_price_per_100() -> None:
    pool = template_collateral("planned-accrual-strip")
    spec = template("planned-accrual-strip")
    program = compile_deal(spec, pool.balance_cents)
    table = grid_table(program, pool.loans, grid(number="3").scenarios, np.array([0.9, 1.0, 1.1]))
    assert table.names[3] == "X"
    assert (table.flags[3] == NO_BALANCE).all()
    assert np.isnan(table.cells[3]).all()
    assert np.isnan(table.write_down_share[3]).all()
    assert np.array_equal(np.isfinite(table.cells), np.isin(table.flags, (FINE, BELOW_ZERO)))
    assert np.isfinite(table.cells[:2]).all()


def test_flows_that_change_sign_are_counted_or_refused() -> None:
    program, pool = prime()
    given = grid().scenarios[:2]
    months = horizon_of(program, pool.loans, given)
    run = execute(program, scenario_flows(pool.loans, given, months=months), to_call=True)
    paid = np.array(run.interest)
    # class A-1 pays back more than it got; the second scenario of A-2 takes all at once and pays it back later
    paid[0, :, :] = 0.0
    paid[0, 0, :], paid[0, 1, :] = 2.3 * run.initial_balance[0], -1.32 * run.initial_balance[0]
    bent = replace(run, interest=paid, principal=np.where(np.arange(6)[:, None, None] == 0, 0.0, run.principal))
    table = yield_table([(bent, [0, 1])], given, np.array([1.0, 1.02]), measure="yield", loss=np.zeros(2))
    # x + 1.32 x^2 of 2.3 x at x = 1 / (1 + monthly rate): at 1.0 both 1 / 1.1 and 1 / 1.2 solve
    assert (table.flags[0, :, 0] == MANY_ROOTS).all()
    assert table.cells[0, :, 0] == pytest.approx(2.0 * (1.1**6 - 1.0), rel=1e-9)
    assert (table.flags[0, :, 1] == NO_ROOT).all()
    assert np.isnan(table.cells[0, :, 1]).all()


def test_bad_arguments_are_named() -> None:
    program, pool = prime()
    given = grid().scenarios
    with pytest.raises(ValueError, match=r"^prices: give a list"):
        grid_table(program, pool.loans, given, np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match=r"^curve: a spread needs"):
        grid_table(program, pool.loans, given, np.array([1.0]), measure="spread")
    with pytest.raises(ValueError, match=r"^scenarios: none are given"):
        scenario_flows(pool.loans, [], months=60)
    with pytest.raises(ValueError, match=r"^advance: "):
        replace(given[0], advance=1.5)


# ----------------------------------------------------------------------------------------------------------- collateral
def test_advances_on_some_loans_lie_between_none_and_all() -> None:
    _, pool = prime()
    base = grid(cdr="6", speed="12").scenarios[0]
    shares = (0.0, 0.35, 1.0)
    flows = scenario_flows(pool.loans, [replace(base, advance=share) for share in shares], months=82)
    assert flows.check() < BREAKING
    for name, column in flows.columns.items():
        mixed = 0.65 * column[..., 0] + 0.35 * column[..., 2]
        assert column[..., 1] == pytest.approx(mixed, abs=1e-6), name
    assert flows.advanced_interest is not None
    advanced = flows.advanced_interest.sum(axis=(0, 1))
    assert advanced[0] == 0.0 < advanced[1] < advanced[2]


@pytest.mark.parametrize(("kind", "speed"), [("psa", 1.5), ("abs", 0.013), ("cpr", 0.2)])
def test_speeds_of_every_kind_are_the_pools_own(kind: Any, speed: float) -> None:
    _, pool = prime()
    base = replace(grid().scenarios[1], prepayment=kind, speed=Curve.flat(speed))
    flows = scenario_flows(pool.loans, [base], months=82)
    given = Assumptions(
        prepayment=Prepayment(kind, speed), default=Default("cdr", 0.06), severity=0.6, charge_off_lag=4, recovery_lag=6
    )
    expected = assumed_flows(pool.loans, given, horizon=82)
    for name, column in flows.columns.items():
        assert column == pytest.approx(getattr(expected, name), abs=1e-5), name


# ----------------------------------------------------------------------------------------------------------- break-even
def test_at_the_break_even_there_is_a_loss_and_a_step_below_there_is_none() -> None:
    program, pool = prime()
    at = grid(cdr="7", speed="12", severity="80").scenarios[0]
    months = horizon_of(program, pool.loans, [at])
    breaks = break_table(program, pool.loans, at, months=months)
    assert list(breaks.rows) == ["cdr", "cpr", "severity"]
    found = 0
    for axis, rows in breaks.rows.items():
        for k, row in enumerate(rows):
            if row.found.stress is None:
                assert row.loss is None
                pairs = [(HIGHEST, False)]
            elif row.found.status == "at_low":
                # a slow pool is what hurts: the class is unhurt from some speed on
                assert (axis, row.found.stress) == ("cpr", 0.0)
                assert row.holds_again is not None
                pairs = [(0.0, True), (row.holds_again, False)]
            else:
                assert row.found.survives is not None
                assert 0.0 < row.found.stress - row.found.survives <= TOLERANCE
                pairs = [(row.found.stress, True), (row.found.survives, False)]
                found += 1
            for stress, hurt in pairs:
                change: dict[str, Any] = {"speed" if axis == "cpr" else axis: Curve.flat(stress)}
                run = alone(program, pool, replace(at, **change), months)
                lost = class_losses(run)
                assert bool(lost.broken()[k, 0]) is hurt, (axis, row.found.name, stress)
                if hurt:
                    flows = scenario_flows(pool.loans, [replace(at, **change)], months=months)
                    loss = float((flows.charge_off - flows.recovery).sum() / flows.opening_balance.sum())
                    assert row.loss == pytest.approx(loss, abs=1e-12)
    assert found >= 7
    # a class stands no less than the one below it
    cdrs = [row.found.stress or HIGHEST for row in breaks.rows["cdr"]]
    assert cdrs == sorted(cdrs, reverse=True)


# Late recoveries make interest late that may be: B and C of the second deal are asked for it at the end only.
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("prime-auto", {"severity": "1, 95", "call": "both", "lag": "3, 9", "charge_off_lag": "1"}),
        ("consumer-sequential", {"severity": "1, 20", "call": "no", "lag": "0, 24", "charge_off_lag": "12"}),
    ],
)
def test_break_evens_of_groups_are_those_of_each_scenario_alone(name: str, words: dict[str, str]) -> None:
    pool = template_collateral(name)
    program = compile_deal(template(name), pool.balance_cents)
    at = grid(cdr="3", speed="0, 18", **words).scenarios
    months = horizon_of(program, pool.loans, at)
    found = group_breaks(program, pool.loans, at, months=months)
    assert found.cdr.shape == (len(program.names), len(at))
    assert 0 < found.never.sum() < found.never.size
    for c, each in enumerate(at):
        alone_there = break_table(program, pool.loans, each, months=months, axes=AXES[:1]).rows["cdr"]
        for k, row in enumerate(alone_there):
            if row.found.stress is None:
                assert found.never[k, c]
                assert np.isnan([found.cdr[k, c], found.loss[k, c]]).all()
                continue
            assert row.loss is not None
            # both lie above the same crossing, by no more than their tolerances
            assert -TOLERANCE <= found.cdr[k, c] - row.found.stress <= found.tolerance
            assert found.loss[k, c] == pytest.approx(row.loss, abs=2 * found.tolerance)


def test_the_break_even_cdr_is_the_one_of_a_rating_whose_base_case_stands_still() -> None:
    """The rating scales its base case's own path; at flat speeds both are the same pool."""
    program, pool = prime()
    at = grid(cdr="6", speed="12", severity="60").scenarios[0]
    months = horizon_of(program, pool.loans, [at])
    lags: dict[str, Any] = {"charge_off_lag": at.charge_off_lag, "recovery_lag": at.recovery_lag}
    base = curve_flows(pool.loans, cpr=0.12, cdr=0.06, severity=0.6, horizon=months, **lags)
    rated = break_evens(lambda flows: execute(program, flows, to_call=True), base, base_speeds(base, **lags))
    found = break_table(program, pool.loans, at, months=months, axes=AXES[:1]).rows["cdr"]
    assert [row.found.name for row in found] == [row.name for row in rated]
    for ours, theirs in zip(found, rated, strict=True):
        assert theirs.cdr is not None
        assert ours.found.stress == pytest.approx(theirs.cdr, abs=2 * TOLERANCE)
        assert ours.found.cause == theirs.cause
