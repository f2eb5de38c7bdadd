"""The canonical form of a tape's row, its fingerprint, and the loan ids that follow from it.

A row is the mapping of every header to the trimmed text under it, written as RFC 8785 JSON (keys sorted by
UTF-16 code units, no spaces, UTF-8). Nothing here depends on the order of rows or columns.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

LEAF_PREFIX = b"\x00"
_PLEDGE_PREFIX = b"glasspool pledge 1\x00"
_GENERATED_ID = re.compile(r"L[0-9a-f]{20}")
_LONGEST_ID = 64


def canonical_json(row: Mapping[str, str]) -> bytes:
    """RFC 8785 JSON of a row of texts, UTF-8."""
    headers = list(row)
    return canonical_writer(headers)([row[header] for header in headers])


def canonical_writer(headers: Sequence[str]) -> Callable[[Sequence[str]], bytes]:
    """A function from the values of one row, in the order of headers, to its canonical JSON.

    Built once per tape: sorting the headers for every row would triple the time of reading.
    """
    order = sorted(range(len(headers)), key=lambda i: headers[i].encode("utf-16-be"))
    starts = [encode_basestring(headers[i]) + ":" for i in order]
    blanks = [start + '""' for start in starts]
    if len(order) == 1:
        return lambda values: ("{" + starts[0] + encode_basestring(values[0]) + "}").encode()
    pick = itemgetter(*order) if order else (lambda values: ())

    def write(values: Sequence[str]) -> bytes:
        pairs = zip(starts, blanks, pick(values), strict=True)
        return ("{" + ",".join([s + encode_basestring(v) if v else blank for s, blank, v in pairs]) + "}").encode()

    return write


def leaf_hash(canonical: bytes) -> bytes:
    """SHA-256 of 0x00 and the canonical JSON: the row's fingerprint and its Merkle leaf (as in RFC 6962)."""
    return hashlib.sha256(LEAF_PREFIX + canonical).digest()


def pledge_fingerprint(originator: str, canonical_row: Mapping[str, str] | bytes) -> str:
    """Hex SHA-256 of originator and full canonical row, without the tape.

    The same loan offered twice, in whichever file, gives the same fingerprint. canonical_row: the row, or
    its 32-byte leaf hash. originator: a stable key of the organisation, not its display name.
    """
    leaf = canonical_row if isinstance(canonical_row, bytes) else leaf_hash(canonical_json(canonical_row))
    if len(leaf) != 32:
        raise ValueError(f"canonical_row: a leaf hash has 32 bytes, got {len(leaf)}")
    return hashlib.sha256(_PLEDGE_PREFIX + originator.encode() + b"\x00" + leaf).hexdigest()


def loan_ids(tape_ids: Sequence[str], leaves: NDArray[np.uint8]) -> list[str]:
    """One unique id per row: the tape's own, else "L" and 20 hex digits of the fingerprint.

    tape_ids: n texts, "" where the tape has none. leaves: (n, 32) distinct fingerprints. Usable: filled,
    held by one row only, at most 64 printable characters, and not of the form made here, so that an id in a
    tape can never collide with a made one.
    """
    seen = Counter(tape_ids)
    ids = []
    for tape_id, leaf in zip(tape_ids, leaves, strict=True):
        usable = (
            0 < len(tape_id) <= _LONGEST_ID
            and seen[tape_id] == 1
            and tape_id.isprintable()
            and not _GENERATED_ID.fullmatch(tape_id)
        )
        ids.append(tape_id if usable else "L" + leaf.tobytes().hex()[:20])
    return ids
