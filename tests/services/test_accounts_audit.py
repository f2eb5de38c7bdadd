"""The audit trail: chained, gapless, and refused by the database itself when somebody wants to change it."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from accounts.append_only import guard, guarded_tables, is_guarded, unguard
from accounts.models import AuditEvent, Organisation, Role
from accounts.selectors import AUDIT_TABLE, AuditBroken, audit_head, audit_verify
from accounts.services import CHAIN_START, audit_record, event_digest, organisation_create, user_create
from tests.services.threads import at_once

THREADS = 8


@transaction.atomic
def record(verb: str = "tested", **payload: object) -> AuditEvent:
    return audit_record(actor=None, verb=verb, subject="test:1", payload=payload)


@pytest.fixture
def tampering(db: None):
    """What only somebody with the rights of the database's owner can do: lift the guard, act, put it back."""

    def act(statement: str, *values: str) -> None:
        unguard(connection, AUDIT_TABLE)
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
        guard(connection, AUDIT_TABLE)

    return act


def test_an_empty_trail_is_whole(db):
    assert audit_verify() == 0
    assert audit_head() == (0, CHAIN_START)


def test_events_are_numbered_and_chained(db):
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)
    user = user_create(username="ada", password="a long walk by the river", organisation=organisation)
    with transaction.atomic():
        event = audit_record(actor=user, verb="deal.made", subject="deal:1", payload={"cents": 5, "at": event_time()})
    assert event.organisation == organisation
    events = list(AuditEvent.objects.all())
    assert [each.seq for each in events] == [1, 2, 3]
    assert [each.previous for each in events] == [CHAIN_START, events[0].digest, events[1].digest]
    assert audit_verify() == 3
    assert audit_head() == (3, events[2].digest)


def event_time():
    return Organisation.objects.get().created_at


def test_the_payload_comes_back_as_it_was_hashed(db):
    record(big=10**30, money=Decimal("12.50"), word='straße ✓ " \\', nested={"b": [1, None, True], "a": {}})
    event = AuditEvent.objects.get()
    assert event.digest == event_digest(event)
    assert event.payload == {
        "big": 10**30, "money": "12.50", "word": "straße ✓ \" \\", "nested": {"b": [1, None, True], "a": {}}
    }  # fmt: skip


@pytest.mark.parametrize(("payload", "path"), [({"a": 1.5}, "payload.a"), ({"a": [{"b": 1e22}]}, "payload.a[0].b")])
def test_floats_are_refused_with_their_path(db, payload, path):
    with pytest.raises(TypeError, match=path.replace("[", r"\[")):
        record(**payload)


def test_an_event_vanishes_with_the_act_it_tells_of(db):
    with transaction.atomic():
        record()
        transaction.set_rollback(True)
    assert audit_verify() == 0


def test_the_database_refuses_change_and_deletion(db):
    record()
    for act in (
        lambda: AuditEvent.objects.update(verb="nothing"),
        lambda: AuditEvent.objects.all().delete(),
        lambda: AuditEvent.objects.get().save(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            act()
    assert audit_verify() == 1


def test_postgresql_refuses_truncate(db):
    assert AUDIT_TABLE in guarded_tables(connection)
    if connection.vendor != "postgresql":
        return  # SQLite has no TRUNCATE
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {AUDIT_TABLE}")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE accounts_auditevent SET subject = 'test:9' WHERE seq = 2", "event 2 was changed"),
        ("UPDATE accounts_auditevent SET previous = digest WHERE seq = 2", "event 2 is not chained"),
        ("DELETE FROM accounts_auditevent WHERE seq = 2", "event 2 is missing"),
        ("DELETE FROM accounts_auditevent WHERE seq = 1", "event 1 is missing"),
    ],
)
def test_tampering_is_found_at_the_event(tampering, statement, message):
    for _ in range(3):
        record()
    tampering(statement)
    with pytest.raises(AuditBroken, match=message):
        audit_verify()


def test_rewriting_an_event_with_a_fitting_digest_breaks_the_next(tampering):
    for _ in range(3):
        record()
    forged = AuditEvent.objects.get(seq=2)
    forged.subject = "test:9"
    tampering(
        "UPDATE accounts_auditevent SET subject = %s, digest = %s WHERE seq = 2", forged.subject, event_digest(forged)
    )
    with pytest.raises(AuditBroken, match="event 3 is not chained"):
        audit_verify()


def test_missing_triggers_are_found(db):
    unguard(connection, AUDIT_TABLE)
    assert not is_guarded(connection, AUDIT_TABLE)
    with pytest.raises(AuditBroken, match="triggers"):
        audit_verify()
    guard(connection, AUDIT_TABLE)
    guard(connection, AUDIT_TABLE)
    assert audit_verify() == 0


def test_the_command_prints_the_head_and_finds_a_cut_tail(tampering):
    for _ in range(3):
        record()
    out = StringIO()
    call_command("verify_audit", stdout=out)
    seq, digest = audit_head()
    assert out.getvalue() == f"3 audit events, whole. Head: {seq}:{digest}\n"
    record()
    call_command("verify_audit", after=f"{seq}:{digest}", stdout=StringIO())

    tampering("DELETE FROM accounts_auditevent WHERE seq >= 3")
    call_command("verify_audit", stdout=StringIO())  # whole in itself …
    with pytest.raises(CommandError, match="cut or rewritten"):
        call_command("verify_audit", after=f"{seq}:{digest}", stdout=StringIO())  # … but not against its head

    tampering("UPDATE accounts_auditevent SET verb = 'x' WHERE seq = 1")
    with pytest.raises(CommandError, match="event 1 was changed"):
        call_command("verify_audit", stdout=StringIO())


@pytest.mark.django_db(transaction=True)
def test_an_event_needs_the_callers_transaction():
    with pytest.raises(RuntimeError):
        audit_record(actor=None, verb="v", subject="s", payload={})


@pytest.mark.django_db(transaction=True)
def test_events_written_at_once_form_one_chain():
    at_once(THREADS, lambda number: [record(number=number) for _ in range(10)])
    assert audit_verify() == THREADS * 10


@pytest.mark.django_db(transaction=True)
def test_the_guard_is_up_again_in_the_test_after_a_flush():
    assert is_guarded(connection, AUDIT_TABLE)
