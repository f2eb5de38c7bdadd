"""What changed between two versions of a deal, place by place, as data and in plain sentences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pooling.engine.deal.diff_words import ABSENT, Words
from pooling.engine.deal.spec import DealSpec

# What tells the members of a list apart, where they have no name.
_KEYS: dict[str, tuple[str, ...]] = {
    "collections": ("source", "group"),
    "amounts": ("date",),
    "steps": ("first_accrual",),
}


@dataclass(frozen=True)
class Change:
    """One place that differs: path in the JSON, value before and after (ABSENT where there is none).

    Members of lists stand in the path by name, steps of an order of payments by their place before (a new step by its
    place after). A step that moved past others has the path "waterfall[i].step", with its numbers counted from 1; a
    list of names in another order has the path "tranches.order". sentence: the same in words, for people.
    """

    path: str
    before: Any
    after: Any
    sentence: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.before} became {self.after}"


def diff(before: DealSpec, after: DealSpec) -> tuple[Change, ...]:
    """Changes from one spec to the other in JSON order; empty if and only if the specs are equal.

    Named members of lists are matched by name. Steps of an order of payments are matched by what they pay, then by whom
    they share, so that a step put in between is one change.
    """
    walk = _Walk(Words(before.currency, after.currency))
    return tuple(walk.members("", "", before.to_json(), after.to_json()))


def diff_in_words(before: DealSpec, after: DealSpec) -> tuple[str, ...]:
    """The changes as sentences: "Class B: coupon 6.500 % became 7.000 %."

    Money with its currency, rates in percent, dates in ISO 8601, formulas in quotes; steps count from 1.
    """
    return tuple(change.sentence for change in diff(before, after))


class _Walk:
    """Goes down both JSON values at once. subject: of the sentence so far ("Class B"); key: of the value looked at."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def value(self, path: str, subject: str, key: str, before: Any, after: Any) -> Iterator[Change]:
        if before == after:
            return
        if key == "waterfall":
            yield from self._steps(path, subject, before, after)
        elif _is_list_of_objects(before, after) and (keyed := _keyed(key, before, after)) is not None:
            yield from self._list(path, subject, key, *keyed)
        elif isinstance(before, dict) and isinstance(after, dict) and before.get("kind") == after.get("kind"):
            yield from self.members(path, self.words.within(subject, key), before, after)
        else:
            yield Change(path, before, after, self.words.became(subject, key, before, after))

    def members(self, path: str, subject: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
        """Both objects have the same keys: those of one dataclass."""
        for key in before:
            yield from self.value(f"{path}.{key}" if path else key, subject, key, before[key], after[key])

    def _list(
        self, path: str, subject: str, key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> Iterator[Change]:
        for name, item in before.items():
            here, noun = f"{path}[{name}]", self.words.member(subject, key, name)
            if name not in after:
                yield Change(here, item, ABSENT, self.words.removed(noun))
            elif item.get("kind") != after[name].get("kind"):
                yield Change(here, item, after[name], self.words.replaced(noun, key, item, after[name]))
            else:
                yield from self.members(here, noun, item, after[name])
        for name, item in after.items():
            if name not in before:
                place = self.words.place(key, list(after), name)
                noun = self.words.member(subject, key, name)
                yield Change(f"{path}[{name}]", ABSENT, item, self.words.added(noun, key, item, place))
        kept = [name for name in before if name in after], [name for name in after if name in before]
        if kept[0] != kept[1]:
            yield Change(f"{path}.order", *kept, self.words.order(subject, key, *kept))

    def _steps(self, path: str, subject: str, before: list[Any], after: list[Any]) -> Iterator[Change]:
        pairs = _matched(before, after)
        stay = _longest_rising([pairs[i] for i in sorted(pairs)])
        stayed = {i for i, j in pairs.items() if j in stay}, stay
        title = self.words.title(subject)
        for i, step in enumerate(before):
            if i not in pairs:
                sentence = f"{title}: step {i + 1}, {self.words.step(step)}, removed."
                yield Change(f"{path}[{i}]", step, ABSENT, sentence)
                continue
            j = pairs[i]
            if j not in stay:
                yield self._moved(f"{path}[{i}].step", title, (before, i), (after, j), stayed)
            place = f"{title}, step {j + 1}, {self.words.step(after[j])}"
            yield from self.members(f"{path}[{i}]", place, step, after[j])
        for j, step in enumerate(after):
            if j not in pairs.values():
                sentence = f"{title}: new step {j + 1}, {self.words.step(step, terms=True)}."
                yield Change(f"{path}[{j}]", ABSENT, step, sentence)

    def _moved(
        self,
        path: str,
        title: str,
        was: tuple[list[Any], int],
        now: tuple[list[Any], int],
        stayed: tuple[set[int], set[int]],
    ) -> Change:
        """By its numbers, or, where they are the same by chance, by the last step before it that stayed."""
        (before, i), (after, j) = was, now
        step = self.words.step(before[i])
        if i != j:
            return Change(path, i + 1, j + 1, f"{title}: {step} moved from step {i + 1} to step {j + 1}.")
        places = []
        for steps, place, kept in ((before, i, stayed[0]), (after, j, stayed[1])):
            last = max((k for k in kept if k < place), default=None)
            places.append("first" if last is None else f"after {self.words.step(steps[last])}")
        return Change(path, places[0], places[1], f"{title}: {step} moved: it stood {places[0]}, now {places[1]}.")


# ----------------------------------------------------------------------------------------------------------- matching
def _is_list_of_objects(before: Any, after: Any) -> bool:
    return all(isinstance(value, list) and all(isinstance(item, dict) for item in value) for value in (before, after))


def _keyed(key: str, before: list[Any], after: list[Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Both lists by what tells their members apart; None where that does not tell them apart."""
    parts = _KEYS.get(key, ("name",))
    result = []
    for items in (before, after):
        named = {" of ".join(str(item[part]) for part in parts if item[part] is not None): item for item in items}
        if len(named) != len(items):
            return None
        result.append(named)
    return result[0], result[1]


def _matched(before: list[Any], after: list[Any]) -> dict[int, int]:
    """Place before -> place after of the steps that are the same: equal ones, then same payees, then shared payees."""
    pairs: dict[int, int] = {}
    rules: tuple[Callable[[Any, Any], bool], ...] = (
        lambda a, b: bool(a == b),
        lambda a, b: (a["pay"], a["to"]) == (b["pay"], b["to"]),
        lambda a, b: a["pay"] == b["pay"] and bool(set(a["to"]) & set(b["to"])),
    )
    for same in rules:
        for i, j in itertools.product(range(len(before)), range(len(after))):
            if i not in pairs and j not in pairs.values() and same(before[i], after[j]):
                pairs[i] = j
    return pairs


def _longest_rising(places: list[int]) -> set[int]:
    """The most of the places that rise from first to last: steps that did not move past one another."""
    best: list[list[int]] = [[]]
    for place in places:
        shorter = max((run for run in best if not run or run[-1] < place), key=len)
        best.append([*shorter, place])
    longest = max(best, key=len)
    return set(longest)
