"""What can be run: each kind of run names the functions that compute a chunk, reduce the parts and use the result.

Not here: when and where they are called (services.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.errors import ApplicationError
from runs.models import Run

Compute = Callable[[Mapping[str, Any], int, int, int], bytes]
Reduce = Callable[[Mapping[str, Any], Sequence[bytes]], bytes]
Complete = Callable[[Run], None]


class NotHere(Exception):
    """Raised by compute: this machine cannot do it, another may. For instance a file of the shared folder is missing.

    The chunk is left to others and no attempt is counted. Its words go to the log only.
    """


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    compute(params, seed, index, count): the bytes of one part. Called outside any transaction, perhaps twice and on
    several machines at once, so it depends on its arguments only; random streams are keyed by what is simulated,
    never by the chunk. Raises NotHere where the machine lacks what it needs.
    reduce(params, parts): the bytes of the result from all parts in index order. Called outside any transaction.
    complete(run): called in the transaction that marks the run done, exactly once, with run.result in place.
    """

    name: str
    compute: Compute
    reduce: Reduce
    complete: Complete | None = None


_kinds: dict[str, Kind] = {}


def register(kind: str, compute: Compute, reduce: Reduce, complete: Complete | None = None) -> Kind:
    """Make `kind` known to this process: called once, by the `ready` of the app that owns the kind.

    ValueError when the name is taken by other functions, or longer than its column.
    """
    entry = Kind(kind, compute, reduce, complete)
    longest = Run._meta.get_field("kind").max_length or 0
    if not kind or len(kind) > longest:
        raise ValueError(f"kind {kind!r} must have 1 to {longest} characters")
    if _kinds.setdefault(kind, entry) != entry:
        raise ValueError(f"kind {kind!r} is registered already with other functions")
    return entry


def kind_of(name: str) -> Kind:
    """The registered kind, or ApplicationError(code="unknown_kind")."""
    try:
        return _kinds[name]
    except KeyError:
        raise ApplicationError(f"No kind of run is called {name!r}.", code="unknown_kind", field="kind") from None


def known_kinds() -> list[str]:
    """The names this process can compute: a worker leaves the others to workers that know them."""
    return sorted(_kinds)
