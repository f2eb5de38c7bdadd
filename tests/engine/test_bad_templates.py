"""The corpus of broken deals, third part: the template deals, broken as a user who edits one would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pooling.deals import template, template_names
from pooling.engine.deal import DealSpec, SpecError
from tests.engine.test_bad_features import FEATURES
from tests.engine.test_bad_specs import BROKEN, FORMULAS, TIMING, VALUES, sentence_of

Json = dict[str, Any]
Mutation = Callable[[Json], object]

# fmt: off
TEMPLATES: dict[str, tuple[str, Mutation, str]] = {
    "trigger the template does not have": (
        "pro-rata-switch", lambda d: d["triggers"].pop(1),
        ("definitions[1].formula: at character 29: 'trigger[delinquency]' is no quantity; see the table of "
         "quantities of the deal language")),
    "test step left without its trigger": ("pro-rata-switch", lambda d: d["triggers"][3].update(tested="opening"),
        "waterfall[7].to[0]: no trigger tested by a step is named 'below-target'"),
    "index of the swap only": ("floating-swap", lambda d: d.update(hedges=[]),
        "waterfall[1].to[0]: no swap is named 'swap'"),
    "ledger of a class that is gone": (
        "sme-deficiency", lambda d: d["deficiency"]["ledgers"][0].update(tranche="D"),
        "deficiency.ledgers[0].tranche: no class with principal is named 'D'; known: A, B, C"),
    "recoveries forgotten": ("sme-deficiency", lambda d: d["collections"].pop(1),
        "collections: no rule collects the recovery of the pool"),
    "group renamed": ("two-groups", lambda d: d["collateral"][1].update(name="leases"),
        "collections[1].group: no collateral group is named 'lease'; did you mean 'leases'?"),
    "shared account never filled": (
        "two-groups",
        lambda d: d.update(waterfall=[step for step in d["waterfall"] if step["to"] != ["shared"]]),
        "accounts[2]: nothing is ever paid into the account 'shared'; remove it or collect into it"),
    "purchase dropped": (
        "merchant-revolving",
        lambda d: d.update(waterfall=[step for step in d["waterfall"] if step["pay"] != "purchase"]),
        "waterfall: the deal revolves, but no step buys collateral; add a step purchase"),
    "plan of the planned class lost": (
        "planned-accrual-strip", lambda d: d["tranches"][0].update(planned_balances=[]),
        "tranches[0].planned_balances: a planned class needs its schedule of balances"),
    "planned class made a note": (
        "planned-accrual-strip",
        lambda d: (d["tranches"][0].update(kind="note"), d["tranches"][0].pop("planned_balances")),
        ("waterfall[2].amount: at character 5: 'class[P].planned_due' is no quantity; did you mean "
         "'class[P].interest_due'?")),
    "reserve lost": ("prime-auto", lambda d: d["accounts"].pop(1),
        "waterfall[0].support[0]: no account or facility is named 'reserve'; known: collection"),
    "fee lost": ("consumer-sequential", lambda d: d["fees"].pop(0),
        ("waterfall[0].to[1]: no fee is named 'rating-agency'; known: backup-servicing, servicing, trustee, "
         "trustee-expenses")),
    "residual with a condition": (
        "senior-subordinated", lambda d: d["waterfall"][-1].update(when="not trigger[turbo]"),
        "waterfall[7].when: the residual takes what is left on every date; no condition may hold it back"),
    "call into the reserve": ("floating-cap", lambda d: d["call"].update(into="reserve"),
        "call.into: no collection account is named 'reserve'; known: collection"),
    "other currency": ("pass-through", lambda d: d["accounts"][0].update(currency="JPY"),
        "accounts[0].currency: 'collection' is in JPY, the deal in USD; one deal pays one currency"),
}
# fmt: on


@pytest.mark.parametrize(("name", "mutate", "sentence"), TEMPLATES.values(), ids=TEMPLATES.keys())
def test_broken_template_deal_gets_its_sentence(name: str, mutate: Mutation, sentence: str) -> None:
    broken = template(name).to_json()
    mutate(broken)
    assert sentence_of(broken) == sentence


def places(value: Any, path: str = "") -> list[tuple[str, Json, str]]:
    """(path of the key, object, key) of every key inside a JSON value."""
    if isinstance(value, list):
        return [found for n, part in enumerate(value) for found in places(part, f"{path}[{n}]")]
    if not isinstance(value, dict):
        return []
    below = f"{path}." if path else ""
    inner = [found for key, part in value.items() for found in places(part, f"{below}{key}")]
    return [*((f"{below}{key}", value, key) for key in value), *inner]


@pytest.mark.parametrize("name", template_names())
def test_every_key_of_a_template_deal_misspelt_raises_with_its_path(name: str) -> None:
    """One key at a time, at every level; the same deal, mended, is the template again."""
    deal = template(name).to_json()
    for path, part, key in places(deal):
        part[f"{key}_"] = part.pop(key)
        with pytest.raises(SpecError) as caught:
            DealSpec.from_json(deal)
        # A part whose kind cannot be read is refused as such, and says which key stands there instead.
        if key == "kind" and caught.value.path == path:
            assert caught.value.message.startswith("this key is missing (found 'kind_'); one of "), path
        else:
            assert (caught.value.path, caught.value.message[:11]) == (f"{path}_", "unknown key"), path
        part[key] = part.pop(f"{key}_")
    assert DealSpec.from_json(deal) == template(name)


def test_the_corpus_is_large_and_every_sentence_says_where() -> None:
    """Over all parts; a sentence stands twice only for two ways into the same mistake."""
    sentences = [sentence for table in (BROKEN, FORMULAS, TIMING, VALUES, FEATURES) for _, sentence in table.values()]
    sentences += [sentence for _, _, sentence in TEMPLATES.values()]
    assert len(sentences) >= 240
    assert len(set(sentences)) >= 0.95 * len(sentences)
