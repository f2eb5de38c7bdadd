"""`manage.py model-export`: the folder runs on its own, gives the same cents, and notices any change."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from marketplace.cashflows import base_case
from pooling.deals import template_names
from pooling.model_export import ExportError, check_folder
from tests.services.disclosed import disclose, pool_flows
from tests.services.factories import Market, market

ROOT = Path(__file__).resolve().parents[2]


def export(*arguments: str) -> None:
    call_command("model-export", *arguments, stdout=io.StringIO())


def run(folder: Path, elsewhere: Path) -> subprocess.CompletedProcess[str]:
    """The folder's one command, from another directory, with nothing of this process but the path to the project."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, str(folder / "run.py")],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", template_names())
def test_the_model_of_a_template_runs_on_its_own(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export("--template", name, "--out", str(folder))
    done = run(folder, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Equal to expected.json to the cent" in done.stdout
    assert (folder / "cashflows.csv").exists()
    assert "python run.py" in (folder / "README.md").read_text()


@pytest.mark.django_db
def test_the_model_of_a_listing_is_its_page(tmp_path: Path) -> None:
    scene: Market = market()
    listing = disclose(scene, pool_flows())
    folder = tmp_path / "model"
    export(str(listing.pk), "--out", str(folder))
    done = run(folder, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    expected = json.loads((folder / "expected.json").read_text())
    case = base_case(listing)
    paid = [round(amount * 100) for amount in expected["columns"]["A principal"]]
    assert paid == case.deal.principal[0, :, 0].tolist()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["listing"] == str(listing.pk)
    assert manifest["spec_hash"] == listing.deal_version.spec_hash
    assert manifest["pool_balance_cents"] == listing.deal.pool.balance
    # Transfers add up to the cash that entered and left the deal, as the page proves it.
    inside = set(case.deal.account_names)
    ends = [(*line.rsplit(" (", 1)[0].split(" -> "), cents) for line, cents in expected["transfers"].items()]
    assert sum(cents for source, _, cents in ends if source not in inside) == case.table.proof.paid_in
    assert sum(cents for _, target, cents in ends if target not in inside) == case.table.proof.paid_out


def test_the_folder_prints_what_the_command_prints(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export("--template", "consumer-sequential", "--to-maturity", "--out", str(folder))
    out = io.StringIO()
    call_command("waterfall", "--template", "consumer-sequential", "--cents", "--to-maturity", stdout=out)

    done = run(folder, tmp_path)

    printed = out.getvalue().split("\n\n", 1)[1].split("cash conserved")[0]
    assert done.stdout.startswith(printed)
    assert done.stdout.splitlines()[-1] == "Equal to expected.json to the cent; cashflows.csv is written."
    rows = (folder / "cashflows.csv").read_text().splitlines()
    assert len(rows) == 1 + 85  # headings and a row for each payment date up to legal final


@pytest.mark.parametrize("name", ["spec.json", "flows.json", "options.json", "expected.json"])
@pytest.mark.parametrize("byte", [b"\r", b"\xff"])
def test_one_byte_is_enough_to_be_named(name: str, byte: bytes, tmp_path: Path) -> None:
    """A line end of another kind leaves the JSON as it was, and a byte that is no UTF-8 cannot be read: both are
    changes."""
    folder = tmp_path / "model"
    export("--template", "senior-subordinated", "--out", str(folder))
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole.replace(b"\n", byte, 1))

    with pytest.raises(ExportError, match=rf"^{name}: it is not the file that was exported"):
        check_folder(folder)


def test_a_manifest_that_is_changed_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export("--template", "senior-subordinated", "--out", str(folder))
    path = folder / "manifest.json"
    whole = json.loads(path.read_text())
    for text, sentence in (
        ("{", "manifest.json: it is not JSON any more"),
        ("{}", "manifest.json: the hashes of the files are missing"),
        (json.dumps(whole | {"spec_hash": "0" * 64}), "manifest.json: its spec_hash is not the content hash"),
    ):
        path.write_text(text)
        with pytest.raises(ExportError, match=f"^{sentence}"):
            check_folder(folder)

    path.write_text(json.dumps(whole))
    assert check_folder(folder).same_engine
    path.write_text(json.dumps(whole | {"engine": "0" * 64}))
    assert not check_folder(folder).same_engine


def forge(folder: Path, **changes: object) -> None:
    """Change keys of expected.json, and its hash in the manifest with them."""
    path = folder / "expected.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["expected.json"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_an_expected_figure_that_is_forged_with_its_hash_is_found_to_the_cent(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export("--template", "senior-subordinated", "--out", str(folder))
    expected = json.loads((folder / "expected.json").read_text())
    columns, transfers = expected["columns"], expected["transfers"]
    line = next(iter(transfers))
    cent = [columns["A interest"][0] + 0.01, *columns["A interest"][1:]]
    for changes, sentence in (
        ({"columns": columns | {"A interest": cent}}, "A interest, payment 1: "),
        ({"columns": columns | {"A interest": cent[1:]}}, "A interest: "),
        ({"columns": {**columns, "Z balance": []}}, "expected.json: it and the model have other columns: Z balance"),
        ({"columns": columns, "transfers": transfers | {line: transfers[line] + 1}}, f"{line}: "),
        ({"transfers": None}, "the files do not fit each other: "),
    ):
        forge(folder, **changes)
        with pytest.raises(ExportError) as caught:
            check_folder(folder)
        assert str(caught.value).startswith(sentence)
    forge(folder, **expected)
    check_folder(folder)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("spec.json", '"coupon": 0.', '"coupon": 0.1'),
        ("flows.json", "1", "2"),
        ("expected.json", ".", ".1"),
        ("options.json", '"to_call": true', '"to_call": false'),
    ],
)
def test_a_changed_file_is_named(name: str, old: str, new: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export("--template", "senior-subordinated", "--out", str(folder))
    path = folder / name
    path.write_text(path.read_text().replace(old, new, 1))
    done = run(folder, tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith(f"The model does not hold: {name}: it is not the file that was exported")


def test_figures_that_differ_are_named_though_every_hash_agrees(tmp_path: Path) -> None:
    """Somebody changes the flows and the manifest with them: the figures tell."""
    folder = tmp_path / "model"
    export("--template", "senior-subordinated", "--out", str(folder))
    flows = json.loads((folder / "flows.json").read_text())
    flows["interest"][0][0] += 1000.0
    (folder / "flows.json").write_text(json.dumps(flows))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["flows.json"] = hashlib.sha256((folder / "flows.json").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = run(folder, tmp_path)

    assert done.returncode == 1
    assert "The model does not hold: collections, payment 1: " in done.stderr


@pytest.mark.django_db
def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    new = str(tmp_path / "new")
    for arguments, sentence in (
        (("--template", "pass-through", "--out", str(full)), f"out: {full} is not an empty folder; give another."),
        (("abc", "--out", new), "listing: 'abc' is no id of a listing."),
        (
            ("00000000-0000-4000-8000-000000000000", "--out", new),
            "listing: there is none with the id 00000000-0000-4000",
        ),
        (("--out", new), "give the id of a listing or --template NAME, one of the two."),
    ):
        with pytest.raises(CommandError) as caught:
            export(*arguments)
        assert str(caught.value).startswith(sentence)
        assert caught.value.returncode == 2
    assert not Path(new).exists()
