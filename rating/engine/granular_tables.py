"""Tables of the granular engine: a whole pool as weights on a few hazards, built once per pool and model.

Given a scenario, a loan of sector k has defaulted by month t with a probability that depends on it through its
cumulative hazard alone; so every expected sum over loans is a short weighted sum over nodes of that hazard (and of the
prepayment hazard). Not here: scenarios and cash (granular.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, log_ndtr, ndtr, ndtri, stdtrit

from pooling.engine.loans import LoanArrays
from rating.engine.model import CreditModel
from rating.engine.portfolio import accumulation, cumulative_curves
from rating.engine.shocks import MAX_CORRELATION, sector_index

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Quantities of a month, all times the survival of prepayment to its start: what a loan owes before the month, what of
# that defaults in it, what the others owe after their payment; the same of annual interest and of counts, and what the
# variance of the month's default takes. Default by band follows where bands have severities of their own.
OPENING, DEFAULT, AFTER, COUPON, COUPON_DEFAULT, COUNT, MISSED, SQUARES, BY_BAND = range(9)

LARGEST_HAZARD, SMALLEST_HAZARD = 690.0, 1e-9
NODE_COUNTS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 56, 64, 80, 96)
MAX_PREPAYMENT_NODES = 40
EXACT_CURVES = 8  # as few distinct prepayment hazards are nodes themselves
# Standard deviations, of the score and of each other factor, within which nodes are chosen.
SCORE_REACH, FACTOR_REACH = 5.0, 4.0
TOLERANCE = 1e-6
LANE = 8  # the compiled loop takes as many columns at a time, of two quantities: both are padded with noughts
ROW_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class GranularTables:
    """A pool of G collateral groups, T months, K sectors present, U hazard nodes; R rows, one a group, month and node.

    collateral: G names. opening: (G,) balances. loans: their number. months: T, the longest remaining term.
    sectors: (K,) rows of Shocks.score. hazard: (U,) cumulative default hazards at the nodes.
    month_start: (G * T + 1,) first row of each group and month. prepayment: (R,) cumulative prepayment hazard at the
    start of the month at each row's node. constant: (R, Q) sums if nothing defaulted; weights: (R, Q, K * U padded)
    what a unit of default probability at a node adds to them: quantity = sum over the month's rows of
    exp(-p prepayment) (constant + weights . P). bands: B where default is held by band, else 0. tolerance: asked for;
    error: largest one met, weighted as granular_tables says.
    """

    collateral: tuple[str, ...]
    opening: FloatArray
    loans: int
    months: int
    sectors: IntArray
    hazard: FloatArray
    month_start: IntArray
    prepayment: FloatArray
    constant: FloatArray
    weights: FloatArray
    bands: int
    tolerance: float
    error: float

    @property
    def nbytes(self) -> int:
        return self.weights.nbytes + self.constant.nbytes + self.prepayment.nbytes


def granular_tables(loans: LoanArrays, model: CreditModel, *, tolerance: float = TOLERANCE) -> GranularTables:
    """Tabulate a pool. tolerance: largest interpolation error of a loan's conditional default probability and of its
    prepayment survival, absolute, in scenarios within 4 standard deviations of the centre; beyond, that times what the
    normal density has lost since there, up to 5 of the score and 4 of each other factor.

    Polynomial interpolation at Chebyshev points (Trefethen, Approximation Theory and Approximation Practice, 2013) by
    the barycentric formula (Berrut & Trefethen, Barycentric Lagrange Interpolation, 2004), in the probit of a loan's
    default probability: there the conditional one is an entire function where the scenario's level is 1.
    Hazards below 1e-9 count as 0. Depends on the loans, not on the order of rows.

    Raises ValueError where the market moves in time (factor_persistence < 1): its conditional probabilities are no
    function of one cumulative hazard; and where the largest number of nodes does not meet the tolerance.
    """
    if model.factor_persistence < 1.0:
        raise ValueError(
            f"factor_persistence: {model.factor_persistence}, the granular engine needs factors that last for the "
            "pool's life (1); take the exact engine"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance: {tolerance}, expected more than 0")
    pool = _Cells.of(loans, model)
    nodes, error = _hazard_nodes(pool, model, tolerance)
    rows = [_prepayment_nodes(pool, model, group, tolerance) for group in range(len(pool.names))]
    start = np.concatenate([[0], np.cumsum([len(points) for group in rows for points in group])]).astype(np.int64)
    sectors = np.unique(pool.sector)
    bands = len(model.bands) if len(set(model.severity_bands)) > 1 else 0
    width = len(sectors) * len(nodes)
    quantities = BY_BAND + bands + bands % 2
    constant = np.zeros((start[-1], quantities))
    weights = np.zeros((start[-1], quantities, -(-width // LANE) * LANE))
    for low, high in pool.segments():
        group, place = int(pool.group[low]), int(np.searchsorted(sectors, pool.sector[low]))
        columns = slice(place * len(nodes), (place + 1) * len(nodes))
        begin = start[group * pool.months : (group + 1) * pool.months + 1]
        _fill(pool, (low, high), nodes, rows[group], begin, bands, constant, weights[:, :, columns])
    return GranularTables(
        collateral=pool.names,
        opening=np.bincount(pool.group[pool.cell], pool.loans.balance, len(pool.names)).astype(np.float64),
        loans=len(loans),
        months=pool.months,
        sectors=sectors,
        hazard=-log_ndtr(-nodes),
        month_start=start,
        prepayment=np.concatenate([points for group in rows for points in group]),
        constant=constant,
        weights=weights,
        bands=bands,
        tolerance=tolerance,
        error=error,
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Loans by collateral group, sector, default curve, prepayment curve and band, in that order: C cells.

    loans: the columns in cell order; cell: (n,) of each loan, ascending. group, sector, curve, speed, band: (C,) of
    each cell; last: (C,) longest remaining term. default, prepayment: distinct cumulative curves (., T + 1).
    """

    names: tuple[str, ...]
    months: int
    loans: _Columns
    cell: IntArray
    group: IntArray
    sector: IntArray
    curve: IntArray
    speed: IntArray
    band: IntArray
    last: IntArray
    default: FloatArray
    prepayment: FloatArray

    @classmethod
    def of(cls, loans: LoanArrays, model: CreditModel) -> _Cells:
        months, row = int(loans.remaining_term.max()), model.assign(loans)
        names, group = np.unique(loans.group, return_inverse=True)
        default, curve = cumulative_curves(model.default_hazard, row, loans.age, months)
        prepayment, speed = cumulative_curves(model.prepayment_hazard, row, loans.age, months)
        keys = (row // len(model.terms), speed, curve, sector_index(model, loans), group)
        order = np.lexsort((loans.rate, *keys))
        sorted_keys = [key[order].astype(np.int64) for key in keys]
        fresh = np.zeros(len(loans), dtype=bool)
        fresh[0] = True
        for key in sorted_keys:
            fresh[1:] |= key[1:] != key[:-1]
        first = np.flatnonzero(fresh)
        remaining = loans.remaining_term[order].astype(np.int64)
        band, speed, curve, sector, group = (key[first] for key in sorted_keys)
        return cls(
            names=tuple(str(name) for name in names),
            months=months,
            loans=_Columns(loans.balance[order], loans.rate[order], remaining),
            cell=np.cumsum(fresh) - 1,
            group=group,
            sector=sector,
            curve=curve,
            speed=speed,
            band=band,
            last=np.maximum.reduceat(remaining, first),
            default=default,
            prepayment=prepayment,
        )

    @cached_property
    def reach(self) -> tuple[float, float]:
        """Lowest and highest probit of a loan's own default probability, over the months in which it owes something."""
        last = np.zeros(len(self.default), dtype=np.int64)
        np.maximum.at(last, self.curve, self.last)
        asked = self.default[np.arange(self.months + 1) <= last[:, None]]
        asked = np.minimum(asked[asked > SMALLEST_HAZARD], LARGEST_HAZARD)
        if not asked.size:
            return 0.0, 0.0
        low, high = probit(np.array([asked.min(), asked.max()]))
        return float(low), float(high)

    def segments(self) -> Iterator[tuple[int, int]]:
        """Ranges of cells of one group and sector."""
        change = (np.diff(self.group, prepend=-1) != 0) | (np.diff(self.sector, prepend=-1) != 0)
        edges = [*np.flatnonzero(change).tolist(), len(self.group)]
        yield from pairwise(edges)


@dataclass(frozen=True, eq=False)
class _Columns:
    balance: FloatArray
    rate: FloatArray
    remaining: IntArray


def probit(hazard: FloatArray) -> FloatArray:
    """Phi^-1(1 - exp(-h)), without cancellation at either end."""
    return np.asarray(np.where(hazard < 1e-6, ndtri(-np.expm1(-hazard)), -ndtri(np.exp(-hazard))))


def _known(hazard: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    return np.clip(hazard, SMALLEST_HAZARD, LARGEST_HAZARD), hazard > SMALLEST_HAZARD


def chebyshev(low: float, high: float, count: int) -> FloatArray:
    """Chebyshev points of the first kind on [low, high], descending."""
    angle = (2 * np.arange(count) + 1) * np.pi / (2 * count)
    return np.asarray(0.5 * (low + high) + 0.5 * (high - low) * np.cos(angle))


def basis(points: FloatArray, at: FloatArray) -> FloatArray:
    """(m, count) Lagrange weights of the values at distinct points (count,) for the polynomial at (m,) places."""
    if len(points) == 1:
        return np.ones((len(at), 1))
    # Differences in quarters of the range keep the products near 1 at Chebyshev's points.
    apart = 4.0 * (points[:, None] - points) / (points.max() - points.min())
    np.fill_diagonal(apart, 1.0)
    gap = at[:, None] - points
    hit = gap == 0.0
    share = 1.0 / (apart.prod(axis=1) * np.where(hit, 1.0, gap))
    share = np.where(hit.any(axis=1)[:, None], hit, share)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _hazard_nodes(pool: _Cells, model: CreditModel, tolerance: float) -> tuple[FloatArray, float]:
    """Probits of the nodes, and the largest error met in the box of scenarios."""
    low, high = pool.reach
    if low == high:
        return np.array([low]), 0.0
    between = np.linspace(low, high, 160)
    asked, weight = _box(model, between)
    for count in NODE_COUNTS:
        nodes = chebyshev(low, high, count)
        found = np.einsum("iu,eu->ei", basis(nodes, between), _box(model, nodes)[0])
        error = float((np.abs(found - asked).max(axis=1) * weight).max())
        if error <= tolerance:
            return nodes, error
    raise ValueError(
        f"tolerance: {tolerance} is not met by {count} nodes (error {error:.2g}); ask for less or run the exact engine"
    )


def _box(model: CreditModel, places: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(E, n) conditional default probabilities at the probits `places` in E scenarios, and the error's weights (E,).

    Scenarios: a grid of standard deviations in the score, the level, the correlation and the mixing; weight: 1 within 4
    standard deviations of the centre, beyond that the fall of the normal density since there.
    """
    apart = np.linspace(-FACTOR_REACH, FACTOR_REACH, 5)
    none = np.zeros(1)
    grid = np.meshgrid(
        np.arange(-SCORE_REACH, SCORE_REACH + 1.0),
        apart if model.pd_level_sigma > 0 else none,
        apart if model.correlation_sigma > 0 else none,
        apart if model.copula == "student_t" else none,
        indexing="ij",
    )
    score, level, correlation, mixing = (axis.ravel() for axis in grid)
    distance = score**2 + level**2 + correlation**2 + mixing**2
    rho = np.minimum(model.asset_correlation * np.exp(model.correlation_sigma * correlation), MAX_CORRELATION)
    multiple = np.exp(model.pd_level_sigma * level)
    levels, where = np.unique(multiple, return_inverse=True)
    threshold = default_threshold(model, -log_ndtr(-places) * levels[:, None])[where]
    if model.copula == "student_t":
        degrees = model.degrees_of_freedom
        threshold = threshold * np.sqrt(chdtri(degrees, ndtr(-mixing)) / degrees)[:, None]
    probability = ndtr((threshold - (np.sqrt(rho) * score)[:, None]) / np.sqrt(1.0 - rho)[:, None])
    return np.asarray(probability), np.exp(-0.5 * np.maximum(distance - FACTOR_REACH**2, 0.0))


def default_threshold(model: CreditModel, hazard: FloatArray) -> FloatArray:
    """Quantile of the latent variable at the default probability 1 - exp(-hazard), under the model's copula."""
    held = np.clip(hazard, 0.0, LARGEST_HAZARD)
    if model.copula == "gaussian":
        return probit(held)
    # The upper half by symmetry, so that probabilities near 1 keep their digits.
    degrees, low = model.degrees_of_freedom, held < np.log(2.0)
    tail = stdtrit(degrees, np.where(low, -np.expm1(-held), np.exp(-held)))
    return np.asarray(np.where(low, tail, -tail))


def _prepayment_nodes(pool: _Cells, model: CreditModel, group: int, tolerance: float) -> list[FloatArray]:
    """For each month the cumulative prepayment hazards at its start on which the group's loans are spread."""
    cells = np.flatnonzero(pool.group == group)
    pairs = np.unique(np.stack([pool.speed[cells], pool.last[cells]]), axis=1)
    sd = float(np.hypot(model.prepayment_sigma, model.prepayment_link))
    fastest = float(np.exp(FACTOR_REACH * sd))
    points = []
    for month in range(pool.months):
        places = np.unique(pool.prepayment[pairs[0, pairs[1] > month], month])
        if not len(places):
            points.append(np.zeros(1))
            continue
        # The interpolated exp(-p h) errs by at most (p d)**n / (n! 2**(2n - 1)), d the width of the hazards: the
        # classical bound at Chebyshev points.
        reach = fastest * float(places[-1] - places[0])
        count = next((n for n in range(1, MAX_PREPAYMENT_NODES + 1) if _remainder(reach, n) <= tolerance), 0)
        if len(places) <= (min(count, EXACT_CURVES) or EXACT_CURVES):
            points.append(places)
        elif count:
            points.append(chebyshev(float(places[0]), float(places[-1]), count))
        else:
            raise ValueError(
                f"tolerance: {tolerance} is not met by {MAX_PREPAYMENT_NODES} nodes for prepayment hazards {reach:.3g} "
                "apart; ask for less or run the exact engine"
            )
    return points


def _remainder(reach: float, count: int) -> float:
    return exp(count * log(reach) - lgamma(count + 1) - (2 * count - 1) * log(2.0)) if reach > 0 else 0.0


def _fill(
    pool: _Cells,
    cells: tuple[int, int],
    nodes: FloatArray,
    rows: list[FloatArray],
    begin: IntArray,
    bands: int,
    constant: FloatArray,
    weights: FloatArray,
) -> None:
    """Add the cells of one group and sector to the group's rows; weights: (R, Q, U), the sector's columns."""
    part = slice(*cells)
    before, after, coupon, count, squares = _sums(pool, cells)
    reached, some = _known(pool.default[pool.curve[part]])
    place = np.clip(probit(reached), pool.reach[0], pool.reach[1])  # beyond it nobody owes anything
    lost_by = np.zeros((place.shape[0], len(nodes)))  # at the start of the first month nobody has defaulted
    for month in range(pool.months):
        owing = np.flatnonzero(count[:, month])
        if not owing.size:
            break
        early = lost_by[owing]
        late = basis(nodes, place[owing, month + 1]) * some[owing, month + 1, None]
        spread = basis(rows[month], pool.prepayment[pool.speed[part][owing], month])
        step = late - early
        terms: list[tuple[int, FloatArray, FloatArray]] = [
            (OPENING, before, -early),
            (DEFAULT, before, step),
            (AFTER, after, -late),
            (COUPON, coupon, -early),
            (COUPON_DEFAULT, coupon, step),
            (COUNT, count, -early),
            (MISSED, count, step),
            (SQUARES, squares, step),
        ]
        here = slice(begin[month], begin[month + 1])
        for row, amount, lost in terms:
            spread_amount = spread * amount[owing, month, None]
            # einsum's own loops, not a matrix product: the same bytes on any linear-algebra library.
            weights[here, row] += np.einsum("cn,cu->nu", spread_amount, lost)
            if row in (OPENING, AFTER, COUPON, COUNT):
                constant[here, row] += spread_amount.sum(axis=0)
        for band in range(bands):
            mine = pool.band[part][owing] == band
            spread_amount = spread[mine] * before[owing][mine, month, None]
            weights[here, BY_BAND + band] += np.einsum("cn,cu->nu", spread_amount, step[mine])
        lost_by[owing] = late


def _sums(pool: _Cells, cells: tuple[int, int]) -> tuple[FloatArray, ...]:
    """(C, T) sums over each cell's loans: balance before and after each month's payment, annual interest on the first,
    number of loans, squares of the first."""
    low, high = cells
    out = tuple(np.zeros((high - low, pool.months)) for _ in range(5))
    first, last = np.searchsorted(pool.cell, [low, high])
    month = np.arange(1, pool.months + 1)
    for top in range(first, last, ROW_BLOCK):
        part = slice(top, min(top + ROW_BLOCK, last))
        rates, where = np.unique(pool.loans.rate[part], return_inverse=True)
        growth = accumulation(rates, pool.months)
        left = pool.loans.remaining[part]
        slope = pool.loans.balance[part] / growth[where, left]
        owed = pool.loans.balance[part][:, None] - slope[:, None] * growth[where]
        owed *= np.arange(pool.months + 1) < left[:, None]
        cell = pool.cell[part] - low
        starts = np.flatnonzero(np.diff(cell, prepend=-1))
        here, before = cell[starts], owed[:, :-1]
        values = (before, owed[:, 1:], before * pool.loans.rate[part][:, None], month <= left[:, None], before**2)
        for total, value in zip(out, values, strict=True):
            total[here] += np.add.reduceat(value.astype(np.float64, copy=False), starts, axis=0)
    return out
