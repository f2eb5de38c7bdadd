"""Eligibility rules as data, and the concentrations of what they let in.

Rules see origination fields and the state at cut-off only; what became of a loan is no field here, so a pool
can not be picked by its outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
Value = float | bool | str | tuple[float, ...] | tuple[str, ...]
Column = NDArray[np.float64] | NDArray[np.object_]

LARGEST_NUMBER = 1e15
OPERATORS = ("ge", "le", "in", "not_in", "between", "is_known")

# Numbers: balances in currency units, rates and dti as fractions, terms and age in months.
NUMBER_FIELDS = (
    "balance", "original_balance", "rate", "term", "remaining_term", "age", "score", "income", "dti",
    "employment_years",
)  # fmt: skip
TEXT_FIELDS = ("grade", "sub_grade", "state", "purpose", "home_ownership", "issue_month", "obligor")

_KEYS = ("field", "op", "value", "reason")


@dataclass(frozen=True)
class Rule:
    """One condition a loan must meet. A loan whose field is unknown does not meet it.

    op: ge, le (a number or, for issue_month, "YYYY-MM"), between (two of them, ends included), in and not_in
    (a list), is_known (value true). reason: what people are told of loans that fail.
    """

    field: str
    op: str
    value: Value
    reason: str

    def to_json(self) -> dict[str, object]:
        """The rule as a JSON object."""
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"field": self.field, "op": self.op, "value": value, "reason": self.reason}


@dataclass(frozen=True, eq=False)
class Selection:
    """mask: (n,) loans that meet every rule. excluded: reason -> loans whose first failed rule it is."""

    mask: BoolArray
    excluded: Mapping[str, int]


@dataclass(frozen=True)
class Concentration:
    """The largest holder of one field: its name, balance in cents and share of the pool's balance."""

    field: str
    name: str
    balance_cents: int
    share: float
    names: int


DEFAULT_RULES = (
    Rule("rate", "le", 0.36, "rate above 36 % a year"),
    Rule("balance", "between", (1_000.0, 100_000.0), "balance outside 1,000 to 100,000"),
    Rule("term", "between", (12.0, 84.0), "original term outside 12 to 84 months"),
)


def rules_from_json(data: str | Sequence[Mapping[str, object]]) -> tuple[Rule, ...]:
    """Rules of a JSON array of {"field", "op", "value", "reason"}; what is unknown is refused with its path.

    Raises ValueError such as "rules[2].op: 'gt' is not one of ge, le, ...".
    """
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"rules: not valid JSON ({error})") from error
    if not isinstance(data, Sequence) or isinstance(data, str | bytes):
        raise ValueError(f"rules: expected a list of rules, got {type(data).__name__}")
    return tuple(_rule(item, f"rules[{i}]") for i, item in enumerate(data))


def _rule(item: object, path: str) -> Rule:
    if not isinstance(item, Mapping):
        raise ValueError(f"{path}: expected an object with {', '.join(_KEYS)}, got {type(item).__name__}")
    unknown = sorted(str(key) for key in item if key not in _KEYS)
    if unknown:
        shown = unknown[0] if unknown[0].isprintable() else repr(unknown[0])[1:-1]
        raise ValueError(f"{path}.{shown}: unknown key; a rule has {', '.join(_KEYS)}")
    missing = [key for key in _KEYS if key not in item]
    if missing:
        raise ValueError(f"{path}.{missing[0]}: missing")
    field, op, reason = item["field"], item["op"], item["reason"]
    if field not in (*NUMBER_FIELDS, *TEXT_FIELDS):
        raise ValueError(f"{path}.field: {field!r} is not one of {', '.join((*NUMBER_FIELDS, *TEXT_FIELDS))}")
    if op not in OPERATORS:
        raise ValueError(f"{path}.op: {op!r} is not one of {', '.join(OPERATORS)}")
    if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
        raise ValueError(f"{path}.reason: expected a text, got {reason!r}")
    return Rule(str(field), str(op), _value(str(field), str(op), item["value"], f"{path}.value"), reason)


