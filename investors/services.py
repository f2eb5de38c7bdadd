"""Deposits of cash, and mandates. The movements themselves are booked by investors.ledger.

Not here: bids and settlement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.db import transaction

from accounts.errors import ApplicationError
from accounts.models import Organisation, Role, User
from accounts.selectors import require_role
from accounts.services import audit_record, claim
from investors.engine.mandates import MandateTerms
from investors.ledger import account_open, amount_checked, direct, transfers_book
from investors.models import Account, AccountKind, Mandate, Transfer
from rating.engine.scale import GRADES


def cash_account(organisation: Organisation, currency: str = "USD") -> Account:
    """The organisation's own cash account, opened on first use."""
    return account_open(kind=AccountKind.HOLDER, asset=currency, owner=organisation)


@transaction.atomic
def cash_deposit(*, organisation: Organisation, amount: int, idempotency_key: str, currency: str = "USD") -> Transfer:
    """Cash from the outside (amount in cents) to the organisation's account. The journal key is the claim."""
    if not idempotency_key:
        raise ApplicationError(
            "idempotency_key is empty: send one of your own.", code="bad_key", field="idempotency_key"
        )
    amount_checked(amount)
    key = f"deposit/{organisation.pk}/{hashlib.sha256(idempotency_key.encode()).hexdigest()[:40]}"
    world = account_open(kind=AccountKind.WORLD, asset=currency)
    movement = direct(key, world, cash_account(organisation, currency), amount, "deposit")
    return transfers_book(batch=key, movements=[movement])[0]


TERM_TYPES: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "rating_floor": (str,),
    "wal_min": (int, float),
    "wal_max": (int, float),
    "yield_floor": (int, float),
    "asset_types": (list, tuple),
    "budget_cents": (int,),
    "ticket_cents": (int,),
    "max_share": (int, float),
}


def terms_read(terms: Mapping[str, Any]) -> MandateTerms:
    """MandateTerms from JSON; ApplicationError naming the term that is unknown, missing or of the wrong type."""
    for field in (*terms, *TERM_TYPES):
        value = terms.get(field)
        if field not in TERM_TYPES:
            problem = f"is not a term of a mandate: use {', '.join(TERM_TYPES)}"
        elif field not in terms:
            problem = "is missing"
        elif isinstance(value, bool) or not isinstance(value, TERM_TYPES[field]):
            problem = f"has a value of the wrong type ({value!r})"
        else:
            continue
        raise ApplicationError(f"terms: {field} {problem}.", code="invalid", field=f"terms.{field}")
    if not str(terms["name"]).isprintable():
        raise ApplicationError("terms: name holds a character that cannot be printed.", field="terms.name")
    if not all(isinstance(kind, str) and kind.isprintable() for kind in terms["asset_types"]):
        raise ApplicationError(
            "terms: asset_types holds something that is no text.", code="invalid", field="terms.asset_types"
        )
    try:
        return MandateTerms(**(dict(terms) | {"asset_types": tuple(terms["asset_types"])}))
    except ValueError as error:
        raise ApplicationError(f"terms: {error}.", code="invalid", field="terms") from error


def terms_written(terms: MandateTerms) -> dict[str, Any]:
    """The JSON form of the terms, which terms_read gives back."""
    return asdict(terms) | {"asset_types": list(terms.asset_types)}


@transaction.atomic
def mandate_create(*, user: User, name: str, terms: Mapping[str, Any], idempotency_key: str) -> Mandate:
    """A mandate of the user's organisation (role investor). terms: investors.engine.mandates.MandateTerms as JSON.

    Raises ApplicationError naming the term at fault, or that the name is taken.
    """
    require_role(user, Role.INVESTOR)
    if user.organisation is None:
        raise ApplicationError("This user belongs to no organisation.", code="forbidden")
    stated = claim(
        organisation=user.organisation,
        key=idempotency_key,
        verb="mandate_create",
        params={"name": name, "terms": repr(sorted(terms.items()))},  # repr: NaN has no JSON form
    )
    if not stated.fresh:
        return Mandate.objects.get(pk=stated.subject_id)
    name = name.strip()
    if not 0 < len(name) <= 120:
        raise ApplicationError("name must have 1 to 120 characters.", code="invalid", field="name")
    checked = terms_read(terms)
    if checked.rating_floor not in GRADES:
        raise ApplicationError(
            f"terms: rating_floor {checked.rating_floor!r} is not on the scale {GRADES[0]} to {GRADES[-1]}.",
            code="invalid",
            field="terms.rating_floor",
        )
    if Mandate.objects.filter(organisation=user.organisation, name=name).exists():
        raise ApplicationError(f"A mandate named {name} exists: choose another name.", code="name_taken", field="name")
    mandate = Mandate.objects.create(organisation=user.organisation, name=name, terms=terms_written(checked))
    stated.settle(str(mandate.pk))
    audit_record(actor=user, verb="mandate_create", subject=f"mandate:{mandate.pk}", payload={})
    return mandate
