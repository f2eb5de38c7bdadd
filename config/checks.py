"""System checks of our own: what Django cannot know about this project's set-up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection


@register(Tags.files)
def data_directory_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """glasspool.E001: the data directory must be writable, or every upload and every run fails later."""
    for name in ("GLASSPOOL_DATA", "GLASSPOOL_ARTEFACTS"):
        directory = getattr(settings, name)
        if not os.access(directory, os.W_OK | os.X_OK):
            hint = "Set GLASSPOOL_DATA to a directory that the server's user may write."
            return [Error(f"{name} ({directory}) cannot be written.", hint=hint, id="glasspool.E001")]
    return []


@register(Tags.database, deploy=True)
def one_writer_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """glasspool.W001: workers on other machines need PostgreSQL; SQLite is never shared over a network."""
    if settings.REDIS_URL and connection.vendor == "sqlite":
        hint = "Set DATABASE_URL to a PostgreSQL database, or unset REDIS_URL to work in one process."
        return [Warning("REDIS_URL is set while the database is SQLite.", hint=hint, id="glasspool.W001")]
    return []
