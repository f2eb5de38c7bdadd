"""The fifteen invariants of shared/oracles/market/11_ledger_invariants.json, each as a test of its own.

Source: technomorphcorporation/ledger-conformance-kit 15909080 (Apache-2.0); names only, no code.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F, Sum

from accounts.append_only import guard, unguard
from accounts.errors import ApplicationError
from accounts.models import Role
from investors import ledger
from investors.ledger import (
    account_open,
    direct,
    entry_digest,
    hold_place,
    hold_post,
    hold_void,
    pending,
    post,
    transfer_reverse,
    transfers_book,
    void,
)
from investors.models import Account, AccountKind, Entry, Transfer
from investors.selectors import ledger_drift, ledger_imbalance, ledger_rebuild, ledger_verify
from investors.services import cash_account, cash_deposit
from tests.services.factories import key, organisation, party
from tests.services.threads import at_once

THREADS = 8


def cash(amount: int = 0, currency: str = "USD") -> Account:
    """A new investor's cash account holding amount cents."""
    owner = organisation(party(Role.INVESTOR))
    if amount:
        cash_deposit(organisation=owner, amount=amount, idempotency_key=key(), currency=currency)
    return cash_account(owner, currency)


def pay(giver: Account, taker: Account, amount: int, name: str = "") -> Transfer:
    name = name or key()
    return transfers_book(batch=name, movements=[direct(name, giver, taker, amount)])[0]


def assert_sound() -> None:
    assert ledger_imbalance() == 0
    assert ledger_drift() == 0
    assert ledger_verify() == Entry.objects.count()


def random_operations(count: int, seed: int) -> None:
    """Direct, pending, post, void and reversal in random order between four accounts; refusals are part of it."""
    rng = random.Random(seed)
    accounts = [cash(rng.randrange(1, 10_000)) for _ in range(4)]
    holds: list[Transfer] = []
    booked: list[Transfer] = []
    for _ in range(count):
        giver, taker = rng.sample(accounts, 2)
        amount = rng.randrange(1, 3_000)
        act = rng.choice(["direct", "hold", "post", "void", "reverse"])
        try:
            if act == "direct":
                booked.append(pay(giver, taker, amount))
            elif act == "hold":
                holds.append(hold_place(debit=giver, credit=taker, amount=amount, key=key()))
            elif act == "post" and holds:
                hold = holds.pop(rng.randrange(len(holds)))
                booked.append(hold_post(hold=hold, amount=rng.randint(1, hold.amount), key=key()))
            elif act == "void" and holds:
                hold_void(hold=holds.pop(rng.randrange(len(holds))), key=key())
            elif act == "reverse" and booked:
                transfer_reverse(transfer=rng.choice(booked))
        except ApplicationError as refusal:
            assert refusal.code == "insufficient_funds"  # noqa: PT017


@pytest.mark.django_db
def test_balanced_per_currency():
    random_operations(60, seed=1)
    dollars, euros = cash(500), cash(700, "EUR")
    pay(dollars, cash(), 200)
    pay(euros, cash(0, "EUR"), 300)
    sums = Account.objects.values("asset").annotate(total=Sum(F("available") + F("held"))).order_by("asset")
    assert [(row["asset"], row["total"]) for row in sums] == [("EUR", 0), ("USD", 0)]
    assert ledger_imbalance() == 0
    # and the measure sees an imbalance
    Account.objects.filter(pk=dollars.pk).update(available=F("available") + 3)
    Account.objects.filter(pk=euros.pk).update(available=F("available") - 2)
    assert ledger_imbalance() == 5


@pytest.mark.django_db
def test_journal_append_only():
    line = pay(cash(100), cash(), 40)
    changes: list[Callable[[], object]] = [
        lambda: Transfer.objects.filter(pk=line.pk).update(amount=41),
        lambda: Transfer.objects.filter(pk=line.pk)._raw_delete("default"),
        lambda: line.save(),
        lambda: Entry.objects.filter(transfer=line).update(available_after=41),
        lambda: Entry.objects.filter(transfer=line)._raw_delete("default"),
    ]
    for change in changes:
        with pytest.raises(DatabaseError, match="is append-only"), transaction.atomic():
            change()
    assert_sound()


