"""What a user may read of cash, positions, transfers and mandates; and the proofs that the ledger holds.

Not here: writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from accounts.errors import ApplicationError
from accounts.models import Organisation, Role, User
from investors.ledger import Effect, effects, entry_digest
from investors.models import Account, AccountKind, Entry, Mandate, Transfer, TransferKind

Viewer = User | AnonymousUser | None


@dataclass(frozen=True)
class CashPosition:
    """Cash of one organisation in one currency, in cents: to spend, and earmarked for bids."""

    currency: str
    available: int
    held: int

    @property
    def total(self) -> int:
        return self.available + self.held


def organisation_of(viewer: Viewer, *roles: str) -> Organisation | None:
    """The viewer's organisation if it has one of the roles (any, where none is named), else None."""
    if not isinstance(viewer, User) or not viewer.is_active or viewer.organisation is None:
        return None
    return viewer.organisation if not roles or viewer.organisation.role in roles else None


def cash_position(organisation: Organisation, currency: str = "USD") -> CashPosition:
    """Cash of the organisation; zero before its first deposit. The caller has checked whose it is."""
    account = Account.objects.filter(
        kind=AccountKind.HOLDER, owner=organisation, asset=currency, deal__isnull=True
    ).first()
    return CashPosition(currency, account.available, account.held) if account else CashPosition(currency, 0, 0)


def accounts_visible(viewer: Viewer) -> QuerySet[Account]:
    """The viewer's own accounts of cash and units."""
    organisation = organisation_of(viewer, Role.INVESTOR, Role.ORIGINATOR)
    if organisation is None:
        return Account.objects.none()
    return Account.objects.filter(kind=AccountKind.HOLDER, owner=organisation).order_by("slot")


def positions_visible(viewer: Viewer) -> QuerySet[Account]:
    """The viewer's own holdings of class units (asset "<deal id>/<class>"), none of them empty."""
    return accounts_visible(viewer).filter(deal__isnull=False).filter(Q(available__gt=0) | Q(held__gt=0))


def transfers_visible(viewer: Viewer) -> QuerySet[Transfer]:
    """Journal lines from or to the viewer's own accounts, oldest first."""
    organisation = organisation_of(viewer, Role.INVESTOR, Role.ORIGINATOR)
    if organisation is None:
        return Transfer.objects.none()
    return Transfer.objects.filter(Q(debit__owner=organisation) | Q(credit__owner=organisation))


def entries_visible(viewer: Viewer) -> QuerySet[Entry]:
    """What each transfer did to the viewer's own accounts, newest first."""
    accounts = accounts_visible(viewer).order_by().values("pk")
    return Entry.objects.filter(account__in=accounts).order_by("-transfer_id", "account_id")


def mandates_visible(viewer: Viewer) -> QuerySet[Mandate]:
    """The viewer's own mandates."""
    organisation = organisation_of(viewer, Role.INVESTOR)
    if organisation is None:
        return Mandate.objects.none()
    return Mandate.objects.filter(organisation=organisation).order_by("name")


# ------------------------------------------------------------------------------------------ proofs
def ledger_imbalance() -> int:
    """Sum over assets of |sum of all balances|, in minor units: 0, because what one account has another gave."""
    sums = Account.objects.values("asset").annotate(total=Sum(F("available") + F("held"))).order_by()
    return sum(abs(int(row["total"])) for row in sums)


