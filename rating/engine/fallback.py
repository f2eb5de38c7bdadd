"""The loops of the exact engine in NumPy, for where Numba is not installed: the same law, other bytes.

Same reading and filling as kernels.py; draws are Philox as well, in the order in which NumPy takes them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri, stdtr

from rating.engine import layout
from rating.engine.layout import BY_ID, GUIDES, RESIDUE, Draws, Loans, Tables
from rating.engine.philox import philox4x32, uniforms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Candidates settled in one go, and rows of a scenario up to which all are summed, not only those with a candidate.
BATCH_CANDIDATES, FEW_ROWS = 8_192, 128
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

    def exactly(self, curves: FloatArray, row: IntArray, value: FloatArray) -> IntArray:
        """The same where rows depend on what is settled together: lifting rounds, so the neighbours are looked at."""
        place = np.clip(self.first(row, value), 1, self.width - 1)
        flat, start = curves.ravel(), row * self.width
        place -= (place > 1) & (flat[start + place - 1] >= value)
        return np.asarray(np.minimum(place + (flat[start + place] < value), self.width - 1))


def _lifted(curves: FloatArray) -> _Lifted:
    lift = float(np.ceil(curves.max(initial=0.0)) + 1.0)
    return _Lifted((curves + lift * np.arange(len(curves))[:, None]).ravel(), lift, curves.shape[1])


class _Guided(NamedTuple):
    """Curves (rows, T + 1) with the first month that reaches each even share of a row's last value: where a value lies
    is then known to within a step, which costs less than a search."""

    flat: FloatArray
    width: int
    guide: IntArray
    scale: FloatArray

    def first(self, row: IntArray, value: FloatArray) -> IntArray:
        """(c,) the first column, 1 at least, of each row that reaches the value, which is at most the row's last."""
        month = self.guide[row * (GUIDES + 1) + (value * self.scale[row]).astype(np.int64)]
        start = row * self.width
        behind = np.flatnonzero(self.flat[start + month] < value)
        while len(behind):
            month[behind] += 1
            behind = behind[self.flat[start[behind] + month[behind]] < value[behind]]
        return month


def _guided(curves: FloatArray) -> _Guided:
    last = np.maximum(curves[:, -1], np.finfo(float).tiny)
    # A little too early is right, too late is not.
    shares = np.arange(GUIDES + 1) / GUIDES * (1.0 - 1e-12)
    reached = zip(curves, last[:, None] * shares, strict=True)
    guide = [np.maximum(np.searchsorted(curve, share), 1) for curve, share in reached]
    return _Guided(curves.ravel(), curves.shape[1], np.concatenate(guide), GUIDES / last)


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
    curves: _Guided


def _columns(loans: Loans) -> _Columns:
    marks = np.ascontiguousarray(loans.marks.T, dtype=np.int64)
    place, rate_row, _ = np.ascontiguousarray(loans.profiles.T)
    profile = marks[layout.PROFILE]
    balance, slope = np.ascontiguousarray(loans.amounts.T)
    return _Columns(
        remaining=marks[layout.REMAINING],
        sector=marks[layout.SECTOR],
        curve=marks[layout.CURVE],
        profile=profile,
        band=marks[layout.BAND],
        place=place[profile],
        rate_row=rate_row[profile],
        rate=loans.rate[rate_row[profile]],
        balance=balance,
        slope=slope,
        curves=_guided(loans.default_curve),
    )


class _Candidates(NamedTuple):
    """(c,) loans whose clock rang before the top of their bucket: scenario, place, clock, uniform of prepayment."""

    scenario: IntArray
    loan: IntArray
    clock: FloatArray
    uniform: FloatArray


