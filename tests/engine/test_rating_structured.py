"""A solved deal with its credit model: cap, multiples, intervals, break-evens and their report."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from pooling.engine.deal import default_template
from pooling.engine.flows import PoolFlows
from pooling.engine.waterfall import compile_deal, execute
from pricing.market import default_snapshot
from pricing.reports import CLASS_KEYS, rating_result
from pricing.structuring import Structure, structure_deal
from rating.engine.curves import documented_model
from rating.engine.grades import grade_of_break_even, multiple_of
from rating.engine.losses import pool_losses
from rating.engine.model import CreditModel
from rating.engine.scale import GRADES
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import simulate
from tests.engine.rating_pools import equal_loans

SCENARIOS = 1024


@cache
def _solved(history: int | None, uncertain: bool = True) -> tuple[Structure, ScenarioSet, int, PoolFlows]:
    """history: months behind the model; None: the model is not handed over."""
    model = replace(documented_model(), history_months=history or 0)
    model = model if uncertain else model.without_parameter_uncertainty()
    loans = equal_loans(400, balance=10_000.0, rate=0.17, remaining=36)
    loans = replace(loans, grade=np.full(400, "D"))
    scenarios = ScenarioSet.of_model(model, SCENARIOS, seed=7)
    flows = simulate(loans, model, scenarios)
    given: CreditModel | None = None if history is None else model
    pool = 400_000_000
    structure = structure_deal(
        template=default_template(
            name="Structured", currency="USD", cut_off="2026-01-31", closing="2026-02-10",
            first_payment="2026-03-10", legal_final="2032-03-10",
        ),
        flows=flows, scenarios=scenarios, snapshot=default_snapshot(), pool_balance=pool, model=given,
    )  # fmt: skip
    return structure, scenarios, pool, flows


def _report(history: int | None, uncertain: bool = True) -> Any:
    structure, scenarios, pool, _ = _solved(history, uncertain)
    return json.loads(json.dumps(rating_result(structure, scenarios, pool, "exact engine"), allow_nan=False))


def test_targets_are_reached_under_all_rules_and_short_history_caps_the_senior() -> None:
    for history, senior, cap in ((None, "AA", None), (0, "A+", "A+"), (48, "AA", "AA"), (120, "AA", None)):
        rows = {row["name"]: row for row in _report(history)["tranches"]}
        for name, target in (("A", senior), ("B", "A"), ("C", "BBB")):
            row = rows[name]
            assert row["balance"] > 0, (history, name)
            assert (row["cap"] or {}).get("grade") == cap, (history, name)
            assert GRADES.index(row["rating_interval"][0]) <= GRADES.index(target), (history, name)
            rules = [row["grade_by_loss"], row["grade_by_pd"], row["grade_by_multiple"]]
            rules += [row["cap"]["grade"]] if row["cap"] else []
            assert row["rating"] == max(rules, key=GRADES.index)
            assert row["confidence"]["reached"]
            assert row["confidence"]["errors"] is None or row["confidence"]["errors"] >= 2 - 1e-9
        assert (rows["A"]["lowered"] is not None) == (history == 0)
    assert "no grade above A+" in rows_of(0)["A"]["lowered"]


def rows_of(history: int | None) -> Any:
    return {row["name"]: row for row in _report(history)["tranches"]}


def test_the_multiple_grade_agrees_with_the_break_even_found_apart() -> None:
    # Two ways to one rule: 16 stressed paths, and the break-even loss by bisection.
    structure, _, _, _ = _solved(120)
    base_loss = structure.losses.expected_loss
    even = {row.name: row for row in structure.break_evens}
    for rating in structure.ratings:
        row = even[rating.name]
        assert rating.grade_by_multiple == grade_of_break_even(row.loss, base_loss)
        assert row.multiple is not None
        assert row.multiple >= multiple_of(rating.grade, base_loss) - 1e-3
    senior, mezzanine, junior = (even[name] for name in "ABC")
    for key in ("cdr", "loss", "default_rate", "scaled_default_rate"):
        assert getattr(senior, key) > getattr(mezzanine, key) > getattr(junior, key), key


def test_ratings_beside_stress_paths_are_those_of_the_scenarios_alone() -> None:
    structure, scenarios, pool, flows = _solved(120)
    alone = execute(compile_deal(structure.spec, pool), flows)
    for name in ("interest", "principal", "unpaid_principal"):
        assert np.array_equal(getattr(alone, name), getattr(structure.deal, name)), name
    assert structure.losses.losses == pytest.approx(pool_losses(flows))
    assert len(structure.defaults) == len(scenarios)


def test_the_report_carries_every_key_and_what_it_promises() -> None:
    report = _report(120)
    simulation, rows = report["simulation"], report["tranches"]
    assert set(simulation["loss_quantiles_se"]) == set(simulation["loss_quantiles"])
    months = simulation["by_month"]
    assert len(months["month"]) == len(months["mean"]) == len(months["se"]) == 46
    assert months["mean"][-1] == pytest.approx(simulation["expected_loss"])
    assert simulation["base_case"]["loss"] == simulation["expected_loss"]
    assert simulation["base_case"]["severity"] == pytest.approx(0.9, abs=1e-3)  # mean severity of the documented curve
    for level, found in simulation["expected_shortfall"].items():
        assert found["value"] > simulation["loss_quantiles"][level]
    interval = simulation["interval"]
    assert interval["low"] < simulation["expected_loss"] < interval["high"]
    assert interval["parameters"] == ["pd_level", "correlation", "severity_level"]
    for row in rows:
        assert set(CLASS_KEYS) <= set(row)
    for row in rows[:3]:
        assert row["interval"]["pd"]["mean"] == pytest.approx(row["pd"])
        assert row["interval"]["pd"]["high"] > row["pd"] + 2 * row["pd_se"]
        assert row["cushion"] == pytest.approx(
            row["break_even"]["scaled_default_rate"] - row["scenario_default_rate"]["value"]
        )
        if row["lgd"] is not None:
            assert row["lgd"] * row["pd"] == pytest.approx(row["expected_loss"], rel=1e-6)
    assert all(rows[3][key] is None for key in CLASS_KEYS)


def test_without_parameter_uncertainty_intervals_have_no_width_and_without_a_model_there_are_none() -> None:
    certain = _report(120, uncertain=False)
    assert certain["simulation"]["interval"]["low"] == certain["simulation"]["interval"]["high"]
    for row in certain["tranches"][:3]:
        for key, found in row["interval"].items():
            assert found is None or found["low"] == found["high"] == found["mean"], key
    unknown = _report(None)
    assert unknown["simulation"]["interval"] is None
    assert all(row["interval"] is None and row["cap"] is None for row in unknown["tranches"])
