"""Assumptions as plain JSON and back: strict, so that a misspelt key never becomes a silent default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

import numpy as np

from pooling.engine.assumptions.terms import Assumptions, Default, DelinquencyRoll, Prepayment
from pooling.engine.words import suggestion

_PARTS = {"prepayment": Prepayment, "default": Default, "roll": DelinquencyRoll}
_RATES = ("speed", "rate", "severity", "into", "timing", "days")  # one number, a list, or a list of lists
_SHARES = ("recovery_timing", "arrears", "onward")  # a list
_FLAGS = ("by_age", "floor_cents")
_WHOLE = ("charge_off_lag", "recovery_lag", "none_in_last", "rate_decimals")
_OPTIONAL = ("roll", "timing", "days", "rate_decimals")  # may be null


def assumptions_to_json(assumptions: Assumptions) -> dict[str, Any]:
    """Plain JSON of every assumption. assumptions_from_json() gives equal assumptions back."""
    return _encoded(assumptions)


def assumptions_from_json(value: Any) -> Assumptions:
    """Assumptions of a JSON object; what it leaves out has its default.

    Raises ValueError naming the key that is unknown, of the wrong type or out of bounds.
    """
    found: Assumptions = _decoded(Assumptions, value, "")
    return found


def _encoded(part: Any) -> dict[str, Any]:
    written = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name in _PARTS and value is not None:
            value = _encoded(value)
        elif (field.name in _RATES or field.name in _SHARES) and value is not None:
            value = np.asarray(value, dtype=np.float64).tolist()
        written[field.name] = value
    return written


def _decoded(cls: type[Any], value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path or 'assumptions'}: an object is expected, not {value!r}")
    known = {field.name: field for field in fields(cls)}
    read: dict[str, Any] = {}
    for key, given in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in known:
            raise ValueError(f"{where}: unknown key{suggestion(str(key), known)}")
        if given is None:
            if key not in _OPTIONAL:
                raise ValueError(f"{where}: null is not allowed here; leave the key out for its default")
            read[key] = None
        elif key in _PARTS:
            read[key] = _decoded(_PARTS[key], given, where)
        else:
            read[key] = _leaf(key, given, where)
    for name, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in read:
            raise ValueError(f"{path}.{name}: this key is missing".lstrip("."))
    return cls(**read)


def _leaf(key: str, value: Any, where: str) -> Any:
    if key in _FLAGS:
        if not isinstance(value, bool):
            raise ValueError(f"{where}: true or false is expected, not {value!r}")
        return value
    if key in _WHOLE:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{where}: a whole number is expected, not {value!r}")
        return value
    if key in _RATES:
        return _numbers(value, where)
    if key in _SHARES:
        if not isinstance(value, list):
            raise ValueError(f"{where}: a list is expected, not {value!r}")
        return tuple(_numbers(value, where).tolist())
    if not isinstance(value, str):
        raise ValueError(f"{where}: a name is expected, not {value!r}")
    return value


def _numbers(value: Any, where: str) -> Any:
    def check(part: Any, depth: int) -> None:
        if isinstance(part, list) and depth < 2:
            for each in part:
                check(each, depth + 1)
        elif isinstance(part, bool) or not isinstance(part, (int, float)) or not np.isfinite(part):
            raise ValueError(f"{where}: a number is expected, not {part!r}")

    check(value, 0)
    if not isinstance(value, list):
        return value
    if (
        any(isinstance(row, list) for row in value)
        and len({len(row) if isinstance(row, list) else -1 for row in value}) > 1
    ):
        raise ValueError(
            f"{where}: its rows are of different lengths; give one number for each scenario in all of them"
        )
    return np.array(value, dtype=np.float64)
