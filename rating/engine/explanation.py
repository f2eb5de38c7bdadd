"""Why a loan has the lifetime PD it has: points of each driver that sum exactly to the loan's total.

Not here: losses, scenarios, or what the pages write about them.

The scale is the scorecard's: points = 200 + 20 log2(PD / (1 - PD)), so that 200 points are even odds, 20 points double
the odds of default and more points mean more risk (points to double the odds: Siddiqi, Credit Risk Scorecards, 2006,
chapter 6). A loan's total is the points of its lifetime PD; the base is the points of the pool's average; each driver
has its Shapley value between the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from rating.engine.hazards import hazard_incidence
from rating.engine.model import CreditModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EVEN_ODDS, DOUBLING = 200.0, 20.0
# Outside these a PD has no finite log-odds worth showing; a hazard of zero reads as the lower.
LEAST_PD, MOST_PD = 1e-9, 1.0 - 1e-9
DRIVERS = ("grade", "term", "age", "months left", "prepayment")
TENTHS = 10
_AXES = "bmar"


@dataclass(frozen=True, eq=False)
class PdPoints:
    """Points of n loans, D drivers in the order of `drivers`; tenths are whole tenths of a point.

    base: points of the pool's average lifetime PD if nobody prepaid; points: (n, D), total: (n,), exact up to floats.
    base_tenths, tenths (n, D), total_tenths (n,): rounded so that base_tenths + tenths.sum(1) == total_tenths.
    pd: (n,) lifetime PD with prepayment competing, fraction; pd_net: (n,) the same if nobody prepaid; pool_pd,
    pool_pd_net: their averages over the pool. band, term_row: (n,) of the model; source: (n,) what gave the band,
    "grade", "score" or "rate".
    """

    drivers: tuple[str, ...]
    base: float
    points: FloatArray
    total: FloatArray
    base_tenths: int
    tenths: IntArray
    total_tenths: IntArray
    pd: FloatArray
    pd_net: FloatArray
    pool_pd: float
    pool_pd_net: float
    band: IntArray
    term_row: IntArray
    source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pd)


def points_of(pd: FloatArray | float) -> FloatArray:
    """200 + 20 log2 of the odds of a PD (fraction, any shape); PDs are held within 1e-9 of 0 and 1."""
    held = np.clip(np.asarray(pd, dtype=np.float64), LEAST_PD, MOST_PD)
    return np.asarray(EVEN_ODDS + DOUBLING * (np.log(held) - np.log1p(-held)) / math.log(2.0))


def pd_of(points: FloatArray | float) -> FloatArray:
    """The PD (fraction) of points, the inverse of points_of."""
    exponent = (EVEN_ODDS - np.asarray(points, dtype=np.float64)) / DOUBLING
    return np.asarray(1.0 / (1.0 + np.exp2(exponent)))


def band_sources(loans: LoanArrays, model: CreditModel) -> NDArray[np.str_]:
    """(n,) what gives each loan its band: "grade" where the model knows it, else "score", else "rate"."""
    grades, inverse = np.unique(loans.grade, return_inverse=True)
    known = np.array([model._band_of_grade(str(grade)) >= 0 for grade in grades])[inverse]
    scored = np.isfinite(loans.score) & bool(model.score_floors)
    return np.where(known, "grade", np.where(scored, "score", "rate"))


def lifetime_curves(model: CreditModel, row: int, age: int, months: int) -> tuple[FloatArray, FloatArray]:
    """(months,) cumulative PD with prepayment competing, and if nobody prepaid, of a loan of this age.

    row: of the model's hazard tables; age: months on book at the cut-off, so that its first month ahead is
    age + 1. The table's last month is held. Raises ValueError for an age below 0 or months below 1.
    """
    if age < 0 or months < 1:
        raise ValueError(f"age, months: {age}, {months}, expected at least 0 and 1")
    column = np.minimum(age + np.arange(months), model.default_hazard.shape[1] - 1)
    default, prepaid = model.default_hazard[row, column], model.prepayment_hazard[row, column]
    return hazard_incidence(default, prepaid)[0], hazard_incidence(default, np.zeros(months))[0]


def explain_pd(loans: LoanArrays, model: CreditModel, *, weights: FloatArray | None = None) -> PdPoints:
    """Points of every loan's lifetime PD: base + drivers = total, exactly.

    A coalition of drivers takes the loan's own values of those and averages the PD over the pool's joint values of the
    others; prepayment outside the coalition is off. A driver's points are its average contribution over all orders of
    joining (Shapley, A value for n-person games, 1953; the averaging over the pool: Strumbelj & Kononenko, Knowledge
    and Information Systems 41, 2014), on the scale of points_of, so they sum to total - base by construction.

    weights: (n,) of the loans in the pool's average, the balances by default, > 0 in sum. Raises ValueError naming it.
    """
    weight = loans.balance if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (len(loans),) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.sum() > 0:
        raise ValueError(f"weights: shape {weight.shape}, expected {len(loans)} figures >= 0 that do not all vanish")
    band, term = np.divmod(model.assign(loans), len(model.terms))
    (bands, b), (terms, m), (ages, a), (lefts, r) = (
        np.unique(column, return_inverse=True) for column in (band, term, loans.age, loans.remaining_term)
    )
    with_prepayment, net = _tables(model, bands, terms, ages, lefts)
    joint = np.zeros(net.shape)
    np.add.at(joint, (b, m, a, r), weight / weight.sum())
    kinds, kind = np.unique(np.stack([b, m, a, r]), axis=1, return_inverse=True)
    worth = _coalitions((net, with_prepayment), joint, kinds)
    points = _shapley(worth)[:, kind.ravel()].T
    everything = (1 << len(DRIVERS)) - 1
    total, base = worth[everything][kind.ravel()], float(worth[0][0])
    base_tenths = round(base * TENTHS)
    total_tenths = np.rint(total * TENTHS).astype(np.int64)
    return PdPoints(
        drivers=DRIVERS,
        base=base,
        points=points,
        total=total,
        base_tenths=base_tenths,
        tenths=_largest_remainder(points * TENTHS, total_tenths - base_tenths),
        total_tenths=total_tenths,
        pd=with_prepayment[b, m, a, r],
        pd_net=net[b, m, a, r],
        pool_pd=float((joint * with_prepayment).sum()),
        pool_pd_net=float((joint * net).sum()),
        band=band,
        term_row=term,
        source=band_sources(loans, model),
    )


def _tables(
    model: CreditModel, bands: IntArray, terms: IntArray, ages: IntArray, lefts: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Lifetime PDs with and without prepayment, (B, M, A, R) over the values that the pool holds."""
    months = int(lefts.max())
    row = (bands[:, None] * len(model.terms) + terms[None, :])[:, :, None, None]
    column = np.minimum(ages[:, None] + np.arange(months), model.default_hazard.shape[1] - 1)[None, None]
    default = model.default_hazard[row, column]
    found = []
    for prepaid in (model.prepayment_hazard[row, column], np.zeros(default.shape)):
        found.append(hazard_incidence(default, prepaid)[0][..., lefts - 1])
    return found[0], found[1]


