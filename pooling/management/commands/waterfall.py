"""`manage.py waterfall SPEC.json`: a deal's cash flows under assumptions, as a table."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser
from numpy.typing import NDArray

from pooling.cashflow_report import class_lines, columns_of, table_lines
from pooling.deals import template, template_collateral, template_names
from pooling.engine.analytics import break_even, class_yields
from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute
from pooling.engine.waterfall.arithmetic import Mode
from pooling.engine.waterfall.explain import explain

BAD_INPUT = 2
HIGHEST_CDR = 0.99
CDR_TOLERANCE = 1e-4


def named_number(text: str) -> tuple[str, float]:
    """NAME=NUMBER."""
    name, equals, number = text.partition("=")
    try:
        if not (name and equals):
            raise ValueError
        return name, float(number)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not written NAME=NUMBER") from None


@dataclass(frozen=True)
class Case:
    """A deal with its collateral: flows(cdr) of any default speed, or of the case's own where None."""

    program: Program
    flows: Callable[[float | None], PoolFlows]
    options: dict[str, Any]
    words: str


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2."""

    help = "Print the cash-flow table of a deal: its own template's pool, or one representative loan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("spec", type=Path, nargs="?", metavar="SPEC.json", help="deal specification, solved")
        parser.add_argument("--template", choices=template_names(), help="a deal template with its own pool")
        for name, text in (
            ("cdr", "annual default rate"),
            ("cpr", "annual prepayment rate"),
            ("severity", "fraction of a charged-off balance never recovered"),
            ("rate", "coupon of the representative loan"),
        ):
            parser.add_argument(f"--{name}", type=float, metavar="FRACTION", help=text)
        parser.add_argument("--balance", type=float, help="pool at cut-off, currency units; default: the notes")
        parser.add_argument("--term", type=int, metavar="MONTHS", default=48, help="of the representative loan (48)")
        parser.add_argument("--recovery-lag", type=int, metavar="MONTHS")
        parser.add_argument("--charge-off-lag", type=int, metavar="MONTHS")
        parser.add_argument("--index", type=named_number, action="append", default=[], metavar="NAME=RATE")
        parser.add_argument("--price", type=named_number, action="append", default=[], metavar="CLASS=PRICE")
        parser.add_argument("--cents", action="store_true", help="whole cents with the deal's rounding")
        parser.add_argument("--to-maturity", action="store_true", help="do not exercise the clean-up call")
        parser.add_argument("--break-even", action="store_true", help="lowest CDR that first hurts each class")
        parser.add_argument("--explain", metavar="CLASS", help="explain what a class was paid, with --date")
        parser.add_argument("--date", type=int, metavar="N", default=1, help="number of the payment to explain (1)")
        parser.add_argument("--csv", type=Path, metavar="OUT", help="write every column of the table")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            case = self._case(options)
            run = self._run(case, options)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The deal {options['spec']} cannot be read: {error}.", returncode=BAD_INPUT) from error
        except ValueError as error:
            raise CommandError(f"{error}.", returncode=BAD_INPUT) from error
        spec = case.program.spec
        self.stdout.write(f"{spec.name}: {case.words}; {spec.conventions.interest_day_count}, {spec.payment_frequency}")
        try:
            self._write(case, run, options)
        except ValueError as error:
            raise CommandError(f"{error}.", returncode=BAD_INPUT) from error

    # ------------------------------------------------------------------------------------------------------ the case
    def _case(self, options: dict[str, Any]) -> Case:
        if (options["spec"] is None) == (options["template"] is None):
            raise ValueError("give a SPEC.json or --template NAME, one of the two")
        return self._of_template(options) if options["template"] else self._of_spec(options)

    def _of_template(self, options: dict[str, Any]) -> Case:
        spec = template(options["template"])
        pool = template_collateral(options["template"])
        given = ("cdr", "cpr", "severity", "recovery_lag", "charge_off_lag")
        changes = {name: options[name] for name in given if options[name] is not None}
        known = {**dict(pool.base_case), **changes}
        words = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in known.items() if name in given)
        extra = pool.options(spec, **changes)
        extra["rates"] = {**extra["rates"], **dict(options["index"])}

        def flows(cdr: float | None) -> PoolFlows:
            return pool.flows(spec, **(changes if cdr is None else changes | {"cdr": cdr}))

        return Case(compile_deal(spec, pool.balance_cents), flows, extra, words)

    def _of_spec(self, options: dict[str, Any]) -> Case:
        spec = DealSpec.from_json(options["spec"].read_text(encoding="utf-8"))
        notes = sum(tranche.balance or 0 for tranche in spec.tranches)
        cents = notes if options["balance"] is None else round(options["balance"] * 100)
        if options["rate"] is None:
            raise ValueError("--rate is missing: give the coupon of the representative loan, such as 0.12")
        if spec.revolving is not None:
            raise ValueError("revolving: a deal that revolves is run from a template, which has its collateral")
        loan = representative_loan(cents / 100, options["rate"], options["term"])

        def flows(cdr: float | None) -> PoolFlows:
            speed = (options["cdr"] or 0.0) if cdr is None else cdr
            given = Assumptions(
                prepayment=Prepayment("cpr", options["cpr"] or 0.0),
                default=Default("cdr", speed),
                severity=options["severity"] or 0.0,
                recovery_lag=options["recovery_lag"] or 0,
                charge_off_lag=options["charge_off_lag"] or 0,
            )
            return assumed_flows(loan, given)

        shown = {"cdr": options["cdr"], "cpr": options["cpr"], "severity": options["severity"]}
        words = f"one loan of {cents / 100:,.2f} at {options['rate']:.3%} over {options['term']} months, "
        words += ", ".join(f"{name} {value or 0.0:g}" for name, value in shown.items())
        return Case(compile_deal(spec, cents), flows, {"rates": dict(options["index"])}, words)

    def _run(self, case: Case, options: dict[str, Any]) -> DealFlows:
        case.options["to_call"] = not options["to_maturity"]
        return execute(case.program, case.flows(None), mode=mode_of(options), **case.options)

    # ------------------------------------------------------------------------------------------------------- results
    def _write(self, case: Case, deal: DealFlows, options: dict[str, Any]) -> None:
        columns = columns_of(case.program, deal)
        for line in table_lines(columns):
            self.stdout.write(line)
        self.stdout.write("")
        for line in class_lines(deal, self._yields(deal, dict(options["price"]))):
            self.stdout.write(line)
        self.stdout.write(f"cash conserved to {deal.conservation_error:.1e} {case.program.currency}")
        if options["break_even"]:
            self._break_even(case)
        if options["explain"]:
            self._explain(case, options)
        if options["csv"]:
            with options["csv"].open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows(zip(*columns.values(), strict=True))

    def _yields(self, deal: DealFlows, prices: dict[str, float]) -> list[str]:
        for name in prices:
            if name not in deal.names:
                raise ValueError(f"--price: no class is named {name!r}; the deal has {', '.join(deal.names)}")
        if not prices or deal.unit == "cents":
            return []
        full = {name: prices.get(name, 1.0) for name in deal.names}
        found = class_yields(deal, full, compounding="semiannual")
        return [
            (f"{float(found.rates[k, 0]):.4%} at {full[name] * 100:g}" if found.found[k, 0] else found.reason(k, 0))
            for k, name in enumerate(deal.names)
        ]

    def _break_even(self, case: Case) -> None:
        def run(stresses: NDArray[np.float64]) -> DealFlows:
            pools = PoolFlows.concatenate([case.flows(float(stress)) for stress in stresses])
            return execute(case.program, pools, **case.options)

        deferrable = [part.name for part in case.program.spec.tranches if part.interest_deferrable]
        found = break_even(run, 0.0, HIGHEST_CDR, tolerance=CDR_TOLERANCE, deferrable=deferrable)
        for row in found.classes:
            at = "survives every CDR tested" if row.stress is None else f"{row.stress:.2%}"
            self.stdout.write(f"break-even CDR of {row.name}: {at}{f' ({row.cause})' if row.cause else ''}")

    def _explain(self, case: Case, options: dict[str, Any]) -> None:
        wanted = {"tranche": options["explain"], "date": options["date"], "mode": mode_of(options)}
        found = explain(case.program, case.flows(None), **wanted, **case.options)
        self.stdout.write(f"\npayment {found.number}, {found.date}: principal due {found.principal_due:,.2f}")
        for step in found.chain:
            self.stdout.write(f"{'*' if step.concerns else ' '} {step.number:>2}  {step.sentence}")
            for formula in step.formulas:
                reads = ", ".join(f"{name} {_value(value)}" for name, value in formula.reads)
                self.stdout.write(f"      {formula.role}: {formula.text} = {_value(formula.value)}  ({reads})")


def mode_of(options: dict[str, Any]) -> Mode:
    """Whole cents where asked for."""
    return "cents" if options["cents"] else "float64"


def representative_loan(balance: float, rate: float, term: int) -> LoanArrays:
    """One new level-payment loan. Raises ValueError naming the column."""
    return LoanArrays(
        loan_id=np.array(["1"]),
        balance=np.array([balance]),
        rate=np.array([rate]),
        original_term=np.array([term]),
        remaining_term=np.array([term]),
        age=np.array([0]),
        grade=np.array([""]),
        score=np.array([np.nan]),
        group=np.array(["pool"]),
    )


def _value(value: float | bool) -> str:
    return json.dumps(value) if isinstance(value, bool) else f"{value:,.4g}" if abs(value) < 100 else f"{value:,.2f}"
