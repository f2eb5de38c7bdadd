"""What the prices page shows: rows of the stored views as figures and texts, and the same as a file.

Nothing is decided here about who may see it, and nothing is simulated again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.errors import ApplicationError
from investors.engine.mandates import MandateTerms
from pricing.engine.decomposition import Decomposition, MandateValue, value_to_mandate

Json = Mapping[str, Any]
VIEWS = ("C", "B", "A")
VIEW_WORDS = {"C": "market grid", "B": "decomposition", "A": "scenario weights"}
STEP_WORDS = {
    "liquidity": "Liquidity",
    "expected_loss": "Expected loss",
    "capital": "Capital",
    "servicing": "Servicing",
    "unexplained": "Unexplained",
    "systematic_risk": "Price of risk",
    "paths": "Curve, paths",
}
KIND_WORDS = {
    "class": "Class",
    "residual": "Residual",
    "fee": "Fee",
    "hedge": "Hedge, paid less received",
    "facility": "Facility, repaid less drawn",
    "purchase": "Purchases",
    "transition": "Servicer transition",
}
BP = 1e4


@dataclass(frozen=True)
class Asked:
    """What the address asks for: a price of risk of the ladder, and the type of investor a mandate is read as."""

    theta: float
    investor: str


def asked(given: Mapping[str, str], views: Json) -> Asked:
    """The question in the address; what it leaves out is the snapshot's theta and the first type of investor.

    Raises ApplicationError naming the part of the address that is not to be had.
    """
    thetas = [rung["theta"] for rung in views["ladder"]]
    text = given.get("theta", "")
    try:
        theta = float(text) if text else float(views["terms"]["theta"])
    except ValueError:
        theta = -1.0
    if theta not in thetas:
        listed = ", ".join(f"{each:g}" for each in thetas)
        raise ApplicationError(f"theta: {text[:20]!r} is none of {listed}; choose one of them.", field="theta")
    keys = [each["key"] for each in views["investors"]]
    investor = given.get("investor") or keys[0]
    if investor not in keys:
        raise ApplicationError(f"investor: {investor[:20]!r} is none of {', '.join(keys)}.", field="investor")
    return Asked(theta, investor)


def rung_of(views: Json, theta: float) -> Json:
    """What the ladder holds at a theta."""
    found: Json = next(rung for rung in views["ladder"] if rung["theta"] == theta)
    return found


@dataclass(frozen=True)
class BarRow:
    """A bar of the waterfall, basis points."""

    label: str
    value: float
    total: bool = False


@dataclass(frozen=True)
class ClassPrices:
    """One class at a theta. about: what does not depend on it; at: what does. slot: seniority."""

    about: Json
    at: Json
    slot: int

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def views(self) -> list[tuple[str, Json, bool]]:
        """(letter, figures, whether it is the price) of each view."""
        found = self.at.get("views", {})
        return [(letter, found[letter], letter == self.about["view"]) for letter in VIEWS if letter in found]

    @property
    def bars(self) -> list[BarRow]:
        """Treasury to B, on to C, and from B to A."""
        if "views" not in self.at:
            return []
        spread = {letter: BP * self.at["views"][letter]["spread"] for letter in VIEWS}
        steps = {step["name"]: BP * step["spread"] for step in self.at["steps"]}
        bars = [BarRow(STEP_WORDS[step["name"]], BP * step["spread"]) for step in self.at["built"]]
        bars += [BarRow("B asked", spread["B"], True), BarRow("Unexplained", -steps["unexplained"])]
        bars += [BarRow("C market", spread["C"], True), BarRow("B asked ", spread["B"], True)]
        later = ("capital", "servicing", "systematic_risk", "paths")
        bars += [BarRow(STEP_WORDS[name], steps[name]) for name in later]
        return [*bars, BarRow("A weights", spread["A"], True)]

    @property
    def difference(self) -> tuple[float, float] | None:
        """View B less the view that is the price: basis points, price per 100; None where view A has no yield."""
        found = self.at.get("views")
        if found is None:
            return None
        own = found[self.about["view"]]
        return BP * (found["B"]["spread"] - own["spread"]), found["B"]["price"] - own["price"]


def class_prices(views: Json, rung: Json) -> list[ClassPrices]:
    """The classes that are priced, senior first."""
    at = {row["name"]: row for row in rung["classes"]}
    return [ClassPrices(row, at[row["name"]], slot) for slot, row in enumerate(views["classes"])]


def step_rows(classes: Sequence[ClassPrices]) -> list[dict[str, Any]]:
    """The bridge as a table: from Treasury to B, from C to B, from B to A; (bp, points) by class, and their sums."""
    shown = [each for each in classes if "views" in each.at]
    if not shown:
        return []

    def total(label: str, letter: str) -> dict[str, Any]:
        found = [each.at["views"][letter] for each in shown]
        return {"label": label, "total": True, "cells": [(BP * one["spread"], one["price"]) for one in found]}

    def steps(which: str) -> list[dict[str, Any]]:
        count = len(shown[0].at[which])
        return [
            {
                "label": STEP_WORDS[shown[0].at[which][i]["name"]],
                "total": False,
                "cells": [(BP * each.at[which][i]["spread"], each.at[which][i]["price"]) for each in shown],
            }
            for i in range(count)
        ]

    treasury = {"label": "Treasury at the life", "total": True, "cells": [(0.0, each.at["treasury"]) for each in shown]}
    first, *rest = steps("steps")
    return [
        treasury, *steps("built"), total("B, asked by a bank", "B"), total("C, market grid", "C"), first,
        total("B, asked by a bank", "B"), *rest, total("A, scenario weights", "A"),
    ]  # fmt: skip


def investor_rows(views: Json, classes: Sequence[ClassPrices], priced: Json) -> list[dict[str, Any]]:
    """One row a type of investor: by class its capital, what it asks, RoRAC at the market spread, and its price."""
    rows = []
    for place, investor in enumerate(views["investors"]):
        cells = []
        for each in classes:
            found = each.about["investors"][place]
            worth = _value(each, found, priced, 0.0)
            cells.append(found | {"price": 100 * worth.price, "over": 100 * worth.over_guide})
        rows.append({"investor": investor, "cells": cells})
    return rows


def residual_rows(views: Json) -> list[dict[str, Any]]:
    """View B of the residual certificate, one row a type of investor; none where the base case pays it nothing."""
    titles = {each["key"]: each["title"] for each in views["investors"]}
    return [row | {"title": titles[row["key"]]} for row in (views["residual"] or {}).get("investors", ())]


def mandate_rows(
    mandates: Sequence[tuple[str, MandateTerms]], classes: Sequence[ClassPrices], priced: Json, investor: str
) -> list[dict[str, Any]]:
    """One row a mandate, read as one type of investor: by class its required yield, price, and price over the guide."""
    rows = []
    for name, terms in mandates:
        cells = []
        for each in classes:
            found = next(row for row in each.about["investors"] if row["key"] == investor)
            worth = _value(each, found, priced, terms.yield_floor)
            cells.append(
                {
                    "required": worth.required,
                    "binding": worth.binding,
                    "price": 100 * worth.price,
                    "over": 100 * worth.over_guide,
                }
            )
        rows.append({"name": name, "floor": terms.yield_floor, "cells": cells})
    return rows


def _value(each: ClassPrices, found: Json, priced: Json, floor: float) -> MandateValue:
    row = next(row for row in priced["tranches"] if row["name"] == each.name)
    flows = [a + b for a, b in zip(row["flows"]["interest"], row["flows"]["principal"], strict=True)]
    decomposed = Decomposition(
        name=each.name, investor=found["key"], liquidity=found["liquidity"], expected_loss=found["expected_loss"],
        capital=found["capital"], servicing=found["servicing"], charge=found["charge"],
    )  # fmt: skip
    return value_to_mandate(
        decomposed, flows, benchmark=each.about["benchmark"], yield_floor=floor, guide_price=row["price"] / 100
    )


def loan_rows(views: Json, theta: float) -> list[dict[str, Any]]:
    """Loans by grade and term: price per 100 at theta, and what the price of risk takes off it."""
    thetas = [rung["theta"] for rung in views["ladder"]]
    at, none = thetas.index(theta), thetas.index(0.0)
    return [
        {
            "grade": cell["grade"],
            "term": cell["term"],
            "loans": cell["loans"],
            "balance": cell["balance"],
            "price": cell["prices"][at],
            "risk": cell["prices"][at] - cell["prices"][none],
        }
        for cell in views["loans"]["cells"]
    ]


def loans_beside_pool(views: Json, theta: float) -> Json:
    """The loans' sum without the luck of the draw, and the pool over it, at theta; empty where loans have no price."""
    found = views["loans"]
    if not found["cells"]:
        return {"reason": found["reason"]}
    at = [rung["theta"] for rung in views["ladder"]].index(theta)
    expected, pool = found["expected"][at], views["ladder"][at]["pool"]["value"]
    return {"expected": expected, "pool": pool, "luck": pool - expected, "scaled": found["scaled"]}


