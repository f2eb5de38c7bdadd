"""`manage.py verify_audit`: is the audit trail whole? Exit status 1 and the first event at fault when it is not."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import AuditEvent
from accounts.selectors import AuditBroken, audit_head, audit_verify


class Command(BaseCommand):
    help = "Check the hash chain and the triggers of the audit trail, and print its head."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--after", metavar="SEQ:DIGEST", help="a head printed earlier: it must still be part of the trail"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = audit_verify()
        except AuditBroken as error:
            raise CommandError(error.message) from error
        if options["after"]:
            self._check_after(options["after"])
        seq, digest = audit_head()
        self.stdout.write(f"{count} audit events, whole. Head: {seq}:{digest}")

    def _check_after(self, head: str) -> None:
        """CommandError unless the head noted earlier is an event of this trail."""
        seq, _, digest = head.partition(":")
        if not seq.isdecimal():
            raise CommandError(f"--after {head!r} is not of the form SEQ:DIGEST.", returncode=2)
        if int(seq) and not AuditEvent.objects.filter(seq=int(seq), digest=digest).exists():
            raise CommandError(f"The trail does not contain the event {head}: it was cut or rewritten.")
