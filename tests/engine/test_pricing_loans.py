"""Differential loan prices: the stack adds up, and agrees with a published table and a scalar reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.engine.loans import LAYERS, LoanCells, RequiredReturn, cell_flows, loan_prices, required_rates
from pricing.engine.valuation import solve_yields


def _monthly(annual: float) -> float:
    return 1 - (1 - annual) ** (1 / 12)


def _cells(
    rates: list[float],
    pds: list[float],
    term: int = 36,
    cpr: float = 0.12,
    severity: float = 0.85,
    lag: int = 0,
) -> LoanCells:
    n = len(rates)
    return LoanCells(
        rate=np.array(rates), term=np.full(n, term), curve=np.arange(n),
        mdr=np.repeat([[_monthly(pd)] for pd in pds], term, axis=1), smm=np.full((n, term), _monthly(cpr)),
        severity=np.full(n, severity), lag=lag,
    )  # fmt: skip


def _scalar_flows(rate: float, term: int, mdr: float, smm: float, severity: float, lag: int, fee: float) -> list[float]:
    """One loan, month by month, with the instalment of what still performs."""
    i, balance = rate / 12, 1.0
    cash = [0.0] * (term + lag)
    for month in range(term):
        left = term - month
        lost = balance * mdr
        alive = balance - lost
        payment = alive * i / (1 - (1 + i) ** -left) if i else alive / left
        principal = payment - alive * i
        extra = (alive - principal) * smm
        cash[month] += payment + extra - alive * fee / 12
        cash[month + lag] += lost * (1 - severity)
        balance = alive - principal - extra
    return cash


@settings(max_examples=40)
@given(
    st.just(0.0) | st.floats(1e-3, 0.35), st.integers(1, 60), st.floats(0, 0.05), st.floats(0, 0.1),
    st.floats(0, 1), st.integers(0, 6), st.floats(0, 0.02),
)  # fmt: skip
def test_vectorised_flows_equal_the_scalar_reference(
    rate: float, term: int, mdr: float, smm: float, severity: float, lag: int, fee: float
) -> None:
    cells = LoanCells(
        np.array([0.1, rate]), np.array([60, term]), np.array([0, 1]),
        np.array([np.full(60, 0.01), np.full(60, mdr)]), np.full((2, 60), smm),
        np.array([0.9, severity]), lag,
    )  # fmt: skip
    got = cell_flows(cells, servicing=fee)[1]
    expected = _scalar_flows(rate, term, mdr, smm, severity, lag, fee)
    assert got[: len(expected)] == pytest.approx(expected, abs=1e-12)
    assert not got[len(expected) :].any()


def test_required_rates_agree_with_the_stack_of_the_notes() -> None:
    # notes/pricing.md, section 4: 36 months, LGD 85 %, CPR 12 %, servicing 1 %, funding 4.05 %; columns EL
    # only, + 1.5 % liquidity, + capital (weight 75 %, excess return 10 %). Its flow conventions are not
    # printed: 0.2 percentage points.
    table = {0.01: (5.9, 7.4, 8.2), 0.03: (7.7, 9.2, 10.0), 0.10: (14.1, 15.6, 16.4)}
    cells = _cells([0.1] * 3, list(table))
    stacks = (
        RequiredReturn(0.0405, liquidity=0.0, excess_return=0.0),
        RequiredReturn(0.0405, liquidity=0.015, excess_return=0.0),
        RequiredReturn(0.0405, liquidity=0.015, excess_return=0.10),
    )
    for column, stack in enumerate(stacks):
        expected = [row[column] for row in table.values()]
        assert required_rates(cells, stack) * 100 == pytest.approx(expected, abs=0.2)


def test_layers_add_up_to_the_price() -> None:
    cells = _cells([0.08, 0.14, 0.25], [0.01, 0.05, 0.15], lag=4)
    priced = loan_prices(cells, RequiredReturn(0.0405))
    assert tuple(priced.layers) == LAYERS
    total = priced.layers["contract"] - sum(priced.layers[name] for name in LAYERS[1:])
    assert total == pytest.approx(priced.price, abs=1e-15)
    assert all((priced.layers[name] > 0).all() for name in LAYERS)
    assert priced.required_yield == pytest.approx(0.0405 + 0.015 + 0.10 * 0.105 * 0.75)
    # The contract at par yields its own rate: 8 % nominal monthly as a bond-equivalent yield.
    assert priced.contract_yield[0] == pytest.approx(2 * ((1 + 0.08 / 12) ** 6 - 1), abs=1e-10)
    assert (priced.loss_adjusted_yield < priced.contract_yield).all()


def test_a_loan_at_its_required_rate_is_worth_par_and_yields_the_stack() -> None:
    cells = _cells([0.1, 0.1], [0.02, 0.08])
    stack = RequiredReturn(0.0405)
    at_par = replace(cells, rate=required_rates(cells, stack))
    priced = loan_prices(at_par, stack)
    assert priced.price == pytest.approx([1, 1], abs=1e-9)
    assert priced.loss_adjusted_yield == pytest.approx([stack.total_yield] * 2, abs=1e-9)
    hopeless = _cells([0.1], [0.999999], severity=1.0)
    assert np.isnan(required_rates(hopeless, stack)[0])


def test_worse_grades_are_worth_less() -> None:
    cells = _cells([0.12] * 4, [0.01, 0.03, 0.06, 0.12])
    prices = loan_prices(cells, RequiredReturn(0.0405)).price
    assert (np.diff(prices) < 0).all()


@pytest.mark.shared
def test_a_one_percent_payment_fee_costs_seven_tenths(shared: Path) -> None:
    content = json.loads((shared / "oracles" / "pricing" / "13_marketplace_loan_pricing.json").read_text())
    case = next(case for case in content["cases"] if case["id"] == "lc_1pct_payment_fee_impact")
    cells = _cells([case["inputs"]["rate"]], [0.0], term=case["inputs"]["months"], cpr=0.0)
    kept = cell_flows(cells) * (1 - case["inputs"]["fee_of_each_payment"])
    net = solve_yields(kept, 1.0, compounding="monthly").yields[0]
    assert case["inputs"]["rate"] - net == pytest.approx(case["expected"]["yield_impact"], abs=case["tol"])


def test_bad_cells_are_named() -> None:
    cells = _cells([0.1], [0.05])
    with pytest.raises(ValueError, match=r"severity: values from 1\.5 to 1\.5 leave their range"):
        replace(cells, severity=np.array([1.5]))
    with pytest.raises(ValueError, match=r"term: shape \(2,\), expected \(1,\)"):
        replace(cells, term=np.array([36, 36]))
    with pytest.raises(ValueError, match="term: values from 37 to 37 leave their range"):
        replace(cells, term=np.array([37]))
