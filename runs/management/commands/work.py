"""`manage.py work`: a worker process without a broker, over the same table as every other worker."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from runs.worker import POLL_SECONDS, work_forever


class Command(BaseCommand):
    help = (
        "Compute chunks of runs until stopped. Ctrl-C or SIGTERM ends it after the chunk under way, a second at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--poll", type=float, default=POLL_SECONDS, help="seconds between two looks for work")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def end(signum: int, frame: FrameType | None) -> None:
            if stop.is_set():
                raise KeyboardInterrupt  # the chunk is given back on the way out
            # Not dispatch.wake: the loop may hold its lock right now, in this very thread.
            stop.set()

        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, end)
        work_forever(stop, poll=options["poll"])
