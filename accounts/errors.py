"""The root of every error meant for people: a sentence, a code for programs, and the field it is about.

Engines raise ValueError; services turn what a person can mend into an ApplicationError.
"""

from __future__ import annotations


class ApplicationError(Exception):
    """A refusal a person can act on.

    message: one sentence naming the field, the row where there is one, and the mend.
    code: stable snake_case name for programs. field: path of the input at fault, or None.
    """

    def __init__(self, message: str, *, code: str = "invalid", field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.field = field


class NotFound(ApplicationError):
    """The object does not exist, or is not for this user: the two read alike on purpose."""

    def __init__(self, what: str) -> None:
        super().__init__(f"No such {what}.", code="not_found")
