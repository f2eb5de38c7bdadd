"""Verbs beside the walk: withdrawing a tape, rating on a history of one's own, and reading a tape without a lock."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from random import Random
from threading import Thread
from typing import Any

import pytest
from django.db import connection

from accounts.graphql.mutations import ServiceMutation
from accounts.models import ApiToken, Role
from accounts.services import token_issue
from config.graphql import schema as root
from pooling import services as pooling_services
from pooling.loaders import UploadLoader
from pooling.models import Loan, TapeUpload, TapeVersion
from rating import services as rating_services
from rating.models import CreditModelVersion, RatingRun
from tests.api import world as way
from tests.api.api import Api, mutation
from tests.services.factories import party

WAIT_SECONDS = 5.0  # far below the 20 s that SQLite waits for its write lock
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def history_bytes(loans: int = 600) -> bytes:
    """Loans of 2018 and 2019, all finished: a fifth charged off after a year, the others paid early or in full."""
    random = Random(3)
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["id", "funded_amnt", "term", "int_rate", "grade", "issue_d", "loan_status", "last_pymnt_d",
           "total_rec_prncp", "recoveries", "out_prncp"])  # fmt: skip
    for number in range(loans):
        grade, issued, lost = "ABCD"[number % 4], number % 24, random.random() < 0.2
        last = issued + (6 + number % 12 if lost else 10 + number % 26)
        write([number, 10_000, " 36 months", f"{8 + 3 * (number % 4)}.00%", grade, month(issued),
               "Charged Off" if lost else "Fully Paid", month(last), 3_000 if lost else 10_000, 500 if lost else 0,
               0])  # fmt: skip
    return text.getvalue().encode()


def month(number: int) -> str:
    """Months since January 2018 as tapes write them."""
    return f"{MONTHS[number % 12]}-{2018 + number // 12}"


# ---------------------------------------------------------------------------------------------- withdrawing
@pytest.mark.django_db
def test_a_withdrawn_tape_frees_its_loans() -> None:
    api = way.parties().originator
    _, upload = api.upload(way.tape_bytes())
    tape = imported(api, upload)
    again = api.attempt("tapeImport", "tape { id }", {"uploadId": upload["uploadId"]})
    assert [error["code"] for error in again["userErrors"]] == ["loans_already_registered"]

    gone = api.do("tapeWithdraw", "tape { id root }", {"tapeId": tape}, key="withdraw-1")

    assert not Loan.objects.filter(is_open=True).exists()
    assert api.do("tapeWithdraw", "tape { id root }", {"tapeId": tape}, key="withdraw-1") == gone
    second = imported(api, upload)
    assert second != tape
    assert Loan.objects.filter(is_open=True).count() == way.LOANS


def imported(api: Api, upload: dict[str, Any]) -> str:
    found: str = api.do("tapeImport", "tape { id }", {"uploadId": upload["uploadId"]})["tape"]["id"]
    return found


@pytest.mark.django_db
def test_a_tape_with_a_pool_is_not_withdrawn() -> None:
    world = way.parties()
    way.rate(world)

    refused = world.originator.attempt("tapeWithdraw", "tape { id }", {"tapeId": world.ids["tape"]})

    assert refused["tape"] is None
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("tape_in_use", "tape")]
    assert Loan.objects.filter(is_open=True).count() == way.LOANS


# ---------------------------------------------------------------------------------------------- calibration
@pytest.mark.django_db
def test_a_rating_on_a_history_of_ones_own_discloses_the_fitted_model() -> None:
    world = way.parties()
    way.rate(world)
    api = world.originator
    _, upload = api.upload(history_bytes(), "history.csv")
    asked = {"dealId": world.ids["deal"], "scenarios": way.SCENARIOS, "calibrationUploadId": upload["uploadId"]}

    fields = "ratingRun { id creditModel { digest name payload } }"
    run = api.do("ratingRequest", fields, asked, key="calibrated-1")["ratingRun"]

    assert run["creditModel"]["name"] == "calibrated on history"
    assert run["creditModel"]["payload"]["bands"] == ["A", "B", "C", "D"]
    assert run["creditModel"]["digest"] != RatingRun.objects.earliest("created_at").credit_model_id
    history = TapeUpload.objects.latest("created_at")
    assert run["creditModel"]["payload"]["provenance"]["history_sha256"] == history.sha256
    assert api.do("ratingRequest", fields, asked, key="calibrated-1")["ratingRun"] == run
    conflict = api.attempt("ratingRequest", fields, {**asked, "calibrationUploadId": None}, key="calibrated-1")
    assert [error["code"] for error in conflict["userErrors"]] == ["idempotency_conflict"]


@pytest.mark.django_db
def test_a_history_that_does_not_serve_names_the_input_at_fault() -> None:
    world = way.parties()
    way.rate(world)
    models = CreditModelVersion.objects.count()
    _, unfinished = world.originator.upload(way.tape_bytes(seed=9), "current.csv")
    _, foreign = world.stranger.upload(history_bytes(), "history.csv")

    def errors(upload: dict[str, Any]) -> list[tuple[str, str | None]]:
        asked = {"dealId": world.ids["deal"], "calibrationUploadId": upload["uploadId"]}
        payload = world.originator.attempt("ratingRequest", "ratingRun { id }", asked)
        return [(error["code"], error["field"]) for error in payload["userErrors"]]

    unfit = errors(unfinished)
    assert len(unfit) == 1
    assert unfit[0][0] in ("history_without_outcomes", "history_unfit")
    assert unfit[0][1] == "calibrationUploadId"
    assert errors(foreign) == [("not_found", None)]
    assert CreditModelVersion.objects.count() == models
    assert RatingRun.objects.count() == 1


# ------------------------------------------------------------------------------------- no lock while reading
def test_which_verbs_have_a_transaction_of_their_own() -> None:
    """Verbs that read for long. Of every other verb the request's transaction takes back what its answer spoils."""
    assert root.schema.graphql_schema.mutation_type is not None
    own = set()
    for name, field in root.schema.graphql_schema.mutation_type.fields.items():
        payload = field.type.graphene_type
        assert issubclass(payload, ServiceMutation)
        if payload.own_transaction:
            own.add(name)
    assert own == {"tapeImport", "poolCreate", "ratingRequest"}


