"""`manage.py waterfall`: the table, the figures under it, and one sentence for what cannot be run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from pooling.deals import template, template_collateral, template_names
from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.assumptions.terms import PrepaymentKind
from pooling.engine.waterfall import compile_deal, execute
from tests.engine.deal_builders import solved


def printed(*arguments: str) -> str:
    out = io.StringIO()
    call_command("waterfall", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("name", template_names())
def test_every_template_prints_its_table(name: str) -> None:
    text = printed("--template", name, "--cents")

    assert text.startswith(template(name).name)
    assert "cash conserved to 0.0e+00" in text
    for cls in template(name).class_names:
        assert f"{cls} balance" in text


def test_figures_are_those_of_the_engine(tmp_path: Path) -> None:
    out = tmp_path / "flows.csv"
    printed(
        "--template", "senior-subordinated", "--cdr", "0.05", "--cpr", "0.1", "--severity", "0.7", "--csv", str(out)
    )

    spec, pool = template("senior-subordinated"), template_collateral("senior-subordinated")
    changes = {"cdr": 0.05, "cpr": 0.1, "severity": 0.7}
    deal = execute(compile_deal(spec, pool.balance_cents), pool.flows(spec, **changes), **pool.options(spec, **changes))
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [float(row["A principal"]) for row in rows] == deal.principal[0, :, 0].tolist()
    assert [row["date"] for row in rows] == [day.isoformat() for day in deal.dates]


def test_more_defaults_are_worse_and_break_even_says_how_many_a_class_bears(tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(solved().to_json()))
    given = (str(path), "--balance", "1000000", "--rate", "0.12", "--term", "36", "--severity", "0.9")

    text = printed(*given, "--break-even")
    stresses = {
        line.split()[3].rstrip(":"): float(line.split()[4].rstrip("%"))
        for line in text.splitlines()
        if "break-even" in line
    }

    assert stresses["C"] < stresses["B"] < stresses["A"]
    below, above = (printed(*given, "--cdr", f"{(stresses['C'] + step) / 100:.4f}") for step in (-0.1, 0.1))
    # The line of class C ends in principal unpaid, interest unpaid.
    unpaid = [
        float(next(line for line in text.splitlines() if line.startswith("C  ")).split()[-2].replace(",", ""))
        for text in (below, above)
    ]
    assert unpaid[0] == 0.0
    assert unpaid[1] > 0.0


def test_bought_collateral_defaults_at_the_speed_of_the_break_even() -> None:
    """The break-even of a deal that revolves is the CDR at which --cdr first hurts the class. Charged off after a year,
    the deal goes on buying at speeds that hurt class B: with bought loans left at the base case's it would bear twice
    as much."""
    given = ("--template", "merchant-revolving", "--charge-off-lag", "12", "--json")
    junior = json.loads(printed(*given, "--break-even"))["break_even_cdr"]["B"]["cdr"]

    lost = []
    for cdr in (junior - 0.001, junior + 0.001):
        run = json.loads(printed(*given, "--cdr", f"{cdr}"))
        late = max(run["columns"]["B unpaid"])
        lost.append(run["classes"][1]["principal_unpaid"] + late > 0.005)
    assert lost == [False, True]


def test_json_holds_the_table_and_all_that_was_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "flows.csv"
    name = "consumer-sequential"
    text = printed("--template", name, "--json", "--cents", "--explain", "A", "--price", "A=0.99", "--csv", str(out))

    found = json.loads(text)

    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [float(row["A balance"]) for row in rows] == found["columns"]["A balance"]
    assert found["spec_hash"] == template(name).content_hash()
    assert [row["name"] for row in found["classes"]] == ["A", "B", "C"]
    first = found["explanation"]["classes"][0]
    assert first["interest"] == found["columns"]["A interest"][0]
    assert "break_even_cdr" not in found
    # The pool is sold once, on the date on which the last class is repaid by its price.
    sold = found["columns"]["called"].index(1)
    assert sum(found["columns"]["called"]) == 1
    assert found["columns"]["C balance"][sold] == 0.0 < found["columns"]["C balance"][sold - 1]


def test_whole_cents_have_a_yield_too() -> None:
    given = ("--template", "senior-subordinated", "--price", "A=0.99", "--json")
    exact, cents = (json.loads(printed(*given, *more))["classes"][0]["yield"] for more in ((), ("--cents",)))
    assert exact.endswith("% at 99")
    assert abs(float(exact.split("%")[0]) - float(cents.split("%")[0])) < 1e-3


@pytest.mark.parametrize(("option", "kind", "speed"), [("--psa", "psa", 1.5), ("--abs-speed", "abs", 0.012)])
def test_a_speed_by_age_is_that_of_the_assumptions(option: str, kind: PrepaymentKind, speed: float) -> None:
    columns = json.loads(printed("--template", "prime-auto", option, str(speed), "--json"))["columns"]

    spec, pool = template("prime-auto"), template_collateral("prime-auto")
    base = dict(pool.base_case)
    given = Assumptions(
        prepayment=Prepayment(kind, speed),
        default=Default("cdr", base["cdr"]),
        severity=base["severity"],
        recovery_lag=base["recovery_lag"],
        charge_off_lag=base["charge_off_lag"],
    )
    program = compile_deal(spec, pool.balance_cents)
    deal = execute(program, assumed_flows(pool.loans, given, horizon=program.months), **pool.options(spec))
    assert columns["pool"] == deal.pool_balance[:, 0].tolist()
    assert columns["A-4 principal"] == deal.principal[3, :, 0].tolist()


def test_an_index_moves_the_coupon_of_a_floating_class() -> None:
    """A flat rate in place of the template's path: class A pays SOFR + margin on actual/360, the first period 2026."""
    low, high = (
        json.loads(printed("--template", "floating-swap", "--index", f"SOFR-1M={rate}", "--json"))["columns"]
        for rate in (0.02, 0.03)
    )
    spec = template("floating-swap")
    program = compile_deal(spec, template_collateral("floating-swap").balance_cents)
    fraction = (program.calendar.dates[0] - spec.dates.closing).days / 360
    more = high["A interest"][0] - low["A interest"][0]
    assert more == pytest.approx(0.01 * fraction * program.initial_balance[0], rel=1e-9)


