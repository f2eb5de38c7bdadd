"""The inventory, the live checks, and assumption sets: what they say, who may read them, and how two compare."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from marketplace.model_exhibits import (
    assumption_rows,
    cell_differences,
    cell_rows,
    correlation_rows,
    differences,
    uncertainty_rows,
)
from rating.engine.calibration import calibrated_model
from rating.engine.curves import documented_model
from rating.engine.hazards import CENSORED, DEFAULTED, History
from rating.engine.inventory import IN_USE, INVENTORY, entry_of
from rating.engine.model import CreditModel
from rating.models import RatingRun
from rating.selectors import documented_set
from rating.services import credit_model_store
from rating.validation import SIMULATED, STANDARD_ERRORS, CheckRow, validation_report
from tests.services.factories import Market, market, party

DOCUMENTED = documented_model()


@cache
def calibrated() -> CreditModel:
    """A model of two grades, fitted to eight issue quarters of loans with known monthly hazards."""
    rng = np.random.default_rng(5)
    n, months = 6_000, 36
    grade = rng.choice(np.array(["A", "B"]), n)
    default = rng.geometric(np.where(grade == "A", 0.01, 0.02))
    kind = np.where(default <= months, DEFAULTED, CENSORED)
    lost = np.where(kind == DEFAULTED, 800.0, 0.0)
    history = History(
        issue_month=rng.integers(0, 24, n),
        term=np.full(n, months),
        grade=grade,
        rate=np.where(grade == "A", 0.08, 0.14),
        balance=np.full(n, 1000.0),
        exit_month_on_book=np.minimum(default, months),
        exit_kind=kind,
        charged_off=lost,
        net_recovery=lost * 0.1,
    )
    return calibrated_model(history, 10_000, terms=(36,))


def rated_with(scene: Market, model: CreditModel) -> str:
    """The scene's report made with this model; its digest. Written past the services, as no rating runs here."""
    stored = credit_model_store(model=model)
    RatingRun.objects.filter(pk=scene.listing.rating_report.rating_run_id).update(credit_model=stored)
    return stored.pk


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# --------------------------------------------------------------------------------------------------- the inventory
@pytest.mark.parametrize("entry", INVENTORY, ids=lambda entry: entry.key)
def test_every_model_names_code_and_tests_that_exist(entry: Any) -> None:
    for module in entry.modules:
        assert find_spec(module) is not None, module
    for path in (*entry.tests, *entry.documents):
        assert (settings.BASE_DIR / path).is_file(), path
    assert all((entry.name, entry.owner, entry.version, entry.purpose, entry.data, entry.limits, entry.evidence))
    assert (entry.status == IN_USE) == bool(entry.modules and entry.tests and entry.validated)


def test_the_models_of_the_brief_are_there_once() -> None:
    keys = [entry.key for entry in INVENTORY]
    assert len(set(keys)) == len(keys)
    assert set(keys) >= {
        "default-hazards", "correlation", "severity", "prepayment-hazards", "scenarios", "exact-engine",
        "granular-engine", "waterfall", "scale", "sizing", "pricing-grid", "capital",
    }  # fmt: skip
    assert entry_of("scale").name == "Indicative scale and grade rules"
    with pytest.raises(ValueError, match=r"^key: 'crystal-ball' is none of"):
        entry_of("crystal-ball")


@pytest.mark.shared
def test_the_oracles_named_are_there(shared: Path) -> None:
    for entry in INVENTORY:
        for oracle in entry.oracles:
            assert (shared / "oracles" / oracle).is_file(), oracle
            assert any(Path(oracle).name in (settings.BASE_DIR / path).read_text() for path in entry.tests), oracle


# -------------------------------------------------------------------------------------------------- the live checks
def test_every_check_passes_and_is_the_same_again() -> None:
    rows = validation_report()
    assert [row.check for row in rows if not row.passed] == []
    validation_report.cache_clear()
    assert validation_report() == rows
    assert len({row.check for row in rows}) == len(rows)
    for row in rows:
        assert (row.z is not None) == (row.kind == SIMULATED)
        assert row.z is None or abs(row.z) <= STANDARD_ERRORS


@pytest.mark.parametrize(("found", "passed"), [(1.05, True), (1.1001, False), (0.8999, False), (float("nan"), False)])
def test_a_figure_beyond_its_tolerance_fails(found: float, passed: bool) -> None:
    assert CheckRow("c", "s", SIMULATED, 1.0, found, 0.1).passed is passed


