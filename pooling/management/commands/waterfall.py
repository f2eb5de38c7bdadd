"""`manage.py waterfall SPEC.json`: a deal's cash flows under assumptions, as a table."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser
from numpy.typing import NDArray

from pooling.cashflow_report import class_lines, class_rows, columns_of, header_lines, table_lines
from pooling.deals import template, template_collateral, template_names
from pooling.engine.analytics import BreakEven, break_even, class_yields
from pooling.engine.assumptions import Assumptions, Default, Prepayment, assumed_flows
from pooling.engine.assumptions.terms import EventOrder, PrepaymentKind
from pooling.engine.curves import curve_flows
from pooling.engine.deal import DealSpec
from pooling.engine.deal.quantities import index_names
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute
from pooling.engine.waterfall.arithmetic import Mode
from pooling.engine.waterfall.explain import Explanation, explain

BAD_INPUT = 2
HIGHEST_CDR = 0.99
CDR_TOLERANCE = 1e-4
HIGHEST_PSA = 20.0  # a speed above it is meant in percent
HIGHEST_PRICE = 10.0  # per 1 of balance; one above it is meant in percent
MAX_CENTS = 10**15
TERM = 48
SPEEDS = ("cdr", "cpr", "psa", "abs_speed", "severity", "recovery_lag", "charge_off_lag")
OF_THE_LOAN = ("balance", "rate", "term")


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
    """A deal with its collateral. flows(cdr), options(cdr): of any default speed, or of the case's own where None;
    options are what execute() needs beside the flows. words: the assumptions."""

    program: Program
    flows: Callable[[float | None], PoolFlows]
    options: Callable[[float | None], dict[str, Any]]
    words: str


@dataclass(frozen=True)
class Result:
    """What is shown. yields: text of each class, empty without a price; the last two as asked for."""

    case: Case
    deal: DealFlows
    yields: list[str]
    break_evens: tuple[BreakEven, ...]
    explanation: Explanation | None


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2."""

    help = "Print the cash-flow table of a deal: its own template's pool, or one representative loan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("spec", type=Path, nargs="?", metavar="SPEC.json", help="deal specification, solved")
        parser.add_argument("--template", choices=template_names(), help="a deal template with its own pool")
        for name, text in (
            ("cdr", "annual default rate"),
            ("cpr", "annual prepayment rate"),
            ("abs-speed", "prepaid share of the original loans a month, in place of --cpr: 0.015 is 1.5 ABS"),
            ("psa", "prepayment speed by loan age, in place of --cpr: 1.5 is 150 PSA"),
            ("severity", "fraction of a charged-off balance never recovered"),
            ("rate", "coupon of the representative loan"),
        ):
            parser.add_argument(f"--{name}", type=float, metavar="FRACTION", help=text)
        parser.add_argument("--balance", type=float, help="pool at cut-off, currency units; default: the notes")
        parser.add_argument("--term", type=int, metavar="MONTHS", help=f"of the representative loan ({TERM})")
        parser.add_argument("--recovery-lag", type=int, metavar="MONTHS", help="from charge-off to the recovery")
        parser.add_argument("--charge-off-lag", type=int, metavar="MONTHS", help="from the missed payment")
        parser.add_argument("--index", type=named_number, action="append", default=[], metavar="NAME=RATE")
        parser.add_argument("--price", type=named_number, action="append", default=[], metavar="CLASS=PRICE")
        parser.add_argument("--cents", action="store_true", help="whole cents with the deal's rounding")
        parser.add_argument("--to-maturity", action="store_true", help="do not exercise the clean-up call")
        parser.add_argument("--break-even", action="store_true", help="lowest CDR that first hurts each class")
        parser.add_argument("--explain", metavar="CLASS", help="explain what a class was paid, with --date")
        parser.add_argument("--date", type=int, metavar="N", help="number of the payment to explain (1)")
        parser.add_argument("--csv", type=Path, metavar="OUT", help="write every column of the table")
        parser.add_argument("--json", action="store_true", help="print everything as one JSON object instead")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = result_of(case_of(options), options)
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The deal {options['spec']} cannot be read: {error}.", returncode=BAD_INPUT) from error
        except ValueError as error:
            raise CommandError(f"{error}.", returncode=BAD_INPUT) from error
        columns = columns_of(found.case.program, found.deal)
        if options["csv"]:
            try:
                write_csv(options["csv"], columns)
            except OSError as error:
                raise CommandError(f"--csv: {error}.", returncode=BAD_INPUT) from error
        if options["json"]:
            self.stdout.write(json.dumps(as_json(found, columns), indent=1, allow_nan=False))
            return
        for line in text_of(found, columns, to_call=not options["to_maturity"]):
            self.stdout.write(line)