def test_the_order_of_events_is_the_deals(tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    spec = solved().to_json()
    pools, collected = [], []
    for order in ("default_first", "default_then_prepayment"):
        path.write_text(json.dumps(spec | {"conventions": spec["conventions"] | {"event_order": order}}))
        text = printed(str(path), "--balance", "1000000", "--rate", "0.12", "--term", "36", "--cpr", "0.2", "--json")
        found = json.loads(text)
        assert found["assumptions"].endswith(order)
        pools.append(found["columns"]["pool"][0])
        collected.append(found["columns"]["collections"][0])
    smm = 1.0 - 0.8 ** (1 / 12)
    instalment = 1000000 * 0.01 / (1.0 - 1.01**-36)
    left = 1000000 * 1.01 - instalment
    # Without defaults both orders leave the same balance; prepaid before the interest, it bears none of the month.
    assert pools == [pytest.approx(left * (1.0 - smm), rel=1e-12)] * 2
    assert collected[0] - collected[1] == pytest.approx(1000000 * 0.01 * smm, rel=1e-9)


def test_the_head_names_dates_conventions_and_assumptions() -> None:
    head = printed("--template", "consumer-sequential", "--cdr", "0.03", "--cents").split("\n\n")[0]
    for words in ("300,000,000.00 at cut-off", "86.00%", "30/360", "whole cents", "cdr 0.03", "legal final"):
        assert words in head


def test_a_payment_is_explained_step_by_step() -> None:
    text = printed("--template", "pro-rata-switch", "--explain", "B", "--date", "2")

    assert "payment 2, " in text
    assert any(line.startswith("*") and "interest to B" in line for line in text.splitlines())


def test_yields_stand_beside_the_classes() -> None:
    text = printed("--template", "consumer-sequential", "--price", "A=1.0")
    assert "% at 100" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give a SPEC.json or --template NAME, one of the two."),
        (("nowhere.json", "--rate", "0.1"), "The deal nowhere.json cannot be read: "),
        (("--template", "consumer-sequential", "--cdr", "1.5"), "cdr: 1.5 lies outside 0 to 1."),
        (("--template", "consumer-sequential", "--index", "SOFR=0.04"), "rates: 'SOFR' is no index of the deal."),
        (
            ("--template", "consumer-sequential", "--price", "Z=1"),
            "--price: no class is named 'Z'; the deal has A, B, C.",
        ),
        (
            ("--template", "consumer-sequential", "--explain", "Z"),
            "tranche: no class is named 'Z'; the deal has A, B, C.",
        ),
        (
            ("--template", "consumer-sequential", "--explain", "A", "--date", "999"),
            "date: payment 999 lies outside 1 to 85.",
        ),
        (("--template", "consumer-sequential", "--rate", "0.1"), "--rate: a template has its own loans; "),
        (("--template", "consumer-sequential", "--psa", "150"), "psa: 150.0 lies outside 0 to 20; "),
        (
            ("--template", "consumer-sequential", "--psa", "1", "--cpr", "0.1"),
            "--psa: the prepayment speed is given ",
        ),
        (("--template", "consumer-sequential", "--cdr", "nan"), "cdr: nan lies outside 0 to 1."),
        (("--template", "consumer-sequential", "--recovery-lag", "-1"), "recovery_lag: -1 must not be negative."),
        (("--template", "consumer-sequential", "--price", "A=99.5"), "--price: A=99.5 is no price per 1 of balance; "),
        (("--template", "consumer-sequential", "--price", "A=nan"), "--price: A=nan is no price above 0; par is 1."),
        (("--template", "consumer-sequential", "--date", "3"), "--date: it says which payment to explain; "),
        (("--template", "consumer-sequential", "--csv", "nowhere/x.csv"), "--csv: "),
    ],
)
def test_bad_input_ends_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        printed(*arguments)
    assert str(caught.value).startswith(sentence)
    assert caught.value.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--rate is missing: give the coupon of the representative loan, such as 0.12."),
        (("--rate", "0.1", "--balance", "0"), "--balance: 0 is no amount above 0; "),
        (("--rate", "0.1", "--balance", "nan"), "--balance: nan is no amount above 0; "),
        (("--rate", "0.1", "--balance", "1000000", "--term", "900"), "--term: 900 months lie outside 1 to "),
        (("--rate", "0.1", "--balance", "1000000", "--term", "0"), "--term: 0 months lie outside 1 to "),
        (("--rate", "-0.1", "--balance", "1000000"), "--rate: -0.1 lies outside 0 to 1; "),
        (("--rate", "12", "--balance", "1000000"), "--rate: 12 lies outside 0 to 1; 12 % is written 0.12."),
    ],
)
def test_a_loan_that_cannot_be_is_refused(arguments: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(solved().to_json()))
    with pytest.raises(CommandError) as caught:
        printed(str(path), *arguments)
    assert str(caught.value).startswith(sentence)
    assert caught.value.returncode == 2


