"""Loans laid out for the exact engine: stream groups, hazard buckets, and what the pool pays if nothing defaults.

Scenario-free; built once per pool and model. Not here: draws and cash (kernels.py, fallback.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pooling.engine.loans import LoanArrays
from rating.engine.model import CreditModel
from rating.engine.shocks import sector_index

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SmallArray = NDArray[np.int32]

GROUP_LOANS = 32_768
# Up to this many distinct hazards a bucket holds one of them and every candidate defaults; beyond it hazards within
# this ratio share a bucket under the largest, and candidates are thinned.
MAX_BUCKETS, BUCKET_RATIO = 256, 1.25
ROW_BLOCK = 4_096


@dataclass(frozen=True, eq=False)
class StreamGroup:
    """At most 32,768 loans of one collateral group that share a random stream, in the order of their buckets.

    number: of the stream. collateral: index of the collateral group. rate: (A,) distinct annual rates;
    growth: (A, T + 2) s(t) = ((1 + r)**t - 1) / r, so that a loan's scheduled balance is balance - slope * s(t).
    Loans, (n,): balance, slope = balance / s(R), remaining R, curve (row of Portfolio.default_curve), profile, band,
    sector (row of Shocks.score), identity (64 bits of the id's SHA-256).
    profiles: (F, 3) distinct row of speeds, row of rate, and R, ascending: loans that amortise and prepay alike.
    Buckets, (B,): bucket_span, largest default hazard to maturity; bucket_sector; bucket_start (B + 1,).
    If nothing defaulted or prepaid, by distinct speed (P,) and month t = 1..T + 1 (column t): open_balance,
    open_coupon (annual interest on it), open_count, (P, T + 2). speeds: (P,) rows of Portfolio.prepayment_curve.
    """

    number: int
    collateral: int
    rate: FloatArray
    growth: FloatArray
    balance: FloatArray
    slope: FloatArray
    remaining: SmallArray
    curve: SmallArray
    profile: SmallArray
    band: SmallArray
    sector: SmallArray
    identity: NDArray[np.uint64]
    bucket_start: IntArray
    bucket_span: FloatArray
    bucket_sector: IntArray
    profiles: IntArray
    speeds: IntArray
    open_balance: FloatArray
    open_coupon: FloatArray
    open_count: FloatArray

    def __len__(self) -> int:
        return len(self.balance)


@dataclass(frozen=True, eq=False)
class Portfolio:
    """A pool under a model. months: T, the longest remaining term. collateral: G names; opening: (G,) balances.

    default_curve: (C, T + 1) cumulative default hazard from closing to month t, by band, term and age;
    prepayment_curve: (Q, T + 1) the same of prepayment. default_step: (C, T) monthly hazards.
    """

    months: int
    collateral: tuple[str, ...]
    opening: FloatArray
    count: FloatArray
    default_curve: FloatArray
    prepayment_curve: FloatArray
    groups: tuple[StreamGroup, ...]

    @property
    def default_step(self) -> FloatArray:
        return np.diff(self.default_curve, axis=1)


def accumulation(rate: FloatArray, months: int) -> FloatArray:
    """(A, months + 1) s(t) = ((1 + r)**t - 1) / r with r = rate / 12, s(t) = t at r = 0; rate (A,) annual."""
    monthly = (rate / 12.0)[:, None]
    t = np.arange(months + 1, dtype=np.float64)
    grown = np.expm1(t * np.log1p(monthly))
    return np.where(monthly > 0, grown / np.where(monthly > 0, monthly, 1.0), t)


def cumulative_curves(hazard: FloatArray, cell: IntArray, age: IntArray, months: int) -> tuple[FloatArray, IntArray]:
    """Distinct curves (C, months + 1) of cumulative hazard after closing, and (n,) the loan's row.

    hazard: (cells, A) monthly, the last month held. Cells with equal hazards share their curves.
    """
    tables, same = np.unique(hazard, axis=0, return_inverse=True)
    pairs, row = np.unique(same.ravel()[cell] * (int(age.max()) + 1) + age, return_inverse=True)
    first, start = pairs // (int(age.max()) + 1), pairs % (int(age.max()) + 1)
    column = np.minimum(start[:, None] + np.arange(months), hazard.shape[1] - 1)
    curves = np.zeros((len(pairs), months + 1))
    np.cumsum(tables[first[:, None], column], axis=1, out=curves[:, 1:])
    return curves, row.ravel()


def build_portfolio(loans: LoanArrays, model: CreditModel) -> Portfolio:
    """Lay the loans out; the result depends on the loans and the model, not on the order of rows.

    Streams: loans sorted by (collateral group, prepayment curve, rate, sector, hazard, id) and cut every 32,768, so
    that a stream group has few rates; within it buckets of one sector and like hazard, loans in that same order.
    """
    months, cell, sector = int(loans.remaining_term.max()), model.assign(loans), sector_index(model, loans)
    names, collateral = np.unique(loans.group, return_inverse=True)
    default_curve, curve = cumulative_curves(model.default_hazard, cell, loans.age, months)
    prepayment_curve, speed = cumulative_curves(model.prepayment_hazard, cell, loans.age, months)
    span = default_curve[curve, loans.remaining_term]
    order = np.lexsort((loans.loan_id, span, sector, loans.rate, speed, collateral))
    columns = {
        "balance": loans.balance,
        "rate": loans.rate,
        "remaining": loans.remaining_term,
        "curve": curve,
        "speed": speed,
        "band": cell // len(model.terms),
        "sector": sector,
        "span": span,
        "identity": _identities(loans.loan_id),
    }
    groups: list[StreamGroup] = []
    for number in range(len(names)):
        rows = order[collateral[order] == number]
        for low in range(0, len(rows), GROUP_LOANS):
            part = {name: column[rows[low : low + GROUP_LOANS]] for name, column in columns.items()}
            groups.append(_stream_group(len(groups), number, part, months))
    return Portfolio(
        months=months,
        collateral=tuple(str(name) for name in names),
        opening=np.bincount(collateral, loans.balance, len(names)).astype(np.float64),
        count=np.bincount(collateral, minlength=len(names)).astype(np.float64),
        default_curve=default_curve,
        prepayment_curve=prepayment_curve,
        groups=tuple(groups),
    )


def _identities(loan_id: NDArray[np.str_]) -> NDArray[np.uint64]:
    """(n,) the first 64 bits of each id's SHA-256: the key of a loan's own stream, whatever pool it is in."""
    heads = b"".join(hashlib.sha256(text.encode()).digest()[:8] for text in loan_id.tolist())
    return np.frombuffer(heads, dtype="<u8").astype(np.uint64)


def _stream_group(number: int, collateral: int, part: dict[str, NDArray], months: int) -> StreamGroup:
    code = _bucket_codes(part["sector"], part["span"])
    order = np.argsort(code, kind="stable")
    part = {name: column[order] for name, column in part.items()}
    _, start = np.unique(code[order], return_index=True)
    rate, rate_row = np.unique(part["rate"], return_inverse=True)
    speeds, place = np.unique(part["speed"], return_inverse=True)
    code = (place * len(rate) + rate_row) * (months + 1) + part["remaining"]
    kinds, profile = np.unique(code, return_inverse=True)
    alike = kinds // (months + 1)
    growth = accumulation(rate, months + 1)
    slope = part["balance"] / growth[rate_row, part["remaining"]]
    opened = _if_nothing_happens(part, slope, growth, rate_row, place, months)
    return StreamGroup(
        number=number,
        collateral=collateral,
        rate=rate,
        growth=growth,
        balance=part["balance"],
        slope=slope,
        remaining=part["remaining"].astype(np.int32),
        curve=part["curve"].astype(np.int32),
        profile=profile.astype(np.int32),
        band=part["band"].astype(np.int32),
        sector=part["sector"].astype(np.int32),
        identity=part["identity"],
        bucket_start=np.append(start, len(slope)).astype(np.int64),
        bucket_span=np.maximum.reduceat(part["span"], start),
        bucket_sector=part["sector"][start].astype(np.int64),
        profiles=np.stack([alike // len(rate), alike % len(rate), kinds % (months + 1)], axis=1),
        speeds=speeds.astype(np.int64),
        open_balance=opened[0],
        open_coupon=opened[1],
        open_count=opened[2],
    )


def _bucket_codes(sector: IntArray, span: FloatArray) -> IntArray:
    """(n,) number of each loan's bucket: one sector, and one hazard or hazards within the ratio."""
    distinct, level = np.unique(span, return_inverse=True)
    if len(distinct) > MAX_BUCKETS:
        known = span > 0
        top = np.log(span.max()) if known.any() else 0.0
        steps = np.floor((top - np.log(np.where(known, span, 1.0))) / np.log(BUCKET_RATIO)).astype(np.int64)
        level = np.where(known, steps, steps[known].max(initial=0) + 1)
    return np.asarray(sector * (int(level.max()) + 1) + level)


def _if_nothing_happens(
    part: dict[str, NDArray], slope: FloatArray, growth: FloatArray, rate_row: IntArray, place: IntArray, months: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(P, T + 2) balance, annual coupon and count at the start of month t in column t, by speed."""
    shape = (int(place.max()) + 1, months + 2)
    balance, coupon, count = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    month = np.arange(1, months + 2)
    order = np.argsort(place, kind="stable")
    for low in range(0, len(order), ROW_BLOCK):
        rows = order[low : low + ROW_BLOCK]
        alive = month[None, :] <= part["remaining"][rows][:, None]
        owed = np.where(alive, part["balance"][rows][:, None] - slope[rows][:, None] * growth[rate_row[rows], :-1], 0.0)
        starts = np.flatnonzero(np.diff(place[rows], prepend=-1))
        kinds = place[rows][starts]
        balance[kinds, 1:] += np.add.reduceat(owed, starts, axis=0)
        coupon[kinds, 1:] += np.add.reduceat(owed * part["rate"][rows][:, None], starts, axis=0)
        count[kinds, 1:] += np.add.reduceat(alive.astype(np.float64), starts, axis=0)
    return balance, coupon, count
