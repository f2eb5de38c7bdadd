"""What each trigger of a deal read on every payment date: the compared values, their levels, and the room between.

The dates are run again step by step, so that a value is read at the moment at which the deal tests it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.formula import Formula, Kind, parse_formula
from pooling.engine.formula.lexer import Token, tokens_of
from pooling.engine.waterfall.execute import single_run
from pooling.engine.waterfall.program import Program
from pooling.engine.waterfall.run import Run
from pooling.engine.waterfall.steps import pay

ORDERED = (">", ">=", "<", "<=")
COMPARE = (*ORDERED, "==", "!=")
_KINDS = (Kind.NUMBER, Kind.MONEY, Kind.DATE, Kind.BOOL)


@dataclass(frozen=True)
class Comparison:
    """A part of a condition that is true or not. operator and sides of a comparison; "" and the whole as left where it
    compares nothing, such as another trigger's state."""

    text: str
    operator: str
    left: Formula
    right: Formula | None


@dataclass(frozen=True)
class Joined:
    """Parts of a condition joined by and, or; or one part under not."""

    word: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Condition = Comparison | Joined


@dataclass(frozen=True)
class ComparisonReading:
    """One comparison on one date: amounts, ratios or day numbers, None where infinite (a ratio to notes that are
    repaid). room: as TriggerReading, of this comparison alone."""

    text: str
    operator: str
    value: float | None
    level: float | None
    room: float | None


@dataclass(frozen=True)
class TriggerReading:
    """A trigger on one date. number: of the payment, from 1. breached: its state after the test. holds: whether the
    condition holds on this date. room: how far values may still move before it would, as a share of the level, at or
    below 0 where it holds: of parts joined by `and` the largest, by `or` the smallest; None where no level says.
    """

    number: int
    name: str
    condition: str
    breached: bool
    holds: bool
    room: float | None
    tests: tuple[ComparisonReading, ...]


def trigger_readings(program: Program, flows: PoolFlows, **options: Any) -> tuple[TriggerReading, ...]:
    """Every trigger on every date that the flows reach, by date and in the order of the deal.

    flows: one path. options: of execute() (state, rates, ends, ...). Raises ValueError as execute().
    """
    spec = program.spec
    if not spec.triggers:
        return ()
    conditions = [condition_of(spec, place) for place in range(len(spec.triggers))]
    run = single_run(program, flows, **options)
    found: list[TriggerReading] = []
    for t in range(run.periods):
        run.open_date(t)
        looks = {i: _look(run, conditions[i]) for i, each in enumerate(spec.triggers) if each.tested == "opening"}
        for step in program.steps:
            pay(run, step)
            if step.pay == "test":
                looks |= {i: _look(run, conditions[i]) for i in step.targets if i not in looks}
        looks |= {i: _look(run, conditions[i]) for i in range(len(conditions)) if i not in looks}
        run.close_date()
        for i, trigger in enumerate(spec.triggers):
            room, tests = looks[i]
            found.append(
                TriggerReading(
                    number=run.number,
                    name=trigger.name,
                    condition=trigger.condition,
                    breached=bool(run.breached[i][0]),
                    holds=room <= 0.0,
                    room=_finite(room),
                    tests=tests,
                )
            )
    return tuple(found)


def room_of(value: float, operator: str, level: float) -> float:
    """Distance of a value from its level as a share of the level's size, above 0 while `value operator level` does not
    hold; infinite, by its sign, where there is no measure: no finite level other than 0, or equality is asked."""
    holds = bool(_HOLDS[operator](value, level))
    if operator not in ORDERED or not (math.isfinite(value) and math.isfinite(level)) or level == 0.0:
        return -math.inf if holds else math.inf
    distance = (level - value if operator in (">", ">=") else value - level) / abs(level)
    # On the level itself a strict comparison does not hold: it has next to no room, but some.
    return max(distance, math.ulp(0.0)) if not holds else distance


_HOLDS = {
    ">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal, "!=": np.not_equal,
}  # fmt: skip


def _look(run: Run, condition: Condition) -> tuple[float, tuple[ComparisonReading, ...]]:
    """The room of a condition now, signed, and its comparisons."""
    if isinstance(condition, Joined):
        parts = [_look(run, part) for part in condition.parts]
        rooms = [room for room, _ in parts]
        return _whole(condition.word, rooms), tuple(test for _, tests in parts for test in tests)
    value = _value(run, condition.left)
    if condition.right is None:
        return (-math.inf if value else math.inf), ()
    level = _value(run, condition.right)
    room = room_of(value, condition.operator, level)
    reading = ComparisonReading(condition.text, condition.operator, _finite(value), _finite(level), _finite(room))
    return room, (reading,)


def _whole(word: str, rooms: Sequence[float]) -> float:
    """Room of joined parts. Under `not` what holds does not: exactly at its level the smallest room is left."""
    if word == "not":
        return -rooms[0] if rooms[0] else math.ulp(0.0)
    return max(rooms) if word == "and" else min(rooms)


def _value(run: Run, formula: Formula) -> float:
    return float(np.asarray(formula.evaluate(run.reader.read), dtype=np.float64).reshape(-1)[0])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# ----------------------------------------------------------------------------------------- the parts of a condition
def condition_of(spec: DealSpec, place: int) -> Condition:
    """The condition of trigger `place`, taken apart at and, or, not and its brackets; comparisons within the arguments
    of a function stay part of their side."""
    return _Parts(spec, spec.triggers[place].condition).either()


class _Parts:
    """Reads a condition that the deal has already checked."""

    def __init__(self, spec: DealSpec, text: str) -> None:
        self.book, self.text, self.tokens, self.place = spec.formulas, text, tokens_of(text), 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def either(self) -> Condition:
        return self._joined("or", self._both)

    def _both(self) -> Condition:
        return self._joined("and", self._one)

    def _joined(self, word: Literal["and", "or"], read: Any) -> Condition:
        parts = [read()]
        while self.next.text == word:
            self.place += 1
            parts.append(read())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def _one(self) -> Condition:
        if self.next.text == "not":
            self.place += 1
            return Joined("not", (self._one(),))
        if self.next.text == "(" and self._after_bracket() in ("and", "or", ")", ""):
            self.place += 1
            inside = self.either()
            self.place += 1
            return inside
        return self._test()

    def _after_bracket(self) -> str:
        """The text of the token after the bracket that opens here is closed."""
        depth = 0
        for place in range(self.place, len(self.tokens)):
            depth += (self.tokens[place].text == "(") - (self.tokens[place].text == ")")
            if depth == 0:
                return self.tokens[place + 1].text
        return ""

    def _test(self) -> Comparison:
        first, depth, operator = self.place, 0, None
        while self.next.sort != "end":
            text = self.next.text
            if depth == 0 and text in ("and", "or", ")"):
                break
            depth += (text == "(") - (text == ")")
            if depth == 0 and self.next.sort == "operator" and text in COMPARE:
                operator = self.place
            self.place += 1
        start, end = self.tokens[first].at, self.next.at
        if operator is None:
            whole = self.text[start:end].strip()
            return Comparison(whole, "", self._formula(whole), None)
        sign = self.tokens[operator]
        left, right = self.text[start : sign.at].strip(), self.text[sign.at + len(sign.text) : end].strip()
        return Comparison(f"{left} {sign.text} {right}", sign.text, self._formula(left), self._formula(right))

    def _formula(self, text: str) -> Formula:
        return parse_formula(text, self.book.kinds, _KINDS, currency=self.book.currency)
