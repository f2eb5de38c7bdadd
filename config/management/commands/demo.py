"""`manage.py demo [TAPE]`: the whole job on one tape, its report, and the site on this machine. What `make run` calls.

A second start finds the deal of the first and serves at once.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import ApplicationError
from accounts.models import IdempotencyClaim, User
from config.serving import serve_until_interrupted, server_on
from config.wsgi import application
from marketplace.cast import Cast, cast_create, demo_password
from marketplace.console import console_progress
from marketplace.models import Listing
from marketplace.pipeline import Job, Stopwatch, securitize
from marketplace.report import deal_report
from marketplace.report_text import render
from pooling.tapes import write_generated_tape
from runs.worker import InProcessWorker

BAD_INPUT = 2
KEY = "demo"
LOANS = 10_000
# A second, smaller deal is left open, so that there is something to bid for.
OPEN_KEY = "demo-open"
OPEN_LOANS = 1_500
OPEN_SCENARIOS = 512


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2; Ctrl-C with 0."""

    help = "Run the main job on a tape (default: 10,000 generated loans), print its report, and serve the site."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tape", nargs="?", type=Path, help="LendingClub-format CSV, plain or .gz")

    def handle(self, *args: Any, **options: Any) -> None:
        port = self._port()
        try:
            call_command("migrate", verbosity=0, interactive=False)
            cast = cast_create(password=demo_password())
            listing = self._deal(options["tape"], cast)
        except ApplicationError as error:
            raise CommandError(error.message, returncode=BAD_INPUT) from error
        self.stdout.write(render(deal_report(listing)))
        try:
            server = server_on(port, application)
        except OSError as error:
            raise CommandError(f"The site cannot be served: {error.strerror}. Set PORT.", returncode=1) from error
        self._welcome(cast, server.server_port)
        with ExitStack() as stack:
            if not settings.REDIS_URL:
                stack.enter_context(InProcessWorker())
            serve_until_interrupted(server)
        self.stdout.write("\nStopped. The data stays; the next start opens the same deal.")

    def _port(self) -> int | None:
        text = os.environ.get("PORT", "")
        if text and not (text.isdecimal() and 0 < int(text) < 65_536):
            raise CommandError(f"PORT={text!r} is no port number.", returncode=BAD_INPUT)
        return int(text) if text else None

    def _deal(self, tape: Path | None, cast: Cast) -> Listing:
        """The demo's listing, settled: found, or made now. A tape of one's own has a key of its own."""
        key = KEY if tape is None else f"{KEY}-{_content(tape)}"
        found = _listing_of(cast, key)
        if found is None or found.settled_at is None:
            path = tape or _generated(LOANS, seed=1)
            found = self._securitized(Job(tape=path), cast, key)
        if _listing_of(cast, OPEN_KEY) is None:
            path = _generated(OPEN_LOANS, seed=2)
            self._securitized(Job(tape=path, scenarios=OPEN_SCENARIOS, settle=False), cast, OPEN_KEY)
        return found

    def _securitized(self, job: Job, cast: Cast, key: str) -> Listing:
        with console_progress(self.stderr, enabled=self.stderr.isatty()) as progress:
            return securitize(job=job, cast=cast, progress=progress, watch=Stopwatch(), key=key)

    def _welcome(self, cast: Cast, port: int) -> None:
        self.stdout.write(f"\nGlasspool is at  http://127.0.0.1:{port}/    (Ctrl-C stops it)\n")
        self.stdout.write(f"Sign in with the password  {demo_password()}  as one of")
        # An investor that has bought something, so that its pages show what they are for.
        holder = User.objects.filter(organisation__trades__isnull=False).order_by("pk").first()
        for user in (cast.originator, holder or cast.investor, cast.analyst, cast.operator):
            self.stdout.write(f"  {user.username:<12}{user.organisation}")
        self.stdout.flush()


def _content(tape: Path) -> str:
    """A short name of a file's content; the service tells later what is wrong with a file that cannot be read."""
    try:
        with tape.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise ApplicationError(f"The tape {tape} cannot be read: {error.strerror}.", code="tape_missing") from error


def _generated(loans: int, seed: int) -> Path:
    path = settings.GLASSPOOL_DATA / f"generated-{loans}.csv"
    if not path.exists():
        # Moved into its place whole: an interrupted start must not leave half a tape to the next one.
        half = path.with_suffix(".half")
        write_generated_tape(half, loans, seed)
        half.replace(path)
    return path


def _listing_of(cast: Cast, key: str) -> Listing | None:
    """The listing that an earlier start made with this key."""
    made = IdempotencyClaim.objects.filter(organisation=cast.originator.organisation, key=f"{key}/listing").first()
    return None if made is None else Listing.objects.filter(pk=made.subject_id).first()
