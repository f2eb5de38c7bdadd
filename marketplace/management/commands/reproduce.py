"""`manage.py reproduce ID`: run a listing's rating, prices and auctions again, and compare with what is published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import NotFound
from marketplace.console import console_progress
from marketplace.models import Listing, ListingState
from marketplace.selectors import auction_verified
from pooling.selectors import visible
from pricing.reproduction import Check, rating_reproduce
from rating.models import RatingReport

BAD_INPUT = 2


class Command(BaseCommand):
    """Exit status 0 when everything agrees, 1 when something does not, 2 for an unknown id."""

    help = "Re-run a rating and its prices from the sealed tape, and replay the auctions of its listing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", help="id of a listing or of a rating report")

    def handle(self, *args: Any, **options: Any) -> None:
        listing = self._listing(options["id"])
        try:
            report = listing.rating_report if listing else visible(RatingReport.objects.all(), options["id"], "rating")
        except NotFound as error:
            raise CommandError(f"No listing or rating has the id {options['id']}.", returncode=BAD_INPUT) from error
        failed = 0
        with console_progress(self.stderr, enabled=options["verbosity"] > 0) as progress:
            checks = rating_reproduce(report, lambda done, total: progress("simulating", done, total))
            for check in (*checks, *self._auctions(listing)):
                verdict = "agrees" if check.agrees else "DIFFERS"
                self.stdout.write(f"{verdict:<8}{check.name:<18}{check.how:<7}{check.found}")
                failed += not check.agrees
        if failed:
            raise CommandError(f"{failed} of the figures could not be reproduced.", returncode=1)

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
