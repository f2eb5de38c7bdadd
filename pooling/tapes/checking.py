"""Checking a tape: rows of text to typed canonical rows, and an issue for every row that is refused.

A row is refused for what cannot be true (a missing amount, a 400 % rate, a 13th month, a row given twice);
what is merely absent stays unknown. Accepted and refused rows add up to the rows of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pooling.tapes.canonical import loan_ids, pledge_fingerprint
from pooling.tapes.columns import BoolArray, texts
from pooling.tapes.issues import Issue, count_reasons
from pooling.tapes.log import IssueLog
from pooling.tapes.mapping import map_columns
from pooling.tapes.merkle import InclusionProof, inclusion_proof, merkle_root
from pooling.tapes.optional import read_optional
from pooling.tapes.reading import RawTape
from pooling.tapes.required import read_required
from pooling.tapes.units import UnitDecision

# Columns of CheckedTape.frame. Cents are int64 where always known, else nullable Int64; dti and rate are
# fractions; income is currency units a year; months are "YYYY-MM" or "".
COLUMNS = (
    "loan_id", "line", "row", "position", "balance_cents", "rate", "term", "grade", "sub_grade", "score",
    "issue_month", "state", "purpose", "income", "dti", "employment_years", "home_ownership", "obligor",
    "instalment_cents", "outstanding_cents", "status", "last_payment_month", "received_principal_cents",
    "received_interest_cents", "recoveries_cents", "recovery_fee_cents",
)  # fmt: skip
_TEXT_COLUMNS = (
    "loan_id", "grade", "sub_grade", "issue_month", "state", "purpose", "home_ownership", "obligor", "status",
    "last_payment_month",
)  # fmt: skip


@dataclass(frozen=True)
class Quality:
    """What a reader of the tape should know beyond refused rows.

    missing: canonical column -> share of accepted rows where it is unknown. units: decisions per column.
    warnings: rule -> number of rows remarked upon. unmapped: headers no field was found for.
    """

    missing: Mapping[str, float]
    units: tuple[UnitDecision, ...]
    warnings: Mapping[str, int]
    unmapped: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class CheckedTape:
    """A tape after the checks; everything is aligned with frame, which is sorted by loan_id.

    frame: one accepted loan a row, see COLUMNS. position points into raw.cells. mapping: field -> header.
    issues: all findings in the order of the file. reasons: rule -> refused rows (a row may break two rules).
    rows = accepted + rejected.
    """

    raw: RawTape
    frame: pd.DataFrame
    mapping: Mapping[str, str]
    issues: tuple[Issue, ...]
    reasons: Mapping[str, int]
    quality: Quality
    rows: int
    accepted: int
    rejected: int

    @cached_property
    def leaves(self) -> list[bytes]:
        """Leaf hash of each accepted row, in the order of frame."""
        return [leaf.tobytes() for leaf in self.raw.leaves[self._positions]]

    @property
    def _positions(self) -> NDArray[np.int64]:
        return np.asarray(self.frame["position"], dtype=np.int64)

    @cached_property
    def root(self) -> str:
        """Hex Merkle root over the canonical rows sorted by loan id, whatever the order of the file."""
        return merkle_root(self.leaves)

    def inclusion_proof(self, index: int) -> InclusionProof:
        """Proof for the loan at a row of frame. Raises ValueError for an index outside it."""
        return inclusion_proof(self.leaves, index)

    def canonical_row(self, index: int) -> dict[str, str]:
        """The canonical row (all headers, trimmed text) of the loan at a row of frame."""
        return self.raw.canonical_row(int(self._positions[index]))

    def canonical_frame(self) -> pd.DataFrame:
        """All canonical rows, in the order of frame: what an immutable version stores."""
        return self.raw.cells.iloc[self._positions].reset_index(drop=True)

    def pledge_fingerprints(self, originator: str) -> list[str]:
        """Hex pledge fingerprint of each loan, in the order of frame, for the originator's stable key."""
        return [pledge_fingerprint(originator, leaf) for leaf in self.leaves]


