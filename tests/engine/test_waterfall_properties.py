"""What holds of every deal: random rich deals over random pools, in float64 and in whole cents."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.daycount import DayCount, year_fraction
from pooling.engine.waterfall import DealFlows, DealState, ServicerDefault, StructuralStress, compile_deal, execute
from pooling.engine.waterfall.program import STATE_AXES
from pooling.engine.waterfall.run import Run
from tests.engine.deal_builders import CUTOFF_CENTS, slice_flows
from tests.engine.flat_pool import deal as flat_deal
from tests.engine.flat_pool import pool as flat_pool
from tests.engine.spec_strategies import (
    MONTHS,
    SCENARIOS,
    Case,
    Json,
    case_of,
    cases,
    joined,
    rich_deals,
    scaled,
    seeds,
    steps_of,
    stresses,
    times,
)

ROUNDING = 1e-6  # currency units on a million: a few thousand float64 operations
CENT = 0.01
TRIGGERED_DEFINITION = "sequential"

# Some properties speak of one kind of deal only; how many of the random ones are left out is no defect.
some = hypothesis_settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
modes = st.sampled_from(["float64", "cents"])


def arrays(result: DealFlows) -> dict[str, np.ndarray[Any, Any]]:
    """Every array with a scenario axis."""
    named = {f.name: getattr(result, f.name) for f in fields(result)}
    apart = ("initial_balance", "coupon", "period_rate")
    return {n: a for n, a in named.items() if isinstance(a, np.ndarray) and n not in apart}


def assert_same(one: DealFlows, other: DealFlows, columns: Any = slice(None), since: int = 0) -> None:
    """other equals `one` to the bit: a choice of its scenarios, its dates after the first `since`."""
    assert one.conservation_error < ROUNDING
    theirs = arrays(other)
    for name, array in arrays(one).items():
        if name == "opening_accounts" and since:
            continue
        mine = array[..., columns]
        if since and name != "unpaid_principal":
            mine = mine[..., since:, :]
        assert np.array_equal(mine, theirs[name]), name


def assert_same_state(one: DealState, other: DealState) -> None:
    for name in STATE_AXES:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert (one.bought is None) == (other.bought is None)
    if one.bought is not None and other.bought is not None:
        assert np.array_equal(one.bought, other.bought)


def assert_close(one: DealFlows, other: DealFlows, factor: float = 1.0, within: float = ROUNDING) -> None:
    theirs = arrays(other)
    for name, array in arrays(one).items():
        assert np.allclose(array * factor, theirs[name], rtol=0, atol=within), name


# ------------------------------------------------------------------------------------------------------ conservation
@some
@given(case=cases(), mode=modes)
def test_every_account_is_conserved_on_every_date_and_path(case: Case, mode: Any) -> None:
    """opening + in - out = closing from the ledger alone; to the last cent where the run is one of cents."""
    result = case.run(ledger=True, mode=mode)
    ledger = result.ledger
    assert ledger is not None
    allowed = 0.0 if mode == "cents" else ROUNDING
    for place, account in enumerate(result.account_names):
        opening = np.concatenate([result.opening_accounts[place][None], result.accounts[place, :-1]])
        for t in range(result.months):
            moved = sum(
                ledger.amount[number, t] * (int(line.target == account) - int(line.source == account))
                for number, line in enumerate(ledger.lines)
            )
            assert np.abs(opening[t] + moved - result.accounts[place, t]).max() <= allowed
    assert ledger.amount.min() >= 0
    assert result.accounts.min() >= 0


@some
@given(case=cases(), mode=modes)
def test_what_payees_receive_is_what_the_ledger_booked(case: Case, mode: Any) -> None:
    result = case.run(ledger=True, mode=mode)
    ledger = result.ledger
    assert ledger is not None

    def booked(kind: str, name: str) -> Any:
        return sum(
            (ledger.amount[i] for i, line in enumerate(ledger.lines) if (line.kind, line.target) == (kind, name)),
            np.zeros((result.months, SCENARIOS)),
        )

    allowed = 0.0 if mode == "cents" else ROUNDING
    for k, name in enumerate(result.names):
        assert np.abs(booked("interest", name) - result.interest[k]).max() <= allowed
        assert np.abs(booked("principal", name) - result.principal[k]).max() <= allowed
    for f, name in enumerate(result.fee_names):
        assert np.abs(booked("fee", name) - result.fees[f]).max() <= allowed
    assert np.abs(booked("residual", "R") - result.residual).max() <= allowed


@some
@given(case=cases(), mode=modes)
def test_debts_follow_from_what_accrues_and_what_is_paid(case: Case, mode: Any) -> None:
    result = case.run(mode=mode)
    capitalised = np.zeros_like(result.balance) if result.capitalised is None else result.capitalised
    accrual = [k for k, part in enumerate(case.deal["tranches"]) if part["kind"] == "accrual"]
    notes = result.initial_balance[:, None, None] + np.cumsum(capitalised - result.principal, axis=1)
    assert np.allclose(result.balance, notes, rtol=0, atol=ROUNDING)
    # What an accrual class adds to its balance never was owed.
    joined_debt = np.delete(capitalised, accrual, axis=0)
    owed = np.cumsum(np.delete(result.interest_due - result.interest, accrual, axis=0) - joined_debt, axis=1)
    assert np.allclose(np.delete(result.interest_shortfall, accrual, axis=0), owed, rtol=0, atol=ROUNDING)
    for name, column in arrays(result).items():
        assert name == "hedge_net" or column.min(initial=0) >= 0, name


@some
@given(case=cases(), mode=modes)
def test_nothing_stays_in_the_deal_after_its_last_date(case: Case, mode: Any) -> None:
    """The last date releases the reserves and the residual takes what is left."""
    result = case.run(mode=mode)
    assert np.abs(result.accounts[:, -1]).max() <= (0 if mode == "cents" else ROUNDING)


# --------------------------------------------------------------------------------------------------- paths are alone
@some
@given(case=cases(), mode=modes)
def test_each_path_alone_is_its_column_to_the_bit(case: Case, mode: Any) -> None:
    program = case.program
    whole = case.run(program, mode=mode, ledger=True, keep_states=(5,))
    for s in range(SCENARIOS):
        alone = case.only([s]).run(program, mode=mode, ledger=True, keep_states=(5,))
        assert_same(whole, alone, columns=[s])
        assert whole.ledger is not None
        assert alone.ledger is not None
        assert np.array_equal(whole.ledger.amount[..., [s]], alone.ledger.amount)


@some
@given(case=cases(), size=st.integers(1, 4))
def test_the_size_of_a_slice_changes_no_bit(case: Case, size: int) -> None:
    program = case.program
    whole = case.run(program, ledger=True, keep_states=(4,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("pooling.engine.waterfall.execute"), "CHUNK", size)
        sliced = case.run(program, ledger=True, keep_states=(4,))
    assert_same(whole, sliced)
    assert_same_state(whole.state_after(4), sliced.state_after(4))


@some
@given(case=cases(), order=st.permutations(range(SCENARIOS)), mode=modes)
def test_permuting_paths_permutes_results(case: Case, order: list[int], mode: Any) -> None:
    program = case.program
    assert_same(case.run(program, mode=mode), case.only(order).run(program, mode=mode), columns=order)


# ---------------------------------------------------------------------------------------------------------- branches
@some
@given(case=cases(where=lambda deal: bool(deal.get("alternatives"))))
def test_branches_partition_the_paths(case: Case) -> None:
    """On every date each path follows exactly one order of payments."""
    seen: list[np.ndarray] = []
    close = Run.close_date

    def spy(run: Run) -> None:
        seen.append(sum(np.broadcast_to(np.asarray(part), (run.width,)).astype(int) for part in run.branch))  # type: ignore[arg-type]
        close(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "close_date", spy)
        result = case.run()
    assert len(seen) == result.months
    assert all((masks == 1).all() for masks in seen)


@some
@given(case=cases(where=lambda deal: bool(deal.get("triggers")) and deal["tranches"][0]["kind"] == "note"))
def test_a_condition_and_its_negation_pay_complementary_paths(case: Case) -> None:
    """The pro rata line pays where `sequential` does not hold, the other lines where it does, and never both."""
    result = case.run(ledger=True)
    ledger, program = result.ledger, case.program
    assert ledger is not None
    names = [trigger["name"] for trigger in case.deal["triggers"]]
    breached = dict(zip(names, result.breached, strict=True))
    sequential = breached["losses"] | breached["late"] | breached["thin"]
    steps = {step.id: step for step in program.steps if step.pay == "principal" and step.branch == 0}
    paid = {True: np.zeros(sequential.shape), False: np.zeros(sequential.shape)}
    for place, line in enumerate(ledger.lines):
        if line.step in steps:
            condition = steps[line.step].when
            assert condition is not None
            paid[not condition.text.startswith("not ")] += ledger.amount[place]
    assert not paid[True][~sequential].any()
    assert not paid[False][sequential].any()


# ----------------------------------------------------------------------------------------------------------- restart
@some
@given(case=cases(), cut=st.integers(1, 5), mode=modes)
def test_a_restarted_run_equals_the_uninterrupted_one(case: Case, cut: int, mode: Any) -> None:
    program = case.program
    whole = case.run(program, mode=mode, keep_states=(cut, cut + 1))
    months = int(program.calendar.months[cut - 1])
    later = replace(case, flows=slice_flows(case.flows, slice(months, None)))
    rest = later.run(program, mode=mode, state=whole.state_after(cut), keep_states=(1,))
    assert rest.first_period == cut
    assert_same(whole, rest, since=cut)
    assert_same_state(whole.state_after(cut + 1), rest.state_after(1))


@some
@given(case=cases(), cut=st.integers(1, 5), dip=st.integers(1, 5), recovered=st.booleans(), mode=modes)
def test_a_restart_under_structural_stress_equals_the_uninterrupted_run(
    case: Case, cut: int, dip: int, recovered: bool, mode: Any
) -> None:
    failure = ServicerDefault(
        period=2, transition_cost=900.0, fee_step_up=0.5, collection_dip=0.3, dip_periods=dip, recovered=recovered
    )
    stress = StructuralStress(failure, commingling_period=3, commingling_share=0.4, dilution=0.01, hedge_loss_period=4)
    program = case.program
    whole = case.run(program, mode=mode, stress=stress, keep_states=(cut,))
    later = replace(case, flows=slice_flows(case.flows, slice(int(program.calendar.months[cut - 1]), None)))
    assert_same(whole, later.run(program, mode=mode, stress=stress, state=whole.state_after(cut)), since=cut)


# ------------------------------------------------------------------------------------------------------------- cents
@some
@given(case=cases(plain=True))
def test_whole_cents_stay_near_the_float_run(case: Case) -> None:
    """Each date rounds at most a dozen flows, accruals and targets by up to a cent each; what is once rounded is
    carried on, and interest on it stays far below a cent."""
    exact, cents = case.run(), case.run(mode="cents")
    parts = 12 + len(exact.names) + len(exact.fee_names)
    allowed = exact.months * parts  # cents
    theirs = arrays(cents)
    for name in ("interest", "principal", "residual", "fees"):
        column = arrays(exact)[name].sum(axis=-2) * 100.0
        assert np.abs(column - theirs[name].sum(axis=-2)).max(initial=0.0) <= allowed, name


# ------------------------------------------------------------------------------------------------ what must not matter
@some
@given(deal=rich_deals(), seed=seeds, stress=stresses, share=st.floats(0.05, 0.95))
def test_two_halves_of_a_pool_are_the_pool(deal: Json, seed: int, stress: float, share: float) -> None:
    deal = deal | {"collateral": []}
    deal["collections"] = [{k: v for k, v in rule.items() if k != "group"} for rule in deal["collections"]]
    one = case_of(deal, seed, stress)
    halves = [replace(times(one.flows, part), groups=(name,)) for name, part in (("a", share), ("b", 1.0 - share))]
    two = replace(one.changed(collateral=[{"name": "a"}, {"name": "b"}]), flows=joined(halves))
    assert_close(one.run(), two.run(), within=CENT / 100)


@some
@given(case=cases(), power=st.integers(1, 5))
def test_scaling_all_balances_scales_all_flows(case: Case, power: int) -> None:
    factor = 2**power
    larger = replace(case.changed(**scaled(case.deal, factor)), flows=times(case.flows, factor))
    program = compile_deal(larger.spec, CUTOFF_CENTS * factor)
    flags = ("breached", "called")
    one, other = case.run(), larger.run(program)
    for name, array in arrays(one).items():
        scale = 1 if name in flags else factor
        # Half a cent of a note is forgiven at the end, whatever the size of the deal.
        assert np.allclose(array * scale, arrays(other)[name], rtol=0, atol=CENT * factor), name


@some
@given(case=cases(), place=st.integers(0, 3), data=st.data())
def test_a_class_of_zero_changes_nothing(case: Case, place: int, data: st.DataObject) -> None:
    tranches = list(case.deal["tranches"])
    tranches.insert(place, {"name": "Q", "kind": "note", "balance": 0, "coupon": 0.07})
    with_empty = json.loads(json.dumps(case.deal | {"tranches": tranches}))
    for step in steps_of(with_empty):
        if step["pay"] in ("interest", "principal") and step.get("amount") is None:
            step["to"].insert(data.draw(st.integers(0, len(step["to"]))), "Q")
    for steps in [with_empty["waterfall"], *(a["waterfall"] for a in with_empty.get("alternatives", []))]:
        once(steps, "Q")
    one, other = case.run(), replace(case, deal=with_empty).run()
    for name, array in arrays(one).items():
        theirs = arrays(other)[name]
        if len(theirs) == len(tranches) and len(array) == len(tranches) - 1:
            assert not theirs[place].any(), name
            theirs = np.delete(theirs, place, axis=0)
        assert np.allclose(array, theirs, rtol=0, atol=ROUNDING), name


def once(steps: list[Json], name: str) -> None:
    """Leave a payee only where a step without limit and condition may pay it: the last of each kind."""
    for pay in ("interest", "principal"):
        paying = [step for step in steps if step["pay"] == pay and name in step["to"]]
        free = [step for step in paying if not step.keys() & {"limit", "when"}]
        for step in paying:
            if free and step is not free[-1]:
                step["to"].remove(name)


# -------------------------------------------------------------------------------------------- triggers and the call
@some
@given(case=cases(where=lambda deal: bool(deal.get("triggers"))), states=st.tuples(*[st.booleans()] * 4))
def test_forced_triggers_are_triggers_that_always_say_so(case: Case, states: tuple[bool, ...]) -> None:
    written = [
        trigger | {"condition": str(state).lower(), "breach_after": 1, "cure_after": 1}
        for trigger, state in zip(case.deal["triggers"], states, strict=True)
    ]
    forced = case.run(forced={t["name"]: state for t, state in zip(written, states, strict=True)})
    always = case.changed(triggers=written).run()
    for place, state in enumerate(states):
        tested = case.deal["triggers"][place]["tested"] == "opening" or not case.deal.get("alternatives")
        assert not tested or (forced.breached[place] == state).all()
    assert_same(always, forced)


@some
@given(case=cases(where=lambda deal: bool(deal.get("call"))))
def test_to_maturity_is_the_deal_without_its_call(case: Case) -> None:
    to_maturity = case.run(to_call=False)
    assert not to_maturity.called.any()
    assert_same(case.changed(call=None).run(), to_maturity)


@some
@given(case=cases(where=lambda deal: bool(deal.get("call")) and len(deal["accounts"]) == 1), mode=modes)
def test_a_called_deal_pays_its_notes_once_and_nothing_after(case: Case, mode: Any) -> None:
    """Of one account: the call counts the cash of all, and an order of payments need not bring it all to the notes."""
    result = case.run(mode=mode)
    called = result.called
    assert not (called[:-1] & ~called[1:]).any()
    assert np.abs(np.where(called, result.balance, 0)).max() <= (0 if mode == "cents" else ROUNDING)
    after = np.concatenate([np.zeros_like(called[:1]), called[:-1]])
    for name in ("principal", "interest", "residual", "collections", "fees"):
        assert np.abs(np.where(after, getattr(result, name), 0)).max(initial=0.0) <= ROUNDING, name


# ------------------------------------------------------------------------------------------------------- monotonicity
def keeps_recoveries(deal: Json) -> bool:
    """Not where a recovery makes the loss debited smaller, but is collected where the ledger's cash does not go: it
    then reaches the residual, and a deal with more recoveries pays its notes less."""
    netted = (deal.get("deficiency") or {}).get("losses") == "charge_off_less_recovery"
    return not netted or all(
        rule["into"] == deal["deficiency"]["into"] for rule in deal["collections"] if rule["source"] == "recovery"
    )


@some
@given(
    case=cases(plain=True, where=keeps_recoveries),
    month=st.integers(0, MONTHS - 1),
    extra=st.floats(0.0, 50_000.0),
)
def test_more_cash_never_raises_the_principal_loss_of_the_senior(case: Case, month: int, extra: float) -> None:
    richer = case.flows.recovery.copy()
    richer[:, month] += extra
    before, after = case.run(), replace(case, flows=replace(case.flows, recovery=richer)).run()
    assert np.all(after.unpaid_principal[0] <= before.unpaid_principal[0] + CENT)


# --------------------------------------------------------------------------------------------------------------- fees
@some
@given(
    rate=st.floats(0.0, 0.05),
    count=st.sampled_from(["30/360", "ACT/360", "ACT/365F", "ACT/ACT"]),
    day=st.integers(1, 28),
    months=st.sampled_from([3, 6, 12]),
)
def test_a_percentage_fee_is_additive_over_parts_of_a_period(rate: float, count: str, day: int, months: int) -> None:
    """On a pool that does not shrink, the fee of a quarter is that of its three months, and all of it the rate times
    the balance times the year fraction from closing."""
    frequency = {3: "quarterly", 6: "semiannual", 12: "annual"}[months]
    closing, last = dt.date(2026, 7, day), dt.date(2028, 7, day)
    fee = {"name": "servicing", "kind": "annual_percentage", "rate": rate, "base": "pool.balance", "day_count": count}

    def charged(frequency: str, first: dt.date) -> np.ndarray:
        dates = {"cut_off": "2026-06-30", "closing": str(closing), "first_payment": str(first)}
        spec = flat_deal(
            [{"name": "A", "balance": 600, "coupon": 0.0}],
            [
                {"pay": "fee", "to": ["servicing"]},
                {"pay": "interest", "to": ["A"]},
                {"pay": "principal", "to": ["A"]},
                {"pay": "residual", "to": ["R"]},
            ],
            fees=[fee],
            payment_frequency=frequency,
            dates=dates | {"legal_final": "2030-07-28"},
        )
        flows = flat_pool([0.0] * 23 + [1_000.0], [90.0] * 24)
        return execute(compile_deal(spec, 100_000), flows).fees[0, :, 0]

    monthly = charged("monthly", dt.date(2026, 8, day))
    longer = charged(frequency, dt.date(2026 + (6 + months) // 12, (6 + months) % 12 + 1, day))
    assert monthly.reshape(-1, months).sum(axis=1) == pytest.approx(longer, abs=1e-9)
    assert monthly.sum() == pytest.approx(1_000.0 * rate * year_fraction(closing, last, count), abs=1e-9)  # type: ignore[arg-type]


days = st.dates(dt.date(2020, 1, 1), dt.date(2040, 12, 31))


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    three=st.lists(days, min_size=3, max_size=3),
    count=st.sampled_from(["ACT/360", "ACT/365F", "ACT/ACT", "30/360", "30E/360"]),
)
def test_year_fractions_add_up(three: list[dt.date], count: DayCount) -> None:
    """Counts of actual days do so for all dates, those of 30-day months for dates up to the 28th."""
    if count.startswith("30"):
        three = [day.replace(day=min(day.day, 28)) for day in three]
    first, middle, last = sorted(three)
    whole = year_fraction(first, last, count)
    assert year_fraction(first, middle, count) + year_fraction(middle, last, count) == pytest.approx(whole, abs=1e-12)
