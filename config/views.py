"""Pages of the site itself: what a refused request reads."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 with a sentence; an upload above the limit is told the limit."""
    context = {}
    if isinstance(exception, RequestDataTooBig):
        megabytes = settings.UPLOAD_MAX_BYTES // (1024 * 1024)
        context["sentence"] = f"The file is larger than {megabytes} MB. Split the tape and upload the parts."
    return render(request, "400.html", context, status=400)
