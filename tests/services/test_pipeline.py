"""The main job goes on where an earlier start ended, and its collateral services hold under races."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from accounts.errors import ApplicationError, NotFound
from accounts.models import Role
from accounts.services import organisation_create, user_create
from marketplace.cast import Cast, cast_create
from marketplace.models import Listing
from marketplace.pipeline import Job, Stopwatch, file_upload, securitize
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import digest, loans_to_bytes
from pooling.models import Loan, Pool, TapeVersion
from pooling.services import deal_create, pool_create, tape_import, tape_withdraw
from pooling.tapes import write_generated_tape
from rating.models import RatingRun
from rating.services import rating_request
from runs.services import run_fail
from tests.services.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "a quiet word between us"


@pytest.fixture
def cast() -> Cast:
    return cast_create(password=PASSWORD)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=200, seed=9)
    return path


def run(cast: Cast, path: Path) -> Listing:
    job = Job(tape=path, scenarios=256)
    return securitize(job=job, cast=cast, progress=lambda *_: None, watch=Stopwatch(), key="job")


def sealed(cast: Cast, path: Path) -> TapeVersion:
    upload = file_upload(cast.originator, path, "upload")
    return tape_import(user=cast.originator, upload=upload, idempotency_key="tape")


def test_a_second_call_with_the_same_key_finds_the_same_settled_deal(cast: Cast, path: Path) -> None:
    first = run(cast, path)
    assert run(cast, path).pk == first.pk
    assert (RatingRun.objects.count(), Listing.objects.count()) == (1, 1)


def test_a_start_after_a_failed_rating_asks_for_a_new_one(cast: Cast, path: Path, monkeypatch: Any) -> None:
    def lost(*args: Any) -> None:
        run_fail(run_id=RatingRun.objects.get().simulation_id, reason="the disk was full")
        raise ApplicationError("the disk was full")

    monkeypatch.setattr("marketplace.pipeline.rate", lost)
    with pytest.raises(ApplicationError, match="the disk was full"):
        run(cast, path)
    monkeypatch.undo()
    assert run(cast, path).state == "settled"
    assert RatingRun.objects.count() == 2


def test_what_is_not_ones_own_is_not_found(cast: Cast, path: Path) -> None:
    other = user_create(
        username="other", password=PASSWORD, organisation=organisation_create(name="Other", role=Role.ORIGINATOR)
    )
    tape = sealed(cast, path)
    pool = pool_create(user=cast.originator, tape=tape, name="p", idempotency_key="pool")
    deal = deal_create(user=cast.originator, pool=pool, name="d", idempotency_key="deal")
    attempts = {
        "upload": lambda: tape_import(user=other, upload=tape.upload, idempotency_key="1"),
        "tape": lambda: pool_create(user=other, tape=tape, name="p", idempotency_key="2"),
        "pool": lambda: deal_create(user=other, pool=pool, name="d", idempotency_key="3"),
        "deal": lambda: rating_request(user=other, deal=deal, idempotency_key="4"),
    }
    for what, attempt in attempts.items():
        with pytest.raises(NotFound, match=f"No such {what}"):
            attempt()


def test_a_withdrawn_tape_may_be_offered_again_and_a_pooled_one_not_withdrawn(cast: Cast, path: Path) -> None:
    tape = sealed(cast, path)
    tape_withdraw(user=cast.originator, tape=tape, idempotency_key="w")
    again = tape_import(user=cast.originator, upload=tape.upload, idempotency_key="tape 2")
    pool_create(user=cast.originator, tape=again, name="p", idempotency_key="pool")
    with pytest.raises(ApplicationError, match="has a pool and cannot be withdrawn"):
        tape_withdraw(user=cast.originator, tape=again, idempotency_key="w 2")


def test_withdrawing_and_pooling_at_once_leaves_no_pooled_loan_closed(cast: Cast, path: Path) -> None:
    tape = sealed(cast, path)

    def act(number: int) -> str:
        try:
            if number:
                tape_withdraw(user=cast.originator, tape=tape, idempotency_key="w")
            else:
                pool_create(user=cast.originator, tape=tape, name="p", idempotency_key="pool")
        except (ApplicationError, IntegrityError) as error:
            return str(error)
        return "done"

    answers = at_once(2, act)

    assert answers.count("done") == 1, answers

    pooled = Loan.objects.filter(pool__isnull=False)
    assert not pooled.filter(is_open=False).exists()
    assert Pool.objects.count() == (1 if pooled.exists() else 0)


def test_the_database_itself_refuses_a_pooled_loan_that_is_closed(cast: Cast, path: Path) -> None:
    tape = sealed(cast, path)
    pool_create(user=cast.originator, tape=tape, name="p", idempotency_key="pool")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE pooling_loan SET is_open = %s WHERE pool_id IS NOT NULL", [False])


def test_the_engine_sees_loans_in_the_precision_of_the_register(cast: Cast, tmp_path: Path) -> None:
    """Rates on a tie in the seventh decimal and long grades: anyone who holds the register gets the same digest."""
    path = tmp_path / "ties.csv"
    rows = [f"x{i},{5_000 + i},{0.0712345 + i * 1e-6:.7f},36,Grade number {i % 3}" for i in range(60)]
    path.write_text("id,amount,rate,term,grade\n" + "\n".join(rows) + "\n")
    pool = pool_create(user=cast.originator, tape=sealed(cast, path), name="p", idempotency_key="pool")

    register = list(pool.loans.order_by("loan_id"))
    rebuilt = LoanArrays.sorted_by_id(
        loan_id=np.array([loan.loan_id for loan in register]),
        balance=np.array([loan.cutoff_balance for loan in register]) / 100,
        rate=np.array([float(loan.rate) for loan in register]),
        original_term=np.array([loan.term for loan in register]),
        remaining_term=np.array([loan.remaining_term for loan in register]),
        age=np.array([loan.age for loan in register]),
        grade=np.array([loan.grade for loan in register]),
        score=np.full(len(register), np.nan),
        group=np.full(len(register), "pool"),
        sector=np.full(len(register), ""),
    )
    assert digest(loans_to_bytes(rebuilt)) == pool.loans_digest
