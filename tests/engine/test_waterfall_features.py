"""Every feature of the deal language on a deal small enough to be worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import (
    ServicerDefault,
    StructuralStress,
    compile_deal,
    execute,
    execute_in_slices,
    fair_value_share,
    retained_position,
)
from tests.engine.deal_builders import CUTOFF_CENTS, random_flows, solved
from tests.engine.flat_pool import COLLECTION, RESIDUAL, STEPS, A, B, deal, interest, path, pool, principal, run


# ------------------------------------------------------------------------------------------------- dates and coupons
def test_quarterly_payments_take_three_months_of_cash_and_accrue_a_quarter() -> None:
    spec = deal(
        [A | {"balance": 900}],
        [interest("A"), principal("A"), RESIDUAL],
        payment_frequency="quarterly",
        dates=dict(cut_off="2026-06-30", closing="2026-07-15", first_payment="2026-10-15", legal_final="2028-10-15"),
    )
    result = run(spec, pool([100.0] * 9, [10.0] * 9))

    assert [str(day) for day in result.dates] == ["2026-10-15", "2027-01-15", "2027-04-15"]
    assert path(result.collections) == [330.0, 330.0, 330.0]
    assert path(result.interest[0]) == [13.5, 9.0, 4.5]  # 6 % x 1/4 of 900, 600, 300
    assert path(result.principal[0]) == [300.0, 300.0, 300.0]


def test_actual_360_counts_days_and_a_holiday_moves_the_payment_not_the_accrual() -> None:
    """15 August 2026 is a Saturday; 15 July to 15 August has 31 days, 15 August to 15 September 31."""
    conventions = deal([A, B], STEPS).to_json()["conventions"]
    changed = conventions | {"interest_day_count": "ACT/360", "business_day_rule": "following", "calendar": "US"}
    flows = pool([450.0, 450.0], [50.0, 50.0])
    still = run(deal([A, B], STEPS, conventions=changed), flows)
    moved = run(deal([A, B], STEPS, conventions=changed | {"accrual_dates": "adjusted"}), flows)

    assert [str(day) for day in still.dates] == ["2026-08-17", "2026-09-15"]
    assert path(still.interest[0])[0] == round(600 * 0.06 * 31 / 360, 4)
    assert path(moved.interest[0])[0] == round(600 * 0.06 * 33 / 360, 4)
    assert path(moved.interest[0])[1] == round(150 * 0.06 * 29 / 360, 4)


def test_floating_coupon_has_margin_floor_and_cap() -> None:
    coupon = {"kind": "floating", "index": "SOFR-1M", "margin": 0.01, "floor": 0.02, "cap": 0.08}
    spec = deal([A | {"coupon": coupon}], [interest("A"), principal("A", amount="0"), RESIDUAL])
    result = run(spec, pool([200.0] * 3, [10.0] * 3), rates={"SOFR-1M": np.array([0.05, -0.03, 0.30] + [0.0] * 70)})

    assert path(result.interest[0]) == [3.0, 1.0, 4.0]  # 600 x (6 %, 2 %, 8 %) / 12
    assert result.period_rate[0, :, 0] == pytest.approx([0.06 / 12, 0.02 / 12, 0.08 / 12])
    with pytest.raises(ValueError, match="rates: the index 'SOFR-1M' is missing"):
        run(spec, pool([200.0] * 3))
    with pytest.raises(ValueError, match="rates: 'SOFR' is no index of the deal; did you mean 'SOFR-1M'"):
        run(spec, pool([200.0] * 3), rates={"SOFR": 0.01})


def test_an_index_may_differ_by_scenario() -> None:
    coupon = {"kind": "floating", "index": "X", "margin": 0.0}
    spec = deal([A | {"coupon": coupon}], [interest("A"), principal("A"), RESIDUAL])
    flows = pool([300.0, 300.0], [10.0, 10.0])
    doubled: dict[str, Any] = {n: np.repeat(getattr(flows, n), 2, axis=-1) for n in _columns(flows)}
    both = replace(flows, **doubled)
    result = run(spec, both, rates={"X": np.array([[0.06, 0.12]] * 80)})

    assert result.interest[0, 0] == pytest.approx([3.0, 6.0])
    assert result.period_rate.shape == (1, 2, 2)


def _columns(flows: PoolFlows) -> list[str]:
    return [name for name, value in vars(flows).items() if isinstance(value, np.ndarray) and value.ndim >= 3]


def test_step_coupon_rises_with_the_period_that_begins_on_its_date() -> None:
    coupon = {"kind": "step", "rate": 0.06, "steps": [{"first_accrual": "2026-08-15", "rate": 0.12}]}
    result = run(
        deal([A | {"coupon": coupon}], [interest("A"), principal("A", amount="0"), RESIDUAL]),
        pool([300.0] * 2, [9.0] * 2),
    )

    assert path(result.interest[0]) == [3.0, 6.0]


def test_a_breached_trigger_changes_the_coupon_of_the_next_period() -> None:
    coupon = {"kind": "triggered", "before": 0.06, "when": "trigger[late]", "after": 0.12}
    trigger = {"name": "late", "condition": "period.number >= 2", "tested": "opening"}
    spec = deal([A | {"coupon": coupon}], [interest("A"), principal("A", amount="0"), RESIDUAL], triggers=[trigger])

    assert path(run(spec, pool([200.0] * 3, [9.0] * 3)).interest[0]) == [3.0, 3.0, 6.0]
    assert path(run(spec, pool([200.0] * 3, [9.0] * 3), forced={"late": False}).interest[0]) == [3.0, 3.0, 3.0]


# -------------------------------------------------------------------------------------------------------- kinds of
# class
def test_accrual_class_grows_while_the_senior_is_out_and_pays_after() -> None:
    z = {"name": "Z", "kind": "accrual", "balance": 300, "coupon": 0.12, "accretes_while": "class[A].balance > 0"}
    spec = deal([A, z], [interest("A"), interest("Z"), principal("A", "Z"), RESIDUAL])
    result = run(spec, pool([300.0, 300.0, 300.0], [9.0, 9.0, 9.0]))

    # Notes 900 = pool: principal due = fall of the pool + interest accreted, so that accretion repays A faster.
    assert result.capitalised is not None
    assert path(result.capitalised[1]) == [3.0, 3.03, 0.0]
    assert path(result.principal[0]) == [303.0, 297.0, 0.0]
    assert path(result.balance[1]) == [303.0, 300.0, 0.0]
    assert path(result.interest[1]) == [0.0, 0.0, 3.0]


def test_unpaid_interest_in_kind_joins_the_balance() -> None:
    b = B | {"interest_deferrable": True, "deferral": "capitalised"}
    spec = deal([A, b], [interest("A"), principal("A"), interest("B"), principal("B"), RESIDUAL])
    result = run(spec, pool([400.0, 500.0]))

    assert path(result.balance[1])[0] == 303.0  # nothing is left for B's 3.00
    assert path(result.interest_shortfall[1])[0] == 0.0


def test_strip_earns_on_its_notional_and_owns_no_principal() -> None:
    strip = {"name": "X", "kind": "interest_only", "notional": "class[A].balance", "coupon": 0.02}
    spec = deal([A, strip], [interest("A", "X"), principal("A"), RESIDUAL])
    result = run(spec, pool([300.0, 300.0], [10.0, 10.0]))

    assert path(result.interest[1]) == [1.0, 0.5]
    assert not result.principal[1].any()
    assert not result.balance[1].any()


def test_planned_class_is_paid_to_its_schedule_and_its_companion_takes_the_rest() -> None:
    planned = {"name": "P", "kind": "planned", "balance": 300, "coupon": 0.0, "planned_balances": [20_000, 10_000, 0]}
    steps = [interest("P", "A"), principal("P", amount="min(class[P].planned_due, deal.principal_due)"),
             principal("A"), principal("P"), RESIDUAL]  # fmt: skip
    result = run(deal([planned, A | {"coupon": 0.0}], steps), pool([150.0, 50.0, 700.0]))

    assert path(result.balance[0]) == [200.0, 150.0, 0.0]
    assert path(result.principal[1]) == [50.0, 0.0, 550.0]


# ----------------------------------------------------------------------------- triggers, alternatives, limits, groups
def test_principal_switches_from_pro_rata_to_sequential_and_back_when_cured() -> None:
    trigger = {"name": "losses", "condition": "pool.loss > USD 5", "tested": "opening", "cure_after": 2}
    steps = [interest("A", "B"), principal("A", "B", rule="pro_rata", when="not trigger[losses]"),
             principal("A", "B", when="trigger[losses]"), RESIDUAL]  # fmt: skip
    flows = pool([90.0] * 6, [30.0] * 6, losses=[0.0, 10.0, 0.0, 0.0, 0.0, 0.0])
    result = run(deal([A | {"balance": 300}, B | {"balance": 150}], steps, triggers=[trigger]), flows)

    assert result.breached[0, :, 0].tolist() == [False, True, True, False, False, False]
    # 270 A and 135 B after the first month. Breached for two: all to A. Then pro rata again, on what is left.
    assert path(result.principal[0])[:3] == [60.0, 100.0, 90.0]
    assert path(result.principal[1])[:3] == [30.0, 0.0, 0.0]
    assert path(result.principal[1])[3] == pytest.approx(90.0 * 120 / 170, abs=1e-3)


def test_a_trigger_may_need_several_dates_in_a_row() -> None:
    trigger = {"name": "losses", "condition": "pool.loss > 0", "tested": "opening", "breach_after": 2}
    flows = pool([100.0] * 6, losses=[5.0, 0.0, 5.0, 5.0, 0.0, 0.0])
    result = run(deal([A], [interest("A"), principal("A"), RESIDUAL], triggers=[trigger]), flows)

    assert result.breached[0, :, 0].tolist() == [False, False, False, True, True, True]


def test_an_event_of_default_replaces_the_order_of_payments() -> None:
    default = {"name": "default", "condition": "period.number >= 2", "tested": "opening"}
    other = {
        "name": "enforcement",
        "when": "trigger[default]",
        "waterfall": [interest("A"), principal("A", amount="notes.balance"), interest("B"), principal("B"), RESIDUAL],
    }
    result = run(
        deal([A, B], STEPS, triggers=[default], alternatives=[other]), pool([200.0, 200.0, 500.0], [30.0, 30.0, 30.0])
    )

    assert path(result.interest[1]) == [3.0, 0.0, pytest.approx(3.0 + 3.0 * 1.01, abs=1e-3)]
    assert path(result.principal[0])[1] == pytest.approx(230 - 2.0)


def test_groups_pay_their_own_notes_and_help_each_other_out() -> None:
    groups = [{"name": "cars"}, {"name": "cards"}]
    accounts = [{"name": "one", "kind": "collection"}, {"name": "two", "kind": "collection"}]
    rules = [{"source": "all", "into": "one", "group": "cars"}, {"source": "all", "into": "two", "group": "cards"}]
    steps = [
        principal("A", source=["one"], amount="class[A].balance - pool[cars].balance"),
        principal("B", source=["two"], amount="class[B].balance - pool[cards].balance"),
        principal("B", source=["one"], amount="class[B].balance - pool[cards].balance"),
        RESIDUAL | {"source": ["one", "two"]},
    ]
    one, two = pool([300.0, 300.0], [40.0, 40.0], group="cars"), pool([100.0, 150.0], losses=[50.0, 0.0], group="cards")
    joined: dict[str, Any] = {name: np.concatenate([getattr(one, name), getattr(two, name)]) for name in _columns(one)}
    both = PoolFlows(groups=("cars", "cards"), opening_balance=np.array([600.0, 300.0]), **joined)
    spec = deal(
        [A | {"coupon": 0.0}, B | {"coupon": 0.0}],
        [interest("A", "B", source=["one"]), *steps],
        collateral=groups,
        accounts=accounts,
        collections=rules,
    )
    result = run(spec, both)

    assert path(result.principal[0]) == [300.0, 300.0]
    assert path(result.principal[1]) == [140.0, 160.0]  # 100 of its own and 40 of excess from the other group
    with pytest.raises(ValueError, match="flows: no group 'cards'; the pool has cars"):
        run(spec, one)


# ---------------------------------------------------------------------------------------- revolving, call, retention
def test_revolving_pool_keeps_its_balance_and_then_amortises() -> None:
    revolving = {"until": "2026-09-15", "ends_when": "pool.loss > USD 100", "criteria": "pool.balance > 0"}
    steps = [interest("A"), {"pay": "purchase", "limit": "pool.principal + pool.recovery"}, principal("A"), RESIDUAL]
    spec = deal([A], steps, revolving=revolving)
    unit = pool([50.0, 50.0], [2.0, 1.0])  # half of what is bought returns after a month, the rest after two
    flows = pool([300.0, 300.0, 0.0, 0.0], [12.0, 6.0, 0.0, 0.0])
    result = run(spec, flows, replacement=unit)

    assert path(result.pool_balance) == [600.0, 600.0, 225.0, 0.0]
    assert path(result.principal[0]) == [0.0, 0.0, 375.0, 225.0]
    # 300 bought on the first date, 300 + 150 on the second: interest 2 % of what is bought, 1 % in the second month.
    assert path(result.collections)[1:] == [300 + 6 + 150 + 6.0, 150 + 3 + 225 + 9.0, 225 + 4.5]
    assert result.conservation_error < 1e-9
    with pytest.raises(ValueError, match="replacement: the deal revolves"):
        run(spec, flows)
    stopped = run(deal([A], steps, revolving=revolving | {"ends_when": "true"}), flows, replacement=unit)
    assert path(stopped.principal[0])[:2] == [300.0, 300.0]


def test_clean_up_call_repays_the_notes_on_the_first_date_it_can() -> None:
    spec = deal([A | {"balance": 500}], [interest("A"), principal("A"), RESIDUAL], call={"factor": 0.4})
    flows = pool([150.0, 150.0, 150.0, 150.0], [10.0] * 4)
    called = run(spec, flows)
    held = run(spec, flows, to_call=False)

    assert called.called[:, 0].tolist() == [False, False, False, True] or called.called[:, 0].tolist() == [
        False,
        False,
        True,
        True,
    ]
    first = int(np.argmax(called.called[:, 0]))
    assert called.pool_balance[first:].max() == 0.0
    assert called.balance[0, first:].max() == 0.0
    assert path(held.principal[0]) == [150.0, 150.0, 150.0, 50.0]
    assert called.collections.sum() == pytest.approx(held.collections.sum() - 10.0 * (3 - first))


def test_a_call_that_does_not_repay_the_notes_is_not_exercised() -> None:
    spec = deal(
        [A | {"balance": 590}],
        [interest("A"), principal("A"), RESIDUAL],
        call={"factor": 1.0, "price": "50% * pool.balance"},
    )
    assert not run(spec, pool([150.0] * 4)).called[:-1].any()


def test_a_reserve_that_no_principal_may_use_does_not_count_for_a_call() -> None:
    """It would only be released after the notes are paid: they would stay unpaid beside a residual with cash."""
    reserve = {"name": "reserve", "kind": "reserve", "initial": "USD 20", "target": "USD 20", "excess": "held",
               "release": "final"}  # fmt: skip
    price = {"factor": 1.0, "price": "pool.balance - USD 15"}
    for support, called in ((["reserve"], True), ([], False)):
        steps = [interest("A"), principal("A", support=support), {"pay": "reserve", "to": ["reserve"]}, RESIDUAL]
        spec = deal([A | {"balance": 590}], steps, accounts=[COLLECTION, reserve], call=price)
        result = run(spec, pool([150.0] * 4))

        # First date: 150 collected, 435 for the pool, and 20 in reserve, against 592.95.
        assert bool(result.called[0, 0]) is called
        assert result.residual[0, 0] == pytest.approx(12.05 if called else 0.0)
        assert not result.balance[0, result.called[:, 0]].any()


def test_make_whole_pays_the_coupons_above_the_reference_rate() -> None:
    call = {"from_date": "2026-08-15", "price": "pool.balance + USD 100",
            "make_whole": {"reference_rate": 0.0, "until": "2026-10-15"}}  # fmt: skip
    spec = deal([A | {"balance": 500}], [interest("A"), principal("A"), RESIDUAL], call=call)
    result = run(spec, pool([150.0] * 4, [10.0] * 4))

    # Called on the first date, two months before the premium ends: 500 x 6 % / 12 x 2 = 5.00, and 2.50 of interest.
    assert path(result.interest[0]) == [7.5, 0.0, 0.0, 0.0]
    assert path(result.balance[0])[0] == 0.0


def test_retention_shares_and_cash() -> None:
    flows = pool([450.0, 450.0], [20.0, 20.0])
    for retention, a, r in (
        ({"kind": "vertical", "share": 0.05}, 0.05, 0.05),
        ({"kind": "horizontal", "share_of_residual": 1.0, "required_fair_value": 0.05}, 0.0, 1.0),
        ({"kind": "l_shaped", "share": 0.02, "share_of_residual": 0.5, "required_fair_value": 0.05}, 0.02, 0.51),
    ):
        spec = deal([A, B], STEPS, retention=retention)
        result = run(spec, flows)
        kept = retained_position(spec, result)
        assert kept.shares == pytest.approx({"A": a, "B": a, "R": r})
        classes = result.interest.sum() + result.principal.sum()
        assert kept.cash.sum() == pytest.approx(a * classes + r * result.residual.sum())
    assert fair_value_share(spec, {"A": 600.0, "B": 300.0, "R": 100.0}) == pytest.approx((18.0 + 51.0) / 1000)
    with pytest.raises(ValueError, match="fair_values: R is missing"):
        fair_value_share(spec, {"A": 1.0, "B": 1.0})


# ------------------------------------------------------------------------------------------------- structural stress
def test_structural_stress_takes_what_it_says() -> None:
    fee = {"name": "servicing", "kind": "annual_percentage", "rate": 0.12, "base": "pool.balance"}
    spec = deal(
        [A | {"balance": 300}],
        [{"pay": "fee", "to": ["servicing"]}, interest("A"), principal("A"), RESIDUAL],
        fees=[fee],
    )
    flows = pool([150.0] * 4, [50.0] * 4)
    plain = run(spec, flows)
    failure = ServicerDefault(period=2, transition_cost=15.0, fee_step_up=0.5, collection_dip=0.5, dip_periods=1)
    result = run(spec, flows, stress=StructuralStress(servicer_default=failure))

    assert path(result.collections) == [200.0, 100.0, 300.0, 200.0]
    assert path(result.fees[0]) == [6.0, 4.5 * 1.5, 3.0 * 1.5, 1.5 * 1.5]
    assert path(plain.fees[0]) == [6.0, 4.5, 3.0, 1.5]
    lost = plain.residual.sum() + plain.interest.sum() + plain.principal.sum() + plain.fees.sum()
    kept = result.residual.sum() + result.interest.sum() + result.principal.sum() + result.fees.sum()
    assert lost - kept == pytest.approx(15.0)
    mixed = StructuralStress(
        commingling_period=1, commingling_share=0.25, dilution=0.1, set_off_period=3, set_off_share=0.5
    )
    assert path(run(spec, flows, stress=mixed).collections) == [135.0, 180.0, 90.0, 180.0]
    with pytest.raises(ValueError, match=r"dilution: 1\.5 lies outside 0 to 1"):
        StructuralStress(dilution=1.5)
    with pytest.raises(ValueError, match="commingling_period: 0 must be 1 or later"):
        StructuralStress(commingling_period=0)


# ------------------------------------------------------------------------------------------- cents, slices, the ledger
def test_whole_cents_are_split_by_largest_remainders() -> None:
    """100.00 among three equal classes: 33.34 to the first, the rest 33.33; rounding of interest is the deal's."""
    three = [{"name": name, "balance": 200, "coupon": 0.05} for name in "ABC"]
    steps = [principal(*"ABC", rule="pro_rata"), interest(*"ABC", rule="pro_rata"), RESIDUAL]
    spec = deal(three, steps)
    result = run(spec, pool([100.0, 500.0]), mode="cents")

    assert result.principal[:, 0, 0].tolist() == [3334, 3333, 3333]
    assert result.interest_due[:, 0, 0].tolist() == [83, 83, 83]  # 200 x 5 % / 12 = 0.8333
    assert result.unit == "cents"
    assert result.principal.dtype == np.int64
    assert result.conservation_error == 0.0


@pytest.mark.parametrize(("rounding", "cents"), [("HALF_EVEN", 12), ("HALF_UP", 13)])
def test_half_a_cent_goes_where_the_deal_says(rounding: str, cents: int) -> None:
    conventions = deal([A], [*STEPS[:1], principal("A"), RESIDUAL]).to_json()["conventions"] | {"rounding": rounding}
    spec = deal(
        [A | {"balance": 10, "coupon": 0.15}], [interest("A"), principal("A"), RESIDUAL], conventions=conventions
    )
    result = run(spec, pool([5.0, 5.0], [1.0, 1.0]), mode="cents")

    assert result.interest[0, 0, 0] == cents  # 10 x 15 % / 12 = 0.125


def test_slices_are_the_columns_of_the_whole() -> None:
    program, flows = compile_deal(solved(), CUTOFF_CENTS), random_flows(3, scenarios=23, stress=0.05)
    whole = execute(program, flows)
    for part, paid in execute_in_slices(program, flows, size=5):
        for name in ("balance", "interest", "principal", "residual", "accounts"):
            assert np.array_equal(getattr(paid, name), getattr(whole, name)[..., part]), name