# ---------------------------------------------------------------------------------------------------------- the case
def case_of(options: dict[str, Any]) -> Case:
    """The deal and its pool that the options name. Raises ValueError naming the option."""
    if (options["spec"] is None) == (options["template"] is None):
        raise ValueError("give a SPEC.json or --template NAME, one of the two")
    _check_speeds(options)
    if options["date"] is not None and options["explain"] is None:
        raise ValueError("--date: it says which payment to explain; give --explain CLASS with it")
    return _of_template(options) if options["template"] else _of_spec(options)


def _check_speeds(options: dict[str, Any]) -> None:
    for name in ("cdr", "cpr", "abs_speed", "severity"):
        value = options[name]
        if value is not None and not 0.0 <= value <= 1.0:
            raise ValueError(f"{name}: {value} lies outside 0 to 1")
    for name in ("recovery_lag", "charge_off_lag"):
        if options[name] is not None and options[name] < 0:
            raise ValueError(f"{name}: {options[name]} must not be negative")
    if options["psa"] is not None and not 0.0 <= options["psa"] <= HIGHEST_PSA:
        raise ValueError(f"psa: {options['psa']} lies outside 0 to {HIGHEST_PSA:g}; 150 PSA is written 1.5")
    for name, rate in options["index"]:
        if abs(rate) > 1.0:
            raise ValueError(f"--index: {name}={rate:g} is no annual fraction; 5 % is written 0.05")
    given = [f"--{name.replace('_', '-')}" for name in ("cpr", "psa", "abs_speed") if options[name] is not None]
    if len(given) > 1:
        raise ValueError(f"{given[1]}: the prepayment speed is given by {given[0]} already; leave one out")


def _of_template(options: dict[str, Any]) -> Case:
    for name in OF_THE_LOAN:
        if options[name] is not None:
            raise ValueError(f"--{name}: a template has its own loans; give it with a SPEC.json only")
    spec, pool = template(options["template"]), template_collateral(options["template"])
    known = dict(pool.base_case) | {name: options[name] for name in SPEEDS if options[name] is not None}
    if options["psa"] is not None or options["abs_speed"] is not None:
        known.pop("cpr")
    rates = dict(options["index"])
    program = compile_deal(spec, pool.balance_cents)

    def flows(cdr: float | None) -> PoolFlows:
        return _pool_flows(pool.loans, known if cdr is None else known | {"cdr": cdr}, program.months)

    def extra(cdr: float | None) -> dict[str, Any]:
        speeds = known if cdr is None else known | {"cdr": cdr}
        found = pool.options(spec)
        if pool.replacement is not None:
            found["replacement"] = _pool_flows(pool.replacement, speeds, None)
        return found | {"rates": {**found["rates"], **rates}, "to_call": not options["to_maturity"]}

    return Case(program, flows, extra, words_of(known, rates))


