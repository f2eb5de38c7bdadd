"""Checks that several services of the market share: who acts, which state may follow, whole numbers only.

Not here: writes.
"""

from __future__ import annotations

from accounts.errors import ApplicationError
from accounts.models import Organisation, User
from accounts.selectors import require_role
from marketplace.models import LISTING_TRANSITIONS, Listing


def acting_organisation(user: User, *roles: str) -> Organisation:
    """The organisation the user acts for, with one of the roles; ApplicationError(code="forbidden") otherwise."""
    organisation = require_role(user, *roles).organisation
    if organisation is None:
        raise ApplicationError("This user belongs to no organisation.", code="forbidden")
    return organisation


def transition_checked(listing: Listing, target: str) -> None:
    """Refuse a move that LISTING_TRANSITIONS does not name; call it under the listing's row lock."""
    if target not in LISTING_TRANSITIONS[listing.state]:
        raise ApplicationError(
            f"The listing is {listing.state} and cannot become {target}.",
            code="illegal_transition",
            field="state",
        )


def whole(value: object, field: str, *, low: int, high: int, unit: str) -> int:
    """value as a whole number in [low, high]; the sentence names the field, its bounds and the unit."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ApplicationError(
            f"{field} {value!r} is not a whole number: give {unit} as an integer.",
            code="not_an_integer",
            field=field,
        )
    if not low <= value <= high:
        raise ApplicationError(
            f"{field} {value} is out of range: give {low} to {high} {unit}.", code="out_of_range", field=field
        )
    return value
