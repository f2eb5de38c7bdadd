"""The documents say what the code does: their examples are run, their queries checked, their addresses resolved."""

from __future__ import annotations

import doctest
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import resolve
from graphql import build_schema, parse, validate

from pooling.deals import template, template_names, template_title
from pooling.engine.deal import DealSpec, SpecError, default_template
from pooling.engine.deal.quantities import quantity_kinds
from pooling.engine.deal.schema import published
from rating.engine import curves

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```([a-z]*)(?: ([a-z]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_ID = "00000000-0000-4000-8000-000000000000"


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str, str]]:
    """(language, mark, text) of every fenced block, in order."""
    return [(found[1], found[2] or "", found[3]) for found in BLOCK.finditer(text_of(name))]


def merged(whole: Any, patch: Any) -> Any:
    """Objects merge, everything else is replaced; null is a value, as the deal language has nulls of its own."""
    if not (isinstance(whole, dict) and isinstance(patch, dict)):
        return patch
    return whole | {key: merged(whole.get(key), value) for key, value in patch.items()}


LANGUAGE = blocks("docs/deal-language.md")
WHOLE = next(text for _, mark, text in LANGUAGE if mark == "deal")
CHANGES = [text for _, mark, text in LANGUAGE if mark == "change"]
REFUSALS = [
    (text, LANGUAGE[number + 1][2].strip()) for number, (_, mark, text) in enumerate(LANGUAGE) if mark == "refused"
]


def test_the_whole_deal_is_the_default_template() -> None:
    spec = DealSpec.from_json(WHOLE)

    dates = {key: str(value) for key, value in json.loads(WHOLE)["dates"].items()}
    assert spec == default_template(name=spec.name, currency=spec.currency, **dates)
    assert DealSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_deal_is_accepted(change: str) -> None:
    given = merged(json.loads(WHOLE), json.loads(change))

    spec = DealSpec.from_json(given)

    assert spec != DealSpec.from_json(WHOLE)
    assert DealSpec.from_json(spec.to_json()).content_hash() == spec.content_hash()


@pytest.mark.parametrize(("change", "sentence"), REFUSALS)
def test_a_refused_change_is_refused_in_these_words(change: str, sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        DealSpec.from_json(merged(json.loads(WHOLE), json.loads(change)))

    assert str(refusal.value) == sentence


def test_every_kind_of_block_of_the_deal_language_is_run() -> None:
    assert {(language, mark) for language, mark, _ in LANGUAGE} == {
        ("json", "deal"), ("json", "change"), ("json", "refused"), ("text", ""), ("pycon", ""),
    }  # fmt: skip
    assert len(CHANGES) >= 5
    assert len(REFUSALS) >= 5


def general(name: str) -> str:
    """A quantity without the names of one deal: class[A].factor is class[].factor; a group's figures are the pool's."""
    name = re.sub(r"\[[^\]]*\]", "[]", name)
    return name.replace("pool[].", "pool.")


def test_the_table_lists_the_quantities_that_formulas_may_read_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z]+[\[.][^`|]+)` \| ([^|]+) \|", text_of("docs/deal-language.md"), re.MULTILINE)
    listed = [(general(name), kind) for name, kind in rows]
    known = {
        (general(name), kind.value)
        for template_name in template_names()
        for name, kind in quantity_kinds(template(template_name)).items()
    }

    assert len(listed) == len(set(listed))
    assert set(listed) == known | {("defined[]", "as its formula")}


def test_the_schema_that_is_published_is_that_of_the_code() -> None:
    mend = "write pooling.engine.deal.schema.published(DealSpec) to docs/deal.schema.json"
    assert text_of("docs/deal.schema.json") == published(DealSpec), mend


def test_every_template_has_its_section_with_its_title() -> None:
    text = text_of("docs/deal-templates.md")
    sections = re.findall(r"^## `([a-z-]+)`\n\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)

    assert [name for name, _ in sections] == sorted(template_names())
    for name, first in sections:
        assert first.replace("\n", " ").startswith(template_title(name) + ".")


@pytest.mark.parametrize("name", ["docs/deal-language.md", "docs/deal-templates.md", "docs/rating-methodology.md"])
def test_python_examples_print_what_stands_below_them(name: str) -> None:
    names: dict[str, Any] = {"text": WHOLE}
    examples = "\n".join(text for language, _, text in blocks(name) if language == "pycon")
    test = doctest.DocTestParser().get_doctest(examples, names, name, name, 0)
    said: list[str] = []

    result = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test, out=said.append)

    assert result.attempted > 5
    assert result.failed == 0, "".join(said)


def test_every_number_of_the_documented_curve_is_in_the_methodology() -> None:
    """Each row of the table names a number of the provenance and whether it is a source or an assumption."""
    rows = re.findall(r"^\| `(\w+)` \| (source|assumption) \|", text_of("docs/rating-methodology.md"), re.MULTILINE)

    assert dict(rows) == {name: entry["kind"] for name, entry in curves.provenance().items()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.shared
def test_the_report_of_the_readme_is_what_the_command_prints(shared: Path) -> None:
    """Its own process and its own throw-away database; timings differ from run to run."""
    tape = shared / "data" / "lendingclub_2007_2010.csv.gz"
    command = [sys.executable, "manage.py", "securitize", str(tape), "--as-of", "origination", "--verbosity", "0"]
    text = next(text for language, _, text in blocks("README.md") if language == "text")

    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True).stdout

    said, shown = (report.split("TIMINGS")[0].strip().splitlines() for report in (printed, text))
    assert shown == said, "put the new report into README.md"


def test_the_cash_flows_of_the_readme_are_what_the_command_prints() -> None:
    command = re.search(r"manage\.py waterfall (.+)", text_of("README.md"))
    assert command is not None
    shown = text_of("README.md").split("below it\n\n")[1].split("\n\n`--cents`")[0]
    out = io.StringIO()

    call_command("waterfall", *command[1].split(), stdout=out)

    printed = out.getvalue().splitlines()
    for line in shown.splitlines():
        # The last digits of an error of 1e-9 are the processor's.
        if not line.strip().startswith("cash conserved"):
            assert line[4:] in printed, line


def test_queries_of_the_readme_fit_the_committed_schema() -> None:
    schema = build_schema(text_of("config/schema.graphql"))
    text = text_of("README.md")
    queries = [block for language, _, block in blocks("README.md") if language == "graphql"]
    queries += re.findall(r"<<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)

    assert len(queries) == 2
    for query in queries:
        assert validate(schema, parse(query)) == []


def test_addresses_of_the_readme_lead_to_pages() -> None:
    tour_and_api = text_of("README.md").split("## A tour")[1].split("## Several machines")[0]
    found = set(re.findall(r"`(/(?:[a-z<][^`\s]*)?)`", tour_and_api))

    assert len(found) > 20
    for address in sorted(found):
        resolve(address.replace("<id>", ANY_ID))


def test_options_of_the_readme_are_options_of_the_command() -> None:
    command = text_of("marketplace/management/commands/securitize.py")
    table = text_of("README.md").split("| option | meaning |")[1].split("\n\n")[0]

    for option in re.findall(r"--[a-z][a-z-]*", table):
        assert f'"{option}"' in command, option


def test_settings_of_the_readme_are_settings() -> None:
    known = text_of("config/settings.py")
    table = text_of("README.md").split("| variable | meaning |")[1].split("\n\n")[0]

    for name in re.findall(r"^\| `([A-Z_]+)", table, re.MULTILINE):
        assert f'"{name}"' in known, name
