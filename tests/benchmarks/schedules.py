"""Timing of a million loan schedules of ten products, in chunks, and of the exact scalar reference beside them.

Run as `python -m tests.benchmarks.schedules`. Wall seconds; the last line is JSON. The ratio sets the vectorised
schedules against one loan at a time in exact fractions (tests/engine/schedule_reference.py), both on the same loans.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from pooling.engine.schedules import (
    RATE_UNITS,
    FloatingTerms,
    Schedule,
    ScheduleTerms,
    due_dates,
    floating_rates,
    schedule,
)
from tests.engine.schedule_reference import Loan, by_definition, rows

LOANS = 1_000_000
CHUNK = 10_000  # 60 periods x 5 tables x 8 bytes x 10,000: 24 MB at a time
SAMPLE = 30  # loans of each product done one by one
TERMS = np.array([12, 24, 36, 48, 60])
ARM = FloatingTerms(margin=0.03, first_reset=12, reset_every=6, initial_cap=0.02, periodic_cap=0.01, life_cap=0.15)

PRODUCTS = {
    "level": ScheduleTerms(),
    "level, whole units, smoothed": ScheduleTerms(smoothing=True, instalment_multiple=100),
    "level, ACT/365F": ScheduleTerms(day_count="ACT/365F"),
    "balloon": ScheduleTerms(rounding="half_up"),
    "interest-only, then level": ScheduleTerms(principal_grace=6),
    "payment holiday, then level": ScheduleTerms(principal_grace=3, interest_grace=3, grace_interest="capitalised"),
    "step": ScheduleTerms("step", step_rate=0.05),
    "equal principal": ScheduleTerms("equal_principal"),
    "flat": ScheduleTerms("flat", principal_multiple=100),
    "floating": ScheduleTerms(day_count="30/360"),
}


@dataclass(frozen=True)
class Chunk:
    """Loans of one product as `schedule` takes them."""

    terms: ScheduleTerms
    principal: np.ndarray
    rate: np.ndarray
    term: np.ndarray
    dates: np.ndarray | None
    amortisation_term: np.ndarray | None

    def scheduled(self) -> Schedule:
        return schedule(self.principal, self.rate, self.term, self.terms, self.dates, self.amortisation_term)


def chunks(product: str, loans: int) -> Iterator[Chunk]:
    """Loans of one product, drawn by its name."""
    rng = np.random.default_rng(sorted(PRODUCTS).index(product))
    terms = PRODUCTS[product]
    for start in range(0, loans, CHUNK):
        n = min(CHUNK, loans - start)
        term = rng.choice(TERMS, n)
        rate = rng.integers(2_000_000, 36_000_000, n) / RATE_UNITS
        dates = None
        if terms.day_count != "period":
            disbursed = np.datetime64("2026-01-01") + rng.integers(0, 365, n)
            dates = due_dates(disbursed, disbursed + 31, "monthly", int(term.max()), "following", "US")
        yield Chunk(
            terms=terms,
            principal=rng.integers(1_000_00, 50_000_00, n),
            rate=floating(rng, rate, int(term.max())) if product == "floating" else rate,
            term=term,
            dates=dates,
            amortisation_term=2 * term if product == "balloon" else None,
        )


def floating(rng: np.random.Generator, start: np.ndarray, periods: int) -> np.ndarray:
    index = np.clip(0.04 + np.cumsum(rng.normal(0.0, 0.002, periods)), 0.0, 0.2)
    return floating_rates(index, np.minimum(start, 0.15), ARM, periods)


def one_by_one(chunk: Chunk) -> list[int]:
    """Total interest of each loan by the reference."""
    totals = []
    for k, n in enumerate(chunk.term.tolist()):
        terms = chunk.terms
        if chunk.dates is None:
            years = [Fraction(1, terms.periods_per_year)] * n
        else:
            years = [by_definition(a, b, terms.day_count) for a, b in pairwise(chunk.dates[k, : n + 1].tolist())]
        units = np.rint((np.full(n, chunk.rate[k]) if chunk.rate.ndim == 1 else chunk.rate[k, :n]) * RATE_UNITS)
        loan = Loan(
            principal=int(chunk.principal[k]),
            rates=[Fraction(int(unit), RATE_UNITS) for unit in units],
            term=n,
            years=years,
            amortisation_term=n if chunk.amortisation_term is None else int(chunk.amortisation_term[k]),
        )
        totals.append(sum(line.interest for line in rows(loan, terms)))
    return totals


def first(chunk: Chunk, n: int) -> Chunk:
    parts: dict[str, Any] = {
        name: getattr(chunk, name)[:n] if getattr(chunk, name) is not None else None
        for name in ("principal", "rate", "term", "dates", "amortisation_term")
    }
    longest = int(chunk.term[:n].max())
    if parts["dates"] is not None:
        parts["dates"] = parts["dates"][:, : longest + 1]
    return replace(chunk, **parts)


def main() -> None:
    started = time.perf_counter()
    interest = 0
    for product in PRODUCTS:
        begun = time.perf_counter()
        for chunk in chunks(product, LOANS // len(PRODUCTS)):
            interest += int(chunk.scheduled().interest.sum())
        print(f"{product:30s} {LOANS // len(PRODUCTS):8d} loans {time.perf_counter() - begun:7.2f} s")
    whole = time.perf_counter() - started
    print(f"interest of all loans {interest / 100:,.2f}; largest memory of the process", end=" ")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")

    scalar = vector = 0.0
    for product in PRODUCTS:
        chunk = next(chunks(product, LOANS // len(PRODUCTS)))
        sample = first(chunk, SAMPLE)
        begun = time.perf_counter()
        slow = one_by_one(sample)
        scalar += (time.perf_counter() - begun) / SAMPLE
        begun = time.perf_counter()
        fast = chunk.scheduled()
        vector += (time.perf_counter() - begun) / len(chunk.term)
        if fast.interest[:SAMPLE].sum(axis=1).tolist() != slow:
            raise SystemExit(f"{product}: the schedules differ from the reference")
    figures = {"million_schedules_s": whole, "schedules_vector_vs_scalar": scalar / vector}
    for name, value in figures.items():
        print(f"{name:32s} {value:.4g}")
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
