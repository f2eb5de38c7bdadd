"""The compiled loop of the granular engine: weighted sums over nodes for blocks of scenarios.

Not here: the tables (granular_tables.py), the NumPy form of the same sums and what is made of them (granular.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit

SCENARIOS = 64  # in a block: eight rows of their node probabilities stay in the first-level cache


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _add_nodes(row, p, held):  # type: ignore[no-untyped-def]
    """Add the weights row (Q, N) times p (N, 64) to held (Q, 64); Q even, N in eights: p is loaded once for two."""
    for u in range(0, row.shape[1], 8):
        for q in range(0, row.shape[0], 2):
            v0, v1, v2, v3 = row[q, u], row[q, u + 1], row[q, u + 2], row[q, u + 3]
            v4, v5, v6, v7 = row[q, u + 4], row[q, u + 5], row[q, u + 6], row[q, u + 7]
            w0, w1, w2, w3 = row[q + 1, u], row[q + 1, u + 1], row[q + 1, u + 2], row[q + 1, u + 3]
            w4, w5, w6, w7 = row[q + 1, u + 4], row[q + 1, u + 5], row[q + 1, u + 6], row[q + 1, u + 7]
            for s in range(SCENARIOS):
                a, b, c, d = p[u, s], p[u + 1, s], p[u + 2, s], p[u + 3, s]
                e, f, g, h = p[u + 4, s], p[u + 5, s], p[u + 6, s], p[u + 7, s]
                held[q, s] += ((v0 * a + v1 * b) + (v2 * c + v3 * d)) + ((v4 * e + v5 * f) + (v6 * g + v7 * h))
                held[q + 1, s] += ((w0 * a + w1 * b) + (w2 * c + w3 * d)) + ((w4 * e + w5 * f) + (w6 * g + w7 * h))


@njit(nogil=True, cache=True, error_model="numpy")
def combine(month_start, constant, weights, probability, survival, out):  # type: ignore[no-untyped-def]
    """Fill out (G * T, Q, S), S a multiple of 64; probability (S / 64, N, 64), survival (S / 64, R, 64).

    One fixed order of additions for every scenario: nothing depends on the block it lies in.
    """
    quantities = weights.shape[1]
    held = np.empty((quantities, SCENARIOS))
    for b in range(probability.shape[0]):
        low = b * SCENARIOS
        for m in range(len(month_start) - 1):
            out[m, :, low : low + SCENARIOS] = 0.0
            for r in range(month_start[m], month_start[m + 1]):
                for q in range(quantities):
                    held[q, :] = constant[r, q]
                _add_nodes(weights[r], probability[b], held)
                for q in range(quantities):
                    for s in range(SCENARIOS):
                        out[m, q, low + s] += survival[b, r, s] * held[q, s]
