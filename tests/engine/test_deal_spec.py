"""The deal language: round trips, hashes, and a corpus of broken specs, each with its sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec, SpecError, default_template, diff
from tests.engine.deal_builders import solved, template_json

Mutation = Callable[[dict[str, Any]], object]

BROKEN: dict[str, tuple[Mutation, str]] = {
    "top-level misspelt": (
        lambda d: d.update(curency="USD"),
        "curency: unknown key; did you mean 'currency'?",
    ),
    "tranche key misspelt": (
        lambda d: d["tranches"][1].update(balnce=5),
        "tranches[1].balnce: unknown key; did you mean 'balance'?",
    ),
    "step key misspelt": (
        lambda d: d["waterfall"][3].update(role="sequential"),
        "waterfall[3].role: unknown key; did you mean 'rule'?",
    ),
    "far-off key": (
        lambda d: d["residual"].update(xyz=1),
        "residual.xyz: unknown key; known: name",
    ),
    "key missing": (
        lambda d: d["accounts"][1].pop("target"),
        "accounts[1].target: this key is missing",
    ),
    "version unknown": (lambda d: d.update(schema_version=1), "schema_version: 1 is not a choice; known: 2"),
    "version as truth value": (
        lambda d: d.update(schema_version=True),
        "schema_version: true is not a choice; known: 2",
    ),
    "currency not a code": (
        lambda d: d.update(currency="usd"),
        "currency: 'usd' does not fit the pattern [A-Z]{3}",
    ),
    "name empty": (lambda d: d.update(name=""), r"name: '' does not fit the pattern \S(.{0,118}\S)?"),
    "impossible date": (
        lambda d: d["dates"].update(closing="2026-02-30"),
        "dates.closing: '2026-02-30' is not a day of the calendar",
    ),
    "date not ISO": (
        lambda d: d["dates"].update(closing="15/07/2026"),
        "dates.closing: '15/07/2026' is not a date written as YYYY-MM-DD",
    ),
    "closing before cut-off": (
        lambda d: d["dates"].update(closing="2026-06-29"),
        "dates.closing: 2026-06-29 lies before the cut-off 2026-06-30",
    ),
    "legal final too early": (
        lambda d: d["dates"].update(legal_final="2026-08-14"),
        "dates.legal_final: 2026-08-14 lies before the first payment 2026-08-15",
    ),
    "frequency unknown": (
        lambda d: d.update(payment_frequency="monthy"),
        "payment_frequency: 'monthy' is not a choice; did you mean 'monthly'?",
    ),
    "balance with a fraction of a cent": (
        lambda d: d["tranches"][0].update(balance=100.5),
        "tranches[0].balance: 100.5 is not a whole number",
    ),
    "balance negative": (
        lambda d: d["tranches"][0].update(balance=-1),
        "tranches[0].balance: -1 is outside 0 to 1000000000000000",
    ),
    "coupon in percent": (
        lambda d: d["tranches"][2].update(coupon=8.5),
        "tranches[2].coupon: 8.5 is outside 0.0 to 1.0",
    ),
    "coupon not a number": (
        lambda d: d["tranches"][2].update(coupon=math.nan),
        "tranches[2].coupon: nan is no number of a specification",
    ),
    "coupon infinite": (
        lambda d: d["tranches"][2].update(coupon=math.inf),
        "tranches[2].coupon: inf is no number of a specification",
    ),
    "coupon as text": (
        lambda d: d["tranches"][2].update(coupon="5%"),
        "tranches[2].coupon: '5%' is not a number",
    ),
    "grade unknown": (
        lambda d: d["tranches"][0].update(target_grade="AAa"),
        "tranches[0].target_grade: 'AAa' is no indicative grade; did you mean 'AA'?",
    ),
    "name used twice": (
        lambda d: d["residual"].update(name="B"),
        "residual.name: 'B' is already the name at tranches[1].name",
    ),
    "no class": (lambda d: d.update(tranches=[]), "tranches: a deal needs at least one class of notes"),
    "tranches not a list": (
        lambda d: d.update(tranches={"A": 1}),
        "tranches: a list is expected, not an object",
    ),
    "fee of no kind": (
        lambda d: d["fees"][0].pop("kind"),
        "fees[0].kind: this key is missing; one of annual_percentage, dated, formula, one_off, per_loan, recurring",
    ),
    "fee kind misspelt": (
        lambda d: d["fees"][0].update(kind="anual_percentage"),
        "fees[0].kind: 'anual_percentage' is not a choice; did you mean 'annual_percentage'?",
    ),
    "fee in percent": (lambda d: d["fees"][0].update(rate=1), "fees[0].rate: 1.0 is outside 0.0 to 0.5"),
    "support unknown": (
        lambda d: d["waterfall"][0].update(support=["reserv"]),
        "waterfall[0].support[0]: no account or facility is named 'reserv'; did you mean 'reserve'?",
    ),
    "support twice": (
        lambda d: d["waterfall"][0].update(support=["reserve", "reserve"]),
        "waterfall[0].support: each name is given once",
    ),
    "null where none may be": (lambda d: d.update(conventions=None), "conventions: null is not allowed here"),
    "step pays nobody": (lambda d: d["waterfall"][0].update(to=[]), "waterfall[0].to: the step pays nobody"),
    "step pays a stranger": (
        lambda d: d["waterfall"][0].update(to=["servicng"]),
        "waterfall[0].to[0]: no fee is named 'servicng'; did you mean 'servicing'?",
    ),
    "step pays the wrong sort": (
        lambda d: d["waterfall"][1].update(to=["servicing"]),
        "waterfall[1].to[0]: 'servicing' is a fee, not a class",
    ),
    "class paid twice": (
        lambda d: d["waterfall"][4].update(to=["A", "B", "C", "A"]),
        "waterfall[4].to: each name is given once",
    ),
    "class forgotten": (
        lambda d: d["waterfall"][4].update(to=["A", "B"]),
        "waterfall: no step pays principal of 'C'",
    ),
    "fee forgotten": (lambda d: d["waterfall"].pop(0), "waterfall: no step pays the fee 'servicing'"),
    "residual not last": (
        lambda d: d["waterfall"].insert(0, d["waterfall"].pop()),
        "waterfall[0]: the residual must be the last step",
    ),
    "reserve step without reserve": (
        lambda d: d["accounts"].pop(1),
        "waterfall[0].support[0]: no account or facility is named 'reserve'; known: collection",
    ),
    "convention unknown": (
        lambda d: d["conventions"].update(event_order="default"),
        "conventions.event_order: 'default' is not a choice; did you mean 'default_first'?",
    ),
}


@pytest.mark.parametrize(("mutate", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_spec_gets_its_sentence(mutate: Mutation, sentence: str) -> None:
    broken = template_json()
    mutate(broken)

    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(broken)

    assert str(caught.value) == sentence
    assert sentence == f"{caught.value.path}: {caught.value.message}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"name": "a", "name": "b"}', "specification: key 'name' is given twice in one object"),
        ('{"closing_expenses": NaN}', "specification: NaN is no number of a specification"),
        ('{"closing_expenses": -Infinity}', "specification: -Infinity is no number of a specification"),
        ("[]", "specification: an object is expected, not a list"),
        ('{"name": ', "specification: not readable as JSON (Expecting value: line 1 column 10 (char 9))"),
        (" " * 1_000_001, "specification: 1000001 characters, at most 1000000 are read"),
    ],
)
def test_broken_text_gets_its_sentence(text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(text)
    assert str(caught.value) == sentence


def test_deep_and_huge_json_is_refused_without_a_crash() -> None:
    for text in ("[" * 200_000, '{"closing_expenses": ' + "9" * 100_000 + "}"):
        with pytest.raises(SpecError, match="not readable as JSON"):
            DealSpec.from_json(text)


def objects(value: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every object inside a JSON value with its path."""
    if isinstance(value, list):
        return [found for n, item in enumerate(value) for found in objects(item, f"{path}[{n}]")]
    if not isinstance(value, dict):
        return []
    inner = [found for k, v in value.items() for found in objects(v, f"{path}.{k}" if path else k)]
    return [(path, value), *inner]


