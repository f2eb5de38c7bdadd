"""Break-even stress of each class: the lowest one with a first dollar of principal loss or interest shortfall."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pooling.engine.analytics.classes import HALF_A_CENT, ClassFlows, class_losses
from pooling.engine.analytics.search import BreakStatus, Change, first_breaks

FloatArray = NDArray[np.float64]

LossCause = Literal["principal", "interest", "both"]


@dataclass(frozen=True)
class BreakEven:
    """Of one class. stress: the lowest stress tested with a loss, in the unit of the stress; survives: the highest one
    below it without; they are no more than the tolerance apart.

    status "never": no loss at any stress tested up to the upper bound (stress is None); "at_low": a loss already at the
    lower bound, which is then the stress (survives is None). cause: what the class loses at that stress; principal,
    shortfall: how much, currency units. monotone: False where a higher stress tested did not hurt: the stress is then
    the first crossing on the grid, and changes lists all that were seen.
    """

    name: str
    status: BreakStatus
    stress: float | None
    survives: float | None
    cause: LossCause | None
    principal: float
    shortfall: float
    monotone: bool
    changes: tuple[Change, ...]

    def multiple_of(self, base: float) -> float | None:
        """The break-even as a multiple of the base case's stress, None where the class never breaks.

        Raises ValueError where the base case has no positive stress.
        """
        if not base > 0.0:
            raise ValueError(f"base: {base} has no multiples; give the base case's stress, above 0")
        return None if self.stress is None else self.stress / base


@dataclass(frozen=True)
class BreakEvens:
    """classes: in the order of the deal. low, high: the bounds. stresses: (N,) tested, ascending. rounds: how often the
    deal was run.
    """

    classes: tuple[BreakEven, ...]
    low: float
    high: float
    stresses: FloatArray
    rounds: int

    def __getitem__(self, name: str) -> BreakEven:
        for row in self.classes:
            if row.name == name:
                return row
        raise KeyError(name)


@dataclass(frozen=True)
class FirstLoss:
    """The smallest stress at which any class loses a first dollar. stress None: none does within the bounds.

    survives: highest stress tested below it, None where the loss is there at the lower bound. classes: who loses there.
    """

    stress: float | None
    survives: float | None
    classes: tuple[str, ...]


def break_even(
    run: Callable[[FloatArray], ClassFlows],
    low: float,
    high: float,
    *,
    tolerance: float,
    points: int = 32,
    tolerance_money: float = HALF_A_CENT,
    deferrable: Collection[str] = (),
) -> BreakEvens:
    """Break-even stress of every class between low and high, to within tolerance.

    run: (S,) candidate stresses, ascending, to the deal's flows with these as scenarios; everything else as
    it is assumed.
    The stress is whatever run makes of it: CDR, CPR, severity, or a multiple of the base case. points: stresses of the
    first grid and about as many in each later round: the deal is run once a round, for all classes. tolerance_money:
    currency units; losing more is a loss. deferrable: classes whose interest may be late, see class_losses.

    The flows must run to the deal's final date, where unpaid principal shows. Raises ValueError naming the argument.
    """
    names: tuple[str, ...] = ()
    tested: list[FloatArray] = []
    principal: list[FloatArray] = []
    shortfall: list[FloatArray] = []

    def broken_at(stresses: FloatArray) -> NDArray[np.bool_]:
        nonlocal names
        deal = run(stresses)
        losses = class_losses(deal, deferrable=deferrable)
        if losses.principal.shape[-1] != len(stresses):
            wanted = f"{len(stresses)} stresses"
            raise ValueError(f"run: {losses.principal.shape[-1]} scenarios for {wanted}; return one for each, in order")
        names = losses.names
        tested.append(stresses)
        principal.append(losses.principal)
        shortfall.append(losses.shortfall)
        return losses.broken(tolerance_money)

    search = first_breaks(broken_at, low, high, tolerance=tolerance, points=points)
    order = np.argsort(np.concatenate(tested), kind="stable")
    lost, late = (np.concatenate(part, axis=1)[:, order] for part in (principal, shortfall))
    rows = []
    for k, row in enumerate(search.rows):
        at = None if row.breaks is None else int(np.searchsorted(search.tested, row.breaks))
        amounts = (0.0, 0.0) if at is None else (float(lost[k, at]), float(late[k, at]))
        rows.append(
            BreakEven(
                name=names[k],
                status=row.status,
                stress=row.breaks,
                survives=row.holds,
                cause=_cause(*amounts, tolerance_money),
                principal=amounts[0],
                shortfall=amounts[1],
                monotone=row.monotone,
                changes=row.changes,
            )
        )
    return BreakEvens(tuple(rows), low, high, search.tested, search.rounds)


def first_loss(classes: Sequence[BreakEven]) -> FirstLoss:
    """The lowest break-even of all classes and who takes the loss: those that lose at a stress below which, as far as
    was tested, nobody does. The residual certificate, which promises nothing, is not asked.
    """
    stresses = [row.stress for row in classes if row.stress is not None]
    if not stresses:
        return FirstLoss(None, None, ())
    lowest = min(stresses)
    hit = [row for row in classes if row.stress == lowest]
    return FirstLoss(lowest, hit[0].survives, tuple(row.name for row in hit))


def _cause(principal: float, shortfall: float, tolerance: float) -> LossCause | None:
    if principal > tolerance:
        return "both" if shortfall > tolerance else "principal"
    return "interest" if shortfall > tolerance else None
