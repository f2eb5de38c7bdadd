"""The granular engine: expected monthly cash of a large pool given each scenario, plus one shock a month for its own
noise; a scenario costs the same whatever the number of loans.

Not here: the tables (granular_tables.py) and the choice between engines (simulation.py). For 30,000 loans and more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from rating.engine import layout
from rating.engine.granular_tables import (
    AFTER,
    BY_BAND,
    COUNT,
    COUPON,
    COUPON_DEFAULT,
    DEFAULT,
    MISSED,
    OPENING,
    SQUARES,
    GranularTables,
    default_threshold,
)
from rating.engine.model import CreditModel
from rating.engine.philox import philox4x32, uniforms
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks, scenario_shocks

try:
    from rating.engine import granular_kernels
except ImportError:  # Numba is not there: the same sums in NumPy
    granular_kernels = None  # type: ignore[assignment]

FloatArray = NDArray[np.float64]

BLOCK = 64  # scenarios whose node probabilities lie together
BATCH = 1024  # scenarios held at once by a thread
STREAM = 0x6772616E  # tag of the streams of the monthly shocks: "gran"
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@dataclass(frozen=True, eq=False)
class GranularLosses:
    """lifetime: (S,) principal defaulted less what is recovered of it, currency units. default, recovered: (T,) means
    by month of default over the scenarios, with their weights. lag: months until each is charged off, and until the
    cash of recoveries comes after that.
    """

    lifetime: FloatArray
    weights: FloatArray
    default: FloatArray
    recovered: FloatArray
    charge_off_lag: int
    recovery_lag: int

    @property
    def by_month(self) -> FloatArray:
        """(T + lags,) mean principal charged off less recoveries, in the month in which each happens."""
        months, late = len(self.default), self.charge_off_lag + self.recovery_lag
        loss = np.zeros(months + late)
        loss[self.charge_off_lag : self.charge_off_lag + months] += self.default
        loss[late:] -= self.recovered
        return loss

    @property
    def expected(self) -> float:
        """Weighted mean of the lifetime loss."""
        return float((self.lifetime * self.weights).sum() / self.weights.sum())


def granular_sums(
    tables: GranularTables,
    model: CreditModel,
    scenarios: ScenarioSet,
    shocks: Shocks | None = None,
    *,
    noise: bool = True,
    compiled: bool | None = None,
    threads: int = 1,
) -> FloatArray:
    """(S, G, SUMS, T) monthly sums of every scenario and collateral group, see layout; as exact_sums returns them.

    A loan of cumulative default hazard h(t) and prepayment hazard g(t) since closing has, given the scenario,
    defaulted by month t with probability P(t) = Phi((q(1 - exp(-m h(t))) w - y) / own) and not prepaid with
    exp(-p g(t)) (shocks.py; Vasicek 1987 at one date, Li 2000 in time). It opens month t with probability
    (1 - P(t-1)) exp(-p g(t-1)), misses its payment in it with (P(t) - P(t-1)) exp(-p g(t-1)), else pays, and then
    prepays: the event order of the model. All sums are these, times its scheduled balance, over all loans.

    noise: in each month and group the default is multiplied by one log-normal of mean 1 whose variance is that of the
    month's default given the scenario, sum b**2 P(1 - P) with the few defaults' 1 - P taken as 1; what survives is
    scaled to fit, so that defaults of successive months keep the martingale of independent loans and every identity of
    the cash flows holds. Drawn from Philox keyed by seed and scenario. Prepayment has no noise of its own, as in the
    exact engine, nor has the severity of single loans. compiled: Numba, None where it is installed; both agree to
    1e-12. The bytes do not depend on threads nor on how a scenario set is sliced. Memory: the result and some 20 MB a
    thread. The model may differ from the tables' in correlation, severity and the size of every factor's effect, not
    in hazards, bands or sectors.

    Raises ValueError where compiled sums are asked for and Numba is not installed, where tables and model do not fit,
    or where the market moves in time (factor_persistence < 1).
    """
    shocks = scenario_shocks(model, scenarios) if shocks is None else shocks
    groups = len(tables.collateral)
    out = np.zeros((len(scenarios), groups, layout.SUMS, tables.months))

    def keep(rows: slice, sums: _Sums) -> None:
        for place, name in _PLACES:
            out[rows, :, place] = np.moveaxis(sums[name], -1, 0)

    _each_batch(tables, model, scenarios, shocks, (noise, compiled, threads), keep)
    return out


def granular_blocks(
    tables: GranularTables,
    model: CreditModel,
    scenarios: ScenarioSet,
    chunk: int,
    *,
    noise: bool = True,
    compiled: bool | None = None,
    threads: int = 1,
) -> Iterator[tuple[ScenarioSet, FloatArray]]:
    """Slices of the set of at most `chunk` scenarios with their granular_sums: never more than one chunk is held."""
    if chunk < 1:
        raise ValueError(f"chunk: {chunk} scenarios, expected at least 1")
    for low in range(0, len(scenarios), chunk):
        part = scenarios.slice(low, min(low + chunk, len(scenarios)))
        yield part, granular_sums(tables, model, part, noise=noise, compiled=compiled, threads=threads)


def granular_losses(
    tables: GranularTables,
    model: CreditModel,
    scenarios: ScenarioSet,
    *,
    noise: bool = True,
    compiled: bool | None = None,
    threads: int = 1,
) -> GranularLosses:
    """Lifetime loss of every scenario and mean default and recovery by month, with no array of months by scenarios.

    The same figures as granular_sums, to rounding; sums over scenarios are taken in batches of a fixed size and added
    in their order, so that the bytes do not depend on threads.
    """
    batches = -(-len(scenarios) // BATCH)
    lifetime = np.zeros(len(scenarios))
    means = np.zeros((batches, 2, tables.months))

    def keep(rows: slice, sums: _Sums) -> None:
        weight = scenarios.weights[rows]
        for k, name in enumerate(("default", "recovered")):
            total = sums[name].sum(axis=0)
            lifetime[rows] += total.sum(axis=0) * (1.0 if k == 0 else -1.0)
            means[rows.start // BATCH, k] = (total * weight).sum(axis=1)

    _each_batch(tables, model, scenarios, None, (noise, compiled, threads), keep)
    default, recovered = means.sum(axis=0) / scenarios.weights.sum()
    return GranularLosses(
        lifetime=lifetime,
        weights=scenarios.weights,
        default=default,
        recovered=recovered,
        charge_off_lag=model.charge_off_lag,
        recovery_lag=model.recovery_lag,
    )


# ------------------------------------------------------------------------------------------------ batches
_Sums = dict[str, FloatArray]
_PLACES = (
    (layout.OPENING, "opening"),
    (layout.COUPON, "coupon"),
    (layout.DEFAULT, "default"),
    (layout.INTEREST, "interest"),
    (layout.SCHEDULED, "scheduled_principal"),
    (layout.PREPAYMENT, "prepayment"),
    (layout.LEFT, "left"),
    (layout.MISSED, "missed"),
    (layout.RECOVERED, "recovered"),
)


def _each_batch(
    tables: GranularTables,
    model: CreditModel,
    scenarios: ScenarioSet,
    shocks: Shocks | None,
    options: tuple[bool, bool | None, int],
    keep: Callable[[slice, _Sums], None],
) -> None:
    noise, compiled, threads = options
    if compiled and granular_kernels is None:
        raise ValueError("compiled: Numba is not installed; install it, or take compiled=False")
    if tables.bands not in (0, len(model.severity_bands)):
        severities = len(model.severity_bands)
        raise ValueError(f"tables: default by {tables.bands} bands, the model has {severities} severities")
    if model.factor_persistence < 1.0:
        raise ValueError(f"factor_persistence: {model.factor_persistence}, the granular engine needs 1")
    if not set(tables.sectors.tolist()) <= set(range(1 + len(model.sectors))):
        rows = tables.sectors.tolist()
        raise ValueError(f"tables: hold sector rows {rows}, the model has {len(model.sectors)} sectors")
    native = granular_kernels is not None and compiled is not False

    def batch(low: int) -> None:
        rows = slice(low, min(low + BATCH, len(scenarios)))
        part = scenarios.slice(rows.start, rows.stop)
        mine = scenario_shocks(model, part) if shocks is None else _rows(shocks, rows)
        keep(rows, _batch(tables, model, part, mine, noise, native))

    starts = range(0, len(scenarios), BATCH)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(batch, starts))
    else:
        for low in starts:
            batch(low)


def _rows(shocks: Shocks, rows: slice) -> Shocks:
    return Shocks(**{name: getattr(shocks, name)[rows] for name in shocks.__dataclass_fields__})


def _batch(
    tables: GranularTables, model: CreditModel, scenarios: ScenarioSet, shocks: Shocks, noise: bool, native: bool
) -> _Sums:
    """Monthly sums (G, T, S) by name of one batch of scenarios."""
    size, groups = len(scenarios), len(tables.collateral)
    blocks = -(-size // BLOCK)
    probability = _node_probabilities(tables, model, shocks, blocks)
    speed = np.ones(blocks * BLOCK)
    speed[:size] = shocks.prepayment
    survival = np.exp(-tables.prepayment[:, None] * speed.reshape(blocks, 1, BLOCK))
    shape = (groups * tables.months, tables.constant.shape[1], blocks * BLOCK)
    cells = np.empty(shape)
    combine = granular_kernels.combine if native else _combine
    combine(tables.month_start, tables.constant, tables.weights, probability, survival, cells)
    expected = np.moveaxis(cells.reshape(groups, tables.months, *shape[1:]), 2, 0)[..., :size]
    normal = _normals(scenarios, groups, tables.months) if noise else None
    sums = _realised(expected, normal)
    sums["recovered"] = _recovered(tables, expected, sums, shocks.severity)
    return sums


def _node_probabilities(tables: GranularTables, model: CreditModel, shocks: Shocks, blocks: int) -> FloatArray:
    """(blocks, N, BLOCK) default probability at each sector's nodes, N as the tables' columns, zeros beyond."""
    size, nodes = len(shocks.own), len(tables.hazard)
    # Without a level factor every scenario has the nodes' own thresholds.
    level = shocks.default if model.pd_level_sigma > 0 else np.ones(1)
    threshold = default_threshold(model, tables.hazard[:, None] * level) * shocks.mixing
    columns = np.zeros((tables.weights.shape[2], blocks * BLOCK))
    for k, row in enumerate(tables.sectors):
        score = np.ascontiguousarray(shocks.score[:, row, 0])
        columns[k * nodes : (k + 1) * nodes, :size] = ndtr((threshold - score) / shocks.own)
    return np.ascontiguousarray(np.moveaxis(columns.reshape(-1, blocks, BLOCK), 1, 0))


def _combine(
    month_start: NDArray[np.int64],
    constant: FloatArray,
    weights: FloatArray,
    probability: FloatArray,
    survival: FloatArray,
    out: FloatArray,
) -> None:
    """granular_kernels.combine in NumPy: (G * T, Q, S) sums over each month's rows."""
    for block in range(len(probability)):
        held = np.broadcast_to(constant[:, :, None], (*constant.shape, BLOCK)).copy()
        for node in range(weights.shape[2]):
            held += weights[:, :, node, None] * probability[block, node]
        held *= survival[block][:, None, :]
        out[:, :, block * BLOCK : (block + 1) * BLOCK] = np.add.reduceat(held, month_start[:-1], axis=0)


