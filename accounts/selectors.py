"""Reads of the accounts: who a token belongs to, what a role may do, whether the audit trail is whole."""

from __future__ import annotations

import hmac

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from accounts.append_only import is_guarded
from accounts.errors import ApplicationError
from accounts.models import ApiToken, AuditEvent, User
from accounts.services import BEARER_PREFIX, CHAIN_START, event_digest, token_digest

AUDIT_TABLE = AuditEvent._meta.db_table
AUDIT_BATCH = 2_000


class AuditBroken(ApplicationError):
    """The audit trail was changed behind the application's back, or its guard is off."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="audit_broken")


# ---------------------------------------------------------------------------------------------------- tokens
def user_by_token(plain: str) -> User | None:
    """The active user of an unrevoked, unexpired token; None for anything else, whatever is wrong with it.

    The look-up is by digest, so its timing tells nothing about the token; the digests are compared in constant time.
    """
    if not plain.startswith(BEARER_PREFIX):
        return None
    wanted = token_digest(plain)
    alive = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    token = (
        ApiToken.objects.select_related("user__organisation")
        .filter(alive, digest=wanted, revoked_at=None, user__is_active=True)
        .first()
    )
    if token is None or not hmac.compare_digest(token.digest, wanted):
        return None
    return token.user


def bearer_token(request: HttpRequest) -> str | None:
    """The token of an `Authorization: Bearer …` header, or None when there is no such header."""
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else None


def viewer_of(request: HttpRequest) -> User | AnonymousUser:
    """Who asks: by bearer token if the header is there, else by session.

    A bad token is ApplicationError(code="unauthenticated") and never falls back to the session: a client that
    presents a token means to be that token's user. Requests with a bearer token need no CSRF token, others do.
    """
    plain = bearer_token(request)
    if plain is None:
        user = request.user
        return user if isinstance(user, User) else AnonymousUser()
    owner = user_by_token(plain)
    if owner is None:
        raise ApplicationError(
            "The bearer token is unknown, expired or revoked. Issue a new one.", code="unauthenticated"
        )
    return owner


def tokens_visible(viewer: User | AnonymousUser | None) -> QuerySet[ApiToken]:
    """The viewer's own tokens, newest first; nobody else's."""
    if not isinstance(viewer, User) or not viewer.is_active:
        return ApiToken.objects.none()
    return ApiToken.objects.filter(user=viewer).order_by("-id")


# ----------------------------------------------------------------------------------------------------- roles
def require_role(viewer: User | AnonymousUser | None, *roles: str) -> User:
    """`viewer` as a User when active and of one of `roles`; else ApplicationError(code="forbidden")."""
    if not isinstance(viewer, User) or not viewer.is_active:
        raise ApplicationError("Sign in to do this.", code="forbidden")
    if viewer.role not in roles:
        allowed = " or ".join(str(role) for role in roles)
        raise ApplicationError(f"Only an {allowed} may do this.", code="forbidden")
    return viewer


# ----------------------------------------------------------------------------------------------- audit trail
def audit_head() -> tuple[int, str]:
    """Number and digest of the last event; (0, zeros) for an empty trail.

    Keep it outside the database: a trail cut off at its end is whole in itself and is only found by its head.
    """
    last = AuditEvent.objects.order_by("-seq").values_list("seq", "digest").first()
    return last if last else (0, CHAIN_START)


def audit_verify() -> int:
    """The number of events of a whole trail: numbered without gap, each chained to the one before, guarded by triggers.

    Raises AuditBroken naming the first event at fault.
    """
    if not is_guarded(connection, AUDIT_TABLE):
        raise AuditBroken(f"The triggers that keep {AUDIT_TABLE} append-only are missing.")
    count, previous = 0, CHAIN_START
    for event in AuditEvent.objects.order_by("seq").iterator(AUDIT_BATCH):
        if event.seq != count + 1:
            raise AuditBroken(f"Audit event {count + 1} is missing: event {event.seq} follows {count}.")
        if event.previous != previous:
            raise AuditBroken(f"Audit event {event.seq} is not chained to the event before it.")
        if event.digest != event_digest(event):
            raise AuditBroken(f"Audit event {event.seq} was changed: its content does not match its digest.")
        count, previous = event.seq, event.digest
    return count
