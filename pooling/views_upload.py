"""POST /api/uploads/: a tape as a plain form post, answered by the id that the mutation tapeImport takes.

GraphQL carries no files here: a multipart GraphQL request would be one more parser before any check.
"""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from graphql_relay import to_global_id

from accounts.errors import ApplicationError
from accounts.graphql.http import Refusal, require_viewer
from accounts.graphql.mutations import check_key
from pooling.schema import TapeUploadType
from pooling.services import tape_upload

FILE_FIELD = "file"
KEY_FIELD = "idempotencyKey"


@csrf_exempt
@never_cache
def upload_view(request: HttpRequest) -> JsonResponse:
    """Form fields file and idempotencyKey → 201 {"uploadId"}; else {"errors": [...]}.

    400 for what the form lacks, 401 nobody, 403 not an originator or no CSRF token, 405, 413 too large, 415.
    """
    try:
        return _upload(request)
    except Refusal as refusal:
        return refusal.response()
    except ApplicationError as error:
        status = 403 if error.code == "forbidden" else 400
        return Refusal(status, error.code.upper(), error.message).response()
    except RequestDataTooBig:
        return Refusal(413, "TOO_LARGE", "The file is larger than an upload may be.").response()
    except (MultiPartParserError, SuspiciousOperation, UnreadablePostError):
        return Refusal(400, "BAD_REQUEST", "The form cannot be read.").response()


def _upload(request: HttpRequest) -> JsonResponse:
    if request.method != "POST":
        raise Refusal(405, "METHOD_NOT_ALLOWED", "Send a POST.")
    if request.content_type != "multipart/form-data":
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send multipart/form-data.")
    viewer, _ = require_viewer(request)
    key = request.POST.get(KEY_FIELD, "")
    check_key(key)
    file = request.FILES.get(FILE_FIELD)
    if not isinstance(file, UploadedFile):
        raise Refusal(400, "BAD_REQUEST", f"The form field {FILE_FIELD} must hold one file.")
    upload = tape_upload(user=viewer, filename=file.name or "tape", stream=file.chunks(), idempotency_key=key)
    return JsonResponse({"uploadId": to_global_id(TapeUploadType._meta.name, str(upload.pk))}, status=201)
