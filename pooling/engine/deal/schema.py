"""JSON Schema of the deal language, made from the same type hints and bounds that the reader checks."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import types
from typing import Any, Literal, get_args, get_origin

from pooling.engine.deal.codec import alternatives, hints

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    # A validator takes "format" for a remark unless told otherwise; the pattern always holds.
    dt.date: {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    types.NoneType: {"type": "null"},
}


def published(cls: type) -> str:
    """The text of the schema file that is committed: `schema_of` as indented JSON."""
    return json.dumps(schema_of(cls), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def schema_of(cls: type) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a dataclass: its own object at the root, its parts under $defs."""
    definitions: dict[str, Any] = {}
    root = _object(cls, definitions)
    return {"$schema": DIALECT, "title": cls.__name__, **root, "$defs": dict(sorted(definitions.items()))}


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    known = hints(cls)
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        properties[field.name] = _property(known[field.name], field, definitions)
        if field.default is dataclasses.MISSING:
            required.append(field.name)
    text = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    return {
        "type": "object",
        "description": text,
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _property(hint: Any, field: dataclasses.Field[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    parts = [_of(option, definitions) for option in alternatives(hint)]
    bounds = {"low": "minimum", "high": "maximum", "pattern": "pattern"}
    for part in parts:
        for key, name in bounds.items():
            given = field.metadata.get(key)
            if given is not None and part.get("type") in ("integer", "number", "string"):
                part[name] = f"^{given}$" if key == "pattern" else given
    schema = parts[0] if len(parts) == 1 else {"anyOf": parts}
    if field.default is not dataclasses.MISSING:
        schema["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    return {"description": field.metadata["doc"], **schema}


def _of(option: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(option, type) and dataclasses.is_dataclass(option):
        if option.__name__ not in definitions:
            definitions[option.__name__] = {}  # holds the place, should a part ever contain itself
            definitions[option.__name__] = _object(option, definitions)
        return {"$ref": f"#/$defs/{option.__name__}"}
    if get_origin(option) is tuple:
        (item,) = (part for part in get_args(option) if part is not Ellipsis)
        members = [_of(member, definitions) for member in alternatives(item)]
        return {"type": "array", "items": members[0] if len(members) == 1 else {"oneOf": members}}
    if get_origin(option) is Literal:
        choices = list(get_args(option))
        return {"const": choices[0]} if len(choices) == 1 else {"enum": choices}
    return dict(_SCALARS[option])