def check_tape(
    raw: RawTape, *, mapping: Mapping[str, str] | None = None, units: Mapping[str, str] | None = None
) -> CheckedTape:
    """Map, type and check a tape.

    mapping: field -> header and units: field -> unit, where a person decided; the rest is found and recorded.
    Raises ApplicationError (tape_missing_columns, tape_duplicate_columns, tape_mapping); bad rows are issues.
    """
    columns = map_columns(raw.headers, mapping)
    chosen = dict(units or {})
    unknown = sorted(set(chosen) - {"rate", "term", "dti"})
    if unknown:
        raise ValueError(f"units: {unknown[0]!r} has no unit to choose")
    log = IssueLog(raw)
    required = read_required(raw, columns, log, chosen)
    optional, optional_units = read_optional(raw, columns, log, chosen)
    _refuse_duplicates(raw, log)
    tape_ids = _tape_ids(raw, columns)
    _remark_repeated_ids(tape_ids, columns, log)

    keep = np.flatnonzero(~log.rejected)
    values: dict[str, object] = {
        "line": raw.line,
        "row": raw.row,
        "position": np.arange(len(raw.row)),
        "balance_cents": required.balance_cents,
        "rate": required.rate,
        "term": required.term,
        **optional,
    }
    frame = pd.DataFrame(values).iloc[keep]
    frame["loan_id"] = np.array(loan_ids([str(tape_ids[i]) for i in keep], raw.leaves[keep]), dtype=object)
    # NumPy's order of texts is by code point, as in LoanArrays: one order everywhere.
    order = np.argsort(frame["loan_id"].to_numpy(dtype=str), kind="stable")
    frame = frame.iloc[order].reset_index(drop=True)[list(COLUMNS)]
    frame = frame.astype({name: "str" for name in _TEXT_COLUMNS})
    issues = log.issues()
    return CheckedTape(
        raw=raw,
        frame=frame,
        mapping=columns,
        issues=issues,
        reasons=count_reasons(issues),
        quality=Quality(
            missing=_missing_shares(frame),
            units=(*required.units, *optional_units),
            warnings=dict(sorted(log.warnings.items())),
            unmapped=tuple(header for header in raw.headers if header not in set(columns.values())),
        ),
        rows=raw.rows,
        accepted=len(frame),
        rejected=raw.rows - len(frame),
    )


def _refuse_duplicates(raw: RawTape, log: IssueLog) -> None:
    """Refuse a row equal to an earlier one in every cell: what nothing tells apart is one loan."""
    first: dict[bytes, int] = {}
    earlier = [first.setdefault(leaf.tobytes(), i) for i, leaf in enumerate(raw.leaves)]
    repeated: BoolArray = np.array(earlier, dtype=np.int64) != np.arange(len(earlier))
    blank = np.full(len(earlier), "", dtype=object)

    def tell(position: int) -> str:
        line = int(raw.line[earlier[position]])
        return f"repeats line {line} in every column; remove it, or add an id column if these are two loans"

    log.reject(repeated, "", blank, "row_duplicate", tell)


def _tape_ids(raw: RawTape, columns: Mapping[str, str]) -> NDArray[np.object_]:
    if "loan_id" not in columns:
        return np.full(len(raw.row), "", dtype=object)
    return texts(raw.cells, columns["loan_id"])


def _remark_repeated_ids(ids: NDArray[np.object_], columns: Mapping[str, str], log: IssueLog) -> None:
    """Two different rows under one id stay, under generated ids: no one can tell which is the loan."""
    accepted = np.where(log.rejected, "", ids)
    repeated: BoolArray = pd.Series(accepted).duplicated(keep=False).to_numpy() & (accepted != "")
    if repeated.any():
        header = columns["loan_id"]
        log.warn(
            repeated,
            header,
            ids,
            "loan_id_repeated",
            lambda i: f"loan id {ids[i]!r} is used by another row too",
        )


def _missing_shares(frame: pd.DataFrame) -> dict[str, float]:
    """Share of rows where a column is unknown: empty text or no number. An empty frame has no shares."""
    if frame.empty:
        return {}
    shares = {}
    for name in COLUMNS[4:]:
        column = frame[name]
        unknown = column.eq("") if name in _TEXT_COLUMNS else column.isna()
        shares[name] = float(unknown.mean())
    return shares