def conservation_rows(rung: Json) -> tuple[list[Json], list[Json]]:
    """Payees and sources that are worth anything."""
    found = rung["conservation"]
    payees = [row | {"words": KIND_WORDS[row["kind"]]} for row in found["payees"] if row["value"]]
    return payees, [row for row in found["sources"] if row["value"] or row["kind"] == "income"]


CSV_HEAD = ("theta", "class", "item", "spread", "yield", "price_per_100", "value", "se")


def prices_csv(views: Json) -> str:
    """Every theta of the ladder: views, steps and values; fractions, prices per 100, money in currency units; nothing
    is rounded."""
    lines: list[list[Any]] = [list(CSV_HEAD)]
    for rung in views["ladder"]:
        theta = rung["theta"]
        for row in rung["classes"]:
            for letter in VIEWS if "views" in row else ():
                seen = row["views"][letter]
                money = [row["value"], row["se"]] if letter == "A" else ["", ""]
                lines.append([theta, row["name"], letter, seen["spread"], seen["yield"], seen["price"], *money])
            for which, label in (("built", "Treasury to B"), ("steps", "C to A")):
                for step in row.get(which, ()):
                    item = f"{label}: {step['name']}"
                    lines.append([theta, row["name"], item, step["spread"], "", step["price"], "", ""])
        for side in ("payees", "sources"):
            for row in rung["conservation"][side]:
                lines.append([theta, "", f"{side}: {row['kind']} {row['name']}", "", "", "", row["value"], ""])
        lines.append([theta, "", "payees less sources", "", "", "", rung["conservation"]["error"], ""])
        for row in loan_rows(views, theta):
            item = f"loans {row['grade']}, {row['term']} months"
            lines.append([theta, "", item, "", "", row["price"], row["price"] * row["balance"] / 100, ""])
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    return out.getvalue()
