"""Break-even default rate, CDR and loss multiple of each class, on the pool's own base case at other speeds.

Not here: the search (pooling.engine.analytics.break_even), the waterfall (the caller's), and the grade rule that
reads the multiple (grades.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics import BreakEven, ClassFlows, break_even
from pooling.engine.assumptions.speeds import monthly_rate
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows

FloatArray = NDArray[np.float64]
Run = Callable[[PoolFlows], ClassFlows]

CDR_TOLERANCE, LOSS_TOLERANCE = 1e-4, 1e-4
HIGHEST_CDR = 0.999
HALVINGS = 50
# Multiplier on the base case's default hazards beyond which nothing is left to default.
MOST_SEVERE = 1e4


@dataclass(frozen=True)
class Speeds:
    """What stands still while defaults are stressed. cpr: annual fraction, flat; severity: loss share of a charged-off
    balance, flat; lags in months. Raises ValueError naming the field."""

    cpr: float
    severity: float
    charge_off_lag: int
    recovery_lag: int

    def __post_init__(self) -> None:
        for name in ("cpr", "severity"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} lies outside 0 to 1")
        for name in ("charge_off_lag", "recovery_lag"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} must not be negative")


@dataclass(frozen=True)
class ClassBreakEven:
    """Of one class, at a flat CDR and on the base case scaled; None: no stress tested hurts it, see the reasons.

    cdr: annual fraction, the lowest flat CDR with a first dollar of principal loss or interest shortfall. default_rate:
    lifetime defaults there over the cut-off balance. loss: pool loss over the cut-off balance at which the base case,
    its default hazards scaled month by month, first hurts the class; scaled_default_rate: lifetime defaults there;
    multiple: loss over the base case's loss. cause: "principal", "interest" or "both", at the flat CDR.
    monotone: False where a higher stress tested did not hurt, the figures are then the first crossing.
    """

    name: str
    cdr: float | None
    default_rate: float | None
    loss: float | None
    scaled_default_rate: float | None
    multiple: float | None
    cause: str | None
    monotone: bool


def base_speeds(base: PoolFlows, *, charge_off_lag: int, recovery_lag: int) -> Speeds:
    """Flat speeds of a base case (S = 1): severity is one less recoveries over charge-offs; the CPR is that
    of its lifetime prepayments over the balances that could prepay. Without charge-offs the severity is 1."""
    written = float(base.charge_off.sum())
    severity = 1.0 - float(base.recovery.sum()) / written if written > 0 else 1.0
    exposed = float((_opening(base) - base.default - base.scheduled_principal).sum())
    smm = float(base.prepayment.sum()) / exposed if exposed > 0 else 0.0
    return Speeds(
        cpr=1.0 - (1.0 - min(max(smm, 0.0), 1.0)) ** 12,
        severity=min(max(severity, 0.0), 1.0),
        charge_off_lag=charge_off_lag,
        recovery_lag=recovery_lag,
    )


def cdr_flows(base: PoolFlows, cdr: ArrayLike, speeds: Speeds) -> PoolFlows:
    """Flows of the pool at (S,) flat CDRs and the flat CPR, one scenario each.

    The pool amortises and earns, per unit of performing balance, as the base case (S = 1) does month by month. Where
    the base case is itself at flat speeds this is exact, as all loans of a group then survive alike.
    """
    rates = monthly_rate(np.asarray(cdr, dtype=np.float64))
    shape = (len(base.groups), base.months, len(rates))
    smm = np.full(shape[:2], float(monthly_rate(speeds.cpr)))
    return _flows(base, np.broadcast_to(rates, shape), smm, speeds)


def loss_flows(base: PoolFlows, losses: ArrayLike, speeds: Speeds) -> PoolFlows:
    """Base-case paths whose lifetime loss is each of (S,) shares of the cut-off balance, up to the most possible.

    Monthly default hazards -ln(1 - rate) of the base case (S = 1) are multiplied by one number a path, found by
    bisection; prepayment rates, amortisation and coupon by month stay, recoveries come at the flat severity.
    Raises ValueError where the base case has no defaults to scale, or a loss lies outside 0 to 1.
    """
    wanted = np.asarray(losses, dtype=np.float64)
    if not ((wanted >= 0.0) & (wanted <= 1.0)).all():
        raise ValueError(f"losses: {wanted[~((wanted >= 0.0) & (wanted <= 1.0))][0]} lies outside 0 to 1")
    hazard, smm = _hazards(base)
    if not hazard.any():
        raise ValueError("base: no defaults to scale; a multiple of nothing is nothing")
    low, high = np.zeros(len(wanted)), np.full(len(wanted), np.log(1.0 + MOST_SEVERE))
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        found = _lifetime_loss(base, hazard, smm, np.expm1(middle), speeds)
        low, high = np.where(found < wanted, middle, low), np.where(found < wanted, high, middle)
    return _flows(base, -np.expm1(-hazard[..., None] * np.expm1(high)), smm, speeds)


def break_evens(
    run: Run,
    base: PoolFlows,
    speeds: Speeds,
    *,
    deferrable: Collection[str] = (),
    points: int = 32,
) -> tuple[ClassBreakEven, ...]:
    """Break-evens of every class: run takes pool flows (S paths, horizon of the base case) to the deal's flows.

    base: S = 1, to the deal's final date. Both searches are pooling.engine.analytics.break_even, to a hundredth of a
    percent; about six runs of a few dozen paths. A base case without defaults has no multiples: those are None.
    """
    at_cdr = break_even(
        lambda cdr: run(cdr_flows(base, cdr, speeds)),
        0.0,
        HIGHEST_CDR,
        tolerance=CDR_TOLERANCE,
        points=points,
        deferrable=deferrable,
    )
    scaled: dict[str, BreakEven] = {}
    own = float(base.loss.sum() / base.opening_balance.sum())
    if base.default.any():
        most = most_severe_loss(base, speeds)
        found = break_even(
            lambda losses: run(loss_flows(base, losses, speeds)),
            0.0,
            most,
            tolerance=LOSS_TOLERANCE,
            points=points,
            deferrable=deferrable,
        )
        scaled = {row.name: row for row in found.classes}
    rows = []
    for row in at_cdr.classes:
        other = scaled.get(row.name)
        loss = None if other is None else other.stress
        rows.append(
            ClassBreakEven(
                name=row.name,
                cdr=row.stress,
                default_rate=None if row.stress is None else _default_rate(cdr_flows(base, [row.stress], speeds)),
                loss=loss,
                scaled_default_rate=None if loss is None else _default_rate(loss_flows(base, [loss], speeds)),
                multiple=None if loss is None or not own > 0 else loss / own,
                cause=row.cause,
                monotone=row.monotone and (other is None or other.monotone),
            )
        )
    return tuple(rows)


def most_severe_loss(base: PoolFlows, speeds: Speeds) -> float:
    """The loss share where the base case's hazards are so high that all that can default does."""
    hazard, smm = _hazards(base)
    return float(_lifetime_loss(base, hazard, smm, np.array([MOST_SEVERE]), speeds)[0])


