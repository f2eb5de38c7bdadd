"""The main job on real tapes, as a person would call it; its throw-away database needs none of the servers here."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = 20_814  # ../shared/data/README.md: rows of lendingclub_2007_2010.csv.gz
MEMORY_LIMIT_KB = 1_500_000
# A child counts what its parent held when it was forked, and the process of the tests holds much by now: the command
# is measured from a small process of its own.
MEASURED = (
    "import resource, subprocess, sys; status = subprocess.run(sys.argv[1:]).returncode;"
    " print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(status)"
)
peaks: list[int] = []  # kilobytes, of the commands so far


def securitize(tape: Path, out: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURED, sys.executable, "manage.py", "securitize", str(tape)]
    command += ["--json", str(out), "--verbosity", "0", *options]
    done = subprocess.run(command, cwd=ROOT, env=os.environ.copy(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peaks.append(int(done.stdout.split()[-1]))
    report: dict[str, Any] = json.loads(out.read_text())
    return report


def check_report(report: dict[str, Any]) -> None:
    tape, sources = report["tape"], report["sources_and_uses"]
    assert tape["accepted"] + tape["rejected"] == tape["rows"]
    assert report["pool"]["loans"] + report["pool"]["excluded"] == tape["accepted"]
    assert [row["name"] for row in report["tranches"]] == ["A", "B", "C", "R"]
    assert [row["target"] for row in report["tranches"]] == ["AA", "A", "BBB", None]
    assert report["settlement"]["ledger_imbalance"] == 0
    cents = {side: sum(round(value * 100) for value in sources[side].values()) for side in ("sources", "uses")}
    assert cents["sources"] == cents["uses"] > 0
    balances = [row["balance"] for row in report["tranches"]]
    assert round(sum(balances) * 100) == round(report["pool"]["balance"] * 100)
    assert report["settlement"]["trades"] == report["settlement"]["allocations"] > 0
    assert all(row["bid_to_cover"] > 1 and row["allotted"] > 0 for row in report["auction"])


@pytest.mark.shared
def test_the_2007_2010_tape_is_securitized_within_time_and_memory_and_alike_twice(shared: Path, tmp_path: Path) -> None:
    tape = shared / "data/lendingclub_2007_2010.csv.gz"
    started = time.monotonic()

    first = securitize(tape, tmp_path / "1.json", "--as-of", "origination")
    seconds = time.monotonic() - started
    peak = peaks[-1]
    second = securitize(tape, tmp_path / "2.json", "--as-of", "origination")

    check_report(first)
    assert first["tape"]["rows"] == ROWS
    assert {key: first[key] for key in first if key != "timings"} == {
        key: second[key] for key in second if key != "timings"
    }
    print(f"{seconds:.1f} s, {peak / 1e6:.2f} GB")
    assert peak < MEMORY_LIMIT_KB
    # notes/model.md: charged off net of recoveries, over the funded balance, computed apart from any prediction
    assert first["realised"]["loss"] == pytest.approx(0.0937, abs=5e-5)
    assert 0.01 < first["realised"]["quantile_of_prediction"] < 0.99
    assert first["model"]["name"] == "documented curve"


@pytest.mark.shared
def test_the_outcomes_of_a_tape_do_not_enter_its_rating(shared: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data/lendingclub_2007_2010.csv.gz", "rb") as file:
        (tape := tmp_path / "tape.csv").write_bytes(file.read())
    options = ("--as-of", "origination", "--scenarios", "256")
    known = securitize(tape, tmp_path / "1.json", *options)
    unknown = securitize(with_outcomes_erased(tape, tmp_path), tmp_path / "2.json", *options)

    assert unknown["realised"] is None
    # Loan ids are made from whole rows, so the draws of the two differ; the model and the pool may not.
    assert known["manifest"]["credit_model"] == unknown["manifest"]["credit_model"]
    for key in ("balance", "wac", "wam_months", "loans"):
        assert known["pool"][key] == unknown["pool"][key]
    gap = abs(known["simulation"]["expected_loss"] - unknown["simulation"]["expected_loss"])
    assert gap < 4 * known["simulation"]["expected_loss_se"]


@pytest.mark.shared
def test_untidy_tape(shared: Path, tmp_path: Path) -> None:
    report = securitize(shared / "data/lendingclub_messy_percent_2500.csv.gz", tmp_path / "out.json")
    check_report(report)
    assert report["tape"]["rows"] == 2_500
    assert report["realised"] is None


@pytest.mark.shared
def test_earlier_loans_calibrate_and_later_ones_are_rated(shared: Path, tmp_path: Path) -> None:
    """Loans issued before 2010-04 are the history; no outcome after that month, and none of the pool's, enters."""
    history, later = split_by_issue(shared / "data/lendingclub_2007_2010.csv.gz", "2010-04", tmp_path)

    report = securitize(later, tmp_path / "out.json", "--calibrate", str(history), "--as-of", "origination")
    # The whole tape as history, the pool's own loans with it, and a history whose later outcomes are all changed:
    # neither may change anything.
    whole = securitize(
        later, tmp_path / "2.json", "--calibrate", str(both_parts(history, later)), "--as-of", "origination"
    )
    blind = securitize(
        later, tmp_path / "3.json", "--calibrate", str(with_later_outcomes_changed(history)), "--as-of", "origination"
    )

    check_report(report)
    assert report["model"]["name"] == "calibrated on history"
    fallbacks = report["model"]["fallbacks"]
    assert any(sentence.startswith("60-month loans: hazards of the 36-month loans") for sentence in fallbacks)
    assert 0 < report["realised"]["quantile_of_prediction"] < 1
    for other in (whole, blind):
        for key in ("model", "simulation", "tranches"):
            assert other[key] == report[key]


def split_by_issue(tape: Path, month: str, folder: Path) -> tuple[Path, Path]:
    with gzip.open(tape, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    issued = header.index("issue_d")
    parts = folder / "history.csv", folder / "later.csv"
    for path, late in zip(parts, (False, True), strict=True):
        with path.open("w", newline="") as out:
            csv.writer(out).writerows([header, *(row for row in rows if (row[issued][:7] >= month) == late)])
    return parts


def both_parts(history: Path, later: Path) -> Path:
    path = history.with_name("whole.csv")
    path.write_text(history.read_text() + later.read_text().split("\n", 1)[1])
    return path


def with_later_outcomes_changed(history: Path) -> Path:
    """Loans whose last payment came after 2010-03 end otherwise than they did: paid for charged off, and later."""
    with history.open(newline="") as file:
        header, *rows = csv.reader(file)
    last, status = header.index("last_pymnt_d"), header.index("loan_status")
    changed = 0
    for row in rows:
        if row[last][:7] > "2010-03":
            row[status] = "Fully Paid" if row[status].endswith("Charged Off") else "Charged Off"
            row[last] = "2013-01-01"
            changed += 1
    assert changed > 1_000
    path = history.with_name("changed.csv")
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return path


def with_outcomes_erased(tape: Path, folder: Path) -> Path:
    outcome = {
        "loan_status", "out_prncp", "total_pymnt", "total_rec_prncp", "total_rec_int", "recoveries",
        "collection_recovery_fee", "last_pymnt_d", "last_pymnt_amnt", "total_rec_late_fee",
    }  # fmt: skip
    with tape.open(newline="") as file:
        header, *rows = csv.reader(file)
    blank = {header.index(name) for name in outcome}
    path = folder / "erased.csv"
    with path.open("w", newline="") as out:
        erased = ([("" if i in blank else cell) for i, cell in enumerate(row)] for row in rows)
        csv.writer(out).writerows([header, *erased])
    return path
