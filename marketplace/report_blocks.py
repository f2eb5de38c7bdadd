"""The blocks that reports are made of (facts, tables, sentences, drawings), and how figures are written in them.

Not here: what a report says (rating_document.py), and layout (rating_pdf.py, templates).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from marketplace.model_exhibits import shown

Json = Mapping[str, Any]
NONE, MINUS = "—", "−"
NOTICE = "Grades are this project's own indicative ones, on its own scale; they are no rating of a rating agency."
MOST_LISTED = 24


@dataclass(frozen=True)
class Facts:
    """Pairs of a name and a text."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Grid:
    """A table: header and rows of texts; the first `words` columns are words, the others figures. widths: shares of
    the page, () for even ones."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    widths: tuple[float, ...] = ()
    kind: ClassVar[str] = "grid"

    @property
    def cells(self) -> list[list[tuple[bool, str]]]:
        """Rows of (whether a figure, text)."""
        return [[(place >= self.words, text) for place, text in enumerate(row)] for row in self.rows]

    @property
    def heads(self) -> list[tuple[bool, str]]:
        return [(place >= self.words, text) for place, text in enumerate(self.header)]


@dataclass(frozen=True)
class Sentences:
    """Plain sentences, each a line of its own."""

    lines: tuple[str, ...]
    title: str = ""
    kind: ClassVar[str] = "sentences"


@dataclass(frozen=True)
class Plot:
    """A drawing: name of rating_drawings.DRAWINGS and its data."""

    title: str
    name: str
    data: Json
    kind: ClassVar[str] = "plot"


Block = Facts | Grid | Sentences | Plot


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class RatingDocument:
    """title, lead: of the first page; provenance: the line under every page."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    provenance: str
    notice: str = NOTICE


# ----------------------------------------------------------------------------------------------------- how figures read
def number(value: Any, digits: int = 2) -> str:
    """A figure with fixed decimals and a true minus; a dash for none."""
    if value is None or isinstance(value, str | bool):
        return NONE
    text = f"{value:,.{digits}f}"
    return (MINUS + text[1:] if text.strip("-0.,") else text[1:]) if text.startswith("-") else text


def percent(value: Any, digits: int = 2) -> str:
    """A fraction in percent, without the sign."""
    return NONE if value is None else number(100 * float(value), digits)


def rare(value: Any) -> str:
    """A small fraction in percent: four decimals, and never a zero for what is not."""
    if value is None:
        return NONE
    return "<0.0001" if 0 < 100 * value < 0.0001 else percent(value, 4)


def within(value: Any, error: Any, write: Callable[[Any], str] = rare) -> str:
    """A figure and its standard error."""
    return NONE if value is None else f"{write(value)} ± {write(error)}"


def band(found: Json | None, write: Callable[[Any], str] = rare) -> str:
    """A model interval."""
    low, high = (None, None) if not found else (found.get("low"), found.get("high"))
    return NONE if low is None or high is None else f"{write(low)} to {write(high)}"


def estimate(found: Json | None, write: Callable[[Any], str] = percent) -> str:
    """{value, se, reached}."""
    if not found:
        return NONE
    return within(found.get("value"), found.get("se"), write) + ("" if found.get("reached", True) else ", not reached")


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Every leaf of a JSON value with its path; a list of more than 24 figures by its length and ends."""
    if isinstance(value, Mapping) and value:
        return [pair for key in value for pair in flat(value[key], f"{path}.{key}" if path else str(key))]
    if isinstance(value, list | tuple) and len(value) > MOST_LISTED:
        return [(path, f"{len(value)} entries, {shown(value[0])} to {shown(value[-1])}")]
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping | list) for item in value):
        return [pair for place, item in enumerate(value) for pair in flat(item, f"{path}[{place}]")]
    if isinstance(value, bool):
        return [(path, "yes" if value else "no")]
    if isinstance(value, float):
        return [(path, repr(value))]
    return [(path, shown(value))]


def manifest_rows(manifest: Json) -> tuple[tuple[str, str], ...]:
    """Every key of a manifest in alphabetical order, values exactly as they are stored."""
    return tuple((key, text) for key, text in sorted(_leaves(manifest)))


def _leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for key in value for pair in _leaves(value[key], f"{path}.{key}" if path else str(key))]
    return [(path, value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False))]


def span(pair: Sequence[str] | None) -> str:
    """An interval of grades; one grade where both ends agree."""
    ends = list(pair or ())
    return NONE if not ends else ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"
