"""A deal's liability cash-flow model as a folder that anyone with the project installed can run and check.

Written into it: the specification, the pool's flows, what else the run takes, what it gave, the hashes of all of them,
a
README and one program. Not here: where the deal comes from, and who may have it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pooling.cashflow_report import columns_of
from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows
from pooling.engine.packing import flows_from_json, flows_to_json
from pooling.engine.waterfall import compile_deal, execute

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
    contents["expected.json"] = run_model(contents)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {name: json.dumps(contents[name], indent=1, allow_nan=False) + "\n" for name in FILES}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    manifest = {
        "spec_hash": spec.content_hash(),
        **made_by,
        "files": {name: _hash(text) for name, text in texts.items()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "run.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "README.md").write_text(_readme(spec), encoding="utf-8")


def run_model(contents: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every column of the deal's cash flows in whole cents, from the parsed files of a folder."""
    options = contents["options.json"]
    program = compile_deal(DealSpec.from_json(contents["spec.json"]), options["pool_balance_cents"])
    deal = execute(
        program,
        flows_from_json(contents["flows.json"]),
        mode="cents",
        rates=options["rates"],
        replacement=None if options["replacement"] is None else flows_from_json(options["replacement"]),
        to_call=options["to_call"],
    )
    return columns_of(program, deal)


def check_folder(folder: Path) -> dict[str, list[Any]]:
    """Check the hashes of an exported folder, run its model again and compare with what it says, to the cent.

    Returns the columns. Raises ExportError naming the file that was changed, or the first figure that differs.
    """
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in FILES}
    for name, text in texts.items():
        if manifest["files"].get(name) != _hash(text):
            raise ExportError(f"{name}: it is not the file that was exported; its SHA-256 differs from the manifest's")
    contents = {name: json.loads(text) for name, text in texts.items()}
    if DealSpec.from_json(contents["spec.json"]).content_hash() != manifest["spec_hash"]:
        raise ExportError("spec.json: its content hash is not the manifest's")
    columns = run_model(contents)
    expected = contents["expected.json"]
    if columns.keys() != expected.keys():
        raise ExportError(f"expected.json: columns {sorted(columns.keys() ^ expected.keys())} differ")
    for name, values in columns.items():
        for row, (ours, theirs) in enumerate(zip(values, expected[name], strict=True)):
            same = ours == theirs if isinstance(ours, str) else abs(ours - theirs) < TO_THE_CENT
            if not same:
                raise ExportError(f"{name}, payment {row + 1}: {ours} here, {theirs} in expected.json")
    return columns


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _readme(spec: DealSpec) -> str:
    rows = "\n".join(
        f"| {part.name} | {part.kind.replace('_', ' ')} | {(part.balance or 0) / 100:,.2f} |" for part in spec.tranches
    )
    return f"""# Liability cash-flow model of {spec.name}

Payments of every class on every date, in whole {spec.currency} cents, from the pool's base-case cash. One command, with
Glasspool installed or its folder on PYTHONPATH:

    python run.py

It checks the files against `manifest.json`, runs the model, compares with `expected.json` to the cent, prints the table
and writes `cashflows.csv`. It ends with status 1 and one sentence where anything differs.

| class | kind | balance at closing, {spec.currency} |
|---|---|---|
{rows}

- `spec.json`: the deal (classes, fees, accounts, tests, order of payments, conventions); edit a copy to try another
deal.
- `flows.json`: the pool month by month, currency units: cash, defaults, stocks. `options.json`: indices, call, cut-off
balance.
- Conventions: {spec.conventions.interest_day_count}, {spec.payment_frequency}, rounding {spec.conventions.rounding};
what is
  divided is divided by largest remainders.
"""


PROGRAM = '''"""Run this deal's liability cash-flow model and compare it with expected.json."""

import csv
import sys
from pathlib import Path

from pooling.cashflow_report import table_lines
from pooling.model_export import ExportError, check_folder

HERE = Path(__file__).resolve().parent

try:
    columns = check_folder(HERE)
except (ExportError, OSError, ValueError) as error:
    sys.exit(f"The model does not hold: {error}.")
print("\\n".join(table_lines(columns)))
with (HERE / "cashflows.csv").open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
print("Equal to expected.json to the cent; cashflows.csv is written.")
'''