@pytest.mark.django_db(transaction=True)
def test_hash_chain_intact():
    giver = cash(1_000)
    for _ in range(3):
        pay(giver, cash(), 10)
    assert ledger_verify() == 8  # two entries for the deposit and for each payment
    tables = ("investors_transfer", "investors_entry")
    # given somebody who can switch the guard off
    for table in tables:
        unguard(connection, table)
    try:
        second = Entry.objects.select_related("transfer").get(account=giver, number=2)
        # when a line of the journal is changed, then the chain tells
        Transfer.objects.filter(pk=second.transfer.pk).update(memo="changed")
        with pytest.raises(ApplicationError, match="its digest does not match") as refusal:
            ledger_verify()
        assert refusal.value.code == "ledger_broken"
        Transfer.objects.filter(pk=second.transfer.pk).update(memo="")
        assert ledger_verify() == 8
        # when an entry is changed together with its digest, the next one tells
        second.available_after += 1
        Entry.objects.filter(pk=second.pk).update(
            available_after=second.available_after, digest=entry_digest(second, second.transfer)
        )
        with pytest.raises(ApplicationError, match="broken"):
            ledger_verify()
        # when an entry is taken out, its number is missed
        Entry.objects.filter(pk=second.pk)._raw_delete("default")
        with pytest.raises(ApplicationError, match="its number does not follow"):
            ledger_verify()
    finally:
        for table in tables:
            guard(connection, table)


@pytest.mark.django_db
def test_duplicate_submission_is_a_no_op():
    giver, taker = cash(1_000), cash()
    first = pay(giver, taker, 300, "pay-once")
    again = pay(giver, taker, 300, "pay-once")
    assert again.pk == first.pk
    giver.refresh_from_db()
    assert giver.available == 700
    # the same key with another amount, account, kind or batch is an error, not a second payment
    third = cash()
    for other in (
        [direct("pay-once", giver, taker, 301)],
        [direct("pay-once", giver, third, 300)],
        [pending("pay-once", giver, taker, 300)],
        [direct("pay-once", giver, taker, 300), direct("pay-more", giver, taker, 1)],
    ):
        with pytest.raises(ApplicationError, match="used with other parameters") as refusal:
            transfers_book(batch="pay-once", movements=other)
        assert refusal.value.code == "idempotency_conflict"
    with pytest.raises(ApplicationError, match="used with other parameters"):
        transfers_book(batch="another batch", movements=[direct("pay-once", giver, taker, 300)])
    assert not Transfer.objects.filter(key="pay-more").exists()
    assert_sound()


@pytest.mark.django_db(transaction=True)
def test_concurrent_duplicates_collapse_to_one():
    giver, taker = cash(1_000), cash()
    answers = at_once(THREADS, lambda _: pay(giver, taker, 300, "one payment").pk)
    assert len(set(answers)) == 1
    taker.refresh_from_db()
    assert taker.available == 300
    assert Transfer.objects.filter(key="one payment").count() == 1
    assert_sound()


@pytest.mark.django_db(transaction=True)
def test_no_lost_updates_on_a_hot_account():
    hot, giver = cash(), cash(10_000)
    each = 10
    at_once(THREADS, lambda _: [pay(giver, hot, 7) for _ in range(each)])
    hot.refresh_from_db()
    assert hot.available == THREADS * each * 7
    assert hot.entry_count == THREADS * each
    assert_sound()


