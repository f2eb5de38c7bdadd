"""What all tests share: a throw-away data directory, markers, the browser, and no skips where CI is true."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.operations import BaseDatabaseOperations

from accounts.append_only import guard, guarded_tables, unguard
from tests.browser import chromium_path

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("GLASSPOOL_SHARED") or ROOT.parent / "shared")
if not SHARED.is_absolute():
    SHARED = ROOT / SHARED

# pytest-django reads the settings before this file: what they derive from GLASSPOOL_DATA is set again here,
# once, before any database exists. Child processes get the directory from the environment.
_data = tempfile.TemporaryDirectory(prefix="glasspool-tests-", ignore_cleanup_errors=True)
DATA = Path(_data.name)
os.environ["GLASSPOOL_DATA"] = str(DATA)
settings.GLASSPOOL_DATA = DATA
settings.GLASSPOOL_ARTEFACTS = settings.MEDIA_ROOT = DATA / "artefacts"
settings.GLASSPOOL_ARTEFACTS.mkdir()
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # logins by the hundred
if connections.databases["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: threads and child processes must see the same rows.
    connections.databases["default"]["TEST"]["NAME"] = str(DATA / "test.sqlite3")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data directory."""
    _data.cleanup()


# ------------------------------------------------------------------------------------------ markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """tests/live is `live` and tests/web is `web`; what lacks its means is skipped with the reason."""
    servers = bool(os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL"))
    no_servers = pytest.mark.skip(reason="needs PostgreSQL and Redis: python -m tests.live.launcher -- pytest …")
    no_shared = pytest.mark.skip(reason=f"no sample data at {SHARED}: set GLASSPOOL_SHARED")
    for item in items:
        folder = item.path.relative_to(ROOT).parts[1]
        if folder in ("live", "web"):
            item.add_marker(folder)
        if item.get_closest_marker("live") and not servers:
            item.add_marker(no_servers)
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(no_shared)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true a skipped test is a failed run: a check nobody ran must not look green."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why such a run failed."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and os.environ.get("CI") == "true":
        terminalreporter.section("skipped, which CI=true does not allow")
        for report in skipped:
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2] if report.longrepr else ''}")


# ----------------------------------------------------------------------------------------- fixtures
@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample data and oracles; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no sample data at {SHARED}: set GLASSPOOL_SHARED")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def flushable_tables() -> Iterator[None]:
    """Lets the test runner empty append-only tables between tests; the guard is up again at once."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def guarded_flush(operations: BaseDatabaseOperations, statements: list[str]) -> None:
        tables = guarded_tables(operations.connection)
        for table in tables:
            unguard(operations.connection, table)
        try:
            flush(operations, statements)
        finally:
            for table in tables:
                guard(operations.connection, table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", guarded_flush)
        yield


@pytest.fixture
def process_environment(transactional_db: None) -> dict[str, str]:
    """The environment of a child process (worker, beat, command) that must see the rows of this very test."""
    name, parts = connection.settings_dict["NAME"], connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        login = f"{quote(parts['USER'])}:{quote(parts['PASSWORD'])}"
        url = f"postgres://{login}@{parts['HOST']}:{parts['PORT']}/{quote(name)}"
    return os.environ | {"DATABASE_URL": url}


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """A headless Chromium (playwright.sync_api.Browser); skips where there is none."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    # Playwright keeps an event loop in this thread, beside which Django refuses its database calls.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium has no sandbox for root
        chromium = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield chromium
        chromium.close()
