"""The price/yield table of a listing, laid out as filings print it, and as rows of a file.

Not here: how it is computed (pricing) and who may see it (selectors.py).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise
from typing import Any

from pricing.engine.yield_flows import BreakTable, ClassBreak, GroupBreaks
from pricing.engine.yield_grid import Grid, Scenario
from pricing.engine.yield_table import YieldTable

NONE, MINUS = "—", "−"
ACROSS = 15  # columns side by side on a page
NEVER = "the class is repaid nothing in this scenario: it has no life and no window"
MEASURES: Mapping[str, str] = {
    "yield": "Yield, % a year, bond-equivalent",
    "spread": "Spread over the Treasury par curve at the WAL, bp",
    "discount_margin": "Discount margin over the index, bp",
}
SPEEDS: Mapping[str, str] = {"cpr": "CPR, % a year", "psa": "PSA, % of the model", "abs": "ABS, % a month"}
AXIS_WORDS: Mapping[str, str] = {"cdr": "CDR", "cpr": "CPR", "severity": "severity"}


@dataclass(frozen=True)
class Head:
    """One cell above the columns: its text, how many columns it spans, and whether a group begins with it."""

    text: str
    span: int
    opens: bool


@dataclass(frozen=True)
class Cell:
    """One figure as text. note: letter of the remark below the table, "" for none. opens: a group begins here."""

    text: str
    note: str = ""
    opens: bool = False


@dataclass(frozen=True)
class Line:
    """One row: its heading, and a cell for each scenario. marked: the price at which durations are measured."""

    heading: str
    cells: tuple[Cell, ...]
    marked: bool = False


@dataclass(frozen=True)
class Block:
    """Some columns of a class, whole groups where they fit. heads: rows above them, slowest first, only of what differs
    in the grid; numbers: of the scenarios, from 1, and whether a group begins there; breaks: rows below them with one
    figure for all columns that differ in CDR alone."""

    heads: tuple[tuple[str, tuple[Head, ...]], ...]
    breaks: tuple[tuple[str, tuple[Head, ...]], ...]
    numbers: tuple[tuple[int, bool], ...]
    prices: tuple[Line, ...]
    below: tuple[Line, ...]


@dataclass(frozen=True)
class ClassSheet:
    """The table of one class. fixed: what is the same in every scenario, in words. notes: letter -> remark."""

    name: str
    measure: str
    fixed: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: Mapping[str, str]


def class_sheet(table: YieldTable, grid: Grid, k: int, currency: str, groups: GroupBreaks | None = None) -> ClassSheet:
    """The sheet of class k. groups: break-even CDRs, one for each len(grid.cdrs) columns, or None to leave them out."""
    axes, fixed = _axes(grid)
    notes: dict[str, str] = {}  # remark -> letter
    digits = max(2, *(-int(price.normalize().as_tuple().exponent) for price in grid.prices_per_100))
    # The fastest axis lies inside a group; what differs above it sets groups apart.
    above = list(zip(*list(axes.values())[:-1], strict=True)) or [()] * grid.columns
    opens = [s > 0 and above[s] != above[s - 1] for s in range(grid.columns)]
    prices = tuple(
        Line(f"{price:.{digits}f}", _priced(table, k, p, notes, opens), p == table.middle)
        for p, price in enumerate(grid.prices_per_100)
    )
    below = _below(table, k, notes, opens, currency)
    return ClassSheet(
        name=table.names[k],
        measure=MEASURES[table.measure],
        fixed=(*fixed, f"Last payment date: {table.dates[-1].isoformat()}"),
        blocks=tuple(_block(part, axes, opens, prices, below, _break_texts(groups, k)) for part in _parts(opens)),
        notes={letter: remark for remark, letter in notes.items()},
    )


def _axes(grid: Grid) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Heading -> texts of the columns where they differ, slowest first; and the others in words."""
    columns = grid.scenarios
    names: dict[str, Any] = {
        "To": lambda each: "call" if each.to_call else "maturity",
        SPEEDS[grid.prepayment]: lambda each: each.speed.text,
        "Severity, %": lambda each: each.severity.text,
        "Recovery lag, months": lambda each: str(each.recovery_lag),
        "Advanced, % of defaulted": lambda each: f"{100.0 * each.advance:g}",
        "CDR, % a year": lambda each: each.cdr.text,
    }
    texts = {name: [read(each) for each in columns] for name, read in names.items()}
    fixed = [
        f"To {each[0]}" if name == "To" else f"{name}: {each[0]}" for name, each in texts.items() if len(set(each)) == 1
    ]
    return (
        {name: each for name, each in texts.items() if len(set(each)) > 1},
        (*fixed, f"Charge-off lag, months: {grid.charge_off_lag}"),
    )


