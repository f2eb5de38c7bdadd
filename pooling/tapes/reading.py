"""Reading a loan tape: bytes to rows of text, within bounds, before anyone asks what they mean.

Everything stays text. A record that does not fit its header becomes an issue; a file that cannot be a tape
raises ApplicationError. Only the CSV parser splits rows: free text in tapes holds line breaks and U+2028.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accounts.errors import ApplicationError
from pooling.tapes.canonical import canonical_json, canonical_writer, leaf_hash
from pooling.tapes.issues import Issue, shorten

_CHUNK_ROWS = 2_000
_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}
_DELIMITERS = {";": "semicolons (;)", "\t": "tabs", "|": "vertical bars (|)"}
_LONE_RETURN = re.compile(r"(?<=\r)(?!\n)")
_BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True)
class ReadLimits:
    """Bounds that hold before and while a tape is parsed.

    max_file_bytes: size as uploaded. max_bytes: size after decompression. max_line_bytes: one physical line,
    and one record with its quoted line breaks. max_rows, max_columns, max_cells: of the table; a cell costs some
    40 bytes of memory even where it is empty, so few bytes of commas could otherwise fill a machine.
    """

    max_bytes: int = 512 << 20
    max_line_bytes: int = 1 << 20
    max_rows: int = 500_000
    max_columns: int = 500
    max_cells: int = 30_000_000
    max_file_bytes: int = 256 << 20


@dataclass(frozen=True, eq=False)
class RawTape:
    """A tape as text.

    name: file name. file_sha256: hex, of the file as given. headers: trimmed column names. cells: (m,
    columns) trimmed text, the records that fit the header. line, row: (m,) first physical line and record
    number, both from 1. leaves: (m, 32) fingerprint of each canonical row. rows: all records after the
    header. issues: one per record that does not fit, so that m + len(issues) = rows.
    """

    name: str
    file_sha256: str
    headers: tuple[str, ...]
    cells: pd.DataFrame
    line: NDArray[np.int64]
    row: NDArray[np.int64]
    leaves: NDArray[np.uint8]
    rows: int
    issues: tuple[Issue, ...]

    def canonical_row(self, position: int) -> dict[str, str]:
        """The canonical row at a position of cells, headers sorted as in its JSON."""
        values = self.cells.iloc[position]
        order = sorted(self.headers, key=lambda header: header.encode("utf-16-be"))
        return {header: str(values[header]) for header in order}

    def canonical_bytes(self, position: int) -> bytes:
        """RFC 8785 JSON of the canonical row at a position of cells."""
        return canonical_json(self.canonical_row(position))


def read_tape(path: Path, *, name: str = "", limits: ReadLimits | None = None) -> RawTape:
    """Read a CSV tape, plain or gzip (told by its content, not its name).

    name: what messages call the file; its own name by default.

    Raises ApplicationError with code tape_missing, tape_empty, tape_format, tape_compression, tape_too_large,
    tape_encoding, tape_line_too_long, tape_delimiter, tape_duplicate_columns, tape_too_many_columns,
    tape_quote, tape_no_rows or tape_too_many_rows.
    """
    limits = limits or ReadLimits()
    name = name or path.name
    try:
        file = path.open("rb")
    except OSError as error:
        raise _refusal("tape_missing", f"The tape {name} cannot be opened: {error.strerror}.") from error
    with file:
        digest = _measure(file, name, limits)
        file.seek(0)
        try:
            return _parse(_Lines(_plain(file), limits), name, digest, limits)
        except _BROKEN_GZIP as error:
            raise _broken(name) from error


def _refusal(code: str, sentence: str) -> ApplicationError:
    return ApplicationError(sentence, code=code, field="tape")


def _broken(name: str) -> ApplicationError:
    return _refusal("tape_compression", f"{name} is damaged: its gzip data does not unpack; compress it again.")


def _plain(file: BinaryIO) -> IO[bytes]:
    head = file.read(2)
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb")) if head == _GZIP else file


def _measure(file: BinaryIO, name: str, limits: ReadLimits) -> str:
    """Bound both sizes before anything is parsed; returns the SHA-256 of the file as given.

    Unpacking goes block by block and stops at the bound, so a zip bomb costs no memory.
    """
    head = file.read(4)
    file.seek(0)
    for magic, what in _OTHER_FORMATS.items():
        if head == magic:
            raise _refusal("tape_format", f"{name} is {what}; save the tape as CSV (or CSV in gzip) and try again.")
    digest = hashlib.sha256()
    size = 0
    while block := file.read(_BLOCK):
        digest.update(block)
        size += len(block)
        if size > limits.max_file_bytes:
            raise _too_large(name, limits.max_file_bytes, "")
    if size == 0:
        raise _refusal("tape_empty", f"{name} is empty; upload a CSV file with a header line and one line per loan.")
    file.seek(0)
    if head[:2] == _GZIP:
        unpacked = 0
        source = _plain(file)
        try:
            while block := source.read(_BLOCK):
                unpacked += len(block)
                if unpacked > limits.max_bytes:
                    raise _too_large(name, limits.max_bytes, " when unpacked")
        except _BROKEN_GZIP as error:
            raise _broken(name) from error
        size = unpacked
    if size > limits.max_bytes:
        raise _too_large(name, limits.max_bytes, "")
    if size == 0:
        raise _refusal("tape_empty", f"{name} unpacks to nothing; upload a CSV file with a header and loans.")
    return digest.hexdigest()


def _too_large(name: str, bound: int, when: str) -> ApplicationError:
    return _refusal("tape_too_large", f"{name} is larger than {_size(bound)}{when}; split the tape and try again.")


def _size(count: int) -> str:
    return f"{count >> 20:,} MiB" if count >= 1 << 20 else f"{count:,} bytes"


class _Lines:
    """Physical lines as text for csv.reader, each bounded and checked, counted from 1."""

    def __init__(self, source: IO[bytes], limits: ReadLimits) -> None:
        self._source = source
        self._limit = limits.max_line_bytes
        self._pieces: list[str] = []
        self.number = 0
        self.record_bytes = 0
        self.has_nul = False

    def begin_record(self) -> int:
        """Forget the record before; returns the number of the line the next one starts on."""
        self.record_bytes = 0
        self.has_nul = False
        return self.number + 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._pieces:
            self._pieces = self._read()
        piece = self._pieces.pop()
        self.number += 1
        # Told of the record that reads this piece: a lone carriage return makes several records of one line.
        if "\0" in piece:
            self.has_nul = True
        return piece

    def _read(self) -> list[str]:
        line = self._source.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self.record_bytes += len(line)
        if self.record_bytes > self._limit:
            raise _refusal(
                "tape_line_too_long",
                f"The record at line {self.number + 1} is longer than {_size(self._limit)}; "
                "check for a missing line break or a quotation mark that is never closed.",
            )
        try:
            text = line.decode("utf-8-sig" if self.number == 0 else "utf-8")
        except UnicodeDecodeError as error:
            raise _encoding(self.number + 1, line, error) from error
        if "\r" in text:
            return [piece for piece in reversed(_LONE_RETURN.split(text)) if piece]
        return [text]


def _encoding(number: int, line: bytes, error: UnicodeDecodeError) -> ApplicationError:
    if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
        found = "the file is UTF-16"
    else:
        found = f"byte 0x{line[error.start]:02x} at position {error.start + 1} cannot be read"
    return _refusal("tape_encoding", f"Line {number} is not UTF-8 text ({found}); save the tape as UTF-8 CSV.")


def _parse(lines: _Lines, name: str, digest: str, limits: ReadLimits) -> RawTape:
    reader = csv.reader(lines, strict=True)
    headers = _headers(reader, lines, name, limits)
    table = _Table(headers)
    rows = 0
    while True:
        line = lines.begin_record()
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise _open_quote(line) from error
            if "field limit" in str(error):
                raise _refusal("tape_line_too_long", f"A field of the record at line {line} is too long.") from error
            rows += 1
            _bound(rows, headers, name, limits)
            table.reject(
                line,
                rows,
                "row_quoting",
                "",
                "has misplaced quotation marks",
                "write a quote inside text twice",
            )
            continue
        if not record:
            continue
        rows += 1
        _bound(rows, headers, name, limits)
        if lines.has_nul:
            table.reject(line, rows, "row_control_character", "", "holds a NUL character", "remove it")
        else:
            table.add(record, line, rows)
    if rows == 0:
        raise _refusal("tape_no_rows", f"{name} holds a header and no loans; add one line per loan.")
    return table.finish(name, digest, rows)


def _bound(rows: int, headers: tuple[str, ...], name: str, limits: ReadLimits) -> None:
    """Every record counts, kept or refused: the issue of a refused one takes memory as well."""
    if rows > limits.max_rows:
        sentence = f"{name} holds more than {limits.max_rows:,} rows; split the tape and try again."
        raise _refusal("tape_too_many_rows", sentence)
    if rows * len(headers) > limits.max_cells:
        sentence = f"{name} holds more than {limits.max_cells:,} cells in its {len(headers):,} columns"
        raise _refusal("tape_too_large", f"{sentence}; leave out columns that are empty, or split the tape.")


def _open_quote(line: int) -> ApplicationError:
    return _refusal(
        "tape_quote",
        f"The quotation mark opened in the record at line {line} is never closed; close it and try again.",
    )


class _Table:
    """Collects records in chunks of columns, so that a wide tape never lives as Python strings as a whole."""

    def __init__(self, headers: tuple[str, ...]) -> None:
        self.headers = headers
        self._write = canonical_writer(headers)
        self._pending: list[list[str]] = []
        self._frames: list[pd.DataFrame] = []
        self._line: list[int] = []
        self._row: list[int] = []
        self._leaves = bytearray()
        self._issues: list[Issue] = []

    def add(self, record: list[str], line: int, row: int) -> None:
        width = len(self.headers)
        if len(record) != width:
            short = len(record) < width
            found = f"has {len(record)} fields where the header has {width}"
            mend = "fill in the missing fields" if short else "quote any text that holds a comma"
            self.reject(line, row, "row_short" if short else "row_long", str(len(record)), found, mend)
            return
        values = list(map(str.strip, record))
        self._leaves += leaf_hash(self._write(values))
        self._pending.append(values)
        self._line.append(line)
        self._row.append(row)
        if len(self._pending) == _CHUNK_ROWS:
            self._flush()

    def reject(self, line: int, row: int, rule: str, value: str, found: str, mend: str) -> None:
        self._issues.append(Issue(line, row, "", shorten(value), rule, f"Row {row} (line {line}) {found}; {mend}."))

    def _flush(self) -> None:
        self._frames.append(pd.DataFrame(self._pending, columns=list(self.headers), dtype="str"))
        self._pending = []

    def finish(self, name: str, digest: str, rows: int) -> RawTape:
        if self._pending or not self._frames:
            self._flush()
        return RawTape(
            name=name,
            file_sha256=digest,
            headers=self.headers,
            cells=pd.concat(self._frames, ignore_index=True),
            line=np.array(self._line, dtype=np.int64),
            row=np.array(self._row, dtype=np.int64),
            leaves=np.frombuffer(bytes(self._leaves), dtype=np.uint8).reshape(-1, 32),
            rows=rows,
            issues=tuple(self._issues),
        )


def _headers(reader: Iterator[list[str]], lines: _Lines, name: str, limits: ReadLimits) -> tuple[str, ...]:
    record: list[str] = []
    while not any(cell.strip() for cell in record):
        line = lines.begin_record()
        try:
            record = next(reader)
        except StopIteration:
            raise _refusal(
                "tape_empty", f"{name} holds only blank lines; add a header and one line per loan."
            ) from None
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise _open_quote(line) from error
            raise _refusal("tape_quote", f"The header at line {line} has misplaced quotation marks.") from error
        # LendingClub's own downloads open with a notice of one field above the header.
        if len(record) == 1 and record[0].startswith("Notes offered by Prospectus"):
            record = []
    if lines.has_nul:
        raise _refusal(
            "tape_encoding",
            f"Line {line} holds NUL characters, so {name} is not UTF-8 text; save it as UTF-8 CSV.",
        )
    headers = tuple(cell.strip() for cell in record)
    _check_delimiter(headers)
    if len(headers) > limits.max_columns:
        sentence = f"{name} has {len(headers):,} columns, more than {limits.max_columns:,}; drop what is not needed."
        raise _refusal("tape_too_many_columns", sentence)
    repeated = sorted({header for header in headers if headers.count(header) > 1})
    if repeated:
        names = ", ".join(repr(shorten(header)) for header in repeated[:5])
        raise _refusal("tape_duplicate_columns", f"The header names {names} more than once; name each column once.")
    return headers


def _check_delimiter(headers: tuple[str, ...]) -> None:
    joined = ",".join(headers)
    counts = {mark: joined.count(mark) for mark in _DELIMITERS}
    mark = max(counts, key=lambda each: counts[each])
    if counts[mark] > len(headers) - 1:
        sentence = f"The columns are separated by {_DELIMITERS[mark]}; save the tape with commas and try again."
        raise _refusal("tape_delimiter", sentence)
