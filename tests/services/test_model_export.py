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
    assert [round(amount * 100) for amount in expected["A principal"]] == case.deal.principal[0, :, 0].tolist()
    assert json.loads((folder / "manifest.json").read_text())["listing"] == str(listing.pk)


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
