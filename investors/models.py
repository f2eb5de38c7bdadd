"""Mandates of institutions, and the double-entry ledger of cash and class units.

Not here: matching.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from accounts.models import Organisation
from pooling.models import Deal


class Mandate(models.Model):
    """What an institution may buy. terms follow investors.engine.mandates.MandateTerms."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="mandates")
    name = models.CharField(max_length=120)
    terms = models.JSONField()
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="one_mandate_per_name")]


class AccountKind(models.TextChoices):
    HOLDER = "holder"  # a participant's own cash or class units
    DEAL = "deal"  # collection account of a deal's issuer
    RESERVE = "reserve"  # reserve account of a deal
    EXPENSES = "expenses"  # closing expenses of a deal
    WORLD = "world"  # the outside: source of deposits and of issued units; the only kind that may be negative


class Account(models.Model):
    """available may be spent; held is earmarked by pending transfers. asset: "USD" or "<deal id>/<class>".

    available and held are kept for the conditional update; the journal is the truth, and
    selectors.ledger_drift() compares the two.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(Organisation, on_delete=models.PROTECT, null=True, related_name="accounts")
    deal = models.ForeignKey(Deal, on_delete=models.PROTECT, null=True, related_name="accounts")
    kind = models.CharField(max_length=8, choices=AccountKind.choices)
    asset = models.CharField(max_length=80)
    slot = models.CharField(max_length=200, help_text="kind, owner, deal and asset in one key, for uniqueness")
    available = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    entry_count = models.BigIntegerField(default=0, help_text="number of the account's last entry")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["slot"], name="one_account"),
            models.CheckConstraint(condition=Q(held__gte=0), name="held_not_negative"),
            models.CheckConstraint(condition=Q(available__gte=0) | Q(kind="world"), name="no_overdraft"),
        ]


class TransferKind(models.TextChoices):
    DIRECT = "direct"
    PENDING = "pending"
    POST = "post"
    VOID = "void"


class Transfer(models.Model):
    """One line of the journal: append-only, debit gives, credit receives, amount in minor units.

    A pending transfer is ended by exactly one post (in part or in full; the rest returns) or one void.
    batch joins the transfers that were booked all or nothing; key is unique within it.
    """

    seq = models.BigAutoField(primary_key=True)
    id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    batch = models.CharField(max_length=120)
    key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=8, choices=TransferKind.choices)
    pending_of = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="closed_by")
    debit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="debits")
    credit = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="credits")
    asset = models.CharField(max_length=80)
    amount = models.BigIntegerField()
    memo = models.CharField(max_length=200, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["seq"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="transfer_not_negative"),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="transfer_between_two"),
        ]


class Entry(models.Model):
    """What one transfer did to one account: append-only, numbered without gaps, chained by hash per account.

    The chain runs per account because the booking already holds that row: one chain for the whole ledger
    would put every bidder in one queue. digest covers previous, the account, the transfer and the figures.
    """

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries")
    number = models.BigIntegerField(help_text="1, 2, 3 … within the account")
    transfer = models.ForeignKey(Transfer, on_delete=models.PROTECT, related_name="entries")
    available_change = models.BigIntegerField()
    held_change = models.BigIntegerField()
    available_after = models.BigIntegerField()
    held_after = models.BigIntegerField()
    previous = models.CharField(max_length=64, help_text="digest of the entry before, empty for the first")
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["account_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["account", "number"], name="one_entry_per_number"),
            models.UniqueConstraint(fields=["account", "transfer"], name="one_entry_per_transfer"),
        ]