class _Batch:
    """Candidates of some scenarios, settled together: NumPy's own time for a call is shared between them."""

    def __init__(self, loans: Loans, draws: Draws, tables: Tables, sums: FloatArray) -> None:
        self.loans, self.draws, self.tables, self.sums = loans, draws, tables, sums
        self.columns = _columns(loans)
        self.parts: list[_Candidates] = []
        self.first, self.size = 0, 0

    def add(self, s: int, loan: IntArray, clock: FloatArray, uniform: FloatArray) -> None:
        """The candidates of scenario s; the scenarios come one after the other."""
        self.parts.append(_Candidates(np.full(len(loan), s - self.first), loan, clock, uniform))
        self.size += len(loan)
        if self.size >= BATCH_CANDIDATES or s + 1 == len(self.sums):
            rows = slice(self.first, s + 1)
            found = _Candidates(*(np.concatenate(columns) for columns in zip(*self.parts, strict=True)))
            _settle(self.loans, _rows(self.draws, rows), self.tables, self.columns, found, self.sums[rows])
            self.parts, self.first, self.size = [], s + 1, 0


def _rows(draws: Draws, rows: slice) -> Draws:
    """The scenarios of a batch."""
    path = draws.path[rows] if len(draws.path) else draws.path
    parts = {name: getattr(draws, name)[rows] for name in ("score", "latents", "alive", "severity")}
    return draws._replace(path=path, **parts)


def by_event(loans: Loans, draws: Draws, tables: Tables, sums: FloatArray) -> None:
    """Add a stream group to sums (S, SUMS, T): a Poisson process on the hazard line, first points kept."""
    edges, batch = np.diff(loans.bucket_start), _Batch(loans, draws, tables, sums)
    for s in range(len(sums)):
        key = np.array([draws.seed, (draws.first + s) * np.uint64(1)], dtype=np.uint64)
        counter = np.array([0, 0, 0, loans.number], dtype=np.uint64)
        stream = np.random.Generator(np.random.Philox(counter=counter, key=key))
        hazard = _bucket_hazards(loans, draws, s)
        line = np.concatenate([[0.0], np.cumsum(hazard * edges)])
        points = _points(stream, float(line[-1]))
        # Points ascend, so the buckets that hold them are found by where the buckets' ends fall among the points.
        ends = np.searchsorted(points, line[1:], side="left")
        bucket = np.repeat(np.arange(len(edges)), np.diff(ends, prepend=0))
        ahead = (points - line[bucket]) / hazard[bucket]
        skip = np.minimum(ahead.astype(np.int64), edges[bucket] - 1)
        loan = loans.bucket_start[bucket] + skip
        first = np.diff(loan, prepend=-1) != 0
        clock = np.maximum((ahead - skip) * hazard[bucket], layout.EARLIEST)
        batch.add(s, loan[first], clock[first], stream.random(len(points))[first])


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
    sizes, batch = np.diff(loans.bucket_start), _Batch(loans, draws, tables, sums)
    for s in range(len(sums)):
        number = np.uint64(draws.first + s)
        counter[:, 2], counter[:, 3] = number & _LOW, number >> _HALF
        drawn = uniforms(philox4x32(counter, key))
        reached = np.repeat(-np.expm1(-_bucket_hazards(loans, draws, s)), sizes)
        loan = np.flatnonzero(drawn[:, 0] < reached)
        batch.add(s, loan, -np.log1p(-drawn[loan, 0]), drawn[loan, 1])


def _months(
    loans: Loans, draws: Draws, tables: Tables, columns: _Columns, found: _Candidates
) -> tuple[_Candidates, IntArray]:
    """The candidates that default by maturity, and their months."""
    curve, sector, last = (column[found.loan] for column in (columns.curve, columns.sector, columns.remaining))
    if len(draws.path):
        width = draws.path.shape[1]
        table = draws.path.reshape(-1, draws.path.shape[2])
        row, hazard = found.scenario * width + curve * draws.score.shape[1] + sector, found.clock
    else:
        normal = -ndtri(np.exp(-found.clock))
        early = np.flatnonzero(found.clock < 1e-8)
        normal[early] = ndtri(-np.expm1(-found.clock[early]))
        own, mixing, level = draws.latents.T
        latent = draws.score.ravel()[found.scenario * draws.score.shape[1] + sector]
        latent = (latent + own[found.scenario] * normal) / mixing[found.scenario]
        table, row = loans.default_curve, curve
        hazard = _cumulative_hazard(latent, tables) / level[found.scenario]
    keep = np.flatnonzero(hazard <= table.ravel()[row * table.shape[1] + last])
    if len(draws.path):
        reached = _lifted(table).exactly(table, row[keep], hazard[keep])
    else:
        reached = columns.curves.first(row[keep], hazard[keep])
    month = np.clip(reached, 1, last[keep])
    kept = _Candidates(found.scenario[keep], found.loan[keep], found.clock[keep], found.uniform[keep])
    return kept, month


