"""The formula language: values, kinds, sentences for mistakes, and properties over random formulas."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pooling.engine.formula import FormulaError, Kind, parse_formula

KINDS = {
    "pool.balance": Kind.MONEY,
    "class[A-1].balance": Kind.MONEY,
    "pool[group 1].balance": Kind.MONEY,
    "fee[servicing].due": Kind.MONEY,
    "period.number": Kind.NUMBER,
    "pool.factor": Kind.NUMBER,
    "period.date": Kind.DATE,
    "trigger[loss]": Kind.BOOL,
    "period.is_final": Kind.BOOL,
}
VALUES: dict[str, Any] = {
    "pool.balance": 1000.0,
    "class[A-1].balance": 800.0,
    "pool[group 1].balance": 400.0,
    "fee[servicing].due": 0.0,
    "period.number": 13.0,
    "pool.factor": 0.25,
    "period.date": float(dt.date(2024, 4, 28).toordinal()),
    "trigger[loss]": True,
    "period.is_final": False,
}
ANY = tuple(Kind)


def value(text: str, expected: Kind | tuple[Kind, ...] = ANY) -> Any:
    return parse_formula(text, KINDS, expected, currency="USD").evaluate(VALUES.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("5%", 0.05),
        ("USD 100.25", 100.25),
        ("true", True),
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("2 - 3 - 4", -5.0),
        ("12 / 3 / 2", 2.0),
        ("-2 * -3", 6.0),
        ("- - 2", 2.0),
        ("5% * pool.balance", 50.0),
        ("pool.balance * 5%", 50.0),
        ("pool.balance / 4", 250.0),
        ("pool.balance / class[A-1].balance", 1.25),
        ("class[ A-1 ].balance - 1 * pool.balance", -200.0),
        ("pool[group 1].balance", 400.0),
        ("pool.balance > class[A-1].balance", True),
        ("pool.balance > 0", True),
        ("0 == fee[servicing].due", True),
        ("period.date >= 2024-04-28", True),
        ("period.date > 2024-04-28", False),
        ("not trigger[loss] or period.number == 13", True),
        ("trigger[loss] and not period.is_final", True),
        ("not trigger[loss] == false", True),
        ("trigger[loss] == true", True),
        ("min(3, 1, 2)", 1.0),
        ("max(5% * pool.balance, USD 60)", 60.0),
        ("max(0, class[A-1].balance - pool.balance)", 0.0),
        ("abs(class[A-1].balance - pool.balance)", 200.0),
        ("floor(7.9)", 7.0),
        ("clip(period.number, 1, 12)", 12.0),
        ("if(trigger[loss], 0, pool.balance)", 0.0),
        ("if(period.is_final, USD 1, USD 2)", 2.0),
        ("step(period.number, 12: 3%, 24: 6%, 2%)", 0.03),
        ("step(period.number, 14: 3%, 24: 6%, 2%)", 0.02),
        ("step(period.number, 1: 3%, 13: 6%, 2%)", 0.06),
        ("step(period.date, 2024-01-01: USD 5, 2025-01-01: USD 6, 0)", 5.0),
        ("pool.balance / 0", math.inf),
        ("fee[servicing].due / fee[servicing].due", math.inf),
        ("-pool.balance / 0", -math.inf),
    ],
)
def test_values(text: str, expected: float | bool) -> None:
    if text.endswith("/ 0") or "/ 0 " in text:
        # Money over the literal 0 is money over a number: still money, and infinite.
        assert value(text) == expected
    else:
        assert value(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the formula is empty"),
        ("   ", "the formula is empty"),
        ("1 +", "at character 4: the formula ends where a value is expected"),
        ("* 2", "at character 1: a value is expected, not '*'"),
        ("(1", "at character 3: ')' is missing at the end"),
        ("1)", "at character 2: ')' is not expected here"),
        ("1 2", "at character 3: '2' is not expected here"),
        ("'a'", 'at character 1: "\'" belongs to no formula'),
        ("1 & 2", "at character 3: '&' belongs to no formula"),
        ("period.number = 3", "at character 15: '=' compares nothing; write '=='"),
        ("pool.balence", "at character 1: 'pool.balence' is no quantity; did you mean 'pool.balance'?"),
        ("clas[A-1].balance", "at character 1: 'clas[A-1].balance' is no quantity; did you mean 'class[A-1].balance'?"),
        ("trigger[los]", "at character 1: 'trigger[los]' is no quantity; did you mean 'trigger[loss]'?"),
        ("zzz", "at character 1: 'zzz' is no quantity; see the table of quantities of the deal language"),
        ("max", "at character 1: 'max' is no quantity; as a function it is written max(...)"),
        ("maximum(1, 2)", "at character 1: no function is named 'maximum'; did you mean 'max'?"),
        ("trigger[loss] an period.is_final", "at character 15: 'an' is unknown; did you mean 'and'?"),
        ("pool.balance + 5", "at character 14: money and a number do not go together at '+'"),
        ("pool.balance > 5", "at character 14: money and a number do not go together at '>'"),
        ("pool.balance < period.date", "at character 14: money and a date do not go together at '<'"),
        ("pool.balance * class[A-1].balance", "at character 14: money cannot be multiplied by money"),
        ("5 / pool.balance", "at character 3: a number cannot be divided by money"),
        ("trigger[loss] + 1", "at character 15: true or false and a number do not go together at '+'"),
        ("trigger[loss] + trigger[loss]", "at character 15: '+' works on money and numbers, not on true or false"),
        ("true < trigger[loss]", "at character 6: conditions have no order; '<' compares amounts, numbers or dates"),
        ("-trigger[loss]", "at character 1: '-' turns money and numbers, not true or false"),
        ("-period.date", "at character 1: '-' turns money and numbers, not a date"),
        ("not 1", "at character 1: 'not' turns a condition, not a number"),
        ("1 and true", "at character 3: 'and' joins conditions, not a number"),
        ("true or pool.balance", "at character 6: 'or' joins conditions, not money"),
        ("1 < 2 < 3", "at character 7: comparisons are not chained; join two of them with 'and'"),
        ("max(1)", "at character 1: max takes at least 2 arguments, not 1"),
        ("abs(1, 2)", "at character 1: abs takes 1 argument, not 2"),
        ("if(true, 1)", "at character 1: if takes 3 arguments, not 2"),
        ("if(1, 2, 3)", "at character 1: the first argument of 'if' is a condition, not a number"),
        ("if(true, USD 1, 2)", "at character 1: money and a number do not go together at 'if'"),
        ("min(true, false)", "at character 1: min works on amounts and numbers, not on true or false"),
        ("floor(period.date)", "at character 1: floor works on amounts and numbers, not on a date"),
        ("step(pool.factor, 1)", "at character 1: step is written step(x, key: value, ..., value below the first key)"),
        ("step(period.number, 3: 1, 2: 4, 5)", "at character 27: the keys of step stand in rising order"),
        ("step(period.number, pool.factor: 1, 2)", "at character 21: the keys of step are written numbers or dates"),
        ("step(pool.factor, 2024-01-01: 1, 2)",
         "at character 19: a number and a date do not go together at '2024-01-01'"),
        ("EUR 5", "at character 1: EUR is not the currency of the deal; write USD"),
        ("USD 5%", "at character 5: an amount is expected after USD, not '5%'"),
        ("2024-02-30", "at character 1: '2024-02-30' is not a day of the calendar"),
        ("1e999", "at character 1: '1e999' is too large a number"),
        ("(" * 45 + "1" + ")" * 45, "at character 41: the formula is nested more than 40 deep"),
        ("not " * 60 + "true", "at character 161: the formula is nested more than 40 deep"),
        ("1 + " * 600 + "1", "the formula has 2401 characters, at most 2000 are read"),
    ],
)  # fmt: skip
def test_mistakes_get_their_sentence(text: str, sentence: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse_formula(text, KINDS, ANY, currency="USD")
    assert caught.value.message == sentence
    assert 0 <= caught.value.position <= len(text)


def test_the_kind_of_the_whole_is_checked() -> None:
    for text, expected, sentence in (
        ("pool.balance", Kind.BOOL, "the formula gives money, but true or false is wanted"),
        ("5", Kind.MONEY, "the formula gives a number, but money is wanted"),
        ("period.date", (Kind.MONEY, Kind.NUMBER), "the formula gives a date, but money or number is wanted"),
    ):
        with pytest.raises(FormulaError) as caught:
            parse_formula(text, KINDS, expected, currency="USD")
        assert caught.value.message == sentence
    assert parse_formula("0", KINDS, Kind.MONEY, currency="USD").kind is Kind.MONEY


def test_names_are_told_in_the_order_of_their_use_with_their_values() -> None:
    formula = parse_formula(
        "pool.balance - class[ A-1 ].balance > 0 and pool.balance > 0", KINDS, Kind.BOOL, currency="USD"
    )

    assert formula.names == ("pool.balance", "class[A-1].balance")
    assert formula.explain(VALUES.__getitem__) == (("pool.balance", 1000.0), ("class[A-1].balance", 800.0))
    assert formula.canonical == "pool.balance - class[A-1].balance > 0 and pool.balance > 0"


def test_nothing_of_python_is_reached() -> None:
    for text in (
        "__import__('os')",
        "pool.balance.__class__",
        "lambda: 1",
        "[1]",
        "{}",
        "pool.balance ** 2",
        "1 if true else 2",
    ):
        with pytest.raises(FormulaError):
            parse_formula(text, KINDS, ANY, currency="USD")


# ---------------------------------------------------------------------------------------------- random formulas
Tree = tuple[Any, ...]
ARRAYS = {name: np.array(column) for name, column in {
    "pool.balance": [1000.0, 0.0, 12.5], "class[A-1].balance": [800.0, 3.0, 0.0], "period.number": [13.0, 1.0, 7.0],
    "pool.factor": [0.25, 1.0, 0.0], "trigger[loss]": [True, False, True], "period.is_final": [False, False, True],
}.items()}  # fmt: skip


LEAVES: dict[Kind, list[Tree]] = {
    Kind.MONEY: [("name", "pool.balance"), ("name", "class[A-1].balance"), ("money", 12.5), ("money", 0.0)],
    Kind.NUMBER: [("name", "period.number"), ("name", "pool.factor"), ("number", 2.0), ("number", 0.05)],
    Kind.BOOL: [("name", "trigger[loss]"), ("name", "period.is_final"), ("truth", True)],
}
# Formulas as nested tuples: one strategy a kind, each of them of the others.
MONEY: st.SearchStrategy[Tree] = st.deferred(lambda: st.sampled_from(LEAVES[Kind.MONEY]) | _inner(Kind.MONEY))
NUMBER: st.SearchStrategy[Tree] = st.deferred(lambda: st.sampled_from(LEAVES[Kind.NUMBER]) | _inner(Kind.NUMBER))
TRUTH: st.SearchStrategy[Tree] = st.deferred(lambda: st.sampled_from(LEAVES[Kind.BOOL]) | _inner(Kind.BOOL))


def _inner(kind: Kind) -> st.SearchStrategy[Tree]:
    money, number, truth = MONEY, NUMBER, TRUTH
    same = money if kind is Kind.MONEY else number
    if kind is Kind.BOOL:
        order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
        return (
            st.tuples(st.just("not"), truth)
            | st.tuples(st.sampled_from(["and", "or"]), truth, truth)
            | st.tuples(order, money, money)
            | st.tuples(order, number, number)
        )
    plain: st.SearchStrategy[Tree] = st.tuples(st.sampled_from(["+", "-", "min", "max"]), same, same) | st.tuples(
        st.just("if"), truth, same, same
    )
    plain = st.one_of(plain, st.tuples(st.just("neg"), same))
    if kind is Kind.MONEY:
        return plain | st.tuples(st.just("*"), number, money) | st.tuples(st.just("/"), money, number)
    return plain | st.tuples(st.sampled_from(["*", "/"]), number, number) | st.tuples(st.just("/"), money, money)


def written(tree: Tree) -> str:
    match tree:
        case ("name", name):
            return str(name)
        case ("money", amount):
            return f"USD {amount}"
        case ("number", number):
            return repr(number)
        case ("truth", truth):
            return "true" if truth else "false"
        case ("not", part):
            return f"(not {written(part)})"
        case ("neg", part):
            return f"(-{written(part)})"
        case ("min" | "max" | "if" as name, *parts):
            return f"{name}({', '.join(map(written, parts))})"
    operator, left, right = tree
    return f"({written(left)} {operator} {written(right)})"


def walked(tree: Tree, row: int) -> Any:
    """The value on one row by plain Python, one node at a time."""
    match tree:
        case ("name", name):
            return ARRAYS[name][row].item()
        case ("money" | "number" | "truth", literal):
            return literal
        case ("not", part):
            return not walked(part, row)
        case ("neg", part):
            return -walked(part, row)
        case ("if", condition, then, other):
            return walked(then, row) if walked(condition, row) else walked(other, row)
    left, right = walked(tree[1], row), walked(tree[2], row)
    calls: dict[str, Callable[[Any, Any], Any]] = {
        "and": lambda a, b: a and b, "or": lambda a, b: a or b, "min": min, "max": max,
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
        "/": lambda a, b: a / b if b != 0 else (math.inf if a >= 0 else -math.inf),
        "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    }  # fmt: skip
    return calls[tree[0]](left, right)


def depth(tree: Tree) -> int:
    return 1 + max((depth(part) for part in tree if isinstance(part, tuple)), default=0)


formulas = (MONEY | NUMBER | TRUTH).filter(lambda tree: depth(tree) <= 12)


@settings(max_examples=80, deadline=None)
@given(tree=formulas)
def test_a_formula_on_arrays_is_a_walk_over_its_tree(tree: Tree) -> None:
    text = written(tree)
    if len(text) > 2000:
        return
    formula = parse_formula(text, KINDS, ANY, currency="USD")
    with np.errstate(all="ignore"):
        found = np.broadcast_to(np.asarray(formula.evaluate(ARRAYS.__getitem__), dtype=float), (3,))
    for row in range(3):
        expected = float(walked(tree, row))
        if math.isnan(expected) or math.isnan(found[row]):
            continue  # inf - inf: the order of min and max then decides nothing a deal could mean
        assert found[row] == pytest.approx(expected), text


@settings(max_examples=80, deadline=None)
@given(tree=formulas)
def test_canonical_text_is_a_fixed_point_with_the_same_value(tree: Tree) -> None:
    text = written(tree)
    if len(text) > 2000:
        return
    once = parse_formula(text, KINDS, ANY, currency="USD")
    twice = parse_formula(once.canonical, KINDS, ANY, currency="USD")

    assert twice.canonical == once.canonical
    assert twice.kind is once.kind
    with np.errstate(all="ignore"):
        a, b = once.evaluate(ARRAYS.__getitem__), twice.evaluate(ARRAYS.__getitem__)
    assert np.array_equal(np.asarray(a, dtype=float), np.asarray(b, dtype=float), equal_nan=True)


# How many trees are too deep is no defect of the formulas.
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(tree=TRUTH.filter(lambda tree: depth(tree) <= 10))
def test_not_is_an_involution_and_branches_partition(tree: Tree) -> None:
    text = written(tree)
    if len(text) > 1900:
        return
    with np.errstate(all="ignore"):
        plain, once, twice = (
            np.broadcast_to(
                parse_formula(f"{word}{text}", KINDS, Kind.BOOL, currency="USD").evaluate(ARRAYS.__getitem__), (3,)
            )
            for word in ("", "not ", "not not ")
        )
    assert np.array_equal(plain, twice)
    assert np.array_equal(plain.astype(int) + once.astype(int), np.ones(3, dtype=int))
