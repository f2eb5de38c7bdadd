"""Files the database points to: uploads, canonical rows, error files, loan arrays. Content-addressed.

A file is written beside its place, flushed, then renamed, so that a half-written one is never seen.
The folder (settings.GLASSPOOL_ARTEFACTS) is shared by every machine that serves or works.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from accounts.errors import ApplicationError


def artefact_path(name: str) -> Path:
    """The file behind a stored name."""
    return Path(settings.GLASSPOOL_ARTEFACTS) / name


def artefact_store(chunks: Iterable[bytes], *, suffix: str, max_bytes: int | None = None) -> tuple[str, str, int]:
    """Write chunks once; returns (name, sha256, size). Refuses more than max_bytes and leaves nothing behind."""
    root = Path(settings.GLASSPOOL_ARTEFACTS)
    root.mkdir(parents=True, exist_ok=True)
    hasher, size = hashlib.sha256(), 0
    handle, temporary = tempfile.mkstemp(dir=root, prefix=".incoming-")
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                size += len(chunk)
                if max_bytes is not None and size > max_bytes:
                    raise ApplicationError(
                        f"The file is larger than {max_bytes // 1_000_000} MB; split it and upload the parts.",
                        code="file_too_large",
                        field="file",
                    )
                hasher.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        name = f"{hasher.hexdigest()[:2]}/{hasher.hexdigest()}{suffix}"
        target = root / name
        target.parent.mkdir(exist_ok=True)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return name, hasher.hexdigest(), size


def artefact_read(name: str, *, sha256: str) -> bytes:
    """The bytes of a stored file, checked against the digest the database keeps."""
    data = artefact_path(name).read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ApplicationError(f"The stored file {name} does not match its digest.", code="artefact_damaged")
    return data
