"""`manage.py performance DEAL`: a deal's monthly servicer tapes, from a file or from its loan tape's outcomes."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import ApplicationError
from accounts.models import User
from pooling.models import Deal
from pooling.performance import performance_derive, performance_upload
from pooling.tapes.derived_performance import DUE_DAY, FROM_MISSED, RECOVERY_LAG

BAD_INPUT = 2


def months(text: str) -> int:
    """A number of months, 1 or more."""
    if not text.isdigit() or text.strip("0") == "":
        raise ArgumentTypeError(f"{text!r} is no number of months, 1 or more")
    return int(text)


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2."""

    help = (
        "Store a deal's monthly performance tapes: those of a servicer's CSV (--tape), or those that follow from the"
        " dated outcomes on the deal's own loan tape."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("deal", help="id of the deal, or its name where that is unique")
        parser.add_argument("--months", type=months, help="derive this many; default: all that the outcomes reach")
        parser.add_argument("--tape", type=Path, metavar="CSV", help="a servicer's tape instead")
        parser.add_argument("--user", help="who reports; default: a user of the deal's originator")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            deal = self._deal(options["deal"])
            user = self._user(deal, options["user"])
            if options["tape"]:
                if options["months"]:
                    raise CommandError("Give --months or --tape, not both.", returncode=BAD_INPUT)
                rows = performance_upload(
                    user=user,
                    deal=deal,
                    filename=options["tape"].name,
                    stream=[options["tape"].read_bytes()],
                    idempotency_key=f"performance-{uuid4().hex}",
                )
            else:
                rows, found = performance_derive(
                    user=user, deal=deal, months=options["months"], idempotency_key=f"performance-{uuid4().hex}"
                )
                self.stdout.write(
                    f"Derived: due on the {DUE_DAY}th, charged off {FROM_MISSED} months after the first missed payment,"
                    f" recovered {RECOVERY_LAG} months later; the tape dates neither."
                )
                if found.capped:
                    self.stdout.write(
                        f"{found.capped:,} loans lost more than they owed at cut-off: {found.capped_cents / 100:,.2f}"
                        " are left out."
                    )
        except OSError as error:
            raise CommandError(f"The tape cannot be read: {error.strerror}.", returncode=BAD_INPUT) from error
        except ApplicationError as error:
            raise CommandError(error.message, returncode=BAD_INPUT) from error
        last = rows[-1]
        self.stdout.write(
            f"{deal.name}: {len(rows)} months, {rows[0].period} to {last.period};"
            f" {last.balance / 100:,.2f} still owed at the end of {last.period}."
        )

    def _deal(self, wanted: str) -> Deal:
        rows = Deal.objects.select_related("pool__tape", "organisation")
        try:
            found = list(rows.filter(pk=wanted)[:2])
        except (ValidationError, ValueError):
            found = list(rows.filter(name=wanted)[:2])
        if len(found) != 1:
            many = "more than one deal is" if found else "no deal is"
            raise CommandError(f"deal: {many} called {wanted!r}; give its id.", returncode=BAD_INPUT)
        return found[0]

    def _user(self, deal: Deal, username: str | None) -> User:
        rows = User.objects.filter(is_active=True)
        rows = rows.filter(username=username) if username else rows.filter(organisation=deal.organisation)
        found = rows.order_by("pk").first()
        if found is None:
            raise CommandError("user: no such active user.", returncode=BAD_INPUT)
        return found