def _of_spec(options: dict[str, Any]) -> Case:
    spec = DealSpec.from_json(options["spec"].read_text(encoding="utf-8"))
    if options["rate"] is None:
        raise ValueError("--rate is missing: give the coupon of the representative loan, such as 0.12")
    if not 0.0 <= options["rate"] <= 1.0:
        raise ValueError(f"--rate: {options['rate']:g} lies outside 0 to 1; 12 % is written 0.12")
    if spec.revolving is not None:
        raise ValueError("revolving: a deal that revolves is run from a template, which has its collateral")
    if len(spec.collateral) > 1:
        raise ValueError(f"collateral: one loan cannot stand for {len(spec.collateral)} groups; run a template instead")
    notes = sum(tranche.balance or 0 for tranche in spec.tranches)
    cents = notes if options["balance"] is None else _cents(options["balance"])
    if cents <= 0:
        raise ValueError("--balance is missing: the classes have none that the pool could equal")
    program = compile_deal(spec, cents)
    term = TERM if options["term"] is None else options["term"]
    if not 1 <= term <= program.months:
        raise ValueError(f"--term: {term} months lie outside 1 to {program.months}, the months to legal final")
    loan = representative_loan(
        cents / 100, options["rate"], term, [*(part.name for part in spec.collateral), "pool"][0]
    )
    known = dict.fromkeys(("cdr", "severity"), 0.0) | dict.fromkeys(("recovery_lag", "charge_off_lag"), 0)
    known |= {name: options[name] for name in SPEEDS if options[name] is not None}
    if not {"cpr", "psa", "abs_speed"} & known.keys():
        known["cpr"] = 0.0
    rates = dict(options["index"])
    missing = [name for name in index_names(spec) if name not in rates]
    if missing:
        raise ValueError(f"--index: the deal needs {missing[0]}; give --index {missing[0]}=RATE, such as 0.04")
    rule = spec.conventions.event_order
    # A servicer reports flows; speeds need an order, and this is the usual one.
    order: EventOrder = "default_first" if rule == "SERVICER" else rule

    def flows(cdr: float | None) -> PoolFlows:
        return _pool_flows(loan, known if cdr is None else known | {"cdr": cdr}, program.months, order)

    def extra(_: float | None) -> dict[str, Any]:
        return {"rates": rates, "to_call": not options["to_maturity"]}

    words = f"one loan of {cents / 100:,.2f} at {options['rate']:.3%} over {term} months, {words_of(known, rates)}"
    return Case(program, flows, extra, f"{words}, {order}")


def _cents(balance: float) -> int:
    if not 0.0 < balance < MAX_CENTS / 100:
        raise ValueError(f"--balance: {balance:g} is no amount above 0; give the pool at cut-off in currency units")
    return round(balance * 100)


def _pool_flows(
    loans: LoanArrays, speeds: Mapping[str, Any], horizon: int | None, order: EventOrder = "default_first"
) -> PoolFlows:
    """In closed form where it can be, month by month for a speed that goes by the age of the loans or for an order
    that rounds."""
    if "cpr" in speeds and (order == "default_first" or order == "default_then_prepayment"):
        return curve_flows(loans, horizon=horizon, event_order=order, **speeds)
    kind: PrepaymentKind = "cpr" if "cpr" in speeds else "psa" if "psa" in speeds else "abs"
    given = Assumptions(
        prepayment=Prepayment(kind, speeds["abs_speed" if kind == "abs" else kind]),
        default=Default("cdr", speeds["cdr"]),
        severity=speeds["severity"],
        recovery_lag=speeds["recovery_lag"],
        charge_off_lag=speeds["charge_off_lag"],
        event_order=order,
    )
    return assumed_flows(loans, given, horizon=horizon)


def representative_loan(balance: float, rate: float, term: int, group: str = "pool") -> LoanArrays:
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
        group=np.array([group]),
        sector=np.array([""]),
    )


def words_of(speeds: Mapping[str, Any], rates: Mapping[str, float]) -> str:
    """Speeds and flat rates in one line."""
    said = [f"{name.replace('_', ' ')} {speeds[name]:g}" for name in SPEEDS if name in speeds]
    return ", ".join([*said, *(f"{name} {rate:g}" for name, rate in rates.items())])


# ------------------------------------------------------------------------------------------------------- the results
def result_of(case: Case, options: dict[str, Any]) -> Result:
    """Run the deal, and what is asked for beside it. Raises ValueError as the engine does, and naming the option."""
    mode: Mode = "cents" if options["cents"] else "float64"
    flows, extra = case.flows(None), case.options(None)
    deal = execute(case.program, flows, mode=mode, **extra)
    explanation = None
    if options["explain"] is not None:
        number = 1 if options["date"] is None else options["date"]
        explanation = explain(case.program, flows, tranche=options["explain"], date=number, mode=mode, **extra)
    return Result(
        case=case,
        deal=deal,
        yields=yields_of(deal, dict(options["price"])),
        break_evens=break_evens_of(case) if options["break_even"] else (),
        explanation=explanation,
    )


