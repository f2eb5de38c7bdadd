"""The required rate in layers: printed figures, layers that add up, each loan worth par at it, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from pricing.engine.loan_apr import APR_LAYERS, RequiredApr, required_aprs, tilted_hazards
from pricing.engine.loans import LoanCells, RequiredReturn, cell_flows
from pricing.engine.valuation import price
from pricing.loan_pricing import loan_aprs
from rating.engine.curves import documented_model
from tests.engine.rating_pools import mixed_loans

TERM = 36
STACK = RequiredReturn(funding=0.0405, liquidity=0.015, servicing=0.01, risk_weight=0.75, excess_return=0.10)


def monthly(annual: float) -> float:
    return 1 - (1 - annual) ** (1 / 12)


def cells(pds: list[float]) -> LoanCells:
    """36 months, LGD 85 %, CPR 12 %."""
    n = len(pds)
    return LoanCells(
        rate=np.zeros(n),
        term=np.full(n, TERM),
        curve=np.arange(n),
        mdr=np.repeat([[monthly(pd)] for pd in pds], TERM, axis=1),
        smm=np.full((n, TERM), monthly(0.12)),
        severity=np.full(n, 0.85),
    )


def test_the_stack_is_that_of_a_printed_table() -> None:
    """Within 0.2 points (0.3 for the last row's losses): its yields are annual, ours bond-equivalent; no lag in either.

    Expected loss there holds servicing of 1 %; +3 % origination costs about 2.3 points over 36 months.
    """
    found = required_aprs(cells([0.01, 0.03, 0.10]), RequiredApr(STACK, origination=0.03))
    reached = np.cumsum([found.layers[name] for name in APR_LAYERS], axis=0)
    with_loss, with_liquidity, with_capital = reached[2], reached[3], reached[4]
    assert with_loss == pytest.approx([0.059, 0.077, 0.141], abs=0.002)
    assert with_liquidity == pytest.approx([0.074, 0.092, 0.156], abs=0.002)
    assert with_capital == pytest.approx([0.082, 0.100, 0.164], abs=0.002)
    assert found.layers["origination"] == pytest.approx([0.023, 0.023, 0.024], abs=0.002)


def test_layers_add_up_and_the_loan_is_worth_its_cost_at_the_rate() -> None:
    required = RequiredApr(STACK, theta=0.5, correlation=0.04, origination=0.03)
    given = cells([0.0, 0.02, 0.2])
    found = required_aprs(given, required)
    assert sum(found.layers.values()) == pytest.approx(found.apr, abs=1e-12)
    risky = replace(given, rate=found.apr, mdr=tilted_hazards(given.mdr, 0.5, 0.04))
    worth = price(cell_flows(risky, servicing=STACK.servicing), STACK.total_yield)
    assert worth == pytest.approx(1.03, abs=1e-8)
    # a loan that cannot default has neither loss nor price of risk
    assert found.layers["expected_loss"][0] == pytest.approx(0.0, abs=1e-9)
    assert found.layers["risk"][0] == pytest.approx(0.0, abs=1e-9)
    assert (found.layers["risk"][1:] > 0.0).all()


def test_the_price_of_risk_is_the_wang_transform_of_the_cumulative_probability() -> None:
    mdr = np.array([[0.01] * 24, [0.0] * 24, [0.002] * 24])
    tilted = tilted_hazards(mdr, 0.7, 0.09)
    before, after = (1 - np.cumprod(1 - found, axis=1) for found in (mdr, tilted))
    assert after[[0, 2]] == pytest.approx(ndtr(ndtri(before[[0, 2]]) + 0.3 * 0.7), abs=1e-12)
    assert not after[1].any()
    assert tilted_hazards(mdr, 0.0, 0.09) == pytest.approx(mdr, abs=1e-12)


def test_a_requirement_more_is_a_higher_rate_and_the_pool_is_solved_by_cells() -> None:
    loans, model = mixed_loans(3_000, 5), documented_model()
    base = loan_aprs(loans, model, RequiredApr(STACK))
    assert len(base.stack.apr) < len(loans)
    for more in (
        RequiredApr(replace(STACK, funding=0.05)),
        RequiredApr(replace(STACK, liquidity=0.03)),
        RequiredApr(replace(STACK, servicing=0.02)),
        RequiredApr(replace(STACK, excess_return=0.2)),
        RequiredApr(STACK, theta=0.5, correlation=0.04),
        RequiredApr(STACK, origination=0.02),
    ):
        assert (loan_aprs(loans, model, more).apr > base.apr).all()
    assert base.gap == pytest.approx(loans.rate - base.apr)
    # one loan alone is asked what it is asked among others
    one = loans.take(loans.loan_id == loans.loan_id[17])
    assert loan_aprs(one, model, RequiredApr(STACK)).apr[0] == pytest.approx(base.apr[17], abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"theta": -0.1}, r"^theta: -0.1 is outside \[0, 3\]"),
        ({"correlation": 1.0}, r"^correlation: 1.0 is outside \[0, 1\)"),
        ({"origination": 1.2}, r"^origination: 1.2 is no share"),
    ],
)
def test_bad_requirements_are_named(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RequiredApr(STACK, **changes)
