"""Collects issues while a tape is checked column by column, and which rows are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pooling.tapes.columns import BoolArray
from pooling.tapes.issues import REJECT, WARN, Issue, shorten
from pooling.tapes.reading import RawTape

# Every refused row is listed; of one kind of remark this many are, and all are counted.
_REMARKS_PER_RULE = 1_000


class IssueLog:
    """Findings about the records of raw.cells, by position."""

    def __init__(self, raw: RawTape) -> None:
        self._raw = raw
        self._issues: list[Issue] = []
        self.rejected: BoolArray = np.zeros(len(raw.row), dtype=bool)
        self.warnings: Counter[str] = Counter()

    def reject(
        self, bad: BoolArray, column: str, text: NDArray[np.object_], rule: str, tell: Callable[[int], str]
    ) -> None:
        """Refuse the rows where bad (m,) holds; tell(position) is the sentence after "Row 5 (line 6): "."""
        self.rejected |= bad
        for position in np.flatnonzero(bad):
            self._add(int(position), column, text, rule, tell, REJECT)

    def warn(
        self, bad: BoolArray, column: str, text: NDArray[np.object_], rule: str, tell: Callable[[int], str]
    ) -> None:
        """Remark on the rows where bad (m,) holds; they stay."""
        positions = np.flatnonzero(bad)
        room = max(0, _REMARKS_PER_RULE - self.warnings[rule])
        if len(positions):
            self.warnings[rule] += len(positions)
        for position in positions[:room]:
            self._add(int(position), column, text, rule, tell, WARN)

    def _add(
        self,
        position: int,
        column: str,
        text: NDArray[np.object_],
        rule: str,
        tell: Callable[[int], str],
        severity: str,
    ) -> None:
        line, row = int(self._raw.line[position]), int(self._raw.row[position])
        sentence = f"Row {row} (line {line}): {tell(position)}."
        self._issues.append(Issue(line, row, column, shorten(str(text[position])), rule, sentence, severity))

    def issues(self) -> tuple[Issue, ...]:
        """All findings with those of reading, in the order of the tape."""
        return tuple(sorted([*self._raw.issues, *self._issues], key=lambda issue: issue.row))
