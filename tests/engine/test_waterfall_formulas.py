"""Formulas of a deal as it runs: amounts below zero count as none, and whatever the checks accept can be run and
restarted."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.deal.quantities import written_formulas
from pooling.engine.formula import Kind
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from tests.engine.deal_builders import CUTOFF_CENTS, random_flows, slice_flows, solved
from tests.engine.spec_strategies import Case, Json, case_of, rich_deals, seeds, stresses
from tests.engine.test_waterfall_properties import arrays, assert_same

modes = st.sampled_from(["float64", "cents"])


def ran(deal: Json, **options: Any) -> DealFlows:
    return execute(compile_deal(DealSpec.from_json(deal), CUTOFF_CENTS), random_flows(3), ledger=True, **options)


def with_coupon(coupon: Any) -> Json:
    deal = solved().to_json()
    deal["tranches"][0]["coupon"] = coupon
    return deal


# ------------------------------------------------------------------------------------------------ amounts below zero
FLOATING = {"kind": "floating", "index": "EURIBOR-1M", "margin": 0.001}


@pytest.mark.parametrize("mode", ["float64", "cents"])
@pytest.mark.parametrize(
    "coupon",
    [
        FLOATING,
        {"kind": "triggered", "before": FLOATING, "when": "period.number > 99", "after": 0.05},
        {"kind": "step", "rate": 0.0, "steps": [{"first_accrual": "2026-07-15", "rate": FLOATING}]},
    ],
)
def test_holders_never_owe_interest_where_the_index_is_below_the_margin(coupon: Any, mode: Any) -> None:
    """-0.5 % and a margin of 0.1 %: the class accrues nothing, as one with a coupon of zero, to the bit."""
    low, none = ran(with_coupon(coupon), rates={"EURIBOR-1M": -0.005}, mode=mode), ran(with_coupon(0.0), mode=mode)
    assert not low.interest_due[0].any()
    assert not low.period_rate[0].any()
    assert low.interest[1].any()
    for name, array in arrays(none).items():
        assert np.array_equal(array, arrays(low)[name]), name


def test_a_rate_that_turns_inside_a_period_is_weighed_before_it_is_held_at_zero() -> None:
    """From 15 July 6 % for 10 days, then -3 % for 21 days: (60 - 63) / 31 is below zero, and nothing accrues; with
    -2 % it is (60 - 42) / 31 %, on 650 000 for 30/360 of a month."""
    steps = [{"first_accrual": "2026-07-25", "rate": FLOATING}]
    coupon = {"kind": "step", "rate": 0.06, "steps": steps, "within_period": "day_weighted"}
    below, above = (ran(with_coupon(coupon), rates={"EURIBOR-1M": rate}) for rate in (-0.031, -0.021))
    assert not below.interest_due[0, 0].any()
    assert above.interest_due[0, 0] == pytest.approx(650_000.0 * (0.06 * 10 - 0.02 * 21) / 31 / 12, abs=1e-9)


@pytest.mark.parametrize("mode", ["float64", "cents"])
def test_a_fee_on_an_amount_below_zero_is_no_fee(mode: Any) -> None:
    deal = solved().to_json()
    deal["fees"][0]["base"] = "pool.balance - 2 * pool.initial_balance"
    without = solved().to_json()
    without["fees"][0]["rate"] = 0.0
    assert_same(ran(without, mode=mode), ran(deal, mode=mode))


def test_a_strip_on_an_amount_below_zero_earns_nothing_until_it_is_above() -> None:
    """1 % a year on what A (650 000) has repaid beyond 100 000: by hand from the balances of A."""
    deal = solved().to_json()
    strip = {"name": "X", "kind": "interest_only", "notional": "USD 550000 - class[A].balance", "coupon": 0.01}
    deal["tranches"].insert(1, strip)
    next(step for step in deal["waterfall"] if step["pay"] == "interest" and "A" in step["to"])["to"].append("X")
    result = ran(deal)
    before = np.concatenate([np.full_like(result.balance[0, :1], 650_000.0), result.balance[0, :-1]])
    assert (before > 550_000.0).any()
    assert np.allclose(result.interest_due[1], np.maximum(550_000.0 - before, 0.0) * 0.01 / 12, rtol=0, atol=1e-9)


def test_a_swap_on_an_amount_below_zero_is_no_swap() -> None:
    deal = solved().to_json()
    swap = {"name": "swap", "kind": "swap", "pays": 0.01, "receives": 0.03, "into": "collection"}
    deal["hedges"] = [swap | {"notional": "notes.balance - 2 * notes.initial_balance"}]
    deal["waterfall"].insert(0, {"pay": "hedge", "to": ["swap"]})
    assert not ran(deal).hedge_net.any()


def test_nobody_calls_a_deal_at_a_price_below_zero() -> None:
    deal = solved().to_json()
    assert ran(deal | {"call": {"factor": 0.9}}).called.any()
    assert not ran(deal | {"call": {"factor": 0.9, "price": "-1 * pool.balance"}}).called.any()


def test_an_amount_that_is_no_number_is_never_passed_over() -> None:
    """Zero times infinity once C is repaid: the run stops instead of paying something."""
    deal = solved().to_json()
    deal["waterfall"][0]["limit"] = "pool.balance * (notes.balance / class[C].balance)"
    deal["waterfall"].insert(-1, {"pay": "fee", "to": ["servicing"]})
    with np.errstate(invalid="ignore"), pytest.raises((ValueError, ArithmeticError)):
        ran(deal)


# ------------------------------------------------------------------------------------- whatever the checks accept runs
def money(draw: st.DrawFn, kinds: dict[str, Kind]) -> str:
    """A formula of an amount over the quantities of a deal."""
    names = st.sampled_from(sorted(name for name, kind in kinds.items() if kind is Kind.MONEY))
    shape = draw(st.sampled_from(["{0}", "30% * {0}", "{0} - {1}", "max({0}, {1})", "if({2}, {0}, USD 1500.25)"]))
    return shape.format(draw(names), draw(names), truth(draw, kinds) if "{2}" in shape else "")


def truth(draw: st.DrawFn, kinds: dict[str, Kind]) -> str:
    """A formula of a condition over the quantities of a deal."""
    by_kind = {kind: sorted(name for name, known in kinds.items() if known is kind) for kind in Kind}
    pick = lambda kind: draw(st.sampled_from(by_kind[kind]))  # noqa: E731 - one short way among many
    shape = draw(st.sampled_from(["{0}", "not {0}", "{1} > {2}", "{3} < 0.7", "{0} or {1} < {2}"]))
    return shape.format(pick(Kind.BOOL), pick(Kind.MONEY), pick(Kind.MONEY), pick(Kind.NUMBER))


def put(deal: Json, path: str, text: str) -> Json:
    """A copy of the deal with another text at a path."""
    copy = json.loads(json.dumps(deal))
    *above, last = [int(key) if key.isdigit() else key for key in re.findall(r"[a-z_]+|\d+", path)]
    part = copy
    for key in above:
        part = part[key]
    part[last] = text
    result: Json = copy
    return result


@st.composite
def rewritten(draw: st.DrawFn) -> Case:
    """A rich deal with up to four of its formulas replaced by others of the same kind, where the checks accept them."""
    deal = draw(rich_deals())
    spec = DealSpec.from_json(deal)
    places = [written for written in written_formulas(spec) if written.stage != "closing"]
    for written in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)) if places else []:
        make = money if Kind.MONEY in written.expected else truth
        other = put(deal, written.path, make(draw, spec.formulas.kinds))
        with suppress(SpecError):  # what a date has not yet set
            DealSpec.from_json(other)
            deal = other
    return case_of(deal, draw(seeds), draw(stresses))


@hypothesis_settings(max_examples=80, deadline=None)
@given(case=rewritten(), cut=st.integers(1, 5), mode=modes)
def test_every_formula_the_checks_accept_runs_is_conserved_and_restarts(case: Case, cut: int, mode: Any) -> None:
    program = case.program
    whole = case.run(program, mode=mode, ledger=True, keep_states=(cut,))
    assert whole.ledger is not None
    assert whole.ledger.amount.min() >= 0
    for name, array in arrays(whole).items():
        assert np.isfinite(array).all(), name
        assert name == "hedge_net" or array.min(initial=0) >= 0, name
    assert_same(whole, case.only([2]).run(program, mode=mode), columns=[2])
    later = replace(case, flows=slice_flows(case.flows, slice(int(program.calendar.months[cut - 1]), None)))
    assert_same(whole, later.run(program, mode=mode, state=whole.state_after(cut)), since=cut)
