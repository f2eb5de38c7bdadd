"""A kind of run for tests that kill workers: real numbers, slow enough to be hit in the middle.

Loaded into worker processes by GLASSPOOL_EXTRA_RUN_KINDS=tests.live.kinds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accounts.services import audit_record
from runs.models import Run
from runs.registry import register

PHILOX_SUMS = "test.philox_sums"


def compute(params: Mapping[str, Any], seed: int, index: int, count: int) -> bytes:
    """Per scenario of this chunk the sum of `draws` normal variates; the stream is keyed by (seed, scenario)."""
    if params.get("poison") == index:
        raise ValueError(f"scenario {index} is poison")
    scenarios = np.array_split(np.arange(params["scenarios"]), count)[index]
    sums = np.empty(len(scenarios))
    for place, scenario in enumerate(scenarios):
        generator = np.random.Generator(np.random.Philox(key=[seed, int(scenario)]))
        sums[place] = generator.standard_normal(params["draws"]).sum()
    # The time a real chunk of a simulation takes; it changes no number.
    time.sleep(params.get("seconds", 0.0))
    return sums.tobytes()


def reduce(params: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """All sums in scenario order, then their running total: depends on the order of the parts to the last bit."""
    sums = np.concatenate([np.frombuffer(part) for part in parts])
    return np.concatenate([sums, np.cumsum(sums)]).tobytes()


def complete(run: Run) -> None:
    """One audit event per finish, so that a second finish is seen."""
    audit_record(actor=None, verb="test.completed", subject=f"run:{run.pk}", payload={"digest": run.result_digest})


register(PHILOX_SUMS, compute, reduce, complete)
