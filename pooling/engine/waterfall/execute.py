"""Run a program over pool flows: Python loops over dates and steps only, scenarios innermost, a slice of them at a
time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.deal.errors import suggestion
from pooling.engine.deal.features import ReserveAccount
from pooling.engine.deal.quantities import index_names
from pooling.engine.flows import PoolFlows, added
from pooling.engine.waterfall.arithmetic import CRUMB, Arithmetic, Mode
from pooling.engine.waterfall.collateral import BOUGHT, Collateral
from pooling.engine.waterfall.program import STATE_AXES, DealFlows, DealState, Ledger, Program
from pooling.engine.waterfall.run import Options, Run
from pooling.engine.waterfall.steps import pay
from pooling.engine.waterfall.stress import StructuralStress

FloatArray = NDArray[np.float64]

CHUNK = 8192  # scenarios at a time: the working arrays of one date stay in the processor's cache
CONSERVATION_TOLERANCE = 1e-9  # of the cut-off balance; float64 sums of a few dozen terms stay far below
BALANCE_TOLERANCE = 1e-6  # relative: the pool of the flows and of the program are the same pool


def execute(
    program: Program,
    flows: PoolFlows,
    state: DealState | None = None,
    ledger: bool = False,
    *,
    mode: Mode = "float64",
    rates: Mapping[str, ArrayLike] | None = None,
    replacement: PoolFlows | None = None,
    forced: Mapping[str, bool] | None = None,
    stress: StructuralStress | None = None,
    to_call: bool = True,
    ends: bool = True,
    keep_states: Collection[int] = (),
) -> DealFlows:
    """Pay the pool's cash through the order of payments.

    flows: months 1 to M after cut-off, or, with a state, the months after it; each payment date takes those of its
    period. mode: "float64", or "cents": whole cents with the deal's rounding and largest-remainder splits. rates:
    index -> (P,) or (P, S) annual fractions by payment date from the first after closing. replacement: flows of the
    collateral that a revolving period buys, of one pool with any balance, S = 1 or as many scenarios; its month 1
    follows the purchase. forced: trigger -> breached or not, on every date. stress: structural stress. to_call:
    exercise the clean-up call on the first date on which it may be; False runs to maturity. ends: the last date of the
    flows is the deal's final date: all principal is due there and the reserves are released; what is not paid is
    unpaid_principal. keep_states: numbers of dates of this run (1 to T) after which the state is kept; the last one
    always is. ledger: keep every transfer.

    Raises ValueError when flows reach beyond legal final, hold NaN or negative cash, or belong to another pool, and
    for an index, a trigger or collateral that is missing; ArithmeticError should cash not be conserved.
    """
    start = _check(program, flows, state)
    arithmetic = Arithmetic(mode, program.spec.conventions.rounding)
    options = Options(
        rates=_rates(program, flows, rates or {}),
        forced=_forced(program, forced or {}),
        stress=stress or StructuralStress(),
        to_call=to_call,
        ends=ends,
    )
    unit = _replacement(program, replacement, flows.scenarios)
    kept = {start.period + number for number in keep_states}
    record = _Record(program, _periods(program, flows, start), flows.scenarios, arithmetic, ledger)
    for first in range(0, flows.scenarios, CHUNK):
        part = slice(first, min(first + CHUNK, flows.scenarios))
        collateral = Collateral(program, flows, start, part, arithmetic, options.stress)
        run = Run(
            program,
            collateral,
            start,
            arithmetic,
            options.of(part),
            ledger=None if record.ledger is None else record.ledger[:, :, part],
            replacement=None if unit is None else _columns(unit, part),
        )
        for t in range(collateral.periods):
            run.open_date(t)
            for step in program.steps:
                pay(run, step)
            run.close_date()
            record.write(run, t, part)
            if run.number in kept or t == collateral.periods - 1:
                record.keep(run, part)
    return record.result(start, flows, ends)


def single_run(
    program: Program,
    flows: PoolFlows,
    scenario: int = 0,
    *,
    state: DealState | None = None,
    mode: Mode = "float64",
    rates: Mapping[str, ArrayLike] | None = None,
    replacement: PoolFlows | None = None,
    forced: Mapping[str, bool] | None = None,
    stress: StructuralStress | None = None,
    to_call: bool = True,
    ends: bool = True,
) -> Run:
    """One scenario ready to be run step by step, with a ledger of its own: what explain() looks into. Arguments and
    errors as execute(); the scenario is the column of the flows."""
    start = _check(program, flows, state)
    arithmetic = Arithmetic(mode, program.spec.conventions.rounding)
    options = Options(
        rates=_rates(program, flows, rates or {}),
        forced=_forced(program, forced or {}),
        stress=stress or StructuralStress(),
        to_call=to_call,
        ends=ends,
    )
    part = slice(scenario, scenario + 1)
    unit = _replacement(program, replacement, flows.scenarios)
    collateral = Collateral(program, flows, start, part, arithmetic, options.stress)
    return Run(
        program,
        collateral,
        start,
        arithmetic,
        options.of(part),
        ledger=np.zeros((len(program.lines), collateral.periods, 1)),
        replacement=None if unit is None else _columns(unit, part),
    )


def _periods(program: Program, flows: PoolFlows, start: DealState) -> int:
    """Payment dates that the flows reach."""
    return Collateral(
        program, flows, start, slice(0, 1), Arithmetic("float64", "HALF_EVEN"), StructuralStress()
    ).periods


def execute_in_slices(
    program: Program, flows: PoolFlows, *, size: int = CHUNK, **options: Any
) -> Iterator[tuple[slice, DealFlows]]:
    """execute() over `size` scenarios at a time: memory stays that of one slice, however many scenarios there are.

    options: keyword arguments of execute() but state, which starts at closing. Yields the slice and its flows, in
    order; they are to the bit the columns of execute() over all scenarios. Errors as execute().
    """
    rates = {name: np.asarray(rate, dtype=np.float64) for name, rate in (options.pop("rates", None) or {}).items()}
    replacement = options.pop("replacement", None)
    for first in range(0, flows.scenarios, size):
        part = slice(first, min(first + size, flows.scenarios))
        shared = replacement is None or replacement.scenarios == 1
        yield (
            part,
            execute(
                program,
                _scenarios(flows, part),
                rates={name: _columns(rate, part) for name, rate in rates.items()},
                replacement=replacement if shared else _scenarios(replacement, part),
                **options,
            ),
        )


def _scenarios(flows: PoolFlows, part: slice) -> PoolFlows:
    """The flows of a slice of the scenarios, as views."""
    columns: dict[str, Any] = {name: column[..., part] for name, column in flows.columns.items()}
    return replace(flows, **columns)


def opening_state(program: Program, scenarios: int, groups: FloatArray | None = None) -> DealState:
    """The state at closing, the same in every scenario. groups: (G,) cut-off balance of the collateral groups, where
    the deal names any."""
    spec = program.spec
    sizes = {
        "K": len(program.names),
        "F": len(spec.fees),
        "A": len(spec.accounts),
        "L": len(spec.ledgers),
        "D": len(spec.facilities),
        "H": len(spec.hedges),
        "N": len(spec.triggers),
        "G": max(len(spec.collateral), 1),
    }
    columns = {name: np.zeros((sizes[axis], scenarios) if axis else (scenarios,)) for name, axis in STATE_AXES.items()}
    columns["balance"] += program.initial_balance[:, None]
    columns["accounts"] += program.account_initial[:, None]
    columns["pool_balance"] += program.cutoff_balance if groups is None else groups[:, None]
    return DealState(period=0, **columns)


class _Record:
    """Fills the arrays of the result, slice by slice."""

    def __init__(self, program: Program, periods: int, scenarios: int, arithmetic: Arithmetic, ledger: bool) -> None:
        self.program, self.periods, self.arithmetic = program, periods, arithmetic
        self.scenarios = scenarios
        spec = program.spec
        counts = {
            "balance": len(program.names), "interest": len(program.names), "principal": len(program.names),
            "interest_due": len(program.names), "interest_shortfall": len(program.names),
            "fees": len(spec.fees), "fee_shortfall": len(spec.fees), "accounts": len(spec.accounts),
            "deficiency": len(spec.ledgers), "drawn": len(spec.facilities), "hedge_net": len(spec.hedges),
        }  # fmt: skip
        self.out = {name: np.empty((count, periods, scenarios)) for name, count in counts.items()}
        flat = ("residual", "collections", "pool_balance")
        self.flat = {name: np.empty((periods, scenarios)) for name in flat}
        self.breached = np.zeros((len(spec.triggers), periods, scenarios), dtype=bool)
        self.called = np.zeros((periods, scenarios), dtype=bool)
        self.capitalised: FloatArray | None = None
        self.rate = np.zeros((len(program.names), periods, 1))
        self.opening = np.empty((len(spec.accounts), scenarios))
        self.ledger = np.zeros((len(program.lines), periods, scenarios)) if ledger else None
        self.states: dict[int, dict[str, Any]] = {}
        self.error = 0.0

    def write(self, run: Run, t: int, part: slice) -> None:
        """Record a date that has closed."""
        out, zero = self.out, 0.0
        for k, balance in enumerate(run.balance):
            out["balance"][k, t, part] = balance
            out["interest_shortfall"][k, t, part] = run.interest_shortfall[k]
            out["interest_due"][k, t, part] = run.interest_accrued[k]
            out["interest"][k, t, part] = zero if (paid := run.interest_paid[k]) is None else paid
            out["principal"][k, t, part] = zero if (paid := run.principal_paid[k]) is None else paid
            self._rate(k, t, part, run.period_rate[k])
        for f, owed in enumerate(run.fee_shortfall):
            out["fee_shortfall"][f, t, part] = owed
            out["fees"][f, t, part] = zero if (paid := run.fees_paid[f]) is None else paid
        for name in ("accounts", "deficiency", "drawn", "hedge_net"):
            for place, column in enumerate(getattr(run, name)):
                out[name][place, t, part] = column
        for place, flag in enumerate(run.breached):
            self.breached[place, t, part] = flag
        self.flat["residual"][t, part] = run.residual_paid
        self.flat["collections"][t, part] = run.collected
        self.flat["pool_balance"][t, part] = run.pool("", "balance")
        if run.to_call:
            self.called[t, part] = run.called_before
            self.flat["collections"][t, part] += run.call_price
        if run.capitalises:
            if self.capitalised is None:
                self.capitalised = np.zeros_like(out["balance"])
            for k in run.capitalises:
                self.capitalised[k, t, part] = run.accreted[k]
        if t == 0:
            for place, column in enumerate(run.opening_cash):
                self.opening[place, part] = column
        self.error = float(np.maximum(self.error, run.error))

    def _rate(self, k: int, t: int, part: slice, rate: FloatArray | float) -> None:
        if np.ndim(rate) and self.rate.shape[-1] == 1:
            self.rate = np.repeat(self.rate, self.scenarios, axis=-1)
        self.rate[k, t, part if self.rate.shape[-1] > 1 else slice(None)] = rate

    def keep(self, run: Run, part: slice) -> None:
        """Copy the state after the date that has closed."""
        new = run.state()
        kept = self.states.setdefault(run.number, {})
        for name, array in new.items():
            if array is not None:
                if name not in kept:
                    kept[name] = np.empty((*array.shape[:-1], self.scenarios))
                kept[name][..., part] = array

    def result(self, start: DealState, flows: PoolFlows, ends: bool) -> DealFlows:
        """The recorded arrays, after the last look at conservation."""
        program, scale = self.program, self.arithmetic.scale
        cents = self.arithmetic.mode == "cents"
        allowed = 0.0 if cents else CONSERVATION_TOLERANCE * program.cutoff_balance
        if not self.error <= allowed:
            lost = f"{self.error / scale} {program.currency}"
            raise ArithmeticError(f"cash is not conserved: {lost} on some date and scenario")
        if self.out["accounts"].min(initial=0.0) < 0.0 or self.flat["residual"].min() < 0.0:
            raise ArithmeticError("an account fell below zero")
        final = self.out["balance"][:, -1]
        unpaid = np.where(final >= CRUMB * scale, final, 0.0) if ends else np.zeros_like(final)

        def typed(array: FloatArray) -> NDArray[Any]:
            return np.rint(array).astype(np.int64) if cents else array

        spec = program.spec
        return DealFlows(
            names=program.names,
            fee_names=program.fee_names,
            account_names=program.account_names,
            reserve_places=tuple(i for i, account in enumerate(spec.accounts) if isinstance(account, ReserveAccount)),
            initial_balance=program.initial_balance * scale,
            coupon=program.coupon,
            closing=program.calendar.closing,
            dates=program.calendar.dates[start.period : start.period + self.periods],
            months_between=spec.months_between,
            first_period=start.period,
            unit="cents" if cents else "currency",
            capitalised=None if self.capitalised is None else typed(self.capitalised),
            opening_accounts=typed(self.opening),
            breached=self.breached,
            called=self.called,
            unpaid_principal=typed(unpaid),
            period_rate=self.rate,
            conservation_error=self.error / scale,
            ledger=None if self.ledger is None else Ledger(program.lines, typed(self.ledger)),
            states={number: DealState(period=number, **columns) for number, columns in sorted(self.states.items())},
            **{name: typed(array) for name, array in (self.out | self.flat).items()},
        )


# ------------------------------------------------------------------------------------------------------------- checks
def _check(program: Program, flows: PoolFlows, state: DealState | None) -> DealState:
    spec = program.spec
    for group in spec.collateral:
        if group.name not in flows.groups:
            raise ValueError(f"flows: no group {group.name!r}; the pool has {', '.join(flows.groups)}")
    if spec.collateral and len(flows.groups) != len(spec.collateral):
        left = sorted(set(flows.groups) - {group.name for group in spec.collateral})
        raise ValueError(f"flows: group {left[0]!r} is none of the deal's; name it in collateral")
    cutoff = float(flows.opening_balance.sum())
    if state is None and abs(cutoff - program.cutoff_balance) > BALANCE_TOLERANCE * program.cutoff_balance:
        raise ValueError(f"flows: cut-off balance {cutoff} differs from the program's {program.cutoff_balance}")
    groups = [flows.opening_balance[flows.groups.index(group.name)] for group in spec.collateral]
    start = state or opening_state(program, flows.scenarios, np.array(groups) if groups else None)
    if start.balance.shape[0] != len(program.names) or start.fee_shortfall.shape[0] != len(spec.fees):
        raise ValueError(f"state: not of a deal with classes {', '.join(program.names)}")
    for name in STATE_AXES:
        if getattr(start, name).shape[-1] not in (1, flows.scenarios):
            raise ValueError(
                f"state: {name} has {getattr(start, name).shape[-1]} scenarios, the flows {flows.scenarios}"
            )
    months = int(program.calendar.months[start.period - 1]) if start.period else 0
    if months + flows.months > program.months:
        raise ValueError(
            f"flows: {months + flows.months} months of collections, but legal final takes those of {program.months}; "
            "move dates.legal_final or shorten the horizon"
        )
    for name, column in (("collections", flows.total_collections), ("pool balance", flows.total_pool_balance)):
        if not np.isfinite(column).all():
            raise ValueError(f"flows: {name} hold NaN or infinities")
        if column.min() < -CONSERVATION_TOLERANCE * program.cutoff_balance:
            raise ValueError(f"flows: {name} hold {column.min()}, an amount below zero")
    return start


def _rates(program: Program, flows: PoolFlows, given: Mapping[str, ArrayLike]) -> dict[str, FloatArray]:
    wanted = index_names(program.spec)
    for name in given:
        if name not in wanted:
            raise ValueError(f"rates: {name!r} is no index of the deal{suggestion(name, wanted)}")
    result = {}
    for name in wanted:
        if name not in given:
            raise ValueError(f"rates: the index {name!r} is missing; give its rate on each payment date")
        rate = np.asarray(given[name], dtype=np.float64)
        if rate.ndim == 0:
            rate = np.full(program.payments, float(rate))
        if rate.ndim > 2 or (rate.ndim == 2 and rate.shape[1] not in (1, flows.scenarios)):
            raise ValueError(f"rates: {name} has shape {rate.shape}, expected (dates,) or (dates, {flows.scenarios})")
        if not np.isfinite(rate).all():
            raise ValueError(f"rates: {name} holds NaN or infinities")
        result[name] = rate
    return result


def _forced(program: Program, given: Mapping[str, bool]) -> dict[str, bool]:
    known = [trigger.name for trigger in program.spec.triggers]
    for name in given:
        if name not in known:
            raise ValueError(f"forced: no trigger is named {name!r}{suggestion(name, known)}")
    return dict(given)


def _replacement(program: Program, pool: PoolFlows | None, scenarios: int) -> FloatArray | None:
    """(columns, M, S) flows and stocks for each unit of balance bought, as BOUGHT; None where nothing revolves."""
    if program.spec.revolving is None:
        if pool is not None:
            raise ValueError("replacement: the deal does not revolve; leave it out")
        return None
    if pool is None:
        raise ValueError("replacement: the deal revolves; give the flows of the collateral that is bought")
    if pool.scenarios not in (1, scenarios):
        raise ValueError(f"replacement: {pool.scenarios} scenarios, the flows have {scenarios}")
    if program.spec.months_between != 1:
        raise ValueError("replacement: a deal that revolves pays monthly")
    columns = {
        "interest": pool.source("interest"),
        "principal": pool.source("scheduled_principal") + pool.source("prepayment"),
        "recovery": pool.source("recovery"),
        "balance": pool.pool_balance,
        "default": pool.default,
        "charge_off": pool.charge_off,
        "delinquent": added(pool.delinquent, axis=1),
        "delinquent_30": added(pool.delinquent[:, 1:], axis=1),
        "delinquent_60": added(pool.delinquent[:, 2:], axis=1),
        "delinquent_90": added(pool.delinquent[:, 3:], axis=1),
        "count": pool.count,
    }
    balance = float(pool.opening_balance.sum())
    return np.stack([added(columns[name]) / balance for name in BOUGHT])


def _columns(array: FloatArray, part: slice) -> FloatArray:
    """The slice's scenarios of an array whose last axis has one for each; shared arrays as they are."""
    return array[..., part] if array.ndim >= 2 and array.shape[-1] > 1 else array
