"""The cash flows of a listed deal: the base case of its rating, paid through the order of payments in whole cents.

Nothing is stored: the frozen specification and the disclosed flows give the same cents every time. Not here: who may
see a listing (selectors.py); a single payment in full (explanation.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from accounts.errors import ApplicationError
from marketplace.models import Listing
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.packing import flows_from_json
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute

Cents = int


@dataclass(frozen=True)
class BaseCase:
    """The investor's run of a listing. flows: S = 1, as disclosed; deal: in cents, with its ledger. to_call: whether
    the clean-up call is exercised where it may be."""

    program: Program
    flows: PoolFlows
    deal: DealFlows
    to_call: bool

    @property
    def spec(self) -> DealSpec:
        """The frozen specification."""
        return self.program.spec

    @property
    def may_be_called(self) -> bool:
        """Whether the deal has a clean-up call at all."""
        return self.spec.call is not None

    @cached_property
    def table(self) -> CashFlowTable:
        """Date by date, as the page shows it."""
        return _table(self)


def base_case(listing: Listing, *, to_call: bool = True) -> BaseCase:
    """Run a listing's frozen deal over the flows that its rating disclosed.

    Raises ApplicationError where the rating discloses no flows (it was made by an older version), or where they do not
    fit the deal.
    """
    disclosed = (listing.rating_report.result.get("collateral") or {}).get("flows")
    if disclosed is None:
        raise ApplicationError(
            "The rating of this listing discloses no base-case flows; rate the deal again and list it anew.",
            code="no_flows",
        )
    try:
        flows = flows_from_json(disclosed)
        program = compile_deal(DealSpec.from_json(listing.deal_version.spec), listing.deal.pool.balance)
        deal = execute(program, flows, mode="cents", ledger=True, to_call=to_call)
    except (KeyError, ValueError) as error:
        raise ApplicationError(f"The base case cannot be run: {error}.", code="base_case") from error
    return BaseCase(program, flows, deal, to_call)


# ------------------------------------------------------------------------------------------------------ date by date
@dataclass(frozen=True)
class ClassCells:
    """What one class gets on one date, in cents. unpaid: interest still owed; added: interest added to its balance."""

    interest: Cents
    principal: Cents
    balance: Cents
    unpaid: Cents = 0
    added: Cents = 0

    @property
    def repaid(self) -> bool:
        """Whether nothing is paid and nothing is owed any more."""
        return not any((self.interest, self.principal, self.balance, self.unpaid, self.added))


@dataclass(frozen=True)
class DateRow:
    """One payment date, amounts in cents. number: from 1. other: values of CashFlowTable.other. breached: names of the
    triggers that are breached. called: the pool is sold on this date."""

    number: int
    date: dt.date
    pool_balance: Cents
    collections: Cents
    fees: Cents
    classes: tuple[ClassCells, ...]
    other: tuple[Cents, ...]
    reserve: Cents
    residual: Cents
    breached: tuple[str, ...]
    called: bool


@dataclass(frozen=True)
class Proof:
    """Cash of the whole run, in cents: opening + paid in - paid out = closing, from the ledger's transfers."""

    opening: Cents
    paid_in: Cents
    paid_out: Cents
    closing: Cents

    @property
    def difference(self) -> Cents:
        """Zero, or the run is wrong."""
        return self.opening + self.paid_in - self.paid_out - self.closing


@dataclass(frozen=True)
class CashFlowTable:
    """The base case by date. opening: balances at closing, in the shape of a row without payments. total: sums of what
    was paid; stocks are those of the last date. other: headings of columns only some deals have. left_out: dates after
    the last one on which any cash moves or anything is owed. shows_unpaid, shows_added: whether any class has such an
    amount on any date."""

    names: tuple[str, ...]
    opening: DateRow
    rows: tuple[DateRow, ...]
    total: DateRow
    other: tuple[str, ...]
    left_out: int
    shows_unpaid: bool
    shows_added: bool
    proof: Proof

    @property
    def class_columns(self) -> int:
        """Columns that each class takes."""
        return 3 + self.shows_unpaid + self.shows_added

    @property
    def gaps(self) -> range:
        """The columns of a class after its first."""
        return range(self.class_columns - 1)