def _default_rate(flows: PoolFlows) -> float:
    return float(flows.default.sum() / flows.opening_balance.sum())


def _opening(flows: PoolFlows) -> FloatArray:
    """(G, T, S) performing balance at the start of the month."""
    first = np.broadcast_to(flows.opening_balance[:, None, None], (len(flows.groups), 1, flows.scenarios))
    return np.concatenate([first, flows.performing[:, :-1]], axis=1)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.clip(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), 0.0, 1.0)


def _single(base: PoolFlows) -> None:
    if base.scenarios != 1:
        raise ValueError(f"base: {base.scenarios} scenarios; the base case is one path")


def _hazards(base: PoolFlows) -> tuple[FloatArray, FloatArray]:
    """(G, T) monthly default hazards and prepayment rates of the base case."""
    _single(base)
    opening = _opening(base)
    rate = _share(base.default, opening)[..., 0]
    left = opening - base.default - base.scheduled_principal
    return -np.log1p(-np.minimum(rate, 1.0 - 1e-12)), _share(base.prepayment, left)[..., 0]


def _amortised(base: PoolFlows) -> FloatArray:
    """(G, T) share of the paying balance that is due as scheduled principal; all of it where the base case ends."""
    opening = _opening(base)
    paying = (opening - base.default)[..., 0]
    share = _share(base.scheduled_principal[..., 0], paying)
    return np.where(base.performing[..., 0] > 1e-9 * base.opening_balance[:, None], share, 1.0)


