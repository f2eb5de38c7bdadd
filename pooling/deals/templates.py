"""Reading the template deals, moving them to other dates and scaling them to another pool."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
from importlib import resources
from typing import Any

from pooling.engine.deal import DealSpec
from pooling.engine.deal.codec import encode
from pooling.engine.deal.parts import Dates
from pooling.engine.words import suggestion

THOUSAND = 100_000  # cents
_DATE = re.compile(r"(?<![\w-])\d{4}-\d{2}-\d{2}(?![\w-])")
_COLLATERAL = "collateral"


def template_names() -> tuple[str, ...]:
    """Names of the template deals, sorted."""
    return tuple(sorted(cases()))


def template_title(name: str) -> str:
    """One line on a template. Raises ValueError for an unknown name."""
    return str(case(name)["title"])


def template(name: str, *, dates: Dates | None = None, scale_to: int | None = None) -> DealSpec:
    """A template deal: solved, so that it compiles and runs.

    dates: the deal's dates; every other date of the template (steps of a coupon, dated fees, the end of a revolving
    period, a call, dates in formulas) moves by the same number of months as the first payment. scale_to: pool balance
    in cents; class balances and planned balances are scaled to it and rounded down to whole thousands of the currency,
    so that the notes never outgrow their share of the pool. Fees and formulas keep their amounts.

    Raises ValueError for an unknown name or a pool too small; SpecError for dates the deal cannot have.
    """
    value = _read(name)
    if dates is not None:
        months = _months(dates.first_payment) - _months(dt.date.fromisoformat(value["dates"]["first_payment"]))
        value = _moved(value, months) | {"dates": encode(dates)}
    if scale_to is not None:
        _scale(value, scale_to, pool_cents(name))
    return DealSpec.from_json(value)


def pool_cents(name: str) -> int:
    """Cents of the pool that a template is written for."""
    return sum(group["balance"] for group in case(name)["groups"])


def case(name: str) -> dict[str, Any]:
    """What collateral.json says of a template. Raises ValueError for an unknown name."""
    known = cases()
    if name not in known:
        raise ValueError(f"name: no template is named {name!r}{suggestion(name, known)}")
    found: dict[str, Any] = known[name]
    return found


@functools.cache
def cases() -> dict[str, Any]:
    """Template name -> its collateral and base case."""
    found: dict[str, Any] = json.loads(_text(_COLLATERAL))
    return found


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")


def _read(name: str) -> dict[str, Any]:
    case(name)  # the name is known, so that it can lead to no other file
    value: dict[str, Any] = json.loads(_text(name))
    return value


def _months(day: dt.date) -> int:
    return day.year * 12 + day.month


def _moved(value: Any, months: int) -> Any:
    """The JSON with every date in it moved by whole months, also those that stand in a formula."""
    if isinstance(value, dict):
        return {key: _moved(part, months) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, months) for part in value]
    if isinstance(value, str):
        return _DATE.sub(lambda found: _later(dt.date.fromisoformat(found[0]), months).isoformat(), value)
    return value


def _later(day: dt.date, months: int) -> dt.date:
    """The same day `months` later, or the last of a shorter month."""
    year, month = divmod(_months(day) - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return dt.date(year, month + 1, last)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


def _scale(value: dict[str, Any], pool: int, written_for: int) -> None:
    """Scale the balances of the classes in place."""
    if pool < THOUSAND:
        raise ValueError(f"scale_to: {pool} cents are no pool; give at least {THOUSAND}")

    def scaled(cents: int) -> int:
        return cents * pool // (written_for * THOUSAND) * THOUSAND

    for tranche in value["tranches"]:
        if tranche["kind"] != "interest_only":
            tranche["balance"] = scaled(tranche["balance"])
        if "planned_balances" in tranche:
            tranche["planned_balances"] = [scaled(cents) for cents in tranche["planned_balances"]]
