"""Eligibility rules as data and concentrations."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from pooling.artefacts import artefact_store
from pooling.collateral import collateral_of
from pooling.engine.selection import (
    DEFAULT_RULES,
    NUMBER_FIELDS,
    TEXT_FIELDS,
    Rule,
    concentrations,
    rules_from_json,
    select,
)
from pooling.models import TapeVersion
from tests.engine.tape_files import HEADER, checked, loan

POOL = pd.DataFrame(
    {
        "loan_id": list("abcdef"),
        "obligor": ["x", "y", "x", "", "", "z"],
        "state": ["CA", "NY", "CA", "TX", "", "NY"],
        "grade": ["A", "B", "C", "", "A", "G"],
        "issue_month": ["2010-01", "2010-06", "2011-01", "", "2010-03", "2012-01"],
        "balance_cents": [500_000, 99_999, 1_500_000, 2_000_000, 10_000_001, 700_000],
        "rate": [0.08, 0.12, 0.37, 0.2, 0.1, 0.36],
        "term": [36, 60, 36, 36, 60, 120],
        "score": [720.0, 660.0, float("nan"), 700.0, 800.0, 640.0],
    }
)


@pytest.mark.parametrize(
    ("field", "op", "value", "kept"),
    [
        ("rate", "le", 0.2, "abde"),
        ("rate", "ge", 0.2, "cdf"),
        ("balance", "between", [5000, 20000], "acdf"),
        ("balance", "le", 999.99, "b"),
        ("term", "in", [36, 120], "acdf"),
        ("term", "not_in", [60], "acdf"),
        ("state", "in", ["NY", "TX"], "bdf"),
        # what is unknown meets no rule, not even an exclusion
        ("state", "not_in", ["NY"], "acd"),
        ("score", "ge", 0, "abdef"),
        ("score", "is_known", True, "abdef"),
        ("grade", "is_known", True, "abcef"),
        ("issue_month", "ge", "2010-06", "bcf"),
        ("issue_month", "between", ["2010-01", "2010-12"], "abe"),
    ],
)
def test_each_operator_keeps_what_it_says(field, op, value, kept):
    rules = rules_from_json(json.dumps([{"field": field, "op": op, "value": value, "reason": "because"}]))
    selection = select(POOL, rules)
    assert "".join(POOL["loan_id"][selection.mask]) == kept
    assert selection.excluded == ({"because": 6 - len(kept)})


def test_a_loan_is_counted_under_the_first_rule_it_fails():
    selection = select(POOL)
    # b: 999.99 and e: 100,000.01 by balance, c by rate before anything else, f by term
    assert "".join(POOL["loan_id"][selection.mask]) == "ad"
    assert list(selection.excluded.values()) == [1, 2, 1]
    assert sum(selection.excluded.values()) + selection.mask.sum() == len(POOL)


def test_rules_survive_json():
    assert rules_from_json(json.dumps([rule.to_json() for rule in DEFAULT_RULES])) == DEFAULT_RULES


def test_no_rule_means_every_loan():
    assert select(POOL, ()).mask.all()
    assert rules_from_json("[]") == ()


GOOD = {"field": "rate", "op": "le", "value": 0.3, "reason": "too dear"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"limit": 1}, r"rules\[1\].limit: unknown key"),
        ({"field": "colour"}, r"rules\[1\].field: 'colour'"),
        ({"field": "status"}, r"rules\[1\].field: 'status'"),
        ({"field": "recoveries"}, r"rules\[1\].field"),
        ({"op": "gt"}, r"rules\[1\].op: 'gt' is not one of ge, le"),
        ({"op": ["le"]}, r"rules\[1\].op"),
        ({"value": "0.3"}, r"rules\[1\].value: expected a number"),
        ({"value": float("nan")}, r"rules\[1\].value: expected a number"),
        ({"value": True}, r"rules\[1\].value: expected a number"),
        ({"op": "in"}, "takes a list"),
        ({"op": "in", "value": []}, "takes a list"),
        ({"op": "between", "value": [1]}, "takes two values"),
        ({"op": "between", "value": [2, 1]}, "ascend"),
        ({"op": "is_known", "value": False}, "takes true"),
        ({"field": "state", "op": "ge", "value": "CA"}, "has no order"),
        ({"field": "state", "op": "in", "value": [1]}, r"value\[0\]: expected a text"),
        ({"field": "issue_month", "op": "ge", "value": 2010}, "expected a text"),
        ({"reason": " "}, "reason: expected a text"),
        ({"reason": "a\0b"}, "reason: expected a text"),
        ({"field": "state", "op": "in", "value": ["C\0"]}, r"value\[0\]: expected a text that can be printed"),
    ],
)
def test_what_a_rule_may_not_say_is_refused_with_its_path(change, said):
    with pytest.raises(ValueError, match=said):
        rules_from_json([GOOD, GOOD | change])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "not valid JSON"),
        ("{}", "expected a list"),
        ("[1]", r"rules\[0\]: expected an object"),
        ('[{"op":"le"}]', "missing"),
    ],
)
def test_what_is_no_list_of_rules_is_refused(data, said):
    with pytest.raises(ValueError, match=said):
        rules_from_json(data)


def test_no_field_tells_an_outcome():
    assert not {"status", "last_payment", "recoveries", "charged_off"} & {*NUMBER_FIELDS, *TEXT_FIELDS}


def test_concentrations_are_by_balance_and_obligor():
    state, obligor = concentrations(POOL)
    total = POOL["balance_cents"].sum()
    assert (state.name, state.balance_cents, state.names) == ("CA", 2_000_000, 3)
    assert state.share == 2_000_000 / total
    # e has no obligor id and is its own obligor; x holds a and c
    assert (obligor.name, obligor.balance_cents, obligor.names) == ("", 10_000_001, 5)  # an id names a person
    two = concentrations(POOL.iloc[[0, 1, 2]])[1]
    assert (two.name, two.names) == ("", 2)


def test_concentrations_of_what_is_unknown_throughout_are_left_out():
    assert [each.field for each in concentrations(POOL.assign(state=""))] == ["obligor"]
    with pytest.raises(ValueError, match="balance"):
        concentrations(POOL.iloc[:0])


def test_a_tie_goes_to_the_same_name_whatever_the_order():
    tied = POOL.assign(balance_cents=100)
    assert concentrations(tied)[0].name == concentrations(tied.iloc[::-1])[0].name == "CA"


def test_a_rule_built_in_code_reads_as_one_from_json():
    assert rules_from_json([GOOD]) == (Rule("rate", "le", 0.3, "too dear"),)


@pytest.mark.parametrize("bad", ["a\0b", "a\x1bb", "a\ud800b"])
def test_a_text_of_a_rule_that_cannot_be_printed_is_refused_in_a_sentence_that_can(bad):
    state = {"field": "state", "op": "in", "value": ["CA", bad]}
    month = {"field": "issue_month", "op": "ge", "value": bad}
    for change, path in (
        ({"reason": bad}, "rules[0].reason"),
        (state, "rules[0].value[1]"),
        (month, "rules[0].value"),
        ({"field": bad}, "rules[0].field"),
        ({"op": bad}, "rules[0].op"),
        ({bad: 1}, f"rules[0].{bad!r}".replace("'", "")),
    ):
        with pytest.raises(ValueError, match="rules") as caught:
            rules_from_json(json.dumps([GOOD | change]))
        assert str(caught.value).startswith(path + ": ")
        assert str(caught.value).isprintable()


def test_what_is_stored_of_a_pool_names_no_member(tmp_path):
    # given a tape whose members are told by unmistakable ids, the first of them with two loans, the last unnamed
    members = ["member-77120043", "member-77120043", "member-88230154", ""]
    rows = [[*loan(number), member] for number, member in enumerate(members)]
    tape = checked(tmp_path / "tape.csv", rows, (*HEADER, "member_id"))
    assert tape.frame["obligor"].tolist() == members
    parquet = io.BytesIO()
    tape.frame.to_parquet(parquet)
    name, sha256, _ = artefact_store([parquet.getvalue()], suffix=".parquet")
    version = TapeVersion(rows_path=name, rows_digest=sha256, quality={"mapping": dict(tape.mapping)})
    # when
    columns = collateral_of(version).columns()
    # then
    stored = json.dumps(columns, default=str)
    assert columns["loan_count"] == len(members)
    assert [member for member in members if member and member in stored] == []
    obligor = next(each for each in columns["stratifications"]["concentrations"] if each["field"] == "obligor")
    assert obligor["name"] == ""
    assert obligor["names"] == 3
    assert obligor["balance_cents"] == 500_000 + 502_500
    assert obligor["share"] == obligor["balance_cents"] / columns["balance"]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([{"field": "obligor", "op": "not_in", "value": ["member-1"], "reason": "r"}], "obligor takes is_known only"),
        ([{"field": "rate", "op": "le", "value": 10**400, "reason": "r"}], "expected a number of at most 1e\\+15"),
        ("[" * 200_000, "not valid JSON"),
    ],
)
def test_rules_that_would_name_a_person_or_break_the_reader_are_refused(rules, said):
    with pytest.raises(ValueError, match=said):
        rules_from_json(rules)
