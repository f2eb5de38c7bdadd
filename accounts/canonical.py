"""One text for one value: the canonical JSON behind every digest of this project that is not an engine's.

Not here: what is hashed, and why.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID


def _plain(value: object) -> str:
    """The text of what JSON has no word for; TypeError for anything else, so that nothing is hashed by its repr."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical JSON form")


def canonical_json(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces; dates, Decimal and UUID as strings.

    Raises ValueError for NaN and infinities, TypeError for types without one agreed text.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain)


def digest(value: Any) -> str:
    """The SHA-256 of `canonical_json(value)`, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("ascii")).hexdigest()
