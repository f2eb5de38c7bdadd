"""A servicer's monthly tapes of a deal's pool: taking them in, and reading them back as one history.

Reading and checking happen before the transaction that stores: one transaction for all months of a file. Not here:
who may see what they say of a listed deal (marketplace), and what they say (rating.engine.surveillance).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from django.conf import settings
from django.db import IntegrityError, transaction
from numpy.typing import NDArray

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation, Role, User
from accounts.selectors import require_role
from accounts.services import audit_record, claim
from pooling.artefacts import artefact_path, artefact_read, artefact_store
from pooling.collateral import sealed_rows
from pooling.engine.deal import DealSpec
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import digest, loans_from_bytes, pack
from pooling.models import Deal, PerformanceTape
from pooling.tapes import month_name, month_number, outcomes, read_tape
from pooling.tapes.derived_performance import DerivedMonths, derived_months
from pooling.tapes.performance import (
    FLOWS,
    MONEY,
    Performance,
    PerformanceMonth,
    PoolStanding,
    performance_checked,
    performance_months,
)

IntArray = NDArray[np.int64]
LONGEST_NAME = 200
DERIVED = "derived from the outcomes of the deal's own loan tape"


@dataclass(frozen=True, eq=False)
class PerformanceHistory(Performance):
    """All stored months of a deal, loans ascending by id. periods: T. digests: T content digests."""

    loan_id: NDArray[np.str_]
    periods: tuple[str, ...]
    digests: tuple[str, ...]

    def until(self, months: int) -> PerformanceHistory:
        """The first months of it. Raises ValueError where there are not so many."""
        if not 0 <= months <= self.months:
            raise ValueError(f"months: {months} of a history of {self.months}")
        flows = {name: getattr(self, name)[:months] for name in FLOWS}
        return PerformanceHistory(
            loan_id=self.loan_id,
            periods=self.periods[:months],
            digests=self.digests[:months],
            balance=self.balance[: months + 1],
            days_past_due=self.days_past_due[: months + 1],
            **flows,
        )


# ------------------------------------------------------------------------------------------------------ writes
def performance_upload(
    *, user: User, deal: Deal, filename: str, stream: Iterable[bytes], idempotency_key: str
) -> list[PerformanceTape]:
    """Take a file of one or more months: the next ones of the deal, in order. stream: its chunks.

    A month that is stored already with the same figures is left as it is; the same file twice changes nothing.
    ApplicationError (field "file") where the file does not fit the pool or the months before it.
    """
    _reporter(user, deal)
    name = Path(filename.replace("\\", "/")).name[:LONGEST_NAME] or "performance"
    path, sha256, _ = artefact_store(stream, suffix=".performance", max_bytes=settings.UPLOAD_MAX_BYTES)
    months = performance_months(read_tape(artefact_path(path), name=name))
    return performance_store(
        user=user, deal=deal, months=months, source=name, file_sha256=sha256, idempotency_key=idempotency_key
    )


def performance_store(
    *,
    user: User,
    deal: Deal,
    months: Sequence[PerformanceMonth],
    source: str,
    idempotency_key: str,
    file_sha256: str = "",
) -> list[PerformanceTape]:
    """Check months against the deal's history and store what is new; their rows, in order, those known included.

    For the originator that owns the deal, and operators; for others the deal does not exist.
    """
    organisation = _reporter(user, deal)
    if not months:
        raise ApplicationError("The file holds no month.", code="performance_invalid", field="file")
    first = first_month(deal)
    digests = {month_number(month.period) - first + 1: _content(month) for month in months}
    fresh = _checked(deal, months, digests, first)
    files = {number: _file(month) for number, month in fresh.items()}
    with transaction.atomic():
        claimed = claim(
            organisation=organisation,
            key=idempotency_key,
            verb="performance_store",
            params={"deal": str(deal.pk), "months": {str(number): found for number, found in digests.items()}},
        )
        if claimed.fresh:
            _insert(deal, fresh, files, digests, source, file_sha256)
            claimed.settle(deal.pk)
            audit_record(
                actor=user,
                verb="performance.stored",
                subject=f"deal:{deal.pk}",
                payload={"months": {str(number): digests[number] for number in fresh}, "file": file_sha256},
            )
    return list(PerformanceTape.objects.filter(deal=deal, number__in=digests).order_by("number"))


def performance_derive(
    *, user: User, deal: Deal, months: int | None, idempotency_key: str
) -> tuple[list[PerformanceTape], DerivedMonths]:
    """Store the months that follow from the outcomes on the deal's own loan tape, as far as they are known.

    ApplicationError(code="performance_unknown") where the tape knows no outcomes, or not so many months.
    """
    _reporter(user, deal)
    outcome = outcomes(sealed_rows(deal.pool.tape))
    if outcome is None:
        raise ApplicationError(
            f"The tape {deal.pool.tape.name} knows no finished loan, so that no month follows from it; upload the"
            " servicer's tapes.",
            code="performance_unknown",
            field="deal",
        )
    try:
        found = derived_months(pool_loans(deal), outcome, first=first_month(deal), months=months)
    except ValueError as error:
        raise ApplicationError(f"{error}.".capitalize(), code="performance_unknown", field="months") from error
    rows = performance_store(
        user=user, deal=deal, months=found.months, source=DERIVED, idempotency_key=idempotency_key
    )
    return rows, found


def _reporter(user: User, deal: Deal) -> Organisation:
    """The organisation of the deal's originator or of an operator."""
    require_role(user, Role.ORIGINATOR, Role.OPERATOR)
    organisation = user.organisation
    if organisation is None or (user.role == Role.ORIGINATOR and deal.organisation_id != organisation.pk):
        raise NotFound("deal")
    return organisation


