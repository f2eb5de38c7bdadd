"""Writes of the accounts: organisations, users, tokens, idempotency claims and the audit trail.

Not here: who may see what (selectors.py).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from accounts.canonical import canonical_json, digest
from accounts.errors import ApplicationError
from accounts.models import ApiToken, AuditEvent, IdempotencyClaim, Organisation, User

BEARER_PREFIX = "gp_"
TOKEN_BYTES = 32
TOKEN_LIFETIME = timedelta(days=90)
CHAIN_START = "0" * 64
# Any constant: the key of the advisory lock that lets one transaction at a time append to the audit trail.
AUDIT_LOCK = 0x676C6173


# --------------------------------------------------------------------------------------------- organisations
@transaction.atomic
def organisation_create(*, name: str, role: str, actor: User | None = None) -> Organisation:
    """A new party of the market. `role` is one of accounts.models.Role; ApplicationError names the field at fault."""
    organisation = Organisation(name=name.strip(), role=role)
    _save_checked(organisation)
    audit_record(
        actor=actor, verb="organisation.created", subject=f"organisation:{organisation.pk}", payload={"role": role}
    )
    return organisation


@transaction.atomic
def user_create(
    *,
    username: str,
    password: str,
    organisation: Organisation | None,
    first_name: str = "",
    last_name: str = "",
    email: str = "",
    actor: User | None = None,
) -> User:
    """A new person of `organisation`. ApplicationError names the field at fault; settings hold the password rules."""
    user = User(username=username, organisation=organisation, first_name=first_name, last_name=last_name, email=email)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ApplicationError(" ".join(error.messages), field="password") from error
    user.set_password(password)
    _save_checked(user)
    # The trail keeps no name: people may ask to be erased, the trail cannot forget.
    audit_record(actor=actor, verb="user.created", subject=f"user:{user.pk}", payload={})
    return user


def _save_checked(row: Model) -> None:
    """full_clean, then save; the first failing field becomes an ApplicationError, a taken name has code `taken`."""
    try:
        row.full_clean()
    except ValidationError as error:
        field, problems = next(iter(error.error_dict.items()))
        code = "taken" if any(problem.code == "unique" for problem in problems) else "invalid"
        raise ApplicationError(" ".join(problems[0].messages), code=code, field=field) from error
    row.save(force_insert=True)


# ----------------------------------------------------------------------------------------------------- tokens
def token_digest(plain: str) -> str:
    """SHA-256 of a token. No salt and no stretching: the token is 256 random bits, there is nothing to guess."""
    return hashlib.sha256(plain.encode()).hexdigest()


@transaction.atomic
def token_issue(*, user: User, name: str, lifetime: timedelta | None = TOKEN_LIFETIME) -> tuple[ApiToken, str]:
    """A new bearer token of `user` and its text, which is shown this once. lifetime None: it never expires."""
    if lifetime is not None and lifetime <= timedelta(0):
        raise ApplicationError("The lifetime of a token must be longer than nothing.", field="lifetime")
    plain = BEARER_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    token = ApiToken(
        user=user,
        name=name.strip(),
        digest=token_digest(plain),
        expires_at=timezone.now() + lifetime if lifetime is not None else None,
    )
    _save_checked(token)
    audit_record(actor=user, verb="token.issued", subject=f"token:{token.pk}", payload={"expires": token.expires_at})
    return token, plain


@transaction.atomic
def token_revoke(*, token: ApiToken, actor: User | None = None) -> ApiToken:
    """Revoke `token` from now on; revoking twice keeps the first moment."""
    now = timezone.now()
    changed = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now)
    token.refresh_from_db()
    if changed:
        audit_record(actor=actor or token.user, verb="token.revoked", subject=f"token:{token.pk}", payload={})
    return token


# ------------------------------------------------------------------------------------------------ idempotency
@dataclass
class Claim:
    """What `claim` found. fresh: this transaction is the first and does the work; else subject_id is the answer."""

    row: IdempotencyClaim
    fresh: bool

    @property
    def subject_id(self) -> str:
        """The id that the first call settled on; empty while that work is under way in this transaction."""
        return self.row.subject_id

    def settle(self, subject_id: object) -> None:
        """Store the answer beside the claim, in the caller's transaction. RuntimeError unless fresh and unsettled."""
        if not self.fresh or self.row.subject_id:
            raise RuntimeError(f"claim {self.row.key!r} is settled already")
        self.row.subject_id = str(subject_id)
        self.row.save(update_fields=["subject_id"])


