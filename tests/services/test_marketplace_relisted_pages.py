"""Pages that lead from a deal to its listing, where a cancelled listing was followed by another."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from investors.models import Mandate
from marketplace.cast import cast_create
from marketplace.models import Trade
from marketplace.pipeline import Job, Stopwatch, securitize
from marketplace.services import (
    auction_close,
    listing_cancel,
    listing_create,
    listing_open,
    listing_settle,
    mandates_bid,
)
from pooling.tapes import write_generated_tape
from tests.services.factories import PASSWORD, key

pytestmark = pytest.mark.django_db(transaction=True)


def test_pages_lead_to_the_listing_that_stands(tmp_path: Path):
    cast = cast_create(password=PASSWORD)
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=200, seed=9)
    job = Job(tape=path, scenarios=256, settle=False)
    gone = securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="job")
    deal = gone.deal
    listing_cancel(user=cast.operator, listing=gone, idempotency_key=key())
    originator, investor = Client(), Client()
    originator.force_login(cast.originator)
    # the deal's page offers the market again, and the table still shows what became of the first listing
    page = originator.get(reverse("deal", args=[deal.pk])).content.decode()
    assert reverse("list-deal", args=[deal.pk]) in page
    assert reverse("listing", args=[gone.pk]) in originator.get(reverse("deals")).content.decode()
    # when it is listed again and sold
    again = listing_create(user=cast.originator, deal=deal, idempotency_key=key())
    listing_open(user=cast.originator, listing=again, idempotency_key=key())
    mandates_bid(listing=again, mandates=Mandate.objects.all(), seed=7)
    auction_close(user=cast.operator, listing=again, idempotency_key=key())
    listing_settle(user=cast.operator, listing=again, idempotency_key=key())
    # then every page leads to the second
    buyer = Trade.objects.filter(allocation__auction__listing=again)[0].allocation.bid.user
    assert buyer is not None
    investor.force_login(buyer)
    for client, url in (
        (originator, reverse("deal", args=[deal.pk])),
        (originator, reverse("deals")),
        (investor, reverse("positions")),
    ):
        page = client.get(url).content.decode()
        assert reverse("listing", args=[again.pk]) in page
        assert reverse("listing", args=[gone.pk]) not in page
