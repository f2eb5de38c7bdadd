"""A deal's liability cash-flow model as a folder that anyone with the project installed can run and check.

Written into it: the specification, the pool's flows, what else the run takes, what it gave, the hashes of all of them,
a README and one program. Not here: where the deal comes from, and who may have it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pooling.cashflow_report import columns_of
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.packing import flows_from_json, flows_to_json
from pooling.engine.waterfall import DealFlows, Program, compile_deal, execute

FILES = ("spec.json", "flows.json", "options.json", "expected.json")
TO_THE_CENT = 0.005


class ExportError(ValueError):
    """A folder that cannot be written, or whose model does not hold; one sentence."""


def export_model(
    folder: Path,
    *,
    spec: DealSpec,
    flows: PoolFlows,
    pool_balance_cents: int,
    made_by: Mapping[str, Any],
    rates: Mapping[str, Any] | None = None,
    replacement: PoolFlows | None = None,
    to_call: bool = True,
) -> None:
    """Write the folder. flows, replacement: one path each. made_by: what stands in the manifest beside the hashes.

    Raises ExportError where the folder holds something already; ValueError as compile_deal and execute do.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"out: {folder} is not an empty folder; give another")
    options = {
        "pool_balance_cents": pool_balance_cents,
        "to_call": to_call,
        "rates": {name: [float(rate) for rate in values] for name, values in (rates or {}).items()},
        "replacement": None if replacement is None else flows_to_json(replacement),
    }
    contents: dict[str, Any] = {
        "spec.json": spec.to_json(),
        "flows.json": flows_to_json(flows),
        "options.json": options,
    }
    program, deal = run_model(contents)
    contents["expected.json"] = {"columns": columns_of(program, deal), "transfers": _moved(deal)}
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: (json.dumps(contents[name], indent=1, allow_nan=False) + "\n").encode() for name in FILES}
    manifest = {
        **made_by,
        "spec_hash": spec.content_hash(),
        "pool_balance_cents": pool_balance_cents,
        "engine": engine_hash(),
        "numpy": np.__version__,
        "files": {name: _hash(text) for name, text in texts.items()},
    }
    texts["manifest.json"] = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
    texts["run.py"] = PROGRAM.encode()
    texts["README.md"] = _readme(spec, made_by).encode()
    for name, text in texts.items():
        (folder / name).write_bytes(text)


def run_model(contents: Mapping[str, Any]) -> tuple[Program, DealFlows]:
    """The deal paid in whole cents, with its ledger, from the parsed files of a folder."""
    options = contents["options.json"]
    program = compile_deal(DealSpec.from_json(contents["spec.json"]), options["pool_balance_cents"])
    deal = execute(
        program,
        flows_from_json(contents["flows.json"]),
        mode="cents",
        ledger=True,
        rates=options["rates"],
        replacement=None if options["replacement"] is None else flows_from_json(options["replacement"]),
        to_call=options["to_call"],
    )
    return program, deal


@dataclass(frozen=True)
class Checked:
    """What a folder's model gives. columns: heading -> values by payment date. moved: cents of each transfer of the
    ledger, "source -> target (kind)", over all dates. same_engine: the engine's source is the exporter's."""

    program: Program
    deal: DealFlows
    columns: dict[str, list[Any]]
    moved: dict[str, int]
    same_engine: bool