def _normals(scenarios: ScenarioSet, groups: int, months: int) -> FloatArray:
    """(G, T, S) standard normals, one a group and month, keyed by the seed and the scenario's index."""
    number = np.arange(scenarios.first, scenarios.first + len(scenarios), dtype=np.uint64)
    pairs = -(-groups * months // 2)
    counter = np.zeros((pairs, len(number), 4), dtype=np.uint64)
    counter[..., 0] = np.arange(pairs, dtype=np.uint64)[:, None]
    counter[..., 2], counter[..., 3] = number & _LOW, number >> _HALF
    seed = np.uint64(scenarios.seed)
    key = np.array([seed & _LOW, (seed >> _HALF) ^ np.uint64(STREAM)], dtype=np.uint64)
    drawn = np.moveaxis(uniforms(philox4x32(counter, key)), -1, 1).reshape(2 * pairs, len(number))
    return np.asarray(ndtri(drawn[: groups * months]).reshape(groups, months, len(number)))


# ------------------------------------------------------------------------------------------------ cash
def _realised(expected: FloatArray, normal: FloatArray | None) -> _Sums:
    """Sums by name, (G, T, S), of expected quantities (Q, G, T, S); `ratio` is realised over expected default.

    The stock of a month is the expected one times what the shocks so far have left of it.
    """
    names = (*(name for _, name in _PLACES if name != "recovered"), "ratio")
    out = {name: np.empty(expected.shape[1:]) for name in names}
    groups, months, size = expected.shape[1:]
    stock, number, nothing = np.ones((groups, size)), np.ones((groups, size)), np.zeros((groups, size))
    opening, count = expected[OPENING, :, 0], expected[COUNT, :, 0]
    for t in range(months):
        now = expected[:, :, t]
        # Interpolation may turn a nought into a hair less: everything is held between the bounds of the true sums.
        default = np.minimum(np.maximum(now[DEFAULT], 0.0), opening)
        missed = np.minimum(np.maximum(now[MISSED], 0.0), count)
        survived, stayed = opening - default, count - missed
        after = np.minimum(np.maximum(now[AFTER], 0.0), survived)
        later, staying = nothing, nothing
        if t < months - 1:
            later = np.minimum(np.maximum(expected[OPENING, :, t + 1], 0.0), after)
            staying = np.minimum(np.maximum(expected[COUNT, :, t + 1], 0.0), stayed)
        start, standing, ratio = stock * opening, number * count, stock
        out["coupon"][:, t] = stock * now[COUPON]
        lost, gone = default, missed
        if normal is not None:
            shock = _shock(now[SQUARES], default, stock, normal[:, t])
            lost = np.minimum(stock * shock * default, start)
            gone = np.minimum(number * shock * missed, standing)
            ratio = _share(lost, default)
            stock, number = _share(start - lost, survived), _share(standing - gone, stayed)
        out["opening"][:, t], out["default"][:, t], out["missed"][:, t] = start, lost, gone
        out["interest"][:, t] = stock * (now[COUPON] - now[COUPON_DEFAULT]) / 12.0
        out["scheduled_principal"][:, t] = stock * (survived - after)
        out["prepayment"][:, t] = stock * (after - later)
        out["left"][:, t] = standing - number * staying
        out["ratio"][:, t] = ratio
        opening, count = later, staying
    return out


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _shock(squares: FloatArray, default: FloatArray, stock: FloatArray, normal: FloatArray) -> FloatArray:
    """Log-normal of mean 1; its variance is that of the default of `stock` times the loans, over its mean squared."""
    variance = np.log1p(_share(np.maximum(squares, 0.0), stock * default * default))
    return np.asarray(np.exp(np.sqrt(variance) * normal - 0.5 * variance))


def _recovered(tables: GranularTables, expected: FloatArray, sums: _Sums, severity: FloatArray) -> FloatArray:
    """(G, T, S) of the month's default what will be recovered; severity (S, bands)."""
    if not tables.bands:
        return np.asarray(sums["default"] * (1.0 - severity[:, 0]))
    total = np.zeros_like(sums["default"])
    for band in range(tables.bands):
        total += np.maximum(expected[BY_BAND + band], 0.0) * np.ascontiguousarray(1.0 - severity[:, band])
    return total * sums["ratio"]
