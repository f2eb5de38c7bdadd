"""`manage.py backtest HISTORY`: calibrate at past cut-offs, predict what was issued later, and show what came."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import ApplicationError
from pooling.tapes import check_tape, month_number, outcomes, read_tape
from rating.backtest_report import COLUMNS, cells_of_all, outcome_rows, pit_svg, report_json, report_lines
from rating.engine.backtest import MIN_LOANS, SCENARIOS, SEED, backtest, coverage, incidence_checks
from rating.engine.calibration import history_of
from rating.engine.uncertainty import uncertainty_cost

CUTOFFS = ("2008-06", "2008-12", "2009-06", "2009-12")
BAD_INPUT = 2


class Command(BaseCommand):
    help = "Back-test the calibration on a history tape: coverage, PIT, misses, notches, incidences."

    def add_arguments(self, parser: CommandParser) -> None:
        """HISTORY and what to do with it."""
        parser.add_argument("history", type=Path, help="tape with issue date, status, last payment and principal")
        parser.add_argument("--cutoffs", nargs="+", default=list(CUTOFFS), metavar="YYYY-MM", help="ascending months")
        parser.add_argument("--min-loans", type=int, default=MIN_LOANS, help="smallest cell that is judged")
        parser.add_argument("--scenarios", type=int, default=SCENARIOS, help="best a power of two")
        parser.add_argument("--seed", type=int, default=SEED)
        parser.add_argument("--csv", type=Path, help="write every prediction as a row")
        parser.add_argument("--json", type=Path, help="write everything as JSON")
        parser.add_argument("--svg", type=Path, help="draw the PIT histograms")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, run, print, write."""
        path: Path = options["history"]
        try:
            frame = outcomes(check_tape(read_tape(path)))
        except ApplicationError as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        if frame is None:
            raise CommandError(
                f"{path}: knows no finished loan; a history needs issue date, status, last payment date and principal "
                "received",
                returncode=BAD_INPUT,
            )
        history = history_of(frame)
        chosen = {name: options[name] for name in ("min_loans", "scenarios", "seed")}
        try:
            cutoffs = [month_number(text) for text in options["cutoffs"]]
            periods = backtest(history, cutoffs, frame.data_end, **chosen)
            names = options["cutoffs"]
            costs = [(name, uncertainty_cost(p.model, p.loans)) for name, p in zip(names, periods, strict=True)]
            checks = incidence_checks(history, frame.data_end)
            cells = coverage(cells_of_all(periods))
        except ValueError as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        for line in report_lines(periods, costs, checks):
            self.stdout.write(line)
        if options["csv"]:
            with options["csv"].open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                writer.writeheader()
                writer.writerows(outcome_rows(periods))
        if options["json"]:
            source = {
                "history_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "cutoffs": list(options["cutoffs"]),
                **chosen,
            }
            text = json.dumps(report_json(periods, costs, checks, source), indent=1, sort_keys=True, allow_nan=False)
            options["json"].write_text(text + "\n", encoding="utf-8")
        if options["svg"]:
            options["svg"].write_text(pit_svg(cells), encoding="utf-8")
