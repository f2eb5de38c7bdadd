"""The double-entry ledger: direct, pending, post and void transfers, booked in batches, all or nothing.

The unique key of a transfer is its idempotency claim and is written first; then every account is changed by one
conditional UPDATE, in the order of account ids. Journal and entries are append-only. Not here: who may move what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, Subquery

from accounts.errors import ApplicationError
from accounts.models import Organisation
from investors.models import Account, AccountKind, Entry, Transfer, TransferKind
from pooling.models import Deal

# Ten trillion dollars in cents: far below the 2^63 of the column, so that sums cannot overflow.
MAX_AMOUNT = 10**15


@dataclass(frozen=True)
class Movement:
    """One transfer to be booked. amount: minor units > 0; key: unique in the whole journal, at most 120 characters.

    Use direct, pending, post or void to make one: they keep accounts and amounts of a pair consistent.
    """

    key: str
    kind: TransferKind
    debit_id: UUID
    credit_id: UUID
    asset: str
    amount: int
    pending: Transfer | None = None
    memo: str = ""


@dataclass(frozen=True)
class Effect:
    """Change of one account: minor units that may be spent and that are earmarked."""

    account_id: UUID
    available: int
    held: int


def amount_checked(amount: object, field: str = "amount") -> int:
    """amount as a positive whole number of minor units; ApplicationError for NaN, fractions, text and the rest."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise ApplicationError(
            f"{field} {amount!r} is not a whole number of minor units: give an integer.",
            code="not_an_integer",
            field=field,
        )
    if not 0 < amount <= MAX_AMOUNT:
        raise ApplicationError(
            f"{field} {amount} is out of range: give 1 to {MAX_AMOUNT} minor units.",
            code="out_of_range",
            field=field,
        )
    return amount


def direct(key: str, debit: Account, credit: Account, amount: int, memo: str = "") -> Movement:
    """Moves amount from debit to credit at once. ApplicationError where the assets differ."""
    return _between(key, TransferKind.DIRECT, debit, credit, amount, memo)


def pending(key: str, debit: Account, credit: Account, amount: int, memo: str = "") -> Movement:
    """Earmarks amount on debit for credit, until it is posted or voided."""
    return _between(key, TransferKind.PENDING, debit, credit, amount, memo)


def post(key: str, hold: Transfer, amount: int, memo: str = "") -> Movement:
    """Pays amount (at most the hold) to the hold's credit account; the rest returns to the debit account."""
    _check_hold(hold)
    if amount_checked(amount) > hold.amount:
        raise ApplicationError(
            f"amount {amount} exceeds the hold of {hold.amount}: post at most the hold.",
            code="above_hold",
            field="amount",
        )
    return Movement(key, TransferKind.POST, hold.debit_id, hold.credit_id, hold.asset, amount, hold, memo)


def void(key: str, hold: Transfer, memo: str = "") -> Movement:
    """Returns the whole hold to the debit account."""
    _check_hold(hold)
    return Movement(key, TransferKind.VOID, hold.debit_id, hold.credit_id, hold.asset, hold.amount, hold, memo)


def _between(
    key: str, kind: TransferKind, debit_account: Account, credit_account: Account, amount: int, memo: str
) -> Movement:
    if debit_account.asset != credit_account.asset:
        raise ApplicationError(
            f"asset {debit_account.asset} cannot be paid into an account of {credit_account.asset}: "
            "name two accounts of one asset.",
            code="assets_mixed",
            field="asset",
        )
    if debit_account.pk == credit_account.pk:
        raise ApplicationError(
            "debit and credit name the same account: name two accounts.", code="same_account", field="credit"
        )
    return Movement(
        key,
        kind,
        debit_account.pk,
        credit_account.pk,
        debit_account.asset,
        amount_checked(amount),
        None,
        memo,
    )


def _check_hold(hold: Transfer) -> None:
    if hold.kind != TransferKind.PENDING:
        raise ApplicationError(
            f"transfer {hold.key} is {hold.kind}, not pending: only a hold can be posted or voided.",
            code="not_a_hold",
            field="hold",
        )


def effects(kind: str, debit_id: UUID, credit_id: UUID, amount: int, hold_amount: int | None) -> tuple[Effect, ...]:
    """What one transfer does to the accounts it changes; hold_amount: of the pending transfer it closes.

    A pending and a void change the debit account alone: the receiver has nothing until the post.
    """
    if kind == TransferKind.DIRECT:
        return Effect(debit_id, -amount, 0), Effect(credit_id, amount, 0)
    if kind == TransferKind.PENDING:
        return (Effect(debit_id, -amount, amount),)
    if hold_amount is None:
        raise ValueError(f"hold_amount: a {kind} needs the amount of its pending transfer")
    if kind == TransferKind.POST:
        return Effect(debit_id, hold_amount - amount, -hold_amount), Effect(credit_id, amount, 0)
    return (Effect(debit_id, hold_amount, -hold_amount),)


