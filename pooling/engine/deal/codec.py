"""Strict reading and writing of frozen dataclasses as JSON, led by their type hints alone.

Nothing is guessed: unknown, missing and repeated keys, wrong types, NaN and infinities are refused with
their path. Each dataclass carries its bounds in `spec_field` and checks them when built, from JSON or not.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import json
import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pooling.engine.deal.errors import SpecError, suggestion

T = TypeVar("T")

MAX_TEXT = 1_000_000  # characters of one specification; real ones need some thousands
_KIND_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dt.date: "a date",
}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def spec_field(
    doc: str,
    *,
    low: float | None = None,
    high: float | None = None,
    pattern: str | None = None,
    default: Any = dataclasses.MISSING,
) -> Any:
    """A dataclass field with its description, inclusive bounds and pattern of the whole text."""
    metadata = {"doc": doc, "low": low, "high": high, "pattern": pattern}
    return dataclasses.field(default=default, metadata=metadata)


def hints(cls: Any) -> dict[str, Any]:
    """Resolved type hints of a dataclass, in field order."""
    return _hints(cls)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    found = get_type_hints(cls)
    return {field.name: found[field.name] for field in dataclasses.fields(cls)}


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the hint alone."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def parse(text: str) -> Any:
    """JSON text to plain values, refusing what Python's reader would let through.

    Raises SpecError for broken JSON, repeated keys, NaN, infinities, or too long a text.
    """
    if len(text) > MAX_TEXT:
        raise SpecError("", f"{len(text)} characters, at most {MAX_TEXT} are read")
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except SpecError:
        raise
    except (ValueError, RecursionError) as error:
        raise SpecError("", f"not readable as JSON ({error})") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise SpecError("", f"key {key!r} is given twice in one object")
        result[key] = value
    return result


def _no_constant(text: str) -> Any:
    raise SpecError("", f"{text} is no number of a specification")


def decode(hint: Any, value: Any, path: str) -> Any:
    """A JSON value as the type the hint names. Raises SpecError at `path`."""
    options = alternatives(hint)
    if value is None:
        if types.NoneType in options:
            return None
        raise SpecError(path, "null is not allowed here")
    options = tuple(option for option in options if option is not types.NoneType)
    if len(options) > 1:
        return _decode_union(options, value, path)
    (target,) = options
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        return decode_object(target, value, path)
    origin = get_origin(target)
    if origin is tuple:
        if not isinstance(value, list):
            raise SpecError(path, f"a list is expected, not {_shown(value)}")
        (item,) = (part for part in get_args(target) if part is not Ellipsis)
        return tuple(decode(item, part, f"{path}[{number}]") for number, part in enumerate(value))
    if origin is Literal:
        return _decode_choice(get_args(target), value, path)
    return _decode_scalar(target, value, path)


def decode_object(cls: type[T], value: Any, path: str) -> T:
    """A JSON object as the dataclass cls. Raises SpecError naming the unknown, missing or bad key."""
    if not isinstance(value, Mapping):
        raise SpecError(path, f"an object is expected, not {_shown(value)}")
    known = hints(cls)
    for key in value:
        if key not in known:
            raise SpecError(_join(path, str(key)), f"unknown key{suggestion(str(key), known)}")
    columns = {}
    for field in _fields(cls):
        if field.name in value:
            columns[field.name] = decode(known[field.name], value[field.name], _join(path, field.name))
        elif field.default is dataclasses.MISSING:
            raise SpecError(_join(path, field.name), "this key is missing")
    try:
        return cls(**columns)
    except SpecError as error:
        raise error.below(path) from None


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def encode(value: Any) -> Any:
    """Plain JSON values of a dataclass tree; keys in field order."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def canonical(value: Any) -> str:
    """The one text of a JSON value: keys sorted, no blanks, shortest float digits."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def check_fields(instance: Any) -> None:
    """Check types, bounds and patterns of a dataclass just built. Raises SpecError with the field as path."""
    known = hints(type(instance))
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        _check_type(known[field.name], value, field.name)
        low, high, pattern = (field.metadata.get(key) for key in ("low", "high", "pattern"))
        if value is None or isinstance(value, tuple) or dataclasses.is_dataclass(value):
            continue
        if (low is not None and value < low) or (high is not None and value > high):
            raise SpecError(field.name, f"{value} is outside {_range(low, high)}")
        if pattern is not None and not re.fullmatch(pattern, value):
            raise SpecError(field.name, f"{value!r} does not fit the pattern {pattern}")


def _check_type(hint: Any, value: Any, path: str) -> None:
    for option in alternatives(hint):
        origin = get_origin(option)
        if origin is tuple:
            (item,) = (part for part in get_args(option) if part is not Ellipsis)
            if isinstance(value, tuple):
                for number, part in enumerate(value):
                    _check_type(item, part, f"{path}[{number}]")
                return
        elif origin is Literal:
            if isinstance(value, str | int) and value in get_args(option):
                return
        elif option is float:
            if type(value) in (int, float) and math.isfinite(value):
                return
        elif option is dt.date or dataclasses.is_dataclass(option):
            if type(value) is option:
                return
        elif type(value) is option:
            _check_text(value, path)
            return
    raise SpecError(path, f"{_shown(value)} is not {_named(hint)}")


def _check_text(value: Any, path: str) -> None:
    """A database's JSON takes neither NUL nor half a surrogate pair; other controls mislead who reads them."""
    if isinstance(value, str) and not value.isprintable():
        raise SpecError(path, f"{_shown(value)} holds a character that cannot be printed")


