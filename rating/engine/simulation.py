"""Loan-by-loan monthly default and prepayment simulation, summed to pool flows.

Exact: every loan has its own exit month in every scenario; only the sums are shared. A loan's scheduled
balance is b (1 - s(t) / s(R)) with s(t) = ((1 + r)**t - 1) / r, so all loans of one collateral group and
rate share one table s and enter by two weights, b and b / s(R): two sums per (rate, exit month) hold the pool.
Not here: waterfalls, and where hazards come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks, sector_index

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Shocks = dict[str, FloatArray]

# Cells x months held at once; bounds memory when every loan has a rate of its own.
BLOCK_ELEMENTS = 400_000
_SUMS = ("opening", "coupon", "default", "interest", "scheduled_principal", "prepayment", "left", "missed")


def horizon_of(loans: LoanArrays, model: CreditModel) -> int:
    """Months until the last loan's last possible recovery, so that nothing is dropped."""
    return int(loans.remaining_term.max()) + model.charge_off_lag + model.recovery_lag


def loan_draws(seed: int, index: int, loans: int) -> tuple[FloatArray, FloatArray]:
    """Idiosyncratic draws of scenario `index`: (n,) uniforms for default, (n,) unit exponentials for prepayment.

    A counter-based stream keyed (seed, index) (Salmon et al., Random123, 2011), over loans sorted by id:
    no draw depends on how scenarios are sliced.
    """
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, index], dtype=np.uint64)))
    return stream.random(loans), stream.standard_exponential(loans)


@dataclass(frozen=True)
class _Timing:
    """Where each loan stands on its cumulative hazard curves.

    key: (cells * (A + 1),) cumulative hazards, cell c lifted by c * lift so that one sorted array serves all.
    base: (n,) the loan's own start on it. start: (n,) its index. span: (n,) hazard left until its last payment.
    """

    key: FloatArray
    base: FloatArray
    start: IntArray
    span: FloatArray

    @classmethod
    def build(cls, hazard: FloatArray, cell: IntArray, age: IntArray, remaining: IntArray) -> _Timing:
        longest = int((age + remaining).max())
        table = np.zeros((hazard.shape[0], longest + 1))
        known = min(longest, hazard.shape[1])
        table[:, 1 : known + 1] = hazard[:, :known]
        table[:, known + 1 :] = hazard[:, -1:]
        np.cumsum(table, axis=1, out=table)
        lift = np.ceil(table.max()) + 1.0
        key = (table + lift * np.arange(len(table))[:, None]).ravel()
        start = cell * (longest + 1) + age
        return cls(key=key, base=key[start], start=start, span=table[cell, age + remaining] - table[cell, age])

    def month(self, loan: IntArray, hazard: FloatArray) -> IntArray:
        """Month after closing in which the cumulative hazard since closing reaches `hazard`, at least 1."""
        found = np.searchsorted(self.key, self.base[loan] + hazard, side="left") - self.start[loan]
        return np.maximum(found, 1)


@dataclass(frozen=True)
class _Block:
    """Loans of consecutive (group, rate) cells: rows in cell order.

    loans: (m,) positions in loan-id order. code: (m,) cell * months, ready for an exit month.
    weight, slope: (m,) b and b / s(R). rate: (C, 1) annual. before, after: (C, months) s(t - 1), s(t).
    group_starts, group_ids: where each group's cells begin.
    """

    loans: IntArray
    code: IntArray
    weight: FloatArray
    slope: FloatArray
    rate: FloatArray
    before: FloatArray
    after: FloatArray
    group_starts: IntArray
    group_ids: IntArray


def accumulation(rate: FloatArray, months: int) -> FloatArray:
    """(C, months + 1) s(t) = ((1 + r)**t - 1) / r with r = rate / 12, s(t) = t at r = 0; rate (C,) annual."""
    monthly = (rate / 12.0)[:, None]
    t = np.arange(months + 1, dtype=np.float64)
    grown = np.expm1(t * np.log1p(monthly))
    return np.where(monthly > 0, grown / np.where(monthly > 0, monthly, 1.0), t)


