"""The house keeps its own rules: imports go one way, locks name no host, settings refuse the unknown."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "pyproject.toml"
APPS = ("accounts", "runs", "pooling", "rating", "pricing", "investors", "marketplace", "config")
ENGINES = ("pooling.tapes", "pooling.deals", *(f"{app}.engine" for app in APPS if (ROOT / app / "engine").is_dir()))


# -------------------- the import order
def bare_tree(folder: Path) -> Path:
    """The project's packages with nothing in them, under the project's own contracts."""
    (folder / "pyproject.toml").write_text(CONFIGURATION.read_text())
    for package in (*APPS, *ENGINES):
        directory = folder.joinpath(*package.split("."))
        directory.mkdir(exist_ok=True)
        (directory / "__init__.py").touch()
    (folder / "accounts" / "models.py").touch()
    return folder


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs import-linter on `folder`."""
    program = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as run; run()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_contracts_accept_an_empty_tree(tmp_path):
    done = lint_imports(bare_tree(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


FORBIDDEN = {
    **{f"{engine}.broken": "import django.db" for engine in ENGINES},
    "rating.engine.deep.broken": "from django.conf import settings",
    "pricing.engine.unclean": "import accounts.models",
    "rating.engine.unclean": "from celery import shared_task",
    "accounts.broken": "import runs",
    "runs.broken": "import pooling",
    "pooling.broken": "import rating.engine",
    "rating.broken": "import pricing",
    "pricing.broken": "from investors import *",
    "investors.broken": "import marketplace.engine",
    "marketplace.broken": "import config",
}


def test_contracts_refuse_every_forbidden_import(tmp_path):
    # Given a tree in which each contract is broken in each app
    bare_tree(tmp_path)
    for module, line in FORBIDDEN.items():
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(line + "\n")
    # When the contracts are checked
    done = lint_imports(tmp_path)
    # Then each import is named
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Contracts: 0 kept, 2 broken." in done.stdout
    assert {module for module in FORBIDDEN if f"{module} -> " not in done.stdout} == set()


# -------------------- the locks
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt", "requirements-uv.txt"])
def test_locks_are_hashed_and_name_no_host(name):
    lines = (ROOT / name).read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert requirements
    for line in requirements:
        assert re.fullmatch(r"[\w.\-\[\],]+==[\w.+!]+( ; [^\\]+?)? \\", line), line
    for line in lines:
        assert "://" not in line
        assert " @ " not in line
        assert not line.startswith(("-i", "--index", "--extra-index", "--find-links", "--trusted-host"))


def test_locks_agree_with_each_other():
    pinned = re.compile(r"^([\w.\-]+)(?:\[[\w,]+\])?==([\w.+!]+)", re.MULTILINE)
    runtime = dict(pinned.findall((ROOT / "requirements.txt").read_text()))
    test = dict(pinned.findall((ROOT / "requirements-test.txt").read_text()))
    assert runtime.items() <= test.items()
    assert not {"pytest", "playwright", "mypy", "uv"} & runtime.keys()


# -------------------- the settings
def load_settings(data: Path, show: str = "None", **variables: str) -> subprocess.CompletedProcess[str]:
    """Loads the settings in a fresh process with only `variables` set; prints `show` as JSON."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    program = f"import json; from config import settings as s; print(json.dumps({show}))"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=keep | {"GLASSPOOL_DATA": str(data)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"GLASSPOOL_ENV": "staging"}, "GLASSPOOL_ENV"),
        ({"GLASSPOOL_ENV": "Production"}, "GLASSPOOL_ENV"),
        ({"GLASSPOOL_ENV": "production"}, "DJANGO_SECRET_KEY"),
        ({"GLASSPOOL_ENV": "production", "DJANGO_SECRET_KEY": "short"}, "DJANGO_SECRET_KEY"),
        ({"GLASSPOOL_ENV": "production", "DJANGO_SECRET_KEY": "k" * 60, "DJANGO_DEBUG": "1"}, "DJANGO_DEBUG"),
        ({"DJANGO_DEBUG": "ture"}, "DJANGO_DEBUG"),
        ({"GLASSPOOL_BEHIND_PROXY": "2"}, "GLASSPOOL_BEHIND_PROXY"),
        ({"DATABASE_URL": "mysql://somebody:hush@db/glasspool"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://somebody:hush@db:port/glasspool"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgres://somebody:hush@db:5432"}, "DATABASE_URL"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL"),
        ({"GLASSPOOL_LEASE_SECONDS": "nan"}, "GLASSPOOL_LEASE_SECONDS"),
        ({"GLASSPOOL_CHUNK_ATTEMPTS": "2.5"}, "GLASSPOOL_CHUNK_ATTEMPTS"),
        ({"GLASSPOOL_CHUNK_ATTEMPTS": "0"}, "GLASSPOOL_CHUNK_ATTEMPTS"),
    ],
)
def test_settings_refuse_what_they_do_not_know(tmp_path, variables, named):
    done = load_settings(tmp_path, **variables)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured: ")
    assert named in last
    assert "hush" not in done.stderr, "an error must not repeat the password of an address"


def test_settings_keep_one_generated_key(tmp_path):
    first = load_settings(tmp_path, "s.SECRET_KEY")
    second = load_settings(tmp_path, "s.SECRET_KEY")
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(json.loads(first.stdout)) > 50
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0


def test_settings_embedded_defaults(tmp_path):
    done = load_settings(tmp_path, "[s.DATABASES, s.REDIS_URL, s.CELERY_BROKER_URL]")
    databases, redis_url, broker = json.loads(done.stdout)
    options = databases["default"]["OPTIONS"]
    assert databases["default"]["NAME"] == str(tmp_path / "glasspool.sqlite3")
    assert (options["transaction_mode"], options["timeout"]) == ("IMMEDIATE", 20)
    assert (redis_url, broker) == ("", "memory://"), "without a broker no message may leave this process"


def test_production_passes_the_deployment_check(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "GLASSPOOL_ENV": "production",
            "GLASSPOOL_DATA": str(tmp_path),
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(64),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues (0 silenced)" in done.stdout


# -------------------- the logs
def test_logs_keep_personal_data_out():
    from config.logs import JsonFormatter

    try:
        raise ValueError("row 3: borrower Jane Roe")
    except ValueError:
        trace = sys.exc_info()
    record = logging.LogRecord(
        "glasspool",
        logging.ERROR,
        __file__,
        1,
        "login of %s at /loans?name=Roe\nagain",
        ("jane@roe.example",),
        trace,
    )
    text = JsonFormatter().format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert line["message"] == "login of <email> at /loans?…\nagain"
    assert line["error"] == "ValueError"
    assert line["trace"][-1].endswith("test_logs_keep_personal_data_out")
    assert "Roe" not in text
    assert "jane" not in text


# -------------------- the rule that CI skips nothing
@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_a_skip_fails_in_ci_only(tmp_path, ci, status):
    body = "import pytest\n\ndef test_runs():\n    pass\n\ndef test_skips():\n    pytest.skip('no means')\n"
    conftest = "from tests.conftest import pytest_sessionfinish, pytest_terminal_summary\n"
    (tmp_path / "test_one.py").write_text(body)
    (tmp_path / "conftest.py").write_text(conftest)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--rootdir",
            str(tmp_path),
            "-c",
            str(ROOT / "pyproject.toml"),
            str(tmp_path),
        ],
        cwd=ROOT,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert ("which CI=true does not allow" in done.stdout) == bool(status)