def claim(*, organisation: Organisation, key: str, verb: str, params: Mapping[str, Any]) -> Claim:
    """The first write of a service: takes `key` for `verb` with `params`, or finds that it was taken.

    Must run in the transaction that has the effect, so that key and effect appear together or not at all. A second
    caller with the same key waits for the first (PostgreSQL on the unique index, SQLite on the write lock).
    The same key with another verb or other params: ApplicationError(code="idempotency_conflict").
    """
    if not connection.in_atomic_block:
        raise RuntimeError("claim() needs the caller's transaction")
    longest = IdempotencyClaim._meta.get_field("key").max_length
    if not key or len(key) > (longest or 0) or not key.isprintable():
        raise ApplicationError(
            f"The idempotency key must be 1 to {longest} printable characters.", field="idempotency_key"
        )
    wanted = digest({"verb": verb, "params": params})
    try:
        with transaction.atomic():  # a savepoint: on PostgreSQL a refused insert spoils its whole transaction
            row = IdempotencyClaim.objects.create(organisation=organisation, key=key, verb=verb, params_digest=wanted)
        return Claim(row, fresh=True)
    except IntegrityError:
        row = IdempotencyClaim.objects.get(organisation=organisation, key=key)
    if row.verb != verb or row.params_digest != wanted:
        raise ApplicationError(
            f"The idempotency key {key!r} was used for another request; take a new key for a new request.",
            code="idempotency_conflict",
            field="idempotency_key",
        )
    return Claim(row, fresh=False)


# ------------------------------------------------------------------------------------------------ audit trail
def event_digest(event: AuditEvent) -> str:
    """SHA-256 over the canonical JSON of every column of `event` but the digest itself."""
    return digest(
        {
            "seq": event.seq,
            "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "actor": event.actor_id,
            "organisation": event.organisation_id,
            "verb": event.verb,
            "subject": event.subject,
            "payload": event.payload,
            "previous": event.previous,
        }
    )


def audit_record(
    *, actor: User | None, verb: str, subject: str, payload: Mapping[str, Any], at: datetime | None = None
) -> AuditEvent:
    """Append one act to the trail, in the caller's transaction: the act and its trace appear together or not at all.

    Call it last: from here to the end of the transaction no other transaction can append.
    payload: JSON without floats (money is integers, rates are strings or Decimal), because the databases do not keep
    the spelling of a float and the digest would not be found again. TypeError names the path of one.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("audit_record() needs the caller's transaction")
    _refuse_floats(payload, "payload")
    if connection.vendor == "postgresql":
        # SQLite has one writer at a time anyway. A lock of its own also covers the empty table.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AUDIT_LOCK])
    last = AuditEvent.objects.order_by("-seq").values_list("seq", "digest").first()
    event = AuditEvent(
        seq=last[0] + 1 if last else 1,
        at=at or timezone.now(),
        actor=actor,
        organisation=actor.organisation if actor else None,
        verb=verb,
        subject=subject,
        payload=json.loads(canonical_json(payload)),
        previous=last[1] if last else CHAIN_START,
    )
    event.digest = event_digest(event)
    event.save(force_insert=True)
    return event


def _refuse_floats(value: object, path: str) -> None:
    """TypeError with the path of the first float in `value`."""
    if isinstance(value, float):
        raise TypeError(f"{path} is a float; the audit trail takes integers, Decimal and strings")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_floats(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_floats(item, f"{path}[{position}]")
