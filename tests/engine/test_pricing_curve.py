"""Treasury curve, market snapshot and required spreads."""

from __future__ import annotations

import csv
import json
import statistics
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.engine.curve import TreasuryCurve, par_yields
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.spread import required_yield, spread
from pricing.market import SNAPSHOTS, default_snapshot
from rating.engine.scale import GRADES

SNAPSHOT = default_snapshot()
YEARS = {"1M": 1 / 12, "3M": 0.25, "4M": 1 / 3, "6M": 0.5, "1Y": 1.0, "2Y": 2.0, "3Y": 3.0, "5Y": 5.0,
         "7Y": 7.0, "10Y": 10.0, "20Y": 20.0, "30Y": 30.0}  # fmt: skip


def _rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


@pytest.mark.shared
def test_embedded_treasury_points_are_those_of_the_source(shared: Path) -> None:
    rows = {row["date"]: row for row in _rows(shared / "market_data" / "ust_par_2026.csv")}
    row = rows[SNAPSHOT.as_of.isoformat()]
    published = {YEARS[name]: float(value) / 100 for name, value in row.items() if name != "date"}
    assert dict(zip(SNAPSHOT.treasury_tenors, SNAPSHOT.treasury_yields, strict=True)) == pytest.approx(published)


@pytest.mark.shared
def test_embedded_spread_grid_is_that_of_the_source_and_extended_by_corporate_ratios(shared: Path) -> None:
    rows = _rows(shared / "market_data" / "abs_spread_grid_default.csv")
    for row in rows:
        for column, value in row.items():
            if column != "rating":
                years = float(column.removesuffix("y"))
                assert spread(row["rating"], years, SNAPSHOT) == pytest.approx(float(value) / 1e4, rel=1e-12)
    corporate = _rows(shared / "market_data" / "damodaran_rating_spreads.csv")
    percent = {row["rating"]: float(row["spread_pct"]) for row in corporate}
    bbb = {years: spread("BBB", years, SNAPSHOT) for years in SNAPSHOT.grid_wals}
    for grade in ("BB+", "BB", "B+", "B", "B-", "CCC"):
        for years in SNAPSHOT.grid_wals:
            expected = bbb[years] * percent[grade] / percent["BBB"]
            # The extended rows are rounded to a tenth of a basis point.
            assert spread(grade, years, SNAPSHOT) == pytest.approx(expected, abs=0.051e-4)


@pytest.mark.shared
def test_the_zero_basis_is_what_dated_auto_deals_show(shared: Path) -> None:
    # Yield less same-date Treasury (points joined by lines) less printed spread, of deals with one printed
    # date.
    folder = shared / "market_data"
    files = ("ust_par_2021_2025.csv", "ust_par_2026.csv")
    curves = {row["date"]: row for name in files for row in _rows(folder / name)}
    gaps: dict[str, list[float]] = {}
    for row in _rows(folder / "abs_primary_spreads.csv"):
        curve = curves.get(row["pricing_date"])
        if curve is None:
            continue
        names = {name.replace("Mo", "M").replace("Yr", "Y"): value for name, value in curve.items() if value}
        points = sorted((YEARS[name], float(value)) for name, value in names.items() if name in YEARS)
        tenors, percents = zip(*points, strict=True)
        treasury = float(par_yields(tenors, percents, float(row["wal_y"]), "linear"))
        gap = (float(row["yield_pct"]) - treasury) * 100 - float(row["spread_bp"])
        gaps.setdefault(row["deal"], []).append(gap)
    medians = {deal: statistics.median(values) for deal, values in gaps.items()}
    within = [deal for deal, gap in medians.items() if abs(gap - SNAPSHOT.basis * 1e4) < 2.5]
    assert len(medians) == 6
    assert set(medians) - set(within) == {"CRVNA 2024-P2"}


def test_bootstrapped_factors_price_par_bonds_at_par() -> None:
    curve = SNAPSHOT.curve
    for years in (1.0, 2.0, 5.0, 7.0, 10.0, 20.0, 30.0):
        coupon = float(curve.par(years)) / 2
        times = np.arange(0.5, years + 0.25, 0.5)
        assert coupon * curve.discount(times).sum() + float(curve.discount(years)) == pytest.approx(1, abs=1e-12)


def test_bills_are_quoted_with_simple_interest() -> None:
    # 31 CFR 356, appendix B: P = 100 / (1 + i r / y); three months at 3.68 %.
    assert float(SNAPSHOT.curve.discount(0.25)) == pytest.approx(1 / (1 + 0.0368 * 0.25), rel=1e-14)
    assert float(SNAPSHOT.curve.discount(0.0)) == 1.0


