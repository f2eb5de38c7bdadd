"""Life, window, factor, loss, yield and table of classes: against loops over one class and one scenario."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import re
from typing import Any

import numpy as np
import pytest

from pooling.deals import template, template_collateral
from pooling.engine.analytics import (
    average_lives,
    class_losses,
    class_table,
    class_yields,
    distribution,
    factors,
    principal_window,
)
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import compile_deal, execute
from tests.engine.analytics_deals import CLOSING, flows_of
from tests.engine.deal_builders import CUTOFF, CUTOFF_CENTS, random_flows, solved

SEED = 3


def random_deal(mode="float64", to_call=True):
    return execute(
        compile_deal(solved(), CUTOFF_CENTS), random_flows(SEED, stress=0.08), mode=mode, to_call=to_call
    )  # some scenarios of these lose principal of B or C


def test_lives_windows_and_factors_equal_a_loop_over_dates():
    deal = random_deal()
    lives = average_lives(deal, measure="ACT/365F")
    late = average_lives(deal, measure="ACT/365F", unpaid="at_last_date")
    window = principal_window(deal)
    scaled = factors(deal, pool_at_cutoff=CUTOFF)

    wiped_out = 0
    for k in range(3):
        for s in range(deal.scenarios):
            timed = total = 0.0
            months = []
            for t, date in enumerate(deal.dates):
                paid = float(deal.principal[k, t, s])
                timed += paid * (date - deal.closing).days / 365
                total += paid
                if paid > 0.005:
                    months.append(date)
            timed_late = float(deal.unpaid_principal[k, s]) * (deal.dates[-1] - deal.closing).days / 365
            assert late.years[k, s] == pytest.approx((timed + timed_late) / float(deal.initial_balance[k]), rel=1e-9)
            assert lives.repaid[k, s] == bool(months)
            if not months:
                assert math.isnan(lives.years[k, s])
                assert window.between(k, s) is None
                wiped_out += 1
                continue
            assert lives.years[k, s] == pytest.approx(timed / total, rel=1e-12)
            assert window.between(k, s) == (months[0], months[-1])
            assert window.first[k, s] == deal.dates.index(months[0]) + 1
    assert scaled.classes == pytest.approx(deal.balance / deal.initial_balance[:, None, None])
    assert scaled.pool == pytest.approx(deal.pool_balance / CUTOFF)
    assert wiped_out == 1  # a class that gets no principal is among those put to the test
    assert np.count_nonzero(deal.unpaid_principal) > wiped_out


def test_a_run_in_cents_and_one_in_currency_agree():
    money, cents = random_deal(), random_deal("cents")
    prices = {"A": 1.01, "B": 0.98, "C": 0.9}

    both = [class_yields(deal, prices, compounding="semiannual") for deal in (money, cents)]
    losses = [class_losses(deal) for deal in (money, cents)]

    assert both[1].rates == pytest.approx(both[0].rates, abs=1e-5)
    assert losses[1].principal == pytest.approx(losses[0].principal, abs=2.0)  # two hundred roundings of a cent
    assert (losses[1].principal * 100 % 1 == 0).all()
    assert average_lives(cents).years == pytest.approx(average_lives(money).years, abs=1e-4, nan_ok=True)
    assert factors(cents, pool_at_cutoff=CUTOFF).pool == pytest.approx(factors(money, pool_at_cutoff=CUTOFF).pool)


def test_class_table_reads_the_deal_and_adds_up_to_the_cent():
    deal = random_deal("cents")
    for k in range(3):
        table = class_table(deal, k, 1)

        opening: float = int(deal.initial_balance[k])
        for t, row in enumerate(table.rows):
            assert (row.number, row.date, row.opening) == (t + 1, deal.dates[t], opening)
            assert row.closing == opening + row.capitalised - row.principal == deal.balance[k, t, 1]
            assert (row.interest, row.shortfall) == (deal.interest[k, t, 1], deal.interest_shortfall[k, t, 1])
            assert row.factor == row.closing / deal.initial_balance[k]
            opening = row.closing
        assert table.total_principal + table.unpaid_principal == deal.initial_balance[k]
        assert table.total_interest == deal.interest[k, :, 1].sum()
        assert (table.name, table.unit, type(table.rows[0].interest)) == ("ABC"[k], "cents", int)


def test_table_of_a_restarted_run_goes_on_where_the_first_stopped():
    program, flows = compile_deal(solved(), CUTOFF_CENTS), random_flows(SEED, stress=0.08)
    whole = execute(program, flows, mode="cents", keep_states=(5,), to_call=False)
    columns = {f.name: getattr(flows, f.name) for f in dataclasses.fields(PoolFlows)[2:]}
    rest = dataclasses.replace(flows, **{n: a[..., 5:, :] for n, a in columns.items() if a is not None})
    later = execute(program, rest, whole.state_after(5), mode="cents", to_call=False)

    whole_window: Any = principal_window(whole).between(0, 0)
    assert class_table(later, 1, 2).rows == class_table(whole, 1, 2).rows[5:]
    assert principal_window(later).last[0, 0] == principal_window(whole).last[0, 0]
    assert principal_window(later).between(0, 0) == (later.dates[0], whole_window[1])


def test_yield_at_a_later_settlement_is_that_of_the_flows_after_it():
    """Bought after the second payment at 99 % of what is then outstanding; the scalar reference bisects."""
    deal = random_deal()
    settled = deal.dates[1]
    result = class_yields(deal, dict.fromkeys("ABC", 0.99), compounding="annual", measure="30/360", settlement=settled)

    for k in range(3):
        price = 0.99 * float(deal.balance[k, 1, 0])
        flows = [
            (((day.year - settled.year) * 12 + day.month - settled.month) / 12, float(i + p))
            for day, i, p in zip(deal.dates, deal.interest[k, :, 0], deal.principal[k, :, 0], strict=True)
        ][2:]
        low, high = -0.99, 5.0
        while high - low > 1e-13:
            middle = (low + high) / 2
            worth = sum(cash * (1 + middle) ** -time for time, cash in flows)
            low, high = (middle, high) if worth > price else (low, middle)
        assert result.rates[k, 0] == pytest.approx(low, abs=1e-11)


def test_interest_strips_and_accrual_classes_of_a_real_deal():
    """Template planned-accrual-strip: X has interest but no balance, Z accretes until its turn."""
    spec, pool = template("planned-accrual-strip"), template_collateral("planned-accrual-strip")
    program = compile_deal(spec, pool.balance_cents)
    deal = execute(program, pool.flows(spec), **pool.options(spec))
    prices = {"P": 1.0, "S": 1.0, "Z": 1.0}

    bare = class_yields(deal, prices, compounding="monthly")
    strip = class_yields(deal, prices | {"X": 2_000_000.0}, compounding="monthly")

    x, z = deal.names.index("X"), deal.names.index("Z")
    assert bare.reason(x, 0) == "the price is not a positive amount"
    assert bare.found[:, 0].tolist() == [True, True, True, False]
    assert strip.found.all()
    assert strip.rates[:x] == pytest.approx(bare.rates[:x])
    assert not average_lives(deal).repaid[x, 0]
    assert math.isnan(average_lives(deal).years[x, 0])
    assert principal_window(deal).between(x, 0) is None
    assert principal_window(deal).payments[x, 0] == 0
    scaled = factors(deal, pool_at_cutoff=pool.balance_cents / 100)
    assert scaled.has_balance.tolist() == [True, True, True, False]
    assert scaled.classes[z, :, 0].max() > 1.0  # accreted
    assert class_table(deal, x, 0).rows[0].factor is None
    accreted = average_lives(deal, accretion="negative_principal").years[z, 0]
    assert accreted > average_lives(deal).years[z, 0]


def test_a_deferrable_class_is_judged_on_its_last_date():
    deal = flows_of(
        principal=[[[0.0], [100.0]], [[0.0], [50.0]]],
        interest=np.zeros((2, 2, 1)),
        shortfall=[[[3.0], [0.0]], [[2.0], [0.004]]],
        names=("A", "B"),
    )
    assert class_losses(deal).shortfall.tolist() == [[3.0], [2.0]]
    assert class_losses(deal, deferrable=("B",)).shortfall.tolist() == [[3.0], [0.004]]
    assert class_losses(deal, deferrable=("B",)).broken().tolist() == [[True], [False]]
    with pytest.raises(ValueError, match="deferrable: the deal has no class 'b'"):
        class_losses(deal, deferrable=("b",))


def test_permuting_scenarios_permutes_results():
    flows = random_flows(SEED, stress=0.08)
    order = [3, 0, 4, 2, 1]
    columns = {f.name: getattr(flows, f.name) for f in dataclasses.fields(PoolFlows)[2:]}
    turned = dataclasses.replace(flows, **{n: a[..., order] for n, a in columns.items() if a is not None})
    program = compile_deal(solved(), CUTOFF_CENTS)
    one, two = (execute(program, pool) for pool in (flows, turned))

    assert np.array_equal(average_lives(one).years[:, order], average_lives(two).years, equal_nan=True)
    assert (principal_window(one).last[:, order] == principal_window(two).last).all()
    assert (class_losses(one).principal[:, order] == class_losses(two).principal).all()


def test_wrong_arguments_are_named():
    deal = flows_of(principal=[1.0], interest=[0.0])
    unknown: Any = "never"
    cases = {
        "k: 1 is no class": lambda: class_table(deal, 1, 0),
        "scenario: -1 is none of the 1": lambda: class_table(deal, 0, -1),
        "prices: class A has none": lambda: class_yields(deal, {}, compounding="annual"),
        "prices: the deal has no class 'X'": lambda: class_yields(deal, {"X": 1.0}, compounding="annual"),
        "settlement: nothing is paid after": lambda: class_yields(
            deal, {"A": 1.0}, compounding="annual", settlement=CLOSING + dt.timedelta(days=99)
        ),
        "settlement: equal periods count from closing": lambda: class_yields(
            deal, {"A": 1.0}, compounding="annual", measure="periods", settlement=CLOSING
        ),
        "pool_at_cutoff: 0.0 must be above 0": lambda: factors(deal, pool_at_cutoff=0.0),
        "unpaid: 'never' is unknown; use one of left_out": lambda: average_lives(deal, unpaid=unknown),
        "weights: shape (2,), expected (1,)": lambda: distribution([1.0], [1.0, 1.0]),
        "levels: (2.0,) must lie from 0 to 1": lambda: distribution([1.0], levels=(2.0,)),
    }
    for sentence, call in cases.items():
        with pytest.raises(ValueError, match=re.escape(sentence)):
            call()


def test_weighted_statistics_equal_repeated_scenarios_and_count_the_missing():
    """A weight of 3 is the scenario three times; one without a value is left out of mean and quantiles."""
    values, weights = np.array([[4.0, 1.0, np.nan, 2.0], [np.nan] * 4]), np.array([1.0, 3.0, 4.0, 0.0])
    repeated = [4.0, 1.0, 1.0, 1.0]

    result = distribution(values, weights, levels=(0.0, 0.75, 0.76, 1.0))

    assert result.defined.tolist() == [0.5, 0.0]
    assert result.mean[0] == pytest.approx(np.mean(repeated))
    assert result.deviation[0] == pytest.approx(np.std(repeated))
    assert result.quantiles[:, 0].tolist() == [1.0, 1.0, 4.0, 4.0]
    assert np.isnan(result.mean[1])
    assert np.isnan(result.quantiles[:, 1]).all()
