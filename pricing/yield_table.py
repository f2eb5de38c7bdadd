"""The price/yield table of a priced deal: its stored loans under flat speeds, through its frozen order of payments.

Nothing is stored here. Not here: who may see a deal (the caller's selectors), and the engine (engine/yield_table.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from accounts.errors import ApplicationError
from pooling.engine.deal import DealSpec
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import flows_from_json
from pooling.engine.waterfall import Program, compile_deal
from pricing.engine.snapshot import MarketSnapshot
from pricing.engine.yield_flows import BreakTable, GroupBreaks, break_table, group_breaks, horizon_of
from pricing.engine.yield_grid import Grid, Scenario, grid_from_query
from pricing.engine.yield_table import YieldTable, grid_table
from pricing.models import PriceReport
from rating.engine.breakeven import Speeds, base_speeds
from rating.runs import loans_of
from runs.registry import NotHere

PRICES, STEP = 21, "0.25"
MOST_GROUPS = 10  # combinations of the other speeds for which break-even CDRs are sought
# Where nobody asks for others: multiples of the base case's speeds.
CPR_MULTIPLES, CDR_MULTIPLES = (0.5, 1.0, 1.5), (0.0, 0.5, 1.0, 1.5, 2.0)
CDR_WITHOUT_DEFAULTS = "0, 1, 2, 4, 8"


@dataclass(frozen=True, eq=False)
class PricedDeal:
    """What a table is made of. cdr: flat annual fraction of the base case; priced: class -> its row of the price
    report, see pricing/reports.py."""

    program: Program
    loans: LoanArrays
    loans_digest: str
    speeds: Speeds
    cdr: float
    snapshot: MarketSnapshot
    priced: Mapping[str, Mapping[str, Any]]
    delay_months: float

    @property
    def classes(self) -> tuple[str, ...]:
        return self.program.names

    @property
    def may_be_called(self) -> bool:
        return self.program.spec.call is not None

    def balance_cents(self, tranche: str) -> int:
        """Initial balance of a class in cents."""
        return round(float(self.program.initial_balance[self.classes.index(tranche)]) * 100)

    def staleness_days(self, on: date) -> int | None:
        """Age of the market snapshot; None where it is dated after `on`."""
        return None if on < self.snapshot.as_of else self.snapshot.staleness_days(on)


def priced_deal(report: PriceReport) -> PricedDeal:
    """The deal of a price report. Its rating_report__rating_run__deal__pool, deal_version and snapshot are read.

    Raises ApplicationError where the rating discloses no base case, the loans cannot be read here, or the deal cannot
    be run.
    """
    rating, pool = report.rating_report, report.rating_report.rating_run.deal.pool
    disclosed = (rating.result.get("collateral") or {}).get("flows")
    lags = rating.result["simulation"].get("base_case")
    if disclosed is None or lags is None:
        raise ApplicationError(
            "The rating of this listing discloses no base case to take speeds from; rate the deal again and list it"
            " anew.",
            code="no_flows",
        )
    try:
        loans = loans_of(pool.loans_path, pool.loans_digest)
    except NotHere as lack:
        raise ApplicationError(
            "The loans of this pool cannot be read here at the moment; try again, and tell the operator if it stays"
            " so.",
            code="loans_missing",
        ) from lack
    try:
        program = compile_deal(DealSpec.from_json(report.deal_version.spec), pool.balance)
        base = flows_from_json(disclosed)
        speeds = base_speeds(base, charge_off_lag=lags["charge_off_lag"], recovery_lag=lags["recovery_lag"])
        snapshot = MarketSnapshot.from_json(report.snapshot.payload)
    except (KeyError, ValueError) as error:
        raise ApplicationError(f"The deal cannot be run: {error}.", code="base_case") from error
    return PricedDeal(
        program=program,
        loans=loans,
        loans_digest=pool.loans_digest,
        speeds=speeds,
        cdr=_flat_cdr(base),
        snapshot=snapshot,
        priced={row["name"]: row for row in report.result["tranches"]},
        delay_months=float(report.result.get("assumptions", {}).get("delay_months", 0.0)),
    )


def _flat_cdr(base: Any) -> float:
    """Lifetime defaults of a base case (S = 1) over the balances that could default, a year."""
    exposed = float(base.opening_balance.sum() + base.performing[:, :-1].sum())
    return float(1.0 - (1.0 - min(base.default.sum() / exposed, 1.0)) ** 12)


def defaults_of(deal: PricedDeal, tranche: str) -> dict[str, str]:
    """The grid where nobody asks for another, as text: around the class's price and the base case's speeds."""
    cpr, cdr = 100.0 * deal.speeds.cpr, round(100.0 * deal.cdr, 1)
    price = deal.priced.get(tranche, {}).get("price") or 100.0
    return {
        "centre": f"{max(round(price * 4.0) / 4.0, 0.25):g}",
        "step": STEP,
        "number": str(PRICES),
        "prepayment": "cpr",
        "speed": _multiples(cpr, CPR_MULTIPLES),
        "cdr": _multiples(cdr, CDR_MULTIPLES) if cdr > 0.0 else CDR_WITHOUT_DEFAULTS,
        "severity": f"{100.0 * deal.speeds.severity:.1f}",
        "lag": str(deal.speeds.recovery_lag),
        "charge_off_lag": str(deal.speeds.charge_off_lag),
        "advance": "0",
        "call": "yes" if deal.may_be_called else "no",
        "measure": "yield",
    }


def _multiples(percent: float, multiples: tuple[float, ...]) -> str:
    """Distinct values to a tenth of a percent, at most 100."""
    return ", ".join(dict.fromkeys(f"{min(percent * each, 100.0):.1f}" for each in multiples))


def grid_of(deal: PricedDeal, query: Mapping[str, str], tranche: str) -> Grid:
    """The grid that is asked for. Raises ApplicationError with its field where it cannot be read."""
    if not deal.may_be_called and query.get("call") in ("yes", "both"):
        raise ApplicationError("call: the deal has no clean-up call; choose no.", field="call")
    try:
        return grid_from_query(query, defaults_of(deal, tranche))
    except ValueError as error:
        raise ApplicationError(f"{error}.", field=str(error).partition(":")[0]) from error


def table_of(deal: PricedDeal, grid: Grid) -> YieldTable:
    """Every class in every scenario at every price. Raises ApplicationError where the deal cannot be run so."""
    try:
        return grid_table(
            deal.program,
            deal.loans,
            grid.scenarios,
            grid.prices,
            measure=grid.measure,
            curve=deal.snapshot.curve,
            delay_months=deal.delay_months,
        )
    except ValueError as error:
        raise ApplicationError(f"The table cannot be made: {error}.") from error


def group_breaks_of(deal: PricedDeal, grid: Grid) -> GroupBreaks | None:
    """Break-even CDRs of every class at each combination of the other speeds, in the order of the columns; None where
    there are more than MOST_GROUPS. Raises ApplicationError where the deal cannot be run so."""
    firsts = grid.scenarios[:: len(grid.cdrs)]
    if len(firsts) > MOST_GROUPS:
        return None
    months = horizon_of(deal.program, deal.loans, grid.scenarios)
    try:
        return group_breaks(deal.program, deal.loans, firsts, months=months)
    except ValueError as error:
        raise ApplicationError(f"The break-evens cannot be found: {error}.") from error


def breaks_of(deal: PricedDeal, grid: Grid, at: Scenario) -> BreakTable:
    """Break-evens of every class around one scenario of the grid, over the table's months."""
    months = horizon_of(deal.program, deal.loans, grid.scenarios)
    try:
        return break_table(deal.program, deal.loans, at, months=months)
    except ValueError as error:
        raise ApplicationError(f"The break-evens cannot be found: {error}.") from error