def check_folder(folder: Path) -> Checked:
    """Check the hashes of an exported folder, run its model again and compare with what it says, to the cent.

    Raises ExportError naming the file that was changed, or the first figure that differs.
    """
    manifest = _manifest(folder)
    texts = {name: (folder / name).read_bytes() for name in FILES}
    for name, text in texts.items():
        if manifest["files"].get(name) != _hash(text):
            raise ExportError(f"{name}: it is not the file that was exported; its SHA-256 differs from the manifest's")
    contents = {name: json.loads(text) for name, text in texts.items()}
    try:
        program, deal = run_model(contents)
        columns, moved = columns_of(program, deal), _moved(deal)
        _compare(columns, contents["expected.json"]["columns"])
        _compare_transfers(moved, contents["expected.json"]["transfers"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"the files do not fit each other: {error!r}; export the model anew") from error
    if program.spec_hash != manifest.get("spec_hash"):
        raise ExportError("manifest.json: its spec_hash is not the content hash of spec.json")
    return Checked(program, deal, columns, moved, manifest.get("engine") == engine_hash())


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
    except ValueError as error:
        raise ExportError(f"manifest.json: it is not JSON any more ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
        raise ExportError("manifest.json: the hashes of the files are missing")
    return found


def _compare(columns: Mapping[str, list[Any]], expected: Mapping[str, list[Any]]) -> None:
    if columns.keys() != expected.keys():
        differ = ", ".join(sorted(columns.keys() ^ expected.keys()))
        raise ExportError(f"expected.json: it and the model have other columns: {differ}")
    for name, values in columns.items():
        if len(values) != len(expected[name]):
            raise ExportError(f"{name}: {len(values)} payments here, {len(expected[name])} in expected.json")
        for row, (ours, theirs) in enumerate(zip(values, expected[name], strict=True), start=1):
            same = ours == theirs if isinstance(ours, str | int) else abs(ours - theirs) < TO_THE_CENT
            if not same:
                raise ExportError(f"{name}, payment {row}: {ours} here, {theirs} in expected.json")


def _compare_transfers(moved: Mapping[str, int], expected: Mapping[str, int]) -> None:
    for line in {**moved, **expected}:
        ours, theirs = moved.get(line, 0), expected.get(line, 0)
        if ours != theirs:
            raise ExportError(f"{line}: {ours} cents in all here, {theirs} in expected.json")


def _moved(deal: DealFlows) -> dict[str, int]:
    """Cents of each transfer over all dates; several lines of one kind between the same two are one."""
    found: dict[str, int] = {}
    if deal.ledger is not None:
        sums = deal.ledger.amount[..., 0].sum(axis=1)
        for line, amount in zip(deal.ledger.lines, sums, strict=True):
            key = f"{line.source} -> {line.target} ({line.kind})"
            found[key] = found.get(key, 0) + int(amount)
    return found


def engine_hash() -> str:
    """SHA-256 (hex) over the source of the engine: the same source pays the same cents."""
    root = Path(__file__).resolve().parent / "engine"
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _readme(spec: DealSpec, made_by: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| {part.name} | {part.kind.replace('_', ' ')} | {(part.balance or 0) / 100:,.2f} |" for part in spec.tranches
    )
    rules = spec.conventions
    moved = "not moved" if rules.business_day_rule == "unadjusted" else f"{rules.business_day_rule}, {rules.calendar}"
    source = next((f"Of the {key} `{made_by[key]}`. " for key in ("listing", "template") if key in made_by), "")
    return f"""# Liability cash-flow model of {spec.name}

{source}Payments of every class on every date, in whole {spec.currency} cents, from the pool's base-case cash.
One command, with Glasspool installed or its folder on PYTHONPATH:

    python run.py

It checks the files against `manifest.json`, runs the model, compares with `expected.json` to the cent, prints the table
and the classes, and writes `cashflows.csv`. It ends with status 1 and one sentence where anything differs.

| class | kind | balance at closing, {spec.currency} |
|---|---|---|
{rows}

- `spec.json`: the deal (classes, fees, accounts, tests, order of payments, conventions).
- `flows.json`: the pool month by month, currency units: cash, defaults, stocks.
- `options.json`: indices by payment date, clean-up call, cut-off balance, what a revolving period buys.
- `expected.json`: every column by payment date, and the cents of every transfer over all dates.
- `manifest.json`: where it comes from, SHA-256 of these files, content hash of the deal and of the engine's source.

Conventions: interest {rules.interest_day_count} on {rules.accrual_dates} dates; payments {spec.payment_frequency},
dates {moved}; rounding {rules.rounding}, one amount divided by largest remainders; unpaid interest earns
{"the note rate" if rules.shortfall_interest == "note_rate" else "nothing"}.
"""


PROGRAM = '''"""Run this deal's liability cash-flow model and compare it with expected.json."""

import csv
import sys
from pathlib import Path

from pooling.cashflow_report import class_lines, table_lines
from pooling.model_export import check_folder

HERE = Path(__file__).resolve().parent

try:
    checked = check_folder(HERE)
except (OSError, ValueError) as error:
    sys.exit(f"The model does not hold: {error}.")
print("\\n".join([*table_lines(checked.columns), "", *class_lines(checked.deal)]))
with (HERE / "cashflows.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(checked.columns)
    writer.writerows(zip(*checked.columns.values()))
if not checked.same_engine:
    print("The engine's source is not the one that exported this model.")
print("Equal to expected.json to the cent; cashflows.csv is written.")
'''
