"""`manage.py spreadgrid FILE.csv`: fit the market grid to filed new issues, and show how well it predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pricing.engine.grid_fit import BP, LETTERS, GridFit, deal_left_out, fit_grid, read_comparables
from pricing.market import default_snapshot

LIVES = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0)
NEWEST = 3
BAD_INPUT = 2


class Command(BaseCommand):
    help = "Fit the spread grid rating x average life to comparables, with leave-one-out errors."

    def add_arguments(self, parser: CommandParser) -> None:
        """FILE and how many of its newest deals set the level."""
        parser.add_argument("comparables", type=Path, help="CSV of new issues: deal, date, rating, WAL, spread, source")
        parser.add_argument("--newest", type=int, default=NEWEST, help="deals whose mean level the grid stands on")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, fit, print."""
        try:
            comparables = read_comparables(options["comparables"].read_text(encoding="utf-8"))
            fit = fit_grid(comparables)
            if not 1 <= options["newest"] <= len(fit.deals):
                raise ValueError(f"newest: {options['newest']} is not between 1 and {len(fit.deals)} deals")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        deals = fit.newest(options["newest"])
        by_deal = deal_left_out(comparables)
        for line in (*_rows(fit, by_deal), "", *_summary(fit, len(comparables), by_deal), "", *_grid(fit, deals)):
            self.stdout.write(line)
        self.stdout.write(json.dumps({"figures": _figures(fit, by_deal)}))


def _rows(fit: GridFit, by_deal: np.ndarray[Any, Any]) -> list[str]:
    head = (
        f"{'deal':15} {'class':6} {'rating':6} {'priced':10} {'WAL y':>6} {'spread bp':>9} {'fitted bp':>9} "
        f"{'left out':>9} {'deal out':>9}"
    )
    lines = [head]
    for row, fitted, out, deal in zip(fit.rows, fit.fitted, fit.left_out, by_deal, strict=True):
        lines.append(
            f"{row.deal:15} {row.name:6} {row.rating:6} {row.priced} {row.wal:6.2f} {row.spread / BP:9.0f} "
            f"{fitted / BP:9.1f} {_percent(out)} {_percent(deal)}"
        )
    return lines


def _percent(value: float) -> str:
    return f"{value:+9.1%}" if np.isfinite(value) else f"{'-':>9}"


def _summary(fit: GridFit, given: int, by_deal: np.ndarray[Any, Any]) -> list[str]:
    steps = ", ".join(f"{letter} x{fit.steps[letter]:.2f}" for letter in LETTERS)
    return [
        f"{len(fit.rows)} of {given} classes of {len(fit.deals)} deals: ln s = deal + rating + {fit.exponent:.3f} "
        f"(se {fit.exponent_error:.3f}) ln WAL, residual {fit.deviation:.1%}",
        f"steps: {steps}",
        f"leave-one-out: median error {fit.median_left_out:.1%}, 90 % of them below "
        f"{np.nanquantile(np.abs(fit.left_out), 0.9):.1%}",
        f"with the whole deal left out but its AAA level: median error {np.nanmedian(np.abs(by_deal)):.1%} of "
        f"{int(np.isfinite(by_deal).sum())} classes below AAA",
    ]


def _grid(fit: GridFit, deals: tuple[str, ...]) -> list[str]:
    """The grid on the mean level of the newest deals, bp, beside the embedded one."""
    level, snapshot = fit.level(deals), default_snapshot()
    lines = [f"grid on the level of {', '.join(deals)}, bp over swaps; in brackets {snapshot.name}"]
    lines.append(f"{'':4}" + "".join(f"{life:>7g}y        " for life in LIVES))
    for letter in LETTERS:
        embedded = snapshot.grid[snapshot.grid_grades.index(letter)]
        cells = (
            f"{fit.spread(letter, life, level) / BP:8.1f} ({value / BP:5.1f})"
            for life, value in zip(LIVES, embedded, strict=True)
        )
        lines.append(f"{letter:4}" + "".join(cells))
    return lines


def _figures(fit: GridFit, by_deal: np.ndarray[Any, Any]) -> dict[str, float]:
    return {
        "classes": len(fit.rows),
        "leave_one_out_median_error": round(fit.median_left_out, 4),
        "deal_out_median_error": round(float(np.nanmedian(np.abs(by_deal))), 4),
        "exponent": round(fit.exponent, 4),
        "residual": round(fit.deviation, 4),
    }
