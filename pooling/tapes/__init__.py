"""Loan tapes: bounded reading, mapping and units, checks, canonical rows and proofs, outcomes, alignment.

Pure: no Django. The way of a file: read_tape -> check_tape -> age_align -> pool_frame.
"""

from pooling.tapes.alignment import ORIGINATION, AlignedPool, age_align, pool_frame, scheduled_balance
from pooling.tapes.canonical import canonical_json, leaf_hash, pledge_fingerprint
from pooling.tapes.checking import COLUMNS, CheckedTape, Quality, check_tape
from pooling.tapes.dates import month_name, month_number
from pooling.tapes.exits import CENSORED, DEFAULT, MATURED, PREPAID, OutcomeFrame, outcomes, realised_loss
from pooling.tapes.generator import generate_tape, write_generated_tape
from pooling.tapes.issues import REJECT, WARN, Issue, write_error_file
from pooling.tapes.merkle import InclusionProof, inclusion_proof, merkle_root, verify_proof
from pooling.tapes.reading import RawTape, ReadLimits, read_tape
from pooling.tapes.sealed import SealedRows, TapeRows
from pooling.tapes.units import UnitDecision

__all__ = [
    "CENSORED",
    "COLUMNS",
    "DEFAULT",
    "MATURED",
    "ORIGINATION",
    "PREPAID",
    "REJECT",
    "WARN",
    "AlignedPool",
    "CheckedTape",
    "InclusionProof",
    "Issue",
    "OutcomeFrame",
    "Quality",
    "RawTape",
    "ReadLimits",
    "SealedRows",
    "TapeRows",
    "UnitDecision",
    "age_align",
    "canonical_json",
    "check_tape",
    "generate_tape",
    "inclusion_proof",
    "leaf_hash",
    "merkle_root",
    "month_name",
    "month_number",
    "outcomes",
    "pledge_fingerprint",
    "pool_frame",
    "read_tape",
    "realised_loss",
    "scheduled_balance",
    "verify_proof",
    "write_error_file",
    "write_generated_tape",
]
