"""From a yield in ticks to a price and to cents, by the base-case flows that a listing has frozen.

Here Decimal meets float, once: a price is the engine's float rounded to eight decimals per 100.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

from accounts.errors import ApplicationError
from pricing.engine.valuation import price
from pricing.models import PriceReport

TICKS_PER_UNIT = 100_000
TICKS_PER_BP = 10
PRICE_STEP = Decimal("0.00000001")


def priced_class(report: PriceReport, tranche: str) -> Mapping[str, Any]:
    """The class's entry in the price report. ApplicationError where it has none."""
    for row in report.result["tranches"]:
        if row["name"] == tranche:
            found: Mapping[str, Any] = row
            return found
    raise ApplicationError(f"Class {tranche} is not in the price report: price the deal again.", code="not_priced")


def price_at(report: PriceReport, tranche: str, ticks: int) -> Decimal:
    """Price per 100 of original balance of the class's base-case flows at a bond-equivalent yield of ticks x 1e-5."""
    flows = priced_class(report, tranche)["flows"]
    cash = np.asarray(flows["interest"], dtype=float) + np.asarray(flows["principal"], dtype=float)
    delay = float(report.result.get("assumptions", {}).get("delay_months", 0.0))
    value = float(price(cash, ticks / TICKS_PER_UNIT, delay_months=delay)[0])
    if not np.isfinite(value) or value <= 0:
        raise ApplicationError(f"Class {tranche} has no base-case flows to price.", code="not_priced")
    return Decimal(value * 100).quantize(PRICE_STEP, ROUND_HALF_EVEN)


def hold_cents(amount: int, at: Decimal) -> int:
    """Cents earmarked for a bid: amount x price / 100, rounded up, so that no settlement at or below it falls short."""
    return int((amount * at / 100).to_integral_value(ROUND_CEILING))


def cash_cents(amount: int, at: Decimal) -> int:
    """Cents paid for amount at a settlement price, rounded to the nearest, half to even."""
    return int((amount * at / 100).to_integral_value(ROUND_HALF_EVEN))