def _decode_union(options: tuple[Any, ...], value: Any, path: str) -> Any:
    """Pick the dataclass by its literal `kind`; a plain value is taken where the union holds its scalar type."""
    objects: tuple[Any, ...] = tuple(option for option in options if dataclasses.is_dataclass(option))
    plain = tuple(option for option in options if not dataclasses.is_dataclass(option))
    if not isinstance(value, Mapping):
        if plain:
            return _decode_scalar(plain[0], value, path)
        raise SpecError(path, f"an object is expected, not {_shown(value)}")
    kinds = {get_args(hints(option)["kind"])[0]: option for option in objects}
    if "kind" not in value:
        near = [key for key in value if not any(key in hints(option) for option in objects)]
        note = f" (found {near[0]!r})" if near else ""
        raise SpecError(_join(path, "kind"), f"this key is missing{note}; one of {', '.join(sorted(kinds))}")
    kind = _decode_choice(tuple(kinds), value["kind"], _join(path, "kind"))
    return decode_object(kinds[kind], value, path)


def _decode_choice(choices: tuple[Any, ...], value: Any, path: str) -> Any:
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return value
    raise SpecError(path, f"{_shown(value)} is not a choice{suggestion(str(value), map(str, choices))}")


def _decode_scalar(target: Any, value: Any, path: str) -> Any:
    if target is float and type(value) in (int, float):
        if isinstance(value, int) and abs(value) > 2**53:
            raise SpecError(path, "the number is too large")
        if not math.isfinite(value):
            raise SpecError(path, f"{value} is no number of a specification")
        return float(value) + 0.0
    if target is dt.date and isinstance(value, str):
        if not _ISO_DATE.fullmatch(value):
            raise SpecError(path, f"{value!r} is not a date written as YYYY-MM-DD")
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise SpecError(path, f"{value!r} is not a day of the calendar") from None
    if type(value) is target:
        return value
    raise SpecError(path, f"{_shown(value)} is not {_named(target)}")


def _named(hint: Any) -> str:
    names = []
    for option in alternatives(hint):
        if get_origin(option) is Literal:
            names.append("one of " + ", ".join(map(str, get_args(option))))
        elif option is types.NoneType:
            names.append("null")
        elif get_origin(option) is tuple:
            names.append("a list")
        else:
            names.append(_KIND_NAMES.get(option, getattr(option, "__name__", str(option))))
    return " or ".join(names)


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _shown(value: Any) -> str:
    """A short look at a bad value; long texts are cut so that an error stays one sentence."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value) if isinstance(value, bool | None) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _join(path: str, key: str) -> str:
    key = key if key.isprintable() else repr(key)[1:-1]  # an unknown key may hold what no sentence can
    return f"{path}.{key}" if path else key
