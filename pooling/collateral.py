"""A tape version as of a date: aligned, selected, stratified; and its realised loss, kept apart.

Reads the sealed rows, never the database rows; nothing is stored here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from accounts.errors import ApplicationError
from pooling.artefacts import artefact_read
from pooling.engine.loans import LoanArrays
from pooling.engine.selection import DEFAULT_RULES, concentrations, rules_from_json, select
from pooling.engine.stratification import stratify_all
from pooling.models import TapeVersion
from pooling.tapes import SealedRows, age_align, outcomes, pool_frame, realised_loss

RATE_DECIMALS, GRADE_LETTERS = 6, 8  # as the register keeps them


@dataclass(frozen=True, eq=False)
class Collateral:
    """What a pool is made of. loans: eligible, sorted by loan id. realised_loss: fraction, or None."""

    loans: LoanArrays
    as_of: str
    label: str
    synthetic: bool
    rules: list[dict[str, object]]
    exclusions: Mapping[str, int]
    stratifications: dict[str, Any]
    realised_loss: float | None

    @property
    def cents(self) -> Any:
        """(n,) cut-off balances in cents."""
        return np.rint(self.loans.balance * 100).astype(np.int64)

    def columns(self) -> dict[str, Any]:
        """Columns of a Pool row."""
        cents, loans = self.cents, self.loans
        balance = int(cents.sum())
        share = cents / balance
        return {
            "as_of": self.as_of,
            "label": self.label,
            "synthetic": self.synthetic,
            "rules": self.rules,
            "loan_count": len(loans),
            "excluded": sum(self.exclusions.values()),
            "exclusions": dict(self.exclusions),
            "balance": balance,
            "wac": Decimal(f"{float(share @ loans.rate):.6f}"),
            "wam_months": Decimal(f"{float(share @ loans.remaining_term):.2f}"),
            "stratifications": self.stratifications,
            "realised_loss": None if self.realised_loss is None else Decimal(f"{self.realised_loss:.9f}"),
        }

    def register_rows(self) -> Iterator[tuple[str, int, int, int]]:
        """(loan id, cut-off balance in cents, age, remaining term) of each loan."""
        columns = (self.cents.tolist(), self.loans.age.tolist(), self.loans.remaining_term.tolist())
        yield from zip(self.loans.loan_id.tolist(), *columns, strict=True)


def sealed_rows(tape: TapeVersion) -> SealedRows:
    """The typed rows of a tape version, checked against the digest the database keeps."""
    frame = pd.read_parquet(io.BytesIO(artefact_read(tape.rows_path, sha256=tape.rows_digest)))
    return SealedRows(frame=frame, mapping=tape.quality["mapping"])


def collateral_of(
    tape: TapeVersion, *, as_of: str = "", rules: Sequence[Mapping[str, Any]] | None = None
) -> Collateral:
    """Align a tape's loans to a date, drop what is not eligible, and describe the rest.

    as_of: "origination", "YYYY-MM-DD", or "" for balances as the tape has them. rules: eligibility as data, None
    for the default set. ApplicationError for unusable rules, dates, or when nothing is left.
    """
    rows = sealed_rows(tape)
    aligned = age_align(rows, as_of or None)
    try:
        chosen = DEFAULT_RULES if rules is None else rules_from_json(rules)
    except ValueError as error:
        raise ApplicationError(f"{error}.", code="rules_invalid", field="rules") from error
    frame = pool_frame(rows, aligned)
    selection = select(frame, chosen)
    if not selection.mask.any():
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in selection.excluded.items())
        raise ApplicationError(f"No loan is eligible ({reasons}); relax the rules.", code="pool_empty", field="rules")
    eligible = frame[selection.mask].reset_index(drop=True)
    loans = as_disclosed(aligned.loans.take(selection.mask))
    return Collateral(
        loans=loans,
        as_of=as_of,
        label=aligned.label,
        synthetic=aligned.synthetic,
        rules=[rule.to_json() for rule in chosen],
        exclusions=dict(aligned.excluded) | dict(selection.excluded),
        stratifications=_stratifications(eligible),
        realised_loss=_realised(rows, loans),
    )


def as_disclosed(loans: LoanArrays) -> LoanArrays:
    """The loans to the precision in which they are disclosed: six decimals, whole points, eight letters of grade.

    A rating made from these can be made again by anyone who holds the disclosed table.
    """
    return replace(
        loans,
        # Through text, as the register writes it: rounding the binary number may break a tie the other way.
        rate=np.array([float(f"{rate:.{RATE_DECIMALS}f}") for rate in loans.rate.tolist()]),
        score=np.floor(loans.score),
        grade=loans.grade.astype(f"U{GRADE_LETTERS}"),
    )


def _stratifications(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "tables": [asdict(table) for table in stratify_all(frame)],
        "concentrations": [asdict(each) for each in concentrations(frame)],
    }


def _realised(rows: SealedRows, loans: LoanArrays) -> float | None:
    """Realised loss of a finished pool; None while the outcome of any of its loans is unknown."""
    outcome = outcomes(rows)
    if outcome is None:
        return None
    mask = np.isin(outcome.loan_id, loans.loan_id)
    # Censored loans are still running: a loss that is not yet final is not set beside a lifetime prediction.
    if mask.sum() != len(loans) or (outcome.exit_kind[mask] == 0).any():
        return None
    return realised_loss(outcome, mask, balance=_cutoff_balances(outcome.loan_id, loans))


def _cutoff_balances(loan_id: Any, loans: LoanArrays) -> Any:
    """(n,) cut-off balance by loan of an outcome frame, 0 for loans outside the pool."""
    place = np.searchsorted(loans.loan_id, loan_id)
    place = np.minimum(place, len(loans) - 1)
    return np.where(loans.loan_id[place] == loan_id, loans.balance[place], 0.0)