@hypothesis_settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_misspelt_key_raises_with_its_path(data: st.DataObject) -> None:
    spec = template_json()
    path, target = data.draw(st.sampled_from(objects(spec)))
    key = data.draw(st.sampled_from(sorted(target)))
    place = data.draw(st.integers(0, len(key) - 1))
    misspelt = key[:place] + key[place + 1 :] + "_"
    target[misspelt] = target.pop(key)

    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(spec)

    assert caught.value.path.startswith(path)
    assert misspelt in str(caught.value)


@hypothesis_settings(max_examples=50, deadline=None)
@given(
    balances=st.tuples(*[st.integers(0, 10**12)] * 3),
    coupons=st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 3),
    expenses=st.integers(0, 10**9),
    fixed=st.integers(0, 10**6),
    rule=st.sampled_from(["sequential", "pro_rata"]),
)
def test_json_round_trip_is_identity_with_equal_hash(
    balances: tuple[int, ...], coupons: tuple[float, ...], expenses: int, fixed: int, rule: str
) -> None:
    value = template_json()
    value["closing_expenses"] = expenses
    value["fees"].append({"name": "trustee", "kind": "recurring", "amount": fixed})
    value["waterfall"].insert(0, {"pay": "fee", "to": ["trustee"]})
    value["waterfall"][5]["rule"] = rule
    spec = DealSpec.from_json(value).with_solution(
        dict(zip("ABC", balances, strict=True)), dict(zip("ABC", coupons, strict=True))
    )

    again = DealSpec.from_json(json.dumps(spec.to_json()))

    assert again == spec
    assert again.content_hash() == spec.content_hash()


def test_hash_ignores_key_order_and_number_spelling_but_not_content() -> None:
    value = template_json()
    value["tranches"][0]["coupon"] = 0
    reordered = dict(reversed(value.items())) | {"tranches": [dict(reversed(t.items())) for t in value["tranches"]]}
    reordered["tranches"][0]["coupon"] = -0.0
    spec = DealSpec.from_json(value)

    assert DealSpec.from_json(reordered).content_hash() == spec.content_hash()
    assert spec.with_solution({"A": 1}, {}).content_hash() != spec.content_hash()