def yields_of(deal: DealFlows, prices: dict[str, float]) -> list[str]:
    """Bond-equivalent yield of each class as text: at its price, or at 100 where other classes have one. Of a class
    without a balance the price is an amount of money."""
    for name, price in prices.items():
        if name not in deal.names:
            raise ValueError(f"--price: no class is named {name!r}; the deal has {', '.join(deal.names)}")
        if not 0.0 < price < np.inf:
            raise ValueError(f"--price: {name}={price:g} is no price above 0; par is 1")
        if price > HIGHEST_PRICE and deal.initial_balance[deal.names.index(name)] > 0:
            raise ValueError(f"--price: {name}={price:g} is no price per 1 of balance; 99.5 % is written 0.995")
    if not prices:
        return []
    bearing = [name for name, balance in zip(deal.names, deal.initial_balance, strict=True) if balance > 0]
    full = dict.fromkeys(bearing, 1.0) | prices
    found = class_yields(deal, full, compounding="semiannual")
    return [
        f"{float(found.rates[k, 0]):.4%} at {_price(full[name], name in bearing)}"
        if found.found[k, 0]
        else found.reason(k, 0)
        for k, name in enumerate(deal.names)
    ]


def _price(price: float, per_balance: bool) -> str:
    return f"{price * 100:g}" if per_balance else f"{price:,.2f}"


def break_evens_of(case: Case) -> tuple[BreakEven, ...]:
    """Break-even CDR of each class; collateral that is bought defaults at the same speed."""

    def run(stresses: NDArray[np.float64]) -> DealFlows:
        speeds = [float(stress) for stress in stresses]
        pools = PoolFlows.concatenate([case.flows(speed) for speed in speeds])
        extra = case.options(None)
        if "replacement" in extra:
            extra["replacement"] = PoolFlows.concatenate([case.options(speed)["replacement"] for speed in speeds])
        return execute(case.program, pools, **extra)

    deferrable = [part.name for part in case.program.spec.tranches if part.interest_deferrable]
    return break_even(run, 0.0, HIGHEST_CDR, tolerance=CDR_TOLERANCE, deferrable=deferrable).classes


def text_of(found: Result, columns: dict[str, list[Any]], *, to_call: bool) -> Iterator[str]:
    """Everything, line by line."""
    program, deal = found.case.program, found.deal
    yield from header_lines(program, deal, found.case.words, to_call=to_call)
    yield from table_lines(columns)
    yield ""
    yield from class_lines(deal, found.yields)
    yield f"cash conserved to {deal.conservation_error:.1e} {program.currency}"
    for row in found.break_evens:
        at = "survives every CDR tested" if row.stress is None else f"{row.stress:.2%}"
        yield f"break-even CDR of {row.name}: {at}{f' ({row.cause})' if row.cause else ''}"
    if found.explanation is not None:
        yield from _explained(found.explanation)


def _explained(found: Explanation) -> Iterator[str]:
    yield f"\npayment {found.number}, {found.date}: principal due {found.principal_due:,.2f}"
    for step in found.chain:
        yield f"{'*' if step.concerns else ' '} {step.number:>2}  {step.sentence}"
        for formula in step.formulas:
            reads = ", ".join(f"{name} {_value(value)}" for name, value in formula.reads)
            yield f"      {formula.role}: {formula.text} = {_value(formula.value)}  ({reads})"


def as_json(found: Result, columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Everything as one object; what was not asked for is left out."""
    program = found.case.program
    shown: dict[str, Any] = {
        "deal": program.spec.name,
        "spec_hash": program.spec_hash,
        "currency": program.currency,
        "assumptions": found.case.words,
        "columns": columns,
        "classes": class_rows(found.deal, found.yields),
        "conservation_error": found.deal.conservation_error,
    }
    if found.break_evens:
        shown["break_even_cdr"] = {row.name: {"cdr": row.stress, "cause": row.cause} for row in found.break_evens}
    if found.explanation is not None:
        shown["explanation"] = asdict(found.explanation) | {"date": found.explanation.date.isoformat()}
    plain: dict[str, Any] = _plain(shown)
    return plain


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: a quotient that does not exist is null."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def write_csv(path: Path, columns: dict[str, list[Any]]) -> None:
    """One row a payment date."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _value(value: float | bool) -> str:
    return json.dumps(value) if isinstance(value, bool) else f"{value:,.4g}" if abs(value) < 100 else f"{value:,.2f}"
