"""`manage.py securitize TAPE`: the whole path from a loan tape to settled allocations, with a report."""

from __future__ import annotations

import json
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from accounts.errors import ApplicationError
from marketplace.cast import cast_create, demo_password
from marketplace.console import console_progress
from marketplace.pipeline import Job, Stopwatch, securitize
from marketplace.report import deal_report
from marketplace.report_text import render

BAD_INPUT = 2


def whole(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


@contextmanager
def throwaway_database() -> Iterator[None]:
    """A fresh SQLite file and artefact folder for the time of one command, wherever the settings point."""
    usual, wrapper = connections.settings["default"], connections["default"]
    kept = settings.GLASSPOOL_ARTEFACTS, settings.GLASSPOOL_DATA
    with tempfile.TemporaryDirectory(prefix="glasspool-") as folder:
        connections.settings["default"] = usual | {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(folder) / "securitize.sqlite3"),
            "OPTIONS": settings.SQLITE_OPTIONS,
            "CONN_MAX_AGE": 0,
        }
        connections["default"] = connections.create_connection("default")
        settings.GLASSPOOL_DATA = Path(folder)
        settings.GLASSPOOL_ARTEFACTS = Path(folder) / "artefacts"
        try:
            call_command("migrate", verbosity=0, interactive=False)
            yield
        finally:
            connections["default"].close()
            connections.settings["default"], connections["default"] = usual, wrapper
            settings.GLASSPOOL_ARTEFACTS, settings.GLASSPOOL_DATA = kept


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2."""

    help = "Securitize a loan tape: pool, rating, tranches, prices, auction, settlement."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tape", type=Path, help="LendingClub-format CSV, plain or .gz")
        parser.add_argument("--deal", type=Path, metavar="SPEC.json", help="deal specification; default: the template")
        parser.add_argument("--calibrate", type=Path, metavar="HISTORY", help="tape with outcomes to fit hazards to")
        parser.add_argument("--as-of", default="", help="'origination' or a date; default: balances of the tape")
        parser.add_argument("--scenarios", type=whole, default=2048)
        parser.add_argument("--seed", type=whole, default=7)
        parser.add_argument("--keep", action="store_true", help="keep the deal in the configured database")
        parser.add_argument("--json", type=Path, metavar="OUT", help="write the report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            job = Job(
                tape=options["tape"],
                spec=options["deal"].read_text(encoding="utf-8") if options["deal"] else None,
                calibrate=options["calibrate"],
                as_of=options["as_of"],
                scenarios=options["scenarios"],
                seed=options["seed"],
            )
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The deal {options['deal']} cannot be read: {error}.", returncode=BAD_INPUT) from error
        try:
            with nullcontext() if options["keep"] else throwaway_database():
                report = self._run(job, options["verbosity"])
        except ApplicationError as error:
            raise CommandError(error.message, returncode=BAD_INPUT) from error
        self.stdout.write(render(report))
        self.stdout.write("TIMINGS     " + "  ".join(f"{k} {v:.1f} s" for k, v in report["timings"].items()))
        if options["json"]:
            options["json"].write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    def _run(self, job: Job, verbosity: int) -> dict[str, Any]:
        watch = Stopwatch()
        cast = cast_create(password=demo_password())
        with console_progress(self.stderr, enabled=verbosity > 0) as progress:
            listing = securitize(job=job, cast=cast, progress=progress, watch=watch, key=f"securitize-{uuid4().hex}")
        return deal_report(listing) | {"timings": watch.seconds}