def _cumulative_hazard(latent: FloatArray, tables: Tables) -> FloatArray:
    if not tables.stretched:
        return np.asarray(-log_ndtr(-latent))
    return np.asarray(-np.log(np.maximum(stdtr(tables.degrees, -latent), 1e-300)))


def _settle(
    loans: Loans, draws: Draws, tables: Tables, columns: _Columns, found: _Candidates, sums: FloatArray
) -> None:
    """Cash of B scenarios, sums (B, SUMS, T): loans with a default one by one, all others in expectation."""
    scenarios, _, months = sums.shape
    out = np.zeros_like(sums)
    found, month = _months(loans, draws, tables, columns, found)
    scenario, loan, uniform = found.scenario, found.loan, found.uniform
    place, r = columns.place[loan], columns.rate_row[loan]
    balance, slope = columns.balance[loan], columns.slope[loan]
    speeds, width = draws.alive.shape[1:]
    row = scenario * speeds + place
    paid = month - 1
    survived = draws.alive.ravel()[row * width + paid]
    stays = uniform < survived
    early, late = np.flatnonzero(~stays), np.flatnonzero(stays)
    # Survival falls in time: the first month at which it is no longer above the uniform.
    gone = 1.0 - draws.alive.reshape(-1, width)
    first = _lifted(gone).exactly(gone, row[early], 1.0 - uniform[early])
    paid[early] = np.clip(first, 1, paid[early])
    owed = balance - slope * loans.growth.ravel()[r * loans.growth.shape[1] + paid]

    def spread(name: int, at: IntArray, amount: FloatArray | None = None) -> None:
        out[:, name] += np.bincount(at, amount, scenarios * months).reshape(scenarios, months)

    at, lost = (scenario * months + paid)[late], owed[late]
    kept = 1.0 - _severity(draws, found, late, columns.band, survived[late])
    spread(layout.DEFAULT, at, lost)
    spread(layout.COUPON, at, lost * columns.rate[loan[late]])
    spread(layout.MISSED, at)
    spread(layout.RECOVERED, at, lost * kept)
    at = (scenario * months + paid)[early] - 1
    spread(layout.PREPAYMENT, at, owed[early])
    spread(layout.LEFT, at)
    out[:, layout.LEFT] += out[:, layout.MISSED]
    _add_own(loans, out, scenario, (r, balance, slope, paid))
    _add_others(loans, columns, draws.alive, out, scenario, loan)
    out[:, layout.OPENING] += out[:, layout.DEFAULT]
    sums += out


def _severity(
    draws: Draws, found: _Candidates, late: IntArray, band: IntArray, survived: FloatArray
) -> FloatArray:
    severity = draws.severity[found.scenario[late], band[found.loan[late]]]
    if draws.noise == 0.0:
        return severity
    # What is left of the draw, given that the loan survived, is uniform again.
    part = np.clip(found.uniform[late] / survived, 2.0**-53, 1.0 - 2.0**-53)
    return np.asarray(ndtr(severity + draws.noise * ndtri(part)))


def _touched(row: IntArray, scenarios: int, each: int) -> tuple[IntArray, IntArray]:
    """Rows that hold a candidate, ascending, and (c,) their number among these; all rows where a scenario has few.

    Which of the two may not depend on how many scenarios are settled together: sums round by their number of terms.
    """
    if each <= FEW_ROWS:
        return np.arange(scenarios * each), row
    rows, place = np.unique(row, return_inverse=True)
    return rows.astype(np.int64), place


