"""What each template deal does under stress or at base case, beside the figures its terms give by hand."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pooling.deals import TemplateCollateral, template, template_collateral
from pooling.engine.daycount import year_fraction
from pooling.engine.deal import DealSpec
from pooling.engine.deal.classes import PlannedNote
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import (
    ServicerDefault,
    StructuralStress,
)
from tests.engine.template_runs import CENT, EXACT, before, paid, ran


def test_consumer_caps_the_expenses_of_the_trustee_and_steps_the_reserve_down() -> None:
    spec, pool, _, deal = ran("consumer-sequential")
    reserve = deal.accounts[spec.accounts.index(spec.reserves[0]), :, 0]
    senior = paid(deal, "fee:trustee-expenses")

    assert senior[:12].sum() == pytest.approx(100_000.0, abs=EXACT)  # USD 100,000 a year before the notes
    assert reserve[:12] == pytest.approx(0.01 * pool.balance_cents / 100)
    assert reserve[12] < reserve[11]
    pool_balance = deal.pool_balance[:, 0]
    called = int(deal.called[:, 0].argmax())
    assert called == int(np.argmax(pool_balance <= 0.1 * pool.balance_cents / 100))  # called at a factor of 10 %
    assert np.all(deal.principal[1, :, 0][deal.balance[0, :, 0] > CENT] == 0.0)  # B waits for A


def test_prime_auto_reaches_and_keeps_its_target_overcollateralisation() -> None:
    _, pool, _, deal = ran("prime-auto")
    notes, balance = deal.balance.sum(axis=0)[:, 0], deal.pool_balance[:, 0]
    target = np.maximum(0.055 * balance, 0.015 * pool.balance_cents / 100)
    reached = int(np.argmax(balance - notes >= target - CENT))

    assert 0 < reached < 12
    alive = slice(reached, int(deal.called[:, 0].argmax()))
    assert balance[alive] - notes[alive] == pytest.approx(target[alive], abs=EXACT)


def test_prime_auto_money_market_class_accrues_by_actual_days() -> None:
    spec, _, _, deal = ran("prime-auto")

    days = (spec.dates.first_payment - spec.dates.closing).days

    assert deal.interest[0, 0, 0] == pytest.approx(176_000_000 * 0.0445 * days / 360, abs=EXACT)
    assert deal.interest[1, 0, 0] == pytest.approx(322_000_000 * 0.0452 * 32 / 360, abs=EXACT)  # 13 May to 15 June


def test_prime_auto_pays_pro_rata_behind_a_1_once_accelerated() -> None:
    _, _, _, deal = ran("prime-auto", forced={"event-of-default": True})
    first, rest = deal.principal[0, :, 0], deal.principal[1:4, :, 0]
    open_a1 = deal.balance[0, :, 0] > CENT
    all_three = (rest > CENT).all(axis=0) & (deal.balance[1:4, :, 0] > CENT).all(axis=0)
    shares = rest[:, all_three] / rest[:, all_three].sum(axis=0)

    assert rest[:, open_a1].max() == 0.0
    assert first.sum() == pytest.approx(176_000_000)
    assert shares == pytest.approx(np.repeat(np.array([[322.0], [322.0], [86.0]]) / 730.0, shares.shape[1], axis=1))
    assert deal.interest[4, :, 0][deal.balance[3, :, 0] > CENT].max() < CENT  # B waits until class A is repaid


def test_pro_rata_turns_sequential_on_the_date_on_which_a_test_first_fails() -> None:
    spec, pool, flows, deal = ran("pro-rata-switch", cdr=0.12)
    initial = pool.balance_cents / 100
    rate = np.cumsum(flows.loss[0, :, 0]) / initial
    schedule = np.select(
        [np.arange(1, flows.months + 1) < until for until in (7, 13, 19, 25, 37)], [0.01, 0.03, 0.055, 0.08, 0.10], 0.12
    )
    failed = int(np.argmax(rate > schedule))

    breached = deal.breached[[trigger.name for trigger in spec.triggers].index("cumulative-loss"), :, 0]

    assert 0 < failed < 20
    assert not breached[:failed].any()
    assert breached[failed:].all()
    factors = deal.balance[:, :, 0] / deal.initial_balance[:, None]
    assert np.ptp(factors[:, failed - 1]) < 1e-12  # all classes down by the same share until then
    assert deal.principal[1:, failed, 0].max() == 0.0
    assert deal.principal[0, failed, 0] > 0.0


def test_pro_rata_delinquency_test_is_cured_after_three_good_dates() -> None:
    months = template_collateral("pro-rata-switch").flows(template("pro-rata-switch")).months
    cdr = np.where((np.arange(months) >= 5) & (np.arange(months) < 12), 0.45, 0.01)
    spec, _, flows, deal = ran("pro-rata-switch", cdr=cdr, flows=None)
    bad = flows.delinquent[0, 2:, :, 0].sum(axis=0) > 0.06 * flows.pool_balance[0, :, 0]
    place = [trigger.name for trigger in spec.triggers].index("delinquency")
    started = int(np.argmax(bad)) + 1  # two dates in a row
    ended = started + int(np.argmax(~bad[started:])) + 2  # three dates without

    breached = deal.breached[place, :, 0]

    assert bad[started]
    assert not breached[:started].any()
    assert breached[started:ended].all()
    assert not breached[ended]


def test_sme_debits_every_loss_to_its_ledgers_and_makes_it_good_from_interest() -> None:
    spec, _, flows, deal = ran("sme-deficiency", cdr=0.05)
    charged = np.add.reduceat(flows.charge_off[0, :, 0], np.arange(0, flows.months, 3))
    cured = sum(paid(deal, f"deficiency:{ledger.name}") for ledger in spec.ledgers)
    total = deal.deficiency[:, :, 0].sum(axis=0)
    early = slice(0, 12)  # before the balance of a class caps its ledger

    assert (before(total, 0.0) + charged - cured)[early] == pytest.approx(total[early], abs=EXACT)
    assert total.max() > 0.0
    assert deal.deficiency[2, :, 0].max() == 0.0  # the ledger of A is debited last


def test_sme_facility_is_drawn_when_collections_stop_and_repaid_afterwards() -> None:
    stress = StructuralStress(servicer_default=ServicerDefault(period=3, collection_dip=1.0, dip_periods=2))

    _, _, _, deal = ran("sme-deficiency", stress=stress)

    drawn = deal.drawn[0, :, 0]
    assert drawn[:2].max() == 0.0
    assert drawn[3] > 0.0
    assert drawn[4] == 0.0  # the missing cash arrives one date after the dip
    assert paid(deal, "facility:liquidity")[4] >= drawn[3]
    assert deal.interest_shortfall[0].max() < CENT  # class A never waits


def test_merchant_pool_stays_level_while_it_revolves_and_then_repays() -> None:
    spec, pool, _, deal = ran("merchant-revolving")
    assert spec.revolving is not None
    within = np.array([date <= spec.revolving.until for date in deal.dates])
    bought = paid(deal, "purchase:collateral")

    assert within.sum() == 24
    assert deal.pool_balance[within, 0] == pytest.approx(pool.balance_cents / 100)
    assert deal.principal[:, within].max() == 0.0
    assert bought[within].min() > 0.0
    assert bought[~within].max() == 0.0
    assert deal.balance[0, within.sum(), 0] < deal.initial_balance[0]


def test_merchant_defaults_end_the_revolving_period_for_good() -> None:
    spec, _, _, deal = ran("merchant-revolving", cdr=0.35)
    assert spec.revolving is not None
    default_rate = deal.breached[0, :, 0]
    bought = paid(deal, "purchase:collateral")
    ended = int(np.argmax(deal.breached[:, :, 0].any(axis=0)))

    assert default_rate.any()
    assert deal.dates[ended] < spec.revolving.until
    assert bought[ended:].max() == 0.0
    assert deal.principal[0, ended, 0] > 0.0


def test_swap_nets_both_legs_on_the_balance_of_the_notes() -> None:
    spec, pool, _, deal = ran("floating-swap")
    notes = before(deal.balance.sum(axis=0)[:, 0], float(deal.initial_balance.sum()))
    sofr = pool.options(spec)["rates"]["SOFR-1M"][: deal.months]
    ends = [spec.dates.closing, *deal.dates]
    fraction = np.array([year_fraction(a, b, "ACT/360") for a, b in itertools.pairwise(ends)])

    expected = notes * (np.maximum(sofr, 0.0) - 0.0365) * fraction

    assert deal.hedge_net[0, :, 0] == pytest.approx(expected, abs=EXACT)
    assert expected.max() > 0.0
    assert expected.min() < 0.0


def test_cap_pays_above_its_strike_and_the_coupon_of_b_stops_at_its_own() -> None:
    high = 0.07
    _, _, _, deal = ran("floating-cap", rates={"SOFR-1M": high})
    days = (deal.dates[1] - deal.dates[0]).days

    assert deal.hedge_net[0, 1, 0] == pytest.approx(
        deal.balance[:, 0, 0].sum() * (high - 0.045) * days / 360, abs=EXACT
    )
    assert deal.period_rate[1, 1, 0] == pytest.approx(0.075 * days / 360)
    assert deal.period_rate[0, 1, 0] == pytest.approx((high + 0.0085) * days / 360)


def test_pass_through_follows_the_pool_and_keeps_losses_off_while_spread_covers_them() -> None:
    _, _, flows, deal = ran("pass-through")

    assert deal.balance[0, :-6, 0] == pytest.approx(flows.pool_balance[0, :-6, 0], abs=CENT)
    assert flows.loss.sum() > 0.0


def test_subordinated_class_capitalises_and_turbo_pays_the_senior_class_first() -> None:
    spec, _, _, deal = ran("senior-subordinated", cdr=0.18, to_call=False)
    assert deal.capitalised is not None
    turbo = deal.breached[0, :, 0] & (deal.balance[0, :, 0] > CENT)
    step = deal.balance[1, 1:, 0] - deal.balance[1, :-1, 0]

    assert turbo.any()
    assert deal.interest[1, turbo].max() == 0.0
    assert deal.capitalised[1, turbo].min() > 0.0
    assert deal.interest_shortfall[1].max() == 0.0  # nothing stays owed: it is balance now
    assert step == pytest.approx((deal.capitalised - deal.principal)[1, 1:, 0], abs=EXACT)
    assert spec.tranches[1].deferral == "capitalised"


def test_make_whole_pays_the_coupons_above_the_reference_rate() -> None:
    """Called on 10 December 2028, eighteen months before the premium ends; 4 % a year, monthly."""
    _, _, _, deal = ran("senior-subordinated")
    called = int(deal.called[:, 0].argmax())
    owed = deal.balance[:, called - 1, 0]
    annuity = sum((1 + 0.04 / 12) ** -month for month in range(1, 19))
    fraction = [year_fraction(dt.date(2028, 6, 10), dt.date(2028, 12, 10), count) for count in ("ACT/365F", "30E/360")]

    expected = [
        balance * (coupon * part + (coupon - 0.04) / 12 * annuity)
        for balance, coupon, part in zip(owed, (0.064, 0.11), fraction, strict=True)
    ]

    assert deal.dates[called] == dt.date(2028, 12, 11)  # the 10th is a Sunday
    assert deal.interest[:, called, 0] == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("cpr", [0.06, 0.10, 0.18])
def test_planned_class_keeps_its_schedule_within_its_band(cpr: float) -> None:
    spec, _, _, deal = ran("planned-accrual-strip", cpr=cpr, cdr=0.0)
    planned = spec.tranches[0]
    assert isinstance(planned, PlannedNote)
    plan = np.array(planned.planned_balances) / 100

    off = np.abs(deal.balance[0, : len(plan), 0] - plan)

    assert off.max() < 0.005 * deal.initial_balance[0]  # the plan was drawn for one mean loan, the pool has a range


def test_accrual_class_accretes_until_the_classes_before_it_are_repaid() -> None:
    _, _, _, deal = ran("planned-accrual-strip")
    assert deal.capitalised is not None
    waits = before(deal.balance[:2].sum(axis=0)[:, 0], 1.0) > 0.0
    opening = before(deal.balance[2, :, 0], float(deal.initial_balance[2]))

    assert deal.capitalised[2, waits, 0] == pytest.approx((opening * deal.period_rate[2, :, 0])[waits], abs=EXACT)
    assert deal.interest[2, waits].max() == 0.0
    assert deal.interest[2, ~waits].max() > 0.0
    assert deal.interest[3, 1, 0] == pytest.approx(deal.balance[:2, 0, 0].sum() * 0.004 / 12, abs=EXACT)


def _lease_group_fails(pool: TemplateCollateral, spec: DealSpec) -> PoolFlows:
    """Base-case flows of the cars, defaults of 60 % a year among the leases."""
    good, bad = pool.flows(spec), pool.flows(spec, cdr=0.60)
    columns: dict[str, Any] = {
        field.name: np.stack([getattr(good, field.name)[0], getattr(bad, field.name)[1]])
        for field in dataclasses.fields(good)[2:]
        if getattr(good, field.name) is not None
    }
    return replace(good, **columns)


def test_one_group_of_collateral_supports_the_other() -> None:
    spec, pool = template("two-groups"), template_collateral("two-groups")
    flows = _lease_group_fails(pool, spec)

    _, _, _, deal = ran("two-groups", flows=flows)

    own = flows.interest[1, :, 0].sum() + flows.principal[1, :, 0].sum() + flows.recovery[1, :, 0].sum()
    to_lease = deal.principal[1].sum() + deal.interest[1].sum()
    assert deal.breached[0, :, 0].any()
    assert to_lease > own  # more than its own collateral ever paid
    assert deal.ledger is not None
    crossed = [line.step == "principal:A-auto+A-lease" and line.target == "A-lease" for line in deal.ledger.lines]
    assert deal.ledger.amount[crossed].sum() > 0.0
    assert deal.interest_shortfall[:2].max() < CENT
