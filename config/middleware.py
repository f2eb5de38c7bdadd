"""What every response carries: a request id for the logs, and headers that keep the browser at home."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from config.health import livez
from config.logs import request_id

# Scripts come from our own files only. Styles may be inline because the chart library writes its own.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class HouseHeadersMiddleware:
    """Adds Content-Security-Policy, Permissions-Policy and X-Request-ID to every response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The id is always ours: one taken from the client could forge lines of the log. It stays until the
        # thread's next request, for Django logs a failed response only after this method has returned.
        identity = uuid.uuid4().hex
        request_id.set(identity)
        # Before anything asks for the host: a container's own health check comes to 127.0.0.1, whatever
        # ALLOWED_HOSTS says, and the answer tells nothing.
        response = livez(request) if request.path == "/livez" else self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers["X-Request-ID"] = identity
        return response
