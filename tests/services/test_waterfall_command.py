"""`manage.py waterfall`: the table, the figures under it, and one sentence for what cannot be run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from pooling.deals import template, template_collateral, template_names
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
    ],
)
def test_bad_input_ends_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        printed(*arguments)
    assert str(caught.value).startswith(sentence)
    assert caught.value.returncode == 2


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
