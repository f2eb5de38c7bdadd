"""The rating report: page and PDF say one document, which holds every key of the manifest and what a result has."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from reportlab.platypus import KeepTogether, Paragraph, Table

from marketplace.cast import cast_create
from marketplace.models import Listing
from marketplace.pipeline import Job, Stopwatch, securitize
from marketplace.rating_document import Subject, rating_document
from marketplace.rating_drawings import DRAWINGS, as_svg, drawn
from marketplace.rating_pdf import SUBSTITUTES, _story, rating_pdf
from marketplace.rating_tables import TABLES
from marketplace.report_blocks import Facts, Grid, RatingDocument, Sentences, rare
from pooling.artefacts import artefact_path
from pooling.models import Loan
from pooling.tapes import write_generated_tape
from rating.engine.curves import documented_model
from rating.runs import loans_of
from rating.validation import validation_report
from tests.services.factories import market, party

PASSWORD = "a quiet word between us"
NONE = "—"


def subject(listing: Listing, **changes: Any) -> Subject:
    """The subject of a listing's report with the documented model, as the view makes it."""
    report = listing.rating_report
    values: dict[str, Any] = {
        "deal": listing.deal.name, "originator": listing.organisation.name, "made": "2026-11-27 10:00",
        "result": report.result, "manifest": report.manifest, "listing_manifest": listing.manifest,
        "pool": listing.deal.pool, "model": documented_model(), "model_digest": report.rating_run.credit_model_id,
        "realised": None,
    }  # fmt: skip
    return Subject(**(values | changes))


def texts(document: RatingDocument) -> Iterator[str]:
    """Every text of a document, in order."""
    yield from (document.title, document.lead, document.notice)
    for section in document.sections:
        yield section.title
        for block in section.blocks:
            yield block.title
            if isinstance(block, Facts):
                yield from (text for row in block.rows for text in row)
            elif isinstance(block, Grid):
                yield from (text for row in (block.header, *block.rows) for text in row)
            elif isinstance(block, Sentences):
                yield from block.lines


def printed(parts: Any) -> Iterator[str]:
    """Texts of what reportlab is given, through tables and groups."""
    for part in parts:
        if isinstance(part, Paragraph):
            yield part.text
        elif isinstance(part, Table):
            yield from printed(cell for row in part._cellvalues for cell in row)
        elif isinstance(part, KeepTogether):
            yield from printed(part._content)


def pages(pdf: bytes) -> int:
    return max(int(found) for found in re.findall(rb"/Count (\d+)", pdf))


# ----------------------------------------------------------------------------------------------------- a real rating
@pytest.fixture
def listing(transactional_db: None, tmp_path: Path) -> Listing:
    """A deal of 200 loans rated by the pipeline, open on the market."""
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=200, seed=9)
    cast = cast_create(password=PASSWORD)
    job = Job(tape=path, scenarios=256, settle=False)
    return securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="job")


def test_page_and_file_carry_the_whole_report(listing: Listing) -> None:
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    page = client.get(reverse("rating-report", args=[listing.pk])).content.decode()
    first = client.get(reverse("rating-report-pdf", args=[listing.pk]))
    # the file: PDF, the same bytes again, fonts embedded, every page numbered
    assert first.headers["Content-Type"] == "application/pdf"
    assert first.content == client.get(reverse("rating-report-pdf", args=[listing.pk])).content
    assert first.content.startswith(b"%PDF-")
    assert first.content.count(b"/FontFile2") == 2
    assert pages(first.content) >= 5
    # every leaf of both manifests stands on the page
    said = unescape(page)
    manifest, build = dict(listing.rating_report.manifest), listing.rating_report.manifest["build"]
    for found in (manifest, build, listing.manifest):
        for name, value in found.items():
            if name != "build":
                assert name in said
                assert str(value) in said, name
    # and every figure of the classes that a reader asks for first
    for row in listing.rating_report.result["tranches"]:
        assert f"{row['balance'] / 100:,.2f}" in said
        if row["rating"]:
            assert f"{rare(row['pd'])} ± {rare(row['pd_se'])}" in said
            assert f"{rare(row['expected_loss'])} ± {rare(row['expected_loss_se'])}" in said
    assert page.count("<svg ") == 4
    assert len(set(re.findall(r'<clipPath id="([^"]+)"', page))) == 4
    # others do not find it
    stranger = Client()
    stranger.force_login(party("originator"))
    for name in ("rating-report", "rating-report-pdf"):
        assert stranger.get(reverse(name, args=[listing.pk])).status_code == 404
        assert Client().get(reverse(name, args=[listing.pk])).status_code == 302


