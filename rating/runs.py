"""The run kind `rating.simulate`: slices of one scenario set, computed by chunks, joined in order.

The stream of a scenario is keyed by (seed, scenario index), so the bytes do not depend on how a set is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pooling.artefacts import artefact_read
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import flows_from_bytes, flows_to_bytes, loans_from_bytes
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from rating.models import CreditModelVersion, RatingRun
from runs.models import Run
from runs.registry import kind_of, register
from runs.services import run_create

SIMULATION = "rating.simulate"
# A name, not an import: pricing stands to the right of rating and registers the kind that follows.
STRUCTURING = "pricing.structure"
SCENARIOS_PER_CHUNK = 128
PROPOSAL: Literal["wide", "normal"] = "wide"


@lru_cache(maxsize=4)
def loans_of(path: str, digest: str) -> LoanArrays:
    """The loans of a pool, read once per process."""
    return loans_from_bytes(artefact_read(path, sha256=digest))


@lru_cache(maxsize=4)
def model_of(digest: str) -> CreditModel:
    """A stored credit model."""
    return CreditModel.from_json(CreditModelVersion.objects.get(pk=digest).payload)


@lru_cache(maxsize=4)
def scenarios_of(count: int, seed: int) -> ScenarioSet:
    """The scenario set of a rating: it depends on count and seed only."""
    return ScenarioSet.sobol(count, seed=seed, proposal=PROPOSAL)


def simulation_compute(params: Mapping[str, Any], seed: int, index: int, count: int) -> bytes:
    """Flows of the scenarios of one chunk."""
    scenarios = scenarios_of(params["scenarios"], seed)
    start = index * params["chunk"]
    part = scenarios.slice(start, min(start + params["chunk"], params["scenarios"]))
    loans = loans_of(params["loans_path"], params["loans_digest"])
    return flows_to_bytes(simulate(loans, model_of(params["credit_model"]), part))


def simulation_reduce(params: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """The flows of the whole set, in the order of scenarios."""
    return flows_to_bytes(PoolFlows.concatenate([flows_from_bytes(part) for part in parts]))


def simulation_complete(run: Run) -> None:
    """The structuring run starts in the transaction that ends the simulation, so that neither is lost."""
    rating_run = RatingRun.objects.select_for_update().get(simulation=run)
    kind_of(STRUCTURING)
    rating_run.structuring = run_create(
        kind=STRUCTURING,
        organisation=run.organisation,
        seed=run.seed,
        params={"rating_run": str(rating_run.pk)},
        chunk_count=1,
    )
    rating_run.save(update_fields=["structuring"])


def kinds_register() -> None:
    """Called by the app's ready()."""
    register(SIMULATION, simulation_compute, simulation_reduce, simulation_complete)
