"""CreditModel and the documented fallback curve."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from pooling.engine.loans import LoanArrays
from rating.engine import curves
from rating.engine.curves import documented_model
from rating.engine.hazards import hazard_incidence
from rating.engine.model import CreditModel
from tests.engine.rating_pools import equal_loans


def _loans(n: int, **columns: list) -> LoanArrays:
    base = equal_loans(n, remaining=36)
    given = {name: np.array(value) for name, value in columns.items()}
    return LoanArrays(**{f.name: getattr(base, f.name) for f in fields(base)} | given)


def test_json_round_trip_is_exact() -> None:
    model = documented_model()
    again = CreditModel.from_json(json.dumps(model.to_json()))
    assert again.default_hazard.tobytes() == model.default_hazard.tobytes()
    assert again.content_hash() == model.content_hash()
    assert len(model.content_hash()) == 64
    assert replace(model, severity_mean=0.9300000000000002).content_hash() != model.content_hash()


def test_unknown_and_missing_keys_are_named() -> None:
    data = documented_model().to_json()
    with pytest.raises(ValueError, match=r"keys differ from the schema: .'colour'"):
        CreditModel.from_json(data | {"colour": 1})
    del data["bands"]
    with pytest.raises(ValueError, match="'bands'"):
        CreditModel.from_json(data)


def test_band_by_grade_else_score_else_rate() -> None:
    nan = float("nan")
    loans = _loans(
        7,
        grade=["c", "B3", "", "", "", "?", "HR"],
        score=[500.0, nan, 730.0, 559.0, nan, nan, 800.0],
        rate=[0.1, 0.1, 0.3, 0.3, 0.0866, 0.30, 0.1],
    )
    # c -> C; B3 -> B; 730 -> 720 and more = B; below 560 -> G; 8.66 % <= 8.67 % -> A; 30 % -> G; HR -> G.
    assert documented_model().assign_bands(loans).tolist() == [2, 1, 1, 6, 0, 6, 6]


def test_terms_go_to_the_nearest_table() -> None:
    loans = _loans(5, original_term=[12, 36, 47, 48, 84], grade=["A"] * 5)
    assert documented_model().assign(loans).tolist() == [0, 0, 0, 1, 1]


def test_the_curve_keeps_the_published_annual_loss() -> None:
    # A loan without prepayment loses, per year of balance outstanding, the loss rate of its band.
    model = documented_model()
    for b, loss in enumerate((0.01, 0.03, 0.05, 0.075, 0.105, 0.135, 0.165)):
        for m, (term, extra) in enumerate(((36, 0.0), (60, 0.0225))):
            hazard = model.default_hazard[2 * b + m, :term]
            growth = (1 + 0.13 / 12) ** np.arange(term)
            balance = (1 + 0.13 / 12) ** term - growth
            annual = 12 * (hazard * balance).sum() / balance.sum() * model.severity_mean
            assert annual == pytest.approx(loss + extra, rel=1e-12)


def test_the_curve_rises_from_band_to_band_and_with_the_term() -> None:
    model = documented_model()
    incidence = hazard_incidence(model.default_hazard, model.prepayment_hazard)[0]
    by_36, by_60 = incidence[::2, 35], incidence[1::2, 59]
    assert (np.diff(by_36) > 0).all()
    assert (np.diff(by_60) > 0).all()
    assert (by_60 > by_36).all()


def test_every_number_of_the_curve_states_its_origin() -> None:
    origin = documented_model().provenance
    assert {item["kind"] for item in origin.values()} == {"source", "assumption"}
    assert all(item["text"] for item in origin.values())
    for name in ("asset_correlation", "pd_level_sigma", "severity_mean", "severity_sigma", "recovery_lag"):
        assert origin[name]["value"] == getattr(documented_model(), name), name
    assert json.loads(json.dumps(origin)) == origin


def test_retail_correlation_runs_from_16_to_3_percent() -> None:
    # Basel Framework CRE31, other retail: R = 3 % (1 - e^-35 PD) / (1 - e^-35) + 16 % (rest).
    assert curves.retail_correlation(0.0) == pytest.approx(0.16)
    assert curves.retail_correlation(1.0) == pytest.approx(0.03)
    assert curves.retail_correlation(0.02) == pytest.approx(0.03 + 0.13 * np.exp(-0.7), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asset_correlation": 1.0}, "asset_correlation: 1.0"),
        ({"severity_mean": 1.2}, "severity_mean: 1.2"),
        ({"recovery_lag": -1}, "recovery_lag: -1"),
        ({"terms": (60, 36)}, r"terms: \(60, 36\)"),
        ({"rate_ceilings": (0.2, 0.1)}, "rate_ceilings: 2 cuts"),
        ({"grade_band": {"A": 9}}, "grade_band: 'A' points to band 9"),
        ({"event_order": "prepayment first"}, "event_order"),
        ({"default_hazard": np.full((14, 60), np.nan)}, "default_hazard: a hazard"),
        ({"prepayment_hazard": np.zeros((3, 60))}, r"prepayment_hazard: shape \(3, 60\)"),
    ],
)
def test_bad_fields_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(documented_model(), **change)
