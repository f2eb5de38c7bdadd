"""The door of the API: bearer token or session with CSRF token, and refusals as JSON."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware

from accounts.errors import ApplicationError
from accounts.graphql.context import Via
from accounts.models import User
from accounts.selectors import bearer_token, viewer_of


class Refusal(Exception):
    """A request turned away before anything is done: HTTP status, code for programs, sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    def response(self) -> JsonResponse:
        """{"errors": [{"message", "extensions": {"code"}}]} with the status."""
        body = {"errors": [{"message": self.message, "extensions": {"code": self.code}}]}
        response = JsonResponse(body, status=self.status)
        if self.status == 401:
            response["WWW-Authenticate"] = "Bearer"
        return response


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check as a function: it returns the reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def _unreachable(request: HttpRequest) -> HttpResponse:
    raise NotImplementedError("the check never calls a view")


def require_viewer(request: HttpRequest) -> tuple[User, Via]:
    """Who asks and how, or Refusal 401 (nobody, or a bad token) or 403 (a session without a CSRF token).

    The view must be csrf_exempt: a bearer token is sent by programs only, so no foreign page can forge it.
    """
    try:
        viewer = viewer_of(request)
    except ApplicationError as error:
        raise Refusal(401, "UNAUTHENTICATED", error.message) from None
    if not isinstance(viewer, User) or not viewer.is_active:
        raise Refusal(401, "UNAUTHENTICATED", "Log in, or send Authorization: Bearer with an API token.")
    if bearer_token(request) is not None:
        return viewer, "bearer"
    if request.method not in ("GET", "HEAD"):
        require_csrf_token(request)
    return viewer, "session"


def require_csrf_token(request: HttpRequest) -> None:
    """Refusal 403 unless the request proves that it comes from a page of ours."""
    check = _CsrfCheck(_unreachable)
    check.process_request(request)
    if check.process_view(request, _unreachable, (), {}):
        raise Refusal(403, "CSRF_FAILED", "Send the CSRF cookie's value in the X-CSRFToken header.")