def _table(case: BaseCase) -> CashFlowTable:
    deal = case.deal
    columns = _other_columns(deal)
    rows = [_row(deal, t, [column for _, column in columns], case) for t in range(deal.months)]
    last = max((row.number for row in rows if _alive(row)), default=1)
    shown = tuple(rows[:last])
    classes = [cells for row in shown for cells in row.classes]
    return CashFlowTable(
        names=deal.names,
        opening=_opening(case, len(columns)),
        rows=shown,
        total=_total(shown),
        other=tuple(name for name, _ in columns),
        left_out=len(rows) - last,
        shows_unpaid=any(cells.unpaid for cells in classes),
        shows_added=any(cells.added for cells in classes),
        proof=_proof(deal),
    )


def _row(deal: DealFlows, t: int, columns: Sequence[NDArray[Any]], case: BaseCase) -> DateRow:
    triggers = case.spec.triggers
    return DateRow(
        number=deal.first_period + t + 1,
        date=deal.dates[t],
        pool_balance=int(deal.pool_balance[t, 0]),
        collections=int(deal.collections[t, 0]),
        fees=int(deal.fees[:, t, 0].sum()),
        classes=tuple(_cells(deal, k, t) for k in range(len(deal.names))),
        other=tuple(int(column[t]) for column in columns),
        reserve=int(deal.reserve[t, 0]),
        residual=int(deal.residual[t, 0]),
        breached=tuple(trigger.name for i, trigger in enumerate(triggers) if deal.breached[i, t, 0]),
        called=bool(deal.called[t, 0]) and not (t and bool(deal.called[t - 1, 0])),
    )


def _cells(deal: DealFlows, k: int, t: int) -> ClassCells:
    return ClassCells(
        interest=int(deal.interest[k, t, 0]),
        principal=int(deal.principal[k, t, 0]),
        balance=int(deal.balance[k, t, 0]),
        unpaid=int(deal.interest_shortfall[k, t, 0]),
        added=0 if deal.capitalised is None else int(deal.capitalised[k, t, 0]),
    )


def _other_columns(deal: DealFlows) -> list[tuple[str, NDArray[Any]]]:
    """Heading and (T,) cents of what only some deals have: no cash that moves stays out of the table."""
    reserves = set(deal.reserve_places)
    held = [place for place in range(len(deal.account_names)) if place not in reserves]
    found = [
        ("Unpaid fees", deal.fee_shortfall[..., 0].sum(axis=0)),
        ("Other accounts", deal.accounts[held, :, 0].sum(axis=0)),
        ("Deficiency", deal.deficiency[..., 0].sum(axis=0)),
        ("Facilities drawn", deal.drawn[..., 0].sum(axis=0)),
        ("Hedges, net received", deal.hedge_net[..., 0].sum(axis=0)),
    ]
    return [(name, column) for name, column in found if column.any()]


def _alive(row: DateRow) -> bool:
    """Whether cash moves on the date or anything is still owed or held after it."""
    amounts = (row.pool_balance, row.collections, row.fees, row.reserve, row.residual, *row.other)
    return any(amounts) or not all(cells.repaid for cells in row.classes)


def _opening(case: BaseCase, others: int) -> DateRow:
    deal, program = case.deal, case.program
    balances = [round(float(balance)) for balance in deal.initial_balance]
    return DateRow(
        number=0,
        date=deal.closing,
        pool_balance=round(program.cutoff_balance * 100),
        collections=0,
        fees=0,
        classes=tuple(ClassCells(0, 0, balance) for balance in balances),
        other=(0,) * others,
        reserve=int(deal.opening_reserve[0]),
        residual=0,
        breached=(),
        called=False,
    )


