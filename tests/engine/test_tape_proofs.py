"""Canonical rows, fingerprints, ids and Merkle proofs."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooling.tapes import canonical_json, inclusion_proof, leaf_hash, merkle_root, pledge_fingerprint, verify_proof
from tests.engine.tape_files import HEADER, checked, loan

LEAVES = [hashlib.sha256(bytes([i])).digest() for i in range(64)]


def test_canonical_json_follows_rfc_8785():
    # RFC 8785, section 3.2.3: keys by UTF-16 code units, so U+1F600 sorts before U+FB33; text unescaped but for
    # the mandatory escapes
    row = {"\u20ac": "€", "\r": "a\n", "\ufb33": "", "1": '"\\', "\U0001f600": "\x0f", "\u00f6": "ö"}
    expected = '{"\\r":"a\\n","1":"\\"\\\\","ö":"ö","€":"€","\U0001f600":"\\u000f","\ufb33":""}'
    assert canonical_json(row) == expected.encode()
    assert canonical_json({"a": ""}) == b'{"a":""}'


def test_the_root_is_that_of_rfc_6962():
    # the tree written out by hand for three leaves: H(1, H(1, a, b), c)
    a, b, c = LEAVES[:3]
    inner = hashlib.sha256(b"\x01" + a + b).digest()
    assert merkle_root([a, b, c]) == hashlib.sha256(b"\x01" + inner + c).hexdigest()
    assert leaf_hash(b"{}") == hashlib.sha256(b"\x00{}").digest()


@given(st.integers(1, 64), st.data())
def test_a_proof_verifies_for_its_leaf_and_for_nothing_else(size, data):
    leaves = LEAVES[:size]
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    assert verify_proof(leaves[index], proof, root)
    assert not verify_proof(hashlib.sha256(b"other").digest(), proof, root)
    assert not verify_proof(leaves[index], proof, merkle_root([*leaves, LEAVES[0]]))
    if size > 1:
        assert not verify_proof(leaves[index], replace(proof, index=(index + 1) % size), root)
        assert not verify_proof(leaves[index], replace(proof, path=proof.path[:-1]), root)
    assert not verify_proof(leaves[index], replace(proof, path=(*proof.path, "00" * 32)), root)
    assert not verify_proof(leaves[index], replace(proof, path=("zz",) * len(proof.path) or ("zz",)), root)


def test_a_proof_outside_the_tree_is_refused():
    with pytest.raises(ValueError, match="index"):
        inclusion_proof(LEAVES, 64)


def test_order_of_rows_and_columns_changes_neither_root_nor_ids(tmp_path):
    header, rows = HEADER[1:], [loan(i)[1:] for i in range(30)]
    first = checked(tmp_path / "a.csv", rows, header)
    shuffled = random.Random(1).sample(rows, len(rows))
    second = checked(tmp_path / "b.csv", [row[::-1] for row in shuffled], header[::-1])
    assert first.root == second.root
    assert list(first.frame["loan_id"]) == list(second.frame["loan_id"])
    assert first.pledge_fingerprints("bank") == second.pledge_fingerprints("bank")
    columns = ["loan_id", "balance_cents", "rate", "term"]
    assert first.frame[columns].equals(second.frame[columns])


def test_a_single_changed_cell_changes_the_root(tmp_path):
    rows = [loan(i) for i in range(5)]
    before = checked(tmp_path / "a.csv", rows).root
    assert checked(tmp_path / "b.csv", [*rows[:4], loan(4, title="another loan")]).root != before


def test_each_loan_of_a_tape_is_proven_by_its_own_copy(tmp_path):
    tape = checked(tmp_path / "a.csv", [loan(i) for i in range(7)])
    for index in range(7):
        copy = leaf_hash(canonical_json(tape.canonical_row(index)))
        assert verify_proof(copy, tape.inclusion_proof(index), tape.root)


def test_ids_are_the_tapes_own_where_unique_and_filled(tmp_path):
    rows = [loan(1), loan(2, id=""), loan(3, id="7"), loan(4, id="7"), loan(5, id="L" + "0" * 20), loan(6, id="x" * 65)]
    tape = checked(tmp_path / "a.csv", rows)
    ids = dict(zip(tape.frame["row"], tape.frame["loan_id"], strict=True))
    assert ids[1] == "1001"
    for row in (2, 3, 4, 5, 6):
        index = list(tape.frame["row"]).index(row)
        assert ids[row] == "L" + tape.leaves[index].hex()[:20]
    assert dict(tape.quality.warnings) == {"loan_id_repeated": 2}


def test_the_pledge_is_the_originators_and_the_rows_never_the_tapes(tmp_path):
    one = checked(tmp_path / "a.csv", [loan(1), loan(2)])
    other = checked(tmp_path / "b.csv", [loan(2), loan(3)])
    both = set(one.pledge_fingerprints("bank")) & set(other.pledge_fingerprints("bank"))
    assert both == {pledge_fingerprint("bank", one.canonical_row(1))}
    assert not set(one.pledge_fingerprints("bank")) & set(one.pledge_fingerprints("fund"))
    with pytest.raises(ValueError, match="32 bytes"):
        pledge_fingerprint("bank", b"short")
