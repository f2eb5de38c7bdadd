"""Tokens to a checked formula: precedence climbing, with the kinds of both sides looked at in every place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pooling.engine.formula import nodes
from pooling.engine.formula.kinds import FormulaError, Kind, fault
from pooling.engine.formula.lexer import Token, date_of, tokens_of
from pooling.engine.formula.nodes import Node, Work
from pooling.engine.words import suggestion

MAX_DEPTH = 40
WORDS = ("and", "or", "not", "true", "false")
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
# Function -> (least, most) number of arguments.
FUNCTIONS = {
    "min": (2, 99),
    "max": (2, 99),
    "abs": (1, 1),
    "floor": (1, 1),
    "if": (3, 3),
    "clip": (3, 3),
    "step": (2, 99),
}


@dataclass(frozen=True)
class Formula:
    """A formula that has been read: its text, the kind of its value, the quantities it reads in the order of their
    first use, and its canonical text."""

    text: str
    kind: Kind
    names: tuple[str, ...]
    canonical: str
    work: Work = field(repr=False, compare=False)

    def evaluate(self, values: Callable[[str], Any]) -> Any:
        """Its value where values(name) gives that of every quantity: (S,) arrays or scalars, dates as ordinals.

        An array where any quantity read is one, else a scalar. There is no Python per scenario.
        """
        return self.work(values)

    def explain(self, values: Callable[[str], Any]) -> tuple[tuple[str, Any], ...]:
        """Each quantity it reads, with its value, in order."""
        return tuple((name, values(name)) for name in self.names)


def parse_formula(
    text: str,
    kind_of: Callable[[str], Kind | None] | Mapping[str, Kind],
    expected: Kind | tuple[Kind, ...],
    *,
    currency: str,
    known: Iterable[str] = (),
) -> Formula:
    """Read a formula and check its kinds.

    kind_of: name of a quantity -> its kind, None (or no key) where there is none. expected: kinds the whole may have.
    currency: of money literals. known: names to suggest from, where kind_of is no mapping.

    Raises FormulaError with one sentence: what is wrong, at which character, and what may have been meant.
    """
    wanted = expected if isinstance(expected, tuple) else (expected,)
    parser = _Parser(text, kind_of, currency, known)
    node = parser.whole()
    if node.zero and node.kind not in wanted and Kind.MONEY in wanted:
        node = nodes.literal(0.0, Kind.MONEY, node.text)
    if node.kind not in wanted:
        names = " or ".join(kind.value for kind in wanted)
        raise FormulaError(f"the formula gives {_a(node.kind)}, but {names} is wanted", 0)
    return Formula(text, node.kind, tuple(parser.names), node.text, node.work)


def _a(kind: Kind) -> str:
    return {Kind.NUMBER: "a number", Kind.DATE: "a date"}.get(kind, kind.value)


class _Parser:
    def __init__(
        self, text: str, kind_of: Callable[[str], Kind | None] | Mapping[str, Kind], currency: str, known: Iterable[str]
    ) -> None:
        self.tokens, self.place, self.depth = tokens_of(text), 0, 0
        self.kind_of = kind_of.get if isinstance(kind_of, Mapping) else kind_of
        self.known = kind_of if isinstance(kind_of, Mapping) else known
        self.currency = currency
        self.names: dict[str, None] = {}

    # ------------------------------------------------------------------------------------------------------- tokens
    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        token = self.tokens[self.place]
        self.place += 1
        return token

    def takes(self, *texts: str) -> Token | None:
        """The next token if it is one of these words or operators, taken."""
        if self.next.sort in ("operator", "name") and self.next.text in texts:
            return self.take()
        return None

    def need(self, text: str) -> None:
        if self.takes(text) is None:
            raise fault(self.next.at, f"{text!r} is missing{self._before()}")

    def _before(self) -> str:
        return " at the end" if self.next.sort == "end" else f" before {self.next.text!r}"

    # ------------------------------------------------------------------------------------------------- from the weakest
    def whole(self) -> Node:
        node = self.either()
        if self.next.sort != "end":
            token = self.next
            hint = suggestion(token.text, WORDS[:2]) if token.sort == "name" else ""
            said = "is unknown" if token.sort == "name" and "did you mean" in hint else "is not expected here"
            raise fault(token.at, f"{token.text!r} {said}{hint if 'did you mean' in hint else ''}")
        return node

    def either(self) -> Node:
        self._deeper()
        node = self.both()
        while token := self.takes("or"):
            node = self._logic(token, np.logical_or, node, self.both(), nodes.OR)
        self.depth -= 1
        return node

    def both(self) -> Node:
        node = self.negation()
        while token := self.takes("and"):
            node = self._logic(token, np.logical_and, node, self.negation(), nodes.AND)
        return node

    def _logic(self, token: Token, call: Callable[..., Any], left: Node, right: Node, binds: int) -> Node:
        for node in (left, right):
            if node.kind is not Kind.BOOL:
                raise fault(token.at, f"{token.text!r} joins conditions, not {_a(node.kind)}")
        text = f"{left.inside(binds)} {token.text} {right.inside(binds + 1)}"
        return nodes.operation(Kind.BOOL, call, [left, right], text, binds)

    def negation(self) -> Node:
        if token := self.takes("not"):
            self._deeper()
            node = self.negation()
            self.depth -= 1
            if node.kind is not Kind.BOOL:
                raise fault(token.at, f"'not' turns a condition, not {_a(node.kind)}")
            return nodes.operation(Kind.BOOL, np.logical_not, [node], f"not {node.inside(nodes.NOT)}", nodes.NOT)
        return self.comparison()

    def comparison(self) -> Node:
        left = self.sum()
        token = self.takes(*_COMPARE)
        if token is None:
            return left
        right = self.sum()
        kind = self._same(token, left, right)
        if kind is Kind.BOOL and token.text not in ("==", "!="):
            raise fault(token.at, f"conditions have no order; {token.text!r} compares amounts, numbers or dates")
        if second := self.takes(*_COMPARE):
            raise fault(second.at, "comparisons are not chained; join two of them with 'and'")
        text = f"{left.inside(nodes.SUM)} {token.text} {right.inside(nodes.SUM)}"
        return nodes.operation(Kind.BOOL, _COMPARE[token.text], [left, right], text, nodes.COMPARE)

    def sum(self) -> Node:
        node = self.product()
        while token := self.takes("+", "-"):
            right = self.product()
            kind = self._same(token, node, right)
            if kind not in (Kind.MONEY, Kind.NUMBER):
                raise fault(token.at, f"{token.text!r} works on money and numbers, not on {_a(kind)}")
            call = np.add if token.text == "+" else np.subtract
            text = f"{node.inside(nodes.SUM)} {token.text} {right.inside(nodes.PRODUCT)}"
            node = nodes.operation(kind, call, [node, right], text, nodes.SUM)
        return node

    def product(self) -> Node:
        node = self.unary()
        while token := self.takes("*", "/"):
            right = self.unary()
            kind = self._product_kind(token, node, right)
            call = np.multiply if token.text == "*" else nodes.divide
            text = f"{node.inside(nodes.PRODUCT)} {token.text} {right.inside(nodes.MINUS)}"
            node = nodes.operation(kind, call, [node, right], text, nodes.PRODUCT)
        return node

    def _product_kind(self, token: Token, left: Node, right: Node) -> Kind:
        kinds = (left.kind, right.kind)
        money, number = Kind.MONEY, Kind.NUMBER
        table = {
            ("*", (number, number)): number,
            ("*", (money, number)): money,
            ("*", (number, money)): money,
            ("/", (number, number)): number,
            ("/", (money, number)): money,
            ("/", (money, money)): number,
        }
        found = table.get((token.text, kinds))
        if found is None:
            verb = "multiplied by" if token.text == "*" else "divided by"
            raise fault(token.at, f"{_a(left.kind)} cannot be {verb} {_a(right.kind)}")
        return found

    def unary(self) -> Node:
        if token := self.takes("-"):
            self._deeper()
            node = self.unary()
            self.depth -= 1
            if node.kind not in (Kind.MONEY, Kind.NUMBER):
                raise fault(token.at, f"'-' turns money and numbers, not {_a(node.kind)}")
            return nodes.operation(node.kind, np.negative, [node], f"-{node.inside(nodes.MINUS)}", nodes.MINUS)
        return self.atom()

    # ------------------------------------------------------------------------------------------------------------ atoms
    def atom(self) -> Node:
        token = self.take()
        if token.sort == "number":
            percent = token.text.endswith("%")
            value = float(token.text[:-1]) / 100.0 if percent else float(token.text)
            if not np.isfinite(value):
                raise fault(token.at, f"{token.text!r} is too large a number")
            return nodes.literal(value, Kind.NUMBER, _plain(value))
        if token.sort == "date":
            return nodes.literal(float(date_of(token).toordinal()), Kind.DATE, token.text)
        if token.sort == "currency":
            return self._money(token)
        if token.sort == "operator" and token.text == "(":
            node = self.either()
            self.need(")")
            return node
        if token.sort == "name" and token.text not in ("and", "or", "not"):
            return self._named(token)
        missing = (
            "ends where a value is expected" if token.sort == "end" else f"a value is expected, not {token.text!r}"
        )
        raise fault(token.at, f"the formula {missing}" if token.sort == "end" else missing)

    def _money(self, token: Token) -> Node:
        if token.text != self.currency:
            raise fault(token.at, f"{token.text} is not the currency of the deal; write {self.currency}")
        number = self.take()
        if number.sort != "number" or number.text.endswith("%"):
            raise fault(number.at, f"an amount is expected after {token.text}, not {number.text!r}")
        value = float(number.text)
        if not np.isfinite(value):
            raise fault(number.at, f"{number.text!r} is too large an amount")
        return nodes.literal(value, Kind.MONEY, f"{token.text} {_plain(value)}")

    def _named(self, token: Token) -> Node:
        if token.text in ("true", "false"):
            return nodes.literal(token.text == "true", Kind.BOOL, token.text)
        if self.next.sort == "operator" and self.next.text == "(":
            return self._call(token)
        kind = self.kind_of(token.text)
        if kind is None:
            raise fault(token.at, f"{token.text!r} is no quantity{self._meant(token.text)}")
        self.names[token.text] = None
        return nodes.quantity(token.text, kind)

    def _meant(self, name: str) -> str:
        """The nearest quantity; a deal has hundreds, so they are never listed."""
        hint = suggestion(name, self.known)
        if "did you mean" in hint:
            return hint
        if name in FUNCTIONS:
            return f"; as a function it is written {name}(...)"
        return "; see the table of quantities of the deal language"

    def _call(self, token: Token) -> Node:
        name = token.text
        if name not in FUNCTIONS:
            raise fault(token.at, f"no function is named {name!r}{suggestion(name, FUNCTIONS)}")
        self.need("(")
        keys: list[tuple[Node, Token]] = []
        parts: list[Node] = []
        while True:
            start = self.next
            parts.append(self.either())
            if name == "step" and self.takes(":"):
                keys.append((parts.pop(), start))
                parts.append(self.either())
            if not self.takes(","):
                break
        self.need(")")
        low, high = FUNCTIONS[name]
        if not low <= len(parts) <= high:
            count = f"{low}" if low == high else f"at least {low}"
            raise fault(token.at, f"{name} takes {count} argument{'s' if low > 1 else ''}, not {len(parts)}")
        if name == "step":
            return self._step(token, keys, parts)
        return self._function(token, parts)

    def _function(self, token: Token, parts: list[Node]) -> Node:
        name = token.text
        text = f"{name}({', '.join(part.text for part in parts)})"
        if name == "if":
            if parts[0].kind is not Kind.BOOL:
                raise fault(token.at, f"the first argument of 'if' is a condition, not {_a(parts[0].kind)}")
            return nodes.operation(self._all_same(token, parts[1:]), nodes.choose, parts, text)
        kind = self._all_same(token, parts)
        if kind is Kind.BOOL or (kind is Kind.DATE and name in ("abs", "floor")):
            raise fault(token.at, f"{name} works on amounts and numbers, not on {_a(kind)}")
        calls: dict[str, Callable[..., Any]] = {
            "min": nodes.least,
            "max": nodes.greatest,
            "abs": np.abs,
            "floor": np.floor,
            "clip": nodes.between,
        }
        return nodes.operation(kind, calls[name], parts, text)

    def _step(self, token: Token, keys: list[tuple[Node, Token]], parts: list[Node]) -> Node:
        at, *values = parts
        if len(keys) != len(values) - 1 or not keys:
            raise fault(token.at, "step is written step(x, key: value, ..., value below the first key)")
        numbers = []
        for key, start in keys:
            if not key.constant:
                raise fault(start.at, "the keys of step are written numbers or dates")
            self._same(start, at, key)
            numbers.append(float(key.work(lambda name: name)))
        for (_, start), (before, after) in zip(keys[1:], pairwise(numbers), strict=True):
            if after <= before:
                raise fault(start.at, "the keys of step stand in rising order")
        kind = self._all_same(token, values)
        table = ", ".join(f"{key.text}: {value.text}" for (key, _), value in zip(keys, values[:-1], strict=True))
        text = f"step({at.text}, {table}, {values[-1].text})"
        return nodes.operation(kind, nodes.stepped(numbers), [at, *values], text)

    # ------------------------------------------------------------------------------------------------------------ kinds
    def _same(self, token: Token, left: Node, right: Node) -> Kind:
        """The common kind of two sides; the literal 0 may stand for no money."""
        if left.kind is right.kind:
            return left.kind
        if {left.kind, right.kind} == {Kind.MONEY, Kind.NUMBER} and (left.zero or right.zero):
            return Kind.MONEY
        raise fault(token.at, f"{_a(left.kind)} and {_a(right.kind)} do not go together at {token.text!r}")

    def _all_same(self, token: Token, parts: list[Node]) -> Kind:
        kind, first = parts[0].kind, parts[0]
        for part in parts[1:]:
            kind = self._same(token, first, part)
            first = part if first.zero else first
        return kind

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise fault(self.next.at, f"the formula is nested more than {MAX_DEPTH} deep")


def _plain(value: float) -> str:
    """Shortest digits that read as the same number."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