def _total(rows: Sequence[DateRow]) -> DateRow:
    last = rows[-1]
    classes = tuple(
        ClassCells(
            interest=sum(row.classes[k].interest for row in rows),
            principal=sum(row.classes[k].principal for row in rows),
            balance=cells.balance,
            unpaid=cells.unpaid,
            added=sum(row.classes[k].added for row in rows),
        )
        for k, cells in enumerate(last.classes)
    )
    return DateRow(
        number=len(rows),
        date=last.date,
        pool_balance=last.pool_balance,
        collections=sum(row.collections for row in rows),
        fees=sum(row.fees for row in rows),
        classes=classes,
        other=last.other,
        reserve=last.reserve,
        residual=sum(row.residual for row in rows),
        breached=(),
        called=any(row.called for row in rows),
    )


def _proof(deal: DealFlows) -> Proof:
    """Sum the ledger's transfers across the border of the deal; those between its accounts move nothing."""
    if deal.ledger is None:
        raise ValueError("ledger: the run kept none; ask execute() for it")
    inside = set(deal.account_names)
    sums = deal.ledger.amount[..., 0].sum(axis=1)
    flows = [(line, int(amount)) for line, amount in zip(deal.ledger.lines, sums, strict=True)]
    return Proof(
        opening=int(deal.opening_accounts[:, 0].sum()),
        paid_in=sum(amount for line, amount in flows if line.source not in inside),
        paid_out=sum(amount for line, amount in flows if line.target not in inside),
        closing=int(deal.accounts[:, -1, 0].sum()),
    )


# ------------------------------------------------------------------------------------------------------- assumptions
_COUNTS: Mapping[str, str] = {
    "unadjusted": "between the nominal dates",
    "adjusted": "between the dates as moved to business days",
}


def assumptions(case: BaseCase, scenarios: int) -> list[tuple[str, str]]:
    """Name and text of what the figures rest on. scenarios: of the rating's simulation."""
    spec = case.spec
    conventions = spec.conventions
    found = [
        ("Collateral", f"scenario mean of the {scenarios:,} scenarios of the rating's simulation"),
        ("Interest", f"{conventions.interest_day_count}, {_COUNTS[conventions.accrual_dates]}"),
        ("Payment dates", f"{spec.payment_frequency}, {_dates_moved(spec)}"),
        ("Amounts", f"whole cents, {_ROUNDING[conventions.rounding]}; shares of one amount by largest remainder"),
        ("Unpaid interest", _SHORTFALL[conventions.shortfall_interest]),
    ]
    if case.may_be_called:
        until = "exercised on the first date on which it may be" if case.to_call else "never exercised: run to maturity"
        found.append(("Clean-up call", until))
    return found


_ROUNDING = {"HALF_EVEN": "half a cent to the even cent", "HALF_UP": "half a cent up"}
_SHORTFALL = {"note_rate": "stays owed and earns the note rate", "none": "stays owed and earns nothing"}


def _dates_moved(spec: DealSpec) -> str:
    rule, calendar = spec.conventions.business_day_rule, spec.conventions.calendar
    if rule == "unadjusted":
        return "not moved on holidays"
    return f"moved on holidays ({rule.replace('_', ' ')}, calendar {calendar})"


# ------------------------------------------------------------------------------------------------------------- a file
def flat(table: CashFlowTable) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table for a file: one row a payment date, closing first; amounts in currency units."""
    stocks = ["interest", "principal", "added", "balance", "unpaid"]
    headings = ["number", "date", "pool_balance", "collections", "fees"]
    headings += [f"{name}_{column}" for name in table.names for column in stocks]
    headings += [*(name.lower().replace(",", "").replace(" ", "_") for name in table.other), "reserve", "residual"]
    rows = []
    for row in (table.opening, *table.rows):
        classes = [getattr(cells, column) for cells in row.classes for column in stocks]
        amounts = [row.pool_balance, row.collections, row.fees, *classes, *row.other, row.reserve, row.residual]
        events = [*(["called"] if row.called else []), *row.breached]
        rows.append([str(row.number), row.date.isoformat(), *map(_decimal, amounts), " ".join(events)])
    return [*headings, "events"], rows


def _decimal(amount: Cents) -> str:
    """Cents as currency units with two decimals."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"
