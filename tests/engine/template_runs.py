"""Runs of the template deals for their tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pooling.deals import TemplateCollateral, template, template_collateral
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from pooling.engine.waterfall.arithmetic import Mode

CENT = 0.01
EXACT = 1e-6  # currency units: sums of a few float64 terms of a hundred million


def ran(
    name: str, *, mode: Mode = "float64", flows: PoolFlows | None = None, **changes: Any
) -> tuple[DealSpec, TemplateCollateral, PoolFlows, DealFlows]:
    """(spec, collateral, flows, deal) of a template; changes: arguments of curve_flows or of execute()."""
    spec, pool = template(name), template_collateral(name)
    to_execute = {key: changes.pop(key) for key in ("stress", "forced", "to_call", "rates") if key in changes}
    flows = pool.flows(spec, **changes) if flows is None else flows
    options = pool.options(spec, **changes) | to_execute
    program = compile_deal(spec, pool.balance_cents)
    return spec, pool, flows, execute(program, flows, ledger=True, mode=mode, **options)


def paid(deal: DealFlows, line: str) -> Any:
    """(T,) of one transfer of the ledger."""
    assert deal.ledger is not None
    return deal.ledger.amount[[known.id for known in deal.ledger.lines].index(line), :, 0]


def before(series: Any, first: float) -> Any:
    """(T,) value at the start of each period."""
    return np.concatenate([[first], series[:-1]])


def from_month(flows: PoolFlows, month: int) -> PoolFlows:
    """The flows after so many months."""
    columns = flows.columns
    later: dict[str, Any] = {name: array[..., month:, :] for name, array in columns.items() if array is not None}
    return dataclasses.replace(flows, **later)