class Bystander:
    """Wraps a function that reads for long: meanwhile another connection reads and writes. seen: how it fared."""

    def __init__(self, slow: Callable[..., Any], user: Any) -> None:
        self.slow, self.user = slow, user
        self.seen: list[str] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        thread = Thread(target=self.act, daemon=True)
        thread.start()
        thread.join(WAIT_SECONDS)
        self.seen.append("waits" if thread.is_alive() else "done")
        return self.slow(*arguments, **named)

    def act(self) -> None:
        try:
            before = ApiToken.objects.count()
            token_issue(user=self.user, name="meanwhile")
            assert ApiToken.objects.count() == before + 1
        finally:
            connection.close()


@pytest.mark.django_db(transaction=True)
def test_others_read_and_write_while_a_tape_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world, other = way.parties(), party(Role.ANALYST)
    api = world.originator
    _, upload = api.upload(way.tape_bytes())
    _, history = api.upload(history_bytes(), "history.csv")

    def beside(module: Any, name: str) -> Bystander:
        bystander = Bystander(getattr(module, name), other)
        monkeypatch.setattr(module, name, bystander)
        return bystander

    reading = beside(pooling_services, "read_tape")
    aligning = beside(pooling_services, "collateral_of")
    fitting = beside(rating_services, "read_tape")

    tape = imported(api, upload)
    pool = api.do("poolCreate", "pool { id }", {"tapeId": tape, "name": "P"})["pool"]["id"]
    deal = api.do("dealCreate", "deal { id }", {"poolId": pool, "name": "D"})["deal"]["id"]
    asked = {"dealId": deal, "scenarios": way.SCENARIOS, "calibrationUploadId": history["uploadId"]}
    api.do("ratingRequest", "ratingRun { id }", asked)

    assert (reading.seen, aligning.seen, fitting.seen) == (["done"], ["done"], ["done"])


@pytest.mark.django_db(transaction=True)
def test_such_a_verb_beside_another_is_taken_back_with_it() -> None:
    """Two verbs share the request's transaction: the second one's refused answer undoes the first."""
    api = way.parties().originator
    _, upload = api.upload(way.tape_bytes())
    both = """mutation($upload: ID!) {
      tapeImport(input: {uploadId: $upload}, idempotencyKey: "two-verbs-1") { tape { id } userErrors { code } }
      bidWithdraw(input: {bidId: "x"}, idempotencyKey: "two-verbs-2") { bid { id } } }"""

    answer = api.ask(both, upload=upload["uploadId"])

    assert answer.codes == ["FORBIDDEN"]
    assert answer.body["data"] is None
    assert TapeVersion.objects.count() == 0
    assert Loan.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_alone_it_stays_done_when_its_answer_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import has its own transaction, so an answer that fails in part still shows what was done; once."""
    api = way.parties().originator
    _, upload = api.upload(way.tape_bytes())
    spoiled = mutation("tapeImport", "tape { id upload { filename } }")

    def broken(self: Any, keys: Any) -> Any:
        raise RuntimeError("no disk")

    with monkeypatch.context() as patch:
        patch.setattr(UploadLoader, "read", broken)
        answer = api.ask(spoiled, input={"uploadId": upload["uploadId"]}, key="spoiled-1")
    assert answer.codes == ["INTERNAL"]
    shown = answer.body["data"]["tapeImport"]["tape"]
    assert shown["upload"] is None
    assert TapeVersion.objects.count() == 1

    again = api.ask(spoiled, input={"uploadId": upload["uploadId"]}, key="spoiled-1").data["tapeImport"]["tape"]

    assert again == {"id": shown["id"], "upload": {"filename": "tape.csv"}}
    assert TapeVersion.objects.count() == 1