def test_an_index_that_is_missing_or_in_percent_is_named(tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(template("floating-swap").to_json()))
    given = (str(path), "--rate", "0.1", "--balance", "300000000", "--psa", "2")
    for more, sentence in (
        ((), "--index: the deal needs SOFR-1M; give --index SOFR-1M=RATE, such as 0.04."),
        (("--index", "SOFR-1M=4"), "--index: SOFR-1M=4 is no annual fraction; 5 % is written 0.05."),
    ):
        with pytest.raises(CommandError) as caught:
            printed(*given, *more)
        assert str(caught.value) == sentence
    assert "psa 2" in printed(*given, "--index", "SOFR-1M=0.04")


@pytest.mark.parametrize("name", template_names())
def test_every_template_explains_its_junior_class_as_json(name: str) -> None:
    """Payment 7: quotients of formulas that do not exist must not stop the writer."""
    junior = template(name).class_names[-1]
    found = json.loads(printed("--template", name, "--explain", junior, "--date", "7", "--json"))
    paid = next(row for row in found["explanation"]["classes"] if row["name"] == junior)
    assert paid["principal"] == found["columns"][f"{junior} principal"][6]
    assert paid["closing"] == found["columns"][f"{junior} balance"][6]


def test_without_a_balance_the_pool_is_as_large_as_the_notes(tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(solved().to_json()))
    notes = sum(part.balance or 0 for part in solved().tranches) / 100
    assert f"pool         {notes:,.2f} at cut-off" in printed(str(path), "--rate", "0.12", "--term", "36")


def test_a_broken_or_unsolved_spec_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "deal.json"
    for change, sentence in (
        ({"curency": "USD"}, "curency: unknown key; did you mean 'currency'?."),
        ({"tranches": [{"name": "A", "kind": "note"}, *solved().to_json()["tranches"][1:]]},
         "tranches[0].balance: class 'A' is not solved yet."),
    ):  # fmt: skip
        path.write_text(json.dumps(solved().to_json() | change))
        with pytest.raises(CommandError) as caught:
            printed(str(path), "--rate", "0.1", "--balance", "1000000")
        assert str(caught.value) == sentence
