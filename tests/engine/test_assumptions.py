"""Assumptions: what always holds of the flows they make, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows, servicer_flows
from pooling.engine.assumptions.speeds import period_rate
from pooling.engine.curves import curve_flows
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from tests.engine.test_oracle_bma import loans

EXACT = 1e-9


def some_loans(groups: bool = False) -> LoanArrays:
    rng = np.random.default_rng(4)
    n = 12
    term = rng.integers(6, 40, n)
    return LoanArrays(
        loan_id=np.array([f"L{i:03d}" for i in range(n)]),
        balance=rng.uniform(1e3, 2e4, n),
        rate=rng.uniform(0.0, 0.25, n),
        original_term=term + 6,
        remaining_term=term,
        age=rng.integers(0, 6, n),
        grade=np.full(n, ""),
        score=np.full(n, np.nan),
        group=np.array(["a", "b"] * (n // 2)) if groups else np.full(n, "all"),
        sector=np.full(n, ""),
    )


@st.composite
def assumptions(draw: st.DrawFn) -> Assumptions:
    rate = st.floats(0.0, 0.6)
    prepayment = draw(
        st.sampled_from(["cpr", "smm", "psa", "abs"]).flatmap(
            lambda kind: st.builds(Prepayment, st.just(kind), st.floats(0.0, 0.02) if kind == "abs" else rate)
        )
    )
    default = draw(
        st.sampled_from(["cdr", "mdr", "sda", "amount"]).flatmap(
            lambda kind: st.builds(
                Default,
                st.just(kind),
                st.floats(0.0, 5e3) if kind == "amount" else rate,
                none_in_last=st.integers(0, 6),
            )
        )
    )
    return Assumptions(
        prepayment=prepayment,
        default=default,
        severity=draw(st.floats(0.0, 1.0)),
        severity_of=draw(st.sampled_from(["charge_off", "default"])),
        charge_off_lag=draw(st.integers(0, 6)),
        recovery_lag=draw(st.integers(0, 4)),
        recovery_timing=draw(st.sampled_from([(1.0,), (0.5, 0.25, 0.25)])),
        arrears=draw(st.sampled_from([(0.0,) * 4, (0.03, 0.01, 0.005, 0.0)])),
        advances=draw(st.sampled_from(["none", "principal_and_interest"])),
        event_order=draw(st.sampled_from(["default_first", "default_then_prepayment", "BMA", "WITNESS"])),
    )


@settings(max_examples=60, deadline=None)
@given(terms=assumptions())
def test_identities_hold_and_nothing_is_lost(terms: Assumptions) -> None:
    pool = some_loans()
    flows = assumed_flows(pool, terms)

    assert flows.check() < EXACT
    for name, column in flows.columns.items():
        assert column.min() >= -EXACT * pool.balance.sum(), name
    # All principal is repaid, advanced or charged off by the end; recoveries are what the severity leaves.
    paid = flows.principal.sum() + (0.0 if flows.advanced_principal is None else flows.advanced_principal.sum())
    assert paid + flows.charge_off.sum() == pytest.approx(pool.balance.sum(), rel=EXACT)
    if terms.severity_of == "charge_off":
        left = flows.charge_off.sum() * (1.0 - float(np.asarray(terms.severity)))
        assert flows.recovery.sum() == pytest.approx(left, rel=1e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(terms=assumptions(), scale=st.floats(0.1, 50.0))
def test_scaling_balances_scales_flows(terms: Assumptions, scale: float) -> None:
    if terms.default.kind == "amount":
        terms = replace(terms, default=Default("mdr", 0.02))
    pool = some_loans()
    one, more = assumed_flows(pool, terms), assumed_flows(replace(pool, balance=pool.balance * scale), terms)
    for name in ("interest", "scheduled_principal", "prepayment", "default", "recovery", "performing"):
        assert np.allclose(getattr(one, name) * scale, getattr(more, name), rtol=1e-9, atol=1e-9), name


@settings(max_examples=25, deadline=None)
@given(terms=assumptions())
def test_groups_add_up_to_the_pool(terms: Assumptions) -> None:
    if terms.default.kind == "amount":
        terms = replace(terms, default=Default("mdr", 0.02))
    whole, parts = assumed_flows(some_loans(), terms), assumed_flows(some_loans(groups=True), terms)
    for name in ("interest", "scheduled_principal", "prepayment", "default", "recovery", "performing", "count"):
        assert np.allclose(getattr(whole, name)[0], getattr(parts, name).sum(axis=0), rtol=1e-9, atol=1e-7), name


@settings(max_examples=25, deadline=None)
@given(rates=st.lists(st.floats(0.0, 0.9), min_size=2, max_size=5), terms=assumptions())
def test_scenarios_at_once_are_runs_of_their_own(rates: list[float], terms: Assumptions) -> None:
    months = 45
    at_once = replace(terms, default=Default("cdr", np.repeat([rates], months, axis=0)))
    together = assumed_flows(some_loans(), at_once, horizon=months)
    for s, rate in enumerate(rates):
        alone = assumed_flows(some_loans(), replace(terms, default=Default("cdr", rate)), horizon=months)
        for name, column in alone.columns.items():
            assert np.array_equal(together.columns[name][..., s], column[..., 0]), name


@settings(max_examples=25, deadline=None)
@given(low=st.floats(0.0, 0.4), more=st.floats(0.0, 0.4), severity=st.floats(0.05, 1.0))
def test_more_defaults_never_bring_more_cash(low: float, more: float, severity: float) -> None:
    def run(cdr: float) -> PoolFlows:
        terms = Assumptions(default=Default("cdr", cdr), severity=severity, charge_off_lag=3, recovery_lag=2)
        return assumed_flows(some_loans(), terms)

    few, many = run(low), run(low + more)
    slack = EXACT * 1e5
    assert many.total_collections.sum() <= few.total_collections.sum() + slack
    assert many.principal.sum() + many.recovery.sum() <= few.principal.sum() + few.recovery.sum() + slack


def test_curve_flows_are_the_same_flows() -> None:
    """The short call for flat speeds and the assumptions agree, in both orders."""
    for order in ("default_first", "default_then_prepayment"):
        given = {"severity": 0.6, "recovery_lag": 2, "charge_off_lag": 4, "event_order": order}
        short = curve_flows(some_loans(), cpr=0.12, cdr=0.05, **given)  # type: ignore[arg-type]
        long = assumed_flows(
            some_loans(),
            Assumptions(Prepayment("cpr", 0.12), Default("cdr", 0.05), **given),  # type: ignore[arg-type]
        )
        for name, column in short.columns.items():
            assert np.allclose(column, long.columns[name], rtol=1e-9, atol=1e-7), name


def test_loss_curve_loses_what_it_says_when_it_says() -> None:
    timing = (0.4, 0.3, 0.2, 0.1)
    terms = Assumptions(
        default=Default("loss_curve", 0.08, timing=timing), severity=0.5, charge_off_lag=1, recovery_lag=1
    )
    flows = assumed_flows(loans(1e6, 0.1, 36), terms)

    assert flows.default[0, :4, 0] == pytest.approx([64_000, 48_000, 32_000, 16_000])
    assert flows.loss.sum() == pytest.approx(80_000.0)


def test_vectors_by_age_are_read_at_the_age_of_the_loan() -> None:
    curve = np.array([0.0, 0.0, 0.0, 0.01, 0.02, 0.03])
    new, seasoned = (
        assumed_flows(loans(1e5, 0.1, 24, age=age), Assumptions(default=Default("mdr", curve, by_age=True)))
        for age in (0, 3)
    )
    assert new.default[0, :3, 0].tolist() == [0.0, 0.0, 0.0]
    assert seasoned.default[0, 0, 0] == pytest.approx(1e3)
    assert new.default[0, 10, 0] / new.performing[0, 9, 0] == pytest.approx(0.03)  # the last value goes on


def test_advances_pay_the_trust_what_the_borrower_does_not() -> None:
    """With advances and no severity the trust receives its schedule as if nobody had defaulted, until liquidation."""
    base = assumed_flows(loans(1e6, 0.12, 24), Assumptions())
    terms = Assumptions(
        default=Default("mdr", 0.02, none_in_last=6), charge_off_lag=6, advances="principal_and_interest"
    )
    advanced = assumed_flows(loans(1e6, 0.12, 24), terms)

    first = slice(0, 6)
    assert advanced.source("interest")[0, first, 0] == pytest.approx(base.interest[0, first, 0])
    assert advanced.source("scheduled_principal")[0, first, 0] == pytest.approx(base.scheduled_principal[0, first, 0])
    assert advanced.check() < EXACT


@pytest.mark.parametrize(
    ("amortisation", "more", "balances"),
    [
        ("linear", {}, [9_000, 8_000]),
        ("bullet", {}, [10_000, 10_000]),
        ("interest_only", {"interest_only_months": 2}, [10_000, 10_000, 8_750]),
        ("balloon", {"amortisation_term": 20}, [9_500, 9_000]),
    ],
)
def test_amortisation_of_loans_at_no_interest(amortisation: Any, more: dict[str, int], balances: list[float]) -> None:
    flows = assumed_flows(loans(1e4, 0.0, 10), Assumptions(), amortisation=amortisation, **more)

    assert flows.performing[0, : len(balances), 0] == pytest.approx(balances)
    assert flows.performing[0, -1, 0] == 0.0
    assert flows.check() < EXACT


def test_annual_rates_by_actual_days() -> None:
    """U01: survival at 10 % a year from 2023-01-01 to 2023-04-01 (90 days) and to 2024-01-01 (365)."""
    assert 1.0 - period_rate(0.10, np.array([90, 365]) / 365) == pytest.approx([0.9743552534572951, 0.9], abs=1e-15)


# ------------------------------------------------------------------------------------------------------------ servicer
def test_a_servicers_table_becomes_flows() -> None:
    table = {
        "interest": [10.0, 8.0],
        "scheduled_principal": [40.0, 45.0],
        "default": [5.0, 0.0],
        "charge_off": [0.0, 5.0],
    }
    flows = servicer_flows(100.0, table)

    assert flows.performing[0, :, 0].tolist() == [55.0, 10.0]
    assert flows.delinquent[0, 3, :, 0].tolist() == [5.0, 0.0]
    assert flows.check() < EXACT
    assert isinstance(flows, PoolFlows)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"interest": [1.0], "scheduled_principal": [1.0], "prepay": [0.0]}, "columns: 'prepay' is unknown"),
        ({"interest": [1.0]}, "columns: scheduled_principal is missing"),
        ({"interest": [1.0], "scheduled_principal": [1.0, 2.0]}, r"scheduled_principal: shape \(2,\), expected \(1,\)"),
        (
            {"interest": [1.0, 1.0], "scheduled_principal": [60.0, 60.0]},
            "performing: more balance leaves than there is by month 2",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused(columns: dict[str, list[float]], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        servicer_flows(100.0, columns)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Prepayment("cprr"), "prepayment.kind: 'cprr' is none of cpr, smm, psa, abs"),  # type: ignore[arg-type]
        (lambda: Prepayment("cpr", 1.2), "prepayment.speed: 1.2 lies outside 0 to 1"),
        (lambda: Default("cdr", -0.1), "default.rate: -0.1 lies outside 0 to 1"),
        (lambda: Default("loss_curve", 0.1), "default.timing: give it for a loss curve, and only for one"),
        (
            lambda: Default("loss_curve", 0.1, timing=(0.5, 0.4)),
            "default.timing: its shares add up to 0.9; they must add up to 1",
        ),
        (
            lambda: Assumptions(recovery_timing=(0.5,)),
            "recovery_timing: its shares add up to 0.5; they must add up to 1",
        ),
        (lambda: Assumptions(charge_off_lag=-1), "charge_off_lag: -1 must not be negative"),
        (
            lambda: Assumptions(floor_cents=True),
            "floor_cents: amounts and rates are cut only under the event order WITNESS",
        ),
        (lambda: Assumptions(event_order="SERVICER"), "event_order: 'SERVICER' is none of"),  # type: ignore[arg-type]
        (
            lambda: assumed_flows(loans(1.0, 0.1, 12), Assumptions(), amortisation="balloon"),
            "amortisation_term: give it for a balloon",
        ),
        (
            lambda: assumed_flows(loans(1.0, 0.1, 12), Assumptions(severity=[0.1] * 5)),
            r"severity: shape \(5,\), expected one number",
        ),
        (
            lambda: assumed_flows(loans(1.0, 0.1, 12), Assumptions(default=Default("loss_curve", 0.1, timing=(1.0,)))),
            "severity: a loss curve needs a severity above 0",
        ),
    ],
)
def test_what_cannot_be_assumed_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