@pytest.mark.shared
def test_expected_figures_are_transcribed_as_the_oracles_have_them(shared: Path) -> None:
    texts = {name: (shared / "oracles" / "rating" / f"{name}.json").read_text() for name in (
        "01_vasicek_lhp", "03_finite_homogeneous_pool", "13_pairwise_joint_default")}  # fmt: skip
    transcribed = 0
    for row in validation_report():
        for name, text in texts.items():
            if f"oracle rating/{name[:2]}" in row.source:
                transcribed += 1
                assert repr(row.expected) in text, row.check
    assert transcribed == 8


# ------------------------------------------------------------------------------------------------ one assumption set
@pytest.mark.parametrize("model", [DOCUMENTED, calibrated()], ids=["documented", "calibrated"])
def test_every_number_has_a_value_and_a_kind(model: CreditModel) -> None:
    rows = assumption_rows(model)
    names = [row.name for row in rows if row.field]
    assert set(names) == set(model.to_json()) - {"provenance"}
    kinds = {"source", "assumption", "estimated", "derived", "convention", "statement", "label"}
    for row in rows:
        assert row.value, row.name
        assert row.kind in kinds, (row.name, row.kind)
        assert row.grounds or row.name == "history_sha256", row.name
    # what the calibration estimated is not shown as an assumption, and the other way round
    by_name = {row.name: row for row in rows}
    expected = "assumption" if model is DOCUMENTED else "estimated"
    assert by_name["severity_mean"].kind == by_name["pd_level_sigma"].kind == expected
    assert by_name["recovery_lag"].kind == "assumption"


def test_a_correlation_stands_beside_its_interval_and_the_regulatory_one() -> None:
    model = calibrated()
    rows = {row.name: row for row in correlation_rows(model)}
    own, rule = rows["Asset correlation of the set"], rows["Regulatory, other retail"]
    assert own.value == model.asset_correlation
    assert own.low is not None
    assert own.high is not None
    assert own.low < own.high
    # Basel Framework CRE31: other retail, 3 % to 16 %
    assert rule.low == pytest.approx(0.03, abs=1e-12)
    assert rule.high == pytest.approx(0.16, abs=1e-12)
    assert rule.value == pytest.approx(model.provenance["asset_correlation"]["regulatory"])


def test_uncertainty_that_is_switched_off_has_no_width() -> None:
    for row in uncertainty_rows(DOCUMENTED.without_parameter_uncertainty()):
        assert row.low == pytest.approx(row.value)
        assert row.high == pytest.approx(row.value)
        assert row.text == "held at its estimate"
    level = uncertainty_rows(DOCUMENTED)[0]
    # log-normal of mean 1 and deviation 0.30: exp(± 1.96 × 0.30 − 0.045), e^-0.633 and e^0.543
    assert level.low == pytest.approx(0.53100, abs=1e-5)
    assert level.high == pytest.approx(1.72116, abs=1e-5)


def test_lifetime_pd_of_a_cell_is_the_table_s() -> None:
    # Band A of the documented curve, 36 months: net PD = 1 - prod(1 - q), q as the file of the same page has them.
    row = next(row for row in cell_rows(DOCUMENTED, "default") if (row.band, row.term) == ("A", 36))
    monthly = -np.expm1(-DOCUMENTED.default_hazard[0, :36])
    assert row.net == pytest.approx(1 - np.prod(1 - monthly), rel=1e-12)
    assert row.lifetime < row.net
    assert row.monthly[0] == pytest.approx(monthly[0])


# --------------------------------------------------------------------------------------------------------- two sets
def test_sets_that_differ_in_one_field_say_which_and_by_how_much() -> None:
    assert differences(DOCUMENTED, documented_model()) == []
    changed = replace(DOCUMENTED, severity_mean=0.8, copula="student_t", degrees_of_freedom=5.0)
    rows = {row.name: row for row in differences(DOCUMENTED, changed)}
    assert set(rows) == {"severity_mean", "copula", "degrees_of_freedom"}
    assert (rows["severity_mean"].first, rows["severity_mean"].second) == ("0.9", "0.8")
    assert rows["severity_mean"].change == "−0.1"
    assert rows["copula"].second == "student_t"


def test_the_largest_hazard_difference_is_found_in_its_cell_and_month() -> None:
    hazard = DOCUMENTED.default_hazard.copy()
    row = 2 * len(DOCUMENTED.terms)  # band C, 36 months
    hazard[row, 11] += 0.01  # month 12
    changed = replace(DOCUMENTED, default_hazard=hazard)
    worst, *rest = cell_differences(DOCUMENTED, changed)
    assert (worst.cause, worst.band, worst.term, worst.month) == ("default", "C", 36, 12)
    old = DOCUMENTED.default_hazard[row, 11]
    assert worst.difference == pytest.approx(np.exp(-old) - np.exp(-old - 0.01), rel=1e-9)
    assert worst.lifetime_second > worst.lifetime_first
    assert all(other.difference == 0 for other in rest)
    assert [d.change for d in differences(DOCUMENTED, changed)] == ["1 of 840 hazards"]


