"""Users, roles and bearer tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils import timezone

from accounts.errors import ApplicationError
from accounts.models import ApiToken, AuditEvent, Organisation, Role, User
from accounts.selectors import require_role, user_by_token, viewer_of
from accounts.services import organisation_create, token_issue, token_revoke, user_create

pytestmark = pytest.mark.django_db
PASSWORD = "a long walk by the river"


@pytest.fixture
def organisation() -> Organisation:
    return organisation_create(name="First Lender", role=Role.ORIGINATOR)


@pytest.fixture
def user(organisation: Organisation) -> User:
    return user_create(username="ada", password=PASSWORD, organisation=organisation)


def test_a_user_belongs_to_an_organisation_and_can_sign_in(user, organisation):
    assert user.role == Role.ORIGINATOR
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert not user.is_superuser


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"password": "short"}, "password", "invalid"),
        ({"username": "ada"}, "username", "taken"),
        ({"username": ""}, "username", "invalid"),
        ({"email": "nowhere"}, "email", "invalid"),
    ],
)
def test_a_user_is_refused_naming_the_field(user, organisation, change, field, code):
    given = {"username": "bob", "password": PASSWORD, "organisation": organisation} | change
    with pytest.raises(ApplicationError) as refused:
        user_create(**given)
    assert (refused.value.field, refused.value.code) == (field, code)
    assert list(User.objects.values_list("username", flat=True)) == ["ada"]


def test_an_organisation_needs_a_known_role_and_a_free_name(organisation):
    with pytest.raises(ApplicationError) as unknown:
        organisation_create(name="Second", role="emperor")
    assert unknown.value.field == "role"
    with pytest.raises(ApplicationError) as taken:
        organisation_create(name=" First Lender ", role=Role.ANALYST)
    assert taken.value.code == "taken"


def test_a_token_is_shown_once_and_only_its_digest_is_kept(user):
    token, plain = token_issue(user=user, name="script")
    assert plain.startswith("gp_")
    assert len(plain) >= len("gp_") + 43  # 32 bytes are 43 characters of base64
    assert plain not in str(list(ApiToken.objects.values()))
    assert plain not in str(list(AuditEvent.objects.values()))
    assert user_by_token(plain) == user
    assert token_issue(user=user, name="script")[1] != plain
    assert token.expires_at is not None


def test_a_token_ends_with_its_time_its_revocation_or_its_user(user):
    expired, expired_plain = token_issue(user=user, name="short", lifetime=timedelta(hours=1))
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    assert user_by_token(expired_plain) is None

    revoked, revoked_plain = token_issue(user=user, name="revoked", lifetime=None)
    assert user_by_token(revoked_plain) == user
    first = token_revoke(token=revoked).revoked_at
    assert user_by_token(revoked_plain) is None
    assert token_revoke(token=revoked).revoked_at == first
    assert AuditEvent.objects.filter(verb="token.revoked").count() == 1

    _, plain = token_issue(user=user, name="left")
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert user_by_token(plain) is None


@pytest.mark.parametrize("plain", ["", "gp_", "gp_ä", "gp_" + "A" * 43, "xx_" + "A" * 43])
def test_what_is_no_token_finds_nobody(user, plain):
    token_issue(user=user, name="script")
    assert user_by_token(plain) is None


def test_the_digest_itself_is_no_token(user):
    token, _ = token_issue(user=user, name="script")
    assert user_by_token(token.digest) is None
    assert user_by_token(f"gp_{token.digest}") is None


def test_a_token_without_lifetime_left_is_refused(user):
    with pytest.raises(ApplicationError) as refused:
        token_issue(user=user, name="none", lifetime=timedelta(0))
    assert refused.value.field == "lifetime"


def test_the_viewer_of_a_request_is_the_bearer_else_the_session(user, organisation):
    _, plain = token_issue(user=user, name="script")
    other = user_create(username="eve", password=PASSWORD, organisation=organisation)
    make = RequestFactory()

    anonymous = make.get("/")
    anonymous.user = AnonymousUser()
    assert viewer_of(anonymous).is_anonymous

    session = make.get("/")
    session.user = other
    assert viewer_of(session) == other

    bearer = make.get("/", headers={"Authorization": f"bearer {plain}"})
    bearer.user = other
    assert viewer_of(bearer) == user


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer gp_wrong"])
def test_a_bad_token_never_falls_back_to_the_session(user, header):
    request = RequestFactory().get("/", headers={"Authorization": header})
    request.user = user
    with pytest.raises(ApplicationError) as refused:
        viewer_of(request)
    assert refused.value.code == "unauthenticated"


def test_roles_are_required_of_active_users_only(user):
    assert require_role(user, Role.ORIGINATOR, Role.OPERATOR) == user
    for viewer in (None, AnonymousUser(), user):
        with pytest.raises(ApplicationError) as refused:
            require_role(viewer, Role.INVESTOR)
        assert refused.value.code == "forbidden"
    user.is_active = False
    with pytest.raises(ApplicationError):
        require_role(user, Role.ORIGINATOR)
