"""Log lines as JSON objects, with the request and the run they belong to and without personal data."""

from __future__ import annotations

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")

EMAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+")
# The part of an address after "?" may hold whatever a person searched for.
QUERY = re.compile(r"\?[^\s\"']+")


def redact(text: str) -> str:
    """`text` without e-mail addresses and without the query strings of addresses."""
    return QUERY.sub("?…", EMAIL.sub("<email>", text))


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, and request, run, error, trace where known.

    Of an exception only its type and the places in our code are written: its message and its locals may hold
    a row of somebody's tape.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`, without line breaks."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if request := request_id.get():
            line["request"] = request
        if (run := getattr(record, "run", None)) is not None:
            line["run"] = str(run)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False)