# ----------------------------------------------------------------------------------------------------- who may read
@pytest.mark.django_db
def test_a_set_is_read_by_whoever_may_see_a_report_made_with_it() -> None:
    # given an open listing rated with a set of its own, and one that is still a draft
    scene, draft = market(investors=1), market(investors=1, opened=False)
    own = rated_with(scene, replace(DOCUMENTED, name="of the open deal", severity_mean=0.85))
    hidden = rated_with(draft, replace(DOCUMENTED, name="of the draft", severity_mean=0.86))
    other, nobody = party(Role.ORIGINATOR), User.objects.create_user("nobody", password="x")
    readers: tuple[tuple[User, set[str]], ...] = (
        (scene.originator, {own}), (scene.analyst, {own}), (scene.investors[0], {own}),
        (scene.operator, {own, hidden}), (draft.originator, {hidden}), (other, set()), (nobody, set()),
    )  # fmt: skip
    for user, allowed in readers:
        client = client_of(user)
        listed = client.get(reverse("models")).content.decode()
        for digest in (own, hidden):
            assert (digest in listed) == (digest in allowed), (user, digest)
            for name in ("model", "model-json", "model-hazards"):
                status = client.get(reverse(name, args=[digest])).status_code
                assert status == (200 if digest in allowed else 404), (user, name)
            query = {"a": documented_set().digest, "b": digest}
            for name in ("model-compare", "model-compare-csv"):
                assert client.get(reverse(name), query).status_code == (200 if digest in allowed else 404)
        # the documented curve is public, and a set that is not there reads like one that is not theirs
        assert client.get(reverse("model", args=[documented_set().digest])).status_code == 200
        assert client.get(reverse("model", args=["0" * 64])).status_code == 404
    assert Client().get(reverse("models")).status_code == 302


@pytest.mark.django_db
def test_the_files_are_the_set_itself() -> None:
    scene = market(investors=0)
    model = replace(calibrated(), name="calibrated here")
    digest = rated_with(scene, model)
    client = client_of(scene.analyst)
    answer = client.get(reverse("model-json", args=[digest]))
    canonical = json.dumps(json.loads(answer.content), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(canonical.encode()).hexdigest() == digest
    rows = table(client.get(reverse("model-hazards", args=[digest])).content.decode())
    assert len(rows) == 2 * len(model.bands) * sum(model.terms)
    for row in rows[::7]:
        place = model.bands.index(row["band"]) * len(model.terms) + model.terms.index(int(row["term"]))
        hazards = model.default_hazard if row["cause"] == "default" else model.prepayment_hazard
        assert float(row["probability"]) == -np.expm1(-hazards[place, int(row["month_on_book"]) - 1])
    page = client.get(reverse("model", args=[digest])).content.decode()
    for sentence in model.fallbacks:
        assert sentence.split(":")[0] in page


@pytest.mark.django_db
def test_two_sets_are_compared_on_the_page_and_in_the_file() -> None:
    scene = market(investors=0)
    digest = rated_with(scene, replace(DOCUMENTED, name="milder", default_hazard=DOCUMENTED.default_hazard / 2))
    client = client_of(scene.analyst)
    query = {"a": documented_set().digest, "b": digest}
    page = client.get(reverse("model-compare"), query).content.decode()
    assert "840 of 840 hazards" in page
    assert "milder" in page
    rows = table(client.get(reverse("model-compare-csv"), query).content.decode())
    assert {row["difference"] for row in rows if row["cause"] == "prepayment"} == {"0.0"}
    assert all(float(row["difference"]) < 0 for row in rows if row["cause"] == "default")
    assert client.get(reverse("model-compare")).status_code == 200
    assert client.get(reverse("model-compare"), {"a": digest, "b": "0" * 64}).status_code == 404


@pytest.mark.django_db
def test_a_set_of_another_version_is_shown_by_its_file_only() -> None:
    # given the factories' model, whose payload no version of ours can read
    scene = market(investors=0)
    digest = scene.listing.rating_report.rating_run.credit_model_id
    client = client_of(scene.analyst)
    assert "written by another version" in client.get(reverse("models")).content.decode()
    page = client.get(reverse("model", args=[digest]))
    assert page.status_code == 200
    assert "was stored by a version with other fields" in page.content.decode()
    assert client.get(reverse("model-json", args=[digest])).json() == {}
    assert client.get(reverse("model-hazards", args=[digest])).status_code == 404
