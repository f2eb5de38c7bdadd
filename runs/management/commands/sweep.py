"""`manage.py sweep [--forever]`: send lost wake-ups again; the alternative to Celery's beat."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseProblem
from django.db import connection

from runs.services import sweep
from runs.worker import SWEEP_SECONDS


class Command(BaseCommand):
    help = "Send chunks whose worker or message was lost again, finalise complete runs, fail hopeless ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--forever", action="store_true", help="sweep every few seconds until stopped")
        parser.add_argument("--every", type=float, default=SWEEP_SECONDS, help="seconds between two sweeps")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["forever"]:
            done = sweep()
            self.stdout.write(f"sent {done.sent}, finalised {done.finalised}, failed {done.failed}")
            return
        while True:
            try:
                sweep()
            except DatabaseProblem as error:
                self.stderr.write(f"the database does not answer ({type(error).__name__}); trying again")
                connection.close()
            time.sleep(options["every"])  # a sweep may be cut off anywhere, so signals need no handling