def _lifetime_loss(
    base: PoolFlows, hazard: FloatArray, smm: FloatArray, multiplier: FloatArray, speeds: Speeds
) -> FloatArray:
    """(S,) of the multipliers: the severity of what is charged off within the horizon, and what is not yet
    recovered."""
    mdr = -np.expm1(-hazard[..., None] * multiplier)
    amortised, total = _amortised(base), np.zeros(len(multiplier))
    performing = np.repeat(base.opening_balance[:, None], len(multiplier), axis=1)
    for t in range(base.months):
        default = performing * mdr[:, t]
        performing = (performing - default) * ((1.0 - amortised[:, t]) * (1.0 - smm[:, t]))[:, None]
        written = t + speeds.charge_off_lag < base.months
        recovered = t + speeds.charge_off_lag + speeds.recovery_lag < base.months
        total += default.sum(axis=0) * (float(written) - (1.0 - speeds.severity) * float(recovered))
    return total / float(base.opening_balance.sum())


def _flows(base: PoolFlows, mdr: FloatArray, smm: FloatArray, speeds: Speeds) -> PoolFlows:
    """PoolFlows at (G, T, S) monthly default and (G, T) prepayment rates; default first, then payment, then the
    prepayment of what is left."""
    _single(base)
    amortised = _amortised(base)
    opening = _opening(base)[..., 0]
    interest_rate = np.divide(
        base.interest[..., 0],
        opening - base.default[..., 0],
        out=np.zeros_like(opening),
        where=opening - base.default[..., 0] > 0,
    )
    alive = np.concatenate([base.count[:, :1, 0], base.count[:, :-1, 0]], axis=1)
    per_loan = np.divide(alive, opening, out=np.zeros_like(alive), where=opening > 0)
    performing = np.repeat(base.opening_balance[:, None], mdr.shape[2], axis=1)
    columns = {
        name: np.zeros(mdr.shape) for name in ("interest", "scheduled_principal", "prepayment", "default", "performing")
    }
    for t in range(base.months):
        default = performing * mdr[:, t]
        paying = performing - default
        scheduled = paying * amortised[:, t, None]
        prepaid = (paying - scheduled) * smm[:, t, None]
        performing = paying - scheduled - prepaid
        columns["interest"][:, t] = paying * interest_rate[:, t, None]
        columns["scheduled_principal"][:, t] = scheduled
        columns["prepayment"][:, t] = prepaid
        columns["default"][:, t] = default
        columns["performing"][:, t] = performing
    charge_off = _later(columns["default"], speeds.charge_off_lag)
    delinquent = np.zeros((mdr.shape[0], len(DELINQUENT_BUCKETS), *mdr.shape[1:]))
    for since in range(speeds.charge_off_lag):
        delinquent[:, min(since, len(DELINQUENT_BUCKETS) - 1)] += _later(columns["default"], since)
    return PoolFlows(
        groups=base.groups,
        opening_balance=base.opening_balance,
        charge_off=charge_off,
        recovery=_later(charge_off * (1.0 - speeds.severity), speeds.recovery_lag),
        delinquent=delinquent,
        defaulted=np.cumsum(charge_off, axis=1),
        count=(columns["performing"] + delinquent.sum(axis=1)) * per_loan[..., None],
        coupon=np.broadcast_to(base.coupon, mdr.shape).copy(),
        **columns,
    )


def _later(flow: FloatArray, lag: int) -> FloatArray:
    """(G, T, S) the flow `lag` months later, cut at the horizon."""
    moved = np.zeros_like(flow)
    if lag < flow.shape[1]:
        moved[:, lag:] = flow[:, : flow.shape[1] - lag]
    return moved
