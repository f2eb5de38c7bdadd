"""Re-run a rating and its prices from the sealed tape, and compare with what was stored.

On the same build (lock file, libraries, instruction set) every byte must agree; on another, grades and integers
exactly and numbers to 1e-9 of their size. The comparison says which of the two it made.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pooling.artefacts import artefact_path
from pooling.collateral import collateral_of
from pooling.engine.packing import digest, loans_to_bytes
from pooling.models import TapeVersion
from pooling.tapes import canonical_json, leaf_hash, merkle_root
from pricing.engine.snapshot import MarketSnapshot
from pricing.models import PriceReport
from pricing.reports import build
from pricing.runs import structuring_result
from rating.models import RatingReport
from rating.runs import simulation_compute, simulation_reduce

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Check:
    """One thing that was done again. how: "bytes" or "1e-9". found: what the second run gave, in words."""

    name: str
    agrees: bool
    how: str
    found: str


def tape_root(tape: TapeVersion) -> str:
    """The Merkle root over the stored canonical rows."""
    frame = pd.read_parquet(io.BytesIO(artefact_path(tape.canonical_path).read_bytes()))
    return merkle_root([leaf_hash(canonical_json(row)) for row in frame.to_dict("records")])


def rating_reproduce(report: RatingReport, progress: Callable[[int, int], None] | None = None) -> Iterator[Check]:
    """Checks in the order of the data: tape, loans, simulation, spec, rating, prices."""
    rating_run, stored = report.rating_run, report.manifest
    pool = rating_run.deal.pool
    root = tape_root(pool.tape)
    yield Check("tape root", root == stored["tape_root"], "bytes", root)

    loans = digest(loans_to_bytes(collateral_of(pool.tape, as_of=pool.as_of, rules=pool.rules).loans))
    yield Check("pool loans", loans == stored["loans_digest"], "bytes", loans)

    same = stored["build"] == build()
    simulation, parts = rating_run.simulation, []
    for index in range(simulation.chunk_count):
        parts.append(simulation_compute(simulation.params, simulation.seed, index, simulation.chunk_count))
        if progress is not None:
            progress(index + 1, simulation.chunk_count)
    flows = simulation_reduce(simulation.params, parts)
    if same:
        yield Check("simulated flows", digest(flows) == stored["flows_digest"], "bytes", digest(flows))
    prices = PriceReport.objects.select_related("snapshot").get(rating_report=report)
    again = structuring_result(rating_run, flows, MarketSnapshot.from_json(prices.snapshot.payload))
    for name, found, kept in (
        ("deal spec", again["spec"], report.deal_version.spec),
        ("rating", again["rating"], report.result),
        ("prices", again["pricing"], prices.result),
    ):
        where = difference(kept, found, 0.0 if same else TOLERANCE)
        yield Check(name, where is None, "bytes" if same else "1e-9", where or "equal")


def difference(stored: Any, found: Any, tolerance: float, path: str = "") -> str | None:
    """The first place where two JSON values differ, numbers by more than tolerance of their size; None: equal."""
    if isinstance(stored, dict) and isinstance(found, dict):
        if stored.keys() != found.keys():
            return f"{path}: keys {sorted(stored.keys() ^ found.keys())}"
        pairs = [(f"{path}.{key}", stored[key], found[key]) for key in stored]
    elif isinstance(stored, list) and isinstance(found, list):
        if len(stored) != len(found):
            return f"{path}: {len(stored)} entries, now {len(found)}"
        pairs = [(f"{path}[{i}]", left, right) for i, (left, right) in enumerate(zip(stored, found, strict=True))]
    elif isinstance(stored, float) and isinstance(found, int | float) and tolerance:
        close = abs(stored - found) <= tolerance * max(1.0, abs(stored))
        return None if close else f"{path}: {stored}, now {found}"
    else:
        return None if stored == found else f"{path}: {stored}, now {found}"
    return next((where for item in pairs if (where := difference(item[1], item[2], tolerance, item[0]))), None)
