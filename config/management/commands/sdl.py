"""The committed schema: written anew, or compared with what the code builds (for CI)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from graphql import print_schema

from config.graphql.schema import schema

FILE = Path(__file__).resolve().parents[2] / "schema.graphql"


class Command(BaseCommand):
    help = "Write config/schema.graphql; with --check, fail when it is out of date."

    def add_arguments(self, parser: CommandParser) -> None:
        """--check compares and writes nothing."""
        parser.add_argument("--check", action="store_true", help="compare only")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or compare."""
        built = print_schema(schema.graphql_schema) + "\n"
        if not options["check"]:
            FILE.write_text(built, encoding="utf-8")
            self.stdout.write(f"Wrote {FILE.name}.")
        elif not FILE.exists() or FILE.read_text(encoding="utf-8") != built:
            raise CommandError(f"{FILE.name} is out of date: run manage.py sdl and commit it.")
