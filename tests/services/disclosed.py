"""Listings whose rating discloses base-case flows: the market of factories.py with a deal and a path of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from marketplace.models import Listing
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.packing import flows_to_json
from pooling.models import DealVersion, Pool
from rating.models import RatingReport
from tests.engine.deal_builders import CUTOFF, random_flows
from tests.services.factories import POOL_BALANCE, Market

MONTHS = 36


def pool_flows(seed: int = 3, stress: float = 0.03) -> PoolFlows:
    """One random path of the factories' pool over 36 months. stress: greatest monthly default rate."""
    flows = random_flows(seed, months=MONTHS, scenarios=1, stress=stress)
    scale = POOL_BALANCE / 100 / CUTOFF
    amounts: dict[str, Any] = {
        name: column * scale for name, column in flows.columns.items() if name not in ("count", "coupon")
    }
    return replace(flows, opening_balance=flows.opening_balance * scale, **amounts)


def disclose(scene: Market, flows: PoolFlows, spec: DealSpec | None = None) -> Listing:
    """The scene's listing, its report with these flows; with another deal in place of the frozen one where given.

    Written past the services: the pages read rows, and what a rating would store of other deals is not made here.
    """
    listing = scene.listing
    report = RatingReport.objects.get(pk=listing.rating_report_id)
    disclosed = report.result | {"collateral": {"flows": flows_to_json(flows)}}
    RatingReport.objects.filter(pk=report.pk).update(result=disclosed)
    if spec is not None:
        DealVersion.objects.filter(pk=listing.deal_version_id).update(spec=spec.to_json())
        balance = round(float(flows.opening_balance.sum()) * 100)
        Pool.objects.filter(pk=listing.deal.pool_id).update(balance=balance)
    return Listing.objects.get(pk=listing.pk)