def test_a_flat_par_curve_has_flat_zero_rates() -> None:
    flat = TreasuryCurve((0.5, 10.0, 30.0), (0.04, 0.04, 0.04))
    times = np.array([0.5, 1.0, 3.25, 10.0, 29.5, 40.0])
    assert flat.discount(times) == pytest.approx(1.02 ** (-2 * times), rel=1e-12)


@given(st.floats(0, 45), st.floats(0.001, 5))
def test_discount_factors_fall_with_time(years: float, step: float) -> None:
    factors = SNAPSHOT.curve.discount([years, years + step])
    assert 0 < factors[1] < factors[0] <= 1


@pytest.mark.parametrize("interpolation", ["pchip", "linear"])
def test_interpolation_meets_the_points_and_stays_between_them(interpolation: str) -> None:
    x, y = SNAPSHOT.treasury_tenors, SNAPSHOT.treasury_yields
    assert par_yields(x, y, x, interpolation) == pytest.approx(y, abs=1e-15)
    three = float(par_yields(x, y, 3.0, interpolation))
    assert 0.0408 < three < 0.0425
    assert float(par_yields(x, y, 99.0, interpolation)) == pytest.approx(y[-1], abs=1e-15)


def test_snapshot_round_trip_and_hash() -> None:
    again = MarketSnapshot.from_json(SNAPSHOT.to_json())
    assert again == SNAPSHOT
    assert again.content_hash() == SNAPSHOT.content_hash()
    assert replace(SNAPSHOT, basis=0.0001).content_hash() != SNAPSHOT.content_hash()
    assert SNAPSHOTS[SNAPSHOT.name] is SNAPSHOT
    content = json.loads(SNAPSHOT.to_json())
    with pytest.raises(ValueError, match=r"unknown keys \['extra'\], missing keys \['basis'\]"):
        MarketSnapshot.from_json({**{k: v for k, v in content.items() if k != "basis"}, "extra": 1})


def test_staleness_counts_days() -> None:
    assert SNAPSHOT.staleness_days(date(2026, 6, 1)) == 11
    with pytest.raises(ValueError, match="on: 2026-05-20 lies before the snapshot of 2026-05-21"):
        SNAPSHOT.staleness_days(date(2026, 5, 20))


def test_every_figure_and_assumption_has_its_source() -> None:
    assert set(SNAPSHOT.sources) == {"treasury", "grid", "basis", "add_ons", "residual_yield"}
    for name in ("basis", "add_ons", "residual_yield"):
        assert SNAPSHOT.sources[name].startswith("assumption:")


@given(st.floats(0.05, 20), st.integers(0, len(GRADES) - 2))
def test_spreads_rise_with_life_and_with_each_worse_grade(wal: float, notch: int) -> None:
    better, worse = GRADES[notch], GRADES[notch + 1]
    assert 0 < spread(better, wal, SNAPSHOT) < spread(worse, wal, SNAPSHOT)
    assert spread(better, wal, SNAPSHOT) < spread(better, wal * 1.1, SNAPSHOT)


def test_a_notch_between_rows_is_the_geometric_mean() -> None:
    # AA+ lies half way between AAA (45 bp at 2 years) and AA (63 bp).
    assert spread("AA+", 2.0, SNAPSHOT) == pytest.approx((45e-4 * 63e-4) ** 0.5, rel=1e-12)
    # Beyond 7 years AAA goes on with the fitted exponent from 56 bp.
    assert spread("AAA", 14.0, SNAPSHOT) == pytest.approx(56e-4 * 2**0.176, rel=1e-12)


def test_required_yield_adds_up() -> None:
    at = required_yield("AAA", 2.0, SNAPSHOT, asset_class="unsecured_consumer")
    assert at == pytest.approx(0.0408 + 0.0 + 0.0045 + 0.0075, abs=1e-12)
    swapped = replace(SNAPSHOT, basis=-0.002)
    assert at - required_yield("AAA", 2.0, swapped, asset_class="unsecured_consumer") == pytest.approx(0.002)
    with pytest.raises(ValueError, match="asset_class: 'boats' is not one of prime_auto, unsecured_consumer"):
        required_yield("AAA", 2.0, SNAPSHOT, asset_class="boats")
    with pytest.raises(ValueError, match="grade: 'Aaa' is not on the scale AAA to CCC"):
        spread("Aaa", 2.0, SNAPSHOT)
    with pytest.raises(ValueError, match="wal_years: nan is not a positive number of years"):
        spread("AAA", float("nan"), SNAPSHOT)


def test_bad_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="tenors"):
        TreasuryCurve((1.0, 1.0), (0.04, 0.04))
    with pytest.raises(ValueError, match=r"yields: 4.08 at 2.0 years is no annual fraction"):
        TreasuryCurve((1.0, 2.0), (0.04, 4.08))
    with pytest.raises(ValueError, match="interpolation: 'cubic' is not one of pchip, linear"):
        par_yields((1, 2), (0.1, 0.1), 1, "cubic")