def ledger_drift() -> int:
    """Sum over accounts of |stored - journal|, available and held, in minor units: 0 unless a row was tampered with.

    The journal side is summed by the database from Transfer alone, in one statement, hence in one snapshot.
    """
    booked = Q(kind__in=[TransferKind.DIRECT, TransferKind.POST])
    gone = Q(kind__in=[TransferKind.DIRECT, TransferKind.PENDING])
    ended = Q(kind__in=[TransferKind.POST, TransferKind.VOID])
    rows = Account.objects.annotate(
        received=_sum("credit", booked, "amount"),
        given=_sum("debit", gone, "amount"),
        placed=_sum("debit", Q(kind=TransferKind.PENDING), "amount"),
        released=_sum("debit", ended, "pending_of__amount"),
        posted=_sum("debit", Q(kind=TransferKind.POST), "amount"),
    ).values_list("available", "held", "received", "given", "placed", "released", "posted")
    return sum(
        abs(available - (received - given + released - posted)) + abs(held - (placed - released))
        for available, held, received, given, placed, released, posted in (map(int, row) for row in rows)
    )


def _sum(side: str, condition: Q, column: str) -> Coalesce:
    lines = Transfer.objects.filter(condition, **{side: OuterRef("pk")}).order_by().values(side)
    total = Subquery(lines.annotate(total=Sum(column)).values("total"), output_field=BigIntegerField())
    return Coalesce(total, Value(0), output_field=BigIntegerField())


def ledger_rebuild() -> dict[UUID, tuple[int, int]]:
    """(available, held) of every account that moved, from the journal alone, in its order."""
    balances: dict[UUID, tuple[int, int]] = {}
    for line in Transfer.objects.select_related("pending_of").order_by("seq").iterator(chunk_size=2000):
        for effect in _effects_of(line):
            available, held = balances.get(effect.account_id, (0, 0))
            balances[effect.account_id] = available + effect.available, held + effect.held
    return balances


def ledger_verify() -> int:
    """Number of entries, after proving each account's chain; call it while nothing is being booked.

    Checked: numbers 1, 2, 3 … without a gap, the digests, that each transfer has exactly the entries that follow
    from it, running balances, and the stored balance at the end. Raises ApplicationError(code="ledger_broken").
    """
    count = 0
    last: dict[UUID, Entry] = {}
    pending_effects: dict[int, int] = {}
    for entry in _entries():
        before = last.get(entry.account_id)
        line = entry.transfer
        if entry.number != (before.number + 1 if before else 1):
            raise _broken(entry, "its number does not follow the one before")
        if entry.previous != (before.digest if before else "") or entry.digest != entry_digest(entry, line):
            raise _broken(entry, "its digest does not match")
        effect = Effect(entry.account_id, entry.available_change, entry.held_change)
        if effect not in _effects_of(line):
            raise _broken(entry, "it does not follow from its transfer")
        after = (before.available_after, before.held_after) if before else (0, 0)
        if (entry.available_after, entry.held_after) != (after[0] + effect.available, after[1] + effect.held):
            raise _broken(entry, "its balance does not follow")
        pending_effects[line.pk] = pending_effects.get(line.pk, 0) + 1
        last[entry.account_id] = entry
        count += 1
    for line in Transfer.objects.select_related("pending_of").iterator(chunk_size=2000):
        if pending_effects.get(line.pk, 0) != len(_effects_of(line)):
            raise ApplicationError(f"Transfer {line.key} lacks an entry.", code="ledger_broken")
    for account in Account.objects.iterator(chunk_size=2000):
        end = last.get(account.pk)
        stored = (end.number, end.available_after, end.held_after) if end else (0, 0, 0)
        if stored != (account.entry_count, account.available, account.held):
            raise ApplicationError(f"Account {account.slot} differs from its last entry.", code="ledger_broken")
    return count


def _entries() -> Iterator[Entry]:
    rows = Entry.objects.select_related("transfer", "transfer__pending_of").order_by("account_id", "number")
    return rows.iterator(chunk_size=2000)


def _effects_of(line: Transfer) -> tuple[Effect, ...]:
    hold_amount = line.pending_of.amount if line.pending_of else None
    return effects(line.kind, line.debit_id, line.credit_id, line.amount, hold_amount)


def _broken(entry: Entry, what: str) -> ApplicationError:
    return ApplicationError(
        f"Entry {entry.number} of account {entry.account_id} is broken: {what}.", code="ledger_broken"
    )
