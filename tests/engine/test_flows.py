"""PoolFlows and the curves that fill it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.curves import curve_flows, monthly_rate
from pooling.engine.flows import COLUMNS, DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import flows_from_bytes, flows_from_json, flows_to_bytes, flows_to_json
from tests.engine.deal_builders import random_flows, slice_flows

FLOWS = ("interest", "scheduled_principal", "prepayment", "default", "charge_off", "recovery")
EXACT = 1e-9  # relative to amounts of some tens of thousands


def pool(balance: list[float], rate: list[float], term: list[int], group: list[str] | None = None) -> LoanArrays:
    n = len(balance)
    return LoanArrays(
        loan_id=np.array([f"L{i:04d}" for i in range(n)]),
        balance=np.array(balance),
        rate=np.array(rate),
        original_term=np.array(term),
        remaining_term=np.array(term),
        age=np.zeros(n, dtype=np.int64),
        grade=np.full(n, "A"),
        score=np.full(n, np.nan),
        group=np.array(group or ["all"] * n),
        sector=np.full(n, ""),
    )


def by_hand(
    balance: float,
    rate: float,
    term: int,
    smm: list[float],
    mdr: list[float],
    severity: float,
    lags: tuple[int, int],
    default_first: bool,
) -> dict[str, list[float]]:
    """One loan month by month, re-levelling the instalment on whatever performs."""  # fmt: skip
    charge_lag, recovery_lag = lags
    months = len(smm)
    rows: dict[str, list[float]] = {name: [0.0] * months for name in FLOWS}
    performing, i = balance, rate / 12
    for t in range(months):
        default = performing * mdr[t]
        rest, left = performing - default, term - t
        early = 0.0 if default_first else rest * smm[t]
        rest -= early
        interest = rest * i
        level = 0.0 if left < 1 else rest / left if i == 0 else rest * i / (1 - (1 + i) ** -left)
        scheduled = 0.0 if left < 1 else level - (interest if i else 0.0)
        late = (rest - scheduled) * smm[t] if default_first else 0.0
        rows["interest"][t], rows["scheduled_principal"][t] = interest, scheduled
        rows["prepayment"][t], rows["default"][t] = early + late, default
        if t + charge_lag < months:
            rows["charge_off"][t + charge_lag] = default
        if t + charge_lag + recovery_lag < months:
            rows["recovery"][t + charge_lag + recovery_lag] = default * (1 - severity)
        performing = rest - scheduled - late
    return rows


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    loans=st.lists(
        st.tuples(st.floats(100, 40_000), st.sampled_from([0.0, 0.06, 0.12, 0.29]), st.integers(1, 60)),
        min_size=1, max_size=4,
    ),
    speeds=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 1)),
    lags=st.tuples(st.integers(0, 6), st.integers(0, 9)),
    default_first=st.booleans(),
)  # fmt: skip
def test_curve_flows_equal_the_sum_of_loans_by_hand(
    loans: list[tuple[float, float, int]],
    speeds: tuple[float, float, float],
    lags: tuple[int, int],
    default_first: bool,
) -> None:
    cpr, cdr, severity = speeds
    arrays = pool(*(list(column) for column in zip(*loans, strict=True)))
    flows = curve_flows(
        arrays, cpr=cpr, cdr=cdr, severity=severity, charge_off_lag=lags[0], recovery_lag=lags[1],
        event_order="default_first" if default_first else "default_then_prepayment",
    )  # fmt: skip
    smm, mdr = [1 - (1 - cpr) ** (1 / 12)] * flows.months, [1 - (1 - cdr) ** (1 / 12)] * flows.months
    hand = [by_hand(*loan, smm, mdr, severity, lags, default_first) for loan in loans]

    for name in FLOWS:
        wanted = np.sum([rows[name] for rows in hand], axis=0)
        assert getattr(flows, name)[0, :, 0] == pytest.approx(wanted, rel=EXACT, abs=1e-6), name
    assert flows.check() < EXACT
    assert flows.performing[0, -1, 0] == pytest.approx(0.0, abs=1e-6)
    assert flows.charge_off.sum() == pytest.approx(flows.default.sum())
    assert flows.recovery.sum() == pytest.approx((1 - severity) * flows.default.sum())


def test_groups_add_up_to_the_pool() -> None:
    arguments: dict[str, Any] = {
        "cpr": 0.1,
        "cdr": 0.05,
        "severity": 0.9,
        "recovery_lag": 3,
        "charge_off_lag": 4,
    }
    one = pool([1000.0, 2000.0, 500.0], [0.1, 0.2, 0.0], [12, 36, 24])
    two = replace(one, group=np.array(["b", "a", "b"]))
    whole, parts = curve_flows(one, **arguments), curve_flows(two, **arguments)

    assert parts.groups == ("a", "b")
    assert parts.opening_balance.tolist() == [2000.0, 1500.0]
    assert parts.total_collections == pytest.approx(whole.total_collections)
    assert parts.total_pool_balance == pytest.approx(whole.total_pool_balance)


def test_delinquent_balance_ages_through_the_buckets() -> None:
    """All that defaults does so in month 1; with 120 days to charge-off it is one month in each bucket."""
    cdr = np.zeros(9)
    cdr[0] = 1 - 0.9**12
    flows = curve_flows(
        pool([1000.0], [0.12], [9]), cpr=0, cdr=cdr, severity=1, recovery_lag=0, charge_off_lag=4, horizon=9
    )

    assert flows.delinquent[0, :, :5, 0] == pytest.approx(100.0 * np.eye(5)[:4])
    assert flows.charge_off[0, 4, 0] == pytest.approx(100.0)
    assert flows.count[0, :6, 0] == pytest.approx([1, 1, 1, 1, 0.9, 0.9])
    assert flows.coupon[0, 0, 0] == pytest.approx(0.12)


def test_vector_of_speeds_is_read_by_month() -> None:
    flat = curve_flows(pool([1.0], [0.1], [6]), cpr=0.2, cdr=0.1, severity=0.5, recovery_lag=0, charge_off_lag=0)
    vector = curve_flows(
        pool([1.0], [0.1], [6]), cpr=np.full(6, 0.2), cdr=np.full(6, 0.1), severity=np.full(6, 0.5),
        recovery_lag=0, charge_off_lag=0,
    )  # fmt: skip
    assert np.array_equal(flat.total_collections, vector.total_collections)
    assert monthly_rate(1 - 0.99**12) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cpr": 1.2}, "cpr: 1.2 lies outside 0 to 1"),
        ({"cdr": float("nan")}, "cdr: nan lies outside 0 to 1"),
        ({"severity": [0.5, 0.5]}, r"severity: shape \(2,\), expected one number or \(12,\)"),
        ({"recovery_lag": -1}, "recovery_lag: -1 must not be negative"),
        ({"horizon": 0}, "horizon: 0 must be at least 1"),
        ({"event_order": "BMAA"}, "event_order: 'BMAA' is none of default_first, default_then_prepayment"),
    ],
)
def test_bad_curves_are_refused_by_name(change: dict[str, Any], sentence: str) -> None:
    arguments = {"cpr": 0, "cdr": 0, "severity": 0, "recovery_lag": 0, "charge_off_lag": 0} | change
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        curve_flows(pool([1.0], [0.1], [12]), **arguments)


def test_totals_are_shared_and_read_only() -> None:
    flows = random_flows(1)
    wanted = (flows.interest + flows.principal + flows.recovery).sum(axis=0)

    assert flows.total_collections == pytest.approx(wanted)
    assert flows.total_collections is flows.total_collections
    assert flows.total_pool_balance == pytest.approx(flows.pool_balance.sum(axis=0))
    with pytest.raises(ValueError, match="read-only"):
        flows.total_pool_balance[0, 0] = 1.0


def test_check_measures_a_broken_identity() -> None:
    flows = random_flows(1)
    broken = replace(flows, charge_off=flows.charge_off + 10.0)
    assert flows.check() < EXACT
    assert broken.check() == pytest.approx(10.0 / 1_000_000.0)


def test_slices_join_to_the_whole() -> None:
    flows = random_flows(1)
    joined = PoolFlows.concatenate(
        [slice_flows(flows, scenarios=slice(0, 2)), slice_flows(flows, scenarios=slice(2, 5))]
    )
    assert np.array_equal(joined.opening_balance, flows.opening_balance)
    for name, column in flows.columns.items():
        assert np.array_equal(joined.columns[name], column), name
    other = replace(flows, opening_balance=flows.opening_balance * 2)
    with pytest.raises(ValueError, match="different pools"):
        PoolFlows.concatenate([flows, other])


def test_wrong_shapes_are_refused_by_name() -> None:
    flows = random_flows(1)
    with pytest.raises(ValueError, match=r"recovery: shape \(1, 17, 5\), expected \(1, 18, 5\)"):
        replace(flows, recovery=flows.recovery[:, :-1])


def test_weighted_mean_is_a_pool_of_its_own() -> None:
    flows, weights = random_flows(3), np.array([0.0, 1.0, 2.0, 0.5, 1.5])
    mean = flows.weighted_mean(weights)
    share = weights / weights.sum()

    assert mean.scenarios == 1
    assert mean.check() < EXACT
    assert mean.total_collections[:, 0] == pytest.approx(flows.total_collections @ share)
    assert np.all((mean.coupon >= flows.coupon.min()) & (mean.coupon <= flows.coupon.max()))
    with pytest.raises(ValueError, match=r"weights: shape \(4,\), expected \(5,\), >= 0 and not all 0"):
        flows.weighted_mean(weights[1:])


def test_what_only_some_pools_have_is_kept_and_changes_no_bytes_of_the_others() -> None:
    plain = random_flows(2)
    extra = 0.1 * plain.performing
    late = np.stack([extra] * len(DELINQUENT_BUCKETS), axis=1)
    more = replace(plain, advanced_interest=extra, advanced_principal=2.0 * extra, arrears=late)

    header = json.loads(flows_to_bytes(plain).split(b"\n", 1)[0])
    assert [name for name, *_ in header["arrays"]] == ["opening_balance", *COLUMNS]
    back = flows_from_bytes(flows_to_bytes(more))
    assert flows_to_bytes(back) == flows_to_bytes(more)
    mean = more.weighted_mean(np.ones(5))
    assert flows_from_json(json.loads(json.dumps(flows_to_json(mean)))).columns.keys() == mean.columns.keys()
    joined = PoolFlows.concatenate([more, more])
    assert joined.arrears is not None
    assert joined.arrears.shape[-1] == 10
    with pytest.raises(ValueError, match="parts: only some slices hold advances or arrears; give slices of one run"):
        PoolFlows.concatenate([more, plain])


def test_sources_hold_the_advances_and_add_up_to_all_collections() -> None:
    plain = random_flows(2)
    extra = 0.1 * plain.performing
    more = replace(plain, advanced_interest=extra, advanced_principal=2.0 * extra)
    total = sum(more.source(name) for name in ("interest", "scheduled_principal", "prepayment", "recovery"))

    assert more.source("interest") == pytest.approx(plain.interest + extra)
    assert np.sum(total, axis=0) == pytest.approx(more.total_collections)
    assert more.total_collections == pytest.approx(plain.total_collections + 3.0 * extra.sum(axis=0))
    assert more.check() > 0.01  # advanced principal leaves the delinquent balance, which here it does not