@pytest.mark.django_db(transaction=True)
def test_value_conserved_under_concurrent_transfers():
    accounts = [cash(1_000) for _ in range(4)]

    def shuffle(number: int) -> None:
        rng = random.Random(number)
        for _ in range(10):
            giver, taker = rng.sample(accounts, 2)
            try:
                # two lines over three accounts in opposite orders: a deadlock unless locks have one order
                third = rng.choice([account for account in accounts if account not in (giver, taker)])
                name = f"{number}-{rng.random()}"
                moves = [direct(name, giver, taker, 300), direct(f"{name}b", taker, third, 100)]
                transfers_book(batch=name, movements=moves)
            except ApplicationError as refusal:
                assert refusal.code == "insufficient_funds"  # noqa: PT017

    at_once(THREADS, shuffle)
    assert sum(Account.objects.filter(kind=AccountKind.HOLDER).values_list("available", flat=True)) == 4_000
    assert_sound()


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(5))
def test_balance_equals_journal_projection(seed: int):
    random_operations(80, seed)
    assert_sound()
    # a balance changed beside the journal is seen by both measures
    victim = Account.objects.filter(kind=AccountKind.HOLDER).order_by("slot").first()
    assert victim is not None
    Account.objects.filter(pk=victim.pk).update(held=F("held") + 5)
    assert ledger_drift() == 5
    with pytest.raises(ApplicationError, match="differs from its last entry"):
        ledger_verify()


@pytest.mark.django_db(transaction=True)
def test_overdraft_guard_under_concurrent_drain():
    giver, taker = cash(1_000), cash()

    def drain(number: int) -> int:
        paid = 0
        for turn in range(5):
            try:
                hold_place(debit=giver, credit=taker, amount=100, key=f"{number}-{turn}")
                paid += 1
            except ApplicationError as refusal:
                assert refusal.code == "insufficient_funds"  # noqa: PT017
        return paid

    assert sum(at_once(THREADS, drain)) == 10
    giver.refresh_from_db()
    assert (giver.available, giver.held) == (0, 1_000)
    assert_sound()


@pytest.mark.django_db
def test_no_precision_drift():
    # given an amount that float64 cannot hold beside one cent
    giver, taker = cash(ledger.MAX_AMOUNT), cash()
    for _ in range(9):
        cash_deposit(organisation=organisation_of(giver), amount=ledger.MAX_AMOUNT, idempotency_key=key())
    assert float(10 * ledger.MAX_AMOUNT + 1) == float(10 * ledger.MAX_AMOUNT)
    for _ in range(30):
        pay(giver, taker, 1)
    giver.refresh_from_db()
    taker.refresh_from_db()
    assert (giver.available, taker.available) == (10 * ledger.MAX_AMOUNT - 30, 30)
    assert_sound()
    # and nothing but a positive whole number is an amount
    for wrong in (0.1, 1.0, float("nan"), float("inf"), True, "5", None, 0, -1, ledger.MAX_AMOUNT + 1):
        with pytest.raises(ApplicationError, match="amount"):
            pay(giver, taker, wrong)  # type: ignore[arg-type]
    assert Transfer.objects.filter(credit=taker).count() == 30


def organisation_of(account: Account):
    assert account.owner is not None
    return account.owner


@pytest.mark.django_db
def test_currencies_cannot_be_mixed():
    dollars, euros = cash(100), cash(0, "EUR")
    for make in (direct, pending):
        with pytest.raises(ApplicationError, match="USD cannot be paid into an account of EUR") as refusal:
            make(key(), dollars, euros, 50)
        assert refusal.value.code == "assets_mixed"
    with pytest.raises(ApplicationError, match="same account"):
        direct(key(), dollars, dollars, 50)
    assert_sound()


