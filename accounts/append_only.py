"""Tables that only grow: triggers of the database that refuse UPDATE and DELETE (on PostgreSQL also TRUNCATE).

For migrations: `migrations.RunPython(guarding("accounts_auditevent"), unguarding("accounts_auditevent"))`.
SQLite drops the triggers of a table that a later migration rebuilds: such a migration ends with `guarding` again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

REFUSAL = "is append-only"
Step = Callable[[Any, Any], None]


def _names(connection: BaseDatabaseWrapper, table: str) -> tuple[str, list[tuple[str, str]]]:
    """The quoted table and, by event refused, the quoted trigger name."""
    events = ["UPDATE", "DELETE"] + (["TRUNCATE"] if connection.vendor == "postgresql" else [])
    quote = connection.ops.quote_name
    return quote(table), [(event, quote(f"{table}_no_{event.lower()}")) for event in events]


def guard(connection: BaseDatabaseWrapper, table: str) -> None:
    """Make `table` append-only. Doing so twice changes nothing."""
    quoted, triggers = _names(connection, table)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "CREATE OR REPLACE FUNCTION glasspool_append_only() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN RAISE EXCEPTION '% {REFUSAL}', TG_TABLE_NAME USING ERRCODE = '23514'; END $$"
            )
        for event, name in triggers:
            if connection.vendor == "postgresql":
                each = "STATEMENT" if event == "TRUNCATE" else "ROW"
                cursor.execute(
                    f"CREATE OR REPLACE TRIGGER {name} BEFORE {event} ON {quoted} FOR EACH {each} "
                    "EXECUTE FUNCTION glasspool_append_only()"
                )
            else:
                cursor.execute(
                    f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {event} ON {quoted} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
                )


def unguard(connection: BaseDatabaseWrapper, table: str) -> None:
    """Lift the guard: for reversing a migration, and for test runners that empty tables between tests."""
    quoted, triggers = _names(connection, table)
    suffix = f" ON {quoted}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for _, name in triggers:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")


def is_guarded(connection: BaseDatabaseWrapper, table: str) -> bool:
    """Whether every trigger of `guard` is in place and switched on."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled IN ('O', 'A')", [table]
            )
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
        found = {connection.ops.quote_name(row[0]) for row in cursor.fetchall()}
    return {name for _, name in _names(connection, table)[1]} <= found


def guarded_tables(connection: BaseDatabaseWrapper) -> list[str]:
    """The tables of this database that refuse DELETE, in the order of their names."""
    if connection.vendor == "postgresql":
        statement = (
            "SELECT relname, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "JOIN pg_proc ON pg_proc.oid = tgfoid WHERE proname = 'glasspool_append_only'"
        )
    else:
        statement = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return sorted(table for table, name in cursor.fetchall() if name == f"{table}_no_delete")


def guarding(*tables: str) -> Step:
    """A forward step of `migrations.RunPython` that guards `tables`."""

    def step(apps: Any, schema_editor: Any) -> None:
        for table in tables:
            guard(schema_editor.connection, table)

    return step


def unguarding(*tables: str) -> Step:
    """The reverse step."""

    def step(apps: Any, schema_editor: Any) -> None:
        for table in tables:
            unguard(schema_editor.connection, table)

    return step
