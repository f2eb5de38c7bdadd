"""The page of required loan rates in a browser: it adds up, answers the address, and refuses in a sentence."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from marketplace.cast import Cast
from pricing.engine.loan_apr import APR_LAYERS
from tests.web.conftest import Visitor, deal_made


@pytest.mark.web
def test_loans_are_set_against_what_they_have_to_pay_for(
    visit: Callable[..., Visitor], cast: Cast, tape: Path
) -> None:
    listing = deal_made(cast, tape, settle=False)
    address = reverse("loan-aprs", args=[listing.pk])
    investor = visit(cast.investor.username)
    investor.go(address)
    investor.drawn(1)
    investor.shows("Required loan rates", "Cheapest against it", "Dearest against it", "Price of risk")
    investor.shows("Market snapshot of")
    investor.check("loan-aprs")

    def rows(query: str = "") -> list[dict[str, str]]:
        file = reverse("loan-aprs-csv", args=[listing.pk])
        return list(csv.DictReader(io.StringIO(investor.page.request.get(f"{investor.base}{file}{query}").text())))

    before, after = rows(), rows("?liquidity=3.5")
    assert len(before) == listing.deal.pool.loan_count
    for row in before:
        assert sum(float(row[name]) for name in APR_LAYERS) == pytest.approx(float(row["required_rate"]), abs=1e-12)
        assert float(row["gap"]) == pytest.approx(float(row["contract_rate"]) - float(row["required_rate"]), abs=1e-12)
    dearest = min(before, key=lambda row: (float(row["gap"]), row["loan_id"]))
    assert dearest["loan_id"] in investor.text()
    # two points more of liquidity make the loan about that much dearer
    moved = [float(b["required_rate"]) - float(a["required_rate"]) for a, b in zip(before, after, strict=True)]
    assert min(moved) > 0.017
    assert max(moved) < 0.024
    investor.go(f"{address}?liquidity=3.5&theta=9")
    investor.shows("Price of risk θ: Ensure this value is less than or equal to 3.0")
    refused = investor.page.request.get(f"{investor.base}{reverse('loan-aprs-csv', args=[listing.pk])}?funding=lots")
    assert (refused.status, "Funding yield, %: Enter a number." in refused.text()) == (400, True)