def _blocks(loans: LoanArrays, group: IntArray, months: int) -> list[_Block]:
    rates, rate_index = np.unique(loans.rate, return_inverse=True)
    cells, cell = np.unique(group * len(rates) + rate_index, return_inverse=True)
    order = np.argsort(cell, kind="stable")
    size = max(1, BLOCK_ELEMENTS // months)
    blocks = []
    for low in range(0, len(cells), size):
        high = min(low + size, len(cells))
        first, last = np.searchsorted(cell[order], [low, high])
        rows = order[first:last]
        cell_group, rate = cells[low:high] // len(rates), rates[cells[low:high] % len(rates)]
        table = accumulation(rate, months)
        ids, starts = np.unique(cell_group, return_index=True)
        local = cell[rows] - low
        blocks.append(
            _Block(
                loans=rows,
                code=local * months - 1,
                weight=loans.balance[rows],
                slope=loans.balance[rows] / table[local, loans.remaining_term[rows]],
                rate=rate[:, None],
                before=table[:, :-1],
                after=table[:, 1:],
                group_starts=starts,
                group_ids=ids,
            )
        )
    return blocks


def _sums(block: _Block, rows: IntArray | slice, exits: IntArray) -> tuple[FloatArray, FloatArray]:
    """(C, months) sums of both weights by cell and exit month over the given rows of the block."""
    shape = block.before.shape
    code = block.code[rows] + exits[rows]
    length = shape[0] * shape[1]
    weight, slope = (np.bincount(code, column[rows], length) for column in (block.weight, block.slope))
    return weight.reshape(shape).astype(np.float64), slope.reshape(shape).astype(np.float64)


def _add_block(out: Shocks, s: int, block: _Block, exits: IntArray, defaulted: IntArray, prepaid: IntArray) -> None:
    """Add one block's flows of scenario s; exits (m,) months, defaulted and prepaid row numbers of the block."""
    alive, alive_slope = _sums(block, slice(None), exits)
    # Summed from the last month backwards, the stock ends at an exact zero instead of a rounding residue.
    alive = np.cumsum(alive[:, ::-1], axis=1)[:, ::-1]
    alive_slope = np.cumsum(alive_slope[:, ::-1], axis=1)[:, ::-1]
    lost, lost_slope = _sums(block, defaulted, exits)
    paid, paid_slope = _sums(block, prepaid, exits)

    def add(name: str, cells: FloatArray) -> None:
        out[name][block.group_ids, :, s] += np.add.reduceat(cells, block.group_starts, axis=0)

    opening = alive - alive_slope * block.before
    default = lost - lost_slope * block.before
    add("opening", opening)
    add("coupon", opening * block.rate)
    add("default", default)
    add("interest", (opening - default) * (block.rate / 12.0))
    add("scheduled_principal", (alive_slope - lost_slope) * (block.after - block.before))
    add("prepayment", paid - paid_slope * block.after)


def _exits(
    score: FloatArray,
    own: float,
    mixing: float,
    default_multiple: float,
    prepayment_multiple: float,
    draws: tuple[FloatArray, FloatArray],
    timing: tuple[_Timing, _Timing],
    spans: tuple[FloatArray, IntArray],
    remaining: IntArray,
    sector: IntArray,
) -> tuple[IntArray, NDArray[np.int8]]:
    """(n,) exit month of each loan and its kind: 0 runs to its last payment, 1 default, 2 prepayment."""
    uniform, exponential = draws
    default, prepayment = timing
    exits = remaining.copy()
    kind = np.zeros(len(exits), dtype=np.int8)

    early = np.flatnonzero(exponential < prepayment_multiple * prepayment.span)
    exits[early] = np.minimum(prepayment.month(early, exponential[early] / prepayment_multiple), remaining[early])
    kind[early] = 2

    # The threshold first: only loans that default before their last payment need a month.
    horizon_pd = -np.expm1(-default_multiple * spans[0])
    threshold = ndtr((ndtri(horizon_pd)[:, None] * mixing - score) / own)
    bad = np.flatnonzero(uniform < threshold[spans[1], sector])
    latent = (score[sector[bad]] + own * ndtri(uniform[bad])) / mixing
    month = np.minimum(default.month(bad, -log_ndtr(-latent) / default_multiple), remaining[bad])
    first = month <= exits[bad]
    exits[bad[first]] = month[first]
    kind[bad[first]] = 1
    return exits, kind


def simulate(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, horizon: int | None = None) -> PoolFlows:
    """Monthly flows and stocks of the pool in every scenario.

    loans: n level-payment loans. horizon: months; None covers the longest remaining term, charge-off and
    recovery, so that nothing is dropped; a shorter one cuts the tail. Returns PoolFlows (G, T, S), groups in
    alphabetical order.

    Loan i of age a at closing has latent X = sqrt(rho) G + sqrt(1 - rho) e_i and defaults in the month t in
    which m (H(a + t) - H(a)) reaches -ln(1 - Phi(X)): H the cumulative cause-specific hazard of its cell, m the
    scenario's multiplier (Li 2000, On Default Correlation). Prepayment is an independent competing exponential
    clock on its own cumulative hazard; whichever comes first takes the loan out, default on a tie (the event order
    of the model). Default = the first missed payment: no cash of the loan from that month; charged off
    charge_off_lag months later; the recovery, 1 - severity, arrives recovery_lag months after that.

    Memory: O(groups * months * scenarios + loans). Same bytes for any slicing of the scenario set.
    """
    length = horizon_of(loans, model) if horizon is None else horizon
    if length < 1:
        raise ValueError(f"horizon: {length} months, expected at least 1")
    shocks = scenario_shocks(model, scenarios)
    names, group = np.unique(loans.group, return_inverse=True)
    sums = _monthly_sums(loans, model, scenarios, shocks, group, len(names))
    opening = np.bincount(group, loans.balance, len(names)).astype(np.float64)
    return _pool_flows(tuple(str(name) for name in names), opening, sums, shocks.severity[:, 0], model, length)


def _monthly_sums(
    loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, shocks: Any, group: IntArray, groups: int
) -> Shocks:
    """(G, months, S) sums by name until the last scheduled payment: see _add_block; left, missed: loan counts."""
    months, cell, sector = int(loans.remaining_term.max()), model.assign(loans), sector_index(model, loans)
    default, prepayment = (
        _Timing.build(table, cell, loans.age, loans.remaining_term)
        for table in (model.default_hazard, model.prepayment_hazard)
    )
    spans = np.unique(default.span, return_inverse=True)
    blocks = _blocks(loans, group, months)
    out = {name: np.zeros((groups, months, len(scenarios))) for name in _SUMS}
    code, size = group * months - 1, groups * months
    for s in range(len(scenarios)):
        exits, kind = _exits(
            shocks.score[s, :, 0],
            float(shocks.own[s]),
            float(shocks.mixing[s]),
            float(shocks.default[s]),
            float(shocks.prepayment[s]),
            loan_draws(scenarios.seed, scenarios.first + s, len(loans)),
            (default, prepayment),
            spans,
            loans.remaining_term,
            sector,
        )
        bad = kind == 1
        out["left"][:, :, s] = np.bincount(code + exits, minlength=size).reshape(groups, months)
        out["missed"][:, :, s] = np.bincount((code + exits)[bad], minlength=size).reshape(groups, months)
        for block in blocks:
            kinds = kind[block.loans]
            _add_block(out, s, block, exits[block.loans], np.flatnonzero(kinds == 1), np.flatnonzero(kinds == 2))
    return out


def _shift(flow: FloatArray, lag: int) -> FloatArray:
    """(G, T, S) the flow `lag` months later, what falls beyond the horizon cut."""
    moved = np.zeros_like(flow)
    if lag < flow.shape[1]:
        moved[:, lag:] = flow[:, : flow.shape[1] - lag]
    return moved


def _pool_flows(
    names: tuple[str, ...], opening: FloatArray, sums: Shocks, severity: FloatArray, model: CreditModel, length: int
) -> PoolFlows:
    """Lay the monthly sums out on the horizon and add charge-off, recovery, delinquency and counts."""
    groups, months, scenarios = sums["default"].shape
    keep = min(months, length)

    def stretch(name: str, skip: int = 0) -> FloatArray:
        full = np.zeros((groups, length, scenarios))
        part = sums[name][:, skip : skip + keep]
        full[:, : part.shape[1]] = part
        return full

    default, start = stretch("default"), stretch("opening")
    missed = stretch("missed")
    charge_off = _shift(default, model.charge_off_lag)
    delinquent = np.zeros((groups, len(DELINQUENT_BUCKETS), length, scenarios))
    late = np.zeros_like(missed)
    for since in range(model.charge_off_lag):
        delinquent[:, min(since, len(DELINQUENT_BUCKETS) - 1)] += _shift(default, since)
        late += _shift(missed, since)
    # Loans that leave at month t are alive until t - 1: count backwards from the last exit.
    remaining = np.zeros((groups, months + 1, scenarios))
    remaining[:, :months] = np.cumsum(sums["left"][:, ::-1], axis=1)[:, ::-1]
    count = np.zeros((groups, length, scenarios))
    count[:, :keep] = remaining[:, 1 : keep + 1]
    coupon = np.divide(stretch("coupon"), start, out=np.zeros_like(start), where=start > 0)
    return PoolFlows(
        groups=names,
        opening_balance=opening,
        interest=stretch("interest"),
        scheduled_principal=stretch("scheduled_principal"),
        prepayment=stretch("prepayment"),
        default=default,
        charge_off=charge_off,
        recovery=_shift(charge_off, model.recovery_lag) * (1.0 - severity),
        performing=stretch("opening", skip=1),
        delinquent=delinquent,
        defaulted=np.cumsum(charge_off, axis=1),
        count=count + late,
        coupon=coupon,
    )