def test_template_is_unsolved_until_balances_and_coupons_are_given() -> None:
    template = DealSpec.from_json(template_json())
    assert not template.solved
    assert [tranche.target_grade for tranche in template.tranches] == ["AA", "A", "BBB"]
    assert solved().solved
    assert template.dates.payments == 73


def test_payments_count_both_ends_and_short_months() -> None:
    dates = {"cut_off": "2026-01-15", "closing": "2026-01-15", "first_payment": "2026-01-31"}
    for legal_final, payments in (
        ("2026-01-31", 1),
        ("2026-02-27", 1),
        ("2026-02-28", 2),
        ("2027-01-31", 13),
    ):
        spec = default_template(name="D", currency="EUR", legal_final=legal_final, **dates)
        assert spec.dates.payments == payments


def test_solution_for_an_unknown_class_is_refused() -> None:
    with pytest.raises(SpecError, match="tranches: no class is named 'D'; known: A, B, C"):
        solved().with_solution({"D": 5}, {})
    with pytest.raises(SpecError, match=r"tranches\[1\].coupon: 7.0 is outside 0.0 to 1.0"):
        solved().with_solution({}, {"B": 7.0})


def test_spec_built_in_python_is_checked_like_json() -> None:
    with pytest.raises(SpecError, match=r"dates.closing: '2026-02-30' is not a day of the calendar"):
        default_template(
            name="D", currency="USD", cut_off="2026-01-01", closing="2026-02-30",
            first_payment="2026-03-15", legal_final="2031-03-15",
        )  # fmt: skip


def test_diff_names_each_place_once() -> None:
    before = solved()
    changed = before.to_json()
    changed["tranches"][1]["coupon"] = 0.07
    changed["fees"].append({"name": "trustee", "kind": "recurring", "amount": 100})
    changed["waterfall"].insert(1, {"pay": "fee", "to": ["trustee"], "rule": "sequential"})

    changes = [str(change) for change in diff(before, DealSpec.from_json(changed))]

    assert "tranches[B].coupon: 0.065 became 0.07" in changes
    assert any(change.startswith("fees[trustee]: (absent) became") for change in changes)
    assert diff(before, before) == ()


def test_schema_forbids_what_the_reader_refuses() -> None:
    """Every object of the published schema is closed, and its required keys are those without a default."""
    schema = DealSpec.json_schema()
    parts = [schema, *schema["$defs"].values()]

    assert all(part["additionalProperties"] is False for part in parts)
    assert set(schema["required"]) < set(template_json())
    tranche = schema["$defs"]["Note"]
    assert tranche["required"] == ["name", "kind"]
    assert tranche["properties"]["coupon"]["anyOf"][0] == {"type": "number", "minimum": 0.0, "maximum": 1.0}
    assert tranche["properties"]["coupon"]["anyOf"][-1] == {"type": "null"}
    assert len(schema["properties"]["fees"]["items"]["oneOf"]) == 6
    json.dumps(schema, allow_nan=False)


@pytest.mark.parametrize("bad", ["a\0b", "a\nb", "a\ud800b", "\u202ea"])
def test_a_text_that_cannot_be_printed_is_refused_with_its_path(bad: str) -> None:
    """A database's JSON takes no NUL and no lone surrogate; people are misled by the others."""
    spec = template_json()
    with pytest.raises(SpecError, match=r"name: .* holds a character that cannot be printed"):
        DealSpec.from_json(spec | {"name": bad})


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\ud800b"])
@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d, bad: d["tranches"][1].update(target_grade=bad), "tranches[1].target_grade"),
        (lambda d, bad: d["residual"].update(name=bad), "residual.name"),
        (lambda d, bad: d["waterfall"][0].update(to=[bad]), "waterfall[0].to[0]"),
    ],
)
def test_an_unprintable_text_is_refused_wherever_it_stands(
    change: Callable[[dict[str, Any], str], object], path: str, bad: str
) -> None:
    spec = template_json()
    change(spec, bad)
    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(json.dumps(spec))
    assert caught.value.path == path
    assert caught.value.message.endswith("holds a character that cannot be printed")


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\ud800b"])
def test_a_spec_built_in_code_holds_no_unprintable_text_either(bad: str) -> None:
    spec = DealSpec.from_json(template_json())
    with pytest.raises(SpecError, match=r"^name: .* holds a character that cannot be printed"):
        replace(spec, name=bad)


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\ud800b"])
@pytest.mark.parametrize("part", ["", "residual"])
def test_an_unknown_key_that_cannot_be_printed_is_named_in_a_sentence_that_can(bad: str, part: str) -> None:
    """The sentence is stored and shown: it must not carry on what it refuses."""
    spec = template_json()
    (spec[part] if part else spec)[bad] = 1
    with pytest.raises(SpecError, match="unknown key") as caught:
        DealSpec.from_json(spec)
    assert str(caught.value).isprintable()
    assert caught.value.path == f"{part}{'.' if part else ''}{bad!r}".replace("'", "")