def _checked(
    deal: Deal, months: Sequence[PerformanceMonth], digests: dict[int, str], first: int
) -> dict[int, PerformanceMonth]:
    """The months that are not stored yet, by number, each following from the one before."""
    stored = dict(PerformanceTape.objects.filter(deal=deal).values_list("number", "content_digest"))
    last = max(stored, default=0)
    fresh: dict[int, PerformanceMonth] = {}
    for month in sorted(months, key=lambda each: each.period):
        number = month_number(month.period) - first + 1
        if number in stored:
            if stored[number] != digests[number]:
                raise ApplicationError(
                    f"The month {month.period} is stored already with other figures; a stored month does not change."
                    " Correct it in the month that follows.",
                    code="performance_month_stored",
                    field="file",
                )
            continue
        wanted = last + len(fresh) + 1
        if number != wanted:
            raise ApplicationError(
                f"The next month of this deal is {month_name(first + wanted - 1)}, but the file has {month.period};"
                " months come in order, without gaps.",
                code="performance_month_order",
                field="file",
            )
        fresh[number] = month
    if fresh:
        standing = standing_of(deal)
        for month in fresh.values():
            standing = performance_checked(month, standing)
    return fresh


def _insert(
    deal: Deal,
    fresh: dict[int, PerformanceMonth],
    files: dict[int, tuple[str, str]],
    digests: dict[int, str],
    source: str,
    file_sha256: str,
) -> None:
    try:
        with transaction.atomic():
            PerformanceTape.objects.bulk_create(
                PerformanceTape(
                    deal=deal,
                    number=number,
                    period=month.period,
                    rows=len(month.loan_id),
                    balance=int(month.ending_balance.sum()),
                    source=source,
                    file_sha256=file_sha256,
                    content_digest=digests[number],
                    rows_path=files[number][0],
                    rows_digest=files[number][1],
                )
                for number, month in fresh.items()
            )
    except IntegrityError as error:
        raise ApplicationError(
            "Another upload has stored one of these months at the same time; send the file again.",
            code="performance_month_stored",
            field="file",
        ) from error


def _file(month: PerformanceMonth) -> tuple[str, str]:
    buffer = io.BytesIO()
    month.frame().to_parquet(buffer, engine="pyarrow", index=False, compression="zstd")
    name, sha256, _ = artefact_store([buffer.getvalue()], suffix=".parquet")
    return name, sha256


def _content(month: PerformanceMonth) -> str:
    """SHA-256 of the figures, in the order of loan ids, whatever the file's rows or columns were."""
    columns = {name: getattr(month, name) for name in ("days_past_due", *MONEY)}
    ids = np.array(month.loan_id.tolist())  # as wide as the longest here
    return digest(pack("performance_month", {"loan_id": ids, **columns}, {"period": month.period}))


# ------------------------------------------------------------------------------------------------------- reads
def first_month(deal: Deal) -> int:
    """Month 1 of a deal, the one after its cut-off, as months since January 1970."""
    dates = DealSpec.from_json(deal.versions.get(number=1).spec).dates
    return month_number(f"{dates.cut_off:%Y-%m}") + 1


def pool_loans(deal: Deal) -> LoanArrays:
    """The loans of a deal's pool at cut-off."""
    return loans_from_bytes(artefact_read(deal.pool.loans_path, sha256=deal.pool.loans_digest))


def standing_of(deal: Deal) -> PoolStanding:
    """Where the pool stands after the last stored month."""
    found = performance_history(deal)
    return PoolStanding(found.loan_id, found.balance[-1], found.charge_off.sum(axis=0))


def performance_history(deal: Deal) -> PerformanceHistory:
    """All stored months of a deal, each checked against its digest. The caller decides who may see it."""
    rows = PerformanceTape.objects.filter(deal=deal).order_by("number")
    months = tuple(rows.values_list("period", "content_digest", "rows_path", "rows_digest"))
    return _history(deal.pool.loans_path, deal.pool.loans_digest, months)


@lru_cache(maxsize=2)
def _history(
    loans_path: str, loans_digest: str, months: tuple[tuple[str, str, str, str], ...]
) -> PerformanceHistory:
    """Keyed by content. 20,000 loans over 60 months take some 70 MB."""
    loans = loans_from_bytes(artefact_read(loans_path, sha256=loans_digest))
    ids, count = loans.loan_id, len(months)
    flows = {name: np.zeros((count, len(ids)), dtype=np.int64) for name in FLOWS}
    balance, days = (np.zeros((count + 1, len(ids)), dtype=np.int64) for _ in range(2))
    balance[0] = np.rint(loans.balance * 100).astype(np.int64)
    for t, (period, _, path, sha256) in enumerate(months):
        frame = pd.read_parquet(io.BytesIO(artefact_read(path, sha256=sha256)))
        month = PerformanceMonth.of_frame(frame, period)
        place = np.searchsorted(ids, month.loan_id)
        balance[t + 1, place], days[t + 1, place] = month.ending_balance, month.days_past_due
        for name, table in flows.items():
            table[t, place] = getattr(month, name)
    for array in (balance, days, *flows.values()):
        array.setflags(write=False)  # shared by everyone who asks
    return PerformanceHistory(
        loan_id=ids,
        periods=tuple(month[0] for month in months),
        digests=tuple(month[1] for month in months),
        balance=balance,
        days_past_due=days,
        **flows,
    )
