"""Workers that need no broker: they look into the table themselves.

InProcessWorker is the thread beside our own web server (started by `serve` only: AppConfig.ready would also run in
migrations and in the reloader's parent); `manage.py work` runs the same loop as a process of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from django.db import connection

from runs import dispatch, leases, services

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
SWEEP_SECONDS = 5.0
# After a failure, mostly of the database: long enough not to fill the log while it restarts.
RETRY_SECONDS = 2.0


def work_forever(stop: threading.Event, poll: float = POLL_SECONDS) -> None:
    """Compute whatever can be claimed until `stop` is set; sweep now and then; close the connection at the end.

    A chunk under way is finished first. poll: seconds between two looks when nobody wakes us: runs may be created
    by other processes.
    """
    owner = leases.owner_name()
    swept = float("-inf")
    try:
        while not stop.is_set():
            dispatch.wake.clear()  # before looking: a wake-up that comes while we look is not lost
            if time.monotonic() - swept >= SWEEP_SECONDS:
                _sweep()
                swept = time.monotonic()
                dispatch.wake.clear()
            try:
                if services.work_once(owner):
                    continue
            except Exception:  # nothing but `stop` may end the only thread that works
                logger.exception("no work could be done; trying again")
                connection.close()
                dispatch.wake.wait(RETRY_SECONDS)
                continue
            dispatch.wake.wait(poll)
    finally:
        connection.close()


def _sweep() -> None:
    """Sweep, and go on when that fails: there may be work all the same."""
    try:
        services.sweep()
    except Exception:
        logger.exception("the sweep failed; it comes again")
        connection.close()


class InProcessWorker:
    """The worker thread of a server process without a broker. `with InProcessWorker(): serve()`."""

    def __init__(self, poll: float = POLL_SECONDS) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=work_forever, args=(self._stop, poll), name="glasspool-worker", daemon=True
        )

    def start(self) -> None:
        """Start the thread; RuntimeError when it was started before."""
        self._thread.start()

    def stop(self, timeout: float | None = 10.0) -> bool:
        """Ask the thread to end after its chunk; False when it is still at it after `timeout` seconds.

        Then the process may exit all the same: the lease runs out and the chunk is computed again.
        """
        self._stop.set()
        dispatch.wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def __enter__(self) -> InProcessWorker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
