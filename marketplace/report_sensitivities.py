"""What moves the grades, as blocks of the rating report: the stored sensitivity run, nothing computed again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marketplace.report_blocks import NONE, Block, Grid, Plot, Section, Sentences, number, percent, rare
from marketplace.sensitivity_exhibits import matrix_tables, mover_rows, reverse_rows, tornado_rows

TITLE = "What moves the grades"


def sensitivity_section(result: Mapping[str, Any] | None) -> Section:
    """Tornado in notches, default x recovery matrices, what moves a grade by a notch, and the reverse stress. result:
    of pricing.sensitivities; None where nobody has run them."""
    if result is None:
        return Section(TITLE, (Sentences(("Sensitivities were not run: start them on the rating's page.",)),))
    names = [cell["name"] for cell in result["base"]["classes"]]
    made = result["made_by"]
    lead = Sentences(
        (
            f"Each stress runs the same {number(made.get('scenarios'), 0)} scenarios and the same draws of each loan "
            "as its own base case, so that differences are the stress alone. Notches below 0 are downgrades.",
        )
    )
    return Section(TITLE, (lead, *_tornado(result), *_matrices(result), _movers(result, names), _reverse(result)))


def _tornado(result: Mapping[str, Any]) -> tuple[Block, ...]:
    rows = tornado_rows(result)
    header = ("Stress", "Pool loss, %", *(f"{cell['name']}: grade, notches, EL %" for cell in rows[0].cells))
    grid = Grid(
        "Stresses, the widest first",
        header,
        tuple(
            (
                row.label,
                percent(row.pool_loss),
                *(_stressed(cell) for cell in row.cells),
            )
            for row in rows
        ),
    )
    bars = [
        {"label": row.label, "notches": [(cell["name"], cell["notches"]) for cell in row.cells]}
        for row in rows
        if row.reach
    ]
    if not bars:
        return (grid,)
    return Plot("Notches by stress and class", "tornado", {"bars": bars}), grid


def _stressed(cell: Mapping[str, Any]) -> str:
    return f"{cell['grade']}, {number(cell['notches'], 0)}, {rare(cell['expected_loss'])}"


def _matrices(result: Mapping[str, Any]) -> tuple[Grid, ...]:
    return tuple(
        Grid(
            f"Class {table['name']}: grade by default hazards (down) and recoveries (across)",
            ("", *table["heads"]),
            tuple((head, *(cell["grade"] for cell in cells)) for head, cells in table["rows"]),
        )
        for table in matrix_tables(result)
    )


def _movers(result: Mapping[str, Any], names: list[str]) -> Grid:
    rows = tuple(
        (row["driver"], row["end"], *(_moved(cell) for cell in row["cells"])) for row in mover_rows(result)
    )
    header = ("Driver", "Tried up to", *(f"Class {name}" for name in names))
    return Grid("The least change that moves a grade by a notch", header, rows, 2)


def _moved(cell: Mapping[str, str]) -> str:
    return f"{cell['text']} ({cell['grade']})" if cell["grade"] else cell["text"]


def _reverse(result: Mapping[str, Any]) -> Grid:
    """The mildest scenario of the set that hurts each class."""
    rows = []
    for row in reverse_rows(result):
        found, flat = row["mildest"], row["flat"]
        means = found["means"] or {}
        rows.append(
            (
                found["name"], number(found["distance"]), percent(means.get("loss")),
                percent(means.get("default_rate")), percent(means.get("severity"), 1), percent(flat.get("cdr")),
                found["source"] or NONE,
            )
        )  # fmt: skip
    header = (
        "Class", "Distance, deviations", "Pool loss, %", "Defaults, %", "Severity, %", "Flat CDR that hurts, %",
        "Found in",
    )  # fmt: skip
    return Grid("Reverse stress: the mildest world in which the class loses", header, tuple(rows))
