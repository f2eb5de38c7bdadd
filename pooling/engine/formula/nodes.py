"""The parts of a formula as closures: each is built once with its kind, and evaluating one costs only its NumPy
calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from pooling.engine.formula.kinds import Kind

Values = Callable[[str], Any]
Work = Callable[[Values], Any]

# How tightly a part binds, for the canonical text.
OR, AND, NOT, COMPARE, SUM, PRODUCT, MINUS, ATOM = range(8)


@dataclass(frozen=True)
class Node:
    """kind of the value; work: evaluates it; text: canonical; binds: how tightly; constant: reads no quantity; zero:
    the literal 0, which may stand for no money."""

    kind: Kind
    work: Work
    text: str
    binds: int = ATOM
    constant: bool = False
    zero: bool = False

    def inside(self, binds: int) -> str:
        """Its text as a part of something that binds so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"


def literal(value: float | bool, kind: Kind, text: str) -> Node:
    """A value that is written in the formula."""
    return Node(kind, lambda _: value, text, constant=True, zero=kind is Kind.NUMBER and value == 0)


def quantity(name: str, kind: Kind) -> Node:
    """A value that the deal knows by name."""
    return Node(kind, lambda values: values(name), name)


def operation(kind: Kind, call: Callable[..., Any], parts: list[Node], text: str, binds: int = ATOM) -> Node:
    """A function of parts; computed now where nothing is read."""
    works = [part.work for part in parts]
    constant = all(part.constant for part in parts)
    if constant:
        value = call(*(work(_nothing) for work in works))
        value = bool(value) if kind is Kind.BOOL else float(value)
        return Node(kind, lambda _: value, text, binds, constant=True)
    if len(works) == 1:
        (one,) = works
        return Node(kind, lambda values: call(one(values)), text, binds)
    if len(works) == 2:
        left, right = works
        return Node(kind, lambda values: call(left(values), right(values)), text, binds)
    return Node(kind, lambda values: call(*(work(values) for work in works)), text, binds)


def _nothing(name: str) -> Any:
    raise KeyError(name)


# ------------------------------------------------------------------------------------------------------ what they
# compute
def divide(part: Any, whole: Any) -> Any:
    """part / whole; by zero +inf, or -inf for a negative part: a ratio to notes that are repaid passes every test."""
    upper, lower = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    result = np.divide(upper, lower, out=np.where(upper >= 0.0, np.inf, -np.inf), where=lower != 0.0)
    return result if result.ndim else float(result)


def choose(condition: Any, then: Any, other: Any) -> Any:
    """if(condition, then, other)."""
    if np.ndim(condition) == 0:
        return then if condition else other
    return np.where(condition, then, other)


def least(*parts: Any) -> Any:
    """min(a, b, ...)."""
    return reduce(np.minimum, parts)


def greatest(*parts: Any) -> Any:
    """max(a, b, ...)."""
    return reduce(np.maximum, parts)


def between(value: Any, low: Any, high: Any) -> Any:
    """clip(x, low, high); where low lies above high, high."""
    return np.minimum(np.maximum(value, low), high)


def stepped(keys: list[float]) -> Callable[..., Any]:
    """step(x, k1: v1, ..., default): the value of the largest key at or below x; the default below the first."""

    def step(at: Any, *values: Any) -> Any:
        *table, result = values
        for key, value in zip(keys, table, strict=True):
            result = choose(np.greater_equal(at, key), value, result)
        return result

    return step
