"""`make test`: every leg of the suite, and one last line that says what ran and what did not.

SQLite        tests/engine tests/services tests/api on an SQLite file
PostgreSQL    tests/services tests/api tests/live on PostgreSQL and Redis, with worker processes
Chromium      tests/web in a real browser, on SQLite

A leg is one process: the legs on SQLite run one after the other, the leg with servers beside them, on the other core.
What that one prints comes at the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.browser import chromium_path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]
LAUNCHER = [sys.executable, "-m", "tests.live.launcher", "--"]
NO_TESTS_COLLECTED = 5  # pytest's exit status


@dataclass(frozen=True)
class Leg:
    """One call of pytest: its name, its folders under tests/, and whether it needs real servers."""

    name: str
    folders: tuple[str, ...]
    servers: bool = False


LEGS = (
    Leg("SQLite", ("engine", "services", "api")),
    Leg("PostgreSQL + Redis", ("services", "api", "live"), servers=True),
    Leg("Chromium", ("web",)),
)


def environment(leg: Leg) -> dict[str, str]:
    """The leg's environment: servers named outside are for the leg with servers only."""
    variables = dict(os.environ)
    if not leg.servers:
        variables.pop("DATABASE_URL", None)
        variables.pop("REDIS_URL", None)
    return variables


def run(leg: Leg, out: IO[str]) -> str:
    """Runs a leg and prints to `out`; returns `passed`, `failed` or `empty` (its folders hold no test module yet)."""
    folders = [f"tests/{folder}" for folder in leg.folders]
    print(f"\n== {leg.name}: {' '.join(folders)}", file=out, flush=True)
    if not any(any((ROOT / folder).rglob("test_*.py")) for folder in folders):
        return "empty"
    command = (LAUNCHER if leg.servers else []) + [*PYTEST, *folders]
    status = subprocess.run(
        command, cwd=ROOT, env=environment(leg), check=False, stdout=out, stderr=subprocess.STDOUT
    ).returncode
    if status == NO_TESTS_COLLECTED:
        print("There are test modules here, yet pytest found no test in them.", file=out, flush=True)
    return "failed" if status else "passed"


def run_all() -> dict[str, str]:
    """Outcome by leg, in the order of LEGS; every leg runs even after a failure."""
    outcomes: dict[str, str] = {}
    beside = [leg for leg in LEGS if leg.servers]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as kept, ThreadPoolExecutor(1) as lane:
        waiting = [(leg, lane.submit(run, leg, kept)) for leg in beside]
        outcomes |= {leg.name: run(leg, sys.stdout) for leg in LEGS if not leg.servers}
        outcomes |= {leg.name: found.result() for leg, found in waiting}
        kept.seek(0)
        shutil.copyfileobj(kept, sys.stdout)
    return {leg.name: outcomes[leg.name] for leg in LEGS}


def main() -> int:
    """Runs every leg. Returns the exit status."""
    started = time.monotonic()
    ci = os.environ.get("CI") == "true"
    outcomes = run_all()
    skipped_browser = outcomes["Chromium"] == "passed" and chromium_path() is None
    words = [f"{name} {outcome}" for name, outcome in outcomes.items()]
    if skipped_browser:
        words[-1] = "Chromium SKIPPED (no browser found: apt-get install chromium)"
    # In CI nothing may go unrun: neither a leg that found no tests nor one without its browser.
    failed = "failed" in outcomes.values() or (ci and (skipped_browser or "empty" in outcomes.values()))
    verdict = "FAILED" if failed else "passed"
    print(f"\nmake test: {verdict} in {time.monotonic() - started:.0f} s: {'; '.join(words)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
