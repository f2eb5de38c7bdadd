"""Static pools: what became of each vintage by months on book, as far as the data reach, and what is still to come.

Not here: hazards (hazards.py), and which history this is. Nothing of it enters a rating of the same loans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rating.engine.hazards import CHARGE_OFF_LAG, DEFAULTED, PREPAID

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MEASURES = ("net_loss", "default", "prepayment")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Loans of a history, arrays (n,), as pooling.tapes.OutcomeFrame holds them.

    issue_month: months since an epoch. term: months. balance: currency at issue. exit_month: month on book of the
    exit. exit_kind: see hazards. charged_off, net_recovery: currency. data_end: last month that the data show.
    """

    issue_month: IntArray
    term: IntArray
    balance: FloatArray
    exit_month: IntArray
    exit_kind: IntArray
    charged_off: FloatArray
    net_recovery: FloatArray
    data_end: int

    def __len__(self) -> int:
        return len(self.balance)


@dataclass(frozen=True, eq=False)
class VintageTriangle:
    """vintages: V names. loans, balance: (V,) number and original balance. seen: (V,) months on book that the data show
    of every loan of the vintage. share: (V, M + 1) cumulative measure over the original balance at months 0..M,
    NaN beyond `seen`. factors: (M,) chain-ladder development from month k to k + 1. projected: (V,) share at
    month M, the observed one where the vintage is complete. peers: (V, M + 1) balance-weighted mean of the other
    vintages that the data show at that month, NaN without any."""

    measure: str
    vintages: tuple[str, ...]
    loans: IntArray
    balance: FloatArray
    seen: IntArray
    share: FloatArray
    factors: FloatArray
    projected: FloatArray
    peers: FloatArray

    @property
    def months(self) -> int:
        return self.share.shape[1] - 1


def vintage_triangle(
    outcomes: Outcomes, vintage: Sequence[str], measure: str, *, charge_off_lag: int = CHARGE_OFF_LAG
) -> VintageTriangle:
    """The triangle of a history by vintage, in the order of the names.

    vintage: (n,) name of each loan's cohort. measure: net_loss, principal charged off less net recoveries, dated at
    charge-off because recoveries carry no date on most tapes, so they count there in full; default, the original
    balance of loans whose never-cured default is known, at the first missed payment; prepayment, the original balance
    of loans paid before term. A month on book is shown only where the data end, less the charge-off lag for defaults
    and losses, reaches it for every loan of the vintage: later cells are unknown, not zero.

    Chain ladder (Mack 1993): f_k = sum_v C(v, k + 1) / sum_v C(v, k) over the vintages that show both.
    Raises ValueError for an unknown measure, names of another number, or an empty history.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure: {measure!r} is none of {', '.join(MEASURES)}")
    if len(vintage) != len(outcomes) or not len(outcomes):
        raise ValueError(f"vintage: {len(vintage)} names for {len(outcomes)} loans, expected one each and at least one")
    names, place = np.unique(np.asarray(vintage, dtype=str), return_inverse=True)
    longest = int(outcomes.term.max()) + (charge_off_lag if measure == "net_loss" else 0)
    kind = PREPAID if measure == "prepayment" else DEFAULTED
    lag = 0 if measure == "prepayment" else charge_off_lag
    window = outcomes.data_end - outcomes.issue_month - (0 if measure == "net_loss" else lag)
    # A loan whose life is over has nothing left to show.
    end = outcomes.term + (charge_off_lag if measure == "net_loss" else 0)
    reach = np.where(window >= end, longest, np.maximum(window, 0))
    seen = np.full(len(names), longest)
    np.minimum.at(seen, place, reach)
    amount = outcomes.charged_off - outcomes.net_recovery if measure == "net_loss" else outcomes.balance
    at = np.minimum(outcomes.exit_month + (charge_off_lag if measure == "net_loss" else 0), longest)
    hit = outcomes.exit_kind == kind
    sums = np.zeros((len(names), longest + 1))
    np.add.at(sums, (place[hit], at[hit]), amount[hit])
    balance = np.bincount(place, outcomes.balance, len(names)).astype(np.float64)
    cumulative = np.cumsum(sums, axis=1)
    known = np.arange(longest + 1) <= seen[:, None]
    factors = _development(cumulative, known)
    last = cumulative[np.arange(len(names)), seen]
    ahead = np.append(np.cumprod(factors[::-1])[::-1], 1.0)[seen]
    total, weight = np.where(known, cumulative, 0.0).sum(axis=0), np.where(known, balance[:, None], 0.0).sum(axis=0)
    others = weight[None] - np.where(known, balance[:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        peers = (total[None] - np.where(known, cumulative, 0.0)) / others
    return VintageTriangle(
        measure=measure,
        vintages=tuple(str(name) for name in names),
        loans=np.bincount(place, minlength=len(names)),
        balance=balance,
        seen=seen,
        share=np.where(known, cumulative / balance[:, None], np.nan),
        factors=factors,
        projected=last * ahead / balance,
        peers=np.where(others > 0, peers, np.nan),
    )


def _development(cumulative: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """(M,) chain-ladder factors; 1 where no vintage shows both months, or none has lost anything yet."""
    both = known[:, 1:] & known[:, :-1]
    upper = np.where(both, cumulative[:, 1:], 0.0).sum(axis=0)
    lower = np.where(both, cumulative[:, :-1], 0.0).sum(axis=0)
    return np.divide(upper, lower, out=np.ones_like(upper), where=lower > 0)


def quarters(issue_month: IntArray) -> list[str]:
    """Issue quarter of months since January 1970, as "2009Q3"."""
    return [f"{1970 + month // 12}Q{month % 12 // 3 + 1}" for month in issue_month.tolist()]


def years(issue_month: IntArray) -> list[str]:
    """Issue year of months since January 1970."""
    return [str(1970 + month // 12) for month in issue_month.tolist()]


def transition_matrix(
    before: Sequence[str], after: Sequence[str], balance: FloatArray, states: Sequence[str]
) -> Mapping[str, FloatArray]:
    """Roll rates between two snapshots of the same loans: {"count", "balance"} (K, K) shares, rows sum to 1 or are NaN.

    before, after: (n,) state of each loan; balance: (n,) currency at the first. Raises ValueError for an unknown state.
    """
    place = {state: k for k, state in enumerate(states)}
    for state in {*before, *after}:
        if state not in place:
            raise ValueError(f"state: {state!r} is none of {', '.join(states)}")
    size = len(states)
    code = np.array([place[a] * size + place[b] for a, b in zip(before, after, strict=True)], dtype=np.int64)
    found = {}
    for name, weight in (("count", None), ("balance", balance)):
        sums = np.bincount(code, weight, size * size).reshape(size, size).astype(np.float64)
        total = sums.sum(axis=1, keepdims=True)
        found[name] = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
    return found
