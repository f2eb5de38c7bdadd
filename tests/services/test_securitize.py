"""`manage.py securitize --keep` on the test database: what it leaves, and what bad input leaves (nothing)."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from investors.models import Transfer
from investors.selectors import ledger_drift, ledger_imbalance
from marketplace.models import Listing
from pooling.engine.deal import default_template
from pooling.models import Deal, Loan, Pool, TapeUpload, TapeVersion
from pooling.tapes import write_generated_tape
from rating.models import RatingRun
from runs.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "amount,rate,term,grade\n"


def securitize(tape: Path, **options: Any) -> str:
    out = io.StringIO()
    settings: dict[str, Any] = {"keep": True, "scenarios": 256, "verbosity": 0, "stdout": out}
    call_command("securitize", str(tape), **(settings | options))
    return out.getvalue()


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=400, seed=3)
    return path


def test_a_kept_deal_is_settled_and_its_ledger_balances(tape: Path, tmp_path: Path) -> None:
    text = securitize(tape, json=tmp_path / "out.json")

    report = json.loads((tmp_path / "out.json").read_text())
    assert Listing.objects.get().state == "settled"
    assert report["settlement"]["trades"] > 0
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    assert Loan.objects.filter(pool__isnull=False).count() == report["pool"]["loans"]
    assert "SETTLEMENT" in text
    assert report["realised"] is None


def test_the_same_tape_twice_is_caught_by_the_pledge_of_its_loans(tape: Path) -> None:
    securitize(tape)
    before = Loan.objects.count(), Pool.objects.count(), Transfer.objects.count()

    with pytest.raises(CommandError, match=r"registered already with the tape tape.csv .* one open owner") as refusal:
        securitize(tape)

    assert refusal.value.returncode == 2
    assert (Loan.objects.count(), Pool.objects.count(), Transfer.objects.count()) == before


def test_a_tape_of_amount_rate_and_term_alone(tmp_path: Path) -> None:
    path = tmp_path / "small.csv"
    rows = [f"{5_000 + 100 * i},{0.08 + 0.0005 * i:.4f},{36 if i % 3 else 60}" for i in range(200)]
    path.write_text("amount,rate,term\n" + "\n".join(rows) + "\n")
    text = securitize(path)
    assert "200 rows = 200 accepted + 0 rejected" in text


def test_bad_rows_are_counted_by_reason_and_good_ones_go_on(tmp_path: Path) -> None:
    good = [f"{5_000 + 100 * i},{0.08 + 0.0005 * i:.4f},36,B" for i in range(150)]
    bad = ["-100,0.1,36,B", "9000,400%,36,B", "NaN,0.1,36,B", "9000,0.1", "9000,0.1,36,B,x,y", good[0]]
    path = tmp_path / "mixed.csv"
    path.write_text(HEADER + "\n".join(good + bad) + "\n")

    securitize(path, json=tmp_path / "out.json")

    counted = json.loads((tmp_path / "out.json").read_text())["tape"]
    assert (counted["rows"], counted["accepted"], counted["rejected"]) == (156, 150, 6)
    assert sum(counted["reasons"].values()) == 6


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty; upload a CSV file"),
    "delimiter": (b"amount;rate;term\n1000;0.1;36\n", "separated by semicolons"),
    "columns": (b"amount,colour\n1000,red\n", "no column for rate (such as"),
    "encoding": (HEADER.encode() + b"1000,0.1,36,\xff\xfe\n", "UTF-8"),
    "only bad rows": (HEADER.encode() + b"1000,400%,36,B\n", "None of the 1 rows"),
    "zip bomb": (gzip.compress(HEADER.encode() + b"1000,0.1,36,B\n" + b"0" * (600 << 20), 1), "."),
    "long line": (HEADER.encode() + b"1" * (3 << 20) + b",0.1,36,B\n", "longer than"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_ends_with_one_sentence_and_status_2_and_leaves_no_tape(case: str, tmp_path: Path) -> None:
    content, words = BAD_FILES[case]
    path = tmp_path / "bad.csv"
    path.write_bytes(content)

    with pytest.raises(CommandError) as refusal:
        securitize(path)

    sentence = str(refusal.value)
    assert refusal.value.returncode == 2
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "/" not in sentence.replace("bad.csv", "")
    kept = [model.objects.count() for model in (TapeVersion, Loan, Pool, Deal, RatingRun, Listing)]
    assert kept == [0] * 6


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file") as refusal:
        securitize(tmp_path / "none.csv")
    assert refusal.value.returncode == 2
    assert TapeUpload.objects.count() == 0


def test_a_spec_with_an_unknown_key_names_its_path(tape: Path, tmp_path: Path) -> None:
    spec = template()
    spec["tranches"][0]["balnce"] = 5
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))

    with pytest.raises(CommandError, match=r"tranches\[0\].*balnce.*balance") as refusal:
        securitize(tape, deal=path)

    assert refusal.value.returncode == 2
    assert Deal.objects.count() == 0


def template() -> dict[str, Any]:
    return default_template(
        name="x", currency="USD", cut_off="2026-04-30", closing="2026-05-21", first_payment="2026-06-21",
        legal_final="2034-06-21",
    ).to_json()  # fmt: skip


def test_a_given_capital_structure_is_rated_and_priced_as_it_stands(tape: Path, tmp_path: Path) -> None:
    spec = template()
    for tranche, balance in zip(spec["tranches"], (400_000_000, 60_000_000, 40_000_000), strict=True):
        tranche |= {"balance": balance, "coupon": 0.05}
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))

    securitize(tape, deal=path, json=tmp_path / "out.json")

    rows = json.loads((tmp_path / "out.json").read_text())["tranches"]
    assert [row["balance"] for row in rows[:3]] == [4_000_000.0, 600_000.0, 400_000.0]
    assert [row["coupon"] for row in rows[:3]] == [0.05] * 3


@pytest.mark.parametrize("case", ["some balances", "early legal final"])
def test_a_spec_that_cannot_be_solved_is_refused_in_words(case: str, tape: Path, tmp_path: Path) -> None:
    spec = template()
    if case == "some balances":
        spec["tranches"][0]["balance"], words = 100_000, "class B has no balance while others have"
    else:
        spec["dates"]["legal_final"], words = "2027-06-21", "dates.legal_final allows 13 payments"
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))

    with pytest.raises(CommandError, match=words) as refusal:
        securitize(tape, deal=path)

    assert refusal.value.returncode == 2
    assert RatingRun.objects.count() == 0


def test_a_target_out_of_reach_fails_the_run_at_once_with_its_reason(tape: Path, tmp_path: Path) -> None:
    spec = template()
    spec["fees"][0]["rate"] = 0.5  # the servicer takes more than the loans pay
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec))

    with pytest.raises(CommandError, match=r"cannot be solved: targets: class A reaches A\+ at no size") as refusal:
        securitize(tape, deal=path)

    assert refusal.value.returncode == 2
    assert Run.objects.get(kind="pricing.structure").chunks.get().attempt == 1
    assert Listing.objects.count() == 0


@pytest.mark.parametrize(("option", "value"), [("scenarios", 1000), ("as_of", "yesterday"), ("as_of", "2019-13")])
def test_options_out_of_range(tape: Path, option: str, value: Any) -> None:
    with pytest.raises(CommandError) as refusal:
        securitize(tape, **{option: value})
    assert refusal.value.returncode == 2
    assert str(value) in str(refusal.value)
