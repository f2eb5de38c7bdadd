"""A servicer's monthly tape: what is taken in, what is refused and in which words, and that a stored month stays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from accounts.errors import ApplicationError, NotFound
from accounts.models import AuditEvent, Role
from marketplace.cast import Cast, cast_create
from pooling.artefacts import artefact_path
from pooling.models import Deal, PerformanceTape
from pooling.performance import performance_history, performance_upload, pool_loans
from pooling.services import deal_create, pool_create, tape_import, tape_upload
from pooling.tapes import write_generated_tape
from tests.services.factories import key, party
from tests.services.surveyed import finished_slice
from tests.services.threads import at_once
from tests.web.conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "loan_id,period,ending_balance,days_past_due,scheduled_principal,prepayment,interest,charge_off,recovery"
FIRST = ("2026-05", "2026-06", "2026-07")


@pytest.fixture
def cast() -> Cast:
    return cast_create(password=PASSWORD)


@pytest.fixture
def deal(cast: Cast, tmp_path: Path) -> Deal:
    """A deal of forty loans with its cut-off at the end of April 2026."""
    path = tmp_path / "tape.csv"
    write_generated_tape(path, n=40, seed=9)
    return deal_of(cast, path)


def deal_of(cast: Cast, path: Path, as_of: str = "") -> Deal:
    user = cast.originator
    upload = tape_upload(user=user, filename=path.name, stream=[path.read_bytes()], idempotency_key=key())
    tape = tape_import(user=user, upload=upload, idempotency_key=key())
    pool = pool_create(user=user, tape=tape, name="pool", as_of=as_of, idempotency_key=key())
    closing = pd.Timestamp("2026-05-21").date()
    return deal_create(user=user, pool=pool, name="Surveyed", closing=closing, idempotency_key=key())


class Servicer:
    """Writes months of a pool that pays one percent of what it owed a month. change: loan place -> cells."""

    def __init__(self, deal: Deal) -> None:
        loans = pool_loans(deal)
        self.ids = loans.loan_id.tolist()
        self.owed = np.rint(loans.balance * 100).astype(np.int64)

    def month(self, period: str, **changes: Mapping[str, object]) -> list[str]:
        """The lines of the next month. changes: loan_<place> -> cells that differ; a line that is None is left out."""
        lines = []
        for place, name in enumerate(self.ids):
            paid = int(self.owed[place]) // 100
            cells: dict[str, object] = {
                "loan_id": name, "period": period, "ending_balance": money(self.owed[place] - paid),
                "days_past_due": 0, "scheduled_principal": money(paid), "prepayment": "0", "interest": "1.5",
                "charge_off": "0.00", "recovery": "0",
            }  # fmt: skip
            cells |= changes.get(f"loan_{place}", {})
            lines.append(",".join(str(cells[column]) for column in HEADER.split(",")))
            self.owed[place] = round(float(str(cells["ending_balance"])) * 100)
        return lines


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def sent(cast: Cast, deal: Deal, lines: list[str], *, header: str = HEADER, **options: Any) -> list[PerformanceTape]:
    text = "\n".join([header, *lines]) + "\n"
    given: dict[str, Any] = {
        "user": cast.originator, "deal": deal, "filename": "may.csv", "idempotency_key": key(),
    }  # fmt: skip
    return performance_upload(stream=[text.encode()], **(given | options))


def refusal(cast: Cast, deal: Deal, lines: list[str], **options: Any) -> str:
    before = PerformanceTape.objects.count()
    with pytest.raises(ApplicationError) as refused:
        sent(cast, deal, lines, **options)
    assert PerformanceTape.objects.count() == before
    assert refused.value.field in ("file", "tape")
    return refused.value.message


# -------------------------------------------------------------------------------------------------- what is taken in
def test_months_are_stored_in_order_once_and_read_back_to_the_cent(cast: Cast, deal: Deal) -> None:
    servicer = Servicer(deal)
    opening = servicer.owed.copy()
    first = servicer.month("2026-05")
    (row,) = sent(cast, deal, first)
    assert (row.number, row.period, row.rows, row.source) == (1, "2026-05", 40, "may.csv")
    assert row.balance == int(servicer.owed.sum())
    # the same figures again, whatever the order of rows, add nothing
    assert [again.pk for again in sent(cast, deal, first[::-1])] == [row.pk]
    # two months in one file
    more = servicer.month("2026-06") + servicer.month("2026-07")
    rows = sent(cast, deal, more)
    assert [each.number for each in rows] == [2, 3]
    history = performance_history(deal)
    assert history.periods == FIRST
    np.testing.assert_array_equal(history.balance[0], opening)
    np.testing.assert_array_equal(history.balance[3], servicer.owed)
    moved = history.scheduled_principal + history.prepayment + history.charge_off
    np.testing.assert_array_equal(history.balance[:-1] - moved, history.balance[1:])
    assert (history.interest == 150).all()
    assert AuditEvent.objects.filter(verb="performance.stored").count() == 3
    assert [history.until(1).months, len(history.until(1).balance)] == [1, 2]


def test_a_key_used_again_gives_the_same_rows_and_no_other_file(cast: Cast, deal: Deal) -> None:
    servicer = Servicer(deal)
    first, second = servicer.month("2026-05"), servicer.month("2026-06")
    rows = sent(cast, deal, first, idempotency_key="mine")
    assert [each.pk for each in sent(cast, deal, first, idempotency_key="mine")] == [rows[0].pk]
    with pytest.raises(ApplicationError, match="used for another request"):
        sent(cast, deal, second, idempotency_key="mine")


def test_buckets_stand_for_their_first_day_and_exits_need_no_later_row(cast: Cast, deal: Deal) -> None:
    servicer = Servicer(deal)
    owed = money(int(servicer.owed[1]))
    header = HEADER.replace("days_past_due", "bucket")
    lines = servicer.month(
        "2026-05",
        **{f"loan_{n}": dict[str, object](days_past_due="current") for n in range(40)}
        | {
            "loan_0": {"days_past_due": "60-89"},
            "loan_1": {"days_past_due": "current", "ending_balance": 0, "scheduled_principal": 0, "charge_off": owed},
        },
    )
    sent(cast, deal, lines, header=header)
    gone = servicer.month("2026-06")
    del gone[1]
    sent(cast, deal, gone)
    back = servicer.month("2026-07", loan_1={"scheduled_principal": 0, "interest": 0, "recovery": "7.25"})
    sent(cast, deal, back)
    history = performance_history(deal)
    assert history.days_past_due[1, 0] == 60
    assert history.charge_off[0, 1] == history.balance[0, 1]
    assert history.recovery[:, 1].tolist() == [0, 0, 725]


def test_a_stored_month_stays_and_a_damaged_file_is_found(cast: Cast, deal: Deal) -> None:
    servicer = Servicer(deal)
    # A figure of its own: what a process has read of other tests' months it keeps by content.
    (row,) = sent(cast, deal, servicer.month("2026-05", loan_0={"interest": "3.21"}))
    for act in (row.delete, row.save):
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            act()
    path = artefact_path(row.rows_path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(ApplicationError, match="does not match its digest"):
        sent(cast, deal, servicer.month("2026-06"))
    path.write_bytes(data)


def test_of_two_uploads_at_once_one_month_is_stored(cast: Cast, deal: Deal) -> None:
    lines, other = Servicer(deal).month("2026-05"), Servicer(deal).month("2026-05", loan_0={"interest": "9"})

    def act(number: int) -> object:
        try:
            return sent(cast, deal, (lines, other)[number])
        except ApplicationError as refused:
            return refused.code

    found = at_once(2, act)
    assert PerformanceTape.objects.count() == 1
    assert sum(each == "performance_month_stored" for each in found) == 1


# --------------------------------------------------------------------------------------------------- what is refused
def test_every_refusal_names_the_row_and_what_is_wrong(cast: Cast, deal: Deal) -> None:
    ids, owed = pool_loans(deal).loan_id.tolist(), Servicer(deal).owed.tolist()
    started, paid = owed[3] / 100, owed[3] // 100
    cases: list[tuple[dict[str, object], str]] = [
        ({"loan_id": "nobody"}, "Row 4: loan nobody is not in the pool."),
        ({"loan_id": ids[2]}, f"Row 4: loan {ids[2]} is reported twice in 2026-05."),
        ({"loan_id": ""}, "Row 4: loan_id is empty; give the id of the loan."),
        ({"ending_balance": money(owed[3])},
         f"Row 4: loan {ids[3]} began 2026-05 with {started:,.2f}; less scheduled_principal, prepayment and charge_off"
         f" that leaves {(owed[3] - paid) / 100:,.2f}, but ending_balance says {started:,.2f}."),
        ({"prepayment": "-1.00"}, "Row 4: prepayment is -1.00; amounts are not negative."),
        ({"interest": "1,5"}, ""),
        ({"interest": "1.234"}, "Row 4: interest '1.234' is no amount; write it as 1234.56, with a point."),
        ({"interest": "nan"}, "Row 4: interest 'nan' is no amount; write it as 1234.56, with a point."),
        ({"period": "05/2026"}, "Row 4: period '05/2026' is no month; write it as 2026-05."),
        ({"days_past_due": "late"}, "Row 4: days_past_due 'late' is no whole number from 0 to 9999."),
        ({"recovery": "1.00"}, f"Row 4: loan {ids[3]} has a recovery in 2026-05 but was never charged off."),
        ({"ending_balance": "0", "scheduled_principal": money(owed[3]), "days_past_due": "5"},
         f"Row 4: loan {ids[3]} owes nothing at the end of 2026-05 but is past due."),
    ]  # fmt: skip
    for change, sentence in cases:
        found = refusal(cast, deal, Servicer(deal).month("2026-05", loan_3=change))
        assert found == sentence or (not sentence and "row 4" in found.lower()), (change, found)
    short = Servicer(deal).month("2026-05")
    del short[3]
    assert refusal(cast, deal, short) == (
        f"2026-05: loan {ids[3]} still owes {started:,.2f} and is not reported; report every loan until it has ended."
    )
    two = Servicer(deal).month("2026-05", loan_3={"interest": "x"}, loan_9={"interest": "y"})
    assert refusal(cast, deal, two).endswith("with a point (and 1 more).")


def test_headers_are_known_complete_and_of_one_kind(cast: Cast, deal: Deal) -> None:
    lines = Servicer(deal).month("2026-05")
    assert refusal(cast, deal, lines, header=HEADER.replace("charge_off", "chargeoff")) == (
        "The column 'chargeoff' is unknown; did you mean 'charge_off'?"
    )
    fewer = [line.rsplit(",", 1)[0] for line in lines]
    found = refusal(cast, deal, fewer, header=HEADER.removesuffix(",recovery"))
    assert found.startswith("The column recovery is missing; a performance tape has loan_id, period,")
    both = [f"{line},current" for line in lines]
    assert refusal(cast, deal, both, header=f"{HEADER},bucket") == (
        "Give either days_past_due or bucket, one of the two."
    )
    neither = [",".join(cell for n, cell in enumerate(line.split(",")) if n != 3) for line in lines]
    assert "one of the two" in refusal(cast, deal, neither, header=HEADER.replace(",days_past_due", ""))


def test_months_come_in_order_without_gaps_and_do_not_change(cast: Cast, deal: Deal) -> None:
    servicer = Servicer(deal)
    first = servicer.month("2026-05")
    skipped = refusal(cast, deal, [line.replace("2026-05", "2026-06") for line in first])
    assert skipped == (
        "The next month of this deal is 2026-05, but the file has 2026-06; months come in order, without gaps."
    )
    assert "2026-05, but the file has 2026-04" in refusal(
        cast, deal, [line.replace("2026-05", "2026-04") for line in first]
    )
    sent(cast, deal, first)
    other = Servicer(deal).month("2026-05", loan_0={"interest": "2.00"})
    assert refusal(cast, deal, other) == (
        "The month 2026-05 is stored already with other figures; a stored month does not change. Correct it in the"
        " month that follows."
    )
    # a file that is wrong in its second month stores neither
    good, bad = servicer.month("2026-06"), servicer.month("2026-07", loan_0={"interest": "0", "prepayment": "5.00"})
    assert "but ending_balance says" in refusal(cast, deal, good + bad)


def test_only_the_deals_originator_and_operators_report(cast: Cast, deal: Deal) -> None:
    lines = Servicer(deal).month("2026-05")
    for user, error in (
        (party(Role.ORIGINATOR), NotFound), (cast.investor, ApplicationError), (cast.analyst, ApplicationError),
    ):  # fmt: skip
        with pytest.raises(error):
            sent(cast, deal, lines, user=user)
    assert PerformanceTape.objects.count() == 0
    assert len(sent(cast, deal, lines, user=cast.operator)) == 1


# ------------------------------------------------------------------------------------------------------- the command
@pytest.mark.shared
def test_the_command_derives_what_the_tape_knows(
    cast: Cast, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deal = deal_of(cast, finished_slice(shared, tmp_path, every=60), as_of="origination")
    call_command("performance", str(deal.pk), months=7)
    said = capsys.readouterr().out
    assert "Surveyed: 7 months, 2026-05 to 2026-11;" in said
    assert "charged off 4 months after the first missed payment" in said
    assert PerformanceTape.objects.count() == 7
    # all of it: what was there stays, and the loss is the one that the pool row states
    call_command("performance", "Surveyed")
    history = performance_history(deal)
    lost = int((history.charge_off - history.recovery).sum()) / int(history.balance[0].sum())
    assert history.balance[-1].sum() == 0
    assert deal.pool.realised_loss is not None
    assert lost == pytest.approx(float(deal.pool.realised_loss), abs=1e-9)
    with pytest.raises(CommandError, match=r"Months: 500 asked for, but the tape knows 1 to \d+ of every loan"):
        call_command("performance", str(deal.pk), months=500)
    with pytest.raises(CommandError, match="no deal is called 'nothing'"):
        call_command("performance", "nothing")


def test_a_tape_without_outcomes_derives_nothing(cast: Cast, deal: Deal) -> None:
    with pytest.raises(CommandError, match="knows no finished loan"):
        call_command("performance", str(deal.pk))