@pytest.mark.django_db
def test_reversal_is_compensation():
    giver, taker = cash(1_000), cash()
    paid = pay(giver, taker, 300)
    back = transfer_reverse(transfer=paid)
    assert (back.debit_id, back.credit_id, back.amount) == (taker.pk, giver.pk, 300)
    assert Transfer.objects.filter(pk=paid.pk).exists()
    giver.refresh_from_db()
    assert giver.available == 1_000
    # once, and not for a hold
    assert transfer_reverse(transfer=paid).pk == back.pk
    hold = hold_place(debit=giver, credit=taker, amount=10, key=key())
    with pytest.raises(ApplicationError, match="void a hold"):
        transfer_reverse(transfer=hold)
    # nor where the receiver has spent it
    spent = pay(giver, taker, 200)
    pay(taker, cash(), 200)
    with pytest.raises(ApplicationError, match=r"2\.00 is needed and 0\.00 is available"):
        transfer_reverse(transfer=spent)
    assert_sound()


@pytest.mark.django_db
def test_state_rebuilds_from_the_log():
    random_operations(80, seed=11)
    stored = {
        pk: (available, held)
        for pk, available, held in Account.objects.exclude(entry_count=0).values_list("pk", "available", "held")
    }
    assert ledger_rebuild() == stored
    assert len(stored) >= 5


@pytest.mark.django_db(transaction=True)
def test_per_account_order_monotonic():
    giver, taker = cash(10_000), cash()
    at_once(THREADS, lambda _: [pay(giver, taker, 1) for _ in range(5)])
    for account in (giver, taker):
        numbers = list(Entry.objects.filter(account=account).order_by("number").values_list("number", flat=True))
        assert numbers == list(range(1, len(numbers) + 1))
    assert Entry.objects.filter(account=taker).count() == THREADS * 5
    with pytest.raises(IntegrityError), transaction.atomic():
        Entry.objects.create(
            account=taker,
            number=3,
            transfer=Transfer.objects.order_by("seq")[0],
            available_change=0,
            held_change=0,
            available_after=0,
            held_after=0,
        )


@pytest.mark.django_db
def test_duplicate_of_a_refused_transaction_is_not_reported_applied():
    giver, taker = cash(100), cash()
    for _ in range(2):
        with pytest.raises(ApplicationError, match=r"2\.00 is needed and 1\.00 is available"):
            pay(giver, taker, 200, "too much")
    assert not Transfer.objects.filter(key="too much").exists()
    # once the money is there the same key is the first payment
    cash_deposit(organisation=organisation_of(giver), amount=100, idempotency_key=key())
    pay(giver, taker, 200, "too much")
    taker.refresh_from_db()
    assert taker.available == 200
    assert_sound()


@pytest.mark.shared
def test_every_invariant_of_the_oracle_has_its_test(shared: Path):
    oracle = json.loads((shared / "oracles" / "market" / "11_ledger_invariants.json").read_text())
    names = [text.replace("==", "equals").replace("-", " ").lower() for text in oracle["invariants"]]
    tests = [f"test_{name.replace(' ', '_')}" for name in names]
    assert len(tests) == 15
    assert [name for name in tests if name not in globals()] == []


# ------------------------------------------------------------------------------------------ holds and batches
@pytest.mark.django_db
def test_a_partial_post_pays_part_and_returns_the_rest():
    giver, taker = cash(1_000), cash()
    hold = hold_place(debit=giver, credit=taker, amount=600, key=key())
    giver.refresh_from_db()
    assert (giver.available, giver.held) == (400, 600)
    hold_post(hold=hold, amount=450, key=key())
    giver.refresh_from_db()
    taker.refresh_from_db()
    assert (giver.available, giver.held, taker.available) == (550, 0, 450)
    # a hold ends once
    for end in (void(key(), hold), post(key(), hold, 1)):
        with pytest.raises(ApplicationError, match="was posted before: a hold ends once") as refusal:
            transfers_book(batch=key(), movements=[end])
        assert refusal.value.code == "hold_closed"
    with pytest.raises(ApplicationError, match="601 exceeds the hold of 600"):
        post(key(), hold, 601)
    assert_sound()