def test_the_figures_behind_the_charts_are_files(listing: Listing) -> None:
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    result, tables = listing.rating_report.result, {}
    for name in TABLES:
        answer = client.get(reverse("rating-csv", args=[listing.pk]), {"table": name})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv")
        tables[name] = list(csv.reader(answer.content.decode().splitlines()))
    assert sum(float(row[2]) for row in tables["losses"][1:]) == pytest.approx(1.0)
    last = dict(zip(tables["months"][0], tables["months"][-1], strict=True))
    assert float(last["mean"]) == result["simulation"]["by_month"]["mean"][-1]
    assert float(tables["balances"][1][1]) == result["collateral"]["pool_balance"][0]
    assert [row[0] for row in tables["classes"][1:]] == ["A", "B", "C", "R"]
    assert client.get(reverse("rating-csv", args=[listing.pk]), {"table": "secrets"}).status_code == 404
    stranger = Client()
    stranger.force_login(party("originator"))
    assert stranger.get(reverse("rating-csv", args=[listing.pk])).status_code == 404


def test_a_loan_is_explained_to_those_who_may_see_it(listing: Listing) -> None:
    client = Client()
    assert client.login(username="analyst", password=PASSWORD)
    pool = listing.deal.pool
    for loan in Loan.objects.filter(pool=pool).order_by("loan_id")[:200:50]:
        page = client.get(reverse("loan-pd", args=[listing.pk, loan.loan_id]))
        base, total = page.context["base"], page.context["total"]
        tenths = [round(10 * base), *(row.tenths for row in page.context["drivers"])]
        assert sum(tenths) == round(10 * total)
        assert page.context["pd"] == page.context["competing"][-1]
        assert len(page.context["competing"]) == loan.remaining_term
        assert loan.loan_id in page.content.decode()
    unknown = client.get(reverse("loan-pd", args=[listing.pk, "no/such loan"]))
    assert unknown.status_code == 404
    stranger = Client()
    stranger.force_login(party("originator"))
    assert stranger.get(reverse("loan-pd", args=[listing.pk, loan.loan_id])).status_code == 404
    # where the loans cannot be read here the page says so, and is not broken
    loans_of.cache_clear()
    artefact_path(pool.loans_path).unlink()
    for name in ("loan-pd", "loan-pd-csv"):
        answer = client.get(reverse(name, args=[listing.pk, loan.loan_id]))
        assert (answer.status_code, answer.content) == (
            503, b"The loans of this pool cannot be read at the moment; try again later.",
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- the document
@pytest.mark.django_db
def test_a_thin_result_has_dashes_and_no_hole() -> None:
    # given the factories' result: names, balances and grades alone
    listing = market(investors=0).listing
    document = rating_document(subject(listing, model=None), validation_report())
    classes = next(section for section in document.sections if section.title == "Classes")
    grid = classes.blocks[0]
    assert isinstance(grid, Grid)
    assert grid.header == ("Figure", "A", "B", "C")
    figures = {row[0]: row[1:] for row in grid.rows}
    assert figures["Grade, indicative"] == ("AA", "A", "BBB")
    assert figures["Expected loss ± SE, %"] == (NONE, NONE, NONE)
    assert rating_pdf(document).startswith(b"%PDF-")


@pytest.mark.django_db
def test_the_pdf_prints_every_text_of_the_document_and_what_a_result_has_besides() -> None:
    listing = market(investors=0).listing
    result = listing.rating_report.result | {
        "capital": {"ksa": 0.06, "classes": [{"name": "A", "sec_sa": 0.15, "capped": True}]},
        "control": {"simulated": 0.11, "simulated_se": 0.01, "quantiles": {"0.9": {"control": 0.2}}},
        "concentration": {"largest": [0.01], "largest_loss": [0.009], "sectors": [{"name": "", "share": 1.0}]},
        "notes": {"A": {"approach": "as <it> stands"}},
        "sensitivities": [{"name": "PD × 1.25", "notches": [-1, 0]}],
    }
    document = rating_document(subject(listing, result=result, realised={"loss": 0.1}), validation_report())
    wanted = [text.translate(SUBSTITUTES) for text in texts(document) if text]
    found = [unescape(text) for text in printed(_story(document))]
    assert [text for text in wanted if text not in found] == []
    assert "A.approach" in found
    assert "as <it> stands" in found
    for text in ("Regulatory capital", "15.0", "Semi-analytic control", "11.000 ± 1.000", "1.00; 0.90", "unknown"):
        assert text in found
    assert "[0].notches" in found
    assert "-1, 0" in found


@pytest.mark.django_db
def test_equal_documents_give_equal_bytes_and_a_changed_figure_others() -> None:
    listing = market(investors=0).listing
    document = rating_document(subject(listing), validation_report())
    again = rating_document(subject(Listing.objects.get(pk=listing.pk)), validation_report())
    once = rating_pdf(document)
    assert once == rating_pdf(again)
    assert once != rating_pdf(replace(document, title="Rating report: another"))
    # no clock: the dates of the file are reportlab's fixed ones
    assert b"/CreationDate (D:20000101000000+00'00')" in once


@pytest.mark.django_db
def test_a_long_table_a_long_word_and_a_hostile_name_fit_the_page() -> None:
    listing = market(investors=0).listing
    tranches = [
        {"name": f"<b>A-{n}</b>&", "balance": 10**11 + n, "rating": "AAA", "coupon": 0.05, "attach": 0.9 - n / 50}
        for n in range(12)
    ]
    manifest = {"word": "f" * 3_000, "nested": {"deep": {"list": list(range(50))}}, "empty": "", "none": None}
    found = subject(listing, deal="<i>&amp; " + "W" * 200, result={"tranches": tranches}, manifest=manifest)
    document = rating_document(found, validation_report())
    assert rating_pdf(document).startswith(b"%PDF-")
    said = list(texts(document))
    assert "f" * 3_000 in said
    assert {"word", "nested.deep.list", "empty", "none"} <= set(said)


# ------------------------------------------------------------------------------------------------------- the drawings
def test_drawings_hold_their_classes_and_escape_their_names() -> None:
    senior = {"name": "A<", "balance": 80, "rating": "AA", "coupon": 0.05}
    classes = [senior, {"name": "R", "balance": 20, "coupon": None}]
    svg = as_svg("structure", {"classes": classes}, "Who & what")
    assert "A&lt; AA, 80.0 %" in svg
    assert "R residual, 20.0 %" in svg
    assert "<title>Who &amp; what</title>" in svg
    data = {"histogram": {"edges": [0.0, 0.1, 0.2], "mass": [0.75, 0.25]}, "expected": 0.06, "marks": [("A", 0.15)]}
    svg = as_svg("loss", data, "Loss")
    assert "A 15.0" in svg
    assert "expected 6.0" in svg
    assert set(DRAWINGS) == {"loss", "fan", "balances", "structure", "tornado"}
    with pytest.raises(ValueError, match=r"^name: 'pie' is none of"):
        drawn("pie", {})


def test_a_pool_without_loss_and_empty_months_are_drawn() -> None:
    flat = {"histogram": {"edges": [0.0, 1e-6], "mass": [1.0]}, "expected": 0.0, "marks": []}
    assert drawn("loss", flat).contents
    fan = {"by_month": {"month": [1], "mean": [0.0], "se": [0.0], "quantiles": {"0.5": [0.0]}}}
    assert drawn("fan", fan).contents
