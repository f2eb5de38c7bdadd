"""Philox4x32-10, the counter-based generator behind every loan-level draw, in NumPy.

Source: Salmon, Moraes, Dror & Shaw, Parallel Random Numbers: As Easy as 1, 2, 3 (SC11), and the known-answer vectors
that its authors publish. The compiled kernels hold the same generator; a test compares the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WordArray = NDArray[np.uint32]
FloatArray = NDArray[np.float64]

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


def philox4x32(counter: ArrayLike, key: ArrayLike) -> WordArray:
    """(..., 4) random words of counters (..., 4) under keys (..., 2), all of 32 bits; leading shapes broadcast."""
    words = np.asarray(counter, dtype=np.uint64)
    keys = np.asarray(key, dtype=np.uint64)
    c0, c1, c2, c3 = (words[..., i] for i in range(4))
    k0, k1 = keys[..., 0], keys[..., 1]
    first, second = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
    for _ in range(ROUNDS):
        low, high = c0 * first, c2 * second
        c0, c1, c2, c3 = (high >> _SHIFT) ^ c1 ^ k0, high & _LOW, (low >> _SHIFT) ^ c3 ^ k1, low & _LOW
        k0, k1 = (k0 + np.uint64(WEYL[0])) & _LOW, (k1 + np.uint64(WEYL[1])) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def uniforms(words: WordArray) -> FloatArray:
    """(..., 2) uniforms in (0, 1) of 52 bits each out of (..., 4) words: never 0, never 1."""
    wide = words.astype(np.uint64)
    bits = (wide[..., 0::2] >> np.uint64(6) << np.uint64(26)) | (wide[..., 1::2] >> np.uint64(6))
    return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-52)
