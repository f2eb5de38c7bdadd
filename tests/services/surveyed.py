"""A listed deal over finished loans of a real tape, for surveillance: every twentieth loan of LendingClub 2007-2010,
with two triggers."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

from marketplace.cast import Cast
from marketplace.models import Listing
from marketplace.pipeline import Job, Stopwatch, securitize
from pooling.engine.deal.template import default_template

EVERY = 20
SCENARIOS = 256
LATE = "pool.delinquent_60_share >= 5% and notes.factor < 0.999"
TRIGGERS = [
    {"name": "loss", "condition": "pool.cumulative_loss_rate > 6%", "tested": "opening"},
    {"name": "late", "condition": LATE, "tested": "opening", "cure_after": 2},
]


def finished_slice(shared: Path, folder: Path, every: int = EVERY) -> Path:
    """Every n-th loan of the tape as a file of its own."""
    path = folder / "finished.csv"
    with gzip.open(shared / "data/lendingclub_2007_2010.csv.gz", "rt", encoding="utf-8", newline="") as tape:
        rows = list(csv.reader(tape))
    with path.open("w", encoding="utf-8", newline="") as part:
        csv.writer(part).writerows([rows[0], *rows[1::every]])
    return path


def spec_with_triggers() -> str:
    """The default deal with triggers, on the dates that the pipeline would give it."""
    spec = default_template(
        name="Surveyed", currency="USD", cut_off="2026-04-30", closing="2026-05-21",
        first_payment="2026-06-21", legal_final="2033-05-21",
    ).to_json()  # fmt: skip
    return json.dumps(spec | {"triggers": TRIGGERS})


def surveyed_deal(cast: Cast, tape: Path, *, settle: bool = False, scenarios: int = SCENARIOS) -> Listing:
    """The deal, rated and listed; no month of it is reported yet."""
    job = Job(tape=tape, as_of="origination", scenarios=scenarios, settle=settle, spec=spec_with_triggers())
    return securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="surveyed")
