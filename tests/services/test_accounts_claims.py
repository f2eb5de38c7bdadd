"""Idempotency: one key of one organisation has one effect and one answer, however often and at once it is sent."""

from __future__ import annotations

import threading
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import transaction

from accounts.errors import ApplicationError
from accounts.models import IdempotencyClaim, Organisation, Role
from accounts.services import claim, organisation_create
from tests.services.threads import at_once

THREADS = 8


@transaction.atomic
def account_open(*, organisation: Organisation, name: str, key: str) -> str:
    """A service as they all are: claim, effect, settle. The effect here is a further organisation."""
    claimed = claim(organisation=organisation, key=key, verb="account_open", params={"name": name})
    if not claimed.fresh:
        return claimed.subject_id
    made = organisation_create(name=name, role=Role.INVESTOR)
    claimed.settle(made.pk)
    return claimed.subject_id


@pytest.fixture
def organisation(db: None) -> Organisation:
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


def test_the_second_call_gets_the_first_answer_and_has_no_effect(organisation):
    first = account_open(organisation=organisation, name="Fund", key="k1")
    assert account_open(organisation=organisation, name="Fund", key="k1") == first
    assert str(Organisation.objects.get(name="Fund").pk) == first


@pytest.mark.parametrize(("name", "verb"), [("Other", "account_open"), ("Fund", "account_close")])
def test_the_same_key_for_another_request_is_a_conflict(organisation, name, verb):
    account_open(organisation=organisation, name="Fund", key="k1")
    with pytest.raises(ApplicationError) as refused, transaction.atomic():
        claim(organisation=organisation, key="k1", verb=verb, params={"name": name})
    assert (refused.value.code, refused.value.field) == ("idempotency_conflict", "idempotency_key")
    assert not Organisation.objects.filter(name="Other").exists()


def test_a_key_belongs_to_its_organisation(organisation):
    other = organisation_create(name="Second Lender", role=Role.ORIGINATOR)
    first = account_open(organisation=organisation, name="Fund", key="k1")
    assert account_open(organisation=other, name="Fund two", key="k1") != first


def test_a_failed_service_frees_its_key(organisation):
    with pytest.raises(ApplicationError):
        account_open(organisation=organisation, name="First Lender", key="k1")
    assert not IdempotencyClaim.objects.exists()
    assert account_open(organisation=organisation, name="Fund", key="k1")


def test_the_transaction_goes_on_after_a_claim_that_was_taken(organisation):
    account_open(organisation=organisation, name="Fund", key="k1")
    with transaction.atomic():
        assert not claim(organisation=organisation, key="k1", verb="account_open", params={"name": "Fund"}).fresh
        organisation_create(name="Later", role=Role.ANALYST)
    assert Organisation.objects.filter(name="Later").exists()


def test_params_are_compared_by_value_not_by_order_or_type_of_mapping(organisation):
    given = {"amount": 5, "id": UUID(int=7), "rate": Decimal("0.10")}
    with transaction.atomic():
        claim(organisation=organisation, key="k", verb="v", params=given)
        again = {"rate": "0.10", "id": str(UUID(int=7)), "amount": 5}
        assert not claim(organisation=organisation, key="k", verb="v", params=again).fresh
        with pytest.raises(ApplicationError):
            claim(organisation=organisation, key="k", verb="v", params=given | {"amount": "5"})


@pytest.mark.parametrize("key", ["", "x" * 121, "line\nbreak"])
def test_a_key_must_be_short_and_printable(organisation, key):
    with pytest.raises(ApplicationError) as refused, transaction.atomic():
        claim(organisation=organisation, key=key, verb="v", params={})
    assert refused.value.field == "idempotency_key"


def test_a_claim_is_settled_once_and_by_its_owner_only(organisation):
    with transaction.atomic():
        first = claim(organisation=organisation, key="k", verb="v", params={})
        first.settle("7")
        with pytest.raises(RuntimeError):
            first.settle("8")
        with pytest.raises(RuntimeError):
            claim(organisation=organisation, key="k", verb="v", params={}).settle("8")


@pytest.mark.django_db(transaction=True)
def test_a_claim_needs_the_callers_transaction():
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)
    with pytest.raises(RuntimeError):
        claim(organisation=organisation, key="k", verb="v", params={})


@pytest.mark.django_db(transaction=True)
def test_duplicates_sent_at_once_collapse_to_one():
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)
    answers = at_once(THREADS, lambda n: account_open(organisation=organisation, name="Fund", key="k1"))
    assert set(answers) == {str(Organisation.objects.get(name="Fund").pk)}
    assert IdempotencyClaim.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_other_requests_under_one_key_at_once_leave_one_effect_and_conflicts():
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)

    def act(number: int) -> str:
        try:
            return account_open(organisation=organisation, name=f"Fund {number}", key="k1")
        except ApplicationError as error:
            return error.code

    answers = at_once(THREADS, act)
    assert answers.count("idempotency_conflict") == THREADS - 1
    assert Organisation.objects.filter(name__startswith="Fund").count() == 1


@pytest.mark.django_db(transaction=True)
def test_mutant_look_then_insert_without_the_constraint_doubles_the_effect():
    """The test of the tests: a claim that looks first and trusts what it saw lets both callers in."""
    organisation = organisation_create(name="First Lender", role=Role.ORIGINATOR)
    looked = threading.Barrier(2)

    def act(number: int) -> str:
        taken = IdempotencyClaim.objects.filter(organisation=organisation, key="k1").exists()
        looked.wait(timeout=30)
        if taken:
            return "answered"
        with transaction.atomic():
            return str(organisation_create(name=f"Fund {number}", role=Role.INVESTOR).pk)

    at_once(2, act)
    assert Organisation.objects.filter(name__startswith="Fund").count() == 2