@pytest.mark.django_db
def test_a_batch_is_booked_all_or_nothing():
    giver, taker, poor = cash(1_000), cash(), cash()
    with pytest.raises(ApplicationError, match="needed"):
        transfers_book(batch="linked", movements=[direct("l1", giver, taker, 500), direct("l2", poor, taker, 1)])
    assert not Transfer.objects.filter(batch="linked").exists()
    giver.refresh_from_db()
    assert giver.available == 1_000
    # within a batch the order counts: nobody spends what only comes later
    with pytest.raises(ApplicationError, match=r"account of USD: 0\.10 is needed and 0\.00 is available"):
        transfers_book(batch="early", movements=[direct("e1", poor, taker, 10), direct("e2", giver, poor, 10)])
    transfers_book(batch="late", movements=[direct("e2", giver, poor, 10), direct("e1", poor, taker, 10)])
    assert_sound()


@pytest.mark.django_db
def test_only_the_world_may_be_negative():
    world = account_open(kind=AccountKind.WORLD, asset="USD")
    taker = cash(250)
    world.refresh_from_db()
    assert (world.available, taker.available) == (-250, 250)
    # the database's own constraint refuses what a service without its guard would do
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(pk=taker.pk).update(available=F("available") - 251)
    with pytest.raises(IntegrityError), transaction.atomic():
        Account.objects.filter(pk=taker.pk).update(held=-1)


# ------------------------------------------------------------------------------------------ mutants
@pytest.mark.django_db
def test_mutant_without_the_conditional_update_is_stopped_by_the_database(monkeypatch: pytest.MonkeyPatch):
    giver, taker = cash(100), cash()

    def unguarded(account_id, available, held, entries):
        Account.objects.filter(pk=account_id).update(
            available=F("available") + available, held=F("held") + held, entry_count=F("entry_count") + entries
        )

    monkeypatch.setattr(ledger, "_change", unguarded)
    with pytest.raises(IntegrityError), transaction.atomic():
        pay(giver, taker, 101)
    monkeypatch.undo()
    assert_sound()


@pytest.mark.django_db
def test_mutant_without_the_claim_pays_twice(monkeypatch: pytest.MonkeyPatch):
    giver, taker = cash(1_000), cash()
    journal = ledger._journal

    def forgetful(batch, movements):
        fresh = key()  # the client's key is not the row's
        return journal(batch, [replace(movement, key=fresh) for movement in movements])

    monkeypatch.setattr(ledger, "_journal", forgetful)
    pay(giver, taker, 300, "pay-once")
    pay(giver, taker, 300, "pay-once")
    giver.refresh_from_db()
    assert giver.available == 400  # the test of duplicates would have seen it


@pytest.mark.django_db(transaction=True)
def test_mutant_that_reads_then_writes_is_caught_by_the_entry_numbers(monkeypatch: pytest.MonkeyPatch):
    giver = cash(1_000)
    takers = [cash(), cash()]
    both_have_read = threading.Barrier(2)

    def naive(account_id, available, held, entries):
        account = Account.objects.get(pk=account_id)
        if account_id == giver.pk:
            with contextlib.suppress(threading.BrokenBarrierError):
                both_have_read.wait(timeout=2)
        Account.objects.filter(pk=account_id).update(
            available=account.available + available,
            held=account.held + held,
            entry_count=account.entry_count + entries,
        )

    monkeypatch.setattr(ledger, "_change", naive)
    if connection.vendor == "postgresql":
        # both read 1,000: the second write would lose the first, and its entry has a number that is taken
        with pytest.raises(IntegrityError):
            at_once(2, lambda number: pay(giver, takers[number], 100, f"naive-{number}"))
        assert Transfer.objects.filter(key__startswith="naive").count() == 1
    else:
        # SQLite lets one write transaction in at a time: the second reads only after the first is done
        at_once(2, lambda number: pay(giver, takers[number], 100, f"naive-{number}"))
    monkeypatch.undo()
    assert_sound()
