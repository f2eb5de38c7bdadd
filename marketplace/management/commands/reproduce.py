"""`manage.py reproduce ID`: run a listing's rating, prices and auctions again, and compare with what is published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import ApplicationError, NotFound
from marketplace.certificates import certificate_checked
from marketplace.console import console_progress
from marketplace.models import Listing, ListingState
from marketplace.selectors import auction_verified
from pooling.selectors import visible
from pricing.reports import build
from pricing.reproduction import Check, rating_reproduce
from pricing.surveillance import surveillance_reproduced
from rating.models import RatingReport

BAD_INPUT = 2


class Command(BaseCommand):
    """Exit status 0 when everything agrees, 1 when something does not, 2 for an unknown id."""

    help = "Re-run a rating and its prices from the sealed tape, and replay the auctions of its listing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id of a listing or of a rating report")
        parser.add_argument("--certificate", type=Path, help="price certificate of the listing, to be compared as well")

    def handle(self, *args: Any, **options: Any) -> None:
        listing = self._listing(options["id"])
        try:
            report = listing.rating_report if listing else visible(RatingReport.objects.all(), options["id"], "rating")
        except NotFound as error:
            raise CommandError(f"No listing or rating has the id {options['id']}.", returncode=BAD_INPUT) from error
        self._certificate(listing, options["certificate"])
        failed = 0
        with console_progress(self.stderr, enabled=options["verbosity"] > 0) as progress:
            checks = rating_reproduce(report, lambda done, total: progress("simulating", done, total))
            for check in (*checks, *_surveillance(report), *self._auctions(listing)):
                verdict = "agrees" if check.agrees else "DIFFERS"
                self.stdout.write(f"{verdict:<8}{check.name:<18}{check.how:<7}{check.found}")
                failed += not check.agrees
        if failed:
            raise CommandError(f"{failed} of the figures could not be reproduced.", returncode=1)

    def _certificate(self, listing: Listing | None, path: Path | None) -> None:
        """Compare the file before anything is computed. Exit status 1 where it says something else."""
        if path is None:
            return
        if listing is None:
            raise CommandError("A certificate is of a listing; give the listing's id.", returncode=BAD_INPUT)
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CommandError(f"{path}: {error}", returncode=BAD_INPUT) from error
        try:
            certificate_checked(given, listing)
        except ApplicationError as error:
            raise CommandError(error.message, returncode=1) from error
        self.stdout.write(f"{'agrees':<8}{'certificate':<18}{'bytes':<7}{given['sha256']}")

    def _listing(self, pk: str) -> Listing | None:
        try:
            return visible(Listing.objects.all(), pk, "listing")
        except NotFound:
            return None

    def _auctions(self, listing: Listing | None) -> Iterator[Check]:
        if listing is None or listing.state not in (ListingState.CLOSED, ListingState.SETTLED):
            return
        for auction in listing.auctions.order_by("seniority"):
            agrees = auction_verified(auction)
            yield Check(f"auction of {auction.tranche}", agrees, "bytes", auction.result_digest)


def _surveillance(report: RatingReport) -> Iterator[Check]:
    """Every re-rating on monthly tapes, made again."""
    for row in report.surveillance.order_by("month"):
        where = surveillance_reproduced(row)
        how = "bytes" if row.manifest["build"] == build() else "1e-9"
        yield Check(f"re-rating {row.month}", where is None, how, where or "equal")