def _value(field: str, op: str, value: object, path: str) -> Value:
    if op == "is_known":
        if value is not True:
            raise ValueError(f"{path}: is_known takes true, got {value!r}")
        return True
    if field == "obligor":
        # Rules are shown to the market, and an obligor's id names a person.
        raise ValueError(f"{path}: obligor takes is_known only")
    if op in ("ge", "le", "between") and field in TEXT_FIELDS and field != "issue_month":
        raise ValueError(f"{path}: {field} is a text and has no order; use in or not_in")
    if op in ("ge", "le"):
        return _text(value, path) if field in TEXT_FIELDS else _number(value, path)
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{path}: {op} takes a list, got {value!r}")
    if op == "between" and len(value) != 2:
        raise ValueError(f"{path}: between takes two values, got {len(value)}")
    items = list(enumerate(value))
    if field in TEXT_FIELDS:
        chosen: tuple[str, ...] | tuple[float, ...] = tuple(_text(each, f"{path}[{i}]") for i, each in items)
    else:
        chosen = tuple(_number(each, f"{path}[{i}]") for i, each in items)
    if op == "between" and list(chosen) != sorted(chosen):
        raise ValueError(f"{path}: {chosen[0]} to {chosen[1]} do not ascend")
    return chosen


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{path}: expected a number of at most {LARGEST_NUMBER:g}, got {str(value)[:40]}")
    return float(value)


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{path}: expected a text that can be printed, got {value!r}")
    return value


def select(frame: pd.DataFrame, rules: Sequence[Rule] = DEFAULT_RULES) -> Selection:
    """Apply rules to a pool frame (tapes.alignment.pool_frame), n loans, in the order given."""
    mask = np.ones(len(frame), dtype=bool)
    excluded: dict[str, int] = {}
    for rule in rules:
        failed = mask & ~_meets(frame, rule)
        count = int(failed.sum())
        if count:
            excluded[rule.reason] = excluded.get(rule.reason, 0) + count
        mask &= ~failed
    return Selection(mask, excluded)


def _meets(frame: pd.DataFrame, rule: Rule) -> BoolArray:
    column = _column(frame, rule.field)
    known = np.asarray(column != "") if rule.field in TEXT_FIELDS else np.isfinite(column.astype(float))
    # Of length 1 for ge and le, 2 for between: one type for texts and numbers alike.
    given = np.atleast_1d(np.array(rule.value, dtype=column.dtype))
    tests: Mapping[str, Callable[[], Any]] = {
        "ge": lambda: column >= given[0],
        "le": lambda: column <= given[0],
        "between": lambda: (column >= given[0]) & (column <= given[1]),
        "in": lambda: pd.Series(column).isin(list(given)).to_numpy(dtype=bool),
        "not_in": lambda: ~pd.Series(column).isin(list(given)).to_numpy(dtype=bool),
        "is_known": lambda: known,
    }
    return np.asarray(known & tests[rule.op](), dtype=bool)


def _column(frame: pd.DataFrame, field: str) -> Column:
    """(n,) float64, or object texts."""
    if field in ("balance", "original_balance"):
        return np.asarray(frame[f"{field}_cents"], dtype=float) / 100.0
    return np.asarray(frame[field], dtype=object if field in TEXT_FIELDS else float)


def concentrations(frame: pd.DataFrame, fields: Sequence[str] = ("state", "obligor")) -> tuple[Concentration, ...]:
    """The largest share of each text field, by balance. A loan without an obligor id is its own obligor.

    The largest obligor stays without a name: its id would join loans to a person across tapes.

    Loans whose field is unknown count in the total and never as a name; a field unknown throughout is left
    out. Raises ValueError for an empty pool.
    """
    total = int(frame["balance_cents"].sum())
    if total <= 0:
        raise ValueError(f"balance_cents: the pool's balance is {total}")
    found = []
    for field in fields:
        names = frame[field]
        if field == "obligor":
            names = names.where(names != "", frame["loan_id"])
        sums = frame.loc[names != "", "balance_cents"].groupby(names[names != ""]).sum()
        if sums.empty:
            continue
        # Sorted by name first, so that a tie goes to the same name whatever the order of rows.
        sums = sums.sort_index()
        largest = int(sums.max())
        name = str(sums.index[int(np.argmax(sums.to_numpy()))])
        found.append(Concentration(field, "" if field == "obligor" else name, largest, largest / total, len(sums)))
    return tuple(found)
