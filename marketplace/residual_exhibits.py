"""What the page of the residual certificate shows: its values side by side, returns, and the monthly roll-forward.

Taken from the stored reports; only the yield at a reader's own price is computed here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django import forms

from pricing.engine.residual import RollForward, roll_forward
from pricing.engine.valuation import durations, price, solve_yields

Json = Mapping[str, Any]
VALUES = (
    ("scenario_value", "Scenario-weighted value"),
    ("base_value", "Base-case flows at the loss-adjusted yield"),
    ("pool_less_classes", "Pool less market value of the classes"),
)


@dataclass(frozen=True)
class Value:
    """One value of the certificate, currency units; error: of the simulation, or None; over: less the base value."""

    label: str
    basis: str
    value: float | None
    error: float | None
    over: float | None


@dataclass(frozen=True)
class Asked:
    """The certificate at a reader's price: base-case yields and what comes with them. reason: why there is none."""

    price: float
    yield_: float | None
    duration: float | None
    multiple: float
    reason: str


@dataclass(frozen=True)
class Exhibit:
    """Everything of the page. cash: base-case cash by month, currency units."""

    name: str
    values: tuple[Value, ...]
    weighted: Value | None
    quantiles: tuple[tuple[float, float | None], ...]
    irr_price: float
    residual_yield: float
    cash: tuple[float, ...]
    roll: RollForward
    first_cash: int | None

    @property
    def rows(self) -> list[tuple[int, float, float, float, float]]:
        """(month, opening, accretion, cash, closing) until nothing is left."""
        roll, last = self.roll, max((t for t, value in enumerate(self.cash) if value > 0), default=-1)
        return [
            (t + 1, float(roll.opening[t]), float(roll.accretion[t]), float(roll.cash[t]), float(roll.closing[t]))
            for t in range(last + 1)
        ]


class PriceForm(forms.Form):
    """A price in the address, in currency units; empty asks for the base value."""

    price = forms.FloatField(
        label="Price paid, USD", min_value=0.01, required=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "class": "num", "autocomplete": "off"}),
    )  # fmt: skip


def exhibit_of(rated: Json, priced: Json) -> Exhibit | None:
    """rated, priced: the results of the two reports. None where the price report values no residual certificate."""
    found = priced.get("residual")
    if not found:
        return None
    base = found["base_value"]
    cash = tuple(float(value) for value in rated["collateral"]["residual"])
    return Exhibit(
        name=found["name"],
        values=tuple(
            Value(
                label=label,
                basis=found.get("bases", {}).get(key, ""),
                value=found.get(key),
                error=found.get("scenario_value_se") if key == "scenario_value" else None,
                over=None if found.get(key) is None else found[key] - base,
            )
            for key, label in VALUES
        ),
        weighted=_weighted(priced.get("views"), base),
        quantiles=tuple(sorted((float(p), value) for p, value in found["irr_quantiles"].items())),
        irr_price=found["irr_price"],
        residual_yield=found["residual_yield"],
        cash=cash,
        roll=roll_forward(cash, found["residual_yield"]),
        first_cash=next((t + 1 for t, value in enumerate(cash) if value > 0), None),
    )


def _weighted(views: Json | None, base: float) -> Value | None:
    """View A at the snapshot's own price of risk."""
    if not views:
        return None
    theta = views["terms"]["theta"]
    rung = next((each for each in views["ladder"] if each["theta"] == theta), None)
    if rung is None:
        return None
    found = rung["residual"]
    basis = f"scenario weights at θ {theta:g}, the price of the risk that the market shares"
    return Value("Under the price of risk", basis, found["value"], found["se"], found["value"] - base)


def at_price(exhibit: Exhibit, paid: float) -> Asked:
    """Yield of the base-case flows at a price, bond-equivalent; multiple: cash over price."""
    cash = np.asarray(exhibit.cash)[None, :]
    total = float(cash.sum())
    solved = solve_yields(cash, np.array([paid]))
    rate = float(solved.yields[0])
    if not math.isfinite(rate):
        return Asked(paid, None, None, total / paid, solved.reasons[0])
    return Asked(paid, rate, float(durations(cash, rate)[1][0]), total / paid, "")


def value_at(exhibit: Exhibit, rate: float) -> float:
    """Base-case flows at a bond-equivalent yield, currency units."""
    return float(price(np.asarray(exhibit.cash)[None, :], rate)[0])


def residual_csv(exhibit: Exhibit) -> str:
    """The roll-forward by month, currency units."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(["month", "opening", "accretion", "cash", "closing"])
    lines.writerows(exhibit.rows)
    return out.getvalue()
