"""The static pools page in a browser, on a slice of a real tape whose loans have all ended."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from marketplace.cast import Cast
from marketplace.pipeline import Job, Stopwatch, securitize
from tests.web.conftest import Visitor

EVERY = 20


@pytest.mark.shared
@pytest.mark.web
def test_vintages_are_drawn_listed_and_downloaded(
    visit: Callable[..., Visitor], cast: Cast, shared: Path, tmp_path: Path
) -> None:
    path = tmp_path / "finished.csv"
    with gzip.open(shared / "data/lendingclub_2007_2010.csv.gz", "rt", encoding="utf-8", newline="") as tape:
        rows = list(csv.reader(tape))
    with path.open("w", encoding="utf-8", newline="") as slice_:
        csv.writer(slice_).writerows([rows[0], *rows[1::EVERY]])
    job = Job(tape=path, as_of="origination", scenarios=256, settle=False)
    listing = securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="web")

    analyst = visit("analyst")
    analyst.go("/static-pools/")
    analyst.drawn(1)
    analyst.shows("Static pools", "2009Q4", "Projected", "Peers", "CSV of the whole triangle")
    analyst.check("static-pools")
    analyst.go("/static-pools/?by=grade&measure=prepayment&term=36")
    analyst.shows("Cumulative prepayment")
    analyst.check("static-pools-grade")
    analyst.go("/static-pools/?measure=profit")
    analyst.shows("measure: 'profit' is none of net_loss, default, prepayment")

    text = analyst.page.request.get(f"{analyst.base}/static-pools.csv?by=year").text()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert {line["vintage"] for line in lines} == {"2007", "2008", "2009", "2010"}
    assert all(float(line["cumulative_share"]) <= 1 for line in lines)

    # An investor may not know the answer before the auction is over.
    assert listing.rating_report.realised is not None
    investor = visit(cast.investor.username)
    investor.go("/static-pools/")
    investor.shows("No history with known outcomes is open to you")
