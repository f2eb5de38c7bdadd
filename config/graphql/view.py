"""The guarded view: POST of application/json by a known viewer, limits before validation, errors without secrets.

A synchronous Django view that runs graphql-core through async_to_sync. The event loop has no database, so a
relation without a loader raises instead of shipping N+1; loaders come back to this request's thread and transaction.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, NoReturn

from asgiref.sync import async_to_sync
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_named_type,
    get_operation_ast,
    parse,
    print_schema,
    specified_rules,
    validate,
)

from accounts.errors import ApplicationError
from accounts.graphql.context import Context
from accounts.graphql.http import Refusal, require_viewer
from config.graphql.limits import BODY_LIMIT, COST_LIMIT, TOKEN_LIMIT, measure, storable
from config.graphql.schema import schema
from config.graphql.visibility import SELECTORS

logger = logging.getLogger(__name__)

VALIDATION_ERRORS_SHOWN = 5
VARIABLE_DEPTH_LIMIT = 16
# Always all of them: a list of own rules alone would replace the specification's.
RULES = [*specified_rules]


@csrf_exempt
@never_cache
def graphql_view(request: HttpRequest) -> HttpResponse:
    """POST {"query", "variables", "operationName"} → {"data", "errors", "extensions": {"cost"}}.

    200 when it was executed, 400 when the query was refused, 401 nobody, 403 no CSRF token, 405, 413, 415.
    """
    try:
        require_form(request)
        viewer, via = require_viewer(request)
        # Role and organisation are read here, on the request's thread; the event loop has no database.
        context = Context(viewer=viewer, role=viewer.role, via=via, selectors=SELECTORS)
        query, variables, operation_name = read_body(request)
        return answer(context, query, variables, operation_name)
    except Refusal as refusal:
        return refusal.response()


@never_cache
@require_safe
def sdl_view(request: HttpRequest) -> HttpResponse:
    """The schema in GraphQL's definition language, for those who are logged in."""
    try:
        require_viewer(request)
    except Refusal as refusal:
        return refusal.response()
    return HttpResponse(print_schema(schema.graphql_schema), content_type="text/plain; charset=utf-8")


# ------------------------------------------------------------------------------------------------- what came
def require_form(request: HttpRequest) -> None:
    """Refusal unless it is a POST of application/json within BODY_LIMIT."""
    if request.method != "POST":
        raise Refusal(405, "METHOD_NOT_ALLOWED", "Send a POST.")
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8"):
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send application/json in UTF-8.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not str(length).isdigit() or int(length) > BODY_LIMIT:
        raise Refusal(413, "BODY_LIMIT", f"A request may have {BODY_LIMIT:,} bytes.")


def read_body(request: HttpRequest) -> tuple[str, dict[str, Any], str | None]:
    """(query, variables, operation name); Refusal when the body is not one JSON object of that form."""
    try:
        if len(request.body) > BODY_LIMIT:
            raise Refusal(413, "BODY_LIMIT", f"A request may have {BODY_LIMIT:,} bytes.")
        body = json.loads(request.body.decode("utf-8"), parse_constant=_no_constant)
    except (RequestDataTooBig, UnreadablePostError):
        raise Refusal(413, "BODY_LIMIT", f"A request may have {BODY_LIMIT:,} bytes.") from None
    except (ValueError, RecursionError):
        raise Refusal(400, "BAD_REQUEST", "The body is no JSON object in UTF-8.") from None
    if not isinstance(body, dict):
        raise Refusal(400, "BAD_REQUEST", "Send one JSON object; batches are not accepted.")
    query, variables, name = body.get("query"), body.get("variables"), body.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise Refusal(400, "BAD_REQUEST", "query must be a text.")
    if not isinstance(variables, dict | None):
        raise Refusal(400, "BAD_REQUEST", "variables must be a JSON object.")
    if not isinstance(name, str | None):
        raise Refusal(400, "BAD_REQUEST", "operationName must be a text.")
    if not readable([query, variables, name]):
        raise Refusal(400, "BAD_USER_INPUT", "A text holds a character that cannot be stored, or nests too deep.")
    return query, variables or {}, name


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def readable(value: Any) -> bool:
    """False when a text in `value` cannot be stored, or when it nests deeper than any input of ours."""
    stack = [(value, 0)]
    while stack:
        item, depth = stack.pop()
        if depth > VARIABLE_DEPTH_LIMIT or (isinstance(item, str) and not storable(item)):
            return False
        if isinstance(item, dict):
            stack += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            stack += [(part, depth + 1) for part in item]
    return True


