"""The corpus of broken deals, second part: a deal that uses every part of the language, broken in one place at a time.
Each is refused with its one sentence, which names the place and, where it can, the mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.engine.deal_builders import feature_json
from tests.engine.test_bad_specs import sentence_of

Json = dict[str, Any]
Mutation = Callable[[Json], object]


def group_collected_by_nobody(d: Json) -> None:
    d["collections"].__setitem__(slice(None), [dict(r, group="auto") for r in d["collections"]])


def rule_of_a_group_given_twice(d: Json) -> None:
    d["collections"].append({"source": "recovery", "into": "principal-account", "group": "card"})


def account_fed_only_by_what_is_never_fed(d: Json) -> None:
    d["accounts"].extend([{"name": "spare", "kind": "collection"}, {"name": "other", "kind": "collection"}])
    d["waterfall"][12]["source"].extend(["spare", "other"])
    d["waterfall"].insert(0, {"pay": "transfer", "to": ["spare"], "source": ["other"]})
    d["waterfall"].insert(0, {"pay": "transfer", "to": ["other"], "source": ["spare"]})


def account_fed_only_by_a_rule_that_never_counts(d: Json) -> None:
    d["accounts"].append({"name": "spare", "kind": "collection"})
    d["waterfall"][12]["source"].append("spare")
    d["collections"].extend(
        [{"source": s, "into": "principal-account"} for s in ("scheduled_principal", "prepayment", "recovery")]
    )
    d["collections"][0].update(into="spare")


def account_drained_in_a_circle(d: Json) -> None:
    d["accounts"].extend([{"name": "spare", "kind": "collection"}, {"name": "other", "kind": "collection"}])
    d["waterfall"].__setitem__(
        slice(0, 0),
        [
            {"pay": "transfer", "to": ["spare"], "source": ["interest-account"], "amount": "USD 1"},
            {"pay": "transfer", "to": ["other"], "source": ["spare"]},
            {"pay": "transfer", "to": ["spare"], "source": ["other"]},
        ],
    )


def two_reserves_pro_rata(d: Json) -> None:
    d["accounts"].append(dict(d["accounts"][2], name="second"))
    d["waterfall"][10].update(to=["reserve", "second"], rule="pro_rata")
    d["alternatives"].clear()


def interest_paid_twice_in_full(d: Json) -> None:
    d["waterfall"].insert(5, {"pay": "interest", "to": ["A"], "source": ["interest-account"]})


def reserve_left_behind_by_an_alternative(d: Json) -> None:
    d["alternatives"][0]["waterfall"][2].update(source=["principal-account"])
    d["alternatives"][0]["waterfall"][3].update(source=["principal-account", "interest-account"])


def step_trigger_read_through_a_definition(d: Json) -> None:
    d["definitions"].append({"name": "bad", "formula": "trigger[late]"})
    d["revolving"].update(ends_when="defined[bad]")


def definitions_in_a_circle(d: Json) -> None:
    d.update(
        definitions=[{"name": "cushion", "formula": "defined[other]"}, {"name": "other", "formula": "defined[cushion]"}]
    )


# fmt: off
FEATURES: dict[str, tuple[Mutation, str]] = {
    "key of the dates": (lambda d: d["dates"].update(closng="2026-07-15"),
        "dates.closng: unknown key; did you mean 'closing'?"),
    "key of a party": (lambda d: d["parties"].update(trusted="Bank"),
        "parties.trusted: unknown key; did you mean 'trustee'?"),
    "key of a group": (lambda d: d["collateral"][0].update(curency="USD"),
        "collateral[0].curency: unknown key; did you mean 'currency'?"),
    "key of a coupon": (lambda d: d["tranches"][0]["coupon"].update(margn=0.01),
        "tranches[0].coupon.margn: unknown key; did you mean 'margin'?"),
    "key of a rate step": (lambda d: d["tranches"][3]["coupon"]["steps"][0].update(from_date="2027-08-15"),
        "tranches[3].coupon.steps[0].from_date: unknown key; did you mean 'rate'?"),
    "key of a coupon inside a coupon": (lambda d: d["tranches"][2]["coupon"]["after"].update(foor=0.0),
        "tranches[2].coupon.after.foor: unknown key; did you mean 'floor'?"),
    "key of another kind of class": (lambda d: d["tranches"][1].update(balance=5),
        ("tranches[1].balance: unknown key; known: accrual_dates, coupon, currency, day_count, "
         "interest_deferrable, kind, name, notional")),
    "key of a fee": (lambda d: d["fees"][0].update(bse="pool.balance"),
        "fees[0].bse: unknown key; did you mean 'base'?"),
    "key of a dated amount": (lambda d: d["fees"][1]["amounts"][0].update(due="2026-12-31"),
        "fees[1].amounts[0].due: unknown key; known: amount, date"),
    "key of an account": (lambda d: d["accounts"][2].update(targt="USD 1"),
        "accounts[2].targt: unknown key; did you mean 'target'?"),
    "key of a collection rule": (lambda d: d["collections"][0].update(acount="principal-account"),
        "collections[0].acount: unknown key; known: group, into, source"),
    "key of a definition": (lambda d: d["definitions"][0].update(formla="USD 1"),
        "definitions[0].formla: unknown key; did you mean 'formula'?"),
    "key of a trigger": (lambda d: d["triggers"][0].update(breach_affter=2),
        "triggers[0].breach_affter: unknown key; did you mean 'breach_after'?"),
    "key of the deficiency": (lambda d: d["deficiency"].update(loses="default"),
        "deficiency.loses: unknown key; did you mean 'losses'?"),
    "key of a ledger": (lambda d: d["deficiency"]["ledgers"][0].update(tranch="B"),
        "deficiency.ledgers[0].tranch: unknown key; did you mean 'tranche'?"),
    "key of a facility": (lambda d: d["facilities"][0].update(comitment="USD 1"),
        "facilities[0].comitment: unknown key; did you mean 'commitment'?"),
    "key of a hedge": (lambda d: d["hedges"][0].update(notinal="USD 1"),
        "hedges[0].notinal: unknown key; did you mean 'notional'?"),
    "key of the revolving period": (lambda d: d["revolving"].update(untl="2027-02-15"),
        "revolving.untl: unknown key; did you mean 'until'?"),
    "key of the call": (lambda d: d["call"].update(form_date="2027-02-15"),
        "call.form_date: unknown key; did you mean 'from_date'?"),
    "key of the make-whole premium": (lambda d: d["call"]["make_whole"].update(reference=0.02),
        "call.make_whole.reference: unknown key; did you mean 'reference_rate'?"),
    "key of an alternative": (lambda d: d["alternatives"][0].update(wen="true"),
        "alternatives[0].wen: unknown key; did you mean 'when'?"),
    "key of a step of an alternative": (lambda d: d["alternatives"][0]["waterfall"][1].update(suport=["reserve"]),
        "alternatives[0].waterfall[1].suport: unknown key; did you mean 'support'?"),
    "key of the retention": (lambda d: d["retention"].update(share=0.05),
        "retention.share: unknown key; known: kind, required_fair_value, share_of_residual"),
    "key of the conventions": (lambda d: d["conventions"].update(calender="US"),
        "conventions.calender: unknown key; did you mean 'calendar'?"),
    "key of the overcollateralisation": (lambda d: d["overcollateralisation"].update(tagret="USD 1"),
        "overcollateralisation.tagret: unknown key; did you mean 'target'?"),
    "kind of a class misspelt": (lambda d: d["tranches"][0].update(kind="planed"),
        "tranches[0].kind: 'planed' is not a choice; did you mean 'planned'?"),
    "kind of a coupon misspelt": (lambda d: d["tranches"][0]["coupon"].update(kind="floting"),
        "tranches[0].coupon.kind: 'floting' is not a choice; did you mean 'floating'?"),
    "coupon without kind": (lambda d: d["tranches"][0]["coupon"].pop("kind"),
        "tranches[0].coupon.kind: this key is missing; one of floating, step, triggered"),
    "kind of a hedge misspelt": (lambda d: d["hedges"][0].update(kind="swp"),
        "hedges[0].kind: 'swp' is not a choice; did you mean 'swap'?"),
    "kind of an account misspelt": (lambda d: d["accounts"][2].update(kind="reserv"),
        "accounts[2].kind: 'reserv' is not a choice; did you mean 'reserve'?"),
    "kind of the retention misspelt": (lambda d: d["retention"].update(kind="l-shaped"),
        "retention.kind: 'l-shaped' is not a choice; did you mean 'l_shaped'?"),
    "source of the pool misspelt": (lambda d: d["collections"][1].update(source="intrest"),
        "collections[1].source: 'intrest' is not a choice; did you mean 'interest'?"),
    "kind of step misspelt": (lambda d: d["waterfall"][9].update(pay="principle"),
        "waterfall[9].pay: 'principle' is not a choice; did you mean 'principal'?"),
    "stage of a test misspelt": (lambda d: d["triggers"][0].update(tested="open"),
        "triggers[0].tested: 'open' is not a choice; did you mean 'opening'?"),
    "measure of losses misspelt": (lambda d: d["deficiency"].update(losses="chargeoff"),
        "deficiency.losses: 'chargeoff' is not a choice; did you mean 'charge_off'?"),
    "day count misspelt": (lambda d: d["tranches"][0].update(day_count="ACT360"),
        "tranches[0].day_count: 'ACT360' is not a choice; did you mean 'ACT/360'?"),
    "calendar unknown": (lambda d: d["conventions"].update(calendar="DE"),
        "conventions.calendar: 'DE' is not a choice; known: TARGET, UK, US, none, weekends"),
    "account of a step unknown": (lambda d: d["waterfall"][1].update(source=["interest-acount"]),
        "waterfall[1].source[0]: no account is named 'interest-acount'; did you mean 'interest-account'?"),
    "account of a test unknown": (lambda d: d["waterfall"][0].update(source=["interest-acount"]),
        "waterfall[0].source[0]: no account is named 'interest-acount'; did you mean 'interest-account'?"),
    "account of a collection rule unknown": (lambda d: d["collections"][0].update(into="principle-account"),
        ("collections[0].into: no collection account is named 'principle-account'; did you mean "
         "'principal-account'?")),
    "collections into a reserve": (lambda d: d["collections"][0].update(into="reserve"),
        ("collections[0].into: no collection account is named 'reserve'; known: interest-account, "
         "principal-account")),
    "group of a collection rule unknown": (lambda d: d["collections"][2].update(group="cards"),
        "collections[2].group: no collateral group is named 'cards'; did you mean 'card'?"),
    "account of a hedge unknown": (lambda d: d["hedges"][0].update(into="interst-account"),
        "hedges[0].into: no collection account is named 'interst-account'; did you mean 'interest-account'?"),
    "account of the call unknown": (lambda d: d["call"].update(into="collection"),
        "call.into: no collection account is named 'collection'; known: interest-account, principal-account"),
    "account of the deficiency unknown": (lambda d: d["deficiency"].update(into="principal"),
        "deficiency.into: no collection account is named 'principal'; did you mean 'principal-account'?"),
    "class of a ledger unknown": (lambda d: d["deficiency"]["ledgers"][0].update(tranche="BB"),
        "deficiency.ledgers[0].tranche: no class with principal is named 'BB'; did you mean 'B'?"),
    "strip with a ledger": (lambda d: d["deficiency"]["ledgers"][0].update(tranche="X"),
        "deficiency.ledgers[0].tranche: no class with principal is named 'X'; known: A, B, Z"),
    "class with two ledgers": (lambda d: d["deficiency"]["ledgers"][1].update(tranche="B"),
        "deficiency.ledgers[1].tranche: 'B' already limits deficiency.ledgers[0]"),
    "ledger without limit before another": (lambda d: d["deficiency"]["ledgers"].reverse(),
        "deficiency.ledgers[0].tranche: only the last ledger may be without limit"),
    "no ledger": (lambda d: d["deficiency"].update(ledgers=[]),
        "deficiency.ledgers: a principal deficiency needs at least one ledger"),
    "class of a step unknown": (lambda d: d["waterfall"][9].update(to=["A", "BZ", "Z"]),
        "waterfall[9].to[1]: no class is named 'BZ'; did you mean 'Z'?"),
    "principal to a strip": (lambda d: d["waterfall"][9].update(to=["A", "X", "Z"]),
        "waterfall[9].to[1]: 'X' is a strip and owns no principal"),
    "facility of a step unknown": (lambda d: d["waterfall"][2].update(to=["liquidty"]),
        "waterfall[2].to[0]: no liquidity facility is named 'liquidty'; did you mean 'liquidity'?"),
    "support by an unknown facility": (lambda d: d["waterfall"][4].update(support=["reserve", "liqidity"]),
        "waterfall[4].support[1]: no account or facility is named 'liqidity'; did you mean 'liquidity'?"),
    "trigger of a test unknown": (lambda d: d["waterfall"][0].update(to=["lat"]),
        "waterfall[0].to[0]: no trigger tested by a step is named 'lat'; did you mean 'late'?"),
    "opening trigger in a test step": (lambda d: d["waterfall"][0].update(to=["late", "losses"]),
        "waterfall[0].to[1]: no trigger tested by a step is named 'losses'; known: late"),
    "cap in a hedge step": (lambda d: d["waterfall"][3].update(to=["swap", "cap"]),
        "waterfall[3].to[1]: no swap is named 'cap'; known: swap"),
    "residual to a class": (lambda d: d["waterfall"][12].update(to=["B"]),
        "waterfall[12].to[0]: 'B' is a class, not a residual certificate"),
    "group in two places": (lambda d: d["collateral"][1].update(name="auto"),
        "collateral[1].name: 'auto' is already the name at collateral[0].name"),
    "class and account of one name": (lambda d: d["tranches"][2].update(name="reserve"),
        "accounts[2].name: 'reserve' is already the name at tranches[2].name"),
    "ledger and trigger of one name": (lambda d: d["triggers"][0].update(name="pdl-A"),
        "deficiency.ledgers[1].name: 'pdl-A' is already the name at triggers[0].name"),
    "currency of a class": (lambda d: d["tranches"][2].update(currency="EUR"),
        "tranches[2].currency: 'B' is in EUR, the deal in USD; one deal pays one currency"),
    "currency of an account": (lambda d: d["accounts"][0].update(currency="GBP"),
        "accounts[0].currency: 'interest-account' is in GBP, the deal in USD; one deal pays one currency"),
    "currency of a group": (lambda d: d["collateral"][0].update(currency="CAD"),
        "collateral[0].currency: 'auto' is in CAD, the deal in USD; one deal pays one currency"),
    "currency in a formula": (lambda d: d["waterfall"][11].update(limit="EUR 20000"),
        "waterfall[11].limit: at character 1: EUR is not the currency of the deal; write USD"),
    "currency in a definition": (
        lambda d: d["definitions"][0].update(formula="min(1% * pool.initial_balance, CHF 5)"),
        "definitions[0].formula: at character 32: CHF is not the currency of the deal; write USD"),
    "source collected by nobody": (lambda d: d["collections"].pop(0),
        "collections: no rule collects the scheduled principal of group 'auto' of the pool"),
    "source of one group collected by nobody": (lambda d: d["collections"][0].update(group="auto"),
        "collections: no rule collects the scheduled principal of group 'card' of the pool"),
    "group collected by nobody": (group_collected_by_nobody,
        "collections: no rule collects the interest of group 'card' of the pool"),
    "rule given twice": (lambda d: d["collections"].append({"source": "interest", "into": "principal-account"}),
        "collections[3]: interest of every group is already collected"),
    "rule of a group given twice": (rule_of_a_group_given_twice,
        "collections[3]: recovery of group 'card' is already collected"),
    "account never fed": (lambda d: d["accounts"].append({"name": "spare", "kind": "collection"}),
        "accounts[3]: nothing is ever paid into the account 'spare'; remove it or collect into it"),
    "account fed only by what is never fed": (account_fed_only_by_what_is_never_fed,
        "accounts[3]: nothing is ever paid into the account 'spare'; remove it or collect into it"),
    "account fed only by a rule that never counts": (account_fed_only_by_a_rule_that_never_counts,
        "accounts[3]: nothing is ever paid into the account 'spare'; remove it or collect into it"),
    "account never drained": (
        lambda d: (d["waterfall"][12].update(source=["principal-account"]), d["alternatives"].clear()),
        ("accounts[0]: what stays in the account 'interest-account' can never leave it; let the residual "
         "step or a transfer without amount pay from it")),
    "account drained in a circle": (account_drained_in_a_circle,
        ("accounts[3]: what stays in the account 'spare' can never leave it; let the residual step or a "
         "transfer without amount pay from it")),
    "transfer to itself": (lambda d: d["alternatives"][0]["waterfall"][0].update(to=["interest-account"]),
        "alternatives[0].waterfall[0].to: a transfer goes to another account than it comes from"),
    "transfer to two accounts": (
        lambda d: d["alternatives"][0]["waterfall"][0].update(to=["principal-account", "reserve"]),
        "alternatives[0].waterfall[0].to: a transfer goes to one account"),
    "support that pays already": (lambda d: d["waterfall"][1].update(support=["reserve", "interest-account"]),
        "waterfall[1].support[1]: 'interest-account' already pays the step as its source"),
    "support of a step that takes none": (lambda d: d["waterfall"][10].update(support=["liquidity"]),
        "waterfall[10].support: a step reserve takes no support"),
    "condition of support without support": (lambda d: d["waterfall"][9].update(support_when="period.is_final"),
        "waterfall[9].support_when: there is no support it could hold for"),
    "step from no account": (lambda d: d["waterfall"][9].update(source=[]),
        "waterfall[9].source: the step pays from no account"),
    "amount of interest": (lambda d: d["waterfall"][4].update(amount="USD 5"),
        "waterfall[4].amount: a step interest pays what is due; only principal and transfer take an amount"),
    "reserve filled from a reserve": (lambda d: d["waterfall"][10].update(source=["reserve"]),
        "waterfall[10].source[0]: a reserve is filled from, and released to, a collection account"),
    "two reserves pro rata": (two_reserves_pro_rata,
        "waterfall[10].rule: a step reserve serves one after the other; write sequential"),
    "condition on the residual": (lambda d: d["waterfall"][12].update(when="pool.factor < 10%"),
        "waterfall[12].when: the residual takes what is left on every date; no condition may hold it back"),
    "limit on the residual": (lambda d: d["waterfall"][12].update(limit="USD 5"),
        "waterfall[12].limit: the residual takes what is left on every date; no limit may hold it back"),
    "limit on a test": (lambda d: d["waterfall"][0].update(limit="USD 5"),
        "waterfall[0].limit: a test moves no money that could be limited"),
    "residual before another step": (lambda d: d["waterfall"].insert(11, d["waterfall"].pop()),
        "waterfall[11]: the residual must be the last step"),
    "residual nowhere": (lambda d: d["waterfall"].pop(),
        "waterfall: no step pays the residual certificate 'R'"),
    "residual missing in an alternative": (lambda d: d["alternatives"][0]["waterfall"].pop(),
        "alternatives[0].waterfall: no step pays the residual certificate 'R'"),
    "interest paid twice in full": (interest_paid_twice_in_full,
        ("waterfall[5].to[0]: interest of 'A' is already paid in waterfall[4], which has neither limit nor "
         "condition")),
    "class without principal in an alternative": (
        lambda d: d["alternatives"][0]["waterfall"][2].update(to=["A", "Z"]),
        "alternatives[0].waterfall: no step pays principal of 'B'"),
    "reserve left behind by an alternative": (reserve_left_behind_by_an_alternative,
        ("alternatives[0].waterfall: the reserve account 'reserve' is neither released nor spent; add a "
         "step reserve, or pay from it")),
    "ledger made good by nobody": (lambda d: d["waterfall"][5].update(to=["pdl-A"]),
        "waterfall: no step pays the deficiency ledger 'pdl-B'"),
    "facility repaid by nobody": (lambda d: d["waterfall"].pop(2),
        "waterfall: no step pays the liquidity facility 'liquidity'"),
    "swap paid by nobody": (lambda d: d["waterfall"].pop(3),
        "waterfall: no step pays the swap 'swap'"),
    "trigger tested by nobody": (lambda d: d["waterfall"].pop(0),
        "waterfall: no step tests the trigger 'late'"),
    "trigger read before its test step": (lambda d: d["waterfall"].insert(7, d["waterfall"].pop(0)),
        "waterfall[5].when: trigger[late] is read before it is set: the step that tests it comes later"),
    "trigger read in an earlier trigger": (lambda d: d["triggers"].reverse(),
        "triggers[1].condition: trigger[losses] is read before it is set: it is tested later"),
    "trigger that reads itself": (lambda d: d["triggers"][0].update(condition="not trigger[losses]"),
        "triggers[0].condition: trigger[losses] is read before it is set: it reads itself"),
    "step trigger read as the date opens": (lambda d: d["alternatives"][0].update(when="trigger[late]"),
        "alternatives[0].when: trigger[late] is read before it is set: the step that tests it comes later"),
    "step trigger read in an alternative": (
        lambda d: d["alternatives"][0]["waterfall"][1].update(when="trigger[late]"),
        ("alternatives[0].waterfall[1].when: trigger[late] is read before it is set: no step of "
         "alternatives[0].waterfall tests it")),
    "step trigger read through a definition": (step_trigger_read_through_a_definition,
        "revolving.ends_when: trigger[late] is read before it is set: the step that tests it comes later"),
    "call without factor or date": (lambda d: d["call"].pop("factor"),
        "call.factor: give a factor or a from_date: nothing says when the deal may be called"),
    "call price without money": (lambda d: d["call"].update(price="pool.factor"),
        "call.price: the formula gives a number, but money is wanted"),
    "revolving without a purchase": (lambda d: d["waterfall"].pop(7),
        "waterfall: the deal revolves, but no step buys collateral; add a step purchase"),
    "purchase without revolving": (lambda d: d.update(revolving=None),
        "waterfall[7].pay: the deal has no revolving period in which collateral could be bought"),
    "purchase that pays a class": (lambda d: d["waterfall"][7].update(to=["A"]),
        "waterfall[7].to: a purchase buys collateral and pays no name of the deal; leave the key out"),
    "revolving before the first payment": (lambda d: d["revolving"].update(until="2026-08-01"),
        "revolving.until: 2026-08-01 lies before the first payment"),
    "revolving beyond legal final": (lambda d: d["revolving"].update(until="2032-08-16"),
        "revolving.until: 2032-08-16 lies after legal final 2032-08-15"),
    "revolving quarterly": (lambda d: d.update(payment_frequency="quarterly"),
        "payment_frequency: quarterly, but a deal that revolves pays monthly"),
    "planned class without schedule": (lambda d: d["tranches"][0].pop("planned_balances"),
        "tranches[0].planned_balances: a planned class needs its schedule of balances"),
    "planned balances that rise": (lambda d: d["tranches"][0].update(planned_balances=[30_000_000, 30_000_001]),
        "tranches[0].planned_balances[1]: 30000001 must lie between 0 and the one before"),
    "schedule of a class that is not planned": (lambda d: d["tranches"][2].update(planned_balances=[5, 0]),
        "tranches[2].planned_balances: unknown key; did you mean 'balance'?"),
    "strip without notional": (lambda d: d["tranches"][1].pop("notional"),
        "tranches[1].notional: this key is missing"),
    "strips alone": (lambda d: d.update(tranches=[d["tranches"][1]]),
        "tranches: a deal needs at least one class with principal; strips alone own none"),
    "capitalised without deferrable": (lambda d: d["tranches"][3].update(deferral="capitalised"),
        "tranches[3].deferral: only a class with interest_deferrable true may capitalise its interest"),
    "coupon steps out of order": (lambda d: d["tranches"][3]["coupon"]["steps"].reverse(),
        "tranches[3].coupon.steps[1].first_accrual: steps stand in the order of their dates"),
    "coupon steps empty": (lambda d: d["tranches"][3]["coupon"].update(steps=[]),
        "tranches[3].coupon.steps: a step coupon needs at least one step"),
    "floor above cap": (lambda d: d["tranches"][0]["coupon"].update(floor=0.13),
        "tranches[0].coupon.floor: 0.13 lies above the cap 0.12"),
    "index misspelt": (lambda d: d["tranches"][0]["coupon"].update(index="SOFR 1M"),
        "tranches[0].coupon.index: 'SOFR 1M' does not fit the pattern [A-Za-z][A-Za-z0-9_-]{0,31}"),
    "dated fee without amounts": (lambda d: d["fees"][1].update(amounts=[]),
        "fees[1].amounts: a dated fee needs at least one amount"),
    "cure after no date": (lambda d: d["triggers"][2].update(cure_after=0),
        "triggers[2].cure_after: 0 is outside 1 to 120"),
    "share of retention in percent": (lambda d: d["retention"].update(required_fair_value=5.0),
        "retention.required_fair_value: 5.0 is outside 0.0 to 1.0"),
    "party without name": (lambda d: d["parties"].update(servicer=""),
        "parties.servicer: '' does not fit the pattern \\S(.{0,118}\\S)?"),
    "group with a bracket": (lambda d: d["collateral"][1].update(name="card]"),
        "collateral[1].name: 'card]' does not fit the pattern [A-Za-z0-9][A-Za-z0-9 _+.-]{0,31}"),
    "price of collateral zero": (lambda d: d["revolving"].update(price=0.0),
        "revolving.price: 0.0 is outside 0.01 to 2.0"),
    "target with collections rule": (lambda d: d["overcollateralisation"].update(target="5% * pool.balance"),
        "overcollateralisation.target: it has no effect where loss_coverage is principal_collections; give null"),
    "reserve reading what is unknown at closing": (lambda d: d["accounts"][2].update(initial="1% * pool.balance"),
        "accounts[2].initial: pool.balance is not known on the closing date; use initial balances"),
    "reserve reading it through a definition": (lambda d: d["definitions"][0].update(formula="1% * notes.balance"),
        "accounts[2].initial: notes.balance is not known on the closing date; use initial balances"),
    "definition before what it reads": (
        lambda d: d["definitions"].insert(0, {"name": "twice", "formula": "2 * defined[cushion]"}),
        ("definitions[0].formula: 'twice' reads what is defined only at definitions[1]; a definition reads "
         "those that stand before it")),
    "definitions in a circle": (definitions_in_a_circle,
        ("definitions[0].formula: 'cushion' reads what is defined only at definitions[1]; a definition "
         "reads those that stand before it")),
    "definition of itself": (lambda d: d["definitions"][0].update(formula="defined[cushion] + USD 1"),
        "definitions[0].formula: 'cushion' reads itself; a definition reads those that stand before it"),
    "definition unknown": (lambda d: d["accounts"][2].update(initial="defined[cusion]"),
        "accounts[2].initial: at character 1: 'defined[cusion]' is no quantity; did you mean 'defined[cushion]'?"),
}
# fmt: on


@pytest.mark.parametrize(("mutate", "sentence"), FEATURES.values(), ids=FEATURES.keys())
def test_broken_feature_gets_its_sentence(mutate: Mutation, sentence: str) -> None:
    broken = feature_json()
    mutate(broken)
    assert sentence_of(broken) == sentence
