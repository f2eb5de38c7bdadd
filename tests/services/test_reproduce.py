"""`manage.py reproduce`: a listing follows from its sealed tape, and one that was tampered with does not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from accounts.canonical import digest
from marketplace.models import Auction, Listing
from pooling.artefacts import artefact_path
from pooling.tapes import write_generated_tape
from pricing.models import PriceReport
from pricing.reproduction import difference
from rating.models import RatingReport
from tests.services.factories import party

pytestmark = pytest.mark.django_db(transaction=True)

CHECKS = ["tape root", "pool loans", "simulated flows", "deal spec", "rating", "prices"]


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=300, seed=5)
    call_command("securitize", str(path), keep=True, scenarios=256, verbosity=0, stdout=io.StringIO())
    return Listing.objects.get()


def reproduce(pk: object) -> tuple[dict[str, str], int]:
    out, status = io.StringIO(), 0
    try:
        call_command("reproduce", str(pk), verbosity=0, stdout=out)
    except CommandError as error:
        status = error.returncode
    rows = [line for line in out.getvalue().splitlines() if line]
    return {line[8:26].strip(): line[:8].strip() for line in rows}, status


def test_a_listing_is_reproduced_to_the_byte(listing: Listing) -> None:
    verdicts, status = reproduce(listing.pk)
    assert status == 0
    assert list(verdicts) == [*CHECKS, "auction of A", "auction of B", "auction of C"]
    assert set(verdicts.values()) == {"agrees"}


def test_a_rating_report_is_reproduced_by_its_own_id(listing: Listing) -> None:
    verdicts, status = reproduce(listing.rating_report_id)
    assert (list(verdicts), status) == (CHECKS, 0)


def test_a_changed_price_is_found(listing: Listing) -> None:
    report = PriceReport.objects.get()
    report.result["tranches"][0]["price"] += 1e-9
    report.save()
    verdicts, status = reproduce(listing.pk)
    assert [name for name, verdict in verdicts.items() if verdict == "DIFFERS"] == ["prices"]
    assert status == 1


def test_a_changed_grade_is_found(listing: Listing) -> None:
    report = RatingReport.objects.get()
    report.result["tranches"][2]["rating"] = "AAA"
    report.save()
    assert reproduce(listing.pk)[0]["rating"] == "DIFFERS"


def test_one_changed_cell_of_the_sealed_tape_is_found(listing: Listing) -> None:
    path = artefact_path(listing.deal.pool.tape.canonical_path)
    sealed = path.read_bytes()
    frame = pd.read_parquet(path)
    frame.loc[7, "int_rate"] = "0.01"
    frame.to_parquet(path, index=False)
    try:
        verdicts, status = reproduce(listing.pk)
    finally:
        path.write_bytes(sealed)
    assert (verdicts["tape root"], status) == ("DIFFERS", 1)


def test_a_changed_auction_result_is_found(listing: Listing) -> None:
    Auction.objects.filter(tranche="B").update(result_digest="0" * 64)
    assert reproduce(listing.pk)[0]["auction of B"] == "DIFFERS"


def test_an_unknown_id() -> None:
    with pytest.raises(CommandError, match="No listing or rating has the id nonsense") as refusal:
        call_command("reproduce", "nonsense", verbosity=0)
    assert refusal.value.returncode == 2


def test_on_another_build_numbers_agree_to_1e_9_and_grades_exactly() -> None:
    stored = {"rating": "AA", "pd": 0.01, "flows": [1.0, 2.0]}
    assert difference(stored, {"rating": "AA", "pd": 0.01 + 5e-10, "flows": [1.0, 2.0]}, 1e-9) is None
    assert difference(stored, {"rating": "AA", "pd": 0.01 + 5e-9, "flows": [1.0, 2.0]}, 1e-9) is not None
    assert difference(stored, {"rating": "A", "pd": 0.01, "flows": [1.0, 2.0]}, 1e-9) == ".rating: AA, now A"
    assert difference(stored, {"rating": "AA", "pd": 0.01, "flows": [1.0]}, 1e-9) == ".flows: 2 entries, now 1"


def test_a_price_certificate_agrees_and_one_changed_figure_is_named(listing: Listing, tmp_path: Path) -> None:
    client, analyst = Client(), party("analyst")
    client.force_login(analyst)
    path = tmp_path / "certificate.json"
    path.write_bytes(client.get(reverse("listing-certificate", args=[listing.pk])).content)
    certificate = json.loads(path.read_text())
    assert certificate["command"] == f"manage.py reproduce {listing.pk}"
    assert certificate["terms"]["theta"] == listing.price_report.result["views"]["terms"]["theta"]
    assert certificate["sha256"] == digest({key: value for key, value in certificate.items() if key != "sha256"})
    out = io.StringIO()
    call_command("reproduce", str(listing.pk), certificate=path, verbosity=0, stdout=out)
    assert out.getvalue().splitlines()[0].split() == ["agrees", "certificate", "bytes", certificate["sha256"]]

    def refused(text: str, pk: object = listing.pk) -> tuple[str, int]:
        path.write_text(text)
        with pytest.raises(CommandError) as error:
            call_command("reproduce", str(pk), certificate=path, verbosity=0, stdout=io.StringIO())
        return str(error.value), error.value.returncode

    changed = json.loads(json.dumps(certificate))
    changed["classes"][1]["price"] += 1e-9
    assert refused(json.dumps(changed)) == (
        f"The certificate differs from the listing at classes[1].price: {certificate['classes'][1]['price']}, now"
        f" {changed['classes'][1]['price']}.",
        1,
    )
    # a figure changed with a hash that fits is found just as well
    del changed["sha256"]
    assert "classes[1].price" in refused(json.dumps(changed | {"sha256": digest(changed)}))[0]
    assert "at manifest: keys" in refused(json.dumps({**certificate, "manifest": {}}))[0]
    assert refused("[]") == ("This is no price certificate.", 1)
    assert refused(json.dumps({**certificate, "version": 2}))[0].startswith("The certificate is of version 2")
    assert refused("{")[1] == 2
    assert refused(json.dumps(certificate), listing.rating_report_id)[1] == 2