# ------------------------------------------------------------------------------------------- what is answered
def answer(context: Context, query: str, variables: dict[str, Any], operation_name: str | None) -> JsonResponse:
    """Parse, measure, validate, execute: in this order, so that nothing dear is done for a query that is refused."""
    extensions: dict[str, Any] = {}
    try:
        document = parse_query(query)
        cost = measure(schema.graphql_schema, document, variables).cost
    except GraphQLError as error:
        return respond(ExecutionResult(None, [error]), extensions)
    extensions["cost"] = {"computed": cost, "limit": COST_LIMIT}
    errors = validate(schema.graphql_schema, document, RULES, max_errors=VALIDATION_ERRORS_SHOWN, hide_suggestions=True)
    if errors:
        return respond(ExecutionResult(None, errors), extensions)
    operation = get_operation_ast(document, operation_name)
    if operation is None or operation.operation is not OperationType.MUTATION:
        result = run(context, document, variables, operation_name)
    elif sees_to_itself(operation):
        result = run(context, document, variables, operation_name)
        if result.errors and not any((result.data or {}).values()):
            result = ExecutionResult(None, result.errors)  # it was refused
    else:
        with transaction.atomic():
            result = run(context, document, variables, operation_name)
            if result.errors:
                # All or nothing: an answer that shows effects which were taken back would be a lie.
                transaction.set_rollback(True)
                result = ExecutionResult(None, result.errors)
    return respond(result, extensions)


def sees_to_itself(operation: OperationDefinitionNode) -> bool:
    """Whether a validated mutation is a single verb whose service has the only transaction it needs.

    What such a verb did stays done when its answer fails in part; the answer then holds both. Its idempotency key
    gives the answer again.
    """
    verbs, fields = schema.graphql_schema.mutation_type, operation.selection_set.selections
    if verbs is None or len(fields) != 1 or not isinstance(fields[0], FieldNode):
        return False
    verb = verbs.fields.get(fields[0].name.value)
    payload = None if verb is None else getattr(get_named_type(verb.type), "graphene_type", None)
    return getattr(payload, "own_transaction", False)


def parse_query(query: str) -> DocumentNode:
    """The syntax tree; GraphQLError when it is none, has too many tokens or nests beyond reading."""
    try:
        return parse(query, no_location=False, max_tokens=TOKEN_LIMIT)
    except RecursionError:
        raise GraphQLError("The query nests too deep.", extensions={"code": "DEPTH_LIMIT"}) from None


def run(
    context: Context, document: DocumentNode, variables: dict[str, Any], operation_name: str | None
) -> ExecutionResult:
    """Execute on an event loop; root resolvers and loaders come back to this thread."""

    async def main() -> ExecutionResult:
        result = execute(
            schema.graphql_schema,
            document,
            context_value=context,
            variable_values=variables,
            operation_name=operation_name,
            max_coercion_errors=VALIDATION_ERRORS_SHOWN,
            hide_suggestions=True,
        )
        return result if isinstance(result, ExecutionResult) else await result

    return async_to_sync(main)()


def respond(result: ExecutionResult, extensions: Mapping[str, Any]) -> JsonResponse:
    """The answer; 400 when nothing was executed."""
    body: dict[str, Any] = {}
    refused = result.data is None and any(not error.path for error in result.errors or ())
    if result.errors:
        body["errors"] = [shown(error) for error in result.errors]
    if not refused:
        body["data"] = result.data
    if extensions:
        body["extensions"] = extensions
    return JsonResponse(body, status=400 if refused else 200)


def shown(error: GraphQLError) -> dict[str, Any]:
    """What the client sees: our own refusals and the specification's messages; of anything else only that it was.

    GraphQL wraps what a resolver raised; the innermost cause decides.
    """
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, GraphQLError):
        message, code = error.message, (cause.extensions or {}).get("code", "BAD_QUERY")
    elif isinstance(cause, ApplicationError):
        message, code = cause.message, cause.code.upper()
    else:
        logger.error("GraphQL resolver failed at %s", error.path, exc_info=cause)
        message, code = "Something went wrong on our side; it is logged.", "INTERNAL"
    entry: dict[str, Any] = {"message": message, "extensions": {"code": code}}
    if error.locations:
        entry["locations"] = [location.formatted for location in error.locations]
    if error.path:
        entry["path"] = error.path
    return entry
