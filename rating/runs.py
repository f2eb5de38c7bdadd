"""The run kind `rating.simulate`: slices of one scenario set, computed by chunks, joined in order.

The stream of a scenario is keyed by (seed, scenario index), so the bytes do not depend on how a set is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from pooling.artefacts import artefact_read
from pooling.engine.flows import COLUMNS, DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import flows_from_bytes, flows_to_bytes, loans_from_bytes
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import Engine, EngineChoice, Simulator, choose_engine, rating_scenarios
from rating.models import CreditModelVersion, RatingRun
from runs.models import Run
from runs.registry import NotHere, kind_of, register
from runs.services import run_create

SIMULATION = "rating.simulate"
# A name, not an import: pricing stands to the right of rating and registers the kind that follows.
STRUCTURING = "pricing.structure"
SCENARIOS_PER_CHUNK = 128
FLOAT_BYTES = 8


@lru_cache(maxsize=4)
def loans_of(path: str, digest: str) -> LoanArrays:
    """The loans of a pool, read once per process. NotHere where the folder of artefacts does not have them."""
    try:
        return loans_from_bytes(artefact_read(path, sha256=digest))
    except (FileNotFoundError, PermissionError) as error:
        raise NotHere(f"the loans {digest[:12]} cannot be read here ({error.strerror})") from error


@lru_cache(maxsize=4)
def model_of(digest: str) -> CreditModel:
    """A stored credit model."""
    return CreditModel.from_json(CreditModelVersion.objects.get(pk=digest).payload)


@lru_cache(maxsize=4)
def simulator_of(path: str, digest: str, credit_model: str, engine: str, compiled: bool) -> Simulator:
    """A pool laid out under a model, once per process. NotHere where the run wants Numba and this machine has none."""
    loans, model = loans_of(path, digest), model_of(credit_model)
    try:
        choice = choose_engine(loans, model, cast(Engine, engine), compiled)
    except ValueError as error:
        raise NotHere(f"the run's engine is not to be had here ({error})") from error
    return Simulator(loans, model, choice)


def engine_params(loans: LoanArrays, model: CreditModel) -> dict[str, Any]:
    """What a simulation run has to say of its engine, so that every worker takes the same one."""
    choice = choose_engine(loans, model)
    return {"engine": choice.name, "compiled": choice.compiled, "engine_reason": choice.reason}


def engine_name(params: Mapping[str, Any]) -> str:
    """The engine of a simulation run, for people."""
    return EngineChoice(params["engine"], params["compiled"], params["engine_reason"]).words


@lru_cache(maxsize=4)
def scenarios_of(path: str, digest: str, credit_model: str, count: int, seed: int) -> ScenarioSet:
    """The scenario set of a rating: the model's factors, drawn along the pool's own loss direction."""
    return rating_scenarios(loans_of(path, digest), model_of(credit_model), count, seed)


def flows_size(groups: int, months: int, scenarios: int) -> int:
    """Bytes of the numbers of a PoolFlows: (G,) opening balances, then its (G, T, S) arrays, delinquent (G, B, T, S).

    flows_to_bytes() writes a header of some hundred bytes before them.
    """
    arrays = sum(len(DELINQUENT_BUCKETS) if name == "delinquent" else 1 for name in COLUMNS)
    return FLOAT_BYTES * groups * (1 + arrays * months * scenarios)


def simulation_compute(params: Mapping[str, Any], seed: int, index: int, count: int) -> bytes:
    """Flows of the scenarios of one chunk."""
    made_of = (params["loans_path"], params["loans_digest"], params["credit_model"])
    scenarios = scenarios_of(*made_of, params["scenarios"], seed)
    start = index * params["chunk"]
    part = scenarios.slice(start, min(start + params["chunk"], params["scenarios"]))
    return flows_to_bytes(simulator_of(*made_of, params["engine"], params["compiled"]).flows(part))


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
        follow_up=True,
    )
    rating_run.save(update_fields=["structuring"])


def kinds_register() -> None:
    """Called by the app's ready()."""
    register(SIMULATION, simulation_compute, simulation_reduce, simulation_complete)
