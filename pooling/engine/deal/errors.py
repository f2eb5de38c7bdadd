"""The one error of the deal language: where in the specification, and what to change there."""

from __future__ import annotations

from pooling.engine.words import suggestion


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


__all__ = ["SpecError", "suggestion"]
