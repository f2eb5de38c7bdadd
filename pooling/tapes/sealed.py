"""What alignment and outcomes read of a tape: the accepted rows and the fields they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pandas as pd


class TapeRows(Protocol):
    """A checked tape, or the rows of a sealed version."""

    @property
    def frame(self) -> pd.DataFrame: ...
    @property
    def mapping(self) -> Mapping[str, str]: ...
    @property
    def accepted(self) -> int: ...


@dataclass(frozen=True, eq=False)
class SealedRows:
    """Accepted rows of a sealed version (CheckedTape.frame, read back) and field -> header."""

    frame: pd.DataFrame
    mapping: Mapping[str, str]

    @property
    def accepted(self) -> int:
        return len(self.frame)