def _coalitions(tables: Sequence[FloatArray], joint: FloatArray, kinds: IntArray) -> FloatArray:
    """(2**D, K) points of every coalition for each kind of loan; bit d is driver d, the last one prepayment."""
    size = len(_AXES)
    worth = np.empty((1 << (size + 1), kinds.shape[1]))
    for mask in range(1 << size):
        own = "".join(axis for d, axis in enumerate(_AXES) if mask >> d & 1)
        others = "".join(axis for axis in _AXES if axis not in own)
        share = joint.sum(axis=tuple(_AXES.index(axis) for axis in own))
        at = tuple(kinds[_AXES.index(axis)] for axis in own)
        for prepayment, table in enumerate(tables):
            mean = np.einsum(f"{_AXES},{others}->{own}", table, share)
            worth[mask | prepayment << size] = points_of(mean[at] if own else mean)
    return worth


def _shapley(worth: FloatArray) -> FloatArray:
    """(D, K) Shapley values from the worth (2**D, K) of all coalitions."""
    count = len(DRIVERS)
    values = np.zeros((count, worth.shape[1]))
    for d in range(count):
        rest = [each for each in range(count) if each != d]
        for size in range(count):
            share = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for members in combinations(rest, size):
                mask = sum(1 << each for each in members)
                values[d] += share * (worth[mask | 1 << d] - worth[mask])
    return values


def _largest_remainder(values: FloatArray, sums: IntArray) -> IntArray:
    """(n, D) whole numbers next to the values whose rows sum to `sums`; the largest fractions go up, the first
    driver on a tie. Rows of the values sum to less than one from `sums`, so each moves by less than one."""
    floor = np.floor(values)
    lacking = sums - floor.sum(axis=1).astype(np.int64)
    order = np.argsort(-(values - floor), axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(values.shape[1])[None, :], axis=1)
    return floor.astype(np.int64) + (place < lacking[:, None])
