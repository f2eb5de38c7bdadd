"""The launcher gives real servers to a command, and leaves nothing behind whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection

from accounts.models import Organisation, Role

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [sys.executable, "-m", "tests.live.launcher", "--"]
# A command that tells where its servers are, leaves a child behind, and lasts as long as it is asked to.
TELL = """
import json, os, subprocess, sys, time
left = subprocess.Popen(["sleep", "600"])
print(json.dumps([os.environ["DATABASE_URL"], os.environ["REDIS_URL"], left.pid]), flush=True)
time.sleep(float(sys.argv[1]))
sys.exit(7)
"""


def launch(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    """Starts the launcher on servers of its own, with its work directories in tmp_path."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")
    }
    return subprocess.Popen(
        [*LAUNCHER, sys.executable, "-c", TELL, str(seconds)],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def gone(pid: int) -> bool:
    """Whether the process ended; an orphan nobody has reaped yet counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(condition, seconds: float = 20.0) -> bool:
    """Whether `condition` comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def refuses(database_url: str, redis_url: str) -> bool:
    """Whether neither server answers."""
    try:
        psycopg.connect(database_url, connect_timeout=3).close()
        return False
    except psycopg.OperationalError:
        pass
    try:
        redis.Redis.from_url(redis_url).ping()
        return False
    except redis.ConnectionError:
        return True


@pytest.fixture
def reachable_path():
    """A directory the servers' user can enter, unlike pytest's own, which is private to its owner."""
    with tempfile.TemporaryDirectory(prefix="glasspool-launcher-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.django_db
def test_this_leg_runs_on_postgresql_and_redis():
    assert connection.vendor == "postgresql"
    assert redis.Redis.from_url(settings.REDIS_URL).ping()


def test_child_process_sees_the_rows_of_the_test(process_environment):
    Organisation.objects.create(name="House of the launcher", role=Role.ANALYST)
    program = (
        "from accounts.models import Organisation as O; print(list(O.objects.values_list('name', flat=True)))"
    )
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-v0", "-c", program],
        cwd=ROOT,
        env=process_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "House of the launcher" in done.stdout


@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (None, 7),  # the command ends by itself: its own status
        (signal.SIGTERM, 143),
        (signal.SIGINT, None),  # any status: Python ends on a KeyboardInterrupt in its own way
        (signal.SIGKILL, -9),  # the launcher cannot clean its directories, but the kernel ends its servers
    ],
)
def test_launcher_stops_what_it_started(reachable_path, signum, status):
    # Given a command that runs on servers of its own and has left a child behind
    launcher = launch(reachable_path, 0 if signum is None else 600)
    assert launcher.stdout is not None
    database_url, redis_url, left = json.loads(launcher.stdout.readline())
    # When it ends, or the launcher is told to end
    if signum is not None:
        launcher.send_signal(signum)
    launcher.wait(60)
    launcher.stdout.close()
    # Then its status is handed on, the servers are down and the directories are gone
    assert status is None or launcher.returncode == status
    assert eventually(lambda: refuses(database_url, redis_url))
    if signum != signal.SIGKILL:
        assert list(reachable_path.iterdir()) == []
        assert eventually(lambda: gone(left))
    else:
        os.kill(left, signal.SIGKILL)  # nobody else is left to end it


def test_launcher_reports_a_command_that_is_not_there():
    done = subprocess.run(
        [*LAUNCHER, "no-such-command"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 127
    assert "no-such-command" in done.stderr
