"""Uploads go to temporary files and are refused whole when they are announced as too large."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import TemporaryFileUploadHandler


class BoundedUploadHandler(TemporaryFileUploadHandler):
    """Django's temporary files, behind a bound on the whole request body (settings.UPLOAD_MAX_BYTES)."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,
        content_length: int,
        boundary: Any,
        encoding: str | None = None,
    ) -> None:
        """Raises RequestDataTooBig before one byte is read: WSGI never reads past the announced length."""
        if content_length > settings.UPLOAD_MAX_BYTES:
            raise RequestDataTooBig(f"The upload exceeds {settings.UPLOAD_MAX_BYTES} bytes.")
