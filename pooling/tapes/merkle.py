"""Merkle tree over leaf hashes: one root for a tape version, and a short proof per loan.

Nodes are SHA-256 of 0x01, left, right; leaves were hashed behind 0x00 (canonical.py), so neither can be
passed off as the other. Shape of RFC 6962, section 2.1: the left subtree holds the largest power of two below
n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

NODE_PREFIX = b"\x01"


@dataclass(frozen=True)
class InclusionProof:
    """Where a leaf sits and the hashes that lead from it to the root.

    index: position among size leaves, from 0. path: sibling hashes (hex) from the leaf upwards.
    """

    index: int
    size: int
    path: tuple[str, ...]


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01, left and right."""
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Levels from leaves to root. An odd last node moves up unchanged, which gives RFC 6962's shape."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            above.append(level[-1])
        levels.append(above)
    return levels


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Hex root of leaf hashes in the given order. No leaves: SHA-256 of nothing, as in RFC 6962."""
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    return _levels(leaves)[-1][0].hex()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> InclusionProof:
    """Proof that leaves[index] is under the root. Raises ValueError for an index outside the tree."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"index: {index} is outside 0..{len(leaves) - 1}")
    path = []
    position = index
    for level in _levels(leaves)[:-1]:
        sibling = position ^ 1
        if sibling < len(level):
            path.append(level[sibling].hex())
        position //= 2
    return InclusionProof(index=index, size=len(leaves), path=tuple(path))


def verify_proof(leaf: bytes, proof: InclusionProof, root: str) -> bool:
    """Whether leaf (32 bytes) is at proof.index of the tree of proof.size leaves with this hex root."""
    if not 0 <= proof.index < proof.size:
        return False
    value, position, width = leaf, proof.index, proof.size
    path = iter(proof.path)
    while width > 1:
        if position ^ 1 < width:
            step = next(path, None)
            if step is None:
                return False
            try:
                sibling = bytes.fromhex(step)
            except ValueError:
                return False
            value = node_hash(sibling, value) if position % 2 else node_hash(value, sibling)
        position //= 2
        width = (width + 1) // 2
    return next(path, None) is None and value.hex() == root
