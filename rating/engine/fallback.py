"""The loops of the exact engine in NumPy, for where Numba is not installed: the same law, other bytes.

Same reading and filling as kernels.py; draws are Philox as well, in the order in which NumPy takes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, stdtr

from rating.engine import layout
from rating.engine.layout import BY_ID, RESIDUE, Draws, Loans, Tables
from rating.engine.philox import philox4x32, uniforms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEW_ROWS = 256
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


class _Lifted(NamedTuple):
    """Curves (rows, T + 1) as one ascending array: row c is lifted by c times more than any curve is high."""

    key: FloatArray
    lift: float
    width: int

    def first(self, row: IntArray, value: FloatArray) -> IntArray:
        """(c,) the first column of each row that reaches the value."""
        place = np.searchsorted(self.key, value + self.lift * row, side="left")
        return np.asarray(place - row * self.width)


def _lifted(curves: FloatArray) -> _Lifted:
    lift = float(np.ceil(curves.max(initial=0.0)) + 1.0)
    return _Lifted((curves + lift * np.arange(len(curves))[:, None]).ravel(), lift, curves.shape[1])


class _Columns(NamedTuple):
    """Facts of the group's loans, each (n,) contiguous: gathering from these is what a scenario's time goes into."""

    remaining: IntArray
    sector: IntArray
    curve: IntArray
    profile: IntArray
    band: IntArray
    place: IntArray
    rate_row: IntArray
    rate: FloatArray
    balance: FloatArray
    slope: FloatArray
    curves: _Lifted


def _columns(loans: Loans) -> _Columns:
    marks = np.ascontiguousarray(loans.marks.T, dtype=np.int64)
    place, rate_row, _ = np.ascontiguousarray(loans.profiles.T)
    profile = marks[layout.PROFILE]
    return _Columns(
        *marks,
        place[profile],
        rate_row[profile],
        loans.rate[rate_row[profile]],
        *np.ascontiguousarray(loans.amounts.T),
        _lifted(loans.default_curve),
    )


class _Candidates(NamedTuple):
    """(c,) loans whose clock rang before the top of their bucket: place, clock, uniform of their prepayment."""

    loan: IntArray
    clock: FloatArray
    uniform: FloatArray


def by_event(loans: Loans, draws: Draws, tables: Tables, sums: FloatArray) -> None:
    """Add a stream group to sums (S, SUMS, T): a Poisson process on the hazard line, first points kept."""
    edges, columns = np.diff(loans.bucket_start), _columns(loans)
    for s in range(len(sums)):
        key = np.array([draws.seed, (draws.first + s) * np.uint64(1)], dtype=np.uint64)
        counter = np.array([0, 0, 0, loans.number], dtype=np.uint64)
        stream = np.random.Generator(np.random.Philox(counter=counter, key=key))
        hazard = _bucket_hazards(loans, draws, s)
        line = np.concatenate([[0.0], np.cumsum(hazard * edges)])
        points = _points(stream, float(line[-1]))
        bucket = np.minimum(np.searchsorted(line, points, side="right") - 1, len(edges) - 1)
        ahead = (points - line[bucket]) / hazard[bucket]
        skip = np.minimum(ahead.astype(np.int64), edges[bucket] - 1)
        loan = loans.bucket_start[bucket] + skip
        first = np.diff(loan, prepend=-1) != 0
        clock = np.maximum((ahead - skip) * hazard[bucket], 2.0**-128)
        found = _Candidates(loan[first], clock[first], stream.random(len(points))[first])
        _settle(loans, draws, tables, columns, s, found, sums[s])


def _bucket_hazards(loans: Loans, draws: Draws, s: int) -> FloatArray:
    """(B,) conditional default hazard to maturity of the top of each bucket."""
    if len(draws.path):
        return np.asarray(draws.top[s])
    own, mixing, _ = draws.latents[s]
    threshold = draws.top[s if len(draws.top) > 1 else 0]
    return np.asarray(-log_ndtr(-(threshold * mixing - draws.score[s, loans.bucket_sector]) / own))


def _points(stream: np.random.Generator, length: float) -> FloatArray:
    """Points of a unit-rate Poisson process on [0, length), ascending."""
    parts, reached = [], 0.0
    while reached < length:
        more = reached + np.cumsum(stream.standard_exponential(int(length + 6.0 * np.sqrt(length)) + 8))
        parts.append(more)
        reached = float(more[-1])
    points = np.concatenate(parts) if parts else np.zeros(0)
    return points[points < length]


def by_loan(loans: Loans, draws: Draws, tables: Tables, sums: FloatArray) -> None:
    """The same law with one draw a loan, keyed by its id as in the compiled loop: the very same draws."""
    key = np.array([draws.seed & _LOW, (draws.seed >> _HALF) ^ np.uint64(BY_ID)], dtype=np.uint64)
    counter = np.zeros((len(loans.amounts), 4), dtype=np.uint64)
    counter[:, 0], counter[:, 1] = loans.identity & _LOW, loans.identity >> _HALF
    sizes, columns = np.diff(loans.bucket_start), _columns(loans)
    for s in range(len(sums)):
        number = np.uint64(draws.first + s)
        counter[:, 2], counter[:, 3] = number & _LOW, number >> _HALF
        drawn = uniforms(philox4x32(counter, key))
        reached = np.repeat(-np.expm1(-_bucket_hazards(loans, draws, s)), sizes)
        loan = np.flatnonzero(drawn[:, 0] < reached)
        found = _Candidates(loan, -np.log1p(-drawn[loan, 0]), drawn[loan, 1])
        _settle(loans, draws, tables, columns, s, found, sums[s])


def _months(
    loans: Loans, draws: Draws, tables: Tables, columns: _Columns, s: int, found: _Candidates
) -> tuple[_Candidates, IntArray]:
    """The candidates that default by maturity, and their months."""
    curve, sector, last = (column[found.loan] for column in (columns.curve, columns.sector, columns.remaining))
    curves = columns.curves
    if len(draws.path):
        table, row, hazard = draws.path[s], curve * draws.score.shape[1] + sector, found.clock
        curves = _lifted(table)
    else:
        survival = np.exp(-found.clock)
        normal = -ndtri(survival)
        early = np.flatnonzero(found.clock < 1e-8)
        normal[early] = ndtri(-np.expm1(-found.clock[early]))
        own, mixing, level = draws.latents[s]
        latent = (draws.score[s, sector] + own * normal) / mixing
        table, row = loans.default_curve, curve
        hazard = _cumulative_hazard(latent, tables) / level
    keep = hazard <= table[row, last]
    found = _Candidates(*(column[keep] for column in found))
    return found, np.clip(curves.first(row[keep], hazard[keep]), 1, last[keep]).astype(np.int64)


def _cumulative_hazard(latent: FloatArray, tables: Tables) -> FloatArray:
    if not tables.stretched:
        return np.asarray(-log_ndtr(-latent))
    return np.asarray(-np.log(np.maximum(stdtr(tables.degrees, -latent), 1e-300)))


def _settle(
    loans: Loans, draws: Draws, tables: Tables, columns: _Columns, s: int, found: _Candidates, sums: FloatArray
) -> None:
    """Cash of one scenario: loans with a default of their own one by one, all others in expectation."""
    months = sums.shape[1]
    out = np.zeros_like(sums)
    found, month = _months(loans, draws, tables, columns, s, found)
    loan, uniform = found.loan, found.uniform
    place, r, balance, slope = (
        column[loan] for column in (columns.place, columns.rate_row, columns.balance, columns.slope)
    )
    alive = draws.alive[s]
    survived = alive[place, month - 1]
    paid = month - 1
    early, late = np.flatnonzero(uniform >= survived), np.flatnonzero(uniform < survived)
    # Survival falls in time: the first month at which it is no longer above the uniform.
    first = _lifted(1.0 - alive).first(place[early], 1.0 - uniform[early])
    paid[early] = np.clip(first, 1, paid[early])
    owed = balance - slope * loans.growth[r, paid]

    def spread(row: int, at: IntArray, amount: FloatArray | None = None) -> None:
        out[row] += np.bincount(at, amount, months)

    at, lost = paid[late], owed[late]
    kept = 1.0 - _severity(draws, s, columns.band[loan[late]], uniform[late], survived[late])
    spread(layout.DEFAULT, at, lost)
    spread(layout.COUPON, at, lost * columns.rate[loan[late]])
    spread(layout.MISSED, at)
    spread(layout.RECOVERED, at, lost * kept)
    spread(layout.PREPAYMENT, paid[early] - 1, owed[early])
    spread(layout.LEFT, paid[early] - 1)
    out[layout.LEFT] += out[layout.MISSED]
    _add_own(loans, out, r, balance, slope, paid)
    _add_others(loans, columns, alive, out, loan)
    out[layout.OPENING] += out[layout.DEFAULT]
    sums += out


def _severity(draws: Draws, s: int, band: IntArray, uniform: FloatArray, survived: FloatArray) -> FloatArray:
    severity = draws.severity[s, band]
    if draws.noise == 0.0:
        return severity
    # What is left of the draw, given that the loan survived, is uniform again.
    part = np.clip(uniform / survived, 2.0**-53, 1.0 - 2.0**-53)
    return np.asarray(ndtr(severity + draws.noise * ndtri(part)))


def _touched(row: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """Rows that hold a candidate, ascending, and (c,) their number among these; all rows where they are few."""
    if size <= FEW_ROWS:
        return np.arange(size), row
    rows, place = np.unique(row, return_inverse=True)
    return rows.astype(np.int64), place


def _add_own(
    loans: Loans, out: FloatArray, r: IntArray, balance: FloatArray, slope: FloatArray, paid: IntArray
) -> None:
    """What the loans with a default of their own pay until they leave: paid (c,) payments."""
    months = out.shape[1]
    rates, cell = _touched(r, len(loans.rate))
    width = loans.growth.shape[1] + 1
    code, size = cell * width + paid, len(rates) * width
    by_payments = (np.bincount(code, value, size).reshape(-1, width) for value in (balance, slope))
    alive, slopes = (np.cumsum(column[:, ::-1], axis=1)[:, ::-1] for column in by_payments)
    growth, rate = loans.growth[rates], loans.rate[rates][:, None]
    owed = alive[:, 1 : months + 1] - slopes[:, 1 : months + 1] * growth[:, :months]
    out[layout.OPENING] += owed.sum(axis=0)
    coupon = (owed * rate).sum(axis=0)
    out[layout.COUPON] += coupon
    out[layout.INTEREST] += coupon / 12.0
    out[layout.SCHEDULED] += (slopes[:, 1 : months + 1] * np.diff(growth[:, : months + 1], axis=1)).sum(axis=0)


def _add_others(loans: Loans, columns: _Columns, alive: FloatArray, out: FloatArray, loan: IntArray) -> None:
    """What all other loans pay, in expectation over prepayment."""
    months = out.shape[1]
    kinds, kind = _touched(columns.profile[loan], len(loans.profiles))
    place, rate, last = loans.profiles[kinds].T
    count, balance, slope = (
        np.bincount(kind, value, len(kinds))[:, None] for value in (None, columns.balance[loan], columns.slope[loan])
    )
    there = np.arange(months + 1) < last[:, None]
    owed = np.where(there, balance - slope * loans.growth[rate][:, : months + 1], 0.0)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    shape = (loans.open_balance.shape[0], months + 1)
    gone, gone_coupon, gone_count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    if len(kinds):
        rows = place[starts]
        gone[rows] = np.add.reduceat(owed, starts, axis=0)
        gone_coupon[rows] = np.add.reduceat(owed * loans.rate[rate][:, None], starts, axis=0)
        gone_count[rows] = np.add.reduceat(count * there, starts, axis=0)
    left = loans.open_balance[:, 1:] - gone
    left = np.where(left > RESIDUE * loans.open_balance[:, 1:], left, 0.0)
    before, after = alive[:, :months], alive[:, 1 : months + 1]
    start, end = left[:, :months], np.minimum(left[:, 1:], left[:, :months])
    coupon = np.where(start > 0, loans.open_coupon[:, 1 : months + 1] - gone_coupon[:, :months], 0.0)
    number = loans.open_count[:, 1:] - gone_count
    out[layout.OPENING] += (before * start).sum(axis=0)
    out[layout.COUPON] += (before * coupon).sum(axis=0)
    out[layout.INTEREST] += (before * coupon).sum(axis=0) / 12.0
    out[layout.SCHEDULED] += (before * (start - end)).sum(axis=0)
    out[layout.PREPAYMENT] += ((before - after) * end).sum(axis=0)
    out[layout.LEFT] += (before * number[:, :months] - after * number[:, 1:]).sum(axis=0)
