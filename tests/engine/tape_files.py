"""Small tapes for the tests of reading, checking and alignment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pooling.tapes import CheckedTape, check_tape, read_tape

HEADER = ("id", "loan_amnt", "funded_amnt", "term", "int_rate", "grade", "issue_d", "addr_state", "title")


def loan(number: int, **changes: str) -> list[str]:
    """One good row of HEADER, with changes."""
    row = {
        "id": str(1000 + number),
        "loan_amnt": "10000",
        "funded_amnt": str(5000 + 25 * number),
        "term": "36 months",
        "int_rate": "12.5%",
        "grade": "B",
        "issue_d": "Mar-2018",
        "addr_state": "CA",
        "title": "a loan",
    }
    return list((row | changes).values())


def write(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    """A CSV file of header and rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def checked(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> CheckedTape:
    """The tape of these rows, read and checked."""
    return check_tape(read_tape(write(path, rows, header)))
