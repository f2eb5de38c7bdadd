"""Ratings done again on the months that a servicer has reported: computed here and now, stored with their manifest.

Synchronous, on a bounded number of scenarios. Not here: the arithmetic (rerating.py), and who may see a listing's
surveillance (marketplace).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from django.db import transaction

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation, Role, User
from accounts.services import audit_record, claim
from pooling.engine.deal import DealSpec
from pooling.engine.packing import flows_from_bytes
from pooling.engine.waterfall import compile_deal
from pooling.engine.waterfall.trigger_readings import TriggerReading, trigger_readings
from pooling.performance import PerformanceHistory, performance_history
from pricing.reports import build
from pricing.reproduction import TOLERANCE, difference
from pricing.rerating import (
    LATE_FROM_DAYS,
    Rerating,
    actual_flows,
    class_standing,
    rerate,
)
from rating.engine.grades import RULES_VERSION
from rating.engine.scale import SCALE_VERSION
from rating.engine.sensitivity import notches
from rating.engine.simulation import PROPOSAL, EngineChoice
from rating.engine.statistics import weighted_mean, weighted_quantile, weighted_share_below
from rating.engine.surveillance import (
    BAND,
    ClassGrades,
    TriggerRoom,
    actual_against_expected,
    watch_list,
)
from rating.models import RatingReport, Surveillance
from rating.runs import engine_name, loans_of, model_of, scenarios_of
from runs.models import Run
from runs.registry import NotHere

Json = dict[str, Any]

MOST_SCENARIOS, FEWEST_SCENARIOS = 4096, 64
# Figures of a class as rating.engine.tranches has them; None once it is paid in full.
RATED = (
    "grade_by_loss", "grade_by_pd", "grade_by_multiple", "pd", "pd_se", "expected_loss", "expected_loss_se",
    "wal_years", "converged",
)  # fmt: skip
# Loans times scenarios that a request may wait for: a few seconds of one processor.
MOST_DRAWS = 50_000_000


def scenario_bound(loans: int, rated: int) -> int:
    """Scenarios of a re-rating: those of the rating, halved until they can be waited for."""
    count = min(rated, MOST_SCENARIOS)
    while count > FEWEST_SCENARIOS and count * loans > MOST_DRAWS:
        count //= 2
    return count


def rerating_create(
    *,
    user: User,
    report: RatingReport,
    idempotency_key: str,
    month: int | None = None,
    scenarios: int | None = None,
) -> Surveillance:
    """Rate a report's deal again as of a reported month (None: the last; 0: cut-off), and keep it.

    For the deal's originator, analysts and operators; the caller took the report from a selector for this user.
    scenarios: None for scenario_bound(). The seed is that of the rating. The same month, scenarios and seed give the
    row that is there. ApplicationError naming the field, for months that are not reported and pools that have ended.
    """
    organisation = _requester(user, report)
    deal, rated = report.rating_run.deal, report.rating_run
    history = performance_history(deal)
    month = history.months if month is None else month
    if not 0 <= month <= history.months:
        raise ApplicationError(
            f"Month {month} is not reported; this deal has months 1 to {history.months}, and 0 for its cut-off.",
            code="month_unknown",
            field="month",
        )
    most = scenario_bound(deal.pool.loan_count, rated.scenarios)
    count = most if scenarios is None else scenarios
    if not 2 <= count <= most or count & (count - 1):
        raise ApplicationError(
            f"scenarios is {count}; take a power of two up to {most}.", code="scenarios_invalid", field="scenarios"
        )
    key = {"report": report, "month": month, "scenarios": count, "seed": rated.seed}
    found = Surveillance.objects.filter(**key).first()
    made = {} if found else surveillance_made(report, history.until(month), count)
    with transaction.atomic():
        params = {"report": str(report.pk), "month": month, "scenarios": count}
        claimed = claim(organisation=organisation, key=idempotency_key, verb="rerating_create", params=params)
        if not claimed.fresh:
            return Surveillance.objects.get(pk=claimed.subject_id)
        if found is None:
            period = history.periods[month - 1] if month else ""
            found, _ = Surveillance.objects.get_or_create(**key, defaults=made | {"period": period})
        claimed.settle(found.pk)
        audit_record(
            actor=user,
            verb="rating.surveyed",
            subject=f"rating_report:{report.pk}",
            payload={"surveillance": found.pk, "month": month, "scenarios": count},
        )
    return found


def _requester(user: User, report: RatingReport) -> Organisation:
    organisation = user.organisation
    if organisation is None or organisation.role not in (Role.ORIGINATOR, Role.ANALYST, Role.OPERATOR):
        raise NotFound("rating")
    if organisation.role == Role.ORIGINATOR and report.rating_run.deal.organisation_id != organisation.pk:
        raise NotFound("rating")
    return organisation


def surveillance_reproduced(row: Surveillance) -> str | None:
    """None where the stored months, loans, model and seed give the stored result again; else the first difference.

    To the byte on the build that made it, elsewhere to 1e-9 of the size of each number.
    """
    history = performance_history(row.report.rating_run.deal).until(row.month)
    if list(history.digests) != row.manifest["performance"]:
        return "performance: the stored months are not those of the manifest"
    again = surveillance_made(row.report, history, row.scenarios)
    tolerance = 0.0 if again["manifest"]["build"] == row.manifest["build"] else TOLERANCE
    # As the database gives it back: JSON has lists where the engine has tuples.
    found = json.loads(json.dumps(again["result"], allow_nan=False))
    return difference(json.loads(json.dumps(row.result)), found, tolerance)


def surveillance_made(report: RatingReport, history: PerformanceHistory, scenarios: int) -> Json:
    """{"result", "manifest"} of a re-rating after all months of the history; nothing is stored."""
    rated, deal = report.rating_run, report.rating_run.deal
    spec, model = DealSpec.from_json(report.deal_version.spec), model_of(rated.credit_model_id)
    params = rated.simulation.params
    try:
        loans = loans_of(deal.pool.loans_path, deal.pool.loans_digest)
        found = rerate(
            spec=spec,
            pool=deal.pool.balance,
            loans=loans,
            performance=history,
            model=model,
            scenarios=scenarios,
            seed=rated.seed,
            choice=EngineChoice(params["engine"], params["compiled"], params["engine_reason"]),
        )
        program = compile_deal(spec, deal.pool.balance)
        readings = (
            trigger_readings(program, actual_flows(loans, history), ends=False) if history.months else ()
        )
    except NotHere as lack:
        raise ApplicationError(
            "The loans of this rating cannot be read here at the moment; try again.", code="artefact_missing"
        ) from lack
    except ValueError as error:
        sentence = f"The deal cannot be rated again: {error}."
        raise ApplicationError(sentence, code="deal_unratable", field="month") from error
    result = _result(report, spec, found, history, readings)
    manifest = {
        "performance": list(history.digests),
        "month": history.months,
        "tape_root": deal.pool.tape.root,
        "loans_digest": deal.pool.loans_digest,
        "credit_model": rated.credit_model_id,
        "spec_hash": report.deal_version.spec_hash,
        "rating_report": str(report.pk),
        "seed": rated.seed,
        "scenarios": scenarios,
        "proposal": PROPOSAL,
        "simulation_engine": engine_name(params),
        "late_from_days": LATE_FROM_DAYS,
        "build": build(),
    }
    return {"result": result, "manifest": manifest}


# ------------------------------------------------------------------------------------------------------ the result
def _result(
    report: RatingReport,
    spec: DealSpec,
    found: Rerating,
    history: PerformanceHistory,
    readings: tuple[TriggerReading, ...],
) -> Json:
    classes = _classes(report, spec, found)
    predicted = report.result["simulation"].get("by_month")
    cutoff = int(history.balance[0].sum())
    lost = (history.charge_off - history.recovery).sum(axis=1)
    standing = None
    if predicted and history.months:
        levels = sorted(predicted["quantiles"], key=float)
        standing = actual_against_expected(
            history.charge_off.sum(axis=1),
            history.recovery.sum(axis=1),
            cutoff,
            mean=predicted["mean"],
            levels=[float(level) for level in levels],
            quantiles=[predicted["quantiles"][level] for level in levels],
        )
    last = readings[-1].number if readings else 0
    watched = watch_list(
        [ClassGrades(row["name"], row["issued"], row["grade"]) for row in classes if row["issued"]],
        [TriggerRoom(r.name, r.condition, r.room, r.breached) for r in readings if r.number == last],
        standing,
    )
    return {
        "pool": _pool(found, history, cutoff),
        "loss": _loss(found, int(lost.sum()), cutoff) | {"percentile": _percentile(report, lost / cutoff)},
        "classes": classes,
        "triggers": [asdict(reading) for reading in readings],
        "watch": [asdict(each) for each in watched],
        "scale": SCALE_VERSION,
        "rules": RULES_VERSION,
    }


def _pool(found: Rerating, history: PerformanceHistory, cutoff: int) -> Json:
    owed = history.balance[-1]
    return {
        "balance": int(owed.sum()),
        "factor": int(owed.sum()) / cutoff,
        "loans": int((owed > 0).sum()),
        "late_loans": len(found.pool.late_balance),
        "late_balance": int(np.rint(found.pool.late_balance * 100).sum()),
        "pending_recoveries": len(found.pool.pending_balance),
    }


def _loss(found: Rerating, lost: int, cutoff: int) -> Json:
    """Shares of the cut-off balance: lost so far; expected of what is left, with its band; both together."""
    weights = found.scenarios.weights
    to_come = found.rater.losses * (found.pool.balance * 100.0 / cutoff)
    expected, error = weighted_mean(to_come, weights)
    so_far = lost / cutoff
    return {
        "to_date": so_far,
        "to_come": expected,
        "to_come_se": error,
        "lifetime": so_far + expected,
        "lifetime_band": [so_far + weighted_quantile(to_come, weights, level) for level in BAND],
        "effective_scenarios": found.scenarios.effective_size,
    }


def _classes(report: RatingReport, spec: DealSpec, found: Rerating) -> list[Json]:
    issued = {row["name"]: row for row in report.result["tranches"]}
    ratings = {rating.name: rating for rating in found.ratings}
    rows, above, pool = [], 0.0, found.pool.balance
    for name, (balance, unpaid) in class_standing(spec, found.state).items():
        rating, before = ratings.get(name), issued.get(name, {}).get("rating")
        above += balance
        row: Json = {
            "name": name,
            "issued": before,
            "grade": None if rating is None else rating.grade,
            "balance": round(balance * 100),
            "factor": balance * 100 / issued[name]["balance"] if issued.get(name, {}).get("balance") else 0.0,
            "interest_unpaid": round(unpaid * 100),
            # Of today's pool: what may be lost before the class is; below 0 where the classes exceed the pool.
            "attach": 1.0 - above / pool,
            "notches": None if rating is None or not before else notches(before, rating.grade),
        }
        row |= {name: None if rating is None else getattr(rating, name) for name in RATED}
        row["grade_interval"] = None if rating is None else [rating.grade_low, rating.grade_high]
        rows.append(row)
    return rows


def _percentile(report: RatingReport, lost: np.ndarray[Any, Any]) -> list[float] | None:
    """Weight share of the rating's own scenarios that had lost no more by each month; None where its flows are no
    longer kept."""
    rated = report.rating_run
    stored = Run.objects.filter(pk=rated.simulation_id).values_list("result", flat=True).get()
    if stored is None or not len(lost):
        return None
    flows, pool = flows_from_bytes(stored), rated.deal.pool
    weights = scenarios_of(
        pool.loans_path, pool.loans_digest, rated.credit_model_id, rated.scenarios, rated.seed
    ).weights
    shares = flows.cumulative_loss / float(flows.opening_balance.sum())
    months = range(len(lost))
    actual = np.cumsum(lost)
    return [weighted_share_below(shares[min(t, flows.months - 1)], weights, float(actual[t])) for t in months]


def history_of(report: RatingReport) -> list[Surveillance]:
    """Re-ratings of a report, by month, the newest of each month with the most scenarios. The caller took the report
    from a selector."""
    rows: dict[int, Surveillance] = {}
    for row in Surveillance.objects.filter(report=report).order_by("month", "scenarios", "created_at"):
        rows[row.month] = row
    return list(rows.values())


def grade_history(report: RatingReport, rows: list[Surveillance]) -> Mapping[str, list[tuple[int, str | None]]]:
    """Class -> (month, grade) of the rating and of every re-rating; None once it is paid in full."""
    found = {row["name"]: [(0, row["rating"])] for row in report.result["tranches"] if row["rating"]}
    for each in rows:
        for row in each.result["classes"]:
            if row["name"] in found and each.month:
                found[row["name"]].append((each.month, row["grade"]))
    return found
