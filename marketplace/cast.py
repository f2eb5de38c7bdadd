"""The demo parties: one originator, one analyst, one operator, and an investor for each demo mandate."""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts.models import Organisation, Role, User
from accounts.services import organisation_create, user_create
from investors.engine.mandates import DEMO_MANDATES, scaled
from investors.models import Mandate
from investors.services import cash_deposit, mandate_create, terms_written

PARTIES = {
    Role.ORIGINATOR: "Meadow Lending",
    Role.ANALYST: "Clearwater Ratings Research",
    Role.OPERATOR: "Glasspool Market Operations",
}
# An originator pays expenses and what an unsold class leaves open from cash of its own.
ORIGINATOR_CASH_SHARE = 0.05


@dataclass(frozen=True)
class Cast:
    """One user per role; investor is the first of several."""

    originator: User
    investor: User
    analyst: User
    operator: User


def demo_password() -> str:
    """The password of the demo logins: generated once, kept in the data folder, readable by its owner only."""
    path = Path(settings.GLASSPOOL_DATA) / "demo-password.txt"
    if not path.exists():
        # Written beside its place and moved there whole: an interrupted start leaves no empty password behind.
        descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=".demo-password-")
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("-".join(secrets.token_hex(3) for _ in range(3)))
        os.replace(made, path)
    return path.read_text(encoding="ascii").strip()


@transaction.atomic
def cast_create(*, password: str) -> Cast:
    """The demo organisations and users; those that exist stay as they are."""
    users = {role: _user(name, role, role.value, password) for role, name in PARTIES.items()}
    investors = [
        _user(terms.name, Role.INVESTOR, "investor" if i == 0 else f"investor{i + 1}", password)
        for i, terms in enumerate(DEMO_MANDATES)
    ]
    return Cast(users[Role.ORIGINATOR], investors[0], users[Role.ANALYST], users[Role.OPERATOR])


def _user(name: str, role: Role, username: str, password: str) -> User:
    found = User.objects.filter(username=username).first()
    if found is not None:
        return found
    organisation = Organisation.objects.filter(name=name).first() or organisation_create(name=name, role=role)
    return user_create(username=username, password=password, organisation=organisation)


@transaction.atomic
def cast_fund(*, deal_cents: int, cast: Cast, key: str) -> list[Mandate]:
    """Cash and a mandate for every demo investor, scaled to a deal; cash for the originator. Once per key.

    Returns the mandates, which may bid by themselves (mandates_bid).
    """
    mandates = []
    for terms in DEMO_MANDATES:
        user = User.objects.get(organisation__name=terms.name)
        fitted = scaled(terms, deal_cents)
        cash_deposit(
            organisation=Organisation.objects.get(name=terms.name),
            amount=fitted.budget_cents,
            idempotency_key=f"{key}/cash/{terms.name}",
        )
        name = f"{terms.name} {key}"
        # A demo investor has one appetite at a time: that for the newest deal.
        Mandate.objects.filter(organisation__name=terms.name).exclude(name=name).update(active=False)
        mandates.append(
            mandate_create(user=user, name=name, terms=terms_written(fitted), idempotency_key=f"{key}/mandate")
        )
    cash_deposit(
        organisation=Organisation.objects.get(users=cast.originator),
        amount=round(deal_cents * ORIGINATOR_CASH_SHARE),
        idempotency_key=f"{key}/cash/originator",
    )
    return mandates
