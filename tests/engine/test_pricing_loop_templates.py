"""The closed loop on every template deal: it ends, its end is a fixed point, and what stands still stands."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from django.core.management import CommandError, call_command

from pooling.deals import template, template_names
from pooling.deals.collateral import template_collateral
from pooling.engine.waterfall import compile_deal, execute
from pricing.engine.structure import COUPON_TICK, solve_structure
from pricing.engine.tranches import unit_flows
from pricing.engine.valuation import average_life
from pricing.loop import Loop, excess_spread, loop_of, model_of_template, opened
from pricing.market import default_snapshot
from pricing.structuring import structure_deal
from rating.engine.simulation import rating_scenarios, simulate

SCENARIOS, SEED = 128, 7
TICK = COUPON_TICK * (1 + 1e-6)


@pytest.fixture(scope="module")
def loops() -> dict[str, Loop]:
    return {name: loop_of(name, default_snapshot(), scenarios=SCENARIOS, seed=SEED) for name in template_names()}


@pytest.mark.parametrize("name", template_names())
def test_the_loop_ends_at_a_fixed_point(loops: dict[str, Loop], name: str) -> None:
    structure, spec = loops[name].structure, template(name)
    solution = structure.solution
    assert solution.converged, solution.reason
    assert solution.coupon_gap <= TICK
    last = solution.steps[-1]
    for tranche in spec.tranches:
        # plain coupons were opened and found, all others stand
        found = structure.spec.tranches[spec.class_names.index(tranche.name)]
        if isinstance(tranche.coupon, float | int) and tranche.kind != "interest_only":
            assert isinstance(found.coupon, float)
            assert abs(last.required[tranche.name] - found.coupon) <= TICK
        else:
            assert found.coupon == tranche.coupon
        assert found.balance == tranche.balance
    assert structure.base.conservation_error < 1e-6 * float(structure.base.initial_balance.sum())


@pytest.mark.parametrize("name", template_names())
def test_a_solved_class_is_worth_par_at_its_own_coupon(loops: dict[str, Loop], name: str) -> None:
    """Bar a tick of coupon, days of an odd first period, and losses of the base case."""
    structure, spec = loops[name].structure, template(name)
    for tranche, price in zip(spec.tranches, structure.prices, strict=True):
        opened_here = isinstance(tranche.coupon, float | int) and tranche.kind != "interest_only"
        if opened_here and structure.base.unpaid_principal[structure.base.names.index(tranche.name), 0] < 1.0:
            assert price.price == pytest.approx(1.0, abs=0.025 if spec.months_between > 1 else 0.003)


def test_a_deal_that_pays_every_quarter_has_the_life_of_its_payment_months() -> None:
    name = "sme-deficiency"
    spec, collateral = template(name), template_collateral(name)
    assert spec.months_between == 3
    deal = execute(
        compile_deal(spec, collateral.balance_cents), collateral.flows(spec), rates=collateral.options(spec)["rates"]
    )
    cash, principal = unit_flows(deal)
    assert cash.shape[1] == 3 * deal.months
    assert not cash[:, [k for k in range(cash.shape[1]) if k % 3 != 2]].any()
    months = [3 * (t + 1) for t in range(deal.months)]
    by_hand = sum(m * p for m, p in zip(months, deal.principal[0, :, 0], strict=True)) / deal.principal[0].sum() / 12
    assert average_life(principal)[0] == pytest.approx(by_hand, rel=1e-12)


def test_other_coupons_to_begin_with_end_at_the_same_ones(loops: dict[str, Loop]) -> None:
    found = loops["pro-rata-switch"].structure.solution
    step = found.steps[-1]
    again = solve_structure(
        dict.fromkeys(found.coupons, 0.09),
        size=lambda coupons: found.balances,
        evaluate=lambda balances, coupons: (step.grades, step.lives),
        coupons_for=lambda grades, lives: dict(step.required),
    )
    assert again.converged
    assert again.coupons == pytest.approx(dict(found.coupons), abs=TICK)


def test_a_cycle_of_one_tick_has_converged_and_a_wider_one_has_not() -> None:
    def swinging(low: float, high: float) -> tuple[bool, str, float]:
        solution = solve_structure(
            {"A": low},
            size=lambda coupons: {"A": 100},
            evaluate=lambda balances, coupons: ({"A": "CCC"}, {"A": 2.0}),
            coupons_for=lambda grades, lives: {"A": next(turns)},
        )
        return solution.converged, solution.reason, solution.coupons["A"]

    turns = iter([0.12202, 0.12201, 0.12201])
    reason = "Coupons, sizes and grades repeat to one tick of coupon after 3 passes."
    assert swinging(0.12201, 0.12202) == (True, reason, 0.12202)
    turns = iter([0.13, 0.12, 0.12])
    assert swinging(0.12, 0.13) == (False, "The coupons go round in a cycle; its highest coupons are held.", 0.13)


def test_a_class_that_is_never_repaid_is_named() -> None:
    name = "prime-auto"
    spec, collateral = opened(template(name)), template_collateral(name)
    model = model_of_template(collateral)
    model = replace(model, severity_mean=1.0, default_hazard=40 * model.default_hazard)
    drawn = rating_scenarios(collateral.loans, model, 64, SEED)
    with pytest.raises(ValueError, match=r"^coupon: class [ABC].* is repaid nothing in the base case"):
        structure_deal(
            template=spec,
            flows=simulate(collateral.loans, model, drawn, collateral.months(spec)),
            scenarios=drawn,
            snapshot=default_snapshot(),
            pool_balance=collateral.balance_cents,
            model=model,
        )


def test_the_command_shows_every_pass() -> None:
    out = io.StringIO()
    call_command("loop", "prime-auto", "floating-swap", scenarios=64, stdout=out)
    lines = out.getvalue().splitlines()
    assert json.loads(lines[-1]) == {"figures": {"templates": 2, "converged": 2}}
    assert sum(line.strip().startswith("pass ") for line in lines) >= 4
    assert sum("converged: Coupons, sizes and grades repeat" in line for line in lines) == 2
    with pytest.raises(CommandError, match="no template is named 'prime-boat'"):
        call_command("loop", "prime-boat")


def test_excess_spread_is_the_pools_coupon_less_what_is_due(loops: dict[str, Loop]) -> None:
    structure = loops["pro-rata-switch"].structure
    weights = structure.base.initial_balance / structure.base_flows.opening_balance.sum()
    coupons = [tranche.coupon for tranche in structure.spec.tranches if isinstance(tranche.coupon, float)]
    fees = 12 * float(structure.base.fees[:, 0].sum() / structure.base_flows.opening_balance.sum())
    rough = float(structure.base_flows.coupon[:, 0].mean()) - sum(c * w for c, w in zip(coupons, weights, strict=True))
    # the month's defaults and the days of the first period lie between
    assert excess_spread(structure) == pytest.approx(rough - fees, abs=0.012)
    assert fees > 0.004
