"""explain(): the figures are those of the whole run, every account adds up, and the words say what happened."""

from __future__ import annotations

import datetime as dt

import pytest

from pooling.engine.waterfall import compile_deal, execute
from pooling.engine.waterfall.arithmetic import Mode
from pooling.engine.waterfall.explain import Explanation, explain, explain_date
from tests.benchmarks.waterfall import deal
from tests.engine.deal_builders import CUTOFF_CENTS, random_flows, slice_flows
from tests.engine.flat_pool import RESIDUAL, interest, pool, principal
from tests.engine.flat_pool import deal as small_deal

PROGRAM = compile_deal(deal(), CUTOFF_CENTS)
FLOWS = random_flows(1, months=24, scenarios=3, stress=0.02)


@pytest.mark.parametrize("mode", ["float64", "cents"])
def test_explained_figures_are_those_of_the_whole_run_to_the_bit(mode: Mode) -> None:
    whole = execute(PROGRAM, FLOWS, mode=mode)
    scale = 100.0 if mode == "cents" else 1.0
    for scenario, number in ((0, 1), (1, 9), (2, 24)):
        found = explain_date(PROGRAM, FLOWS, date=number, scenario=scenario, mode=mode)
        t = number - 1
        for k, account in enumerate(found.classes):
            assert account.interest == whole.interest[k, t, scenario] / scale
            assert account.principal == whole.principal[k, t, scenario] / scale
            assert account.closing == whole.balance[k, t, scenario] / scale
            assert account.accrued == whole.interest_due[k, t, scenario] / scale
            assert account.owed_after == whole.interest_shortfall[k, t, scenario] / scale
        assert [found.closing[name] for name in whole.account_names] == [
            amount / scale for amount in whole.accounts[:, t, scenario]
        ]
        assert [trigger.breached for trigger in found.triggers] == whole.breached[:, t, scenario].tolist()
        assert [step.id for step in found.steps] == [step.id for step in PROGRAM.steps]


def balances(found: Explanation) -> dict[str, float]:
    """Account -> opening + in - out - closing of what moved on the date."""
    gap = {name: found.opening[name] - found.closing[name] for name in found.opening}
    for move in found.transfers:
        for name, sign in ((move.target, 1.0), (move.source, -1.0)):
            if name in gap:
                gap[name] += sign * move.amount
    return gap


def test_every_account_of_every_date_adds_up_from_its_transfers() -> None:
    for number in range(1, 25):
        found = explain_date(PROGRAM, FLOWS, date=number, scenario=number % 3, mode="cents")
        assert list(balances(found).values()) == pytest.approx([0.0, 0.0], abs=1e-7)
        for account in found.classes:
            assert account.opening + account.capitalised - account.principal == pytest.approx(account.closing)
            assert account.owed_before + account.accrued - account.interest == pytest.approx(account.owed_after)


def test_the_chain_ends_with_the_last_step_that_pays_the_class() -> None:
    found = explain(PROGRAM, FLOWS, tranche="B", date=9, scenario=1)

    assert [step.id for step in found.chain if step.concerns] == ["interest:B", "principal:A+B+C", "principal:B"]
    assert found.chain[-1].id == "principal:B"
    assert found.chain[0].id == "fee:trustee"


def test_words_and_values_of_a_small_deal() -> None:
    steps = [
        interest("A"),
        principal("A", when="not trigger[late]"),
        principal("A", amount="50% * class[A].balance", when="trigger[late]"),
        RESIDUAL,
    ]
    spec = small_deal(
        [{"name": "A", "balance": 600, "coupon": 0.06}],
        steps,
        triggers=[{"name": "late", "condition": "period.number >= 2", "tested": "opening"}],
    )
    program, flows = compile_deal(spec, 60_000), pool([200.0, 200.0, 200.0], [10.0, 10.0, 10.0])
    found = explain(program, flows, tranche="A", date=2)

    assert [step.sentence for step in found.steps] == [
        "interest to A: 2.00 due; paid 2.00 from collection, where 208.00 is left.",
        "principal to A: not carried out, its condition does not hold.",
        "principal to A: 200.00 due; paid 200.00 from collection, where 8.00 is left.",
        "everything left to R: paid 8.00 from collection, where 0.00 is left.",
    ]
    amount = next(formula for formula in found.steps[2].formulas if formula.role == "amount")
    assert (amount.text, amount.value, amount.reads) == (
        "50% * class[A].balance",
        200.0,
        (("class[A].balance", 400.0),),
    )
    assert found.triggers[0].since == 2
    assert found.triggers[0].condition.reads == (("period.number", 2.0),)
    assert [found.classes[0].rate, found.classes[0].year_fraction] == pytest.approx([0.06, 1 / 12])
    assert [(move.source, move.target, move.amount) for move in found.transfers[:2]] == [
        ("pool: interest", "collection", 10.0),
        ("pool: scheduled principal", "collection", 200.0),
    ]
    assert found.principal_due == 200.0
    by_date = explain(program, flows, tranche="A", date=dt.date(2026, 9, 15))
    assert by_date == found


def test_a_run_from_mid_life_is_explained_from_there() -> None:
    whole = execute(PROGRAM, FLOWS, keep_states=(10,))
    found = explain_date(PROGRAM, FLOWS, date=11, scenario=2)
    rest = execute(PROGRAM, slice_flows(FLOWS, slice(10, None)), state=whole.state_after(10))

    assert found.classes[0].closing == rest.balance[0, 0, 2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"tranche": "Z"}, "tranche: no class is named 'Z'; the deal has A, B, C"),
        ({"date": 25}, "date: payment 25 lies outside 1 to 24"),
        ({"date": 0}, "date: payment 0 lies outside 1 to 24"),
        ({"date": dt.date(2026, 8, 16)}, "date: 2026-08-16 is no payment date of this run, which has 2026-08-15 to"),
        ({"scenario": 3}, "scenario: 3 lies outside 0 to 2"),
    ],
)
def test_what_the_run_does_not_have_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        explain(PROGRAM, FLOWS, **({"tranche": "A", "date": 1, "scenario": 0} | changes))  # type: ignore[arg-type]
    assert str(caught.value).startswith(sentence)
