"""Differences of two deals as data and in sentences."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from pooling.deals import template, template_names
from pooling.engine.deal import DealSpec
from pooling.engine.deal.diff import Change, diff, diff_in_words
from pooling.engine.deal.diff_words import ABSENT
from tests.engine.deal_builders import solved

Mutation = Callable[[dict[str, Any]], object]


def changed(name: str, mutate: Mutation) -> tuple[Change, ...]:
    """Changes from a template to the same one mutated."""
    before = template(name)
    value = json.loads(json.dumps(before.to_json()))
    mutate(value)
    return diff(before, DealSpec.from_json(value))


def test_changes_of_the_brief_read_as_a_structurer_writes_them() -> None:
    before = solved()
    value = before.to_json()
    value["tranches"][0]["balance"] = 70_000_000
    value["tranches"][1]["coupon"] = 0.07
    value["fees"].append({"name": "trustee", "kind": "recurring", "amount": 100})
    value["waterfall"].insert(1, {"pay": "fee", "to": ["trustee"]})

    assert diff_in_words(before, DealSpec.from_json(value)) == (
        "Class A: balance USD 650,000.00 became USD 700,000.00.",
        "Class B: coupon 6.500 % became 7.000 %.",
        "Fee trustee added: recurring, USD 1.00 on every payment date.",
        "Order of payments: new step 2, fee to trustee.",
    )


SENTENCES: dict[str, tuple[str, Mutation, str]] = {
    "root value": (
        "prime-auto",
        lambda d: d.update(closing_expenses=1),
        "Closing expenses: USD 2,100,000.00 became USD 0.01.",
    ),
    "date": (
        "prime-auto",
        lambda d: d["dates"].update(closing="2026-05-14"),
        "Dates: closing 2026-05-13 became 2026-05-14.",
    ),
    "choice": (
        "prime-auto",
        lambda d: d["conventions"].update(business_day_rule="modified_following"),
        "Conventions: business day rule following became modified following.",
    ),
    "formula": (
        "pass-through",
        lambda d: d["overcollateralisation"].update(target="1% * pool.balance"),
        'Overcollateralisation: target "USD 0" became "1% * pool.balance".',
    ),
    "to be solved": (
        "pass-through",
        lambda d: d["tranches"][0].update(coupon=None),
        "Class P: coupon 5.500 % became to be solved.",
    ),
    "fixed to floating": (
        "pass-through",
        lambda d: d["tranches"][0].update(
            coupon={"kind": "floating", "index": "SOFR-1M", "margin": -0.001, "cap": 0.09}
        ),
        "Class P: coupon 5.500 % became SOFR-1M - 0.100 %, cap 9.000 %.",
    ),
    "margin": (
        "floating-swap",
        lambda d: d["tranches"][0]["coupon"].update(margin=0.0095),
        "Class A, coupon: margin 0.850 % became 0.950 %.",
    ),
    "step coupon": (
        "senior-subordinated",
        lambda d: d["tranches"][0]["coupon"]["steps"][0].update(rate=0.07),
        "Class A, coupon, step of 2029-12-10: rate 6.900 % became 7.000 %.",
    ),
    "null of the deal's": (
        "prime-auto",
        lambda d: d["tranches"][0].update(day_count=None),
        "Class A-1: day count ACT/360 became the deal's.",
    ),
    "kind of a fee": (
        "pass-through",
        lambda d: d["fees"].__setitem__(
            0, {"name": "servicing", "kind": "one_off", "amount": 500, "due": "2027-01-01"}
        ),
        'Fee servicing: 0.500 % a year of "pool.balance", became USD 5.00 once, on 2027-01-01.',
    ),
    "recurring fee": (
        "prime-auto",
        lambda d: d["fees"][2].update(every=6),
        "Fee surveillance: every 12 became 6.",
    ),
    "dated amount": (
        "prime-auto",
        lambda d: d["fees"][3]["amounts"][0].update(amount=100),
        "Fee trustees-indemnities, amount of 2027-01-01: amount USD 50,000.00 became USD 1.00.",
    ),
    "collections": (
        "sme-deficiency",
        lambda d: d["collections"][1].update(into="principal-account"),
        "Collections of recovery: into interest-account became principal-account.",
    ),
    "ledger": (
        "sme-deficiency",
        lambda d: d["deficiency"]["ledgers"][2].update(tranche="A"),
        "Deficiency ledger pdl-A: tranche none became A.",
    ),
    "object added": (
        "floating-swap",
        lambda d: d["call"].update(make_whole={"reference_rate": 0.04, "until": "2030-01-01"}),
        "Clean-up call, make whole added: reference rate 4.000 %, until 2030-01-01.",
    ),
    "object removed": ("floating-swap", lambda d: d.update(call=None), "Clean-up call removed."),
    "kind of retention": (
        "prime-auto",
        lambda d: d.update(retention={"kind": "vertical", "share": 0.05}),
        "Retention: horizontal, share of residual 100.000 %, required fair value 5.000 % "
        "became vertical, share 5.000 %.",
    ),
    "planned balances": (
        "planned-accrual-strip",
        lambda d: d["tranches"][0]["planned_balances"].__setitem__(-1, 1),
        "Class P: planned balances changed on 1 of 61 dates.",
    ),
    "step changed": (
        "pass-through",
        lambda d: d["waterfall"][2].update(limit="deal.principal_due"),
        'Order of payments, step 3, principal to P: limit none became "deal.principal_due".',
    ),
    "step of an alternative": (
        "prime-auto",
        lambda d: d["alternatives"][0]["waterfall"][3].update(rule="sequential"),
        "Alternative acceleration, order of payments, step 4, principal to A-2, A-3, A-4: "
        "rule pro rata became sequential.",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_one_change_is_one_sentence(case: str) -> None:
    name, mutate, sentence = SENTENCES[case]

    assert [change.sentence for change in changed(name, mutate)] == [sentence]


def test_a_step_put_in_taken_out_or_moved_does_not_touch_the_others() -> None:
    def insert(deal: dict[str, Any]) -> None:
        deal["waterfall"].insert(2, {"pay": "fee", "to": ["servicing"], "limit": "USD 5", "rule": "pro_rata"})

    def move(deal: dict[str, Any]) -> None:
        deal["waterfall"].insert(3, deal["waterfall"].pop(5))

    inserted = changed("consumer-sequential", insert)
    moved = changed("consumer-sequential", move)

    assert [str(change.sentence) for change in inserted] == [
        'Order of payments: new step 3, fee to servicing pro rata, limit "USD 5".'
    ]
    assert (inserted[0].path, inserted[0].before) == ("waterfall[2]", ABSENT)
    assert moved == (Change("waterfall[5].step", 6, 4),)
    assert moved[0].sentence == "Order of payments: interest to C moved from step 6 to step 4."


def test_a_new_class_says_where_it_stands_and_an_old_one_that_it_moved() -> None:
    def add(deal: dict[str, Any]) -> None:
        deal["tranches"].insert(1, {"name": "M", "kind": "note", "balance": 100, "coupon": 0.05})
        deal["waterfall"][1]["to"].append("M")
        deal["waterfall"][2]["to"].append("M")

    def swap(deal: dict[str, Any]) -> None:
        deal["tranches"] = deal["tranches"][::-1]

    assert [change.sentence for change in changed("pass-through", add)] == [
        "Class M added after P: note, balance USD 1.00, coupon 5.000 %.",
        "Order of payments, step 2, interest to P, M: payees P became P, M.",
        "Order of payments, step 3, principal to P, M: payees P became P, M.",
    ]
    assert changed("consumer-sequential", swap) == (Change("tranches.order", ["A", "B", "C"], ["C", "B", "A"]),)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(template_names(), 2)))
def test_any_two_deals_differ_in_sentences(one: str, other: str) -> None:
    before, after = template(one), template(other)

    changes = diff(before, after)

    assert changes
    assert diff(before, before) == ()
    for change in changes:
        assert change.before != change.after
        assert change.sentence.endswith(".")
        assert change.sentence.isprintable()
        assert change.sentence[0].isupper()
    assert len({change.sentence for change in changes}) == len(changes)
    assert len({change.path for change in changes if change.before is not ABSENT}) == len(
        [change for change in changes if change.before is not ABSENT]
    )
