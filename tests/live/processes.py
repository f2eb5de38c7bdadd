"""Real worker processes for the tests that kill them: started, watched through the rows, killed by their ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from accounts.models import AuditEvent
from runs.models import Chunk, ChunkState, Run, RunStatus

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0  # seconds; two busy cores start a worker in about three


class Processes:
    """Child processes of one test, each in a session of its own; whatever is left at the end is killed."""

    def __init__(self, environment: dict[str, str], logs: Path) -> None:
        self.environment = environment
        self.logs = logs
        self.running: list[subprocess.Popen[bytes]] = []
        self.log = logs / "processes.log"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`python arguments …` in the project's root; its output goes to the log."""
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the process alone: it has no chance to tidy up, its children find out by themselves."""
        assert process.poll() is None, f"ended before it was killed:\n{self.tail()}"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        self.running.remove(process)
        self._end_session(process.pid)

    def end_all(self) -> None:
        """Kill what is left, with everything in its session."""
        for process in self.running:
            self._end_session(process.pid)
            process.wait()
        self.running.clear()

    @staticmethod
    def _end_session(leader: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(leader, signal.SIGKILL)

    def tail(self) -> str:
        """The end of the log, for messages."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:]) if self.log.exists() else ""

    def until(self, ready: Callable[[], object], what: str) -> None:
        """Wait until `ready()`; AssertionError with the log when it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s\n{self.tail()}"
            time.sleep(0.005)

    def until_ahead(self, run: Run, chunks: int) -> None:
        """Wait until so many chunks are done and another one is held: the moment to do harm."""
        self.until(lambda: done(run) >= chunks and held(run), f"{chunks} chunks done and the next one held")

    def caught(self, run: Run, candidates: Callable[[], Collection[int]]) -> int:
        """Wait until one of the processes has stored a part of the run and holds another chunk; the id of that one.

        candidates: the ids of the processes as they stand, since a pool replaces its own.
        """
        found: set[int] = set()

        def seen() -> bool:
            found.update(owners(run, ChunkState.LEASED) & owners(run, ChunkState.DONE) & set(candidates()))
            return bool(found) or finished(run)

        self.until(seen, "a worker with a chunk in its hands")
        assert found, "the run was over before the last fault: give it smaller chunks"
        return min(found)


def children(parent: int) -> list[int]:
    """The ids of the child processes of `parent`, from Linux' /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                # "pid (name) state ppid …": the name may hold spaces and brackets, so read after the last one.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return sorted(found)


def held(run: Run) -> int:
    """How many chunks somebody holds, dead or alive."""
    return Chunk.objects.filter(run=run, state=ChunkState.LEASED).count()


def owners(run: Run, state: str) -> set[int]:
    """The ids of the processes whose names stand on chunks in `state`; see runs.leases.owner_name."""
    names = Chunk.objects.filter(run=run, state=state).exclude(owner="").values_list("owner", flat=True)
    return {int(name.split(":")[1]) for name in names.distinct()}


def done(run: Run) -> int:
    """How many chunks are done."""
    return Chunk.objects.filter(run=run, state=ChunkState.DONE).count()


def finished(run: Run) -> bool:
    """Whether the run is no longer running."""
    return Run.objects.values_list("status", flat=True).get(pk=run.pk) != RunStatus.RUNNING


def rework(run: Run) -> int:
    """How many claims did not lead to a part."""
    return sum(Chunk.objects.filter(run=run).values_list("attempt", flat=True)) - run.chunk_count


def completions(run: Run) -> int:
    """How often the run was completed: its kind writes one audit event each time."""
    return AuditEvent.objects.filter(verb="test.completed", subject=f"run:{run.pk}").count()
