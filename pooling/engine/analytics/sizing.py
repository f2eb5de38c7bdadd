"""Sizing without ratings: the largest class, or the smallest support, that a stressed scenario set allows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.classes import HALF_A_CENT, ClassFlows, class_losses
from pooling.engine.analytics.search import Break, first_breaks
from pooling.engine.words import suggestion

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Larger = Literal["weaker", "stronger"]
SizingStatus = Literal["found", "all_survive", "none_survives"]
_ROUNDING = 1e-12  # of the weight: sums of weights are no further out


@dataclass(frozen=True)
class Sizing:
    """size: the largest that survives where larger is weaker (the smallest where larger is stronger), as tested; fails:
    the next one tested, which does not, no more than the tolerance away.

    status "all_survive": size is the bound and fails None; "none_survives": size is None and fails the other bound.
    limiting: the classes of those asked about that fail there. monotone: False where a size beyond `fails` survives
    again. sizes: (N,) tested, ascending; rounds: how often the deal was run.
    """

    status: SizingStatus
    size: float | None
    fails: float | None
    limiting: tuple[str, ...]
    monotone: bool
    sizes: FloatArray
    rounds: int


def size_to_stress(
    run_for_balances: Callable[[FloatArray], ClassFlows | Sequence[ClassFlows]],
    classes: Collection[str],
    low: float,
    high: float,
    *,
    larger: Larger,
    tolerance: float,
    points: int = 16,
    denomination: float | None = None,
    weights: ArrayLike | None = None,
    allowed_share: float = 0.0,
    tolerance_money: float = HALF_A_CENT,
    deferrable: Collection[str] = (),
) -> Sizing:
    """The size between low and high at which the named classes just survive the stress.

    run_for_balances: (B,) candidate sizes, ascending (a class balance, overcollateralisation, a reserve: what the
    function makes of them), to B deals' flows over the same M stressed scenarios; or to one with B x M scenarios, all M
    of the first size first. The stress is the caller's: a scenario set, or the base case times a break-even multiple.
    larger: whether a larger size is "weaker" for these classes (a balance) or "stronger" (support). tolerance,
    denomination: currency units; with a denomination only its multiples are tested. weights: (M,); a class survives
    while it loses more than tolerance_money in no more than allowed_share of their sum. deferrable: as in class_losses.

    Raises ValueError naming the argument.
    """
    if larger not in get_args(Larger):
        raise ValueError(f"larger: {larger!r} is unknown; use one of {', '.join(get_args(Larger))}")
    if not classes:
        raise ValueError("classes: none named; say which classes must survive")
    if not 0.0 <= allowed_share < 1.0:
        raise ValueError(f"allowed_share: {allowed_share} must be from 0 to below 1")
    tested: dict[float, tuple[str, ...]] = {}
    sign = 1.0 if larger == "weaker" else -1.0  # the search goes from what is safe to what is not

    def broken_at(signed: FloatArray) -> BoolArray:
        sizes = np.sort(sign * signed)
        failing = _failing(run_for_balances(sizes), sizes, classes, deferrable, weights, allowed_share, tolerance_money)
        tested.update(zip(sizes.tolist(), failing, strict=True))
        return np.array([[bool(tested[sign * value]) for value in signed.tolist()]])

    bounds = (low, high) if larger == "weaker" else (-high, -low)
    search = first_breaks(broken_at, *bounds, tolerance=tolerance, points=points, lattice=denomination)
    row = search.rows[0]
    fails = None if row.breaks is None else sign * row.breaks
    return Sizing(
        status=_status(row),
        size=None if row.holds is None else sign * row.holds,
        fails=fails,
        limiting=() if fails is None else tested[fails],
        monotone=row.monotone,
        sizes=np.sort(sign * search.tested),
        rounds=search.rounds,
    )


def _status(row: Break) -> SizingStatus:
    names: dict[str, SizingStatus] = {"found": "found", "never": "all_survive", "at_low": "none_survives"}
    return names[row.status]


def _failing(
    flows: ClassFlows | Sequence[ClassFlows],
    sizes: FloatArray,
    classes: Collection[str],
    deferrable: Collection[str],
    weights: ArrayLike | None,
    allowed_share: float,
    tolerance_money: float,
) -> list[tuple[str, ...]]:
    """For each size, which of the classes fail."""
    deals = list(flows) if isinstance(flows, Sequence) else [flows]
    if len(deals) not in (1, len(sizes)):
        raise ValueError(f"run_for_balances: {len(deals)} deals for {len(sizes)} sizes; return one for each, in order")
    broken = [class_losses(deal, deferrable=deferrable).broken(tolerance_money) for deal in deals]
    scenarios = sum(part.shape[1] for part in broken)
    if scenarios == 0 or scenarios % len(sizes):
        raise ValueError(f"run_for_balances: {scenarios} scenarios for {len(sizes)} sizes; return as many for each")
    names = deals[0].names
    for name in classes:
        if name not in names:
            raise ValueError(f"classes: the deal has no class {name!r}{suggestion(name, names)}")
    table = np.concatenate(broken, axis=1).reshape(len(names), len(sizes), -1)
    weight = np.ones(table.shape[2]) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != table.shape[2:] or np.any(weight < 0.0) or not weight.sum() > 0.0:
        raise ValueError(f"weights: shape {weight.shape}, expected ({table.shape[2]},), none negative and not all 0")
    failed = table @ weight > (allowed_share + _ROUNDING) * weight.sum()
    return [tuple(name for k, name in enumerate(names) if name in classes and failed[k, b]) for b in range(len(sizes))]
