"""`manage.py demo`: the site stands after one command, stops cleanly, and stands again with the same deal."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from pooling.tapes import write_generated_tape
from tests.conftest import ROOT

FIRST_START, SECOND_START = 120, 30  # seconds: bounds against hanging on a busy machine, no promise of speed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def served(tape: Path, data: Path, limit: float) -> tuple[str, int]:
    """Start the demo, wait for its pages, interrupt it as Ctrl-C does; what it printed and its exit status."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    environment |= {"GLASSPOOL_DATA": str(data), "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "demo", str(tape)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + limit
        while True:
            try:
                page = urlopen(f"http://127.0.0.1:{port}/login/", timeout=10).read().decode()
                break
            except URLError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "the site did not come up"
                time.sleep(0.2)
        assert "Sign in" in page
        for asset in ("glasspool/site.css", "glasspool/charts.js", "plotly/plotly.min.js", "django_htmx/htmx-2.min.js"):
            answer = urlopen(f"http://127.0.0.1:{port}/static/{asset}", timeout=10)
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    return output, process.returncode


def test_two_starts_open_the_same_deal(tmp_path: Path) -> None:
    tape = tmp_path / "meadow.csv"
    write_generated_tape(tape, 300, 5)
    # when the demo is started, interrupted, and started again
    first, status = served(tape, tmp_path / "data", FIRST_START)
    assert status == 0, first
    again, status = served(tape, tmp_path / "data", SECOND_START)
    assert status == 0, again
    # then both print the same report, the address, and a login for each role
    report = re.compile(r"^TAPE .*?^SETTLEMENT [^\n]*", re.MULTILINE | re.DOTALL)
    found = report.search(first)
    assert found is not None, first
    assert "300 rows = 300 accepted + 0 rejected" in found.group()
    assert "ledger imbalance 0" in found.group()
    assert report.findall(again) == [found.group()]
    for role in ("originator", "investor", "analyst", "operator"):
        assert re.search(rf"^  {role}\d? ", first, re.MULTILINE), first
    assert "Traceback" not in first + again


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read: No such file"), (b"", "empty"), (b"a,b\n1,2\n", "column")],
)
def test_a_bad_tape_ends_with_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    tape = tmp_path / "bad.csv"
    if content is not None:
        tape.write_bytes(content)
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", str(tape)],
        cwd=ROOT,
        env=environment | {"GLASSPOOL_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=FIRST_START,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert sentence in done.stderr