def _by_scenario(scenario: IntArray, values: FloatArray, size: int) -> FloatArray:
    """(size, T) sums of the rows of values over each scenario; scenario ascends."""
    sums = np.zeros((size, *values.shape[1:]))
    if len(values):
        starts = np.flatnonzero(np.diff(scenario, prepend=-1))
        sums[scenario[starts]] = np.add.reduceat(values, starts, axis=0)
    return sums


def _add_own(
    loans: Loans, out: FloatArray, scenario: IntArray, own: tuple[IntArray, FloatArray, FloatArray, IntArray]
) -> None:
    """What the loans with a default of their own pay until they leave: rate row, balance, slope, payments (c,)."""
    r, balance, slope, paid = own
    scenarios, _, months = out.shape
    rows, row = _touched(scenario * len(loans.rate) + r, scenarios, len(loans.rate))
    width = loans.growth.shape[1] + 1
    code, size = row * width + paid, len(rows) * width
    by_payments = (np.bincount(code, value, size).reshape(-1, width) for value in (balance, slope))
    alive, slopes = (np.cumsum(column[:, ::-1], axis=1)[:, ::-1][:, 1 : months + 1] for column in by_payments)
    rate = rows % len(loans.rate)
    growth = loans.growth[rate][:, : months + 1]
    owed = alive - slopes * growth[:, :months]
    place = rows // len(loans.rate)
    out[:, layout.OPENING] += _by_scenario(place, owed, scenarios)
    coupon = _by_scenario(place, owed * loans.rate[rate][:, None], scenarios)
    out[:, layout.COUPON] += coupon
    out[:, layout.INTEREST] += coupon / 12.0
    out[:, layout.SCHEDULED] += _by_scenario(place, slopes * np.diff(growth, axis=1), scenarios)


def _add_others(
    loans: Loans, columns: _Columns, survival: FloatArray, out: FloatArray, scenario: IntArray, loan: IntArray
) -> None:
    """What all other loans pay, in expectation over prepayment."""
    scenarios, _, months = out.shape
    many, speeds = len(loans.profiles), loans.open_balance.shape[0]
    rows, row = _touched(scenario * many + columns.profile[loan], scenarios, many)
    place, rate, last = loans.profiles[rows % many].T
    count, balance, slope = (
        np.bincount(row, value, len(rows))[:, None] for value in (None, columns.balance[loan], columns.slope[loan])
    )
    there = np.arange(months + 1) < last[:, None]
    owed = np.where(there, balance - slope * loans.growth[rate][:, : months + 1], 0.0)
    # Profiles ascend by speed within a scenario, so these do too.
    where = rows // many * speeds + place
    shape = (scenarios, speeds, months + 1)
    gone, gone_coupon, gone_count = (
        _by_scenario(where, value, scenarios * speeds).reshape(shape)
        for value in (owed, owed * loans.rate[rate][:, None], count * there)
    )
    left = loans.open_balance[:, 1:] - gone
    left = np.where(left > RESIDUE * loans.open_balance[:, 1:], left, 0.0)
    before, after = survival[..., :months], survival[..., 1 : months + 1]
    start, end = left[..., :months], np.minimum(left[..., 1:], left[..., :months])
    coupon = np.where(start > 0, loans.open_coupon[:, 1 : months + 1] - gone_coupon[..., :months], 0.0)
    number = loans.open_count[:, 1:] - gone_count
    out[:, layout.OPENING] += (before * start).sum(axis=1)
    out[:, layout.COUPON] += (before * coupon).sum(axis=1)
    out[:, layout.INTEREST] += (before * coupon).sum(axis=1) / 12.0
    out[:, layout.SCHEDULED] += (before * (start - end)).sum(axis=1)
    out[:, layout.PREPAYMENT] += ((before - after) * end).sum(axis=1)
    out[:, layout.LEFT] += (before * number[..., :months] - after * number[..., 1:]).sum(axis=1)
