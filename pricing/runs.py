"""The run kind `pricing.structure`: one chunk that solves, rates and prices a deal from its simulated flows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from accounts.errors import ApplicationError
from pooling.engine.deal import DealSpec
from pooling.engine.packing import digest, flows_from_bytes
from pooling.services import deal_version_create
from pricing.controls import controls
from pricing.differential import differential
from pricing.engine.snapshot import MarketSnapshot
from pricing.market import default_snapshot
from pricing.reports import manifest, price_result, rating_result
from pricing.services import price_report_create, snapshot_store
from pricing.structuring import structure_deal
from rating.engine.losses import LossDistribution
from rating.engine.simulation import PROPOSAL
from rating.models import RatingRun
from rating.runs import STRUCTURING, engine_name, loans_of, model_of, scenarios_of
from rating.services import rating_report_create
from runs.models import Run
from runs.registry import register


def structuring_compute(params: Mapping[str, Any], seed: int, index: int, count: int) -> bytes:
    """Canonical JSON of spec, rating, prices and manifest."""
    rating_run = RatingRun.objects.select_related("template", "simulation", "deal__pool__tape").get(
        pk=params["rating_run"]
    )
    if rating_run.simulation.result is None:
        raise ValueError(f"simulation: the run {rating_run.simulation.pk} has no result")
    return canonical_result(structuring_result(rating_run, bytes(rating_run.simulation.result), default_snapshot()))


def canonical_result(result: Mapping[str, Any]) -> bytes:
    """The bytes of a result; NaN and infinities are refused."""
    return json.dumps(result, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def structuring_result(rating_run: RatingRun, simulated: bytes, snapshot: MarketSnapshot) -> dict[str, Any]:
    """Spec, rating, prices and manifest that follow from the bytes of a simulation's flows and a market snapshot."""
    pool, flows = rating_run.deal.pool, flows_from_bytes(simulated)
    scenarios = scenarios_of(
        pool.loans_path, pool.loans_digest, rating_run.credit_model_id, rating_run.scenarios, rating_run.seed
    )
    template, model = DealSpec.from_json(rating_run.template.spec), model_of(rating_run.credit_model_id)
    try:
        structure = structure_deal(
            template=template,
            flows=flows,
            scenarios=scenarios,
            snapshot=snapshot,
            pool_balance=pool.balance,
            model=model,
        )
    except ValueError as error:
        raise ApplicationError(f"The deal cannot be solved: {error}.", code="deal_unsolvable", field="spec") from error
    loans = loans_of(pool.loans_path, pool.loans_digest)
    engine = engine_name(rating_run.simulation.params)
    made_by = {
        "simulation_engine": engine,
        "tape_root": pool.tape.root,
        "loans_digest": pool.loans_digest,
        "credit_model": rating_run.credit_model_id,
        "seed": rating_run.seed,
        "scenarios": rating_run.scenarios,
        "proposal": PROPOSAL,
        "flows_digest": digest(simulated),
    }
    return {
        "spec": structure.spec.to_json(),
        "rating": rating_result(structure, scenarios, pool.balance, engine)
        | controls(structure, scenarios, loans, model),
        "pricing": price_result(structure, scenarios, snapshot)
        | {"views": differential(structure, scenarios, snapshot, loans, model)},
        "manifest": manifest(structure=structure, template=template, snapshot=snapshot, simulation=made_by),
        "snapshot": snapshot.to_json(),
        "realised": realised_beside(pool.realised_loss, structure.losses),
    }


def realised_beside(loss: Decimal | None, losses: LossDistribution) -> dict[str, float] | None:
    """A finished pool's loss and the weight share of the scenarios that lose no more."""
    if loss is None:
        return None
    return {"loss": float(loss), "quantile_of_prediction": losses.quantile_of(float(loss))}


def structuring_reduce(params: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """There is one part."""
    return parts[0]


def structuring_complete(run: Run) -> None:
    """Deal version, rating report and price report appear together with the run's end."""
    if run.result is None:
        raise ValueError(f"run: {run.pk} has no result")
    rating_run = RatingRun.objects.select_related("deal").get(structuring=run)
    result = json.loads(bytes(run.result))
    version = deal_version_create(deal=rating_run.deal, spec=DealSpec.from_json(result["spec"]))
    report = rating_report_create(
        rating_run=rating_run,
        deal_version=version,
        result=result["rating"],
        manifest=result["manifest"],
        realised=result["realised"],
    )
    snapshot = snapshot_store(MarketSnapshot.from_json(result["snapshot"]))
    price_report_create(rating_report=report, snapshot=snapshot, result=result["pricing"])


def kinds_register() -> None:
    """Called by the app's ready()."""
    register(STRUCTURING, structuring_compute, structuring_reduce, structuring_complete)
