"""The template deals: each loads, balances at closing, conserves cash, pays its classes at base case, and does under
stress what its document says. Expected figures are computed here from the pool's flows by the rule the template states.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import typing
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import numpy as np
import pytest

from pooling.deals import template, template_collateral, template_names, template_title
from pooling.engine.deal import DealSpec, SpecError
from pooling.engine.deal.codec import alternatives, hints
from pooling.engine.deal.parts import Dates
from pooling.engine.deal.rules import SOURCES, PayKind
from pooling.engine.waterfall import (
    balancing_residual,
    compile_deal,
    execute,
    sources_and_uses,
)
from pooling.engine.waterfall.arithmetic import Mode
from tests.engine.template_runs import CENT, from_month, ran

NAMES = template_names()
OUT = {"fee", "interest", "principal", "facility", "hedge", "purchase", "residual", "transition"}
RESTARTED = (
    "balance", "interest", "principal", "fees", "accounts", "deficiency", "drawn", "hedge_net", "breached", "called",
    "residual", "pool_balance",
)  # fmt: skip
IN = {"collections", "income", "call"}


def test_there_is_a_template_for_every_structure_that_is_promised() -> None:
    assert set(NAMES) >= {
        "consumer-sequential", "prime-auto", "pro-rata-switch", "sme-deficiency", "merchant-revolving",
        "floating-swap", "pass-through", "senior-subordinated",
    }  # fmt: skip
    assert len({template_title(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_solved_and_survives_json(name: str) -> None:
    spec = template(name)

    assert spec.solved
    assert DealSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("name", NAMES)
def test_sources_equal_uses_at_closing(name: str) -> None:
    spec, pool = template(name), template_collateral(name)
    proceeds = {tranche.name: tranche.balance or 0 for tranche in spec.tranches}
    residual = balancing_residual(spec, pool.balance_cents, proceeds)

    closing = sources_and_uses(spec, pool.balance_cents, proceeds, residual)

    assert residual >= 0  # the notes never raise more than pool, reserve and expenses cost
    assert closing["total_sources"] == closing["total_uses"]
    assert round(float(pool.loans.balance.sum()) * 100) == pool.balance_cents


@pytest.mark.parametrize("name", NAMES)
def test_base_case_pays_every_class_in_full_and_on_time(name: str) -> None:
    _, _, _, deal = ran(name)

    assert deal.unpaid_principal.max() == 0.0
    assert deal.balance[:, -1].max() < CENT
    assert deal.interest_shortfall.max() < CENT
    assert deal.residual.sum() > 0.0
    assert deal.conservation_error < 1e-9 * deal.initial_balance.sum()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cdr", [None, 0.15])
def test_whole_cents_are_conserved_on_every_date(name: str, cdr: float | None) -> None:
    """Added up from the ledger alone: what was there + what came in = what went out + what is there."""
    speeds: dict[str, Any] = {} if cdr is None else {"cdr": cdr}
    spec, _, _, deal = ran(name, mode="cents", **speeds)
    assert deal.ledger is not None
    lent = {facility.name for facility in spec.facilities}
    lines = deal.ledger.lines
    received = {f"receive:{hedge.name}" for hedge in spec.hedges}
    came = [i for i, line in enumerate(lines) if line.kind in IN or line.id in received or line.source in lent]
    went = [i for i, line in enumerate(lines) if line.kind in OUT and line.id not in received]
    opening = np.concatenate([deal.opening_accounts[:, None], deal.accounts[:, :-1]], axis=1)

    gap = opening.sum(axis=0) + deal.ledger.amount[came].sum(axis=0)
    gap = gap - deal.ledger.amount[went].sum(axis=0) - deal.accounts.sum(axis=0)

    assert deal.ledger.amount.dtype == np.int64
    assert not gap.any()


@pytest.mark.parametrize("name", NAMES)
def test_cents_and_float64_tell_the_same_story(name: str) -> None:
    _, _, _, exact = ran(name, mode="cents")
    _, _, _, fast = ran(name)

    difference = np.abs(exact.balance / 100.0 - fast.balance).max()

    assert difference < 0.10  # half a cent a rounding, some of which add up over the dates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["float64", "cents"])
def test_a_template_restarted_in_mid_life_equals_the_uninterrupted_run(name: str, mode: Mode) -> None:
    spec, pool = template(name), template_collateral(name)
    flows = pool.flows(spec, cdr=0.10)
    program, options = compile_deal(spec, pool.balance_cents), pool.options(spec, cdr=0.10)
    dates = {1, 7 if spec.months_between == 1 else 3}
    whole = execute(program, flows, mode=mode, keep_states=dates, **options)

    for date in dates:
        later = from_month(flows, int(program.calendar.months[date - 1]))
        rest = execute(program, later, whole.state_after(date), mode=mode, **options)
        for key in RESTARTED:
            assert np.array_equal(getattr(rest, key), getattr(whole, key)[..., date:, :]), key
        assert np.array_equal(rest.unpaid_principal, whole.unpaid_principal)


def _parts(value: Any) -> typing.Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _parts(part)
    elif dataclasses.is_dataclass(value):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))


def _language(hint: Any, found: set[Any]) -> set[Any]:
    """Every dataclass of the language, from the type hints of DealSpec."""
    for option in alternatives(hint):
        if typing.get_origin(option) is tuple:
            for item in typing.get_args(option):
                _language(item, found)
        elif dataclasses.is_dataclass(option) and option not in found:
            found.add(option)
            for part in hints(option).values():
                _language(part, found)
    return found


def test_every_part_of_the_language_occurs_in_some_template() -> None:
    used = [part for name in NAMES for part in _parts(template(name))]

    assert _language(DealSpec, set()) == {type(part) for part in used}
    assert {part.pay for part in used if hasattr(part, "pay")} == set(typing.get_args(PayKind))
    assert {part.source for part in used if type(part).__name__ == "CollectionRule"} == {*SOURCES, "all"}


def test_every_optional_key_is_used_in_some_template() -> None:
    """Those that a special class inherits from a note are used by a note."""
    inherited = {"interest_deferrable", "deferral", "day_count", "accrual_dates", "currency"}
    used = {
        (type(part), field.name)
        for name in NAMES
        for part in _parts(template(name))
        for field in dataclasses.fields(part)
        if field.default is not dataclasses.MISSING and getattr(part, field.name) != field.default
    }
    optional = {
        (part, field.name)
        for part in _language(DealSpec, set())
        for field in dataclasses.fields(part)
        if field.default is not dataclasses.MISSING
        and not (part.__name__ in ("AccrualNote", "PlannedNote", "InterestOnly") and field.name in inherited)
    }

    assert {(part.__name__, name) for part, name in optional - used} == set()


# ------------------------------------------------------------------------------------------------------- JSON Schema
SCHEMA = jsonschema_rs.Draft202012Validator(DealSpec.json_schema(), validate_formats=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_fits_the_published_schema(name: str) -> None:
    assert SCHEMA.is_valid(template(name).to_json())


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown key": lambda d: d.update(waterfal=[]),
    "unknown key below": lambda d: d["tranches"][0].update(balnce=5),
    "missing key": lambda d: d.pop("residual"),
    "missing key below": lambda d: d["accounts"][1].pop("target"),
    "missing kind": lambda d: d["fees"][0].pop("kind"),
    "unknown kind": lambda d: d["fees"][0].update(kind="fixed"),
    "key of another kind": lambda d: d["fees"][0].update(amount=5),
    "older version": lambda d: d.update(schema_version=1),
    "text for a number": lambda d: d["fees"][0].update(rate="1%"),
    "fraction of a cent": lambda d: d["tranches"][0].update(balance=100.5),
    "null": lambda d: d.update(dates=None),
    "rate out of bounds": lambda d: d["fees"][0].update(rate=0.6),
    "negative balance": lambda d: d["tranches"][0].update(balance=-1),
    "choice": lambda d: d["conventions"].update(rounding="UP"),
    "day count": lambda d: d["tranches"][0].update(day_count="actual/360"),
    "name": lambda d: d["residual"].update(name="R 1"),
    "currency": lambda d: d.update(currency="usd"),
    "date": lambda d: d["dates"].update(closing="13 May 2026"),
    "day of no month": lambda d: d["dates"].update(closing="2026-02-30"),
    "pay": lambda d: d["waterfall"][0].update(pay="fees"),
    "list": lambda d: d["waterfall"][0].update(to="servicing"),
    "below an alternative": lambda d: d["alternatives"][0]["waterfall"][0].update(rule="equal"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_the_schema_can_know_is_refused_by_schema_and_reader(case: str) -> None:
    value = json.loads(json.dumps(template("prime-auto").to_json()))
    BROKEN[case](value)

    assert not SCHEMA.is_valid(value)
    with pytest.raises(SpecError):
        DealSpec.from_json(value)


# --------------------------------------------------------------------------------------------------- dates and scale
def test_every_date_of_a_template_moves_with_its_first_payment() -> None:
    given = Dates(
        cut_off=dt.date(2027, 4, 30), closing=dt.date(2027, 5, 14),
        first_payment=dt.date(2027, 6, 20), legal_final=dt.date(2032, 6, 20),
    )  # fmt: skip

    spec = template("merchant-revolving", dates=given)

    assert spec.dates == given
    assert spec.revolving is not None
    assert spec.revolving.until == dt.date(2029, 5, 31)  # 2028-05-31 and twelve months
    assert [part.date.year for part in spec.fees[2].amounts] == [2027, 2028, 2029]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_a_scaled_template_has_balances_of_whole_thousands_and_runs(name: str) -> None:
    cents = 1_234_567_890
    whole = template(name)
    spec, pool = template(name, scale_to=cents), template_collateral(name, scale_to=cents)

    for scaled, given in zip(spec.tranches, whole.tranches, strict=True):
        balance = scaled.balance or 0
        assert balance % 100_000 == 0
        assert 0 <= (given.balance or 0) * cents / template_collateral(name).balance_cents - balance < 100_000
    deal = execute(compile_deal(spec, cents), pool.flows(spec), **pool.options(spec))
    assert deal.conservation_error < 1e-9 * cents


def test_unknown_templates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name: no template is named 'prime-autos'; did you mean 'prime-auto'\?"):
        template("prime-autos")
    with pytest.raises(ValueError, match=r"scale_to: 99 cents are no pool; give at least 100000"):
        template("prime-auto", scale_to=99)