def account_slot(*, kind: AccountKind, asset: str, owner: Organisation | None, deal: Deal | None) -> str:
    """The unique name of an account: kind/owner/deal/asset, a dash for what does not apply."""
    return "/".join((kind.value, str(owner.pk) if owner else "-", str(deal.pk) if deal else "-", asset))


def account_open(
    *, kind: AccountKind, asset: str, owner: Organisation | None = None, deal: Deal | None = None
) -> Account:
    """The account of this kind, owner, deal and asset, made on first use."""
    slot = account_slot(kind=kind, asset=asset, owner=owner, deal=deal)
    account, _ = Account.objects.get_or_create(
        slot=slot, defaults={"kind": kind, "asset": asset, "owner": owner, "deal": deal}
    )
    return account


@transaction.atomic
def transfers_book(*, batch: str, movements: Sequence[Movement]) -> list[Transfer]:
    """Book movements in their order, all or nothing; the same batch again changes nothing and answers the same.

    Raises ApplicationError: idempotency_conflict (a key was used with other parameters), hold_closed (posted or
    voided before), insufficient_funds (naming the account's asset), with nothing booked.
    """
    if not movements:
        return []
    for movement in movements:
        if not 0 < len(movement.key) <= 120:
            raise ApplicationError("key must have 1 to 120 characters: shorten it.", code="bad_key", field="key")
    written = _journal(batch, movements)
    if written is None:
        return _same_answer(batch, movements)
    _apply(written, [_effects_of(movement) for movement in movements])
    return written


def hold_place(*, debit: Account, credit: Account, amount: int, key: str, memo: str = "") -> Transfer:
    """Earmark amount on debit for credit; insufficient_funds where available is less."""
    return transfers_book(batch=key, movements=[pending(key, debit, credit, amount, memo)])[0]


def hold_post(*, hold: Transfer, amount: int, key: str, memo: str = "") -> Transfer:
    """Pay amount out of a hold, return the rest, and close it."""
    return transfers_book(batch=key, movements=[post(key, hold, amount, memo)])[0]


def hold_void(*, hold: Transfer, key: str, memo: str = "") -> Transfer:
    """Return a hold in full and close it."""
    return transfers_book(batch=key, movements=[void(key, hold, memo)])[0]


def transfer_reverse(*, transfer: Transfer) -> Transfer:
    """Compensate a direct or posted transfer by its opposite; the first stays in the journal. Once per transfer."""
    if transfer.kind not in (TransferKind.DIRECT, TransferKind.POST):
        raise ApplicationError(
            f"transfer {transfer.key} is {transfer.kind}: reverse a booked one, void a hold.",
            code="not_reversible",
            field="transfer",
        )
    key = f"reverse/{transfer.pk}"
    back = direct(key, transfer.credit, transfer.debit, transfer.amount, f"reversal of {transfer.key}"[:200])
    return transfers_book(batch=key, movements=[back])[0]


def _effects_of(movement: Movement) -> tuple[Effect, ...]:
    hold_amount = movement.pending.amount if movement.pending else None
    return effects(movement.kind, movement.debit_id, movement.credit_id, movement.amount, hold_amount)


def _journal(batch: str, movements: Sequence[Movement]) -> list[Transfer] | None:
    """The journal lines, written; None where a key is there already."""
    lines = [
        Transfer(
            batch=batch,
            key=movement.key,
            kind=movement.kind,
            pending_of=movement.pending,
            debit_id=movement.debit_id,
            credit_id=movement.credit_id,
            asset=movement.asset,
            amount=movement.amount,
            memo=movement.memo,
        )
        for movement in movements
    ]
    try:
        with transaction.atomic():
            return Transfer.objects.bulk_create(lines)
    except IntegrityError:
        closed = [movement.pending.pk for movement in movements if movement.pending]
        if Transfer.objects.filter(key__in=[movement.key for movement in movements]).exists():
            return None
        if other := Transfer.objects.filter(pending_of__in=closed).select_related("pending_of").first():
            ended = "posted" if other.kind == TransferKind.POST else "voided"
            name = other.pending_of.key if other.pending_of else ""
            raise ApplicationError(
                f"hold {name} was {ended} before: a hold ends once.", code="hold_closed", field="hold"
            ) from None
        raise


