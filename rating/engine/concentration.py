"""How lumpy a pool is, and whether a class survives its largest names: tests that stand apart from the copula.

Shares, effective number, rating factors, diversity score, and the defaults of the largest obligors or of the largest
industry taken as certain. Not here: correlation in a simulation (simulation.py), eligibility limits (pooling).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rating.engine.copula import default_correlation
from rating.engine.scale import GRADES, pd_bound_of

FloatArray = NDArray[np.float64]

FACTOR_YEARS, FACTOR_UNIT = 10.0, 10_000.0

# The largest obligors whose joint default a class must survive, by target grade. Our own choice, not an agency's:
# one obligor more for each letter up to BBB, two more for each letter above it, so that the strongest class does not
# hang on ten names and the weakest survives at least its largest. It applies to pools of any kind; a granular
# consumer pool passes it by its granularity.
OBLIGORS_BY_LETTER = MappingProxyType({"AAA": 10, "AA": 8, "A": 6, "BBB": 4, "BB": 3, "B": 2, "CCC": 1})
TESTS_VERSION = "concentration-1"


def _amounts(name: str, values: ArrayLike) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"{name}: shape {x.shape}, expected (n,) with at least one loan")
    bad = ~(np.isfinite(x) & (x >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{name}: row {row} holds {x[row]}, negative or not finite")
    if not x.sum() > 0:
        raise ValueError(f"{name}: adds up to {x.sum()}, nothing to measure")
    return x


def _by_label(name: str, labels: ArrayLike, balance: FloatArray) -> tuple[NDArray[np.str_], FloatArray]:
    """Distinct labels and their balances, largest first, ties by label."""
    column = np.asarray(labels, dtype=np.str_)
    if column.shape != balance.shape:
        raise ValueError(f"{name}: shape {column.shape}, expected {balance.shape}, one label a loan")
    names, place = np.unique(column, return_inverse=True)
    total = np.bincount(place, balance).astype(np.float64)
    order = np.argsort(-total, kind="stable")
    return names[order], total[order]


# -------------------------------------------------------------------------------------------------------- measures
def herfindahl(balance: ArrayLike) -> float:
    """Herfindahl-Hirschman index sum of squared shares, (0, 1]; balance: (n,) currency of loans or of obligors."""
    x = _amounts("balance", balance)
    return float(np.sum(np.square(x / x.sum())))


def effective_number(balance: ArrayLike) -> float:
    """(sum EAD)**2 / sum EAD**2, the N of SEC-IRBA (CRE44.7; Regulation (EU) 575/2013 Art. 259(4)); 1 of one loan.
    Loans of one obligor are to be added up first: it counts once."""
    return 1.0 / herfindahl(balance)


def rating_factor(grade: str) -> float:
    """10,000 x the indicative scale's own ten-year default probability of a grade; ValueError for an unknown one."""
    return FACTOR_UNIT * pd_bound_of(grade, FACTOR_YEARS)


def weighted_average_rating_factor(balance: ArrayLike, grades: Sequence[str]) -> float:
    """Balance-weighted rating factor on our own ladder; agencies' factors are another scale. balance: (n,);
    grades: n letters of the indicative scale."""
    x = _amounts("balance", balance)
    if len(grades) != len(x):
        raise ValueError(f"grades: {len(grades)} for {len(x)} loans")
    return float(np.sum(x * np.array([rating_factor(grade) for grade in grades])) / x.sum())


def grade_of_factor(factor: float) -> str:
    """The best grade whose rating factor is not below the given one; CCC beyond the last."""
    if not (factor >= 0 and math.isfinite(factor)):
        raise ValueError(f"factor: {factor} is negative or not finite")
    return next((grade for grade in GRADES if factor <= rating_factor(grade) * (1.0 + 1e-12)), GRADES[-1])


