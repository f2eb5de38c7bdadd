"""The closed loop on the template deals: sizes, coupons, excess spread and grades at their fixed point.

A template's pool is made, and so is its risk: the hazards of its own base case, at the documented curve's correlation
and uncertainty. Plain note coupons are opened and solved; balances, strips and floating coupons stand as the template
has them. A floating class is rated and priced on the template's one path of its index, and collateral that is bought
later follows the base case in every scenario, which understates the risk of a revolving deal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pooling.deals import template
from pooling.deals.collateral import TemplateCollateral, template_collateral
from pooling.engine.deal import DealSpec
from pricing.engine.snapshot import MarketSnapshot
from pricing.structuring import Structure, Surroundings, structure_deal
from rating.engine.curves import documented_model
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import rating_scenarios, simulate

MONTHS_A_YEAR = 12


@dataclass(frozen=True)
class Loop:
    """A template's loop. structure: solved; scenarios: the weighted set it was solved on."""

    name: str
    structure: Structure
    scenarios: ScenarioSet


def loop_of(name: str, snapshot: MarketSnapshot, *, scenarios: int, seed: int) -> Loop:
    """Solve a template on its own pool. scenarios: best a power of two.

    Raises ValueError for an unknown name.
    """
    spec, collateral = template(name), template_collateral(name)
    model = model_of_template(collateral)
    drawn = rating_scenarios(collateral.loans, model, scenarios, seed)
    around = collateral.options(spec)
    structure = structure_deal(
        template=opened(spec),
        flows=simulate(collateral.loans, model, drawn, collateral.months(spec)),
        scenarios=drawn,
        snapshot=snapshot,
        pool_balance=collateral.balance_cents,
        model=model,
        surroundings=Surroundings(around["rates"], around.get("replacement")),
    )
    return Loop(name, structure, drawn)


def opened(spec: DealSpec) -> DealSpec:
    """The deal with its plain coupons taken out, so that the loop has to find them."""
    value = spec.to_json()
    for tranche in value["tranches"]:
        if isinstance(tranche["coupon"], float | int) and tranche["kind"] != "interest_only":
            tranche["coupon"] = None
    return DealSpec.from_json(value)


def model_of_template(collateral: TemplateCollateral) -> CreditModel:
    """A credit model whose every loan follows the template's base case: flat monthly hazards of its CDR and CPR.

    -ln(1 - a) / 12 a month for an annual fraction a. Correlation, parameter uncertainty and links are the documented
    curve's; nothing is known of such a pool, so that no experience lifts the cap on its grades.
    """
    base, term = collateral.base_case, int(collateral.loans.original_term.max())

    def flat(annual: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.full((1, term), -np.log1p(-annual) / MONTHS_A_YEAR)

    return replace(
        documented_model(),
        name=f"base case of {collateral.name}",
        bands=("pool",),
        terms=(term,),
        default_hazard=flat(base["cdr"]),
        prepayment_hazard=flat(base["cpr"]),
        grade_band={},
        score_floors=(),
        rate_ceilings=(),
        severity_mean=base["severity"],
        severity_bands=(),
        charge_off_lag=base["charge_off_lag"],
        recovery_lag=base["recovery_lag"],
        provenance={"hazards": {"kind": "assumption", "text": "the base case of the template deal"}},
        fallbacks=(),
        sectors=(),
        sector_share=0.0,
        sector_correlation=(),
        history_months=0,
    )


def excess_spread(structure: Structure) -> float:
    """Annual fraction of the pool at closing: its coupon less what classes and a servicing fee of the deal take of it.

    From the base case's first month: interest collected less class interest and fees due, times twelve over the pool.
    """
    base, flows = structure.base, structure.base_flows
    pool = float(flows.opening_balance.sum())
    first = float(flows.interest[:, 0].sum() - base.interest[:, 0].sum() - base.fees[:, 0].sum())
    return MONTHS_A_YEAR * first / pool
