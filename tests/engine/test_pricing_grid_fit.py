"""The market grid: what the filed classes say, whether leaving one out is what it claims, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from pricing.engine.grid_fit import BP, LETTERS, Comparable, deal_left_out, fit_grid, read_comparables

HEAD = "deal,pricing_date,asset,speed,benchmark,class,rating,wal_y,spread_bp,yield_pct,coupon_pct,price,source\n"


def sheet(*rows: str) -> str:
    return "# a note\n" + HEAD + "".join(f"{row}\n" for row in rows)


def line(deal: str, name: str, rating: str, wal: object, spread: object, day: str = "2025-01-22") -> str:
    return f"{deal},{day},prime auto,1.3 ABS,I-CRV,{name},{rating},{wal},{spread},4.1,4.0,99.99,https://example.org/{deal}"


def market(noise: float = 0.0) -> tuple[Comparable, ...]:
    """Three deals that follow a known law: steps 1, 1.5, 2, 3, exponent 0.2, levels 30, 40, 60 bp."""
    rng, rows = np.random.default_rng(5), []
    for deal, level in (("one", 30.0), ("two", 40.0), ("three", 60.0)):
        for k, (letter, step) in enumerate(zip(LETTERS, (1.0, 1.5, 2.0, 3.0), strict=True)):
            for wal in (1.1 + k, 2.3 + k):
                spread = level * step * wal**0.2 * np.exp(noise * rng.standard_normal())
                rows.append(line(deal, f"{letter}{wal}", letter, wal, repr(float(spread))))
    return read_comparables(sheet(*rows))


def test_a_known_law_is_found() -> None:
    fit = fit_grid(market())
    assert fit.steps == pytest.approx({"AAA": 1.0, "AA": 1.5, "A": 2.0, "BBB": 3.0}, abs=1e-12)
    assert fit.exponent == pytest.approx(0.2, abs=1e-12)
    assert np.exp(fit.levels) / BP == pytest.approx([30.0, 40.0, 60.0], rel=1e-12)
    between = np.sqrt(30 * 40) * 2 * 5**0.2 * BP
    assert fit.spread("A", 5.0, fit.level(["one", "two"])) == pytest.approx(between, rel=1e-12)
    assert np.nanmax(np.abs(fit.left_out)) < 1e-10
    assert np.nanmax(np.abs(deal_left_out(market()))) < 1e-10


def test_leaving_one_out_is_refitting_without_it() -> None:
    rows = market(noise=0.1)
    fit = fit_grid(rows)
    for k, row in enumerate(rows):
        without = fit_grid([*rows[:k], *rows[k + 1 :]])
        predicted = without.spread(str(row.letter), row.wal, without.level([row.deal]))
        assert fit.left_out[k] == pytest.approx(predicted / row.spread - 1.0, rel=1e-9)


@pytest.mark.shared
def test_the_filed_classes_give_the_default_grid(shared: Path) -> None:
    folder = shared / "market_data"
    fit = fit_grid(read_comparables((folder / "abs_primary_spreads.csv").read_text(encoding="utf-8")))
    # as the notes beside the file have it: 45 classes of 10 deals, exponent 0.176, residual 9.7 %
    assert (len(fit.rows), len(fit.deals)) == (45, 10)
    assert fit.exponent == pytest.approx(0.176, abs=5e-4)
    assert fit.deviation == pytest.approx(0.097, abs=5e-4)
    assert [fit.steps[letter] for letter in LETTERS] == pytest.approx([1.0, 1.41, 1.75, 2.63], abs=0.005)
    assert fit.median_left_out == pytest.approx(0.082, abs=5e-4)
    text = (folder / "abs_spread_grid_default.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(row for row in text.splitlines() if not row.startswith("#")))
    level = fit.level(fit.newest(3))
    for name, *cells in rows[1:]:
        for head, cell in zip(rows[0][1:], cells, strict=True):
            assert fit.spread(name, float(head.rstrip("y")), level) / BP == pytest.approx(float(cell), abs=0.51)


@pytest.mark.shared
def test_the_command_prints_the_table_and_its_figures(shared: Path) -> None:
    out = io.StringIO()
    call_command("spreadgrid", str(shared / "market_data" / "abs_primary_spreads.csv"), stdout=out)
    lines = out.getvalue().splitlines()
    figures = json.loads(lines[-1])["figures"]
    assert figures["leave_one_out_median_error"] <= 0.10
    assert any(row.startswith("BBB") and "(139.0)" in row for row in lines)
    assert sum("CRVNA 2025-P4" in row for row in lines) == 7  # six classes, and the heading of the grid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (sheet(line("d", "A", "AAA", "long", 40)), r"wal_y: row 1 has 'long'; give a number above 0"),
        (sheet(line("d", "A", "AAA", 1, -3)), r"spread_bp: row 1 has '-3'; give a number above 0"),
        (sheet(line("d", "A", "AAA", 1, 40, "January")), r"pricing_date: row 1 has 'January'; give YYYY-MM-DD"),
        (HEAD.replace("wal_y", "life"), r"unknown columns \['life'\], missing columns \['wal_y'\]"),
        (sheet(line("d", "A", "AAA", 1, 40)), r"none is rated AA; give at least one of each of AAA, AA, A, BBB"),
        (
            sheet(*(line("d", name, name, 1 + k, 40) for k, name in enumerate(LETTERS))),
            r"4 classes of 1 deals are too few to fit",
        ),
    ],
)
def test_bad_comparables_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        fit_grid(read_comparables(text))
    path = tmp_path / "comparables.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandError, match=message):
        call_command("spreadgrid", str(path))


def test_a_range_of_days_ends_on_its_last_and_money_market_classes_stay_out() -> None:
    ranged = line("d", "A-2", "AA-", 1, 40, "2025-11-18~25")
    rows = read_comparables(sheet(line("d", "A-1", "A-1+", 0.2, 9), ranged, line("d", "N", "BB-", 1, 170)))
    assert [row.letter for row in rows] == [None, "AA", None]
    assert rows[1].priced.isoformat() == "2025-11-25"