def _parameters(line: Transfer | Movement) -> tuple[object, ...]:
    hold = line.pending_of_id if isinstance(line, Transfer) else line.pending.pk if line.pending else None
    return str(line.kind), line.debit_id, line.credit_id, line.asset, line.amount, hold


def _same_answer(batch: str, movements: Sequence[Movement]) -> list[Transfer]:
    """The transfers booked before under these keys, if they are the same; a refused batch left no key behind."""
    found = {line.key: line for line in Transfer.objects.filter(key__in=[movement.key for movement in movements])}
    for movement in movements:
        line = found.get(movement.key)
        if line is None or line.batch != batch or _parameters(line) != _parameters(movement):
            raise ApplicationError(
                f"idempotency key {movement.key} was used with other parameters: choose a new key.",
                code="idempotency_conflict",
                field="idempotency_key",
            )
    return [found[movement.key] for movement in movements]


def _apply(lines: Sequence[Transfer], changes: Sequence[tuple[Effect, ...]]) -> None:
    flat = [effect for per_line in changes for effect in per_line]
    net: dict[UUID, list[int]] = {}
    for effect in flat:
        total = net.setdefault(effect.account_id, [0, 0, 0])
        total[0] += effect.available
        total[1] += effect.held
        total[2] += 1
    # One order for every transaction: two of them can wait for each other, never in a ring.
    for account_id in sorted(net):
        _change(account_id, *net[account_id])
    _write_entries(lines, changes, net)


def _change(account_id: UUID, available: int, held: int, entries: int) -> None:
    """One conditional UPDATE: the guard and the change are one statement, so a race cannot overdraw."""
    enough = Q(kind=AccountKind.WORLD) | Q(available__gte=-available) if available < 0 else Q()
    changed = Account.objects.filter(enough, pk=account_id, held__gte=-held).update(
        available=F("available") + available, held=F("held") + held, entry_count=F("entry_count") + entries
    )
    if changed != 1:
        raise _insufficient(Account.objects.get(pk=account_id), -available)


def _insufficient(account: Account, needed: int) -> ApplicationError:
    unit = account.asset.rsplit("/", 1)[-1]
    return ApplicationError(
        f"{account.kind} account of {unit}: {needed / 100:,.2f} is needed and {account.available / 100:,.2f} is "
        "available; lower the amount or deposit first.",
        code="insufficient_funds",
        field="amount",
    )


def _write_entries(
    lines: Sequence[Transfer], changes: Sequence[tuple[Effect, ...]], net: Mapping[UUID, Sequence[int]]
) -> None:
    """Entries of the accounts, whose rows this transaction has locked by its updates."""
    last = Entry.objects.filter(account=OuterRef("pk")).order_by("-number").values("digest")[:1]
    accounts = {account.pk: account for account in Account.objects.filter(pk__in=net).annotate(head=Subquery(last))}
    running = {
        pk: [account.available - net[pk][0], account.held - net[pk][1], account.entry_count - net[pk][2]]
        for pk, account in accounts.items()
    }
    heads = {pk: account.head or "" for pk, account in accounts.items()}
    entries = []
    for line, per_line in zip(lines, changes, strict=True):
        for effect in per_line:
            state = running[effect.account_id]
            state[0] += effect.available
            state[1] += effect.held
            state[2] += 1
            account = accounts[effect.account_id]
            if state[0] < 0 and account.kind != AccountKind.WORLD:
                account.available = state[0] - effect.available
                raise _insufficient(account, -effect.available)
            entry = Entry(
                account_id=effect.account_id,
                number=state[2],
                transfer=line,
                available_change=effect.available,
                held_change=effect.held,
                available_after=state[0],
                held_after=state[1],
                previous=heads[effect.account_id],
            )
            entry.digest = heads[effect.account_id] = entry_digest(entry, line)
            entries.append(entry)
    Entry.objects.bulk_create(entries)


def entry_digest(entry: Entry, line: Transfer) -> str:
    """SHA-256 over the entry before, the transfer and the figures: a changed or missing row breaks the chain."""
    content: Iterable[object] = (
        entry.previous,
        entry.account_id,
        entry.number,
        line.pk,
        line.id,
        line.batch,
        line.key,
        str(line.kind),
        line.pending_of_id,
        line.debit_id,
        line.credit_id,
        line.asset,
        line.amount,
        line.memo,
        entry.available_change,
        entry.held_change,
        entry.available_after,
        entry.held_after,
    )
    return hashlib.sha256("\x1f".join(map(str, content)).encode()).hexdigest()
