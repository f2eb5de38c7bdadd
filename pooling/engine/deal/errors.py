"""The one error of the deal language: where in the specification, and what to change there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpecError(ValueError):
    """A specification that cannot be accepted.

    path: place in the JSON, such as "tranches[1].coupon"; "" for the whole. message: one sentence.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path or 'specification'}: {message}")
        self.path = path
        self.message = message

    def below(self, parent: str) -> SpecError:
        """The same error seen from the parent object."""
        joint = "" if not self.path or self.path.startswith("[") or not parent else "."
        return SpecError(f"{parent}{joint}{self.path}", self.message)


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'balance'?" where a known word is near, else the list of known words."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(words)}" if words else ""
