"""What is wrong with a row, as a value: bad rows never stop good ones, and none vanishes.

Not here: problems of the whole file (those raise ApplicationError, see reading.py).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REJECT = "reject"
WARN = "warn"

_SHOWN = 60
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding about one row.

    line: physical line of the file where the record begins, from 1. row: record number after the
    header, from 1. column: header of the field at fault, "" where the whole row is. value: its text,
    shortened. rule: stable snake_case name. sentence: for a person. severity: REJECT or WARN.
    """

    line: int
    row: int
    column: str
    value: str
    rule: str
    sentence: str
    severity: str = REJECT


def shorten(value: str) -> str:
    """The value as people are shown it: at most 60 characters, so that a wrong file cannot flood a page."""
    return value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"


def count_reasons(issues: Iterable[Issue]) -> dict[str, int]:
    """Rule -> number of rejected rows it applies to, most frequent first, ties by name.

    A row that breaks two rules counts under both.
    """
    rows: dict[str, set[int]] = {}
    for issue in issues:
        if issue.severity == REJECT:
            rows.setdefault(issue.rule, set()).add(issue.row)
    return {rule: len(found) for rule, found in sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))}


def write_error_file(issues: Sequence[Issue], path: Path) -> None:
    """Write the row-level error file: CSV, UTF-8, one line per issue, in the order of the tape.

    A value that a spreadsheet would run as a formula is prefixed with an apostrophe.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["line", "row", "severity", "rule", "column", "value", "sentence"])
        for issue in issues:
            cells = (issue.severity, issue.rule, issue.column, issue.value, issue.sentence)
            writer.writerow([issue.line, issue.row, *(defused(cell) for cell in cells)])


def defused(cell: str) -> str:
    """A text that no spreadsheet runs as a formula."""
    return "'" + cell if cell.startswith(_FORMULA_STARTS) else cell
