"""A representative pool for each template deal: loans spread over ranges of rate and term, and base-case curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pooling.deals.templates import case, pool_cents
from pooling.engine.curves import curve_flows
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import FloatArray, LoanArrays

CENTS = 100.0
_STRIDE = 7919  # prime: rate and term of a made pool go through their ranges in different orders


@dataclass(frozen=True)
class TemplateCollateral:
    """Loans and assumptions that a template runs over.

    loans: made, not observed: equal balances, rates and terms spread evenly over a range. balance_cents: the pool at
    cut-off. base_case: keyword arguments of curve_flows. rates: index -> annual fraction on the first and the last
    payment date, a straight line between them. replacement: loans that a revolving period buys, or None.
    """

    name: str
    loans: LoanArrays
    balance_cents: int
    base_case: Mapping[str, Any]
    rates: Mapping[str, tuple[float, float]]
    replacement: LoanArrays | None

    def flows(self, spec: DealSpec, **changes: Any) -> PoolFlows:
        """Flows of the pool up to legal final, S = 1. changes: arguments of curve_flows in place of the base case's."""
        return curve_flows(self.loans, horizon=self.months(spec), **dict(self.base_case) | changes)

    def months(self, spec: DealSpec) -> int:
        """Months of collections up to legal final."""
        first = spec.dates.first_collection_months or spec.months_between
        return first + spec.months_between * (spec.payments - 1)

    def options(self, spec: DealSpec, **changes: Any) -> dict[str, Any]:
        """What execute() needs beside the flows: rates of every index and the flows of replacement collateral."""
        steps = np.linspace(0.0, 1.0, spec.payments)
        found: dict[str, Any] = {
            "rates": {name: first + (last - first) * steps for name, (first, last) in self.rates.items()}
        }
        if self.replacement is not None:
            found["replacement"] = curve_flows(self.replacement, **dict(self.base_case) | changes)
        return found


def template_collateral(name: str, *, scale_to: int | None = None) -> TemplateCollateral:
    """The representative pool and base case of a template. scale_to: pool balance in cents, as in template().

    Raises ValueError for an unknown name.
    """
    found = case(name)
    cents = pool_cents(name) if scale_to is None else scale_to
    scale = cents / pool_cents(name)
    replacement = found.get("replacement")
    return TemplateCollateral(
        name=name,
        loans=_loans(found["groups"], scale),
        balance_cents=cents,
        base_case=found["base_case"],
        rates={index: (first, last) for index, (first, last) in found["rates"].items()},
        replacement=None if replacement is None else _loans([replacement], 1.0),
    )


def _loans(groups: list[dict[str, Any]], scale: float) -> LoanArrays:
    parts = [_group(group, scale) for group in groups]
    return LoanArrays.sorted_by_id(**{key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def _group(group: Mapping[str, Any], scale: float) -> dict[str, Any]:
    n = group["loans"]
    place = np.arange(n)
    mixed = place * _STRIDE % n
    remaining = np.rint(_spread(group["remaining_term"], place)).astype(np.int64)
    age = np.rint(_spread(group["age"], mixed)).astype(np.int64)
    return {
        "loan_id": np.array([f"{group['name']}-{i:05d}" for i in range(n)]),
        "balance": np.full(n, group["balance"] / CENTS / n * scale),
        "rate": _spread(group["rate"], mixed),
        "original_term": remaining + age,
        "remaining_term": remaining,
        "age": age,
        "grade": np.full(n, ""),
        "score": np.full(n, np.nan),
        "group": np.full(n, group["name"]),
        "sector": np.full(n, ""),
    }


def _spread(ends: list[float], place: Any) -> FloatArray:
    """Evenly from the first end to the last, by place 0 to n - 1."""
    low, high = ends
    n = len(place)
    spread: FloatArray = low + (high - low) * (place / max(n - 1, 1))
    return spread
