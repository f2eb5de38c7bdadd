"""The prices page in a browser: three views, their bridge, another price of risk, and the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse

from marketplace.cast import Cast
from tests.web.conftest import SCENARIOS, Visitor, deal_made


@pytest.mark.web
def test_three_views_are_shown_bridged_and_downloaded(visit: Callable[..., Visitor], cast: Cast, tape: Path) -> None:
    listing = deal_made(cast, tape, settle=False)
    views = listing.price_report.result["views"]
    address = reverse("prices", args=[listing.pk])
    investor = visit(cast.investor.username)
    investor.go(address)
    investor.drawn(len(views["classes"]))
    investor.shows(
        "Classes, three views", "From view to view", "Who earns what", "Worth to your mandates", "market grid",
        "Loans under the same weights",
        "decomposition", "scenario weights", "Payees less sources", "Market snapshot",
    )  # fmt: skip
    investor.check("prices")
    # another price of risk is a click away, and the residual is worth less
    before = investor.text()
    investor.page.get_by_role("link", name="1.5", exact=True).click()
    investor.drawn(len(views["classes"]))
    assert "theta=1.5" in investor.page.url
    worth = {rung["theta"]: rung["residual"]["value"] for rung in views["ladder"]}
    assert worth[1.5] < worth[views["terms"]["theta"]]
    assert f"{worth[1.5]:,.2f}" in investor.text()
    assert f"{worth[1.5]:,.2f}" not in before
    investor.check("prices-theta")
    investor.go(f"{address}?theta=7")
    investor.shows("theta: '7' is none of 0, 0.25")

    text = investor.page.request.get(f"{investor.base}{reverse('prices-csv', args=[listing.pk])}").text()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {float(line["theta"]) for line in lines} == set(worth)
    assert SCENARIOS == listing.rating_report.result["simulation"]["scenarios"]
