"""The residual certificate in a browser: values side by side, a price of one's own, and a roll-forward to nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from django.urls import reverse

from marketplace.cast import Cast
from marketplace.residual_exhibits import at_price, exhibit_of, value_at
from tests.web.conftest import Visitor, deal_made


@pytest.mark.web
def test_the_certificate_has_its_values_side_by_side_and_runs_off_to_nothing(
    visit: Callable[..., Visitor], cast: Cast, tape: Path
) -> None:
    listing = deal_made(cast, tape, settle=False)
    found = listing.price_report.result["residual"]
    address = reverse("residual", args=[listing.pk])
    analyst = visit(cast.analyst.username)
    analyst.go(address)
    analyst.shows(
        "Scenario-weighted value", "Pool less market value of the classes", "Under the price of risk",
        f"{found['base_value']:,.2f}", f"{found['scenario_value']:,.2f}", f"{found['pool_less_classes']:,.2f}",
        "9.700 %", "Monthly roll-forward",
    )  # fmt: skip
    analyst.check("residual")
    # the file: each month opens where the last one closed, and the last closes at nothing
    text = analyst.page.request.get(f"{analyst.base}{reverse('residual-csv', args=[listing.pk])}").text()
    rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))]
    assert rows[0]["opening"] == pytest.approx(found["base_value"], abs=1e-6)
    for row, later in pairwise(rows):
        assert row["opening"] + row["accretion"] - row["cash"] == pytest.approx(row["closing"], abs=1e-6)
        assert later["opening"] == pytest.approx(row["closing"], abs=1e-6)
    assert rows[-1]["closing"] == pytest.approx(0.0, abs=1e-6)
    paid = sum(listing.rating_report.result["collateral"]["residual"])
    assert sum(row["cash"] for row in rows) == pytest.approx(paid)
    # a higher price is a lower yield; the page and a value at that yield agree
    exhibit = exhibit_of(listing.rating_report.result, listing.price_report.result)
    assert exhibit is not None
    dear = at_price(exhibit, 1.2 * found["base_value"])
    assert dear.yield_ is not None
    assert dear.yield_ < found["residual_yield"]
    assert value_at(exhibit, dear.yield_) == pytest.approx(dear.price, abs=1e-6)
    analyst.go(f"{address}?price={dear.price:.2f}")
    analyst.shows(f"{100 * dear.yield_:.3f} %".replace("-", "−"))
    analyst.go(f"{address}?price=nothing")
    analyst.shows("Price paid: Enter a number.")