def diversity_score(
    balance: ArrayLike, pd: ArrayLike, sector: ArrayLike, *, within: float, across: float
) -> float:
    """Number of independent equal loans with the pool's own mean and variance of defaulted balance.

    D = sum p F sum q F / sum_ij d_ij sqrt(p_i q_i p_j q_j) F_i F_j, d the default correlation (copula.py), d_ii = 1,
    q = 1 - p (the "alternative diversity score" of Cifuentes & O'Connor 1996 and its multi-sector form of 2000).
    balance: (n,) currency; pd: (n,) lifetime, [0, 1]; sector: (n,) labels. within, across: asset correlation of two
    loans of one sector and of two sectors, 0 <= across <= within < 1. Where no loan may default there is nothing to
    diversify: the effective number.

    Loans of one sector and PD are taken together: O(n + groups**2), exact.
    """
    x = _amounts("balance", balance)
    p = np.asarray(pd, dtype=np.float64)
    if p.shape != x.shape:
        raise ValueError(f"pd: shape {p.shape}, expected {x.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"pd: {float(p[~((p >= 0) & (p <= 1))][0])} is outside [0, 1]")
    if not 0.0 <= across <= within < 1.0:
        raise ValueError(f"within, across: {within}, {across}, expected 0 <= across <= within < 1")
    labels = np.asarray(sector, dtype=np.str_)
    if labels.shape != x.shape:
        raise ValueError(f"sector: shape {labels.shape}, expected {x.shape}, one label a loan")
    _, place = np.unique(labels, return_inverse=True)
    levels, level = np.unique(p, return_inverse=True)
    groups, group = np.unique(place * len(levels) + level, return_inverse=True)
    total, squared = np.bincount(group, x), np.bincount(group, x * x)
    spread = np.sqrt(levels * (1.0 - levels))[groups % len(levels)]
    inside, outside = _correlations(levels, within), _correlations(levels, across)
    same = (groups // len(levels))[:, None] == (groups // len(levels))[None, :]
    rows = groups % len(levels)
    linked = np.where(same, inside[np.ix_(rows, rows)], outside[np.ix_(rows, rows)])
    scaled = total * spread
    # A loan's correlation with itself is 1, not that of two loans of its group.
    own = np.sum(squared * spread**2 * (1.0 - np.diag(linked)))
    variance = float(np.sum(linked * scaled[:, None] * scaled[None, :]) + own)
    if variance == 0.0:
        return effective_number(x)
    return float(np.sum(p * x) * np.sum((1.0 - p) * x) / variance)


def _correlations(levels: FloatArray, rho: float) -> FloatArray:
    """(L, L) default correlation of two loans with these default probabilities."""
    size = len(levels)
    table = np.zeros((size, size))
    if rho > 0:
        for i in range(size):
            for j in range(i + 1):
                table[i, j] = table[j, i] = default_correlation(float(levels[i]), float(levels[j]), rho)
    return table


# ----------------------------------------------------------------------------------------------------- survival tests
@dataclass(frozen=True)
class SurvivalTest:
    """One test of one class. Amounts in currency.

    defaulted: labels taken to default, largest first. exposure: their balance; loss: exposure x (1 - recovery).
    enhancement: what stands below the class, attachment x pool balance + reserve. margin: enhancement - loss, negative
    by the shortfall. unlabelled: balance without a label, which no single name was assumed for.
    """

    name: str
    grade: str
    defaulted: tuple[str, ...]
    exposure: float
    recovery: float
    loss: float
    enhancement: float
    unlabelled: float
    passed: bool

    @property
    def margin(self) -> float:
        return self.enhancement - self.loss


def obligors_to_survive(grade: str) -> int:
    """How many of the largest obligors a class of the target grade must survive, OBLIGORS_BY_LETTER."""
    if grade not in GRADES:
        raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    return OBLIGORS_BY_LETTER[grade.rstrip("+-")]


def largest_obligor_test(
    balance: ArrayLike, obligor: ArrayLike, *, grade: str, attachment: float, recovery: float, reserve: float = 0.0
) -> SurvivalTest:
    """Does the enhancement survive the default of the n largest obligors, n by target grade? No copula is asked.

    balance: (n,) currency; obligor: (n,) labels, "" where unknown: such a loan is an obligor of its own. attachment:
    fraction of the pool balance below the class, overcollateralisation included. recovery: stated, on the balance, in
    [0, 1]. reserve: funded reserve, currency. A pool of fewer obligors defaults whole.

    Raises ValueError naming the argument and value.
    """
    x = _amounts("balance", balance)
    column = np.asarray(obligor, dtype=np.str_)
    blank = column == ""
    if column.shape == x.shape and blank.any():
        single = np.char.add("unnamed loan ", np.arange(1, len(x) + 1).astype(np.str_))
        column = np.where(blank, single, column)
    names, total = _by_label("obligor", column, x)
    count = obligors_to_survive(grade)
    unlabelled = float(x[blank].sum()) if blank.shape == x.shape else 0.0
    return _survival(
        f"{count} largest obligors", grade, names[:count], total[:count], x, attachment, recovery, reserve, unlabelled
    )


def largest_industry_test(
    balance: ArrayLike, industry: ArrayLike, *, grade: str, attachment: float, recovery: float, reserve: float = 0.0
) -> SurvivalTest:
    """Does the enhancement survive the default of every loan of the largest industry? The same for every grade.

    industry: (n,) labels, "" where unknown: loans without one are shown apart and belong to no industry, so a pool
    that names none has nothing to test and passes with a loss of 0. Other arguments and errors as
    largest_obligor_test.
    """
    x = _amounts("balance", balance)
    names, total = _by_label("industry", industry, x)
    if grade not in GRADES:
        raise ValueError(f"grade: {grade!r} is not on the indicative scale {', '.join(GRADES)}")
    named = names != ""
    unlabelled = float(total[~named].sum())
    return _survival(
        "largest industry", grade, names[named][:1], total[named][:1], x, attachment, recovery, reserve, unlabelled
    )


def _survival(
    name: str,
    grade: str,
    labels: NDArray[np.str_],
    amounts: FloatArray,
    balance: FloatArray,
    attachment: float,
    recovery: float,
    reserve: float,
    unlabelled: float,
) -> SurvivalTest:
    for field, value in (("attachment", attachment), ("recovery", recovery)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{field}: {value} is outside [0, 1]")
    if not (reserve >= 0 and math.isfinite(reserve)):
        raise ValueError(f"reserve: {reserve} is negative or not finite")
    exposure = math.fsum(amounts)
    loss, enhancement = exposure * (1.0 - recovery), attachment * math.fsum(balance) + reserve
    return SurvivalTest(
        name=name,
        grade=grade,
        defaulted=tuple(str(label) for label in labels),
        exposure=exposure,
        recovery=recovery,
        loss=loss,
        enhancement=enhancement,
        unlabelled=unlabelled,
        passed=loss <= enhancement,
    )
