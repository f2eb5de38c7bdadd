"""Arrays to bytes and back, for parts of runs and content hashes: the same arrays give the same bytes.

Layout: one line of canonical JSON (kind, then name, dtype and shape of each array), then the arrays in
that order, C-contiguous, little-endian.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import COLUMNS, PoolFlows
from pooling.engine.loans import LoanArrays


def pack(kind: str, arrays: Mapping[str, NDArray[Any]], extra: Mapping[str, Any] | None = None) -> bytes:
    """Bytes of named arrays and a JSON-able extra. Text columns are stored as fixed-width UTF-32."""
    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = {
        "kind": kind,
        "extra": dict(extra or {}),
        "arrays": [[name, array.dtype.newbyteorder("<").str, list(array.shape)] for name, array in held.items()],
    }
    head = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    body = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in held.values()]
    return b"\n".join([head, b"".join(body)])


def unpack(kind: str, data: bytes | memoryview) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and extra of pack(). Raises ValueError when the bytes are of another kind or cut short."""
    raw = bytes(data)
    end = raw.find(b"\n")
    header = json.loads(raw[:end]) if end > 0 else {}
    if header.get("kind") != kind:
        raise ValueError(f"kind: the bytes hold {header.get('kind')!r}, expected {kind!r}")
    arrays: dict[str, NDArray[Any]] = {}
    offset = end + 1
    for name, dtype, shape in header["arrays"]:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if offset + size > len(raw):
            raise ValueError(f"{name}: the bytes end early")
        arrays[name] = np.frombuffer(raw, dtype=dtype, count=int(np.prod(shape)), offset=offset).reshape(shape)
        offset += size
    return arrays, header["extra"]


def flows_to_bytes(flows: PoolFlows) -> bytes:
    """The bytes of a PoolFlows."""
    arrays = {"opening_balance": flows.opening_balance, **flows.columns}
    return pack("pool_flows", arrays, {"groups": list(flows.groups)})


def flows_from_bytes(data: bytes | memoryview) -> PoolFlows:
    """The PoolFlows of flows_to_bytes()."""
    arrays, extra = unpack("pool_flows", data)
    return PoolFlows(groups=tuple(extra["groups"]), **arrays)


def loans_to_bytes(loans: LoanArrays) -> bytes:
    """The bytes of a LoanArrays. Texts are as wide as the longest one here, whatever they were cut out of."""
    columns = {field.name: getattr(loans, field.name) for field in fields(LoanArrays)}
    return pack(
        "loan_arrays",
        {name: np.array(column.tolist()) if column.dtype.kind == "U" else column for name, column in columns.items()},
    )


def loans_from_bytes(data: bytes | memoryview) -> LoanArrays:
    """The LoanArrays of loans_to_bytes()."""
    arrays, _ = unpack("loan_arrays", data)
    return LoanArrays(**arrays)


def digest(data: bytes | memoryview) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def flows_to_json(flows: PoolFlows) -> dict[str, Any]:
    """The one path of a PoolFlows with S = 1 as plain JSON: every column (G, T), delinquent (G, B, T).

    flows_from_json gives equal flows back. Raises ValueError for flows of several scenarios.
    """
    if flows.scenarios != 1:
        raise ValueError(f"flows: {flows.scenarios} scenarios; only a single path is written as JSON")
    columns: dict[str, Any] = {"groups": list(flows.groups), "opening_balance": flows.opening_balance.tolist()}
    return columns | {name: column[..., 0].tolist() for name, column in flows.columns.items()}


def flows_from_json(value: Mapping[str, Any]) -> PoolFlows:
    """The PoolFlows of flows_to_json(). Raises KeyError for a missing column, ValueError for one of a wrong shape."""
    columns = {
        field.name: np.array(value[field.name], dtype=np.float64)[..., None]
        for field in fields(PoolFlows)[2:]
        if field.name in COLUMNS or field.name in value
    }
    opening = np.array(value["opening_balance"], dtype=np.float64)
    return PoolFlows(groups=tuple(value["groups"]), opening_balance=opening, **columns)
