"""What changed between two versions of a deal, path by path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pooling.engine.deal.spec import DealSpec

ABSENT = "(absent)"


@dataclass(frozen=True)
class Change:
    """One place that differs: path in the JSON, value before and after (ABSENT where there is none)."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.before} became {self.after}"


def diff(before: DealSpec, after: DealSpec) -> tuple[Change, ...]:
    """Changes from one spec to the other in JSON order; named members of lists are matched by name."""
    return tuple(_walk("", before.to_json(), after.to_json()))


def _walk(path: str, before: Any, after: Any) -> list[Change]:
    if isinstance(before, list) and isinstance(after, list):
        before, after = _keyed(before), _keyed(after)
        join = "{}[{}]"
    elif isinstance(before, dict) and isinstance(after, dict):
        join = "{}.{}" if path else "{}{}"
    else:
        return [] if before == after else [Change(path, before, after)]
    changes = []
    for key in [*before, *(key for key in after if key not in before)]:
        changes += _walk(join.format(path, key), before.get(key, ABSENT), after.get(key, ABSENT))
    return changes


def _keyed(items: list[Any]) -> dict[Any, Any]:
    if items and all(isinstance(item, dict) and "name" in item for item in items):
        return {item["name"]: item for item in items}
    return dict(enumerate(items))
