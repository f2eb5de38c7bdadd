"""The corpus of broken deals, first part: the default template broken, and formulas that cannot be read.

Each is refused with its one sentence, which names the place and, where it can, the mend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from pooling.engine.deal import DealSpec, SpecError
from tests.engine.deal_builders import feature_json, template_json

Json = dict[str, Any]
Mutation = Callable[[Json], object]

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

# fmt: off
FORMULAS: dict[str, tuple[Mutation, str]] = {
    "quantity misspelt": (lambda d: d["accounts"][2].update(target="1% * pool.balanse"),
        "accounts[2].target: at character 6: 'pool.balanse' is no quantity; did you mean 'pool.balance'?"),
    "class unknown": (lambda d: d["facilities"][0].update(commitment="2% * class[AA].balance"),
        ("facilities[0].commitment: at character 6: 'class[AA].balance' is no quantity; did you mean "
         "'class[A].balance'?")),
    "fee unknown": (lambda d: d["waterfall"][11].update(limit="USD 20000 - fee[adit].paid_in_year"),
        ("waterfall[11].limit: at character 13: 'fee[adit].paid_in_year' is no quantity; did you mean "
         "'fee[audit].paid_in_year'?")),
    "trigger unknown": (lambda d: d["alternatives"][0].update(when="trigger[defualt]"),
        ("alternatives[0].when: at character 1: 'trigger[defualt]' is no quantity; did you mean "
         "'trigger[default]'?")),
    "account unknown": (lambda d: d["waterfall"][8].update(amount="account[principal-acount].balance"),
        ("waterfall[8].amount: at character 1: 'account[principal-acount].balance' is no quantity; did you "
         "mean 'account[principal-account].balance'?")),
    "facility unknown": (lambda d: d["waterfall"][6].update(when="facility[liquidty].drawn == 0"),
        ("waterfall[6].when: at character 1: 'facility[liquidty].drawn' is no quantity; did you mean "
         "'facility[liquidity].drawn'?")),
    "ledger unknown": (lambda d: d["triggers"][0].update(condition="ledger[pdl-C].balance > 0"),
        ("triggers[0].condition: at character 1: 'ledger[pdl-C].balance' is no quantity; did you mean "
         "'ledger[pdl-B].balance'?")),
    "group unknown": (lambda d: d["triggers"][2].update(condition="pool[cars].factor < 10%"),
        ("triggers[2].condition: at character 1: 'pool[cars].factor' is no quantity; did you mean "
         "'pool[card].factor'?")),
    "index unknown": (lambda d: d["triggers"][0].update(condition="rate[SOFR-3M] > 5%"),
        "triggers[0].condition: at character 1: 'rate[SOFR-3M]' is no quantity; did you mean 'rate[SOFR-1M]'?"),
    "key of another kind of class": (lambda d: d["waterfall"][8].update(amount="class[B].planned_due"),
        ("waterfall[8].amount: at character 1: 'class[B].planned_due' is no quantity; did you mean "
         "'class[A].planned_due'?")),
    "money where a number is wanted": (lambda d: d["triggers"][0].update(condition="pool.cumulative_loss > 4%"),
        "triggers[0].condition: at character 22: money and a number do not go together at '>'"),
    "number where money is wanted": (lambda d: d["facilities"][0].update(commitment="2%"),
        "facilities[0].commitment: the formula gives a number, but money is wanted"),
    "condition where money is wanted": (lambda d: d["hedges"][0].update(notional="pool.factor < 50%"),
        "hedges[0].notional: the formula gives true or false, but money is wanted"),
    "money where a condition is wanted": (lambda d: d["waterfall"][6].update(when="class[B].interest_due"),
        "waterfall[6].when: the formula gives money, but true or false is wanted"),
    "number divided by money": (lambda d: d["triggers"][1].update(condition="1 / pool.balance < 2"),
        "triggers[1].condition: at character 3: a number cannot be divided by money"),
    "money times money": (lambda d: d["fees"][0].update(base="pool.balance * notes.balance"),
        "fees[0].base: at character 14: money cannot be multiplied by money"),
    "dates added": (lambda d: d["call"].update(price="period.date + 2027-01-01"),
        "call.price: at character 13: '+' works on money and numbers, not on a date"),
    "words joined that are no conditions": (lambda d: d["revolving"].update(criteria="pool.factor and true"),
        "revolving.criteria: at character 13: 'and' joins conditions, not a number"),
    "comparison chained": (lambda d: d["revolving"].update(criteria="10% < pool.factor < 50%"),
        "revolving.criteria: at character 19: comparisons are not chained; join two of them with 'and'"),
    "one equals sign": (lambda d: d["revolving"].update(criteria="pool.factor = 50%"),
        "revolving.criteria: at character 13: '=' compares nothing; write '=='"),
    "parenthesis left open": (lambda d: d["facilities"][0].update(commitment="2% * (notes.balance"),
        "facilities[0].commitment: at character 20: ')' is missing at the end"),
    "ends too early": (lambda d: d["hedges"][1].update(notional="class[B].balance +"),
        "hedges[1].notional: at character 19: the formula ends where a value is expected"),
    "character of no formula": (lambda d: d["hedges"][1].update(notional="class[B].balance; import os"),
        "hedges[1].notional: at character 17: ';' belongs to no formula"),
    "python instead": (lambda d: d["hedges"][1].update(notional="__import__('os')"),
        "hedges[1].notional: at character 12: \"'\" belongs to no formula"),
    "empty": (lambda d: d["fees"][0].update(base=" "),
        "fees[0].base: the formula is empty"),
    "function unknown": (lambda d: d["accounts"][2].update(target="maximum(USD 1, pool.balance)"),
        "accounts[2].target: at character 1: no function is named 'maximum'; did you mean 'max'?"),
    "too few arguments": (lambda d: d["accounts"][2].update(target="max(pool.balance)"),
        "accounts[2].target: at character 1: max takes at least 2 arguments, not 1"),
    "keys of a table out of order": (
        lambda d: d["triggers"][0].update(condition="pool.factor < step(period.number, 12: 1%, 1: 2%, 0)"),
        "triggers[0].condition: at character 43: the keys of step stand in rising order"),
    "day not in the calendar": (lambda d: d["waterfall"][6].update(when="period.date < 2027-02-30"),
        "waterfall[6].when: at character 15: '2027-02-30' is not a day of the calendar"),
    "too long": (lambda d: d["waterfall"][6].update(when="true or " * 300 + "true"),
        "waterfall[6].when: the formula has 2404 characters, at most 2000 are read"),
    "nested too deeply": (lambda d: d["waterfall"][6].update(when="(" * 50 + "true" + ")" * 50),
        "waterfall[6].when: at character 41: the formula is nested more than 40 deep"),
    "not a text": (lambda d: d["waterfall"][6].update(when=True),
        "waterfall[6].when: true is not text"),
    "text no formula may hold": (lambda d: d["waterfall"][6].update(when="true\n"),
        "waterfall[6].when: 'true\\n' holds a character that cannot be printed"),
}


def targets_in_a_circle(d: Json) -> None:
    d["accounts"].append(dict(d["accounts"][2], name="second", target="account[reserve].target"))
    d["accounts"][2].update(target="2 * account[second].target")
    d["waterfall"][10].update(to=["reserve", "second"])
    d["alternatives"].clear()


def read_through_a_target(d: Json) -> None:
    d["accounts"][2].update(target="min(deal.principal_due, USD 500)")
    d["triggers"][0].update(condition="account[reserve].balance < account[reserve].target")


def trigger_read_through_a_target(d: Json) -> None:
    d["accounts"][2].update(target="if(trigger[default], 0 * pool.balance, USD 500)")
    d["triggers"][0].update(condition="account[reserve].balance < account[reserve].target")


def read_through_a_definition(d: Json) -> None:
    d["definitions"].append({"name": "half", "formula": "50% * deal.principal_due"})
    d["fees"][0].update(base="defined[half]")


TIMING: dict[str, tuple[Mutation, str]] = {
    "fee of the principal due": (lambda d: d["fees"][0].update(base="deal.principal_due"),
        "fees[0].base: deal.principal_due is read before it is set: it is set just before the order of payments"),
    "fee of it through a definition": (read_through_a_definition,
        "fees[0].base: deal.principal_due is read before it is set: it is set just before the order of payments"),
    "strip of it": (lambda d: d["tranches"][1].update(notional="deal.principal_due"),
        ("tranches[1].notional: deal.principal_due is read before it is set: it is set just before the order "
         "of payments")),
    "swap of it": (lambda d: d["hedges"][0].update(notional="deal.principal_due"),
        "hedges[0].notional: deal.principal_due is read before it is set: it is set just before the order of payments"),
    "coupon that looks at the target": (
        lambda d: d["tranches"][2]["coupon"].update(when="deal.target_oc > USD 5"),
        ("tranches[2].coupon.when: deal.target_oc is read before it is set: it is set just before the order "
         "of payments")),
    "accretion that looks at the revolving period": (
        lambda d: d["tranches"][3].update(accretes_while="deal.revolving"),
        ("tranches[3].accretes_while: deal.revolving is read before it is set: it is set once the triggers "
         "have been looked at")),
    "trigger that looks at the revolving period": (
        lambda d: d["triggers"][0].update(condition="not deal.revolving"),
        ("triggers[0].condition: deal.revolving is read before it is set: it is set once the triggers have "
         "been looked at")),
    "trigger that looks at the target": (
        lambda d: d["triggers"][0].update(condition="pool.balance - notes.balance < deal.target_oc"),
        "triggers[0].condition: deal.target_oc is read before it is set: it is set just before the order of payments"),
    "trigger that looks at it through a reserve": (read_through_a_target,
        ("triggers[0].condition: deal.principal_due is read before it is set: it is set just before the order "
         "of payments")),
    "trigger that looks at a later one through a reserve": (trigger_read_through_a_target,
        "triggers[0].condition: trigger[default] is read before it is set: it is tested later"),
    "revolving period that looks at itself": (lambda d: d["revolving"].update(ends_when="not deal.revolving"),
        ("revolving.ends_when: deal.revolving is read before it is set: it is set once the triggers have been "
         "looked at")),
    "call price of the principal due": (
        lambda d: d["call"].update(price="max(pool.balance, deal.principal_due)"),
        "call.price: deal.principal_due is read before it is set: it is set just before the order of payments"),
    "commitment of what is available": (
        lambda d: d["facilities"][0].update(commitment="facility[liquidity].available"),
        ("facilities[0].commitment: facility[liquidity].available is read before it is set: it is set once "
         "interest and fees have accrued")),
    "fee of what is available": (lambda d: d["fees"][0].update(base="facility[liquidity].available"),
        ("fees[0].base: facility[liquidity].available is read before it is set: it is set once interest and "
         "fees have accrued")),
    "reserve target that reads itself": (
        lambda d: d["accounts"][2].update(target="90% * account[reserve].target"),
        "accounts[2].target: the target reads itself, directly or through another one"),
    "reserve targets in a circle": (targets_in_a_circle,
        "accounts[2].target: the target reads itself, directly or through another one"),
}

VALUES: dict[str, tuple[Mutation, str]] = {
    "balance beyond exact cents": (lambda d: d["tranches"][2].update(balance=10**15 + 1),
        "tranches[2].balance: 1000000000000001 is outside 0 to 1000000000000000"),
    "rate beyond exact numbers": (lambda d: d["fees"][0].update(rate=2**60),
        "fees[0].rate: the number is too large"),
    "amount below zero": (lambda d: d["fees"][1]["amounts"][0].update(amount=-1),
        "fees[1].amounts[0].amount: -1 is outside 0 to 1000000000000000"),
    "truth as amount": (lambda d: d["fees"][1]["amounts"][0].update(amount=True),
        "fees[1].amounts[0].amount: true is not a whole number"),
    "day no month has": (lambda d: d["dates"].update(payment_day=32),
        "dates.payment_day: 32 is outside 1 to 31"),
    "breach after no date": (lambda d: d["triggers"][0].update(breach_after=0),
        "triggers[0].breach_after: 0 is outside 1 to 120"),
    "margin in basis points": (lambda d: d["tranches"][0]["coupon"].update(margin=100),
        "tranches[0].coupon.margin: 100.0 is outside -1.0 to 1.0"),
    "cap in percent": (lambda d: d["hedges"][1].update(strike=5),
        "hedges[1].strike: 5.0 is outside -1.0 to 1.0"),
    "factor in percent": (lambda d: d["call"].update(factor=10),
        "call.factor: 10.0 is outside 0.0 to 1.0"),
    "yield below zero": (lambda d: d["accounts"][0].update(yield_rate=-0.01),
        "accounts[0].yield_rate: -0.01 is outside 0.0 to 1.0"),
    "payee not in a list": (lambda d: d["waterfall"][4].update(to="A"),
        "waterfall[4].to: a list is expected, not 'A'"),
    "payee a number": (lambda d: d["waterfall"][4].update(to=["A", 7]),
        "waterfall[4].to[1]: 7 is not text"),
    "date a number": (lambda d: d["revolving"].update(until=20270215),
        "revolving.until: 20270215 is not a date"),
    "flag as text": (lambda d: d["tranches"][2].update(interest_deferrable="yes"),
        "tranches[2].interest_deferrable: 'yes' is not true or false"),
    "coupon a list": (lambda d: d["tranches"][1].update(coupon=[0.01]),
        "tranches[1].coupon: a list is not a number"),
    "planned balance with half a cent": (lambda d: d["tranches"][0].update(planned_balances=[0.5]),
        "tranches[0].planned_balances[0]: 0.5 is not a whole number"),
    "trigger a text": (lambda d: d["triggers"].__setitem__(0, "pool.factor < 10%"),
        "triggers[0]: an object is expected, not 'pool.factor < 10%'"),
    "residual a name": (lambda d: d.update(residual="R"),
        "residual: an object is expected, not 'R'"),
}
# fmt: on


def sentence_of(broken: Json) -> str:
    """What the reader says of a deal that it must refuse."""
    with pytest.raises(SpecError) as caught:
        DealSpec.from_json(broken)
    assert str(caught.value) == f"{caught.value.path}: {caught.value.message}"
    return str(caught.value)


@pytest.mark.parametrize(("mutate", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_template_gets_its_sentence(mutate: Mutation, sentence: str) -> None:
    broken = template_json()
    mutate(broken)
    assert sentence_of(broken) == sentence


@pytest.mark.parametrize(("mutate", "sentence"), FORMULAS.values(), ids=FORMULAS.keys())
def test_broken_formula_gets_its_sentence(mutate: Mutation, sentence: str) -> None:
    broken = feature_json()
    mutate(broken)
    assert sentence_of(broken) == sentence


@pytest.mark.parametrize(("mutate", "sentence"), (TIMING | VALUES).values(), ids=(TIMING | VALUES).keys())
def test_a_value_read_too_early_or_out_of_bounds_gets_its_sentence(mutate: Mutation, sentence: str) -> None:
    broken = feature_json()
    mutate(broken)
    assert sentence_of(broken) == sentence


def test_a_target_of_the_collateral_that_reads_itself_is_refused() -> None:
    broken = template_json() | {"overcollateralisation": {"target": "99% * deal.target_oc"}}
    assert sentence_of(broken) == (
        "overcollateralisation.target: deal.target_oc is read before it is set: it is set just before the order of "
        "payments"
    )


def test_what_the_corpus_breaks_is_whole() -> None:
    assert DealSpec.from_json(template_json()).class_names == ("A", "B", "C")
    assert DealSpec.from_json(feature_json()).class_names == ("A", "X", "B", "Z")