def _parts(opens: Sequence[bool]) -> list[slice]:
    """Columns that stand side by side: whole groups as long as they fit, else as many columns as fit."""
    starts = [0, *(s for s, first in enumerate(opens) if first), len(opens)]
    parts, begin = [], 0
    for start, end in pairwise(starts):
        if start > begin and end - begin > ACROSS:
            parts.append(slice(begin, start))
            begin = start
        while end - begin > ACROSS:
            parts.append(slice(begin, begin + ACROSS))
            begin += ACROSS
    return [*parts, slice(begin, len(opens))] if begin < len(opens) else parts


def _block(
    part: slice,
    axes: Mapping[str, Sequence[str]],
    opens: Sequence[bool],
    prices: Sequence[Line],
    below: Sequence[Line],
    breaks: Mapping[str, Sequence[str]],
) -> Block:
    inside = [first and s > 0 for s, first in enumerate(opens[part])]
    heads: list[tuple[str, tuple[Head, ...]]] = []
    keys: list[tuple[str, ...]] = [()] * len(inside)
    for name, texts in axes.items():
        # A heading spans only columns that agree in everything above it too.
        keys = [(*key, text) for key, text in zip(keys, texts[part], strict=True)]
        heads.append((name, _spans(keys, [key[-1] for key in keys], inside)))
    width = len(opens) // max((len(texts) for texts in breaks.values()), default=1)
    groups = [s // width for s in range(part.start, part.stop)]
    return Block(
        heads=tuple(heads),
        breaks=tuple(
            (name, _spans(groups, [texts[group] for group in groups], inside)) for name, texts in breaks.items()
        ),
        numbers=tuple((part.start + s + 1, first) for s, first in enumerate(inside)),
        prices=tuple(replace(line, cells=_cut(line.cells[part])) for line in prices),
        below=tuple(replace(line, cells=_cut(line.cells[part])) for line in below),
    )


def _spans(keys: Sequence[object], texts: Sequence[str], inside: Sequence[bool]) -> tuple[Head, ...]:
    """One cell for each run of equal keys."""
    spans = [len(list(group)) for _, group in groupby(keys)]
    return tuple(Head(texts[at], span, inside[at]) for at, span in zip(accumulate([0, *spans]), spans, strict=False))


def _break_texts(groups: GroupBreaks | None, k: int) -> dict[str, list[str]]:
    """Heading -> one text a group."""
    if groups is None:
        return {}
    return {
        "Break-even CDR, % a year": [
            "none" if never else _fixed(100.0 * cdr, 1)
            for cdr, never in zip(groups.cdr[k], groups.never[k], strict=True)
        ],
        "Collateral loss there, %": [_fixed(100.0 * float(loss), 1) for loss in groups.loss[k]],
    }


def _cut(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The first column of a block needs no line before it."""
    return (replace(cells[0], opens=False), *cells[1:])


def _priced(table: YieldTable, k: int, p: int, notes: dict[str, str], opens: Sequence[bool]) -> tuple[Cell, ...]:
    cells = []
    for s, first in enumerate(opens):
        value, remark = float(table.cells[k, s, p]), table.reason(k, s, p)
        letter = notes.setdefault(remark, _letter(len(notes))) if remark else ""
        cells.append(Cell(_figure(table.measure, value), letter, first))
    return tuple(cells)


def _letter(number: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[number]


def _figure(measure: str, value: float) -> str:
    if not math.isfinite(value):
        return NONE
    return _fixed(100.0 * value, 3) if measure == "yield" else _fixed(1e4 * value, 1)


def _fixed(value: float, digits: int) -> str:
    """A number with a true minus; a dash for none."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}"
    return text.replace("-", MINUS) if text.strip("-0.,") else text.removeprefix("-")


def _below(table: YieldTable, k: int, notes: dict[str, str], opens: Sequence[bool], currency: str) -> tuple[Line, ...]:
    """What lies under each column."""
    columns = range(len(table.scenarios))

    def line(heading: str, texts: Iterable[str]) -> Line:
        return Line(heading, tuple(Cell(text, opens=first) for text, first in zip(texts, opens, strict=True)))

    def figures(heading: str, values: Any, digits: int) -> Line:
        return line(heading, [_fixed(float(value), digits) for value in values])

    lives = []
    for s in columns:
        value = float(table.wal_years[k, s])
        letter = "" if math.isfinite(value) else notes.setdefault(NEVER, _letter(len(notes)))
        lives.append(Cell(_fixed(value, 2), letter, opens[s]))
    middle = f"{100.0 * table.prices[table.middle]:g}"
    windows = [table.window(k, s) for s in columns]
    lines = [
        Line("WAL for principal, years", tuple(lives)),
        figures(f"Modified duration at {middle}, years", table.modified_duration[k], 2),
        line("First principal", [NONE if window is None else _month(window[0]) for window in windows]),
        line("Last principal", [NONE if window is None else _month(window[1]) for window in windows]),
        figures(f"Written down, {currency}", table.write_down[k], 0),
        figures("Written down, % of balance", 100.0 * table.write_down_share[k], 2),
        figures(f"Interest shortfall, {currency}", table.shortfall[k], 0),
        figures("Collateral loss, % of cut-off", 100.0 * table.loss, 2),
    ]
    for number, name in enumerate(table.triggers):
        failed = table.failed[number]
        lines.append(line(f"{name.replace('_', ' ')} fails from", [_on(table, failed[s]) for s in columns]))
    if table.called.any():
        lines.append(line("Clean-up call on", [_on(table, table.called[s]) for s in columns]))
    return tuple(lines)


def _month(day: dt.date) -> str:
    return f"{day:%Y-%m}"


def _on(table: YieldTable, number: int) -> str:
    """The month of a payment date by its number; a dash for none."""
    return _month(table.dates[number - 1]) if number else NONE


# --------------------------------------------------------------------------------------------------------- break-even
@dataclass(frozen=True)
class BreakRow:
    """Break-evens of one class: texts of CDR, CPR and severity in percent, each with the collateral loss there."""

    name: str
    found: tuple[tuple[str, str, str], ...]


def break_rows(breaks: BreakTable) -> list[BreakRow]:
    """One row a class; each entry: figure, collateral loss in percent, and what to mind about it."""
    names = [row.found.name for row in next(iter(breaks.rows.values()))]
    return [
        BreakRow(name, tuple(_break(rows[k], breaks.high) for rows in breaks.rows.values()))
        for k, name in enumerate(names)
    ]


def _break(row: ClassBreak, high: float) -> tuple[str, str, str]:
    found, word = row.found, AXIS_WORDS[row.axis]
    if found.stress is None or row.loss is None:
        return "none", NONE, f"no {word} up to {100.0 * high:g} % hurts it"
    cause = {"principal": "principal", "interest": "interest", "both": "principal and interest"}[found.cause or "both"]
    remark = cause if found.status == "found" else f"{cause}: hurt at 0 % already"
    if row.holds_again is not None:
        # Only the first break is sought closely; later ones are as fine as the first grid.
        remark += f"; unhurt again by {math.ceil(100.0 * row.holds_again)} %"
    return _fixed(100.0 * found.stress, 2), _fixed(100.0 * row.loss, 2), remark


# --------------------------------------------------------------------------------------------------------------- files
COLUMNS = (
    "class", "scenario", "prepayment", "speed", "cdr", "severity", "recovery_lag_months", "charge_off_lag_months",
    "advance", "to", "price", "measure", "value", "reason", "wal_years", "modified_duration_at_middle_price",
    "first_principal", "last_principal", "write_down", "write_down_share", "interest_shortfall", "collateral_loss",
    "called", "triggers_failed", "break_even_cdr", "collateral_loss_at_break_even",
)  # fmt: skip


def table_rows(
    table: YieldTable, grid: Grid, groups: GroupBreaks | None = None
) -> tuple[Sequence[str], Iterable[list[str]]]:
    """Headings and one row for each class, scenario and price. Fractions, currency units, prices per 100; curves as
    they were written, in percent. Empty where there is no figure, with the reason. groups: as for class_sheet."""
    return COLUMNS, _rows(table, grid, groups)


def _rows(table: YieldTable, grid: Grid, groups: GroupBreaks | None) -> Iterable[list[str]]:
    for k, name in enumerate(table.names):
        for s, each in enumerate(table.scenarios):
            head = [name, str(s + 1), *_speeds(each)]
            at = s // len(grid.cdrs)
            even = ["", ""] if groups is None else [_plain(groups.cdr[k, at]), _plain(groups.loss[k, at])]
            tail = [*_tail(table, k, s), *even]
            for p, price in enumerate(grid.prices_per_100):
                value = _plain(table.cells[k, s, p])
                yield [*head, f"{price:f}", table.measure, value, table.reason(k, s, p), *tail]


def _speeds(each: Scenario) -> list[str]:
    return [
        each.prepayment, each.speed.text, each.cdr.text, each.severity.text, str(each.recovery_lag),
        str(each.charge_off_lag), _plain(each.advance), "call" if each.to_call else "maturity",
    ]  # fmt: skip


def _tail(table: YieldTable, k: int, s: int) -> list[str]:
    window = table.window(k, s)
    failed = [
        f"{name} {table.dates[table.failed[n, s] - 1].isoformat()}"
        for n, name in enumerate(table.triggers)
        if table.failed[n, s]
    ]
    called = table.called[s]
    return [
        _plain(table.wal_years[k, s]),
        _plain(table.modified_duration[k, s]),
        *(("", "") if window is None else (day.isoformat() for day in window)),
        f"{table.write_down[k, s]:.2f}",
        _plain(table.write_down_share[k, s]),
        f"{table.shortfall[k, s]:.2f}",
        _plain(table.loss[s]),
        table.dates[called - 1].isoformat() if called else "",
        "; ".join(failed),
    ]


def _plain(value: float) -> str:
    """Twelve significant digits, nothing for none."""
    return f"{float(value):.12g}" if math.isfinite(float(value)) else ""


BREAK_COLUMNS = ("class", "axis", "stress", "survives", "cause", "collateral_loss", "remark")


def break_file_rows(breaks: BreakTable) -> tuple[Sequence[str], list[list[str]]]:
    """Headings and one row for each class and axis; fractions, empty where no stress hurts."""
    rows = []
    for axis, found in breaks.rows.items():
        for row in found:
            stress, survives, loss = (
                "" if value is None else _plain(value) for value in (row.found.stress, row.found.survives, row.loss)
            )
            remark = _break(row, breaks.high)[2]
            rows.append([row.found.name, axis, stress, survives, row.found.cause or "", loss, remark])
    return BREAK_COLUMNS, rows
