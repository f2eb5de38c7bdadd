"""The deal language: round trips, hashes, and a corpus of broken specs, each with its sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pooling.engine.deal import DealSpec, SpecError, default_template, diff
from tests.engine.deal_builders import solved, template_json
from tests.engine.spec_strategies import Json, rich_deals


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


@hypothesis_settings(max_examples=60, deadline=None)
@given(deal=rich_deals())
def test_json_there_and_back_is_the_same_deal_with_the_same_hash(deal: Json) -> None:
    spec = DealSpec.from_json(deal)
    again = DealSpec.from_json(json.dumps(spec.to_json()))
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.content_hash() == spec.content_hash()


def objects(value: Any, path: str = "") -> list[tuple[str, Json]]:
    """Every object inside a JSON value with its path."""
    if isinstance(value, list):
        return [found for n, item in enumerate(value) for found in objects(item, f"{path}[{n}]")]
    if not isinstance(value, dict):
        return []
    inner = [found for k, v in value.items() for found in objects(v, f"{path}.{k}" if path else k)]
    return [(path, value), *inner]


@hypothesis_settings(max_examples=120, deadline=None)
@given(deal=rich_deals(), data=st.data())
def test_every_misspelt_key_raises_with_its_path(deal: Json, data: st.DataObject) -> None:
    spec = DealSpec.from_json(deal).to_json()
    path, target = data.draw(st.sampled_from(objects(spec)))
    key = data.draw(st.sampled_from(sorted(target)))
    place = data.draw(st.integers(0, len(key) - 1))
    misspelt = key[:place] + key[place + 1 :] + "_"
    target[misspelt] = target.pop(key)

    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(spec)

    assert caught.value.path.startswith(path)
    assert misspelt in str(caught.value)


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
